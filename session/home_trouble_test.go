package session_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// TestDeleteHomeOfALostSession: a session that has failed keeps the home as long
// as its container may still live.
func TestDeleteHomeOfALostSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := within(t, 12*time.Hour)
		w := newHomeWorld(t, fake.Maintenance)
		_, err := w.Domain.Onboard(ctx, domain.OnboardRequest{User: "alice"})
		check(t, err)
		_, err = w.Sessions.Start(ctx, session.StartRequest{ID: "s1", User: "alice", Image: "rstudio", InstanceType: "t3.medium"})
		check(t, err)
		s, err := w.Sessions.Wait(ctx, "s1", session.Running)
		check(t, err)
		check(t, w.Domain.Offboard(ctx, "alice"))
		check(t, w.Cloud.Partition(s.Host, true))
		_, err = w.Sessions.Stop(ctx, "s1", session.Order{})
		check(t, err)
		_, err = w.Sessions.Wait(ctx, "s1", session.Failed)
		check(t, err)
		m := w.manager()
		fails(t, m.DeleteHome(ctx, deleteAlice()), session.ErrState, "s1 (failed)")
		w.untouched()
		check(t, w.Cloud.Partition(s.Host, false))
		for err = errNotYet; errors.Is(err, errNotYet) || errors.Is(err, session.ErrState); time.Sleep(time.Minute) {
			err = m.DeleteHome(ctx, deleteAlice())
		}
		check(t, err)
		w.audit()
	})
}

// TestDeleteHomeFails: the error has what the command wrote, nothing stays open,
// and the next call begins another attempt.
func TestDeleteHomeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := within(t, time.Hour)
		w := newHomeWorld(t, fake.Maintenance)
		m := w.manager()
		q := deleteAlice()
		q.Image = "broken"
		fails(t, m.DeleteHome(ctx, q), session.ErrUnavailable, "code 1", "cannot remove 'x'", "alice")
		if got := w.points(); !slices.Equal(got, []string{"/200001", "/200002"}) {
			t.Errorf("access points %q: the file system is still open", got)
		}
		_, err := w.Domain.Onboard(ctx, domain.OnboardRequest{User: "alice"})
		fails(t, err, domain.ErrState, "being deleted")
		fails(t, w.Domains.Delete(ctx, "research"), domain.ErrState, "1 homes are being deleted", "alice")

		check(t, m.DeleteHome(ctx, deleteAlice()))
		w.audit()
		if got := w.log.removals(); len(got) != 2 || got[0].ID == got[1].ID || got[0].Mounts[0] == got[1].Mounts[0] {
			t.Errorf("launched %+v, want two with a root of their own each", got)
		}
	})
}

// TestDeleteHomeWithoutRootAccess: hosts that may not act as root remove nothing,
// and that is not taken for success.
func TestDeleteHomeWithoutRootAccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHomeWorld(t, fake.Maintenance, "elasticfilesystem:ClientRootAccess")
		fails(t, w.manager().DeleteHome(within(t, time.Hour), deleteAlice()), session.ErrUnavailable, "mv: ", "permission denied", "ClientRootAccess")
		if text, err := w.files.ReadFile("200001/thesis"); err != nil || string(text) != "words" {
			t.Errorf("the thesis is %q, %v", text, err)
		}
	})
}

// TestDeleteHomeWhileSweeping: the managers that run leave the workload alone as
// long as it is wanted, and then have it forgotten. One that nobody wants goes.
func TestDeleteHomeWhileSweeping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := within(t, time.Hour)
		begun := make(chan struct{}, 9)
		w := newHomeWorld(t, slowly(begun))
		check(t, w.manager().DeleteHome(ctx, deleteAlice()))
		w.audit()
		if got := w.log.removals(); len(got) != 1 {
			t.Errorf("launched %+v, want one", got)
		}
		stray := w.log.removals()[0]
		stray.ID, stray.Labels = "research.home.200002.7", map[string]string{"atelier.domain": "research", "atelier.home": "bob"}
		stray.Mounts = nil
		_, err := w.Fleet.Launch(ctx, stray)
		check(t, err)
		time.Sleep(3 * time.Minute)
		for s, err := range w.Fleet.List(ctx, launcher.Filter{}) {
			check(t, err)
			t.Errorf("%s is %s, want it gone", s.ID, s.Phase)
		}
	})
}

