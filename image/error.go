package image

import "strings"

// A Kind classifies what went wrong. It is an error, to be tested for with
// [errors.Is], and a plain string, so that it can be stored.
type Kind string

func (k Kind) Error() string { return string(k) }

// Is makes [ErrNoRepository] a special case of [ErrNotFound].
func (k Kind) Is(target error) bool {
	return k == ErrNoRepository && target == ErrNotFound
}

// The kinds of failure. The sentence says whose turn it is.
const (
	// ErrInvalid: the reference is malformed, or what it names is no
	// container image; the caller corrects it.
	ErrInvalid Kind = "invalid"
	// ErrNotFound: the registry does not have the image; the caller corrects
	// the name, or someone pushes it.
	ErrNotFound Kind = "not found"
	// ErrNoRepository: the registry does not have the repository at all. It
	// is an ErrNotFound too. Not every registry tells the two apart.
	ErrNoRepository Kind = "repository not found"
	// ErrDenied: credentials are missing, wrong, or not enough. Docker Hub
	// and GitHub answer so for repositories that do not exist, too.
	ErrDenied Kind = "denied"
	// ErrThrottled: too many calls, or a pull limit is used up; wait.
	ErrThrottled Kind = "throttled"
	// ErrUnavailable: the registry does not answer as one now; try again.
	ErrUnavailable Kind = "unavailable"
	// ErrPlatform: the image has no manifest for the wanted architecture.
	ErrPlatform Kind = "wrong platform"
)

// An Error is a failure of this package.
type Error struct {
	// Op is the operation: "parse", "resolve", "check".
	Op string
	// Reference is the image concerned, as the caller gave it.
	Reference string
	// Kind is the class of failure.
	Kind Kind
	// Err is the cause. It says what to do where the kind does not.
	Err error
}

// Error formats e as "image: op reference: kind: cause".
func (e *Error) Error() string {
	parts := []string{"image", strings.TrimSpace(e.Op + " " + e.Reference), string(e.Kind)}
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

// failure is a cause with its kind, on its way to becoming an Error.
type failure struct {
	kind Kind
	err  error
}

func (f *failure) Error() string { return string(f.kind) + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }
