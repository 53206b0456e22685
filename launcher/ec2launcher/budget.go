package ec2launcher

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go/middleware"
	"golang.org/x/time/rate"

	"github.com/atelier-go/atelier/launcher"
)

// A bucket is what EC2 lets an account do of one thing: so much at once, and so
// much each second from then on.
type bucket struct{ size, perSecond int }

// published are EC2's buckets for the actions of this package, which each has for
// itself: calls, and instances that are asked for or ended ("Request throttling
// for the Amazon EC2 API",
// https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html).
var published = func() map[string]struct{ calls, instances bucket } {
	type both = struct{ calls, instances bucket }
	all := map[string]both{
		"RunInstances":       {bucket{5, 2}, bucket{1000, 2}},
		"TerminateInstances": {bucket{100, 5}, bucket{1000, 20}},
	}
	for _, action := range []string{
		"DescribeInstances", "DescribeSubnets", "DescribeSecurityGroups", "DescribeSpotInstanceRequests", "DescribeSpotPriceHistory",
	} {
		all[action] = both{calls: bucket{100, 20}} // with filters, ids or pages
	}
	for _, action := range []string{
		"CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress", "RevokeSecurityGroupEgress", "DeleteSecurityGroup",
	} {
		all[action] = both{calls: bucket{50, 5}}
	}
	return all
}()

const (
	// shrinkTo is what is left of a rate when EC2 throttles a call that was
	// within it, and leastShare of the published one what is left at least.
	// Growth adds growBy of the published rate each growEvery without that.
	// They are choices of ours.
	shrinkTo   = 0.5
	leastShare = 0.1
	growBy     = 0.1
	growEvery  = 5 * time.Second
)

// An ActionBudget is how fast a launcher calls one action of EC2 at present.
type ActionBudget struct {
	// Action is its name, such as "RunInstances".
	Action string
	// PerSecond is how many calls a second it makes for long, Burst how many
	// at once after a rest. They begin as AWS publishes them, or a little
	// below, and are less for a while after EC2 throttled: others in the
	// account call too.
	PerSecond float64
	Burst     int
	// Instances is how many instances may be started or ended now without a wait,
	// and InstancesPerSecond how many more come each second. Both are zero for other
	// actions. Hosts that are wanted and have to wait for that are not calls yet: who
	// waits for one is told ([launcher.ErrThrottled]).
	Instances          int
	InstancesPerSecond float64
	// Waiting is how many calls wait for their turn, the first for Longest.
	Waiting int
	Longest time.Duration
	// Throttled is how many calls EC2 has refused for being too many.
	Throttled int
}

// Budget tells how fast the launcher calls EC2, one element for each action it
// has called, in the order of their names. It needs no Run. A launcher made by
// [New] has none: its clients are the caller's.
func (l *Launcher) Budget() []ActionBudget { return l.budget.all(time.Now()) }

// budget holds a launcher's calls of EC2 to what an account may make, however
// many of its parts call at one time. It learns from being throttled that others
// in the account call too.
type budget struct {
	mu        sync.Mutex
	lanes     map[string]*lane // by action
	installed bool             // in a client
	telemetry *telemetry       // or nil
}

// purchasable is how many instances may be asked for now without a wait, beside
// those that were asked for and have not had their turn.
func (b *budget) purchasable(now time.Time) int {
	if l := b.purchases(now); l != nil {
		return int(l.left(now))
	}
	return math.MaxInt
}

// refill is how long it takes until so many more instances may be asked for: a little
// longer, so that what is rounded is not just not enough then.
func (b *budget) refill(n int, now time.Time) time.Duration {
	l := b.purchases(now)
	if l == nil || n <= 0 {
		return 0
	}
	return time.Duration(float64(n)/float64(l.instances.limiter.Limit())*float64(time.Second)) + time.Millisecond
}

// purchases limits the instances that are asked for; nil is not at all.
func (b *budget) purchases(now time.Time) *lane {
	b.mu.Lock()
	installed := b.installed
	b.mu.Unlock()
	if !installed {
		return nil
	}
	l := b.lane("RunInstances")
	l.grow(now)
	return l
}

// A lane is the budget of one action.
type lane struct {
	action           string
	calls, instances *allowance
	// turn is held by the one whose turn it is: a limiter tells its waiters at
	// once when theirs is, which may be a wrong promise by then.
	turn chan struct{}

	mu        sync.Mutex
	share     float64   // of what is published
	changed   time.Time // when the share was last looked at
	shrunk    time.Time // when it was last made less
	throttled int
	asked     int               // calls so far, which number them
	waits     map[int]time.Time // since when those wait whose turn is to come
	queued    int               // how many instances they work on that have taken no tokens
}

// An allowance is a bucket of which a share is used.
type allowance struct {
	published bucket
	limiter   *rate.Limiter
}

// newAllowance makes one that never asks for more than the bucket has, whenever
// in a second EC2 fills it: what comes in during one is left in it.
func newAllowance(b bucket) *allowance {
	if b.size == 0 {
		return nil
	}
	a := &allowance{published: b}
	a.limiter = rate.NewLimiter(a.of(1))
	return a
}

// of is a share of the bucket.
func (a *allowance) of(share float64) (perSecond rate.Limit, burst int) {
	return rate.Limit(float64(a.published.perSecond) * share), max(1, int(float64(a.published.size-a.published.perSecond)*share))
}

// use sets the share that is used.
func (a *allowance) use(share float64, now time.Time) {
	if a == nil {
		return
	}
	perSecond, burst := a.of(share)
	a.limiter.SetLimitAt(now, perSecond)
	a.limiter.SetBurstAt(now, burst)
}

