package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// leases is the collection that leases are recorded in.
const leases = "leases"

// The parts of a TTL. The model is client-go's leader election, whose lease of
// 15 seconds has a renew deadline of 10 and a retry period of 2. Here a holder
// whose renewals fail at once makes five attempts, one whose calls hang two.
const (
	renewEvery = 4 // twelfths after a renewal until the next
	retryEvery = 1 // twelfths between a failed renewal and the next
	callAtMost = 2 // twelfths that a look, a renewal, a check or the release may take
	safeFor    = 9 // twelfths after a renewal that the work may go on
)

// twelfths returns a part of the TTL.
func (l Lease) twelfths(n time.Duration) time.Duration { return l.TTL / 12 * n }

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
	_ = t.end(fmt.Errorf("%w: the work has returned", ErrLeaseLost))
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
			_ = t.end(err)
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
		_ = t.end(taken(record))
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

// extend counts a renewal that was begun at a time and has succeeded. One that
// took longer than it is good for ends the work as if it had failed.
func (t *tenure) extend(begun time.Time) {
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
