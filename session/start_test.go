package session_test

import (
	"errors"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

func TestStartIsIdempotent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, _ := w.run(w.guard, session.Config{CredentialsURL: credentialsURL})
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
		empty.Env, empty.Labels, empty.Kind = map[string]string{}, map[string]string{}, plainKind()
		if _, err := m.Start(t.Context(), empty); err != nil {
			t.Errorf("the same request, written otherwise: %v", err)
		}
		for what, change := range map[string]func(*session.StartRequest){
			"user":         func(q *session.StartRequest) { q.User = "bob" },
			"image":        func(q *session.StartRequest) { q.Image = "custom" },
			"type":         func(q *session.StartRequest) { q.InstanceType = "t3.large" },
			"alternatives": func(q *session.StartRequest) { q.Alternatives = []string{"t3.large"} },
			"market":       func(q *session.StartRequest) { q.Market = launcher.Spot },
			"interruption": func(q *session.StartRequest) { q.OnInterruption = session.StaySuspended },
			"size":         func(q *session.StartRequest) { q.Size.MilliCPU = 1 },
			"projects":     func(q *session.StartRequest) { q.Projects = []string{"alpha"} },
			"mounts":       func(q *session.StartRequest) { q.Mounts = []string{"data"} },
			"role":         func(q *session.StartRequest) { q.Role = reader },
			"kind":         func(q *session.StartRequest) { q.Kind = session.Kind{Name: "other"} },
			"command":      func(q *session.StartRequest) { q.Command = []string{"wait"} },
			"env":          func(q *session.StartRequest) { q.Env = map[string]string{"A": "b"} },
			"stdin":        func(q *session.StartRequest) { q.Stdin = []byte("x") },
			"labels":       func(q *session.StartRequest) { q.Labels = map[string]string{"a": "b"} },
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
				"suspend": func() error { _, err := m.Suspend(t.Context(), id, session.Order{}); return err },
				"resume":  func() error { _, err := m.Resume(t.Context(), id, session.ResumeRequest{}); return err },
				"stop":    func() error { _, err := m.Stop(t.Context(), id, session.Order{}); return err },
				"kill":    func() error { _, err := m.Kill(t.Context(), id, session.Order{}); return err },
				"usage":   func() error { _, err := m.Usage(t.Context(), id); return err },
				"wait":    func() error { _, err := m.Wait(t.Context(), id, session.Running); return err },
				"dial":    func() error { _, err := m.Dial(t.Context(), id, "http"); return err },
				"logs":    func() error { _, err := m.Logs(t.Context(), id, launcher.LogOptions{}); return err },
				"delete":  func() error { return m.Delete(t.Context(), id, session.Order{}) },
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
			Kind: session.Kind{Name: "X", StopGrace: -1, SuspendSignal: "SIGUSR", StopSignal: "term", Home: "relative",
				Ports: []launcher.Port{{Name: "http", Number: 0}}},
			Env:          map[string]string{"HOME": "/", "LOGNAME": "root", "A=B": "secret-value"},
			Labels:       map[string]string{"atelier.domain": "x"},
			Alternatives: []string{"t3.hugge"}, Market: "cheap", OnInterruption: "panic",
			Command: []string{"\xff"}, Dir: "work",
			Annotations: map[string]string{"atelier.note": "secret-value", strings.Repeat("k", 64): "", "bad": "secret-value\xff"},
		})
		fails(t, err, session.ErrInvalid, "Bad Name", "nobody", "absent", "t3.mediun", "size", `"X"`, "grace", "SIGUSR", "term", "relative",
			"http", "HOME", "variable LOGNAME", "A=B", "atelier.domain", "UTF-8", `directory "work"`, `annotation "atelier.note"`, `annotation "kkkk`, "t3.hugge", `market "cheap"`, `interruption policy "panic"`)
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
		_, err = session.New(nil, nil, session.Config{Deadlines: session.Deadlines{Pending: -time.Second, Starting: time.Hour, Stopping: -1}})
		fails(t, err, session.ErrInvalid, "domain", "launcher", "deadline Pending is -1s", "deadline Stopping is -1ns", "zero for the default")
		if strings.Contains(err.Error(), "Starting") {
			t.Errorf("%v names a deadline that is right", err)
		}
	})
}

// A state that does not exist is refused by name, not waited for in vain.
func TestUnknownStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		started(t, m, request("s1"))
		_, err := m.Wait(t.Context(), "s1")
		fails(t, err, session.ErrInvalid, "no state", `"running"`)
		some := []session.State{"sleepy", session.Running, "happy"}
		_, err = m.Wait(t.Context(), "s1", some...)
		fails(t, err, session.ErrInvalid, `["sleepy" "happy"]`, `"suspended"`)
		for name, list := range map[string]iter.Seq2[session.Session, error]{
			"list":  m.List(t.Context(), session.Filter{States: some}),
			"watch": m.Watch(t.Context(), session.Filter{States: some}),
		} {
			n := 0
			for s, err := range list {
				n++
				fails(t, err, session.ErrInvalid, name, `["sleepy" "happy"]`, `"suspended"`)
				if s.ID != "" || n > 1 {
					t.Errorf("%s yields %+v as its element %d", name, s, n)
				}
			}
			if n == 0 {
				t.Errorf("%s yields nothing", name)
			}
		}
	})
}

// What the domain refuses keeps its kind, and leaves nothing.
func TestDomainRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		started(t, m, request("before"))
		_, err := m.Suspend(t.Context(), "before", session.Order{})
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
