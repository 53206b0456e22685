package session_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
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
			check(t, m.Delete(t.Context(), "s1"))
		})
	}
}

// A refusal for now shows while it lasts, and is forgotten when it is over.
func TestLaunchRefusedForNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOn(t, fakelauncher.Config{Room: launcher.Resources{MilliCPU: 1000, MemoryMiB: 1024}})
		m := w.manager()
		big := request("first")
		big.Size.MilliCPU, big.Size.MemoryMiB = 1000, 1024
		started(t, m, big)
		big.ID = "second"
		_, err := m.Start(t.Context(), big)
		check(t, err)
		time.Sleep(3 * time.Minute)
		s, err := m.Get(t.Context(), "second")
		check(t, err)
		if s.State != session.Pending || s.Reason != launcher.ErrCapacity || s.Message == "" {
			t.Errorf("waiting: %+v", s)
		}
		_, err = m.Stop(t.Context(), "first")
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
	_, err := m.Suspend(t.Context(), id)
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
	_, err = m.Stop(t.Context(), id)
	check(t, err)
	_, err = m.Wait(t.Context(), id, session.Stopped)
	check(t, err)
}

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
				_, err = m.Suspend(t.Context(), "s1")
			} else {
				_, err = m.Stop(t.Context(), "s1")
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
		q.Command = strings.Fields("ignore SIGUSR1 ; ignore SIGTERM ; wait")
		q.Kind = session.Kind{Name: "slow", SuspendSignal: "SIGUSR1", SuspendGrace: time.Hour, StopGrace: 5 * time.Second}
		started(t, m, q)
		_, err := m.Suspend(t.Context(), "s1")
		check(t, err)
		time.Sleep(time.Minute)
		begun := time.Now()
		_, err = m.Stop(t.Context(), "s1")
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
		if took := time.Since(begun); took > 6*time.Second {
			t.Errorf("it took %v; the grace is 5s", took)
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
				_, err = m.Suspend(t.Context(), "s1")
			} else {
				_, err = m.Stop(t.Context(), "s1")
			}
			check(t, err)
			s, err := m.Wait(t.Context(), "s1", session.Suspended)
			fails(t, err, session.ErrState, "failed", "could not be confirmed")
			want := 2 * (30*time.Second + 2*time.Minute) // grace and deadline, and again after the kill
			if took := time.Since(begun); took < want || took > want+3*time.Second || s.Reason != session.ErrDeadline {
				t.Errorf("failed after %v, want %v: %+v", took, want, s)
			}
			fails(t, m.Delete(t.Context(), "s1"), session.ErrState, "try again later")
			time.Sleep(10 * time.Minute)
			l.mu.Lock()
			last, n := l.times[len(l.times)-1], len(l.stops)
			if l.stops[0].Signal == "SIGKILL" || l.stops[n-1].Signal != "SIGKILL" || time.Since(last) > time.Minute {
				t.Errorf("stopped %d times, first with %+v, last %v ago with %+v", n, l.stops[0], time.Since(last), l.stops[n-1])
			}
			l.mu.Unlock()
			check(t, w.host.Stop(t.Context(), "research.s1.1", launcher.StopOptions{}))
			time.Sleep(time.Minute)
			check(t, m.Delete(t.Context(), "s1"))
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
		s, err := m.Wait(t.Context(), "s1", session.Running, session.Failed)
		check(t, err)
		time.Sleep(time.Minute)
		s, err = m.Get(t.Context(), "s1")
		check(t, err)
		if s.State != session.Failed || s.Reason != launcher.ErrNotFound || !strings.Contains(s.Message, "forgotten") {
			t.Errorf("forgotten: %+v", s)
		}
		// The same behind a manager that runs, with a watch that never tells.
		check(t, w.host.Stop(t.Context(), "research.s2.1", launcher.StopOptions{}))
		s, err = m.Wait(t.Context(), "s2", session.Stopped)
		check(t, err)
	})
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
		_, err := m.Suspend(t.Context(), "s2")
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
		_, err := m.Stop(t.Context(), ended.ID)
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

// Logs are kept with a session's last container, and only with that.
func TestLogsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		started(t, m, request("s1"))
		_, err := m.Suspend(t.Context(), "s1")
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Suspended)
		check(t, err)
		time.Sleep(30 * time.Minute)
		if got := output(t, m, "s1"); got != "0\n" {
			t.Errorf("logs of a suspended session: %q", got)
		}
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{})
		check(t, err)
		time.Sleep(5 * time.Minute)
		if _, err := launcher.Get(t.Context(), w.host, "research.s1.1"); !errors.Is(err, launcher.ErrNotFound) {
			t.Errorf("the old generation is not forgotten: %v", err)
		}
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
			"stop": second(m.Stop(t.Context(), "s1")),
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
		_, err = m.Suspend(t.Context(), "b")
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

func second[T any](_ T, err error) error { return err }
