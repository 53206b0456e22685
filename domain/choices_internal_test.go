package domain

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/atelier-go/atelier/instancetype"
)

// TestChoicesAgainstAuthorize: whatever the policies, groups, images and the user, an
// image and a type can be chosen together if and only if they are granted.
func TestChoicesAgainstAuthorize(t *testing.T) {
	catalog := worldCatalog(t)
	r := rand.New(rand.NewPCG(7, 8))
	pairs, some, alone := 0, 0, 0
	for n := range 5_000 {
		f := randomFacts(r, catalog)
		for _, name := range []string{"absent", "another"} { // some policies list the one, none the other
			f.domain.Images[name] = testImage(name, amd64, arm64)
		}
		var wrong problems
		if f.checkMember(Ask{User: "alice"}, &wrong); wrong != nil {
			if _, refused := decide(f, Ask{User: "alice", Image: "both", InstanceType: "t3.large"}); len(refused) < len(wrong) {
				t.Fatalf("user %+v: has no choices for %v, and is refused for %v", f.user, wrong, refused)
			}
			continue
		}
		c := f.choices()
		describe := func() string {
			return fmt.Sprintf("%d: user %+v\ndomain policy %+v\ngroup policies %+v\nimages %v", n, f.user, f.domain.Policy, f.domain.Groups, c.Images)
		}
		var images []string
		var types []string
		for i, typ := range worldTypes {
			offer := instancetype.Offer{Type: typ, Price: instancetype.Price{Type: typ.Name, Region: "us-east-1", PerHour: worldPrices[i]}, Priced: worldPrices[i] != 0}
			for name, img := range f.domain.Images {
				_, wrong := decide(f, Ask{User: "alice", Image: name, InstanceType: typ.Name})
				if got := c.Runs(img, offer); got != (wrong == nil) {
					t.Fatalf("%s on %s can be chosen: %v; it is refused for %v\n%s", name, typ.Name, got, wrong, describe())
				}
				if wrong != nil {
					continue
				}
				pairs++
				images, types = append(images, name), append(types, typ.Name)
				at := slices.IndexFunc(c.Images, func(i Image) bool { return i.Name == name })
				if at < 0 || c.Images[at].Default != (name == f.domain.DefaultImage) || c.Images[at].Reference != img.Reference {
					t.Fatalf("%s is among the images as %d, the default is %s\n%s", name, at, f.domain.DefaultImage, describe())
				}
				if !slices.ContainsFunc(c.Types, func(o instancetype.Offer) bool {
					return o.Type.Name == typ.Name && o.Priced == offer.Priced && o.Price.PerHour == worldPrices[i]
				}) {
					t.Fatalf("%s is not among the types, as %+v\n%s", typ.Name, offer, describe())
				}
			}
		}
		slices.Sort(images)
		slices.Sort(types)
		if a, b := len(slices.Compact(images)), len(slices.Compact(types)); len(c.Images) != a || len(c.Types) != b {
			t.Fatalf("%d images and %d types are granted, %d and %d can be chosen\n%s", a, b, len(c.Images), len(c.Types), describe())
		}
		if !slices.IsSortedFunc(c.Images, func(a, b Image) int { return cmp.Compare(a.Name, b.Name) }) ||
			!slices.IsSortedFunc(c.Types, func(a, b instancetype.Offer) int {
				if a.Priced != b.Priced {
					return map[bool]int{true: -1, false: 1}[a.Priced]
				}
				return cmp.Compare(a.Price.PerHour, b.Price.PerHour)
			}) {
			t.Fatalf("out of order: %v\n%s", c.Types, describe())
		}
		some += min(len(c.Types), 1)
		for _, img := range c.Images {
			for _, o := range c.Types {
				if !c.Runs(img, o) {
					alone++
				}
			}
		}
	}
	if pairs < 5000 || some < 1000 || alone < 1000 {
		t.Errorf("%d pairs, %d users with any, %d pairs that do not go together: not varied enough", pairs, some, alone)
	}
}

// Choices of every type that the catalog has, of a domain with many images and of a
// user with several groups.
func BenchmarkChoices(b *testing.B) {
	f := facts{prices: prices{instancetype.Embedded(), "us-east-1"}, user: testUser("alice", 200001, "one", "two", "three")}
	f.domain = record{Name: "research", Region: "us-east-1", Images: map[string]Image{}, Groups: map[string]Policy{
		"one": {Types: []string{"t3.*"}}, "two": {Types: []string{"m5.*", "r5.*"}}, "three": {MaxPricePerHour: 2 * dollar},
	}}
	for n := range 10 {
		name := fmt.Sprint("image-", n)
		f.domain.Images[name] = testImage(name, amd64, arm64)
	}
	for b.Loop() {
		if c := f.choices(); len(c.Types) == 0 {
			b.Fatal("none")
		}
	}
}
