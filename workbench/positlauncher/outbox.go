package positlauncher

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// maxStreamed is how many messages of streams wait to be written at one time: a
// job that writes faster than the Launcher reads is slowed down here, not remembered.
const maxStreamed = 32

// An outbox writes messages to the Launcher, one at a time, whoever has them: first
// heartbeats, which are never to wait, then answers, then the statuses of jobs.
type outbox struct {
	limit int
	// statuses is asked for the next status message when nothing else is to be
	// written; nil is none.
	statuses func() message
	// wake has a token while there may be something to write.
	wake chan struct{}
	// streamed has a place for each message of a stream that waits.
	streamed chan struct{}

	mu    sync.Mutex
	beats int
	queue []letter
}

// A message is a response of package wire.
type message interface{ Head() *wire.Header }

// A letter is a message that waits to be written.
type letter struct {
	message
	streamed bool
}

func newOutbox(limit int, statuses func() message) *outbox {
	return &outbox{
		limit: limit, statuses: statuses,
		wake: make(chan struct{}, 1), streamed: make(chan struct{}, maxStreamed),
	}
}

// rouse has the outbox look whether there is something to write.
func (o *outbox) rouse() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// beat answers a heartbeat.
func (o *outbox) beat() {
	o.mu.Lock()
	o.beats++
	o.mu.Unlock()
	o.rouse()
}

// post has a message written that answers a request. It does not wait.
func (o *outbox) post(m message) { o.put(letter{message: m}) }

// stream has a message of a stream written, and waits while too many do.
func (o *outbox) stream(ctx context.Context, m message) error {
	select {
	case o.streamed <- struct{}{}:
		o.put(letter{m, true})
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (o *outbox) put(l letter) {
	o.mu.Lock()
	o.queue = append(o.queue, l)
	o.mu.Unlock()
	o.rouse()
}

// next is what is to be written next, or nothing.
func (o *outbox) next() (letter, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.beats > 0 {
		o.beats--
		return letter{message: &wire.Header{Type: wire.HeartbeatResponse}}, true
	}
	if len(o.queue) > 0 {
		l := o.queue[0]
		o.queue[0] = letter{}
		o.queue = o.queue[1:]
		return l, true
	}
	return letter{}, false
}

// run writes until ctx ends or writing fails.
func (o *outbox) run(ctx context.Context, w io.Writer) error {
	for responses := uint64(0); ; {
		l, ok := o.next()
		if !ok {
			if m := o.statuses(); m != nil {
				l, ok = letter{message: m}, true
			}
		}
		if !ok {
			select {
			case <-o.wake:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if head := l.Head(); head.Type != wire.HeartbeatResponse && head.Type != wire.MetricsResponse {
			head.ResponseID = responses
			responses++
		}
		frame, err := o.encode(l.message)
		if err != nil {
			return err
		}
		if _, err := w.Write(frame); err != nil {
			if ctx.Err() != nil {
				return nil // it was closed under the write
			}
			return err
		}
		if l.streamed {
			<-o.streamed
		}
	}
}

// encode is a message as a frame. In the place of one that is too large goes an error.
func (o *outbox) encode(m message) ([]byte, error) {
	frame, err := wire.Encode(m, o.limit)
	size, ok := errors.AsType[*wire.SizeError](err)
	if !ok {
		return frame, err
	}
	head := m.Head()
	e := wire.Errorf(wire.InvalidRequest, "the answer has %d bytes, and a message at most %d: ask for fewer fields or for fewer jobs, or have the Launcher forget jobs sooner (job-expiry-hours)", size.Size, size.Limit)
	e.RequestID, e.ResponseID = head.RequestID, head.ResponseID
	return wire.Encode(e, o.limit)
}
