package fakeaws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
)

var _ launcher.Launcher = (*Host)(nil)

// host is the machine under an instance.
type host struct {
	engine *fakelauncher.Launcher
	cut    *time.Timer // of a power cut to come, or nil
}

// cutOff is a power cut at an instant, now or later. A nil host has nothing that
// runs.
func (h *host) cutOff(at time.Time) {
	if h == nil {
		return
	}
	h.stop()
	if wait := time.Until(at); wait > 0 {
		h.cut = time.AfterFunc(wait, h.engine.Crash)
	} else {
		h.engine.Crash()
	}
}

// stop calls off a power cut that is to come.
func (h *host) stop() {
	if h.cut != nil {
		h.cut.Stop()
	}
}

// Close ends what runs on the host and waits for it.
func (h *host) Close() error { return h.engine.Close() }

// A Host is a program's connection to the container engine of an instance, as
// [Cloud.Host] makes it. Calls fail with [launcher.ErrUnavailable] while the
// instance does not answer: until [Delays.HostReady] after it runs, for ever if
// it is [Config.Stillborn], from its end on, and while [Cloud.Partition] cuts it off. All methods are safe for
// concurrent use.
type Host struct {
	cloud    *Cloud
	instance *instance
	life     context.Context // of the program
}

// Host connects to the container engine of an instance. An instance that never
// was is [launcher.ErrNotFound]; one that is not up yet, or no longer, gives a
// Host that does not answer. After a [Cloud.Crash] all its calls, watches and
// connections fail with [ErrCrashed].
//
// The engine has the room that [instancetype.Type.UsableMemoryMiB] leaves, runs
// the images pushed to this cloud, and mounts this cloud's file systems from
// sources of the form /efs/<file system>.<access point>.
func (c *Cloud) Host(instanceID string) (*Host, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, err := c.hosted("connect", instanceID)
	if err != nil {
		return nil, err
	}
	return &Host{cloud: c, instance: i, life: c.life}, nil
}

// hosted finds an instance and makes its host if there is none.
func (c *Cloud) hosted(op, id string) (*instance, error) {
	if c.closed {
		return nil, &launcher.Error{Op: op, Kind: launcher.ErrUnavailable, Err: ErrClosed}
	}
	i, ok := c.instance(id)
	if !ok {
		return nil, &launcher.Error{Op: op, Kind: launcher.ErrNotFound, Err: fmt.Errorf("no instance %q", id)}
	}
	if i.host != nil {
		return i, nil
	}
	arch := "amd64"
	if i.kind.Arch == instancetype.ARM64 {
		arch = "arm64"
	}
	engine, err := fakelauncher.New(fakelauncher.Config{
		Host: i.id, Address: i.address, InstanceType: i.kind.Name, Architecture: arch,
		Room: launcher.Resources{
			MilliCPU: int64(i.kind.VCPUs) * 1000, MemoryMiB: i.kind.UsableMemoryMiB(), GPUs: int64(i.kind.GPUs),
		},
		Images: func(_ context.Context, ref string) (fakelauncher.Image, error) { return c.program(ref, arch) },
		Mount:  func(m launcher.Mount) (*fakelauncher.Dir, error) { return c.mount(i, m) },
		Delays: fakelauncher.Delays{Pull: i.delays.Pull, Start: i.delays.ContainerStart},
	})
	if err != nil {
		return nil, err
	}
	engine.SetReachable(!i.cut)
	i.host = &host{engine: engine}
	if !i.ended.IsZero() {
		i.host.cutOff(i.ended)
	}
	return i, nil
}

// Partition cuts the network between programs and an instance's host, or
// restores it. The instance runs on, and EC2 says so.
func (c *Cloud) Partition(instanceID string, cut bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, err := c.hosted("partition", instanceID)
	if err != nil {
		return err
	}
	i.cut = cut
	i.host.engine.SetReachable(!cut)
	return nil
}

// CrashHost is a failure of the machine under an instance: what runs on it is
// gone at once, and EC2 terminates the instance with the state reason
// Server.InternalError. Crashing what has ended does nothing.
func (c *Cloud) CrashHost(instanceID string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.instance(instanceID)
	if !ok {
		return &launcher.Error{Op: "crash", Kind: launcher.ErrNotFound, Err: fmt.Errorf("no instance %q", instanceID)}
	}
	c.end(i, time.Now(), hostFailure, hostFailure+": Internal error on launch or while running")
	return nil
}

// hosts returns the hosts that were made, with no power cut to come; c.mu is held.
func (c *Cloud) hosts() []io.Closer {
	var all []io.Closer
	for _, h := range c.ec2.rebootedHosts {
		all = append(all, h)
	}
	for _, i := range c.ec2.instances {
		if i.host != nil {
			i.host.stop()
			all = append(all, i.host)
		}
	}
	return all
}

// reach returns the engine if the host answers, and a context that also ends
// with the program. Call release when done with it.
func (h *Host) reach(ctx context.Context, op string, id launcher.ID) (engine *fakelauncher.Launcher, bound context.Context, release func(), err error) {
	unavailable := func(err error) error {
		return &launcher.Error{Op: op, ID: id, Kind: launcher.ErrUnavailable, Err: err}
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, nil, err
	}
	c := h.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	switch state := h.instance.state(now); {
	case h.life.Err() != nil:
		return nil, nil, nil, unavailable(context.Cause(h.life))
	case c.closed:
		return nil, nil, nil, unavailable(ErrClosed)
	case state != types.InstanceStateNameRunning:
		return nil, nil, nil, unavailable(fmt.Errorf("instance %s is %s", h.instance.id, state))
	case h.instance.stillborn || now.Before(h.instance.up()):
		return nil, nil, nil, unavailable(fmt.Errorf("instance %s is booting", h.instance.id))
	case h.instance.isImpaired(now):
		return nil, nil, nil, unavailable(fmt.Errorf("instance %s is impaired", h.instance.id))
	}
	if _, err := c.hosted(op, h.instance.id); err != nil { // it may have been rebooted
		return nil, nil, nil, err
	}
	bound, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(h.life, func() { cancel(context.Cause(h.life)) })
	return h.instance.host.engine, bound, func() { stop(); cancel(nil) }, nil
}

