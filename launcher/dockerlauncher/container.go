package dockerlauncher

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/atelier-go/atelier/launcher"
)

// The labels of a container are what a new process knows of its workload. None
// of them is secret.
const (
	labelPrefix = "atelier."
	labelID     = labelPrefix + "id"
	labelOwner  = labelPrefix + "owner"
	labelImage  = labelPrefix + "image"
	labelDigest = labelPrefix + "digest"  // of the workload, without its secrets
	labelQueued = labelPrefix + "queued"  // when Launch was first called
	labelPulled = labelPrefix + "pulled"  // when its image was found there
	labelGPUs   = labelPrefix + "gpus"    // their numbers, with commas between
	labelSecret = labelPrefix + "secrets" // their names, with commas between
	labelPort   = labelPrefix + "port."   // and the port's name: its number
	labelOwn    = labelPrefix + "label."  // and the key of a label of the caller's
	labelEnded  = labelPrefix + "ended"   // of a headstone: when it was set
)

// Names of workloads have lower-case letters, so this is nobody's ID.
const headstoneSuffix = ".END"

// headstone is the name of the container that stands for a workload that was
// stopped before it started. It is never started.
func headstone(id launcher.ID) string { return string(id) + headstoneSuffix }

// found is a container of ours as the engine described it.
type found struct{ container.InspectResponse }

// find returns the container of a workload, its headstone if it has one, or
// nil. One that was never started is half made: see [found.halfMade].
func (l *Launcher) find(ctx context.Context, id launcher.ID) (*found, error) {
	for _, name := range []string{headstone(id), string(id)} {
		c, err := l.inspect(ctx, name)
		// The engine also takes a name for the beginning of a container's own id.
		if err != nil || c != nil && c.Name == "/"+name {
			return c, err
		}
	}
	return nil, nil
}

// inspect returns the container of a name or the engine's id, or nil.
func (l *Launcher) inspect(ctx context.Context, name string) (*found, error) {
	out, err := l.engine.ContainerInspect(ctx, name, client.ContainerInspectOptions{})
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &found{out.Container}, nil
}

func (c *found) label(key string) string {
	if c.Config == nil {
		return ""
	}
	return c.Config.Labels[key]
}

func (c *found) workload() launcher.ID { return launcher.ID(c.label(labelID)) }

// halfMade reports whether the container was created and not started: whoever
// made it is about to start it, or has died.
func (c *found) halfMade() bool {
	return c.State != nil && c.State.Status == container.StateCreated && c.label(labelEnded) == ""
}

// live reports whether the container's process runs.
func (c *found) live() bool {
	return c.State != nil && (c.State.Running || c.State.Paused || c.State.Restarting)
}

// secrets returns the names of the container's secrets.
func (c *found) secrets() []string { return listed(c.label(labelSecret)) }

