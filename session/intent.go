package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/launcher"
)

// Suspend asks for a running session's container to save its state and end,
// and returns the session, Suspending. The session keeps its home and image;
// [Manager.Resume] starts it again, also on another instance type.
//
// A start or resume that waits or is under way is withdrawn by it: the session is
// suspended without having run.
//
// It is idempotent: a session that is suspending or suspended is returned as
// it is, and is not resumed by itself any more if it was to be. One that is
// stopping or has ended is [ErrState], and so is a kind that cannot be suspended. A
// caller that repeats it after a lost
// answer gives it an ID, lest it suspend what was resumed meanwhile.
func (m *Manager) Suspend(ctx context.Context, id ID, o Order) (Session, error) {
	return m.ask(ctx, "suspend", id, o, askSuspend)
}

// Stop asks for a session to end for good and returns it, usually Stopping.
//
// It is idempotent, and no state refuses it: a session that has ended is
// returned as it is.
func (m *Manager) Stop(ctx context.Context, id ID, o Order) (Session, error) {
	return m.ask(ctx, "stop", id, o, askStop)
}

// Kill ends a session for good at once, and returns it, usually Stopping: its
// container gets SIGKILL, which no program can answer, so that what it has not
// written is lost. A session that is stopping or being suspended is not waited for
// any more; one that has no container is stopped as by [Manager.Stop]. What ran ends
// with the exit code 137, if it has not ended by itself before.
//
// It is idempotent, and no state refuses it: a session that is being killed, or has
// ended, is returned as it is.
func (m *Manager) Kill(ctx context.Context, id ID, o Order) (Session, error) {
	return m.ask(ctx, "kill", id, o, askKill)
}

func (m *Manager) ask(ctx context.Context, op string, id ID, o Order, e event) (_ Session, err error) {
	defer m.telemetry.asked(ctx, op, &err)
	if err := m.awake(ctx, op, id); err != nil {
		return Session{}, err
	}
	return m.alter(ctx, op, id, o, func(r *record) error {
		if r.outcome(e).stays(r.State) && !r.GoOn {
			return store.ErrUnchanged
		}
		live := r.State.begins() || r.State == Running
		if why := r.Request.Kind.unsuspendable(); e == askSuspend && why != "" && live {
			return stateError{r.State, why}
		}
		r.GoOn = false // what a caller asks for counts for more
		if e == askSuspend && live || r.timedOut() {
			r.Reason, r.Message = "", ""
		}
		if e == askSuspend && live {
			r.Forced = r.State.begins() // there is no state yet that it could save
		}
		return r.apply(e, time.Now(), m.deadlines)
	})
}

// A ResumeRequest says on what a session goes on. The zero value is what it
// had before, or was to have by a resume that failed.
type ResumeRequest struct {
	// InstanceType is the EC2 or SageMaker name of the type of its host.
	// Empty, with a Size, is the cheapest that has room for it.
	InstanceType string `json:",omitempty"`
	// Size is the room it gets on the host. Zero, with an InstanceType, is
	// all of it, whatever the session had: to keep that, give [Session.Size].
	Size domain.Size `json:",omitzero"`
	// Alternatives are the names of types its host may have instead. None,
	// with an InstanceType or a Size, is none, whatever the session had.
	Alternatives []string `json:",omitempty"`
	// Clean starts it without the state that it saved when it was suspended, for
	// one that cannot be restored: its program is told by the environment variable
	// [RStudioClean], and keeps what it leaves aside.
	Clean bool `json:",omitempty"`
	// Order is who asks, and why.
	Order Order `json:"-"`
	// Market is how its host may be bought. Nil is as before.
	Market *launcher.Market `json:",omitempty"`
}

