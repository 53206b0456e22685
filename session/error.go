package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/internal/running"
	"github.com/atelier-go/atelier/launcher"
)

// The kinds of failure of this package. They are of one vocabulary with the
// launcher's, with which they may be mixed. What the domain refuses keeps the
// domain's kinds, such as [domain.ErrNotAllowed], also where one of this package
// has the same name: an unknown user is [domain.ErrNotFound], an unknown session
// [ErrNotFound].
const (
	// ErrInvalid: the request makes no sense; the caller corrects it.
	ErrInvalid = launcher.ErrInvalid
	// ErrNotFound: the domain has no such session.
	ErrNotFound = launcher.ErrNotFound
	// ErrConflict: the ID is taken by a session that was asked for
	// differently; the caller chooses another.
	ErrConflict = launcher.ErrConflict
	// ErrUnavailable: the store does not answer; call again.
	ErrUnavailable = launcher.ErrUnavailable
	// ErrState: the session's state does not allow it; the sentence says what
	// comes first.
	ErrState launcher.Kind = "wrong state"
	// ErrDeadline: something took longer than it may. It is a [Session]'s
	// Reason.
	ErrDeadline launcher.Kind = "deadline passed"
	// ErrNotReady: its container runs, and its program does not serve yet. It is a
	// [Session]'s Reason.
	ErrNotReady launcher.Kind = "not ready"
	// ErrNotSaved: it was asked to suspend and could not save its state. It is a
	// [Session]'s Reason.
	ErrNotSaved launcher.Kind = "state not saved"
	// ErrIdle: nobody has used it for as long as a rule of the domain's says. It is a
	// [Session]'s Reason, and an [Ending]'s.
	ErrIdle launcher.Kind = "idle"
	// ErrLifetime: it has run for as long as a rule of the domain's says. It is a
	// [Session]'s Reason, and an [Ending]'s.
	ErrLifetime launcher.Kind = "lifetime over"
	// ErrToken: a token for credentials is not one of a session of the domain,
	// or not any more. It does not say which.
	ErrToken launcher.Kind = "token not valid"
	// ErrNotRunning: [Manager.Run] is not active in this process; the program
	// has to start it.
	ErrNotRunning launcher.Kind = "manager not running"
)

// An Error is a failure of this package, or one of the domain or the launcher
// on its way through.
type Error struct {
	// Op is the operation: "start", "suspend", "dial".
	Op string
	// ID is the session concerned, if one is.
	ID ID
	// Kind is the class of failure: one of this package's, or that of the
	// [domain.Error] or [launcher.Error] within.
	Kind error
	// Err is the cause. It says what to do.
	Err error
}

