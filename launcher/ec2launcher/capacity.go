package ec2launcher

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

const (
	// soldOutFor is how long an offer is not asked for again in a zone that had
	// none: what Karpenter uses for its cache of unavailable offerings.
	soldOutFor = 3 * time.Minute
	// doubtFor is how long after that the zone comes after all others, and is asked for
	// few hosts, unless it has sold some since. Every host that a call asks for is a token of the
	// account's, whatever it brings. It is a choice of ours.
	doubtFor = time.Hour
	// holdFor is how long an offer is not asked for again after a refusal that
	// waiting alone seldom cures, such as a quota.
	holdFor = time.Minute
)

// A pool is where capacity is sold. Its zone is empty for a refusal that holds
// in all.
type pool struct {
	offer
	zone string
}

// A refusal is why something cannot be bought now.
type refusal struct {
	kind     launcher.Kind
	message  string
	at       time.Time
	until    time.Time
	doubted  time.Time // until when others are asked first
	hopeless bool      // waiting does not help
}

// hold has what was refused left alone for a while, and doubted after that.
func (r *refusal) hold() {
	r.until = r.at.Add(soldOutFor)
	r.doubted = r.until.Add(doubtFor)
}

// tells reports whether a refusal says of a workload what is not recorded of it yet.
func (r *refusal) tells(w *workloadRecord) bool {
	return r != nil && (w.Status.Reason != r.kind || w.Status.Message != r.message)
}

// capacity remembers what AWS refused to sell, and for how long it is not worth
// asking again. It is safe for concurrent use.
type capacity struct {
	mu   sync.Mutex
	last map[pool]refusal
	full map[string]fullSubnet // by the subnet's id
}

// A fullSubnet is a subnet without a free address, and what was asked for there.
type fullSubnet struct {
	refusal
	pool
}

// refused remembers what a purchase in a subnet taught, or what was asked before one.
func (c *capacity) refused(o offer, in subnet, v verdict, err error, now time.Time) {
	zone := in.zone
	r := refusal{kind: v.kind, message: explain(err), at: now, hopeless: v.hopeless()}
	switch {
	case v.full:
		r.hold()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.full == nil {
			c.full = map[string]fullSubnet{}
		}
		c.full[in.id] = fullSubnet{r, pool{o, zone}}
		return
	case v.soldOut:
		r.hold()
	case v.anew:
		return
	default:
		zone, r.until = "", now.Add(holdFor)
		if v.vcpus {
			r.message += "; " + quotaOf(o)
		}
	}
	c.remember(pool{o, zone}, r)
}

// sold remembers what a purchase that was asked for at a time has brought. After less
// than was wanted the next is doubted: why is not told, as a quota or addresses may have
// run out as well as the zone. What was refused meanwhile stands.
func (c *capacity) sold(b buyRecord, got int, asked, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := pool{b.offer(), b.Zone}
	r, known := c.last[p]
	if got < b.Count {
		r.doubted = now.Add(doubtFor)
		c.put(p, r)
		return
	}
	if known && r.at.Before(asked) {
		r.doubted = time.Time{}
		c.put(p, r)
	}
	if f, ok := c.full[b.Subnet]; ok && f.at.Before(asked) {
		f.doubted = time.Time{}
		c.full[b.Subnet] = f
	}
}

// doubts reports whether an offer is rather not to be had in a subnet or its zone.
func (c *capacity) doubts(o offer, in subnet, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Before(c.last[pool{o, in.zone}].doubted) || now.Before(c.full[in.id].doubted)
}

func (c *capacity) remember(p pool, r refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(p, r)
}

func (c *capacity) put(p pool, r refusal) {
	if c.last == nil {
		c.last = map[pool]refusal{}
	}
	c.last[p] = r
}

// reclaimed notes that AWS takes instances of a pool back.
func (c *capacity) reclaimed(p pool, now time.Time) {
	if c.soldOut(p, now) != nil {
		return
	}
	r := refusal{kind: launcher.ErrCapacity, message: "AWS takes " + p.String() + " instances back in " + p.zone, at: now}
	r.hold()
	c.remember(p, r)
}

