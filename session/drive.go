package session

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/launcher"
)

// newPause grows from one second to thirty. It has no jitter, so that a test
// replays; what is repeated concerns one session, and no two begin together.
func newPause() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(time.Second), backoff.WithMultiplier(2), backoff.WithMaxInterval(30*time.Second),
		backoff.WithMaxElapsedTime(0), backoff.WithRandomizationFactor(0))
}

// An effort is what this process has tried for a session: one call, repeated.
type effort struct {
	key   string
	pause *backoff.ExponentialBackOff
	next  time.Time // not before
	done  bool      // it has succeeded
}

// drive takes every step that can be taken for a session now, and returns when
// to look again. It is never called twice at once for one session.
func (m *Manager) drive(ctx context.Context, id ID, e *effort) (again time.Time) {
	for ctx.Err() == nil {
		r, err := m.records.Get(ctx, string(id))
		if errors.Is(err, store.ErrNotFound) {
			m.seen.forget(id)
			return time.Time{}
		}
		if err != nil {
			return m.stumble(ctx, id, "read", err)
		}
		m.publish(r)
		if !m.members.mine(id) {
			return time.Time{} // another has it, or will
		}
		if err := m.writeDown(ctx, r); err != nil {
			return m.stumble(ctx, id, "audit", err)
		}
		if r.still() && !r.charged() {
			if _, err := m.charge(ctx, r); err != nil && !errors.Is(err, errStale) {
				return m.stumble(ctx, id, "charge", err)
			}
			continue
		}
		if r.settled() {
			m.seen.forget(id)
			if err := m.tidy(ctx, r); err != nil && !errors.Is(err, errStale) {
				return m.stumble(ctx, id, "tidy", err)
			}
			return time.Time{}
		}
		st := next(r, m.look(ctx, r), time.Now())
		switch {
		case st.happened:
			err = m.happen(ctx, r, st)
		case st.note:
			_, err = m.advance(ctx, r, func(r *record) {
				before := *r
				r.note(st.status)
				r.remark = r.noticed(before)
			})
		case st.call == "" && len(r.Trail) > 0: // so that a new owner need not look for it
			err = m.tidy(ctx, r)
		case st.call == "":
			return st.again
		default:
			if key := r.key(st.call); e.key != key {
				*e = effort{key: key, pause: newPause()}
			}
			if st.once && e.done {
				return st.again
			}
			if time.Now().Before(e.next) {
				return earlier(st.again, e.next)
			}
			err = m.call(ctx, r, st.call, e)
			e.next = time.Now().Add(e.pause.NextBackOff())
		}
		if err != nil && !errors.Is(err, errStale) {
			return m.stumble(ctx, id, "write", err)
		}
	}
	return time.Time{}
}

// tidy drops from the record of a session for which nothing is to be done what is
// in the audit record, so that the next process does not look for it there again.
func (m *Manager) tidy(ctx context.Context, r record) error {
	if len(r.Trail) > 0 {
		if _, err := m.advance(ctx, r, func(*record) {}); err != nil {
			return err
		}
	}
	m.trails.forget(r.ID)
	return nil
}

// stumble is for a store that does not answer: try again soon.
func (m *Manager) stumble(ctx context.Context, id ID, op string, err error) time.Time {
	if ctx.Err() == nil {
		m.log.Warn("the store does not answer", "session", id, "op", op, "error", err)
		m.telemetry.failed(ctx, op, err)
	}
	return time.Now().Add(glance)
}

// earlier returns the earlier of two times, of which a may be zero for never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// happen records an event.
func (m *Manager) happen(ctx context.Context, r record, st step) error {
	var trouble string
	if st.event == suspendFailed {
		trouble = m.notSaved(ctx, r)
	}
	next, err := m.advance(ctx, r, func(r *record) {
		now := time.Now()
		switch st.event {
		case sawNotice:
			r.interrupt(st.status.Interruption, now)
		case sawExit, sawFailure, sawSaved:
			r.exit(st.status)
		case resumeFailed:
			r.Forced = true // there is no state yet that it could save
			if st.status.ID != "" {
				r.exit(st.status)
			} else {
				r.expire(now)
			}
		case sawInterrupted:
			r.exit(st.status)
			if r.State != Suspending && machine[r.State].on[st.event].to == Suspended { // not told of before
				r.interrupt(time.Time{}, now)
			}
		case suspendFailed:
			r.Unsuspended, r.Reason, r.Message = now, ErrNotSaved, trouble
		case passedDeadline, passedKill:
			if machine[r.State].on[st.event].to == Failed {
				r.expire(now)
			}
		}
		// The reconciler is never refused: the machine's test says so.
		_ = r.apply(st.event, now, m.deadlines)
		if st.event == sawAccepted || st.event == sawRunning {
			r.note(st.status)
		}
		if st.event == sawRunning {
			r.Start.Ready = toMillisecond(now)
		}
	})
	if err == nil && st.event == sawRunning {
		m.ready(next)
	}
	return err
}

