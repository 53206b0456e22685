package ec2launcher

import (
	"slices"

	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
)

// An offer is a kind of host that can be bought: an instance type in one of the
// markets, on demand or spot.
type offer struct {
	instanceType string
	market       launcher.Market
}

// String is how people read an offer.
func (o offer) String() string {
	if o.market == launcher.Spot {
		return "spot " + o.instanceType
	}
	return o.instanceType
}

// terms are what an offer comes with.
type terms struct {
	// machine is the room of one host, room what is given away of it in all.
	machine, room launcher.Resources
	// price is that of an hour; zero is not known.
	price instancetype.Money
	// soldOut: it is not to be had now.
	soldOut bool
}

// unpriced is what an hour is taken to cost if its price is not known: more than
// anything that is.
const unpriced = 1000 * instancetype.Dollar

func (t terms) cost() float64 {
	if t.price == 0 {
		return float64(unpriced)
	}
	return float64(t.price)
}

// offersOf are what a workload accepts, in its order: spot before on demand, and
// of each the types.
func offersOf(w *launcher.Workload) (all []offer) {
	var markets []launcher.Market
	if w.Market != launcher.OnDemand {
		markets = append(markets, launcher.Spot)
	}
	if w.Market != launcher.Spot {
		markets = append(markets, launcher.OnDemand)
	}
	for _, m := range markets {
		all = append(all, offer{w.InstanceType, m})
		for _, t := range w.Alternatives {
			all = append(all, offer{t, m})
		}
	}
	return all
}

const (
	// lookAhead is how many of those that wait, from all over the queue, and of
	// those that are expected are looked at to judge what would fill a host.
	lookAhead = 64
	// likely is what a workload that is expected counts for beside one that is
	// there. Over simulated weekdays anything from 0.7 to 0.95 chose the same
	// hosts; at 1, hosts were bought too large, and below too small.
	likely = 0.8
	// same is up to what factor costs are taken for the same.
	same = 1.02
)

// choose returns what to buy for a workload that no host has room for: of what it
// accepts and is to be had the offer that costs the least for what would fill it:
// for the workload, for others that wait and for some of what is expected, each
// weighed by what its room is worth. A market is exhausted before the next. If
// nothing is to be had, ever is whether waiting may help. What costs more than most
// an hour is not to be had.
func (p *planner) choose(w item, expected []item, most float64) (best offer, ok, ever bool) {
	least, size := 0.0, int64(0)
	for _, o := range w.class.offers {
		if ok && o.market != best.market {
			break
		}
		t := p.terms(o)
		h := newSlot(o, t)
		if !h.fits(w.Workload) {
			continue
		}
		ever = true
		if t.soldOut || t.cost() > most {
			continue
		}
		worth, here := p.fill(h, w, expected)
		each := t.cost() / worth
		// Of what costs about the same the larger, if what is here fills it: it
		// is fewer hosts to wait for. For what is only expected, the smaller.
		if !ok || each < least || each < same*least && here > worth/same && h.room.MilliCPU > size {
			best, least, size, ok = o, each, h.room.MilliCPU, true
		}
	}
	return best, ok, ever
}

// fill fills an empty host and returns what the room of its load is worth, and of
// that what is here.
func (p *planner) fill(h *slot, w item, expected []item) (worth, here float64) {
	worth = w.class.worth
	h.take(w.Workload)
	if w.Resources.IsZero() || w.Sharing == launcher.Exclusive {
		return worth, worth
	}
	add := func(others []item, share float64) {
		every := max(1, len(others)/lookAhead)
		for n := 0; n < len(others); n += every {
			other := others[n]
			if other.key == w.key && slices.Contains(other.class.offers, h.offer) && h.holds(other.Workload) {
				worth += share * other.class.worth
				h.free, h.workloads = h.free.Minus(other.Resources), h.workloads+1
			}
		}
	}
	add(p.ahead[w.key], 1)
	here = worth
	add(expected, likely)
	return worth, here
}

// worth is the least that the room of a workload costs: its share of a host, in
// the dimension in which it needs most, where that is cheapest of what it accepts
// in the first market that has any.
func (p *planner) worth(w *launcher.Workload, c *class) (cost float64) {
	for n, o := range c.offers {
		if cost > 0 && o.market != c.offers[n-1].market {
			break
		}
		t := p.terms(o)
		if t.soldOut || !newSlot(o, t).holds(w) {
			continue
		}
		if each := t.cost() * shareOf(w.Resources, t.room); cost == 0 || each < cost {
			cost = each
		}
	}
	return cost
}

// shareOf is what part of a room some resources are, in the dimension in which it
// is most. Those of zero are the whole.
func shareOf(r, room launcher.Resources) (share float64) {
	if r.IsZero() {
		return 1
	}
	for _, d := range [...][2]int64{{r.MilliCPU, room.MilliCPU}, {r.MemoryMiB, room.MemoryMiB}, {r.GPUs, room.GPUs}} {
		if d[1] > 0 {
			share = max(share, float64(d[0])/float64(d[1]))
		}
	}
	return share
}
