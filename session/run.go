package session

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/domain/store"
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
// Many processes may Run managers on one store, and share the sessions among
// them. When one ends, the others take its sessions within four seconds; when it
// dies without a word, or its store does not answer it any more, within twenty.
// Within one Manager a second Run at the same time is [ErrConflict], at once.
func (m *Manager) Run(ctx context.Context) error {
	const op = "run"
	open, leave, err := m.gate.Enter()
	if err != nil {
		return &Error{Op: op, Kind: ErrConflict, Err: errors.New("this manager runs already")}
	}
	defer leave()
	mirror := newMirror(m)
	if err := mirror.prime(ctx); err != nil {
		return nil // ctx has ended
	}
	open()
	m.members.join()
	defer m.part(ctx)
	g, ctx := errgroup.WithContext(ctx)
	defer m.telemetry.observe(m)()
	m.jobs.open(ctx)
	defer m.jobs.close()
	m.share(ctx)
	g.Go(func() error {
		return pace.Every(ctx, beatEvery, func() { m.share(ctx) })
	})
	g.Go(func() error { return m.watchLauncher(ctx) })
	g.Go(func() error {
		return pace.Every(ctx, tick, func() { m.jobs.due(time.Now()) })
	})
	g.Go(func() error {
		return pace.Every(ctx, tailEvery, func() { m.attempt(ctx, "follow", mirror.follow) })
	})
	g.Go(func() error {
		return pace.Every(ctx, idleEvery, func() { m.attempt(ctx, "idle", m.watchIdle) })
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
		m.telemetry.failed(ctx, op, err)
	}
}

// takeUp has every session worked for that something is to be done for.
func (m *Manager) takeUp() {
	now := time.Now()
	for _, r := range m.hub.All() {
		if m.due(*r, now) {
			m.jobs.enqueue(r.ID)
		}
	}
}

// due reports whether there is something to be done for a session, as far as this
// process knows. One that runs needs nothing unless its workload says something that
// its record does not, until it is told of again or found missing by a sweep.
func (m *Manager) due(r record, now time.Time) bool {
	switch {
	case len(r.Trail) > 0:
		return true
	case r.settled():
		return false
	case r.State != Running:
		return true
	}
	s, told := m.seen.of(r)
	return told && next(r, sighting{sure: true, status: s}, now).due()
}

// share renews this process's part in the work, and takes up what has become its.
func (m *Manager) share(ctx context.Context) {
	if m.members.silence(time.Now()) >= illFor { // does it answer again?
		limited, cancel := context.WithTimeout(ctx, beatEvery)
		if _, err := launcher.Get(limited, m.launcher, "nobody"); errors.Is(err, launcher.ErrNotFound) {
			m.members.recovered()
		}
		cancel()
	}
	changed, gone, err := m.beat(ctx)
	if err != nil && ctx.Err() == nil {
		m.log.Warn("the store does not answer; sessions are left to other managers soon", "op", "share", "error", err)
	}
	if changed {
		m.telemetry.shared(ctx)
		m.takeUp()
	}
	if gone {
		m.missed.addAll() // what it had not told of
	}
}

// part leaves the work to others, at once.
func (m *Manager) part(ctx context.Context) {
	me := m.members.leave()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatEvery)
	defer cancel()
	if err := m.roll().DeleteIf(ctx, me, func(member) error { return nil }); err != nil && !errors.Is(err, store.ErrNotFound) {
		m.log.Warn("other managers wait a moment before they take this one's sessions", "error", err)
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
			id, ok := m.seen.tell(s, true)
			if known, there := m.hub.Get(id); ok && (!there || m.due(*known, time.Now())) {
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
