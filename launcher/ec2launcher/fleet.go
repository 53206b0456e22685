package ec2launcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/singleflight"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/launcher"
)

const (
	// tagPrefix begins the keys of the tags that say whose an instance is.
	tagPrefix = "atelier:"
	// tagFleet holds the fleet's name, tagBuy the token of the purchase.
	tagFleet = tagPrefix + "fleet"
	tagBuy   = tagPrefix + "buy"

	// lookEvery is how often the group that opens hosts is looked for, as long
	// as there is none, and free addresses are counted, as they run out.
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
	subnets  []subnet       // in the configuration's order
	free     map[string]int // their free addresses, by id
	counted  time.Time      // when those were counted
	room     map[string]int // what is left of them, as a plan goes
	group    string         // that opens hosts; empty if Setup has made none
	looked   time.Time      // when it was looked for
}

// order journals the purchase of n hosts of a type: from now on exactly this
// call is made until its outcome is known. Who has held the lease before the term
// of the epoch cannot.
func (f *fleet) order(ctx context.Context, epoch int64, n need, where subnet, ami string) (buyRecord, error) {
	number, err := f.l.changeFleet(ctx, func(f *fleetRecord) {
		if f.Epoch <= epoch {
			f.Bought++
		}
	})
	switch {
	case err != nil:
		return buyRecord{}, err
	case number.Epoch > epoch:
		return buyRecord{}, store.ErrConflict
	}
	b := buyRecord{
		Token:        fmt.Sprintf("%s-%x-%d", f.l.cfg.Fleet, number.Begun.UnixNano(), number.Bought),
		InstanceType: n.instanceType, Market: n.market, Zone: where.zone, Subnet: where.id, Count: n.count, At: time.Now(),
	}
	f.mu.Lock()
	group := f.group
	if _, told := f.room[where.id]; told {
		f.room[where.id] -= n.count
	}
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
// would take for a passing failure. That it is about to is recorded first: who
// makes the call again knows by that that an earlier one may have bought. The
// record is read anew: a pass may have seen it before the purchase was settled.
func (f *fleet) buy(ctx context.Context, token string) error {
	due := false
	b, err := f.l.buys.Update(ctx, token, func(b *buyRecord) error {
		if due = !time.Now().Before(b.NotBefore); !due {
			return store.ErrUnchanged
		}
		b.Attempts++
		return nil
	})
	if err != nil || !due {
		return ignoreNotFound(err)
	}
	in, err := b.input()
	if err != nil {
		return err
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	asked := time.Now()
	out, err := f.l.ec2.RunInstances(call, in, func(o *awsec2.Options) { o.Retryer = aws.NopRetryer{} })
	now := time.Now()
	if err != nil {
		return f.notBought(ctx, b, err, now)
	}
	f.capacity.sold(b, len(out.Instances), asked, now)
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
	if v.kind == launcher.ErrThrottled && f.tooLarge(b, now) {
		return f.withdraw(ctx, b)
	}
	if cause := err; !v.settled {
		_, err := f.l.buys.Update(ctx, b.Token, func(b *buyRecord) error {
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

// tooLarge reports whether a purchase that was throttled asks for more hosts than there
// are tokens for, and has bought none: a call that is throttled fails ("Request throttling
// for the Amazon EC2 API"), or was not made, and none was begun before. To repeat it is in
// vain for as long as others take the tokens that it needs. Few hosts are never too many:
// the next plan would ask for as many again.
func (f *fleet) tooLarge(b buyRecord, now time.Time) bool {
	return b.Attempts == 1 && b.Count > leastBought && f.l.budget.purchasable(now) < b.Count
}

// withdraw takes back a purchase that has bought nothing: the next plan asks for as
// many hosts as there are tokens for. If another process, to which the fleet has come,
// has begun the same call meanwhile, the purchase stays: that one may have bought.
func (f *fleet) withdraw(ctx context.Context, b buyRecord) error {
	err := f.l.buys.DeleteIf(ctx, b.Token, func(now buyRecord) error {
		if now.Attempts != b.Attempts {
			return errBegunAgain
		}
		return nil
	})
	if errors.Is(err, errBegunAgain) {
		return nil
	}
	return ignoreNotFound(err)
}

var errBegunAgain = errors.New("another process makes the same call")

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
