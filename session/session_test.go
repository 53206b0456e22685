package session_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// The story of one session: the same home and image on another type.
func TestStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		q := request("analysis")
		q.Labels = map[string]string{"project": "genome"}

		first := started(t, m, q)
		if first.Generation != 1 || first.InstanceType != "t3.medium" || !first.PriceKnown || first.PricePerHour <= 0 ||
			first.Host == "" || first.Endpoints["http"] == "" || first.StartedAt.IsZero() || first.Labels["project"] != "genome" {
			t.Errorf("running: %+v", first)
		}
		if echo(t, m, "analysis") != "hello" {
			t.Error("the session does not answer")
		}

		s, err := m.Suspend(t.Context(), "analysis")
		check(t, err)
		if s.State != session.Suspending || s.Deadline.IsZero() {
			t.Errorf("Suspend returned %+v", s)
		}
		s, err = m.Wait(t.Context(), "analysis", session.Suspended)
		check(t, err)
		if len(w.live()) != 0 || s.Endpoints != nil {
			t.Errorf("suspended with %v live, %+v", w.live(), s)
		}
		if _, err := m.Dial(t.Context(), "analysis", "http"); !errors.Is(err, session.ErrState) {
			t.Errorf("Dial of a suspended session = %v", err)
		}

		// The tag moves on; the session does not.
		_, err = w.domain.Attach(t.Context(), domain.AttachRequest{Name: "custom", Reference: "registry.example.com/custom:1", Default: true})
		check(t, err)
		s, err = m.Resume(t.Context(), "analysis", session.ResumeRequest{InstanceType: "ml.r5.4xlarge"})
		check(t, err)
		if s.State != session.Pending || s.Generation != 2 {
			t.Errorf("Resume returned %+v", s)
		}
		second, err := m.Wait(t.Context(), "analysis", session.Running)
		check(t, err)
		synctest.Wait()
		if second.InstanceType != "r5.4xlarge" || second.Reference != first.Reference || second.Image != first.Image || second.PricePerHour <= first.PricePerHour {
			t.Errorf("resumed: %+v", second)
		}
		if got := output(t, m, "analysis"); got != "0\n1\n" {
			t.Errorf("the home holds %q, want what both generations made", got)
		}

		_, err = m.Stop(t.Context(), "analysis")
		check(t, err)
		s, err = m.Wait(t.Context(), "analysis", session.Stopped)
		check(t, err)
		if s.EndedAt.IsZero() || s.Reason != "" || s.ExitCode != 0 {
			t.Errorf("stopped: %+v", s)
		}
		if got := w.live(); len(got) != 0 {
			t.Errorf("%v live after the end", got)
		}
	})
}

func output(t testing.TB, m *session.Manager, id session.ID) string {
	t.Helper()
	r, err := m.Logs(t.Context(), id, launcher.LogOptions{Stream: launcher.Stdout})
	check(t, err)
	defer r.Close()
	text, err := io.ReadAll(r)
	check(t, err)
	return string(text)
}

func echo(t testing.TB, m *session.Manager, id session.ID) string {
	t.Helper()
	c, err := m.Dial(t.Context(), id, "http")
	check(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "hello")
	check(t, err)
	text := make([]byte, 5)
	_, err = io.ReadFull(c, text)
	check(t, err)
	return string(text)
}

// What a container is given follows from the session and its grant.
func TestWorkload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		q := request("s1")
		q.Size = domain.Size{MilliCPU: 500, MemoryMiB: 1024}
		q.Env = map[string]string{"LANG": "C"}
		q.Labels = map[string]string{"team": "x"}
		q.Command = strings.Fields("id ; env HOME ; env USER ; env LANG ; echo ; wait")
		q.Stdin = []byte("input\n")
		q.Kind = session.Kind{Name: "shell", Home: "/mnt/{user}/home", StopSignal: "SIGINT"}
		started(t, m, q)
		alice, err := w.domain.User(t.Context(), "alice")
		check(t, err)
		got := w.guard.workloads()[0]
		if got.ID != "research.s1.1" || got.Owner != "research/alice" || got.InstanceType != "t3.medium" || got.StopSignal != "SIGINT" ||
			got.Resources != (launcher.Resources{MilliCPU: 500, MemoryMiB: 1024}) || got.Sharing != launcher.PerOwner || len(got.Ports) != 0 {
			t.Errorf("workload %+v", got)
		}
		if got.User.UID != alice.UID || got.User.GID != alice.GID || alice.UID == 0 {
			t.Errorf("workload of %+v, want alice's %d", got.User, alice.UID)
		}
		if !strings.Contains(got.Image, "@sha256:") {
			t.Errorf("image %q is not by digest", got.Image)
		}
		home := launcher.Mount{Source: "/efs/" + alice.Home.FileSystem + "." + alice.Home.AccessPoint, Target: "/mnt/alice/home"}
		if len(got.Mounts) != 1 || got.Mounts[0] != home {
			t.Errorf("mounts %+v, want %+v", got.Mounts, home)
		}
		for k, v := range map[string]string{"atelier.domain": "research", "atelier.session": "s1", "atelier.generation": "1", "team": "x"} {
			if got.Labels[k] != v {
				t.Errorf("label %s = %q, want %q", k, got.Labels[k], v)
			}
		}
		if text := output(t, m, "s1"); !strings.HasSuffix(text, "/mnt/alice/home\nalice\nC\ninput\n") {
			t.Errorf("the container saw %q", text)
		}
	})
}

