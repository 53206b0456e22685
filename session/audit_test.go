package session_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/session"
)

// entries reads the audit record.
func (w *world) entries(m *session.Manager, f session.AuditFilter) (all []session.Entry) {
	w.t.Helper()
	for e, err := range m.Audit(w.t.Context(), f) {
		check(w.t, err)
		all = append(all, e)
	}
	return all
}

// chained checks that the record of each session is without a gap: each change of
// state begins where the last one ended, and each stands there once.
func chained(t testing.TB, all []session.Entry) {
	t.Helper()
	at, seen := map[session.ID]session.State{}, map[string]bool{}
	for _, e := range all {
		if e.Refused == "" && e.From != at[e.Session] || seen[e.ID] {
			t.Errorf("%s %s %s: from %q to %q, and it was %q", e.ID, e.Session, e.Op, e.From, e.To, at[e.Session])
		}
		if seen[e.ID] = true; e.Refused == "" {
			at[e.Session] = e.To
		}
	}
}

// TestAudit: the record says who did what to which session and what came of it, and
// what the manager and the world did; by session, user, person, time and place.
func TestAudit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		check(t, w.domain.SetPolicy(t.Context(), domain.Policy{Types: []string{"t3.*"}}))
		m := w.manager()
		q := request("s1")
		q.Order = session.Order{By: "alice", Why: "a new analysis"}
		started(t, m, q)
		time.Sleep(time.Minute)
		_, err := m.Suspend(t.Context(), "s1", session.Order{By: "bob", ID: "o1", Why: "lunch"})
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Suspended)
		check(t, err)
		noon := time.Now()
		time.Sleep(time.Minute)
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{InstanceType: "p4d.24xlarge", Order: session.Order{By: "alice"}})
		fails(t, err, domain.ErrNotAllowed)
		time.Sleep(time.Second)
		_, err = m.Start(t.Context(), session.StartRequest{ID: "s2", User: "bob", InstanceType: "r5.large", Order: session.Order{By: "bob"}})
		fails(t, err, domain.ErrNotAllowed)
		time.Sleep(time.Second)
		_, err = m.Stop(t.Context(), "s1", session.Order{By: "alice"})
		check(t, err)
		check(t, m.Delete(t.Context(), "s1", session.Order{By: "admin"}))

		var got []string
		all := w.entries(m, session.AuditFilter{})
		for _, e := range all {
			got = append(got, fmt.Sprintf("%s %s by %s (%s): %s -> %s %s", e.Session, e.Op, e.By, e.Why, e.From, e.To, e.Refused))
		}
		want := []string{
			"s1 start by alice (a new analysis):  -> pending ",
			"s1 runs by atelier (): pending -> running ",
			"s1 suspend by bob (lunch): running -> suspending ",
			"s1 exited by atelier (): suspending -> suspended ",
			"s1 resume by alice (): suspended -> suspended not allowed",
			"s2 start by bob ():  ->  not allowed",
			"s1 stop by alice (): suspended -> stopped ",
			"s1 delete by admin (): stopped -> stopped ",
		}
		if !slices.Equal(got, want) {
			t.Errorf("the record is\n%q, want\n%q", got, want)
		}
		chained(t, all)
		for name, c := range map[string]struct {
			filter session.AuditFilter
			want   int
		}{
			"session": {session.AuditFilter{Session: "s2"}, 1},
			"user":    {session.AuditFilter{User: "alice"}, 7},
			"by":      {session.AuditFilter{By: "alice"}, 3},
			"since":   {session.AuditFilter{Since: noon.Add(time.Second)}, 4},
			"until":   {session.AuditFilter{Until: noon.Add(time.Second)}, 4},
			"after":   {session.AuditFilter{After: all[5].ID}, 2},
			"none":    {session.AuditFilter{User: "carol"}, 0},
		} {
			if n := len(w.entries(m, c.filter)); n != c.want {
				t.Errorf("%s: %d entries, want %d", name, n, c.want)
			}
		}
		for e := range m.Audit(t.Context(), session.AuditFilter{Session: "s2"}) {
			if e.User != "bob" || e.Message == "" {
				t.Errorf("it tells %+v", e)
			}
		}
	})
}

