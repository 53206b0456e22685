package domain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/atelier-go/atelier/instancetype"
)

// A Policy says what sessions may use. The zero value allows every image on
// every type, no IAM role and no mount.
//
// A domain has one policy, and each group of its users may have one. An ask
// must be allowed by the domain's policy and, if any of the user's groups has
// a policy, as a whole by at least one of those. So a group's policy selects
// from what the domain allows and never adds to it; a user of several groups
// may use what any one of them allows; and a group without a policy says
// nothing. Of an ask with alternatives that holds for each of its types.
type Policy struct {
	// Types are the instance types allowed, by name or by pattern with
	// asterisks: "r5.4xlarge", "t3.*", "ml.m5.*". Empty allows all.
	Types []string `json:",omitempty"`
	// Images are the names of the images allowed. They need not be attached
	// yet. Empty allows all.
	Images []string `json:",omitempty"`
	// MaxPricePerHour is the most a type may cost, on demand, in the domain's
	// region. A type whose price is unknown is then refused. Zero is no limit.
	MaxPricePerHour instancetype.Money `json:",omitempty"`
	// Roles are the ARNs of the IAM roles whose credentials a session may be
	// given, exactly. Empty is none for a domain and, for a group, what the
	// domain says. A session that asks for no role needs none of them.
	Roles []string `json:",omitempty"`
	// Mounts are the directories that sessions may have beside their home, each
	// at /mnt/ and its name. Empty is none for a domain and, for a group, what
	// the domain says: what a group's names and the domain's does not have is
	// nothing.
	Mounts []Mount `json:",omitempty"`
	// Sharing says whose sessions may run on one host. Empty is
	// [PerUser] for a domain and, for a group, what the domain says. Of all
	// that apply to a user the strictest holds.
	Sharing Sharing `json:",omitempty"`
	// Idle says what becomes of sessions that nobody uses. Of all rules that apply
	// to a session, the domain's and those of all of its user's groups, the one
	// with the shortest After holds. None leaves sessions alone.
	Idle []IdleRule `json:",omitempty"`
	// MaxLifetime is how long a session may run, used or not, before it is
	// suspended, or stopped if its kind cannot be: at least five minutes. The
	// shortest of all that apply holds. Zero is no limit.
	MaxLifetime time.Duration `json:",omitempty"`
	// Sessions is how many sessions there may be at one time: of the whole domain
	// or, for a group, of those charged to it, which are the ones that its policy
	// allowed; see [Grant.Group]. At most 2,000, as many as one account can hold.
	// Zero is no limit and, for a group, none of its own; so it is with the three
	// that follow. [Domain.Reserve] holds sessions to them, [Domain.Authorize] does
	// not look at what is used.
	Sessions int `json:",omitempty"`
	// SessionsPerUser is how many sessions a user may have at one time, whatever
	// they are charged to. At most 2,000.
	SessionsPerUser int `json:",omitempty"`
	// Budget is what sessions may cost in a calendar month in UTC: all of the
	// domain or, for a group, those charged to it. A type whose price is unknown is
	// refused where there is a budget.
	Budget instancetype.Money `json:",omitempty"`
	// BudgetPerUser is what the sessions of a user may cost in such a month,
	// whatever they are charged to.
	BudgetPerUser instancetype.Money `json:",omitempty"`
}

// Sharing says whose sessions may run on one host.
type Sharing string

const (
	// PerUser lets sessions of one user share a host.
	PerUser Sharing = "user"
	// Exclusive gives every session a host of its own.
	Exclusive Sharing = "exclusive"
	// Pool lets sessions of all users share a host.
	Pool Sharing = "pool"
)

// stricter returns the one of s and t that lets fewer share; empty lets all.
func (s Sharing) stricter(t Sharing) Sharing {
	order := []Sharing{"", Pool, PerUser, Exclusive}
	if slices.Index(order, t) > slices.Index(order, s) {
		return t
	}
	return s
}

// problems reports everything that makes no sense in p.
func (p Policy) problems(catalog *instancetype.Catalog) []error {
	var found []error
	bad := func(format string, args ...any) { found = append(found, fmt.Errorf(format, args...)) }
	for _, pattern := range p.Types {
		if err := checkPattern(pattern, catalog); err != nil {
			bad("policy: %w", err)
		}
	}
	for _, pattern := range repeated(p.Types) {
		bad("policy: instance type %.40q is listed twice", pattern)
	}
	for _, name := range p.Images {
		if err := CheckName("image", name); err != nil {
			bad("policy: %w", err)
		}
	}
	for _, name := range repeated(p.Images) {
		bad("policy: image %.40q is listed twice", name)
	}
	for _, arn := range p.Roles {
		if err := checkRole(arn); err != nil {
			bad("policy: %w", err)
		}
	}
	for _, arn := range repeated(p.Roles) {
		bad("policy: role %.80q is listed twice", arn)
	}
	if p.MaxPricePerHour < 0 {
		bad("policy: highest price %v an hour may not be negative", p.MaxPricePerHour)
	}
	p.limitProblems(bad)
	if !slices.Contains([]Sharing{"", PerUser, Exclusive, Pool}, p.Sharing) {
		bad("policy: sharing %.40q: want %q, %q, %q or empty", p.Sharing, Exclusive, PerUser, Pool)
	}
	return append(found, p.idleProblems()...)
}

