package ec2launcher

import (
	"github.com/atelier-go/atelier/launcher"
)

// What a host can hold beside CPU, memory and GPUs.
const (
	// maxPorts is how many host ports workloads of one host may publish.
	maxPorts = lastSessionPort - firstSessionPort + 1
	// maxMounts is how many EFS mounts a host holds, which keeps each for its
	// life: what a container has mounted does not show on the host, so that
	// nobody there can tell when a mount is over. efs-utils gives each a
	// local TLS port from 20049 to 20449.
	maxMounts = 400
)

// A need is a kind of host to buy and how many of it.
type need struct {
	instanceType string
	count        int
}

// A plan is what place decided.
type plan struct {
	// assign says on which host each workload goes; a workload that waits for
	// a host that is being bought is in coming.
	assign map[launcher.ID]string
	coming map[launcher.ID]bool
	// misfits are the workloads that not even an empty host has room for.
	misfits []launcher.ID
	// buy is what to buy, in the order in which it was needed.
	buy []need
}

// place puts the queue, in its order, on hosts with free room and asks for
// more hosts where there is none. It is a pure function: the same queue, hosts
// and room give the same plan. It is first fit in the order of the hosts,
// which keeps within a constant of the best any rule can do when the length
// of a session is not known (Li, Tang, Cai, 2014), where best fit does not.
//
// roomOf is the room of a new host of a type. bought is how many hosts of
// each type are being bought already; the queue fills them before it asks for
// more, so that a plan made twice buys once.
func place(queue []launcher.Workload, hosts []slot, bought map[string]int, roomOf func(instanceType string) launcher.Resources) plan {
	p := plan{assign: map[launcher.ID]string{}, coming: map[launcher.ID]bool{}}
	rows := map[row][]*slot{}
	for i := range hosts {
		h := &hosts[i]
		rows[h.row()] = append(rows[h.row()], h)
	}
	asked := map[string]int{} // hosts this plan counts on, by type
	for _, w := range queue {
		own, fresh := row{w.InstanceType, sharingKey(w)}, row{w.InstanceType, ""}
		h := firstFit(rows[own], w)
		if h == nil {
			if h = firstFit(rows[fresh], w); h != nil {
				rows[fresh] = remove(rows[fresh], h)
				rows[own] = append(rows[own], h)
			}
		}
		if h == nil {
			if h = newSlot(w.InstanceType, roomOf(w.InstanceType)); !h.fits(w) {
				p.misfits = append(p.misfits, w.ID)
				continue
			}
			rows[own] = append(rows[own], h)
			asked[w.InstanceType]++
			if asked[w.InstanceType] > bought[w.InstanceType] {
				p.wants(w.InstanceType)
			}
		}
		h.take(w)
		if h.id == "" {
			p.coming[w.ID] = true
		} else {
			p.assign[w.ID] = h.id
		}
	}
	return p
}

// wants adds one host to what the plan buys.
func (p *plan) wants(instanceType string) {
	for i := range p.buy {
		if p.buy[i].instanceType == instanceType {
			p.buy[i].count++
			return
		}
	}
	p.buy = append(p.buy, need{instanceType, 1})
}

// A row is the hosts that are alike for placement: one type, and the owner or
// pool they belong to. Hosts that nobody has used have no key.
type row struct{ instanceType, key string }

// A slot is a host as placement sees it. A host that is not bought yet has no id.
type slot struct {
	id           string
	instanceType string
	key          string
	room, free   launcher.Resources
	workloads    int
	portCount    int
	ports        map[int]bool    // fixed host ports that are taken
	mounts       map[string]bool // the mount sources that it has, of whatever ran on it
}

// newSlot is an empty host with some room.
func newSlot(instanceType string, room launcher.Resources) *slot {
	return &slot{instanceType: instanceType, room: room, free: room, ports: map[int]bool{}, mounts: map[string]bool{}}
}

func (s *slot) row() row { return row{s.instanceType, s.key} }

// fits reports whether w can run beside what is on s.
func (s *slot) fits(w launcher.Workload) bool {
	if w.Resources.IsZero() || w.Sharing == launcher.Exclusive {
		if s.workloads > 0 {
			return false
		}
	}
	if !w.Resources.IsZero() && !w.Resources.Fits(s.free) {
		return false
	}
	if s.portCount+len(w.Ports) > maxPorts {
		return false
	}
	for _, p := range w.Ports {
		if p.HostPort != 0 && s.ports[p.HostPort] {
			return false
		}
	}
	fresh := map[string]bool{}
	for _, m := range w.Mounts {
		if !s.mounts[m.Source] {
			fresh[m.Source] = true
		}
	}
	return len(s.mounts)+len(fresh) <= maxMounts
}

// take puts w on s.
func (s *slot) take(w launcher.Workload) {
	s.key = sharingKey(w)
	s.workloads++
	if w.Resources.IsZero() {
		s.free = launcher.Resources{}
	} else {
		s.free = s.free.Minus(w.Resources)
	}
	s.portCount += len(w.Ports)
	for _, p := range w.Ports {
		if p.HostPort != 0 {
			s.ports[p.HostPort] = true
		}
	}
	for _, m := range w.Mounts {
		s.mounts[m.Source] = true
	}
}

// exclusiveKey begins the sharing key of a workload that shares with nobody.
const exclusiveKey = "workload "

// sharingKey is equal for workloads that may run on one host.
func sharingKey(w launcher.Workload) string {
	switch w.Sharing {
	case launcher.Pool:
		return "pool"
	case launcher.Exclusive:
		return exclusiveKey + string(w.ID)
	default:
		return "owner " + w.Owner
	}
}

func firstFit(slots []*slot, w launcher.Workload) *slot {
	for _, s := range slots {
		if s.fits(w) {
			return s
		}
	}
	return nil
}

func remove(slots []*slot, s *slot) []*slot {
	for i := range slots {
		if slots[i] == s {
			return append(slots[:i:i], slots[i+1:]...)
		}
	}
	return slots
}