// TestDeleteHomeLeavesNoneAlive: a container of an earlier attempt, whatever
// became of it, has ended before the deletion has: it would find the next home.
func TestDeleteHomeLeavesNoneAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := within(t, time.Hour)
		w := newHomeWorld(t, func(ctx context.Context, p *fakelauncher.Proc) int {
			if p.Args[0] == "linger" {
				<-ctx.Done()
			}
			return fake.Maintenance(ctx, p)
		})
		check(t, w.manager().DeleteHome(ctx, deleteAlice()))
		_, err := w.Domain.Onboard(ctx, domain.OnboardRequest{User: "alice"})
		check(t, err)
		check(t, w.Domain.Offboard(ctx, "alice"))
		lost := w.log.removals()[0]
		lost.ID, lost.Mounts, lost.Command = "research.home.200001.0", nil, []string{"linger"}
		lost.InstanceType = "t3.medium"
		_, err = w.Fleet.Launch(ctx, lost)
		check(t, err)
		_, err = launcher.Wait(ctx, w.Fleet, lost.ID, func(s launcher.Status) bool { return s.Phase == launcher.Running })
		check(t, err)
		q := deleteAlice()
		q.InstanceType = "t3.medium"
		check(t, w.manager().DeleteHome(ctx, q))
		if s, err := launcher.Get(ctx, w.Fleet, lost.ID); err == nil && s.Phase != launcher.Exited {
			t.Errorf("%s is still %s", lost.ID, s.Phase)
		}
	})
}

// TestDeleteHomeInterrupted: neither a caller who goes away nor a host that dies
// in the middle leaves a home half removed under its name, or stops the next
// call.
func TestDeleteHomeInterrupted(t *testing.T) {
	inBubble(t, "caller", func(t *testing.T) {
		begun := make(chan struct{}, 9)
		w := newHomeWorld(t, slowly(begun))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.manager().DeleteHome(ctx, deleteAlice()) }()
		<-begun
		cancel()
		synctest.Wait() // it returns at once
		select {
		case err := <-ended:
			if err != context.Canceled {
				t.Errorf("%v, want the context's error as it is", err)
			}
		default:
			t.Fatal("it goes on after its context has ended")
		}
		check(t, w.manager().DeleteHome(within(t, time.Hour), deleteAlice()))
		w.audit()
		if got := w.log.removals(); len(got) != 1 {
			t.Errorf("launched %+v, want the one that was under way", got)
		}
	})
	inBubble(t, "caller for a day", func(t *testing.T) {
		begun := make(chan struct{}, 9)
		w := newHomeWorld(t, slowly(begun))
		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		calls.Go(func() {
			if err := w.manager().DeleteHome(ctx, deleteAlice()); err != context.Canceled {
				t.Error(err)
			}
		})
		<-begun
		cancel()
		calls.Wait()
		time.Sleep(24 * time.Hour) // the launcher has forgotten by now
		w.others()
		check(t, w.manager().DeleteHome(within(t, time.Hour), deleteAlice()))
		w.audit()
		if got := w.log.removals(); len(got) != 2 || got[0].Mounts[0] != got[1].Mounts[0] {
			t.Errorf("launched %+v, want another to make sure, by the same access point", got)
		}
	})
	inBubble(t, "host", func(t *testing.T) {
		ctx := within(t, 3*time.Hour)
		removed := make(chan launcher.ID, 1)
		first := true
		w := newHomeWorld(t, func(ctx context.Context, p *fakelauncher.Proc) int {
			if !first {
				return fake.Maintenance(ctx, p)
			}
			first = false // one file gone, and the host dies
			if p.Rename("/homes/200001", "/homes/.deleted-200001") != nil || p.Remove("/homes/.deleted-200001/thesis") != nil {
				return 1
			}
			removed <- p.ID
			<-ctx.Done()
			return 137
		})
		m := w.manager()
		ended := make(chan error, 1)
		go func() { ended <- m.DeleteHome(ctx, deleteAlice()) }()
		s, err := launcher.Get(ctx, w.Fleet, <-removed)
		check(t, err)
		check(t, w.Cloud.CrashHost(s.Host))
		fails(t, <-ended, launcher.ErrHostLost, "call again")
		check(t, m.DeleteHome(ctx, deleteAlice()))
		w.audit()
	})
}

// TestDeleteHomeTogether: calls of several processes at once come to one end.
func TestDeleteHomeTogether(t *testing.T) {
	for seed := range uint64(20) {
		inBubble(t, fmt.Sprint(seed), func(t *testing.T) {
			ctx := within(t, time.Hour)
			w := newHomeWorld(t, fake.Maintenance)
			var calls sync.WaitGroup
			for i := range 4 {
				m, err := session.New(w.slowDomain(seed, uint64(i)), w.log, session.Config{})
				check(t, err)
				calls.Go(func() {
					for err := errNotYet; err != nil; {
						err = m.DeleteHome(ctx, deleteAlice())
						if err != nil && !errors.Is(err, domain.ErrConflict) && !errors.Is(err, domain.ErrState) {
							t.Error(err)
							return
						}
					}
				})
			}
			calls.Wait()
			w.audit()
			if got := w.log.removals(); len(got) != 1 {
				t.Errorf("launched %+v, want one", got)
			}
		})
	}
}
