package session_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *session.Update {
		check(t, os.MkdirAll("testdata", 0o755))
		check(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	check(t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", file, diff)
	}
}

// idleWorld has a rule: an hour, warned six minutes before.
func idleWorld(t *testing.T, p domain.Policy) *world {
	t.Helper()
	w := newWorld(t)
	if p.Idle == nil && p.MaxLifetime == 0 {
		p.Idle = []domain.IdleRule{{After: time.Hour}}
	}
	check(t, w.domain.SetPolicy(t.Context(), p))
	return w
}

// after sleeps until some time after a session began and returns it.
func after(t *testing.T, m *session.Manager, began time.Time, d time.Duration) session.Session {
	t.Helper()
	time.Sleep(time.Until(began.Add(d)))
	s, err := m.Get(t.Context(), "s1")
	check(t, err)
	return s
}

// TestIdle: who uses nothing is warned, then suspended, and told why, by whose rule
// and on what evidence; it can be read afterwards, and in the audit record.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := idleWorld(t, domain.Policy{})
		m := w.manager()
		began := started(t, m, request("s1")).StartedAt
		explain := func(name string) {
			t.Helper()
			x, err := m.Explain(t.Context(), "s1")
			check(t, err)
			golden(t, "explain-"+name+".txt", x.String())
		}
		if s := after(t, m, began, 50*time.Minute); s.State != session.Running || !s.Ends.At.IsZero() {
			t.Errorf("long before: %+v", s)
		}
		explain("used")
		if s := after(t, m, began, 56*time.Minute); s.State != session.Running || !s.Ends.At.Equal(began.Add(time.Hour)) || s.Ends.Why == "" {
			t.Errorf("it is not warned: %+v", s.Ends)
		}
		explain("warned")
		if s := after(t, m, began, time.Hour); s.State != session.Running {
			t.Errorf("it is %s before all reports are in", s.State)
		}
		s := after(t, m, began, time.Hour+3*time.Minute)
		if s.State != session.Suspended || s.Last.By != session.Itself || !strings.Contains(s.Last.Why, "for 1h (the domain's policy)") {
			t.Errorf("afterwards: %+v", s)
		}
		explain("suspended")
		var ops []string
		for _, e := range w.entries(m, session.AuditFilter{By: session.Itself}) {
			ops = append(ops, e.Op)
		}
		if !slices.Equal(ops, []string{"runs", "warning", "times out", "exited"}) {
			t.Errorf("the audit record has %q", ops)
		}
	})
}

// TestIdleUse: what is reported, to whichever process and however late, what computes,
// and what somebody asks to be kept is not idle; each ends when that does.
func TestIdleUse(t *testing.T) {
	report := func(at time.Duration) func(*testing.T, *world, *session.Manager, time.Time) {
		return func(t *testing.T, w *world, m *session.Manager, began time.Time) {
			after(t, m, began, at)
			check(t, m.Report(t.Context(), "s1", session.Evidence{Source: session.Traffic, Used: time.Now(), Detail: "GET /"}))
		}
	}
	for name, c := range map[string]struct {
		command string
		use     func(*testing.T, *world, *session.Manager, time.Time)
		until   time.Duration // it runs until then at least, and ends within three minutes
	}{
		"Reported":   {"", report(50 * time.Minute), 110 * time.Minute},
		"LastMinute": {"", report(time.Hour - time.Second), 2*time.Hour - time.Second},
		"Elsewhere": {"", func(t *testing.T, w *world, m *session.Manager, began time.Time) {
			for _, p := range []*session.Manager{w.manager(), w.manager()} { // neither need be the one that works for it
				report(50*time.Minute)(t, w, p, began)
			}
		}, 110 * time.Minute},
		"Unsure": {"", func(t *testing.T, _ *world, m *session.Manager, began time.Time) {
			after(t, m, began, 50*time.Minute)
			check(t, m.Report(t.Context(), "s1", session.Evidence{Source: "mine", Used: time.Now(), Confidence: 0.3}))
		}, time.Hour},
		"Kept": {"", func(t *testing.T, _ *world, m *session.Manager, began time.Time) {
			_, err := m.Keep(t.Context(), "s1", began.Add(5*time.Hour), session.Order{By: "alice"})
			check(t, err)
		}, 5 * time.Hour},
		"NotKeptAnyMore": {"", func(t *testing.T, _ *world, m *session.Manager, began time.Time) {
			_, err := m.Keep(t.Context(), "s1", began.Add(5*time.Hour), session.Order{By: "alice"})
			check(t, err)
			after(t, m, began, 30*time.Minute)
			_, err = m.Keep(t.Context(), "s1", time.Time{}, session.Order{By: "alice"})
			check(t, err)
		}, 90 * time.Minute},
		"Computes":      {"spin 3h ; wait", nil, 4 * time.Hour},
		"ComputedEarly": {"spin 2m ; wait", nil, time.Hour + 6*time.Minute},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := idleWorld(t, domain.Policy{})
			m := w.manager()
			q := request("s1")
			if c.command != "" {
				q.Command = strings.Fields(c.command)
			}
			began := started(t, m, q).StartedAt
			if c.use != nil {
				c.use(t, w, m, began)
			}
			if s := after(t, m, began, c.until); s.State != session.Running {
				t.Errorf("at %v it is %s: %s", c.until, s.State, s.Last.Why)
			}
			if s := after(t, m, began, c.until+4*time.Minute); s.State != session.Suspended {
				x, err := m.Explain(t.Context(), "s1")
				t.Errorf("later it is %s: %v %v", s.State, x, err)
			}
		})
	}
}

