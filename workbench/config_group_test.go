package workbench_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/workbench"
)

// TestForMakesNoMenuOfNobody: the host knows a group by its members, who are those that
// it has accounts of: not who is onboarded by half, or offboarded. That nothing is left to
// choose in it is told all the same.
func TestForMakesNoMenuOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := someDomain(t, few(t), fakeaws.Fault{Action: "elasticfilesystem:CreateAccessPoint", Nth: 1, Status: 400, Code: "ValidationException"})
		ctx := t.Context()
		if err := d.SetGroupPolicy(ctx, "students", &domain.Policy{Types: []string{"t3.*"}}); err != nil {
			t.Fatal(err)
		}
		menus := func(want ...string) {
			t.Helper()
			c, err := minimal().For(ctx, d)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range read(t, mustFiles(t, c), "launcher.ec2.profiles.conf") {
				got = append(got, p.name)
			}
			if !slices.Equal(got, want) {
				t.Errorf("menus of %q, want %q", got, want)
			}
		}
		menus("*")
		if _, err := d.Onboard(ctx, domain.OnboardRequest{User: "ann", Groups: []string{"students"}}); !errors.Is(err, domain.ErrInvalid) {
			t.Fatalf("%v, want an onboarding that ends half-way", err)
		}
		menus("*")
		if _, err := d.Onboard(ctx, domain.OnboardRequest{User: "ann", Groups: []string{"students"}}); err != nil {
			t.Fatal(err)
		}
		menus("*", "@group-students")
		var told []string
		for a, err := range workbench.Accounts(ctx, d) {
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range a.Groups {
				told = append(told, g.Name)
			}
		}
		if !slices.Contains(told, "group-students") {
			t.Errorf("the host is told of %q alone", told)
		}
		if err := d.Offboard(ctx, "ann"); err != nil {
			t.Fatal(err)
		}
		menus("*")
	})
}

// TestForSpendsNoMenuOnNestedGroups: who is in a group that offers all that another of
// theirs does sees that one's, whatever the two are called.
func TestForSpendsNoMenuOnNestedGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := someDomain(t, few(t))
		ctx := t.Context()
		for _, groups := range [][]string{{"a", "b"}, {"d", "c"}} {
			if _, err := d.Onboard(ctx, domain.OnboardRequest{User: "ann", Groups: groups}); err != nil {
				t.Fatal(err)
			}
			for n, types := range [][]string{{"t3.*"}, {"t3.*", "r5.*"}} {
				if err := d.SetGroupPolicy(ctx, groups[n], &domain.Policy{Types: types}); err != nil {
					t.Fatal(err)
				}
			}
			c, err := minimal().For(ctx, d)
			if err != nil || len(c.Menus) != 3 || c.Menus[2].Group.Domain != groups[1] {
				t.Errorf("%+v, %v; want the last to be that of %s", c.Menus, err, groups[1])
			}
		}
	})
}

// TestForSaysThatMenusAreTooMany: what cannot be published is refused before all else is
// put together, with what to do, and what For lets through can be.
func TestForSaysThatMenusAreTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := someDomain(t, few(t))
		ctx := t.Context()
		for group, types := range map[string]string{"a": "t3.*", "b": "r5.*"} {
			if err := d.SetGroupPolicy(ctx, group, &domain.Policy{Types: []string{types}}); err != nil {
				t.Fatal(err)
			}
		}
		for n := 0; ; n++ {
			c, err := workbench.Configuration{Keys: someKeys(), CallbackAddress: "http://10.0.0.5:8787"}.For(ctx, d)
			if err == nil {
				kept := 0
				for _, f := range mustFiles(t, c) {
					kept += (len(f.Content) + 2) / 3 * 4
				}
				if kept > 65536 || n > 1000 {
					t.Fatalf("%d users: %d bytes are let through", n, kept)
				}
				for m := range 20 {
					q := domain.OnboardRequest{User: fmt.Sprintf("u%d-%d", n, m), Groups: []string{"a", "b"}}
					if _, err := d.Onboard(ctx, q); err != nil {
						t.Fatal(err)
					}
				}
				continue
			}
			for _, want := range []string{"domain research", "one secret holds 65536", "launcher.ec2.profiles.conf", fmt.Sprintf("%d menus are of single users", 20*n), "put those who are in the same ones into one group"} {
				if !errors.Is(err, domain.ErrState) || !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %q", err, want)
				}
			}
			break
		}
		for u, err := range d.Users(ctx) { // as it says
			if err == nil {
				_, err = d.Onboard(ctx, domain.OnboardRequest{User: u.Name, Groups: []string{"both"}})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := d.SetGroupPolicy(ctx, "both", &domain.Policy{Types: []string{"t3.*", "r5.*"}}); err != nil {
			t.Fatal(err)
		}
		c, err := minimal().For(ctx, d)
		if err != nil || len(c.Menus) != 2 || c.Menus[1].Group.Domain != "both" {
			t.Errorf("%+v, %v", c.Menus, err)
		}
	})
}
