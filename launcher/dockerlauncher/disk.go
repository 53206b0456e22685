package dockerlauncher

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"

	"github.com/atelier-go/atelier/launcher"
)

// guardEvery is how often an engine without quotas is asked what its
// containers have written.
const guardEvery = 15 * time.Second

// guardLimit is how long it may take to add that up.
const guardLimit = 5 * time.Minute

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

// dropDiskQuota stops asking the engine for quotas if it refused a container for
// one, and reports whether that is so: the daemon's word, of which it makes no kind
// of error, is "--storage-opt is supported only for overlay over xfs with
// 'pquota' mount option" (daemon/graphdriver/overlay2/overlay.go). What is not
// there, or in the way, is told by names that callers choose.
func (l *Launcher) dropDiskQuota(err error) bool {
	if err == nil || !errdefs.IsInternal(err) || !strings.Contains(err.Error(), "--storage-opt is supported only for") {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.quota
	l.quota = false
	return was
}

// guardDisk kills containers that have written more than they may, where the
// engine does not hold them to it.
func (l *Launcher) guardDisk(ctx context.Context) error {
	if l.cfg.DiskMiB < 0 || l.diskQuota() {
		return nil
	}
	out, err := l.engine.ContainerList(ctx, client.ContainerListOptions{
		Size: true, Filters: make(client.Filters).Add("label", labelID).Add("status", string(container.StateRunning)),
	})
	if err != nil {
		return err
	}
	for _, c := range out.Items {
		if c.SizeRw>>20 < l.cfg.DiskMiB {
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

// image returns the id of a workload's image; the engine's not-found means that
// it is not there. It refuses one that declares volumes where a container has a
// bound for its disk: what is written there is not counted. A mount in a
// volume's place is fine.
func (l *Launcher) image(ctx context.Context, w launcher.Workload) (id string, err error) {
	out, err := l.engine.ImageInspect(ctx, w.Image)
	if err != nil || out.Config == nil || l.cfg.DiskMiB < 0 {
		return out.ID, err
	}
	volumes := slices.DeleteFunc(slices.Sorted(maps.Keys(out.Config.Volumes)), func(target string) bool {
		return slices.ContainsFunc(w.Mounts, func(m launcher.Mount) bool { return m.Target == path.Clean(target) })
	})
	if len(volumes) == 0 {
		return out.ID, nil
	}
	return "", refuse("launch", w.ID, launcher.ErrImage,
		"image %s declares volumes (%s), where a container could write without bound: build it without VOLUME, or mount something there",
		w.Image, strings.Join(volumes, ", "))
}

func (l *Launcher) filledMessage() string {
	return fmt.Sprintf("it wrote more than %d MiB beside its mounts; large files belong into the home", l.cfg.DiskMiB)
}
