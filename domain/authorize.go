package domain

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/atelier-go/atelier/instancetype"
)

// An Ask is what a user wants to start or resume.
type Ask struct {
	// User is who asks. Required.
	User string
	// Image is the name of an attached image. Empty is the default image or,
	// with Resume, the image of the earlier grant.
	Image string
	// InstanceType is the EC2 or SageMaker name of an instance type. Empty is
	// the cheapest allowed type that has room for Size and runs the image;
	// bare metal must be named.
	InstanceType string
	// Alternatives are EC2 or SageMaker names of types its host may have
	// instead, at most 20. Each must be allowed, run the image and have room.
	Alternatives []string
	// Market says how its host may be bought. Nil is OnDemand or, with Resume,
	// the market of the earlier grant. Policies do not look at it.
	Market *Market
	// Size is the room needed. Zero is all of a named type.
	Size Size
	// Role is the ARN of an IAM role whose credentials the session is to have.
	// Empty is none or, with Resume, the role of the earlier grant.
	Role string
	// Projects are the names of projects that the session is to have, at most
	// 10. None is none or, with Resume, those of the earlier grant.
	Projects []string
	// Mounts are the names of mounts, of those in the domain's policy, that it
	// is to have, at most 10. None is none or, with Resume, those of the
	// earlier grant.
	Mounts []string
	// ChargeTo is the name of the project that pays: the session counts in its
	// [Account] and against its budget, beside those of the user, the group and the
	// domain, which it is charged to in any case. It is one that the user may have,
	// and need not be of Projects: a session has no more access than it needs. Empty
	// is none, whatever Projects has: nobody pays who was not named, and one
	// directory more or less changes no bill. With Resume it is that of the earlier
	// grant.
	ChargeTo string
	// Resume is the grant the session ran by before, or nil. It keeps its
	// image digest, role, projects, who pays, mounts and home; if neither InstanceType nor Size is given, its
	// type and size too, and then without Alternatives also those. What is
	// allowed is decided anew.
	Resume *Grant
}

// A Grant is permission to run one session, with everything needed to do it.
// It survives a round trip through JSON.
type Grant struct {
	// Domain is the name of the domain.
	Domain string
	// User is who may run it, with uid and home.
	User User
	// Image is what runs, by digest.
	Image Image
	// Type is the instance type its host has.
	Type instancetype.Type
	// Alternatives are the types its host may have instead, with their prices,
	// in the order of the ask. None of them is Type.
	Alternatives []instancetype.Offer `json:",omitempty"`
	// Market says how its host may be bought.
	Market Market `json:",omitempty"`
	// Size is the room it gets. Zero is all of a host.
	Size Size
	// Role is the ARN of the IAM role whose credentials it gets. Empty is none.
	Role string `json:",omitempty"`
	// Projects are the projects it has, each with gid and directory, in the
	// order of the ask.
	Projects []Project `json:",omitempty"`
	// Mounts are the mounts it has beside them, as the domain's policy said
	// what they are, in the order of the ask.
	Mounts []Mount `json:",omitempty"`
	// PricePerHour is what a host of the type costs, if PriceKnown. Sessions
	// on one host share it.
	PricePerHour instancetype.Price
	// PriceKnown is whether the price in the domain's region is known.
	PriceKnown bool
	// Sharing says whose sessions may run on the same host. It is never empty.
	Sharing Sharing
	// Bounds are the rules that say how long it runs.
	Bounds []Bound `json:",omitempty"`
	// Group is the group whose policy allowed it, and which it is charged to: of
	// several the first by name, whatever its limits leave. Empty if none of the
	// user's groups has a policy.
	Group string
	// ChargeTo is the project that it is charged to, too; see [Ask.ChargeTo]. Empty
	// is none.
	ChargeTo string `json:",omitempty"`
	// Limits are what it is held to when it starts, in this order: of the domain's
	// policy that of the domain and that of the user, of the group's policy that of
	// the group and that of the user, and the budget of the project. Those that set
	// nothing are left out. Whether they leave room for it was not looked at.
	Limits []Limit `json:",omitempty"`
}

// Authorize decides whether a user may start or resume a session, and on what.
// It is the only place where policy is applied. It changes nothing and asks
// nobody but the store.
//
// A refusal is one error that lists every reason, each with its kind: an
// unknown user or image is [ErrNotFound], a user who was offboarded
// [ErrNotAllowed], an unknown instance type, one the image does not run on or
// too small for the size [ErrInvalid], what a policy forbids [ErrNotAllowed]
// with the policy's owner and rule. An unknown project is [ErrNotFound], one
// that none of the user's groups may have [ErrNotAllowed], one that is listed
// twice [ErrInvalid]; mounts are as policies say. That holds for each alternative, too; one
// that is named twice is [ErrInvalid].
func (d *Domain) Authorize(ctx context.Context, ask Ask) (Grant, error) {
	const op = "authorize"
	name := d.name + "/" + printable(ask.User)
	f, err := d.facts(ctx, op, ask.User)
	if err != nil {
		return Grant{}, err
	}
	if f.projects, err = d.findProjects(ctx, ask); err != nil {
		return Grant{}, fail(ctx, op, name, err)
	}
	grant, wrong := decide(f, ask)
	if err := wrong.err(op, name); err != nil {
		return Grant{}, err
	}
	return grant, nil
}

// facts are all that a decision depends on, beside the ask.
type facts struct {
	domain record
	user   *User // nil if unknown
	prices prices

	projects map[string]Project // of those asked for, those there are
}

// decide is Authorize without its reading: a pure function.
func decide(f facts, ask Ask) (Grant, problems) {
	var wrong problems
	if r := ask.Resume; r != nil && ask.InstanceType == "" && ask.Size == (Size{}) {
		ask.InstanceType, ask.Size = r.Type.Name, r.Size
		if len(ask.Alternatives) == 0 {
			ask.Alternatives = r.AlternativeNames()
		}
	}
	grant := Grant{Domain: f.domain.Name, Size: ask.Size}
	grant.User = f.checkMember(ask, &wrong)
	img := f.checkImage(ask, &wrong)
	want := wish{image: img.name, role: checkAskedRole(ask, &wrong), mounts: checkAskedMounts(ask, &wrong)}
	grant.Role = want.role
	grant.Projects = f.checkProjects(ask, grant.User, &wrong)
	payer := f.checkPayer(ask, grant.User, &wrong)
	grant.ChargeTo = payer.Name
	grant.Mounts = f.findMounts(want.mounts, &wrong)
	rules := f.rules()
	rules.payer = payer
	grant.Sharing, grant.Bounds = rules.sharing(), rules.bounds()
	grant.Market = checkMarket(ask, &wrong)

	sized := checkSize(ask, &wrong)
	switch t, err := f.prices.catalog.Type(ask.InstanceType); {
	case ask.InstanceType == "" && !sized: // nothing to look for
		rules.check(f.prices, want, &wrong)
	case ask.InstanceType == "":
		t, grant.Group = f.choose(rules, img, want, ask.Size, &wrong)
		grant.Type = t
	case err != nil:
		wrong.add("type", ErrInvalid, err)
		rules.check(f.prices, want, &wrong)
	default:
		grant.Type = t
		wrong.add("architecture", ErrInvalid, img.runsOn(t))
		if sized {
			wrong.add("size", ErrInvalid, roomOn(t, ask.Size))
		}
		want.typ = t.Name
		grant.Group = rules.check(f.prices, want, &wrong)
	}
	offers := f.checkAlternatives(ask, rules, img, want, sized, &wrong)
	if len(wrong) > 0 {
		return Grant{}, wrong
	}
	grant.Alternatives = without(offers, grant.Type.Name)
	grant.Image = *img.found
	grant.PricePerHour, grant.PriceKnown = f.prices.catalog.Price(grant.Type.Name, f.prices.region)
	grant.Limits = rules.limits(f.domain.Name, grant.Group)
	if f.checkBudgets(grant, &wrong); len(wrong) > 0 {
		return Grant{}, wrong
	}
	return grant, nil
}

// checkMember finds who asks, in a domain that is open.
func (f facts) checkMember(ask Ask, wrong *problems) User {
	wrong.add("domain", ErrState, f.domain.open())
	return f.checkUser(ask, wrong)
}

// checkUser finds who asks.
func (f facts) checkUser(ask Ask, wrong *problems) User {
	if err := CheckName("user", ask.User); err != nil {
		wrong.add("user", ErrInvalid, err)
		return User{}
	}
	if f.user == nil {
		wrong.add("user", ErrNotFound, fmt.Errorf("user %s: is not a user of the domain; onboard them first", ask.User))
		return User{}
	}
	u := *f.user
	switch {
	case !u.Offboarded.IsZero():
		wrong.add("user", ErrNotAllowed, fmt.Errorf("user %s: was offboarded; %s", u.Name, u.Deletion.advice()))
	case u.Onboarded.IsZero():
		wrong.add("user", ErrState, fmt.Errorf("user %s: onboarding has not ended; call Onboard again to continue it", u.Name))
	}
	if r := ask.Resume; r != nil {
		switch before := r.User; {
		case r.Domain != f.domain.Name || before.Name != u.Name:
			wrong.add("resume", ErrInvalid, fmt.Errorf("resume: the earlier grant is for %s/%s, not for %s/%s",
				printable(r.Domain), printable(before.Name), f.domain.Name, u.Name))
		case !u.Onboarded.IsZero() && !sameHome(before, u):
			wrong.add("resume", ErrState, fmt.Errorf("resume: the session's home was %s on %s; the user's is %s on %s: start a new session",
				before.Home.Path, before.Home.FileSystem, u.Home.Path, u.Home.FileSystem))
		}
	}
	return u
}

