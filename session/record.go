package session

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
)

// record is a session as it is stored. It is changed only by Manager.alter and
// Manager.advance, which count its revisions.
type record struct {
	ID       ID
	Revision int64
	Request  StartRequest
	// Resumed is the request that made the present generation, if it is not
	// the first.
	Resumed ResumeRequest `json:",omitzero"`
	// Grant is what the domain allowed for the present generation. It is not kept of
	// a session that was deleted.
	Grant domain.Grant `json:",omitzero"`
	// Access is how the present generation gets its role's credentials. It
	// holds a secret. Zero without a role.
	Access access `json:",omitzero"`

	State      State
	Generation int
	Created    time.Time
	Since      time.Time // when State was entered
	Deadline   time.Time `json:",omitzero"` // when it is left at the latest
	Started    time.Time `json:",omitzero"`
	Ended      time.Time `json:",omitzero"`

	// Start is how the present generation came to run.
	Start start `json:",omitzero"`

	// Asked is when a launch of the present generation was last begun: from
	// then on there may be a container of it, until it is Gone. It is
	// written before the launcher is called.
	Asked time.Time `json:",omitzero"`
	// Gone is set when the present generation's container has ended, for
	// certain and for ever.
	Gone bool `json:",omitempty"`
	// Killed is set when asking was not enough, or not wanted.
	Killed bool `json:",omitempty"`
	// Hastened is set when the session was stopped while it was suspending.
	Hastened bool `json:",omitempty"`
	// GoOn is set while the session is Suspending or Suspended only because AWS
	// takes its host back, if it is then to be resumed by itself.
	GoOn bool `json:",omitempty"`
	// Interruptions counts those since a caller resumed it or it last ran
	// calmly.
	Interruptions int `json:",omitempty"`

	// Type and Market are the host's, as the launcher tells once there is one.
	Type         string             `json:",omitempty"`
	Market       launcher.Market    `json:",omitempty"`
	Tried        []launcher.Attempt `json:",omitempty"`
	Endangered   bool               `json:",omitempty"`
	Interruption time.Time          `json:",omitzero"`

	Host        string            `json:",omitempty"`
	Endpoints   map[string]string `json:",omitempty"`
	Unreachable bool              `json:",omitempty"`
	Reason      launcher.Kind     `json:",omitempty"`
	Message     string            `json:",omitempty"`
	ExitCode    int               `json:",omitempty"`

	// Last is what was asked last, Orders the orders that were followed, the latest.
	Last   Asked      `json:",omitzero"`
	Orders []followed `json:",omitempty"`
	// Trail is what is to be in the audit record and may not be yet.
	Trail []Entry `json:",omitempty"`

	// Forced is set while the session is suspended whether or not it can save its
	// state.
	Forced bool `json:",omitempty"`
	// Charged is the latest generation whose cost is settled, Spent what all that
	// are have cost.
	Charged int                `json:",omitempty"`
	Spent   instancetype.Money `json:",omitempty"`
	// Unsuspended is when the present generation was last asked to suspend and went
	// on instead.
	Unsuspended time.Time `json:",omitzero"`
	// Evidence is what each source tells of the present generation's use.
	Evidence map[Source]Evidence `json:",omitempty"`
	// Ends is set once the user has been warned.
	Ends Ending `json:",omitzero"`
	// KeepUntil is until when it does not end by itself, KeptBy who said so.
	KeepUntil time.Time `json:",omitzero"`
	KeptBy    string    `json:",omitempty"`

	// event is what apply was last called for, remark what else is to be in the
	// audit record, why what it was done for. They are of one change.
	event, remark, why string

	// Deleted is when the session was forgotten. What is left of it keeps its
	// ID from being used again for a while.
	Deleted time.Time `json:",omitzero"`
}

// collection is where the sessions of a domain are stored.
func collection(domain string) string { return "domains/" + domain + "/sessions" }

// loose reports whether a container of the present generation may be live.
func (r record) loose() bool { return !r.Asked.IsZero() && !r.Gone }

// settled reports whether there is nothing to be done for the session until a
// caller asks.
func (r record) settled() bool { return r.still() && !r.goesOn() && r.charged() }

