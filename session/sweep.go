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
type sweeper struct {
	manager *Manager
	// suspects are workloads that no record wanted, since when.
	suspects map[launcher.ID]time.Time
	accounts time.Time // when the domain's accounts were swept
}

// sweep compares once. The launcher is listed before the store, so a workload
// that is seen has its record written already.
func (w *sweeper) sweep(ctx context.Context) error {
	m := w.manager
	limited, cancel := context.WithTimeout(ctx, sweepGrace)
	defer cancel()
	var workloads []launcher.Status
	present := map[launcher.ID]bool{}
	for s, err := range m.launcher.List(limited, launcher.Filter{Labels: map[string]string{labelDomain: m.domain.Name()}}) {
		if err != nil {
			return err
		}
		workloads = append(workloads, s)
		present[s.ID] = true
	}
	removals := map[string]removal{} // of homes' files, by user
	for r, err := range m.removals().All(limited) {
		if err != nil {
			return err
		}
		removals[r.User] = r
	}
	records := map[ID]record{}
	for r, err := range m.records.All(limited) {
		if err != nil {
			return err
		}
		records[r.ID] = r
	}
	now := time.Now()
	suspects := map[launcher.ID]time.Time{}
	var unwanted []launcher.Status
	for _, s := range workloads {
		if user, ok := s.Labels[labelHome]; ok && removals[user].wants(s.ID) || !ok && !stray(s, records) {
			continue
		}
		if !m.members.mine(ID(s.ID)) {
			continue
		}
		since, known := w.suspects[s.ID]
		if !known {
			since = now
		}
		suspects[s.ID] = since
		if now.Sub(since) >= sweepGrace {
			unwanted = append(unwanted, s)
		}
	}
	w.suspects = suspects
	for id, r := range records {
		switch {
		case !m.members.mine(id):
		case !r.Deleted.IsZero() && now.Sub(r.Deleted) >= retention:
			if err := m.purge(ctx, id); err != nil && !errors.Is(err, errRetained) && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		case r.loose() && !present[r.workloadID()]:
			m.seen.forget(id) // its end went unnoticed, or a launch is on its way
			m.jobs.enqueue(id)
		}
	}
	if now.Sub(w.accounts) >= accountsEvery && m.members.mine("accounts") {
		if err := m.sweepAccounts(limited, records); err != nil {
			return err
		}
		w.accounts = now
	}
	return w.remove(ctx, unwanted)
}

// stray reports whether a workload is nobody's business any more: its session
// is unknown, was deleted, has ended or is at another generation. A workload
// that has exited is kept with the session's latest generation, for its logs.
func stray(s launcher.Status, records map[ID]record) bool {
	id, generation, ok := owner(s)
	r, known := records[id]
	if !ok || !known || !r.Deleted.IsZero() || generation != r.Generation {
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
			if s.Phase != launcher.Exited {
				m.log.Warn("a workload that no session wants is stopped", "workload", s.ID)
			}
			err := m.launcher.Stop(ctx, s.ID, launcher.StopOptions{Forget: true})
			if err != nil && !errors.Is(err, launcher.ErrNotFound) {
				m.log.Warn("the launcher did not take a call; it is repeated", "workload", s.ID, "op", "sweep", "error", err)
			}
			return nil
		})
	}
	return g.Wait()
}
