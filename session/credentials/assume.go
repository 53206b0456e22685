package credentials

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"github.com/atelier-go/atelier/session"
)

// The tags of a role session, by which policies can tell sessions apart
// (aws:PrincipalTag/atelier:user).
const (
	tagDomain  = "atelier:domain"
	tagUser    = "atelier:user"
	tagSession = "atelier:session"
)

// assume gets credentials of a principal's role. The name of the role session
// is what CloudTrail shows: domain and session, two names of at most 20
// characters that STS takes, with a dot between (it takes 64).
func (h *Handler) assume(ctx context.Context, who session.Principal) (credentials, error) {
	in := &awssts.AssumeRoleInput{
		RoleArn:         aws.String(who.Role),
		RoleSessionName: aws.String(who.Domain + "." + string(who.Session)),
		DurationSeconds: aws.Int32(int32(h.cfg.Duration / time.Second)),
		Tags: []types.Tag{
			{Key: aws.String(tagDomain), Value: aws.String(who.Domain)},
			{Key: aws.String(tagUser), Value: aws.String(who.User)},
			{Key: aws.String(tagSession), Value: aws.String(string(who.Session))},
		},
	}
	if h.cfg.Policy != nil {
		policy, err := h.cfg.Policy(ctx, who)
		if err != nil {
			return credentials{}, &refusal{
				status: http.StatusInternalServerError, Code: "SessionPolicy", err: err,
				Message: "this program could not make the session's policy; ask an administrator to look into its log",
			}
		}
		if policy != "" {
			in.Policy = aws.String(policy)
		}
	}
	out, err := h.api.AssumeRole(ctx, in)
	if err != nil {
		return credentials{}, refusedByAWS(who.Role, err)
	}
	given := out.Credentials
	if given == nil || given.Expiration == nil {
		return credentials{}, refusedByAWS(who.Role, errors.New("AssumeRole was answered without credentials"))
	}
	return credentials{
		accessKeyID: aws.ToString(given.AccessKeyId), secretAccessKey: aws.ToString(given.SecretAccessKey),
		sessionToken: aws.ToString(given.SessionToken), expires: *given.Expiration,
	}, nil
}

// refusedByAWS is the table from STS's error codes to answers,
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html and
// CommonErrors.html. What is not in it may pass.
func refusedByAWS(role string, err error) *refusal {
	no := &refusal{err: err}
	answer := func(status int, code, format string, args ...any) *refusal {
		no.status, no.Code, no.Message = status, code, fmt.Sprintf(format, args...)
		return no
	}
	var code string
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		code = e.ErrorCode()
	}
	switch code {
	case "AccessDenied", "AccessDeniedException":
		return answer(http.StatusForbidden, "AccessDenied",
			"AWS does not let this program assume %s; an administrator has to allow it sts:AssumeRole and sts:TagSession on the role, in its own policy and in the role's trust policy", role)
	case "RegionDisabledException":
		return answer(http.StatusForbidden, "RegionDisabled", "AWS STS is not activated in the program's region; an administrator has to activate it, or use another region")
	case "MalformedPolicyDocument", "PackedPolicyTooLarge", "ValidationError", "InvalidParameterValue":
		return answer(http.StatusBadRequest, code,
			"AWS refuses what this program asks for %s; an administrator has to correct the session policy or duration, of which its log says more", role)
	case "Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException", "TooManyRequestsException":
		return answer(http.StatusTooManyRequests, "Throttling", "AWS is asked too often; ask again in a moment")
	case "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch",
		"MissingAuthenticationToken", "IncompleteSignature", "RequestExpired", "OptInRequired":
		return answer(http.StatusInternalServerError, "ProgramCredentials", "AWS refuses the credentials of this program itself; an administrator has to renew them")
	}
	return answer(http.StatusServiceUnavailable, "ServiceUnavailable", "AWS does not answer as it should; ask again in a moment")
}
