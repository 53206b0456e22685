package dockerlauncher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/launcher"
)

// A flight is a Launch under way in this process.
type flight struct {
	status launcher.Status
	image  string
	done   chan struct{}
}

// Launch implements [launcher.Launcher]. It pulls the image if it is not there
// and returns when the engine has started the container, which makes it
// durable; meanwhile this process lists it as starting and tells how far the
// pull is. When ctx ends before, a pull goes on, and the same Launch again goes
// on where this one was.
//
// A workload whose fixed host port is taken, or that is bigger than the
// machine, is [launcher.ErrCapacity]; what fits is not otherwise counted: who
// places workloads knows what it has placed. A working directory that can be neither
// found nor made, as a file is in its place or its mount is read-only, is
// [launcher.ErrUnavailable] in the engine's words, which has no status for that.
func (l *Launcher) Launch(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
	const op = "launch"
	if err := w.Validate(); err != nil {
		return launcher.Status{}, err
	}
	if _, err := registryOf(op, w.ID, w.Image); err != nil {
		return launcher.Status{}, err
	}
	w = w.Expand()
	dirs, err := l.directories(ctx, w)
	if err != nil {
		return launcher.Status{}, err
	}
	f, err := l.board(ctx, w)
	if err != nil {
		return launcher.Status{}, err
	}
	defer l.land(w.ID, f)
	s, err := l.bringUp(ctx, w, dirs, f.status.QueuedAt)
	if ctx.Err() != nil && err != nil {
		return launcher.Status{}, ctx.Err()
	}
	if err != nil {
		return launcher.Status{}, fail(op, w.ID, err)
	}
	return s, nil
}

// board makes the caller the only one in this process that launches the ID.
func (l *Launcher) board(ctx context.Context, w launcher.Workload) (*flight, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			return nil, refuse("launch", w.ID, launcher.ErrNotRunning, "%w", errClosed)
		}
		other := l.flights[w.ID]
		if other == nil {
			f := &flight{image: w.Image, done: make(chan struct{}), status: launcher.Status{
				ID: w.ID, Owner: w.Owner, Labels: maps.Clone(w.Labels), Image: w.Image, Phase: launcher.Starting,
				Host: l.cfg.Host, InstanceType: l.cfg.InstanceType, QueuedAt: time.Now(),
			}}
			f.status.Reached.Host, f.status.Reached.Boot = f.status.QueuedAt, f.status.QueuedAt
			l.flights[w.ID] = f
			shared := l.feed
			l.mu.Unlock()
			shared.publish(clone(f.status))
			return f, nil
		}
		l.mu.Unlock()
		select {
		case <-other.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// land ends a flight. What did not come up is not told of any more.
func (l *Launcher) land(id launcher.ID, f *flight) {
	l.mu.Lock()
	delete(l.flights, id)
	close(f.done)
	shared := l.feed
	l.mu.Unlock()
	if shared != nil {
		shared.dropStarting(id)
	}
}

// inFlight returns what is being launched by this process and was not started.
func (l *Launcher) inFlight() map[launcher.ID]launcher.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[launcher.ID]launcher.Status{}
	for id, f := range l.flights {
		all[id] = clone(f.status)
	}
	return all
}

// tell gives the flights that wait for an image a message.
func (l *Launcher) tell(image, message string) {
	l.mu.Lock()
	var told []launcher.Status
	for _, f := range l.flights {
		if f.image == image {
			f.status.Message = message
			told = append(told, clone(f.status))
		}
	}
	feed := l.feed
	l.mu.Unlock()
	for _, s := range told {
		feed.publish(s)
	}
}

// pulled notes that the image of a flight is there, and returns since when.
func (l *Launcher) pulled(id launcher.ID) time.Time {
	l.mu.Lock()
	f, feed := l.flights[id], l.feed
	if !f.status.Reached.Pull.IsZero() {
		defer l.mu.Unlock()
		return f.status.Reached.Pull
	}
	f.status.Reached.Pull, f.status.Message = time.Now(), ""
	s := clone(f.status)
	l.mu.Unlock()
	feed.publish(s)
	return s.Reached.Pull
}

