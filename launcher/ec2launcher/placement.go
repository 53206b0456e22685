package ec2launcher

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// A need is a kind of host to buy and how many of it.
type need struct {
	offer
	count int
}

// A plan is what place decided.
type plan struct {
	// assign says on which host each workload goes; what waits for a host that
	// is being bought, or is to be, is in coming with the kind of that.
	assign map[launcher.ID]string
	coming map[launcher.ID]offer
	// wait are the workloads of which nothing that would hold them is to be had
	// now, misfits those that nothing holds that they accept.
	wait, misfits []launcher.ID
	// keep are the hosts that room is kept free on, and the images to have there.
	keep map[string][]string
	// reserved is what there is for each of what is to be kept warm.
	reserved []reserved
	// buy is what to buy, in the order in which it was needed.
	buy []need
	// others are the kinds that all accept for whom a kind is bought.
	others map[offer][]offer
}

// A demand is what there is to place.
type demand struct {
	// queue is what waits for a host, in the order in which it is placed.
	queue []*launcher.Workload
	// hosts are those with room, and those that are being bought, which have no
	// id yet.
	hosts []slot
	// promised is what was coming by the plan before: those get the new hosts
	// that were bought for them.
	promised map[launcher.ID]offer
	// expected is what is likely to come next: what came lately.
	expected []*launcher.Workload
	// reserves are the slots to keep free beside, within the limits of warm.
	reserves []reserve
	warm     []Warm
	// terms are the conditions of what can be bought.
	terms func(offer) terms
}

// place puts the queue, in its order, on hosts with free room, and buys hosts
// where there is none. It is a pure function: the same demand gives the same
// plan, and a plan made again while its purchases are under way, which are then
// among the hosts, buys no more.
//
// It is first fit over the hosts in order of their size, then of their age, in
// two halves: those whose work is known to end soon and the others, so that the
// first become empty. First fit keeps within a constant of the best that any rule
// can do when it is not known how long a session lasts, where best fit does not
// (Li, Tang, Cai, 2014). Small hosts go first because they become empty sooner.
//
// Since room only shrinks while a queue is placed, a host that had too little for
// a workload is not looked at again for its like: in a pool the work grows with the
// queue and with the hosts, not with their product. Those that share with nobody, or
// of many owners, each look for a host that nobody has used.
func place(d demand) plan {
	p := planner{demand: d, plan: plan{assign: map[launcher.ID]string{}, coming: make(map[launcher.ID]offer, len(d.promised)), others: map[offer][]offer{}, keep: map[string][]string{}},
		rows: map[string]*row{}, classes: map[string]*class{}, ahead: map[string][]item{}}
	asked := map[offer]terms{} // the terms are asked for often, and are those of one moment
	p.terms = func(o offer) terms {
		t, known := asked[o]
		if !known {
			t = d.terms(o)
			asked[o] = t
		}
		return t
	}
	all := make([]*slot, len(d.hosts))
	for i := range d.hosts {
		all[i] = &d.hosts[i]
	}
	slices.SortStableFunc(all, func(a, b *slot) int {
		return cmp.Or(cmp.Compare(a.room.MilliCPU, b.room.MilliCPU), cmp.Compare(a.room.MemoryMiB, b.room.MemoryMiB))
	})
	for _, h := range all {
		p.row(h.key).add(h)
	}
	queue := make([]item, 0, len(d.queue))
	for _, w := range d.queue {
		if o, ok := d.promised[w.ID]; ok && p.reuse(p.item(w, o)) {
			continue
		}
		queue = append(queue, p.item(w, offer{}))
	}
	expected := make([]item, len(d.expected))
	for i, w := range d.expected {
		expected[i] = p.item(w, offer{})
	}
	for _, w := range queue {
		p.ahead[w.key] = append(p.ahead[w.key], w)
	}
	for _, w := range queue {
		p.ahead[w.key] = p.ahead[w.key][1:]
		if !p.reuse(w) {
			p.purchase(w, expected)
		}
	}
	p.reserve(d.reserves, d.warm)
	return p.plan
}

