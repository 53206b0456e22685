package session_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/faultlauncher"
	"github.com/atelier-go/atelier/session"
)

// faulty is w's host behind faults.
func (w *world) faulty(faults ...faultlauncher.Fault) *faultlauncher.Launcher {
	w.t.Helper()
	l, err := faultlauncher.Wrap(w.guard, 1, faults...)
	check(w.t, err)
	return l
}

// What a launcher refuses for good fails the session at once; what it refuses
// for now is tried until the deadline, and the failure says what it was.
func TestLaunchRefused(t *testing.T) {
	for kind, permanent := range map[launcher.Kind]bool{
		launcher.ErrInvalid: true, launcher.ErrConflict: true, launcher.ErrDenied: true, launcher.ErrQuota: true,
		launcher.ErrImage: true, launcher.ErrMount: true, launcher.ErrUnsupported: true, launcher.ErrNotFound: true,
		launcher.ErrUnavailable: false, launcher.ErrThrottled: false, launcher.ErrCapacity: false, launcher.ErrNotRunning: false,
	} {
		inBubble(t, string(kind), func(t *testing.T) {
			w := newWorld(t)
			l := w.faulty(faultlauncher.Fault{Op: faultlauncher.Launch, Kind: kind})
			m, _ := w.run(l, session.Config{})
			begun := time.Now()
			_, err := m.Start(t.Context(), request("s1"))
			check(t, err)
			s, err := m.Wait(t.Context(), "s1", session.Running)
			fails(t, err, session.ErrState, "failed", string(kind), "injected")
			if !errors.Is(err, kind) || s.State != session.Failed || s.Reason != kind {
				t.Errorf("failed with %+v, %v", s, err)
			}
			if got, want := session.StatusCode(err), session.StatusCode(kind); got != want {
				t.Errorf("status %d of %v, want %d", got, err, want)
			}
			took := time.Since(begun)
			if permanent && (took > 0 || l.Injected()[faultlauncher.Launch] != 1) {
				t.Errorf("failed after %v and %v calls", took, l.Injected())
			}
			if !permanent && (took < 10*time.Minute || took > 10*time.Minute+2*time.Second || l.Injected()[faultlauncher.Launch] < 15) {
				t.Errorf("failed after %v and %v calls; the deadline is 10 minutes", took, l.Injected())
			}
			if !permanent && !strings.Contains(s.Message, "10m0s") {
				t.Errorf("the message %q does not say how long it waited", s.Message)
			}
			time.Sleep(time.Minute)
			check(t, m.Delete(t.Context(), "s1", session.Order{}))
		})
	}
}

// crowded is a manager with the session "first" running, and "second" for which
// there is no room beside it.
func crowded(t *testing.T) *session.Manager {
	t.Helper()
	m := newWorldOn(t, fakelauncher.Config{Room: launcher.Resources{MilliCPU: 1000, MemoryMiB: 1024}}).manager()
	q := request("first")
	q.Size.MilliCPU, q.Size.MemoryMiB = 1000, 1024
	started(t, m, q)
	q.ID = "second"
	_, err := m.Start(t.Context(), q)
	check(t, err)
	return m
}

// A refusal for now shows while it lasts, and is forgotten when it is over.
func TestLaunchRefusedForNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := crowded(t)
		time.Sleep(3 * time.Minute)
		s, err := m.Get(t.Context(), "second")
		check(t, err)
		if s.State != session.Pending || s.Reason != launcher.ErrCapacity || s.Message == "" {
			t.Errorf("waiting: %+v", s)
		}
		_, err = m.Stop(t.Context(), "first", session.Order{})
		check(t, err)
		s, err = m.Wait(t.Context(), "second", session.Running)
		check(t, err)
		if s.Reason != "" || s.Message != "" {
			t.Errorf("running: %+v", s)
		}
	})
}

// A launch whose reply is lost, and any call that fails now and then, ends as
// if nothing had happened.
func TestRepliesLost(t *testing.T) {
	for _, op := range []faultlauncher.Op{faultlauncher.Launch, faultlauncher.Stop, faultlauncher.List, faultlauncher.Watch, ""} {
		for _, after := range []bool{false, true} {
			inBubble(t, fmt.Sprintf("%s/after=%v", op, after), func(t *testing.T) {
				w := newWorld(t)
				l := w.faulty(
					faultlauncher.Fault{Op: op, Nth: 1, After: after},
					faultlauncher.Fault{Op: op, Nth: 2, After: after},
					faultlauncher.Fault{Op: op, Rate: 0.3, After: after},
				)
				m, _ := w.run(l, session.Config{})
				story(t, m, "s1")
				if len(l.Injected()) == 0 && op != faultlauncher.List {
					t.Error("nothing was injected")
				}
				if got := w.live(); len(got) != 0 {
					t.Errorf("%v live", got)
				}
			})
		}
	}
}

