package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/internal/running"
	"github.com/atelier-go/atelier/internal/watch"
	"github.com/atelier-go/atelier/launcher"
)

// Deadlines say how long a session may stay in a transient state. Zero values
// are the defaults.
type Deadlines struct {
	// Pending is how long the launcher may refuse a workload for the time
	// being. Zero is 10 minutes. A fleet of EC2 hosts takes one at once: what
	// waits there for capacity or a quota is Starting.
	Pending time.Duration
	// Starting is how long it may take from there until the container runs:
	// waiting for capacity or a quota, buying and booting a host, pulling the
	// image. Zero is 30 minutes, which leaves room for a second host if the
	// first does not boot.
	Starting time.Duration
	// Suspending is how long the end of a container may take to be confirmed
	// beyond the Kind's grace before it is killed, and how long again before
	// the session fails. Zero is 2 minutes.
	Suspending time.Duration
	// Stopping is the same for stopping. Zero is 2 minutes.
	Stopping time.Duration
}

const (
	defaultPending  = 10 * time.Minute
	defaultStarting = 30 * time.Minute
	defaultEnding   = 2 * time.Minute
)

func (d Deadlines) withDefaults() Deadlines {
	set := func(field *time.Duration, value time.Duration) {
		if *field == 0 {
			*field = value
		}
	}
	set(&d.Pending, defaultPending)
	set(&d.Starting, defaultStarting)
	set(&d.Suspending, defaultEnding)
	set(&d.Stopping, defaultEnding)
	return d
}

// problems reports every deadline that makes no sense.
func (d Deadlines) problems() []error {
	var found []error
	for _, field := range []struct {
		name  string
		value time.Duration
	}{{"Pending", d.Pending}, {"Starting", d.Starting}, {"Suspending", d.Suspending}, {"Stopping", d.Stopping}} {
		if field.value < 0 {
			found = append(found, fmt.Errorf("deadline %s is %v: want a positive duration, or zero for the default", field.name, field.value))
		}
	}
	return found
}

// Config changes how a Manager works. The zero value is right.
type Config struct {
	// Deadlines bound the transient states.
	Deadlines Deadlines
	// CredentialsURL is where the handler of package session/credentials is
	// mounted, as containers reach it: an https URL or, on one machine, http
	// on a loopback address; see [launcher.Role]. Empty, no session of a role
	// can be started. A session keeps the URL it was started or resumed with.
	CredentialsURL string
	// Logger is told what happens to sessions. Nil discards.
	Logger *slog.Logger
	// MeterProvider makes the instruments of the package documentation's list, as
	// of "github.com/atelier-go/atelier/session". Nil measures nothing, which costs
	// nothing: OpenTelemetry's global provider is used only if it is given here
	// (otel.GetMeterProvider()).
	MeterProvider metric.MeterProvider
}

// A Manager runs the sessions of one domain. Make it with [New] and keep its
// [Manager.Run] going. All methods are safe for concurrent use, and any number
// of managers, in any number of processes, may share a domain's store.
type Manager struct {
	domain    *domain.Domain
	launcher  launcher.Launcher
	deadlines Deadlines
	log       *slog.Logger
	url       string // where sessions ask for credentials, or empty
	records   store.Table[record]
	audit     store.Table[Entry]

	gate    running.Gate
	members members
	jobs    jobs
	seen    sightings
	trails  trails
	reports reports
	meters  meters
	probing chan struct{} // slots for probes
	missed  missed
	heard   atomic.Int64 // as of when this process knows the records, in nanoseconds since 1970

	telemetry *telemetry // or nil

	hub       watch.Hub[ID, *record] // records are not changed once published
	published sync.Mutex             // orders what the hub is told
}

