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

// TestSameStory: two runs make the same calls at the same instants.
func TestSameStory(t *testing.T) {
	t.Parallel()
	var told [2][]fakeaws.Call
	for i := range told {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
			if _, err := w.provision(t.Context(), w.client(efs.Config{})); err != nil {
				t.Fatal(err)
			}
			told[i] = w.Calls()
		})
	}
	if diff := cmp.Diff(told[0], told[1]); diff != "" {
		t.Error(diff)
	}
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
