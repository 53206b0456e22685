package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

var errDead = errors.New("the process is dead")

// A fuse ends a process at its n-th call of the store or the launcher: before
// that call has an effect, or after it. Every later call fails.
type fuse struct {
	at    int // 0: never
	after bool
	kill  func()

	mu    sync.Mutex
	calls int
	dead  bool
	hold  chan struct{} // not nil while the process is paused: closed when it goes on
}

// die ends the process now, without a word.
func (f *fuse) die() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = true
	f.kill()
}

// pause lets no call have an effect until the process goes on.
func (f *fuse) pause() (goOn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	hold := make(chan struct{})
	f.hold = hold
	return func() {
		f.mu.Lock()
		f.hold = nil
		f.mu.Unlock()
		close(hold)
	}
}

// burn counts a call and carries it out, unless the process is dead by then.
func burn[T any](f *fuse, call func() (T, error)) (T, error) {
	f.mu.Lock()
	f.calls++
	struck := f.calls == f.at && !f.dead
	if f.dead = f.dead || struck; struck {
		f.kill() // before another call finds that it is dead
	}
	dead, hold := f.dead, f.hold
	f.mu.Unlock()
	if hold != nil {
		<-hold
	}
	var zero T
	if struck && f.after {
		_, _ = call()
	}
	if dead {
		return zero, errDead
	}
	return call()
}

func burnSeq[T any](f *fuse, seq func() iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if _, err := burn(f, func() (struct{}, error) { return struct{}{}, nil }); err != nil {
			var zero T
			yield(zero, err)
			return
		}
		seq()(yield)
	}
}

type mortalStore struct {
	store.Store
	*fuse
}

func (s mortalStore) Get(ctx context.Context, collection, id string) (store.Record, error) {
	return burn(s.fuse, func() (store.Record, error) { return s.Store.Get(ctx, collection, id) })
}

func (s mortalStore) Put(ctx context.Context, r store.Record) (int64, error) {
	return burn(s.fuse, func() (int64, error) { return s.Store.Put(ctx, r) })
}

func (s mortalStore) Delete(ctx context.Context, collection, id string, version int64) error {
	_, err := burn(s.fuse, func() (struct{}, error) { return struct{}{}, s.Store.Delete(ctx, collection, id, version) })
	return err
}

func (s mortalStore) List(ctx context.Context, collection, after string) iter.Seq2[store.Record, error] {
	return burnSeq(s.fuse, func() iter.Seq2[store.Record, error] { return s.Store.List(ctx, collection, after) })
}

type mortalLauncher struct {
	launcher.Launcher
	*fuse
}

func (l mortalLauncher) Launch(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
	return burn(l.fuse, func() (launcher.Status, error) { return l.Launcher.Launch(ctx, w) })
}

func (l mortalLauncher) Stop(ctx context.Context, id launcher.ID, o launcher.StopOptions) error {
	_, err := burn(l.fuse, func() (struct{}, error) { return struct{}{}, l.Launcher.Stop(ctx, id, o) })
	return err
}

func (l mortalLauncher) List(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return burnSeq(l.fuse, func() iter.Seq2[launcher.Status, error] { return l.Launcher.List(ctx, f) })
}

func (l mortalLauncher) Watch(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return burnSeq(l.fuse, func() iter.Seq2[launcher.Status, error] { return l.Launcher.Watch(ctx, f) })
}

func (l mortalLauncher) Dial(ctx context.Context, id launcher.ID, port string) (net.Conn, error) {
	return burn(l.fuse, func() (net.Conn, error) { return l.Launcher.Dial(ctx, id, port) })
}

func (l mortalLauncher) Logs(ctx context.Context, id launcher.ID, o launcher.LogOptions) (io.ReadCloser, error) {
	return burn(l.fuse, func() (io.ReadCloser, error) { return l.Launcher.Logs(ctx, id, o) })
}

func (l mortalLauncher) Usage(ctx context.Context, id launcher.ID) (launcher.Usage, error) {
	return burn(l.fuse, func() (launcher.Usage, error) { return l.Launcher.Usage(ctx, id) })
}

// process is a manager in a process of its own that may die.
type process struct {
	*session.Manager
	fuse *fuse
	ctx  context.Context // ends with it
	end  func()
}

// process starts a process that dies at its n-th call.
func (w *world) process(n int, after bool) *process {
	w.t.Helper()
	return w.processOn(w.guard, n, after)
}

func (w *world) processOn(l launcher.Launcher, n int, after bool) *process {
	w.t.Helper()
	ctx, die := context.WithCancel(w.t.Context())
	f := &fuse{kill: die, after: after}
	d := w.domainOn(mortalStore{w.store, f})
	m, err := session.New(d, mortalLauncher{l, f}, session.Config{CredentialsURL: credentialsURL})
	check(w.t, err)
	f.at, f.calls = n, 0
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = m.Run(ctx)
	}()
	p := &process{Manager: m, fuse: f, ctx: ctx, end: sync.OnceFunc(func() { die(); <-ended })}
	w.t.Cleanup(p.end)
	return p
}

// A process that dies at any call of the store or the launcher leaves what the
// next one completes: the same end, and never two containers.
func TestCrashAtEveryCall(t *testing.T) {
	for _, end := range []string{"stop", "kill"} {
		for _, after := range []bool{false, true} {
			reached := false
			for n := 1; !reached; n++ {
				t.Run(fmt.Sprintf("%s/after=%v/call=%d", end, after, n), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { reached = crash(t, n, after, end) })
				})
				if t.Failed() || n > 1000 {
					t.Fatalf("ended at call %d", n)
				}
			}
		}
	}
}

