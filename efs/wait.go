package efs

import (
	"cmp"
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/efs/types"

	"github.com/atelier-go/atelier/internal/pace"
)

const (
	firstPause, longestPause = 500 * time.Millisecond, 10 * time.Second
	// visible is how long a resource that EFS itself named may stay invisible
	// to reads. EFS publishes no figure; its other control planes settle
	// within seconds.
	visible = time.Minute
	// patience is how many looks in a row may fail before a wait gives up. The
	// SDK has retried each of them.
	patience = 5
)

// look is what one look at what is waited for found: the first resource that
// is not ready, or done.
type look struct {
	done     bool
	resource string
	state    types.LifeCycleState
}

// wait looks until all is done. A look that fails because EFS is busy or down
// is repeated; every other error ends the wait.
func (c *Client) wait(ctx context.Context, op, resource string, see func(context.Context) (look, error)) error {
	began, pause, failures := time.Now(), firstPause, 0
	for {
		seen, err := see(ctx)
		switch {
		case err == nil && seen.done:
			return nil
		case err == nil:
			failures = 0
		default:
			failures++
			kind := classify(err)
			if failures > patience || ctx.Err() != nil || kind != ErrThrottled && kind != ErrUnavailable {
				return failed(ctx, op, resource, err)
			}
			seen.resource = resource
		}
		waited := time.Since(began)
		if waited >= c.timeout {
			if err != nil {
				return failed(ctx, op, resource, err)
			}
			return problem(op, seen.resource, ErrState, "still %s after %v; call again to go on waiting",
				cmp.Or(string(seen.state), "not visible"), waited.Round(time.Second))
		}
		c.progress(Progress{Resource: seen.resource, State: string(seen.state), Waited: waited})
		if err := pace.Sleep(ctx, min(pause, c.timeout-waited)); err != nil {
			return failed(ctx, op, resource, err)
		}
		pause = min(2*pause, longestPause)
	}
}
