package session_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// stubborn is a session that does not listen and is given an hour.
func stubborn(id session.ID) session.StartRequest {
	q := request(id)
	q.Command = strings.Fields("ignore SIGTERM ; wait")
	q.Kind = session.Kind{Name: "slow", StopGrace: time.Hour, SuspendGrace: time.Hour}
	return q
}

// reaches waits until a session runs in a generation, or two hours.
func reaches(ctx context.Context, m *session.Manager, id session.ID, generation int) (session.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Hour)
	defer cancel()
	for s, err := range m.Watch(ctx, session.Filter{}) {
		if err != nil || s.ID == id && (s.State.Ended() || s.State == session.Running && s.Generation >= generation) {
			return s, err
		}
	}
	return session.Session{}, ctx.Err()
}

// get returns a session when nothing is under way.
func get(t testing.TB, m *session.Manager, id session.ID) session.Session {
	t.Helper()
	synctest.Wait()
	s, err := m.Get(t.Context(), id)
	check(t, err)
	return s
}

// A session whose host is about to be taken is suspended at once and goes on
// elsewhere, with its home and image.
func TestNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.reclaimer()
		m, _ := w.run(l, session.Config{})
		first := started(t, m, request("s1"))
		begun := time.Now()
		l.announce("research.s1.1", 2*time.Minute)
		second, err := reaches(t.Context(), m, "s1", 2)
		check(t, err)
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		if second.State != session.Running || second.Reference != first.Reference || second.InstanceType != first.InstanceType ||
			second.Reason != "" || second.Message != "" || !second.Interruption.IsZero() {
			t.Errorf("went on as %+v", second)
		}
		synctest.Wait()
		if got := output(t, m, "s1"); got != "0\n1\n" {
			t.Errorf("the home holds %q, want what both generations made", got)
		}
		old, err := launcher.Get(t.Context(), l, "research.s1.1")
		check(t, err)
		if old.Reason != "" || old.ExitCode != 0 {
			t.Errorf("the container was not asked to end in time: %+v", old)
		}
		time.Sleep(time.Hour)
		if s := get(t, m, "s1"); s.State != session.Running || s.Generation != 2 {
			t.Errorf("an hour later %+v", s)
		}
	})
}

// The grace ends before the host does, and what is seen meanwhile says why.
func TestNoticeBoundsGrace(t *testing.T) {
	for name, test := range map[string]struct{ notice, grace time.Duration }{
		"two minutes":   {2 * time.Minute, 115 * time.Second},
		"three hours":   {3 * time.Hour, time.Hour},
		"three seconds": {3 * time.Second, time.Second},
		"too late":      {-time.Minute, time.Second},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t)
			l := w.reclaimer()
			m, _ := w.run(l, session.Config{})
			started(t, m, stubborn("s1"))
			begun := time.Now()
			at := begun.Add(test.notice)
			l.set(func() { l.notices["research.s1.1"] = at })
			s := get(t, m, "s1")
			if s.State != session.Suspending || s.Reason != launcher.ErrInterrupted || !s.Interruption.Equal(at) ||
				!strings.Contains(s.Message, at.UTC().Format("15:04:05 MST")) || !strings.Contains(s.Message, "by itself") {
				t.Errorf("%+v", s)
			}
			if want := begun.Add(test.grace + 2*time.Minute); !s.Deadline.Equal(want) {
				t.Errorf("the deadline is after %v, want %v", s.Deadline.Sub(begun), want.Sub(begun))
			}
			_, err := reaches(t.Context(), m, "s1", 2)
			check(t, err)
			old, err := launcher.Get(t.Context(), w.host, "research.s1.1")
			check(t, err)
			if took := old.ExitedAt.Sub(begun); took != test.grace || !slices.Equal(l.graces(), []time.Duration{test.grace}) {
				t.Errorf("ended after %v, asked with %v; want %v", took, l.graces(), test.grace)
			}
		})
	}
}

