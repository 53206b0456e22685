package fakeaws

import (
	"errors"
	"fmt"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// answerError is a service's refusal before it is dressed as the SDK's
// deserialisers would: the HTTP status and the error the client would see.
type answerError struct {
	status int
	err    smithy.APIError
}

func (e *answerError) Error() string { return e.err.Error() }

// refuse is a refusal the service has no modelled type for: all of EC2's.
func refuse(status int, code, format string, args ...any) error {
	return &answerError{status, &smithy.GenericAPIError{Code: code, Message: fmt.Sprintf(format, args...)}}
}

// refuseAs is a refusal with a type of its own, such as *efs types.FileSystemNotFound.
func refuseAs(status int, err smithy.APIError) error { return &answerError{status, err} }

// denied is what a service answers to credentials without permission.
func denied(action, account string) error {
	code, status := "AccessDeniedException", http.StatusBadRequest
	if len(action) > 4 && action[:4] == "ec2:" {
		code, status = "UnauthorizedOperation", http.StatusForbidden
	}
	return refuse(status, code, "User: arn:aws:iam::%s:user/atelier is not authorized to perform: %s", account, action)
}

// seal wraps a refusal as the SDK's response-error middleware does, so that
// the retryer sees the HTTP status and the caller the request id. Other errors,
// a crash or a cancelled context, pass as they are.
func seal(err error, requestID string) error {
	var refusal *answerError
	if !errors.As(err, &refusal) {
		return err
	}
	response := &http.Response{
		StatusCode: refusal.status,
		Status:     fmt.Sprintf("%d %s", refusal.status, http.StatusText(refusal.status)),
		Header:     http.Header{"X-Amzn-Requestid": {requestID}},
		Body:       http.NoBody,
	}
	return &awshttp.ResponseError{
		ResponseError: &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: response},
			Err:      refusal.err,
		},
		RequestID: requestID,
	}
}

// codeOf names an outcome in the journal.
func codeOf(err error) string {
	if err == nil {
		return ""
	}
	var refusal *answerError
	if errors.As(err, &refusal) {
		return refusal.err.ErrorCode()
	}
	return err.Error()
}
