package session_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/faultlauncher"
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

// resumedToHang resumes a session of a program that then never serves.
func resumedToHang(t *testing.T, m *session.Manager) {
	t.Helper()
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
	_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{Clean: true})
	check(t, err)
}

// TestResumeThatHangs: a session that is resumed and never serves is suspended again,
// its container killed if it has to be, and never runs in between.
func TestResumeThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		resumedToHang(t, m)
		s, err := m.Wait(t.Context(), "s1", session.Running, session.Suspended)
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

// TestWithdraw: a start that waits, or whose program does not serve yet, is withdrawn by
// a suspend, without a word of what was not saved, and the session can be resumed.
func TestWithdraw(t *testing.T) {
	for name, q := range map[string]session.StartRequest{
		"Starting": {ID: "s1", User: "alice", InstanceType: "t3.medium", Command: strings.Fields("wait")},
		"Pending":  {ID: "s1", User: "alice", InstanceType: "t3.medium"},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t)
			var faults []faultlauncher.Fault
			for n := 1; n <= 5 && name == "Pending"; n++ {
				faults = append(faults, faultlauncher.Fault{Op: faultlauncher.Launch, Nth: n, Kind: launcher.ErrCapacity})
			}
			m, _ := w.run(w.faulty(faults...), session.Config{})
			_, err := m.Start(t.Context(), q)
			check(t, err)
			time.Sleep(10 * time.Second)
			s, err := m.Suspend(t.Context(), "s1", session.Order{By: "alice"})
			check(t, err)
			if s.State != session.Suspending {
				t.Errorf("it is %s", s.State)
			}
			s, err = m.Wait(within(t, 10*time.Minute), "s1", session.Suspended)
			check(t, err)
			if s.Reason != "" || s.Message != "" || s.Generation != 1 || len(w.live()) != 0 {
				t.Errorf("withdrawn it is %+v, and %v live", s, w.live())
			}
			_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{})
			check(t, err)
			if name == "Pending" {
				_, err = m.Wait(within(t, 10*time.Minute), "s1", session.Running)
				check(t, err)
			}
		})
	}
}

// TestWaitForWhatHasFailed: who waits for a session to run, or to be suspended, is told
// once it has come to rest where it came from.
func TestWaitForWhatHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		resumedToHang(t, m)
		s, err := m.Wait(within(t, 2*time.Hour), "s1", session.Running)
		fails(t, err, session.ErrState, "it is suspended again", string(session.ErrNotReady))
		if s.State != session.Suspended || !errors.Is(err, session.ErrNotReady) {
			t.Errorf("it is %s: %v", s.State, err)
		}
	})
}

// TestRunningOnceItsPortStaysOpen: the same of a program that does not speak HTTP.
func TestRunningOnceItsPortStaysOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		q := request("s1")
		q.Kind.Ready = session.Probe{Port: "http"}
		q.Command = strings.Fields("spin 40s ; serve 8787")
		begun := time.Now()
		check(t, second(m.Start(t.Context(), q)))
		time.Sleep(20 * time.Second)
		if s := get(t, m, "s1"); s.State != session.Starting || s.Reason != session.ErrNotReady || !strings.Contains(s.Message, "does not serve yet") {
			t.Errorf("a program that does not listen: %+v", s)
		}
		check(t, second(m.Wait(t.Context(), "s1", session.Running)))
		if took := time.Since(begun); took < 40*time.Second || took > 42*time.Second {
			t.Errorf("it runs after %v; it listens after 40s", took)
		}
		if echo(t, m, "s1") != "hello" {
			t.Error("it does not answer")
		}
	})
}
