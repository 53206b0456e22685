package session_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/session"
)

// TestLogin: a session has its user's login, and the home by it, and when it is resumed
// the one that the user has by then. By the user's name it is found all the same.
func TestLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		as := func(login string) {
			t.Helper()
			_, err := w.domain.Onboard(t.Context(), domain.OnboardRequest{User: "alice", Login: login})
			check(t, err)
		}
		has := func(generation int, login string) {
			t.Helper()
			all := w.guard.workloads()
			got := all[len(all)-1]
			if got.Env["USER"] != login || got.Env["LOGNAME"] != login || got.Env["HOME"] != "/home/"+login || got.Mounts[0].Target != "/home/"+login || got.Owner != "research/alice" {
				t.Errorf("generation %d has %v, mounts %v, of %s; want %s", generation, got.Env, got.Mounts, got.Owner, login)
			}
		}
		as("jane.doe")
		q := request("s1")
		q.Command = strings.Fields("wait")
		started(t, m, q)
		has(1, "jane.doe")
		as("jane.smith")
		if s, err := m.Start(t.Context(), q); err != nil || s.User != "alice" { // again, by the same request
			t.Errorf("%+v, %v", s, err)
		}
		_, err := m.Suspend(t.Context(), "s1", session.Order{})
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Suspended)
		check(t, err)
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{})
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Running)
		check(t, err)
		has(2, "jane.smith")
	})
}

// TestLoginHidesNothing: where the home is depends on the login, which may hide what a
// session has beside it.
func TestLoginHidesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := lab(t)
		ctx := within(t, time.Hour)
		_, err := w.Domain.CreateProject(ctx, domain.CreateProjectRequest{Name: "alpha", Groups: []string{"lab"}})
		check(t, err)
		q := session.StartRequest{ID: "s1", User: "alice", InstanceType: "t3.medium", Projects: []string{"alpha"}, Kind: session.Kind{Name: "odd", Home: "/{user}"}}
		_, err = w.Domain.Onboard(ctx, domain.OnboardRequest{User: "alice", Login: "projects", Groups: []string{"lab"}})
		check(t, err)
		_, err = w.Sessions.Start(ctx, q)
		fails(t, err, session.ErrInvalid, "/projects/ is where")
		_, err = w.Domain.Onboard(ctx, domain.OnboardRequest{User: "alice", Login: "projects.alice", Groups: []string{"lab"}})
		check(t, err)
		_, err = w.Sessions.Start(ctx, q)
		check(t, err)
	})
}
