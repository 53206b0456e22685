package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/launcher"
)

// An InterruptionPolicy says what becomes of a session whose host AWS takes
// back.
type InterruptionPolicy string

const (
	// ResumeElsewhere suspends it and, when its container has ended, resumes
	// it by itself. It is the default.
	ResumeElsewhere InterruptionPolicy = ""
	// StaySuspended suspends it, and leaves it to its user to resume it.
	StaySuspended InterruptionPolicy = "stay-suspended"
)

const (
	// reserve is how long before its host is taken back a container is killed
	// at the latest: the launcher has to be told, and to see the end.
	reserve = 5 * time.Second
	// shortestGrace is what a container gets that is told too late.
	shortestGrace = time.Second
	// calm is how long a session has to run for its earlier interruptions not
	// to count any more.
	calm = 10 * time.Minute
)

// problems reports what is wrong with p.
func (p InterruptionPolicy) problems() []error {
	if p == ResumeElsewhere || p == StaySuspended {
		return nil
	}
	return []error{fmt.Errorf("interruption policy %.40q: want %q, or empty to be resumed elsewhere", p, StaySuspended)}
}

// interrupt records that AWS has taken the host back or, if the time is not
// zero, when it will, and with that what becomes of the session.
func (r *record) interrupt(at, now time.Time) {
	r.GoOn = r.Request.OnInterruption == ResumeElsewhere
	if !r.Started.IsZero() && now.Sub(r.Started) >= calm {
		r.Interruptions = 0
	}
	r.Interruptions++
	r.Reason = launcher.ErrInterrupted
	if !at.IsZero() {
		r.Interruption = at
		r.Message = fmt.Sprintf("AWS takes its host back at %s, before which it is suspended", at.UTC().Format("15:04:05 MST"))
	} else if r.Message == "" {
		r.Message = "AWS took its host back"
	}
}

// outlook is what follows for a session that was interrupted, for people.
func (r record) outlook() string {
	switch {
	case r.Reason != launcher.ErrInterrupted || r.State != Suspending && r.State != Suspended:
		return ""
	case r.GoOn:
		return "; it is resumed by itself"
	}
	return "; resume it to go on"
}

// hurried is the session's kind with no more grace than is left of the host.
func (r record) hurried(now time.Time) Kind {
	k := r.Request.Kind
	if r.Interruption.IsZero() {
		return k
	}
	left := max(r.Interruption.Sub(now)-reserve, shortestGrace)
	k.StopGrace, k.SuspendGrace = min(graceOf(k.StopGrace), left), min(graceOf(k.SuspendGrace), left)
	return k
}

// goesOn reports whether the session is to be resumed by itself.
func (r record) goesOn() bool { return r.State == Suspended && !r.loose() && r.GoOn }

// resumeAt is when that is done: at once, and later the more often it was
// interrupted before it ran for long.
func (r record) resumeAt() time.Time {
	var wait time.Duration
	pause := newPause()
	for range min(r.Interruptions-1, 10) {
		wait = pause.NextBackOff()
	}
	return r.Since.Add(wait)
}

// goOn begins the next generation of a session that was interrupted, on what
// it had. The domain decides anew, as for a user's Resume; a refusal is final,
// until the user resumes it. Errors returned are those of the store.
func (m *Manager) goOn(ctx context.Context, r record) error {
	grant, err := m.domain.Authorize(ctx, domain.Ask{User: r.Request.User, Resume: &r.Grant})
	if err == nil {
		err = m.reserve(ctx, r.ID, r.Generation+1, grant, time.Now())
	}
	switch {
	case err != nil && !refusing(err):
		m.log.Warn("the domain does not answer; it is asked again", "session", r.ID, "generation", r.Generation, "op", "go on", "error", err)
		return nil
	case err != nil:
		_, err = m.advance(ctx, r, func(r *record) {
			r.GoOn = false
			r.Message = fmt.Sprintf("AWS took its host back, and it may not go on: %v", err)
		})
		return err
	}
	_, err = m.advance(ctx, r, func(now *record) {
		_ = now.apply(goesOn, time.Now(), m.deadlines)
		a := m.access(r.ID, r.Generation+1, grant)
		if a != (access{}) {
			a.URL = r.Access.URL // whichever process it is that goes on
		}
		now.begin(grant, r.Resumed, a)
	})
	return err
}

// refusing reports whether the domain has decided against an ask, rather than
// not answered.
func refusing(err error) bool {
	e, ok := errors.AsType[*domain.Error](err)
	return ok && slices.Contains([]domain.Kind{domain.ErrInvalid, domain.ErrNotFound, domain.ErrNotAllowed, domain.ErrState, domain.ErrLimit, domain.ErrBudget}, e.Kind)
}
