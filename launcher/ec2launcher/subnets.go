package ec2launcher

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
)

type subnet struct{ id, vpc, zone string }

// learn finds out the zones of the configured subnets, how many addresses are free
// there, and the security group that Setup has made, once, however many ask.
func (f *fleet) learn(ctx context.Context) error {
	_, err, _ := f.learning.Do("", func() (any, error) { return nil, f.look(ctx) })
	return err
}

func (f *fleet) look(ctx context.Context) error {
	f.mu.Lock()
	subnets, free, counted, group, looked := f.subnets, f.free, f.counted, f.group, f.looked
	f.mu.Unlock()
	if now := time.Now(); subnets == nil || now.Sub(counted) >= lookEvery {
		all, left, err := f.count(ctx)
		switch {
		case err == nil:
			subnets, free, counted = all, left, now
		case subnets == nil:
			return err
		default: // what was counted last has to do
			f.l.cfg.Logger.Warn("free addresses of subnets were not counted", "error", err)
		}
	}
	if group == "" {
		var err error
		looked = time.Now()
		group, err = f.l.engineGroup(ctx, subnets[0].vpc)
		if err != nil && (f.l.cfg.Connect == nil || !errors.Is(err, launcher.ErrNotFound)) {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subnets, f.free, f.counted, f.group, f.looked = subnets, free, counted, group, looked
	return nil
}

// count asks for the configured subnets and how many addresses are free in each.
func (f *fleet) count(ctx context.Context) (subnets []subnet, free map[string]int, err error) {
	out, err := f.l.ec2.DescribeSubnets(ctx, &awsec2.DescribeSubnetsInput{SubnetIds: f.l.cfg.Subnets})
	if err != nil {
		return nil, nil, err
	}
	found := map[string]subnet{}
	free = map[string]int{}
	for _, s := range out.Subnets {
		id := aws.ToString(s.SubnetId)
		found[id] = subnet{id, aws.ToString(s.VpcId), aws.ToString(s.AvailabilityZone)}
		if s.AvailableIpAddressCount != nil {
			free[id] = int(*s.AvailableIpAddressCount)
		}
	}
	for _, id := range f.l.cfg.Subnets {
		s := found[id]
		s.id = id
		subnets = append(subnets, s)
	}
	return subnets, free, nil
}

// lookAgain reports whether there was no group of Setup's when it was last
// looked for, and that is a while ago.
func (f *fleet) lookAgain(now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.group == "" && now.Sub(f.looked) >= lookEvery
}

// reckon notes how many hosts each subnet has addresses for: as many as were free, but for
// those of hosts that came since and of purchases under way. It reports whether one has
// none left.
func (f *fleet) reckon(w *world, hosts iter.Seq[*Host]) (full bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.room = maps.Clone(f.free)
	for h := range hosts {
		if n, told := f.room[h.Subnet]; told && h.live() && h.BoughtAt.After(f.counted) {
			f.room[h.Subnet] = n - 1
		}
	}
	for _, b := range w.buys {
		if n, told := f.room[b.Subnet]; told {
			f.room[b.Subnet] = n - b.Count
		}
	}
	for _, n := range f.room {
		full = full || n <= 0
	}
	return full
}

// countAgain has free addresses counted beside the loop, if that is a while ago.
func (r *reconciler) countAgain(ctx context.Context, now time.Time) {
	f := r.fleet
	f.mu.Lock()
	old := f.subnets != nil && now.Sub(f.counted) >= lookEvery
	f.mu.Unlock()
	if old {
		r.task(ctx, "count addresses", func(ctx context.Context) error {
			defer r.replan.Store(true)
			return f.learn(ctx)
		})
	}
}

// roomIn is how many hosts a subnet has addresses for, as far as EC2 tells.
func (f *fleet) roomIn(s subnet) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n, told := f.room[s.id]; told {
		return max(n, 0)
	}
	return math.MaxInt
}

// choose returns the subnet to buy an offer in: of those in whose zones it may be had
// the first, or of spot instances the cheapest; one that refused a while ago only if
// there is no other. If there is none it returns why. The zero subnet means that learn
// comes first.
func (f *fleet) choose(o offer, now time.Time) (subnet, *refusal) {
	if r := f.capacity.held(o, now); r != nil {
		return subnet{}, r
	}
	f.mu.Lock()
	subnets := f.subnets
	f.mu.Unlock()
	if subnets == nil {
		return subnet{}, nil
	}
	var soonest *refusal
	full := 0
	var best subnet
	var doubted bool // that it has any
	var least instancetype.Money
	for _, s := range subnets {
		r := f.capacity.noAddress(s.id, now)
		if r == nil && f.roomIn(s) == 0 {
			r = &refusal{kind: launcher.ErrCapacity, until: now.Add(lookEvery)}
		}
		if r != nil {
			full++
		} else {
			r = f.capacity.soldOut(pool{o, s.zone}, now)
		}
		if r != nil {
			if soonest == nil || r.until.Before(soonest.until) {
				soonest = r
			}
			continue
		}
		doubt := f.capacity.doubts(o, s, now)
		var price instancetype.Money
		if o.market == launcher.Spot {
			price, _ = f.l.spot.price(o.instanceType, s.zone)
		}
		cheaper := price > 0 && (least == 0 || price < least)
		if best.id == "" || doubted && !doubt || doubted == doubt && cheaper {
			best, doubted, least = s, doubt, price
		}
	}
	if best.id != "" {
		return best, nil
	}
	return subnet{}, &refusal{kind: launcher.ErrCapacity, until: soonest.until, message: nowhere(o, full, len(subnets))}
}

// nowhere says that an offer is not to be had in any of the fleet's subnets, of which
// some have no free address. It says so in the same words as long as that is so: it is
// recorded for everybody who waits.
func nowhere(o offer, full, subnets int) string {
	again := fmt.Sprintf("it is asked again every %d minutes", int(soldOutFor.Minutes()))
	const add = "an administrator has to give the fleet more or larger ones"
	switch full {
	case 0:
		return fmt.Sprintf("AWS has no %s in any zone of the fleet now; %s", o, again)
	case subnets:
		return fmt.Sprintf("no subnet of the fleet has a free address: %s, or sessions have to end; %s", add, again)
	}
	return fmt.Sprintf("AWS has no %s in the zones of those subnets of the fleet that have free addresses, and %d of %d have none: %s; %s", o, full, subnets, add, again)
}

// why is why nothing is to be had of what a workload accepts, in a sentence that
// names everything that was tried.
func (f *fleet) why(w launcher.Workload, now time.Time) *refusal {
	var whole *refusal
	var sentences []string
	for _, o := range f.l.fitting(&w) {
		_, r := f.choose(o, now)
		if r == nil {
			return nil // it has become available
		}
		if whole == nil {
			whole = &refusal{kind: r.kind, until: r.until}
		}
		if r.kind == launcher.ErrCapacity { // the one that waiting helps
			whole.kind = r.kind
		}
		if !slices.Contains(sentences, r.message) {
			sentences = append(sentences, r.message)
		}
	}
	if whole != nil {
		whole.message = strings.Join(sentences, "; ")
	}
	return whole
}
