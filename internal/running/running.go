// Package running knows whether a component's Run is active.
package running

import (
	"context"
	"errors"
	"sync"
	"time"
)

// patience is how long [Gate.Wait] gives a Run that was started in another
// goroutine a moment ago to begin.
const patience = time.Second

// ErrNotRunning is returned by [Gate.Wait] when nothing runs.
var ErrNotRunning = errors.New("not running")

// ErrAlreadyRunning is returned by [Gate.Enter] when something runs already.
var ErrAlreadyRunning = errors.New("already running")

// A Gate is open while a component's Run is active and ready. The zero value is
// closed.
type Gate struct {
	mu   sync.Mutex
	open chan struct{}   // closed while open; nil if nobody waits for it
	life context.Context // ends with the present Run; nil while there is none
}

// Enter begins a Run. It returns what opens the gate once that is ready, and what
// closes it at the end.
func (g *Gate) Enter() (open, leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.life != nil {
		return nil, nil, ErrAlreadyRunning
	}
	life, end := context.WithCancel(context.Background())
	g.life = life
	channel := g.channel()
	return func() { close(channel) }, func() {
		g.mu.Lock()
		g.open, g.life = nil, nil
		g.mu.Unlock()
		end()
	}, nil
}

// Open reports whether the gate is open.
func (g *Gate) Open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.channel():
		return true
	default:
		return false
	}
}

// Wait returns nil while the gate is open. It gives a Run a second to begin, so that
// "go x.Run(ctx)" may be followed by a use of x at once, and one that has begun until
// ctx ends to be ready. Otherwise it returns ErrNotRunning.
func (g *Gate) Wait(ctx context.Context) error {
	g.mu.Lock()
	open, life := g.channel(), g.life
	g.mu.Unlock()
	select {
	case <-open:
		return nil
	default:
	}
	if life == nil {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-open:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		g.mu.Lock()
		open, life = g.channel(), g.life
		g.mu.Unlock()
		if life == nil {
			return ErrNotRunning
		}
	}
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-life.Done():
		return ErrNotRunning
	}
}

// Bind returns a context that ends with ctx and, with ErrNotRunning as its
// cause, when the present Run does. It is for what must not outlive a Run.
func (g *Gate) Bind(ctx context.Context) (bound context.Context, cancel func()) {
	g.mu.Lock()
	life := g.life
	g.mu.Unlock()
	bound, end := context.WithCancelCause(ctx)
	if life == nil {
		end(ErrNotRunning)
		return bound, func() {}
	}
	stop := context.AfterFunc(life, func() { end(ErrNotRunning) })
	return bound, func() {
		stop()
		end(nil)
	}
}

// channel returns the channel that is closed while running; g.mu is held.
func (g *Gate) channel() chan struct{} {
	if g.open == nil {
		g.open = make(chan struct{})
	}
	return g.open
}
