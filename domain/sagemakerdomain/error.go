package sagemakerdomain

import (
	"context"
	"errors"
	"strings"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/image"
	"github.com/atelier-go/atelier/internal/refusal"
)

// An Error is a failure of a [Client]. A context that ended is not one: its error is
// returned as it is.
type Error struct {
	// Op is the operation: "create domain", "update profile".
	Op string
	// Name is what it is about: a domain's id or name, or "id/profile".
	Name string
	// Kind is the class of failure, one of package domain's. Of several problems it is
	// the one to solve first; [errors.Is] finds the kind of each.
	Kind domain.Kind
	// Err is the cause, or several joined. It says what to do.
	Err error
}

// Error formats e as "sagemakerdomain: op name: kind: cause".
func (e *Error) Error() string {
	s := "sagemakerdomain: " + strings.TrimSpace(e.Op+" "+e.Name) + ": " + string(e.Kind)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the kind and the cause, so that errors.Is and errors.As find both.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// problems are collected and reported at once.
type problems []error

func (p *problems) add(kind domain.Kind, format string, args ...any) {
	*p = append(*p, refusal.New(kind, format, args...))
}

// or is what is wrong or, if nothing is, why a look at something failed.
func (p problems) or(err error) error {
	if wrong := p.err(); wrong != nil {
		return wrong
	}
	return err
}

// take adds a refusal to what is wrong, and returns an error that is none: why a look failed.
func (p *problems) take(err error) error {
	if _, refused := errors.AsType[*refusal.Error](err); !refused {
		return err
	}
	*p = append(*p, err)
	return nil
}

// looked adds what a check around a request has found. That it could not be made is not held
// against the request.
func (p *problems) looked(found problems, err error) error {
	*p = append(*p, found...)
	if err != nil && !unlooked(err) {
		return err
	}
	return nil
}

// missing says of AWS's answer that there is no such thing what is not there, and what to do
// about it. Any other error is as it was.
func missing(err error, what, advice string) error {
	if refusal.Code(err) != notFound {
		return err
	}
	return absent("there is no "+what+": "+advice, err)
}

// absent makes of AWS's answer a sentence of ours.
func absent(sentence string, answer error) error {
	return &refusal.Error{Kind: domain.ErrNotFound, Err: &absence{sentence, answer}}
}

// An absence is that something is not there, in our words. AWS's answer is its cause.
type absence struct {
	sentence string
	cause    error
}

func (a *absence) Error() string { return a.sentence }

func (a *absence) Unwrap() error { return a.cause }

// noDomain and its like are missing of one kind of thing each.
func (c *Client) noDomain(err error, id string) error {
	return missing(err, "domain "+id+" in "+c.region, adviceDomain)
}

func noProfile(err error, domainID, name string) error {
	return missing(err, "user profile "+name+" in domain "+domainID, adviceProfile)
}

func noSpace(err error, domainID, name string) error {
	return missing(err, "space "+name+" in domain "+domainID, "check the name; Spaces lists them")
}

func (c *Client) noImage(err error, name string) error {
	return missing(err, "image "+name+" in "+c.region, adviceImage)
}

// What is to be done about something that is not there.
const (
	adviceDomain  = "check the id; Domains lists them"
	adviceProfile = "check the name; Profiles lists them"
	adviceImage   = "check the name; Images lists them, and RegisterImage makes one"
)

// err makes one failure of all, or nil. The order of kinds is the order in which a
// caller can do something about them.
func (p problems) err() error {
	joined := errors.Join(p...)
	if joined == nil {
		return nil
	}
	for _, k := range []domain.Kind{domain.ErrInvalid, domain.ErrNotFound, domain.ErrConflict, domain.ErrState, domain.ErrNotAllowed, domain.ErrDenied} {
		if errors.Is(joined, k) {
			return &refusal.Error{Kind: k, Err: joined}
		}
	}
	return &refusal.Error{Kind: domain.ErrQuota, Err: joined}
}

// fail dresses an error for the caller. What another method of ours has dressed becomes a
// failure of this one.
func fail(ctx context.Context, op, name string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if inner, ok := err.(*Error); ok { //nolint:errorlint // one below a cause is not what failed
		return &Error{Op: op, Name: name, Kind: inner.Kind, Err: refusal.Step(inner.Op, inner.Err)}
	}
	kind, err := refusal.Dress(err, kindOf, whoseTurn)
	return &Error{Op: op, Name: name, Kind: kind, Err: err}
}

// whoseTurn says what to do about what AWS refuses.
func whoseTurn(kind domain.Kind) string {
	switch kind {
	case domain.ErrDenied:
		return "an administrator has to give the credentials what Policy lists"
	case domain.ErrQuota:
		return "an administrator has to have the account's quota raised; then call again"
	case domain.ErrInvalid:
		return "correct the request"
	case domain.ErrNotFound:
		return "check what it is called; it was never there, or is gone"
	case domain.ErrConflict:
		return "somebody else changes the same; look at it and decide anew"
	case domain.ErrState:
		return "something has to end first; look at the apps and call again"
	default:
		return "call again"
	}
}

// kindOf classifies the error of a layer below.
func kindOf(err error) domain.Kind {
	if k, ok := errors.AsType[domain.Kind](err); ok {
		return k
	}
	if k, ok := errors.AsType[efs.Kind](err); ok {
		return domain.Kind(k) // it has the same words
	}
	switch {
	case errors.Is(err, image.ErrNotFound):
		return domain.ErrNotFound
	case errors.Is(err, image.ErrInvalid), errors.Is(err, image.ErrPlatform):
		return domain.ErrInvalid
	case errors.Is(err, image.ErrDenied):
		return domain.ErrDenied
	case errors.Is(err, image.ErrThrottled):
		return domain.ErrThrottled
	}
	if k, ok := kinds[refusal.Code(err)]; ok {
		return k
	}
	return domain.ErrUnavailable
}

// Codes that decide what happens next. ResourceInUse is both a name that is taken and
// a thing that is used; who creates something asks which.
const (
	inUse          = "ResourceInUse"
	notFound       = "ResourceNotFound"
	noSuchGroup    = "InvalidGroup.NotFound"
	noSuchRule     = "InvalidPermission.NotFound"
	noSuchENI      = "InvalidNetworkInterfaceID.NotFound"
	groupInUse     = "DependencyViolation"
	interfaceInUse = "InvalidNetworkInterface.InUse"
	wrongParameter = "InvalidParameterValue"
	noSuchEntity   = "NoSuchEntity"
)

// kinds is the one table from AWS's error codes to kinds. Sources: service/sagemaker/types
// and "Common Error Types" of SageMaker's API reference, where ValidationException has no
// type; "Error codes for the Amazon EC2 API" in the EC2 developer guide; the
// sections "Errors" of IAM, License Manager and Service Quotas. What is not in it is for
// AWS to answer for.
var kinds = func() map[string]domain.Kind {
	table := map[string]domain.Kind{}
	add := func(k domain.Kind, codes ...string) {
		for _, c := range codes {
			table[c] = k
		}
	}
	add(domain.ErrInvalid, "ValidationException", "ValidationError", wrongParameter, "InvalidParameter", "MissingParameter", "InvalidParameterValueException",
		"IllegalArgumentException", "InvalidGroupId.Malformed", "InvalidSubnetID.Malformed", "InvalidPaginationTokenException")
	add(domain.ErrNotFound, notFound, noSuchGroup, noSuchRule, noSuchENI, noSuchEntity, "InvalidSubnetID.NotFound", "NoSuchResourceException")
	add(domain.ErrConflict, "ConflictException")
	add(domain.ErrState, inUse, groupInUse, interfaceInUse, "IncorrectState")
	add(domain.ErrQuota, "ResourceLimitExceeded", "ResourceLimitExceededException")
	add(domain.ErrDenied, "AccessDeniedException", "AccessDenied", "UnauthorizedOperation", "AuthFailure", "AuthorizationException", "NotAuthorized",
		"UnrecognizedClientException", "InvalidClientTokenId", "SignatureDoesNotMatch", "MissingAuthenticationToken", "IncompleteSignature",
		"ExpiredToken", "ExpiredTokenException", "RequestExpired", "OptInRequired", "Blocked")
	add(domain.ErrThrottled, "ThrottlingException", "Throttling", "TooManyRequestsException", "RateLimitExceededException", "RequestLimitExceeded")
	return table
}()
