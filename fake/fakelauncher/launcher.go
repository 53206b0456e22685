// Package fakelauncher is a container engine in memory, for tests: the
// launcher of one host, whose images are Go functions.
//
// It keeps the contract of [launcher.Launcher] and offers nothing that a real
// container engine cannot. Time is that of package time, so in a
// testing/synctest bubble it is virtual. It has no goroutine of its own: only
// programs run, and [Launcher.Close] waits for them.
package fakelauncher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/atelier-go/atelier/internal/watch"
	"github.com/atelier-go/atelier/launcher"
)

var _ launcher.Launcher = (*Launcher)(nil)

// A Launcher is one host's container engine. Make one with [New] and end it
// with [Launcher.Close]. All methods are safe for concurrent use.
type Launcher struct {
	cfg      Config
	hub      watch.Hub[launcher.ID, launcher.Status]
	programs sync.WaitGroup

	mu         sync.Mutex
	containers map[launcher.ID]*container
	exited     []exit // by time
	images     map[string]localImage
	dirs       map[string]*Dir // by source, when Config.Mount is nil
	used       launcher.Resources
	ports      map[int]bool
	dialled    int
	crashed    bool
	down       error           // why calls fail now, or nil
	up         context.Context // ends when calls begin to fail
	cut        context.CancelFunc
}

// exit is a container that has ended, and when.
type exit struct {
	id launcher.ID
	at time.Time
}

// localImage is an image on the host, or on its way.
type localImage struct {
	Image
	ready time.Time
}

var (
	errCrashed     = errors.New("the host is gone")
	errUnreachable = errors.New("the host does not answer")
)

// New returns a host without containers. A Config that makes no sense is one
// [launcher.ErrInvalid] that names every problem.
func New(cfg Config) (*Launcher, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	l := &Launcher{
		cfg: cfg, containers: map[launcher.ID]*container{}, images: map[string]localImage{},
		dirs: map[string]*Dir{}, ports: map[int]bool{},
	}
	l.up, l.cut = context.WithCancel(context.Background())
	return l, nil
}

// Close ends the host as [Launcher.Crash] does and waits until every program
// has returned. It always returns nil.
func (l *Launcher) Close() error {
	l.Crash()
	l.programs.Wait()
	return nil
}

// Crash is a power cut: every program is killed, connections are reset, and
// all calls, watches and log readers fail with [launcher.ErrUnavailable] from
// now on. No exit is told, as no one is left to tell it. It does not wait for
// the programs to return.
func (l *Launcher) Crash() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.crashed {
		return
	}
	l.crashed, l.down = true, errCrashed
	l.cut()
	for _, c := range l.containers {
		if c.grace != nil {
			c.grace.Stop()
		}
		c.die((*conn).reset)
	}
}

// SetReachable cuts the network to the host and restores it. While it is cut,
// calls, watches and log readers fail with [launcher.ErrUnavailable] and
// connections are reset; containers go on. A crashed host stays unreachable.
func (l *Launcher) SetReachable(reachable bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.crashed || reachable == (l.down == nil):
	case reachable:
		l.down = nil
		l.up, l.cut = context.WithCancel(context.Background())
	default:
		l.down = errUnreachable
		l.cut()
		for _, c := range l.containers {
			c.cut()
		}
	}
}

// Room returns what all workloads of the host share; zero is without limit. It
// does not shrink with use.
func (l *Launcher) Room(ctx context.Context) (launcher.Resources, error) {
	if err := l.answer(ctx, "room", ""); err != nil {
		return launcher.Resources{}, err
	}
	return l.cfg.Room, nil
}

// Pull fetches an image ahead of its first use and waits until it is there. A
// pull that was begun goes on when ctx ends.
func (l *Launcher) Pull(ctx context.Context, image string) error {
	bound, release, err := l.bind(ctx, "pull", "")
	if err != nil {
		return err
	}
	defer release()
	img, err := l.image(bound, image)
	if err == nil {
		timer := time.NewTimer(time.Until(img.ready))
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-bound.Done():
		}
	}
	if bound.Err() != nil {
		return context.Cause(bound)
	}
	return wrap("pull", "", launcher.ErrImage, err)
}

// Stop implements [launcher.Launcher]. Stopping again sends the signal again,
// as engines do. Exits that were forgotten are [launcher.ErrNotFound].
func (l *Launcher) Stop(ctx context.Context, id launcher.ID, o launcher.StopOptions) error {
	if err := o.Validate(id); err != nil {
		return err
	}
	if o.Grace == 0 {
		o.Grace = launcher.DefaultGrace
	}
	if err := l.answer(ctx, "stop", id); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.containers[id]
	if c == nil {
		return wrap("stop", id, launcher.ErrNotFound, nil)
	}
	c.forget = c.forget || o.Forget
	if c.status.Phase == launcher.Exited && c.forget {
		l.remove(c)
	}
	c.end(o.Signal, o.Grace)
	return nil
}

// List implements [launcher.Launcher].
func (l *Launcher) List(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	f = cloneFilter(f)
	return func(yield func(launcher.Status, error) bool) {
		if err := l.answer(ctx, "list", ""); err != nil {
			yield(launcher.Status{}, err)
			return
		}
		for _, s := range l.statuses(f) {
			if err := ctx.Err(); err != nil {
				yield(launcher.Status{}, err)
				return
			}
			if !yield(cloneStatus(s), nil) {
				return
			}
		}
	}
}

// statuses returns what f selects, by ID.
func (l *Launcher) statuses(f launcher.Filter) []launcher.Status {
	if len(f.IDs) == 0 {
		return slices.DeleteFunc(l.hub.All(), func(s launcher.Status) bool { return !f.Match(s) })
	}
	var found []launcher.Status
	slices.Sort(f.IDs)
	for _, id := range slices.Compact(f.IDs) {
		if s, ok := l.hub.Get(id); ok && f.Match(s) {
			found = append(found, s)
		}
	}
	return found
}

