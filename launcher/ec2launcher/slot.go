package ec2launcher

import "github.com/atelier-go/atelier/launcher"

// What a host can hold beside CPU, memory and GPUs.
const (
	// maxPorts is how many host ports workloads of one host may publish.
	maxPorts = lastSessionPort - firstSessionPort + 1
	// maxMounts is how many EFS mounts a host holds, which keeps each for its
	// life: what a container has mounted does not show on the host, so that
	// nobody there can tell when a mount is over. efs-utils gives each a
	// local TLS port from 20049 to 20449. Config.HostPaths count as well.
	maxMounts = 400
)

// A slot is a host as placement sees it. A host that is not there yet has no id.
type slot struct {
	id string
	offer
	key       string
	machine   launcher.Resources // what one workload may have
	room      launcher.Resources // what all may have
	free      launcher.Resources
	span      int
	workloads int
	portCount int
	ports     map[int]bool    // host ports that are taken, as far as they are known
	mounts    map[string]bool // the mount sources that it has, of whatever ran on it
}

// newSlot is an empty host as it is bought.
func newSlot(o offer, t terms) *slot {
	return &slot{offer: o, machine: t.machine, room: t.room, free: t.room, span: long}
}

// holds reports whether s has the CPU, memory and GPUs for w.
func (s *slot) holds(w *launcher.Workload) bool {
	if w.Resources.IsZero() || w.Sharing == launcher.Exclusive {
		if s.workloads > 0 {
			return false
		}
	}
	return w.Resources.IsZero() || w.Resources.Fits(s.free) && w.Resources.Fits(s.machine)
}

// connects reports whether s has the ports and mounts for w.
func (s *slot) connects(w *launcher.Workload) bool {
	if s.portCount+len(w.Ports) > maxPorts {
		return false
	}
	for _, p := range w.Ports {
		if p.HostPort != 0 && s.ports[p.HostPort] {
			return false
		}
	}
	if len(s.mounts)+len(w.Mounts) <= maxMounts {
		return true // whether they are new or not
	}
	fresh := map[string]bool{}
	for _, m := range w.Mounts {
		if !s.mounts[m.Source] {
			fresh[m.Source] = true
		}
	}
	return len(s.mounts)+len(fresh) <= maxMounts
}

// fits reports whether w can run beside what is on s.
func (s *slot) fits(w *launcher.Workload) bool { return s.holds(w) && s.connects(w) }

// take puts w on s.
func (s *slot) take(w *launcher.Workload) {
	s.workloads++
	if w.Resources.IsZero() {
		s.free = launcher.Resources{}
	} else {
		s.free = s.free.Minus(w.Resources)
	}
	s.portCount += len(w.Ports)
	for _, p := range w.Ports {
		if p.HostPort != 0 {
			s.occupies(p.HostPort)
		}
	}
	for _, m := range w.Mounts {
		s.keeps(m.Source)
	}
}

// occupies notes a host port that is taken.
func (s *slot) occupies(port int) {
	if s.ports == nil {
		s.ports = map[int]bool{}
	}
	s.ports[port] = true
}

// keeps notes a mount that the host has.
func (s *slot) keeps(source string) {
	if s.mounts == nil {
		s.mounts = map[string]bool{}
	}
	s.mounts[source] = true
}
