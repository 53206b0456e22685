package efs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/efs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

func TestProvision(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		var seen []efs.Progress
		c := w.client(efs.Config{Progress: func(p efs.Progress) { seen = append(seen, p) }})
		first, err := w.provision(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if len(first.Targets) != 2 || first.Targets[0].Subnet != min(w.subnets[0].ID, w.subnets[1].ID) {
			t.Errorf("targets %+v: want one per zone, in the zone's first subnet", first.Targets)
		}
		fs := first.FileSystem
		if !fs.Encrypted || fs.KMSKey == "" || fs.State != "available" || fs.Name != "research" || fs.Tags["team"] != "r" {
			t.Errorf("file system %+v", fs)
		}
		if got, want := first.Alice, (efs.Home{FileSystem: fs.ID, AccessPoint: first.Alice.AccessPoint, Path: "/200001", UID: 200001, GID: 200001}); got != want {
			t.Errorf("home %+v, want %+v", got, want)
		}
		if first.Project.Path != "/shared/genome" {
			t.Errorf("shared %+v", first.Project)
		}
		// Every kind of resource was waited for, and by its own name.
		waited := map[string]time.Duration{}
		for _, p := range seen {
			prefix, _, _ := strings.Cut(p.Resource, "-")
			if p.State != "" && p.State != "creating" {
				t.Errorf("progress %+v", p)
			}
			waited[prefix] = max(waited[prefix], p.Waited)
		}
		for prefix, least := range map[string]time.Duration{"fs": 7 * time.Second, "fsmt": 60 * time.Second, "fsap": 2 * time.Second} {
			if waited[prefix] < least {
				t.Errorf("%s was waited for %v, want %v", prefix, waited[prefix], least)
			}
		}

		for id, want := range map[string]string{first.Alice.AccessPoint: "200001:200001 0700", first.Project.AccessPoint: "0:300001 2770"} {
			info := w.accessPoint(id).RootDirectory.CreationInfo
			if got := fmt.Sprintf("%d:%d %s", *info.OwnerUid, *info.OwnerGid, *info.Permissions); got != want {
				t.Errorf("the directory of %s will be %s, want %s", id, got, want)
			}
		}

		before, calls := w.audit(t.Context(), first), len(w.Calls())
		second, err := w.provision(t.Context(), w.client(efs.Config{}))
		if err != nil {
			t.Fatal(err)
		}
		second.FileSystem.MountTargets = first.FileSystem.MountTargets // it had none then
		if diff := cmp.Diff(first, second); diff != "" {
			t.Errorf("the second time differs (-first +second):\n%s", diff)
		}
		for _, call := range w.Calls()[calls:] {
			if call.Code == "" && strings.Contains(call.Action, ":Create") {
				t.Errorf("the second time made something: %+v", call)
			}
		}
		if diff := cmp.Diff(before, w.audit(t.Context(), first)); diff != "" {
			t.Error(diff)
		}
	})
}

// Without delays nothing waits, so that examples need no bubble.
func TestProvisionAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		began := time.Now()
		c := w.client(efs.Config{Progress: func(p efs.Progress) { t.Errorf("waited: %+v", p) }})
		p, err := w.provision(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
		w.audit(t.Context(), p)
	})
}

