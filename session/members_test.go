package session_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// tally counts which process launched what.
type tally struct {
	mu sync.Mutex
	by map[launcher.ID][]int
}

type tallied struct {
	launcher.Launcher
	n     int
	tally *tally
}

func (l tallied) Launch(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
	l.tally.mu.Lock()
	l.tally.by[w.ID] = append(l.tally.by[w.ID], l.n)
	l.tally.mu.Unlock()
	return l.Launcher.Launch(ctx, w)
}

// TestManagersShare: of several managers on one store each works for its part of the
// sessions, whoever was asked, and nothing is done twice.
func TestManagersShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const managers, sessions = 5, 100
		count := &tally{by: map[launcher.ID][]int{}}
		var all []*process
		for n := range managers {
			all = append(all, w.processOn(tallied{w.guard, n, count}, 0, false))
		}
		time.Sleep(10 * time.Second) // they have seen each other
		for n := range sessions {
			_, err := all[0].Start(t.Context(), request(session.ID(fmt.Sprint("s", n))))
			check(t, err)
		}
		for n := range sessions {
			_, err := all[n%managers].Wait(t.Context(), session.ID(fmt.Sprint("s", n)), session.Running)
			check(t, err)
		}
		parts := make([]int, managers)
		for id, by := range count.by {
			if len(by) != 1 {
				t.Errorf("%s was launched by %v", id, by)
			}
			parts[by[0]]++
		}
		if slices.Min(parts) < sessions/managers/3 {
			t.Errorf("their parts of %d are %v", sessions, parts)
		}
	})
}

// TestHeardOfByAsking: a manager works for a session of its part also if it learned of
// it because a caller asked, before it read of it.
func TestHeardOfByAsking(t *testing.T) {
	for name, ask := range map[string]func(context.Context, *process, session.ID){
		"Wait": func(ctx context.Context, p *process, id session.ID) { _, _ = p.Wait(ctx, id, session.Pending) },
		"Report": func(ctx context.Context, p *process, id session.ID) {
			_ = p.Report(ctx, id, session.Evidence{Source: session.Traffic, Used: time.Now()})
		},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t)
			starts, asked := w.process(0, false), w.process(0, false)
			time.Sleep(10*time.Second + 500*time.Millisecond)
			const sessions = 20
			for n := range sessions {
				id := session.ID(fmt.Sprint("s", n))
				_, err := starts.Start(t.Context(), request(id))
				check(t, err)
				ask(t.Context(), asked, id)
			}
			ctx := within(t, 5*time.Second)
			for n := range sessions {
				_, err := starts.Wait(ctx, session.ID(fmt.Sprint("s", n)), session.Running)
				check(t, err)
			}
		})
	}
}

