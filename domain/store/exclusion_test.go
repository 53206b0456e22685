package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/storetest"
)

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

func (o *ordeal) call(call string) (time.Duration, storetest.Fault) {
	latency := o.upTo(200 * time.Millisecond)
	switch n := o.below(40); {
	case n < 3:
		return latency, storetest.Refused
	case n < 6:
		return latency, storetest.LostReply
	case n < 8:
		return latency, storetest.Hangs
	case n < 9 && call == "put":
		return latency, storetest.Late
	case n < 10:
		return o.upTo(ttl), storetest.None // slow
	}
	return latency, storetest.None
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
		client := &storetest.Faulty{Store: s, Next: o.call}
		wg.Go(func() {
			for ctx.Err() == nil {
				_ = lease(o.holder).Hold(ctx, client, work(o))
				_ = pause(ctx, o.upTo(ttl))
			}
		})
	}
	wg.Wait()
	time.Sleep(storetest.LateBy + ttl) // for what comes late

	if len(spans) < 10 || len(effects) < 10 {
		t.Fatalf("in half an hour there were %d terms and %d effects: nothing was tested", len(spans), len(effects))
	}
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
}

// pause sleeps for d unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
