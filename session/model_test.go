package session_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/faultlauncher"
	"github.com/atelier-go/atelier/session"
)

var (
	modelSeed = flag.Uint64("model.seed", 0, "replay the model test with this seed alone")
	modelOps  = flag.Int("model.ops", 300, "operations of each run of the model test")
)

// Random operations on a few sessions, over a host that fails now and then and
// managers that are replaced, against what the documentation promises for each
// state. After every operation no session has two containers, none is in a
// transient state past its deadline, none has changed its image or home.
func TestModel(t *testing.T) {
	seeds := []uint64{1, 2, 3}
	if *modelSeed != 0 {
		seeds = []uint64{*modelSeed}
	}
	for _, seed := range seeds {
		for _, faults := range []bool{false, true} {
			t.Run(fmt.Sprintf("seed=%d/faults=%v", seed, faults), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { newModel(t, seed, faults).play(*modelOps) })
			})
		}
	}
}

type model struct {
	*world
	rand  *rand.Rand
	m     *session.Manager
	end   func()
	l     launcher.Launcher
	step  string
	fixed map[session.ID]session.Session // the first seen of each
	homes map[session.ID]launcher.Mount
	up    bool // the host can be reached
	aws   *reclaimer
	asked map[session.ID]bool // to be suspended, by its user, since it was resumed
	begun map[session.ID]int  // generations that its user began
	kinds map[string]int
}

func newModel(t *testing.T, seed uint64, faults bool) *model {
	w := newWorldOn(t, fakelauncher.Config{
		Room:   launcher.Resources{MilliCPU: 5000, MemoryMiB: 64 << 10},
		Delays: fakelauncher.Delays{Start: 700 * time.Millisecond},
	})
	x := &model{
		world: w, rand: rand.New(rand.NewPCG(seed, 0)), aws: w.reclaimer(), up: true,
		asked: map[session.ID]bool{}, begun: map[session.ID]int{},
		fixed: map[session.ID]session.Session{}, homes: map[session.ID]launcher.Mount{}, kinds: map[string]int{},
	}
	x.l = x.aws
	if faults {
		l, err := faultlauncher.Wrap(x.aws, seed, faultlauncher.Fault{Rate: 0.15}, faultlauncher.Fault{Rate: 0.15, After: true})
		check(t, err)
		x.l = l
	}
	x.m, x.end = w.run(x.l, session.Config{})
	return x
}

func (x *model) play(ops int) {
	ids := []session.ID{"a", "b", "c", "d"}
	for n := range ops {
		synctest.Wait() // nothing is under way, so what is read now holds
		id := ids[x.rand.IntN(len(ids))]
		before, known := x.look(id)
		x.step = fmt.Sprintf("operation %d on %s, %s", n, id, before.State)
		x.one(id, before, known)
		synctest.Wait()
		x.invariants(ids)
		if x.t.Failed() {
			return
		}
	}
	x.settle(ids)
}

func (x *model) look(id session.ID) (session.Session, bool) {
	s, err := x.m.Get(context.Background(), id)
	if err != nil && !errors.Is(err, session.ErrNotFound) {
		x.t.Fatal(err)
	}
	return s, err == nil
}

