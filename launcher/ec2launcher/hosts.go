package ec2launcher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/launcher"
)

// followHosts takes the next step for every host for which there may be one.
func (r *reconciler) followHosts(ctx context.Context, w *world) error {
	if w.now.Sub(r.patrolledAt) >= patrolEvery {
		for h := range r.known.Values() {
			w.spoke[h.ID] = true
		}
		r.patrolledAt, r.revisitedAt = w.now, w.now
	}
	if w.now.Sub(r.revisitedAt) >= revisitEvery {
		for _, rec := range r.board.unsettled {
			w.spoke[rec.Host] = true
		}
		delete(w.spoke, "") // of those that wait for one
		r.revisitedAt = w.now
	}
	stir, all := maps.Clone(w.spoke), w.now.Sub(r.lookedAt) >= tick
	if all {
		maps.Copy(stir, r.restless)
		r.lookedAt = w.now
	}
	for _, id := range slices.Sorted(maps.Keys(stir)) {
		h, known := r.known.Get(id)
		if known {
			if err := r.followHost(ctx, w, *h); err != nil {
				return err
			}
		} else {
			r.unfollow(id)
		}
		switch work := len(r.board.on[id]) > 0; {
		case known && work && r.hosts[id] != nil && h.works(), !known && !work:
			delete(r.restless, id) // it does what it should, or is no more
		case !known: // what is recorded there is to be looked for
			w.spoke[id] = true
			fallthrough
		default:
			r.restless[id] = true
		}
	}
	if all {
		r.endHosts(ctx, w)
	}
	return nil
}

// followHost has a host watched as long as it can be expected to answer, and takes
// its next step.
func (r *reconciler) followHost(ctx context.Context, w *world, h Host) error {
	if _, ok := r.met[h.ID]; !ok && h.live() {
		r.met[h.ID] = w.now
	}
	switch {
	case !h.answers():
		r.unfollow(h.ID)
	case r.hosts[h.ID] == nil:
		r.hosts[h.ID] = r.follow(ctx, h)
	}
	return r.driveHost(ctx, w, h)
}

// unfollow ends the watch of a host, if there is one.
func (r *reconciler) unfollow(id string) {
	if watch := r.hosts[id]; watch != nil {
		watch.end()
		delete(r.hosts, id)
	}
}

// changeHost changes a host's record. If the change makes no difference to the
// record as it was read, the store is not asked.
func (r *reconciler) changeHost(ctx context.Context, h Host, change func(*Host)) error {
	before := h
	if change(&h); reflect.DeepEqual(h, before) {
		return nil
	}
	_, err := r.l.hosts.Update(ctx, h.ID, func(h *Host) error {
		before := *h
		if change(h); reflect.DeepEqual(*h, before) {
			return store.ErrUnchanged
		}
		return nil
	})
	return ignoreNotFound(err)
}

// driveHost takes the next step for one host.
func (r *reconciler) driveHost(ctx context.Context, w *world, h Host) error {
	switch {
	case h.State == HostGone:
		delete(r.met, h.ID)
		delete(r.asked, h.ID)
		r.pulled.forget(h.ID)
		if err := r.bury(ctx, h); err != nil {
			return err
		}
		if w.now.Sub(h.GoneAt) > hostKept && len(r.board.on[h.ID]) == 0 {
			r.task(ctx, "forget host "+h.ID, func(ctx context.Context) error { return r.l.hosts.Delete(ctx, h.ID) })
		}
		return nil
	case h.State == HostTerminating:
		if !w.now.Before(r.asked[h.ID].Add(terminateEvery)) {
			w.ending = append(w.ending, h.ID)
		}
		return r.unplaceAll(ctx, h)
	case h.State == HostBooting && r.overdue(w, h, h.BoughtAt, r.l.cfg.BootDeadline):
		return r.give(ctx, h, fmt.Sprintf("its engine did not answer within %v of its purchase%s", r.l.cfg.BootDeadline, r.hosts[h.ID].why()),
			func(h *Host) bool { return h.State == HostBooting })
	case !h.UnreachableSince.IsZero() && r.hosts[h.ID].answers():
		// A process that does not work for the fleet any more has noted it late.
		return r.changeHost(ctx, h, func(h *Host) { h.UnreachableSince = time.Time{} })
	case !h.UnreachableSince.IsZero() && r.overdue(w, h, h.UnreachableSince, r.l.cfg.FenceAfter):
		return r.give(ctx, h, fmt.Sprintf("its engine was silent for %v%s", r.l.cfg.FenceAfter, r.hosts[h.ID].why()),
			func(h *Host) bool { return !h.UnreachableSince.IsZero() })
	case h.State == HostBooting:
		// What was placed on it waits until EC2 shows it, and then for no reason but
		// what has come to nothing before.
		why := r.trouble.of(describing)
		if h.Running || why == nil {
			why = &refusal{}
		}
		for _, rec := range r.board.on[h.ID] {
			if rec.Setback && why.kind == "" {
				continue
			}
			if err := r.explainWait(ctx, rec, why); err != nil {
				return err
			}
		}
	case h.State == HostDraining:
		r.onHost(ctx, "release "+h.ID, func(ctx context.Context) error { return r.release(ctx, h) })
		return r.unplaceAll(ctx, h)
	}
	if w.spoke[h.ID] {
		r.takeStrays(ctx, h)
	}
	if h.leaves() {
		if !h.Interruption.IsZero() { // there is no more there for a while
			r.fleet.capacity.reclaimed(pool{h.offer(), h.Zone}, w.now)
		}
		if err := r.unplaceAll(ctx, h); err != nil {
			return err
		}
	}
	return r.linger(ctx, w, h)
}