// bySize orders workloads that came at one time for their placement: the largest
// first, so that the small ones fill what is left.
func bySize(a, b *launcher.Workload) int {
	return cmp.Or(
		-cmp.Compare(a.Resources.MemoryMiB, b.Resources.MemoryMiB), -cmp.Compare(a.Resources.MilliCPU, b.Resources.MilliCPU),
		strings.Compare(string(a.ID), string(b.ID)))
}

// A planner makes one plan.
type planner struct {
	demand
	plan
	rows    map[string]*row // by sharing key; hosts that nobody has used have none
	classes map[string]*class
	name    []byte            // of a class, as it is looked up
	ahead   map[string][]item // what of the queue is not placed yet, by sharing key
}

// An item is a workload to place, or one that is expected.
type item struct {
	*launcher.Workload
	key   string
	class *class
}

// item is a workload that takes a host nobody has used only of the kind that it
// was promised, if it was.
func (p *planner) item(w *launcher.Workload, promised offer) item {
	key := sharingKey(*w)
	return item{w, key, p.class(w, key, promised)}
}

// A row is the hosts of one owner or pool: of each span those in their order.
type row struct{ hosts [spans][]*slot }

func (p *planner) row(key string) *row {
	r := p.rows[key]
	if r == nil {
		r = &row{}
		p.rows[key] = r
	}
	return r
}

func (r *row) add(h *slot) { r.hosts[h.span] = append(r.hosts[h.span], h) }

// A class is the workloads that the same hosts have room for, as far as CPU,
// memory, GPUs and what they accept go.
type class struct {
	offers []offer // what it accepts, in its order
	begins []offer // what it accepts of hosts that nobody has used
	worth  float64 // the least that the room of one costs
	own    cursors
	unused cursors
}

// cursors are how far a class has come in the lists of a row: what is before has
// no room for it.
type cursors [spans]int

func (p *planner) class(w *launcher.Workload, key string, promised offer) *class {
	p.name = classOf(p.name[:0], w, key, promised)
	c := p.classes[string(p.name)]
	if c == nil {
		c = &class{offers: offersOf(w), begins: []offer{promised}}
		if promised == (offer{}) {
			c.begins = c.offers
		}
		c.worth = p.worth(w, c)
		p.classes[string(p.name)] = c
	}
	return c
}

// reuse places a workload on a host that is there, or is being bought, if one has
// room: its owner's or pool's, or else one that nobody has used.
func (p *planner) reuse(w item) bool {
	span := spanOf(w.Lifetime)
	if h := p.find(p.row(w.key), &w.class.own, w.class.offers, w, span); h != nil {
		if span > h.span { // what ends late keeps it from ending soon
			h.span = span
			p.row(w.key).add(h)
		}
		p.put(w, h)
		return true
	}
	h := p.find(p.row(""), &w.class.unused, w.class.begins, w, long)
	if h != nil {
		p.begin(w, h)
	}
	return h != nil
}

// purchase buys a host for a workload, if one is to be had.
func (p *planner) purchase(w item, expected []item) {
	switch o, ok, ever := p.choose(w, expected, math.Inf(1)); {
	case ok:
		p.wants(o, w.class.offers)
		p.begin(w, newSlot(o, p.terms(o)))
	case ever:
		p.wait = append(p.wait, w.ID)
	default:
		p.misfits = append(p.misfits, w.ID)
	}
}

// begin gives a host that nobody has used to the owner or pool of a workload.
func (p *planner) begin(w item, h *slot) {
	h.key, h.span = w.key, spanOf(w.Lifetime)
	p.row(w.key).add(h)
	p.put(w, h)
}

func (p *planner) put(w item, h *slot) {
	h.take(w.Workload)
	if h.id == "" {
		p.coming[w.ID] = h.offer
	} else {
		p.assign[w.ID] = h.id
	}
}