// TestCrash ends the program at every call of the story, before the call took
// effect and after, and lets a second program finish it.
func TestCrash(t *testing.T) {
	t.Parallel()
	cfg := fakeaws.Config{Seed: 7, Delays: fakeaws.Realistic()}
	var calls []fakeaws.Call
	var want string
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cfg)
		p, err := w.provision(t.Context(), w.client(efs.Config{}))
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range w.Calls() {
			if strings.HasPrefix(call.Action, "elasticfilesystem:") {
				calls = append(calls, call)
			}
		}
		want = w.audit(t.Context(), p)
	})
	if len(calls) < 15 {
		t.Fatalf("the story has %d calls, which is too few to be it", len(calls))
	}
	for _, call := range calls {
		for _, after := range []bool{false, true} {
			name := fmt.Sprintf("%s/%s/%d/after=%v", call.Action, call.Subject, call.Nth, after)
			inBubble(t, name, func(t *testing.T) {
				cfg := cfg
				cfg.Faults = []fakeaws.Fault{{Action: call.Action, Subject: call.Subject, Nth: call.Nth, Crash: true, After: after}}
				w := newWorld(t, cfg)
				if _, err := w.provision(t.Context(), w.client(efs.Config{})); !errors.Is(err, fakeaws.ErrCrashed) {
					t.Fatalf("the first program ended with %v", err)
				}
				p, err := w.provision(t.Context(), w.client(efs.Config{}))
				if err != nil {
					t.Fatal(err)
				}
				got := w.audit(t.Context(), p)
				if strings.Count(got, "\n") != strings.Count(want, "\n") {
					t.Errorf("left\n%swant\n%s", got, want)
				}
				if d := w.deletions(); len(d) > 0 {
					t.Errorf("deleted: %v", d)
				}
			})
		}
	}
}

// TestFaults answers many calls with errors that the EFS API reference says
// may be retried, also after the call took effect.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range []fakeaws.Fault{
		{Status: 500, Code: "InternalServerError"},
		{Status: 503, Code: "ServiceUnavailable"},
		{Status: 504, Code: "DependencyTimeout"},
		{Status: 429, Code: "ThrottlingException"},
		{Status: 429, Code: "TooManyRequests"},
	} {
		for _, fault.After = range []bool{false, true} {
			for seed := range uint64(3) {
				inBubble(t, fmt.Sprintf("%s/after=%v/%d", fault.Code, fault.After, seed), func(t *testing.T) {
					fault := fault
					fault.Action, fault.Rate = "elasticfilesystem:*", 0.3
					w := newWorld(t, fakeaws.Config{Seed: seed, Delays: fakeaws.Realistic(), Faults: []fakeaws.Fault{fault}})
					c := w.client(efs.Config{})
					p := again(t, func() (provisioned, error) {
						p, err := w.provision(t.Context(), c)
						if err != nil && !errors.Is(err, efs.ErrThrottled) && !errors.Is(err, efs.ErrUnavailable) {
							t.Fatal(err)
						}
						return p, err
					})
					w.audit(t.Context(), p)
					if w.Injected() == 0 {
						t.Error("no fault was injected")
					}
				})
			}
		}
	}
}

// TestConcurrent lets several programs do the same at once.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		inBubble(t, fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{Seed: seed, Delays: fakeaws.Realistic()})
			var all [5]provisioned
			var wg sync.WaitGroup
			for i := range all {
				wg.Go(func() {
					time.Sleep(time.Duration(i) * 400 * time.Millisecond)
					var err error
					if all[i], err = w.provision(t.Context(), w.client(efs.Config{})); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			w.audit(t.Context(), all[0])
			for _, p := range all[1:] {
				p.FileSystem.MountTargets = all[0].FileSystem.MountTargets
				if diff := cmp.Diff(all[0], p); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// TestCancel ends the context at many moments of the story. The call returns
// at that very moment.
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, time.Second, 5 * time.Second, 20 * time.Second, 60 * time.Second, 100 * time.Second} {
		inBubble(t, after.String(), func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
			ctx, cancel := context.WithTimeout(t.Context(), after)
			defer cancel()
			began := time.Now()
			if _, err := w.provision(ctx, w.client(efs.Config{})); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got %v", err)
			} else if _, ok := errors.AsType[*efs.Error](err); ok {
				t.Errorf("the end of a context is dressed as a failure: %v", err)
			}
			if took := time.Since(began); took != after {
				t.Errorf("returned after %v, not %v", took, after)
			}
			p, err := w.provision(t.Context(), w.client(efs.Config{}))
			if err != nil {
				t.Fatal(err)
			}
			w.audit(t.Context(), p)
		})
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		delays := fakeaws.Realistic()
		delays.MountTarget = time.Hour
		w := newWorld(t, fakeaws.Config{Delays: delays})
		began := time.Now()
		_, err := w.provision(t.Context(), w.client(efs.Config{Timeout: 2 * time.Minute}))
		if !errors.Is(err, efs.ErrState) || !strings.Contains(err.Error(), "still creating after 2m") || !strings.Contains(err.Error(), "fsmt-") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took < 2*time.Minute || took > 150*time.Second {
			t.Errorf("gave up after %v", took)
		}
	})
}

