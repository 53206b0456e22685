package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/launcher"
)

const (
	// idleEvery is how often it is looked at who is idle.
	idleEvery = time.Minute
	// idleGrace is how long after its time a session ends: until then what was
	// reported to any process has been recorded.
	idleGrace = reportEvery + 5*time.Second
	// meterEvery is how often processor time is measured while it need not be known
	// yet who is idle: a mean over longer hides short computations.
	meterEvery = 5 * time.Minute
	// busyCores is how many cores are computing rather than idling. The servers of
	// IDEs that nobody uses take a few hundredths: their timers and checks.
	busyCores = 0.2
	// lifetimeWarning is how long before its longest lifetime a session's user is
	// told.
	lifetimeWarning = 15 * time.Minute
	// maxKeep is how long an exemption may last.
	maxKeep = 7 * 24 * time.Hour
	// asking is how many sessions are asked at one time, askWithin how long that may
	// take for one.
	asking    = 16
	askWithin = 10 * time.Second
)

// An Ending is when a session ends by itself if nothing changes.
type Ending struct {
	// At is from when on; it is done one to three minutes later, once all that was
	// reported of its use is recorded. Zero is that it does not end, as far as is
	// known.
	At time.Time
	// Stop is whether it is then stopped for good. Otherwise it is suspended.
	Stop bool
	// Reason says which sort of rule that is: [ErrIdle] or [ErrLifetime]. It is then
	// the session's Reason.
	Reason launcher.Kind `json:",omitempty"`
	// Why says which rule that is, for people, and whose policy it is from.
	Why string
}

// A verdict is what the rules say of a session that runs.
type verdict struct {
	Ending
	forced bool      // it ends then, whether or not its state can be saved
	warn   time.Time // from when on its user is to be told
	ask    time.Time // from when on it has to be known who uses it
	used   Evidence  // its last use
}

// judge says when a running session ends if nobody uses it from now on, by the first
// rule to come true. It is a pure function; ok is false if no rule applies.
func judge(r record) (v verdict, ok bool) {
	v.used = lastUse(r)
	on := r.offer()
	for _, b := range r.Grant.Bounds {
		var next verdict
		switch {
		case b.MaxLifetime != 0:
			end := r.Started.Add(b.MaxLifetime)
			next = verdict{forced: !r.Unsuspended.IsZero(), Ending: Ending{At: end, Reason: ErrLifetime, Why: fmt.Sprintf("it may run for %v at most (%s)", short(b.MaxLifetime), b.Owner)}, warn: end.Add(-min(lifetimeWarning, b.MaxLifetime/2)), ask: end}
		case b.Idle.Applies(r.Request.Kind.Name, on.Price.PerHour, on.Priced) && v.used.Source != Work:
			end := v.used.last().Add(b.Idle.After)
			why := fmt.Sprintf("nobody has used it for %v (%s)", short(b.Idle.After), b.Owner)
			if b.Idle.MinPricePerHour > 0 {
				why = fmt.Sprintf("nobody has used it for %v, at %v an hour or more (%s)", short(b.Idle.After), b.Idle.MinPricePerHour, b.Owner)
			}
			warn := end.Add(-b.Idle.WarnBefore())
			next = verdict{
				Ending: Ending{At: end, Stop: b.Idle.Stop, Reason: ErrIdle, Why: why}, warn: warn,
				ask: earliest(v.used.last().Add(b.Idle.After/2), warn.Add(-2*idleEvery)),
			}
		default:
			continue
		}
		if !ok || next.At.Before(v.At) {
			v.Ending, v.warn, v.ask, v.forced, ok = next.Ending, next.warn, next.ask, next.forced, true
		}
	}
	if ok && r.KeepUntil.After(v.At) {
		v.At = r.KeepUntil
		v.warn, v.ask = maxTime(v.warn, v.At.Add(-lifetimeWarning)), maxTime(v.ask, v.At.Add(-lifetimeWarning))
	}
	if r.Request.Kind.unsuspendable() != "" {
		v.Stop = true
	}
	return v, ok
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// short writes a duration as people do: "2h", "1h30m", "45s".
func short(d time.Duration) string {
	text := d.Round(time.Second).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if len(text) > len(zero) && text[len(text)-len(zero):] == zero {
			text = text[:len(text)-2]
		}
	}
	return text
}

