package ec2launcher

import (
	"context"
	"errors"
	"time"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/launcher"
)

// askAgain is how long a host may be about to start a workload before it is asked
// again to.
const askAgain = time.Minute

// drive takes the next step for one workload.
func (r *reconciler) drive(ctx context.Context, w *world, rec *workloadRecord) error {
	id := rec.Workload.ID
	if rec.Status.Phase == launcher.Exited {
		r.forget(ctx, w, rec)
		return nil
	}
	watch := r.hosts[rec.Host]
	if watch == nil {
		if _, known := r.known.Get(rec.Host); rec.Host != "" && !known {
			r.task(ctx, "look for host "+rec.Host, func(ctx context.Context) error { return r.missHost(ctx, rec.Host, id) })
		}
		return nil
	}
	said, synced, known := watch.said(id)
	switch {
	case !synced:
	case known && said.Phase == launcher.Exited:
		return r.observe(ctx, watch.id, said)
	case !known && rec.Seen:
		r.insist(ctx, watch, "look for "+string(id), func(ctx context.Context) error { return r.miss(ctx, watch, id) })
	case rec.Stop != nil && known:
		if o, due := watch.nextStop(id, *rec.Stop, w.now); due {
			r.onHost(ctx, "stop "+string(id), func(ctx context.Context) error { return r.stop(ctx, watch, *rec, o) })
		}
	case !known:
		// Also when it is to stop: whether an earlier try to deliver it still
		// arrives cannot be known, and what runs can be stopped.
		r.insist(ctx, watch, "launch "+string(id), func(ctx context.Context) error { return r.deliver(ctx, watch, id) })
	case !rec.Seen && said.Phase == launcher.Starting && w.now.Sub(rec.DeliveredAt) > askAgain:
		// What a host is about to start may come to nothing, of which it says
		// no word. Asked again it goes on with what it has.
		r.take(ctx, r.onHosts, askAgain, "launch again "+string(id), func(ctx context.Context) error { return r.deliver(ctx, watch, id) })
	}
	return nil
}

// insist takes a step for what a host has said. If it fails, or cannot be taken now,
// what the host has said is looked at again by a later pass: nobody else may come
// back to it.
func (r *reconciler) insist(ctx context.Context, watch *hostWatch, key string, step func(context.Context) error) {
	taken := r.onHost(ctx, key, func(ctx context.Context) error {
		err := step(ctx)
		if err != nil {
			watch.repeat()
		}
		return err
	})
	if !taken {
		watch.repeat()
	}
}

// miss looks for a workload that its host has reported and does not report any
// more. What the host said last may be older than the workload: only a look
// from here on proves that it is lost.
func (r *reconciler) miss(ctx context.Context, watch *hostWatch, id launcher.ID) error {
	engine, err := watch.engine()
	if err != nil {
		return err
	}
	for said, err := range engine.List(ctx, launcher.Filter{IDs: []launcher.ID{id}}) {
		if err != nil {
			return err
		}
		watch.hear(said)
		return r.observe(ctx, watch.id, said)
	}
	return r.changed(r.l.change(ctx, id, func(w *workloadRecord) bool {
		if w.Host != watch.id || w.Status.Phase == launcher.Exited {
			return false
		}
		w.exit(launcher.ErrHostLost, "its host no longer knows it")
		return true
	}))
}

// missHost looks for a host that has no record although a workload is recorded
// there. If EC2 does not know it either, the workload is lost.
func (r *reconciler) missHost(ctx context.Context, host string, id launcher.ID) error {
	i, shown, err := r.l.find(ctx, host)
	if err != nil {
		return err
	}
	if shown && stateOf(i) != ec2types.InstanceStateNameTerminated {
		return r.l.adopt(ctx, i, time.Now())
	}
	return r.changed(r.l.change(ctx, id, func(w *workloadRecord) bool {
		if w.Host != host || w.Status.Phase == launcher.Exited {
			return false
		}
		if !w.Delivered {
			w.unplace("", "")
			return true
		}
		w.exit(launcher.ErrHostLost, "its host "+host+" is gone")
		return true
	}))
}

// deliver asks the host to run a workload. That it is about to is recorded
// first: from then on no other host will be asked. The record is read anew: a
// pass may have seen it before it came, ran and was forgotten.
func (r *reconciler) deliver(ctx context.Context, watch *hostWatch, id launcher.ID) error {
	rec, err := r.l.change(ctx, id, func(w *workloadRecord) bool {
		switch {
		case w.Host != watch.id || w.Status.Phase == launcher.Exited || w.Seen:
			return false
		case !w.Delivered:
			w.Delivered, w.DeliveredAt = true, time.Now()
			w.Status.Reached.Boot = watch.bootOf(w.Status.Reached)
			return true
		case time.Since(w.DeliveredAt) > launcher.Retention:
			// The host may have run it and forgotten it.
			w.exit(launcher.ErrHostLost, "it was given to its host too long ago to know whether it ran")
			return true
		}
		return false
	})
	if err = r.changed(rec, err); err != nil || rec.Host != watch.id || rec.Status.Phase == launcher.Exited || rec.Seen {
		return err
	}
	if err := r.term.Check(ctx); err != nil {
		return err
	}
	engine, err := watch.engine()
	if err != nil {
		return err
	}
	said, err := engine.Launch(ctx, rec.Workload)
	if err != nil {
		return r.notDelivered(ctx, watch, id, err)
	}
	watch.hear(said)
	return r.observe(ctx, watch.id, said)
}

