package ec2launcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/singleflight"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
)

const (
	// tagPrefix begins the keys of the tags that say whose an instance is.
	tagPrefix = "atelier:"
	// tagFleet holds the fleet's name, tagBuy the token of the purchase.
	tagFleet = tagPrefix + "fleet"
	tagBuy   = tagPrefix + "buy"

	// lookEvery is how often the group that opens hosts is looked for, as long
	// as there is none.
	lookEvery = time.Minute
	// callTimeout bounds one AWS call with its retries.
	callTimeout = time.Minute
)

// fleet buys, looks at and ends instances. It belongs to the reconciler, whose
// one loop calls it; what runs beside the loop is marked.
type fleet struct {
	l        *Launcher
	capacity *capacity
	learning singleflight.Group
	mu       sync.Mutex
	subnets  []subnet  // in the configuration's order
	group    string    // that opens hosts; empty if Setup has made none
	looked   time.Time // when it was looked for
}

type subnet struct{ id, vpc, zone string }

// learn finds out the zones of the configured subnets and the security group
// that Setup has made, once, however many ask.
func (f *fleet) learn(ctx context.Context) error {
	_, err, _ := f.learning.Do("", func() (any, error) { return nil, f.look(ctx) })
	return err
}

func (f *fleet) look(ctx context.Context) error {
	f.mu.Lock()
	subnets, group := f.subnets, f.group
	f.mu.Unlock()
	if subnets == nil {
		out, err := f.l.ec2.DescribeSubnets(ctx, &awsec2.DescribeSubnetsInput{SubnetIds: f.l.cfg.Subnets})
		if err != nil {
			return err
		}
		found := map[string]subnet{}
		for _, s := range out.Subnets {
			id := aws.ToString(s.SubnetId)
			found[id] = subnet{id, aws.ToString(s.VpcId), aws.ToString(s.AvailabilityZone)}
		}
		for _, id := range f.l.cfg.Subnets {
			s := found[id]
			s.id = id
			subnets = append(subnets, s)
		}
	}
	if group == "" {
		var err error
		group, err = f.l.engineGroup(ctx, subnets[0].vpc)
		if err != nil && (f.l.cfg.Connect == nil || !errors.Is(err, launcher.ErrNotFound)) {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subnets, f.group, f.looked = subnets, group, time.Now()
	return nil
}

// lookAgain reports whether there was no group of Setup's when it was last
// looked for, and that is a while ago.
func (f *fleet) lookAgain(now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.group == "" && now.Sub(f.looked) >= lookEvery
}

// choose returns the subnet to buy an offer in: of those in whose zones it may be
// had the first, or of spot instances the cheapest. If there is none it returns
// why. The zero subnet means that learn comes first.
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
	var least instancetype.Money
	for _, s := range subnets {
		r := f.capacity.noAddress(s.id, now)
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
		if o.market != launcher.Spot {
			return s, nil
		}
		price, known := f.l.spot.price(o.instanceType, s.zone)
		if best.id == "" || known && (least == 0 || price < least) {
			best, least = s, price
		}
	}
	if best.id != "" {
		return best, nil
	}
	return subnet{}, &refusal{kind: launcher.ErrCapacity, until: soonest.until, message: nowhere(o, full, len(subnets), soonest.until)}
}

// nowhere says that an offer is not to be had in any of the fleet's subnets, of which
// some have no free address, and when it is asked for again.
func nowhere(o offer, full, subnets int, until time.Time) string {
	again := "it is asked again after " + until.UTC().Format(time.TimeOnly)
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

// order journals the purchase of n hosts of a type: from now on exactly this
// call is made until its outcome is known.
func (f *fleet) order(ctx context.Context, n need, where subnet, ami string) (buyRecord, error) {
	number, err := f.l.changeFleet(ctx, func(f *fleetRecord) { f.Bought++ })
	if err != nil {
		return buyRecord{}, err
	}
	b := buyRecord{
		Token:        fmt.Sprintf("%s-%x-%d", f.l.cfg.Fleet, number.Begun.UnixNano(), number.Bought),
		InstanceType: n.instanceType, Market: n.market, Zone: where.zone, Subnet: where.id, Count: n.count, At: time.Now(),
	}
	f.mu.Lock()
	group := f.group
	f.mu.Unlock()
	if b.Input, err = json.Marshal(f.l.request(b, ami, group)); err != nil {
		return buyRecord{}, err
	}
	return b, f.l.buys.Create(ctx, b.Token, b)
}

// onlyFleet is the ID of the record that a fleet has of itself.
const onlyFleet = "fleet"

// changeFleet changes the fleet's record, which it makes if there is none.
func (l *Launcher) changeFleet(ctx context.Context, change func(*fleetRecord)) (fleetRecord, error) {
	err := l.fleet.Create(ctx, onlyFleet, fleetRecord{Begun: time.Now()})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fleetRecord{}, err
	}
	return l.fleet.Update(ctx, onlyFleet, func(f *fleetRecord) error {
		before := *f
		if change(f); *f == before {
			return store.ErrUnchanged
		}
		return nil
	})
}

// request is the whole RunInstances call of a purchase. The group is the one
// that opens hosts, if there is one.
func (l *Launcher) request(b buyRecord, ami, group string) *awsec2.RunInstancesInput {
	groups := slices.Clone(l.cfg.SecurityGroups)
	if group != "" && !slices.Contains(groups, group) {
		groups = append(groups, group)
	}
	tags := []ec2types.Tag{
		{Key: aws.String("Name"), Value: aws.String("atelier " + l.cfg.Fleet)},
		{Key: aws.String(tagFleet), Value: aws.String(l.cfg.Fleet)},
		{Key: aws.String(tagBuy), Value: aws.String(b.Token)},
	}
	for _, k := range slices.Sorted(maps.Keys(l.cfg.Tags)) {
		tags = append(tags, ec2types.Tag{Key: aws.String(k), Value: aws.String(l.cfg.Tags[k])})
	}
	in := &awsec2.RunInstancesInput{
		ClientToken:      aws.String(b.Token),
		ImageId:          aws.String(ami),
		InstanceType:     ec2types.InstanceType(b.InstanceType),
		SubnetId:         aws.String(b.Subnet),
		SecurityGroupIds: groups,
		MinCount:         aws.Int32(1),
		MaxCount:         aws.Int32(int32(b.Count)),
		// A host that powers itself off is gone, not stopped and paid for.
		InstanceInitiatedShutdownBehavior: ec2types.ShutdownBehaviorTerminate,
		// Containers are one hop further away than the host: they get no credentials.
		MetadataOptions: &ec2types.InstanceMetadataOptionsRequest{
			HttpTokens:              ec2types.HttpTokensStateRequired,
			HttpPutResponseHopLimit: aws.Int32(1),
		},
		TagSpecifications: []ec2types.TagSpecification{
			{ResourceType: ec2types.ResourceTypeInstance, Tags: tags},
			{ResourceType: ec2types.ResourceTypeVolume, Tags: tags},
		},
	}
	if b.Market == launcher.Spot {
		// One time, and ended rather than stopped: a persistent request would buy
		// again what nobody asked for, long after its host was given back.
		in.InstanceMarketOptions = &ec2types.InstanceMarketOptionsRequest{
			MarketType: ec2types.MarketTypeSpot,
			SpotOptions: &ec2types.SpotMarketOptions{
				SpotInstanceType:             ec2types.SpotInstanceTypeOneTime,
				InstanceInterruptionBehavior: ec2types.InstanceInterruptionBehaviorTerminate,
			},
		}
		in.TagSpecifications = append(in.TagSpecifications, ec2types.TagSpecification{ResourceType: ec2types.ResourceTypeSpotInstancesRequest, Tags: tags})
	}
	if l.cfg.InstanceProfile != "" {
		in.IamInstanceProfile = &ec2types.IamInstanceProfileSpecification{Name: aws.String(l.cfg.InstanceProfile)}
	}
	if t, err := l.cfg.Catalog.Type(b.InstanceType); l.cfg.Connect == nil && err == nil {
		l.boot(in, t)
	}
	return in
}

// buy makes a journalled purchase and records what it brought. The SDK does
// not retry it: a sold-out zone is answered with HTTP 500, which its retryer
// would take for a passing failure. The record is read anew: a pass may have
// seen it before the purchase was settled.
func (f *fleet) buy(ctx context.Context, token string) error {
	b, err := f.l.buys.Get(ctx, token)
	if err != nil || time.Now().Before(b.NotBefore) {
		return ignoreNotFound(err)
	}
	in, err := b.input()
	if err != nil {
		return err
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := f.l.ec2.RunInstances(call, in, func(o *awsec2.Options) { o.Retryer = aws.NopRetryer{} })
	now := time.Now()
	if err != nil {
		return f.notBought(ctx, b, err, now)
	}
	for _, i := range out.Instances {
		if err := f.l.adopt(ctx, i, now); err != nil {
			return err
		}
	}
	f.l.cfg.Logger.Info("bought hosts", "token", b.Token, "type", b.offer(), "zone", b.Zone, "wanted", b.Count, "got", len(out.Instances))
	return f.l.buys.Delete(ctx, b.Token)
}

// notBought settles a failed purchase, or paces its repetition.
func (f *fleet) notBought(ctx context.Context, b buyRecord, err error, now time.Time) error {
	v := judge(err)
	if mayBeFresh(b, err, now) {
		v.settled = false
	}
	f.l.cfg.Logger.Warn("hosts not bought", "token", b.Token, "type", b.offer(), "zone", b.Zone, "error", err)
	if cause := err; !v.settled {
		_, err := f.l.buys.Update(ctx, b.Token, func(b *buyRecord) error {
			b.Attempts++
			b.NotBefore = now.Add(min(time.Second<<min(b.Attempts, 5), 30*time.Second))
			b.Reason, b.Message = v.kind, explain(cause)
			return nil
		})
		return err
	}
	f.capacity.refused(b.offer(), subnet{id: b.Subnet, zone: b.Zone}, v, err, now)
	if v.hopeless() {
		if err := f.giveUp(ctx, now); err != nil {
			return err
		}
	}
	return f.l.buys.Delete(ctx, b.Token)
}

// mayBeFresh reports whether a refusal may come from an instance profile that
// EC2 does not know yet. Its code is that of any wrong value, so every such
// refusal of a young purchase with a profile is taken for it: a value that is
// really wrong is told a little later.
func mayBeFresh(b buyRecord, err error, now time.Time) bool {
	in, broken := b.input()
	return broken == nil && in.IamInstanceProfile != nil && codeOf(err) == "InvalidParameterValue" && now.Sub(b.At) < settlesWithin
}

// giveUp ends every workload that waits for a host and accepts none that can be
// bought as the fleet is configured. Said once, it spares a queue that waits for
// nothing.
func (f *fleet) giveUp(ctx context.Context, now time.Time) error {
	for rec, err := range f.l.workloads.All(ctx) {
		if err != nil {
			return err
		}
		why := f.capacity.hopeless(f.l.fitting(&rec.Workload), now)
		if why == nil || rec.Host != "" || rec.Status.Phase == launcher.Exited {
			continue
		}
		if _, err := f.l.change(ctx, rec.Workload.ID, func(w *workloadRecord) bool {
			if w.Host != "" || w.Status.Phase == launcher.Exited {
				return false
			}
			f.capacity.note(w)
			w.exit(why.kind, why.message)
			return true
		}); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// adopt records an instance of the fleet, unless it is known.
func (l *Launcher) adopt(ctx context.Context, i ec2types.Instance, now time.Time) error {
	name := string(i.InstanceType)
	h := Host{
		ID: aws.ToString(i.InstanceId), InstanceType: name, Subnet: aws.ToString(i.SubnetId),
		Address: aws.ToString(i.PrivateIpAddress), State: HostBooting, BoughtAt: now, Token: tagOf(i, tagBuy),
	}
	if i.LaunchTime != nil {
		h.BoughtAt = *i.LaunchTime
	}
	if i.Placement != nil {
		h.Zone = aws.ToString(i.Placement.AvailabilityZone)
	}
	if t, err := l.cfg.Catalog.Type(name); err == nil {
		h.Room = Room(t)
	}
	if i.InstanceLifecycle == ec2types.InstanceLifecycleTypeSpot {
		h.Market = launcher.Spot
	}
	h.PricePerHour, h.PriceKnown = l.price(h.offer(), h.Zone)
	if err := l.hosts.Create(ctx, h.ID, h); err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	return nil
}
