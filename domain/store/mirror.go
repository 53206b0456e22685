package store

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
)

// A Mirror is a copy of a [Table] that is brought up to date again and again, and
// decodes only the documents that have changed since: for a loop that looks at
// them often. What a [Memory] holds is not even listed again. Of any other Store the
// whole collection is listed each time, also where nothing has changed, and by each
// twin for itself: what is saved is the decoding, not the reading. What that comes to
// in DynamoDB is said in package dynamostore.
//
// The zero Mirror is not usable; make it with [NewMirror]. But for [Mirror.Twin] it is
// not safe for concurrent use.
type Mirror[T any] struct {
	table Table[T]
	known map[string]*mirrored[T]
	twins *decoded[T]    // what it shares with its twins
	order []*mirrored[T] // in the order of their IDs; nil if one came or went since
	round int            // of listings, to tell what the present one has not shown
	after int64          // the version of a Memory that it is up to date with
}

// mirrored is a document as it was decoded.
type mirrored[T any] struct {
	id      string
	version int64
	value   *T
	round   int // the last that showed it
}

// A Change is a document that is not as it was when a [Mirror] was brought up to
// date before.
type Change[T any] struct {
	ID string
	// Value is the document, which must not be changed; nil if it is gone.
	Value *T
}

// NewMirror returns a mirror of a table, empty until it is brought up to date. It
// does not touch the store.
func NewMirror[T any](t Table[T]) *Mirror[T] {
	return &Mirror[T]{table: t, known: map[string]*mirrored[T]{}, twins: &decoded[T]{documents: map[string]mirrored[T]{}}}
}

// Twin returns another mirror of the same table, empty until it is brought up to date
// itself, for a second loop. A document that both know is decoded and held once. Twins
// may be used at the same time, and Twin itself by anyone.
func (m *Mirror[T]) Twin() *Mirror[T] {
	return &Mirror[T]{table: m.table, known: map[string]*mirrored[T]{}, twins: m.twins}
}

// decoded are the documents that twins know, as one of them decoded them last.
type decoded[T any] struct {
	mu        sync.Mutex
	documents map[string]mirrored[T]
}

// decode returns the document of a record, which whoever comes to it first decodes.
func (d *decoded[T]) decode(t Table[T], r Record) (*T, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.documents[r.ID]; known.value != nil && known.version == r.Version {
		return known.value, nil
	}
	value, err := t.decode(r)
	if err != nil {
		return nil, err
	}
	d.documents[r.ID] = mirrored[T]{id: r.ID, version: r.Version, value: &value}
	return &value, nil
}

func (d *decoded[T]) forget(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.documents, id)
}

// Update brings the mirror up to date and returns what changed, in no order; of
// the first time that is everything. After an error, which may be that of one
// document, the mirror is as good as it got, and the next Update tells the rest:
// also of what was returned beside the error, nothing is told again.
func (m *Mirror[T]) Update(ctx context.Context) (changes []Change[T], err error) {
	if memory, ok := m.table.store.(*Memory); ok && m.after > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if ids, last, ok := memory.since(m.table.collection, m.after); ok {
			for _, id := range ids {
				r, there := memory.get(m.table.collection, id)
				if !there {
					changes = m.forget(id, changes)
				} else if changes, err = m.learn(r, changes); err != nil {
					return changes, err
				}
			}
			m.after = last
			return changes, nil
		}
	}
	var last int64
	if memory, ok := m.table.store.(*Memory); ok {
		_, last, _ = memory.since(m.table.collection, 0) // before what is listed
	}
	m.round++
	for r, err := range m.table.store.List(ctx, m.table.collection, "") {
		if err != nil {
			return changes, err
		}
		if changes, err = m.learn(r, changes); err != nil {
			return changes, err
		}
	}
	for id, known := range m.known {
		if known.round != m.round {
			changes = m.forget(id, changes)
		}
	}
	m.after = last
	return changes, nil
}

// learn takes in a record.
func (m *Mirror[T]) learn(r Record, changes []Change[T]) ([]Change[T], error) {
	known := m.known[r.ID]
	if known != nil && known.version == r.Version {
		known.round = m.round
		return changes, nil
	}
	value, err := m.twins.decode(m.table, r)
	if err != nil {
		return changes, err
	}
	if known == nil {
		m.order = nil
		known = &mirrored[T]{id: r.ID}
		m.known[r.ID] = known
	}
	known.version, known.value, known.round = r.Version, value, m.round
	return append(changes, Change[T]{r.ID, value}), nil
}

// forget takes in that a record is gone.
func (m *Mirror[T]) forget(id string, changes []Change[T]) []Change[T] {
	if m.known[id] == nil {
		return changes
	}
	delete(m.known, id)
	m.twins.forget(id)
	m.order = nil
	return append(changes, Change[T]{ID: id})
}

// All brings the mirror up to date and yields every document in the order of the
// IDs. None must be changed.
func (m *Mirror[T]) All(ctx context.Context) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		if _, err := m.Update(ctx); err != nil {
			yield(nil, err)
			return
		}
		if m.order == nil {
			m.order = slices.SortedFunc(maps.Values(m.known), func(a, b *mirrored[T]) int { return strings.Compare(a.id, b.id) })
		}
		for _, known := range m.order {
			if !yield(known.value, nil) {
				return
			}
		}
	}
}

// Get returns a document as it was when the mirror was brought up to date.
func (m *Mirror[T]) Get(id string) (*T, bool) {
	known, ok := m.known[id]
	if !ok {
		return nil, false
	}
	return known.value, true
}

// Values yields every document as it was when the mirror was brought up to date, in
// no order. None must be changed.
func (m *Mirror[T]) Values() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for _, known := range m.known {
			if !yield(known.value) {
				return
			}
		}
	}
}

// Len is how many documents there were then.
func (m *Mirror[T]) Len() int { return len(m.known) }