// lastUse is the evidence of the latest use of a session.
func lastUse(r record) Evidence {
	if r.Request.Kind.Suspension == NoSuspension {
		return Evidence{Source: Work, Used: r.Started, Detail: "it works as long as it runs"}
	}
	last := Evidence{Source: Began, Used: r.Started, Detail: "its container began"}
	ending := slices.Contains([]string{"suspend", "stop", "kill", "delete"}, r.Last.Op) // which is no use
	if r.Last.At.After(last.Used) && r.Last.By != Itself && !ending {
		last = Evidence{Source: Began, Used: r.Last.At, Detail: "somebody asked to " + r.Last.Op + " it"}
	}
	if r.Unsuspended.After(last.Used) {
		last = Evidence{Source: Began, Used: r.Unsuspended, Detail: "it could not be suspended"}
	}
	for _, source := range slices.Sorted(maps.Keys(r.Evidence)) {
		if e := r.Evidence[source]; e.counts() && e.last().After(last.last()) {
			last = e
		}
	}
	return last
}

// meters are the last measurements of sessions' use of processors. The zero value is
// empty.
type meters struct {
	mu   sync.Mutex
	last map[launcher.ID]reading
}

// reading is a measurement, and when it was made by this process's clock.
type reading struct {
	usage launcher.Usage
	at    time.Time
}

// swap notes a measurement and returns the one before.
func (m *meters) swap(id launcher.ID, u launcher.Usage, now time.Time) launcher.Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last == nil {
		m.last = map[launcher.ID]reading{}
	}
	before := m.last[id]
	m.last[id] = reading{u, now}
	return before.usage
}

// due reports whether it is time for a measurement.
func (m *meters) due(id launcher.ID, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return now.Sub(m.last[id].at) >= meterEvery
}

func (m *meters) forget(live func(launcher.ID) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.last, func(id launcher.ID, _ reading) bool { return !live(id) })
}

// watchIdle looks at all running sessions of this process's part.
func (m *Manager) watchIdle(ctx context.Context) error {
	var saving errgroup.Group
	saving.SetLimit(asking)
	for _, id := range m.reports.waiting() {
		saving.Go(func() error { return m.saveReports(ctx, id) })
	}
	if err := saving.Wait(); err != nil && ctx.Err() == nil { // it is kept, and tried again
		m.log.Warn("some reports of use could not be recorded", "op", "idle", "error", err)
	}
	live := map[ID]bool{}
	workloads := map[launcher.ID]bool{}
	now := time.Now()
	var g errgroup.Group
	g.SetLimit(asking)
	for _, r := range m.hub.All() {
		if r.State != Running {
			continue
		}
		live[r.ID], workloads[r.workloadID()] = true, true
		if !m.members.mine(r.ID) {
			continue
		}
		v, bound := judge(*r)
		if !bound && r.Ends.At.IsZero() {
			continue
		}
		if bound && now.Before(v.ask) && now.Before(v.warn) && r.Ends.At.IsZero() {
			if v.used.Source != Work && m.meters.due(r.workloadID(), now) {
				g.Go(func() error { return m.measure(ctx, *r) })
			}
			continue
		}
		g.Go(func() error {
			m.lookAfter(ctx, r.ID, !now.Before(v.ask))
			return nil
		})
	}
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		m.log.Warn("some sessions' use could not be recorded", "op", "idle", "error", err)
	}
	m.reports.forget(func(id ID) bool { return live[id] })
	m.meters.forget(func(id launcher.ID) bool { return workloads[id] })
	return ctx.Err()
}

// lookAfter finds out whether a session is used, warns its user, and has it ended.
func (m *Manager) lookAfter(ctx context.Context, id ID, ask bool) {
	r, err := m.records.Get(ctx, string(id))
	if err != nil {
		return
	}
	m.adopt(r) // another process may have recorded that it was used
	if r.State != Running {
		return
	}
	var found []Evidence
	if ask {
		found = m.evidence(ctx, r)
	}
	now := time.Now()
	change := func(r *record) (news bool) {
		before := r.Ends
		for _, e := range found {
			news = r.learn(e) || news
		}
		m.conclude(r, now)
		return news || r.State != Running || r.remark != "" || r.Ends != before
	}
	if draft := r; !change(&draft) {
		return
	}
	next, err := m.advance(ctx, r, func(r *record) { change(r) })
	if err == nil {
		m.announce(ctx, next) // it may be another's by now
		return
	}
	if !errors.Is(err, errStale) && ctx.Err() == nil {
		m.log.Warn("the store does not answer", "session", id, "op", "idle", "error", err)
	}
	m.jobs.enqueue(id)
}

