package ec2launcher

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/atelier-go/atelier/launcher"
)

// A verdict is what an error code of AWS means, above all for a purchase.
type verdict struct {
	kind launcher.Kind
	// settled: nothing was bought and the same call will not buy later.
	// Otherwise the outcome is open and the same call is made again.
	settled bool
	// soldOut: the type is not to be had in the zone for a while.
	soldOut bool
	// full: no type is to be had in the subnet for a while.
	full bool
	// anew: what was wanted may be asked for again at once. Otherwise the type
	// is left alone for a while.
	anew bool
	// vcpus: the quota is one of virtual CPUs, which the type tells.
	vcpus bool
	// advice is whose turn it is, for people.
	advice string
}

// hopeless reports whether no waiting helps: the configuration or a permission
// has to be corrected first.
func (v verdict) hopeless() bool {
	return v.settled && (v.kind == launcher.ErrDenied || v.kind == launcher.ErrInvalid)
}

// verdicts is the one place that knows AWS's error codes. Sources: "Error codes
// for the Amazon EC2 API" in the EC2 developer guide, and for the order of
// things to try "Troubleshoot Amazon EC2 instance launch issues".
var verdicts = func() map[string]verdict {
	table := map[string]verdict{}
	add := func(v verdict, codes ...string) {
		for _, c := range codes {
			table[c] = v
		}
	}
	add(verdict{kind: launcher.ErrCapacity, settled: true, soldOut: true, advice: "AWS has none of this type in the zone now; it is tried again in another zone or in a few minutes"},
		"InsufficientInstanceCapacity", "InsufficientHostCapacity", "UnfulfillableCapacity", "Unsupported",
		"ReservationCapacityExceeded", "InsufficientCapacity")
	add(verdict{kind: launcher.ErrCapacity, settled: true, full: true, advice: "the subnet has no free addresses; it is tried in another subnet"},
		"InsufficientFreeAddressesInSubnet")
	add(verdict{kind: launcher.ErrQuota, settled: true, advice: "an administrator has to have the account's EC2 quota raised, or sessions have to end"},
		"MaxFleetCountExceeded")
	add(verdict{kind: launcher.ErrQuota, settled: true, vcpus: true, advice: "an administrator has to have the account's EC2 quota raised, or sessions have to end"},
		"VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded")
	add(verdict{kind: launcher.ErrQuota, settled: true, advice: "AWS verifies the account, which can take some hours; it is tried again every minute"},
		"PendingVerification")
	// The token of an interrupted purchase whose hosts have ended meanwhile:
	// what is still wanted is bought with a new one.
	add(verdict{kind: launcher.ErrUnavailable, settled: true, anew: true, advice: "the hosts of this purchase have ended; others are bought"},
		"IdempotentInstanceTerminated")
	add(verdict{kind: launcher.ErrThrottled, advice: "EC2 asks for fewer calls; it is repeated by itself"},
		"RequestLimitExceeded", "Throttling", "ThrottlingException", "EC2ThrottledException")
	add(verdict{kind: launcher.ErrDenied, advice: "the program's credentials have expired and have to be renewed; it is repeated by itself"},
		"ExpiredToken", "ExpiredTokenException", "RequestExpired")
	add(verdict{kind: launcher.ErrDenied, settled: true, advice: "an administrator has to correct the credentials or their policy"},
		"UnauthorizedOperation", "AuthFailure", "AccessDenied", "AccessDeniedException", "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
		"OptInRequired", "Blocked", "InvalidClientTokenId", "SignatureDoesNotMatch")
	add(verdict{kind: launcher.ErrInvalid, settled: true, advice: "an administrator has to correct the launcher's configuration"},
		"InvalidAMIID.Malformed", "InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidParameterValue", "InvalidParameterCombination",
		"InvalidParameter", "MissingParameter", "InvalidSubnetID.NotFound", "InvalidSubnetID.Malformed", "InvalidSubnet", "InvalidLaunchTemplateId.NotFound",
		"InvalidGroup.NotFound", "InvalidGroupId.Malformed", "InvalidSecurityGroupID.NotFound", "InvalidUserData.Malformed",
		"InvalidBlockDeviceMapping", "InvalidKeyPair.NotFound", "InvalidRequest", "VPCIdNotSpecified", "IdempotentParameterMismatch",
		"ParameterNotFound", "InvalidInstanceType", "InvalidInput",
		"MalformedPolicyDocument", "MalformedPolicyDocumentException", "ValidationError", "ValidationException", "InvalidParameterException")
	// What Setup and Teardown meet beside these: the sections "Errors" of the
	// API references of IAM, Secrets Manager and CloudWatch Logs.
	add(verdict{kind: launcher.ErrNotFound, settled: true, advice: "it does not exist, or no longer"},
		"NoSuchEntity", "ResourceNotFoundException")
	add(verdict{kind: launcher.ErrConflict, settled: true, advice: "something else has the name or uses it"},
		"EntityAlreadyExists", "ResourceExistsException", "ResourceAlreadyExistsException", "DeleteConflict", "UnmodifiableEntity",
		"InvalidRequestException", "OperationAbortedException", "ConcurrentModification", "DependencyViolation", "InvalidGroup.Duplicate")
	add(verdict{kind: launcher.ErrQuota, settled: true, advice: "an administrator has to have the account's quota raised"},
		"LimitExceeded", "LimitExceededException", "SecurityGroupLimitExceeded", "RulesPerSecurityGroupLimitExceeded")
	add(verdict{kind: launcher.ErrDenied, settled: true, advice: "an administrator has to correct the credentials or their policy"},
		"UnrecognizedClientException", "DecryptionFailure", "EncryptionFailure")
	return table
}()

// judge classifies an error of an AWS call. One that the table does not know is
// a refusal if AWS answered with a client's fault (HTTP status 4xx), and else a
// passing failure whose outcome is open.
func judge(err error) verdict {
	if errors.Is(err, errTurn) {
		return verdict{kind: launcher.ErrThrottled, anew: true}
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if v, ok := verdicts[api.ErrorCode()]; ok {
			return v
		}
	}
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		switch status := response.HTTPStatusCode(); {
		case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests:
		case status >= 400 && status < 500:
			return verdict{kind: launcher.ErrUnavailable, settled: true, advice: "it is tried again in a minute; if it stays, an administrator has to see to it"}
		}
	}
	return verdict{kind: launcher.ErrUnavailable, anew: true, advice: "it is repeated by itself"}
}

// codeOf is the error code of AWS in err, or empty.
func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// isNotFound reports whether EC2 knows no instance of the id it was asked for.
func isNotFound(err error) bool {
	return codeOf(err) == "InvalidInstanceID.NotFound"
}

// explain is the sentence people read about an AWS error: AWS's words, then
// whose turn it is.
func explain(err error) string {
	if errors.Is(err, errTurn) {
		return errTurn.Error()
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return fmt.Sprintf("%s: %s (%s)", api.ErrorCode(), api.ErrorMessage(), judge(err).advice)
	}
	return err.Error()
}

// fail makes the package's error. Context errors stay what they are, and
// errors that are a launcher's already are kept.
func fail(op string, id launcher.ID, kind launcher.Kind, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &launcher.Error{Op: op, ID: id, Kind: kind, Err: err}
}
