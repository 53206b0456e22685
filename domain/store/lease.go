package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrLeaseLost: the lease is no longer held. Another may hold it now.
var ErrLeaseLost = errors.New("lease lost")

// leases is the collection that leases are recorded in. A record there must
// never be deleted: its epochs would begin anew.
const leases = "leases"

// minTTL is the shortest TTL of a lease: a twelfth of it is still well above
// the time a call to a table service takes.
const minTTL = time.Second

// The parts of a TTL, as client-go's leader election divides its lease of 15
// seconds into a renew deadline of 10 and the rest for the clocks. A holder
// whose renewals fail at once makes five attempts, one whose calls hang two.
const (
	renewEvery = 4 // twelfths after a renewal until the next
	retryEvery = 1 // twelfths between a failed renewal and the next
	callAtMost = 2 // twelfths that a look, a renewal, a check or the release may take
	safeFor    = 9 // twelfths after a renewal that the work may go on
)

// A Lease lets one process at a time do a job, among all that use one [Store].
//
// The processes' clocks are never compared. A holder renews the lease every
// third of its TTL and stops working when, by its own clock, the last renewal
// that succeeded was begun three quarters of a TTL ago. Others take the lease
// when they, by their own clocks, have seen it unchanged for a whole TTL. The
// quarter between is for work to end in and for clocks of different speed.
type Lease struct {
	// Name says what job it is; it is an ID in the store's collection
	// "leases". Whoever names the same lease in the same store excludes each
	// other.
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

// twelfths returns a part of the TTL.
func (l Lease) twelfths(n time.Duration) time.Duration { return l.TTL / 12 * n }

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

// leaseRecord is a lease in the store.
type leaseRecord struct {
	// Token tells one Hold from all others; empty if the lease is released.
	Token string `json:",omitempty"`
	// Holder is Lease.Holder.
	Holder string
	// Epoch is Term.Epoch, or that of the last term.
	Epoch int64
	// TTL is the holder's.
	TTL time.Duration
}

// tenure is one call of Hold.
type tenure struct {
	lease Lease
	store Store
	token string
	epoch int64

	// version is the record's while it is ours; zero if it has to be read. One
	// goroutine at a time uses it: acquire's, then keep's, then release's.
	version int64

	lose   context.CancelCauseFunc // ends the work's context
	expire *time.Timer             // calls held when it may have expired

	mu      sync.Mutex
	renewed time.Time // when the last renewal that succeeded was begun
	failure error     // of the renewals since; nil if none failed
	over    error     // why the lease is not held; nil while it is
}

// acquire waits until the lease is ours.
func (t *tenure) acquire(ctx context.Context) error {
	var seen sighting
	answered := time.Now()
	for {
		held, wait, err := t.look(ctx, &seen)
		switch {
		case held:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			answered = time.Now()
		case time.Since(answered) >= t.lease.TTL:
			return fmt.Errorf("wait for lease %s: the store has failed for %v: %w", t.lease.Name, t.lease.TTL, err)
		default:
			wait = t.lease.twelfths(retryEvery)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// sighting is the version a waiting holder saw last, and when it first did.
type sighting struct {
	version int64
	since   time.Time
}

// look reads the record once and claims it if it is free. If it is not, wait
// is the time until the next look.
func (t *tenure) look(ctx context.Context, seen *sighting) (held bool, wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.lease.twelfths(callAtMost))
	defer cancel()
	record, version, err := t.read(ctx)
	if err != nil {
		return false, 0, err
	}
	// The read was answered with what was true at some moment since it was
	// begun; counted from its end, the wait is never too short.
	if version != seen.version {
		*seen = sighting{version: version, since: time.Now()}
	}
	left := max(record.TTL, t.lease.TTL) - time.Since(seen.since)
	mine := record.Token == t.token // from a write whose reply was lost
	if record.Token != "" && !mine && left > 0 {
		return false, min(left, t.lease.twelfths(renewEvery)), nil
	}
	t.epoch = record.Epoch
	if !mine {
		t.epoch++
	}
	begun := time.Now()
	t.version, err = t.write(ctx, t.token, version)
	if errors.Is(err, ErrConflict) {
		return false, 0, nil // another was faster: look at that one
	}
	if err != nil {
		return false, 0, err
	}
	t.renewed = begun
	return true, 0, nil
}

// serve calls work while the lease is held, and releases it.
func (t *tenure) serve(ctx context.Context, work func(context.Context, Term) error) error {
	held, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	t.lose = lose
	// On its own timer, so that a store that hangs delays nothing.
	t.expire = time.AfterFunc(time.Until(t.until()), func() { _ = t.held() })
	defer t.expire.Stop()

	// Work that winds down after ctx has ended still has the lease.
	outlive := context.WithoutCancel(ctx)
	keeping, stop := context.WithCancel(outlive)
	var keeper sync.WaitGroup
	keeper.Go(func() { t.keep(keeping) })
	defer keeper.Wait()
	defer stop()

	var err error
	if t.held() == nil { // a claim can take longer than it is good for
		err = work(held, Term{t})
	}
	lost := t.held()
	t.end(fmt.Errorf("%w: the work has returned", ErrLeaseLost))
	stop()
	keeper.Wait()
	t.release(outlive)
	switch {
	case lost == nil:
		return err
	case err == nil, errors.Is(err, ErrLeaseLost), errors.Is(err, context.Canceled) && ctx.Err() == nil:
		return lost
	}
	return errors.Join(lost, err)
}

// keep renews the lease until ctx ends or it is lost.
func (t *tenure) keep(ctx context.Context) {
	next := t.renewed.Add(t.lease.twelfths(renewEvery))
	for sleep(ctx, time.Until(next)) == nil && t.held() == nil {
		begun := time.Now()
		err := t.put(ctx, t.token)
		switch {
		case err == nil:
			t.extend(begun)
			next = begun.Add(t.lease.twelfths(renewEvery))
		case errors.Is(err, ErrLeaseLost):
			t.end(err)
		default:
			t.mu.Lock()
			t.failure = err
			t.mu.Unlock()
			next = time.Now().Add(t.lease.twelfths(retryEvery))
		}
	}
}

// release lets the next holder begin at once. If it fails, the next holder
// waits until the lease expires.
func (t *tenure) release(ctx context.Context) {
	_ = t.put(ctx, "")
}

// check is [Term.Check].
func (t *tenure) check(ctx context.Context) error {
	if err := t.held(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, t.lease.twelfths(callAtMost))
	defer cancel()
	record, _, err := t.read(ctx)
	if err == nil && record.Token != t.token {
		t.end(taken(record))
	}
	if lost := t.held(); lost != nil {
		return lost
	}
	return err
}

// until returns when the work must not go on.
func (t *tenure) until() time.Time { return t.renewed.Add(t.lease.twelfths(safeFor)) }

// held returns nil while the lease is held by this process's clock, and ends
// the work if it is not.
func (t *tenure) held() error {
	t.mu.Lock()
	expired := !time.Now().Before(t.until())
	over, failure := t.over, t.failure
	t.mu.Unlock()
	switch {
	case over != nil:
		return over
	case !expired:
		return nil
	case failure != nil:
		return t.end(fmt.Errorf("%w: it could not be renewed: %w", ErrLeaseLost, failure))
	}
	return t.end(fmt.Errorf("%w: this process was paused, or the store hangs", ErrLeaseLost))
}

// end makes why the reason that the lease is not held, if there is none yet,
// and ends the work. It returns the reason.
func (t *tenure) end(why error) error {
	t.mu.Lock()
	if t.over == nil {
		t.over = why
	}
	why = t.over
	t.mu.Unlock()
	t.lose(why)
	return why
}

// extend counts a renewal that was begun at a time and has succeeded.
func (t *tenure) extend(begun time.Time) {
	if t.held() != nil {
		return // too late: the work was told to end
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.renewed, t.failure = begun, nil
	t.expire.Reset(time.Until(t.until()))
}

// put writes the record with a new token if it is ours: our own to keep it,
// none to release it. It is ErrLeaseLost if the record is another's.
func (t *tenure) put(ctx context.Context, token string) error {
	ctx, cancel := context.WithTimeout(ctx, t.lease.twelfths(callAtMost))
	defer cancel()
	var err error
	for range 2 { // the first may conflict with a write of ours whose reply was lost
		if t.version == 0 {
			var record leaseRecord
			if record, t.version, err = t.read(ctx); err != nil {
				return err
			}
			if record.Token != t.token {
				return taken(record)
			}
		}
		if t.version, err = t.write(ctx, token, t.version); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return err
}

// read returns the lease's record, or none with version zero if there is none.
func (t *tenure) read(ctx context.Context) (leaseRecord, int64, error) {
	r, err := t.store.Get(ctx, leases, t.lease.Name)
	if errors.Is(err, ErrNotFound) {
		return leaseRecord{}, 0, nil
	}
	if err != nil {
		return leaseRecord{}, 0, err
	}
	var record leaseRecord
	if err := json.Unmarshal(r.Value, &record); err != nil {
		return leaseRecord{}, 0, fmt.Errorf("decode lease %s: %w", t.lease.Name, err)
	}
	return record, r.Version, nil
}

// write replaces the record of a version and returns the new version, zero
// with an error.
func (t *tenure) write(ctx context.Context, token string, version int64) (int64, error) {
	value, err := json.Marshal(leaseRecord{
		Token: token, Holder: t.lease.Holder, Epoch: t.epoch, TTL: t.lease.TTL,
	})
	if err != nil {
		return 0, err
	}
	version, err = t.store.Put(ctx, Record{Collection: leases, ID: t.lease.Name, Version: version, Value: value})
	if err != nil {
		return 0, err
	}
	return version, nil
}

// taken says to whom the lease was lost.
func taken(record leaseRecord) error {
	if record.Token == "" {
		return fmt.Errorf("%w: its record was removed or released", ErrLeaseLost)
	}
	return fmt.Errorf("%w: %q holds it now", ErrLeaseLost, record.Holder)
}

// sleep waits for d or until ctx ends, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return ctx.Err()
	}
}
