// Package pace waits, once or again and again, or for an answer, until a context
// ends.
package pace

import (
	"context"
	"errors"
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

// ErrLate is what was not done in the time that [Within] gave it.
var ErrLate = errors.New("it was asked, and has had its time")

// Within calls f with a context that ends after d. If f fails once it has, the
// error is [ErrLate], since ctx has not ended.
func Within(ctx context.Context, d time.Duration, f func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	err := f(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return ErrLate
	}
	return err
}

// Poll calls done until it reports true or fails, at intervals that grow from a quarter
// of a second to five, without jitter, so that the same story takes the same time. Where
// the next call would come after limit, it returns late.
func Poll(ctx context.Context, limit time.Duration, late error, done func() (bool, error)) error {
	deadline := time.Now().Add(limit)
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if time.Now().Add(wait).After(deadline) {
			return late
		}
		if err := Sleep(ctx, wait); err != nil {
			return err
		}
	}
}