func TestStartIsIdempotent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		q := request("s1")
		first, err := m.Start(t.Context(), q)
		check(t, err)
		synctest.Wait()
		// What has changed since is not looked at: the session was granted.
		check(t, w.domain.SetPolicy(t.Context(), domain.Policy{Types: []string{"m5.*"}}))
		again, err := m.Start(t.Context(), q)
		check(t, err)
		if !again.CreatedAt.Equal(first.CreatedAt) || again.State != session.Running {
			t.Errorf("the same request: %+v, first %+v", again, first)
		}
		empty := q
		empty.Env, empty.Labels, empty.Kind = map[string]string{}, map[string]string{}, session.RStudio()
		if _, err := m.Start(t.Context(), empty); err != nil {
			t.Errorf("the same request, written otherwise: %v", err)
		}
		for what, change := range map[string]func(*session.StartRequest){
			"user":    func(q *session.StartRequest) { q.User = "bob" },
			"image":   func(q *session.StartRequest) { q.Image = "custom" },
			"type":    func(q *session.StartRequest) { q.InstanceType = "t3.large" },
			"size":    func(q *session.StartRequest) { q.Size.MilliCPU = 1 },
			"kind":    func(q *session.StartRequest) { q.Kind = session.Kind{Name: "other"} },
			"command": func(q *session.StartRequest) { q.Command = []string{"wait"} },
			"env":     func(q *session.StartRequest) { q.Env = map[string]string{"A": "b"} },
			"stdin":   func(q *session.StartRequest) { q.Stdin = []byte("x") },
			"labels":  func(q *session.StartRequest) { q.Labels = map[string]string{"a": "b"} },
		} {
			other := q
			change(&other)
			if _, err := m.Start(t.Context(), other); !errors.Is(err, session.ErrConflict) {
				t.Errorf("another %s with the same ID: %v, want ErrConflict", what, err)
			}
		}
		if n := len(w.guard.workloads()); n != 1 {
			t.Errorf("%d launches, want 1", n)
		}
	})
}

// A retry after the end returns the end and starts nothing.
func TestStartAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		q := request("s1")
		q.Command = []string{"exit", "3"}
		_, err := m.Start(t.Context(), q)
		check(t, err)
		s, err := m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
		if s.ExitCode != 3 || s.Reason != "" {
			t.Errorf("ended with %+v", s)
		}
		time.Sleep(2 * time.Hour) // the launcher has forgotten it
		s, err = m.Start(t.Context(), q)
		check(t, err)
		time.Sleep(time.Minute)
		if s.State != session.Stopped || len(w.guard.workloads()) != 1 {
			t.Errorf("started again: %+v", s)
		}
	})
}

func TestInvalidRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		for _, id := range []session.ID{"", "a/b", "../x", "a b", "a\nb", "a\x00b", "Upper", "1st", "-a", "ümlaut", "abcdefghijklmnopqrstu"} {
			q := request(id)
			_, err := m.Start(t.Context(), q)
			fails(t, err, session.ErrInvalid, "want 1 to 20", "start")
			if strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("the error for %q holds control characters: %q", id, err)
			}
			for name, call := range map[string]func() error{
				"get":     func() error { _, err := m.Get(t.Context(), id); return err },
				"suspend": func() error { _, err := m.Suspend(t.Context(), id); return err },
				"resume":  func() error { _, err := m.Resume(t.Context(), id, session.ResumeRequest{}); return err },
				"stop":    func() error { _, err := m.Stop(t.Context(), id); return err },
				"wait":    func() error { _, err := m.Wait(t.Context(), id, session.Running); return err },
				"dial":    func() error { _, err := m.Dial(t.Context(), id, "http"); return err },
				"logs":    func() error { _, err := m.Logs(t.Context(), id, launcher.LogOptions{}); return err },
				"delete":  func() error { return m.Delete(t.Context(), id) },
			} {
				if err := call(); !errors.Is(err, session.ErrInvalid) {
					t.Errorf("%s of %q = %v", name, id, err)
				}
			}
		}

		// Everything wrong is said at once, also what the domain sees.
		_, err := m.Start(t.Context(), session.StartRequest{
			ID: "Bad Name", User: "nobody", Image: "absent", InstanceType: "t3.mediun",
			Size: domain.Size{MilliCPU: -1},
			Kind: session.Kind{Name: "X", StopGrace: -1, SuspendSignal: "usr1", StopSignal: "term", Home: "relative",
				Ports: []launcher.Port{{Name: "http", Number: 0}}},
			Env:     map[string]string{"HOME": "/", "A=B": "secret-value"},
			Labels:  map[string]string{"atelier.domain": "x"},
			Command: []string{"\xff"},
		})
		fails(t, err, session.ErrInvalid, "Bad Name", "nobody", "absent", "t3.mediun", "size", `"X"`, "grace", "usr1", "term", "relative",
			"http", "HOME", "A=B", "atelier.domain", "UTF-8")
		if strings.Contains(err.Error(), "secret-value") {
			t.Errorf("the error shows a value: %v", err)
		}
		big := request("big")
		big.Stdin = make([]byte, 200<<10)
		_, err = m.Start(t.Context(), big)
		fails(t, err, session.ErrInvalid, "bytes", "home")

		for s, err := range m.List(t.Context(), session.Filter{}) {
			t.Errorf("something was created: %v, %v", s, err)
		}
		if _, err := m.Wait(t.Context(), "s1"); !errors.Is(err, session.ErrInvalid) {
			t.Errorf("Wait for no state = %v", err)
		}
		if _, err := m.Wait(t.Context(), "s1", "happy"); !errors.Is(err, session.ErrInvalid) {
			t.Errorf("Wait for an unknown state = %v", err)
		}
		if _, err := session.New(nil, nil, session.Config{Deadlines: session.Deadlines{Pending: -1}}); err != nil {
			fails(t, err, session.ErrInvalid, "domain", "launcher", "deadlines")
		} else {
			t.Error("New without anything succeeded")
		}
	})
}

// What the domain refuses keeps its kind, and leaves nothing.
func TestDomainRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		started(t, m, request("before"))
		_, err := m.Suspend(t.Context(), "before")
		check(t, err)
		_, err = m.Wait(t.Context(), "before", session.Suspended)
		check(t, err)
		check(t, w.domain.SetPolicy(t.Context(), domain.Policy{Types: []string{"m5.*"}}))

		_, err = m.Start(t.Context(), request("s1"))
		fails(t, err, domain.ErrNotAllowed, "s1", "t3.medium")
		if code := session.StatusCode(err); code != 403 {
			t.Errorf("status %d, want 403", code)
		}
		if _, err := m.Get(t.Context(), "s1"); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("a refused start left %v", err)
		}
		q := request("s2")
		q.User = "nobody"
		_, err = m.Start(t.Context(), q)
		fails(t, err, domain.ErrNotFound, "nobody")

		// A resume is decided anew, and what is refused stays as it was.
		_, err = m.Resume(t.Context(), "before", session.ResumeRequest{})
		fails(t, err, domain.ErrNotAllowed, "before", "t3.medium")
		s, err := m.Get(t.Context(), "before")
		check(t, err)
		if s.State != session.Suspended || s.Generation != 1 {
			t.Errorf("a refused resume left %+v", s)
		}
		_, err = m.Resume(t.Context(), "before", session.ResumeRequest{InstanceType: "m5.large"})
		check(t, err)
	})
}

func TestRefusedByState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		q := request("s1")
		q.Command = strings.Fields("ignore SIGTERM ; wait")
		s := started(t, m, q)
		// Asking for what is already so does nothing.
		same, err := m.Resume(t.Context(), "s1", session.ResumeRequest{InstanceType: "ml.t3.medium"})
		check(t, err)
		if same.Generation != s.Generation || same.State != session.Running {
			t.Errorf("Resume of a running session: %+v", same)
		}
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{InstanceType: "r5.4xlarge"})
		fails(t, err, session.ErrState, "t3.medium", "suspend it first")
		fails(t, m.Delete(t.Context(), "s1"), session.ErrState, "running", "stop it first")
		_, err = m.Stop(t.Context(), "s1")
		check(t, err)
		_, err = m.Suspend(t.Context(), "s1")
		fails(t, err, session.ErrState, "stopping")
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{})
		fails(t, err, session.ErrState, "stopping", "new session")
		_, err = m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
		s, err = m.Stop(t.Context(), "s1")
		check(t, err)
		if s.State != session.Stopped {
			t.Errorf("Stop of a stopped session: %+v", s)
		}
		_, err = m.Wait(t.Context(), "s1", session.Running)
		fails(t, err, session.ErrState, "stopped", "exit code 137")
		if _, err := m.Stop(t.Context(), "none"); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("Stop of an unknown session = %v", err)
		}
	})
}

func TestStopBeforeAnythingWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := &stuck{Launcher: w.guard, release: make(chan struct{})}
		m, _ := w.run(l, session.Config{})
		_, err := m.Start(t.Context(), request("s1"))
		check(t, err)
		synctest.Wait() // Launch hangs
		_, err = m.Stop(t.Context(), "s1")
		check(t, err)
		close(l.release)
		s, err := m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
		time.Sleep(time.Minute)
		if len(w.live()) != 0 {
			t.Errorf("a launch that was on its way lives: %v, %+v", w.live(), s)
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

// Another manager takes up what one that hangs, or has died, has recorded.
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
		if d := time.Since(begun); d > 3*time.Second {
			t.Errorf("taken up after %v: %+v", d, s)
		}
		if _, err := hung.Wait(t.Context(), "s1", session.Running); err != nil {
			t.Errorf("the other manager's watchers do not hear of it: %v", err)
		}
	})
}

// overtaken is a store in which something happens just before the n-th Put.
type overtaken struct {
	store.Store
	at     int64
	puts   atomic.Int64
	happen func()
}

func (s *overtaken) Put(ctx context.Context, r store.Record) (int64, error) {
	if s.puts.Add(1) == s.at {
		s.happen()
	}
	return s.Store.Put(ctx, r)
}

// Of two callers with one request at the same time, the later one gets the
// session of the earlier.
func TestStartOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		well := w.manager()
		o := &overtaken{Store: w.store, at: 1}
		m, _ := w.runOn(w.domainOn(o), w.guard, session.Config{})
		var first session.Session
		o.happen = func() {
			var err error
			first, err = well.Start(t.Context(), request("s1"))
			check(t, err)
		}
		s, err := m.Start(t.Context(), request("s1"))
		check(t, err)
		if !s.CreatedAt.Equal(first.CreatedAt) {
			t.Errorf("two sessions: %+v, %+v", first, s)
		}
	})
}

// A session that is stopped by another process between the decision to launch
// it and its record is not launched.
func TestStopOvertakesLaunch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := &overtaken{Store: w.store, at: 2} // the first makes the record
		o.happen = func() {
			other, end := w.run(&stuck{Launcher: w.guard}, session.Config{})
			_, err := other.Stop(t.Context(), "s1")
			check(t, err)
			_, err = other.Wait(t.Context(), "s1", session.Stopped)
			check(t, err)
			end()
		}
		m, _ := w.runOn(w.domainOn(o), w.guard, session.Config{})
		_, err := m.Start(t.Context(), request("s1"))
		check(t, err)
		time.Sleep(time.Minute)
		if n := len(w.guard.workloads()); n != 0 {
			t.Errorf("launched %d times after it was stopped", n)
		}
	})
}

// outdated is a store whose first sweep reads a record as it was long ago.
type outdated struct {
	store.Store
	lists atomic.Int64
	from  int64
	edit  func(store.Record) store.Record
}

