package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/atelier-go/atelier/domain/store"
)

// testIncrements has many writers count in one record.
func testIncrements(t *testing.T, s store.Store) {
	const writers, times = 8, 25
	put(t, s, "counters", "a", "0", 0)
	increment := func() error {
		for {
			r, err := s.Get(t.Context(), "counters", "a")
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(string(r.Value))
			if err != nil {
				return err
			}
			r.Value = []byte(strconv.Itoa(n + 1))
			if _, err := s.Put(t.Context(), r); !errors.Is(err, store.ErrConflict) {
				return err
			}
		}
	}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range times {
				if err := increment(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	r, err := s.Get(t.Context(), "counters", "a")
	if want := strconv.Itoa(writers * times); err != nil || string(r.Value) != want {
		t.Errorf("after %s increments the counter is %s, %v", want, r.Value, err)
	}
}

// testConcurrentCreates has many writers make the same record.
func testConcurrentCreates(t *testing.T, s store.Store) {
	for round := range 10 {
		var made, refused atomic.Int32
		var wg sync.WaitGroup
		for n := range 8 {
			wg.Go(func() {
				_, err := s.Put(t.Context(), store.Record{Collection: "things", ID: fmt.Sprint(round), Value: []byte{byte(n)}})
				switch {
				case err == nil:
					made.Add(1)
				case errors.Is(err, store.ErrConflict):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if made.Load() != 1 || refused.Load() != 7 {
			t.Errorf("%d of 8 made a record, %d were refused", made.Load(), refused.Load())
		}
	}
}
