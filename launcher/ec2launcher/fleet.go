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
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"

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

	// soldOutFor is how long a type is not asked for again in a zone that had
	// none: what Karpenter uses for its cache of unavailable offerings.
	soldOutFor = 3 * time.Minute
	// holdFor is how long a type is not asked for again after a refusal that
	// waiting alone seldom cures, such as a quota.
	holdFor = time.Minute
	// lookEvery is how often the group that opens hosts is looked for, as long
	// as there is none.
	lookEvery = time.Minute
	// callTimeout bounds one AWS call with its retries.
	callTimeout = time.Minute
)

// A pool is where capacity is sold.
type pool struct{ instanceType, zone string }

// A refusal is why a type cannot be bought now.
type refusal struct {
	kind    launcher.Kind
	message string
	until   time.Time
}

// fleet buys, looks at and ends instances. It belongs to the reconciler, whose
// one loop calls it; what runs beside the loop is marked.
type fleet struct {
	l       *Launcher
	mu      sync.Mutex
	soldOut map[pool]time.Time
	held    map[string]refusal // by instance type
	subnets []subnet           // in the configuration's order
	group   string             // that opens hosts; empty if Setup has made none
	looked  time.Time          // when it was looked for
}

type subnet struct{ id, vpc, zone string }

// learn finds out the zones of the configured subnets and the security group
// that Setup has made, once.
func (f *fleet) learn(ctx context.Context) error {
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

// choose returns the first subnet in whose zone the type is not known to be
// sold out, or why there is none. The zero subnet means that learn comes first.
func (f *fleet) choose(instanceType string, now time.Time) (subnet, *refusal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, ok := f.held[instanceType]; ok && now.Before(r.until) {
		return subnet{}, &r
	}
	if f.subnets == nil {
		return subnet{}, nil
	}
	var soonest time.Time
	for _, s := range f.subnets {
		until := f.soldOut[pool{instanceType, s.zone}]
		if !now.Before(until) {
			return s, nil
		}
		if soonest.IsZero() || until.Before(soonest) {
			soonest = until
		}
	}
	return subnet{}, &refusal{
		kind:    launcher.ErrCapacity,
		message: fmt.Sprintf("AWS has no %s in any zone of the fleet now; it is asked again after %s", instanceType, soonest.UTC().Format(time.TimeOnly)),
		until:   soonest,
	}
}

// refused remembers what a purchase taught.
func (f *fleet) refused(b buyRecord, v verdict, err error, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case v.soldOut:
		f.soldOut[pool{b.InstanceType, b.Zone}] = now.Add(soldOutFor)
	case !v.anew:
		f.held[b.InstanceType] = refusal{v.kind, explain(err), now.Add(holdFor)}
	}
}

// order journals the purchase of n hosts of a type: from now on exactly this
// call is made until its outcome is known.
func (f *fleet) order(ctx context.Context, n need, where subnet, ami string) (buyRecord, error) {
	number, err := f.l.number(ctx)
	if err != nil {
		return buyRecord{}, err
	}
	b := buyRecord{
		Token:        fmt.Sprintf("%s-%x-%d", f.l.cfg.Fleet, number.Begun.UnixNano(), number.Bought),
		InstanceType: n.instanceType, Zone: where.zone, Subnet: where.id, Count: n.count, At: time.Now(),
	}
	f.mu.Lock()
	group := f.group
	f.mu.Unlock()
	if b.Input, err = json.Marshal(f.l.request(b, ami, group)); err != nil {
		return buyRecord{}, err
	}
	return b, f.l.buys.Create(ctx, b.Token, b)
}

