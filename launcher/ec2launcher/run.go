package ec2launcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/launcher"
)

const (
	// tick is how often the reconciler looks at what only time changes, and
	// calmTick when nothing is under way.
	tick     = time.Second
	calmTick = 5 * time.Second
	// mirrorEvery is how often a process reads what others have written.
	mirrorEvery = 2 * time.Second
	// toldWithin is how long an exit stays recorded at least, so that every
	// process can tell its watchers.
	toldWithin = 3 * mirrorEvery
	// leaseTTL bounds how long a fleet stands still when the process that ran
	// it dies without a word: another has the lease within 4/3 of it.
	leaseTTL = 15 * time.Second
	// parallel is how many steps that call AWS are taken at one time, and how many on hosts.
	parallel = 64
)

// Run works for the fleet until ctx ends, which is its ordinary end: it then
// returns nil, and every goroutine it started has ended. Hosts and workloads
// go on. Run may be called by many processes; one of them does the work, and
// another takes over within 20 seconds if it dies. A second Run of one
// Launcher at the same time is an error.
func (l *Launcher) Run(ctx context.Context) error {
	open, leave, err := l.gate.Enter()
	if err != nil {
		return fail("run", "", launcher.ErrConflict, err)
	}
	defer leave()
	seen := l.mirrors()
	if err := l.prime(ctx, seen); err != nil {
		return nil // ctx has ended
	}
	open()
	defer l.engines.keep(func(string) bool { return false })
	defer l.telemetry.observe(l)()
	lease := store.Lease{Name: l.cfg.Fleet, Holder: l.holder(), TTL: leaseTTL}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.mirror(ctx, seen) })
	g.Go(func() error {
		return again(ctx, func() error {
			return lease.Hold(ctx, l.cfg.Store, func(ctx context.Context, term store.Term) error { return l.reconcile(ctx, term, seen) })
		}, func(err error) { l.cfg.Logger.Warn("the fleet's lease was lost", "error", err) })
	})
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// holder names this process in the lease, for people who read the store.
func (l *Launcher) holder() string {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown host"
	}
	return fmt.Sprintf("%s/%d/%p", name, os.Getpid(), l)
}

// prime reads the store once, so that the first Watch begins with all there is.
func (l *Launcher) prime(ctx context.Context, seen mirrors) error {
	return again(ctx, func() error {
		if err := l.refresh(ctx, seen); err != nil {
			return err
		}
		return errDone
	}, func(err error) { l.cfg.Logger.Warn("the store does not answer", "error", err) })
}

// mirror tells this process's watchers what other processes have written.
func (l *Launcher) mirror(ctx context.Context, seen mirrors) error {
	return pace.Every(ctx, mirrorEvery, func() {
		if err := l.refresh(ctx, seen); err != nil && ctx.Err() == nil {
			l.cfg.Logger.Warn("the store does not answer", "error", err)
		}
	})
}

// mirrors are what one loop has read of the store.
type mirrors struct {
	board *board
	hosts *store.Mirror[Host]
	moved map[string]bool // hosts of which something else is to be told
}

func (l *Launcher) mirrors() mirrors {
	l.published.Lock()
	defer l.published.Unlock()
	l.outlooks = map[string]outlook{}
	return mirrors{newBoard(store.NewMirror(l.workloads)), store.NewMirror(l.hosts), map[string]bool{}}
}

// refresh publishes what has changed in the store, and drops the ways to hosts
// that are no more.
func (l *Launcher) refresh(ctx context.Context, seen mirrors) error {
	fleet, err := l.fleet.Get(ctx, onlyFleet)
	if ignoreNotFound(err) != nil {
		return err
	}
	hosts, err := seen.hosts.Update(ctx)
	outlooks := map[string]outlook{"": fleet.outlook()}
	for _, c := range hosts { // also beside an error: they are not told again
		outlooks[c.ID] = outlook{}
		if c.Value != nil {
			outlooks[c.ID] = c.Value.outlook()
		}
	}
	l.published.Lock()
	for id, now := range outlooks {
		if now == l.outlooks[id] {
			continue
		}
		seen.moved[id] = true
		if l.outlooks[id] = now; now == (outlook{}) {
			delete(l.outlooks, id)
		}
	}
	l.published.Unlock()
	if err != nil {
		return err
	}
	if len(hosts) > 0 {
		l.engines.keep(func(id string) bool {
			h, known := seen.hosts.Get(id)
			return known && h.live()
		})
	}
	changed, err := seen.board.update(ctx)
	clear(seen.board.touched)
	for _, rec := range changed {
		l.publish(rec)
	}
	if err != nil {
		return err
	}
	for host := range seen.moved {
		for _, rec := range seen.board.on[host] {
			l.publish(rec)
		}
	}
	if seen.moved[""] {
		for _, rec := range seen.board.waiting {
			l.publish(rec)
		}
	}
	clear(seen.moved)
	for _, id := range l.toldBeside(seen.board) {
		if _, err := l.workloads.Get(ctx, string(id)); errors.Is(err, store.ErrNotFound) {
			l.unpublish(id)
		}
	}
	return nil
}

// toldBeside returns the workloads that watchers were told of and that are not
// among those that were seen, of which all were told.
func (l *Launcher) toldBeside(seen *board) (ids []launcher.ID) {
	l.published.Lock()
	defer l.published.Unlock()
	if len(l.told) == len(seen.all) {
		return nil
	}
	for id := range l.told {
		if seen.all[string(id)] == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

var errDone = errors.New("done")

// again repeats f with growing pauses until it returns errDone or ctx ends,
// whose error it returns. The pauses have no jitter, so that a run replays.
func again(ctx context.Context, f func() error, failed func(error)) error {
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(time.Second), backoff.WithMaxInterval(30*time.Second),
		backoff.WithMaxElapsedTime(0), backoff.WithRandomizationFactor(0))
	for {
		begun := time.Now()
		err := f()
		switch {
		case errors.Is(err, errDone):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			failed(err)
		}
		if time.Since(begun) > time.Minute {
			pause.Reset()
		}
		if err := pace.Sleep(ctx, pause.NextBackOff()); err != nil {
			return err
		}
	}
}

// tasks run steps beside the reconciler's loop: at most one for each key, and
// no more than a limit at one time.
type tasks struct {
	wg    sync.WaitGroup
	slots chan struct{}
	mu    sync.Mutex
	busy  map[string]bool
	after func() // called when a step has ended
}

func newTasks(after func(), atOnce int) *tasks {
	return &tasks{slots: make(chan struct{}, atOnce), busy: map[string]bool{}, after: after}
}

// do starts a step, unless one with its key is under way, and reports whether
// it did. The step returns how long its key is to rest afterwards.
func (t *tasks) do(ctx context.Context, key string, step func(context.Context) time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy[key] {
		return false
	}
	t.busy[key] = true
	t.wg.Go(func() {
		select {
		case t.slots <- struct{}{}:
			rest := step(ctx)
			<-t.slots
			if rest > 0 {
				_ = pace.Sleep(ctx, rest) // ended early, there is nothing left to do
			}
		case <-ctx.Done():
		}
		t.mu.Lock()
		delete(t.busy, key)
		t.mu.Unlock()
		t.after()
	})
	return true
}
