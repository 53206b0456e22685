package fakelauncher

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// container is one workload on the host. Its life is guarded by the launcher's
// lock, its process by its own, which is taken second.
type container struct {
	l       *Launcher
	digest  string
	program Program
	stop    string // stop signal

	// Guarded by l.mu.
	status   launcher.Status // its maps are never changed
	ports    []hostPort
	reserved launcher.Resources
	forget   bool
	killAt   time.Time // end of the grace; zero if nobody asked it to end
	grace    *time.Timer

	ctx    context.Context // ends when it is killed
	cancel context.CancelFunc
	proc   *Proc
	files  *files
	log    *log
	limit  int64 // memory in MiB; zero is without limit
	cpus   int64 // thousandths of a processor; zero is without limit

	mu        sync.Mutex
	dead      bool
	memory    int64
	busy      load
	signals   chan string // nil if the program asked for none
	caught    []string    // empty: all that can be caught
	listeners map[int]*listener
	conns     map[*conn]struct{} // the container's ends
}

// hostPort is a port of the host that leads to one of the container.
type hostPort struct {
	name       string
	host, port int
}

func newContainer(l *Launcher, w launcher.Workload, digest string, img Image, f *files) *container {
	c := &container{l: l, digest: digest, program: img.Program, stop: w.StopSignal, files: f, log: &log{}}
	if c.stop == "" {
		c.stop = sigterm
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.status = launcher.Status{
		ID: w.ID, Owner: w.Owner, Labels: maps.Clone(w.Labels), Image: w.Image,
		Phase: launcher.Starting, Host: l.cfg.Host, InstanceType: l.cfg.InstanceType, QueuedAt: time.Now(),
	}
	c.status.Reached.Host, c.status.Reached.Boot = c.status.QueuedAt, c.status.QueuedAt
	env := maps.Clone(img.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, w.Env)
	args := slices.Concat(w.Entrypoint, w.Command)
	if len(args) == 0 {
		args = img.Command
	}
	user := w.User
	user.Groups = slices.Clone(user.Groups)
	c.proc = &Proc{
		ID: w.ID, Args: slices.Clone(args), Dir: cmp.Or(w.Dir, "/"), Env: env, User: user,
		Stdin:  &stdin{c: c, data: slices.Clone(w.Stdin)},
		Stdout: logWriter{c.log, launcher.Stdout},
		Stderr: logWriter{c.log, launcher.Stderr},
		c:      c,
	}
	return c
}

// run is the life of the container's goroutine: it waits for the image and the
// start, unless that is over, and runs the program.
func (c *container) run(pull, start time.Duration) {
	defer c.l.programs.Done()
	if pull > 0 && !c.after(pull, c.pulled) || pull+start > 0 && !c.after(start, c.begin) {
		return
	}
	c.call()
}

// after takes a step of the start when a time has passed, with l.mu held, and
// reports whether that goes on.
func (c *container) after(wait time.Duration, step func() bool) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.ctx.Done():
		return false
	}
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return step()
}

// call runs the program to its exit, which a panic is too.
func (c *container) call() {
	returned, code := false, 2
	defer func() {
		if !returned {
			cause := recover()
			if cause == nil {
				cause = "runtime.Goexit was called" // testing.T.FailNow does
			}
			fmt.Fprintf(c.proc.Stderr, "panic: %v\n\n%s", cause, debug.Stack())
		}
		c.l.mu.Lock()
		defer c.l.mu.Unlock()
		c.exit(code, "", "")
	}()
	code = c.program(c.ctx, c.proc)
	returned = true
}

// pulled notes that the image is there, unless the container was stopped before;
// l.mu is held.
func (c *container) pulled() bool {
	if c.status.Phase != launcher.Starting || c.ctx.Err() != nil {
		return false
	}
	c.status.Reached.Pull = time.Now()
	c.publish()
	return true
}

