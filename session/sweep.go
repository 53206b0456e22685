package session

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/launcher"
)

const (
	// sweepEvery is how often the launcher's workloads are compared with the
	// records.
	sweepEvery = 30 * time.Second
	// sweepGrace is how long a workload must have been nobody's, in every
	// sweep, before it is stopped. It is longer than a launch may be on its
	// way.
	sweepGrace = time.Minute
	// accountsEvery is how often the domain's accounts are, and abandonedAfter how old
	// a reservation must be that belongs to no session.
	accountsEvery  = 10 * time.Minute
	abandonedAfter = 15 * time.Minute
)

// A sweeper stops what no record wants, and lets the launcher forget what is
// over: what is this process's part of it.
//
// It compares with the records that this process knows, and reads the store only
// where they disagree with the launcher: what costs something grows with what is
// wrong, not with what there is.
type sweeper struct {
	manager *Manager
	// suspects are workloads that no record wanted, since when.
	suspects map[launcher.ID]time.Time
	accounts time.Time // when the domain's accounts were swept
}

// sweep compares once.
func (w *sweeper) sweep(ctx context.Context) error {
	m := w.manager
	limited, cancel := context.WithTimeout(ctx, sweepGrace)
	defer cancel()
	present, doubtful, err := w.doubts(limited)
	if err != nil {
		return err
	}
	now := time.Now()
	suspects := map[launcher.ID]time.Time{}
	var unwanted []launcher.Status
	for _, s := range doubtful {
		since, known := w.suspects[s.ID]
		if !known {
			since = now
		}
		suspects[s.ID] = since
		if now.Sub(since) < sweepGrace {
			continue
		}
		stray, err := m.stray(limited, s)
		switch {
		case err != nil: // one that cannot be read must not hold up the others
			m.log.Warn("it is not known whether a workload is wanted; it is left", "workload", s.ID, "op", "sweep", "error", err)
		case stray:
			unwanted = append(unwanted, s)
		}
	}
	w.suspects = suspects
	failed := w.remove(ctx, unwanted)
	for _, r := range m.hub.All() {
		switch {
		case !m.members.mine(r.ID):
		case !r.Deleted.IsZero() && now.Sub(r.Deleted) >= retention:
			if err := m.purge(ctx, r.ID); err != nil && !errors.Is(err, errRetained) && !errors.Is(err, store.ErrNotFound) {
				failed = errors.Join(failed, err)
			}
		case r.loose() && !present[r.workloadID()]:
			m.seen.forget(r.ID) // its end went unnoticed, or a launch is on its way
			m.jobs.enqueue(r.ID)
		}
	}
	if now.Sub(w.accounts) >= accountsEvery && m.members.mine("accounts") {
		if err := m.sweepAccounts(limited); err != nil {
			return errors.Join(failed, err)
		}
		w.accounts = now
	}
	return failed
}

// doubts lists the launcher's workloads of the domain: all that there are, and those
// of this process's part that no record it knows wants.
func (w *sweeper) doubts(ctx context.Context) (present map[launcher.ID]bool, doubtful []launcher.Status, err error) {
	m := w.manager
	present = map[launcher.ID]bool{}
	for s, err := range m.launcher.List(ctx, launcher.Filter{Labels: map[string]string{labelDomain: m.domain.Name()}}) {
		if err != nil {
			return nil, nil, err
		}
		present[s.ID] = true
		if id, _, ok := owner(s); ok {
			if r, known := m.hub.Get(id); known && !strays(s, *r) {
				continue
			}
		}
		if m.members.mine(ID(s.ID)) {
			doubtful = append(doubtful, s)
		}
	}
	return present, doubtful, nil
}

// stray reports whether a workload is nobody's business any more, by the store. The
// launcher was listed before, so the record of a workload that is wanted is there.
func (m *Manager) stray(ctx context.Context, s launcher.Status) (bool, error) {
	if user, ok := s.Labels[labelHome]; ok {
		r, err := m.removals().Get(ctx, user)
		if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrInvalid) {
			return true, nil
		}
		return !r.wants(s.ID), err
	}
	id, _, ok := owner(s)
	if !ok {
		return true, nil
	}
	r, err := m.records.Get(ctx, string(id))
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrInvalid) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	m.adopt(r)
	return strays(s, r), nil
}

// strays reports whether a workload is not of a session's business any more: that
// was deleted, has ended or is at another generation. A workload that has exited is
// kept with the session's latest generation, for its logs.
func strays(s launcher.Status, r record) bool {
	_, generation, ok := owner(s)
	if !ok || !r.Deleted.IsZero() || generation != r.Generation {
		return true
	}
	return s.Phase != launcher.Exited && !r.wants(generation)
}

// remove stops workloads and has them forgotten. By now their end is of no
// interest to anybody.
func (w *sweeper) remove(ctx context.Context, unwanted []launcher.Status) error {
	m := w.manager
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, s := range unwanted {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, callLimit)
			defer cancel()
			log := m.log.With("workload", s.ID)
			if id, generation, ok := owner(s); ok {
				log = log.With("session", id, "generation", generation)
			}
			if s.Phase != launcher.Exited {
				log.Warn("a workload that no session wants is stopped")
			}
			err := m.launcher.Stop(ctx, s.ID, launcher.StopOptions{Forget: true})
			if err != nil && !errors.Is(err, launcher.ErrNotFound) {
				log.Warn("the launcher did not take a call; it is repeated", "op", "sweep", "error", err)
			}
			return nil
		})
	}
	return g.Wait()
}
