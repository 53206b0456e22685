// Package ec2launcher runs workloads on EC2 instances that it buys, fills,
// watches and gives back.
//
// It is a launcher of launchers: for each host it holds a [HostLauncher], which
// speaks to the container engine there. What it decides it records first, in a
// [store.Store], so that a program that is killed anywhere goes on where it
// was: nothing is bought twice and nothing bought is forgotten.
//
// Launch and Stop only write what is wanted. [Launcher.Run] brings it about:
// one process at a time, by a lease, compares what is wanted with what EC2 and
// the hosts report and takes the next step. Any number of processes may call
// Run on one fleet; the others stand by and answer reads.
//
// What no host has room for is bought: of the types that workloads accept what
// costs the least for what will fill it, on spot if they accept that and else on
// demand, in the first of [Config.Subnets] whose zone has it (spot: the cheapest),
// with equal purchases in one call and no faster than EC2 takes calls. Spot hosts
// that AWS takes back, and those that fail, are told to who runs there.
// [Config.Warm] keeps room for the next, and [Launcher.Drift] tells what is not as
// it is recorded.
//
// [Launcher.Setup] prepares an account once: keys, and what hosts are in AWS. A
// host then boots from Amazon's ECS-optimised image, with Docker Engine as its
// only service, which answers whoever has the fleet's key. Its containers reach
// neither each other nor the host nor what the host is to AWS; the homes of
// EFS, "/efs/<file system>.<access point>", are mounted when one is first
// touched. Nothing of ours runs there.
//
// # Metrics
//
// With [Config.MeterProvider] a launcher measures itself through OpenTelemetry's
// API. What there is of hosts, workloads and warm room is told by the process that
// works for the fleet, and by no other, while Run is active; calls of EC2 by each
// for itself, if it was made by [NewFromConfig]. The attribute atelier.fleet, which
// all have, is left out here; atelier.state is a [HostState], or "buying"; atelier.warm
// counts what is in [Config.Warm], from 0; atelier.action is EC2's, such as
// RunInstances; error.type is the kind of what went wrong or keeps a workload waiting,
// "throttled" where EC2 refused a call for being too many, and absent otherwise.
//
//	instrument                   kind       unit        attributes                     what
//	atelier.fleet.hosts          up-down    {host}      atelier.state, atelier.market  hosts that are not gone, and those being bought
//	atelier.fleet.cost.rate      up-down    {USD}/h     atelier.market                 what those hosts cost an hour, as far as prices are known
//	atelier.fleet.waiting        up-down    {workload}  error.type                     workloads without a host, by what keeps them
//	atelier.fleet.warm.slots     up-down    {slot}      atelier.warm, atelier.state    warm room: ready, coming or lacking
//	atelier.fleet.calls.waiting  up-down    {call}      atelier.action                 calls of EC2 that wait for their turn
//	atelier.fleet.calls.rate     gauge      {call}/s    atelier.action                 how fast EC2 is called at most at present
//	atelier.fleet.call.wait      histogram  s           atelier.action                 how long calls waited for their turn
//	atelier.fleet.call.duration  histogram  s           atelier.action, error.type     attempts of calls of EC2, from then on
package ec2launcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/internal/running"
	"github.com/atelier-go/atelier/internal/watch"
	"github.com/atelier-go/atelier/launcher"
)

// A Launcher runs workloads on a fleet of EC2 instances. Make it with
// [NewFromConfig] or [New] and keep its [Launcher.Run] going. All methods are
// safe for concurrent use.
type Launcher struct {
	ec2     EC2
	iam     IAM            // may be nil
	secrets SecretsManager // may be nil
	logs    CloudWatchLogs // may be nil
	region  string
	cfg     Config
	budget  *budget
	amis    amis
	spot    spotPrices
	keys    keys

	workloads store.Table[workloadRecord]
	hosts     store.Table[Host]
	buys      store.Table[buyRecord]
	fleet     store.Table[fleetRecord]

	gate    running.Gate
	kick    chan struct{} // one slot: something is to be done
	changed atomic.Bool   // EC2 has told of a change that it was not asked about yet
	engines engines
	warm    atomic.Pointer[[]WarmRoom] // while this process works for the fleet

	telemetry *telemetry // or nil

	hub       watch.Hub[launcher.ID, launcher.Status]
	published sync.Mutex // orders what is published
	told      map[launcher.ID]telling
	outlooks  map[string]outlook // of hosts, and with no ID the fleet's, at the last look
}

