package store_test

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/atelier-go/atelier/domain/store"
)

// errFault is what an injected fault looks like: a network that failed.
var errFault = errors.New("connection reset by peer")

// A fault is what happens to one call.
type fault int

const (
	none      fault = iota
	refused         // it fails and has no effect
	lostReply       // it has its effect and fails
	hangs           // it has no effect and ends with the caller's patience
	late            // as hangs, and has its effect some time afterwards
	deaf            // it hangs for a long time whatever the context says, and fails
	stubborn        // as deaf, and has its effect then and succeeds
)

const (
	lateBy  = 7 * time.Second
	deafFor = time.Hour
)

// faultyStore injects latency and faults into the Get, Put and Delete of one client of
// a store.
type faultyStore struct {
	store.Store
	// next decides over one call, "get", "put" or "delete".
	next func(call string) (latency time.Duration, f fault)
}

func (s *faultyStore) do(ctx context.Context, call string, f func(context.Context) error) error {
	latency, what := s.next(call)
	if latency > 0 {
		// Half before the effect, half after.
		if err := pause(ctx, latency/2); err != nil {
			return err
		}
	}
	switch what {
	case refused:
		return errFault
	case lostReply:
		if err := f(ctx); err != nil {
			return err
		}
		return errFault
	case hangs, late:
		<-ctx.Done()
		if what == late {
			go func() {
				time.Sleep(lateBy)
				_ = f(context.WithoutCancel(ctx))
			}()
		}
		return ctx.Err()
	case deaf:
		time.Sleep(deafFor)
		return errFault
	case stubborn:
		time.Sleep(deafFor)
		return f(context.WithoutCancel(ctx))
	}
	err := f(ctx)
	if latency > 0 {
		if err := pause(ctx, latency/2); err != nil {
			return err
		}
	}
	return err
}

func (s *faultyStore) Get(ctx context.Context, collection, id string) (r store.Record, err error) {
	err = s.do(ctx, "get", func(ctx context.Context) error {
		var err error
		r, err = s.Store.Get(ctx, collection, id)
		return err
	})
	return r, err
}

func (s *faultyStore) Put(ctx context.Context, r store.Record) (int64, error) {
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

func (s *faultyStore) Delete(ctx context.Context, collection, id string, version int64) error {
	return s.do(ctx, "delete", func(ctx context.Context) error {
		return s.Store.Delete(ctx, collection, id, version)
	})
}

func (s *faultyStore) List(ctx context.Context, collection, after string) iter.Seq2[store.Record, error] {
	return s.Store.List(ctx, collection, after)
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
