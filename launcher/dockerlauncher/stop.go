package dockerlauncher

import (
	"context"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/versions"

	"github.com/atelier-go/atelier/launcher"
)

// Stop implements [launcher.Launcher]. The engine itself sends the signal,
// waits for the grace, to the second, and kills, also when this process is
// gone by then; before API version 1.42 (Docker 23) it can do so only for the
// workload's own stop signal, and for another this process waits. Stopping
// again sends the signal again, as engines do.
//
// What was created and not started, since the process that launched it died,
// is taken away and never starts.
func (l *Launcher) Stop(ctx context.Context, id launcher.ID, o launcher.StopOptions) error {
	const op = "stop"
	if err := o.Validate(id); err != nil {
		return err
	}
	for {
		c, err := l.find(ctx, id)
		switch {
		case err != nil:
			return fail(op, id, err)
		case c == nil || c.workload() != id:
			return refuse(op, id, launcher.ErrNotFound, "no such workload; it was never launched, or was forgotten")
		case c.live():
			return fail(op, id, l.terminate(ctx, c, o))
		case !c.halfMade():
			if o.Forget {
				return fail(op, id, l.forget(ctx, c))
			}
			return nil
		}
		if err := l.bury(ctx, c); err != nil {
			if errdefs.IsConflict(err) { // it was started meanwhile
				continue
			}
			return fail(op, id, err)
		}
	}
}

// bury takes a half-made container away. Its headstone comes first, so that
// who is about to start it, or makes it again, finds out: the container is
// made before the headstone is looked for, and the headstone is set before the
// container is removed.
func (l *Launcher) bury(ctx context.Context, c *found) error {
	id := c.workload()
	stone := c.standIn(headstone(id))
	stone.Config.Labels[labelEnded] = time.Now().UTC().Format(time.RFC3339Nano)
	_, err := l.engine.ContainerCreate(ctx, stone)
	if err != nil && !errdefs.IsConflict(err) {
		return err
	}
	if err := l.takeAway(ctx, c.ID); err != nil {
		if !errdefs.IsConflict(err) {
			return err
		}
		if _, undo := l.engine.ContainerRemove(ctx, headstone(id), client.ContainerRemoveOptions{}); undo != nil {
			return undo
		}
		return err
	}
	set, err := l.inspect(ctx, headstone(id)) // nobody can start with the secrets now
	if set != nil {
		l.emptySecrets(ctx, set)
	}
	return err
}

// terminate asks a live container to end.
func (l *Launcher) terminate(ctx context.Context, c *found, o launcher.StopOptions) error {
	signal, grace := o.Signal, o.Grace
	own := c.Config.StopSignal
	if own == "" {
		own = "SIGTERM"
	}
	if signal == "" {
		signal = own
	}
	if grace == 0 {
		grace = launcher.DefaultGrace
	}
	l.mark(c)
	if signal == "SIGKILL" {
		_, err := l.engine.ContainerKill(ctx, c.ID, client.ContainerKillOptions{Signal: signal})
		if err = over(err); err == nil && o.Forget {
			l.background(func(life context.Context) { l.awaitEnd(life, c, 0, true) })
		}
		return err
	}
	if signal != own && versions.LessThan(l.engine.ClientVersion(), "1.42") {
		if _, err := l.engine.ContainerKill(ctx, c.ID, client.ContainerKillOptions{Signal: signal}); over(err) != nil {
			return err
		}
		l.background(func(life context.Context) { l.awaitEnd(life, c, grace, o.Forget) })
		return nil
	}
	return l.engineStop(ctx, c, signal, grace, o.Forget)
}

// over takes a container that does not run any more for one that was stopped.
func over(err error) error {
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) {
		return nil
	}
	return err
}

// engineStop makes the engine's own stop, which takes as long as the container
// does, and returns when the engine has the request: what happens to this
// process then does not matter.
func (l *Launcher) engineStop(ctx context.Context, c *found, signal string, grace time.Duration, forget bool) error {
	seconds := int((grace + time.Second - 1) / time.Second)
	written, finished := make(chan struct{}), make(chan error, 1)
	var once sync.Once
	if !l.background(func(life context.Context) {
		traced := httptrace.WithClientTrace(life, &httptrace.ClientTrace{
			WroteRequest: func(info httptrace.WroteRequestInfo) {
				if info.Err == nil {
					once.Do(func() { close(written) })
				}
			},
		})
		_, err := l.engine.ContainerStop(traced, c.ID, client.ContainerStopOptions{Signal: signal, Timeout: &seconds})
		finished <- over(err)
		if over(err) == nil && forget {
			l.awaitEnd(life, c, 0, true)
		}
	}) {
		return errClosed
	}
	select {
	case <-written:
		return nil
	case err := <-finished:
		return err
	case <-ctx.Done():
		return ctx.Err() // the engine may have it all the same
	}
}

// awaitEnd waits until a container has ended, kills it if that takes longer
// than the grace, if there is one, and forgets it if asked to.
func (l *Launcher) awaitEnd(life context.Context, c *found, grace time.Duration, forget bool) {
	bound, cancel := life, context.CancelFunc(func() {})
	if grace > 0 {
		bound, cancel = context.WithTimeout(life, grace)
	}
	err := l.waitEnd(bound, c.ID)
	cancel()
	if err != nil && grace > 0 && life.Err() == nil {
		if _, err := l.engine.ContainerKill(life, c.ID, client.ContainerKillOptions{Signal: "SIGKILL"}); over(err) != nil {
			l.cfg.Logger.Warn("a workload was not killed after its grace; stop it again", "workload", c.workload(), "error", err)
			return
		}
		err = l.waitEnd(life, c.ID)
	}
	if err != nil || !forget {
		return
	}
	if now, err := l.inspect(life, c.ID); err == nil && now != nil && !now.live() {
		if err := l.forget(life, now); err != nil {
			l.cfg.Logger.Warn("an exited workload was not removed", "workload", c.workload(), "error", err)
		}
	}
}

// waitEnd returns when a container does not run any more.
func (l *Launcher) waitEnd(ctx context.Context, id string) error {
	wait := l.engine.ContainerWait(ctx, id, client.ContainerWaitOptions{})
	select {
	case <-wait.Result:
		return nil
	case err := <-wait.Error:
		if errdefs.IsNotFound(err) {
			return nil
		}
		return err
	}
}

// forget removes an exited container once its exit has been told.
func (l *Launcher) forget(ctx context.Context, c *found) error {
	l.publish(l.statusOf(c))
	return l.remove(ctx, c)
}

// mark notes that a container was asked to end.
func (l *Launcher) mark(c *found) {
	l.mu.Lock()
	l.stopping[c.ID] = true
	delete(l.statuses, c.ID)
	l.mu.Unlock()
	l.publish(l.statusOf(c))
}
