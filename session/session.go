package session

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
)

// A Session is what is known of a session at one moment. It is a copy, the
// caller's own. The zero value is the mark in a [Manager.Watch].
type Session struct {
	// ID names it in its domain.
	ID ID
	// User is whose it is.
	User string
	// State is how far it has come.
	State State
	// Since is when it entered State.
	Since time.Time
	// Deadline is when it leaves State at the latest: what takes longer has
	// failed. It bounds a step, not a session, so that it is zero while the
	// session may stay as it is, which one that is Running always may.
	Deadline time.Time
	// Generation counts its starts: 1, and one more with each resume.
	Generation int
	// Revision counts its changes: of two copies the one with the greater is the later.
	Revision int64
	// Kind is what sort of program it runs.
	Kind Kind
	// Image is the name of the image in the domain.
	Image string
	// Reference is the image by digest. It never changes.
	Reference string
	// InstanceType is the EC2 type of its host: of the one it has or last had,
	// if the launcher has said, or the one that was asked for.
	InstanceType string
	// Alternatives are the EC2 types that its host may have instead of the one
	// that was asked for.
	Alternatives []string
	// Market is how its host was bought, [launcher.OnDemand] or [launcher.Spot],
	// if the launcher has said, or how it may be bought.
	Market launcher.Market
	// OnInterruption says what becomes of it when AWS takes its host back.
	OnInterruption InterruptionPolicy
	// Size is its room on the host. Zero is all of it.
	Size domain.Size
	// Role is the ARN of the IAM role as which it acts in AWS. Empty is none.
	Role string
	// Projects and Mounts are the names of those it has beside its home.
	Projects []string
	Mounts   []string
	// PricePerHour is what a host of the InstanceType costs on demand in the
	// domain's region, if PriceKnown. Sessions on one host share it.
	PricePerHour instancetype.Money
	// PriceKnown is whether the price is known.
	PriceKnown bool
	// PerHour is what the session itself is charged an hour: its part of the host;
	// see [domain.Grant.PerHour]. Zero if the price is not known.
	PerHour instancetype.Money
	// Spent is what its generations that have ended were charged. What the present one
	// costs is not in it until it is Settled; see [Session.Cost].
	Spent instancetype.Money
	// Settled is whether what the present Generation cost is in Spent: a moment after
	// it is Suspended or has ended, and not before.
	Settled bool
	// Group and ChargeTo are the group and the project that it is charged to, beside
	// its user and the domain; see [domain.Grant]. Each may be empty for none.
	Group    string
	ChargeTo string
	// Labels are those it was started with.
	Labels map[string]string
	// Annotations are those it was started with.
	Annotations map[string]string

	// Host is where its container is or last was (an EC2 instance id).
	Host string
	// Endpoints is the address, host:port, of each port as seen in the host's
	// network. Empty unless Running. [Manager.Dial] needs no such address.
	Endpoints map[string]string
	// Unreachable is set while a Running session's host does not answer.
	Unreachable bool
	// Tried are the hosts that were asked for in vain while it waits (Pending,
	// Starting) or waited before it failed, the last 50.
	Tried []launcher.Attempt
	// Endangered is set while AWS says that it may soon take the host back, but
	// not when. Nothing is done about it: who wants to move it suspends and
	// resumes it, which never lands on that host again.
	Endangered bool
	// Interruption is when AWS takes its host back, or took that of this
	// generation, as it announced. Zero is not announced.
	Interruption time.Time

	// Reason says why it waits (Pending, Starting), is or was suspended
	// ([launcher.ErrInterrupted], [ErrIdle], [ErrLifetime]) or ended, if there is more
	// to say than the state. Empty after an ordinary exit, whatever its code, and
	// where somebody asked for it.
	Reason launcher.Kind
	// Message is a sentence for people about Reason or, while it starts without one,
	// about the stage of its start that it is in. It holds no secret.
	Message string
	// ExitCode is that of its last container, if that ended by itself.
	ExitCode int

	// Ends is when it ends by itself, once its user is to be warned of that. Zero
	// before, and if nothing ends it; see [Manager.Explain].
	Ends Ending
	// KeptUntil is until when it is exempt from that; see [Manager.Keep].
	KeptUntil time.Time
	// Last is the last thing that was asked and changed it: who did it, and why.
	Last Asked

	// CreatedAt is when it was first asked for.
	CreatedAt time.Time
	// StartedAt is when the container of this Generation began; zero before
	// that.
	StartedAt time.Time
	// EndedAt is when the container of this Generation ended; zero before
	// that.
	EndedAt time.Time
	// Timeline is how this Generation came to run, or how far it has come.
	Timeline Timeline
}

