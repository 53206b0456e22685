package faultlauncher_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/faultlauncher"
	"github.com/atelier-go/atelier/launcher/launchertest"
	"github.com/atelier-go/atelier/launcher/launchertest/behave"
)

// newHost returns a launcher to wrap.
func newHost(t testing.TB) *fakelauncher.Launcher {
	l, err := fakelauncher.New(fakelauncher.Config{
		Images: fakelauncher.Programs(map[string]fakelauncher.Program{"behave": behave.Program}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// wrap returns a launcher with faults.
func wrap(t testing.TB, l launcher.Launcher, seed uint64, faults ...faultlauncher.Fault) *faultlauncher.Launcher {
	t.Helper()
	wrapped, err := faultlauncher.Wrap(l, seed, faults...)
	if err != nil {
		t.Fatal(err)
	}
	return wrapped
}

func workload(id string, command ...string) launcher.Workload {
	return launcher.Workload{
		ID: launcher.ID(id), Owner: "alice", Image: "behave", Command: command,
		Ports: []launcher.Port{{Name: "http", Number: 80}},
	}
}

// A decorator without faults must be as good as what it wraps.
func TestContract(t *testing.T) {
	launchertest.Suite{New: func(t *testing.T) launchertest.Harness {
		return launchertest.Harness{
			Launcher: wrap(t, newHost(t), 1),
			Image:    "behave",
			NoImage:  "absent",
			Dir:      func(name string) string { return name },
		}
	}}.Run(t)
}

func TestWrapInvalid(t *testing.T) {
	_, err := faultlauncher.Wrap(nil, 0,
		faultlauncher.Fault{Op: "lunch"}, faultlauncher.Fault{Rate: 2, Nth: -1}, faultlauncher.Fault{Elements: 1})
	if !errors.Is(err, launcher.ErrInvalid) {
		t.Fatalf("Wrap = %v; want ErrInvalid", err)
	}
	for _, word := range []string{"nil", "lunch", "rate", "nth", "after", "fault 2"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error %q does not name %q", err, word)
		}
	}
}

// calls calls each method once on workload "a" and returns what failed.
func calls(ctx context.Context, l launcher.Launcher) map[faultlauncher.Op]error {
	failed := map[faultlauncher.Op]error{}
	_, failed[faultlauncher.Launch] = l.Launch(ctx, workload("a", "serve", "80"))
	_, failed[faultlauncher.List] = launcher.Get(ctx, l, "a")
	_, failed[faultlauncher.Watch] = launcher.Wait(ctx, l, "a", func(s launcher.Status) bool { return s.Phase == launcher.Running })
	synctest.Wait()
	c, err := l.Dial(ctx, "a", "http")
	if failed[faultlauncher.Dial] = err; err == nil {
		c.Close()
	}
	r, err := l.Logs(ctx, "a", launcher.LogOptions{})
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	failed[faultlauncher.Logs] = err
	_, failed[faultlauncher.Usage] = l.Usage(ctx, "a")
	failed[faultlauncher.Stop] = l.Stop(ctx, "a", launcher.StopOptions{})
	maps.DeleteFunc(failed, func(_ faultlauncher.Op, err error) bool { return err == nil })
	return failed
}

// Each method alone is struck, with the kind asked for, and counted.
func TestFaultOfEachMethod(t *testing.T) {
	for _, op := range []faultlauncher.Op{faultlauncher.Launch, faultlauncher.Stop, faultlauncher.List, faultlauncher.Watch, faultlauncher.Dial, faultlauncher.Logs, faultlauncher.Usage} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/After=%v", op, after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					host := newHost(t)
					if op == faultlauncher.Launch && !after {
						// The other calls need what this one does not launch.
						if _, err := host.Launch(t.Context(), workload("a", "serve", "80")); err != nil {
							t.Fatal(err)
						}
					}
					l := wrap(t, host, 1, faultlauncher.Fault{Op: op, ID: "a", Kind: launcher.ErrThrottled, After: after})
					failed := calls(t.Context(), l)
					if len(failed) != 1 || !errors.Is(failed[op], launcher.ErrThrottled) || !errors.Is(failed[op], faultlauncher.ErrInjected) {
						t.Errorf("failed: %v; want %s alone, throttled, by injection", failed, op)
					}
					if got := l.Injected(); len(got) != 1 || got[op] != 1 {
						t.Errorf("Injected() = %v; want one %s", got, op)
					}
				})
			})
		}
	}
}

func TestFaultBeforeHasNoEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newHost(t)
		l := wrap(t, host, 1, faultlauncher.Fault{Op: faultlauncher.Launch})
		if _, err := l.Launch(t.Context(), workload("a", "wait")); !errors.Is(err, launcher.ErrUnavailable) {
			t.Errorf("Launch = %v; want ErrUnavailable", err)
		}
		if s, err := launcher.Get(t.Context(), host, "a"); !errors.Is(err, launcher.ErrNotFound) {
			t.Errorf("a Launch that failed before its effect left %+v, %v", s, err)
		}
	})
}

func TestFaultAfterLosesTheReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newHost(t)
		l := wrap(t, host, 1, faultlauncher.Fault{Nth: 1, After: true})
		if _, err := l.Launch(t.Context(), workload("a", "wait")); !errors.Is(err, launcher.ErrUnavailable) {
			t.Errorf("Launch = %v; want ErrUnavailable", err)
		}
		if s, err := launcher.Get(t.Context(), host, "a"); err != nil || s.Phase != launcher.Running {
			t.Errorf("a Launch whose reply was lost left %+v, %v; want it running", s, err)
		}
		if err := l.Stop(t.Context(), "a", launcher.StopOptions{}); !errors.Is(err, launcher.ErrUnavailable) {
			t.Errorf("Stop = %v; want ErrUnavailable", err)
		}
		if s, err := launcher.Get(t.Context(), host, "a"); err != nil || s.Phase != launcher.Exited {
			t.Errorf("a Stop whose reply was lost left %+v, %v; want it exited", s, err)
		}
		// What fails by itself fails with its own error.
		if err := l.Stop(t.Context(), "b", launcher.StopOptions{}); !errors.Is(err, launcher.ErrNotFound) {
			t.Errorf("Stop of an unknown ID = %v; want ErrNotFound", err)
		}
	})
}

