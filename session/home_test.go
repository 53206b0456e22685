package session_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

func TestDeleteHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := within(t, time.Hour)
		w := newHomeWorld(t, fake.Maintenance)
		m := w.manager()
		check(t, m.DeleteHome(ctx, deleteAlice()))
		w.audit()

		launched := w.log.removals()
		if len(launched) != 1 {
			t.Fatalf("launched %+v, want one workload", launched)
		}
		got := launched[0]
		if got.ID != "research.home.200001.1" || got.User.UID != 0 || got.User.GID != 0 || got.Sharing != launcher.Exclusive ||
			!slices.Equal(got.Command, session.DeleteHomeCommand("/homes", 200001)) || got.Stdin != nil || got.Ports != nil {
			t.Errorf("launched %+v", got)
		}
		if len(got.Mounts) != 1 || strings.Contains(got.Mounts[0].Source, w.alice.Home.AccessPoint) {
			t.Errorf("it mounts %+v, want the root and nothing else", got.Mounts)
		}

		// Again is nothing, in whatever process.
		calls := len(w.Cloud.Calls())
		check(t, w.manager().DeleteHome(ctx, deleteAlice()))
		for _, c := range w.Cloud.Calls()[calls:] {
			if strings.HasPrefix(c.Action, "elasticfilesystem") && !strings.Contains(c.Action, "Describe") {
				t.Errorf("deleting again calls %s", c.Action)
			}
		}
		if n := len(w.log.removals()); n != 1 {
			t.Errorf("%d workloads", n)
		}

		// Who comes back has the uid and an empty home; who is new has neither.
		again, err := w.Domain.Onboard(ctx, domain.OnboardRequest{User: "alice"})
		check(t, err)
		if again.UID != 200001 || again.Home.Path != "/200001" || again.Home.AccessPoint == w.alice.Home.AccessPoint {
			t.Errorf("onboarded again as %+v", again)
		}
		zed, err := w.Domain.Onboard(ctx, domain.OnboardRequest{User: "zed"})
		check(t, err)
		if zed.UID == 200001 {
			t.Error("zed has alice's uid")
		}
		_, err = w.Sessions.Start(ctx, session.StartRequest{ID: "new", User: "alice", Image: "rstudio", InstanceType: "t3.medium"})
		check(t, err)
		_, err = w.Sessions.Wait(ctx, "new", session.Running)
		check(t, err)
		if got := w.names("200001"); len(got) > 0 {
			t.Errorf("the new home holds %q", got)
		}

		// And that home can be deleted as well.
		_, err = w.Sessions.Stop(ctx, "new", session.Order{})
		check(t, err)
		_, err = w.Sessions.Wait(ctx, "new", session.Stopped)
		check(t, err)
		check(t, w.files.WriteFile("200001/second", []byte("life"), 0o600))
		check(t, w.Domain.Offboard(ctx, "alice"))
		check(t, m.DeleteHome(ctx, deleteAlice()))
		if _, err := w.files.Stat("200001"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the second home: %v", err)
		}
		if got := w.log.removals(); len(got) != 2 || got[1].ID != "research.home.200001.2" {
			t.Errorf("launched %+v", got)
		}
		w.others()
	})
}

// TestDeleteHomeMissing: a home that no host ever mounted has no directory.
func TestDeleteHomeMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHomeWorld(t, fake.Maintenance)
		check(t, w.files.RemoveAll("200001"))
		check(t, w.manager().DeleteHome(within(t, time.Hour), deleteAlice()))
		w.audit()
	})
}

