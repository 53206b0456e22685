package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain/store"
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
		if began.Before(ended) {
			t.Errorf("the next holder began %v before the former ended", ended.Sub(began))
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
func TestLeaseTakeover(t *testing.T) {
	for n := range 12 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := store.NewMemory()
				var dead atomic.Bool
				dying := &faultyStore{Store: s, next: func(string) (time.Duration, fault) {
					if dead.Load() {
						return 0, hangs
					}
					return 0, none
				}}
				var wg sync.WaitGroup
				var ended, began time.Time
				wg.Go(func() {
					err := lease("a").Hold(t.Context(), dying, func(ctx context.Context, term store.Term) error {
						<-ctx.Done()
						ended = time.Now()
						if !errors.Is(context.Cause(ctx), store.ErrLeaseLost) {
							t.Errorf("the cause is %v", context.Cause(ctx))
						}
						return ctx.Err()
					})
					if !errors.Is(err, store.ErrLeaseLost) {
						t.Errorf("got %v, want ErrLeaseLost", err)
					}
				})
				synctest.Wait()
				time.Sleep(1500 * time.Millisecond)
				wg.Go(func() {
					if err := lease("b").Hold(t.Context(), s, func(context.Context, store.Term) error {
						began = time.Now()
						return nil
					}); err != nil {
						t.Error(err)
					}
				})
				time.Sleep(2*ttl + time.Duration(n)*ttl/12 + ttl/100)
				dead.Store(true)
				died := time.Now()
				wg.Wait()
				if wait := began.Sub(died); wait > ttl*4/3 {
					t.Errorf("began %v after the death, want at most %v", wait, ttl*4/3)
				}
				if margin := began.Sub(ended); margin < ttl/4 {
					t.Errorf("began %v after the former holder was told to end, want at least %v", margin, ttl/4)
				}
			})
		})
	}
}

// What a dead process left is taken by the first that waits for a TTL, also if
// that has the same name.
func TestLeaseLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		var dead atomic.Bool
		dying := &faultyStore{Store: s, next: func(string) (time.Duration, fault) {
			if dead.Load() {
				return 0, refused
			}
			return 0, none
		}}
		if err := lease("a").Hold(t.Context(), dying, func(context.Context, store.Term) error {
			dead.Store(true) // the release fails
			return nil
		}); err != nil {
			t.Fatal(err)
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
		if wait := time.Since(began); wait != ttl {
			t.Errorf("waited %v, want exactly %v", wait, ttl)
		}
	})
}

// A holder that cannot renew works for three quarters of the TTL after it began
// its last renewal, however its store fails, and not a moment longer.
func TestLeaseEndsWork(t *testing.T) {
	for name, f := range map[string]fault{"refused": refused, "hangs": hangs, "deaf": deaf, "late": late} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := store.NewMemory()
				var mu sync.Mutex
				puts, renewed := 0, time.Time{}
				client := &faultyStore{Store: s, next: func(call string) (time.Duration, fault) {
					if call == "get" {
						return 0, none
					}
					mu.Lock()
					defer mu.Unlock()
					if puts++; puts > 3 {
						return 0, f
					}
					renewed = time.Now()
					return time.Second, none // counted from its begin, not its end
				}}
				var worked time.Duration
				err := lease("a").Hold(t.Context(), client, func(ctx context.Context, term store.Term) error {
					<-ctx.Done()
					mu.Lock()
					worked = time.Since(renewed)
					mu.Unlock()
					if err := term.Check(t.Context()); !errors.Is(err, store.ErrLeaseLost) {
						t.Errorf("Check is %v after the lease was lost", err)
					}
					return ctx.Err()
				})
				if !errors.Is(err, store.ErrLeaseLost) {
					t.Errorf("got %v, want ErrLeaseLost", err)
				}
				if f == refused && !errors.Is(err, errFault) {
					t.Errorf("got %v, which does not tell why", err)
				}
				if worked != ttl*3/4 {
					t.Errorf("worked for %v after the last renewal, want %v", worked, ttl*3/4)
				}
				time.Sleep(lateBy + ttl) // for what comes late
			})
		})
	}
}

