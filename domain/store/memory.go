package store

import (
	"bytes"
	"cmp"
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
	// log has what was written or deleted, the oldest first. What is older than
	// its first entry may be missing, down to the version forgotten.
	log       []entry
	forgotten int64
	// sorted holds the IDs in order; nil if one was added or removed since, other
	// than at its end. What it holds is never written to, so that a List may go on
	// reading it.
	sorted []string
}

// An entry of a log is that a record was written or deleted.
type entry struct {
	version int64
	id      string
}

// note adds an entry. A log that has become longer than two listings is cut.
func (c *collection) note(version int64, id string) {
	if len(c.log) > 2*len(c.records)+1024 {
		half := len(c.log) / 2
		c.forgotten = c.log[half-1].version
		c.log = slices.Clone(c.log[half:])
	}
	c.log = append(c.log, entry{version, id})
}

// since returns the IDs of the records of a collection that were written or deleted
// after a version, each once, and the version to ask from next; ok is false if
// that is too long ago to be known.
func (m *Memory) since(name string, version int64) (ids []string, last int64, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := m.collections[name]
	if c == nil {
		return nil, m.last, true
	}
	if version < c.forgotten {
		return nil, m.last, false
	}
	from, _ := slices.BinarySearchFunc(c.log, version, func(e entry, version int64) int {
		return cmp.Or(cmp.Compare(e.version, version), -1) // the first that is later
	})
	seen := make(map[string]bool, len(c.log)-from)
	for _, e := range c.log[from:] {
		if !seen[e.id] {
			seen[e.id] = true
			ids = append(ids, e.id)
		}
	}
	return ids, m.last, true
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
	switch last := len(c.sorted) - 1; {
	case ok:
	case last >= 0 && c.sorted[last] < r.ID: // as times of an audit record are
		c.sorted = append(c.sorted, r.ID)
	default:
		c.sorted = nil
	}
	m.last++
	r.Version = m.last
	c.note(r.Version, r.ID)
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
	m.last++
	c.note(m.last, id)
	return nil
}

// List yields the records of a collection in the order of their IDs; see
// [Store].
func (m *Memory) List(ctx context.Context, collection, after string) iter.Seq2[Record, error] {
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
			r.Value = bytes.Clone(r.Value)
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
