package fakelauncher

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
)

// backlog is how many connections wait to be accepted before a dialler waits.
const backlog = 128

// listener is a port of a running program.
type listener struct {
	addr    *net.TCPAddr
	pending chan *conn
	closed  chan struct{}
	once    sync.Once
	onClose func()
}

func (l *listener) Accept() (net.Conn, error) {
	if !isClosed(l.closed) {
		select {
		case c := <-l.pending:
			return c, nil
		case <-l.closed:
		}
	}
	return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.addr, Err: net.ErrClosed}
}

// Close also resets the connections that were not accepted.
func (l *listener) Close() error {
	err := error(&net.OpError{Op: "close", Net: "tcp", Addr: l.addr, Err: net.ErrClosed})
	l.once.Do(func() {
		err = nil
		close(l.closed)
		l.onClose()
		l.refuse()
	})
	return err
}

func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) refuse() {
	for {
		select {
		case c := <-l.pending:
			c.reset()
		default:
			return
		}
	}
}

// deliver hands c to the program.
func (l *listener) deliver(ctx context.Context, c *conn) error {
	select {
	case l.pending <- c:
		if isClosed(l.closed) { // between the two: nobody will accept it
			l.refuse()
		}
		return nil
	case <-l.closed:
		return syscall.ECONNREFUSED
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Listen serves a TCP port of the container. It can be dialled from outside if
// the workload declares the port, at once: connections wait to be accepted. A
// port that is being listened on already is EADDRINUSE.
func (p *Proc) Listen(port int) (net.Listener, error) {
	addr := &net.TCPAddr{IP: net.IPv4zero, Port: port}
	fail := func(err error) (net.Listener, error) {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: addr, Err: err}
	}
	if port < 1 || port > 65535 {
		return fail(fmt.Errorf("port %d: want 1 to 65535", port))
	}
	c := p.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return fail(os.ErrProcessDone)
	}
	if c.listeners[port] != nil {
		return fail(os.NewSyscallError("bind", syscall.EADDRINUSE))
	}
	l := &listener{addr: addr, pending: make(chan *conn, backlog), closed: make(chan struct{})}
	l.onClose = func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.listeners[port] == l {
			delete(c.listeners, port)
		}
	}
	if c.listeners == nil {
		c.listeners = map[int]*listener{}
	}
	c.listeners[port] = l
	return l, nil
}

// dial connects to a port of the container from outside, through addr.
func (c *container) dial(ctx context.Context, port int, client, addr net.Addr) (net.Conn, error) {
	c.mu.Lock()
	l := c.listeners[port]
	if l == nil || c.dead {
		c.mu.Unlock()
		return nil, syscall.ECONNREFUSED
	}
	near, far := newConns(client, addr)
	far.local = l.addr
	far.onClose = func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.conns, far)
	}
	if c.conns == nil {
		c.conns = map[*conn]struct{}{}
	}
	c.conns[far] = struct{}{}
	c.mu.Unlock()
	if err := l.deliver(ctx, far); err != nil {
		far.Close()
		return nil, err
	}
	return near, nil
}