// overdue reports whether a host has kept the fleet waiting since a time for
// longer than the limit. What passed while no process worked for the fleet does
// not count against it: this one has to have tried for a while too.
func (r *reconciler) overdue(w *world, h Host, since time.Time, limit time.Duration) bool {
	return w.now.Sub(since) > limit && w.now.Sub(r.met[h.ID]) > min(limit, tryFor)
}

// endHosts asks EC2 to end hosts, those of a moment at once, and again while it
// has not.
func (r *reconciler) endHosts(ctx context.Context, w *world) {
	if len(w.ending) == 0 {
		return
	}
	if r.task(ctx, "terminate "+w.ending[0], func(ctx context.Context) error { return r.l.terminate(ctx, w.ending) }) {
		for _, id := range w.ending {
			r.asked[id] = w.now
		}
	}
}

// linger releases a host that has had no work for long enough. One that has
// never answered is left to its boot deadline: if it was taken on without a
// record, it is not known yet what runs there.
func (r *reconciler) linger(ctx context.Context, w *world, h Host) error {
	if w.given[h.ID] || len(r.board.on[h.ID]) > 0 || r.hosts[h.ID].busy() || r.keep[h.ID] != nil {
		return nil
	}
	patience := r.l.cfg.Linger
	if h.exclusive() || h.leaves() {
		patience = 0 // nobody else may use it
	}
	if !h.EmptySince.IsZero() && (h.State != HostReady || w.now.Sub(h.EmptySince) < patience) {
		return nil
	}
	return r.changeHost(ctx, h, func(h *Host) {
		if h.EmptySince.IsZero() {
			h.EmptySince = w.now
		}
		if h.State == HostReady && w.now.Sub(h.EmptySince) >= patience {
			h.State = HostDraining
		}
	})
}

// release ends a drained host once a look at its engine has shown that nothing
// runs there. A host that has been given work since does not drain any more.
func (r *reconciler) release(ctx context.Context, h Host) error {
	engine, err := r.l.engines.get(ctx, h)
	if err != nil {
		return err
	}
	for s, err := range engine.List(ctx, launcher.Filter{}) {
		if err != nil {
			return err
		}
		if s.Phase != launcher.Exited {
			_, err := r.l.hosts.Update(ctx, h.ID, func(h *Host) error {
				if h.State != HostDraining {
					return store.ErrUnchanged
				}
				h.State, h.EmptySince = HostReady, time.Time{}
				return nil
			})
			return ignoreNotFound(err)
		}
	}
	return r.give(ctx, h, "", func(h *Host) bool { return h.State == HostDraining })
}

// give marks a host as one to be ended, if that is still so when it is marked.
func (r *reconciler) give(ctx context.Context, h Host, fault string, still func(*Host) bool) error {
	given := false
	_, err := r.l.hosts.Update(ctx, h.ID, func(h *Host) error {
		given = h.State != HostTerminating && h.State != HostGone && still(h)
		if !given {
			return store.ErrUnchanged
		}
		h.State, h.EndingSince, h.Fault = HostTerminating, time.Now(), fault
		return nil
	})
	if given && fault != "" {
		r.l.cfg.Logger.Warn("a host is given up", "instance", h.ID, "fault", fault)
	}
	r.l.wake()
	return ignoreNotFound(err)
}