// listed is a label that holds a list.
func listed(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// ports returns the declared ports by name.
func (c *found) ports() map[string]int {
	declared := map[string]int{}
	if c.Config == nil {
		return declared
	}
	for key, value := range c.Config.Labels {
		if name, ok := strings.CutPrefix(key, labelPort); ok {
			declared[name], _ = strconv.Atoi(value) // written by labels
		}
	}
	return declared
}

// labels are those of a workload's container.
func labels(w launcher.Workload, queued, pulled time.Time, gpus []string) map[string]string {
	all := map[string]string{
		labelID: string(w.ID), labelOwner: w.Owner, labelImage: w.Image,
		labelDigest: w.Digest(), labelQueued: queued.UTC().Format(time.RFC3339Nano),
		labelPulled: pulled.UTC().Format(time.RFC3339Nano),
	}
	if len(gpus) > 0 {
		all[labelGPUs] = strings.Join(gpus, ",")
	}
	if len(w.Secrets) > 0 {
		all[labelSecret] = strings.Join(slices.Sorted(maps.Keys(w.Secrets)), ",")
	}
	for _, p := range w.Ports {
		all[labelPort+p.Name] = strconv.Itoa(p.Number)
	}
	for k, v := range w.Labels {
		all[labelOwn+k] = v
	}
	return all
}

// options are what the engine is asked to create for a workload, of an image by
// its id, whose mounts are the directories.
func (l *Launcher) options(w launcher.Workload, image string, dirs []string, gpus []string, room launcher.Resources, queued, pulled time.Time) client.ContainerCreateOptions {
	limits := w.Resources
	if limits.IsZero() { // all the host has
		limits = room
	}
	config := &container.Config{
		Image: image, Entrypoint: w.Entrypoint, Cmd: w.Command, WorkingDir: w.Dir, StopSignal: w.StopSignal,
		User:         fmt.Sprintf("%d:%d", w.User.UID, w.User.GID),
		Labels:       labels(w, queued, pulled, gpus),
		ExposedPorts: network.PortSet{},
		OpenStdin:    len(w.Stdin) > 0, StdinOnce: true, AttachStdin: len(w.Stdin) > 0,
	}
	for _, k := range slices.Sorted(maps.Keys(w.Env)) {
		config.Env = append(config.Env, k+"="+w.Env[k])
	}
	host := &container.HostConfig{
		NetworkMode:   container.NetworkMode(l.cfg.Network),
		PortBindings:  network.PortMap{},
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		// A process that ends what is sent SIGTERM without asking for it, and
		// collects orphans: as number 1, a program of its own would not.
		Init: new(true),
		// This driver keeps every byte; the engine's default keeps text.
		LogConfig:   container.LogConfig{Type: "local", Config: map[string]string{"max-size": "20m", "max-file": "5"}},
		SecurityOpt: []string{"no-new-privileges"},
		CapDrop:     []string{"NET_RAW", "MKNOD"},
		Mounts:      mounts(w.Mounts, dirs),
		Resources: container.Resources{
			NanoCPUs: limits.MilliCPU * 1_000_000,
			Memory:   limits.MemoryMiB << 20, MemorySwap: limits.MemoryMiB << 20, // no swap
			PidsLimit: new(l.cfg.MaxProcesses),
		},
	}
	for _, g := range w.User.Groups {
		host.GroupAdd = append(host.GroupAdd, strconv.FormatUint(uint64(g), 10))
	}
	if len(w.Secrets) > 0 {
		host.Binds = []string{l.secretsDir(w.ID) + ":" + secretsTarget}
	}
	if len(gpus) > 0 {
		host.DeviceRequests = []container.DeviceRequest{{
			Driver: "nvidia", DeviceIDs: gpus, Capabilities: [][]string{{"gpu"}},
		}}
	}
	if l.diskQuota() {
		host.StorageOpt = map[string]string{"size": strconv.FormatInt(l.cfg.DiskMiB, 10) + "m"}
	}
	for _, p := range w.Ports {
		number, _ := network.PortFrom(uint16(p.Number), network.TCP) // Validate has bounded it
		at := strconv.Itoa(p.HostPort)
		if p.HostPort == 0 { // the engine takes a free one of the range
			at = fmt.Sprintf("%d-%d", l.cfg.FirstPort, l.cfg.LastPort)
		}
		config.ExposedPorts[number] = struct{}{}
		host.PortBindings[number] = []network.PortBinding{{HostIP: l.address(), HostPort: at}}
	}
	return client.ContainerCreateOptions{Name: string(w.ID), Config: config, HostConfig: host}
}

// mounts are the binds of directories, which have to exist.
func mounts(wanted []launcher.Mount, dirs []string) []mount.Mount {
	var all []mount.Mount
	for i, m := range wanted {
		all = append(all, mount.Mount{Type: mount.TypeBind, Source: dirs[i], Target: m.Target, ReadOnly: m.ReadOnly})
	}
	return all
}

// standIn is a container that holds a name in c's place, and reaches c's
// secrets. It is never started.
func (c *found) standIn(name string) client.ContainerCreateOptions {
	config := *c.Config
	config.Labels = maps.Clone(c.Config.Labels)
	config.Image = c.Image // the id: a tag may have moved
	host := &container.HostConfig{}
	if c.HostConfig != nil {
		host.Binds = c.HostConfig.Binds
	}
	return client.ContainerCreateOptions{Name: name, Config: &config, HostConfig: host}
}

// remove removes a container that does not run and that nobody is about to
// start, with its secrets. See takeAway.
func (l *Launcher) remove(ctx context.Context, c *found) error {
	l.emptySecrets(ctx, c)
	return l.takeAway(ctx, c.ID)
}

// takeAway removes a container that does not run, and leaves its secrets to
// whoever takes its place. One that runs is kept, and is an errdefs conflict;
// one that is not there is no error.
func (l *Launcher) takeAway(ctx context.Context, id string) error {
	_, err := l.engine.ContainerRemove(ctx, id, client.ContainerRemoveOptions{RemoveVolumes: true})
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
