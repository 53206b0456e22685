package ec2launcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/launcher"
)

// planDue reports whether the queue is to be placed in this pass. A plan looks at
// all that waits and all hosts, so that it is made less often than passes, and
// less often still while there is nothing in it that is new.
func (r *reconciler) planDue(w *world) bool {
	since := w.now.Sub(r.plannedAt)
	if since < r.planPause {
		w.again = min(w.again, r.planPause-since)
		return false
	}
	return since >= max(planAgain, 20*r.planPause) || r.unplanned || r.replan.Load() || len(w.buys) != r.plannedBuys ||
		!r.wantedSince.IsZero() && w.ripe(r.wantedSince)
}

// placeQueue gives waiting workloads a host, or orders hosts for them.
func (r *reconciler) placeQueue(ctx context.Context, w *world) error {
	r.plannedAt, r.plannedBuys, r.planPause = w.now, len(w.buys), 0
	r.replan.Store(false)
	r.unplanned = false
	r.keep = nil
	if len(r.board.waiting) == 0 && len(r.l.cfg.Warm) == 0 {
		r.wantNothing()
		return r.tellTurns(ctx)
	}
	queue, hosts := r.board.queue(), r.slots(w)
	r.planPause = time.Duration(len(queue)+len(hosts)) * planPause
	if r.fleet.reckon(w, r.known.Values()) {
		r.countAgain(ctx, w.now)
	}
	r.askSpotPrices(ctx, w, queue)
	p := place(demand{
		queue: queue, hosts: hosts, promised: r.promised, expected: r.arrivals.pool(),
		reserves: r.reserves(w.now), warm: r.l.cfg.Warm,
		terms: func(o offer) terms { return r.terms(o, w.now) },
	})
	r.promised, r.keep, r.reserved = p.coming, p.keep, p.reserved

	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for id, host := range p.assign {
		w.given[host] = true // it is not empty any more
		rec := r.board.waiting[string(id)]
		g.Go(func() error { return r.assign(gctx, rec, host) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if len(p.assign) > 0 {
		r.l.wake() // to deliver what has a host now
	}
	r.pullAhead(ctx, p.keep)
	failed := r.orderAll(ctx, w, p)
	if err := r.tellTurns(ctx); err != nil {
		return err
	}
	for _, id := range p.misfits {
		if err := r.exclude(ctx, id); err != nil {
			return err
		}
	}
	return r.explainAll(ctx, w, p, failed)
}

// explainAll records why workloads wait: those for which nothing is to be had, and
// those that get one of the hosts that are coming, if these take long.
func (r *reconciler) explainAll(ctx context.Context, w *world, p plan, failed map[offer]*refusal) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	explain := func(id launcher.ID, why *refusal) {
		if rec := r.board.waiting[string(id)]; why.tells(rec) {
			g.Go(func() error { return r.explainWait(gctx, rec, why) })
		}
	}
	for _, id := range p.wait {
		explain(id, r.fleet.why(r.board.waiting[string(id)].Workload, w.now))
	}
	troubles := w.troubles()
	coming := map[offer]*refusal{}
	for id, o := range p.coming {
		why, known := coming[o]
		if !known {
			why = cmp.Or(failed[o], troubles[o], r.trouble.of(o.String()))
			coming[o] = why
		}
		explain(id, why)
	}
	return g.Wait()
}

// troubles are why purchases take long of which it is not known what came.
func (w *world) troubles() map[offer]*refusal {
	all := map[offer]*refusal{}
	for _, b := range w.buys {
		if b.Reason != "" {
			all[b.offer()] = &refusal{kind: b.Reason, message: b.Message}
		}
	}
	return all
}

// orderAll orders the hosts of a plan once what is equal has had time to come
// together. It returns why none of an offer could be ordered.
func (r *reconciler) orderAll(ctx context.Context, w *world, p plan) (failed map[offer]*refusal) {
	if len(p.buy) == 0 {
		r.wantNothing()
		return nil
	}
	if r.wantedSince.IsZero() {
		r.wantedSince = w.now
	}
	if !w.ripe(r.wantedSince) {
		r.countAgain(ctx, w.now)
		for _, n := range p.buy {
			r.ready(ctx, n.offer, w.now)
		}
		return nil
	}
	tokens := r.l.budget.purchasable(w.now)
	orders, short := p.afford(tokens, r.served)
	failed = map[offer]*refusal{}
	var held, ordered []offer
	for _, part := range orders {
		if slices.Contains(held, part.offer) {
			continue
		}
		n, why := r.order(ctx, w, part)
		if why != nil && !slices.Contains(ordered, part.offer) {
			failed[part.offer] = why
		}
		if n < part.count { // the rest with another plan
			held = append(held, part.offer)
		}
		if n > 0 {
			r.plannedBuys++ // the plan counts on it
			ordered = append(ordered, part.offer)
			tokens -= n
		}
		r.served[part.offer] = w.now // or another comes first next time
	}
	switch {
	case short > tokens: // it is ordered when there are
		r.short, r.wantedSince = short, w.now.Add(r.l.budget.refill(short-tokens, w.now)-batchFor)
	case len(held) > 0: // not for want of tokens
		r.short = 0
	default:
		r.short, r.wantedSince = 0, time.Time{}
	}
	return failed
}

// wantNothing notes that no host is wanted that was not ordered.
func (r *reconciler) wantNothing() {
	r.wantedSince, r.short = time.Time{}, 0
	clear(r.served)
}

// tellTurns records once for all who wait whether hosts wait for tokens.
func (r *reconciler) tellTurns(ctx context.Context) error {
	inTurn := r.short > 0
	if inTurn == r.toldTurns {
		return nil
	}
	_, err := r.l.changeFleet(ctx, func(f *fleetRecord) {
		if epoch := r.term.Epoch(); f.Epoch <= epoch {
			f.InTurn, f.Epoch = inTurn, epoch
		}
	})
	if err == nil {
		r.toldTurns = inTurn
	}
	return err
}

// askSpotPrices asks for the spot prices that a plan needs and that are not known,
// beside the loop.
func (r *reconciler) askSpotPrices(ctx context.Context, w *world, queue []*launcher.Workload) {
	for i := range r.l.cfg.Warm {
		queue = append(queue, &r.l.cfg.Warm[i].Like)
	}
	stale := r.l.spot.stale(spotTypes(queue), w.now)
	if len(stale) == 0 {
		return
	}
	r.task(ctx, "spot prices", func(ctx context.Context) error {
		defer r.replan.Store(true)
		r.l.learnSpotPrices(ctx, stale)
		return nil
	})
}

// spotTypes are the types that workloads accept as spot instances.
func spotTypes(queue []*launcher.Workload) (types []string) {
	seen := map[string]bool{}
	for _, w := range queue {
		if w.Market == launcher.OnDemand {
			continue
		}
		for _, o := range offersOf(w) {
			if o.market == launcher.Spot && !seen[o.instanceType] {
				seen[o.instanceType] = true
				types = append(types, o.instanceType)
			}
		}
	}
	return types
}

// ready returns where an offer is bought next and the image of its hosts, or why not
// now. Without either, what has to be known first is being asked for.
func (r *reconciler) ready(ctx context.Context, o offer, now time.Time) (where subnet, ami string, why *refusal) {
	t, err := r.l.cfg.Catalog.Type(o.instanceType)
	if err != nil {
		return subnet{}, "", &refusal{kind: launcher.ErrInvalid, message: err.Error()}
	}
	if where, why = r.fleet.choose(o, now); why != nil {
		return subnet{}, "", why
	}
	ami, known := r.l.amis.known(t)
	if known && where.id != "" && !r.fleet.lookAgain(now) {
		return where, ami, nil
	}
	r.prepare(ctx, o)
	return subnet{}, "", nil
}

// order orders hosts and returns how many, or says why none now. It is the loop's own
// step, so that no pass can order what another has.
func (r *reconciler) order(ctx context.Context, w *world, n need) (ordered int, why *refusal) {
	where, ami, why := r.ready(ctx, n.offer, w.now)
	if why != nil || where.id == "" {
		return 0, why
	}
	n.count = min(n.count, r.fleet.roomIn(where))
	if r.fleet.capacity.doubts(n.offer, where, w.now) {
		if slices.ContainsFunc(w.buys, func(b *buyRecord) bool { return b.offer() == n.offer && b.Subnet == where.id }) {
			return 0, nil // it will tell whether there are any
		}
		n.count = min(n.count, leastBought)
	}
	if n.market == launcher.Spot && len(r.l.spot.stale([]string{n.instanceType}, w.now)) > 0 {
		return 0, nil // they are being asked for
	}
	b, err := r.fleet.order(ctx, r.term.Epoch(), n, where, ami)
	if err != nil {
		r.l.cfg.Logger.Warn("a purchase could not be recorded", "type", n.String(), "error", err)
		return 0, &refusal{kind: launcher.ErrUnavailable, message: "the purchase of a host could not be recorded; it is tried again"}
	}
	w.buys = append(w.buys, &b)
	r.buy(ctx, b)
	return b.Count, nil
}

// buy makes a journalled purchase, and has EC2 asked about its hosts right after.
func (r *reconciler) buy(ctx context.Context, b buyRecord) {
	r.task(ctx, "buy "+b.Token, func(ctx context.Context) error {
		defer r.replan.Store(true)
		defer r.bought.Store(true)
		return r.fleet.buy(ctx, b.Token)
	})
}

// prepare has AWS asked, beside the loop, what has to be known before a host can be
// ordered.
func (r *reconciler) prepare(ctx context.Context, o offer) {
	r.task(ctx, "prepare "+o.String(), func(ctx context.Context) error { return r.learn(ctx, o) })
}

func (r *reconciler) learn(ctx context.Context, o offer) error {
	defer r.replan.Store(true)
	err := r.fleet.learn(ctx)
	if err == nil {
		err = r.l.amis.learn(ctx, r.l.cfg.Catalog, o.instanceType)
	}
	if err == nil || ctx.Err() != nil {
		r.trouble.set(o.String(), nil)
		return err
	}
	v := judge(err)
	if errors.Is(err, launcher.ErrNotFound) { // what Setup makes
		v = verdict{kind: launcher.ErrInvalid, settled: true}
	}
	now := time.Now()
	r.fleet.capacity.refused(o, subnet{}, v, err, now)
	r.trouble.set(o.String(), &refusal{kind: v.kind, message: explain(err)})
	if v.hopeless() {
		return r.fleet.giveUp(ctx, now)
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
		w.exit(launcher.ErrInvalid, fmt.Sprintf("no %s has room for it; choose another type",
			strings.Join(append([]string{w.Workload.InstanceType}, w.Workload.Alternatives...), " or ")))
		return true
	}))
}

