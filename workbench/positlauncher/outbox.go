package positlauncher

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// maxStreamed is how many messages of streams wait to be written at one time: a
// job that writes faster than the Launcher reads is slowed down here, not remembered.
const maxStreamed = 32

// An outbox writes messages to the Launcher, one at a time, whoever has them: first
// heartbeats, which are never to wait, then answers, then the statuses of jobs, and
// then what jobs write and use, of which there may be no end.
type outbox struct {
	limit int
	// statuses is asked for the next status message when nothing else is to be
	// written; nil is none.
	statuses func() message
	// wake has a token while there may be something to write.
	wake chan struct{}
	// streamed has a place for each message of a stream that waits.
	streamed chan struct{}

	mu      sync.Mutex
	beats   int
	answers []message
	streams []streamed
}

// streamed is a message of the stream that a request has opened.
type streamed struct {
	message
	request uint64
}

// A message is a response of package wire.
type message interface{ Head() *wire.Header }

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
func (o *outbox) post(m message) {
	o.mu.Lock()
	o.answers = append(o.answers, m)
	o.mu.Unlock()
	o.rouse()
}

// stream has a message of a request's stream written, after those that went before,
// and waits while too many do. ctx is the stream's.
func (o *outbox) stream(ctx context.Context, request uint64, m message) error {
	select {
	case o.streamed <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if ctx.Err() != nil { // and nobody drops what comes now
		<-o.streamed
		return ctx.Err()
	}
	o.streams = append(o.streams, streamed{m, request})
	o.rouse()
	return nil
}

// drop forgets what waits of a request's stream, whose context has ended.
func (o *outbox) drop(request uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.streams = slices.DeleteFunc(o.streams, func(s streamed) bool {
		if s.request == request {
			<-o.streamed
		}
		return s.request == request
	})
}

// next is what is to be written next, or nil.
func (o *outbox) next() message {
	if m := o.urgent(); m != nil {
		return m
	}
	if m := o.statuses(); m != nil {
		return m
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.streams) == 0 {
		return nil
	}
	m := o.streams[0].message
	o.streams = slices.Delete(o.streams, 0, 1) // there are few
	<-o.streamed
	return m
}

// urgent is the next heartbeat or answer, or nil.
func (o *outbox) urgent() message {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.beats > 0 {
		o.beats--
		return &wire.Header{Type: wire.HeartbeatResponse}
	}
	if len(o.answers) == 0 {
		return nil
	}
	m := o.answers[0]
	o.answers[0] = nil
	o.answers = o.answers[1:]
	return m
}

// run writes until ctx ends or writing fails.
func (o *outbox) run(ctx context.Context, w io.Writer) error {
	for responses := uint64(0); ; {
		m := o.next()
		if m == nil {
			select {
			case <-o.wake:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if head := m.Head(); head.Type != wire.HeartbeatResponse && head.Type != wire.MetricsResponse {
			head.ResponseID = responses
			responses++
		}
		frame, err := o.encode(m)
		if err != nil {
			return err
		}
		if _, err := w.Write(frame); err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // it was closed under the write, as ctx has ended
			}
			return err
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
