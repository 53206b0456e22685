// Package watch tells many readers the latest value of many keys.
package watch

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"sync"
)

// A Hub holds the latest value of each key and tells subscribers of changes.
//
// It is level-triggered: a reader that is slower than the changes sees only
// the latest value of each key, but it always sees the last one, also when the
// key was deleted before it looked. The memory a slow reader costs is bounded
// by the number of keys. The zero value is ready to use.
type Hub[K cmp.Ordered, V any] struct {
	mu      sync.Mutex
	values  map[K]V
	readers map[*reader[K, V]]struct{}
}

// reader is one running Changes loop: what it has not seen yet, in the order
// in which it first changed.
type reader[K cmp.Ordered, V any] struct {
	match   func(K, V) bool
	order   []K
	pending map[K]V
	wake    chan struct{} // one slot
}

// Set stores the latest value of a key and tells the readers.
func (h *Hub[K, V]) Set(key K, value V) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.values == nil {
		h.values = map[K]V{}
	}
	h.values[key] = value
	for r := range h.readers {
		if !r.match(key, value) {
			continue
		}
		if _, waiting := r.pending[key]; !waiting {
			r.order = append(r.order, key)
		}
		r.pending[key] = value
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// Delete forgets a key. Readers that have not seen its last value still will.
func (h *Hub[K, V]) Delete(key K) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.values, key)
}

// Get returns the latest value of a key.
func (h *Hub[K, V]) Get(key K) (V, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v, ok := h.values[key]
	return v, ok
}

// All returns the latest values in the order of their keys.
func (h *Hub[K, V]) All() []V {
	h.mu.Lock()
	defer h.mu.Unlock()
	values := make([]V, 0, len(h.values))
	for _, k := range slices.Sorted(maps.Keys(h.values)) {
		values = append(values, h.values[k])
	}
	return values
}

// Changes yields the present value of every key that matches, then the zero V
// once as a mark, then each change until ctx ends, whose cause is the last
// element.
func (h *Hub[K, V]) Changes(ctx context.Context, match func(K, V) bool) iter.Seq2[V, error] {
	return func(yield func(V, error) bool) {
		var zero V
		r := &reader[K, V]{match: match, pending: map[K]V{}, wake: make(chan struct{}, 1)}
		present := h.subscribe(r)
		defer h.unsubscribe(r)
		for _, v := range present {
			if ctx.Err() != nil {
				break
			}
			if !yield(v, nil) {
				return
			}
		}
		if ctx.Err() == nil && !yield(zero, nil) {
			return
		}
		for {
			select {
			case <-ctx.Done():
				yield(zero, context.Cause(ctx))
				return
			case <-r.wake:
			}
			for ctx.Err() == nil {
				v, ok := h.next(r)
				if !ok {
					break
				}
				if !yield(v, nil) {
					return
				}
			}
		}
	}
}

// subscribe adds r and returns what it starts from, in one step: no change
// falls between.
func (h *Hub[K, V]) subscribe(r *reader[K, V]) []V {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.readers == nil {
		h.readers = map[*reader[K, V]]struct{}{}
	}
	h.readers[r] = struct{}{}
	var keys []K
	for k, v := range h.values {
		if r.match(k, v) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	values := make([]V, len(keys))
	for i, k := range keys {
		values[i] = h.values[k]
	}
	return values
}

func (h *Hub[K, V]) unsubscribe(r *reader[K, V]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.readers, r)
}

func (h *Hub[K, V]) next(r *reader[K, V]) (V, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(r.order) == 0 {
		var zero V
		return zero, false
	}
	k := r.order[0]
	v := r.pending[k]
	r.order = r.order[1:]
	delete(r.pending, k)
	return v, true
}
