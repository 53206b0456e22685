package ec2launcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/launcher"
)

const (
	// busyDescribe and idleDescribe are how often EC2 is asked about the fleet
	// while a host is on its way in or out, and otherwise.
	busyDescribe = 2 * time.Second
	idleDescribe = 15 * time.Second
	// batchFor is how long a purchase waits for others that are equal, and the
	// end of a host for others': a storm comes one by one, and EC2 takes few
	// calls and many instances.
	batchFor = 250 * time.Millisecond
	// terminateEvery is how often EC2 is asked to end a host that has not ended:
	// asking twice is harmless, and once is usually enough.
	terminateEvery = 15 * time.Second
	// consistent is after how long EC2's answers are taken to be complete: an
	// instance it does not show although it was bought longer ago is gone.
	consistent = 5 * time.Minute
	// tryFor is how long a process tries to reach a host by itself before it
	// holds a deadline against it.
	tryFor = 30 * time.Second
	// stepTimeout bounds one step beside the loop: a host that hangs must not
	// hold up what needs the slot.
	stepTimeout = 2 * time.Minute
	// hostKept is how long a host is told of after its end.
	hostKept = time.Hour
)

// A reconciler works for the fleet while this process holds the lease. Its
// loop reads what is recorded, compares it with what EC2 and the hosts report,
// and takes the next steps; it keeps nothing that it could not find out again.
type reconciler struct {
	l     *Launcher
	term  store.Term
	tasks *tasks
	fleet *fleet
	hosts map[string]*hostWatch
	met   map[string]time.Time // since when this process knows a host
	asked map[string]time.Time // when EC2 was last asked to end a host
	// endingSince is since when there are hosts that EC2 is to be asked to end.
	endingSince time.Time
	// wanted is since when hosts of a type are wanted that were not ordered.
	wanted map[string]time.Time
	known  mirrors

	describedAt time.Time
	compared    *store.Mirror[Host] // of the step that compares
	bought      atomic.Bool         // something was bought that EC2 was not asked about yet
}

// world is what one pass of the loop sees of the store.
type world struct {
	now       time.Time
	workloads []workloadRecord
	hosts     []Host
	buys      []buyRecord
	on        map[string][]workloadRecord // not exited, by host
	ending    []string                    // hosts that EC2 is to end, as the pass comes by them
	again     time.Duration               // when to look again at the latest
}

