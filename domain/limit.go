package domain

import (
	"fmt"
	"slices"
	"time"

	"github.com/atelier-go/atelier/instancetype"
)

// A Scope says whose sessions are counted together.
type Scope string

const (
	// ScopeUser is all sessions of a user, whatever they are charged to.
	ScopeUser Scope = "user"
	// ScopeGroup is the sessions charged to a group: those of which it is
	// [Grant.Group].
	ScopeGroup Scope = "group"
	// ScopeProject is the sessions charged to a project: those of which it is
	// [Grant.ChargeTo].
	ScopeProject Scope = "project"
	// ScopeDomain is all sessions of the domain.
	ScopeDomain Scope = "domain"
)

// A Limit is what a policy, or the budget of a project, allows of one scope: how many sessions at one time,
// and for how much in a month.
type Limit struct {
	// Scope and Name say whose account it is a limit of: the name of the user,
	// group, project or domain.
	Scope Scope
	Name  string
	// Rule is where it stands, as refusals say it: "the domain's policy",
	// "policy of group students", "budget of project genome".
	Rule string
	// Sessions is how many there may be at one time. Zero is no limit.
	Sessions int `json:",omitempty"`
	// Budget is what they may cost in a calendar month in UTC. Zero is no limit.
	Budget instancetype.Money `json:",omitempty"`
}

// maxSessions is the highest limit of sessions at one time. An account is one
// record, which holds every session that is live; see the sizes in account.go.
const maxSessions = 2000

// limitProblems reports the limits of p that make no sense.
func (p Policy) limitProblems(bad func(string, ...any)) {
	for _, n := range []struct {
		what  string
		limit int
	}{{"sessions", p.Sessions}, {"sessions of a user", p.SessionsPerUser}} {
		if n.limit < 0 || n.limit > maxSessions {
			bad("policy: %d %s at one time: want 1 to %d, as many as one account can hold, or 0 for no limit", n.limit, n.what, maxSessions)
		}
	}
	for _, b := range []struct {
		what   string
		budget instancetype.Money
	}{{"budget", p.Budget}, {"budget of a user", p.BudgetPerUser}} {
		if b.budget < 0 {
			bad("policy: %s %v a month may not be negative", b.what, b.budget)
		}
	}
}

// hasBudget reports whether cost matters to p.
func (p Policy) hasBudget() bool { return p.Budget != 0 || p.BudgetPerUser != 0 }

// rule is where the budget of p stands, as refusals say it.
func (p Project) rule() string { return "budget of project " + p.Name }

// limits are those of the policies that a session runs by, the domain's and that
// of the group it is charged to, and of the project that pays.
func (r rules) limits(domain, group string) []Limit {
	var found []Limit
	add := func(scope Scope, name, rule string, sessions int, budget instancetype.Money) {
		if sessions != 0 || budget != 0 {
			found = append(found, Limit{Scope: scope, Name: name, Rule: rule, Sessions: sessions, Budget: budget})
		}
	}
	of := func(p Policy, scope Scope, name, rule string) {
		add(scope, name, rule, p.Sessions, p.Budget)
		add(ScopeUser, r.user, rule, p.SessionsPerUser, p.BudgetPerUser)
	}
	of(r.domain, ScopeDomain, domain, "the domain's policy")
	for _, g := range r.groups {
		if g.name == group {
			of(g.Policy, ScopeGroup, group, "policy of group "+group)
		}
	}
	add(ScopeProject, r.payer.Name, r.payer.rule(), 0, r.payer.Budget)
	return found
}

const advicePriced = "choose one whose price is known, or ask an administrator"

// unpriced says why a type is refused where there is a budget.
func unpriced(typ, region string) string {
	return fmt.Sprintf("instance type %s: its price in %s is not known, and what it costs cannot be held to a budget", typ, region)
}

// checkBudgets refuses a grant with a budget and a type whose price is not known:
// an alternative that the policy of another group allows than the one charged.
func (f facts) checkBudgets(g Grant, wrong *problems) {
	n := slices.IndexFunc(g.Limits, func(l Limit) bool { return l.Budget != 0 })
	for _, o := range g.Alternatives {
		if n >= 0 && !o.Priced {
			wrong.add("budget", ErrNotAllowed, fmt.Errorf("%s (%s); %s", unpriced(o.Type.Name, f.prices.region), g.Limits[n].Rule, advicePriced))
		}
	}
}

// A use is how far an account is used, without the session that is asked about.
type use struct {
	of      owner
	at      time.Time
	live    int
	used    instancetype.Money // in the month of at
	running instancetype.Money // of used, by those that are live
}

// A LimitError says which limit a session was refused by, and how far that is used, for
// who shows it otherwise than by its sentence. [errors.As] finds it in an error that is
// [ErrLimit] or [ErrBudget]: if several limits refuse, the first.
type LimitError struct {
	Standing Standing
}

// Error is the sentence: rule, limit, use, and what can be done.
func (e *LimitError) Error() string { return e.Standing.Refusal }

// refuse says what is against one more session for which add is reserved, each
// with its kind; none is consent.
func (l Limit) refuse(u use, add instancetype.Money, wrong *problems) {
	stop := "stop one"
	if l.Scope != ScopeUser {
		stop = "wait until one ends"
	}
	against := func(rule string, kind Kind, format string, args ...any) {
		s := Standing{Limit: l, Live: u.live, Used: u.used, Refusal: fmt.Sprintf(format, args...)}
		wrong.add(rule, kind, &LimitError{s})
	}
	if l.Sessions != 0 && u.live >= l.Sessions {
		against("sessions", ErrLimit, "%v: %d %s at one time, at most %d allowed (%s), and this would be one more; %s, or ask an administrator",
			u.of, u.live, sessions(u.live), l.Sessions, l.Rule, stop)
	}
	if l.Budget == 0 || plus(u.used, add) <= l.Budget {
		return
	}
	running, advice := "", ""
	if u.live > 0 {
		running = fmt.Sprintf("%v of it by %d that run, ", u.running, u.live)
		advice = stop + ", "
	}
	_, next := monthOf(u.at)
	against("budget", ErrBudget, "%v: %v of %s used, %sat most %v allowed (%s), and this would add %v; ask for less, %swait for %s, or ask an administrator",
		u.of, u.used, u.at.UTC().Format("January 2006"), running, l.Budget, l.Rule, add, advice, next.Format("January"))
}

func sessions(n int) string {
	if n == 1 {
		return "session"
	}
	return "sessions"
}