// soldOut returns why a pool has nothing, or nil.
func (c *capacity) soldOut(p pool, now time.Time) *refusal {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.last[p]; ok && now.Before(r.until) {
		return &r
	}
	return nil
}

// noAddress returns why nothing is to be had in a subnet, or nil.
func (c *capacity) noAddress(subnet string, now time.Time) *refusal {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.full[subnet]; ok && now.Before(f.until) {
		return &f.refusal
	}
	return nil
}

// held returns why an offer is not to be had in any zone, or nil.
func (c *capacity) held(o offer, now time.Time) *refusal { return c.soldOut(pool{o, ""}, now) }

// hopeless returns why none of the offers will be had until somebody corrects
// something: the reason of the first. Nil if one may be, or there is none.
func (c *capacity) hopeless(offers []offer, now time.Time) (why *refusal) {
	for _, o := range offers {
		r := c.held(o, now)
		if r == nil || !r.hopeless {
			return nil
		}
		if why == nil {
			why = r
		}
	}
	return why
}

// note notes in the status of a workload what was tried in vain for it while it
// waited: beside what is there already, the latest of each pool.
func (c *capacity) note(w *workloadRecord) {
	for _, a := range c.tried(&w.Workload, w.Status.QueuedAt) {
		same := func(b launcher.Attempt) bool {
			return a.InstanceType == b.InstanceType && a.Market == b.Market && a.Zone == b.Zone && a.Subnet == b.Subnet
		}
		w.Status.Tried = append(slices.DeleteFunc(slices.Clone(w.Status.Tried), same), a)
	}
}

// tried are the attempts that were in vain since a time at what a workload accepts,
// in their order.
func (c *capacity) tried(w *launcher.Workload, since time.Time) (all []launcher.Attempt) {
	accepts := offersOf(w)
	c.mu.Lock()
	defer c.mu.Unlock()
	add := func(p pool, subnet string, r refusal) {
		if r.until.After(since) && slices.Contains(accepts, p.offer) {
			all = append(all, launcher.Attempt{
				InstanceType: p.instanceType, Market: p.market, Zone: p.zone, Subnet: subnet, Reason: r.kind, Message: r.message, At: r.at,
			})
		}
	}
	for p, r := range c.last {
		add(p, "", r)
	}
	for id, f := range c.full {
		add(f.pool, id, f.refusal)
	}
	slices.SortFunc(all, func(a, b launcher.Attempt) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(string(a.Market), string(b.Market)),
			strings.Compare(a.InstanceType, b.InstanceType), strings.Compare(a.Zone, b.Zone), strings.Compare(a.Subnet, b.Subnet))
	})
	return all
}

// quotaOf names the account's quota that an offer counts against, for the
// administrator who has it raised ("Amazon EC2 endpoints and quotas" in the AWS
// General Reference). Families that are not listed have others.
func quotaOf(o offer) string {
	family, _, _ := strings.Cut(o.instanceType, ".")
	letters := family
	if i := strings.IndexAny(family, "0123456789"); i >= 0 {
		letters = family[:i]
	}
	var name string
	var codes [2]string // on demand, spot
	switch letters {
	case "a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z":
		name, codes = "Standard (A, C, D, H, I, M, R, T, Z)", [2]string{"L-1216C47A", "L-34B43A08"}
	case "g", "gr", "vt":
		name, codes = "G and VT", [2]string{"L-DB2E81BA", "L-3819A6DF"}
	case "p":
		name, codes = "P", [2]string{"L-417A185B", "L-7212CCBC"}
	case "x":
		name, codes = "X", [2]string{"L-7295265B", "L-E3A00192"}
	case "inf":
		name, codes = "Inf", [2]string{"L-1945791B", "L-B5D1601B"}
	case "trn":
		name, codes = "Trn", [2]string{"L-2C3B7624", "L-6B0D517C"}
	case "f":
		name, codes = "F", [2]string{"L-74FC7D96", "L-88CF9481"}
	default:
		return "the quota is that of " + family + " instances in Service Quotas"
	}
	if o.market == launcher.Spot {
		return `the quota is "All ` + name + ` Spot Instance Requests" (` + codes[1] + `), in vCPUs`
	}
	return `the quota is "Running On-Demand ` + name + ` instances" (` + codes[0] + `), in vCPUs`
}