// bringUp goes from whatever there is of a workload to a started container.
func (l *Launcher) bringUp(ctx context.Context, w launcher.Workload, dirs []string, queued time.Time) (launcher.Status, error) {
	var before *found // a half-made container that was taken away
	for {
		id, err := l.create(ctx, w, dirs, queued)
		switch {
		case err == nil:
			before = nil
		case errdefs.IsConflict(err): // there is a container of the name
			c, err := l.find(ctx, w.ID)
			if err != nil {
				return launcher.Status{}, err
			}
			if c == nil {
				continue // no more
			}
			if err := l.same(c, w); err != nil {
				return launcher.Status{}, err
			}
			if !c.halfMade() {
				return l.statusOf(c), nil
			}
			whole, err := l.inherit(ctx, c, w)
			if err != nil {
				return launcher.Status{}, err
			}
			if !whole {
				before = c
				continue
			}
			id = c.ID
		default:
			if before != nil {
				_ = pace.Within(context.WithoutCancel(ctx), sweepLimit, func(ctx context.Context) error {
					l.sweep(ctx, before)
					return nil
				})
			}
			return launcher.Status{}, err
		}
		s, started, err := l.start(ctx, id, w)
		if err != nil || started {
			return s, err
		}
	}
}

// same reports a container of a workload's name that is another's.
func (l *Launcher) same(c *found, w launcher.Workload) error {
	switch {
	case c.workload() != w.ID:
		return refuse("launch", w.ID, launcher.ErrConflict, "the engine has a container of this name that is no workload; remove it, or use another ID")
	case c.label(labelDigest) != w.Digest():
		return refuse("launch", w.ID, launcher.ErrConflict, "it was launched with another workload: use a new ID")
	}
	return nil
}

// patience is how long a container may be created and not started before its
// maker is taken for dead.
const patience = 2 * time.Second

// inherit deals with a half-made container and reports whether it can be
// started as it is. Where secrets or standard input were to be put into it, it
// cannot be known how far that went: it is removed when its maker had the time
// to start it. A maker that was only slow finds it gone, and makes another.
func (l *Launcher) inherit(ctx context.Context, c *found, w launcher.Workload) (whole bool, err error) {
	if len(w.Stdin) == 0 && len(w.Secrets) == 0 {
		return true, nil // the engine starts a container once
	}
	for until := time.Now().Add(patience); time.Now().Before(until); {
		if err := pace.Sleep(ctx, 50*time.Millisecond); err != nil {
			return false, err
		}
		now, err := l.inspect(ctx, c.ID)
		if err != nil || now == nil || !now.halfMade() {
			return false, err
		}
	}
	err = l.takeAway(ctx, c.ID)
	if errdefs.IsConflict(err) { // it runs by now
		err = nil
	}
	return false, err
}

// sweepLimit is how long it may take to sweep, also when the caller has no time.
const sweepLimit = 10 * time.Second

// sweep empties the secrets of a half-made container that was taken away, when
// nothing was made in its place. It holds the name meanwhile: who makes one now
// waits for it, and puts the secrets after it.
func (l *Launcher) sweep(ctx context.Context, c *found) {
	if len(c.secrets()) == 0 {
		return
	}
	out, err := l.engine.ContainerCreate(ctx, c.standIn(string(c.workload())))
	if errdefs.IsConflict(err) {
		return // somebody has made one, which has the secrets
	}
	var again *found
	if err == nil {
		again, err = l.inspect(ctx, out.ID)
	}
	if err == nil && again != nil {
		err = l.remove(ctx, again)
	}
	if err != nil {
		l.cfg.Logger.Warn("secrets of a container that was never started were not emptied", "workload", c.workload(), "error", err)
	}
}

