package dockerlauncher

import (
	"maps"
	"net"
	"strings"
	"time"

	"github.com/moby/moby/api/types/network"

	"github.com/atelier-go/atelier/launcher"
)

// neverStarted is told of what was stopped before it started.
const neverStarted = "it was stopped before it started"

// statusOf is what a container says of its workload. One that is half made is
// starting.
func (l *Launcher) statusOf(c *found) launcher.Status {
	s := launcher.Status{
		ID: c.workload(), Owner: c.label(labelOwner), Image: c.label(labelImage), Labels: map[string]string{},
		Host: l.cfg.Host, InstanceType: l.cfg.InstanceType, QueuedAt: engineTime(c.label(labelQueued)),
		Phase: launcher.Starting,
	}
	for key, value := range c.Config.Labels {
		if name, ok := strings.CutPrefix(key, labelOwn); ok {
			s.Labels[name] = value
		}
	}
	s.Reached = launcher.Timeline{Host: s.QueuedAt, Boot: s.QueuedAt, Pull: engineTime(c.label(labelPulled))}
	if c.label(labelEnded) == "" { // a headstone was made when it was set
		s.Reached.Mount = engineTime(c.Created)
	}
	switch {
	case c.label(labelEnded) != "":
		s.Phase, s.Message, s.ExitedAt = launcher.Exited, neverStarted, engineTime(c.label(labelEnded))
	case c.State == nil || c.halfMade():
	case c.live():
		s.Phase, s.StartedAt = launcher.Running, engineTime(c.State.StartedAt)
		if l.isStopping(c.ID) {
			s.Phase = launcher.Stopping
		}
		s.Endpoints = c.endpoints(l.cfg.Address)
	default:
		s.Phase, s.ExitCode = launcher.Exited, c.State.ExitCode
		s.StartedAt, s.ExitedAt = engineTime(c.State.StartedAt), engineTime(c.State.FinishedAt)
		if s.ExitedAt.Before(s.StartedAt) { // the engine notes a start when it has heard of it, an end when it was
			s.ExitedAt = s.StartedAt
		}
		s.Reason, s.Message = l.reason(c)
	}
	return s
}

// killed is the exit code of what SIGKILL ended.
const killed = 128 + 9

// reason tells why a container ended, if that was not by itself or because it
// was told to: the engine notes when the kernel killed for want of memory, also
// of a child that the program survived.
func (l *Launcher) reason(c *found) (launcher.Kind, string) {
	l.mu.Lock()
	filled := l.filled[c.ID]
	l.mu.Unlock()
	switch {
	case filled:
		return launcher.ErrCapacity, l.filledMessage()
	case c.State.OOMKilled && c.State.ExitCode == killed:
		return launcher.ErrOutOfMemory, "it used more memory than it was given; ask for more, or use less"
	}
	return "", ""
}

// endpoints are where the named ports are published.
func (c *found) endpoints(address string) map[string]string {
	if c.NetworkSettings == nil {
		return nil
	}
	at := map[string]string{}
	for name, number := range c.ports() {
		port, _ := network.PortFrom(uint16(number), network.TCP) // written by labels
		for _, b := range c.NetworkSettings.Ports[port] {
			at[name] = net.JoinHostPort(address, b.HostPort)
		}
	}
	return at
}

func (l *Launcher) isStopping(container string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stopping[container]
}

// clone makes a status that a caller may keep.
func clone(s launcher.Status) launcher.Status {
	s.Labels, s.Endpoints = maps.Clone(s.Labels), maps.Clone(s.Endpoints)
	return s
}

// expired reports whether an exit is older than it has to be kept.
func expired(s launcher.Status, now time.Time) bool {
	return s.Phase == launcher.Exited && now.Sub(s.ExitedAt) > launcher.Retention
}