// A lease survives a store that fails for a while, answers slowly, or loses
// replies.
func TestLeaseSurvivesFaults(t *testing.T) {
	for name, f := range map[string]fault{"refused": refused, "lost replies": lostReply, "hangs": hangs} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				client := &faultyStore{Store: store.NewMemory(), next: func(call string) (time.Duration, fault) {
					if calls++; calls > 2 && call == "put" && calls%3 != 0 {
						return 100 * time.Millisecond, f
					}
					return 100 * time.Millisecond, none
				}}
				if err := lease("a").Hold(t.Context(), client, func(ctx context.Context, term store.Term) error {
					return pause(ctx, time.Hour)
				}); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A claim whose reply was lost is found to be one's own, without waiting for it
// to expire.
func TestLeaseClaimReplyLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		puts := 0
		client := &faultyStore{Store: store.NewMemory(), next: func(call string) (time.Duration, fault) {
			if call == "put" {
				if puts++; puts == 1 {
					return 0, lostReply
				}
			}
			return 0, none
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
		client := &faultyStore{Store: store.NewMemory(), next: func(string) (time.Duration, fault) {
			if time.Since(began) < ttl-time.Second {
				return 0, refused
			}
			return 0, none
		}}
		if err := lease("a").Hold(t.Context(), client, func(context.Context, store.Term) error { return nil }); err != nil {
			t.Error(err)
		}
		began = time.Now()
		client.next = func(call string) (time.Duration, fault) {
			if call == "put" {
				return 0, refused
			}
			return 0, none
		}
		err := lease("a").Hold(t.Context(), client, untilDone)
		if !errors.Is(err, errFault) || time.Since(began) > ttl*13/12 {
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
func TestTermCheckReadsRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		var down atomic.Bool
		client := &faultyStore{Store: s, next: func(string) (time.Duration, fault) {
			if down.Load() {
				return 0, refused
			}
			return 0, none
		}}
		err := lease("a").Hold(t.Context(), client, func(ctx context.Context, term store.Term) error {
			down.Store(true)
			if err := term.Check(ctx); !errors.Is(err, errFault) || errors.Is(err, store.ErrLeaseLost) {
				t.Errorf("Check of a store that does not answer is %v", err)
			}
			down.Store(false)
			r, err := s.Get(ctx, "leases", "fleet/loop")
			if err != nil {
				return err
			}
			r.Value = []byte(`{"Token":"other","Holder":"thief","Epoch":9,"TTL":12000000000}`)
			if _, err := s.Put(ctx, r); err != nil {
				return err
			}
			err = term.Check(ctx)
			if !errors.Is(err, store.ErrLeaseLost) || !strings.Contains(err.Error(), "thief") {
				t.Errorf("Check of another's lease is %v", err)
			}
			if ctx.Err() == nil {
				t.Error("the work's context goes on")
			}
			return errors.New("work failed")
		})
		if !errors.Is(err, store.ErrLeaseLost) || !strings.Contains(err.Error(), "work failed") {
			t.Errorf("got %v", err)
		}
		if r, _ := s.Get(t.Context(), "leases", "fleet/loop"); !strings.Contains(string(r.Value), "thief") {
			t.Errorf("the release overwrote another's lease: %s", r.Value)
		}
		if err := (store.Term{}).Check(t.Context()); !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("the zero Term is held: %v", err)
		}
	})
}

// A holder that learns from its renewal that the lease is another's ends its
// work at once.
func TestLeaseTakenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		began := time.Now()
		err := lease("a").Hold(t.Context(), s, func(ctx context.Context, _ store.Term) error {
			r, err := s.Get(ctx, "leases", "fleet/loop")
			if err != nil {
				return err
			}
			if err := s.Delete(ctx, r.Collection, r.ID, r.Version); err != nil {
				return err
			}
			return untilDone(ctx, store.Term{})
		})
		if !errors.Is(err, store.ErrLeaseLost) || time.Since(began) != ttl/3 {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}

