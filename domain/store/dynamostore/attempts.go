package dynamostore

import (
	"context"
	"errors"
	"net/http"
	"slices"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
)

// A trail follows the attempts the SDK makes of one write, to tell whether one
// of them may have had its effect unseen.
type trail struct {
	attempts, lost int
}

// follow is an option of the write.
func (t *trail) follow(o *dynamodb.Options) {
	o.APIOptions = append(slices.Clip(o.APIOptions), func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(t, "Retry", middleware.After)
	})
}

// answered reports whether every attempt was answered, so that the last answer is
// the whole truth. What was not followed was not answered.
func (t *trail) answered() bool { return t.attempts > 0 && t.lost == 0 }

// ID names the step, for the SDK.
func (*trail) ID() string { return "AtelierAttempts" }

// HandleFinalize is one attempt. Only an answer of status 4xx says that it had no
// effect: "When you receive a status code 500 on a write operation, the operation
// may have succeeded or failed"
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html),
// and without an answer nothing is known.
func (t *trail) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	middleware.FinalizeOutput, middleware.Metadata, error,
) {
	out, metadata, err := next.HandleFinalize(ctx, in)
	t.attempts++
	if err != nil {
		answer, ok := errors.AsType[*awshttp.ResponseError](err)
		if !ok || answer.Response == nil || answer.HTTPStatusCode() < http.StatusBadRequest || answer.HTTPStatusCode() >= http.StatusInternalServerError {
			t.lost++
		}
	}
	return out, metadata, err
}
