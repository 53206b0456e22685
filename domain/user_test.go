package domain_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestOnboard holds what two users bring about, security groups with exactly
// their rules included, and what callers are told meanwhile.
func TestOnboard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		var told []string
		c, err := domain.NewFromConfig(w.Config(), domain.Config{
			Store: w.store, Progress: func(p domain.Progress) {
				p.Waited = 0 // how often EFS is looked at is its client's concern
				told = append(told, p.String())
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		d, err := c.Create(t.Context(), w.request())
		if err != nil {
			t.Fatal(err)
		}
		alice := onboard(t, d, "alice", "staff", "lab")
		bob := onboard(t, d, "bob")
		if alice.UID != 200001 || alice.GID != 200001 || bob.UID != 200002 {
			t.Errorf("uids %d:%d and %d, want 200001:200001 and 200002", alice.UID, alice.GID, bob.UID)
		}
		if want := []string{"lab", "staff"}; !slices.Equal(alice.Groups, want) {
			t.Errorf("groups %v, want %v", alice.Groups, want)
		}
		if alice.Home.AccessPoint == bob.Home.AccessPoint || alice.Home.FileSystem != bob.Home.FileSystem || alice.Home.Path != "/200001" {
			t.Errorf("homes %+v and %+v", alice.Home, bob.Home)
		}
		about, err := d.Describe(t.Context())
		if err != nil || about.FileSystem != alice.Home.FileSystem || about.FileSystemSecurityGroup == "" {
			t.Errorf("%+v, %v", about, err)
		}
		golden(t, "onboard.golden", w.inventory(t.Context()))
		told = slices.Compact(told) // looks at one thing in one state
		golden(t, "progress.golden", strings.Join(told, "\n")+"\n")

		before := len(w.mutations())
		if again := onboard(t, d, "alice", "staff", "lab"); !cmp.Equal(again, alice) {
			t.Errorf("onboarded again:\n%s", cmp.Diff(alice, again))
		}
		for _, action := range w.mutations()[before:] {
			if action != "elasticfilesystem:CreateAccessPoint" { // asks by token whether there is one
				t.Errorf("onboarding again called %s", action)
			}
		}
		golden(t, "onboard.golden", w.inventory(t.Context()))
	})
}

func TestOnboardBadInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		d := w.create(t.Context())
		before := len(w.Calls())
		var text strings.Builder
		for _, q := range []domain.OnboardRequest{
			{},
			{User: "al/ice"},
			{User: "Alice Smith"},
			{User: "alice\n"},
			{User: "a-person-with-21-char"},
			{User: "alice", Groups: []string{"", "staff", "staff", "The Lab"}},
		} {
			_, err := d.Onboard(t.Context(), q)
			is(t, err, domain.ErrInvalid)
			fmt.Fprintf(&text, "%v\n\n", err)
		}
		golden(t, "onboard-bad.golden", text.String())
		if n := len(w.Calls()) - before; n != 0 {
			t.Errorf("refused requests made %d calls", n)
		}
		for u, err := range d.Users(t.Context()) {
			t.Errorf("a refused request left a record: %v %v", u, err)
		}
		_, err := w.client().Get(t.Context(), "art")
		is(t, err, domain.ErrNotFound)
	})
}

// TestOffboardMeetsOnboard offboards a user while the file system is made.
func TestOffboardMeetsOnboard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		d := w.create(t.Context())
		done := make(chan error)
		go func() {
			_, err := d.Onboard(t.Context(), domain.OnboardRequest{User: "alice"})
			done <- err
		}()
		time.Sleep(20 * time.Second)
		if err := d.Offboard(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		is(t, <-done, domain.ErrState)
		if u, err := d.User(t.Context(), "alice"); err != nil || u.Offboarded.IsZero() {
			t.Errorf("%+v, %v, want offboarded", u, err)
		}
		onboard(t, d, "alice")
	})
}

// TestReturnOfAnOffboardedUser interrupts the second onboarding of a user.
func TestReturnOfAnOffboardedUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		d := w.create(t.Context())
		w.push("rocker/rstudio:4.5")
		attach(t, d, "rstudio", "rocker/rstudio:4.5")
		onboard(t, d, "alice")
		if err := d.Offboard(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := d.Onboard(ctx, domain.OnboardRequest{User: "alice"}); err != context.DeadlineExceeded {
			t.Fatal(err)
		}
		_, err := d.Authorize(t.Context(), domain.Ask{User: "alice", InstanceType: "t3.medium"})
		is(t, err, domain.ErrState)
		onboard(t, d, "alice")
		if _, err := d.Authorize(t.Context(), domain.Ask{User: "alice", InstanceType: "t3.medium"}); err != nil {
			t.Error(err)
		}
	})
}

