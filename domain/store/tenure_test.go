package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/storetest"
)

func TestLeaseTakeover(t *testing.T) {
	for n := range 12 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := store.NewMemory()
				var dead atomic.Bool
				dying := &storetest.Faulty{Store: s, Next: func(string) (time.Duration, storetest.Fault) {
					if dead.Load() {
						return 0, storetest.Hangs
					}
					return 0, storetest.None
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
					if !errors.Is(err, store.ErrLeaseLost) || errors.Is(err, context.Canceled) {
						t.Errorf("got %v, want ErrLeaseLost alone", err)
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

func TestLeaseEndsWork(t *testing.T) {
	for name, f := range map[string]storetest.Fault{"refused": storetest.Refused, "hangs": storetest.Hangs, "late": storetest.Late, "deaf": storetest.Deaf, "stubborn": storetest.Stubborn} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := store.NewMemory()
				var mu sync.Mutex
				puts, renewed := 0, time.Time{}
				client := &storetest.Faulty{Store: s, Next: func(call string) (time.Duration, storetest.Fault) {
					if call == "get" {
						return 0, storetest.None
					}
					mu.Lock()
					defer mu.Unlock()
					if puts++; puts > 3 {
						return 0, f
					}
					renewed = time.Now()
					return time.Second, storetest.None // counted from its begin, not its end
				}}
				var worked time.Duration
				err := lease("a").Hold(t.Context(), client, func(ctx context.Context, term store.Term) error {
					<-ctx.Done()
					mu.Lock()
					worked = time.Since(renewed)
					mu.Unlock()
					err := term.Check(t.Context())
					if !errors.Is(err, store.ErrLeaseLost) {
						t.Errorf("Check is %v after the lease was lost", err)
					}
					return err
				})
				if !errors.Is(err, store.ErrLeaseLost) || strings.Count(err.Error(), store.ErrLeaseLost.Error()) != 1 {
					t.Errorf("got %v, want ErrLeaseLost, said once", err)
				}
				if f == storetest.Refused && !errors.Is(err, storetest.ErrFault) {
					t.Errorf("got %v, which does not tell why", err)
				}
				if worked != ttl*3/4 {
					t.Errorf("worked for %v after the last renewal, want %v", worked, ttl*3/4)
				}
				time.Sleep(storetest.LateBy + ttl) // for what comes late
			})
		})
	}
}

func TestLeaseSurvivesFaults(t *testing.T) {
	for name, f := range map[string]storetest.Fault{"refused": storetest.Refused, "lost replies": storetest.LostReply, "hangs": storetest.Hangs} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				client := &storetest.Faulty{Store: store.NewMemory(), Next: func(call string) (time.Duration, storetest.Fault) {
					if calls++; calls > 2 && call == "put" && calls%3 != 0 {
						return 100 * time.Millisecond, f
					}
					return 100 * time.Millisecond, storetest.None
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

func TestTermCheckReadsRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		var down atomic.Bool
		client := &storetest.Faulty{Store: s, Next: func(string) (time.Duration, storetest.Fault) {
			if down.Load() {
				return 0, storetest.Refused
			}
			return 0, storetest.None
		}}
		err := lease("a").Hold(t.Context(), client, func(ctx context.Context, term store.Term) error {
			down.Store(true)
			if err := term.Check(ctx); !errors.Is(err, storetest.ErrFault) || errors.Is(err, store.ErrLeaseLost) {
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

func TestLeaseTakenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		err := lease("a").Hold(ctx, s, func(ctx context.Context, _ store.Term) error {
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
