package store

import (
	"context"
	"iter"
	"maps"
)

// A Mirror lists a [Table] again and again and decodes only the documents that
// have changed since: for a loop that looks at all of them often. The zero
// Mirror is not usable; make it with [NewMirror]. It is not safe for
// concurrent use.
type Mirror[T any] struct {
	table Table[T]
	known map[string]*mirrored[T]
	round int // of listings, to tell what the present one has not shown
}

// mirrored is a document as it was decoded.
type mirrored[T any] struct {
	version int64
	value   *T
	round   int // the last that showed it
}

// NewMirror returns a mirror of a table. It does not touch the store.
func NewMirror[T any](t Table[T]) *Mirror[T] {
	return &Mirror[T]{table: t, known: map[string]*mirrored[T]{}}
}

// All yields the documents as [Table.All] does. Those that have not changed
// are those that were yielded before, and none must be changed. What is gone is
// forgotten when a listing was complete.
func (m *Mirror[T]) All(ctx context.Context) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		m.round++
		list := m.table.store.List
		if memory, ok := m.table.store.(*Memory); ok {
			list = memory.show // what is decoded need not be copied
		}
		for r, err := range list(ctx, m.table.collection, "") {
			if err != nil {
				yield(nil, err)
				return
			}
			known := m.known[r.ID]
			if known == nil || known.version != r.Version {
				value, err := m.table.decode(r)
				if err != nil {
					yield(nil, err)
					return
				}
				known = &mirrored[T]{version: r.Version, value: &value}
				m.known[r.ID] = known
			}
			known.round = m.round
			if !yield(known.value, nil) {
				return
			}
		}
		maps.DeleteFunc(m.known, func(_ string, known *mirrored[T]) bool { return known.round != m.round })
	}
}

// Get returns a document as the last listing showed it.
func (m *Mirror[T]) Get(id string) (*T, bool) {
	known, ok := m.known[id]
	if !ok {
		return nil, false
	}
	return known.value, true
}
