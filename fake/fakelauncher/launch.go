package fakelauncher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// Launch implements [launcher.Launcher]. Images and mounts are looked up
// before it returns, so what is wrong with them is its error. What does not fit
// into the room or the ports that are left, is [launcher.ErrCapacity].
func (l *Launcher) Launch(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
	fail := func(kind launcher.Kind, err error) (launcher.Status, error) {
		if ctx.Err() != nil {
			return launcher.Status{}, ctx.Err()
		}
		return launcher.Status{}, wrap("launch", w.ID, kind, err)
	}
	if err := w.Validate(); err != nil {
		return fail(launcher.ErrInvalid, err)
	}
	if err := l.answer(ctx, "launch", w.ID); err != nil {
		return launcher.Status{}, err
	}
	w = w.Expand()
	digest := w.Digest()
	l.mu.Lock()
	s, known, err := l.known(w.ID, digest)
	l.mu.Unlock()
	if known {
		return s, err
	}

	img, err := l.image(ctx, w.Image)
	if err != nil {
		return fail(launcher.ErrImage, err)
	}
	f, err := l.files(w)
	if err != nil {
		return fail(launcher.ErrMount, err)
	}
	if err := f.work(w); err != nil {
		return fail(launcher.ErrUnavailable, err) // which is all that Docker's engine tells
	}
	c := newContainer(l, w, digest, img.Image, f)
	if err := ctx.Err(); err != nil {
		return launcher.Status{}, err
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down != nil {
		return fail(launcher.ErrUnavailable, l.down)
	}
	// Another call may have launched it meanwhile.
	if s, known, err := l.known(w.ID, digest); known {
		return s, err
	}
	if err := l.reserve(c, w); err != nil {
		return fail(launcher.ErrCapacity, err)
	}
	l.containers[w.ID] = c
	l.programs.Add(1)
	pull, start := max(0, time.Until(img.ready)), l.cfg.Delays.Start
	if pull == 0 {
		c.status.Reached.Pull = time.Now()
	}
	if pull+start > 0 {
		c.publish()
	} else {
		c.begin()
	}
	go c.run(pull, start)
	return cloneStatus(c.status), nil
}

// known returns the answer to a Launch of an ID that is taken; l.mu is held.
func (l *Launcher) known(id launcher.ID, digest string) (launcher.Status, bool, error) {
	c := l.containers[id]
	switch {
	case c == nil:
		return launcher.Status{}, false, nil
	case c.digest != digest:
		return launcher.Status{}, true, wrap("launch", id, launcher.ErrConflict, errors.New("it was launched with another workload: use a new id"))
	}
	return cloneStatus(c.status), true, nil
}

// image returns the image of a reference, from the host or from Config.Images.
func (l *Launcher) image(ctx context.Context, ref string) (localImage, error) {
	l.mu.Lock()
	img, ok := l.images[ref]
	l.mu.Unlock()
	if ok {
		return img, nil
	}
	found, err := l.cfg.Images(ctx, ref)
	switch arch := l.cfg.Architecture; {
	case err != nil:
		return localImage{}, err
	case found.Program == nil:
		return localImage{}, fmt.Errorf("image %q has no program", ref)
	case arch != "" && found.Architecture != "" && found.Architecture != arch:
		return localImage{}, fmt.Errorf("image %q is for %s, the host is %s: choose another of the two", ref, found.Architecture, arch)
	}
	found.Command, found.Env = slices.Clone(found.Command), maps.Clone(found.Env)
	l.mu.Lock()
	defer l.mu.Unlock()
	if img, ok := l.images[ref]; ok { // another call was faster
		return img, nil
	}
	img = localImage{found, time.Now().Add(l.cfg.Delays.pull(found))}
	l.images[ref] = img
	return img, nil
}

// files makes what the container of w will see.
func (l *Launcher) files(w launcher.Workload) (*files, error) {
	dirs := make([]*Dir, len(w.Mounts))
	var problems []error
	for i, m := range w.Mounts {
		d, err := l.dir(m)
		if err == nil && d == nil {
			err = errors.New("there is no such directory")
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("mount of %q at %q: %w", m.Source, m.Target, err))
		}
		dirs[i] = d
	}
	if problems != nil {
		return nil, errors.Join(problems...)
	}
	f, err := newFiles(w)
	if err != nil {
		return nil, err
	}
	return f, f.mount(w.Mounts, dirs)
}

func (l *Launcher) dir(m launcher.Mount) (*Dir, error) {
	if l.cfg.Mount != nil {
		return l.cfg.Mount(m)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.dirs[m.Source]
	if d == nil {
		d = NewDir()
		d.base.mode |= 0o777
		l.dirs[m.Source] = d
	}
	return d, nil
}

// reserve takes room and ports for c, or says what is lacking; l.mu is held.
func (l *Launcher) reserve(c *container, w launcher.Workload) error {
	want := w.Resources
	if room := l.cfg.Room; !room.IsZero() {
		if want.IsZero() {
			want = room
		}
		left := room.Minus(l.used)
		left.MilliCPU = room.MilliCPU // which all share
		if !want.Fits(left) {
			return fmt.Errorf("it needs %v, the host has %v of %v left", want, left, room)
		}
	}
	ports := make([]hostPort, 0, len(w.Ports))
	taken := func(n int) bool {
		return l.ports[n] || slices.ContainsFunc(ports, func(p hostPort) bool { return p.host == n })
	}
	fixed := func(a launcher.Port) int { return min(a.HostPort, 1) }
	// Fixed ports first, so that a chosen one does not take them.
	for _, p := range slices.SortedStableFunc(slices.Values(w.Ports), func(a, b launcher.Port) int { return fixed(b) - fixed(a) }) {
		host := p.HostPort
		if host == 0 {
			for host = l.cfg.FirstPort; host <= l.cfg.LastPort && taken(host); host++ {
			}
			if host > l.cfg.LastPort {
				return fmt.Errorf("port %q: all host ports from %d to %d are taken", p.Name, l.cfg.FirstPort, l.cfg.LastPort)
			}
		}
		if taken(host) {
			return fmt.Errorf("port %q: host port %d is taken", p.Name, host)
		}
		ports = append(ports, hostPort{p.Name, host, p.Number})
	}
	for _, p := range ports {
		l.ports[p.host] = true
	}
	l.used = l.used.Plus(want)
	c.reserved, c.ports, c.limit, c.cpus = want, ports, want.MemoryMiB, want.MilliCPU
	return nil
}

// release gives back what an exited container held; l.mu is held.
func (l *Launcher) release(c *container) {
	l.used = l.used.Minus(c.reserved)
	for _, p := range c.ports {
		delete(l.ports, p.host)
	}
}

// remove forgets an exited container; l.mu is held.
func (l *Launcher) remove(c *container) {
	delete(l.containers, c.status.ID)
	l.hub.Delete(c.status.ID)
}
