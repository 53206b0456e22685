// Package running knows whether a component's Run is active.
package running

import (
	"context"
	"errors"
	"sync"
	"time"
)

// patience is how long [Gate.Wait] gives a Run that was started in another
// goroutine a moment ago.
const patience = time.Second

// ErrNotRunning is returned by [Gate.Wait] when nothing runs.
var ErrNotRunning = errors.New("not running")

// ErrAlreadyRunning is returned by [Gate.Enter] when something runs already.
var ErrAlreadyRunning = errors.New("already running")

// A Gate is open while a component's Run is active. The zero value is closed.
type Gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while running; nil if never asked for
	on   bool
}

// Enter opens the gate for the time of one Run and returns what closes it.
func (g *Gate) Enter() (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.on {
		return nil, ErrAlreadyRunning
	}
	g.on = true
	close(g.channel())
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.on = false
		g.open = nil
	}, nil
}

// Wait returns nil while the gate is open. A closed gate it watches for a
// second, so that "go x.Run(ctx)" may be followed by a use of x at once; then
// it returns ErrNotRunning.
func (g *Gate) Wait(ctx context.Context) error {
	g.mu.Lock()
	open := g.channel()
	g.mu.Unlock()
	select {
	case <-open:
		return nil
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return ErrNotRunning
	}
}

// channel returns the channel that is closed while running; g.mu is held.
func (g *Gate) channel() chan struct{} {
	if g.open == nil {
		g.open = make(chan struct{})
	}
	return g.open
}
