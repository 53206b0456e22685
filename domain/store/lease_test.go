package store_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/storetest"
)

const ttl = 12 * time.Second // its twelfths are seconds

func lease(holder string) store.Lease {
	return store.Lease{Name: "fleet/loop", Holder: holder, TTL: ttl}
}

// untilDone is work that ends with its context.
func untilDone(ctx context.Context, _ store.Term) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func TestLeaseInvalid(t *testing.T) {
	err := store.Lease{Name: "a b", TTL: time.Millisecond}.Hold(t.Context(), nil, nil)
	if !errors.Is(err, store.ErrInvalid) {
		t.Fatalf("got %v, want ErrInvalid", err)
	}
	for _, problem := range []string{`name "a b"`, "holder", "TTL 1ms", "store is nil", "work is nil"} {
		if !strings.Contains(err.Error(), problem) {
			t.Errorf("%q does not tell of %q", err, problem)
		}
	}
}

func TestLeaseReturnsWhatWorkReturns(t *testing.T) {
	s := store.NewMemory()
	failed := errors.New("failed")
	for n, want := range []error{nil, failed, nil} {
		err := lease("a").Hold(t.Context(), s, func(ctx context.Context, term store.Term) error {
			if term.Epoch() != int64(n+1) {
				t.Errorf("term %d has epoch %d", n+1, term.Epoch())
			}
			if err := term.Check(ctx); err != nil {
				t.Error(err)
			}
			return want
		})
		if err != want {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

// A released lease is free at once for a newcomer, and at its next look for one
// who waits; the term that is over says so.
func TestLeaseRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		var released, began time.Time
		var wg sync.WaitGroup
		var former store.Term
		wg.Go(func() {
			if err := lease("a").Hold(t.Context(), s, func(ctx context.Context, term store.Term) error {
				former = term
				time.Sleep(10*ttl + 1700*time.Millisecond)
				released = time.Now()
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if err := lease("b").Hold(t.Context(), s, func(ctx context.Context, term store.Term) error {
				began = time.Now()
				if err := former.Check(ctx); !errors.Is(err, store.ErrLeaseLost) {
					t.Errorf("the former term says %v", err)
				}
				if former.Epoch() >= term.Epoch() {
					t.Errorf("epoch %d follows %d", term.Epoch(), former.Epoch())
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if wait := began.Sub(released); wait < 0 || wait > ttl/3 {
			t.Errorf("who waited began %v after the release", wait)
		}
		before := time.Now()
		if err := lease("c").Hold(t.Context(), s, func(context.Context, store.Term) error { return nil }); err != nil {
			t.Error(err)
		}
		if wait := time.Since(before); wait != 0 {
			t.Errorf("a newcomer waited %v for a released lease", wait)
		}
	})
}

// Work that ends slowly after its caller's context has ended keeps the lease
// while it does.
func TestLeaseOutlivesContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var ended, began time.Time
		wg.Go(func() {
			err := lease("a").Hold(ctx, s, func(ctx context.Context, term store.Term) error {
				<-ctx.Done()
				time.Sleep(3 * ttl)
				ended = time.Now()
				if err := term.Check(t.Context()); err != nil {
					t.Error(err)
				}
				return ctx.Err()
			})
			if !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrLeaseLost) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if err := lease("b").Hold(t.Context(), s, func(context.Context, store.Term) error {
				began = time.Now()
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(ttl)
		cancel()
		wg.Wait()
		if wait := began.Sub(ended); wait < 0 || wait > ttl/3 {
			t.Errorf("the next holder began %v after the former ended", wait)
		}
	})
}

// Who waits stops waiting when its context ends.
func TestLeaseWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = lease("a").Hold(ctx, s, untilDone) })
		synctest.Wait()
		short, done := context.WithTimeout(t.Context(), time.Minute)
		defer done()
		began := time.Now()
		err := lease("b").Hold(short, s, untilDone)
		if err != context.DeadlineExceeded || time.Since(began) != time.Minute {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		cancel()
		wg.Wait()
	})
}

// Whenever in its rhythm a holder dies, one who waits begins within 4/3 of the
// TTL, and never before the dead holder's work was told to end.
// What a dead process left is taken by the first that waits for the longer of
// both TTLs, also if that has the same name. A term is over with its work, also
// if nobody else holds the lease.
func TestLeaseLeftBehind(t *testing.T) {
	for _, left := range []time.Duration{ttl / 2, ttl, 30 * time.Second} {
		t.Run(left.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := store.NewMemory()
				var dead atomic.Bool
				dying := &storetest.Faulty{Store: s, Next: func(string) (time.Duration, storetest.Fault) {
					if dead.Load() {
						return 0, storetest.Refused
					}
					return 0, storetest.None
				}}
				var former store.Term
				first := lease("a")
				first.TTL = left
				if err := first.Hold(t.Context(), dying, func(_ context.Context, term store.Term) error {
					former = term
					dead.Store(true) // the release fails
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				dead.Store(false)
				if err := former.Check(t.Context()); !errors.Is(err, store.ErrLeaseLost) {
					t.Errorf("a term whose work has returned says %v", err)
				}
				time.Sleep(time.Hour)
				began := time.Now()
				if err := lease("a").Hold(t.Context(), s, func(_ context.Context, term store.Term) error {
					if term.Epoch() != 2 {
						t.Errorf("epoch %d, want 2", term.Epoch())
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				if wait := time.Since(began); wait != max(left, ttl) {
					t.Errorf("waited %v, want exactly %v", wait, max(left, ttl))
				}
			})
		})
	}
}

// Work is not begun with a lease that took longer to get than it is good for.
func TestLeaseClaimTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		puts := 0
		client := &storetest.Faulty{Store: store.NewMemory(), Next: func(call string) (time.Duration, storetest.Fault) {
			if call == "put" {
				if puts++; puts == 1 {
					return 0, storetest.Stubborn
				}
			}
			return 0, storetest.None
		}}
		err := lease("a").Hold(t.Context(), client, func(context.Context, store.Term) error {
			t.Error("work was called")
			return nil
		})
		if !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("got %v, want ErrLeaseLost", err)
		}
	})
}

// A holder that cannot renew works for three quarters of the TTL after it began
// its last renewal, however its store fails, and not a moment longer.
// A lease survives a store that fails for a while, answers slowly, or loses
// replies.
// A claim whose reply was lost is found to be one's own, without waiting for it
// to expire.
func TestLeaseClaimReplyLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		puts := 0
		client := &storetest.Faulty{Store: store.NewMemory(), Next: func(call string) (time.Duration, storetest.Fault) {
			if call == "put" {
				if puts++; puts == 1 {
					return 0, storetest.LostReply
				}
			}
			return 0, storetest.None
		}}
		began := time.Now()
		if err := lease("a").Hold(t.Context(), client, func(_ context.Context, term store.Term) error {
			if term.Epoch() != 1 {
				t.Errorf("epoch %d, want 1", term.Epoch())
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if wait := time.Since(began); wait > ttl/12 {
			t.Errorf("waited %v for a lease of its own", wait)
		}
	})
}

// A store that fails for a whole TTL is reported to who waits; shorter failures
// are not.
func TestLeaseWaitsOnBrokenStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		client := &storetest.Faulty{Store: store.NewMemory(), Next: func(string) (time.Duration, storetest.Fault) {
			if time.Since(began) < ttl-time.Second {
				return 0, storetest.Refused
			}
			return 0, storetest.None
		}}
		if err := lease("a").Hold(t.Context(), client, func(context.Context, store.Term) error { return nil }); err != nil {
			t.Error(err)
		}
		began = time.Now()
		client.Next = func(call string) (time.Duration, storetest.Fault) {
			if call == "put" {
				return 0, storetest.Refused
			}
			return 0, storetest.None
		}
		err := lease("a").Hold(t.Context(), client, untilDone)
		if !errors.Is(err, storetest.ErrFault) || time.Since(began) > ttl*13/12 {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}

// A record that this program cannot read is never overwritten.
func TestLeaseUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		if _, err := s.Put(t.Context(), store.Record{Collection: "leases", ID: "fleet/loop", Value: []byte("?")}); err != nil {
			t.Fatal(err)
		}
		if err := lease("a").Hold(t.Context(), s, untilDone); err == nil {
			t.Error("held a lease that cannot be read")
		}
		if r, err := s.Get(t.Context(), "leases", "fleet/loop"); err != nil || string(r.Value) != "?" {
			t.Errorf("the record is %q, %v", r.Value, err)
		}
	})
}

// Check finds out that the record is another's although this process's own
// clock says that the lease is held.
// A holder that learns from its renewal that the lease is another's ends its
// work at once.
// Work that panics does so for the caller, and leaves no goroutine.