// checkPattern reports why a name or pattern would never match, which is
// rather a slip of the pen than a wish to forbid everything.
func checkPattern(pattern string, catalog *instancetype.Catalog) error {
	only := instancetype.Requirements{Allowed: []string{pattern}, BareMetal: true}
	if err := only.Validate(); err != nil {
		return fmt.Errorf(`instance type %.40q: want a name such as "t3.medium" or a pattern such as "t3.*"`, pattern)
	}
	if !strings.Contains(pattern, "*") {
		_, err := catalog.Type(pattern)
		return err
	}
	if len(catalog.Offers("", only)) == 0 {
		return fmt.Errorf("instance types %.40q match none that is known", pattern)
	}
	return nil
}

// normal returns a copy that is equal for equal meaning.
func (p Policy) normal() Policy {
	p.Types, p.Images, p.Roles = slices.Clone(p.Types), slices.Clone(p.Images), slices.Clone(p.Roles)
	p.Mounts, p.Idle = slices.Clone(p.Mounts), slices.Clone(p.Idle)
	slices.Sort(p.Types)
	slices.Sort(p.Images)
	slices.Sort(p.Roles)
	slices.SortFunc(p.Mounts, func(a, b Mount) int { return strings.Compare(a.Name, b.Name) })
	return p
}

// Equal reports whether two policies say the same: the order of types, images, roles and
// mounts does not matter, and that of idle rules does.
func (p Policy) Equal(q Policy) bool {
	p, q = p.normal(), q.normal()
	return slices.Equal(p.Types, q.Types) && slices.Equal(p.Images, q.Images) && slices.Equal(p.Roles, q.Roles) &&
		slices.Equal(p.Mounts, q.Mounts) &&
		p.MaxPricePerHour == q.MaxPricePerHour && p.Sharing == q.Sharing && p.equalIdle(q) &&
		p.Sessions == q.Sessions && p.SessionsPerUser == q.SessionsPerUser && p.Budget == q.Budget && p.BudgetPerUser == q.BudgetPerUser
}

// A refusal is what a policy has against a part of a wish.
type refusal struct {
	phrase string
	advice string // what the user does about it
}

const (
	adviceList  = "choose one of these, or ask an administrator"
	advicePrice = "choose a cheaper one, or ask an administrator"
	adviceRole  = "ask for none, or ask an administrator to list it in Policy.Roles"
)

// A wish is what policies are asked about: an image on an instance type, with
// an IAM role and mounts. What is empty is not looked at.
type wish struct {
	image, typ, role string
	mounts           []string
}

// on is w on an instance type.
func (w wish) on(typ string) wish {
	w.typ = typ
	return w
}

// refusals says what p has against a wish; none is consent.
func (p Policy) refusals(prices prices, w wish) []refusal {
	var found []refusal
	if w.image != "" && len(p.Images) > 0 && !slices.Contains(p.Images, w.image) {
		found = append(found, refusal{fmt.Sprintf("image %s: not among those allowed, %q", printable(w.image), p.Images), adviceList})
	}
	if w.role != "" && len(p.Roles) > 0 && !slices.Contains(p.Roles, w.role) {
		found = append(found, refusal{fmt.Sprintf("role %s: not among those allowed, %q", w.role, p.Roles), adviceList})
	}
	found = append(found, p.mountRefusals(w.mounts)...)
	typ := w.typ
	if typ == "" {
		return found
	}
	if _, priced := prices.catalog.Price(typ, prices.region); !priced && p.hasBudget() {
		found = append(found, refusal{unpriced(typ, prices.region), advicePriced})
	}
	for _, rule := range []struct {
		only   instancetype.Requirements
		advice string
	}{
		{instancetype.Requirements{MaxPerHour: p.MaxPricePerHour}, advicePrice},
		{instancetype.Requirements{Allowed: p.Types}, adviceList},
	} {
		// What the type is made of is not the policy's concern.
		rule.only.BareMetal, rule.only.Arch = true, prices.arch(typ)
		err := prices.catalog.Check(typ, prices.region, rule.only)
		if refused, ok := errors.AsType[*instancetype.RefusedError](err); ok {
			for _, reason := range refused.Reasons {
				found = append(found, refusal{fmt.Sprintf("instance type %s: %s", typ, reason), rule.advice})
			}
		}
	}
	return found
}