// TestIdleWarningIsTakenBack: who is used again is not warned any more.
func TestIdleWarningIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := idleWorld(t, domain.Policy{})
		m := w.manager()
		began := started(t, m, request("s1")).StartedAt
		after(t, m, began, 57*time.Minute)
		check(t, m.Report(t.Context(), "s1", session.Evidence{Source: session.Traffic, Used: time.Now()}))
		if s := after(t, m, began, time.Hour); !s.Ends.At.IsZero() {
			t.Errorf("it is still warned: %+v", s.Ends)
		}
	})
}

// TestLongestLifetime: whatever a session does, it runs for no longer than its policy
// says; what cannot be suspended is stopped.
func TestLongestLifetime(t *testing.T) {
	for want, kind := range map[session.State]session.Kind{session.Suspended: plainKind(), session.Stopped: session.Job()} {
		inBubble(t, string(want), func(t *testing.T) {
			w := idleWorld(t, domain.Policy{MaxLifetime: 2 * time.Hour})
			m := w.manager()
			q := request("s1")
			q.Kind, q.Command = kind, strings.Fields("spin 9h ; wait")
			began := started(t, m, q).StartedAt
			if s := after(t, m, began, 2*time.Hour-time.Minute); s.State != session.Running || s.Ends.At.IsZero() {
				t.Errorf("before: %+v", s)
			}
			if s := after(t, m, began, 2*time.Hour+4*time.Minute); s.State != want || s.Last.By != session.Itself {
				t.Errorf("after: %s by %q: %s", s.State, s.Last.By, s.Last.Why)
			}
		})
	}
}

// TestReportProblems: what makes no sense is told at once; what does not run is
// ignored.
func TestReportProblems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		started(t, m, request("s1"))
		err := m.Report(t.Context(), "s1", session.Evidence{Source: session.CPU, Used: time.Now().Add(time.Hour), Confidence: 2, Detail: strings.Repeat("x", 201)})
		fails(t, err, session.ErrInvalid, `source "cpu"`, "not in the future", "confidence 2", "201 bytes")
		fails(t, m.Report(t.Context(), "../x", session.Evidence{Source: session.Traffic, Used: time.Now()}), session.ErrInvalid, "../x")
		_, err = m.Stop(t.Context(), "s1", session.Order{})
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
		check(t, m.Report(t.Context(), "s1", session.Evidence{Source: session.Traffic, Used: time.Now()}))
		check(t, m.Report(t.Context(), "s2", session.Evidence{Source: session.Traffic, Used: time.Now()}))
		_, err = m.Keep(t.Context(), "s1", time.Now().Add(time.Hour), session.Order{})
		fails(t, err, session.ErrState, "needs no exemption")
		_, err = m.Keep(t.Context(), "s1", time.Now().Add(8*24*time.Hour), session.Order{})
		fails(t, err, session.ErrInvalid, "within the next 168h")
	})
}