// bury ends the workloads of a host that is confirmed gone: those it was given
// are lost, the others find a new host.
func (r *reconciler) bury(ctx context.Context, h Host) error {
	for _, rec := range r.board.on[h.ID] {
		err := r.changed(r.l.change(ctx, rec.Workload.ID, func(w *workloadRecord) bool {
			if w.Host != h.ID || w.Status.Phase == launcher.Exited {
				return false
			}
			if !w.Delivered {
				w.unplace(h.lost())
				return true
			}
			message := "its host " + h.ID + " is gone"
			if h.Fault != "" {
				message += ": " + h.Fault
			}
			if !h.Interruption.IsZero() {
				w.exit(launcher.ErrInterrupted, "AWS has taken its host "+h.ID+" back")
				return true
			}
			w.exit(launcher.ErrHostLost, message)
			return true
		}))
		if err != nil {
			return err
		}
	}
	return nil
}

// unplaceAll takes what was placed on a host but never given to it elsewhere.
func (r *reconciler) unplaceAll(ctx context.Context, h Host) error {
	for _, rec := range r.board.on[h.ID] {
		err := r.changed(r.l.change(ctx, rec.Workload.ID, func(w *workloadRecord) bool {
			if w.Host != h.ID || w.Delivered || w.Status.Phase == launcher.Exited {
				return false
			}
			w.unplace(h.lost())
			return true
		}))
		if err != nil {
			return err
		}
	}
	return nil
}

// takeStrays deals with what runs on a host without being wanted there: what
// has a record that is final, or names another host, is stopped; what has none
// gets one, so that List shows it and whoever owns it can stop it.
func (r *reconciler) takeStrays(ctx context.Context, h Host) {
	watch := r.hosts[h.ID]
	if watch == nil {
		return
	}
	for _, s := range watch.strays(func(id launcher.ID) bool { return r.wants(h.ID, id) }) {
		r.insist(ctx, watch, "stray "+string(s.ID), func(ctx context.Context) error { return r.takeStray(ctx, watch, s) })
	}
}

func (r *reconciler) takeStray(ctx context.Context, watch *hostWatch, s launcher.Status) error {
	if now, _, known := watch.said(s.ID); !known || now.Phase == launcher.Exited {
		return nil // it has ended, and may have been forgotten
	}
	rec, err := r.l.workloads.Get(ctx, string(s.ID))
	switch {
	case errors.Is(err, store.ErrNotFound):
		s.Host = watch.id
		return r.l.workloads.Create(ctx, string(s.ID), workloadRecord{
			Workload: launcher.Workload{ID: s.ID, Owner: s.Owner, Image: s.Image, Labels: s.Labels, InstanceType: s.InstanceType},
			Host:     watch.id, Delivered: true, Seen: true, Revision: 1, Status: s,
		})
	case err != nil:
		return err
	case rec.Host == watch.id && rec.Status.Phase != launcher.Exited:
		return nil // it was placed meanwhile
	}
	engine, err := watch.engine()
	if err != nil {
		return err
	}
	err = engine.Stop(ctx, s.ID, launcher.StopOptions{Signal: "SIGKILL"})
	if errors.Is(err, launcher.ErrNotFound) { // it never came up
		watch.unstart(s.ID)
		return nil
	}
	return err
}

// wants reports whether a workload belongs on a host.
func (r *reconciler) wants(host string, id launcher.ID) bool {
	rec, ok := r.board.all[string(id)]
	return ok && rec.Host == host && rec.Status.Phase != launcher.Exited
}

// hostAnswers records that a host's engine answers and what room it has, and
// returns the record.
func (r *reconciler) hostAnswers(ctx context.Context, id string, room launcher.Resources) (Host, error) {
	return r.l.hosts.Update(ctx, id, func(h *Host) error {
		if h.Ready && h.Room == room && h.UnreachableSince.IsZero() && h.State != HostBooting {
			return store.ErrUnchanged
		}
		if !h.Ready {
			h.ReadyAt = time.Now()
		}
		h.Ready, h.Room, h.UnreachableSince = true, room, time.Time{}
		if h.State == HostBooting {
			h.State = HostReady
		}
		return nil
	})
}

// hostSilent records that the engine of a host that was ready does not answer.
func (r *reconciler) hostSilent(ctx context.Context, id string, why error) {
	h, err := r.l.hosts.Update(ctx, id, func(h *Host) error {
		if !h.Ready || !h.answers() || !h.UnreachableSince.IsZero() {
			return store.ErrUnchanged
		}
		h.UnreachableSince = time.Now()
		return nil
	})
	if err == nil && h.silent() {
		r.l.cfg.Logger.Warn("a host does not answer", "instance", id, "error", why)
	}
	r.l.wake()
}

func ignoreNotFound(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
