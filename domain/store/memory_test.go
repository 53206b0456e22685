package store_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(*testing.T) store.Store { return store.NewMemory() },
		// The next process of a test is given the Memory of the one before.
		Reopen: func(_ *testing.T, s store.Store) store.Store { return s },
		// As a store does that is reached over a network.
		Faulty: func(_ *testing.T, s store.Store) store.Store {
			var calls atomic.Int64
			return &storetest.Faulty{Store: s, Next: func(string) (time.Duration, storetest.Fault) {
				return 0, []storetest.Fault{storetest.None, storetest.LostReply, storetest.None, storetest.Refused}[calls.Add(1)%4]
			}}
		},
	})
}

func BenchmarkMemory(b *testing.B) {
	s := store.NewMemory()
	value := make([]byte, 1024)
	for i := range 10_000 {
		if _, err := s.Put(b.Context(), store.Record{Collection: "things", ID: fmt.Sprint(i), Value: value}); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("Get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Get(b.Context(), "things", "5000"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("List10000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, err := range s.List(b.Context(), "things", "") {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