// observe records what a host said of a workload.
func (r *reconciler) observe(ctx context.Context, host string, s launcher.Status) error {
	return r.changed(r.l.change(ctx, s.ID, func(w *workloadRecord) bool { return w.observe(host, s) }))
}

// maxRefusals is how many hosts may refuse a workload for want of room: to go
// on would be to buy hosts for ever.
const maxRefusals = 3

// notDelivered deals with a host that refused a workload. A clear refusal means
// that nothing runs; anything else is open and is tried again, unless it is to
// stop and the host does not have it: what a failed launch may still make there
// is not started without another word.
func (r *reconciler) notDelivered(ctx context.Context, watch *hostWatch, id launcher.ID, err error) error {
	watch.unstart(id)
	e, ok := errors.AsType[*launcher.Error](err)
	if !ok {
		return err
	}
	open := false
	switch e.Kind {
	case launcher.ErrUnavailable, launcher.ErrThrottled, launcher.ErrNotRunning:
		gone, stopErr := r.stopsUnlaunched(ctx, watch, id)
		if stopErr != nil || !gone {
			return errors.Join(err, stopErr)
		}
		open = true
	case launcher.ErrCapacity: // the host is smaller than it was taken for
		watch.refused()
	}
	return r.changed(r.l.change(ctx, id, func(w *workloadRecord) bool {
		if w.Host != watch.id || w.Seen || w.Status.Phase == launcher.Exited {
			return false
		}
		if e.Kind == launcher.ErrCapacity {
			w.Refusals++
		}
		switch {
		case open:
			w.exit("", stoppedEarly)
		case e.Kind != launcher.ErrCapacity || w.Refusals == maxRefusals:
			w.exit(e.Kind, e.Error())
		case w.Stop != nil:
			w.exit("", stoppedEarly)
		default:
			w.unplace(e.Kind, "the host had no room for it after all; another is looked for")
		}
		return true
	}))
}

// stopsUnlaunched reports whether a workload is to stop that its host does not
// have.
func (r *reconciler) stopsUnlaunched(ctx context.Context, watch *hostWatch, id launcher.ID) (bool, error) {
	rec, err := r.l.workloads.Get(ctx, string(id))
	if err != nil || rec.Stop == nil {
		return false, r.changed(workloadRecord{}, err)
	}
	engine, err := watch.engine()
	if err != nil {
		return false, err
	}
	err = engine.Stop(ctx, id, launcher.StopOptions{Signal: "SIGKILL"})
	if errors.Is(err, launcher.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// stop passes on that a workload is to end.
func (r *reconciler) stop(ctx context.Context, watch *hostWatch, rec workloadRecord, o launcher.StopOptions) error {
	engine, err := watch.engine()
	if err != nil {
		return err
	}
	id := rec.Workload.ID
	switch err := engine.Stop(ctx, id, o); {
	case err == nil:
		watch.sentStop(id, rec.Stop.Kill, o)
		return nil
	case errors.Is(err, launcher.ErrNotFound):
		watch.unhear(id) // and it is looked for
		return nil
	default:
		return err
	}
}

// forget lets go of an exited workload: of its container when the exit is
// recorded and nobody needs its logs, of its record then too.
func (r *reconciler) forget(ctx context.Context, w *world, rec *workloadRecord) {
	if !rec.Forget && w.now.Sub(rec.Status.ExitedAt) < launcher.Retention {
		return
	}
	if w.now.Sub(rec.Ended) < toldWithin {
		return
	}
	id, watch, known := rec.Workload.ID, r.hosts[rec.Host], false
	if watch != nil {
		var said launcher.Status
		var synced bool
		said, synced, known = watch.said(id)
		if !synced || known && said.Phase != launcher.Exited {
			return // what runs against the record is stopped first
		}
	}
	r.onHost(ctx, "forget "+string(id), func(ctx context.Context) error {
		if known {
			engine, err := watch.engine()
			if err != nil {
				return err
			}
			err = engine.Stop(ctx, id, launcher.StopOptions{Forget: true})
			if err != nil && !errors.Is(err, launcher.ErrNotFound) {
				return err
			}
			watch.unhear(id)
		}
		if err := r.l.workloads.Delete(ctx, string(id)); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		r.l.unpublish(id)
		return nil
	})
}

// changed takes a record that was deleted meanwhile for an ordinary outcome.
func (r *reconciler) changed(_ workloadRecord, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
