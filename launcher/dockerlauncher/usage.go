package dockerlauncher

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/launcher"
)

// Usage implements [launcher.Launcher]. The engine takes one sample of the
// container's control groups; before API version 1.41 (Docker 20.10) it waits
// for a second one, up to two seconds. The memory is what `docker stats` shows.
func (l *Launcher) Usage(ctx context.Context, id launcher.ID) (launcher.Usage, error) {
	var u launcher.Usage
	err := pace.Within(ctx, answerLimit, func(ctx context.Context) (err error) {
		u, err = l.measure(ctx, id)
		return err
	})
	if err != nil {
		return launcher.Usage{}, fail("usage", id, err)
	}
	return u, nil
}

// measure asks the engine what a running container uses.
func (l *Launcher) measure(ctx context.Context, id launcher.ID) (launcher.Usage, error) {
	const op = "usage"
	c, err := l.find(ctx, id)
	switch {
	case err != nil:
		return launcher.Usage{}, err
	case c != nil && c.workload() == id:
	case l.waiting(id):
		return launcher.Usage{}, refuse(op, id, launcher.ErrNotRunning, "it is %s", launcher.Starting)
	default:
		return launcher.Usage{}, refuse(op, id, launcher.ErrNotFound, "no such workload; it was never launched, or was forgotten")
	}
	s := l.statusOf(c)
	if s.Phase != launcher.Running && s.Phase != launcher.Stopping {
		return launcher.Usage{}, refuse(op, id, launcher.ErrNotRunning, "it is %s", s.Phase)
	}
	out, err := l.engine.ContainerStats(ctx, c.ID, client.ContainerStatsOptions{})
	if err != nil {
		return launcher.Usage{}, err
	}
	defer out.Body.Close()
	var sample container.StatsResponse
	if err := json.NewDecoder(out.Body).Decode(&sample); err != nil {
		return launcher.Usage{}, err
	}
	total, memory := sample.CPUStats.CPUUsage.TotalUsage, workingSet(sample.MemoryStats)
	switch {
	case sample.Read.IsZero(): // so the engine tells of what does not run (ContainerStats in daemon/stats.go of moby)
		return launcher.Usage{}, refuse(op, id, launcher.ErrNotRunning, "it has just ended")
	case total == 0 || memory == 0: // no process has had neither
		return launcher.Usage{}, refuse(op, id, launcher.ErrUnsupported,
			"the engine's machine counts no processor time, or no memory, of containers: an administrator has to enable its control groups")
	}
	return launcher.Usage{
		StartedAt: s.StartedAt, At: sample.Read,
		CPU: time.Duration(min(total, math.MaxInt64)), MemoryBytes: int64(min(memory, math.MaxInt64)),
	}, nil
}

// workingSet is the memory in use without the cache of files that the kernel
// takes first, as `docker stats` has it: calculateMemUsageUnixNoCache in
// cli/command/container/stats_helpers.go of docker/cli. With version 1 of
// control groups, what counts for a whole container has a prefix.
func workingSet(m container.MemoryStats) uint64 {
	cache, v1 := m.Stats["total_inactive_file"]
	if !v1 {
		cache = m.Stats["inactive_file"]
	}
	if cache >= m.Usage { // they are not read at one instant
		return m.Usage
	}
	return m.Usage - cache
}