// digest is a name of what q asks for.
func (q ResumeRequest) digest() string {
	text, err := json.Marshal(q)
	if err != nil {
		panic(err) // it has nothing that could fail
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// equal reports whether q and p ask for the same in the same words.
func (q ResumeRequest) equal(p ResumeRequest) bool {
	return q.InstanceType == p.InstanceType && q.Size == p.Size && slices.Equal(q.Alternatives, p.Alternatives) &&
		(q.Market == nil) == (p.Market == nil) && (q.Market == nil || *q.Market == *p.Market)
}

// ask is what the domain is asked about q, of a session with this record.
func (q ResumeRequest) ask(r record) domain.Ask {
	ask := domain.Ask{
		User: r.Request.User, InstanceType: q.InstanceType, Alternatives: q.Alternatives, Size: q.Size, Resume: &r.Grant,
	}
	if q.Market != nil {
		ask.Market = new(domain.Market(*q.Market))
	}
	return ask
}

// Resume asks for a suspended session to start again, as its next generation,
// with the same home, image digest and role, and returns it, Pending. The domain
// decides anew whether the user may have it, and its error is returned if not;
// the session then stays suspended.
//
// It is idempotent: a session that is starting or running on what is asked
// for is returned as it is. One on another type, size or market, and one that
// is suspending, stopping or has ended, is [ErrState].
func (m *Manager) Resume(ctx context.Context, id ID, q ResumeRequest) (_ Session, err error) {
	const op = "resume"
	defer m.telemetry.asked(ctx, op, &err)
	if err := m.awake(ctx, op, id); err != nil {
		return Session{}, err
	}
	q.Order.of = q.digest()
	for {
		r, err := m.find(ctx, op, id)
		if err != nil {
			return Session{}, err
		}
		var grant domain.Grant
		if r, err = m.settle(ctx, op, r); err != nil {
			return Session{}, err
		}
		again, err := r.repeats(op, q.Order)
		if err != nil { // before anything is reserved for it
			return Session{}, m.refuse(ctx, op, id, "", q.Order, &Error{Op: op, ID: id, Kind: ErrConflict, Err: err})
		}
		if r.State == Suspended && !again {
			grant, err = m.domain.Authorize(ctx, q.ask(r))
			if err != nil {
				return Session{}, m.refuse(ctx, op, id, "", q.Order, fail(ctx, op, id, err))
			}
			if problems := m.roleProblems(grant.Role); problems != nil {
				return Session{}, &Error{Op: op, ID: id, Kind: ErrInvalid, Err: errors.Join(problems...)}
			}
			if err := m.reserve(ctx, id, r.Generation+1, grant, time.Now()); err != nil {
				return Session{}, m.refuse(ctx, op, id, "", q.Order, fail(ctx, op, id, err))
			}
		}
		s, err := m.alter(ctx, op, id, q.Order, func(now *record) error {
			if now.State == Suspended && (r.State != Suspended || now.Generation != r.Generation) {
				return &Error{Op: op, ID: id, Kind: ErrConflict, Err: errStale} // decide anew
			}
			if err := m.resumable(*now, q); err != nil {
				return err
			}
			if err := now.apply(askResume, time.Now(), m.deadlines); err != nil {
				return err
			}
			now.begin(grant, q, m.access(id, now.Generation+1, grant))
			now.Interruptions = 0
			return nil
		})
		if !errors.Is(err, errStale) {
			return s, err
		}
	}
}

// resumable says what is against resuming a session in the state it is in, if
// anything: [store.ErrUnchanged] if it is on what is asked for.
func (m *Manager) resumable(r record, q ResumeRequest) error {
	switch o := machine[r.State].on[askResume]; {
	case o.refuse != "":
		return stateError{r.State, o.refuse}
	case o.stays(r.State) && !m.fits(r, q):
		return stateError{r.State, fmt.Sprintf("it is on %s; suspend it first, then resume it on another type, size or market", r.session().InstanceType)}
	case o.stays(r.State):
		return store.ErrUnchanged
	}
	return nil
}

// fits reports whether a session is on what a Resume asks for.
func (m *Manager) fits(r record, q ResumeRequest) bool {
	if q.equal(r.Resumed) {
		return true
	}
	name := func(given string) string {
		t, _ := m.domain.Catalog().Type(given) // what is unknown is no session's
		return t.Name
	}
	var others []string
	for _, given := range q.Alternatives {
		others = append(others, name(given))
	}
	on := r.session().InstanceType
	if others != nil { // it may be on one of them
		on = r.Grant.Type.Name
	}
	return (q.InstanceType == "" || name(q.InstanceType) == on) &&
		(q.Size == domain.Size{} || q.Size == r.Grant.Size) &&
		(others == nil || slices.Equal(others, r.Grant.AlternativeNames())) &&
		(q.Market == nil || *q.Market == market(r.Grant.Market))
}

// Delete forgets an ended session, and its logs. Its ID cannot be used again
// for a day. A session that has not ended, or whose container may still live,
// is [ErrState]; one that was deleted is [ErrNotFound]. It needs no Run.
func (m *Manager) Delete(ctx context.Context, id ID, o Order) (err error) {
	const op = "delete"
	defer m.telemetry.asked(ctx, op, &err)
	r, err := m.find(ctx, op, id)
	if err != nil {
		return m.refuse(ctx, op, id, "", o, err)
	}
	if _, err = m.settle(ctx, op, r); err != nil {
		return err
	}
	_, err = m.alter(ctx, op, id, o, func(r *record) error {
		switch {
		case !r.State.Ended():
			return stateError{r.State, "stop it first"}
		case r.loose():
			return stateError{r.State, "its container could not be confirmed to have ended yet; try again later"}
		case !r.charged():
			return stateError{r.State, "it has ended this moment; try again"}
		}
		r.Deleted = time.Now()
		r.Request = StartRequest{ID: id}
		// The rest is little: it is read for a day, again and again.
		r.Message, r.Host, r.Tried, r.Evidence, r.Orders = "", "", nil, nil, nil
		r.Grant, r.Access, r.Resumed = domain.Grant{}, access{}, ResumeRequest{}
		return nil
	})
	return err
}

// retention is how long the ID of a deleted session is kept. A request for it
// that was delayed on its way must not start a session anew, and a launcher
// must not be asked for a workload's ID twice.
const retention = 24 * time.Hour

var errRetained = errors.New("it is to be kept")

// purge removes what is left of a session that was deleted long ago.
func (m *Manager) purge(ctx context.Context, id ID) error {
	err := m.records.DeleteIf(ctx, string(id), func(r record) error {
		if r.Deleted.IsZero() || time.Since(r.Deleted) < retention {
			return errRetained
		}
		return nil
	})
	if err == nil {
		m.unpublish(id)
	}
	return err
}