// rules are the policies that apply to a user.
type rules struct {
	user   string
	payer  Project // the project that is charged, or zero
	domain Policy
	groups []groupRule // of the user's groups that have a policy, by name
	silent bool        // refusals say no advice
}

type groupRule struct {
	name string
	Policy
}

func (f facts) rules() rules {
	r := rules{domain: f.domain.Policy}
	if f.user == nil {
		return r
	}
	r.user = f.user.Name
	for _, g := range slices.Sorted(slices.Values(f.user.Groups)) {
		if p, ok := f.domain.Groups[g]; ok {
			r.groups = append(r.groups, groupRule{g, p})
		}
	}
	return r
}

// sharing is the strictest that any of the policies says.
func (r rules) sharing() Sharing {
	s := r.domain.Sharing
	if s == "" {
		s = PerUser
	}
	for _, g := range r.groups {
		s = s.stricter(g.Sharing)
	}
	return s
}

// check applies the policies to a wish, and the budget of the project that pays,
// and returns the first group whose policy allows it.
func (r rules) check(p prices, w wish, wrong *problems) (group string) {
	refuse := func(rule, text, advice string) {
		if !r.silent {
			text += "; " + advice
		}
		wrong.add(rule, ErrNotAllowed, errors.New(text))
	}
	if w.role != "" && len(r.domain.Roles) == 0 {
		refuse("domain policy", fmt.Sprintf("role %s: no role is allowed (the domain's policy)", w.role), adviceRole)
	}
	if err := r.domain.noMounts(w.mounts); err != nil {
		refuse("domain policy", err.Error(), adviceMount)
	}
	for _, no := range r.domain.refusals(p, w) {
		refuse("domain policy", no.phrase+" (the domain's policy)", no.advice)
	}
	if r.payer.Budget != 0 && w.typ != "" {
		if _, priced := p.catalog.Price(w.typ, p.region); !priced {
			refuse("project budget", unpriced(w.typ, p.region)+" ("+r.payer.rule()+")", advicePriced)
		}
	}
	var against []string
	advice := "choose what one of these policies allows, or ask an administrator"
	for _, g := range r.groups {
		refused := g.refusals(p, w)
		if len(refused) == 0 {
			return g.name
		}
		if len(r.groups) == 1 && len(refused) == 1 {
			advice = refused[0].advice
		}
		var phrases []string
		for _, no := range refused {
			phrases = append(phrases, no.phrase)
		}
		against = append(against, fmt.Sprintf("%s (policy of group %s)", strings.Join(phrases, " and "), g.name))
	}
	if against != nil {
		refuse("group policy", strings.Join(against, "; "), advice)
	}
	return ""
}

// prices is where instance types and their prices are looked up.
type prices struct {
	catalog *instancetype.Catalog
	region  string
}

func (p prices) arch(typ string) instancetype.Arch {
	t, _ := p.catalog.Type(typ) // an unknown type has no architecture
	return t.Arch
}

// SetPolicy replaces the domain's policy. It holds for every start and resume
// from then on; running sessions are left alone. A policy that makes no sense
// is [ErrInvalid], a pattern that matches no known instance type too.
func (d *Domain) SetPolicy(ctx context.Context, p Policy) error {
	const op = "set policy"
	var wrong problems
	for _, err := range slices.Concat(p.problems(d.client.catalog), p.mountProblems(false)) {
		wrong.add("policy", ErrInvalid, err)
	}
	if err := wrong.err(op, d.name); err != nil {
		return err
	}
	return d.change(ctx, op, func(r *record) error {
		r.Policy = p.normal()
		return nil
	})
}

// SetGroupPolicy replaces the policy of a group, or removes it if p is nil.
// The group need not have users yet. Removing what is not there does nothing.
func (d *Domain) SetGroupPolicy(ctx context.Context, group string, p *Policy) error {
	const op = "set group policy"
	name := d.name + "/" + printable(group)
	var wrong problems
	wrong.add("name", ErrInvalid, CheckName("group", group))
	if p != nil {
		for _, err := range slices.Concat(p.problems(d.client.catalog), p.mountProblems(true)) {
			wrong.add("policy", ErrInvalid, err)
		}
	}
	if err := wrong.err(op, name); err != nil {
		return err
	}
	return d.change(ctx, op, func(r *record) error {
		if p == nil {
			delete(r.Groups, group)
			return nil
		}
		if r.Groups == nil {
			r.Groups = map[string]Policy{}
		}
		r.Groups[group] = p.normal()
		return nil
	})
}