// reconcile is the work of the lease's holder.
func (l *Launcher) reconcile(ctx context.Context, term store.Term) error {
	r := &reconciler{
		l: l, term: term, tasks: newTasks(l.wake), hosts: map[string]*hostWatch{}, met: map[string]time.Time{}, asked: map[string]time.Time{},
		known: l.mirrors(), compared: store.NewMirror(l.hosts),
		fleet: &fleet{l: l, soldOut: map[pool]time.Time{}, held: map[string]refusal{}},
	}
	defer r.tasks.wg.Wait()
	for {
		again, err := r.pass(ctx)
		if err != nil && ctx.Err() == nil {
			l.cfg.Logger.Warn("a pass over the fleet failed and is repeated", "error", err)
		}
		next := time.NewTimer(again)
		select {
		case <-ctx.Done():
		case <-l.kick:
		case <-next.C:
		}
		next.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// pass takes every step that can be taken now, and returns when to look again
// at the latest. Steps that call AWS or a host are tasks beside the loop.
func (r *reconciler) pass(ctx context.Context) (again time.Duration, err error) {
	w, err := r.read(ctx)
	if err != nil {
		return tick, err
	}
	r.describe(ctx, w)
	for _, b := range w.buys {
		if !w.now.Before(b.NotBefore) {
			r.buy(ctx, b)
		}
	}
	if err := r.placeQueue(ctx, w); err != nil {
		return tick, err
	}
	if err := r.followHosts(ctx, w); err != nil {
		return tick, err
	}
	for i := range w.workloads {
		if err := r.drive(ctx, w, &w.workloads[i]); err != nil {
			return tick, err
		}
	}
	if w.calm() {
		return calmTick, nil
	}
	return w.again, nil
}

// ripe reports whether what is wanted since a time has waited for others for long
// enough. If not, it is looked at again when it has.
func (w *world) ripe(since time.Time) bool {
	left := batchFor - w.now.Sub(since)
	if left > 0 {
		w.again = min(w.again, left)
	}
	return left <= 0
}

// calm reports whether nothing is under way that time alone moves on soon.
func (w *world) calm() bool {
	if len(w.buys) > 0 {
		return false
	}
	for _, h := range w.hosts {
		if h.State != HostGone && (h.State != HostReady || !h.UnreachableSince.IsZero()) {
			return false
		}
	}
	for _, rec := range w.workloads {
		if p := rec.Status.Phase; p != launcher.Running && p != launcher.Exited {
			return false
		}
	}
	return true
}

// task runs a step beside the loop, if none with its key is under way, and
// reports whether it does. A step that fails is taken again by a later pass.
func (r *reconciler) task(ctx context.Context, key string, step func(context.Context) error) bool {
	return r.taskEvery(ctx, 0, key, step)
}

// taskEvery is task for a step that is not taken again for a while.
func (r *reconciler) taskEvery(ctx context.Context, rest time.Duration, key string, step func(context.Context) error) bool {
	return r.tasks.do(ctx, key, func(ctx context.Context) time.Duration {
		bound, cancel := context.WithTimeout(ctx, stepTimeout)
		defer cancel()
		if err := step(bound); err != nil && ctx.Err() == nil {
			r.l.cfg.Logger.Warn("a step failed and is taken again", "step", key, "error", err)
			return max(rest, tick) // do not spin on what fails at once
		}
		return rest
	})
}

// read takes stock of the store.
func (r *reconciler) read(ctx context.Context) (*world, error) {
	w := &world{on: map[string][]workloadRecord{}, again: tick}
	for b, err := range r.l.buys.All(ctx) {
		if err != nil {
			return nil, err
		}
		w.buys = append(w.buys, b)
	}
	for h, err := range r.known.hosts.All(ctx) {
		if err != nil {
			return nil, err
		}
		w.hosts = append(w.hosts, h)
	}
	for rec, err := range r.known.workloads.All(ctx) {
		if err != nil {
			return nil, err
		}
		w.workloads = append(w.workloads, rec)
		if rec.Host != "" && rec.Status.Phase != launcher.Exited {
			w.on[rec.Host] = append(w.on[rec.Host], rec)
		}
	}
	w.now = time.Now()
	return w, nil
}

// placeQueue gives waiting workloads a host, or orders hosts for them.
func (r *reconciler) placeQueue(ctx context.Context, w *world) error {
	var queue []launcher.Workload
	index := map[launcher.ID]*workloadRecord{}
	waiting := slices.Clone(w.workloads)
	slices.SortStableFunc(waiting, func(a, b workloadRecord) int {
		return cmp.Or(a.Status.QueuedAt.Compare(b.Status.QueuedAt), strings.Compare(string(a.Workload.ID), string(b.Workload.ID)))
	})
	for _, rec := range waiting {
		if rec.Host == "" && rec.Status.Phase != launcher.Exited {
			queue = append(queue, rec.Workload)
		}
	}
	if len(queue) == 0 {
		return nil
	}
	for i := range w.workloads {
		index[w.workloads[i].Workload.ID] = &w.workloads[i]
	}
	bought := map[string]int{}
	for _, b := range w.buys {
		bought[b.InstanceType] += b.Count
	}
	p := place(queue, r.slots(w), bought, r.roomOf)

	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for id, host := range p.assign {
		w.on[host] = append(w.on[host], *index[id]) // it is not empty any more
		g.Go(func() error { return r.assign(gctx, index[id], host) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if len(p.assign) > 0 {
		r.l.wake() // to deliver what has a host now
	}
	reasons := map[string]*refusal{}
	wanted := map[string]time.Time{}
	for _, n := range p.buy {
		since, known := r.wanted[n.instanceType]
		if !known {
			since = w.now
		}
		if !w.ripe(since) {
			wanted[n.instanceType] = since
			continue
		}
		reasons[n.instanceType] = r.order(ctx, n, w.now)
	}
	r.wanted = wanted
	for _, id := range p.misfits {
		if err := r.exclude(ctx, id); err != nil {
			return err
		}
	}
	for id := range p.coming {
		if err := r.explainWait(ctx, index[id], reasons); err != nil {
			return err
		}
	}
	return nil
}

// order orders hosts, or says why not now. It is the loop's own step, so that
// no pass can order what another has.
func (r *reconciler) order(ctx context.Context, n need, now time.Time) *refusal {
	t, err := r.l.cfg.Catalog.Type(n.instanceType)
	if err != nil {
		return &refusal{kind: launcher.ErrInvalid, message: err.Error()}
	}
	where, why := r.fleet.choose(n.instanceType, now)
	if why != nil {
		return why
	}
	ami, ok := r.l.amis.known(t)
	if where.id == "" || !ok || r.fleet.lookAgain(now) {
		r.task(ctx, "prepare "+n.instanceType, func(ctx context.Context) error { return r.prepare(ctx, n.instanceType) })
		return nil
	}
	err = r.term.Check(ctx) // the journal has no other guard against two that order for one queue
	var b buyRecord
	if err == nil {
		b, err = r.fleet.order(ctx, n, where, ami)
	}
	if err != nil {
		r.l.cfg.Logger.Warn("a purchase could not be recorded", "type", n.instanceType, "error", err)
		return &refusal{kind: launcher.ErrUnavailable, message: "the purchase of a host could not be recorded; it is tried again"}
	}
	r.buy(ctx, b)
	return nil
}

// buy makes a journalled purchase, and has EC2 asked about it right after.
func (r *reconciler) buy(ctx context.Context, b buyRecord) {
	r.task(ctx, "buy "+b.Token, func(ctx context.Context) error {
		defer r.bought.Store(true)
		return r.fleet.buy(ctx, b.Token)
	})
}

// prepare asks AWS what has to be known before a host can be ordered.
func (r *reconciler) prepare(ctx context.Context, instanceType string) error {
	err := r.fleet.learn(ctx)
	if err == nil {
		err = r.l.amis.learn(ctx, r.l.cfg.Catalog, instanceType)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	v := judge(err)
	if errors.Is(err, launcher.ErrNotFound) { // what Setup makes
		v = verdict{kind: launcher.ErrInvalid, settled: true}
	}
	r.fleet.refused(buyRecord{InstanceType: instanceType}, v, err, time.Now())
	if v.hopeless() {
		return r.l.giveUp(ctx, instanceType, v.kind, explain(err))
	}
	return err
}

// exclude ends a workload that no host of its type has room for, though it was
// taken for one when it was launched: the catalog has changed since.
func (r *reconciler) exclude(ctx context.Context, id launcher.ID) error {
	return r.changed(r.l.change(ctx, id, func(w *workloadRecord) bool {
		if w.Host != "" || w.Status.Phase == launcher.Exited {
			return false
		}
		w.exit(launcher.ErrInvalid, fmt.Sprintf("no %s has room for it; choose another type", w.Workload.InstanceType))
		return true
	}))
}

// explainWait records why no host is on its way for a workload that waits for
// one, if none is.
func (r *reconciler) explainWait(ctx context.Context, rec *workloadRecord, reasons map[string]*refusal) error {
	why := reasons[rec.Workload.InstanceType]
	if why == nil {
		return nil // it is being tried: the last reason stands until it succeeds
	}
	reason, message := why.kind, why.message
	return r.changed(r.l.change(ctx, rec.Workload.ID, func(w *workloadRecord) bool {
		s := &w.Status
		if w.Host != "" || s.Phase == launcher.Exited || s.Reason == reason && s.Message == message {
			return false
		}
		s.Reason, s.Message = reason, message
		return true
	}))
}

// assign puts a workload on a host: first the host is marked as its owner's,
// in one step with the check that it still takes work.
func (r *reconciler) assign(ctx context.Context, rec *workloadRecord, host string) error {
	key := sharingKey(rec.Workload)
	_, err := r.l.hosts.Update(ctx, host, func(h *Host) error {
		mounts := h.with(rec.Workload.Mounts)
		if !h.takes(key) || len(mounts) > maxMounts {
			return errNotTaken
		}
		if h.Sharing == key && h.EmptySince.IsZero() && len(mounts) == len(h.Mounts) {
			return store.ErrUnchanged
		}
		h.Sharing, h.EmptySince, h.Mounts = key, time.Time{}, mounts
		return nil
	})
	if errors.Is(err, errNotTaken) || errors.Is(err, store.ErrNotFound) {
		return nil // the next pass finds another
	}
	if err != nil {
		return err
	}
	return r.changed(r.l.change(ctx, rec.Workload.ID, func(w *workloadRecord) bool {
		if w.Host != "" || w.Status.Phase == launcher.Exited {
			return false
		}
		w.Host = host
		w.Status.Phase, w.Status.Reason, w.Status.Message, w.Status.Host = launcher.Provisioning, "", "", host
		return true
	}))
}

var errNotTaken = errors.New("the host takes no more work")

// roomOf is the room of a new host of a type.
func (r *reconciler) roomOf(instanceType string) launcher.Resources {
	t, err := r.l.cfg.Catalog.Type(instanceType)
	if err != nil { // Launch has checked it; a catalog may have shrunk since
		return launcher.Resources{}
	}
	return Room(t)
}

// slots are the fleet's hosts as placement sees them, the oldest first: they
// fill up, and the younger ones become empty and are released.
func (r *reconciler) slots(w *world) []slot {
	var all []slot
	hosts := slices.Clone(w.hosts)
	slices.SortStableFunc(hosts, func(a, b Host) int {
		return cmp.Or(a.BoughtAt.Compare(b.BoughtAt), strings.Compare(a.ID, b.ID))
	})
	for _, h := range hosts {
		if !h.takes(h.Sharing) || h.silent() || r.hosts[h.ID].full(w.now) {
			continue
		}
		s := newSlot(h.InstanceType, h.Room)
		s.id = h.ID
		for _, rec := range w.on[h.ID] {
			s.take(rec.Workload)
		}
		s.key = h.Sharing
		for _, source := range h.Mounts {
			s.mounts[source] = true
		}
		all = append(all, *s)
	}
	return all
}
