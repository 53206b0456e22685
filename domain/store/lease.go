package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// ErrLeaseLost: the lease is no longer held. Another may hold it now.
var ErrLeaseLost = errors.New("lease lost")

// minTTL is the shortest TTL of a lease: a twelfth of it is still well above
// the time a call to a table service takes.
const minTTL = time.Second

// A Lease lets one process at a time do a job, among all that use one [Store].
//
// The processes' clocks are never compared. A holder renews the lease every
// third of its TTL and stops working when, by its own clock, the last renewal
// that succeeded was begun three quarters of a TTL ago. Others take the lease
// when they, by their own clocks, have seen it unchanged for a whole TTL. The
// quarter between is for work to end in and for clocks of different speed.
type Lease struct {
	// Name says what job it is; it is an ID in the store's collection
	// "leases". All that name the same lease in the same store exclude each
	// other. Its record must never be deleted: epochs would begin anew.
	Name string
	// Holder names this process for people who read the store, at most 200
	// bytes. It need not be unique and decides nothing: a process that ended
	// without releasing the lease waits for it as any other does.
	Holder string
	// TTL is how long the job may stand still after its holder died without a
	// word, at least a second. The lease is then held by another within 4/3 of
	// the TTL after the death if one waits, or within one TTL of the start of
	// the next that waits, plus the time of two calls to the store. If holders
	// differ in it, the longer of the two counts. Holding costs three writes
	// per TTL, waiting three reads.
	TTL time.Duration
}

// Hold waits for the lease and calls work while it is held, once. The context
// work gets ends with ctx, and when the lease can no longer be held for
// certain; [context.Cause] is then ErrLeaseLost. Work must end soon after its
// context, within a quarter of the TTL, and with everything it started.
//
// When work returns, the lease is released and Hold returns what work
// returned. The next holder starts at its next look, within a third of the
// TTL. If the release fails, or work panicked, it has to wait for the TTL.
//
// Hold returns ErrLeaseLost, joined with work's error if that is more than the
// end of its context, if the lease was lost before work returned; an error of
// the store if that answered nothing for a whole TTL while Hold was waiting;
// ctx's error if it ended while waiting; and [ErrInvalid], naming every
// problem, for a lease that nobody could hold. It does not call work more than
// once and does not wait anew after a loss: call it again.
func (l Lease) Hold(ctx context.Context, s Store, work func(context.Context, Term) error) error {
	if err := l.validate(s, work != nil); err != nil {
		return err
	}
	t := &tenure{lease: l, store: s, token: rand.Text()}
	if err := t.acquire(ctx); err != nil {
		return err
	}
	return t.serve(ctx, work)
}

func (l Lease) validate(s Store, hasWork bool) error {
	problems := []error{checkKey("lease name", l.Name)}
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if l.Holder == "" || len(l.Holder) > maxKey {
		bad("lease holder has %d bytes: name this process in 1 to %d", len(l.Holder), maxKey)
	}
	if l.TTL < minTTL {
		bad("lease TTL %v: use at least %v", l.TTL, minTTL)
	}
	if s == nil {
		bad("lease store is nil")
	}
	if !hasWork {
		bad("lease work is nil")
	}
	return invalid(problems...)
}

// A Term is one holder's time with a lease. All methods are safe for
// concurrent use.
type Term struct{ t *tenure }

// Epoch numbers the terms of a lease: every holder's is greater than all
// before it, from 1. Written with what a job changes elsewhere, it lets that
// refuse a former holder. It is zero for the zero Term.
func (t Term) Epoch() int64 {
	if t.t == nil {
		return 0
	}
	return t.t.epoch
}

// Check returns nil if the lease is held, by the record in the store and by
// this process's clock; [ErrLeaseLost] if it is not, after which the work's
// context ends; and the store's error if that does not tell within a sixth of
// the TTL. It is one read.
//
// Call it right before a side effect that must not be another's: a process
// that was stopped and continued (a paused container, a suspended machine)
// may be running although its context should long have ended. A pause after
// Check and before the effect is not excluded; what can compare epochs should.
func (t Term) Check(ctx context.Context) error {
	if t.t == nil {
		return fmt.Errorf("%w: it was never held", ErrLeaseLost)
	}
	return t.t.check(ctx)
}
