package session_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/session"
)

// TestTimeline: a start on a host that is bought for it, one that finds room there, and
// one that is resumed on another type tell what they waited for; and so does the message
// meanwhile.
func TestTimeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		w := fake.New(t, fake.Config{AWS: fakeaws.Config{Delays: fakeaws.Realistic()}})
		var told strings.Builder
		// until follows a session until it runs.
		until := func(what string, id session.ID) {
			t.Helper()
			fmt.Fprintf(&told, "%s\n", what)
			message := ""
			for s, err := range w.Sessions.Watch(ctx, session.Filter{}) {
				check(t, err)
				if s.ID != id {
					continue
				}
				// What lasts no time may not be told: that it is pending, here.
				if s.State == session.Starting && s.Message != message {
					message = s.Message
					fmt.Fprintf(&told, "  %s\n", message)
				}
				if s.State == session.Running {
					fmt.Fprintf(&told, "  = %v\n", s.Timeline)
					line := s.Timeline
					if !line.Began.Equal(s.StartedAt.Truncate(time.Millisecond)) || line.InstanceType != s.InstanceType || line.Ready.Before(line.Began) {
						t.Errorf("%s: timeline %+v of %+v", what, line, s)
					}
					return
				}
			}
		}
		size := domain.Size{MilliCPU: 1000, MemoryMiB: 4096}
		start := func(id session.ID) {
			t.Helper()
			_, err := w.Sessions.Start(ctx, session.StartRequest{ID: id, User: "alice", InstanceType: "m5.xlarge", Size: size})
			check(t, err)
		}
		start("first")
		until("a host is bought", "first")
		start("second")
		until("a host has room and the image", "second")
		_, err := w.Sessions.Suspend(ctx, "first", session.Order{})
		check(t, err)
		s, err := w.Sessions.Wait(ctx, "first", session.Suspended)
		check(t, err)
		if s.Timeline.Ready.IsZero() {
			t.Errorf("suspended, its timeline is %v", s.Timeline)
		}
		_, err = w.Sessions.Resume(ctx, "first", session.ResumeRequest{InstanceType: "r5.4xlarge"})
		check(t, err)
		until("resumed on another type", "first")
		golden(t, "timeline.txt", told.String())
	})
}

// slow is a host that pulls for 10 seconds, and takes as long to start what it has.
var slow = fakelauncher.Config{
	InstanceType: "t3.medium", Delays: fakelauncher.Delays{Pull: 10 * time.Second, Start: 10 * time.Second},
}

// A start that a manager died in is told as it was, by the next.
func TestTimelineOutlivesItsManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOn(t, slow)
		m, end := w.run(w.host, session.Config{})
		_, err := m.Start(t.Context(), request("s1"))
		check(t, err)
		time.Sleep(15 * time.Second)
		before := get(t, m, "s1").Timeline
		if before.Pull.IsZero() || !before.Mount.IsZero() {
			t.Fatalf("after 15s it is at %v", before)
		}
		end()
		time.Sleep(30 * time.Second) // meanwhile it begins
		m, _ = w.run(w.host, session.Config{})
		s, err := m.Wait(t.Context(), "s1", session.Running)
		check(t, err)
		if got, want := s.Timeline.String(), "queued 0s, host 0s (t3.medium), boot 0s, pull 10s, mount 20s, began 20s, ready 45s"; got != want {
			t.Errorf("it is %q; want %q", got, want)
		}
		if s.Timeline.Pull != before.Pull || s.Timeline.Asked != before.Asked {
			t.Errorf("it is %+v; was %+v", s.Timeline, before)
		}
	})
}

// A session that ended between two looks has the whole of its start, and one that was
// resumed nothing of the one before.
func TestTimelineOfAShortLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOn(t, slow)
		m, end := w.run(w.host, session.Config{})
		q := request("s1")
		q.Command = strings.Fields("exit 0")
		_, err := m.Start(t.Context(), q)
		check(t, err)
		time.Sleep(5 * time.Second)
		end()
		time.Sleep(time.Minute)
		m, _ = w.run(w.host, session.Config{})
		s, err := m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
		if got, want := s.Timeline.String(), "queued 0s, host 0s (t3.medium), boot 0s, pull 10s, mount 20s, began 20s"; got != want {
			t.Errorf("it is %q; want %q", got, want)
		}

		r := started(t, m, request("s2"))
		_, err = m.Suspend(t.Context(), "s2", session.Order{})
		check(t, err)
		_, err = m.Wait(t.Context(), "s2", session.Suspended)
		check(t, err)
		time.Sleep(time.Hour)
		next, err := m.Resume(t.Context(), "s2", session.ResumeRequest{})
		check(t, err)
		if line := next.Timeline; line.Asked.Sub(r.Timeline.Asked) < time.Hour || !line.Began.IsZero() || !line.Ready.IsZero() {
			t.Errorf("resumed, its timeline is %+v", line)
		}
	})
}
