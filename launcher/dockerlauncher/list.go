package dockerlauncher

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/launcher"
)

// List implements [launcher.Launcher]. It removes exits that are older than
// [launcher.Retention] on the way.
func (l *Launcher) List(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return func(yield func(launcher.Status, error) bool) {
		all, err := l.statusList(ctx)
		if err != nil {
			yield(launcher.Status{}, fail("list", "", err))
			return
		}
		for _, id := range slices.Sorted(maps.Keys(all)) {
			if err := ctx.Err(); err != nil {
				yield(launcher.Status{}, err)
				return
			}
			if s := all[id]; f.Match(s) && !yield(clone(s), nil) {
				return
			}
		}
	}
}

// summaries asks the engine for our containers; all includes those that do not run.
func (l *Launcher) summaries(ctx context.Context, all bool) ([]container.Summary, error) {
	out, err := l.engine.ContainerList(ctx, client.ContainerListOptions{
		All: all, Filters: make(client.Filters).Add("label", labelID),
	})
	return out.Items, err
}

// looks is how many containers are inspected at one time.
const looks = 8

// statusList is the status of every workload of the engine: a list of the
// containers, and a look at those of which it tells news. What runs, or has
// exited, is looked at once.
func (l *Launcher) statusList(ctx context.Context) (map[launcher.ID]launcher.Status, error) {
	summaries, err := l.summaries(ctx, true)
	if err != nil {
		return nil, err
	}
	all := l.inFlight()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(looks)
	looked := make([]*found, len(summaries))
	for i, c := range summaries {
		if s, ok := l.known(c); ok {
			all[s.ID] = s
			continue
		}
		g.Go(func() (err error) {
			looked[i], err = l.inspect(gctx, c.ID)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	now := time.Now()
	for _, c := range looked {
		if c == nil || c.State == nil || c.State.Status == container.StateRemoving {
			continue
		}
		if c.halfMade() {
			l.clear(ctx, c, now)
			continue
		}
		s := l.statusOf(c)
		l.remember(c, s)
		all[s.ID] = s
	}
	l.retire(ctx, summaries, all, now)
	return all, nil
}

// known returns what is known of a container, if its state is still that.
func (l *Launcher) known(c container.Summary) (launcher.Status, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.statuses[c.ID]
	if !ok {
		return s, false
	}
	running := c.State == container.StateRunning
	return s, running == (s.Phase != launcher.Exited) && c.State != container.StateRemoving
}

// remember keeps the status of a container for the next look.
func (l *Launcher) remember(c *found, s launcher.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.statuses[c.ID] = s
}

// clear removes a half-made container that nobody has come back for.
func (l *Launcher) clear(ctx context.Context, c *found, now time.Time) {
	if now.Sub(engineTime(c.Created)) < launcher.Retention {
		return
	}
	if err := l.remove(ctx, c); err != nil && !errdefs.IsConflict(err) {
		l.cfg.Logger.Warn("a container that was never started was not removed", "workload", c.workload(), "error", err)
	}
}

// retire removes exits that are old enough, and what is known of containers
// that are no more.
func (l *Launcher) retire(ctx context.Context, summaries []container.Summary, all map[launcher.ID]launcher.Status, now time.Time) {
	there := map[string]bool{}
	for _, c := range summaries {
		there[c.ID] = true
		s, ok := all[launcher.ID(c.Labels[labelID])]
		if !ok || !expired(s, now) {
			continue
		}
		delete(all, s.ID)
		if err := l.remove(ctx, &found{container.InspectResponse{
			ID: c.ID, State: &container.State{Status: c.State}, Config: &container.Config{Labels: c.Labels},
		}}); err != nil {
			l.cfg.Logger.Warn("an old exit was not removed", "workload", s.ID, "error", err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.statuses, func(id string, _ launcher.Status) bool { return !there[id] })
	maps.DeleteFunc(l.stopping, func(id string, _ bool) bool { return !there[id] })
	maps.DeleteFunc(l.filled, func(id string, _ bool) bool { return !there[id] })
}
