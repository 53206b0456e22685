package ec2launcher

import (
	"cmp"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
)

// What the store holds, in one collection for each kind. Every record is
// changed by compare-and-swap; no decision spans two records.

// workloadRecord is the intent for one workload and what is known of it.
type workloadRecord struct {
	Workload launcher.Workload
	Digest   string

	// Host is where placement put it. It is unset again only while Delivered
	// is false, or when the host has refused it, so that no two hosts run it.
	Host string `json:",omitempty"`
	// Delivered is set before the host is asked to run it for the first time.
	Delivered   bool `json:",omitempty"`
	DeliveredAt time.Time
	// Setback is set when a host came to nothing or refused it: why is told until
	// it runs elsewhere.
	Setback bool `json:",omitempty"`
	// Refusals counts the hosts that had no room for it after all.
	Refusals int `json:",omitempty"`
	// Seen is set when the host has reported it: from then on, a host that
	// does not know it has lost it, and it is not run again.
	Seen bool `json:",omitempty"`
	// Stop is set once the workload was asked to end.
	Stop *stopRecord `json:",omitempty"`
	// Forget is set once the caller has recorded the exit, or will have.
	Forget bool `json:",omitempty"`
	// Ended is when the exit was recorded, which may be long after it.
	Ended time.Time
	// Revision counts the changes, so that a reader can tell old from new.
	Revision int64
	Status   launcher.Status
}

// unplace takes the workload off its host, which does not run it. It waits for
// another in the phase it has come to: phases do not go back.
func (w *workloadRecord) unplace(reason launcher.Kind, message string) {
	w.Host, w.Delivered, w.DeliveredAt = "", false, time.Time{}
	w.Status.Host, w.Status.InstanceType, w.Status.Market = "", w.Workload.InstanceType, offersOf(&w.Workload)[0].market
	w.Status.Zone, w.Status.Reached = "", launcher.Timeline{}
	if w.Setback = w.Setback || reason != ""; reason != "" || !w.Setback {
		w.Status.Reason, w.Status.Message = reason, message
	}
}

// An outlook is what is to be told of many workloads and is recorded once: what a
// host's state says of those that it runs, and the fleet's of those that have none.
type outlook struct {
	silent, endangered bool
	interruption       time.Time
	inTurn             bool
}

func (h Host) outlook() outlook {
	return outlook{silent: h.silent(), endangered: h.Endangered, interruption: h.Interruption}
}

// inTurn is what is told to those that wait while the account's bucket is empty.
const inTurn = "AWS lets an account start so many instances at once and then a few each second; it is their turn by itself"

// status is the workload's status as told to callers, on a host with an outlook.
func (w *workloadRecord) status(on outlook) launcher.Status {
	s := w.Status
	if s.Phase == launcher.Exited {
		return s
	}
	s.Unknown = on.silent && w.Delivered
	s.Endangered, s.Interruption = on.endangered, on.interruption
	if on.inTurn && s.Reason == "" {
		s.Reason, s.Message = launcher.ErrThrottled, inTurn
	}
	return s
}

// stop notes that the workload is to end and reports whether that is news.
func (w *workloadRecord) stop(o launcher.StopOptions) bool {
	news := false
	if o.Forget && !w.Forget {
		w.Forget, news = true, true
	}
	if w.Status.Phase == launcher.Exited {
		return news
	}
	signal, grace := cmp.Or(o.Signal, w.Workload.StopSignal, "SIGTERM"), cmp.Or(o.Grace, launcher.DefaultGrace)
	if signal == "SIGKILL" {
		grace = 0
	}
	if !w.Delivered {
		w.exit("", stoppedEarly)
		return true
	}
	if kill := time.Now().Add(grace); w.Stop == nil || kill.Before(w.Stop.Kill) {
		w.Stop, news = &stopRecord{Signal: signal, Grace: grace, Kill: kill}, true
		w.Status.Phase = launcher.Stopping
	}
	return news
}