// told replaces an error by the program's end if that came first.
func (h *Host) told(op string, id launcher.ID, err error) error {
	if err == nil || h.life.Err() == nil {
		return err
	}
	return &launcher.Error{Op: op, ID: id, Kind: launcher.ErrUnavailable, Err: context.Cause(h.life)}
}

// Launch implements [launcher.Launcher].
func (h *Host) Launch(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
	engine, bound, release, err := h.reach(ctx, "launch", w.ID)
	if err != nil {
		return launcher.Status{}, err
	}
	defer release()
	s, err := engine.Launch(bound, w)
	return s, h.told("launch", w.ID, err)
}

// Stop implements [launcher.Launcher].
func (h *Host) Stop(ctx context.Context, id launcher.ID, o launcher.StopOptions) error {
	engine, bound, release, err := h.reach(ctx, "stop", id)
	if err != nil {
		return err
	}
	defer release()
	return h.told("stop", id, engine.Stop(bound, id, o))
}

// List implements [launcher.Launcher].
func (h *Host) List(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return h.statuses(ctx, "list", func(engine *fakelauncher.Launcher, bound context.Context) iter.Seq2[launcher.Status, error] {
		return engine.List(bound, f)
	})
}

// Watch implements [launcher.Launcher].
func (h *Host) Watch(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return h.statuses(ctx, "watch", func(engine *fakelauncher.Launcher, bound context.Context) iter.Seq2[launcher.Status, error] {
		return engine.Watch(bound, f)
	})
}

func (h *Host) statuses(ctx context.Context, op string, of func(*fakelauncher.Launcher, context.Context) iter.Seq2[launcher.Status, error]) iter.Seq2[launcher.Status, error] {
	return func(yield func(launcher.Status, error) bool) {
		engine, bound, release, err := h.reach(ctx, op, "")
		if err != nil {
			yield(launcher.Status{}, err)
			return
		}
		defer release()
		for s, err := range of(engine, bound) {
			if !yield(s, h.told(op, "", err)) {
				return
			}
		}
	}
}

// Dial implements [launcher.Launcher].
func (h *Host) Dial(ctx context.Context, id launcher.ID, port string) (net.Conn, error) {
	engine, bound, release, err := h.reach(ctx, "dial", id)
	if err != nil {
		return nil, err
	}
	defer release()
	conn, err := engine.Dial(bound, id, port)
	if err != nil {
		return nil, h.told("dial", id, err)
	}
	hc, ok := conn.(halfCloser)
	if !ok {
		return nil, errors.Join(&launcher.Error{Op: "dial", ID: id, Kind: launcher.ErrUnsupported}, conn.Close())
	}
	return hostConn{hc, context.AfterFunc(h.life, func() { _ = conn.Close() })}, nil
}

type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// hostConn is a connection that a crash of the program closes.
type hostConn struct {
	halfCloser
	forget func() bool
}

func (c hostConn) Close() error {
	c.forget()
	return c.halfCloser.Close()
}

// Logs implements [launcher.Launcher].
func (h *Host) Logs(ctx context.Context, id launcher.ID, o launcher.LogOptions) (io.ReadCloser, error) {
	engine, bound, release, err := h.reach(ctx, "logs", id)
	if err != nil {
		return nil, err
	}
	r, err := engine.Logs(bound, id, o)
	if err != nil {
		release()
		return nil, h.told("logs", id, err)
	}
	return hostLogs{r, h, id, release}, nil
}

// hostLogs is a log reader that a crash of the program ends.
type hostLogs struct {
	io.ReadCloser
	host    *Host
	id      launcher.ID
	release func()
}

func (l hostLogs) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // readers return io.EOF itself
		err = l.host.told("logs", l.id, err)
	}
	return n, err
}

func (l hostLogs) Close() error {
	l.release()
	return l.ReadCloser.Close()
}

// Usage implements [launcher.Launcher].
func (h *Host) Usage(ctx context.Context, id launcher.ID) (launcher.Usage, error) {
	engine, bound, release, err := h.reach(ctx, "usage", id)
	if err != nil {
		return launcher.Usage{}, err
	}
	defer release()
	u, err := engine.Usage(bound, id)
	return u, h.told("usage", id, err)
}

// Room returns what all workloads of the host share. It answers as soon as the
// engine does.
func (h *Host) Room(ctx context.Context) (launcher.Resources, error) {
	engine, bound, release, err := h.reach(ctx, "room", "")
	if err != nil {
		return launcher.Resources{}, err
	}
	defer release()
	r, err := engine.Room(bound)
	return r, h.told("room", "", err)
}

// Pull fetches an image ahead of its first use and waits until it is there.
func (h *Host) Pull(ctx context.Context, image string) error {
	engine, bound, release, err := h.reach(ctx, "pull", "")
	if err != nil {
		return err
	}
	defer release()
	return h.told("pull", "", engine.Pull(bound, image))
}
