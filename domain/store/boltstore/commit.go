package boltstore

import (
	"context"
	"errors"

	"go.etcd.io/bbolt"
)

// A change is one Put or Delete. Whoever has the turn writes all that wait,
// each with a result of its own, and they share the syncs. Nobody waits for
// company: with bbolt's Batch, which does for 10 ms, one writer was a third as
// fast, and 64 not faster.
type change struct {
	ctx   context.Context
	apply func(records *bbolt.Bucket) error // an error is its result, and means that it changed nothing

	// Set by who had the turn.
	done bool
	err  error
}

var (
	errNothing = errors.New("nothing is to be written")
	errCutOff  = errors.New("the write did not come to its end")
)

// commit returns when a change has its result, and is on disk if that is nil.
func (s *Store) commit(c *change) error {
	s.mu.Lock()
	s.queue = append(s.queue, c)
	s.mu.Unlock()

	s.turn.Lock()
	defer s.turn.Unlock()
	if !c.done {
		s.mu.Lock()
		group := s.queue
		s.queue = nil
		s.mu.Unlock()
		s.write(group)
	}
	return c.err
}

// write gives each change its result. The results of a group are those of a
// transaction: if that fails, also those that would have been a conflict have
// seen what is not there.
func (s *Store) write(group []*change) {
	results := make([]error, len(group))
	err := errCutOff // if bbolt panics
	defer func() {
		for i, c := range group {
			c.done, c.err = true, err
			if err == nil {
				c.err = results[i]
			}
		}
	}()
	err = s.db.Update(func(tx *bbolt.Tx) error {
		records := tx.Bucket(recordsBucket)
		written := false
		for i, c := range group {
			if results[i] = c.ctx.Err(); results[i] == nil {
				results[i] = c.apply(records)
			}
			written = written || results[i] == nil
		}
		if !written {
			return errNothing
		}
		return nil
	})
	if errors.Is(err, errNothing) {
		err = nil
	}
}
