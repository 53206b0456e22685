package fakelauncher

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"github.com/atelier-go/atelier/launcher"
)

// log is what one container wrote: each stream, and both in the order of
// writing.
type log struct {
	mu      sync.Mutex
	streams [3][]byte // by launcher.Stream
	ended   bool
	changed chan struct{} // closed at the next change; nil if nobody waits
}

func (l *log) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// end says that nothing more will be written.
func (l *log) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.wake()
}

// logWriter is a program's standard output or error.
type logWriter struct {
	log    *log
	stream launcher.Stream
}

func (w logWriter) Write(p []byte) (int, error) {
	l := w.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return 0, os.ErrProcessDone
	}
	l.streams[launcher.Both] = append(l.streams[launcher.Both], p...)
	l.streams[w.stream] = append(l.streams[w.stream], p...)
	l.wake()
	return len(p), nil
}

// logReader reads a stream of a log, from offset to limit, or to the end of
// the program if limit is negative.
type logReader struct {
	ctx           context.Context
	release       func()          // ends ctx
	up            context.Context // ends with the way to the host, and soon after it ctx
	log           *log
	stream        launcher.Stream
	offset, limit int64
}

func (l *log) reader(ctx, up context.Context, release func(), o launcher.LogOptions) *logReader {
	r := &logReader{ctx: ctx, release: release, up: up, log: l, stream: o.Stream, offset: o.Offset, limit: -1}
	if !o.Follow {
		l.mu.Lock()
		defer l.mu.Unlock()
		r.limit = int64(len(l.streams[o.Stream]))
	}
	return r
}

func (r *logReader) Read(p []byte) (int, error) {
	for {
		if r.ctx.Err() != nil {
			return 0, context.Cause(r.ctx)
		}
		n, again, err := r.next(p)
		if errors.Is(err, io.EOF) && r.up.Err() != nil {
			<-r.ctx.Done() // a log that ended with its host does not tell an exit
			continue
		}
		if again == nil {
			return n, err
		}
		select {
		case <-again:
		case <-r.ctx.Done():
		}
	}
}

// next copies what there is, or returns a channel that is closed when there is more.
func (r *logReader) next(p []byte) (int, <-chan struct{}, error) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	data := l.streams[r.stream]
	end := r.limit
	if end < 0 {
		end = int64(len(data))
	}
	switch {
	case r.offset < end:
		n := copy(p, data[r.offset:end])
		r.offset += int64(n)
		return n, nil, nil
	case r.limit >= 0 || l.ended:
		return 0, nil, io.EOF
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return 0, l.changed, nil
}

// Close ends the reader, also one that waits.
func (r *logReader) Close() error {
	r.release()
	return nil
}