// find returns the first host of a row with room for a workload: among those of
// its span, then of longer ones, then of shorter.
func (p *planner) find(r *row, at *cursors, accepts []offer, w item, span int) *slot {
	for _, s := range [spans][spans]int{{short, medium, long}, {medium, long, short}, {long, medium, short}}[span] {
		list := r.hosts[s]
		passed := true // nothing before has room
		for n := at[s]; n < len(list); n++ {
			h := list[n]
			switch {
			// It may have been taken, or have come to another span, since.
			case h.span != s || h.key != "" && at == &w.class.unused, !slices.Contains(accepts, h.offer), !h.holds(w.Workload):
				if passed {
					at[s] = n + 1
				}
			case !h.connects(w.Workload):
				passed = false // another of its class may have other mounts
			default:
				return h
			}
		}
	}
	return nil
}

// wants adds one host to what the plan buys, for a workload that accepts others in
// its place.
func (p *plan) wants(o offer, others []offer) {
	if before, ok := p.others[o]; ok {
		others = slices.DeleteFunc(slices.Clone(before), func(b offer) bool { return !slices.Contains(others, b) })
	}
	p.others[o] = others
	for i := range p.buy {
		if p.buy[i].offer == o {
			p.buy[i].count++
			return
		}
	}
	p.buy = append(p.buy, need{o, 1})
}

// afford splits what a plan buys into orders that there are tokens for, of which one
// is of one kind of host. It returns how many at one time are wanted next that there
// are none for; 0 is that all are ordered.
//
// If there are not enough, kinds take turns: first comes what was served the longest
// ago, and of those the one of which most are wanted; who comes later waits until there
// are tokens for it. What would be content with a host of which more are wanted waits
// with that one: a small host for the rest of a queue costs the token of a large one,
// and there would be another rest each time.
func (p plan) afford(tokens int, served map[offer]time.Time) (orders []need, short int) {
	all := 0
	for _, n := range p.buy {
		all += n.count
	}
	turn := slices.SortedStableFunc(slices.Values(p.buy), func(a, b need) int {
		return cmp.Or(served[a.offer].Compare(served[b.offer]), b.count-a.count)
	})
	for _, n := range turn {
		if tokens < all && slices.ContainsFunc(p.buy, func(m need) bool { return m.count > n.count && slices.Contains(p.others[n.offer], m.offer) }) {
			continue
		}
		for n.count > 0 {
			least := min(n.count, leastBought)
			if tokens < least {
				return orders, least
			}
			part := need{n.offer, min(n.count, mostBought, tokens)}
			orders = append(orders, part)
			n.count, tokens, all = n.count-part.count, tokens-part.count, all-part.count
		}
	}
	return orders, 0
}

// The span of a host is how long what runs there will go on, as far as that is
// known. What is not known is long.
const (
	short = iota // an hour at most
	medium
	long
	spans
)

// spanOf is the span of what goes on for a time; zero is not known.
func spanOf(left time.Duration) int {
	switch {
	case left == 0 || left > 4*time.Hour:
		return long
	case left > time.Hour:
		return medium
	}
	return short
}

// exclusiveKey begins the sharing key of a workload that shares with nobody.
const exclusiveKey = "workload "

// sharingKey is equal for workloads that may run on one host.
func sharingKey(w launcher.Workload) string {
	switch w.Sharing {
	case launcher.Pool:
		return poolKey
	case launcher.Exclusive:
		return exclusiveKey + string(w.ID)
	default:
		return "owner " + w.Owner
	}
}

const poolKey = "pool"

// classOf appends the name of the class of a workload of a sharing key.
func classOf(name []byte, w *launcher.Workload, key string, promised offer) []byte {
	name = append(name, key...)
	for _, n := range []int64{w.Resources.MilliCPU, w.Resources.MemoryMiB, w.Resources.GPUs} {
		name = binary.AppendVarint(append(name, 0), n)
	}
	for _, s := range [...]string{string(w.Market), w.InstanceType} {
		name = append(append(name, 0), s...)
	}
	for _, t := range w.Alternatives {
		name = append(append(name, 0), t...)
	}
	if promised != (offer{}) {
		name = append(append(append(append(name, 0, 0), promised.market...), 0), promised.instanceType...)
	}
	return name
}
