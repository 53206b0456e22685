package dockerlauncher

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"github.com/atelier-go/atelier/launcher"
)

// Logs implements [launcher.Launcher]. The engine keeps the last 100 MB of a
// workload, in files of 20 MB; offsets count from the first byte that is kept.
func (l *Launcher) Logs(ctx context.Context, id launcher.ID, o launcher.LogOptions) (io.ReadCloser, error) {
	const op = "logs"
	if o.Offset < 0 {
		return nil, refuse(op, id, launcher.ErrInvalid, "offset %d must not be negative", o.Offset)
	}
	for {
		c, err := l.find(ctx, id)
		if err != nil {
			return nil, fail(op, id, err)
		}
		switch {
		case c != nil && c.workload() == id && !c.halfMade():
			return l.read(ctx, c, o)
		case !l.waiting(id):
			return nil, refuse(op, id, launcher.ErrNotFound, "no such workload; it was never launched, or was forgotten")
		case !o.Follow:
			return io.NopCloser(eof{}), nil
		}
		if err := l.landed(ctx, id); err != nil {
			return nil, err
		}
	}
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// waiting reports whether this process is launching the ID.
func (l *Launcher) waiting(id launcher.ID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flights[id] != nil
}

// landed waits until this process has launched the ID, or could not.
func (l *Launcher) landed(ctx context.Context, id launcher.ID) error {
	l.mu.Lock()
	f := l.flights[id]
	l.mu.Unlock()
	if f == nil {
		return nil
	}
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read reads what a container has written, as the caller takes it.
func (l *Launcher) read(ctx context.Context, c *found, o launcher.LogOptions) (io.ReadCloser, error) {
	if c.label(labelEnded) != "" {
		return io.NopCloser(eof{}), nil
	}
	bound, cancel := context.WithCancel(ctx)
	frames, err := l.frames(bound, c, o)
	if err != nil {
		cancel()
		return nil, fail("logs", c.workload(), err)
	}
	r, w := io.Pipe()
	stopped := context.AfterFunc(ctx, func() { _ = w.CloseWithError(ctx.Err()) })
	logs := &logReader{PipeReader: r, cancel: cancel, stopped: stopped, done: make(chan struct{})}
	go func() {
		defer close(logs.done)
		read, err := copyFrom(o.Offset, w, frames)
		if err == nil && o.Follow {
			o.Follow, o.Offset = false, max(o.Offset, read)
			err = l.copyRest(bound, c, o, w)
		}
		switch {
		case ctx.Err() != nil:
			err = ctx.Err()
		case err != nil && !errors.Is(err, io.ErrClosedPipe):
			err = failAs("logs", c.workload(), launcher.ErrUnavailable, fmt.Errorf("the engine stopped telling; read on from where you are: %w", err))
		}
		_ = w.CloseWithError(err)
	}()
	return logs, nil
}

// copyRest copies what followed logs did not have when the engine ended them: before
// 23.0 it chooses by chance between what was written last and the end, when it is told
// of both at once, and what has no newline is written at the end
// (https://github.com/moby/moby/issues/43860).
func (l *Launcher) copyRest(ctx context.Context, c *found, o launcher.LogOptions, w io.Writer) error {
	frames, err := l.frames(ctx, c, o)
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		return nil // forgotten meanwhile, or just being: nothing is kept
	}
	if err == nil {
		_, err = copyFrom(o.Offset, w, frames)
	}
	return err
}

// frames opens the engine's stream of what a container has written.
func (l *Launcher) frames(ctx context.Context, c *found, o launcher.LogOptions) (io.ReadCloser, error) {
	return l.engine.ContainerLogs(ctx, c.ID, client.ContainerLogsOptions{
		ShowStdout: o.Stream != launcher.Stderr, ShowStderr: o.Stream != launcher.Stdout, Follow: o.Follow,
	})
}

// copyFrom copies what is in frames from an offset on, closes them, and returns how
// much was in them.
func copyFrom(offset int64, w io.Writer, frames io.ReadCloser) (read int64, err error) {
	defer frames.Close()
	skipping := &skipper{w, offset}
	return stdcopy.StdCopy(skipping, skipping, frames)
}

// logReader is what a caller reads; closing it ends the goroutine that feeds it.
type logReader struct {
	*io.PipeReader
	cancel  context.CancelFunc
	stopped func() bool
	done    chan struct{}
}

func (r *logReader) Close() error {
	r.stopped()
	r.cancel()
	err := r.PipeReader.Close()
	<-r.done
	return err
}

// skipper drops the first bytes.
type skipper struct {
	io.Writer
	skip int64
}

func (s *skipper) Write(p []byte) (int, error) {
	n := int(min(s.skip, int64(len(p))))
	s.skip -= int64(n)
	if n == len(p) {
		return n, nil
	}
	m, err := s.Writer.Write(p[n:])
	return n + m, err
}
