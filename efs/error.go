package efs

import (
	"context"
	"errors"
	"fmt"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// A Kind classifies what went wrong. It is an error, to be tested for with
// [errors.Is], and a plain string, so that it can be stored.
type Kind string

func (k Kind) Error() string { return string(k) }

// The kinds of failure. The sentence says whose turn it is.
const (
	// ErrInvalid: the request makes no sense; the caller corrects it.
	ErrInvalid Kind = "invalid"
	// ErrNotFound: no such file system, subnet or security group.
	ErrNotFound Kind = "not found"
	// ErrConflict: it exists and differs from what is asked for; nothing was changed.
	ErrConflict Kind = "conflict"
	// ErrQuota: a limit of EFS or of the VPC is reached; delete what is not
	// needed or have the limit raised.
	ErrQuota Kind = "quota exceeded"
	// ErrDenied: credentials or a policy forbid it; an administrator corrects them.
	ErrDenied Kind = "denied"
	// ErrThrottled: too many calls; call again later.
	ErrThrottled Kind = "throttled"
	// ErrState: the resource is not in a state that allows it: being deleted,
	// failed, in use, or not ready in time.
	ErrState Kind = "wrong state"
	// ErrUnavailable: EFS does not answer or failed itself; call again.
	ErrUnavailable Kind = "unavailable"
)

// An Error is a failure of a [Client]. A context that ended is not one: that
// is returned as it is, with what was being done.
type Error struct {
	// Op is the operation: "ensure home".
	Op string
	// Resource is the file system, mount target or access point concerned, if
	// one is known.
	Resource string
	// Kind is the class of failure.
	Kind Kind
	// Err is the cause; [errors.As] finds the error of the AWS SDK in it. It
	// says what to do.
	Err error
}

// Error formats e as "efs: op resource: kind: cause".
func (e *Error) Error() string {
	s := "efs: " + strings.TrimSpace(e.Op+" "+e.Resource) + ": " + string(e.Kind)
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

// kindOf is the table from error codes of EFS, and of AWS as a whole, to
// kinds. The codes are those of service/efs/types and of "Common errors" in the
// EFS API reference.
func kindOf(code string) (Kind, bool) {
	switch code {
	case "BadRequest", "ValidationException", "InvalidPolicyException",
		"AvailabilityZonesMismatch", "UnsupportedAvailabilityZone":
		return ErrInvalid, true
	case "FileSystemNotFound", "MountTargetNotFound", "AccessPointNotFound",
		"SubnetNotFound", "SecurityGroupNotFound", "PolicyNotFound", "ReplicationNotFound":
		return ErrNotFound, true
	case "FileSystemAlreadyExists", "AccessPointAlreadyExists", "MountTargetConflict",
		"IpAddressInUse", "ConflictException", "ReplicationAlreadyExists":
		return ErrConflict, true
	case "FileSystemLimitExceeded", "AccessPointLimitExceeded", "NetworkInterfaceLimitExceeded",
		"NoFreeAddressesInSubnet", "SecurityGroupLimitExceeded", "ThroughputLimitExceeded":
		return ErrQuota, true
	case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnrecognizedClientException",
		"InvalidClientTokenId", "IncompleteSignature", "SignatureDoesNotMatch", "MissingAuthenticationToken",
		"ExpiredToken", "ExpiredTokenException", "OptInRequired", "NotAuthorized":
		return ErrDenied, true
	case "ThrottlingException", "Throttling", "TooManyRequests", "TooManyRequestsException",
		"RequestLimitExceeded":
		return ErrThrottled, true
	case "FileSystemInUse", "IncorrectFileSystemLifeCycleState", "IncorrectMountTargetState":
		return ErrState, true
	case "InternalServerError", "InternalError", "InternalFailure", "ServiceUnavailable",
		"ServiceUnavailableException", "DependencyTimeout", "InsufficientThroughputCapacity", "RequestTimeout":
		return ErrUnavailable, true
	}
	return "", false
}

// classify finds the kind of an error of the SDK: by its code; a code that is
// not in the table by its HTTP status; without an answer it is unavailable.
func classify(err error) Kind {
	if kind, ok := errors.AsType[Kind](err); ok {
		return kind
	}
	if kind, ok := kindOf(code(err)); ok {
		return kind
	}
	answer, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || answer.Response == nil {
		return ErrUnavailable
	}
	switch status := answer.HTTPStatusCode(); {
	case status == 401 || status == 403:
		return ErrDenied
	case status == 404:
		return ErrNotFound
	case status == 429:
		return ErrThrottled
	case status < 500:
		return ErrInvalid
	}
	return ErrUnavailable
}

// code is the error code of AWS in err, or empty.
func code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// failed turns an error of the SDK, or of a step of ours, into what a method
// returns. Advice says what to do, if there is more to say than AWS does.
func failed(ctx context.Context, op, resource string, err error, advice ...string) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return fmt.Errorf("efs: %s: %w", strings.TrimSpace(op+" "+resource), err)
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	kind := classify(err)
	if len(advice) > 0 {
		err = fmt.Errorf("%s (%w)", strings.Join(advice, "; "), err)
	}
	return &Error{Op: op, Resource: resource, Kind: kind, Err: err}
}

// problem is a failure found by us.
func problem(op, resource string, kind Kind, format string, args ...any) error {
	return &Error{Op: op, Resource: resource, Kind: kind, Err: fmt.Errorf(format, args...)}
}

// invalid is one error for all that is wrong with a request, or nil.
func invalid(op, resource string, problems ...error) error {
	if err := errors.Join(problems...); err != nil {
		return &Error{Op: op, Resource: resource, Kind: ErrInvalid, Err: err}
	}
	return nil
}