// A user's Stop while a host is about to be taken gets no more time than that.
func TestNoticeBoundsStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.reclaimer()
		m, _ := w.run(l, session.Config{})
		started(t, m, stubborn("s1"))
		at := l.announce("research.s1.1", 2*time.Minute)
		time.Sleep(10 * time.Second)
		_, err := m.Stop(t.Context(), "s1", session.Order{})
		check(t, err)
		s, err := m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
		if !s.EndedAt.Before(at) || s.Reason != "" || !slices.Equal(l.graces(), []time.Duration{115 * time.Second, 105 * time.Second}) {
			t.Errorf("%+v, graces %v", s, l.graces())
		}
		time.Sleep(time.Hour)
		if got := w.live(); len(got) != 0 {
			t.Errorf("%v live", got)
		}
	})
}

// A host that is taken without a word suspends its session, wherever it is in
// its start, and each goes on as it was asked to.
func TestTakenWithoutNotice(t *testing.T) {
	for name, policy := range map[string]session.InterruptionPolicy{"resume": session.ResumeElsewhere, "stay": session.StaySuspended} {
		for _, state := range []session.State{session.Starting, session.Running} {
			inBubble(t, name+"/"+string(state), func(t *testing.T) {
				w := newWorldOn(t, fakelauncher.Config{Delays: fakelauncher.Delays{Start: time.Minute}})
				l := w.reclaimer()
				m, _ := w.run(l, session.Config{})
				q := request("s1")
				q.OnInterruption = policy
				_, err := m.Start(t.Context(), q)
				check(t, err)
				_, err = m.Wait(t.Context(), "s1", state)
				check(t, err)
				l.take("research.s1.1")
				if policy == session.ResumeElsewhere {
					s, err := reaches(t.Context(), m, "s1", 2)
					check(t, err)
					if s.State != session.Running || s.Generation != 2 {
						t.Errorf("went on as %+v", s)
					}
					return
				}
				time.Sleep(time.Hour)
				s := get(t, m, "s1")
				if s.State != session.Suspended || s.Generation != 1 || s.Reason != launcher.ErrInterrupted ||
					!strings.Contains(s.Message, "the host was taken; resume it") || s.OnInterruption != policy {
					t.Errorf("%+v", s)
				}
				_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{})
				check(t, err)
				_, err = reaches(t.Context(), m, "s1", 2)
				check(t, err)
			})
		}
	}
}

func TestStaySuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.reclaimer()
		m, _ := w.run(l, session.Config{})
		q := request("s1")
		q.OnInterruption = session.StaySuspended
		started(t, m, q)
		l.announce("research.s1.1", 2*time.Minute)
		time.Sleep(time.Hour)
		if s := get(t, m, "s1"); s.State != session.Suspended || s.Generation != 1 || s.Reason != launcher.ErrInterrupted || !strings.Contains(s.Message, "; resume it") {
			t.Errorf("%+v", s)
		}
	})
}

// What the user asks for while a session is interrupted counts for more.
func TestUserWinsOverInterruption(t *testing.T) {
	for name, test := range map[string]struct {
		waiting bool // ask when it is suspended and waits to go on
		ask     func(context.Context, *session.Manager) error
		want    session.State
		types   string
	}{
		"suspend": {false, func(ctx context.Context, m *session.Manager) error {
			return second(m.Suspend(ctx, "s1", session.Order{}))
		}, session.Suspended, "t3.medium"},
		"stop": {false, func(ctx context.Context, m *session.Manager) error { return second(m.Stop(ctx, "s1", session.Order{})) }, session.Stopped, "t3.medium"},
		"kill": {false, func(ctx context.Context, m *session.Manager) error { return second(m.Kill(ctx, "s1", session.Order{})) }, session.Stopped, "t3.medium"},
		"suspend while it waits": {true, func(ctx context.Context, m *session.Manager) error {
			return second(m.Suspend(ctx, "s1", session.Order{}))
		}, session.Suspended, "t3.medium"},
		"stop while it waits": {true, func(ctx context.Context, m *session.Manager) error { return second(m.Stop(ctx, "s1", session.Order{})) }, session.Stopped, "t3.medium"},
		"kill while it waits": {true, func(ctx context.Context, m *session.Manager) error { return second(m.Kill(ctx, "s1", session.Order{})) }, session.Stopped, "t3.medium"},
		"resume while it waits": {true, func(ctx context.Context, m *session.Manager) error {
			return second(m.Resume(ctx, "s1", session.ResumeRequest{InstanceType: "r5.4xlarge"}))
		}, session.Running, "r5.4xlarge"},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t)
			l := w.reclaimer()
			m, _ := w.run(l, session.Config{})
			started(t, m, stubborn("s1"))
			generation := 1
			if test.waiting { // after a second interruption in short order it waits
				l.take("research.s1.1")
				_, err := reaches(t.Context(), m, "s1", 2)
				check(t, err)
				l.take("research.s1.2")
				if s := get(t, m, "s1"); s.State != session.Suspended {
					t.Fatalf("it does not wait: %+v", s)
				}
				generation = 2
			} else {
				l.announce("research.s1.1", 2*time.Minute)
				if s := get(t, m, "s1"); s.State != session.Suspending {
					t.Fatalf("%+v", s)
				}
			}
			check(t, test.ask(t.Context(), m))
			if s := get(t, m, "s1"); strings.Contains(s.Message, "by itself") {
				t.Errorf("%+v", s)
			}
			time.Sleep(time.Hour)
			s := get(t, m, "s1")
			if test.want == session.Running {
				generation++
			}
			if s.State != test.want || s.Generation != generation || s.InstanceType != test.types {
				t.Errorf("%+v", s)
			}
		})
	}
}