func TestFaultNth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := wrap(t, newHost(t), 1, faultlauncher.Fault{Op: faultlauncher.Stop, Nth: 2})
		for _, id := range []string{"a", "b"} {
			if _, err := l.Launch(t.Context(), workload(id, "wait")); err != nil {
				t.Fatal(err)
			}
		}
		var got []bool
		for range 3 {
			for _, id := range []launcher.ID{"a", "b"} {
				got = append(got, l.Stop(t.Context(), id, launcher.StopOptions{}) != nil)
			}
		}
		if want := []bool{false, false, true, true, false, false}; !slices.Equal(got, want) {
			t.Errorf("struck: %v; want the second call for each workload: %v", got, want)
		}
	})
}

func TestFaultOfOneWorkload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := wrap(t, newHost(t), 1, faultlauncher.Fault{ID: "b"})
		failed := calls(t.Context(), l) // on a
		for what, f := range map[string]launcher.Filter{
			"all": {}, "a and b": {IDs: []launcher.ID{"a", "b"}}, "alice's": {Owner: "alice"},
		} {
			for _, err := range l.List(t.Context(), f) {
				if err != nil {
					t.Errorf("List of %s = %v; want only what concerns b alone to fail", what, err)
				}
			}
		}
		if len(failed) > 0 || len(l.Injected()) > 0 {
			t.Errorf("a fault of b strikes calls for a: %v", failed)
		}
		if _, err := launcher.Get(t.Context(), l, "b"); !errors.Is(err, faultlauncher.ErrInjected) {
			t.Errorf("Get of b = %v; want the fault", err)
		}
	})
}

// A seed must strike the same calls however they are scheduled, another seed
// others, and about as many as the rate says.
func TestFaultRate(t *testing.T) {
	struck := func(seed uint64, parallel bool) string {
		var out string
		synctest.Test(t, func(t *testing.T) {
			l := wrap(t, newHost(t), seed, faultlauncher.Fault{Op: faultlauncher.Stop, Rate: 0.25})
			marks := make([]byte, 1000)
			var all sync.WaitGroup
			for id := range 100 {
				run := func() {
					for n := range 10 {
						marks[id*10+n] = '.'
						if errors.Is(l.Stop(t.Context(), launcher.ID(fmt.Sprint(id)), launcher.StopOptions{}), faultlauncher.ErrInjected) {
							marks[id*10+n] = 'x'
						}
					}
				}
				if parallel {
					all.Go(run)
				} else {
					run()
				}
			}
			all.Wait()
			out = string(marks)
			if n := bytes.Count(marks, []byte("x")); n < 200 || n > 300 || n != l.Injected()[faultlauncher.Stop] {
				t.Errorf("%d of 1000 calls struck, %v counted; want about 250", n, l.Injected())
			}
		})
		return out
	}
	first := struck(7, false)
	if uniform := strings.Count(first, "xxxxxxxxxx"); uniform > 5 {
		t.Errorf("for %d of 100 workloads every call is struck; want each call decided for itself", uniform)
	}
	if struck(7, true) != first {
		t.Error("the same seed strikes other calls when they are concurrent")
	}
	if struck(8, false) == first {
		t.Error("another seed strikes the same calls")
	}
}

func TestBrokenStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newHost(t)
		for _, id := range []string{"a", "b", "c"} {
			if _, err := host.Launch(t.Context(), workload(id, "spam", "1000")); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		l := wrap(t, host, 1, faultlauncher.Fault{Nth: 1, After: true, Elements: 2, Bytes: 700})
		for what, seq := range map[string]func(func(launcher.Status, error) bool){
			"List": l.List(t.Context(), launcher.Filter{}), "Watch": l.Watch(t.Context(), launcher.Filter{}),
		} {
			var got []launcher.ID
			var last error
			for s, err := range seq {
				if last = err; err == nil {
					got = append(got, s.ID)
				}
			}
			if !slices.Equal(got, []launcher.ID{"a", "b"}) || !errors.Is(last, faultlauncher.ErrInjected) {
				t.Errorf("%s yields %v, then %v; want a, b and the fault", what, got, last)
			}
		}
		r, err := l.Logs(t.Context(), "a", launcher.LogOptions{})
		if err != nil {
			t.Fatal(err)
		}
		first, err := io.ReadAll(r)
		if len(first) != 700 || !errors.Is(err, faultlauncher.ErrInjected) {
			t.Errorf("broken logs give %d bytes, %v; want 700 and the fault", len(first), err)
		}
		if _, again := r.Read(make([]byte, 1)); again != err {
			t.Errorf("read again, broken logs give %v; want the same fault", again)
		}
		r, err = l.Logs(t.Context(), "a", launcher.LogOptions{Offset: int64(len(first))})
		if err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(r)
		if all := slices.Concat(first, rest); !bytes.Equal(all, behave.Pattern(1000)) || err != nil {
			t.Errorf("resumed logs make %d bytes, %v; want what was written", len(all), err)
		}
		if got, want := l.Injected(), map[faultlauncher.Op]int{faultlauncher.List: 1, faultlauncher.Watch: 1, faultlauncher.Logs: 1}; !maps.Equal(got, want) {
			t.Errorf("Injected() = %v; want %v", got, want)
		}
	})
}