// TestLast: a session tells what was asked last, by whom and why.
func TestLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		started(t, m, request("s1"))
		_, err := m.Stop(t.Context(), "s1", session.Order{By: "admin", Why: "maintenance tonight"})
		check(t, err)
		s, err := m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
		if s.Last.Op != "stop" || s.Last.By != "admin" || s.Last.Why != "maintenance tonight" || s.Last.At.IsZero() {
			t.Errorf("it tells %+v", s.Last)
		}
	})
}

// TestOrders: an order of an ID that was followed changes nothing, whatever was asked
// since, also by another process; one for something else is a mistake.
func TestOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, end := w.run(w.guard, session.Config{})
		started(t, m, request("s1"))
		suspend, resume := session.Order{ID: "suspend once"}, session.Order{ID: "resume once"}
		_, err := m.Suspend(t.Context(), "s1", suspend)
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Suspended)
		check(t, err)
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{Order: resume})
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Running)
		check(t, err)
		end()
		m, _ = w.run(w.guard, session.Config{})
		s, err := m.Suspend(t.Context(), "s1", suspend)
		if err != nil || s.State != session.Running {
			t.Errorf("a suspend that is repeated: %s, %v", s.State, err)
		}
		_, err = m.Stop(t.Context(), "s1", suspend)
		fails(t, err, session.ErrConflict, `order of the ID "suspend once" was to suspend it`)
		_, err = m.Suspend(t.Context(), "s1", session.Order{ID: "suspend again"})
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Suspended)
		check(t, err)
		if s, err = m.Resume(t.Context(), "s1", session.ResumeRequest{Order: resume}); err != nil || s.State != session.Suspended {
			t.Errorf("a resume that is repeated: %s, %v", s.State, err)
		}
		// One that found nothing to do is followed too.
		_, err = m.Suspend(t.Context(), "s1", session.Order{ID: "needless"})
		check(t, err)
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{})
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Running)
		check(t, err)
		if s, err = m.Suspend(t.Context(), "s1", session.Order{ID: "needless"}); err != nil || s.State != session.Running {
			t.Errorf("a needless suspend that is repeated: %s, %v", s.State, err)
		}
		_, err = m.Stop(t.Context(), "s1", session.Order{ID: "o\n", By: string(make([]byte, 101))})
		fails(t, err, session.ErrInvalid, `ID "o\n"`, "By")
	})
}

// TestMistakenOrderReservesNothing: an order of an ID that was for something else
// takes nothing of the limits.
func TestMistakenOrderReservesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		started(t, m, request("s1"))
		o := session.Order{ID: "suspend once"}
		_, err := m.Suspend(t.Context(), "s1", o)
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Suspended)
		check(t, err)
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{Order: o})
		fails(t, err, session.ErrConflict, `order of the ID "suspend once" was to suspend it`)
		again := session.ResumeRequest{InstanceType: "m5.large", Order: session.Order{ID: "resume once"}}
		for range 2 {
			_, err = m.Resume(t.Context(), "s1", again)
			check(t, err)
		}
		again.InstanceType = "m5.xlarge"
		_, err = m.Resume(t.Context(), "s1", again)
		fails(t, err, session.ErrConflict, `order of the ID "resume once" was to resume it otherwise`)
		_, err = m.Stop(t.Context(), "s1", session.Order{})
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
		time.Sleep(time.Minute)
		a, err := w.domain.Account(t.Context(), domain.ScopeUser, "alice")
		check(t, err)
		if len(a.Live) > 0 {
			t.Errorf("reserved is %+v", a.Live)
		}
	})
}
