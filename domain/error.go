package domain

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/image"
)

// A Kind classifies what went wrong. It is an error, to be tested for with
// [errors.Is], and a plain string, so that it can be stored.
type Kind string

func (k Kind) Error() string { return string(k) }

// The kinds of failure. The sentence says whose turn it is.
const (
	// ErrInvalid: the request makes no sense; the caller corrects it.
	ErrInvalid Kind = "invalid"
	// ErrNotFound: no such domain, user, image or AWS resource.
	ErrNotFound Kind = "not found"
	// ErrConflict: the name is taken by something else, or another process
	// changed the same thing; read it again and decide anew.
	ErrConflict Kind = "conflict"
	// ErrNotAllowed: a policy forbids it; the user chooses something else, or
	// an administrator changes the policy.
	ErrNotAllowed Kind = "not allowed"
	// ErrState: it cannot be done now; the sentence says what comes first.
	ErrState Kind = "wrong state"
	// ErrLimit: as many sessions as may be at one time there are, by a policy or of
	// one account; the user waits until one ends, or an administrator changes the
	// policy.
	ErrLimit Kind = "limit reached"
	// ErrQuota: the AWS account, or the domain's supply of uids, has no more of
	// something; an administrator has its limit raised.
	ErrQuota Kind = "quota exceeded"
	// ErrBudget: a budget leaves too little; the user asks for less or waits for
	// the next month, or an administrator changes the policy.
	ErrBudget Kind = "budget exceeded"
	// ErrDenied: AWS or a registry refuses the credentials, or the store cannot be
	// used; an administrator corrects that.
	ErrDenied Kind = "denied"
	// ErrThrottled: too many calls; wait and call again.
	ErrThrottled Kind = "throttled"
	// ErrUnavailable: a service does not answer as it should; call again.
	ErrUnavailable Kind = "unavailable"
)

// An Error is a failure of this package.
type Error struct {
	// Op is the operation: "create", "onboard", "authorize".
	Op string
	// Name is the domain, or the domain and the user or image in it
	// ("research/alice").
	Name string
	// Kind is the class of failure. Of several problems it is the one to
	// solve first; [errors.Is] finds the kind of each.
	Kind Kind
	// Err is the cause, or several joined. It says what to do.
	Err error
}

// Error formats e as "domain: op name: kind: cause".
func (e *Error) Error() string {
	parts := []string{"domain", strings.TrimSpace(e.Op + " " + e.Name), string(e.Kind)}
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

// A problem is one thing wrong with a request.
type problem struct {
	rule string // what was violated, for tests: "user", "image", "domain policy"
	kind Kind
	err  error
}

func (p *problem) Error() string   { return p.err.Error() }
func (p *problem) Unwrap() []error { return []error{p.kind, p.err} }

// problems are collected and reported at once.
type problems []error

func (p *problems) add(rule string, kind Kind, err error) {
	if err != nil {
		*p = append(*p, &problem{rule, kind, err})
	}
}

// err makes one error of all, or nil. The order of kinds is the order in which
// a caller can do something about them.
func (p problems) err(op, name string) error {
	if len(p) == 0 {
		return nil
	}
	joined := errors.Join(p...)
	for _, k := range []Kind{ErrInvalid, ErrNotFound, ErrConflict, ErrState, ErrNotAllowed, ErrLimit, ErrQuota, ErrBudget} {
		if errors.Is(joined, k) {
			return &Error{Op: op, Name: name, Kind: k, Err: joined}
		}
	}
	return &Error{Op: op, Name: name, Kind: ErrInvalid, Err: joined}
}

// fail dresses an error of a layer below. The error of a context that ended is
// returned as it is, and so are errors of this package.
func fail(ctx context.Context, op, name string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	return &Error{Op: op, Name: name, Kind: kindOf(err), Err: err}
}

// kindOf finds the kind of an error of a layer below.
func kindOf(err error) Kind {
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, efs.ErrNotFound), errors.Is(err, image.ErrNotFound):
		return ErrNotFound
	case errors.Is(err, store.ErrConflict), errors.Is(err, efs.ErrConflict):
		return ErrConflict
	case errors.Is(err, store.ErrInvalid), errors.Is(err, efs.ErrInvalid), errors.Is(err, image.ErrInvalid),
		errors.Is(err, image.ErrPlatform):
		return ErrInvalid
	case errors.Is(err, efs.ErrQuota):
		return ErrQuota
	case errors.Is(err, efs.ErrState):
		return ErrState
	case errors.Is(err, efs.ErrDenied), errors.Is(err, image.ErrDenied), errors.Is(err, store.ErrUnusable):
		return ErrDenied
	case errors.Is(err, efs.ErrThrottled), errors.Is(err, image.ErrThrottled):
		return ErrThrottled
	}
	return ec2Kind(codeOf(err))
}

// ec2Kind is the table from EC2's error codes to kinds,
// https://docs.aws.amazon.com/ec2/latest/devguide/errors-overview.html. What
// is not in it is for AWS to answer for.
func ec2Kind(code string) Kind {
	switch code {
	case "InvalidVpcID.NotFound", "InvalidSubnetID.NotFound", "InvalidGroup.NotFound":
		return ErrNotFound
	case "InvalidGroup.Duplicate", "InvalidPermission.Duplicate":
		return ErrConflict
	case "InvalidParameterValue", "InvalidParameter", "MissingParameter", "ValidationError",
		"InvalidGroupId.Malformed", "InvalidVpcId.Malformed", "InvalidSubnetId.Malformed":
		return ErrInvalid
	case "SecurityGroupLimitExceeded", "RulesPerSecurityGroupLimitExceeded", "SecurityGroupsPerInstanceLimitExceeded",
		"TagLimitExceeded", "ResourceLimitExceeded":
		return ErrQuota
	case "UnauthorizedOperation", "AuthFailure", "AccessDenied", "AccessDeniedException", "Blocked", "OptInRequired",
		"ExpiredToken", "RequestExpired", "UnrecognizedClientException", "InvalidClientTokenId",
		"SignatureDoesNotMatch", "MissingAuthenticationToken":
		return ErrDenied
	case "RequestLimitExceeded", "Throttling", "ThrottlingException":
		return ErrThrottled
	case "DependencyViolation", "IncorrectState":
		return ErrState
	}
	return ErrUnavailable
}

// codeOf is the error code of AWS in err, or empty.
func codeOf(err error) string {
	if refusal, ok := errors.AsType[smithy.APIError](err); ok {
		return refusal.ErrorCode()
	}
	return ""
}