var _ launcher.Launcher = (*Launcher)(nil)

// NewFromConfig makes a launcher that calls AWS with cfg, and EC2 no faster than
// an account may; see [Launcher.Budget]. See [New].
func NewFromConfig(cfg aws.Config, c Config) (*Launcher, error) {
	b := &budget{}
	return newLauncher(servicesOf(cfg, b), cfg.Region, c, b)
}

// New makes a launcher over given clients of AWS in a region, whose prices it
// uses. How fast they call is theirs to say. It calls nothing and reports
// everything wrong with c in one [launcher.ErrInvalid] error.
func New(s Services, region string, c Config) (*Launcher, error) {
	return newLauncher(s, region, c, &budget{})
}

func newLauncher(s Services, region string, c Config, b *budget) (*Launcher, error) {
	if err := c.validate(s, region); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	measured, err := newTelemetry(c.MeterProvider, c.Fleet)
	if err != nil {
		return nil, fail("new", "", launcher.ErrInvalid, fmt.Errorf("meter provider: %w", err))
	}
	b.telemetry = measured
	l := &Launcher{
		ec2: s.EC2, iam: s.IAM, secrets: s.Secrets, logs: s.Logs, region: region, cfg: c,
		budget:    b,
		amis:      amis{ssm: s.SSM, fixed: c.AMI},
		keys:      keys{slot: make(chan struct{}, 1)},
		workloads: store.NewTable[workloadRecord](c.Store, c.Fleet+".workloads"),
		hosts:     store.NewTable[Host](c.Store, c.Fleet+".hosts"),
		buys:      store.NewTable[buyRecord](c.Store, c.Fleet+".buys"),
		fleet:     store.NewTable[fleetRecord](c.Store, c.Fleet+".fleet"),
		kick:      make(chan struct{}, 1),
		engines:   engines{connect: c.Connect},
		told:      map[launcher.ID]telling{},
		telemetry: measured,
	}
	if c.Connect == nil {
		l.engines.connect = l.docker
	}
	var problems []error
	for i, w := range c.Warm {
		problems = append(problems, w.problems(i, l.check)...)
	}
	if problems != nil {
		return nil, fail("new", "", launcher.ErrInvalid, errors.Join(problems...))
	}
	return l, nil
}

