package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"time"
)

// ErrUnchanged is returned by the function passed to [Table.Update] to leave
// the record as it is. Update then returns the present document and no error.
var ErrUnchanged = errors.New("record is to stay as it is")

const (
	// attempts is how often a change is tried against concurrent changes of
	// the same record before it is given up.
	attempts = 100
	// eager is how many of them follow at once. Later ones wait a random
	// while, as otherwise the slowest of many writers could always lose.
	eager = 10
	// maxPause bounds that wait. All waits together are under 9 seconds.
	maxPause = 100 * time.Millisecond
)

// A Table reads and changes the records of one collection as JSON documents of
// type T. It adds no state to its [Store]: any number of tables, in any number
// of processes, may share a collection. Make it with [NewTable].
//
// A document carries its own identity: T usually has a field for the ID.
//
// # Versions of a program
//
// Programs of different versions may share a store. A member of an object that
// T does not have, at any depth, survives an Update, so that an older program
// takes nothing away from what a newer one wrote. Arrays are replaced as a
// whole: what T does not know of their elements is lost when the older program
// updates the document.
//
// Errors are those of the Store, of the change, or [ErrCorrupt].
type Table[T any] struct {
	store      Store
	collection string
}

// NewTable returns the documents of a collection of s. It does not touch the
// store; a collection's name that no store accepts is [ErrInvalid] on first
// use.
func NewTable[T any](s Store, collection string) Table[T] {
	return Table[T]{store: s, collection: collection}
}

// Get returns a document, or [ErrNotFound].
func (t Table[T]) Get(ctx context.Context, id string) (T, error) {
	r, err := t.store.Get(ctx, t.collection, id)
	if err != nil {
		var zero T
		return zero, err
	}
	return t.decode(r)
}

// Create writes a document that does not exist yet; if it does, it is
// [ErrConflict]. After an error that may have been written all the same (see
// [Store]), a second Create may find the first one's document.
func (t Table[T]) Create(ctx context.Context, id string, v T) error {
	value, err := t.encode(id, v)
	if err != nil {
		return err
	}
	_, err = t.store.Put(ctx, Record{Collection: t.collection, ID: id, Value: value})
	return err
}

// Update reads a document, has it changed, and writes it back, as one atomic
// step: if another changed the record meanwhile, everything is done again on
// what that one wrote. It returns the document as a Get would now.
//
// The function change may be called many times, each time with a document of
// its own, so it must have no effect but on that document and on variables
// that it sets anew each time. If it returns [ErrUnchanged], nothing is
// written and the document is returned as it was read, whatever change did to
// it; any other error ends the Update, writes nothing and is returned as it is.
//
// A record that does not exist is [ErrNotFound], and change is not called.
// ErrConflict means that a hundred attempts in a row were overtaken.
func (t Table[T]) Update(ctx context.Context, id string, change func(*T) error) (T, error) {
	var written T
	err := t.retry(ctx, id, func(r Record) (write error, err error) {
		v, err := t.decode(r)
		if err != nil {
			return nil, err
		}
		// What T knows of the document; taken now, as change may alter it.
		known, err := t.encode(id, v)
		if err != nil {
			return nil, err
		}
		if err := change(&v); errors.Is(err, ErrUnchanged) {
			written, err = t.decode(r)
			return nil, err
		} else if err != nil {
			return nil, err
		}
		next, err := t.encode(id, v)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(r.Value, known) {
			next = keepUnknown(r.Value, known, next)
		}
		r.Value = next
		if _, err := t.store.Put(ctx, r); err != nil {
			return err, nil
		}
		written, err = t.decode(r)
		return nil, err
	})
	if err != nil {
		var zero T
		return zero, err
	}
	return written, nil
}

// Delete removes a document in whatever state it is, or is [ErrNotFound].
func (t Table[T]) Delete(ctx context.Context, id string) error {
	return t.retry(ctx, id, func(r Record) (write error, err error) {
		return t.store.Delete(ctx, t.collection, id, r.Version), nil
	})
}