// create creates the container, pulling its image if that is missing. A
// conflict of the engine's means that there is one.
func (l *Launcher) create(ctx context.Context, w launcher.Workload, dirs []string, queued time.Time) (string, error) {
	if err := l.ensureNetwork(ctx); err != nil {
		return "", err
	}
	room, err := l.Room(ctx)
	if err != nil {
		return "", err
	}
	if !w.Resources.Fits(room) {
		return "", refuse("launch", w.ID, launcher.ErrCapacity, "it asks for %v, and this machine has %v", w.Resources, room)
	}
	gpus, err := l.freeGPUs(ctx, w)
	if err != nil {
		return "", err
	}
	for pulled := false; ; pulled = true {
		image, err := l.image(ctx, w)
		var out client.ContainerCreateResult
		if err == nil {
			out, err = l.engine.ContainerCreate(ctx, l.options(w, image, dirs, gpus, room, queued, l.pulled(w.ID)))
		}
		switch {
		case errdefs.IsNotFound(err) && !pulled:
			// Before anything is pulled for what is there already.
			if c, err := l.find(ctx, w.ID); err != nil || c != nil {
				return "", errors.Join(err, errdefs.ErrConflict)
			}
			if err := l.pull(ctx, "launch", w.ID, w.Image); err != nil {
				return "", err
			}
		case l.dropDiskQuota(err): // asked again without
		case errdefs.IsInvalidArgument(err) && len(w.Mounts) > 0:
			// The rest was checked: a directory does not exist on the machine.
			return "", failAs("launch", w.ID, launcher.ErrMount, err)
		case err != nil:
			return "", err
		default:
			return out.ID, nil
		}
	}
}

// freeGPUs chooses graphics processors that no live container has.
func (l *Launcher) freeGPUs(ctx context.Context, w launcher.Workload) ([]string, error) {
	if w.Resources.GPUs == 0 {
		return nil, nil
	}
	taken := map[string]bool{}
	all, err := l.summaries(ctx, false)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		for _, gpu := range listed(c.Labels[labelGPUs]) {
			taken[gpu] = true
		}
	}
	var free []string
	for n := range l.cfg.GPUs {
		if gpu := strconv.Itoa(n); !taken[gpu] && len(free) < int(w.Resources.GPUs) {
			free = append(free, gpu)
		}
	}
	if len(free) < int(w.Resources.GPUs) {
		return nil, refuse("launch", w.ID, launcher.ErrCapacity, "it asks for %d GPUs, and %d of %d are free", w.Resources.GPUs, len(free), l.cfg.GPUs)
	}
	return free, nil
}

// start starts a created container, unless its workload was stopped meanwhile.
// It reports started false if the container was taken away.
func (l *Launcher) start(ctx context.Context, id string, w launcher.Workload) (s launcher.Status, started bool, err error) {
	stone, err := l.inspect(ctx, headstone(w.ID))
	if err != nil {
		return s, false, err
	}
	if stone != nil {
		if err := l.takeAway(ctx, id); err != nil {
			return s, false, err
		}
		l.emptySecrets(ctx, stone)
		return l.statusOf(stone), true, l.same(stone, w)
	}
	if len(w.Secrets) > 0 {
		if err := l.putSecrets(ctx, id, w); err != nil {
			return s, false, gone(err)
		}
	}
	if len(w.Stdin) > 0 {
		end, err := l.feedStdin(ctx, id, w.Stdin)
		if err != nil {
			return s, false, gone(err)
		}
		defer end()
	}
	if _, err := l.engine.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
		if errdefs.IsNotFound(err) {
			l.forgetNetwork() // it may be the network that is gone
		}
		return s, false, l.notStarted(ctx, id, w, err)
	}
	c, err := l.inspect(ctx, id)
	if err != nil || c == nil {
		return s, false, err
	}
	s = l.statusOf(c)
	l.publish(s)
	return s, true, nil
}

