package session_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// things are a user's membership, home and sessions that have not ended, as a
// preview names them.
func (w *world) things(m *session.Manager, user string) []string {
	w.t.Helper()
	var found []string
	u, err := w.domain.User(context.Background(), user)
	check(w.t, err)
	if u.Offboarded.IsZero() {
		found = append(found, "user "+user)
	}
	for s, err := range m.List(context.Background(), session.Filter{User: user}) {
		check(w.t, err)
		if !s.State.Ended() {
			found = append(found, "session "+string(s.ID))
		}
	}
	return append(found, "home "+user, "access point "+u.Home.AccessPoint)
}

func named(preview []domain.Consequence, fates ...domain.Fate) []string {
	var names []string
	for _, c := range preview {
		if slices.Contains(fates, c.Fate) {
			names = append(names, string(c.Thing)+" "+c.Name)
		}
	}
	return names
}

// TestOffboard: a user is refused, then their sessions end, whatever they do,
// others' go on, and the home stays: exactly what the preview said, in its order.
func TestOffboard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx := within(t, time.Hour)
		m := w.manager()
		started(t, m, request("runs"))
		started(t, m, request("suspended"))
		_, err := m.Suspend(ctx, "suspended", session.Order{})
		check(t, err)
		_, err = m.Wait(ctx, "suspended", session.Suspended)
		check(t, err)
		ended := request("ended")
		ended.Command = []string{"exit", "0"}
		_, err = m.Start(ctx, ended)
		check(t, err)
		_, err = m.Wait(ctx, "ended", session.Stopped)
		check(t, err)
		deaf := request("deaf") // has to be killed
		deaf.Command = []string{"ignore", "SIGTERM", ";", "wait"}
		started(t, m, deaf)
		other := request("other")
		other.User = "bob"
		started(t, m, other)

		before := w.things(m, "alice")
		preview, err := m.PreviewOffboard(ctx, "alice")
		check(t, err)
		if diff := cmp.Diff(before, w.things(m, "alice")); diff != "" {
			t.Errorf("a preview changes something:\n%s", diff)
		}
		if diff := cmp.Diff([]string{"user alice", "session deaf", "session runs", "session suspended"}, named(preview, domain.Ends)); diff != "" {
			t.Errorf("would end (-want +told):\n%s", diff)
		}
		check(t, m.Offboard(ctx, "alice", session.Order{}))
		after := w.things(m, "alice")
		gone := slices.DeleteFunc(before, func(name string) bool { return slices.Contains(after, name) })
		if diff := cmp.Diff(gone, named(preview, domain.Ends)); diff != "" {
			t.Errorf("what ended (-was +told):\n%s", diff)
		}
		if diff := cmp.Diff(after, named(preview, domain.Stays)); diff != "" {
			t.Errorf("what stays (-was +told):\n%s", diff)
		}
		if live := w.live(); !slices.Equal(live, []launcher.ID{"research.other.1"}) {
			t.Errorf("containers of %v live", live)
		}
		_, err = m.Start(ctx, request("late"))
		fails(t, err, domain.ErrNotAllowed, "was offboarded")
		check(t, m.Offboard(ctx, "alice", session.Order{}))
		fails(t, m.Offboard(ctx, "zed", session.Order{}), domain.ErrNotFound)
	})
}

// TestOffboardIsResumable cuts an offboarding short and ends it in another
// process.
func TestOffboardIsResumable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, end := w.run(w.guard, session.Config{})
		q := request("s1")
		q.Command = []string{"ignore", "SIGTERM", ";", "wait"}
		started(t, m, q)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := m.Offboard(ctx, "alice", session.Order{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("within two seconds: %v", err)
		}
		if u, err := w.domain.User(t.Context(), "alice"); err != nil || u.Offboarded.IsZero() {
			t.Errorf("the first step was not the first: %+v, %v", u, err)
		}
		end()
		fails(t, m.Offboard(within(t, time.Hour), "alice", session.Order{}), session.ErrNotRunning)
		m, _ = w.run(w.guard, session.Config{})
		check(t, m.Offboard(within(t, time.Hour), "alice", session.Order{}))
		if live := w.live(); live != nil {
			t.Errorf("containers of %v live", live)
		}
	})
}

// TestOffboardedIsNotLaunched: a session that waits when its user is offboarded
// is not launched any more, by whatever process.
func TestOffboardedIsNotLaunched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx := within(t, time.Hour)
		m, end := w.run(refusing{w.guard}, session.Config{})
		_, err := m.Start(ctx, request("s1"))
		check(t, err)
		synctest.Wait()
		end()
		check(t, w.domain.Offboard(ctx, "alice"))
		m = w.manager()
		s, err := m.Wait(ctx, "s1", session.Failed)
		check(t, err)
		if s.Message == "" || len(w.guard.workloads()) != 0 {
			t.Errorf("%+v, launched %v", s, w.guard.workloads())
		}
	})
}

// refusing takes nothing for the time being.
type refusing struct{ launcher.Launcher }

func (refusing) Launch(context.Context, launcher.Workload) (launcher.Status, error) {
	return launcher.Status{}, &launcher.Error{Op: "launch", Kind: launcher.ErrUnavailable}
}

// TestDeleteDomain: a domain is not deleted under its sessions, as the preview
// says.
func TestDeleteDomain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx := within(t, time.Hour)
		m := w.manager()
		started(t, m, request("s1"))
		preview, err := m.PreviewDeleteDomain(ctx)
		check(t, err)
		if got, want := named(preview, domain.Blocks), []string{"session s1", "user alice", "user bob"}; !slices.Equal(got, want) {
			t.Errorf("blocked by %v, want %v", got, want)
		}
		fails(t, m.DeleteDomain(ctx), session.ErrState, "the domain: has 1 sessions", "s1 (running)")
		for _, user := range []string{"alice", "bob"} { // which is not enough
			check(t, w.domain.Offboard(ctx, user))
		}
		fails(t, m.DeleteDomain(ctx), session.ErrState, "s1 (running)")
		if s, err := m.Get(ctx, "s1"); err != nil || s.State != session.Running {
			t.Errorf("%+v, %v", s, err)
		}
		check(t, m.Offboard(ctx, "alice", session.Order{}))
		preview, err = m.PreviewDeleteDomain(ctx)
		check(t, err)
		if got := named(preview, domain.Blocks); got != nil {
			t.Errorf("blocked by %v", got)
		}
		check(t, m.DeleteDomain(ctx))
		fails(t, m.DeleteDomain(ctx), domain.ErrNotFound)
	})
}
