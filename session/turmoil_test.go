package session_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store/dynamostore"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/internal/dynalitetest"
	"github.com/atelier-go/atelier/session"
)

// TestManagersDieAndPause: five managers on one store, which die, are paused in the
// middle of whatever they do, and are replaced at random, bring about what is asked of
// any of them: no session has two containers, an order that is repeated changes
// nothing, and in the end everything is as it was asked to be.
func TestManagersDieAndPause(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4}
	if testing.Short() {
		seeds = seeds[:1]
	}
	for _, seed := range seeds {
		inBubble(t, fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := newWorld(t)
			u := stir(w, seed, 400, 20*time.Second)
			time.Sleep(30 * time.Minute) // what was reserved and never recorded is swept
			u.check(true)
			if u.killed < 10 || u.pauses < 10 {
				t.Errorf("only %d died and %d were paused", u.killed, u.pauses)
			}
		})
	}
}

// TestManagersDieAndPauseOnTable: the same on the wall clock, over the wire, on a
// server of DynamoDB's protocol.
func TestManagersDieAndPauseOnTable(t *testing.T) {
	s, err := dynamostore.NewFromConfig(dynalitetest.Start(t), dynamostore.Config{Table: "atelier"})
	check(t, err)
	check(t, s.EnsureTable(t.Context()))
	w := newWorldAt(t, s, fakelauncher.Config{})
	u := stir(w, 1, 60, 3*time.Second)
	deadline := time.Now().Add(2 * time.Minute)
	for tick := time.NewTicker(time.Second); !u.quiet() && time.Now().Before(deadline); <-tick.C {
	}
	u.check(false)
	if u.killed < 2 || u.pauses < 2 {
		t.Errorf("only %d died and %d were paused", u.killed, u.pauses)
	}
}

// turmoil is five managers, and what was asked of them.
type turmoil struct {
	w              *world
	all            []*process
	killed, pauses int
	wanted         map[session.ID]session.State
	last           map[session.ID]session.Order // the last suspend
}

// stir has things asked of managers that die and are paused, so many times, with
// pauses between of up to a length.
func stir(w *world, seed uint64, steps int, pause time.Duration) *turmoil {
	r, t := rand.New(rand.NewPCG(seed, 1)), w.t
	u := &turmoil{w: w, all: make([]*process, 5), wanted: map[session.ID]session.State{}, last: map[session.ID]session.Order{}}
	for n := range u.all {
		u.all[n] = w.process(0, false)
	}
	paused := make([]func(), len(u.all))
	for n := range steps {
		id := session.ID(fmt.Sprint("s", r.IntN(6)))
		at := r.IntN(len(u.all))
		switch {
		case r.IntN(10) == 0 && paused[at] == nil:
			u.all[at].fuse.die()
			u.all[at].end()
			u.all[at] = w.process(0, false)
			u.killed++
		case r.IntN(10) == 0 && paused[at] == nil && n < steps-steps/20:
			paused[at] = sync.OnceFunc(u.all[at].fuse.pause())
			t.Cleanup(paused[at]) // if this fails, what is paused could not end
			u.pauses++
		case paused[at] != nil:
			paused[at]()
			paused[at] = nil
		default:
			u.ask(u.all[at], id, session.Order{ID: fmt.Sprint("order ", n), By: "alice"}, r.IntN(4) == 0)
		}
		if r.IntN(2) == 0 {
			time.Sleep(time.Duration(r.Int64N(int64(pause))))
		}
		w.guard.audit()
		for id, want := range u.wanted {
			if paused[at] != nil {
				break
			}
			s, err := u.all[at].Get(t.Context(), id)
			if check(t, err); s.State == session.Failed {
				t.Fatalf("%d: %s, wanted %s, has failed: %s", n, id, want, s.Message)
			}
		}
	}
	for _, resume := range paused {
		if resume != nil {
			resume()
		}
	}
	return u
}

// ask has a session started, suspended or resumed, or its last suspend repeated.
func (u *turmoil) ask(p *process, id session.ID, o session.Order, repeat bool) {
	t := u.w.t
	if repeat && u.last[id].ID != "" { // the answer got lost
		_, err := p.Suspend(t.Context(), id, u.last[id])
		if err != nil && !errors.Is(err, session.ErrConflict) && !errors.Is(err, session.ErrNotRunning) {
			t.Fatalf("%s: a suspend that is repeated: %v", o.ID, err)
		}
		return
	}
	var err error
	next := session.Running
	switch u.wanted[id] {
	case "":
		_, err = p.Start(t.Context(), request(id))
	case session.Suspended:
		_, err = p.Resume(t.Context(), id, session.ResumeRequest{Order: o})
	case session.Running:
		next = session.Suspended
		_, err = p.Suspend(t.Context(), id, o)
	}
	switch {
	case err == nil:
		u.wanted[id] = next
		if next == session.Suspended {
			u.last[id] = o
		}
	case !errors.Is(err, session.ErrState) && !errors.Is(err, session.ErrNotRunning):
		t.Fatalf("%s: %v", o.ID, err)
	}
}

// quiet reports whether every session is as it was asked to be.
func (u *turmoil) quiet() bool {
	for id, want := range u.wanted {
		s, err := u.all[0].Get(u.w.t.Context(), id)
		if check(u.w.t, err); s.State != want {
			return false
		}
	}
	return true
}

// check looks at how everything has ended: also at what is reserved, if that was swept.
func (u *turmoil) check(swept bool) {
	t := u.w.t
	live := 0
	var spent instancetype.Money
	for id, want := range u.wanted {
		s, err := u.all[0].Get(t.Context(), id)
		check(t, err)
		if s.State != want {
			t.Errorf("%s is %s, and was to be %s: %+v", id, s.State, want, s)
		}
		if s.State == session.Running {
			live++
		}
		spent += s.Spent
	}
	account, err := u.w.domain.Account(t.Context(), domain.ScopeUser, "alice")
	check(t, err)
	var settled instancetype.Money
	for _, month := range account.Settled {
		settled += month
	}
	if settled != spent || spent == 0 || len(account.Live) < live || swept && len(account.Live) != live {
		t.Errorf("settled are %v, and the sessions cost %v; reserved are %d for %d", settled, spent, len(account.Live), live)
	}
	chained(t, u.w.entries(u.all[0].Manager, session.AuditFilter{}))
	if n := len(u.w.live()); n != live {
		t.Errorf("%d containers live for %d sessions", n, live)
	}
}
