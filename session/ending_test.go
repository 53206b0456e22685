package session_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// A container that does not start is stopped at the deadline, and the failure
// says what the launcher was at.
func TestStartingDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOn(t, fakelauncher.Config{Delays: fakelauncher.Delays{Start: time.Hour}})
		m, _ := w.run(w.guard, session.Config{Deadlines: session.Deadlines{Starting: 5 * time.Minute}})
		begun := time.Now()
		_, err := m.Start(t.Context(), request("s1"))
		check(t, err)
		s, err := m.Wait(t.Context(), "s1", session.Running)
		fails(t, err, session.ErrState, "5m0s", "start another session")
		if took := time.Since(begun); took < 5*time.Minute || took > 5*time.Minute+2*time.Second || s.Reason != session.ErrDeadline {
			t.Errorf("failed after %v: %+v", took, s)
		}
		synctest.Wait()
		if got := w.live(); len(got) != 0 {
			t.Errorf("%v live after the deadline", got)
		}
	})
}

// Suspending and stopping a program that does not listen ends with its being
// killed by the launcher, within the kind's grace.
func TestStubbornProgram(t *testing.T) {
	for _, state := range []session.State{session.Suspended, session.Stopped} {
		inBubble(t, string(state), func(t *testing.T) {
			w := newWorld(t)
			m := w.manager()
			q := request("s1")
			q.Command = strings.Fields("ignore SIGTERM ; wait")
			started(t, m, q)
			begun := time.Now()
			var err error
			if state == session.Suspended {
				_, err = m.Suspend(t.Context(), "s1", session.Order{})
			} else {
				_, err = m.Stop(t.Context(), "s1", session.Order{})
			}
			check(t, err)
			s, err := m.Wait(t.Context(), "s1", state)
			check(t, err)
			if took := time.Since(begun); took != 30*time.Second || s.ExitCode != 137 {
				t.Errorf("ended after %v with %+v; the kind's grace is 30s", took, s)
			}
		})
	}
}

// Stop of a session that is being suspended does not wait for that.
func TestStopHastensSuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		q := request("s1")
		q.Command = strings.Fields("ignore SIGTERM ; wait")
		q.Kind = session.Kind{Name: "slow", SuspendGrace: time.Hour, StopGrace: 5 * time.Second}
		started(t, m, q)
		_, err := m.Suspend(t.Context(), "s1", session.Order{})
		check(t, err)
		time.Sleep(time.Minute)
		begun := time.Now()
		_, err = m.Stop(t.Context(), "s1", session.Order{})
		check(t, err)
		s, err := m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
		if took := time.Since(begun); took < 5*time.Second || took > 6*time.Second || s.ExitCode != 137 {
			t.Errorf("it took %v and ended with %d; the grace is 5s", took, s.ExitCode)
		}
	})
}

// immortal is a launcher that takes Stop and does nothing.
type immortal struct {
	launcher.Launcher
	mu    sync.Mutex
	stops []launcher.StopOptions
	times []time.Time
}

func (l *immortal) Stop(_ context.Context, _ launcher.ID, o launcher.StopOptions) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stops, l.times = append(l.stops, o), append(l.times, time.Now())
	return nil
}

// A container that cannot be ended fails its session, which is worked for until
// the container is gone, and until then it is not deleted.
func TestUnkillable(t *testing.T) {
	for _, ask := range []string{"suspend", "stop"} {
		inBubble(t, ask, func(t *testing.T) {
			w := newWorld(t)
			l := &immortal{Launcher: w.guard}
			m, _ := w.run(l, session.Config{})
			started(t, m, request("s1"))
			begun := time.Now()
			var err error
			if ask == "suspend" {
				_, err = m.Suspend(t.Context(), "s1", session.Order{})
			} else {
				_, err = m.Stop(t.Context(), "s1", session.Order{})
			}
			check(t, err)
			s, err := m.Wait(t.Context(), "s1", session.Suspended)
			fails(t, err, session.ErrState, "failed", "could not be confirmed")
			want := 2 * (30*time.Second + 2*time.Minute) // grace and deadline, and again after the kill
			if took := time.Since(begun); took < want || took > want+3*time.Second || s.Reason != session.ErrDeadline {
				t.Errorf("failed after %v, want %v: %+v", took, want, s)
			}
			fails(t, m.Delete(t.Context(), "s1", session.Order{}), session.ErrState, "try again later")
			time.Sleep(10 * time.Minute)
			l.mu.Lock()
			last, n := l.times[len(l.times)-1], len(l.stops)
			if l.stops[0].Signal == "SIGKILL" || l.stops[n-1].Signal != "SIGKILL" || time.Since(last) > time.Minute {
				t.Errorf("stopped %d times, first with %+v, last %v ago with %+v", n, l.stops[0], time.Since(last), l.stops[n-1])
			}
			l.mu.Unlock()
			check(t, w.host.Stop(t.Context(), "research.s1.1", launcher.StopOptions{}))
			time.Sleep(time.Minute)
			check(t, m.Delete(t.Context(), "s1", session.Order{}))
		})
	}
}

// An exit with a reason fails the session, one without stops it.
func TestExits(t *testing.T) {
	for name, test := range map[string]struct {
		command string
		state   session.State
		reason  launcher.Kind
		code    int
	}{
		"well":          {"exit 0", session.Stopped, "", 0},
		"with a code":   {"exit 7", session.Stopped, "", 7},
		"out of memory": {"allocate 100000", session.Failed, launcher.ErrOutOfMemory, 137},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t)
			m := w.manager()
			q := request("s1")
			q.Size.MilliCPU, q.Size.MemoryMiB = 1000, 512
			q.Command = strings.Fields(test.command)
			_, err := m.Start(t.Context(), q)
			check(t, err)
			s, err := m.Wait(t.Context(), "s1", session.Stopped, session.Failed)
			check(t, err)
			if s.State != test.state || s.Reason != test.reason || s.ExitCode != test.code || s.EndedAt.IsZero() {
				t.Errorf("ended with %+v", s)
			}
		})
	}
}

