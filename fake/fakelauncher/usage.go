package fakelauncher

import (
	"context"
	"fmt"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// Use says that the program keeps so many cores busy from now on, in place of
// what it said before; in the beginning and below zero it is none. It is given
// no more than its workload's MilliCPU, as an engine's quota has it, and returns
// what it is given; a program that has ended is given none.
//
// What a Go function really takes cannot be told apart from all else in its
// process: [Launcher.Usage] believes what a program says.
func (p *Proc) Use(cores float64) float64 {
	c := p.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return 0
	}
	cores = max(cores, 0)
	if c.cpus > 0 {
		cores = min(cores, float64(c.cpus)/1000)
	}
	now := time.Now()
	c.busy = load{cores: cores, since: now, before: c.busy.at(now)}
	return cores
}

// load is how busy a program is, since when, and what it had consumed before.
type load struct {
	cores  float64
	since  time.Time
	before time.Duration
}

// at is the processor time that was consumed until then.
func (b load) at(now time.Time) time.Duration {
	if b.cores == 0 {
		return b.before
	}
	return b.before + time.Duration(b.cores*float64(now.Sub(b.since)))
}

// Usage implements [launcher.Launcher]: the processor time is what the program
// says by [Proc.Use], over time, and the memory what it has by [Proc.Allocate].
func (l *Launcher) Usage(ctx context.Context, id launcher.ID) (launcher.Usage, error) {
	const op = "usage"
	if err := l.answer(ctx, op, id); err != nil {
		return launcher.Usage{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.containers[id]
	switch {
	case c == nil:
		return launcher.Usage{}, wrap(op, id, launcher.ErrNotFound, nil)
	case c.status.Phase != launcher.Running && c.status.Phase != launcher.Stopping:
		return launcher.Usage{}, wrap(op, id, launcher.ErrNotRunning, fmt.Errorf("it is %s", c.status.Phase))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	return launcher.Usage{StartedAt: c.status.StartedAt, At: now, CPU: c.busy.at(now), MemoryBytes: max(c.memory, 0) << 20}, nil
}
