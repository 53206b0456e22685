package session_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// A process that dies at any call of the store or the launcher while a session
// is interrupted leaves what the next one completes: each interruption is one
// generation more, and never are there two containers.
func TestCrashDuringInterruption(t *testing.T) {
	for _, after := range []bool{false, true} {
		reached := false
		for n := 1; !reached; n++ {
			inBubble(t, fmt.Sprintf("after=%v/call=%d", after, n), func(t *testing.T) {
				reached = crashInterrupted(t, n, after)
			})
			if t.Failed() || n > 1000 {
				t.Fatalf("ended at call %d", n)
			}
		}
	}
}

func crashInterrupted(t *testing.T, n int, after bool) (reached bool) {
	w := newWorld(t)
	check(t, w.domain.SetPolicy(t.Context(), domain.Policy{Roles: []string{reader}}))
	l := w.reclaimer()
	p := w.processOn(l, n, after)
	died := false
	must := func(call func(ctx context.Context, m *session.Manager) (session.Session, error)) session.Session {
		t.Helper()
		for {
			s, err := call(p.ctx, p.Manager)
			if err == nil {
				return s
			}
			if died || p.ctx.Err() == nil {
				t.Fatalf("call %d: %v", n, err)
			}
			died = true
			p.end()
			p = w.processOn(l, 0, false)
		}
	}
	running := func(generation int) session.Session {
		t.Helper()
		s := must(func(ctx context.Context, m *session.Manager) (session.Session, error) {
			return reaches(ctx, m, "s1", generation)
		})
		if s.State != session.Running || s.Generation != generation {
			t.Errorf("%+v, want generation %d", s, generation)
		}
		return s
	}
	must(func(ctx context.Context, m *session.Manager) (session.Session, error) {
		q := acting("s1")
		q.Alternatives, q.Market = []string{"t3.large"}, launcher.Spot
		return m.Start(ctx, q)
	})
	first := running(1)
	l.announce("research.s1.1", 2*time.Minute)
	running(2)
	l.take("research.s1.2")
	third := running(3)
	if third.Reference != first.Reference || third.InstanceType != first.InstanceType || third.Market != launcher.Spot {
		t.Errorf("went on as %+v, was %+v", third, first)
	}
	l.announce("research.s1.3", 2*time.Minute)
	synctest.Wait()
	must(func(ctx context.Context, m *session.Manager) (session.Session, error) {
		return m.Stop(ctx, "s1", session.Order{})
	})
	s := must(func(ctx context.Context, m *session.Manager) (session.Session, error) {
		return m.Wait(ctx, "s1", session.Stopped)
	})
	reached = !died && p.ctx.Err() == nil
	time.Sleep(5 * time.Minute)
	if got := w.live(); len(got) != 0 {
		t.Errorf("%v live after the end", got)
	}
	roles, homes := map[launcher.ID]launcher.Role{}, map[launcher.Mount]bool{}
	for _, wl := range w.guard.workloads() {
		if had, ok := roles[wl.ID]; ok && had != wl.Role {
			t.Errorf("%s was launched with %+v and %+v", wl.ID, had, wl.Role)
		}
		roles[wl.ID], homes[wl.Mounts[0]] = wl.Role, true
	}
	if len(roles) != s.Generation || len(homes) != 1 {
		t.Errorf("%d generations launched, the last is %d; homes %v", len(roles), s.Generation, homes)
	}
	return reached
}
