// Package dockerlauncher runs workloads as containers on one Docker Engine: a
// laptop's, or that of one host of a fleet.
//
// The engine itself is the record. A container is named by its workload's ID,
// so the engine refuses doubles; labels carry what was asked, so that a new
// process finds everything again; exit codes, times, signals, limits, logs and
// events are the engine's. Any number of processes may use one engine.
//
// # What an engine shows
//
// Whoever may speak to the engine sees a container's command, environment and
// labels. Secrets and standard input are not among them: secrets are files on
// the host's /run, which is memory, readable by the container's user alone and
// emptied when the container is removed; standard input goes through the
// engine and is kept nowhere.
//
// # What a container may reach
//
// Containers run without new privileges, without raw sockets, and on a network
// of their own where they do not reach each other. What else they reach is the
// host's matter: a firewall there, as the fleet's hosts have one, keeps them
// from the host itself and from ports published on it.
package dockerlauncher

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/moby/moby/client"
	"golang.org/x/sync/singleflight"

	"github.com/atelier-go/atelier/launcher"
)

// A Launcher runs containers on one engine. Make it with [New] and end it with
// [Launcher.Close]. All methods are safe for concurrent use.
type Launcher struct {
	cfg    Config
	engine *client.Client
	pulls  singleflight.Group // by image

	// life bounds what goes on when a call has returned: pulls, stops under
	// way, long standard input.
	life context.Context
	end  context.CancelFunc
	work sync.WaitGroup

	network chan bool // one slot; holds whether the network is known to exist

	mu       sync.Mutex
	closed   bool
	room     launcher.Resources // zero until the engine has told
	quota    bool               // the engine can bound what a container writes
	flights  map[launcher.ID]*flight
	statuses map[string]launcher.Status // by container, while it is in the phase told
	stopping map[string]bool            // by container: it was sent a signal
	filled   map[string]bool            // by container: it was killed for filling the disk
	feed     *feed                      // what watchers share; nil while there is none
}

var _ launcher.Launcher = (*Launcher)(nil)

// New makes a launcher on an engine. It calls nothing and reports everything
// wrong with c in one [launcher.ErrInvalid] error.
func New(c Config) (*Launcher, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Launcher{
		cfg: c, engine: c.Client, network: make(chan bool, 1),
		flights: map[launcher.ID]*flight{}, statuses: map[string]launcher.Status{},
		stopping: map[string]bool{}, filled: map[string]bool{},
	}
	l.network <- false
	l.life, l.end = context.WithCancel(context.Background())
	return l, nil
}

// Close ends watches and what the launcher does in the background, waits for
// it, and gives up idle connections. Containers go on, and so does an end that
// the engine was asked for. It always returns nil.
func (l *Launcher) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.end()
	l.work.Wait()
	return l.engine.Close()
}

var errClosed = errors.New("the launcher was closed")

// background runs f beside the call that asks for it, until it is done or the
// launcher is closed. It reports false if that was closed already.
func (l *Launcher) background(f func(ctx context.Context)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.work.Go(func() { f(l.life) })
	return true
}

// reserved is the share of a host's memory that is not for workloads: the
// engine, the operating system and the file system's client need it. It is an
// estimate of ours.
const reserved = 0.05

// Room returns what the engine's host has for workloads in all: its CPUs, 95%
// of its memory, and [Config.GPUs]. It fails while the engine does not answer.
func (l *Launcher) Room(ctx context.Context) (launcher.Resources, error) {
	l.mu.Lock()
	room := l.room
	l.mu.Unlock()
	if !room.IsZero() {
		// Also what is known is told only by an engine that answers.
		_, err := l.engine.Ping(ctx, client.PingOptions{})
		return room, fail("room", "", err)
	}
	out, err := l.engine.Info(ctx, client.InfoOptions{})
	if err != nil {
		return launcher.Resources{}, fail("room", "", err)
	}
	room = launcher.Resources{
		MilliCPU:  int64(out.Info.NCPU) * 1000,
		MemoryMiB: int64(float64(out.Info.MemTotal) * (1 - reserved) / (1 << 20)),
		GPUs:      int64(l.cfg.GPUs),
	}
	l.mu.Lock()
	l.room, l.quota = room, canQuota(out.Info)
	l.mu.Unlock()
	return room, nil
}

// Dial connects to a published port from this process; see
// [launcher.Launcher]. Where the engine publishes ports through a proxy of its
// own (userland-proxy), connecting succeeds before the program listens, and
// the connection is closed at once.
func (l *Launcher) Dial(ctx context.Context, id launcher.ID, port string) (net.Conn, error) {
	const op = "dial"
	c, err := l.find(ctx, id)
	switch {
	case err != nil:
		return nil, fail(op, id, err)
	case c == nil:
		return nil, refuse(op, id, launcher.ErrNotFound, "no such workload")
	}
	s := l.statusOf(c)
	if s.Phase != launcher.Running && s.Phase != launcher.Stopping {
		return nil, refuse(op, id, launcher.ErrNotRunning, "it is %s", s.Phase)
	}
	if _, declared := c.ports()[port]; !declared {
		return nil, refuse(op, id, launcher.ErrNotFound, "it declares no port %q", port)
	}
	address := s.Endpoints[port]
	if address == "" {
		return nil, refuse(op, id, launcher.ErrNotRunning, "its port %q is not published any more", port)
	}
	conn, err := l.cfg.DialContext(ctx, "tcp", address)
	if ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), closeIf(conn))
	}
	if err != nil {
		return nil, &launcher.Error{Op: op, ID: id, Kind: launcher.ErrUnavailable, Err: fmt.Errorf("port %q does not answer: %w", port, err)}
	}
	return conn, nil
}

func closeIf(c net.Conn) error {
	if c == nil {
		return nil
	}
	return c.Close()
}

// engineTime reads a time of the engine, which is year 1 for what has not
// happened.
func engineTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || t.Year() < 2000 {
		return time.Time{}
	}
	return t
}

// address is the IP address at which published ports are reached.
func (l *Launcher) address() netip.Addr { return netip.MustParseAddr(l.cfg.Address) }
