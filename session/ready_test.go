package session_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/session"
)

// TestRunningOnceItServes: a session whose container runs is starting until its program
// serves, says so, and fails if it never does.
func TestRunningOnceItServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		q := request("s1")
		q.Kind = session.RStudio()
		started(t, m, q)
		mute := q
		mute.ID, mute.Command = "mute", strings.Fields("wait")
		_, err := m.Start(t.Context(), mute)
		check(t, err)
		time.Sleep(time.Minute)
		s, err := m.Get(t.Context(), "mute")
		check(t, err)
		if s.State != session.Starting || s.Reason != session.ErrNotReady || s.Message == "" {
			t.Errorf("a program that does not serve: %+v", s)
		}
		s, err = m.Wait(t.Context(), "mute", session.Running)
		fails(t, err, session.ErrNotReady, "starting for 30m")
		if s.State != session.Failed {
			t.Errorf("it is %s", s.State)
		}
	})
}

// TestResumeThatHangs: a session that is resumed and never serves is suspended again,
// its container killed if it has to be, and never runs in between.
func TestResumeThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		q := request("s1")
		q.Kind = session.RStudio()
		started(t, m, q)
		_, err := m.Suspend(t.Context(), "s1", session.Order{})
		check(t, err)
		s, err := m.Wait(t.Context(), "s1", session.Suspended)
		check(t, err)
		if s.Reason != "" || s.ExitCode != session.RStudioSaved {
			t.Errorf("it is suspended as %+v", s)
		}
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{Clean: true}) // the program hangs
		check(t, err)
		s, err = m.Wait(t.Context(), "s1", session.Running, session.Suspended)
		check(t, err)
		if s.State != session.Suspended || s.Generation != 2 || s.Reason != session.ErrNotReady || len(w.live()) != 0 {
			t.Errorf("it is %+v, and %v live", s, w.live())
		}
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{})
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Running)
		check(t, err)
	})
}
