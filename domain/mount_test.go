package domain_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestMountsInPolicies: a domain says what mounts are, groups select from them.
func TestMountsInPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		w.push("rocker/rstudio:4.5")
		attach(t, d, "rstudio", "rocker/rstudio:4.5")
		alice := onboard(t, d, "alice", "lab")
		const other = "/efs/fs-0000000000000abc0.fsap-0000000000000abc0"
		for _, source := range []string{
			"", "data", "/", "/srv/../etc", "/srv/", "/efs", "/efs/fs-1", "/efs/fs-0000000000000abc0.fsap-0000000000000abc0/below", "/srv/a\nb",
		} {
			is(t, d.SetPolicy(ctx, domain.Policy{Mounts: []domain.Mount{{Name: "data", Source: source}}}), domain.ErrInvalid)
		}
		is(t, d.SetPolicy(ctx, domain.Policy{Mounts: []domain.Mount{{Name: "a/b", Source: other}}}), domain.ErrInvalid)
		is(t, d.SetPolicy(ctx, domain.Policy{Mounts: []domain.Mount{{Name: "data", Source: other}, {Name: "data", Source: "/srv"}}}), domain.ErrInvalid)
		is(t, d.SetGroupPolicy(ctx, "lab", &domain.Policy{Mounts: []domain.Mount{{Name: "data", Source: other}}}), domain.ErrInvalid)
		is(t, d.SetGroupPolicy(ctx, "lab", &domain.Policy{Mounts: []domain.Mount{{Name: "data", ReadOnly: true}}}), domain.ErrInvalid)

		asks := func(names ...string) ([]domain.Mount, error) {
			g, err := d.Authorize(ctx, domain.Ask{User: "alice", InstanceType: "t3.medium", Mounts: names})
			return g.Mounts, err
		}
		_, err := asks("data")
		is(t, err, domain.ErrNotAllowed)
		if !strings.Contains(err.Error(), "Policy.Mounts") {
			t.Errorf("%q does not say what to change", err)
		}
		data, tools := domain.Mount{Name: "data", Source: other, ReadOnly: true}, domain.Mount{Name: "tools", Source: "/srv/tools"}
		home := domain.Mount{Name: "bobs", Source: "/efs/" + alice.Home.FileSystem + "." + alice.Home.AccessPoint}
		if err := d.SetPolicy(ctx, domain.Policy{Mounts: []domain.Mount{tools, home, data}}); err != nil {
			t.Fatal(err)
		}
		if got, err := asks("tools", "data"); err != nil || !slices.Equal(got, []domain.Mount{tools, data}) {
			t.Errorf("%v, %v", got, err)
		}
		_, err = asks("bobs")
		is(t, err, domain.ErrNotAllowed)
		_, err = asks("absent")
		is(t, err, domain.ErrNotAllowed)
		_, err = asks("data", "data")
		is(t, err, domain.ErrInvalid)
		if err := d.SetGroupPolicy(ctx, "lab", &domain.Policy{Mounts: []domain.Mount{{Name: "data"}, {Name: "absent"}}}); err != nil {
			t.Fatal(err)
		}
		if got, err := asks("data"); err != nil || !slices.Equal(got, []domain.Mount{data}) {
			t.Errorf("%v, %v", got, err)
		}
		_, err = asks("tools")
		is(t, err, domain.ErrNotAllowed)
		if !strings.Contains(err.Error(), "policy of group lab") {
			t.Errorf("%q does not say whose policy", err)
		}
		_, err = asks("absent") // a group never adds
		is(t, err, domain.ErrNotAllowed)

		// A resumed session keeps its mounts, as they are then.
		g, err := d.Authorize(ctx, domain.Ask{User: "alice", InstanceType: "t3.medium", Mounts: []string{"data"}})
		if err != nil {
			t.Fatal(err)
		}
		data.Source = "/srv/data"
		if err := d.SetPolicy(ctx, domain.Policy{Mounts: []domain.Mount{data}}); err != nil {
			t.Fatal(err)
		}
		again, err := d.Authorize(ctx, domain.Ask{User: "alice", Resume: &g})
		if err != nil || !slices.Equal(again.Mounts, []domain.Mount{data}) {
			t.Errorf("%v, %v", again.Mounts, err)
		}
		if err := d.SetPolicy(ctx, domain.Policy{}); err != nil {
			t.Fatal(err)
		}
		_, err = d.Authorize(ctx, domain.Ask{User: "alice", Resume: &g})
		is(t, err, domain.ErrNotAllowed)
	})
}
