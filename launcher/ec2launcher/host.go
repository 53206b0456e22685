package ec2launcher

import (
	"context"
	"io"
	"maps"
	"sync"

	"github.com/atelier-go/atelier/launcher"
)

// A HostLauncher runs workloads on one host: a [launcher.Launcher] for its
// container engine that also knows how much fits there.
type HostLauncher interface {
	launcher.Launcher

	// Room returns what the host has for workloads in all, used or not. It
	// answers as soon as the engine does, and that makes a host ready.
	Room(ctx context.Context) (launcher.Resources, error)

	// Pull makes an image present on the host, so that a later Launch need not.
	Pull(ctx context.Context, image string) error
}

// engines are the ways to the hosts' container engines, one for each host,
// shared by everything in this process that speaks to it.
type engines struct {
	connect func(context.Context, Host) (HostLauncher, error)

	mu   sync.Mutex
	open map[string]HostLauncher
}

// get returns the way to a host, opening it if there is none.
func (e *engines) get(ctx context.Context, h Host) (HostLauncher, error) {
	e.mu.Lock()
	engine, ok := e.open[h.ID]
	e.mu.Unlock()
	if ok {
		return engine, nil
	}
	engine, err := e.connect(ctx, h)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	first, ok := e.open[h.ID]
	if !ok {
		if e.open == nil {
			e.open = map[string]HostLauncher{}
		}
		e.open[h.ID] = engine
	}
	e.mu.Unlock()
	if ok {
		disconnect(engine)
		return first, nil
	}
	return engine, nil
}

// keep drops the ways to hosts that are not live.
func (e *engines) keep(live func(id string) bool) {
	var dropped []HostLauncher
	e.mu.Lock()
	maps.DeleteFunc(e.open, func(id string, engine HostLauncher) bool {
		if live(id) {
			return false
		}
		dropped = append(dropped, engine)
		return true
	})
	e.mu.Unlock()
	for _, engine := range dropped {
		disconnect(engine)
	}
}

// hosts are those that there is a way to.
func (e *engines) hosts() map[string]bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	hosts := make(map[string]bool, len(e.open))
	for id := range e.open {
		hosts[id] = true
	}
	return hosts
}

// drop forgets the way to a host, so that the next use opens it anew.
func (e *engines) drop(id string) {
	e.mu.Lock()
	engine := e.open[id]
	delete(e.open, id)
	e.mu.Unlock()
	disconnect(engine)
}

// disconnect closes a way that is not used any more, if it can be.
func disconnect(engine HostLauncher) {
	if c, ok := engine.(io.Closer); ok {
		_ = c.Close() // what it was for is over
	}
}