// TestEndingReasons: a program can tell by which sort of rule a session ends and has
// ended, until something else counts for more.
func TestEndingReasons(t *testing.T) {
	idle := domain.Policy{Idle: []domain.IdleRule{{After: time.Hour}}}
	idleForGood := domain.Policy{Idle: []domain.IdleRule{{After: time.Hour, Stop: true}}}
	lifetime := domain.Policy{MaxLifetime: time.Hour}
	saves := plainKind()
	saves.Suspension, saves.SuspendSignal, saves.SavedCodes = session.SavesState, "SIGUSR1", []int{session.RStudioSaved}
	stubborn := "ignore SIGTERM ; wait"
	for name, c := range map[string]struct {
		policy  domain.Policy
		kind    session.Kind
		command string
		warned  launcher.Kind
		then    func(*testing.T, *session.Manager) // at 62 minutes, when it is being ended
		state   session.State                      // at 66 minutes
		reason  launcher.Kind
	}{
		"idle":          {idle, plainKind(), "", session.ErrIdle, nil, session.Suspended, session.ErrIdle},
		"idle for good": {idleForGood, plainKind(), "", session.ErrIdle, nil, session.Stopped, session.ErrIdle},
		"lifetime":      {lifetime, plainKind(), "", session.ErrLifetime, nil, session.Suspended, session.ErrLifetime},
		"a job's":       {lifetime, session.Job(), "wait", session.ErrLifetime, nil, session.Stopped, session.ErrLifetime},
		"saved":         {idle, saves, "", session.ErrIdle, nil, session.Suspended, session.ErrIdle},
		"killed":        {idle, plainKind(), stubborn, session.ErrIdle, nil, session.Suspended, session.ErrIdle},
		"not saved":     {idle, saves, "trap SIGUSR1 3", session.ErrIdle, nil, session.Suspended, session.ErrNotSaved},
		"stopped by somebody": {idle, plainKind(), stubborn, session.ErrIdle, func(t *testing.T, m *session.Manager) {
			s, err := m.Stop(t.Context(), "s1", session.Order{By: "alice"})
			check(t, err)
			if s.State != session.Stopping || s.Reason != "" {
				t.Errorf("%s: %q", s.State, s.Reason)
			}
		}, session.Stopped, ""},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := idleWorld(t, c.policy)
			m := w.manager()
			q := request("s1")
			q.Kind, q.Command = c.kind, strings.Fields(c.command)
			began := started(t, m, q).StartedAt
			if s := after(t, m, began, 58*time.Minute); s.Ends.Reason != c.warned || s.Reason != "" {
				t.Errorf("warned of %q by %+v", s.Reason, s.Ends)
			}
			x, err := m.Explain(t.Context(), "s1")
			check(t, err)
			if x.Ends.Reason != c.warned {
				t.Errorf("explained by %+v", x.Ends)
			}
			if c.then != nil {
				for after(t, m, began, 60*time.Minute).State == session.Running {
					time.Sleep(time.Second)
					began = began.Add(time.Second)
				}
				c.then(t, m)
			}
			s := after(t, m, began, 66*time.Minute)
			if s.State != c.state || s.Reason != c.reason {
				t.Errorf("it is %s: %q, %s", s.State, s.Reason, s.Message)
			}
			if c.reason == c.warned && s.Message != s.Last.Why {
				t.Errorf("message %q, asked for because %q", s.Message, s.Last.Why)
			}
			switch {
			case c.state == session.Stopped && c.reason != "":
				_, err := m.Wait(t.Context(), "s1", session.Running)
				fails(t, err, c.reason, s.Message)
				fails(t, err, session.ErrState)
				if code := session.StatusCode(err); code != http.StatusConflict {
					t.Errorf("status %d", code)
				}
			case c.state == session.Suspended:
				s, err := m.Resume(t.Context(), "s1", session.ResumeRequest{})
				check(t, err)
				if s.Reason != "" {
					t.Errorf("resumed it says %q", s.Reason)
				}
			}
		})
	}
	inBubble(t, "suspended, and stopped by somebody", func(t *testing.T) {
		w := idleWorld(t, idle)
		m := w.manager()
		began := started(t, m, request("s1")).StartedAt
		after(t, m, began, 66*time.Minute)
		s, err := m.Stop(t.Context(), "s1", session.Order{})
		check(t, err)
		if s.State != session.Stopped || s.Reason != "" || s.Message != "" {
			t.Errorf("%s: %q, %s", s.State, s.Reason, s.Message)
		}
	})
}
