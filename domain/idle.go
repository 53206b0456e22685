package domain

import (
	"fmt"
	"slices"
	"time"

	"github.com/atelier-go/atelier/instancetype"
)

// An IdleRule says what becomes of a session that runs and that nobody uses. What
// use is, and how it is found out, is package session's; see Explain there.
type IdleRule struct {
	// Kinds are the names of the kinds of sessions it is for ("rstudio"). Empty is
	// all.
	Kinds []string `json:",omitempty"`
	// MinPricePerHour makes it a rule for dear hosts alone: whose type costs at
	// least that on demand. A type without a known price counts as dear. Zero is
	// all.
	MinPricePerHour instancetype.Money `json:",omitempty"`
	// After is how long nobody may have used it: from five minutes to 30 days.
	// Required.
	After time.Duration
	// Warn is how long before that its user is told, by its record. Zero is a tenth
	// of After, but at most 15 minutes. It must be shorter than After.
	Warn time.Duration `json:",omitempty"`
	// Stop ends it for good. Otherwise it is suspended, if its kind can be.
	Stop bool `json:",omitempty"`
}

// WarnBefore is how long before After the user is told.
func (r IdleRule) WarnBefore() time.Duration {
	if r.Warn != 0 {
		return r.Warn
	}
	return min(r.After/10, 15*time.Minute)
}

// Applies reports whether r is for sessions of a kind on a host of a price; known is
// whether that is known.
func (r IdleRule) Applies(kind string, price instancetype.Money, known bool) bool {
	return (len(r.Kinds) == 0 || slices.Contains(r.Kinds, kind)) && (!known || price >= r.MinPricePerHour)
}

// A Bound is a rule that applies to a session, with the policy that it is from.
type Bound struct {
	// Idle is the rule. Its After is zero where MaxLifetime is meant.
	Idle IdleRule `json:",omitzero"`
	// MaxLifetime is how long a session may run without being suspended. Zero
	// where Idle is meant.
	MaxLifetime time.Duration `json:",omitempty"`
	// Owner is whose policy it is, for people: "the domain's policy", "policy of
	// group students".
	Owner string
}

const (
	shortestIdle = 5 * time.Minute
	longestIdle  = 30 * 24 * time.Hour
	// maxIdleRules is how many a policy may have: grants hold them.
	maxIdleRules = 20
)

// idleProblems reports everything that makes no sense in what p says about how long
// sessions run.
func (p Policy) idleProblems() (found []error) {
	bad := func(format string, args ...any) { found = append(found, fmt.Errorf("policy: "+format, args...)) }
	if len(p.Idle) > maxIdleRules {
		bad("%d idle rules: want at most %d", len(p.Idle), maxIdleRules)
	}
	for n, r := range p.Idle {
		if r.After < shortestIdle || r.After > longestIdle {
			bad("idle rule %d: after %v: want %v to %v", n, r.After, shortestIdle, longestIdle)
		}
		if r.Warn < 0 || r.Warn != 0 && r.Warn >= r.After {
			bad("idle rule %d: warn %v before: want less than the %v after which it is idle", n, r.Warn, r.After)
		}
		if r.MinPricePerHour < 0 {
			bad("idle rule %d: lowest price %v an hour may not be negative", n, r.MinPricePerHour)
		}
		for _, kind := range r.Kinds {
			if kind == "" || len(kind) > 20 {
				bad("idle rule %d: kind %.40q: want the name of a kind of session", n, kind)
			}
		}
	}
	if p.MaxLifetime < 0 || p.MaxLifetime != 0 && p.MaxLifetime < shortestIdle {
		bad("longest lifetime %v: want at least %v, or zero for no limit", p.MaxLifetime, shortestIdle)
	}
	return found
}

// equalIdle reports whether p and q say the same about how long sessions run.
func (p Policy) equalIdle(q Policy) bool {
	return p.MaxLifetime == q.MaxLifetime && slices.EqualFunc(p.Idle, q.Idle, func(a, b IdleRule) bool {
		return slices.Equal(a.Kinds, b.Kinds) && a.MinPricePerHour == b.MinPricePerHour && a.After == b.After && a.Warn == b.Warn && a.Stop == b.Stop
	})
}

// bounds are all rules that say how long a session of a user runs: the domain's and
// those of all of the user's groups. The strictest that applies at a time holds.
func (r rules) bounds() (all []Bound) {
	add := func(p Policy, owner string) {
		for _, rule := range p.Idle {
			rule.Kinds = slices.Clone(rule.Kinds)
			all = append(all, Bound{Idle: rule, Owner: owner})
		}
		if p.MaxLifetime != 0 {
			all = append(all, Bound{MaxLifetime: p.MaxLifetime, Owner: owner})
		}
	}
	add(r.domain, "the domain's policy")
	for _, g := range r.groups {
		add(g.Policy, "policy of group "+g.name)
	}
	return all
}
