// Package storetest is the contract of [store.Store], as tests that every
// store passes.
package storetest

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/atelier-go/atelier/domain/store"
)

// A Harness makes the stores that are tested.
type Harness struct {
	// New returns an empty store, and cleans it up when t ends.
	New func(t *testing.T) store.Store
	// Reopen returns a store over what s has written, as a process does that
	// begins after the one that had s was killed. Calls of s that are under way
	// may fail, and a few that begin later; then s is not used again. Nil means
	// that records end with the process.
	Reopen func(t *testing.T, s store.Store) store.Store
	// Faulty returns the store that s is, reached in a way that some calls fail
	// on, with any error, before or after they took effect. Nil means that this
	// store knows no such way; what all stores are held to is a [Faulty].
	Faulty func(t *testing.T, s store.Store) store.Store
}

// Run holds the stores of h to the contract, each part in a subtest with a
// store of its own.
func Run(t *testing.T, h Harness) {
	for _, part := range []struct {
		name string
		test func(*testing.T, store.Store)
	}{
		{"create", testCreate},
		{"compare and swap", testCompareAndSwap},
		{"delete", testDelete},
		{"versions never repeat", testVersions},
		{"keys are apart", testKeysApart},
		{"keys and values at their limits", testLimits},
		{"invalid", testInvalid},
		{"values are copied", testCopies},
		{"context ended", testContextEnded},
		{"list order", testListOrder},
		{"list after", testListAfter},
		{"list many large records", testListLarge},
		{"list ends early", testListBreak},
		{"list and change", testListAndChange},
		{"list and delete", testListAndDelete},
		{"list context ended", testListContextEnded},
		{"list during changes", testListDuringChanges},
		{"concurrent increments", testIncrements},
		{"concurrent creates", testConcurrentCreates},
		{"linearisable", testLinearisable},
		{"linearisable with faults", testLinearisableFaults},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, h.New(t)) })
	}
	for _, part := range []struct {
		name     string
		possible bool
		test     func(*testing.T, Harness)
	}{
		{"reopen", h.Reopen != nil, testReopen},
		{"linearisable with restarts", h.Reopen != nil, testLinearisableRestarts},
		{"linearisable with faults of its own", h.Faulty != nil, testLinearisableOwnFaults},
	} {
		t.Run(part.name, func(t *testing.T) {
			if !part.possible {
				t.Skip("the harness of this store has no function for it")
			}
			part.test(t, h)
		})
	}
}

// put writes a record and returns its new version; the test ends if it cannot.
func put(t *testing.T, s store.Store, collection, id, value string, version int64) int64 {
	t.Helper()
	v, err := s.Put(t.Context(), store.Record{Collection: collection, ID: id, Version: version, Value: []byte(value)})
	if err != nil {
		t.Fatalf("Put(%s, %s) at version %d: %v", collection, id, version, err)
	}
	if v == 0 {
		t.Fatalf("Put(%s, %s) returned version 0, which means that the record does not exist", collection, id)
	}
	return v
}

// wantRecord checks what Get returns.
func wantRecord(t *testing.T, s store.Store, collection, id, value string, version int64) {
	t.Helper()
	r, err := s.Get(t.Context(), collection, id)
	if err != nil {
		t.Errorf("Get(%s, %s): %v", collection, id, err)
		return
	}
	if r.Collection != collection || r.ID != id || r.Version != version || string(r.Value) != value {
		t.Errorf("Get(%s, %s) is %s/%s %.40q at version %d, want %.40q at version %d",
			collection, id, r.Collection, r.ID, r.Value, r.Version, value, version)
	}
}

// wantMissing checks that a record does not exist.
func wantMissing(t *testing.T, s store.Store, collection, id string) {
	t.Helper()
	if r, err := s.Get(t.Context(), collection, id); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get(%s, %s) is %.40q, %v; want ErrNotFound", collection, id, r.Value, err)
	}
}

// wantError checks the kind of an error.
func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// ids reads a list to its end; the test ends if it fails.
func ids(t *testing.T, list iter.Seq2[store.Record, error]) []string {
	t.Helper()
	var ids []string
	for r, err := range list {
		if err != nil {
			t.Fatalf("List after %d records: %v", len(ids), err)
		}
		ids = append(ids, r.ID)
	}
	return ids
}

// ended returns a context that was cancelled.
func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
