package ec2launcher

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/launcher"
)

// DriftKind is a way in which what is recorded and what is there differ.
type DriftKind string

const (
	// InstanceUnrecorded: an instance has the fleet's tag, and no record.
	InstanceUnrecorded DriftKind = "instance without a record"
	// InstanceMissing: a host is recorded, and EC2 shows no such instance.
	InstanceMissing DriftKind = "record without an instance"
	// InstanceEnded: a host is recorded as one that runs, and EC2 ends it or has.
	InstanceEnded DriftKind = "instance ended"
	// InstanceLingers: EC2 was asked to end an instance, and it has not.
	InstanceLingers DriftKind = "instance not ended"
	// HostSilent: a host's engine does not say what it runs.
	HostSilent DriftKind = "host silent"
	// ContainerUnrecorded: a host runs a container that no record knows.
	ContainerUnrecorded DriftKind = "container without a record"
	// ContainerUnwanted: a host runs a container that is recorded as exited, or
	// on another host.
	ContainerUnwanted DriftKind = "container not wanted"
	// ContainerMissing: a workload is recorded as one that its host has had, and
	// the host does not know it.
	ContainerMissing DriftKind = "record without a container"
	// HostUnrecorded: a workload is recorded on a host that has no record.
	HostUnrecorded DriftKind = "record without a host"
	// PurchaseOpen: it is not known for long what came of a purchase.
	PurchaseOpen DriftKind = "purchase without an outcome"
)

// Drift is one difference between what is recorded and what is there.
type Drift struct {
	Kind DriftKind
	// Instance, Workload and Token name what it is about: an EC2 instance, a
	// workload, the client token of a purchase. What does not apply is empty.
	Instance string
	Workload launcher.ID
	Token    string
	// Detail says what is known of it, in a sentence.
	Detail string
	// Repair says what Run does about it, in a sentence, and why that is safe.
	Repair string
}

// String is one line of a report.
func (d Drift) String() string {
	var about []string
	for _, name := range []string{d.Instance, string(d.Workload), d.Token} {
		if name != "" {
			about = append(about, name)
		}
	}
	return fmt.Sprintf("%s (%s): %s; %s", d.Kind, strings.Join(about, " "), d.Detail, d.Repair)
}

// driftAfter is after how long something that takes time by nature is reported:
// the end of an instance, the outcome of a purchase.
const driftAfter = 5 * time.Minute

// Drift compares the records with what EC2 shows and what the hosts' engines say,
// and returns every difference with what [Launcher.Run] does about it: the sweep
// that Run is, as a dry run. It changes nothing and needs no Run. Run repairs by
// itself, within a minute or the deadlines of [Config], so that what is reported
// again some minutes later, with the same kind and names, needs a look; an empty
// report is the normal one.
//
// EC2 is asked before the hosts and these before the records, so that what is
// bought or started meanwhile is not taken for a stray. A host that does not
// answer within 15 seconds is reported itself. The order is that of kinds, then
// of names.
//
// Connections to hosts that Drift, [Launcher.Dial], [Launcher.Logs] and [Launcher.Usage]
// have made are kept for the next call. Where Run is not active, Drift closes those to
// hosts that are gone.
func (l *Launcher) Drift(ctx context.Context) ([]Drift, error) {
	open := l.engines.hosts() // before the records: who opens one meanwhile may know of a younger host
	seen, err := l.describe(ctx, nil)
	if err != nil {
		return nil, fail("drift", "", judge(err).kind, fmt.Errorf("EC2 cannot be asked: %w", err))
	}
	before := map[string]Host{}
	for h, err := range l.hosts.All(ctx) {
		if err != nil {
			return nil, l.storeFailed("drift", "", err)
		}
		before[h.ID] = h
	}
	d := drifting{now: time.Now(), seen: seen, running: map[string]map[launcher.ID]launcher.Status{}, silent: map[string]error{}}
	if err := d.ask(ctx, l, before); err != nil {
		return nil, err
	}
	if err := d.read(ctx, l); err != nil {
		return nil, l.storeFailed("drift", "", err)
	}
	l.engines.keep(func(id string) bool {
		h, known := d.hosts[id]
		return known && h.live() || !open[id]
	})
	d.compareInstances(l.cfg)
	d.compareContainers()
	d.comparePurchases()
	slices.SortStableFunc(d.found, func(a, b Drift) int {
		return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Instance, b.Instance),
			strings.Compare(string(a.Workload), string(b.Workload)), strings.Compare(a.Token, b.Token))
	})
	return d.found, nil
}

// drifting is a comparison under way.
type drifting struct {
	now     time.Time
	seen    map[string]ec2types.Instance               // by EC2
	running map[string]map[launcher.ID]launcher.Status // by the hosts that answer
	silent  map[string]error

	hosts     map[string]Host
	workloads map[launcher.ID]workloadRecord
	buys      map[string]buyRecord
	found     []Drift
}

func (d *drifting) report(x Drift) { d.found = append(d.found, x) }

