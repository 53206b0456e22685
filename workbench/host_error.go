package workbench

import (
	"context"
	"errors"
	"strings"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/internal/refusal"
)

// An Error is a failure of a [Client]. A context that ended is not one: its
// error is returned as it is.
type Error struct {
	// Op is the operation: "deploy", "replace".
	Op string
	// Domain is whose Workbench it is.
	Domain string
	// Kind is the class of failure, one of package domain's. Of several problems
	// it is the one to solve first; [errors.Is] finds the kind of each.
	Kind domain.Kind
	// Err is the cause, or several joined. It says what to do.
	Err error
}

// Error formats e as "workbench: op domain: kind: cause".
func (e *Error) Error() string {
	s := "workbench: " + strings.TrimSpace(e.Op+" "+e.Domain) + ": " + string(e.Kind)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the kind and the cause, so that errors.Is and errors.As find
// both.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// fail dresses an error for the caller.
func (c *Client) fail(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	kind, err := refusal.Dress(err, kindOf, whoseTurn)
	return &Error{Op: op, Domain: c.domain.Name(), Kind: kind, Err: err}
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
	case domain.ErrConflict, domain.ErrNotFound:
		return "somebody else changes what belongs to this Workbench; see to that and call again"
	default:
		return "call again"
	}
}

// kindOf classifies the error of a layer below.
func kindOf(err error) domain.Kind {
	if k, ok := errors.AsType[domain.Kind](err); ok {
		return k
	}
	switch {
	case errors.Is(err, store.ErrConflict):
		return domain.ErrConflict
	case errors.Is(err, store.ErrInvalid):
		return domain.ErrInvalid
	case errors.Is(err, store.ErrUnusable):
		return domain.ErrDenied
	}
	return kinds[refusal.Code(err)].or(domain.ErrUnavailable)
}

type kind struct{ is domain.Kind }

func (k kind) or(other domain.Kind) domain.Kind {
	if k.is == "" {
		return other
	}
	return k.is
}

// Codes that decide what happens next.
const (
	noSuchEntity    = "NoSuchEntity"
	entityExists    = "EntityAlreadyExists"
	roleFull        = "LimitExceeded"
	noSuchSecret    = "ResourceNotFoundException"
	noSuchInstance  = "InvalidInstanceID.NotFound"
	noSuchVolume    = "InvalidVolume.NotFound"
	noSuchInterface = "InvalidNetworkInterfaceID.NotFound"
	interfaceInUse  = "InvalidNetworkInterface.InUse"
	volumeInUse     = "VolumeInUse"
	wrongState      = "IncorrectState"
	invalidValue    = "InvalidParameterValue"
	tokenSpent      = "IdempotentInstanceTerminated"
	soldOut         = "InsufficientInstanceCapacity"
)

// kinds is the one table from AWS's error codes to kinds. Sources: "Error codes
// for the Amazon EC2 API" in the EC2 developer guide, and the sections "Errors"
// of the API references of IAM, Secrets Manager and Systems Manager. What is not
// in it is for AWS to answer for.
var kinds = func() map[string]kind {
	table := map[string]kind{}
	add := func(k domain.Kind, codes ...string) {
		for _, c := range codes {
			table[c] = kind{k}
		}
	}
	add(domain.ErrInvalid, invalidValue, "InvalidParameter", "InvalidParameterCombination", "MissingParameter", "InvalidAMIID.Malformed", "InvalidAMIID.NotFound",
		"InvalidAMIID.Unavailable", "InvalidUserData.Malformed", "InvalidBlockDeviceMapping", "IdempotentParameterMismatch", "ParameterNotFound",
		"MalformedPolicyDocument", "ValidationError", "ValidationException", "InvalidParameterException", "InvalidGroupId.Malformed", "InvalidInput",
		"InvalidZone.NotFound", "InvalidVolume.ZoneMismatch", "Unsupported")
	add(domain.ErrNotFound, noSuchEntity, noSuchSecret, noSuchInstance, noSuchVolume, noSuchInterface, "InvalidGroup.NotFound", "InvalidSubnetID.NotFound")
	add(domain.ErrConflict, entityExists, "ResourceExistsException", "DeleteConflict", "UnmodifiableEntity", "ConcurrentModification", "InvalidRequestException",
		"InvalidGroup.Duplicate", interfaceInUse, volumeInUse, "InvalidIPAddress.InUse")
	add(domain.ErrState, "DependencyViolation", wrongState, "IncorrectInstanceState")
	add(domain.ErrQuota, "VcpuLimitExceeded", "InstanceLimitExceeded", "VolumeLimitExceeded", "PendingVerification", "LimitExceeded", "LimitExceededException",
		"SecurityGroupLimitExceeded", "RulesPerSecurityGroupLimitExceeded", "TagLimitExceeded", "InsufficientFreeAddressesInSubnet")
	add(domain.ErrDenied, "UnauthorizedOperation", "AuthFailure", "AccessDenied", "AccessDeniedException", "OptInRequired", "Blocked", "ExpiredToken",
		"ExpiredTokenException", "RequestExpired", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch",
		"MissingAuthenticationToken", "DecryptionFailure", "EncryptionFailure")
	add(domain.ErrThrottled, "RequestLimitExceeded", "Throttling", "ThrottlingException")
	return table
}()
