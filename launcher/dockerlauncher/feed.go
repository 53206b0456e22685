package dockerlauncher

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"

	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/internal/watch"
	"github.com/atelier-go/atelier/launcher"
)

const (
	// probeEvery is how often an engine is asked whether it is there, and what
	// is there: a machine that lost its network says nothing by itself, and an
	// engine drops events that it cannot pass on. probeLimit is how long it may
	// take to answer the first.
	probeEvery = 10 * time.Second
	probeLimit = 5 * time.Second
	// answerLimit is how long it may take to tell of its containers.
	answerLimit = 30 * time.Second
	// restartLimit is how long an engine may be gone, as one that restarts
	// is, before watches end.
	restartLimit = 15 * time.Second
	// reconnectEvery is how often it is tried meanwhile.
	reconnectEvery = 500 * time.Millisecond
	// replay is how far back an engine is asked for what has happened: it
	// answers before it listens (getEvents in api/server/router/system of
	// moby), so that what happens between would be told to nobody. It is
	// measured by our clock; where that is wrong, the next time that stock is
	// taken shows what was missed.
	replay = 2 * time.Second
)

// A feed is the one stream of the engine's events that all watches of this
// process share, while there are any.
type feed struct {
	l         *Launcher
	published sync.Mutex // a look at the hub and a change after it are one step
	hub       watch.Hub[launcher.ID, launcher.Status]
	watchers  int                  // under Launcher.mu
	missing   map[launcher.ID]bool // what the last stock did not have; of run
	old       chan []*found        // one slot: exits to remove
	synced    chan struct{}        // closed when all there is has been told once
	life      context.Context
	end       context.CancelCauseFunc
	done      chan struct{}
}

// Watch implements [launcher.Launcher]. While an engine does not answer,
// statuses are unknown; one that is gone for more than 15 seconds ends the
// watch with [launcher.ErrUnavailable].
func (l *Launcher) Watch(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return func(yield func(launcher.Status, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(launcher.Status{}, err)
			return
		}
		shared, err := l.join()
		if err != nil {
			yield(launcher.Status{}, err)
			return
		}
		defer l.leave(shared)
		select {
		case <-shared.synced:
		case <-shared.life.Done():
			yield(launcher.Status{}, context.Cause(shared.life))
			return
		case <-ctx.Done():
			yield(launcher.Status{}, ctx.Err())
			return
		}
		bound, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer context.AfterFunc(shared.life, func() { cancel(context.Cause(shared.life)) })()
		for s, err := range shared.hub.Changes(bound, func(_ launcher.ID, s launcher.Status) bool { return f.Match(s) }) {
			if !yield(clone(s), err) {
				return
			}
		}
	}
}

// join enters the shared feed, and begins it if there is none that works.
func (l *Launcher) join() (*feed, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, refuse("watch", "", launcher.ErrNotRunning, "%w", errClosed)
	}
	if l.feed == nil || l.feed.life.Err() != nil {
		f := &feed{l: l, synced: make(chan struct{}), done: make(chan struct{}), old: make(chan []*found, 1)}
		f.life, f.end = context.WithCancelCause(l.life)
		l.feed = f
		l.work.Go(f.run)
	}
	l.feed.watchers++
	return l.feed, nil
}

// leave ends a feed with its last watcher.
func (l *Launcher) leave(f *feed) {
	l.mu.Lock()
	f.watchers--
	last := f.watchers == 0
	if last {
		f.end(errClosed)
		if l.feed == f {
			l.feed = nil
		}
	}
	l.mu.Unlock()
	if last {
		<-f.done
	}
}

// run keeps the feed connected until it ends.
func (f *feed) run() {
	defer close(f.done)
	var lost time.Time // since when the engine has not answered
	for {
		err := f.follow(func() { lost = time.Time{} })
		if f.life.Err() != nil {
			if f.l.life.Err() != nil {
				f.end(refuse("watch", "", launcher.ErrNotRunning, "%w", errClosed))
			}
			return
		}
		if lost.IsZero() {
			lost = time.Now()
		}
		f.unknown()
		if !f.told() || time.Since(lost) > restartLimit {
			f.end(failAs("watch", "", launcher.ErrUnavailable, fmt.Errorf("the engine does not answer: %w", err)))
			return
		}
		if pace.Sleep(f.life, reconnectEvery) != nil {
			return
		}
	}
}

func (f *feed) told() bool {
	select {
	case <-f.synced:
		return true
	default:
		return false
	}
}

// follow is one connection: it takes stock, then follows the events, until the
// engine breaks it off or does not answer any more.
func (f *feed) follow(connected func()) error {
	ctx, cancel := context.WithCancel(f.life)
	var guard sync.WaitGroup
	defer guard.Wait()
	defer cancel()
	// The events come first, so that nothing happens between. The client waits for
	// the engine to begin with them.
	late := time.AfterFunc(answerLimit, cancel)
	stream := f.l.engine.Events(ctx, client.EventsListOptions{
		Since:   time.Now().Add(-replay).UTC().Format(time.RFC3339Nano),
		Filters: make(client.Filters).Add("type", string(events.ContainerEventType)).Add("label", labelID),
	})
	if !late.Stop() {
		return pace.ErrLate
	}
	if err := pace.Within(ctx, answerLimit, f.takeStock); err != nil {
		return err
	}
	connected()
	guard.Go(func() { f.tidy(ctx) })
	if !f.told() {
		close(f.synced)
	}
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	for {
		select {
		case m := <-stream.Messages:
			if err := pace.Within(ctx, answerLimit, func(ctx context.Context) error { return f.heard(ctx, m) }); err != nil {
				return err
			}
		case err := <-stream.Err:
			return fmt.Errorf("its events ended: %w", err)
		case <-probe.C:
			err := pace.Within(ctx, probeLimit, func(ctx context.Context) error {
				_, err := f.l.engine.Ping(ctx, client.PingOptions{})
				return err
			})
			if err == nil {
				err = pace.Within(ctx, answerLimit, f.takeStock)
			}
			if err != nil {
				return err
			}
		}
	}
}