// TestTakeOver: the sessions of a manager that ends are another's at once, and of one
// that dies, or is cut off, within the time that Run promises.
func TestTakeOver(t *testing.T) {
	for name, test := range map[string]struct {
		leave func(*testing.T, *process)
		limit time.Duration
	}{
		"Ends":   {func(_ *testing.T, p *process) { p.end() }, 4 * time.Second},
		"Dies":   {func(_ *testing.T, p *process) { p.fuse.die(); p.end() }, 20 * time.Second},
		"CutOff": {func(t *testing.T, p *process) { t.Cleanup(p.fuse.pause()) }, 20 * time.Second},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t)
			stays, goes := w.process(0, false), w.process(0, false)
			time.Sleep(10 * time.Second)
			const sessions = 20
			for n := range sessions {
				started(t, stays.Manager, request(session.ID(fmt.Sprint("s", n))))
			}
			test.leave(t, goes)
			left := time.Now()
			for n := range sessions {
				_, err := stays.Stop(t.Context(), session.ID(fmt.Sprint("s", n)), session.Order{})
				check(t, err)
			}
			for n := range sessions {
				_, err := stays.Wait(t.Context(), session.ID(fmt.Sprint("s", n)), session.Stopped)
				check(t, err)
			}
			if took := time.Since(left); took > test.limit {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestEndWhileNobodyWorks: a container that ends while its session is nobody's, since
// its manager has just died, is noticed by the one that takes over.
func TestEndWhileNobodyWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stays, goes := w.process(0, false), w.process(0, false)
		time.Sleep(10 * time.Second)
		const sessions = 10
		for n := range sessions {
			started(t, stays.Manager, request(session.ID(fmt.Sprint("s", n))))
		}
		goes.fuse.die()
		goes.end()
		time.Sleep(time.Second)
		for n := range sessions {
			check(t, w.host.Stop(t.Context(), launcher.ID(fmt.Sprintf("research.s%d.1", n)), launcher.StopOptions{}))
		}
		ended := time.Now()
		for n := range sessions {
			_, err := stays.Wait(t.Context(), session.ID(fmt.Sprint("s", n)), session.Stopped)
			check(t, err)
		}
		if took := time.Since(ended); took > 20*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestManagersDieAndPause: five managers on one store, which die, are paused in the middle of
// whatever they do, and are replaced at random, bring about what is asked of any of
// them: no session has two containers, an order that is repeated changes nothing, and
// in the end everything is as it was asked to be.
func TestManagersDieAndPause(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4}
	if testing.Short() {
		seeds = seeds[:1]
	}
	for _, seed := range seeds {
		inBubble(t, fmt.Sprint("seed ", seed), func(t *testing.T) {
			w, r := newWorld(t), rand.New(rand.NewPCG(seed, 1))
			all := make([]*process, 5)
			for n := range all {
				all[n] = w.process(0, false)
			}
			paused := make([]func(), len(all))
			var killed, pauses int
			wanted := map[session.ID]session.State{}
			last := map[session.ID]session.Order{}
			for n := range 400 {
				id := session.ID(fmt.Sprint("s", r.IntN(6)))
				at := r.IntN(len(all))
				switch {
				case r.IntN(10) == 0 && paused[at] == nil:
					all[at].fuse.die()
					all[at].end()
					all[at] = w.process(0, false)
					killed++
				case r.IntN(10) == 0 && paused[at] == nil && n < 380:
					paused[at] = all[at].fuse.pause()
					pauses++
				case paused[at] != nil:
					paused[at]()
					paused[at] = nil
				default:
					var op func() (session.State, error)
					var err error
					o := session.Order{ID: fmt.Sprint("order ", n), By: "alice"}
					if r.IntN(4) == 0 && last[id].ID != "" { // the answer got lost
						o = last[id]
						_, err = all[at].Suspend(t.Context(), id, o)
						if err != nil && !errors.Is(err, session.ErrConflict) && !errors.Is(err, session.ErrNotRunning) {
							t.Fatalf("%d: a suspend that is repeated: %v", n, err)
						}
						break
					}
					switch wanted[id] {
					case "":
						op = func() (session.State, error) {
							_, err := all[at].Start(t.Context(), request(id))
							return session.Running, err
						}
					case session.Suspended:
						op = func() (session.State, error) {
							_, err := all[at].Resume(t.Context(), id, session.ResumeRequest{Order: o})
							return session.Running, err
						}
					case session.Running:
						op = func() (session.State, error) {
							_, err := all[at].Suspend(t.Context(), id, o)
							return session.Suspended, err
						}
					}
					var state session.State
					if state, err = op(); err == nil {
						wanted[id] = state
						if state == session.Suspended {
							last[id] = o
						}
					} else if !errors.Is(err, session.ErrState) && !errors.Is(err, session.ErrNotRunning) {
						t.Fatalf("%d: %v", n, err)
					}
				}
				if r.IntN(2) == 0 {
					time.Sleep(time.Duration(r.Int64N(int64(20 * time.Second))))
				}
				w.guard.audit()
				for id, want := range wanted {
					if paused[at] != nil {
						break
					}
					s, err := all[at].Get(t.Context(), id)
					if check(t, err); s.State == session.Failed {
						t.Fatalf("%d: %s, wanted %s, has failed: %s", n, id, want, s.Message)
					}
				}
			}
			for n := range paused {
				if paused[n] != nil {
					paused[n]()
				}
			}
			time.Sleep(30 * time.Minute) // what was reserved and never recorded is swept
			live := 0
			var spent instancetype.Money
			for id, want := range wanted {
				s, err := all[0].Get(t.Context(), id)
				check(t, err)
				if s.State != want {
					t.Errorf("%s is %s, and was to be %s: %+v", id, s.State, want, s)
				}
				if s.State == session.Running {
					live++
				}
				spent += s.Spent
			}
			account, err := w.domain.Account(t.Context(), domain.ScopeUser, "alice")
			check(t, err)
			var settled instancetype.Money
			for _, month := range account.Settled {
				settled += month
			}
			if settled != spent || spent == 0 || len(account.Live) != live {
				t.Errorf("settled are %v, and the sessions cost %v; reserved are %d for %d", settled, spent, len(account.Live), live)
			}
			chained(t, w.entries(all[0].Manager, session.AuditFilter{}))
			if n := len(w.live()); n != live {
				t.Errorf("%d containers live for %d sessions", n, live)
			}
			if killed < 10 || pauses < 10 {
				t.Errorf("only %d died and %d were paused", killed, pauses)
			}
		})
	}
}
