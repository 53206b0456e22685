package session_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

func TestNotRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, end := w.run(w.guard, session.Config{})
		started(t, m, request("s1"))
		fails(t, m.Run(t.Context()), session.ErrConflict, "runs already")
		watched := make(chan error, 1)
		go func() {
			for _, err := range m.Watch(t.Context(), session.Filter{}) {
				if err != nil {
					watched <- err
				}
			}
		}()
		synctest.Wait()
		end()
		fails(t, <-watched, session.ErrNotRunning, "Run")
		for name, call := range map[string]func() error{
			"start":   func() error { _, err := m.Start(t.Context(), request("s2")); return err },
			"suspend": func() error { _, err := m.Suspend(t.Context(), "s1", session.Order{}); return err },
			"resume":  func() error { _, err := m.Resume(t.Context(), "s1", session.ResumeRequest{}); return err },
			"stop":    func() error { _, err := m.Stop(t.Context(), "s1", session.Order{}); return err },
			"kill":    func() error { _, err := m.Kill(t.Context(), "s1", session.Order{}); return err },
			"wait":    func() error { _, err := m.Wait(t.Context(), "s1", session.Running); return err },
			"watch": func() error {
				for _, err := range m.Watch(t.Context(), session.Filter{}) {
					return err
				}
				return nil
			},
		} {
			if err := call(); !errors.Is(err, session.ErrNotRunning) || session.StatusCode(err) != 503 {
				t.Errorf("%s without Run = %v", name, err)
			}
		}
		if s, err := m.Get(t.Context(), "s1"); err != nil || s.State != session.Running {
			t.Errorf("Get without Run = %+v, %v", s, err)
		}
		// The session went on; the next Run takes it up.
		m2, _ := w.run(w.guard, session.Config{})
		s, err := m2.Stop(t.Context(), "s1", session.Order{})
		check(t, err)
		if s.State != session.Stopping {
			t.Errorf("Stop = %+v", s)
		}
	})
}

func TestCancelledContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		started(t, m, request("s1"))
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error)
		go func() { _, err := m.Wait(ctx, "s1", session.Suspended); failed <- err }()
		go func() {
			for _, err := range m.Watch(ctx, session.Filter{}) {
				if err != nil {
					failed <- err
				}
			}
		}()
		synctest.Wait()
		cancel()
		for range 2 {
			if err := <-failed; !errors.Is(err, context.Canceled) || session.StatusCode(err) != session.StatusClientClosedRequest {
				t.Errorf("ended with %v", err)
			}
		}
		if _, err := m.Start(ctx, request("s2")); !errors.Is(err, context.Canceled) {
			t.Errorf("Start = %v", err)
		}
	})
}

func TestOneSlowSessionDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := &stuck{Launcher: w.guard, only: "research.slow.1"}
		m, _ := w.run(l, session.Config{})
		_, err := m.Start(t.Context(), request("slow"))
		check(t, err)
		begun := time.Now()
		started(t, m, request("quick"))
		if d := time.Since(begun); d > 0 {
			t.Errorf("another session took %v", d)
		}
		for range 5 { // each has it looked at
			_, err := m.Start(t.Context(), request("slow"))
			check(t, err)
		}
		_, err = m.Wait(t.Context(), "slow", session.Running)
		fails(t, err, session.ErrState, "did not answer in time")
		if d := time.Since(begun); d > 10*time.Minute+20*time.Second {
			t.Errorf("a launcher that hangs kept it pending for %v", d)
		}
		if n := l.most.Load(); n != 1 {
			t.Errorf("%d calls at once for one session", n)
		}
	})
}

// stuck is a launcher whose Launch hangs until it is released, or for ever.
type stuck struct {
	launcher.Launcher
	only    launcher.ID // empty: all
	release chan struct{}

	now, most atomic.Int64 // calls that hang
}

func (l *stuck) Launch(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
	if l.only == "" || l.only == w.ID {
		l.most.Store(max(l.most.Load(), l.now.Add(1)))
		defer l.now.Add(-1)
		select {
		case <-l.release:
		case <-ctx.Done():
			return launcher.Status{}, ctx.Err()
		}
	}
	return l.Launcher.Launch(ctx, w)
}

// When Run has returned, nothing of it calls the launcher any more.
func TestRunEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := &lingering{Launcher: w.guard}
		m, end := w.run(l, session.Config{})
		_, err := m.Start(t.Context(), request("s1"))
		check(t, err)
		synctest.Wait() // Launch lingers
		end()
		if n := l.calls.Load(); n != 0 {
			t.Errorf("%d calls go on after Run has returned", n)
		}
	})
}

// lingering is a launcher whose Launch takes its time to heed its context.
type lingering struct {
	launcher.Launcher
	calls atomic.Int64
}

func (l *lingering) Launch(ctx context.Context, _ launcher.Workload) (launcher.Status, error) {
	l.calls.Add(1)
	defer l.calls.Add(-1)
	<-ctx.Done()
	time.Sleep(time.Second)
	return launcher.Status{}, ctx.Err()
}

// Another manager takes up what one whose launcher does not answer has recorded.
func TestTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		hung, _ := w.run(&stuck{Launcher: w.guard}, session.Config{})
		well := w.manager()
		begun := time.Now()
		_, err := hung.Start(t.Context(), request("s1"))
		check(t, err)
		time.Sleep(3 * time.Second)
		s, err := well.Wait(t.Context(), "s1", session.Running)
		check(t, err)
		if d := time.Since(begun); d > 25*time.Second {
			t.Errorf("taken up after %v: %+v", d, s)
		}
		if _, err := hung.Wait(t.Context(), "s1", session.Running); err != nil {
			t.Errorf("the other manager's watchers do not hear of it: %v", err)
		}
	})
}
