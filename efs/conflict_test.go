package efs_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/service/efs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestStates: what each life-cycle state of what is found means.
func TestStates(t *testing.T) {
	t.Parallel()
	type changes = api
	for _, test := range []struct {
		name   string
		change func(*changes)
		kind   error
		says   string
	}{
		{"file system failed", func(a *changes) {
			a.fileSystem = func(d *types.FileSystemDescription) { d.LifeCycleState = types.LifeCycleStateError }
		}, efs.ErrState, `state "error"`},
		{"file system deleting", func(a *changes) {
			a.fileSystem = func(d *types.FileSystemDescription) { d.LifeCycleState = types.LifeCycleStateDeleting }
		}, efs.ErrState, `state "deleting"`},
		{"file system updating for ever", func(a *changes) {
			a.fileSystem = func(d *types.FileSystemDescription) { d.LifeCycleState = types.LifeCycleStateUpdating }
		}, efs.ErrState, "still updating"},
		{"file system not encrypted", func(a *changes) {
			a.fileSystem = func(d *types.FileSystemDescription) { d.Encrypted = nil }
		}, efs.ErrConflict, "not encrypted"},
		{"mount target failed", func(a *changes) {
			a.mountTarget = func(d *types.MountTargetDescription) { d.LifeCycleState = types.LifeCycleStateError }
		}, efs.ErrState, `state "error"`},
		{"mount target deleting for ever", func(a *changes) {
			a.mountTarget = func(d *types.MountTargetDescription) { d.LifeCycleState = types.LifeCycleStateDeleting }
		}, efs.ErrState, "still deleting"},
		{"access point failed", func(a *changes) {
			a.accessPoint = func(d *types.AccessPointDescription) { d.LifeCycleState = types.LifeCycleStateError }
		}, efs.ErrState, "has failed"},
		{"access point deleting for ever", func(a *changes) {
			a.accessPoint = func(d *types.AccessPointDescription) { d.LifeCycleState = types.LifeCycleStateDeleting }
		}, efs.ErrState, "still deleting"},
		{"home of another group", func(a *changes) {
			a.accessPoint = func(d *types.AccessPointDescription) {
				if d.PosixUser != nil {
					*d.PosixUser.Gid = 7
				}
			}
		}, efs.ErrConflict, "200001:7"},
		{"home without its tag", func(a *changes) {
			a.accessPoint = func(d *types.AccessPointDescription) { d.Tags = nil }
		}, efs.ErrConflict, "atelier:user"},
	} {
		inBubble(t, test.name, func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
			if _, err := w.provision(t.Context(), w.client(efs.Config{})); err != nil {
				t.Fatal(err)
			}
			changed := api{Client: w.raw()}
			test.change(&changed)
			c, err := efs.New(changed, efs.Config{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.provision(t.Context(), c)
			if !errors.Is(err, test.kind) || !strings.Contains(fmt.Sprint(err), test.says) {
				t.Errorf("got %v\nwant %v, %q", err, test.kind, test.says)
			}
		})
	}
}

// TestConflicts: what exists and differs is left as it is.
func TestConflicts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{})
		c := w.client(efs.Config{})
		p, err := w.provision(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		id, key := p.FileSystem.ID, "12345678-1234-1234-1234-123456789012"
		for _, test := range []struct {
			name string
			call func() error
			says string
		}{
			{"uid of another user", func() error {
				_, err := c.EnsureHome(ctx, efs.HomeSpec{FileSystem: id, User: "mallory", UID: 200001, GID: 200001})
				return err
			}, `uid 200001 is that of user "alice"`},
			{"other gid", func() error {
				_, err := c.EnsureHome(ctx, efs.HomeSpec{FileSystem: id, User: "alice", UID: 200001, GID: 9})
				return err
			}, "200001:9"},
			{"another owner", func() error {
				_, err := c.EnsureHome(ctx, efs.HomeSpec{FileSystem: id, User: "alice", UID: 200001, GID: 200001, Owner: "Name", Tags: map[string]string{"Name": "x"}})
				return err
			}, `is that of Name "home of alice", not "x"`},
			{"shared with another group", func() error {
				_, err := c.EnsureShared(ctx, efs.SharedSpec{FileSystem: id, Name: "genome", GID: 9})
				return err
			}, "group 300001"},
			{"other security group", func() error {
				_, err := c.EnsureMountTargets(ctx, id, w.subnets, []string{w.closed})
				return err
			}, w.closed},
			{"other VPC", func() error {
				_, err := c.EnsureMountTargets(ctx, id, []efs.Subnet{w.other}, []string{w.otherGroup})
				return err
			}, "one VPC"},
			{"other key", func() error {
				_, err := c.EnsureFileSystem(ctx, efs.FileSystemSpec{Token: "research", KMSKeyID: key})
				return err
			}, key},
		} {
			if err := test.call(); !errors.Is(err, efs.ErrConflict) || !strings.Contains(fmt.Sprint(err), test.says) {
				t.Errorf("%s: got %v\nwant a conflict that says %q", test.name, err, test.says)
			}
		}
		// One that says nothing about its owner is taken.
		if _, err := c.EnsureHome(ctx, efs.HomeSpec{FileSystem: id, User: "alice", UID: 200001, GID: 200001, Owner: "owner", Tags: map[string]string{"owner": "x"}}); err != nil {
			t.Error(err)
		}
		p.FileSystem.MountTargets = 2
		w.audit(ctx, p)
	})
}