// story takes a session through its life.
func story(t testing.TB, m *session.Manager, id session.ID) {
	t.Helper()
	s := started(t, m, request(id))
	_, err := m.Suspend(t.Context(), id, session.Order{})
	check(t, err)
	_, err = m.Wait(t.Context(), id, session.Suspended)
	check(t, err)
	_, err = m.Resume(t.Context(), id, session.ResumeRequest{InstanceType: "r5.4xlarge"})
	check(t, err)
	again, err := m.Wait(t.Context(), id, session.Running)
	check(t, err)
	if again.Reference != s.Reference || again.Generation != 2 {
		t.Errorf("resumed as %+v", again)
	}
	_, err = m.Stop(t.Context(), id, session.Order{})
	check(t, err)
	_, err = m.Wait(t.Context(), id, session.Stopped)
	check(t, err)
}

// A Watch that breaks is begun anew, and nothing that happened meanwhile is
// missed.
func TestWatchBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		started(t, m, request("s1"))
		started(t, m, request("s2"))
		w.host.SetReachable(false)
		time.Sleep(3 * time.Minute)
		if s, err := m.Get(t.Context(), "s1"); err != nil || s.State != session.Running {
			t.Errorf("while the launcher is silent: %+v, %v", s, err)
		}
		_, err := m.Suspend(t.Context(), "s2", session.Order{})
		check(t, err)
		time.Sleep(10 * time.Second)
		w.host.SetReachable(true)
		_, err = m.Wait(t.Context(), "s2", session.Suspended)
		check(t, err)
		check(t, w.host.Stop(t.Context(), "research.s1.1", launcher.StopOptions{}))
		_, err = m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
	})
}

// broken is a store that fails while it is told to.
type broken struct {
	store.Store
	mu   sync.Mutex
	fail bool
}

func (s *broken) down() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail {
		return errors.New("the disk is on fire")
	}
	return nil
}

func (s *broken) set(fail bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

func (s *broken) Get(ctx context.Context, collection, id string) (store.Record, error) {
	if err := s.down(); err != nil {
		return store.Record{}, err
	}
	return s.Store.Get(ctx, collection, id)
}

func (s *broken) Put(ctx context.Context, r store.Record) (int64, error) {
	if err := s.down(); err != nil {
		return 0, err
	}
	return s.Store.Put(ctx, r)
}

func (s *broken) List(ctx context.Context, collection, after string) iter.Seq2[store.Record, error] {
	if err := s.down(); err != nil {
		return func(yield func(store.Record, error) bool) { yield(store.Record{}, err) }
	}
	return s.Store.List(ctx, collection, after)
}

func TestStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		b := &broken{Store: w.store}
		m, _ := w.runOn(w.domainOn(b), w.guard, session.Config{})
		started(t, m, request("s1"))
		b.set(true)
		for name, err := range map[string]error{
			"get":  second(m.Get(t.Context(), "s1")),
			"stop": second(m.Stop(t.Context(), "s1", session.Order{})),
			"kill": second(m.Kill(t.Context(), "s1", session.Order{})),
		} {
			fails(t, err, session.ErrUnavailable, name, "s1", "call again", "on fire")
			if session.StatusCode(err) != 503 {
				t.Errorf("%s: status %d", name, session.StatusCode(err))
			}
		}
		for _, err := range m.List(t.Context(), session.Filter{}) {
			fails(t, err, session.ErrUnavailable, "list")
		}
		check(t, w.host.Stop(t.Context(), "research.s1.1", launcher.StopOptions{}))
		time.Sleep(5 * time.Minute)
		b.set(false)
		_, err := m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
	})
}

// A record that makes no sense holds up no other session, and nothing of its
// session is taken for nobody's.
func TestRecordThatMakesNoSense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, end := w.run(w.guard, session.Config{})
		started(t, m, request("a"))
		started(t, m, request("b"))
		end()
		r, err := w.store.Get(t.Context(), "domains/research/sessions", "a")
		check(t, err)
		r.Value = []byte("{")
		_, err = w.store.Put(t.Context(), r)
		check(t, err)
		m, _ = w.run(w.guard, session.Config{})
		_, err = m.Suspend(t.Context(), "b", session.Order{})
		check(t, err)
		_, err = m.Wait(t.Context(), "b", session.Suspended)
		check(t, err)
		if _, err := m.Get(t.Context(), "a"); err == nil {
			t.Error("Get of a record that makes no sense succeeded")
		}
		time.Sleep(10 * time.Minute)
		if got := fmt.Sprint(w.live()); got != "[research.a.1]" {
			t.Errorf("%s live", got)
		}
	})
}

func second[T any](_ T, err error) error { return err }

// TestWaitInVain: who has waited long enough is told for what.
func TestWaitInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := crowded(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s, err := m.Wait(ctx, "second", session.Running, session.Stopped)
		if !errors.Is(err, context.DeadlineExceeded) || s.ID != "second" || s.Message == "" ||
			!strings.Contains(err.Error(), "second: context deadline exceeded: it is "+string(s.State)+", not yet running or stopped: "+s.Message) {
			t.Errorf("%+v, %v", s, err)
		}
	})
}
