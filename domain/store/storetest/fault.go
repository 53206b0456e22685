package storetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/atelier-go/atelier/domain/store"
)

// ErrFault is what an injected fault looks like: a network that failed.
var ErrFault = errors.New("connection reset by peer")

// A Fault is what happens to one call.
type Fault int

// The faults of a [Faulty]. The context's error is that of a call that hangs.
const (
	None      Fault = iota
	Refused         // it fails with ErrFault and has no effect
	LostReply       // it has its effect and fails with ErrFault
	Hangs           // it has no effect and ends with the caller's patience
	Late            // as Hangs, and has its effect LateBy afterwards
	Deaf            // it hangs for an hour whatever the context says, and fails with ErrFault
	Stubborn        // as Deaf, and has its effect then and succeeds
)

// LateBy is how long after its call has ended a [Late] one has its effect.
const LateBy = 7 * time.Second

const deafFor = time.Hour

// A Faulty is one client of a store, with latency and faults in its Get, Put
// and Delete; List is the store's. It is as safe for concurrent use as Next is.
type Faulty struct {
	store.Store
	// Next decides over one call, "get", "put" or "delete". Half of the latency
	// is before its effect, half after.
	Next func(call string) (latency time.Duration, f Fault)
}

var _ store.Store = (*Faulty)(nil)

// seeded returns the Next of one goroutine, by which, without latency, a fifth
// of all calls is [Refused] and a fifth a [LostReply]: the same ones for the
// same seed and client.
func seeded(seed, client uint64) func(string) (time.Duration, Fault) {
	rnd := rand.New(rand.NewPCG(seed, client))
	return func(string) (time.Duration, Fault) {
		switch rnd.IntN(5) {
		case 0:
			return 0, Refused
		case 1:
			return 0, LostReply
		}
		return 0, None
	}
}

func (s *Faulty) do(ctx context.Context, call string, f func(context.Context) error) error {
	latency, what := s.Next(call)
	if err := pause(ctx, latency/2); err != nil {
		return err
	}
	switch what {
	case Refused:
		return ErrFault
	case LostReply:
		if err := f(ctx); err != nil {
			return err
		}
		return ErrFault
	case Hangs, Late:
		<-ctx.Done()
		if what == Late {
			go func() {
				time.Sleep(LateBy)
				_ = f(context.WithoutCancel(ctx))
			}()
		}
		return ctx.Err()
	case Deaf:
		time.Sleep(deafFor)
		return ErrFault
	case Stubborn:
		time.Sleep(deafFor)
		return f(context.WithoutCancel(ctx))
	}
	err := f(ctx)
	if err := pause(ctx, latency/2); err != nil {
		return err
	}
	return err
}

// Get is the store's, unless a fault comes between.
func (s *Faulty) Get(ctx context.Context, collection, id string) (r store.Record, err error) {
	err = s.do(ctx, "get", func(ctx context.Context) error {
		var err error
		r, err = s.Store.Get(ctx, collection, id)
		return err
	})
	if err != nil {
		return store.Record{}, err
	}
	return r, nil
}

// Put is the store's, unless a fault comes between.
func (s *Faulty) Put(ctx context.Context, r store.Record) (int64, error) {
	var version int64
	err := s.do(ctx, "put", func(ctx context.Context) (err error) {
		version, err = s.Store.Put(ctx, r)
		return err
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

// Delete is the store's, unless a fault comes between.
func (s *Faulty) Delete(ctx context.Context, collection, id string, version int64) error {
	return s.do(ctx, "delete", func(ctx context.Context) error {
		return s.Store.Delete(ctx, collection, id, version)
	})
}

// pause sleeps for d, if that is any time, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
