package domain

import (
	"context"
	"sync"
)

// turns lets one caller of the process at a time have what a name is of. Those who
// wait come in the order in which they began to. The zero value is ready.
type turns struct {
	mu    sync.Mutex // never held while a caller waits or has its turn
	slots map[string]*slot
}

// slot is where the callers of one name wait.
type slot struct {
	taken   chan struct{} // has one element while somebody has the turn
	callers int           // who wait or have it; without any it is forgotten
}

// take waits for a name, or until ctx ends, whose error it returns. The caller has
// it until done is called.
func (t *turns) take(ctx context.Context, name string) (done func(), err error) {
	t.mu.Lock()
	if t.slots == nil {
		t.slots = map[string]*slot{}
	}
	s := t.slots[name]
	if s == nil {
		s = &slot{taken: make(chan struct{}, 1)}
		t.slots[name] = s
	}
	s.callers++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if s.callers--; s.callers == 0 {
			delete(t.slots, name)
		}
	}
	select {
	case s.taken <- struct{}{}:
		return func() { <-s.taken; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
