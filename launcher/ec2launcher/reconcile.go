package ec2launcher

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/launcher"
)

const (
	// busyDescribe is how often EC2 is asked about hosts while they are on their way
	// in or out, idleDescribe about all.
	busyDescribe = 2 * time.Second
	idleDescribe = 15 * time.Second
	// breath is the least time between two passes, however much happens meanwhile.
	breath = 50 * time.Millisecond
	// patrolEvery is how often a pass looks at every host and what is recorded there, also
	// where all is as it should be, and revisitEvery where a workload does not run yet or is
	// to end: what was missed is not missed for long.
	patrolEvery  = 5 * time.Minute
	revisitEvery = 30 * time.Second
	// batchFor is how long a purchase waits for others that are equal: a storm comes
	// one by one, and EC2 takes few calls and many instances.
	batchFor = 250 * time.Millisecond
	// mostBought is how many hosts one call asks for: "launch in batches" for
	// faster ones is AWS's advice (troubleshooting of RunInstances), and a call
	// for more than its bucket holds would never be let through. leastBought is
	// how many there are tokens for before more are asked for than there were.
	mostBought, leastBought = 100, 20
	// planPause is the least time between two plans, for each workload and host that
	// the first looks at: twenty times what it takes. Between two of a queue for which
	// everything is on its way it is twenty times as long, and at least planAgain.
	planPause = 200 * time.Microsecond
	planAgain = time.Second
	// terminateEvery is how often EC2 is asked to end a host that has not ended:
	// asking twice is harmless, and once is usually enough.
	terminateEvery = time.Minute
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
	// onHosts are steps on hosts, which may hang for long.
	onHosts *tasks
	// pulling are pulls of images ahead, which take long.
	pulling *tasks
	fleet   *fleet
	hosts   map[string]*hostWatch
	met     map[string]time.Time // since when this process knows a host
	// restless are the hosts that are looked at again and again: all but those that
	// are known to do what they should, which are looked at when they speak or their
	// record, or that of a workload there, changes.
	restless map[string]bool
	heard    heard
	// lookedAt is when a pass looked at the restless, revisitedAt where workloads are
	// unsettled, patrolledAt at every host.
	lookedAt, revisitedAt, patrolledAt time.Time
	asked                              map[string]time.Time // when EC2 was last asked to end a host
	// plannedAt is when the last plan was made, plannedBuys how many purchases were
	// under way, and planPause how long after it none is made.
	plannedAt   time.Time
	plannedBuys int
	planPause   time.Duration
	replan      atomic.Bool // something that a plan waited for has come
	bought      atomic.Bool // EC2 was not asked yet about hosts that were bought
	unplanned   bool        // something waits that the last plan did not see
	// wantedSince is since when hosts are wanted that were not ordered, short how many
	// of them next for which there were no tokens. toldTurns is whether that is recorded.
	wantedSince time.Time
	short       int
	toldTurns   bool
	// served are when hosts of a kind were ordered last while some are wanted.
	served map[offer]time.Time
	// trouble is why steps come to nothing that workloads wait for.
	trouble troubles
	// promised are the kinds of hosts that workloads wait for.
	promised map[launcher.ID]offer
	arrivals arrivals
	// keep are the hosts that room is kept free on, pulled the images that were
	// pulled ahead there.
	keep   map[string][]string
	pulled pulls
	// reserved is what the last plan had for each of what is to be kept warm.
	reserved []reserved
	board    *board
	known    *store.Mirror[Host]
	buys     *store.Mirror[buyRecord]

	// describedAt is when EC2 was asked about all hosts, glancedAt about those on their
	// way in or out, noticedAt about notices.
	describedAt, glancedAt, noticedAt time.Time
	compared, glanced                 *store.Mirror[Host] // of the steps that compare all and some
}

// world is what one pass of the loop sees of the store.
type world struct {
	now   time.Time
	buys  []*buyRecord
	given map[string]bool // hosts that were given work in this pass
	// spoke are the hosts that said something since the last pass, or of whose
	// workloads a record changed.
	spoke  map[string]bool
	ending []string      // hosts that EC2 is to end, as the pass comes by them
	again  time.Duration // when to look again at the latest
}

