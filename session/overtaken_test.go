package session_test

import (
	"bytes"
	"context"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/session"
)

func TestStopBeforeAnythingWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := &stuck{Launcher: w.guard, release: make(chan struct{})}
		m, _ := w.run(l, session.Config{})
		_, err := m.Start(t.Context(), request("s1"))
		check(t, err)
		synctest.Wait() // Launch hangs
		_, err = m.Stop(t.Context(), "s1", session.Order{})
		check(t, err)
		close(l.release)
		s, err := m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
		time.Sleep(time.Minute)
		if len(w.live()) != 0 {
			t.Errorf("a launch that was on its way lives: %v, %+v", w.live(), s)
		}
	})
}

// overtaken is a store in which something happens just before the n-th Put of a
// session's record.
type overtaken struct {
	store.Store
	at     int64
	puts   atomic.Int64
	happen func()
}

func (s *overtaken) Put(ctx context.Context, r store.Record) (int64, error) {
	if r.Collection == "domains/research/sessions" && s.puts.Add(1) == s.at {
		s.happen()
	}
	return s.Store.Put(ctx, r)
}

// Of two callers with one request at the same time, the later one gets the
// session of the earlier.
func TestStartOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		well := w.manager()
		o := &overtaken{Store: w.store, at: 1}
		m, _ := w.runOn(w.domainOn(o), w.guard, session.Config{})
		var first session.Session
		o.happen = func() {
			var err error
			first, err = well.Start(t.Context(), request("s1"))
			check(t, err)
		}
		s, err := m.Start(t.Context(), request("s1"))
		check(t, err)
		if !s.CreatedAt.Equal(first.CreatedAt) {
			t.Errorf("two sessions: %+v, %+v", first, s)
		}
	})
}

// A session that is stopped by another process between the decision to launch
// it and its record is not launched.
func TestStopOvertakesLaunch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := &overtaken{Store: w.store, at: 2} // the first makes the record
		o.happen = func() {
			other, end := w.run(&stuck{Launcher: w.guard}, session.Config{})
			_, err := other.Stop(t.Context(), "s1", session.Order{})
			check(t, err)
			end()
		}
		m, _ := w.runOn(w.domainOn(o), w.guard, session.Config{})
		_, err := m.Start(t.Context(), request("s1"))
		check(t, err)
		time.Sleep(time.Minute)
		if n := len(w.guard.workloads()); n != 0 {
			t.Errorf("launched %d times after it was stopped", n)
		}
	})
}

// outdated is a store whose first sweep reads a record as it was long ago.
type outdated struct {
	store.Store
	lists atomic.Int64
	from  int64
	edit  func(store.Record) store.Record
}

func (s *outdated) List(ctx context.Context, collection, after string) iter.Seq2[store.Record, error] {
	n := s.lists.Add(1)
	return func(yield func(store.Record, error) bool) {
		for r, err := range s.Store.List(ctx, collection, after) {
			if n >= s.from && err == nil {
				r = s.edit(r)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// A record that was made anew under a deleted one's ID is not purged by who has
// read the old one.
func TestPurgeOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		o := &outdated{Store: w.store, from: 1 << 60, edit: func(r store.Record) store.Record {
			r.Value = bytes.Replace(r.Value, []byte(`"ID":"s1"`), []byte(`"ID":"s1","Deleted":"1999-01-01T00:00:00Z"`), 1)
			return r
		}}
		d := w.domainOn(o)
		m, end := w.runOn(d, w.guard, session.Config{})
		started(t, m, request("s1"))
		end()
		o.from = 0
		_, end = w.runOn(d, w.guard, session.Config{})
		time.Sleep(35 * time.Second) // one sweep
		end()
		if n := countRecords(t, w, "domains/research/sessions"); n != 1 {
			t.Errorf("%d records, want the one", n)
		}
	})
}