// A session whose host is taken while it is suspended goes on if it is
// suspended for that, at once, and not if its user has suspended it.
func TestTakenWhileSuspending(t *testing.T) {
	for name, asked := range map[string]bool{"by its user": true, "for a notice": false} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t)
			l := w.reclaimer()
			m, _ := w.run(l, session.Config{})
			started(t, m, stubborn("s1"))
			if asked {
				_, err := m.Suspend(t.Context(), "s1", session.Order{})
				check(t, err)
			} else {
				l.announce("research.s1.1", 2*time.Minute)
			}
			time.Sleep(time.Minute)
			l.take("research.s1.1")
			s := get(t, m, "s1")
			if !asked {
				if s.State != session.Running || s.Generation != 2 {
					t.Errorf("%+v", s)
				}
				return
			}
			time.Sleep(time.Hour)
			if s = get(t, m, "s1"); s.State != session.Suspended || s.Generation != 1 || !strings.Contains(s.Message, "; resume it") {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Until the old container has ended for certain no new one begins, whatever
// became of the host's hour.
func TestInterruptedButNotGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.reclaimer()
		m, _ := w.run(l, session.Config{})
		started(t, m, stubborn("s1"))
		l.set(func() {
			l.notices["research.s1.1"] = time.Now().Add(2 * time.Minute)
			l.dress = func(s launcher.Status) launcher.Status { // the host is silent
				s.Unknown = true
				return s
			}
		})
		time.Sleep(3 * time.Minute)
		if s := get(t, m, "s1"); s.State != session.Suspending || len(w.guard.workloads()) != 1 {
			t.Errorf("after %d launches: %+v", len(w.guard.workloads()), s)
		}
		l.set(func() { l.dress = nil })
		s, err := reaches(t.Context(), m, "s1", 2)
		check(t, err)
		if s.State != session.Running || s.Generation != 2 {
			t.Errorf("%+v", s)
		}
	})
}

// A container that cannot be ended fails an interrupted session as any other.
func TestInterruptedAndUnkillable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.reclaimer()
		m, _ := w.run(&immortal{Launcher: l}, session.Config{})
		started(t, m, request("s1"))
		l.set(func() { l.notices["research.s1.1"] = time.Now().Add(2 * time.Minute) })
		_, err := m.Wait(t.Context(), "s1", session.Suspended)
		fails(t, err, session.ErrState, "failed", "could not be confirmed")
		l.take("research.s1.1")
		time.Sleep(time.Hour)
		if s := get(t, m, "s1"); s.State != session.Failed || s.Reason != session.ErrDeadline || len(w.guard.workloads()) != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// The domain is asked whether an interrupted session may go on. What it refuses
