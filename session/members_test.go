package session_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
		"Wait": func(ctx context.Context, p *process, id session.ID) {
			_, _ = p.Wait(ctx, id, session.Pending, session.Starting, session.Running)
		},
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