// Launch records that w is wanted and returns; see [launcher.Launcher]. The
// workload has to name an InstanceType of the catalog, and its Resources have
// to fit one: what a host leaves to workloads is [Room]. A port of the host that it
// names has to be 1024 at least and not the engine's, 2376; where that is taken, it
// goes to another host.
//
// It is begun with at once in the process that works for the fleet. Launched in another,
// it waits until that one reads the store next: a second at most while something is
// under way, and else five, also where there is warm room for it. The same is true of
// [Launcher.Stop].
func (l *Launcher) Launch(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
	problems := l.check(w)
	if e, ok := errors.AsType[*launcher.Error](w.Validate()); ok {
		problems = errors.Join(e.Err, problems)
	}
	if problems != nil {
		return launcher.Status{}, fail("launch", w.ID, launcher.ErrInvalid, problems)
	}
	if err := l.awake(ctx, "launch", w.ID); err != nil {
		return launcher.Status{}, err
	}
	rec := workloadRecord{
		Workload: w, Digest: w.Digest(), Revision: 1,
		Status: launcher.Status{
			ID: w.ID, Owner: w.Owner, Labels: maps.Clone(w.Labels), Image: w.Image,
			Phase: launcher.Queued, InstanceType: w.InstanceType, Market: offersOf(&w)[0].market, QueuedAt: time.Now(),
		},
	}
	err := l.workloads.Create(ctx, string(w.ID), rec)
	if errors.Is(err, store.ErrConflict) {
		known, err := l.workloads.Get(ctx, string(w.ID))
		if err != nil {
			return launcher.Status{}, l.storeFailed("launch", w.ID, err)
		}
		if known.Digest != rec.Digest {
			return launcher.Status{}, fail("launch", w.ID, launcher.ErrConflict,
				errors.New("the ID was launched before with another workload; choose a new ID"))
		}
		l.published.Lock()
		defer l.published.Unlock()
		return known.status(l.outlooks[known.Host]), nil
	}
	if err != nil {
		return launcher.Status{}, l.storeFailed("launch", w.ID, err)
	}
	l.publish(&rec)
	l.wake()
	return rec.Status, nil
}

// check reports why no host of the fleet could ever run w.
func (l *Launcher) check(w launcher.Workload) error {
	if w.InstanceType == "" {
		return errors.New("instance type is empty: an EC2 host has to have one")
	}
	var problems, tight []error
	for _, p := range w.Ports {
		if p.HostPort > 0 && (p.HostPort < firstOpenPort || p.HostPort == enginePort) {
			problems = append(problems, fmt.Errorf("port %q: host port %d is the system's or the engine's: want one from %d to %d other than %d, or 0 for any",
				p.Name, p.HostPort, firstOpenPort, lastOpenPort, enginePort))
		}
	}
	for _, name := range append([]string{w.InstanceType}, w.Alternatives...) {
		t, err := l.cfg.Catalog.Type(name)
		switch {
		case err != nil:
			problems = append(problems, err)
			continue
		case t.Name != name:
			problems = append(problems, fmt.Errorf("instance type %q: write it as EC2 does, %q", name, t.Name))
			continue
		}
		if s := newSlot(offer{instanceType: name}, l.terms(t)); !s.fits(&w) {
			tight = append(tight, fmt.Errorf("it asks for %v, %d ports and %d mounts, and a %s has room for %v, %d ports and %d mounts",
				w.Resources, len(w.Ports), len(w.Mounts), name, s.machine, maxPorts, maxMounts))
		}
	}
	if len(problems) == 0 && len(tight) > len(w.Alternatives) { // none holds it
		problems = tight
	}
	return errors.Join(problems...)
}

// fitting are the offers that a workload accepts and that have room for it.
func (l *Launcher) fitting(w *launcher.Workload) (offers []offer) {
	for _, o := range offersOf(w) {
		if t, err := l.cfg.Catalog.Type(o.instanceType); err == nil && newSlot(o, l.terms(t)).fits(w) {
			offers = append(offers, o)
		}
	}
	return offers
}

// Room is what a host of a type leaves to workloads, as an estimate from the
// type alone: all vCPUs and GPUs, and the usable memory.
func Room(t instancetype.Type) launcher.Resources {
	return launcher.Resources{
		MilliCPU:  int64(t.VCPUs) * 1000,
		MemoryMiB: t.UsableMemoryMiB(),
		GPUs:      int64(t.GPUs),
	}
}

// terms are what a new host of a type offers, on demand.
func (l *Launcher) terms(t instancetype.Type) terms {
	room := Room(t)
	return terms{machine: room, room: l.cfg.Overcommit.of(room)}
}