// Cost is what the session would have cost if it ended now: what is Spent and, unless
// that is Settled, what the present Generation has come to, at PerHour since
// StartedAt. One that has ended costs no more with time.
func (s Session) Cost(now time.Time) instancetype.Money {
	if s.Settled {
		return s.Spent
	}
	end := s.EndedAt
	switch {
	case !end.IsZero():
	case s.State == Suspended || s.State.Ended():
		end = s.Since
	default:
		end = now
	}
	return s.Spent + domain.Cost(s.PerHour, s.StartedAt, end)
}

// session is what callers see of a record.
func (r record) session() Session {
	if r.ID == "" {
		return Session{}
	}
	on := r.offer()
	bought := market(r.Grant.Market)
	if r.Type != "" {
		bought = r.Market
	}
	return Session{
		PerHour: r.rate(), Spent: r.Spent, Settled: r.charged(), Group: r.Grant.Group, ChargeTo: r.Grant.ChargeTo,
		ID: r.ID, User: r.Request.User, State: r.State, Since: r.Since, Deadline: r.Deadline,
		Generation: r.Generation, Revision: r.Revision, Kind: r.Request.Kind.clone(),
		Image: r.Grant.Image.Name, Reference: r.Grant.Image.Reference.String(),
		InstanceType: on.Type.Name, Alternatives: r.Grant.AlternativeNames(), Market: bought,
		OnInterruption: r.Request.OnInterruption, Size: r.Grant.Size, Role: r.Grant.Role,
		Projects: r.Grant.ProjectNames(), Mounts: r.Grant.MountNames(),
		PricePerHour: on.Price.PerHour, PriceKnown: on.Priced,
		Labels: maps.Clone(r.Request.Labels), Annotations: maps.Clone(r.Request.Annotations),
		Host: r.Host, Endpoints: maps.Clone(r.Endpoints), Unreachable: r.Unreachable,
		Tried: slices.Clone(r.Tried), Endangered: r.Endangered, Interruption: r.Interruption,
		Reason: r.Reason, Message: r.Message + r.outlook() + r.progress(), ExitCode: r.ExitCode,
		Ends: r.Ends, KeptUntil: r.KeepUntil, Last: r.Last, CreatedAt: r.Created, StartedAt: r.Started, EndedAt: r.Ended,
		Timeline: r.timeline(),
	}
}

// offer is the type that the session has, of those it was granted. A launcher
// that has none of them to offer has its own, of which no price is known here.
func (r record) offer() instancetype.Offer {
	main := instancetype.Offer{Type: r.Grant.Type, Price: r.Grant.PricePerHour, Priced: r.Grant.PriceKnown}
	if r.Type == "" || r.Type == main.Type.Name {
		return main
	}
	for _, o := range r.Grant.Alternatives {
		if r.Type == o.Type.Name {
			return o
		}
	}
	return instancetype.Offer{Type: instancetype.Type{Name: r.Type}}
}

// A Filter selects sessions. The zero value selects all.
type Filter struct {
	// User, if not empty, selects the sessions of this user alone.
	User string
	// States, if not empty, selects sessions in one of these states. One that
	// does not exist is [ErrInvalid].
	States []State
	// Labels selects sessions that have all of these labels with these values.
	Labels map[string]string
	// After, if not empty, selects the sessions whose ID is greater: a page of a list
	// goes on where the last one ended.
	After ID
}

// check reports what is wrong with f, or nil.
func (f Filter) check() error {
	if f.After != "" {
		if err := f.After.check(); err != nil {
			return errors.Join(checkStates(f.States), fmt.Errorf("after: %w", err))
		}
	}
	return checkStates(f.States)
}

func (f Filter) match(r *record) bool {
	if !r.Deleted.IsZero() || f.User != "" && f.User != r.Request.User || r.ID <= f.After {
		return false
	}
	if len(f.States) > 0 && !slices.Contains(f.States, r.State) {
		return false
	}
	for k, v := range f.Labels {
		if got, ok := r.Request.Labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

func (f Filter) clone() Filter {
	f.States, f.Labels = slices.Clone(f.States), maps.Clone(f.Labels)
	return f
}
