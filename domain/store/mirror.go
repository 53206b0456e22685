package store

import (
	"context"
	"iter"
)

// A Mirror lists a [Table] again and again and decodes only the documents that
// have changed since: for a loop that looks at all of them often. The zero
// Mirror is not usable; make it with [NewMirror]. It is not safe for
// concurrent use.
type Mirror[T any] struct {
	table Table[T]
	known map[string]mirrored[T]
}

// mirrored is a document as it was decoded.
type mirrored[T any] struct {
	version int64
	value   T
	seen    bool // in the present listing
}

// NewMirror returns a mirror of a table. It does not touch the store.
func NewMirror[T any](t Table[T]) *Mirror[T] {
	return &Mirror[T]{table: t, known: map[string]mirrored[T]{}}
}

// All yields the documents as [Table.All] does. Those that have not changed
// are the values that were yielded before: what they point to must not be
// changed. What is gone is forgotten when a listing was complete.
func (m *Mirror[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for r, err := range m.table.store.List(ctx, m.table.collection, "") {
			known, ok := m.known[r.ID]
			if err == nil && (!ok || known.version != r.Version) {
				known.version = r.Version
				known.value, err = m.table.decode(r)
			}
			if err == nil {
				known.seen = true
				m.known[r.ID] = known
			}
			if !yield(known.value, err) || err != nil {
				return
			}
		}
		for id, known := range m.known {
			if !known.seen {
				delete(m.known, id)
				continue
			}
			known.seen = false
			m.known[id] = known
		}
	}
}