// stays suspended and says so.
func TestInterruptedAndRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.reclaimer()
		m, _ := w.run(l, session.Config{})
		started(t, m, request("s1"))
		check(t, w.domain.SetPolicy(t.Context(), domain.Policy{Types: []string{"m5.*"}}))
		l.take("research.s1.1")
		time.Sleep(time.Hour)
		s := get(t, m, "s1")
		if s.State != session.Suspended || s.Generation != 1 || s.Reason != launcher.ErrInterrupted ||
			!strings.Contains(s.Message, "instance type t3.medium: not among those allowed") || !strings.Contains(s.Message, "; resume it") {
			t.Errorf("%+v", s)
		}
		check(t, w.domain.SetPolicy(t.Context(), domain.Policy{}))
		time.Sleep(time.Hour)
		if s := get(t, m, "s1"); s.State != session.Suspended {
			t.Errorf("went on when nobody looked: %+v", s)
		}
		_, err := m.Resume(t.Context(), "s1", session.ResumeRequest{})
		check(t, err)
	})
}

// forgetful is a store that has the domain only some of the time.
type forgetful struct {
	store.Store
	down atomic.Bool
	asks atomic.Int64
}

func (s *forgetful) Get(ctx context.Context, collection, id string) (store.Record, error) {
	if collection == "domains" && s.down.Load() {
		s.asks.Add(1)
		return store.Record{}, errors.New("the disk is on fire")
	}
	return s.Store.Get(ctx, collection, id)
}

// A domain that does not answer has not refused, and is not asked all the time.
func TestInterruptedAndUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.reclaimer()
		f := &forgetful{Store: w.store}
		m, _ := w.runOn(w.domainOn(f), l, session.Config{})
		started(t, m, request("s1"))
		f.down.Store(true)
		l.take("research.s1.1")
		time.Sleep(10 * time.Minute)
		if s := get(t, m, "s1"); s.State != session.Suspended || !strings.Contains(s.Message, "by itself") {
			t.Errorf("%+v", s)
		}
		if n := f.asks.Load(); n < 15 || n > 30 {
			t.Errorf("asked %d times in 10 minutes", n)
		}
		f.down.Store(false)
		begun := time.Now()
		_, err := reaches(t.Context(), m, "s1", 2)
		check(t, err)
		if took := time.Since(begun); took > 35*time.Second {
			t.Errorf("went on after %v", took)
		}
	})
}

// A session that is interrupted as soon as it runs is resumed ever more slowly,
// and at once again after it ran for a while.
func TestInterruptedAgainAndAgain(t *testing.T) {
	for name, notice := range map[string]bool{"with notice": true, "without": false} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t)
			l := w.reclaimer()
			m, _ := w.run(l, session.Config{})
			begun := time.Now()
			_, err := m.Start(t.Context(), request("s1"))
			check(t, err)
			var s session.Session
			n := 0
			for time.Since(begun) < time.Hour && n < 1000 {
				n++
				_, err = reaches(t.Context(), m, "s1", n)
				check(t, err)
				if notice {
					l.announce(launcher.ID("research.s1."+strconv.Itoa(n)), 2*time.Minute)
				} else {
					l.take(launcher.ID("research.s1." + strconv.Itoa(n)))
				}
				synctest.Wait()
			}
			if n < 100 || n > 130 {
				t.Errorf("resumed %d times in an hour", n)
			}
			s, err = reaches(t.Context(), m, "s1", n+1)
			check(t, err)
			time.Sleep(15 * time.Minute)
			l.take(launcher.ID("research.s1." + strconv.Itoa(s.Generation)))
			if s = get(t, m, "s1"); s.State != session.Running || s.Generation != n+2 {
				t.Errorf("after it ran for a while: %+v", s)
			}
			// The user's own resume begins anew, too.
			l.take(launcher.ID("research.s1." + strconv.Itoa(s.Generation)))
			if s = get(t, m, "s1"); s.State != session.Suspended {
				t.Errorf("at the second time in short order: %+v", s)
			}
			_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{})
			check(t, err)
			s, err = reaches(t.Context(), m, "s1", n+3)
			check(t, err)
			l.take(launcher.ID("research.s1." + strconv.Itoa(s.Generation)))
			if s = get(t, m, "s1"); s.State != session.Running || s.Generation != n+4 {
				t.Errorf("after the user resumed it: %+v", s)
			}
		})
	}
}