func (s *outdated) List(ctx context.Context, collection, after string) iter.Seq2[store.Record, error] {
	n := s.lists.Add(1)
	return func(yield func(store.Record, error) bool) {
		for r, err := range s.Store.List(ctx, collection, after) {
			if n >= s.from && err == nil {
				r = s.edit(r)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// A record that was made anew under a deleted one's ID is not purged by who has
// read the old one.
func TestPurgeOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := &outdated{Store: w.store, from: 1 << 60, edit: func(r store.Record) store.Record {
			r.Value = bytes.Replace(r.Value, []byte(`"ID":"s1"`), []byte(`"ID":"s1","Deleted":"1999-01-01T00:00:00Z"`), 1)
			return r
		}}
		d := w.domainOn(o)
		m, end := w.runOn(d, w.guard, session.Config{})
		started(t, m, request("s1"))
		end()
		o.from = 0
		_, end = w.runOn(d, w.guard, session.Config{})
		time.Sleep(35 * time.Second) // one sweep
		end()
		if n := countRecords(t, w, "domains/research/sessions"); n != 1 {
			t.Errorf("%d records, want the one", n)
		}
	})
}

// The caller's maps stay the caller's.
func TestRequestIsCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		q := request("s1")
		q.Labels = map[string]string{"project": "genome"}
		s := started(t, m, q)
		q.Labels["project"] = "other"
		s.Labels["project"] = "third"
		s.Kind.Ports[0].Name = "else"
		for s := range m.Watch(t.Context(), session.Filter{}) {
			if s.Labels["project"] != "genome" || s.Kind.Ports[0].Name != "http" {
				t.Errorf("changed from outside: %+v", s)
			}
			break
		}
	})
}

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
			"suspend": func() error { _, err := m.Suspend(t.Context(), "s1"); return err },
			"resume":  func() error { _, err := m.Resume(t.Context(), "s1", session.ResumeRequest{}); return err },
			"stop":    func() error { _, err := m.Stop(t.Context(), "s1"); return err },
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
		s, err := m2.Stop(t.Context(), "s1")
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

func TestListAndWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		for _, id := range []session.ID{"b", "a", "c"} {
			q := request(id)
			q.Labels = map[string]string{"of": string(id)}
			if id == "c" {
				q.User = "bob"
			}
			started(t, m, q)
		}
		_, err := m.Suspend(t.Context(), "a")
		check(t, err)
		_, err = m.Wait(t.Context(), "a", session.Suspended)
		check(t, err)
		for want, f := range map[string]session.Filter{
			"a b c": {},
			"a b":   {User: "alice"},
			"b c":   {States: []session.State{session.Running}},
			"b":     {User: "alice", States: []session.State{session.Running, session.Starting}},
			"c":     {Labels: map[string]string{"of": "c"}},
			"":      {Labels: map[string]string{"of": "d"}},
		} {
			var listed, watched []string
			for s, err := range m.List(t.Context(), f) {
				check(t, err)
				listed = append(listed, string(s.ID))
			}
			for s, err := range m.Watch(t.Context(), f) {
				check(t, err)
				if s.ID == "" {
					break
				}
				watched = append(watched, string(s.ID))
			}
			if got := strings.Join(listed, " "); got != want || !slices.Equal(listed, watched) {
				t.Errorf("%+v: listed %v, watched %v, want %q", f, listed, watched, want)
			}
		}
		// Then come the changes.
		var seen []session.State
		_, err = m.Resume(t.Context(), "a", session.ResumeRequest{})
		check(t, err)
		for s, err := range m.Watch(t.Context(), session.Filter{}) {
			check(t, err)
			if s.ID == "a" {
				seen = append(seen, s.State)
				if s.State == session.Running {
					break
				}
			}
		}
		if seen[len(seen)-1] != session.Running {
			t.Errorf("watched %v", seen)
		}
	})
}

func TestDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, end := w.run(w.guard, session.Config{})
		q := request("s1")
		q.Command = []string{"exit", "0"}
		_, err := m.Start(t.Context(), q)
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
		check(t, m.Delete(t.Context(), "s1"))
		if _, err := m.Get(t.Context(), "s1"); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("Get after Delete = %v", err)
		}
		for s := range m.List(t.Context(), session.Filter{}) {
			t.Errorf("listed after Delete: %+v", s)
		}
		fails(t, m.Delete(t.Context(), "s1"), session.ErrNotFound)
		// A request that was under way does not start it anew.
		_, err = m.Start(t.Context(), q)
		fails(t, err, session.ErrConflict, "deleted")
		time.Sleep(5 * time.Minute)
		for s, err := range w.host.List(t.Context(), launcher.Filter{}) {
			t.Errorf("the launcher still keeps %v, %v", s.ID, err)
		}
		end()
		time.Sleep(24 * time.Hour)
		m = w.manager()
		time.Sleep(time.Minute)
		if n := countRecords(t, w, "domains/research/sessions"); n != 0 {
			t.Errorf("%d records are left a day later", n)
		}
		_, err = m.Start(t.Context(), q)
		check(t, err)
	})
}

func countRecords(t testing.TB, w *world, collection string) (n int) {
	t.Helper()
	for _, err := range w.store.List(t.Context(), collection, "") {
		check(t, err)
		n++
	}
	return n
}

func TestNewID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		seen := map[session.ID]bool{}
		for range 20 {
			id := session.NewID()
			if seen[id] {
				t.Errorf("%s twice", id)
			}
			seen[id] = true
			_, err := m.Start(t.Context(), request(id))
			check(t, err)
		}
	})
}