// TestDelete: what is kept, and what each deletion says and does.
func TestDelete(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		c := w.client(efs.Config{})
		p, err := w.provision(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		id := p.FileSystem.ID
		files, err := w.Files(id)
		if err != nil {
			t.Fatal(err)
		}
		if err := files.MkdirAll("/200001", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := files.WriteFile("/200001/thesis", []byte("words"), 0o600); err != nil {
			t.Fatal(err)
		}

		if _, err := c.FileSystem(ctx, id); err != nil {
			t.Error(err)
		}
		if u, err := c.Usage(ctx, id); err != nil || u != (efs.Usage{AccessPoints: 3, Limit: 10_000}) {
			t.Errorf("usage %+v, %v", u, err)
		}
		if d := w.deletions(); len(d) > 0 {
			t.Fatalf("deleted without being asked: %v", d)
		}

		// An access point goes, the files stay, and the next one is another.
		for range 2 {
			if err := c.DeleteAccessPoint(ctx, p.Alice.AccessPoint); err != nil {
				t.Fatal(err)
			}
		}
		home, err := c.EnsureHome(ctx, efs.HomeSpec{FileSystem: id, User: "alice", UID: 200001, GID: 200001})
		if err != nil || home.AccessPoint == p.Alice.AccessPoint || home.Path != p.Alice.Path {
			t.Errorf("home again: %+v, %v", home, err)
		}
		if text, err := files.ReadFile("/200001/thesis"); err != nil || string(text) != "words" {
			t.Errorf("the thesis is %q, %v", text, err)
		}

		if err := c.DeleteFileSystem(ctx, id); !errors.Is(err, efs.ErrState) || !strings.Contains(fmt.Sprint(err), "delete them first") {
			t.Errorf("deleting a file system in use: %v", err)
		}
		for range 2 {
			if err := c.DeleteMountTargets(ctx, id); err != nil {
				t.Fatal(err)
			}
		}
		if fs, err := c.FileSystem(ctx, id); err != nil || fs.MountTargets != 0 {
			t.Errorf("%d mount targets left, %v", fs.MountTargets, err)
		}
		if _, err := files.Stat("/200001/thesis"); err != nil {
			t.Errorf("deleting mount targets deleted files: %v", err)
		}
		for range 2 {
			if err := c.DeleteFileSystem(ctx, id); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.DeleteMountTargets(ctx, id); err != nil {
			t.Error(err)
		}
		if _, err := c.FileSystem(ctx, id); !errors.Is(err, efs.ErrNotFound) {
			t.Errorf("describing what is gone: %v", err)
		}
		if _, err := w.Files(id); err == nil {
			t.Error("the files outlived their file system")
		}
	})
}

// TestOnlyNamedCallsDelete holds every method to its name.
func TestOnlyNamedCallsDelete(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{})
		c := w.client(efs.Config{})
		p, err := w.provision(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		id := p.FileSystem.ID
		home := efs.HomeSpec{FileSystem: id, User: "alice", UID: 200001, GID: 200001}
		stranger := home
		stranger.User = "mallory"
		for range c.AccessPoints(ctx, id) { //nolint:revive // only to make the calls
		}
		for _, call := range []func() error{
			func() error { _, err := w.provision(ctx, c); return err },
			func() error { _, err := c.EnsureHome(ctx, stranger); return err },
			func() error { _, err := c.EnsureMountTargets(ctx, id, w.subnets, []string{w.closed}); return err },
			func() error { _, err := c.EnsureMountTargets(ctx, id, []efs.Subnet{w.other}, w.groups); return err },
			func() error { _, err := c.Usage(ctx, id); return err },
			func() error { _, err := c.FileSystem(ctx, id); return err },
		} {
			call() //nolint:errcheck // some fail; none deletes
		}
		if d := w.deletions(); len(d) > 0 {
			t.Errorf("deleted: %v", d)
		}
		for _, step := range []struct {
			action string
			call   func() error
		}{
			{"elasticfilesystem:DeleteAccessPoint", func() error { return c.DeleteAccessPoint(ctx, p.Bob.AccessPoint) }},
			{"elasticfilesystem:DeleteMountTarget", func() error { return c.DeleteMountTargets(ctx, id) }},
			{"elasticfilesystem:DeleteFileSystem", func() error { return c.DeleteFileSystem(ctx, id) }},
		} {
			before := len(w.deletions())
			if err := step.call(); err != nil {
				t.Error(err)
			}
			made := w.deletions()[before:]
			if len(made) == 0 {
				t.Errorf("no %s", step.action)
			}
			for _, action := range made {
				if action != step.action {
					t.Errorf("%s, want %s alone", action, step.action)
				}
			}
		}
	})
}

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