// edited changes what a launcher tells.
type edited struct {
	launcher.Launcher
	mu   sync.Mutex
	edit func(launcher.Status) launcher.Status // nil: as it is
}

func (l *edited) set(edit func(launcher.Status) launcher.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.edit = edit
}

func (l *edited) change(in iter.Seq2[launcher.Status, error]) iter.Seq2[launcher.Status, error] {
	return func(yield func(launcher.Status, error) bool) {
		for s, err := range in {
			l.mu.Lock()
			edit := l.edit
			l.mu.Unlock()
			mark := s.Synced()
			if err == nil && !mark && edit != nil {
				s = edit(s)
			}
			if leftOut := s.Synced() && !mark; !leftOut && !yield(s, err) {
				return
			}
		}
	}
}

func (l *edited) List(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return l.change(l.Launcher.List(ctx, f))
}

func (l *edited) Watch(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return l.change(l.Launcher.Watch(ctx, f))
}

// A host that does not answer ends nothing, whatever phase it repeats.
func TestUnknownIsNoExit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := &edited{Launcher: w.guard}
		m, end := w.run(l, session.Config{})
		started(t, m, request("s1"))
		end()
		for _, phase := range []launcher.Phase{launcher.Running, launcher.Exited} {
			l.set(func(s launcher.Status) launcher.Status {
				s.Unknown, s.Phase = true, phase
				return s
			})
			m, end = w.run(l, session.Config{})
			time.Sleep(time.Hour)
			s, err := m.Get(t.Context(), "s1")
			check(t, err)
			if s.State != session.Running || phase == launcher.Running && !s.Unreachable {
				t.Errorf("%s of a silent host: %+v", phase, s)
			}
			end()
		}
		l.set(nil)
		m, _ = w.run(l, session.Config{})
		synctest.Wait()
		s, err := m.Get(t.Context(), "s1")
		check(t, err)
		if s.State != session.Running || s.Unreachable || s.Endpoints["http"] == "" {
			t.Errorf("when the host answers again: %+v", s)
		}
	})
}

// A workload the launcher has forgotten while no manager ran has ended.
func TestForgottenWorkload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, end := w.run(w.guard, session.Config{})
		started(t, m, request("s1"))
		started(t, m, request("s2"))
		end()
		check(t, w.host.Stop(t.Context(), "research.s1.1", launcher.StopOptions{Forget: true}))
		time.Sleep(2 * time.Hour)
		m, _ = w.run(w.guard, session.Config{})
		_, err := m.Wait(t.Context(), "s1", session.Running, session.Failed)
		check(t, err)
		time.Sleep(time.Minute)
		s, err := m.Get(t.Context(), "s1")
		check(t, err)
		if s.State != session.Failed || s.Reason != launcher.ErrNotFound || !strings.Contains(s.Message, "forgotten") {
			t.Errorf("forgotten: %+v", s)
		}
		// The same behind a manager that runs, with a watch that never tells.
		check(t, w.host.Stop(t.Context(), "research.s2.1", launcher.StopOptions{}))
		_, err = m.Wait(t.Context(), "s2", session.Stopped)
		check(t, err)
	})
}

// A workload that vanishes behind a watch that does not tell is missed by the
// sweep.
func TestVanishedBehindTheWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := &edited{Launcher: w.guard}
		m, _ := w.run(l, session.Config{})
		started(t, m, request("s1"))
		l.set(func(s launcher.Status) launcher.Status {
			s.ID = "" // the element is left out
			return s
		})
		time.Sleep(2 * time.Minute)
		s, err := m.Get(t.Context(), "s1")
		check(t, err)
		if s.State != session.Failed || s.Reason != launcher.ErrNotFound {
			t.Errorf("%+v", s)
		}
	})
}

// Sweep: what no record wants goes after a minute, and nothing else.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		started(t, m, request("wanted"))
		stray := func(id, session, generation string) launcher.ID {
			wl := launcher.Workload{ID: launcher.ID(id), Owner: "research/alice", Image: "any", Command: []string{"wait"},
				Labels: map[string]string{"atelier.domain": "research", "atelier.session": session, "atelier.generation": generation}}
			_, err := w.host.Launch(t.Context(), wl)
			check(t, err)
			return wl.ID
		}
		ended := started(t, m, request("ended"))
		_, err := m.Stop(t.Context(), ended.ID, session.Order{})
		check(t, err)
		_, err = m.Wait(t.Context(), ended.ID, session.Stopped)
		check(t, err)
		for _, id := range []launcher.ID{
			stray("a", "unknown", "1"), stray("b", "wanted", "0"), stray("c", "wanted", "7"), stray("d", "ended", "1"), stray("e", "", ""),
		} {
			if !strings.Contains(fmt.Sprint(w.live()), string(id)) {
				t.Fatalf("%s does not live", id)
			}
		}
		other := launcher.Workload{ID: "other", Owner: "x", Image: "any", Command: []string{"wait"}, Labels: map[string]string{"atelier.domain": "sales"}}
		_, err = w.host.Launch(t.Context(), other)
		check(t, err)
		time.Sleep(45 * time.Second)
		if got := len(w.live()); got != 7 {
			t.Errorf("%d live before the grace is over: %v", got, w.live())
		}
		time.Sleep(time.Hour)
		if got := fmt.Sprint(w.live()); got != "[other research.wanted.1]" {
			t.Errorf("%s live an hour later", got)
		}
	})
}