// Stop records that a workload is to end and returns; see [launcher.Launcher].
// A workload that no host was asked to run yet has exited when Stop returns.
func (l *Launcher) Stop(ctx context.Context, id launcher.ID, o launcher.StopOptions) error {
	if err := o.Validate(id); err != nil {
		return err
	}
	if err := l.awake(ctx, "stop", id); err != nil {
		return err
	}
	_, err := l.change(ctx, id, func(w *workloadRecord) bool { return w.stop(o) })
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fail("stop", id, launcher.ErrNotFound, errors.New("no such workload; it was never launched, or was forgotten"))
	case err != nil:
		return l.storeFailed("stop", id, err)
	}
	l.wake()
	return nil
}

// List reads the statuses from the store; see [launcher.Launcher]. It needs no Run.
func (l *Launcher) List(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return func(yield func(launcher.Status, error) bool) {
		outlooks, err := l.hostOutlooks(ctx)
		if err != nil {
			yield(launcher.Status{}, l.storeFailed("list", "", err))
			return
		}
		for rec, err := range l.selected(ctx, f.IDs) {
			if err != nil {
				yield(launcher.Status{}, l.storeFailed("list", "", err))
				return
			}
			if s := rec.status(outlooks[rec.Host]); f.Match(s) && !yield(s, nil) {
				return
			}
		}
	}
}