// still reports whether the present generation has no container and gets none.
func (r record) still() bool {
	return !r.Deleted.IsZero() || (r.State == Suspended || r.State.Ended()) && !r.loose()
}

// wants reports whether a container of a generation is this session's
// business. What no record wants is swept away.
func (r record) wants(generation int) bool {
	return r.Generation == generation && !r.still()
}

// outcome is what an event leads to: what is being killed already is not killed once
// more, or the state would last for as long as somebody asks for that.
func (r record) outcome(e event) outcome {
	o := machine[r.State].on[e]
	if r.Killed && o.to == r.State {
		o.kill = false
	}
	return o
}

// apply changes r as the machine says for an event. It returns a stateError if
// a caller is refused. An outcome that stays leaves r as it is.
func (r *record) apply(e event, now time.Time, d Deadlines) error {
	o := r.outcome(e)
	r.event = e.String()
	switch {
	case o.refuse != "":
		return stateError{r.State, o.refuse}
	case o.stays(r.State):
		return nil
	}
	r.Hastened = r.State == Suspending && o.to == Stopping
	r.Forced = r.Forced && o.to == Suspending
	r.Killed = o.kill || r.Killed && o.to == Failed
	r.GoOn = r.GoOn && (o.to == Suspending || o.to == Suspended)
	r.State, r.Since, r.Deadline = o.to, now, time.Time{}
	if limit := machine[o.to].deadline; limit != nil {
		r.Deadline = now.Add(limit(d, r.hurried(now)))
	}
	if o.to.Ended() && r.Ended.IsZero() {
		r.Ended = now
	}
	if o.to != Running {
		r.Endpoints, r.Unreachable, r.Endangered, r.Ends = nil, false, false, Ending{}
	}
	return nil
}

// begin makes r the next generation, which is pending.
func (r *record) begin(g domain.Grant, q ResumeRequest, a access) {
	q.Order = Order{} // it is remembered elsewhere
	r.Grant, r.Resumed, r.Access = g, q, a
	r.Generation++
	r.Asked, r.Gone = time.Time{}, false
	r.Started, r.Ended, r.Start = time.Time{}, time.Time{}, start{Asked: toMillisecond(r.Since)}
	r.Host, r.Reason, r.Message, r.ExitCode = "", "", "", 0
	r.Type, r.Market, r.Tried, r.Interruption = "", "", nil, time.Time{}
	r.Evidence, r.Unsuspended = nil, time.Time{}
}

// timedOut reports whether the session ends, or has ended, by a rule of the domain's.
func (r record) timedOut() bool { return r.Reason == ErrIdle || r.Reason == ErrLifetime }

// patient reports whether the program is to go on if it cannot save its state when
// it is suspended: unless its host is going, or its time is up.
func (r record) patient() bool {
	return r.Request.Kind.Suspension == SavesState && r.Interruption.IsZero() && !r.Killed && !r.Forced
}

// unsaved says what became of a program that ended without confirming that its
// state is saved.
func (r *record) unsaved() {
	withdrawn := r.Forced && r.Start.Ready.IsZero()
	if r.State == Suspending && !r.Request.Kind.keptState(r.ExitCode) && (r.Reason == "" || r.timedOut()) && !withdrawn {
		r.Reason = ErrNotSaved
		r.Message = fmt.Sprintf("it ended with exit code %d, which does not confirm that its state is saved: what it had only in memory may be lost; "+
			"the files of its home are kept; its logs may say more", r.ExitCode)
	}
}

// maxTried is how many attempts a record keeps, the latest: it must not outgrow
// the store.
const maxTried = 50

