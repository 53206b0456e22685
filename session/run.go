package session

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/launcher"
)

// tick is how exactly deadlines and repetitions are kept.
const tick = time.Second

// Run drives every session of the domain to its recorded intent until ctx
// ends, which is its ordinary end: it then returns nil, and every goroutine it
// started has ended. Sessions go on; the next Run, in this process or another,
// takes them up where this one left them, also after a crash.
//
// Many processes may Run managers on one store. Within one Manager a second
// Run at the same time is [ErrConflict], at once.
func (m *Manager) Run(ctx context.Context) error {
	const op = "run"
	mirror := newMirror(m)
	if err := mirror.prime(ctx); err != nil {
		return nil // ctx has ended
	}
	leave, err := m.gate.Enter()
	if err != nil {
		return &Error{Op: op, Kind: ErrConflict, Err: errors.New("this manager runs already")}
	}
	defer leave()
	g, ctx := errgroup.WithContext(ctx)
	m.jobs.open(ctx)
	defer m.jobs.close()
	m.takeUp()
	g.Go(func() error { return m.watchLauncher(ctx) })
	g.Go(func() error {
		return pace.Every(ctx, tick, func() { m.jobs.due(time.Now()) })
	})
	g.Go(func() error {
		return pace.Every(ctx, mirrorEvery, func() { m.attempt(ctx, "mirror", mirror.pass) })
	})
	g.Go(func() error {
		s := sweeper{manager: m, suspects: map[launcher.ID]time.Time{}}
		return pace.Every(ctx, sweepEvery, func() { m.attempt(ctx, "sweep", s.sweep) })
	})
	_ = g.Wait() // it is ctx's
	return nil
}

// attempt logs why f failed; it is called again soon.
func (m *Manager) attempt(ctx context.Context, op string, f func(context.Context) error) {
	if err := f(ctx); err != nil && ctx.Err() == nil {
		m.log.Warn("a pass over all sessions failed; it is repeated", "op", op, "error", err)
	}
}

// takeUp has every session worked for that something is to be done for. One
// that runs needs nothing until its workload is told of, or found missing by a
// sweep.
func (m *Manager) takeUp() {
	for _, r := range m.hub.All() {
		if !r.settled() && r.State != Running {
			m.jobs.enqueue(r.ID)
		}
	}
}

// watchLauncher works for each session whose workload changes. A Watch that
// ends is begun anew.
func (m *Manager) watchLauncher(ctx context.Context) error {
	defer m.seen.watching(false)
	filter := launcher.Filter{Labels: map[string]string{labelDomain: m.domain.Name()}}
	for pause := newPause(); ; {
		m.seen.watching(true)
		var ended error
		for s, err := range m.launcher.Watch(ctx, filter) {
			if err != nil {
				ended = err
				break
			}
			if s.Synced() {
				pause.Reset()
				continue
			}
			if id, ok := m.seen.tell(s, true); ok {
				m.jobs.enqueue(id)
			}
		}
		m.seen.watching(false)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		m.log.Warn("the launcher's watch ended; it is begun anew", "error", ended)
		if err := pace.Sleep(ctx, pause.NextBackOff()); err != nil {
			return err
		}
	}
}