// begin moves the container to Running, unless it was stopped before; l.mu is
// held.
func (c *container) begin() bool {
	if c.status.Phase != launcher.Starting || c.ctx.Err() != nil {
		return false
	}
	now := time.Now()
	c.status.Phase, c.status.StartedAt, c.status.Reached.Mount = launcher.Running, now, now
	if len(c.ports) > 0 {
		c.status.Endpoints = make(map[string]string, len(c.ports))
		for _, p := range c.ports {
			c.status.Endpoints[p.name] = net.JoinHostPort(c.l.cfg.Address, strconv.Itoa(p.host))
		}
	}
	c.publish()
	return true
}

// end asks the container to end by itself within the grace; l.mu is held.
func (c *container) end(signal string, grace time.Duration) {
	switch c.status.Phase {
	case launcher.Exited:
		return
	case launcher.Starting:
		c.exit(0, "", "it was stopped before it started")
		return
	case launcher.Running:
		c.status.Phase, c.status.Endpoints = launcher.Stopping, nil
		c.publish()
	}
	if signal == "" {
		signal = c.stop
	}
	if code, ends := c.deliver(signal); ends {
		c.exit(code, "", "")
		return
	}
	if killAt := time.Now().Add(grace); c.killAt.IsZero() || killAt.Before(c.killAt) {
		c.killAt = killAt
		if c.grace != nil {
			c.grace.Stop()
		}
		c.grace = time.AfterFunc(grace, func() { c.kill("", "") })
	}
}

// deliver hands a signal to the process. It reports whether the signal ends
// it, and with which code.
func (c *container) deliver(signal string) (int, bool) {
	number, _ := launcher.SignalNumber(signal)
	c.mu.Lock()
	defer c.mu.Unlock()
	if signal != sigkill {
		if c.signals != nil && (len(c.caught) == 0 || slices.Contains(c.caught, signal)) {
			select {
			case c.signals <- signal:
			default:
			}
			return 0, false
		}
		if ignoredByDefault(signal) {
			return 0, false
		}
	}
	return 128 + number, true
}

// kill ends the container as SIGKILL does.
func (c *container) kill(reason launcher.Kind, message string) {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.exit(137, reason, message)
}

func (c *container) outOfMemory() {
	c.kill(launcher.ErrOutOfMemory, fmt.Sprintf("it used more than its %d MiB of memory: give it more", c.limit))
}

// exit ends the container and gives back what it held; l.mu is held. Its logs
// and connections have ended when the exit is told.
func (c *container) exit(code int, reason launcher.Kind, message string) {
	if c.status.Phase == launcher.Exited || c.l.crashed {
		return
	}
	c.die(func(end *conn) { end.Close() })
	if c.grace != nil {
		c.grace.Stop()
	}
	c.status.Phase, c.status.ExitedAt, c.status.Endpoints = launcher.Exited, time.Now(), nil
	c.status.ExitCode, c.status.Reason, c.status.Message = code, reason, message
	c.l.release(c)
	c.publish()
	if c.forget {
		c.l.remove(c)
	} else {
		c.l.exited = append(c.l.exited, exit{c.status.ID, c.status.ExitedAt})
	}
}

// die makes the process dead for the world: whatever its goroutines still do
// has no effect.
func (c *container) die(hangUp func(*conn)) {
	c.mu.Lock()
	c.dead = true
	listeners, conns := c.listeners, c.conns
	c.listeners, c.conns = nil, nil
	c.mu.Unlock()
	c.cancel()
	c.log.end()
	for _, l := range listeners {
		l.Close()
	}
	for end := range conns {
		hangUp(end)
	}
}

// cut resets the connections from outside; the container goes on.
func (c *container) cut() {
	c.mu.Lock()
	conns := slices.Collect(maps.Keys(c.conns))
	c.mu.Unlock()
	for _, end := range conns {
		end.reset()
	}
}

func (c *container) publish() { c.l.hub.Set(c.status.ID, c.status) }
