package session

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// Get returns a session, or [ErrNotFound]. It reads the store and needs no Run.
func (m *Manager) Get(ctx context.Context, id ID) (Session, error) {
	r, err := m.find(ctx, "get", id)
	return r.session(), err
}

// Cached returns a session from the memory of this process: as [Manager.Get] would, or
// as it was two seconds ago at most if another process has changed it since, ten
// where the store hardly answers; see [Manager.Watch]. It is for what asks at every
// request, as a proxy does. It reports false for one that it does not know, while what
// it knows is older, and while nothing runs: then ask Get.
func (m *Manager) Cached(id ID) (s Session, ok bool) {
	r, ok := m.hub.Get(id)
	known := time.Unix(0, m.heard.Load())
	if !ok || !m.gate.Open() || !r.Deleted.IsZero() || time.Since(known) >= staleAfter {
		return Session{}, false
	}
	return r.session(), true
}

// List yields the sessions that match f, in the order of their IDs. It is
// complete or ends with an error; a state that does not exist is [ErrInvalid].
// It reads the store from f.After on, whatever else f selects, and needs no Run: who
// asks often, for one user's, has the same from memory by [Manager.Watch] until its
// mark.
func (m *Manager) List(ctx context.Context, f Filter) iter.Seq2[Session, error] {
	f = f.clone()
	return func(yield func(Session, error) bool) {
		if err := f.check(); err != nil {
			yield(Session{}, &Error{Op: "list", Kind: ErrInvalid, Err: err})
			return
		}
		for r, err := range m.records.After(ctx, string(f.After)) {
			if err != nil {
				yield(Session{}, fail(ctx, "list", "", err))
				return
			}
			if f.match(&r) && !yield(r.session(), nil) {
				return
			}
		}
	}
}

// Watch yields every session that matches f, then a zero [Session] as a mark,
// then each change of one that matches, until ctx ends or the loop is left. A
// slow reader skips to the latest of each session, and always sees the last. A
// session that ceases to match, by its state or because it was deleted, is not
// told of. What other processes do is seen within two seconds, and what a
// session of theirs waits for within ten.
//
// The last element carries the error that ended it: that of ctx,
// [ErrNotRunning] when Run ends, or [ErrInvalid] at once for a state that does
// not exist.
func (m *Manager) Watch(ctx context.Context, f Filter) iter.Seq2[Session, error] {
	f = f.clone()
	return func(yield func(Session, error) bool) {
		if err := f.check(); err != nil {
			yield(Session{}, &Error{Op: "watch", Kind: ErrInvalid, Err: err})
			return
		}
		for r, err := range m.changes(ctx, "watch", "", func(_ ID, r *record) bool { return f.match(r) }) {
			var s Session
			if r != nil {
				s = r.session()
			}
			if !yield(s, err) || err != nil {
				return
			}
		}
	}
}

// changes yields the records of this process's hub, then nil as a mark, then
// each change.
func (m *Manager) changes(ctx context.Context, op string, id ID, match func(ID, *record) bool) iter.Seq2[*record, error] {
	return func(yield func(*record, error) bool) {
		if err := m.awake(ctx, op, id); err != nil {
			yield(nil, err)
			return
		}
		bound, cancel := m.gate.Bind(ctx)
		defer cancel()
		for r, err := range m.hub.Changes(bound, match) {
			if err != nil && ctx.Err() != nil {
				err = ctx.Err()
			}
			if !yield(r, fail(ctx, op, id, err)) {
				return
			}
		}
	}
}

// Wait returns a session once it is in one of the states wanted. If it ends in
// another, that is [ErrState], beside the session, and the error says why it
// ended; [errors.Is] finds the Reason in it. So it is if it comes to rest elsewhere
// meanwhile: if it is suspended, as its resume has failed, while Running was wanted,
// or goes on, as it could not save its state, while Suspended was. When ctx ends before, the error is
// its, and says beside the session what that is waiting for. Naming no state,
// or one that does not exist, is [ErrInvalid].
func (m *Manager) Wait(ctx context.Context, id ID, want ...State) (Session, error) {
	const op = "wait"
	err := checkStates(want)
	if len(want) == 0 {
		err = fmt.Errorf("no state to wait for: want one or more of %q", states())
	}
	if err != nil {
		return Session{}, &Error{Op: op, ID: id, Kind: ErrInvalid, Err: err}
	}
	if err := m.awake(ctx, op, id); err != nil {
		return Session{}, err
	}
	r, err := m.find(ctx, op, id)
	if err != nil {
		return Session{}, err
	}
	m.adopt(r) // another process may have made it a moment ago
	last := r.session()
	for r, err := range m.changes(ctx, op, id, func(k ID, _ *record) bool { return k == id }) {
		switch {
		case err != nil && ctx.Err() != nil: // and nothing follows
		case err != nil:
			return Session{}, err
		case r == nil: // the mark
		case !r.Deleted.IsZero():
			return Session{}, &Error{Op: op, ID: id, Kind: ErrNotFound, Err: errors.New("it was deleted meanwhile")}
		case slices.Contains(want, r.State):
			return r.session(), nil
		case r.State.Ended() || fellBack(last.State, *r, want):
			return r.session(), &Error{Op: op, ID: id, Kind: ErrState, Err: endError{r.session()}}
		default:
			last = r.session()
		}
	}
	return last, waitError{last, want, ctx.Err()}
}

// fellBack reports whether a session that was on its way to a state that is wanted
// has come to rest where it came from.
func fellBack(before State, r record, want []State) bool {
	switch r.State {
	case Suspended:
		return before != Suspended && !r.goesOn() && slices.Contains(want, Running)
	case Running:
		return before == Suspending && slices.Contains(want, Suspended)
	}
	return false
}

// waitError tells what a session was doing when nobody waited any longer.
type waitError struct {
	s    Session
	want []State
	err  error // of the context
}

func (e waitError) Error() string {
	var names []string
	for _, s := range e.want {
		names = append(names, string(s))
	}
	text := fmt.Sprintf("session: wait %s: %v: it is %s, not yet %s", e.s.ID, e.err, e.s.State, strings.Join(names, " or "))
	if e.s.Message != "" {
		text += ": " + e.s.Message
	}
	return text
}

func (e waitError) Unwrap() error { return e.err }

// endError tells how a session ended, or came to rest.
type endError struct{ s Session }

func (e endError) Error() string {
	text := fmt.Sprintf("it has %s", e.s.State)
	if !e.s.State.Ended() {
		text = fmt.Sprintf("it is %s again", e.s.State)
	}
	if e.s.State == Stopped && !e.s.StartedAt.IsZero() {
		text += fmt.Sprintf(" with exit code %d", e.s.ExitCode)
	}
	if e.s.Reason != "" {
		text += ": " + string(e.s.Reason)
	}
	if e.s.Message != "" {
		text += ": " + e.s.Message
	}
	return text
}

// Unwrap makes the reason testable with errors.Is.
func (e endError) Unwrap() error {
	if e.s.Reason == "" {
		return nil
	}
	return e.s.Reason
}
