package fakeaws

import (
	"errors"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// backoff is the pause of the SDK's standard retryer, with a jitter that follows
// from the call it comes after in place of chance: a program that retries then
// takes the same time in every run.
type backoff struct{ cloud *Cloud }

// BackoffDelay implements retry.BackoffDelayer as retry.ExponentialJitterBackoff
// does, up to 20 seconds.
func (b backoff) BackoffDelay(attempt int, err error) (time.Duration, error) {
	const longest, doublings = 20 * time.Second, 4
	if attempt > doublings {
		return longest, nil
	}
	after := ""
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		after = response.RequestID
	}
	return time.Duration(share(b.cloud.hash("backoff", after, attempt)) * float64(time.Second<<attempt)), nil
}