// Work that panics does so for the caller, and leaves no goroutine.
func TestLeasePanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if recover() != "oops" {
				t.Error("the panic was swallowed")
			}
		}()
		_ = lease("a").Hold(t.Context(), store.NewMemory(), func(context.Context, store.Term) error { panic("oops") })
	})
}

// An ordeal is one holder's random history.
type ordeal struct {
	holder string
	rnd    *rand.Rand
	mu     sync.Mutex
}

func (o *ordeal) below(n int64) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.rnd.Int64N(n)
}

func (o *ordeal) upTo(d time.Duration) time.Duration { return time.Duration(o.below(int64(d) + 1)) }

func (o *ordeal) call(call string) (time.Duration, fault) {
	latency := o.upTo(200 * time.Millisecond)
	switch n := o.below(40); {
	case n < 3:
		return latency, refused
	case n < 6:
		return latency, lostReply
	case n < 8:
		return latency, hangs
	case n < 9 && call == "put":
		return latency, late
	case n < 10:
		return o.upTo(ttl), none // slow
	}
	return latency, none
}

// A span is the time in which a holder was allowed to work: from the call of
// its work until that returned or its context ended.
type span struct {
	holder   string
	epoch    int64
	from, to time.Time
}

// Whatever the store does, and however long processes are paused: no two
// holders are allowed to work at a time, epochs grow with time, and no effect
// that follows a Check comes after one of a later epoch.
func TestLeaseExcludes(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { exclude(t, seed) })
		})
	}
}

func exclude(t *testing.T, seed uint64) {
	s := store.NewMemory()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	var mu sync.Mutex
	var spans []span
	var effects []int64 // epochs, in the order of time

	work := func(o *ordeal) func(context.Context, store.Term) error {
		return func(ctx context.Context, term store.Term) error {
			from := time.Now()
			var once sync.Once
			end := func() {
				once.Do(func() {
					mu.Lock()
					defer mu.Unlock()
					spans = append(spans, span{o.holder, term.Epoch(), from, time.Now()})
				})
			}
			context.AfterFunc(ctx, end)
			defer end()
			for o.below(15) > 0 {
				if o.below(8) == 0 {
					time.Sleep(o.upTo(3 * ttl)) // the process is paused
				} else if err := pause(ctx, o.upTo(ttl/2)); err != nil {
					return err
				}
				// Not with ctx: what was paused has not looked at it.
				err := term.Check(t.Context())
				if errors.Is(err, store.ErrLeaseLost) {
					return err
				}
				if err != nil {
					continue
				}
				mu.Lock()
				effects = append(effects, term.Epoch())
				mu.Unlock()
			}
			return nil
		}
	}
	var wg sync.WaitGroup
	for n := range uint64(3) {
		o := &ordeal{holder: string(rune('a' + n)), rnd: rand.New(rand.NewPCG(seed, n))}
		client := &faultyStore{Store: s, next: o.call}
		wg.Go(func() {
			for ctx.Err() == nil {
				_ = lease(o.holder).Hold(ctx, client, work(o))
				_ = pause(ctx, o.upTo(ttl))
			}
		})
	}
	wg.Wait()
	time.Sleep(lateBy + ttl) // for what comes late

	slices.SortFunc(spans, func(a, b span) int { return a.from.Compare(b.from) })
	for i := range spans[1:] {
		a, b := spans[i], spans[i+1]
		if b.from.Before(a.to) {
			t.Errorf("%s worked until %v, %s from %v", a.holder, a.to, b.holder, b.from)
		}
		if a.epoch >= b.epoch {
			t.Errorf("epoch %d of %s follows %d of %s", b.epoch, b.holder, a.epoch, a.holder)
		}
	}
	if !slices.IsSorted(effects) {
		t.Errorf("a former holder had an effect: %v", effects)
	}
	if len(spans) < 10 || len(effects) < 10 {
		t.Errorf("in half an hour there were %d terms and %d effects: nothing was tested", len(spans), len(effects))
	}
}