// explainWait records why a workload waits and what was tried for it. While it is
// being tried, the last reason stands until it succeeds.
func (r *reconciler) explainWait(ctx context.Context, rec *workloadRecord, why *refusal) error {
	if !why.tells(rec) {
		return nil
	}
	return r.changed(r.l.change(ctx, rec.Workload.ID, func(w *workloadRecord) bool {
		s := &w.Status
		if w.Host != rec.Host || w.Delivered || s.Phase == launcher.Exited || !why.tells(w) {
			return false
		}
		s.Reason, s.Message, w.Setback = why.kind, why.message, false
		r.fleet.capacity.note(w)
		return true
	}))
}

// assign puts a workload on a host: first the host is marked as its owner's,
// in one step with the check that it still takes work.
func (r *reconciler) assign(ctx context.Context, rec *workloadRecord, host string) error {
	key := sharingKey(rec.Workload)
	h, err := r.l.hosts.Update(ctx, host, func(h *Host) error {
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
		s := &w.Status
		s.Phase = launcher.Provisioning
		if !w.Setback {
			s.Reason, s.Message = "", ""
		}
		s.Host, s.InstanceType, s.Market, s.Zone = host, h.InstanceType, h.Market, h.Zone
		s.Reached = h.welcomes(time.Now())
		r.fleet.capacity.note(w)
		return true
	}))
}