// One that never comes to run is resumed slowly, too.
func TestInterruptedAgainAndAgainWhileStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOn(t, fakelauncher.Config{Delays: fakelauncher.Delays{Start: time.Minute}})
		l := w.reclaimer()
		m, _ := w.run(l, session.Config{})
		_, err := m.Start(t.Context(), request("s1"))
		check(t, err)
		begun, n := time.Now(), 0
		for s, err := range m.Watch(t.Context(), session.Filter{}) {
			check(t, err)
			if s.State == session.Starting && s.Generation > n {
				n = s.Generation
				l.take(launcher.ID("research.s1." + strconv.Itoa(n)))
			}
			if n >= 130 || time.Since(begun) > time.Hour {
				break
			}
		}
		if n < 100 || n >= 130 {
			t.Errorf("resumed %d times in %v", n, time.Since(begun))
		}
	})
}

// What was interrupted while no manager ran goes on when one does.
func TestInterruptedUnattended(t *testing.T) {
	for name, notice := range map[string]bool{"notice": true, "taken": false} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t)
			l := w.reclaimer()
			m, end := w.run(l, session.Config{})
			started(t, m, request("s1"))
			end()
			if notice {
				l.announce("research.s1.1", 2*time.Minute)
			} else {
				l.take("research.s1.1")
			}
			time.Sleep(time.Minute)
			m, _ = w.run(l, session.Config{})
			s, err := reaches(t.Context(), m, "s1", 2)
			check(t, err)
			if s.State != session.Running || s.Generation != 2 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// So does what waited to go on when the manager ended, long after the launcher
// has forgotten its container.
func TestInterruptedAndLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.reclaimer()
		m, end := w.run(l, session.Config{})
		started(t, m, request("s1"))
		for n := 1; n < 4; n++ {
			_, err := reaches(t.Context(), m, "s1", n)
			check(t, err)
			l.take(launcher.ID("research.s1." + strconv.Itoa(n)))
		}
		if s := get(t, m, "s1"); s.State != session.Suspended {
			t.Fatalf("it does not wait: %+v", s)
		}
		end()
		check(t, w.host.Stop(t.Context(), "research.s1.3", launcher.StopOptions{Forget: true}))
		time.Sleep(3 * time.Hour)
		m, _ = w.run(l, session.Config{})
		s, err := reaches(t.Context(), m, "s1", 4)
		check(t, err)
		if s.State != session.Running || s.Generation != 4 {
			t.Errorf("%+v", s)
		}
	})
}

// A session of a role keeps it, its URL and no token, whichever process it is
// that goes on.
func TestInterruptedWithRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		check(t, w.domain.SetPolicy(t.Context(), domain.Policy{Roles: []string{reader}}))
		l := w.reclaimer()
		m, end := w.run(l, session.Config{CredentialsURL: credentialsURL})
		started(t, m, acting("s1"))
		end()
		l.take("research.s1.1")
		m, _ = w.run(l, session.Config{})
		_, err := reaches(t.Context(), m, "s1", 2)
		check(t, err)
		launched := w.guard.workloads()
		first, again := launched[0].Role, launched[1].Role
		if again.ARN != reader || again.Endpoint != credentialsURL || again.Token == "" || again.Token == first.Token {
			t.Errorf("went on with %+v, first %+v", again, first)
		}
	})
}

// That AWS may take a host is shown, and nothing is done about it.
func TestEndangered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.reclaimer()
		m, _ := w.run(l, session.Config{})
		started(t, m, request("s1"))
		endanger := func(on bool) {
			l.set(func() {
				l.dress = func(s launcher.Status) launcher.Status {
					s.Endangered = on
					return s
				}
			})
		}
		endanger(true)
		time.Sleep(time.Hour)
		if s := get(t, m, "s1"); s.State != session.Running || s.Generation != 1 || !s.Endangered || s.Reason != "" {
			t.Errorf("%+v", s)
		}
		endanger(false)
		if s := get(t, m, "s1"); s.Endangered {
			t.Errorf("%+v", s)
		}
		endanger(true)
		synctest.Wait()
		_, err := m.Suspend(t.Context(), "s1", session.Order{})
		check(t, err)
		if s := get(t, m, "s1"); s.State != session.Suspended || s.Endangered {
			t.Errorf("%+v", s)
		}
	})
}
