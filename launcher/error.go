package launcher

import (
	"errors"
	"strings"
)

// A Kind classifies what went wrong. It is an error, to be tested for with
// [errors.Is], and a plain string, so that it can be stored.
type Kind string

func (k Kind) Error() string { return string(k) }

// Is makes [ErrUnsupported] equal to [errors.ErrUnsupported].
func (k Kind) Is(target error) bool {
	return k == ErrUnsupported && target == errors.ErrUnsupported
}

// The kinds of failure. The sentence says whose turn it is.
const (
	// ErrInvalid: the request makes no sense; the caller corrects it.
	ErrInvalid Kind = "invalid"
	// ErrNotFound: no such workload or port.
	ErrNotFound Kind = "not found"
	// ErrConflict: the ID is taken by a different workload.
	ErrConflict Kind = "conflict"
	// ErrCapacity: AWS, or the host, has no room now; wait or choose another type.
	ErrCapacity Kind = "no capacity"
	// ErrQuota: an account limit is reached; an administrator has it raised.
	ErrQuota Kind = "quota exceeded"
	// ErrThrottled: too many calls; it is retried, or the caller waits.
	ErrThrottled Kind = "throttled"
	// ErrDenied: credentials or a policy forbid it; an administrator corrects them.
	ErrDenied Kind = "denied"
	// ErrImage: the image does not exist, cannot be pulled, or does not fit the host.
	ErrImage Kind = "image unusable"
	// ErrMount: a directory could not be mounted.
	ErrMount Kind = "mount failed"
	// ErrInterrupted: AWS took the host back; the work may be run again.
	ErrInterrupted Kind = "interrupted"
	// ErrHostLost: the host died or was fenced.
	ErrHostLost Kind = "host lost"
	// ErrOutOfMemory: the workload used more memory than it was given.
	ErrOutOfMemory Kind = "out of memory"
	// ErrNotRunning: what was asked needs a running workload, or a running launcher.
	ErrNotRunning Kind = "not running"
	// ErrUnsupported: this launcher cannot do that. Also errors.ErrUnsupported.
	ErrUnsupported Kind = "unsupported"
	// ErrUnavailable: a service or host does not answer now; try again.
	ErrUnavailable Kind = "unavailable"
)

// An Error is a failure of a launcher.
type Error struct {
	// Op is the operation: "launch", "stop", "dial".
	Op string
	// ID is the workload concerned, if one is.
	ID ID
	// Kind is the class of failure.
	Kind Kind
	// Err is the cause, or nil. It says what to do.
	Err error
}

// Error formats e as "launcher: op id: kind: cause".
func (e *Error) Error() string {
	parts := []string{"launcher"}
	if e.ID != "" {
		parts = append(parts, e.Op+" "+string(e.ID))
	} else if e.Op != "" {
		parts = append(parts, e.Op)
	}
	parts = append(parts, string(e.Kind))
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