// ask asks the hosts that should answer what they run.
func (d *drifting) ask(ctx context.Context, l *Launcher, hosts map[string]Host) error {
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, h := range hosts {
		if !h.Ready || !h.answers() {
			continue
		}
		g.Go(func() error {
			has := map[launcher.ID]launcher.Status{}
			err := pace.Within(gctx, roomLimit, func(ctx context.Context) error {
				engine, err := l.engines.get(ctx, h)
				if err != nil {
					return err
				}
				for s, err := range engine.List(ctx, launcher.Filter{}) {
					if err != nil {
						return err
					}
					has[s.ID] = s
				}
				return nil
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				d.silent[h.ID] = err
			} else {
				d.running[h.ID] = has
			}
			return gctx.Err()
		})
	}
	return g.Wait()
}

// read reads the records.
func (d *drifting) read(ctx context.Context, l *Launcher) error {
	d.hosts, d.workloads, d.buys = map[string]Host{}, map[launcher.ID]workloadRecord{}, map[string]buyRecord{}
	for b, err := range l.buys.All(ctx) { // before the hosts that it becomes
		if err != nil {
			return err
		}
		d.buys[b.Token] = b
	}
	for h, err := range l.hosts.All(ctx) {
		if err != nil {
			return err
		}
		d.hosts[h.ID] = h
	}
	for rec, err := range l.workloads.All(ctx) {
		if err != nil {
			return err
		}
		d.workloads[rec.Workload.ID] = rec
	}
	return nil
}

// compareInstances compares the hosts' records with what EC2 shows.
func (d *drifting) compareInstances(cfg Config) {
	for id, i := range d.seen {
		_, open := d.buys[tagOf(i, tagBuy)]
		if _, known := d.hosts[id]; known || open || stateOf(i) == ec2types.InstanceStateNameTerminated {
			continue
		}
		d.report(Drift{
			Kind: InstanceUnrecorded, Instance: id, Detail: fmt.Sprintf("EC2 shows it %s, with the fleet's tag", stateOf(i)),
			Repair: "it is taken on as a host, asked what runs there, and released once that is nothing",
		})
	}
	for id, h := range d.hosts {
		i, shown := d.seen[id]
		state := stateOf(i)
		ended := shown && state != ec2types.InstanceStateNamePending && state != ec2types.InstanceStateNameRunning
		switch {
		case !h.live():
		case !shown && d.now.Sub(h.BoughtAt) >= consistent:
			d.report(Drift{
				Kind: InstanceMissing, Instance: id, Detail: fmt.Sprintf("it is recorded as %s since %s", h.State, h.BoughtAt.UTC().Format(time.RFC3339)),
				Repair: "it is asked for by its id, and if EC2 does not know that, what ran there is told as lost",
			})
		case ended && h.State != HostTerminating:
			d.report(Drift{
				Kind: InstanceEnded, Instance: id, Detail: fmt.Sprintf("EC2 shows it %s, and it is recorded as %s", state, h.State),
				Repair: "what ran there is told as lost when EC2 shows it terminated, not before",
			})
		case shown && !ended && h.State == HostTerminating && d.now.Sub(h.EndingSince) >= driftAfter:
			d.report(Drift{
				Kind: InstanceLingers, Instance: id, Detail: "EC2 was asked to end it and shows it " + string(state),
				Repair: fmt.Sprintf("EC2 is asked again every %v, which is harmless", terminateEvery),
			})
		case d.silent[id] != nil:
			d.report(Drift{
				Kind: HostSilent, Instance: id, Detail: d.silent[id].Error(),
				Repair: fmt.Sprintf("after %v of silence it is ended, and seen ended before what ran there is told as lost", cfg.FenceAfter),
			})
		}
	}
}

// compareContainers compares the workloads' records with what the hosts say.
func (d *drifting) compareContainers() {
	for id, has := range d.running {
		for _, name := range slices.Sorted(maps.Keys(has)) {
			s := has[name]
			rec, known := d.workloads[name]
			switch {
			case s.Phase == launcher.Exited:
			case !known:
				d.report(Drift{
					Kind: ContainerUnrecorded, Instance: id, Workload: name, Detail: "it is " + string(s.Phase) + " for " + cmp.Or(s.Owner, "nobody"),
					Repair: "it gets a record, so that it is listed and whoever owns it can stop it; a fleet never ends it unasked",
				})
			case rec.Host != id:
				d.report(Drift{
					Kind: ContainerUnwanted, Instance: id, Workload: name, Detail: "it is recorded on " + cmp.Or(rec.Host, "no host"),
					Repair: "it is killed, since the record names the only host that may run it",
				})
			case rec.Status.Phase == launcher.Exited:
				d.report(Drift{
					Kind: ContainerUnwanted, Instance: id, Workload: name, Detail: "it is recorded as exited",
					Repair: "it is killed, since its end was told",
				})
			}
		}
	}
	for id, rec := range d.workloads {
		if rec.Host == "" || rec.Status.Phase == launcher.Exited {
			continue
		}
		if _, known := d.hosts[rec.Host]; !known {
			d.report(Drift{
				Kind: HostUnrecorded, Instance: rec.Host, Workload: id, Detail: "it is recorded on a host that is not",
				Repair: "EC2 is asked for the instance: if that is there it is taken on, and else the workload is told as lost",
			})
			continue
		}
		if has, answers := d.running[rec.Host]; answers && rec.Seen && rec.Status.StartedAt.Before(d.now) {
			if _, runs := has[id]; !runs {
				d.report(Drift{
					Kind: ContainerMissing, Instance: rec.Host, Workload: id, Detail: "its host had it and does not know it any more",
					Repair: "the host is asked for it once more, and then it is told as lost; it is not run again",
				})
			}
		}
	}
}

// comparePurchases finds those whose outcome takes long.
func (d *drifting) comparePurchases() {
	for token, b := range d.buys {
		if age := d.now.Sub(b.At); age >= driftAfter {
			d.report(Drift{
				Kind: PurchaseOpen, Token: token, Detail: fmt.Sprintf("%d %s in %s, %v ago, tried %d times", b.Count, b.offer(), b.Zone, age.Round(time.Second), b.Attempts),
				Repair: "the same call is made with the same token until EC2 answers, which buys nothing twice",
			})
		}
	}
}
