package session_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

const (
	reader         = "arn:aws:iam::123456789012:role/reader"
	credentialsURL = "https://portal.example.com/credentials"
)

// acting is a session of a role.
func acting(id session.ID) session.StartRequest {
	q := request(id)
	q.Role = reader
	return q
}

// A session of a role is launched with it and a token that is its own; one
// without has neither.
func TestRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		check(t, w.domain.SetPolicy(t.Context(), domain.Policy{Roles: []string{reader}}))
		m, end := w.run(w.guard, session.Config{CredentialsURL: credentialsURL})
		s := started(t, m, acting("s1"))
		started(t, m, acting("s2"))
		started(t, m, request("s3"))
		if s.Role != reader {
			t.Errorf("the session tells of the role %q", s.Role)
		}
		launched := w.guard.workloads()
		one, two, none := launched[0].Role, launched[1].Role, launched[2].Role
		if one.ARN != reader || one.Endpoint != credentialsURL || len(one.Token) < 26 || one.Token == two.Token {
			t.Errorf("launched with %+v and %+v", one, two)
		}
		if none != (launcher.Role{}) {
			t.Errorf("without a role launched with %+v", none)
		}
		p, err := m.Principal(t.Context(), one.Token)
		want := session.Principal{Domain: "research", User: "alice", Session: "s1", Generation: 1, Role: reader}
		if err != nil || p != want {
			t.Errorf("Principal = %+v, %v; want %+v", p, err, want)
		}
		// Any process knows it, and none of them has to run.
		end()
		other, err := session.New(w.domain, w.guard, session.Config{})
		check(t, err)
		if p, err := other.Principal(t.Context(), one.Token); err != nil || p != want {
			t.Errorf("to another process: Principal = %+v, %v", p, err)
		}
		_, err = other.Principal(t.Context(), two.Token+"x")
		fails(t, err, session.ErrToken)
		if strings.Contains(err.Error(), two.Token) {
			t.Errorf("the error tells the token: %v", err)
		}
	})
}

func TestRoleRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, _ := w.run(w.guard, session.Config{CredentialsURL: credentialsURL})
		_, err := m.Start(t.Context(), acting("s1"))
		fails(t, err, domain.ErrNotAllowed, reader, "Policy.Roles")
		q := acting("s1")
		q.Role = "reader"
		_, err = m.Start(t.Context(), q)
		fails(t, err, domain.ErrInvalid, `role "reader"`)
		q = request("s1")
		q.Env = map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "https://elsewhere.example.com"}
		_, err = m.Start(t.Context(), q)
		fails(t, err, session.ErrInvalid, "AWS_CONTAINER_CREDENTIALS_FULL_URI")

		check(t, w.domain.SetPolicy(t.Context(), domain.Policy{Roles: []string{reader}}))
		unmounted, _ := w.run(w.guard, session.Config{})
		_, err = unmounted.Start(t.Context(), acting("s1"))
		fails(t, err, session.ErrInvalid, reader, "CredentialsURL", "session/credentials")
		if n := len(w.guard.workloads()); n != 0 {
			t.Errorf("%d launches of what was refused", n)
		}
	})
}

// A resumed session keeps its role, if it still may have it.
func TestRoleResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		allow := func(roles ...string) { check(t, w.domain.SetPolicy(t.Context(), domain.Policy{Roles: roles})) }
		allow(reader)
		m, _ := w.run(w.guard, session.Config{CredentialsURL: credentialsURL})
		unmounted, _ := w.run(w.guard, session.Config{})
		started(t, m, acting("s1"))
		_, err := m.Suspend(t.Context(), "s1", session.Order{})
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Suspended)
		check(t, err)

		allow()
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{})
		fails(t, err, domain.ErrNotAllowed, reader)
		allow(reader)
		_, err = unmounted.Resume(t.Context(), "s1", session.ResumeRequest{})
		fails(t, err, session.ErrInvalid, reader, "CredentialsURL")
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{})
		check(t, err)
		s, err := m.Wait(t.Context(), "s1", session.Running)
		check(t, err)
		launched := w.guard.workloads()
		if first, second := launched[0].Role, launched[1].Role; s.Role != reader || second.ARN != reader || second.Token == first.Token || second.Token == "" {
			t.Errorf("resumed as %q with %+v, first %+v", s.Role, second, first)
		}
	})
}

// Of a deleted session no token is kept.
func TestRoleDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		check(t, w.domain.SetPolicy(t.Context(), domain.Policy{Roles: []string{reader}}))
		m, _ := w.run(w.guard, session.Config{CredentialsURL: credentialsURL})
		started(t, m, acting("s1"))
		token := w.guard.workloads()[0].Role.Token
		kept := func() bool {
			r, err := w.store.Get(t.Context(), "domains/research/sessions", "s1")
			check(t, err)
			return strings.Contains(string(r.Value), token)
		}
		if !kept() {
			t.Error("the record of a live session has no token")
		}
		_, err := m.Stop(t.Context(), "s1", session.Order{})
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
		check(t, m.Delete(t.Context(), "s1", session.Order{}))
		if kept() {
			t.Error("the record of a deleted session has its token")
		}
	})
}

// A container may ask before its launch is recorded: it is to ask again, and
// is not told that its token is wrong.
func TestPrincipalBeforeTheLaunchIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		check(t, w.domain.SetPolicy(t.Context(), domain.Policy{Roles: []string{reader}}))
		l := &asking{Launcher: w.guard}
		m, _ := w.run(l, session.Config{CredentialsURL: credentialsURL})
		l.ask = func(ctx context.Context, token string) {
			_, err := m.Principal(ctx, token)
			fails(t, err, session.ErrUnavailable, "ask again")
		}
		started(t, m, acting("s1"))
		if !l.asked {
			t.Error("nobody asked")
		}
	})
}

// asking is a launcher whose containers ask before Launch returns.
type asking struct {
	launcher.Launcher
	ask   func(context.Context, string)
	asked bool
}

func (a *asking) Launch(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
	a.ask(ctx, w.Role.Token)
	a.asked = true
	return a.Launcher.Launch(ctx, w)
}

func TestCredentialsURL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, url := range []string{"http://portal.example.com/credentials", "/credentials", "https://a:b@portal.example.com/"} {
			_, err := session.New(w.domain, w.guard, session.Config{CredentialsURL: url, Deadlines: session.Deadlines{Pending: -time.Second}})
			fails(t, err, session.ErrInvalid, "credentials URL", "deadline Pending")
		}
	})
}
