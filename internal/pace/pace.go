// Package pace waits, once or again and again, until a context ends.
package pace

import (
	"context"
	"time"
)

// Sleep passes d, which may be none, unless ctx ends first, whose error it
// then returns.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Every calls f at an interval until ctx ends, whose error it returns. The
// first call is after one interval; calls that f is too slow for are left out.
func Every(ctx context.Context, d time.Duration, f func()) error {
	ticker := time.NewTicker(d)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			f()
		}
	}
}