// one does one operation and checks its answer by the state before.
func (x *model) one(id session.ID, before session.Session, known bool) {
	ctx := x.t.Context()
	is := func(states ...session.State) bool {
		for _, s := range states {
			if known && s == before.State {
				return true
			}
		}
		return false
	}
	expect := func(op string, s session.Session, err, want error, state session.State) {
		x.kinds[op]++
		if !errors.Is(err, want) || want == nil && err != nil || err == nil && s.State != state {
			x.t.Errorf("%s: %s = %s, %v; want %s, %v", x.step, op, s.State, err, state, want)
		}
	}
	q := request(id)
	q.Size.MilliCPU, q.Size.MemoryMiB = 2000, 1024
	if stays(id) {
		q.OnInterruption = session.StaySuspended
	}
	workload := launcher.ID(fmt.Sprintf("research.%s.%d", id, before.Generation))
	switch x.rand.IntN(14) {
	case 0, 1:
		s, err := x.m.Start(ctx, q)
		switch {
		case known:
			expect("start again", s, err, nil, before.State)
		case errors.Is(err, session.ErrConflict): // it was deleted
			expect("start a deleted one", s, err, session.ErrConflict, "")
		default:
			expect("start", s, err, nil, session.Pending)
			x.begun[id] = 1
		}
	case 2:
		q.User = "bob"
		if known {
			s, err := x.m.Start(ctx, q)
			expect("start another", s, err, session.ErrConflict, "")
		}
	case 3, 4:
		s, err := x.m.Suspend(ctx, id, session.Order{})
		switch {
		case !known:
			expect("suspend", s, err, session.ErrNotFound, "")
		case is(session.Running, session.Suspending):
			expect("suspend", s, err, nil, session.Suspending)
			x.asked[id] = true
		case is(session.Suspended):
			expect("suspend", s, err, nil, session.Suspended)
			x.asked[id] = true
		default:
			expect("suspend refused", s, err, session.ErrState, "")
		}
	case 5, 6:
		r := session.ResumeRequest{}
		if x.rand.IntN(2) == 0 {
			r = session.ResumeRequest{InstanceType: []string{"r5.4xlarge", "m5.large"}[x.rand.IntN(2)], Size: q.Size}
		}
		s, err := x.m.Resume(ctx, id, r)
		switch {
		case !known:
			expect("resume", s, err, session.ErrNotFound, "")
		case is(session.Suspended):
			expect("resume", s, err, nil, session.Pending)
			if s.Generation != before.Generation+1 {
				x.t.Errorf("%s: resumed from generation %d to %d", x.step, before.Generation, s.Generation)
			}
			x.asked[id] = false
			x.begun[id]++
		case is(session.Pending, session.Starting, session.Running) && (r.InstanceType == "" || r.InstanceType == before.InstanceType):
			expect("resume again", s, err, nil, before.State)
		default:
			expect("resume refused", s, err, session.ErrState, "")
		}
	case 7:
		if x.rand.IntN(3) > 0 {
			return // rarely, or nothing lives long
		}
		s, err := x.m.Stop(ctx, id, session.Order{})
		switch {
		case !known:
			expect("stop", s, err, session.ErrNotFound, "")
		case is(session.Stopped, session.Failed, session.Stopping):
			expect("stop again", s, err, nil, before.State)
		case is(session.Suspended):
			expect("stop suspended", s, err, nil, session.Stopped)
		default:
			expect("stop", s, err, nil, session.Stopping)
		}
	case 8: // it ends by itself
		if known && x.rand.IntN(3) == 0 {
			_ = x.host.Stop(ctx, workload, launcher.StopOptions{})
			x.kinds["exit"]++
		}
	case 9: // the network
		x.up = !x.up || x.rand.IntN(4) > 0
		x.host.SetReachable(x.up)
	case 10: // another process takes over
		x.end()
		x.m, x.end = x.run(x.l, session.Config{})
		x.kinds["manager"]++
		time.Sleep(2 * time.Second) // it reads the store before it works
	case 11: // AWS takes the host back in a while
		if known {
			x.aws.announce(workload, time.Duration(x.rand.Int64N(int64(2*time.Minute))))
			x.kinds["notice to a "+string(before.State)]++
		}
	case 12: // it does so now
		if known && x.rand.IntN(2) == 0 {
			x.aws.take(workload)
			x.kinds["take a "+string(before.State)]++
		}
	case 13:
		if is(session.Stopped, session.Failed) {
			// Make room for a new life under this ID, a day later.
			if err := x.m.Delete(ctx, id, session.Order{}); err == nil {
				x.kinds["delete"]++
				delete(x.fixed, id)
				delete(x.homes, id)
				delete(x.asked, id)
				delete(x.begun, id)
				x.end()
				time.Sleep(24 * time.Hour)
				x.m, x.end = x.run(x.l, session.Config{})
				time.Sleep(2 * time.Minute)
			} else {
				fails(x.t, err, session.ErrState)
			}
		}
	}
	if x.rand.IntN(2) == 0 {
		time.Sleep(time.Duration(x.rand.Int64N(int64(40 * time.Second))))
	}
}

// stays reports whether a session is not to be resumed by itself.
func stays(id session.ID) bool { return id > "b" }

// invariants hold at every moment.
func (x *model) invariants(ids []session.ID) {
	if x.up {
		x.guard.audit()
	}
	for _, id := range ids {
		s, known := x.look(id)
		if !known {
			continue
		}
		if late := time.Since(s.Deadline); !s.Deadline.IsZero() && late > 30*time.Second {
			x.t.Errorf("%s: %s is %s %v past its deadline", x.step, id, s.State, late)
		}
		if s.State == session.Failed && s.Reason == launcher.ErrInterrupted {
			x.t.Errorf("%s: failed for an interruption: %+v", x.step, s)
		}
		if n := x.begun[id]; s.Generation < n || stays(id) && s.Generation > n {
			x.t.Errorf("%s: %s is at generation %d, its user began %d", x.step, id, s.Generation, n)
		}
		if s.Generation > x.begun[id] {
			x.kinds["went on"]++
		}
		first, seen := x.fixed[id]
		if !seen {
			x.fixed[id] = s
		} else if s.Reference != first.Reference || s.Image != first.Image || s.User != first.User || s.Generation < first.Generation {
			x.t.Errorf("%s: %+v was %+v", x.step, s, first)
		}
	}
	for _, w := range x.guard.workloads() {
		id := session.ID(w.Labels["atelier.session"])
		if home, seen := x.homes[id]; seen && home != w.Mounts[0] {
			x.t.Errorf("%s: home %+v was %+v", x.step, w.Mounts[0], home)
		}
		x.homes[id] = w.Mounts[0]
	}
}

// settle waits until nothing more happens: then exactly the running sessions
// have containers, and none is in a transient state.
func (x *model) settle(ids []session.ID) {
	x.host.SetReachable(true)
	time.Sleep(45 * time.Minute)
	running := map[launcher.ID]bool{}
	for _, id := range ids {
		s, known := x.look(id)
		if !known {
			continue
		}
		if !s.Deadline.IsZero() {
			x.t.Errorf("in the end %s is %s", id, s.State)
		}
		if s.State == session.Suspended && !stays(id) && !x.asked[id] {
			x.t.Errorf("in the end %s is suspended and its user has not asked for that: %+v", id, s)
		}
		if s.State == session.Running {
			running[launcher.ID(fmt.Sprintf("research.%s.%d", id, s.Generation))] = true
		}
	}
	live := x.live()
	for _, id := range live {
		if !running[id] {
			x.t.Errorf("in the end %s lives and no session wants it", id)
		}
	}
	if len(live) != len(running) {
		x.t.Errorf("in the end %v live, %v are running", live, running)
	}
	x.t.Logf("%v", x.kinds)
}
