package store

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
)

// A Memory is a [Store] in the process: for tests, and for programs whose
// records may end with them. Any number of goroutines may use it; no other
// process can. Make it with [NewMemory].
type Memory struct {
	mu          sync.RWMutex
	last        int64 // the latest version given to any record
	collections map[string]*collection
}

// collection is the records that are listed together. Their values are never
// written to once they are here.
type collection struct {
	records map[string]Record
	// sorted holds the IDs in order; nil if one was added or removed since. It
	// is replaced, never written to, so that a List may go on reading it.
	sorted []string
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store in the process.
func NewMemory() *Memory {
	return &Memory{collections: map[string]*collection{}}
}

// Get returns a record, or [ErrNotFound]; see [Store].
func (m *Memory) Get(ctx context.Context, collection, id string) (Record, error) {
	if err := admit(ctx, Record{Collection: collection, ID: id}); err != nil {
		return Record{}, err
	}
	r, ok := m.get(collection, id)
	r.Value = bytes.Clone(r.Value)
	if !ok {
		return Record{}, fmt.Errorf("%w: %q in %s", ErrNotFound, id, collection)
	}
	return r, nil
}

// Put writes a record if its version is the present one; see [Store].
func (m *Memory) Put(ctx context.Context, r Record) (int64, error) {
	if err := admit(ctx, r); err != nil {
		return 0, err
	}
	r.Value = bytes.Clone(r.Value)
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.collections[r.Collection]
	if c == nil {
		c = &collection{records: map[string]Record{}}
	}
	present, ok := c.records[r.ID]
	if present.Version != r.Version {
		return 0, fmt.Errorf("%w: %q in %s", ErrConflict, r.ID, r.Collection)
	}
	if !ok {
		c.sorted = nil
	}
	m.last++
	r.Version = m.last
	c.records[r.ID] = r
	m.collections[r.Collection] = c
	return r.Version, nil
}

// Delete removes a record if its version is the present one; see [Store].
func (m *Memory) Delete(ctx context.Context, collection, id string, version int64) error {
	if err := admit(ctx, Record{Collection: collection, ID: id}); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.collections[collection]
	if c == nil {
		return fmt.Errorf("%w: %q in %s", ErrNotFound, id, collection)
	}
	present, ok := c.records[id]
	switch {
	case !ok:
		return fmt.Errorf("%w: %q in %s", ErrNotFound, id, collection)
	case present.Version != version:
		return fmt.Errorf("%w: %q in %s", ErrConflict, id, collection)
	}
	delete(c.records, id)
	c.sorted = nil
	if len(c.records) == 0 {
		delete(m.collections, collection)
	}
	return nil
}

// List yields the records of a collection in the order of their IDs; see
// [Store].
func (m *Memory) List(ctx context.Context, collection, after string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for r, err := range m.show(ctx, collection, after) {
			r.Value = bytes.Clone(r.Value)
			if !yield(r, err) {
				return
			}
		}
	}
}

// show is List with the values that are stored, which the loop must not write to.
func (m *Memory) show(ctx context.Context, collection, after string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if err := ValidateList(collection, after); err != nil {
			yield(Record{}, err)
			return
		}
		if err := ctx.Err(); err != nil {
			yield(Record{}, err)
			return
		}
		ids := m.ids(collection)
		from, found := slices.BinarySearch(ids, after)
		if found {
			from++
		}
		for _, id := range ids[from:] {
			if err := ctx.Err(); err != nil {
				yield(Record{}, err)
				return
			}
			r, ok := m.get(collection, id)
			if ok && !yield(r, nil) {
				return
			}
		}
	}
}

// admit refuses calls with a context that has ended or a record that is not
// valid.
func admit(ctx context.Context, r Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.Validate()
}

// get returns a record with the value that is stored.
func (m *Memory) get(collection, id string) (Record, bool) {
	m.mu.RLock()
	c := m.collections[collection]
	if c == nil {
		m.mu.RUnlock()
		return Record{}, false
	}
	r, ok := c.records[id]
	m.mu.RUnlock()
	return r, ok
}

// ids returns the IDs of a collection in order. The caller must not write to
// the slice.
func (m *Memory) ids(collection string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.collections[collection]
	if c == nil {
		return nil
	}
	if c.sorted == nil {
		c.sorted = slices.Sorted(maps.Keys(c.records))
	}
	return c.sorted
}