// Watch implements [launcher.Launcher].
func (l *Launcher) Watch(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	f = cloneFilter(f)
	return func(yield func(launcher.Status, error) bool) {
		bound, release, err := l.bind(ctx, "watch", "")
		if err != nil {
			yield(launcher.Status{}, err)
			return
		}
		defer release()
		match := func(_ launcher.ID, s launcher.Status) bool { return f.Match(s) }
		for s, err := range l.hub.Changes(bound, match) {
			if !yield(cloneStatus(s), err) || err != nil {
				return
			}
		}
	}
}

// Dial implements [launcher.Launcher]. A port the program does not listen on is
// refused with [launcher.ErrUnavailable]. The connection has a CloseWrite
// method and buffers of 64 KiB.
func (l *Launcher) Dial(ctx context.Context, id launcher.ID, port string) (net.Conn, error) {
	bound, release, err := l.bind(ctx, "dial", id)
	if err != nil {
		return nil, err
	}
	defer release()
	c, at, local, err := l.port(id, port)
	if err != nil {
		return nil, err
	}
	remote := &net.TCPAddr{IP: net.ParseIP(l.cfg.Address), Port: at.host}
	near, err := c.dial(bound, at.port, local, remote)
	if err != nil {
		if bound.Err() != nil {
			return nil, context.Cause(bound)
		}
		return nil, wrap("dial", id, launcher.ErrUnavailable, fmt.Errorf("port %q does not answer yet: %w", port, err))
	}
	return near, nil
}

// port finds a named port of a running container, and an address to dial from.
func (l *Launcher) port(id launcher.ID, name string) (*container, hostPort, net.Addr, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.containers[id]
	if c == nil {
		return nil, hostPort{}, nil, wrap("dial", id, launcher.ErrNotFound, nil)
	}
	i := slices.IndexFunc(c.ports, func(p hostPort) bool { return p.name == name })
	switch {
	case i < 0:
		return nil, hostPort{}, nil, wrap("dial", id, launcher.ErrNotFound, fmt.Errorf("it declares no port %q", name))
	case c.status.Phase != launcher.Running && c.status.Phase != launcher.Stopping:
		return nil, hostPort{}, nil, wrap("dial", id, launcher.ErrNotRunning, fmt.Errorf("it is %s", c.status.Phase))
	}
	const firstEphemeral, ephemeral = 32768, 28232 // Linux, ip_local_port_range
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: firstEphemeral + l.dialled%ephemeral}
	l.dialled++
	return c, c.ports[i], local, nil
}

// Logs implements [launcher.Launcher].
func (l *Launcher) Logs(ctx context.Context, id launcher.ID, o launcher.LogOptions) (r io.ReadCloser, err error) {
	if o.Offset < 0 || o.Stream < launcher.Both || o.Stream > launcher.Stderr {
		return nil, wrap("logs", id, launcher.ErrInvalid, fmt.Errorf("stream %d, offset %d: want a stream of package launcher and an offset from 0", o.Stream, o.Offset))
	}
	bound, release, err := l.bind(ctx, "logs", id)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	c, up := l.containers[id], l.up
	l.mu.Unlock()
	if c == nil {
		release()
		return nil, wrap("logs", id, launcher.ErrNotFound, nil)
	}
	return c.log.reader(bound, up, release, o), nil
}

// answer fails if ctx has ended or the host does not answer. It also drops the
// exits whose time is over.
func (l *Launcher) answer(ctx context.Context, op string, id launcher.ID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down != nil {
		return wrap(op, id, launcher.ErrUnavailable, l.down)
	}
	for len(l.exited) > 0 && time.Since(l.exited[0].at) >= launcher.Retention {
		e := l.exited[0]
		l.exited = l.exited[1:]
		// The ID may have been forgotten before, and launched anew.
		if c := l.containers[e.id]; c != nil && c.status.ExitedAt.Equal(e.at) {
			l.remove(c)
		}
	}
	return nil
}

// bind returns a context that ends with ctx or with the way to the host;
// context.Cause tells the error to return. Call release when done.
func (l *Launcher) bind(ctx context.Context, op string, id launcher.ID) (bound context.Context, release func(), err error) {
	if err := l.answer(ctx, op, id); err != nil {
		return nil, nil, err
	}
	l.mu.Lock()
	up := l.up
	l.mu.Unlock()
	bound, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stopCtx := context.AfterFunc(ctx, func() { cancel(ctx.Err()) })
	stopUp := context.AfterFunc(up, func() {
		cancel(wrap(op, id, launcher.ErrUnavailable, errUnreachable))
	})
	return bound, func() {
		stopCtx()
		stopUp()
		cancel(os.ErrClosed)
	}, nil
}

// wrap returns err as a [*launcher.Error] of the kind, or of err's own.
func wrap(op string, id launcher.ID, kind launcher.Kind, err error) error {
	if e, ok := errors.AsType[*launcher.Error](err); ok {
		return &launcher.Error{Op: op, ID: id, Kind: e.Kind, Err: e.Err}
	}
	if k, ok := errors.AsType[launcher.Kind](err); ok {
		kind = k
	}
	return &launcher.Error{Op: op, ID: id, Kind: kind, Err: err}
}

func cloneStatus(s launcher.Status) launcher.Status {
	s.Labels, s.Endpoints = maps.Clone(s.Labels), maps.Clone(s.Endpoints)
	return s
}

func cloneFilter(f launcher.Filter) launcher.Filter {
	f.IDs, f.Labels = slices.Clone(f.IDs), maps.Clone(f.Labels)
	return f
}
