package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/atelier-go/atelier/domain/store"
)

// A Kind classifies what went wrong. It is an error, to be tested for with
// [errors.Is], and a plain string, so that it can be stored.
type Kind string

func (k Kind) Error() string { return string(k) }

// The kinds of failure. The sentence says whose turn it is.
const (
	// ErrInvalid: the config makes no sense, or DynamoDB finds the request
	// invalid; the caller corrects it.
	ErrInvalid Kind = "invalid"
	// ErrNoTable: there is no such table in the account and region, or it is not
	// ready yet; the operator makes it with [Store.EnsureTable] or corrects the name.
	ErrNoTable Kind = "no table"
	// ErrWrongTable: the table has other keys, or an item that no Store wrote; the
	// operator chooses another table.
	ErrWrongTable Kind = "wrong table"
	// ErrThrottled: more calls than the table, one of its partitions or the account
	// takes; the caller calls again later, and less often.
	ErrThrottled Kind = "throttled"
	// ErrDenied: credentials or a policy forbid it; an administrator corrects them.
	ErrDenied Kind = "denied"
	// ErrQuota: a limit of the account is reached; an administrator has it raised.
	ErrQuota Kind = "quota exceeded"
	// ErrState: the table is being deleted or cannot be used; the operator sees to it.
	ErrState Kind = "wrong state"
	// ErrUnavailable: DynamoDB does not answer or failed itself, or its answer was
	// lost; the caller reads the record, if it was a write, and calls again.
	ErrUnavailable Kind = "unavailable"
)

// turns says what to do about a kind, where AWS's own words do not.
var turns = map[Kind]string{
	ErrNoTable:     "make it with EnsureTable, or correct the table's name or the region",
	ErrThrottled:   "call again later; a partition takes 1000 write and 3000 read units a second",
	ErrDenied:      "an administrator has to allow it",
	ErrQuota:       "call again later, or have the limit raised",
	ErrUnavailable: "call again; a write may have happened",
}

// An Error is a failure of a [Store]. A context that ended is not one: its error
// is returned as it is.
type Error struct {
	// Op is the operation: "put".
	Op string
	// Table is the table's name, if one is known.
	Table string
	// Subject is the record or collection concerned; empty for the whole table.
	Subject string
	// Kind is the class of failure.
	Kind Kind
	// Err is the cause; [errors.As] finds the error of the AWS SDK in it. It
	// says what to do.
	Err error
}

// Error formats e as "dynamostore: op subject: table: kind: cause".
func (e *Error) Error() string {
	parts := []string{"dynamostore", strings.TrimSpace(e.Op + " " + e.Subject)}
	if e.Table != "" {
		parts = append(parts, "table "+e.Table)
	}
	parts = append(parts, string(e.Kind))
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the kind and the cause, so that errors.Is and errors.As find both, and
// [store.ErrUnusable] for ErrNoTable, ErrWrongTable and ErrDenied.
func (e *Error) Unwrap() []error {
	found := []error{e.Kind}
	switch e.Kind {
	case ErrNoTable, ErrWrongTable, ErrDenied:
		found = append(found, store.ErrUnusable)
	}
	if e.Err != nil {
		found = append(found, e.Err)
	}
	return found
}

// kindOf is the table from error codes of DynamoDB, and of AWS as a whole, to
// kinds. The codes are those of "Error handling with DynamoDB",
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html,
// of service/dynamodb/types and of "Common errors" in the API reference.
func kindOf(code string) (Kind, bool) {
	switch code {
	case "ValidationException", "ValidationError", "SerializationException":
		return ErrInvalid, true
	case "ResourceNotFoundException", "TableNotFoundException":
		return ErrNoTable, true
	case "ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException", "Throttling",
		"TooManyRequestsException":
		return ErrThrottled, true
	case "AccessDeniedException", "AccessDenied", "UnrecognizedClientException", "IncompleteSignature",
		"IncompleteSignatureException", "InvalidSignatureException", "SignatureDoesNotMatch", "InvalidClientTokenId",
		"MissingAuthenticationToken", "MissingAuthenticationTokenException", "ExpiredToken", "ExpiredTokenException",
		"OptInRequired", "NotAuthorized":
		return ErrDenied, true
	case "LimitExceededException", "ItemCollectionSizeLimitExceededException":
		return ErrQuota, true
	case "ResourceInUseException", "TableInUseException", "TableAlreadyExistsException":
		return ErrState, true
	case "InternalServerError", "InternalFailure", "InternalError", "ServiceUnavailable", "ServiceUnavailableException",
		"RequestTimeout", "TransactionConflictException", "TransactionInProgressException", "ReplicatedWriteConflictException":
		return ErrUnavailable, true
	}
	return "", false
}

// classify finds the kind of an error of the SDK: by its code; a code that is not
// in the table by its HTTP status; without an answer it is unavailable.
func classify(err error) Kind {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if kind, ok := kindOf(api.ErrorCode()); ok {
			return kind
		}
	}
	answer, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || answer.Response == nil {
		return ErrUnavailable
	}
	switch status := answer.HTTPStatusCode(); {
	case status == 401 || status == 403:
		return ErrDenied
	case status == 429:
		return ErrThrottled
	case status < 500:
		return ErrInvalid
	}
	return ErrUnavailable
}

// problem is a failure found by us, of which [Store.failed] tells where.
func problem(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// failed turns an error of the SDK, or a problem, into what a method returns.
func (s *Store) failed(ctx context.Context, op, subject string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return &Error{Op: op, Table: s.table, Subject: subject, Kind: e.Kind, Err: e.Err}
	}
	kind := classify(err)
	if turn := turns[kind]; turn != "" {
		err = fmt.Errorf("%s (%w)", turn, err)
	}
	return &Error{Op: op, Table: s.table, Subject: subject, Kind: kind, Err: err}
}

// unknown is a write of which nobody can tell whether it happened.
func (s *Store) unknown(op, subject string, refusal error) error {
	return &Error{Op: op, Table: s.table, Subject: subject, Kind: ErrUnavailable, Err: fmt.Errorf(
		"an answer was lost and the record is another now: it may have happened, read it and decide anew (%w)", refusal)}
}

// invalid is one error for all that is wrong with a config, or nil.
func invalid(op, table string, problems ...error) error {
	if err := errors.Join(problems...); err != nil {
		return &Error{Op: op, Table: table, Kind: ErrInvalid, Err: err}
	}
	return nil
}