// reconcile is the work of the lease's holder, whose process has seen some records
// already.
func (l *Launcher) reconcile(ctx context.Context, term store.Term, seen mirrors) error {
	// As a process before has left it, which orders nothing from now on.
	fleetIs, err := l.changeFleet(ctx, func(f *fleetRecord) { f.Epoch = max(f.Epoch, term.Epoch()) })
	if err != nil {
		return err
	}
	r := &reconciler{
		l: l, term: term, tasks: newTasks(l.wake, parallel), onHosts: newTasks(l.wake, parallel), pulling: newTasks(l.wake, pullsAtOnce),
		hosts: map[string]*hostWatch{}, met: map[string]time.Time{}, asked: map[string]time.Time{}, restless: map[string]bool{}, served: map[offer]time.Time{},
		board: newBoard(seen.board.mirror.Twin()), known: seen.hosts.Twin(), buys: store.NewMirror(l.buys), compared: seen.hosts.Twin(), glanced: seen.hosts.Twin(),
		fleet: &fleet{l: l, capacity: &capacity{}}, toldTurns: fleetIs.InTurn,
	}
	defer l.warm.Store(nil)
	defer l.telemetry.leave()
	defer r.tasks.wg.Wait()
	defer r.onHosts.wg.Wait()
	defer r.pulling.wg.Wait()
	for {
		again, err := r.pass(ctx)
		if err != nil && ctx.Err() == nil {
			l.cfg.Logger.Warn("a pass over the fleet failed and is repeated", "error", err)
		}
		if err := pace.Sleep(ctx, breath); err != nil {
			return err
		}
		next := time.NewTimer(again - breath)
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
	defer func() {
		if err != nil { // it is all looked at again
			for host := range w.spoke {
				r.heard.from(host)
			}
		}
	}()
	r.describe(ctx, w)
	r.notices(ctx, w)
	for _, b := range w.buys {
		if !w.now.Before(b.NotBefore) {
			r.buy(ctx, *b)
		}
	}
	if r.planDue(w) {
		if err := r.placeQueue(ctx, w); err != nil {
			return tick, err
		}
	}
	r.tellWarm(w.now)
	r.l.telemetry.count(r, w)
	if err := r.followHosts(ctx, w); err != nil {
		return tick, err
	}
	if err := r.driveAll(ctx, w); err != nil {
		return tick, err
	}
	if r.calm(w) && r.board.quiet() && r.wantedSince.IsZero() {
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
func (r *reconciler) calm(w *world) bool {
	if len(w.buys) > 0 {
		return false
	}
	for id := range r.restless {
		h, known := r.known.Get(id)
		if known && h.State != HostGone && (h.State != HostReady || !h.UnreachableSince.IsZero()) {
			return false
		}
	}
	return true
}

// driveAll takes the next step for every workload for which there may be one:
// those that are restless, and those on hosts that have spoken.
func (r *reconciler) driveAll(ctx context.Context, w *world) error {
	for _, rec := range r.board.moving() {
		if err := r.drive(ctx, w, rec); err != nil {
			return err
		}
	}
	for _, host := range slices.Sorted(maps.Keys(w.spoke)) {
		for _, rec := range r.board.on[host] {
			if rec.restless() {
				continue // it was moved already
			}
			if err := r.drive(ctx, w, rec); err != nil {
				return err
			}
		}
	}
	return nil
}

// task runs a step that calls AWS beside the loop, if none with its key is under
// way, and reports whether it does. A step that fails is taken again by a later pass.
func (r *reconciler) task(ctx context.Context, key string, step func(context.Context) error) bool {
	return r.take(ctx, r.tasks, 0, key, step)
}

// onHost is task for a step on a host. Many hosts that hang hold up one another's, and
// no call of AWS, which is what ends them and buys others.
func (r *reconciler) onHost(ctx context.Context, key string, step func(context.Context) error) bool {
	return r.take(ctx, r.onHosts, 0, key, step)
}

// take takes a step, and not again for a while.
func (r *reconciler) take(ctx context.Context, among *tasks, rest time.Duration, key string, step func(context.Context) error) bool {
	return among.do(ctx, key, func(ctx context.Context) time.Duration {
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
	w := &world{given: map[string]bool{}, spoke: map[string]bool{}, again: tick}
	for b, err := range r.buys.All(ctx) {
		if err != nil {
			return nil, err
		}
		w.buys = append(w.buys, b)
	}
	hosts, err := r.known.Update(ctx)
	for _, c := range hosts { // also beside an error: they are not told again
		r.heard.from(c.ID)
	}
	if err != nil {
		return nil, err
	}
	changed, err := r.board.update(ctx)
	r.arrivals.note(changed, time.Now())
	for _, rec := range changed {
		if _, planned := r.promised[rec.Workload.ID]; !planned && rec.Host == "" && rec.Status.Phase != launcher.Exited {
			r.unplanned = true
		}
	}
	if err != nil {
		return nil, err
	}
	maps.Copy(w.spoke, r.board.touched)
	clear(r.board.touched)
	r.heard.take(w.spoke)
	w.now = time.Now()
	return w, nil
}