// note takes over what the launcher says of a workload that has not exited,
// and reports whether that changed anything.
func (r *record) note(s launcher.Status) bool {
	next := *r
	next.Start.note(s)
	next.Host = s.Host
	next.Unreachable = s.Unknown
	next.Endangered, next.Interruption = s.Endangered, s.Interruption
	next.Type, next.Market = "", ""
	if s.Host != "" { // before that it is what was asked for
		next.Type, next.Market = s.InstanceType, s.Market
	}
	if !s.StartedAt.IsZero() {
		next.Started = s.StartedAt
	}
	switch r.State {
	case Pending, Starting:
		next.Reason, next.Message = s.Reason, s.Message
		if r.Reason == ErrNotReady && s.Reason == ErrNotReady {
			next.Message = r.Message // the words may differ each time
		}
		next.Tried = slices.Clone(s.Tried[max(0, len(s.Tried)-maxTried):])
	case Running:
		next.Tried = nil
		next.Endpoints = s.Endpoints
		if r.Reason != ErrNotSaved { // which is to be seen until it is asked again
			next.Reason, next.Message = "", ""
		}
	}
	changed := r.Host != next.Host || r.Unreachable != next.Unreachable || !r.Started.Equal(next.Started) ||
		r.Reason != next.Reason || r.Message != next.Message || !maps.Equal(r.Endpoints, next.Endpoints) ||
		r.Type != next.Type || r.Market != next.Market || !slices.EqualFunc(r.Tried, next.Tried, sameAttempt) ||
		r.Endangered != next.Endangered || !r.Interruption.Equal(next.Interruption) || r.Start != next.Start
	*r = next
	return changed
}

// noticed is what a note says that others are to see: what else it says of a session
// that runs is of no interest to them.
func (r record) noticed(before record) string {
	switch {
	case r.State != Running:
		return ""
	case r.Unreachable && !before.Unreachable:
		return "unreachable"
	case before.Unreachable && !r.Unreachable:
		return "reachable"
	case r.Endangered && !before.Endangered:
		return "endangered"
	}
	return ""
}

// sameAttempt reports whether one attempt is told of twice.
func sameAttempt(a, b launcher.Attempt) bool {
	same := a.At.Equal(b.At)
	a.At, b.At = time.Time{}, time.Time{}
	return same && a == b
}

// exit takes over how a workload ended.
func (r *record) exit(s launcher.Status) {
	r.Gone = true
	if r.State == Failed { // why it failed is known, and not by its end
		if s.ExitedAt.After(r.Ended) {
			r.Ended = s.ExitedAt
		}
		return
	}
	r.ExitCode = s.ExitCode
	switch {
	case r.timedOut() && s.Reason == "": // and went as it was asked to
	case r.State == Suspending && r.Reason != "" && !r.timedOut(): // it was told why before
	default:
		r.Reason, r.Message = s.Reason, s.Message
	}
	r.unsaved()
	r.Start.note(s)
	if s.Host != "" {
		r.Host, r.Type, r.Market = s.Host, s.InstanceType, s.Market
	}
	if !s.StartedAt.IsZero() {
		r.Started = s.StartedAt
	}
	if !s.ExitedAt.IsZero() {
		r.Ended = s.ExitedAt
	}
}

// expire says why r failed when its deadline passed. The launcher's last
// reason is kept, as it is what the session waited for.
func (r *record) expire(now time.Time) {
	waited := now.Sub(r.Since).Round(time.Second)
	advice := "start another session"
	if r.Generation > 1 {
		advice = "resume it again"
	}
	switch {
	case r.State == Suspending || r.State == Stopping:
		r.Reason = ErrDeadline
		r.Message = fmt.Sprintf("its container could not be confirmed to have ended, though it was killed %v ago; "+
			"it is killed again until it has; if its host does not come back, an administrator has to end that", waited)
		return
	case r.Reason != "":
		last := r.Message
		if last == "" {
			last = string(r.Reason)
		}
		r.Message = fmt.Sprintf("it was %s for %v and waited for: %s; %s", r.State, waited, last, advice)
	default:
		stage := r.progress()
		r.Reason = ErrDeadline
		r.Message = fmt.Sprintf("it was %s for %v, and the launcher gave no reason: %s; %s, or ask an administrator", r.State, waited, stage, advice)
	}
}

// workloadID names the container of the present generation, for ever.
func (r record) workloadID() launcher.ID {
	return launcher.ID(r.Grant.Domain + "." + string(r.ID) + "." + strconv.Itoa(r.Generation))
}
