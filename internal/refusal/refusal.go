// Package refusal is how clients of AWS beside package domain fail: an error whose kind is
// known where it is found, which whoever leaves the client's package makes its own kind of
// error of.
package refusal

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/atelier-go/atelier/domain"
)

// An Error is a failure of a known kind.
type Error struct {
	Kind domain.Kind
	Err  error
}

func (r *Error) Error() string { return r.Err.Error() }

// Unwrap returns the kind and the cause, so that errors.Is and errors.As find both.
func (r *Error) Unwrap() []error { return []error{r.Kind, r.Err} }

// New makes a refusal of a sentence.
func New(kind domain.Kind, format string, args ...any) error {
	return &Error{kind, fmt.Errorf(format, args...)}
}

// Step says what failed, if it did and the failure does not begin with it itself.
func Step(what string, err error) error {
	if err == nil {
		return nil
	}
	if rest, said := strings.CutPrefix(err.Error(), what); said && (strings.HasPrefix(rest, " ") || strings.HasPrefix(rest, ":")) {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Dress returns the kind of a failure, and the failure with whose turn it is if it is one
// that AWS has answered.
func Dress(err error, kindOf func(error) domain.Kind, whoseTurn func(domain.Kind) string) (domain.Kind, error) {
	if r, ok := errors.AsType[*Error](err); ok {
		return r.Kind, err
	}
	kind := kindOf(err)
	if Code(err) != "" {
		err = fmt.Errorf("%w (%s)", err, whoseTurn(kind))
	}
	return kind, err
}

// Code is the error code of AWS in err, or empty.
func Code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}