// DeleteIf removes a document that check returns nil for, as one atomic step:
// if another changes the record meanwhile, it is checked again. An error of
// check leaves the document and is returned as it is. A record that does not
// exist is [ErrNotFound], and check is not called.
func (t Table[T]) DeleteIf(ctx context.Context, id string, check func(T) error) error {
	return t.retry(ctx, id, func(r Record) (write error, err error) {
		v, err := t.decode(r)
		if err == nil {
			err = check(v)
		}
		if err != nil {
			return nil, err
		}
		return t.store.Delete(ctx, t.collection, id, r.Version), nil
	})
}

// All yields the documents in the order of their IDs. It is complete or ends
// with an error as its last element; see [Store.List] for what changes
// meanwhile.
func (t Table[T]) All(ctx context.Context) iter.Seq2[T, error] { return t.After(ctx, "") }

// After yields those of All whose ID is greater than one, which need not exist.
func (t Table[T]) After(ctx context.Context, id string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for r, err := range t.store.List(ctx, t.collection, id) {
			var v T
			if err == nil {
				v, err = t.decode(r)
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// retry reads a record and takes a step with it, again and again while what
// the step wrote was overtaken: write is [ErrConflict]. Any err ends it.
func (t Table[T]) retry(ctx context.Context, id string, step func(Record) (write error, err error)) error {
	for n := 1; ; n++ {
		r, err := t.store.Get(ctx, t.collection, id)
		if err != nil {
			return err
		}
		write, err := step(r)
		if err != nil {
			return err
		}
		if !errors.Is(write, ErrConflict) || n == attempts {
			return write
		}
		if n < eager {
			continue
		}
		if err := sleep(ctx, rand.N(min(time.Millisecond<<min(n-eager, 10), maxPause))); err != nil {
			return err
		}
	}
}

func (t Table[T]) decode(r Record) (T, error) {
	var v T
	if err := json.Unmarshal(r.Value, &v); err != nil {
		var zero T
		return zero, fmt.Errorf("%w: decode %q in %s as %T: %w", ErrCorrupt, r.ID, r.Collection, zero, err)
	}
	return v, nil
}

func (t Table[T]) encode(id string, v T) ([]byte, error) {
	value, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%w: encode %q in %s: %w", ErrInvalid, id, t.collection, err)
	}
	return value, nil
}

// keepUnknown returns the document next with the members of the document old
// that a program does not know: those that are not in known either, which is
// what that program makes of old. Only objects have members.
func keepUnknown(old, known, next json.RawMessage) json.RawMessage {
	olds, ok := members(old)
	if !ok {
		return next
	}
	knowns, ok := members(known)
	if !ok {
		return next
	}
	nexts, ok := members(next)
	if !ok {
		return next
	}
	for name, value := range olds {
		k, isKnown := knowns[name]
		n, stays := nexts[name]
		switch {
		case stays && isKnown:
			nexts[name] = keepUnknown(value, k, n)
		case stays: // it was left out as empty
			nexts[name] = keepUnknown(value, json.RawMessage("{}"), n)
		case !isKnown && !hasFold(knowns, name) && !hasFold(nexts, name):
			nexts[name] = value
		}
	}
	merged, err := json.Marshal(nexts)
	if err != nil { // cannot be: every member is JSON that was parsed
		return next
	}
	return merged
}

// members returns the members of a JSON object; false for any other value.
func members(value json.RawMessage) (map[string]json.RawMessage, bool) {
	if !bytes.HasPrefix(bytes.TrimLeft(value, " \t\r\n"), []byte("{")) {
		return nil, false
	}
	var m map[string]json.RawMessage
	err := json.Unmarshal(value, &m)
	return m, err == nil
}

// hasFold reports whether m has a member that differs from name in case at
// most: decoding would have taken the two for one.
func hasFold(m map[string]json.RawMessage, name string) bool {
	for other := range m {
		if strings.EqualFold(other, name) {
			return true
		}
	}
	return false
}