// TestFull fills a file system with access points.
func TestFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{})
		c := w.client(efs.Config{})
		fs, err := c.EnsureFileSystem(ctx, efs.FileSystemSpec{Token: "full"})
		if err != nil {
			t.Fatal(err)
		}
		w.fill(fs.ID, efs.MaxAccessPoints-1)
		spec := efs.HomeSpec{FileSystem: fs.ID, User: "last", UID: 200001, GID: 200001}
		if _, err := c.EnsureHome(ctx, spec); err != nil {
			t.Fatal(err)
		}
		calls := len(w.Calls())
		if u, err := c.Usage(ctx, fs.ID); err != nil || u.AccessPoints != u.Limit {
			t.Errorf("usage %+v, %v", u, err)
		}
		if pages := len(w.Calls()) - calls; pages != 10 {
			t.Errorf("%d pages, want 10", pages)
		}
		ids := map[string]bool{}
		for p, err := range c.AccessPoints(ctx, fs.ID) {
			if err != nil {
				t.Fatal(err)
			}
			ids[p.ID] = true
		}
		if len(ids) != efs.MaxAccessPoints {
			t.Errorf("listed %d different access points", len(ids))
		}
		calls = len(w.Calls())
		for range c.AccessPoints(ctx, fs.ID) {
			break
		}
		if pages := len(w.Calls()) - calls; pages != 1 {
			t.Errorf("a list left at once fetched %d pages", pages)
		}
		if _, err := c.EnsureHome(ctx, spec); err != nil {
			t.Errorf("a home that exists, on a full file system: %v", err)
		}
		spec.User, spec.UID = "toolate", 200002
		_, err = c.EnsureHome(ctx, spec)
		if _, modelled := errors.AsType[*types.AccessPointLimitExceeded](err); !errors.Is(err, efs.ErrQuota) || !modelled ||
			!strings.Contains(err.Error(), "10000 unless AWS raised the quota") {
			t.Errorf("got %v", err)
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

// TestListFails: an error is the last that a list yields.
func TestListFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		var errs []error
		for p, err := range w.client(efs.Config{}).AccessPoints(t.Context(), "fs-0123456789abcdef0") {
			if err == nil {
				t.Errorf("yielded %+v", p)
			}
			errs = append(errs, err)
		}
		if len(errs) != 1 || !errors.Is(errs[0], efs.ErrNotFound) {
			t.Errorf("got %v", errs)
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