// crash tells the story in a process that dies at its n-th call and in another
// from there, and reports whether the story ended before. It ends with a Stop or a Kill.
func crash(t *testing.T, n int, after bool, end string) (reached bool) {
	w := newWorld(t)
	check(t, w.domain.SetPolicy(t.Context(), domain.Policy{Roles: []string{reader}}))
	p := w.process(n, after)
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
			p = w.process(0, false)
		}
	}
	wait := func(state session.State) session.Session {
		t.Helper()
		return must(func(ctx context.Context, m *session.Manager) (session.Session, error) {
			return m.Wait(ctx, "s1", state)
		})
	}
	begun := time.Now()
	must(func(ctx context.Context, m *session.Manager) (session.Session, error) {
		q := request("s1")
		q.Role = reader
		return m.Start(ctx, q)
	})
	first := wait(session.Running)
	must(func(ctx context.Context, m *session.Manager) (session.Session, error) {
		return m.Suspend(ctx, "s1", session.Order{})
	})
	wait(session.Suspended)
	must(func(ctx context.Context, m *session.Manager) (session.Session, error) {
		return m.Resume(ctx, "s1", session.ResumeRequest{InstanceType: "r5.4xlarge"})
	})
	second := wait(session.Running)
	if second.Generation != 2 || second.Reference != first.Reference || second.InstanceType != "r5.4xlarge" {
		t.Errorf("resumed as %+v", second)
	}
	must(func(ctx context.Context, m *session.Manager) (session.Session, error) {
		if end == "kill" {
			return m.Kill(ctx, "s1", session.Order{})
		}
		return m.Stop(ctx, "s1", session.Order{})
	})
	s := wait(session.Stopped)
	if s.Generation != 2 || s.Reason != "" || (s.ExitCode == 137) != (end == "kill") {
		t.Errorf("ended as %+v", s)
	}
	if took := time.Since(begun); took > 2*time.Minute {
		t.Errorf("it took %v", took)
	}
	reached = !died && p.ctx.Err() == nil
	time.Sleep(3 * time.Minute)
	if got := w.live(); len(got) != 0 {
		t.Errorf("%v live after the end", got)
	}
	homes, tokens, roles := map[launcher.Mount]bool{}, map[string]bool{}, map[launcher.ID]launcher.Role{}
	for _, wl := range w.guard.workloads() {
		homes[wl.Mounts[0]], tokens[wl.Role.Token], roles[wl.ID] = true, true, wl.Role
	}
	if len(roles) != 2 || len(tokens) != 2 || tokens[""] {
		t.Errorf("%d tokens of %d generations; want one for each, whoever launches it", len(tokens), len(roles))
	}
	if len(homes) != 1 {
		t.Errorf("homes %v, want one", homes)
	}
	auditor, err := session.New(w.domain, w.guard, session.Config{})
	check(t, err)
	lines, asked := w.entries(auditor, session.AuditFilter{}), map[string]int{}
	chained(t, lines)
	for _, e := range lines {
		asked[e.Op]++
	}
	if asked["start"] != 1 || asked["suspend"] != 1 || asked["resume"] != 1 || asked[end] != 1 {
		t.Errorf("the audit record has %v", asked)
	}
	return reached
}

// Managers on one store, killed and begun anew at random while callers ask,
// never have two containers of a session, and end where the callers wanted.
func TestManyManagers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ids := []session.ID{"a", "b", "c", "d", "e"}
		var managers [3]atomic.Pointer[process]
		for i := range managers {
			managers[i].Store(w.process(0, false))
		}
		var callers sync.WaitGroup
		for i, id := range ids {
			callers.Go(func() {
				ask := func(call func(p *process) error) {
					for n := i; ; n++ {
						p := managers[n%len(managers)].Load()
						err := call(p)
						if err == nil {
							return
						}
						// It died, or has not yet heard of what another has done.
						if p.ctx.Err() == nil && !errors.Is(err, session.ErrState) {
							t.Errorf("%s: %v", id, err)
							return
						}
						time.Sleep(700 * time.Millisecond)
					}
				}
				ask(func(p *process) error { return second(p.Start(p.ctx, request(id))) })
				for range 8 {
					ask(func(p *process) error { return second(p.Wait(p.ctx, id, session.Running)) })
					ask(func(p *process) error { return second(p.Suspend(p.ctx, id, session.Order{})) })
					ask(func(p *process) error { return second(p.Wait(p.ctx, id, session.Suspended)) })
					ask(func(p *process) error { return second(p.Resume(p.ctx, id, session.ResumeRequest{})) })
				}
				ask(func(p *process) error {
					if i%2 == 1 {
						return second(p.Kill(p.ctx, id, session.Order{}))
					}
					return second(p.Stop(p.ctx, id, session.Order{}))
				})
				ask(func(p *process) error { return second(p.Wait(p.ctx, id, session.Stopped)) })
			})
		}
		done := make(chan struct{})
		go func() { // one dies and another takes its place, again and again
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				case <-time.After(1300 * time.Millisecond):
				}
				i := n % len(managers)
				managers[i].Load().end()
				managers[i].Store(w.process(0, false))
			}
		}()
		callers.Wait()
		close(done)
		time.Sleep(3 * time.Minute)
		if got := w.live(); len(got) != 0 {
			t.Errorf("%v live after the end", got)
		}
		for _, id := range ids {
			s, err := managers[2].Load().Get(t.Context(), id)
			check(t, err)
			if s.State != session.Stopped || s.Generation != 9 {
				t.Errorf("%+v", s)
			}
		}
	})
}
