package session_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/faultlauncher"
	"github.com/atelier-go/atelier/session"
)

// A session is killed at once from every state in which it may have a container,
// however long its program was given to end.
func TestKill(t *testing.T) {
	for name, test := range map[string]struct {
		before func(*testing.T, *session.Manager)
		last   string // what was last asked then
	}{
		"running": {func(*testing.T, *session.Manager) {}, "kill"},
		"suspending": {func(t *testing.T, m *session.Manager) {
			check(t, second(m.Suspend(t.Context(), "s1", session.Order{})))
			time.Sleep(time.Minute)
		}, "kill"},
		"stopping": {func(t *testing.T, m *session.Manager) {
			check(t, second(m.Stop(t.Context(), "s1", session.Order{})))
			time.Sleep(time.Minute)
		}, "kill"},
		"stopping as of this moment": {func(t *testing.T, m *session.Manager) {
			check(t, second(m.Stop(t.Context(), "s1", session.Order{})))
		}, "kill"},
		"suspended": {func(t *testing.T, m *session.Manager) {
			check(t, second(m.Suspend(t.Context(), "s1", session.Order{})))
			check(t, second(m.Wait(t.Context(), "s1", session.Suspended)))
		}, "kill"},
		"stopped": {func(t *testing.T, m *session.Manager) {
			check(t, second(m.Stop(t.Context(), "s1", session.Order{})))
			check(t, second(m.Wait(t.Context(), "s1", session.Stopped)))
		}, "stop"},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t)
			m := w.manager()
			q := request("s1")
			q.Command = strings.Fields("ignore SIGTERM ; wait")
			q.Kind = session.Kind{Name: "slow", SuspendGrace: time.Hour, StopGrace: time.Hour}
			started(t, m, q)
			test.before(t, m)
			begun := time.Now()
			_, err := m.Kill(t.Context(), "s1", session.Order{By: "admin", Why: "it hangs"})
			check(t, err)
			s, err := m.Wait(t.Context(), "s1", session.Stopped)
			check(t, err)
			if took := time.Since(begun); took > 0 || s.ExitCode != 137 || s.Reason != "" || s.Last.Op != test.last || len(w.live()) != 0 {
				t.Errorf("after %v it is %+v, and %v live", took, s, w.live())
			}
			var ops []string
			for e, err := range m.Audit(t.Context(), session.AuditFilter{By: "admin"}) {
				check(t, err)
				ops = append(ops, e.Op+" "+e.Why)
			}
			if want := []string{"kill it hangs"}; test.last == "kill" && !slices.Equal(ops, want) || test.last != "kill" && ops != nil {
				t.Errorf("the audit record has %q", ops)
			}
		})
	}
}

// What has no container is stopped, and what may get one by a launch that is on its
// way is killed when it comes; that counts as a start that was stopped.
func TestKillBeforeItRuns(t *testing.T) {
	inBubble(t, "refused for now", func(t *testing.T) {
		w := newWorld(t)
		m, _ := w.run(w.faulty(faultlauncher.Fault{Op: faultlauncher.Launch, Rate: 1, Kind: launcher.ErrCapacity}), session.Config{})
		check(t, second(m.Start(t.Context(), request("s1"))))
		time.Sleep(time.Minute)
		check(t, second(m.Kill(t.Context(), "s1", session.Order{})))
		s, err := m.Wait(within(t, time.Minute), "s1", session.Stopped)
		if check(t, err); s.ExitCode != 0 || s.Reason != "" {
			t.Errorf("%+v", s)
		}
	})
	inBubble(t, "nothing was asked yet", func(t *testing.T) {
		w := newWorld(t)
		o := &overtaken{Store: w.store, at: 2} // the first makes the record
		o.happen = func() {
			other, end := w.run(&stuck{Launcher: w.guard}, session.Config{})
			check(t, second(other.Kill(t.Context(), "s1", session.Order{})))
			end()
		}
		m, _ := w.runOn(w.domainOn(o), w.guard, session.Config{})
		check(t, second(m.Start(t.Context(), request("s1"))))
		check(t, second(m.Wait(within(t, time.Minute), "s1", session.Stopped)))
		if n := len(w.guard.workloads()); n != 0 {
			t.Errorf("launched %d times", n)
		}
	})
	inBubble(t, "starting", func(t *testing.T) {
		w := newWorldOn(t, fakelauncher.Config{Delays: fakelauncher.Delays{Start: time.Hour}})
		reader := sdk.NewManualReader()
		m, _ := w.run(w.guard, session.Config{MeterProvider: sdk.NewMeterProvider(sdk.WithReader(reader))})
		check(t, second(m.Start(t.Context(), request("s1"))))
		check(t, second(m.Wait(t.Context(), "s1", session.Starting)))
		check(t, second(m.Kill(t.Context(), "s1", session.Order{})))
		check(t, second(m.Wait(within(t, time.Minute), "s1", session.Stopped)))
		_, lines := collect(t, reader)
		if !slices.ContainsFunc(lines, func(l string) bool {
			return strings.HasPrefix(l, "atelier.session.start.duration") && strings.Contains(l, "atelier.outcome=stopped")
		}) {
			t.Errorf("measured is\n%s", strings.Join(lines, "\n"))
		}
	})
}