// empty takes what there is.
func (a *allowance) empty(now time.Time) {
	if a == nil {
		return
	}
	if n := int(a.limiter.TokensAt(now)); n > 0 {
		a.limiter.ReserveN(now, n)
	}
}

// wait waits for n, in parts if that is more than there is at once.
func (a *allowance) wait(ctx context.Context, n int) error {
	for a != nil && n > 0 {
		part := min(n, a.limiter.Burst())
		if err := a.limiter.WaitN(ctx, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

// lane returns the budget of an action; nil if there is none.
func (b *budget) lane(action string) *lane {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l, ok := b.lanes[action]; ok {
		return l
	}
	p, ok := published[action]
	if !ok {
		return nil
	}
	l := &lane{
		action: action, calls: newAllowance(p.calls), instances: newAllowance(p.instances),
		turn: make(chan struct{}, 1), share: 1, changed: time.Now(), waits: map[int]time.Time{},
	}
	if b.lanes == nil {
		b.lanes = map[string]*lane{}
	}
	b.lanes[action] = l
	return l
}

func (b *budget) all(now time.Time) (all []ActionBudget) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, action := range slices.Sorted(maps.Keys(b.lanes)) {
		all = append(all, b.lanes[action].tell(now))
	}
	return all
}

func (l *lane) tell(now time.Time) ActionBudget {
	l.grow(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	t := ActionBudget{
		Action: l.action, PerSecond: float64(l.calls.limiter.Limit()), Burst: l.calls.limiter.Burst(),
		Waiting: len(l.waits), Throttled: l.throttled,
	}
	for _, since := range l.waits {
		t.Longest = max(t.Longest, now.Sub(since))
	}
	if l.instances != nil {
		t.Instances, t.InstancesPerSecond = max(0, int(l.instances.limiter.TokensAt(now))-l.queued), float64(l.instances.limiter.Limit())
	}
	return t
}

// take waits until the call of one that works on n instances may be made.
func (l *lane) take(ctx context.Context, n int) error {
	l.grow(time.Now())
	l.mu.Lock()
	l.asked++
	me := l.asked
	l.waits[me], l.queued = time.Now(), l.queued+n
	l.mu.Unlock()
	queued := n
	leave := func() {
		l.queued, queued = l.queued-queued, 0
	}
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.waits, me)
		leave()
	}()
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := l.calls.wait(ctx, 1); err != nil {
		return err
	}
	l.mu.Lock()
	leave()
	l.mu.Unlock()
	return l.instances.wait(ctx, n)
}

// left is how many instances there are tokens for that nobody waits for.
func (l *lane) left(now time.Time) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.instances.limiter.TokensAt(now) - float64(l.queued)
}

// grow gives back what throttling has taken, step by step.
func (l *lane) grow(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	steps := int(now.Sub(l.changed) / growEvery)
	if steps == 0 {
		return
	}
	l.changed = l.changed.Add(time.Duration(steps) * growEvery)
	if l.share == 1 {
		return
	}
	l.share = min(1, l.share+growBy*float64(steps))
	l.calls.use(l.share, now)
	l.instances.use(l.share, now)
}

// shrink makes the most of a call's having been throttled: which bucket was empty
// is not told, so both are taken for it. Of calls that were made at one time the
// first says it all.
func (l *lane) shrink(made, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.throttled++
	if !made.After(l.shrunk) {
		return
	}
	l.share, l.changed, l.shrunk = max(leastShare, l.share*shrinkTo), now, now
	for _, a := range []*allowance{l.calls, l.instances} {
		a.use(l.share, now)
		a.empty(now)
	}
}

// install puts the budget into an operation of EC2, inside the SDK's retries.
func (b *budget) install(stack *middleware.Stack) error {
	b.mu.Lock()
	b.installed = true
	b.mu.Unlock()
	if err := stack.Initialize.Add(middleware.InitializeMiddlewareFunc("AtelierCount", count), middleware.After); err != nil {
		return err
	}
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("AtelierBudget", b.attempt), "Retry", middleware.After)
}

// countKey carries how many instances a call works on.
type countKey struct{}

func count(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	n := 0
	switch in := in.Parameters.(type) {
	case *awsec2.RunInstancesInput:
		n = int(aws.ToInt32(in.MaxCount))
	case *awsec2.TerminateInstancesInput:
		n = len(in.InstanceIds)
	}
	return next.HandleInitialize(middleware.WithStackValue(ctx, countKey{}, n), in)
}

// errTurn is why a call was not made whose turn does not come in time.
var errTurn = errors.New("AWS takes so many calls a second from an account and no more; it is repeated by itself")

// attempt is one attempt of a call, a retry of the SDK's among them.
func (b *budget) attempt(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	l := b.lane(awsmiddleware.GetOperationName(ctx))
	if l == nil {
		return next.HandleFinalize(ctx, in)
	}
	n, _ := middleware.GetStackValue(ctx, countKey{}).(int)
	asked := time.Now()
	if err := l.take(ctx, n); err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) { // it does not come in the time that there is, and nothing was sent
			err = errTurn
		}
		return middleware.FinalizeOutput{}, middleware.Metadata{}, fail("call "+l.action, "", launcher.ErrThrottled, err)
	}
	b.telemetry.waited(ctx, l.action, asked)
	made := time.Now()
	out, metadata, err := next.HandleFinalize(ctx, in)
	b.telemetry.called(ctx, l.action, made, err)
	if err != nil && judge(err).kind == launcher.ErrThrottled {
		l.shrink(made, time.Now())
	}
	return out, metadata, err
}