// notSaved says why a program did not suspend: in its own words, if it has any.
func (m *Manager) notSaved(ctx context.Context, r record) string {
	why := fmt.Sprintf("it did not say why within %v", short(time.Since(r.Since)))
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	logs, err := m.launcher.Logs(ctx, r.workloadID(), launcher.LogOptions{Stream: launcher.Stderr})
	if err == nil {
		for lines := bufio.NewScanner(logs); lines.Scan(); {
			if said, ok := strings.CutPrefix(lines.Text(), RStudioNotSaved); ok {
				why = oneLine(said)
			}
		}
		_ = logs.Close()
	}
	return "it could not be suspended and goes on, on " + r.Host + ", where it costs what it did: " + why + "; free room and suspend it again, or stop it"
}

// call asks the launcher for something, or the domain. What is refused for now
// is tried again; errors returned are those of the store.
func (m *Manager) call(ctx context.Context, r record, c call, e *effort) error {
	switch c {
	case callLaunch:
		return m.launch(ctx, r, e)
	case callGoOn:
		return m.goOn(ctx, r)
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	begun := time.Now()
	err := m.launcher.Stop(ctx, r.workloadID(), r.stopOptions(c, begun))
	m.answered(ctx, c, begun, err)
	switch {
	case err == nil:
		e.done = true
	case errors.Is(err, launcher.ErrNotFound): // the next look tells
		m.seen.forget(r.ID)
	default:
		m.log.Warn("the launcher did not take a call; it is repeated", "session", r.ID, "generation", r.Generation, "op", string(c), "error", err)
	}
	return nil
}

// launch asks for the container of the present generation. That it does so is
// recorded first: whoever finds the record later knows that there may be one.
func (m *Manager) launch(ctx context.Context, r record, e *effort) error {
	asked := time.Now()
	r, err := m.advance(ctx, r, func(r *record) { r.Asked = asked })
	if err != nil {
		return err
	}
	// Only now: who deletes the home looks for sessions after it has said so.
	if refused, why, err := m.homeless(ctx, r); err != nil || refused {
		if err == nil {
			err = m.refused(ctx, r, launcher.ErrMount, why)
		}
		return err
	}
	limited, cancel := context.WithDeadline(ctx, asked.Add(callLimit))
	defer cancel()
	status, err := m.launcher.Launch(limited, r.workload())
	m.answered(ctx, callLaunch, asked, err)
	if err == nil {
		e.done = true
		m.seen.tell(status, false)
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	kind, why := refusal(err)
	m.log.Warn("the launcher did not take a workload", "session", r.ID, "generation", r.Generation, "error", err)
	return m.refused(ctx, r, kind, why)
}

// refused records why a launch failed.
func (m *Manager) refused(ctx context.Context, r record, kind launcher.Kind, why string) error {
	_, err := m.advance(ctx, r, func(now *record) {
		now.Reason, now.Message = kind, why
		if permanent(kind) {
			e := sawRefusal
			if now.Generation > 1 {
				e, now.Forced = resumeFailed, true
			}
			_ = now.apply(e, time.Now(), m.deadlines)
		}
	})
	return err
}

// refusal is why a launch failed, as a kind and a sentence for people.
func refusal(err error) (launcher.Kind, string) {
	e, ok := errors.AsType[*launcher.Error](err)
	switch {
	case !ok && errors.Is(err, context.DeadlineExceeded):
		return launcher.ErrUnavailable, "the launcher did not answer in time"
	case !ok:
		return launcher.ErrUnavailable, err.Error()
	case e.Err == nil:
		return e.Kind, string(e.Kind)
	}
	return e.Kind, e.Err.Error()
}

// permanent reports whether launching the same again will fail the same way,
// unless somebody changes something first.
func permanent(k launcher.Kind) bool {
	switch k {
	case launcher.ErrInvalid, launcher.ErrNotFound, launcher.ErrConflict, launcher.ErrQuota, launcher.ErrDenied,
		launcher.ErrImage, launcher.ErrMount, launcher.ErrUnsupported:
		return true
	}
	return false
}
