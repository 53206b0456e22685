package instancetype

import (
	"fmt"
	"strings"
)

// A Kind classifies a failure. Test for it with [errors.Is].
type Kind string

func (k Kind) Error() string { return string(k) }

// The kinds of failure.
const (
	// ErrUnknown: no such instance type in the catalog; correct the name.
	ErrUnknown Kind = "unknown instance type"
	// ErrRefused: the instance type does not meet the requirements.
	ErrRefused Kind = "instance type refused"
	// ErrInvalid: types, prices, requirements or an amount make no sense.
	ErrInvalid Kind = "invalid"
)

// An UnknownError is an instance type that the catalog does not have. It is
// [ErrUnknown].
type UnknownError struct {
	// Name is what was asked for.
	Name string
	// Near holds up to three EC2 names like it, likeliest first.
	Near []string
}

// Error formats e as `unknown instance type "r5.4xlarg": did you mean r5.4xlarge?`.
func (e *UnknownError) Error() string {
	s := fmt.Sprintf("%v %.40q", ErrUnknown, e.Name)
	if len(e.Near) > 0 {
		s += ": did you mean " + strings.Join(e.Near, ", ") + "?"
	}
	return s
}

// Unwrap returns [ErrUnknown].
func (e *UnknownError) Unwrap() error { return ErrUnknown }

// A RefusedError says why an instance type does not meet [Requirements]. It is
// [ErrRefused].
type RefusedError struct {
	// Type is the EC2 name.
	Type string
	// Region is where it was asked for.
	Region string
	// Reasons holds a phrase for every requirement that is not met.
	Reasons []string
}

// Error formats e as "instance type refused: t3.nano in us-east-1: reason; reason".
func (e *RefusedError) Error() string {
	return fmt.Sprintf("%v: %s in %s: %s", ErrRefused, e.Type, e.Region, strings.Join(e.Reasons, "; "))
}

// Unwrap returns [ErrRefused].
func (e *RefusedError) Unwrap() error { return ErrRefused }
