package domain

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/instancetype"
)

// Choices are what a user may start at one moment, for a menu. What is in it with
// nothing to go with is left out: each image runs on one of the types at least, and
// each type runs one of the images. The zero value is nothing.
type Choices struct {
	// Images are in the order of their names. The default one is marked, if it is
	// among them.
	Images []Image
	// Types are the cheapest first, as [instancetype.Catalog.Offers] has them; those
	// without a price in the domain's region are last.
	Types []instancetype.Offer

	runs map[string][]string // for each type the names of the images, in order
}

// Runs reports whether the user may start a session of an image on a type, each one
// of these: not every image runs on every type, and a group's policy allows what it
// allows together.
func (c Choices) Runs(img Image, o instancetype.Offer) bool {
	_, found := slices.BinarySearch(c.runs[o.Type.Name], img.Name)
	return found
}

// Choices tells what a user may start now, without a size, role, projects, mounts or
// a project that pays: an image and a type are in it together if and only if
// [Domain.Authorize] grants them. As with that, limits and budgets are not looked
// at, and nobody but the store is asked, twice, whatever there is to choose from.
//
// The empty user stands for one of no group: what the domain's own policy allows.
//
// A user who may start nothing for a reason of their own has Authorize's error: one
// who is unknown is [ErrNotFound], one who was offboarded [ErrNotAllowed]. A user
// whom policies leave nothing has no choices and no error.
func (d *Domain) Choices(ctx context.Context, user string) (Choices, error) {
	const op = "choices"
	f, err := d.facts(ctx, op, user)
	if err != nil {
		return Choices{}, err
	}
	if user == "" {
		user = "nobody"
		f.user = &User{Name: user, Onboarded: time.Now()}
	}
	var wrong problems
	f.checkMember(Ask{User: user}, &wrong)
	if err := wrong.err(op, d.name+"/"+printable(user)); err != nil {
		return Choices{}, err
	}
	return f.choices(), nil
}

// choices is Choices of a user who is one. It decides about one of the images that
// are alike, on each type.
func (f facts) choices() Choices {
	c := Choices{runs: map[string][]string{}}
	alike := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(f.domain.Images)) {
		kind := f.kindOf(f.domain.Images[name])
		alike[kind] = append(alike[kind], name)
	}
	some := map[string]bool{} // the kinds that run somewhere
	for o := range f.prices.catalog.EachOffer(f.prices.region, instancetype.Requirements{BareMetal: true}) {
		var runs []string
		for kind, names := range alike {
			if _, wrong := decide(f, Ask{User: f.user.Name, Image: names[0], InstanceType: o.Type.Name}); len(wrong) == 0 {
				runs = append(runs, names...)
				some[kind] = true
			}
		}
		if runs != nil {
			slices.Sort(runs)
			c.Types, c.runs[o.Type.Name] = append(c.Types, o), runs
		}
	}
	for kind := range some {
		for _, name := range alike[kind] {
			c.Images = append(c.Images, f.domain.image(name))
		}
	}
	slices.SortFunc(c.Images, func(a, b Image) int { return strings.Compare(a.Name, b.Name) })
	return c
}

// kindOf names what a decision looks at in an image: two of one kind are decided
// about alike on every type.
func (f facts) kindOf(img Image) string {
	var kind strings.Builder
	for _, arch := range []instancetype.Arch{instancetype.X86_64, instancetype.ARM64} {
		fmt.Fprint(&kind, img.CheckArchitecture(string(arch)) == nil, " ")
	}
	rules := f.rules()
	for _, p := range append(rules.groups, groupRule{Policy: rules.domain}) {
		fmt.Fprint(&kind, p.refusals(f.prices, wish{image: img.Name}) == nil, " ")
	}
	return kind.String()
}

// facts reads what a decision about a user depends on, but for projects.
func (d *Domain) facts(ctx context.Context, op, user string) (facts, error) {
	rec, err := d.load(ctx, op)
	if err != nil {
		return facts{}, err
	}
	f := facts{domain: rec, prices: prices{d.client.catalog, rec.Region}}
	if CheckName("user", user) == nil {
		u, err := d.users.Get(ctx, user)
		switch {
		case err == nil:
			f.user = &u
		case !errors.Is(err, store.ErrNotFound):
			return facts{}, fail(ctx, op, d.name+"/"+user, err)
		}
	}
	return f, nil
}