// gone takes a container that was taken away for what the next look explains.
func gone(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// notStarted removes a container that the engine could not start and explains
// why not. The engine notes the exit codes that shells give: 126 and 127 for a
// command that cannot be run, 128 for anything else.
func (l *Launcher) notStarted(ctx context.Context, id string, w launcher.Workload, cause error) error {
	c, err := l.inspect(ctx, id)
	if err != nil || c == nil {
		return err // it was taken away, and the next look says by whom
	}
	if !c.halfMade() {
		return nil // it was started by another, or all the same
	}
	if kindOf(cause) == launcher.ErrUnavailable && c.State.ExitCode == 0 {
		return cause // the engine does not say that it tried
	}
	if err := l.remove(ctx, c); err != nil {
		if errdefs.IsConflict(err) {
			return nil // it runs by now
		}
		return err
	}
	switch port, err := l.takenPort(ctx, w); {
	case err != nil:
		return err
	case port != 0:
		return refuse("launch", w.ID, launcher.ErrCapacity, "host port %d is taken on this machine: %w", port, cause)
	case c.State.ExitCode == 126 || c.State.ExitCode == 127:
		return failAs("launch", w.ID, launcher.ErrImage, fmt.Errorf("the image's command cannot be run: %w", cause))
	case len(w.Ports) > 0 && l.portsExhausted(ctx, w):
		return refuse("launch", w.ID, launcher.ErrCapacity, "the host ports from %d to %d are taken: %w", l.cfg.FirstPort, l.cfg.LastPort, cause)
	}
	return cause
}

// published counts the host ports that live containers have.
func (l *Launcher) published(ctx context.Context) (map[int]bool, error) {
	out, err := l.engine.ContainerList(ctx, client.ContainerListOptions{})
	if err != nil {
		return nil, err
	}
	taken := map[int]bool{}
	for _, c := range out.Items {
		for _, p := range c.Ports {
			taken[int(p.PublicPort)] = true
		}
	}
	return taken, nil
}

// takenPort returns a fixed host port of w that another container has, or 0.
func (l *Launcher) takenPort(ctx context.Context, w launcher.Workload) (int, error) {
	if !slices.ContainsFunc(w.Ports, func(p launcher.Port) bool { return p.HostPort != 0 }) {
		return 0, nil
	}
	taken, err := l.published(ctx)
	for _, p := range w.Ports {
		if taken[p.HostPort] && p.HostPort != 0 {
			return p.HostPort, nil
		}
	}
	return 0, err
}

// portsExhausted reports whether fewer host ports are left than w needs.
func (l *Launcher) portsExhausted(ctx context.Context, w launcher.Workload) bool {
	taken, err := l.published(ctx)
	left := 0
	for n := l.cfg.FirstPort; n <= l.cfg.LastPort; n++ {
		if !taken[n] {
			left++
		}
	}
	return err == nil && left < len(w.Ports)
}

// atOnce is how much standard input is in the engine's hands before the
// container starts, so that it arrives whatever happens to this process:
// sockets hold that much.
const atOnce = 32 << 10

// feedStdin writes the standard input of a created container. What is longer
// than the engine takes before the start is written beside the caller. The
// function it returns is called after the start, or when there was none.
func (l *Launcher) feedStdin(ctx context.Context, id string, stdin []byte) (end func(), err error) {
	attached, err := l.engine.ContainerAttach(ctx, id, client.ContainerAttachOptions{Stream: true, Stdin: true})
	if err != nil {
		return nil, err
	}
	rest := bytes.Clone(stdin[min(len(stdin), atOnce):])
	stop := context.AfterFunc(ctx, attached.Close)
	_, err = attached.Conn.Write(stdin[:min(len(stdin), atOnce)])
	if err == nil && len(rest) == 0 {
		err = attached.CloseWrite()
	}
	if !stop() {
		return nil, ctx.Err()
	}
	if err != nil {
		attached.Close()
		return nil, err
	}
	if len(rest) == 0 {
		return attached.Close, nil
	}
	return func() {
		if !l.background(func(life context.Context) { l.writeRest(life, &attached, rest) }) {
			attached.Close()
		}
	}, nil
}

// writeRest writes what is left of a standard input as the program reads it,
// until it is all written, or the program has ended.
func (l *Launcher) writeRest(life context.Context, attached *client.ContainerAttachResult, rest []byte) {
	defer attached.Close()
	defer context.AfterFunc(life, attached.Close)()
	if _, err := io.Copy(attached.Conn, bytes.NewReader(rest)); err == nil {
		_ = attached.CloseWrite() // or the program is not interested any more
	}
}