// However often it is asked for, a container that cannot be ended fails its session
// when it should; and an order that is repeated is the same order.
func TestKillIsNoDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := &immortal{Launcher: w.guard}
		m, _ := w.run(l, session.Config{})
		started(t, m, request("s1"))
		check(t, second(m.Stop(t.Context(), "s1", session.Order{ID: "first"})))
		time.Sleep(1500 * time.Millisecond)
		asked := time.Now()
		first, err := m.Kill(t.Context(), "s1", session.Order{ID: "second"})
		check(t, err)
		for n := range 60 {
			time.Sleep(2 * time.Second)
			var o session.Order
			if n%2 == 0 {
				o.ID = "second"
			}
			s, err := m.Kill(t.Context(), "s1", o)
			check(t, err)
			if s.State != session.Stopping || !s.Deadline.Equal(first.Deadline) {
				t.Fatalf("after %v: %s until %v; it was to be until %v", time.Since(asked), s.State, s.Deadline, first.Deadline)
			}
		}
		_, err = m.Kill(t.Context(), "s1", session.Order{ID: "first"})
		fails(t, err, session.ErrConflict, `order of the ID "first" was to stop it`)
		_, err = m.Wait(t.Context(), "s1", session.Stopped)
		fails(t, err, session.ErrState, "failed", "could not be confirmed")
		want := 30*time.Second + 2*time.Minute // the grace is for what had to be asked for before
		if took := time.Since(asked); took < want || took > want+3*time.Second {
			t.Errorf("failed after %v, want %v", took, want)
		}
		s, err := m.Kill(t.Context(), "s1", session.Order{})
		if check(t, err); s.State != session.Failed {
			t.Errorf("it is %s", s.State)
		}
		l.mu.Lock()
		for n, o := range l.stops {
			if (o.Signal == "SIGKILL") != !l.times[n].Before(asked) {
				t.Errorf("stopped at %v with %+v", l.times[n], o)
			}
		}
		l.mu.Unlock()
		kills := 0
		for e, err := range m.Audit(t.Context(), session.AuditFilter{}) {
			if check(t, err); e.Op == "kill" && e.Refused == "" {
				kills++
			}
		}
		if kills != 1 {
			t.Errorf("the audit record has %d", kills)
		}
	})
}

// What is used is told of a session that runs, by a manager that need not.
func TestUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		q := request("s1")
		q.Command = strings.Fields("spin 10s ; wait")
		started(t, m, q)
		idle, err := session.New(w.domain, w.host, session.Config{})
		check(t, err)
		before, err := idle.Usage(t.Context(), "s1")
		check(t, err)
		time.Sleep(5 * time.Second)
		u, err := idle.Usage(t.Context(), "s1")
		check(t, err)
		if cores, ok := u.Cores(before); !ok || cores < 0.9 || u.At.IsZero() {
			t.Errorf("it used %v, then %v", before, u)
		}
		w.host.SetReachable(false)
		_, err = idle.Usage(t.Context(), "s1")
		fails(t, err, launcher.ErrUnavailable, "usage s1")
		w.host.SetReachable(true)
		check(t, second(m.Suspend(t.Context(), "s1", session.Order{})))
		check(t, second(m.Wait(t.Context(), "s1", session.Suspended)))
		_, err = idle.Usage(t.Context(), "s1")
		fails(t, err, session.ErrState, "suspended", "resume it")
		_, err = idle.Usage(t.Context(), "s2")
		fails(t, err, session.ErrNotFound)
	})
}