// observe takes over what the host reports and reports whether that is news.
func (w *workloadRecord) observe(host string, s launcher.Status) bool {
	if w.Host != host || w.Status.Phase == launcher.Exited {
		return false
	}
	// Until it has started, an engine that restarts may know nothing of it any
	// more: an image that was being pulled, say.
	news := !w.Seen && order(s.Phase) > order(launcher.Starting)
	w.Seen = w.Seen || news
	if w.Stop != nil && s.Phase != launcher.Exited {
		s.Phase = launcher.Stopping
	}
	if order(s.Phase) < order(w.Status.Phase) {
		return news
	}
	before := w.Status
	w.Status.Phase, w.Status.Reason, w.Status.Message, w.Status.ExitCode = s.Phase, s.Reason, s.Message, s.ExitCode
	w.Status.Endpoints, w.Status.StartedAt, w.Status.ExitedAt = s.Endpoints, s.StartedAt, s.ExitedAt
	w.Status.Host = host
	if at := &w.Status.Reached; at.Pull.IsZero() { // an engine that restarts may pull again
		at.Pull = s.Reached.Pull
	}
	if at := &w.Status.Reached; at.Mount.IsZero() {
		at.Mount = s.Reached.Mount
	}
	return news || !reflect.DeepEqual(before, w.Status)
}

// order makes phases comparable: they only move forward.
func order(p launcher.Phase) int {
	return slices.Index([]launcher.Phase{
		launcher.Queued, launcher.Provisioning, launcher.Starting, launcher.Running, launcher.Stopping, launcher.Exited,
	}, p)
}

// stopRecord is how a workload is asked to end.
type stopRecord struct {
	Signal string
	Grace  time.Duration
	Kill   time.Time // when the grace is over
}

const stoppedEarly = "it was stopped before it started"

// exit makes the record final.
func (w *workloadRecord) exit(reason launcher.Kind, message string) {
	w.Status.Phase, w.Status.Reason, w.Status.Message = launcher.Exited, reason, message
	w.Status.Endpoints, w.Status.Unknown = nil, false
	w.Status.ExitedAt = time.Now()
}

// HostState is how far a host has come.
type HostState string

const (
	// HostBooting: bought; its container engine does not answer yet.
	HostBooting HostState = "booting"
	// HostReady: it runs workloads.
	HostReady HostState = "ready"
	// HostDraining: nothing new is placed on it; it is released when a look
	// at its engine shows that nothing runs.
	HostDraining HostState = "draining"
	// HostTerminating: EC2 was asked to end it.
	HostTerminating HostState = "terminating"
	// HostGone: EC2 has confirmed its end.
	HostGone HostState = "gone"
)

// A Host is an EC2 instance of the fleet. It is told for an hour after its end.
type Host struct {
	// ID is the EC2 instance id.
	ID string
	// InstanceType, Zone and Subnet are where and what it is.
	InstanceType, Zone, Subnet string
	// Address is its private IPv4 address.
	Address string
	// Market is how it was bought: OnDemand or Spot.
	Market launcher.Market `json:",omitempty"`
	// State is how far it has come.
	State HostState
	// Sharing is the owner or pool it is kept for: empty until its first workload.
	Sharing string `json:",omitempty"`
	// Room is what workloads may use of it: an estimate from the type until
	// its engine has reported.
	Room launcher.Resources
	// Mounts are the sources of the EFS mounts that its workloads have had, in
	// order: it keeps each until it ends, and takes 400. What ran on it before
	// its record was lost, if that happened, is not among them.
	Mounts []string `json:",omitempty"`
	// PricePerHour is the on-demand list price or, of a spot instance, AWS's
	// spot price when it was bought; PriceKnown is false if that is not known.
	PricePerHour instancetype.Money
	PriceKnown   bool
	// BoughtAt and GoneAt are when the purchase was answered and when EC2
	// confirmed the end. GoneAt is zero before.
	BoughtAt, GoneAt time.Time
	// ReadyAt is when its engine answered for the first time. Zero before.
	ReadyAt time.Time `json:",omitzero"`

	// Token is the purchase it came from.
	Token string
	// Running is set when EC2 has shown it running, Ready when its engine has
	// answered for the first time.
	Running, Ready bool
	// EmptySince is when it was last seen to be without a workload.
	EmptySince time.Time
	// Endangered is set when AWS has said that it may soon take it back,
	// Interruption is when AWS takes it back, as announced; zero if it is not.
	// Either way nothing new is placed on it.
	Endangered   bool      `json:",omitempty"`
	Interruption time.Time `json:",omitzero"`
	// UnreachableSince is when its engine stopped answering; zero while it answers.
	UnreachableSince time.Time
	// EndingSince is when it was decided, or seen, that it ends.
	EndingSince time.Time `json:",omitzero"`
	// Fault says why it is being ended, if not for want of work.
	Fault string `json:",omitempty"`
}

