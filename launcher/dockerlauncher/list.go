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
		all, old, err := l.statusList(ctx)
		if err != nil {
			yield(launcher.Status{}, fail("list", "", err))
			return
		}
		l.retire(ctx, old)
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
// exited, is looked at once. What is being made is not: its maker tells of it,
// and the engine would not answer before it has started. Old is what is to be
// removed: exits, and what nobody has come back for to start.
func (l *Launcher) statusList(ctx context.Context) (all map[launcher.ID]launcher.Status, old []*found, err error) {
	summaries, err := l.summaries(ctx, true)
	if err != nil {
		return nil, nil, err
	}
	all = l.inFlight()
	now := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(looks)
	looked := make([]*found, len(summaries))
	there := map[string]bool{}
	for i, c := range summaries {
		there[c.ID] = true
		if c.State == container.StateRemoving || c.State == container.StateCreated && c.Labels[labelEnded] == "" && !aged(c, now) {
			continue
		}
		if s, ok := l.known(c); ok {
			if expired(s, now) {
				old = append(old, summarised(c))
			} else {
				all[s.ID] = s
			}
			continue
		}
		g.Go(func() (err error) {
			looked[i], err = l.inspect(gctx, c.ID)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	for _, c := range looked {
		if c == nil || c.State == nil || c.State.Status == container.StateRemoving {
			continue
		}
		s := l.statusOf(c)
		switch {
		case c.halfMade():
			if now.Sub(engineTime(c.Created)) > launcher.Retention {
				old = append(old, c)
			}
		case expired(s, now):
			old = append(old, c)
		default:
			l.remember(c, s)
			all[s.ID] = s
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.statuses, func(id string, _ launcher.Status) bool { return !there[id] })
	maps.DeleteFunc(l.stopping, func(id string, _ bool) bool { return !there[id] })
	maps.DeleteFunc(l.filled, func(id string, _ bool) bool { return !there[id] })
	return all, old, nil
}

// aged reports whether a container was made so long ago that its maker is not
// about to start it. The engine tells whole seconds here.
func aged(c container.Summary, now time.Time) bool {
	return now.Sub(time.Unix(c.Created, 0)) > launcher.Retention
}

// summarised is what of a container is known without a look at it.
func summarised(c container.Summary) *found {
	return &found{container.InspectResponse{
		ID: c.ID, State: &container.State{Status: c.State}, Config: &container.Config{Labels: c.Labels},
	}}
}

// known returns what is known of a container, if its state is still that.
func (l *Launcher) known(c container.Summary) (launcher.Status, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.statuses[c.ID]
	return s, ok && (c.State == container.StateRunning) == (s.Phase != launcher.Exited)
}

// remember keeps the status of a container for the next look.
func (l *Launcher) remember(c *found, s launcher.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.statuses[c.ID] = s
}

// retire removes containers that are old enough.
func (l *Launcher) retire(ctx context.Context, old []*found) {
	for _, c := range old {
		if err := l.remove(ctx, c); err != nil && !errdefs.IsConflict(err) && ctx.Err() == nil {
			l.cfg.Logger.Warn("an old container was not removed", "workload", c.workload(), "error", err)
		}
	}
}
