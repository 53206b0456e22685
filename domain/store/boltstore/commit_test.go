package boltstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/atelier-go/atelier/domain/store"
)

func openNew(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "records"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// transactions is how many were committed to the file.
func transactions(t *testing.T, s *Store) int {
	t.Helper()
	id := 0
	if err := s.db.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return id
}

// together has calls wait for one turn, in their order, and returns their
// results. Before it comes, meanwhile is called.
func together(s *Store, meanwhile func(), calls ...func() error) []error {
	results := make([]error, len(calls))
	done := make(chan struct{}, len(calls))
	s.turn.Lock()
	for i, call := range calls {
		go func() { results[i] = call(); done <- struct{}{} }()
		for waiting := 0; waiting <= i; runtime.Gosched() {
			s.mu.Lock()
			waiting = len(s.queue)
			s.mu.Unlock()
		}
	}
	meanwhile()
	s.turn.Unlock()
	for range calls {
		<-done
	}
	return results
}

// Changes that wait for one another are one transaction, and each has its own
// result.
func TestChangesShareATransaction(t *testing.T) {
	s := openNew(t)
	ctx, cancel := context.WithCancel(t.Context())
	put := func(ctx context.Context, id string, version int64) func() error {
		return func() error {
			_, err := s.Put(ctx, store.Record{Collection: "things", ID: id, Version: version, Value: []byte("one")})
			return err
		}
	}
	before := transactions(t, s)
	got := together(s, cancel,
		put(t.Context(), "a", 0),
		put(t.Context(), "a", 0), // sees what the first has written
		func() error { return s.Delete(t.Context(), "things", "missing", 1) },
		put(ctx, "b", 0), // its context ends before its turn
		put(t.Context(), "c", 0),
		put(t.Context(), "c", 2), // at the version of the put before
	)
	for i, want := range []error{nil, store.ErrConflict, store.ErrNotFound, context.Canceled, nil, nil} {
		if !errors.Is(got[i], want) {
			t.Errorf("result %d is %v, want %v", i, got[i], want)
		}
	}
	if n := transactions(t, s) - before; n != 1 {
		t.Errorf("they are %d transactions, want 1", n)
	}
	for id, want := range map[string]int64{"a": 1, "b": 0, "c": 3} {
		if r, err := s.Get(t.Context(), "things", id); r.Version != want {
			t.Errorf("%s is at version %d, %v, want %d", id, r.Version, err, want)
		}
	}

	// What changes nothing costs no write.
	before = transactions(t, s)
	together(s, func() {}, put(t.Context(), "a", 0), put(t.Context(), "a", 7))
	if n := transactions(t, s) - before; n != 0 {
		t.Errorf("conflicts alone are %d transactions", n)
	}
}

// A panic, which is bbolt's answer to a damaged page, is that of one caller. The
// others whose changes it was to write have an error, and the next may write.
func TestPanic(t *testing.T) {
	s := openNew(t)
	guarded := func(apply func(*bbolt.Bucket) error) func() error {
		return func() (err error) {
			defer func() {
				if r := recover(); r != nil {
					err = fmt.Errorf("panic: %v", r)
				}
			}()
			return s.commit(&change{ctx: t.Context(), apply: apply})
		}
	}
	nothing := func(*bbolt.Bucket) error { return nil }
	panics, cutOff := 0, 0
	for _, err := range together(s, func() {}, guarded(nothing), guarded(func(*bbolt.Bucket) error { panic("page 7") }), guarded(nothing)) {
		switch {
		case errors.Is(err, errCutOff):
			cutOff++
		case err != nil && err.Error() == "panic: page 7":
			panics++
		}
	}
	if panics != 1 || cutOff != 2 {
		t.Errorf("%d panicked, %d were told that they were cut off; want 1 and 2", panics, cutOff)
	}
	if _, err := s.Put(t.Context(), store.Record{Collection: "things", ID: "a"}); err != nil {
		t.Error(err)
	}
}

// When a file can grow no more, a change fails, and nothing else.
func TestDiskFull(t *testing.T) {
	s := openNew(t)
	kept, err := s.Put(t.Context(), store.Record{Collection: "things", ID: "kept", Value: []byte("one")})
	if err != nil {
		t.Fatal(err)
	}
	s.db.MaxSize = 1 << 20 // stands for the disk
	large := func(n int) (int64, error) {
		return s.Put(t.Context(), store.Record{Collection: "things", ID: fmt.Sprint(n), Value: make([]byte, store.MaxValue)})
	}
	n := 0
	var versions []int64
	for ; n < 100; n++ {
		version, err := large(n)
		if err != nil {
			if !errors.Is(err, berrors.ErrMaxSizeReached) {
				t.Fatal(err)
			}
			break
		}
		versions = append(versions, version)
	}
	if n == 0 || n == 100 {
		t.Fatalf("%d records had room", n)
	}
	// A change that shares the transaction fails with it.
	small := func() error {
		_, err := s.Put(t.Context(), store.Record{Collection: "things", ID: "small"})
		return err
	}
	conflict := func() error {
		_, err := s.Put(t.Context(), store.Record{Collection: "things", ID: "small"})
		return err
	}
	for i, err := range together(s, func() {}, small, conflict, func() error { _, err := large(n); return err }) {
		if !errors.Is(err, berrors.ErrMaxSizeReached) {
			t.Errorf("result %d is %v", i, err)
		}
	}
	if _, err := s.Get(t.Context(), "things", "small"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what failed is there, %v", err)
	}
	if r, err := s.Get(t.Context(), "things", "kept"); err != nil || r.Version != kept {
		t.Errorf("what was there is %+v, %v", r, err)
	}
	// The room of what is deleted is used again.
	for i, version := range versions {
		if err := s.Delete(t.Context(), "things", fmt.Sprint(i), version); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := large(n); err != nil {
		t.Error(err)
	}
}
