package session_test

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// reclaimer is a launcher whose hosts AWS takes back: each workload stands for
// the host it is on. It tells of notices and of what was interrupted.
type reclaimer struct {
	launcher.Launcher
	host launcher.Launcher // what the workloads are ended by

	mu      sync.Mutex
	notices map[launcher.ID]time.Time
	taken   map[launcher.ID]bool
	dress   func(launcher.Status) launcher.Status // further changes, or nil
	stops   []launcher.StopOptions                // by the manager
	changed chan struct{}                         // closed at the next change
}

// reclaimer is over w's guard.
func (w *world) reclaimer() *reclaimer {
	return &reclaimer{
		Launcher: w.guard, host: w.host, changed: make(chan struct{}),
		notices: map[launcher.ID]time.Time{}, taken: map[launcher.ID]bool{},
	}
}

func (l *reclaimer) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	close(l.changed)
	l.changed = make(chan struct{})
}

// announce says that the host of a workload is taken back after a while, and
// takes it then.
func (l *reclaimer) announce(id launcher.ID, after time.Duration) time.Time {
	at := time.Now().Add(after)
	l.set(func() { l.notices[id] = at })
	time.AfterFunc(after, func() { l.take(id) })
	return at
}

// take ends a workload, unless it has ended.
func (l *reclaimer) take(id launcher.ID) {
	ctx := context.Background()
	if s, err := launcher.Get(ctx, l.host, id); err != nil || s.Phase == launcher.Exited {
		return
	}
	l.set(func() { l.taken[id] = true })
	if err := l.host.Stop(ctx, id, launcher.StopOptions{Signal: "SIGKILL"}); err != nil {
		l.set(func() { delete(l.taken, id) })
	}
}

func (l *reclaimer) edited(s launcher.Status) launcher.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.notices[s.ID]; ok && s.Phase != launcher.Exited {
		s.Interruption = at
	}
	if l.taken[s.ID] && s.Phase == launcher.Exited {
		s.Reason, s.Message = launcher.ErrInterrupted, "the host was taken"
	}
	if l.dress != nil {
		s = l.dress(s)
	}
	return s
}

func (l *reclaimer) Launch(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
	s, err := l.Launcher.Launch(ctx, w)
	if err == nil {
		s = l.edited(s)
	}
	return s, err
}

func (l *reclaimer) Stop(ctx context.Context, id launcher.ID, o launcher.StopOptions) error {
	if !o.Forget {
		l.mu.Lock()
		l.stops = append(l.stops, o)
		l.mu.Unlock()
	}
	return l.Launcher.Stop(ctx, id, o)
}

// graces is with which grace the manager had workloads ended.
func (l *reclaimer) graces() (all []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.stops {
		all = append(all, o.Grace)
	}
	return all
}

func (l *reclaimer) List(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return func(yield func(launcher.Status, error) bool) {
		for s, err := range l.Launcher.List(ctx, f) {
			if err == nil {
				s = l.edited(s)
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

func (l *reclaimer) Watch(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	type element struct {
		launcher.Status
		err error
	}
	return func(yield func(launcher.Status, error) bool) {
		bound, cancel := context.WithCancel(ctx)
		in := make(chan element)
		defer func() {
			cancel()
			for range in {
				continue // until it has ended
			}
		}()
		go func() {
			defer close(in)
			for s, err := range l.Launcher.Watch(bound, f) {
				in <- element{s, err}
			}
		}()
		last := map[launcher.ID]launcher.Status{} // as the launcher told it
		for {
			l.mu.Lock()
			changed := l.changed
			l.mu.Unlock()
			select {
			case e, ok := <-in:
				if !ok {
					return
				}
				s := e.Status
				if e.err == nil && !s.Synced() {
					last[s.ID] = s
					s = l.edited(s)
				}
				if !yield(s, e.err) {
					return
				}
			case <-changed:
				for _, id := range slices.Sorted(maps.Keys(last)) {
					if !yield(l.edited(last[id]), nil) {
						return
					}
				}
			}
		}
	}
}