var errNotTaken = errors.New("the host takes no more work")

// terms are what an offer comes with now.
func (r *reconciler) terms(o offer, now time.Time) (t terms) {
	kind, err := r.l.cfg.Catalog.Type(o.instanceType)
	if err != nil { // Launch has checked it; a catalog may have shrunk since
		return t
	}
	t = r.l.terms(kind)
	where, why := r.fleet.choose(o, now)
	t.soldOut = why != nil
	var known bool
	if t.price, known = r.l.price(o, where.zone); !known {
		t.price, _ = r.l.price(offer{o.instanceType, launcher.OnDemand}, "")
	}
	return t
}

// slots are the fleet's hosts as placement sees them, the oldest first: they
// fill up, and the younger ones become empty and are released. Those that are
// being bought come last.
func (r *reconciler) slots(w *world) []slot {
	var all []slot
	hosts := slices.SortedFunc(r.known.Values(), func(a, b *Host) int {
		return cmp.Or(a.BoughtAt.Compare(b.BoughtAt), strings.Compare(a.ID, b.ID))
	})
	for _, h := range hosts {
		if !h.takes(h.Sharing) || h.silent() || r.hosts[h.ID].full(w.now) {
			continue
		}
		s := newSlot(h.offer(), terms{machine: h.Room, room: r.l.cfg.Overcommit.of(h.Room)})
		s.id, s.key = h.ID, h.Sharing
		on := r.board.on[h.ID]
		if len(on) > 0 {
			s.span = short
		}
		for _, rec := range on {
			s.take(&rec.Workload)
			for _, endpoint := range rec.Status.Endpoints { // the ports that the engine has chosen
				if _, port, err := net.SplitHostPort(endpoint); err == nil {
					if n, err := strconv.Atoi(port); err == nil {
						s.occupies(n)
					}
				}
			}
			s.span = max(s.span, spanLeft(rec, w.now))
		}
		for _, source := range h.Mounts {
			s.keeps(source)
		}
		all = append(all, *s)
	}
	for _, b := range w.buys {
		coming := newSlot(b.offer(), r.terms(b.offer(), w.now))
		for range b.Count {
			all = append(all, *coming)
		}
	}
	return all
}

// spanLeft is how long a workload goes on, as far as that is known.
func spanLeft(rec *workloadRecord, now time.Time) int {
	begun := rec.Status.StartedAt
	if begun.IsZero() {
		begun = now
	}
	if rec.Workload.Lifetime == 0 {
		return long
	}
	return spanOf(max(rec.Workload.Lifetime-now.Sub(begun), 1))
}