func (h Host) offer() offer { return offer{h.InstanceType, h.Market} }

// live reports whether the host may still run something.
func (h Host) live() bool { return h.State != HostGone }

// answers reports whether the host's engine can be expected to answer, now or soon.
func (h Host) answers() bool {
	return h.Running && (h.State == HostBooting || h.State == HostReady || h.State == HostDraining)
}

// with returns the host's mounts and those of a workload.
func (h Host) with(mounts []launcher.Mount) []string {
	all := slices.Clone(h.Mounts)
	for _, m := range mounts {
		if i, has := slices.BinarySearch(all, m.Source); !has {
			all = slices.Insert(all, i, m.Source)
		}
	}
	return all
}

// takes reports whether workloads of a sharing key may be placed on the host.
func (h Host) takes(key string) bool {
	return (h.State == HostBooting || h.State == HostReady) && (h.Sharing == "" || h.Sharing == key) && !h.leaves()
}

// works reports whether the host is ready, answers and stays.
func (h Host) works() bool {
	return h.State == HostReady && h.UnreachableSince.IsZero() && !h.leaves()
}

// leaves reports whether AWS takes the host back, or may soon.
func (h Host) leaves() bool { return h.Endangered || !h.Interruption.IsZero() }

// lost is what is told to a workload that was placed on the host and finds another:
// nothing, unless something was wrong with the host.
func (h Host) lost() (launcher.Kind, string) {
	if h.Fault == "" {
		return "", ""
	}
	return launcher.ErrUnavailable, "host " + h.ID + " came to nothing: " + h.Fault + "; another is looked for"
}

// exclusive reports whether the host was bought for one workload alone.
func (h Host) exclusive() bool { return strings.HasPrefix(h.Sharing, exclusiveKey) }

// silent reports whether the engine of a host that should answer does not.
func (h Host) silent() bool { return !h.UnreachableSince.IsZero() || h.State == HostTerminating }

// Cost is what the host has cost until now at PricePerHour: from
// its purchase, a minute at least, to the second. Zero if the price is not known.
func (h Host) Cost(now time.Time) instancetype.Money {
	if !h.GoneAt.IsZero() {
		now = h.GoneAt
	}
	return h.PricePerHour.Over(max(now.Sub(h.BoughtAt).Truncate(time.Second), time.Minute))
}

// buyRecord is a purchase under way: everything that is needed to make exactly
// the same call again.
type buyRecord struct {
	Token        string
	InstanceType string
	Market       launcher.Market `json:",omitempty"`
	Zone, Subnet string
	Count        int
	Input        json.RawMessage // of ec2.RunInstancesInput
	At           time.Time
	// Attempts is how many calls were begun, which is recorded before each.
	// NotBefore paces the repetition of one whose outcome is not known.
	Attempts  int
	NotBefore time.Time
	// Reason and Message are why the last call brought nothing, if it did.
	Reason  launcher.Kind `json:",omitempty"`
	Message string        `json:",omitempty"`
}

func (b buyRecord) offer() offer { return offer{b.InstanceType, b.Market} }

func (b buyRecord) input() (*ec2.RunInstancesInput, error) {
	var in ec2.RunInstancesInput
	if err := json.Unmarshal(b.Input, &in); err != nil {
		return nil, err
	}
	return &in, nil
}

// fleetRecord numbers purchases, so that no client token is used for two. The
// time it was made keeps tokens apart when a store was lost and begun anew.
type fleetRecord struct {
	Begun  time.Time
	Bought int
	// InTurn is set while hosts are wanted that the account's bucket has no tokens for.
	// Epoch is of the term that has told so last: no earlier one tells otherwise.
	InTurn bool  `json:",omitempty"`
	Epoch  int64 `json:",omitempty"`
}

// outlook is that of what has no host yet.
func (f fleetRecord) outlook() outlook { return outlook{inTurn: f.InTurn} }