// Error formats e as "session: op id: kind: cause".
func (e *Error) Error() string {
	parts := []string{"session", strings.TrimSpace(e.Op + " " + e.ID.printable())}
	if e.Err == nil || passing(e.Err) == nil {
		parts = append(parts, e.Kind.Error())
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the kind and the cause, so that errors.Is and errors.As find
// both.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// passing returns the kind of an error that is the domain's or the launcher's,
// whose own text has it; otherwise nil.
func passing(err error) error {
	switch e := err.(type) { //nolint:errorlint // what wraps one has a text of its own
	case *domain.Error:
		return e.Kind
	case *launcher.Error:
		return e.Kind
	}
	return nil
}

// fail dresses an error of a layer below. Context errors and errors of this
// package pass as they are.
func fail(ctx context.Context, op string, id ID, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return err
	}
	e := &Error{Op: op, ID: id, Kind: passing(err), Err: err}
	switch {
	case e.Kind != nil:
	case errors.Is(err, running.ErrNotRunning):
		e.Kind, e.Err = ErrNotRunning, errors.New("call Run first, and keep it going")
	case errors.Is(err, store.ErrNotFound):
		e.Kind, e.Err = ErrNotFound, errors.New("the domain has no such session")
	case errors.Is(err, store.ErrInvalid):
		e.Kind = ErrInvalid
	case errors.Is(err, store.ErrUnusable):
		e.Kind = launcher.ErrDenied
	case errors.Is(err, store.ErrConflict):
		e.Kind, e.Err = ErrUnavailable, fmt.Errorf("too many change it at once; call again: %w", err)
	default:
		if _, ok := errors.AsType[stateError](err); ok {
			e.Kind = ErrState
			break
		}
		e.Kind, e.Err = ErrUnavailable, fmt.Errorf("the store failed; call again: %w", err)
	}
	return e
}

// StatusClientClosedRequest is the status that web servers log when the client
// went away before the answer. It is nginx's invention and not in the standard.
const StatusClientClosedRequest = 499

// codes says which HTTP status a kind has. Of an error that is of several, and
// of which no [Error] says which counts, the first decides.
func codes() []struct {
	kind error
	code int
} {
	return []struct {
		kind error
		code int
	}{
		{ErrState, http.StatusConflict},
		{ErrNotRunning, http.StatusServiceUnavailable},
		{ErrDeadline, http.StatusGatewayTimeout},
		{ErrToken, http.StatusUnauthorized},
		{ErrNotReady, http.StatusServiceUnavailable},
		{ErrNotSaved, http.StatusConflict},
		{ErrIdle, http.StatusConflict},
		{ErrLifetime, http.StatusConflict},

		{domain.ErrInvalid, http.StatusBadRequest},
		{domain.ErrNotAllowed, http.StatusForbidden},
		{domain.ErrNotFound, http.StatusNotFound},
		{domain.ErrConflict, http.StatusConflict},
		{domain.ErrState, http.StatusConflict},
		{domain.ErrThrottled, http.StatusTooManyRequests},
		{domain.ErrUnavailable, http.StatusServiceUnavailable},
		{domain.ErrLimit, http.StatusTooManyRequests},
		{domain.ErrQuota, http.StatusServiceUnavailable},
		{domain.ErrBudget, http.StatusPaymentRequired},
		{domain.ErrDenied, http.StatusInternalServerError},

		{launcher.ErrInvalid, http.StatusBadRequest},
		{launcher.ErrNotFound, http.StatusNotFound},
		{launcher.ErrConflict, http.StatusConflict},
		{launcher.ErrNotRunning, http.StatusConflict},
		{launcher.ErrThrottled, http.StatusTooManyRequests},
		{errors.ErrUnsupported, http.StatusNotImplemented},
		{launcher.ErrCapacity, http.StatusServiceUnavailable},
		{launcher.ErrQuota, http.StatusServiceUnavailable},
		{launcher.ErrUnavailable, http.StatusServiceUnavailable},
		{launcher.ErrInterrupted, http.StatusServiceUnavailable},
		{launcher.ErrHostLost, http.StatusServiceUnavailable},
		{launcher.ErrDenied, http.StatusInternalServerError},
		{launcher.ErrImage, http.StatusInternalServerError},
		{launcher.ErrMount, http.StatusInternalServerError},
		{launcher.ErrOutOfMemory, http.StatusInternalServerError},
	}
}

// StatusCode is the HTTP status a portal answers an error with.
//
//	200  nil
//	400  the request makes no sense
//	401  a token is not valid
//	402  a budget leaves too little
//	403  a policy forbids it
//	404  no such session, user, image or port
//	409  the ID is taken, or the session's state does not allow it: also where it
//	     has ended because nobody used it or its time was up
//	429  too many calls, or as many sessions as may be at one time
//	499  the caller went away (context.Canceled)
//	501  the launcher cannot do it
//	503  no capacity, a quota, a service that does not answer, or no Run: later it may work
//	504  the caller's deadline passed (context.DeadlineExceeded), or [ErrDeadline]
//	500  everything else: an administrator's turn. Also when AWS or the store refuses
//	     the program's own credentials, as that is not the caller's doing
//
// It goes by the kind that the error's text begins with: that of the outermost
// [Error], [domain.Error] or [launcher.Error]. A session that [Manager.Wait]
// found to have ended for a Reason has the status of that. Errors of other
// packages (image, efs, instancetype) that did not pass through this one or
// package domain are 500.
func StatusCode(err error) int {
	switch {
	case err == nil:
		return http.StatusOK
	case errors.Is(err, context.Canceled):
		return StatusClientClosedRequest
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	}
	decisive := err
	if kind := outermost(err); kind != nil {
		decisive = kind
	}
	for _, c := range codes() {
		if errors.Is(decisive, c.kind) {
			return c.code
		}
	}
	return http.StatusInternalServerError
}

// outermost returns the kind of the first error in err's tree that has one, or
// nil. Why a session ended counts for more than that it did.
func outermost(err error) error {
	switch e := err.(type) { //nolint:errorlint // each level is looked at in turn
	case *Error:
		if end, ok := e.Err.(endError); ok && end.s.Reason != "" { //nolint:errorlint // it is made there, by Wait
			return end.s.Reason
		}
		return e.Kind
	case *domain.Error:
		return e.Kind
	case *launcher.Error:
		return e.Kind
	case interface{ Unwrap() error }:
		return outermost(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, cause := range e.Unwrap() {
			if kind := outermost(cause); kind != nil {
				return kind
			}
		}
	}
	return nil
}
