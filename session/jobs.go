package session

import (
	"context"
	"sync"
	"time"
)

// parallel is how many sessions are worked for at one time. A launcher's call
// that hangs takes one place until callLimit.
const parallel = 64

// jobs works for sessions: never twice at once for one of them, and for no
// more than parallel of them at one time. The zero value is closed.
type jobs struct {
	// work does what can be done for a session and returns when to look again;
	// zero is not before something happens.
	work func(context.Context, ID, *effort) time.Time
	// mine reports whether this process is to work for a session.
	mine func(ID) bool

	mu    sync.Mutex
	ctx   context.Context // of the present Run; nil while closed
	slots chan struct{}
	ended sync.WaitGroup
	all   map[ID]*job
}

// A job is the work for one session that is not settled.
type job struct {
	busy  bool // queued or at work
	dirty bool // something happened meanwhile: work once more
	again time.Time
	effort
}

// open lets work begin, until ctx ends.
func (j *jobs) open(ctx context.Context) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ctx, j.slots, j.all = ctx, make(chan struct{}, parallel), map[ID]*job{}
}

// close refuses further work and waits until what was begun has ended.
func (j *jobs) close() {
	j.mu.Lock()
	j.ctx = nil
	j.mu.Unlock()
	j.ended.Wait()
}

// enqueue has a session worked for, once more if it is being worked for, if that
// is this process's part.
func (j *jobs) enqueue(id ID) {
	if !j.mine(id) {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ctx == nil {
		return // the next Run begins with all
	}
	b := j.all[id]
	if b == nil {
		b = &job{}
		j.all[id] = b
	}
	j.start(id, b)
}

// due enqueues the sessions whose time has come.
func (j *jobs) due(now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ctx == nil {
		return
	}
	for id, b := range j.all {
		if !b.busy && !b.again.IsZero() && !now.Before(b.again) {
			j.start(id, b)
		}
	}
}

// start begins a job; j.mu is held.
func (j *jobs) start(id ID, b *job) {
	if b.busy {
		b.dirty = true
		return
	}
	b.busy = true
	ctx, slots := j.ctx, j.slots
	j.ended.Go(func() {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-ctx.Done():
			return
		}
		for j.once(ctx, id, b) {
		}
	})
}

// once works for a session and reports whether it is to be worked for again.
func (j *jobs) once(ctx context.Context, id ID, b *job) bool {
	again := j.work(ctx, id, &b.effort)
	j.mu.Lock()
	defer j.mu.Unlock()
	if b.dirty && ctx.Err() == nil {
		b.dirty = false
		return true
	}
	b.busy, b.again = false, again
	if again.IsZero() && !b.dirty {
		delete(j.all, id)
	}
	return false
}