// TestKey: a key is recognised by its id, its ARN and its alias.
func TestKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		c := w.client(efs.Config{})
		const id = "12345678-1234-1234-1234-123456789012"
		first, err := c.EnsureFileSystem(t.Context(), efs.FileSystemSpec{Token: "k", KMSKeyID: id})
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{id, first.KMSKey, "alias/homes", ""} {
			if again, err := c.EnsureFileSystem(t.Context(), efs.FileSystemSpec{Token: "k", KMSKeyID: key}); err != nil || again.ID != first.ID {
				t.Errorf("key %q: %v", key, err)
			}
		}
	})
}

// TestAdministratorsLifecycleStays also holds that new tags are added.
func TestAdministratorsLifecycleStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		c := w.client(efs.Config{})
		fs, err := c.EnsureFileSystem(t.Context(), efs.FileSystemSpec{Token: "x"})
		if err != nil {
			t.Fatal(err)
		}
		w.putLifecycle(fs.ID, types.LifecyclePolicy{TransitionToIA: types.TransitionToIARulesAfter7Days})
		spec := efs.FileSystemSpec{Token: "x", Name: "new name", Tags: map[string]string{"cost": "42"}}
		if fs, err = c.EnsureFileSystem(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		if got := w.lifecycle(fs.ID); len(got) != 1 || got[0].TransitionToIA != types.TransitionToIARulesAfter7Days {
			t.Errorf("the life cycle was changed to %v", got)
		}
		want := map[string]string{"Name": "new name", "cost": "42"}
		described, err := c.FileSystem(t.Context(), fs.ID)
		if diff := cmp.Diff(want, described.Tags); diff != "" || err != nil {
			t.Errorf("tags %v, %v", diff, err)
		}
		if diff := cmp.Diff(want, fs.Tags); diff != "" {
			t.Errorf("returned tags %v", diff)
		}
	})
}

// TestTwoFileSystems: users and directories of two domains have nothing to do
// with each other, though EFS wants tokens unique in the account.
func TestTwoFileSystems(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		c := w.client(efs.Config{})
		for i, user := range []string{"alice", "bob"} {
			fs, err := c.EnsureFileSystem(t.Context(), efs.FileSystemSpec{Token: fmt.Sprint("domain-", i)})
			if err != nil {
				t.Fatal(err)
			}
			home, err := c.EnsureHome(t.Context(), efs.HomeSpec{FileSystem: fs.ID, User: user, UID: 200001, GID: 200001})
			if err != nil || home.FileSystem != fs.ID {
				t.Errorf("%+v, %v", home, err)
			}
			if _, err := c.EnsureShared(t.Context(), efs.SharedSpec{FileSystem: fs.ID, Name: "data", GID: 9}); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestDenied: permission to create without permission to tag is no permission.
func TestDenied(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"elasticfilesystem:CreateFileSystem", "elasticfilesystem:TagResource", "elasticfilesystem:DescribeMountTargets", "elasticfilesystem:CreateAccessPoint"} {
		inBubble(t, action, func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{Deny: []string{action}})
			_, err := w.provision(t.Context(), w.client(efs.Config{}))
			if !errors.Is(err, efs.ErrDenied) || !strings.Contains(fmt.Sprint(err), action) {
				t.Errorf("got %v", err)
			}
		})
	}
}
