package dockerlauncher

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
)

// guardEvery is how often an engine without quotas is asked what its
// containers have written.
const guardEvery = 15 * time.Second

// canQuota reports whether the engine's storage may be able to bound what a
// container writes: overlay2 over xfs, if that is mounted with pquota, which
// the engine does not tell.
func canQuota(info system.Info) bool {
	for _, pair := range info.DriverStatus {
		if pair[0] == "Backing Filesystem" && pair[1] == "xfs" {
			return info.Driver == "overlay2"
		}
	}
	return false
}

// diskQuota reports whether the engine itself bounds what a container writes.
func (l *Launcher) diskQuota() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.quota && l.cfg.DiskMiB > 0
}

// dropDiskQuota stops asking the engine for quotas, and reports whether it was
// asked before.
func (l *Launcher) dropDiskQuota() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.quota
	l.quota = false
	return was
}

// guardDisk kills containers that have written more than they may, where the
// engine does not hold them to it.
func (l *Launcher) guardDisk(ctx context.Context) error {
	if l.cfg.DiskMiB < 0 {
		return nil
	}
	out, err := l.engine.ContainerList(ctx, client.ContainerListOptions{
		Size: true, Filters: make(client.Filters).Add("label", labelID).Add("status", string(container.StateRunning)),
	})
	if err != nil {
		return err
	}
	for _, c := range out.Items {
		if c.SizeRw>>20 < l.cfg.DiskMiB || l.diskQuota() {
			continue
		}
		l.mu.Lock()
		l.filled[c.ID] = true
		l.mu.Unlock()
		l.cfg.Logger.Warn("a workload has filled its disk and is killed", "workload", c.Labels[labelID], "bytes", c.SizeRw)
		_, err := l.engine.ContainerKill(ctx, c.ID, client.ContainerKillOptions{Signal: "SIGKILL"})
		if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
			return err
		}
	}
	return nil
}

func (l *Launcher) filledMessage() string {
	return fmt.Sprintf("it wrote more than %d MiB beside its mounts; large files belong into the home", l.cfg.DiskMiB)
}
