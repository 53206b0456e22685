package fakelauncher

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// bufferSize is what each direction of a connection holds before a writer
// waits for the reader.
const bufferSize = 64 << 10

// stream is one direction of a connection. Waiting is on channels alone.
type stream struct {
	mu      sync.Mutex
	data    []byte
	fin     bool          // the writer has ended
	dropped bool          // the reader is gone
	err     error         // the connection is broken
	changed chan struct{} // closed at the next change; nil if nobody waits
}

// read returns what there is, or a channel that is closed when to try again.
func (s *stream) read(p []byte) (int, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return 0, nil, s.err
	case s.dropped:
		return 0, nil, net.ErrClosed
	case len(s.data) > 0:
		n := copy(p, s.data)
		if s.data = s.data[n:]; len(s.data) == 0 {
			s.data = nil
		}
		s.wake()
		return n, nil, nil
	case s.fin:
		return 0, nil, io.EOF
	case len(p) == 0:
		return 0, nil, nil
	}
	return 0, s.wait(), nil
}

// write takes what fits, or returns a channel that is closed when to try again.
func (s *stream) write(p []byte) (int, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return 0, nil, s.err
	case s.fin, s.dropped:
		return 0, nil, syscall.EPIPE
	}
	n := min(len(p), bufferSize-len(s.data))
	if n > 0 || len(p) == 0 {
		s.data = append(s.data, p[:n]...)
		s.wake()
		return n, nil, nil
	}
	return 0, s.wait(), nil
}

// finish ends the writer's side: the reader gets what is left, then io.EOF.
func (s *stream) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fin = true
	s.wake()
}

// drop ends the reader's side: what is left is thrown away.
func (s *stream) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped, s.data = true, nil
	s.wake()
}

// fail breaks the stream for both sides, unless its end was reached already.
func (s *stream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && (!s.fin || !s.dropped) {
		s.err, s.data = err, nil
		s.wake()
	}
}

func (s *stream) wait() <-chan struct{} {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

func (s *stream) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// conn is one end of a TCP connection in memory.
type conn struct {
	in, out       *stream
	local, remote net.Addr
	// readLimit and writeLimit are the deadlines.
	readLimit, writeLimit deadline
	// writing keeps the bytes of one Write together, as a socket does: one slot.
	writing chan struct{}
	closed  chan struct{}
	once    sync.Once
	onClose func()
}

// newConns returns the two ends of a connection.
func newConns(client, server net.Addr) (*conn, *conn) {
	up, down := &stream{}, &stream{}
	end := func(in, out *stream, local, remote net.Addr) *conn {
		return &conn{
			in: in, out: out, local: local, remote: remote,
			readLimit: deadline{done: make(chan struct{})}, writeLimit: deadline{done: make(chan struct{})},
			writing: make(chan struct{}, 1), closed: make(chan struct{}),
		}
	}
	return end(down, up, client, server), end(up, down, server, client)
}

func (c *conn) Read(p []byte) (int, error) {
	for {
		if isClosed(c.closed) {
			return 0, c.opError("read", net.ErrClosed)
		}
		if c.readLimit.passed() {
			return 0, c.opError("read", os.ErrDeadlineExceeded)
		}
		n, again, err := c.in.read(p)
		if err != nil {
			return n, c.opError("read", err)
		}
		if again == nil {
			return n, nil
		}
		select {
		case <-again:
		case <-c.readLimit.wait():
		}
	}
}

func (c *conn) Write(p []byte) (written int, err error) {
	select {
	case c.writing <- struct{}{}:
	case <-c.closed:
		return 0, c.opError("write", net.ErrClosed)
	case <-c.writeLimit.wait():
		return 0, c.opError("write", os.ErrDeadlineExceeded)
	}
	defer func() { <-c.writing }()
	for {
		if isClosed(c.closed) {
			return written, c.opError("write", net.ErrClosed)
		}
		if c.writeLimit.passed() {
			return written, c.opError("write", os.ErrDeadlineExceeded)
		}
		n, again, err := c.out.write(p[written:])
		if err != nil && isClosed(c.closed) {
			err = net.ErrClosed // closed between the two looks
		}
		if err != nil {
			return written, c.opError("write", err)
		}
		if written += n; written == len(p) {
			return written, nil
		}
		if again == nil {
			continue
		}
		select {
		case <-again:
		case <-c.writeLimit.wait():
		}
	}
}

// Close ends both directions.
func (c *conn) Close() error {
	err := c.opError("close", net.ErrClosed)
	c.once.Do(func() {
		err = nil
		close(c.closed)
		c.out.finish()
		c.in.drop()
		c.readLimit.set(time.Time{})
		c.writeLimit.set(time.Time{})
		if c.onClose != nil {
			c.onClose()
		}
	})
	return err
}

// CloseWrite ends the direction out of this end; reading goes on.
func (c *conn) CloseWrite() error {
	if isClosed(c.closed) {
		return c.opError("close", net.ErrClosed)
	}
	c.out.finish()
	return nil
}

// reset breaks both directions for both ends at once.
func (c *conn) reset() {
	c.in.fail(syscall.ECONNRESET)
	c.out.fail(syscall.ECONNRESET)
	c.Close()
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *conn) SetReadDeadline(t time.Time) error  { return c.setDeadline(&c.readLimit, t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeLimit, t) }

func (c *conn) setDeadline(d *deadline, t time.Time) error {
	if isClosed(c.closed) {
		return c.opError("set", net.ErrClosed)
	}
	d.set(t)
	return nil
}

// opError is an error in the form of package net's; io.EOF stays as it is.
func (c *conn) opError(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// deadline is a moment after which waiting ends.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	done  chan struct{} // closed when the moment has come
}

// set moves the deadline. Who waits keeps waiting on the same channel, which
// the new moment closes.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.done // it fired: its function, which takes no lock, closes done
	}
	d.timer = nil
	select {
	case <-d.done:
		d.done = make(chan struct{})
	default:
	}
	if t.IsZero() {
		return
	}
	done := d.done
	if wait := time.Until(t); wait > 0 {
		d.timer = time.AfterFunc(wait, func() { close(done) })
	} else {
		close(done)
	}
}

func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.done
}

func (d *deadline) passed() bool { return isClosed(d.wait()) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