// TestFileSystemGone deletes a file system under a domain: its users are not
// given an empty one without a word.
func TestFileSystemGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		alice := onboard(t, w.create(ctx), "alice")
		fs, err := efs.NewFromConfig(w.Config(), efs.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := fs.DeleteMountTargets(ctx, alice.Home.FileSystem); err != nil {
			t.Fatal(err)
		}
		if err := fs.DeleteAccessPoint(ctx, alice.Home.AccessPoint); err != nil {
			t.Fatal(err)
		}
		if err := fs.DeleteFileSystem(ctx, alice.Home.FileSystem); err != nil {
			t.Fatal(err)
		}
		_, err = w.client().Create(ctx, w.request())
		is(t, err, domain.ErrState)
		d, err := w.client().Get(ctx, "research")
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Onboard(ctx, domain.OnboardRequest{User: "bob"})
		is(t, err, domain.ErrState)

		for _, user := range []string{"alice", "bob"} {
			if err := d.Offboard(ctx, user); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.client().Delete(ctx, "research"); err != nil {
			t.Fatal(err)
		}
		back := onboard(t, w.create(ctx), "alice")
		if back.UID != alice.UID || back.Home.FileSystem == alice.Home.FileSystem {
			t.Errorf("came back as %+v, was %+v", back, alice)
		}
	})
}

// TestCreateRepairs removes what a domain needs by hand and creates it again.
func TestCreateRepairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		alice := onboard(t, d, "alice")
		want := w.inventory(ctx)
		client := awsefs.NewFromConfig(w.Config())
		targets, err := client.DescribeMountTargets(ctx, &awsefs.DescribeMountTargetsInput{FileSystemId: aws.String(alice.Home.FileSystem)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.DeleteMountTarget(ctx, &awsefs.DeleteMountTargetInput{MountTargetId: targets.MountTargets[0].MountTargetId}); err != nil {
			t.Fatal(err)
		}
		w.create(ctx)
		if diff := cmp.Diff(want, w.inventory(ctx)); diff != "" {
			t.Errorf("(-before +repaired):\n%s", diff)
		}
	})
}

// What is not there is said in words of this package, not of the store.
func TestStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		_, userErr := d.User(ctx, "zed")
		_, getErr := w.client().Get(ctx, "art")
		for op, err := range map[string]error{
			"offboard": d.Offboard(ctx, "zed"), "user": userErr, "get": getErr, "delete": w.client().Delete(ctx, "art"),
		} {
			is(t, err, domain.ErrNotFound)
			is(t, err, store.ErrNotFound)
			for _, leak := range []string{"record", "domains/", "onboard them"} {
				if strings.Contains(err.Error(), leak) {
					t.Errorf("%s: %q says %q", op, err, leak)
				}
			}
		}
	})
}

func TestUsersAndGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		onboard(t, d, "carol", "lab")
		onboard(t, d, "alice", "lab", "staff")
		onboard(t, d, "bob", "staff")
		if err := d.Offboard(ctx, "carol"); err != nil {
			t.Fatal(err)
		}
		onboard(t, d, "bob", "lab") // sets the groups
		policy := domain.Policy{Types: []string{"t3.*"}}
		if err := d.SetGroupPolicy(ctx, "guests", &policy); err != nil {
			t.Fatal(err)
		}
		var names []string
		for u, err := range d.Users(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, u.Name)
		}
		if want := []string{"alice", "bob", "carol"}; !slices.Equal(names, want) {
			t.Errorf("users %v, want %v", names, want)
		}
		var groups []domain.Group
		for g, err := range d.Groups(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			groups = append(groups, g)
		}
		want := []domain.Group{{Name: "guests", Policy: &policy}, {Name: "lab", Users: []string{"alice", "bob"}}, {Name: "staff", Users: []string{"alice"}}}
		if diff := cmp.Diff(want, groups); diff != "" {
			t.Errorf("groups (-want +got):\n%s", diff)
		}
		for range d.Groups(ctx) {
			break
		}
		for range d.Users(ctx) {
			break
		}
		_, err := d.User(ctx, "dave")
		is(t, err, domain.ErrNotFound)
	})
}