// conclude does with a running session what the rules say now.
func (m *Manager) conclude(r *record, now time.Time) {
	v, bound := judge(*r)
	switch {
	case !bound || now.Before(v.warn):
		if !r.Ends.At.IsZero() {
			r.remark, r.why = "used again", v.used.Detail
		}
		r.Ends = Ending{}
	case !r.Ends.At.IsZero() && !now.Before(maxTime(v.At, r.Ends.At).Add(idleGrace)):
		r.why = v.Why + "; last: " + v.used.Detail
		e, op := timesOut, "suspend"
		if v.Stop {
			e, op = timesOutForGood, "stop"
		}
		r.Last = Asked{Op: op, By: Itself, Why: r.why, At: now}
		r.Ends = Ending{}
		r.Forced, r.Reason, r.Message = v.forced, v.Reason, r.why
		_ = r.apply(e, now, m.deadlines)
	default:
		told := r.Ends.At
		if told.IsZero() { // it may have come to this while nobody looked
			r.remark, r.why = "warning", v.Why
			told = now.Add(2 * idleEvery)
		}
		r.Ends = v.Ending
		r.Ends.At = maxTime(v.At, told)
	}
}

// evidence asks what a running session's program and its processors tell.
func (m *Manager) evidence(ctx context.Context, r record) (all []Evidence) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	if e, ok := m.askProgram(ctx, r); ok {
		all = append(all, e)
	}
	if e, ok := m.askCPU(ctx, r); ok {
		all = append(all, e)
	}
	return all
}

// measure looks at the processor time of a session, and records that it was used if
// that says so.
func (m *Manager) measure(ctx context.Context, r record) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	e, ok := m.askCPU(ctx, r)
	if !ok || e.Used.IsZero() {
		return nil
	}
	m.reports.add(r.ID, e, e.Asked)
	return m.saveReports(ctx, r.ID)
}

func (m *Manager) askProgram(ctx context.Context, r record) (Evidence, bool) {
	last, busy, detail, err := r.Request.Kind.activity(ctx, m.dialer(r))
	now := time.Now()
	switch {
	case errors.Is(err, errSilent):
		return Evidence{}, false
	case err != nil:
		return Evidence{Source: Program, Asked: now, Failure: oneLine(err.Error())}, true
	case busy:
		last = now
	}
	return Evidence{Source: Program, Used: earliest(last, now), Asked: now, Detail: oneLine(detail)}, true
}

func (m *Manager) askCPU(ctx context.Context, r record) (Evidence, bool) {
	u, err := m.launcher.Usage(ctx, r.workloadID())
	now := time.Now()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return Evidence{}, false
	case err != nil:
		return Evidence{Source: CPU, Asked: now, Failure: oneLine(err.Error())}, true
	}
	before := m.meters.swap(r.workloadID(), u, now)
	cores, ok := u.Cores(before)
	if !ok {
		return Evidence{}, false
	}
	e := Evidence{Source: CPU, Asked: now, Detail: fmt.Sprintf("%.2f cores for %v", cores, short(u.At.Sub(before.At)))}
	if cores >= busyCores {
		e.Used = now
	}
	return e, true
}

// oneLine is the beginning of a text, as evidence keeps it.
func oneLine(s string) string {
	if len(s) > 200 {
		s = s[:197] + "..."
	}
	return s
}

// Keep exempts a session from ending by itself until a time, seven days from now at
// most, whatever the rules of its domain say; the exemption then ends. Zero ends one
// at once. It is idempotent. A session that has ended is [ErrState].
func (m *Manager) Keep(ctx context.Context, id ID, until time.Time, o Order) (_ Session, err error) {
	const op = "keep"
	defer m.telemetry.asked(ctx, op, &err)
	if left := time.Until(until); !until.IsZero() && (left <= 0 || left > maxKeep) {
		return Session{}, &Error{Op: op, ID: id, Kind: ErrInvalid, Err: fmt.Errorf("keep until %v: want a time within the next %v, or zero to end it", until, short(maxKeep))}
	}
	if err := m.awake(ctx, op, id); err != nil {
		return Session{}, err
	}
	return m.alter(ctx, op, id, o, func(r *record) error {
		if r.State.Ended() || r.State == Stopping {
			return stateError{r.State, "it needs no exemption"}
		}
		r.KeepUntil, r.KeptBy = until, cmp.Or(o.By, "somebody")
		if until.IsZero() {
			r.KeptBy = ""
		}
		if r.State == Running {
			m.conclude(r, time.Now())
		}
		return nil
	})
}