// selected yields all records or those of the ids, in the order of their IDs.
func (l *Launcher) selected(ctx context.Context, ids []launcher.ID) iter.Seq2[workloadRecord, error] {
	if len(ids) == 0 {
		return l.workloads.All(ctx)
	}
	return func(yield func(workloadRecord, error) bool) {
		for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
			rec, err := l.workloads.Get(ctx, string(id))
			if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrInvalid) {
				continue
			}
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

// Watch tells of changes as this process learns of them: at once in the
// process that runs the fleet, within two seconds in the others, and in all what is told
// of many at one time, that a host is silent or that others have their turn. See
// [launcher.Launcher].
func (l *Launcher) Watch(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return func(yield func(launcher.Status, error) bool) {
		if err := l.awake(ctx, "watch", ""); err != nil {
			yield(launcher.Status{}, err)
			return
		}
		ctx, cancel := l.gate.Bind(ctx)
		defer cancel()
		for s, err := range l.hub.Changes(ctx, func(_ launcher.ID, s launcher.Status) bool { return f.Match(s) }) {
			if errors.Is(err, running.ErrNotRunning) {
				err = fail("watch", "", launcher.ErrNotRunning, errRun)
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// Dial connects to a port of a running workload through its host's engine, from
// any process; see [launcher.Launcher].
func (l *Launcher) Dial(ctx context.Context, id launcher.ID, port string) (net.Conn, error) {
	engine, rec, err := l.engineOf(ctx, "dial", id)
	if err != nil {
		return nil, err
	}
	if engine == nil || rec.Status.Phase == launcher.Exited {
		return nil, fail("dial", id, launcher.ErrNotRunning, fmt.Errorf("it is %s", rec.Status.Phase))
	}
	return engine.Dial(ctx, id, port)
}

// Logs reads what a workload wrote from its host, from any process; see
// [launcher.Launcher]. Logs go with their host, which is released some time
// after its last workload exited: then it is [launcher.ErrNotFound].
func (l *Launcher) Logs(ctx context.Context, id launcher.ID, o launcher.LogOptions) (io.ReadCloser, error) {
	for {
		engine, rec, err := l.engineOf(ctx, "logs", id)
		switch {
		case err != nil:
			return nil, err
		case engine != nil && rec.Seen:
			return engine.Logs(ctx, id, o)
		case engine == nil && rec.Delivered:
			return nil, fail("logs", id, launcher.ErrNotFound, errors.New("its host is gone, and the logs with it"))
		case !o.Follow || rec.Status.Phase == launcher.Exited:
			return io.NopCloser(eof{}), nil
		}
		// Follow the logs of what has not started: wait until it has.
		if _, err := launcher.Wait(ctx, l, id, func(s launcher.Status) bool {
			return s.Phase == launcher.Exited || !s.StartedAt.IsZero()
		}); err != nil {
			return nil, err
		}
	}
}

// Usage asks the host of a workload what it uses, from any process; see
// [launcher.Launcher]. The clock of its times is the host's.
func (l *Launcher) Usage(ctx context.Context, id launcher.ID) (launcher.Usage, error) {
	engine, rec, err := l.engineOf(ctx, "usage", id)
	switch {
	case err != nil:
		return launcher.Usage{}, err
	case engine == nil && rec.Delivered:
		return launcher.Usage{}, fail("usage", id, launcher.ErrNotRunning, errors.New("its host is gone"))
	case !rec.Seen || rec.Status.Phase == launcher.Exited: // its engine may not know it yet, or no more
		return launcher.Usage{}, fail("usage", id, launcher.ErrNotRunning, fmt.Errorf("it is %s", rec.Status.Phase))
	}
	return engine.Usage(ctx, id)
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// engineOf returns the engine a workload was given to: nil if it was not given
// to any, or its host is no more.
func (l *Launcher) engineOf(ctx context.Context, op string, id launcher.ID) (HostLauncher, workloadRecord, error) {
	rec, err := l.workloads.Get(ctx, string(id))
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrInvalid) {
		return nil, rec, fail(op, id, launcher.ErrNotFound, errors.New("no such workload"))
	}
	if err != nil {
		return nil, rec, l.storeFailed(op, id, err)
	}
	if !rec.Delivered {
		return nil, rec, nil
	}
	host, err := l.hosts.Get(ctx, rec.Host)
	if errors.Is(err, store.ErrNotFound) || err == nil && !host.live() {
		return nil, rec, nil
	}
	if err != nil {
		return nil, rec, l.storeFailed(op, id, err)
	}
	engine, err := l.engines.get(ctx, host)
	if err != nil {
		return nil, rec, fail(op, id, launcher.ErrUnavailable, fmt.Errorf("host %s does not answer: %w", host.ID, err))
	}
	return engine, rec, nil
}

// Hosts yields the fleet's instances in the order of their ids, also those that
// ended within the last hour. It reads the store and needs no Run.
func (l *Launcher) Hosts(ctx context.Context) iter.Seq2[Host, error] {
	return func(yield func(Host, error) bool) {
		for h, err := range l.hosts.All(ctx) {
			if err != nil {
				yield(Host{}, l.storeFailed("hosts", "", err))
				return
			}
			if !yield(h, nil) {
				return
			}
		}
	}
}

// change updates a workload's record and publishes what came of it. The
// function reports whether it changed anything.
func (l *Launcher) change(ctx context.Context, id launcher.ID, f func(*workloadRecord) bool) (workloadRecord, error) {
	changed := false
	rec, err := l.workloads.Update(ctx, string(id), func(w *workloadRecord) error {
		if changed = f(w); !changed {
			return store.ErrUnchanged
		}
		w.Revision++
		if w.Status.Phase == launcher.Exited && w.Ended.IsZero() {
			w.Ended = time.Now()
		}
		return nil
	})
	if err == nil && changed {
		l.publish(&rec)
	}
	return rec, err
}

// awake returns nil while Run is active in this process.
func (l *Launcher) awake(ctx context.Context, op string, id launcher.ID) error {
	err := l.gate.Wait(ctx)
	if errors.Is(err, running.ErrNotRunning) {
		return fail(op, id, launcher.ErrNotRunning, errRun)
	}
	return err
}

var errRun = errors.New("the launcher's Run is not active in this process; start it first")

// wake makes the reconciler look again at once.
func (l *Launcher) wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// storeFailed is an error of the store as the caller sees it.
func (l *Launcher) storeFailed(op string, id launcher.ID, err error) error {
	kind := launcher.ErrUnavailable
	if errors.Is(err, store.ErrInvalid) {
		kind = launcher.ErrInvalid
	}
	return fail(op, id, kind, fmt.Errorf("the store failed: %w", err))
}
