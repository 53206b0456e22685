package domain_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// reads counts what is asked of a store.
type reads struct {
	store.Store
	gets atomic.Int64
}

func (s *reads) Get(ctx context.Context, collection, id string) (store.Record, error) {
	s.gets.Add(1)
	return s.Store.Get(ctx, collection, id)
}

// A menu is for those who are users, and costs two reads however long it is.
func TestChoices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		counted := &reads{Store: w.store}
		w.store = counted
		d := w.create(t.Context())
		onboard(t, d, "alice", "staff")
		onboard(t, d, "bob")
		onboard(t, d, "carol")
		if c, err := d.Choices(t.Context(), "alice"); err != nil || len(c.Images) != 0 || len(c.Types) != 0 {
			t.Errorf("without an image: %+v, %v", c, err)
		}
		for _, name := range []string{"arm", "rstudio", "secret"} {
			img := fakeaws.Image{}
			if name == "arm" {
				img.Platforms = []string{"linux/arm64"}
			}
			if _, err := w.PushImage("registry.example.com/"+name+":1", img); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Attach(t.Context(), domain.AttachRequest{Name: name, Reference: "registry.example.com/" + name + ":1", Default: name == "rstudio"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.SetPolicy(t.Context(), domain.Policy{Images: []string{"arm", "rstudio"}, Types: []string{"t3.medium", "m5.large", "t4g.small"}, Sessions: 1}); err != nil {
			t.Fatal(err)
		}
		before := counted.gets.Load()
		calls := len(w.Calls())
		c, err := d.Choices(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		if n := counted.gets.Load() - before; n != 2 || len(w.Calls()) != calls {
			t.Errorf("it took %d reads and %d calls of AWS, want 2 and none", n, len(w.Calls())-calls)
		}
		menu := ""
		for _, img := range c.Images {
			for _, o := range c.Types {
				if c.Runs(img, o) {
					menu += fmt.Sprintf("%s (default %v) on %s at %v; ", img.Name, img.Default, o.Type.Name, o.Price.PerHour)
				}
			}
		}
		const want = "arm (default false) on t4g.small at $0.0168; rstudio (default true) on t3.medium at $0.0416; rstudio (default true) on m5.large at $0.096; "
		if menu != want || len(c.Images) != 2 || len(c.Types) != 3 {
			t.Errorf("the menu is\n%s\nwant\n%s", menu, want)
		}
		if c.Runs(domain.Image{Name: "secret"}, c.Types[0]) || (domain.Choices{}).Runs(c.Images[0], c.Types[0]) {
			t.Error("what is not in the menu can be chosen")
		}

		if err := d.Offboard(t.Context(), "carol"); err != nil {
			t.Fatal(err)
		}
		for user, kind := range map[string]error{"carol": domain.ErrNotAllowed, "nobody": domain.ErrNotFound, "No Name": domain.ErrInvalid} {
			c, err := d.Choices(t.Context(), user)
			_, refused := d.Authorize(t.Context(), domain.Ask{User: user, Image: "rstudio", InstanceType: "t3.medium"})
			if !errors.Is(err, kind) || !errors.Is(refused, kind) || len(c.Types) != 0 {
				t.Errorf("%q: %v; Authorize says %v", user, err, refused)
			}
		}
		anybody, err := d.Choices(t.Context(), "")
		if err != nil || len(anybody.Images) == 0 {
			t.Errorf("what the domain allows: %+v, %v", anybody, err)
		}
		for _, img := range anybody.Images {
			for _, o := range anybody.Types { // bob is in no group
				_, refused := d.Authorize(t.Context(), domain.Ask{User: "bob", Image: img.Name, InstanceType: o.Type.Name})
				if anybody.Runs(img, o) != (refused == nil) {
					t.Errorf("%s on %s: %v; Authorize says %v", img.Name, o.Type.Name, anybody.Runs(img, o), refused)
				}
			}
		}
		if err := d.SetPolicy(t.Context(), domain.Policy{Images: []string{"arm"}, Types: []string{"t3.*"}}); err != nil {
			t.Fatal(err)
		}
		if c, err := d.Choices(t.Context(), "bob"); err != nil || len(c.Images) != 0 || len(c.Types) != 0 {
			t.Errorf("of what does not go together: %+v, %v", c, err)
		}
	})
}