// sameHome reports whether two records of a user mean one directory. The
// access point that leads to it may have been made anew.
func sameHome(a, b User) bool {
	return a.UID == b.UID && a.Home.FileSystem == b.Home.FileSystem && a.Home.Path == b.Home.Path
}

// wanted is the image of an ask.
type wanted struct {
	name  string // empty if it cannot be said
	found *Image // nil unless attached
}

func (w wanted) runsOn(t instancetype.Type) error {
	if w.found == nil {
		return nil
	}
	if t.Arch == instancetype.X86_64Mac || t.Arch == instancetype.ARM64Mac {
		return fmt.Errorf("image %s does not run on %s: it is a Mac, and Macs run no containers; choose another instance type", w.name, t.Name)
	}
	if err := w.found.CheckArchitecture(string(t.Arch)); err != nil {
		return fmt.Errorf("image %s does not run on %s: %w", w.name, t.Name, err)
	}
	return nil
}

// checkImage finds what is to run. A resumed session keeps its digest, if its
// image is still attached by whatever digest.
func (f facts) checkImage(ask Ask, wrong *problems) wanted {
	w := wanted{name: ask.Image}
	if r := ask.Resume; r != nil {
		if w.name != "" && w.name != r.Image.Name {
			wrong.add("resume", ErrInvalid, fmt.Errorf("resume: the session has image %s and keeps it; start a new one for image %.40q", r.Image.Name, w.name))
		}
		w.name = r.Image.Name
	}
	if w.name == "" {
		w.name = f.domain.DefaultImage
	}
	if w.name == "" {
		wrong.add("image", ErrState, errors.New("image: none is named and the domain has no default image; attach one"))
		return w
	}
	attached := f.domain.image(w.name)
	if attached.Name == "" && ask.Resume != nil {
		wrong.add("image", ErrNotFound, fmt.Errorf("image %.40q: was detached from the domain, and the session keeps it; "+
			"an administrator must attach it again, or start a new session with another; attached: %s", w.name, f.domain.attached()))
		return w
	}
	if attached.Name == "" {
		wrong.add("image", ErrNotFound, fmt.Errorf("image %.40q: is not attached to the domain; attached: %s", w.name, f.domain.attached()))
		return w
	}
	if r := ask.Resume; r != nil {
		isDefault := attached.Default
		attached = r.Image
		attached.Default = isDefault
	}
	w.found = &attached
	return w
}

// choose finds the cheapest type that has room, runs the image and is allowed.
func (f facts) choose(rules rules, img wanted, want wish, s Size, wrong *problems) (instancetype.Type, string) {
	need := instancetype.Requirements{
		MinVCPUs:     int(min(s.MilliCPU/1000+min(s.MilliCPU%1000, 1), 1<<30)),
		MinMemoryMiB: s.MemoryMiB,
		MinGPUs:      int(min(s.GPUs, 1<<30)),
	}
	will := func(t instancetype.Type) bool { return img.runsOn(t) == nil && roomOn(t, s) == nil }

	var refused problems
	if rules.check(f.prices, want, &refused); len(refused) > 0 {
		*wrong = append(*wrong, refused...)
		want = wish{} // it is refused on every type; look for what else is
	}
	within := need
	within.Allowed, within.MaxPerHour = rules.domain.Types, rules.domain.MaxPricePerHour
	var nearest string // the cheapest that only policies are against, best one of the domain's
	for o := range f.prices.catalog.EachOffer(f.prices.region, within) {
		if !will(o.Type) {
			continue
		}
		var refused problems
		group := rules.check(f.prices, want.on(o.Type.Name), &refused)
		if len(refused) == 0 {
			return o.Type, group
		}
		nearest = cmp.Or(nearest, o.Type.Name)
	}
	for o := range f.prices.catalog.EachOffer(f.prices.region, need) {
		if nearest == "" && will(o.Type) {
			nearest = o.Type.Name
		}
	}
	if nearest != "" {
		wrong.add("type", ErrNotAllowed, fmt.Errorf("no allowed instance type that runs the image has room for %v; ask for less, or ask an administrator; the nearest to that, %s, is refused", s, nearest))
		rules.silent = true // what is allowed has no room
		rules.check(f.prices, want.on(nearest), wrong)
		return instancetype.Type{}, ""
	}
	wrong.add("size", ErrInvalid, fmt.Errorf("size %v: no instance type that runs the image has as much", s))
	return instancetype.Type{}, ""
}