// takeStock publishes all that is, and that what is no more is no more: what is
// missing for the second time. The events that have come between, and any exit
// of which this process knows better, come before that.
func (f *feed) takeStock(ctx context.Context) error {
	all, old, err := f.l.statusList(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		f.publish(s)
	}
	missing := map[launcher.ID]bool{}
	for _, s := range f.hub.All() {
		switch _, there := all[s.ID]; {
		case there:
		case f.missing[s.ID]:
			f.drop(s)
		default:
			missing[s.ID] = true
		}
	}
	f.missing = missing
	select {
	case f.old <- old:
	default: // it is busy, and what is old does not get younger
	}
	return nil
}

// tidy looks after disks and removes old exits until ctx ends. It is beside all
// else, since an engine may take long for either: to see what a container has
// written, it reads through it.
func (f *feed) tidy(ctx context.Context) {
	guard := time.NewTicker(guardEvery)
	defer guard.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case old := <-f.old:
			f.l.retire(ctx, old)
		case <-guard.C:
			if err := pace.Within(ctx, guardLimit, f.l.guardDisk); err != nil && ctx.Err() == nil {
				f.l.cfg.Logger.Warn("it is not known what the containers have written", "error", err)
			}
		}
	}
}

// heard deals with an event of a container of ours.
func (f *feed) heard(ctx context.Context, m events.Message) error {
	id := launcher.ID(m.Actor.Attributes[labelID])
	switch m.Action {
	case events.ActionKill:
		f.l.mu.Lock()
		f.l.stopping[m.Actor.ID] = true
		delete(f.l.statuses, m.Actor.ID)
		f.l.mu.Unlock()
	case events.ActionCreate, events.ActionStart, events.ActionDie, events.ActionDestroy:
	default:
		return nil
	}
	// What the workload's name stands for now: a container, or its headstone.
	c, err := f.l.find(ctx, id)
	if err != nil {
		return err
	}
	known, told := f.hub.Get(id)
	switch {
	case c != nil && !c.halfMade():
		s := f.l.statusOf(c)
		f.l.remember(c, s)
		f.publish(s)
	case told && m.Action == events.ActionDie: // and it was removed at once
		known.Phase, known.Endpoints, known.Unknown = launcher.Exited, nil, false
		known.ExitCode, _ = strconv.Atoi(m.Actor.Attributes["exitCode"]) // always there, a number
		known.ExitedAt = time.Unix(0, m.TimeNano)
		f.publish(known)
	case told && m.Action == events.ActionDestroy:
		f.drop(known)
	}
	return nil
}

// drop forgets a workload that the engine does not have any more.
func (f *feed) drop(s launcher.Status) {
	switch {
	case s.Phase == launcher.Exited:
		f.hub.Delete(s.ID)
	case !s.StartedAt.IsZero():
		s.Phase, s.Endpoints, s.Unknown = launcher.Exited, nil, false
		s.Reason, s.Message = launcher.ErrHostLost, "its container was removed from the engine"
		s.ExitedAt = time.Now()
		f.publish(s)
		f.hub.Delete(s.ID)
	case !f.l.waiting(s.ID): // or it is being launched
		f.dropStarting(s.ID)
	}
}

// dropStarting forgets a workload that did not come up.
func (f *feed) dropStarting(id launcher.ID) {
	f.published.Lock()
	defer f.published.Unlock()
	if s, told := f.hub.Get(id); told && s.Phase == launcher.Starting {
		f.hub.Delete(id)
	}
}

// unknown says of all that lives that nothing is known of it now.
func (f *feed) unknown() {
	f.published.Lock()
	defer f.published.Unlock()
	for _, s := range f.hub.All() {
		if s.Phase != launcher.Exited && !s.Unknown {
			s.Unknown = true
			f.hub.Set(s.ID, s)
		}
	}
}

var order = []launcher.Phase{
	launcher.Queued, launcher.Provisioning, launcher.Starting, launcher.Running, launcher.Stopping, launcher.Exited,
}

// publish tells the watchers of a status, if it is news and leads forward; what
// is starting only as long as it is being launched. A nil feed has no watchers.
func (f *feed) publish(s launcher.Status) {
	if f == nil {
		return
	}
	f.published.Lock()
	defer f.published.Unlock()
	known, ok := f.hub.Get(s.ID)
	if s.Phase == launcher.Starting && !f.l.waiting(s.ID) || ok && (slices.Index(order, s.Phase) < slices.Index(order, known.Phase) || reflect.DeepEqual(known, s)) {
		return
	}
	f.hub.Set(s.ID, s)
}

// publish tells this process's watchers of a status.
func (l *Launcher) publish(s launcher.Status) {
	l.mu.Lock()
	f := l.feed
	l.mu.Unlock()
	f.publish(s)
}