// New returns a manager of d's sessions, whose containers l runs. It calls
// nothing; its error is [ErrInvalid] and names every problem.
func New(d *domain.Domain, l launcher.Launcher, cfg Config) (*Manager, error) {
	var problems []error
	if d == nil {
		problems = append(problems, errors.New("the domain is nil"))
	}
	if l == nil {
		problems = append(problems, errors.New("the launcher is nil"))
	}
	problems = append(problems, cfg.Deadlines.problems()...)
	problems = append(problems, checkCredentialsURL(cfg.CredentialsURL)...)
	var measured *telemetry
	if d != nil {
		var err error
		if measured, err = newTelemetry(cfg.MeterProvider, d.Name()); err != nil {
			problems = append(problems, fmt.Errorf("meter provider: %w", err))
		}
	}
	if problems != nil {
		return nil, &Error{Op: "new", Kind: ErrInvalid, Err: errors.Join(problems...)}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Manager{
		domain: d, launcher: l,
		deadlines: cfg.Deadlines.withDefaults(),
		url:       cfg.CredentialsURL,
		log:       cfg.Logger.With("domain", d.Name()),
		records:   store.NewTable[record](d.Store(), collection(d.Name())),
		audit:     store.NewTable[Entry](d.Store(), auditCollection(d.Name())),
		telemetry: measured,
	}
	// Programs that do not serve leave half of the places to other work.
	m.probing = make(chan struct{}, parallel/2)
	m.jobs.work, m.jobs.mine = m.drive, m.members.mine
	return m, nil
}

// Domain returns the domain whose sessions m runs.
func (m *Manager) Domain() *domain.Domain { return m.domain }

// awake returns nil while Run is active in this process.
func (m *Manager) awake(ctx context.Context, op string, id ID) error {
	return fail(ctx, op, id, m.gate.Wait(ctx))
}

// find reads a session's record.
func (m *Manager) find(ctx context.Context, op string, id ID) (record, error) {
	if err := id.check(); err != nil {
		return record{}, &Error{Op: op, ID: id, Kind: ErrInvalid, Err: err}
	}
	r, err := m.records.Get(ctx, string(id))
	if err == nil && !r.Deleted.IsZero() {
		err = store.ErrNotFound
	}
	return r, fail(ctx, op, id, err)
}

// alter changes a session's record on behalf of a caller, tells the watchers
// and sets the reconciler to work. The function returns [store.ErrUnchanged]
// to leave the record as it is. An order that was followed before changes nothing.
func (m *Manager) alter(ctx context.Context, op string, id ID, o Order, change func(*record) error) (Session, error) {
	problems := o.problems()
	if err := id.check(); err != nil {
		problems = append(problems, err)
	}
	if problems != nil {
		return Session{}, &Error{Op: op, ID: id, Kind: ErrInvalid, Err: errors.Join(problems...)}
	}
	var was record
	var event string
	r, err := m.records.Update(ctx, string(id), func(r *record) error {
		if !r.Deleted.IsZero() {
			return store.ErrNotFound
		}
		was, event = *r, ""
		again, err := r.repeats(op, o)
		if err != nil {
			return &Error{Op: op, ID: id, Kind: ErrConflict, Err: err}
		}
		if again {
			return store.ErrUnchanged
		}
		before, now := *r, time.Now()
		err = change(r)
		if errors.Is(err, store.ErrUnchanged) && o.ID != "" { // it is followed all the same
			m.revise(r)
			r.remember(op, o)
			return nil
		}
		if err != nil {
			return err
		}
		m.revise(r)
		event = r.event
		r.follow(op, o, now)
		r.trail(before, op, o, now)
		return nil
	})
	if err != nil {
		return Session{}, m.refuse(ctx, op, id, "", o, fail(ctx, op, id, err))
	}
	m.log.Info("asked", "session", id, "generation", r.Generation, "user", r.Request.User, "op", op, "by", o.By, "state", r.State)
	m.telemetry.moved(ctx, was, r, event)
	m.announce(ctx, r)
	return r.session(), nil
}

// revise counts a change of r, and drops from it what is in the audit record.
func (m *Manager) revise(r *record) {
	if m.trails.until(r.ID) >= r.Revision {
		r.Trail = nil
	}
	r.Revision++
}

// announce tells of what was asked: this process's watchers, and by the audit
// record the other processes, one of which may be the one to work for it.
func (m *Manager) announce(ctx context.Context, r record) {
	m.publish(r)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callLimit) // it has happened, whoever still listens
	defer cancel()
	if err := m.writeDown(ctx, r); err != nil {
		m.log.Warn("the audit record could not be written; it is tried again", "session", r.ID, "generation", r.Generation, "error", err)
		m.trails.owe(r.ID, true)
	}
	m.jobs.enqueue(r.ID)
}

// errStale says that a record is not any more as it was when it was decided
// what to do.
var errStale = errors.New("the record was changed meanwhile")

// advance changes a record on the reconciler's behalf if it still is as it was
// read; otherwise it is errStale.
func (m *Manager) advance(ctx context.Context, r record, change func(*record)) (record, error) {
	var event string
	next, err := m.records.Update(ctx, string(r.ID), func(now *record) error {
		if now.Revision != r.Revision || !now.Created.Equal(r.Created) {
			return errStale
		}
		before := *now
		change(now)
		event = now.event
		m.revise(now)
		if now.State != before.State || now.remark != "" {
			now.trail(before, cmp.Or(now.remark, now.event), Order{By: Itself, Why: now.why}, time.Now())
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	if next.State != r.State {
		m.log.Info("session", "session", r.ID, "generation", r.Generation, "from", r.State, "to", next.State,
			"reason", string(next.Reason), "message", next.Message)
	}
	m.telemetry.moved(ctx, r, next, event)
	m.publish(next)
	return next, nil
}

// publish tells the watchers of this process of a record, unless they know a
// later one, and reports whether it was news.
func (m *Manager) publish(r record) bool {
	m.published.Lock()
	defer m.published.Unlock()
	if known, ok := m.hub.Get(r.ID); ok && r.Created.Equal(known.Created) && r.Revision <= known.Revision {
		return false
	}
	m.hub.Set(r.ID, &r)
	return true
}

// adopt publishes a record that other processes may have changed, and has this one
// work for its session if that is news.
func (m *Manager) adopt(r record) {
	if m.publish(r) {
		m.jobs.enqueue(r.ID)
	}
}

// unpublish forgets a record that is not in the store any more.
func (m *Manager) unpublish(id ID) {
	m.published.Lock()
	defer m.published.Unlock()
	m.hub.Delete(id)
	m.trails.forget(id)
	m.seen.forget(id)
}
