package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// census notes what hosts and sessions do, whichever process has them do it.
type census struct {
	mu       sync.Mutex
	answered map[string]time.Time   // when a host's engine first did, by instance
	on       map[launcher.ID]string // the host that was last asked to run a session
	runs     map[launcher.ID][]*episode
}

// An episode is one time that a session's program ran.
type episode struct {
	host       string
	begun, end time.Time // zero while it runs
}

func newCensus() *census {
	return &census{answered: map[string]time.Time{}, on: map[launcher.ID]string{}, runs: map[launcher.ID][]*episode{}}
}

// program is a session: it waits for its end.
func (c *census) program(ctx context.Context, p *fakelauncher.Proc) int {
	c.mu.Lock()
	e := &episode{host: c.on[p.ID], begun: time.Now()}
	c.runs[p.ID] = append(c.runs[p.ID], e)
	c.mu.Unlock()
	<-ctx.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	e.end = time.Now()
	return 0
}

// duplicates are the sessions that ran more than once.
func (c *census) duplicates() (ids []launcher.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, runs := range c.runs {
		if len(runs) > 1 {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b launcher.ID) int { return strings.Compare(string(a), string(b)) })
	return ids
}

// A counted is the way to a host whose engine is counted in a census.
type counted struct {
	ec2launcher.HostLauncher
	census *census
	id     string
}

// Room notes that the engine answers.
func (h counted) Room(ctx context.Context) (launcher.Resources, error) {
	room, err := h.HostLauncher.Room(ctx)
	if err == nil {
		h.census.mu.Lock()
		defer h.census.mu.Unlock()
		if h.census.answered[h.id].IsZero() {
			h.census.answered[h.id] = time.Now()
		}
	}
	return room, err
}

// Launch notes where a session is before it can run there.
func (h counted) Launch(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
	h.census.mu.Lock()
	before := h.census.on[w.ID]
	h.census.on[w.ID] = h.id
	h.census.mu.Unlock()
	s, err := h.HostLauncher.Launch(ctx, w)
	if err != nil && !errors.Is(err, launcher.ErrUnavailable) {
		h.census.mu.Lock()
		defer h.census.mu.Unlock()
		if h.census.on[w.ID] == h.id {
			h.census.on[w.ID] = before // it was refused
		}
	}
	return s, err
}