// number returns the fleet's record with one more purchase counted in it.
func (l *Launcher) number(ctx context.Context) (fleetRecord, error) {
	const only = "fleet"
	err := l.fleet.Create(ctx, only, fleetRecord{Begun: time.Now()})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fleetRecord{}, err
	}
	return l.fleet.Update(ctx, only, func(f *fleetRecord) error {
		f.Bought++
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
	f.l.cfg.Logger.Info("bought hosts", "token", b.Token, "type", b.InstanceType, "zone", b.Zone, "wanted", b.Count, "got", len(out.Instances))
	return f.l.buys.Delete(ctx, b.Token)
}

// notBought settles a failed purchase, or paces its repetition.
func (f *fleet) notBought(ctx context.Context, b buyRecord, err error, now time.Time) error {
	v := judge(err)
	if mayBeFresh(b, err, now) {
		v.settled = false
	}
	f.l.cfg.Logger.Warn("hosts not bought", "token", b.Token, "type", b.InstanceType, "zone", b.Zone, "error", err)
	if !v.settled {
		_, err := f.l.buys.Update(ctx, b.Token, func(b *buyRecord) error {
			b.Attempts++
			b.NotBefore = now.Add(min(time.Second<<min(b.Attempts, 5), 30*time.Second))
			return nil
		})
		return err
	}
	f.refused(b, v, err, now)
	if v.hopeless() {
		if err := f.l.giveUp(ctx, b.InstanceType, v.kind, explain(err)); err != nil {
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

// giveUp ends every workload that waits for a host of a type that cannot be
// bought as the fleet is configured. Said once, it spares a queue that waits
// for nothing.
func (l *Launcher) giveUp(ctx context.Context, instanceType string, kind launcher.Kind, message string) error {
	for rec, err := range l.workloads.All(ctx) {
		if err != nil {
			return err
		}
		if rec.Workload.InstanceType != instanceType || rec.Host != "" || rec.Status.Phase == launcher.Exited {
			continue
		}
		if _, err := l.change(ctx, rec.Workload.ID, func(w *workloadRecord) bool {
			if w.Host != "" || w.Status.Phase == launcher.Exited {
				return false
			}
			w.exit(kind, message)
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
	if p, ok := l.cfg.Catalog.Price(name, l.region); ok {
		h.PricePerHour, h.PriceKnown = p.PerHour, true
	}
	if err := l.hosts.Create(ctx, h.ID, h); err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	return nil
}

// describe returns every instance of the fleet that EC2 shows.
func (l *Launcher) describe(ctx context.Context) (map[string]ec2types.Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	seen := map[string]ec2types.Instance{}
	pages := awsec2.NewDescribeInstancesPaginator(l.ec2, &awsec2.DescribeInstancesInput{
		Filters:    []ec2types.Filter{{Name: aws.String("tag:" + tagFleet), Values: []string{l.cfg.Fleet}}},
		MaxResults: aws.Int32(1000),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Reservations {
			for _, i := range r.Instances {
				seen[aws.ToString(i.InstanceId)] = i
			}
		}
	}
	return seen, nil
}

// find looks an instance up by its id, whatever its tags are.
func (l *Launcher) find(ctx context.Context, id string) (i ec2types.Instance, shown bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := l.ec2.DescribeInstances(ctx, &awsec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if isNotFound(err) {
		return i, false, nil
	}
	if err != nil {
		return i, false, err
	}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			return i, true, nil
		}
	}
	return i, false, nil
}

// maxTerminated is how many instances one call ends
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html).
const maxTerminated = 1000

// terminate asks EC2 to end hosts. EC2 ends all or none of a call's, so what it
// refuses is asked for again in halves, until those that it has something
// against are alone. That an instance is not found is no proof of its end (EC2
// is eventually consistent), so it is no success either.
func (l *Launcher) terminate(ctx context.Context, ids []string) error {
	if len(ids) > maxTerminated {
		return errors.Join(l.terminate(ctx, ids[:maxTerminated]), l.terminate(ctx, ids[maxTerminated:]))
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := l.ec2.TerminateInstances(call, &awsec2.TerminateInstancesInput{InstanceIds: ids})
	if err == nil || len(ids) == 1 || !isNotFound(err) && !judge(err).settled {
		return err
	}
	half := len(ids) / 2
	return errors.Join(l.terminate(ctx, ids[:half]), l.terminate(ctx, ids[half:]))
}

func tagOf(i ec2types.Instance, key string) string {
	for _, t := range i.Tags {
		if aws.ToString(t.Key) == key {
			return aws.ToString(t.Value)
		}
	}
	return ""
}

// amis knows what hosts boot from.
type amis struct {
	ssm   SSM
	fixed string

	mu    sync.Mutex
	found map[string]string // by parameter name
}

// known returns the image for a type, if it is known.
func (a *amis) known(t instancetype.Type) (id string, ok bool) {
	if a.fixed != "" {
		return a.fixed, true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	id, ok = a.found[parameter(t)]
	return id, ok
}

// learn asks for the image for a type, once.
func (a *amis) learn(ctx context.Context, catalog *instancetype.Catalog, instanceType string) error {
	t, err := catalog.Type(instanceType)
	if err != nil {
		return err
	}
	if _, ok := a.known(t); ok {
		return nil
	}
	out, err := a.ssm.GetParameter(ctx, &awsssm.GetParameterInput{Name: aws.String(parameter(t))})
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.found == nil {
		a.found = map[string]string{}
	}
	a.found[parameter(t)] = aws.ToString(out.Parameter.Value)
	return nil
}

// parameter names the public parameter that holds the current ECS-optimised
// Amazon Linux 2023 image for a type ("Retrieving Amazon ECS-optimized Linux AMI
// metadata", Amazon ECS developer guide).
func parameter(t instancetype.Type) string {
	variant := ""
	switch {
	case t.GPUs > 0:
		variant = "gpu/"
	case t.Arch == instancetype.ARM64:
		variant = "arm64/"
	}
	return "/aws/service/ecs/optimized-ami/amazon-linux-2023/" + variant + "recommended/image_id"
}