// TestDeleteHomeRefused: whatever is wrong stops it before anything is changed.
func TestDeleteHomeRefused(t *testing.T) {
	with := func(change func(*session.DeleteHomeRequest)) session.DeleteHomeRequest {
		q := deleteAlice()
		change(&q)
		return q
	}
	path := func(p string) session.DeleteHomeRequest {
		return with(func(q *session.DeleteHomeRequest) { q.Path = p })
	}
	for name, c := range map[string]struct {
		q     session.DeleteHomeRequest
		kind  error
		words []string
	}{
		"no path":        {path(""), domain.ErrInvalid, []string{"path is missing"}},
		"another's path": {path("/200002"), domain.ErrInvalid, []string{`"/200002"`, "alice"}},
		"root":           {path("/"), domain.ErrInvalid, []string{`"/"`}},
		"shared":         {path("/shared/genome"), domain.ErrInvalid, []string{"shared"}},
		"slash":          {path("/200001/"), domain.ErrInvalid, []string{`"/200001/"`}},
		"relative":       {path("200001"), domain.ErrInvalid, nil},
		"dots":           {path("/200002/../200001"), domain.ErrInvalid, nil},
		"inside":         {path("/200001/data"), domain.ErrInvalid, nil},
		"longer":         {path("/2000010"), domain.ErrInvalid, nil},
		"no user":        {with(func(q *session.DeleteHomeRequest) { q.User = "" }), domain.ErrInvalid, []string{"user"}},
		"no such user":   {with(func(q *session.DeleteHomeRequest) { q.User = "carol" }), domain.ErrNotFound, []string{"carol"}},
		"wrong user":     {with(func(q *session.DeleteHomeRequest) { q.User = "bob" }), domain.ErrInvalid, []string{"200001", "bob: is onboarded"}},
		"onboarded":      {session.DeleteHomeRequest{User: "bob", Path: "/200002", Image: "tools"}, domain.ErrState, []string{"offboard"}},
		"no image":       {with(func(q *session.DeleteHomeRequest) { q.Image = "" }), domain.ErrInvalid, []string{"image is missing"}},
		"no such image":  {with(func(q *session.DeleteHomeRequest) { q.Image = "scratch" }), domain.ErrNotFound, []string{"scratch"}},
		"no such type":   {with(func(q *session.DeleteHomeRequest) { q.InstanceType = "z9.huge" }), domain.ErrInvalid, []string{"z9.huge"}},
		"everything": {
			session.DeleteHomeRequest{User: "bob", Path: "/", Image: "scratch", InstanceType: "z9.huge"}, domain.ErrInvalid,
			[]string{`path "/"`, "offboard", "scratch", "z9.huge", "busy (running)", "paused (suspended)"},
		},
	} {
		inBubble(t, name, func(t *testing.T) {
			ctx := within(t, time.Hour)
			w := newHomeWorld(t, fake.Maintenance)
			if name == "everything" {
				for _, id := range []session.ID{"busy", "paused"} {
					_, err := w.Sessions.Start(ctx, session.StartRequest{ID: id, User: "bob", Image: "rstudio", InstanceType: "t3.medium"})
					check(t, err)
					_, err = w.Sessions.Wait(ctx, id, session.Running)
					check(t, err)
				}
				_, err := w.Sessions.Suspend(ctx, "paused", session.Order{})
				check(t, err)
				_, err = w.Sessions.Wait(ctx, "paused", session.Suspended)
				check(t, err)
			}
			fails(t, w.manager().DeleteHome(ctx, c.q), c.kind, c.words...)
			w.untouched()
			_, err := w.Domain.Onboard(ctx, domain.OnboardRequest{User: "alice"})
			check(t, err)
		})
	}
}

// TestDeleteHomeInUse: a session that can still come back keeps the home.
func TestDeleteHomeInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := within(t, time.Hour)
		w := newHomeWorld(t, fake.Maintenance)
		m := w.manager()
		_, err := w.Domain.Onboard(ctx, domain.OnboardRequest{User: "alice"})
		check(t, err)
		_, err = w.Sessions.Start(ctx, session.StartRequest{ID: "s1", User: "alice", Image: "rstudio", InstanceType: "t3.medium"})
		check(t, err)
		synctest.Wait() // the fleet has taken it
		check(t, w.Domain.Offboard(ctx, "alice"))
		refused := func(state string) {
			t.Helper()
			err := m.DeleteHome(ctx, deleteAlice())
			fails(t, err, session.ErrState, "s1 ("+state)
			if code := session.StatusCode(err); code != 409 {
				t.Errorf("status %d", code)
			}
			w.untouched()
		}
		refused("")
		_, err = w.Sessions.Wait(ctx, "s1", session.Running)
		check(t, err)
		refused("running")
		_, err = w.Sessions.Suspend(ctx, "s1", session.Order{})
		check(t, err)
		_, err = w.Sessions.Wait(ctx, "s1", session.Suspended)
		check(t, err)
		refused("suspended")
		_, err = w.Sessions.Stop(ctx, "s1", session.Order{})
		check(t, err)
		check(t, m.DeleteHome(ctx, deleteAlice()))
		w.audit()
	})
}
