package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/session"
)

const (
	sessionsOf = "domains/research/sessions"
	managersOf = "domains/research/managers"
)

// watched is a store that counts how often all sessions are read, and holds up or
// fails what its test says.
type watched struct {
	store.Store
	reads *atomic.Int64
	list  func(collection string) error
	put   func(collection string) error
}

func (s watched) List(ctx context.Context, collection, after string) iter.Seq2[store.Record, error] {
	if collection == sessionsOf {
		s.reads.Add(1)
	}
	if s.list != nil {
		if err := s.list(collection); err != nil {
			return func(yield func(store.Record, error) bool) { yield(store.Record{}, err) }
		}
	}
	return s.Store.List(ctx, collection, after)
}

func (s watched) Put(ctx context.Context, r store.Record) (int64, error) {
	if s.put != nil {
		if err := s.put(r.Collection); err != nil {
			return 0, err
		}
	}
	return s.Store.Put(ctx, r)
}

// TestOneRecordHoldsNothingUp: of a session whose record makes no sense nothing is
// known, and what no session wants is swept all the same.
func TestOneRecordHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m, end := w.run(w.guard, session.Config{})
		started(t, m, request("a"))
		end()
		r, err := w.store.Get(t.Context(), sessionsOf, "a")
		check(t, err)
		r.Value = []byte("{")
		_, err = w.store.Put(t.Context(), r)
		check(t, err)
		grant, err := w.domain.Authorize(t.Context(), domain.Ask{User: "bob", InstanceType: "t3.medium"})
		check(t, err)
		check(t, w.domain.Reserve(t.Context(), domain.Reservation{Key: "nobody.1", Grant: grant, At: time.Now()}))
		w.run(w.guard, session.Config{})
		time.Sleep(20 * time.Minute) // its reservation is old enough to be looked at
		ghost := w.guard.workloads()[0]
		ghost.ID, ghost.Labels = "research.ghost.1", maps.Clone(ghost.Labels)
		ghost.Labels["atelier.session"] = "ghost"
		_, err = w.host.Launch(t.Context(), ghost)
		check(t, err)
		time.Sleep(5 * time.Minute)
		if live := w.live(); len(live) != 1 || live[0] != "research.a.1" {
			t.Errorf("%v live: want the one that cannot be read, and no ghost", live)
		}
		account, err := w.domain.Account(t.Context(), domain.ScopeUser, "alice")
		check(t, err)
		if len(account.Live) != 1 {
			t.Errorf("reserved is %+v: it may be what lives", account.Live)
		}
		account, err = w.domain.Account(t.Context(), domain.ScopeUser, "bob")
		check(t, err)
		if len(account.Live) != 0 {
			t.Errorf("nobody's reservation is left: %+v", account.Live)
		}
	})
}

// TestAskedOfWhoGoes: what is recorded of a session after its manager has gone, by a call
// that had begun before, is heard of by the others.
func TestAskedOfWhoGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var reads atomic.Int64
		open, killed := make(chan struct{}), make(chan struct{})
		var shut atomic.Bool
		goes, end := w.runOn(w.domainOn(watched{Store: w.store, reads: &reads, put: func(collection string) error {
			select {
			case <-killed:
				if collection != sessionsOf {
					return errors.New("the program was killed")
				}
			default:
			}
			if collection == sessionsOf && shut.Load() {
				<-open
			}
			return nil
		}}), w.guard, session.Config{})
		stays, _ := w.run(w.guard, session.Config{})
		time.Sleep(20 * time.Second)
		started(t, goes, request("s1"))
		time.Sleep(20 * time.Second)
		shut.Store(true)
		stopped := make(chan error)
		go func() {
			_, err := goes.Stop(t.Context(), "s1", session.Order{})
			stopped <- err
		}()
		synctest.Wait()
		end()
		time.Sleep(6 * time.Second) // the other has read all
		close(killed)
		close(open)
		check(t, <-stopped)
		time.Sleep(time.Minute)
		if s, ok := stays.Cached("s1"); !ok || s.State != session.Stopped || len(w.live()) != 0 {
			t.Errorf("it is known as %q: %v; %v live", s.State, ok, w.live())
		}
	})
}

// TestReportWhileItBegins: use that is reported while the store is not read yet counts.
func TestReportWhileItBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		check(t, w.domain.SetPolicy(t.Context(), domain.Policy{Idle: []domain.IdleRule{{After: time.Hour}}}))
		m, end := w.run(w.guard, session.Config{})
		started(t, m, request("s1"))
		end()
		var reads atomic.Int64
		var answers atomic.Bool
		m, _ = w.runOn(w.domainOn(watched{Store: w.store, reads: &reads, list: func(string) error {
			if !answers.Load() {
				return errors.New("throttled")
			}
			return nil
		}}), w.guard, session.Config{})
		var used time.Time
		for range 30 {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			used = time.Now()
			if err := m.Report(ctx, "s1", session.Evidence{Source: session.Traffic, Used: used}); err == nil {
				t.Error("it is recorded in a store that does not answer")
			}
			cancel()
			time.Sleep(2 * time.Minute)
		}
		answers.Store(true)
		time.Sleep(5 * time.Minute)
		account, err := m.Explain(t.Context(), "s1")
		check(t, err)
		if account.Session.State != session.Running || !account.Used.Used.Equal(used) {
			t.Errorf("it is %s, last used at %v; want %v", account.Session.State, account.Used.Used, used)
		}
	})
}

// TestReadsOfAll: all sessions are read when a manager begins, after one has gone, twice,
// and else about four times an hour.
func TestReadsOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var reads atomic.Int64
		var ends []func()
		begin := func() {
			_, end := w.runOn(w.domainOn(watched{Store: w.store, reads: &reads}), w.guard, session.Config{})
			ends = append(ends, end)
			time.Sleep(20 * time.Second)
		}
		during := func(what string, least, most int64, f func()) {
			t.Helper()
			reads.Store(0)
			f()
			if n := reads.Load(); n < least || n > most {
				t.Errorf("%s: all were read %d times; want %d to %d", what, n, least, most)
			}
		}
		during("five begin", 5, 5, func() {
			for range 5 {
				begin()
			}
		})
		during("an hour", 5*3, 5*6, func() { time.Sleep(time.Hour) })
		during("one goes", 4*2, 4*3, func() {
			ends[0]()
			time.Sleep(time.Minute)
		})
		late := make([]string, 500)
		for n := range late {
			late[n] = fmt.Sprint("s", n)
		}
		during("one is late with too many to name, and dies", 4*2, 4*4, func() {
			var version int64
			for beat := range 3 {
				value, err := json.Marshal(map[string]any{"Name": "dies", "Beat": beat, "Late": late})
				check(t, err)
				version, err = w.store.Put(t.Context(), store.Record{Collection: managersOf, ID: "dies", Version: version, Value: value})
				check(t, err)
				time.Sleep(3 * time.Second)
			}
			time.Sleep(2 * time.Minute)
		})
	})
}

// TestCachedIsFresh: what this process knows counts no more once the store has not
// answered it for a while.
func TestCachedIsFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var reads atomic.Int64
		var silent atomic.Bool
		m, _ := w.runOn(w.domainOn(watched{Store: w.store, reads: &reads, list: func(string) error {
			if silent.Load() {
				return errors.New("throttled")
			}
			return nil
		}}), w.guard, session.Config{})
		started(t, m, request("s1"))
		for _, quiet := range []bool{false, true, false} {
			silent.Store(quiet)
			time.Sleep(15 * time.Second)
			if s, ok := m.Cached("s1"); ok == quiet {
				t.Errorf("the store is silent: %v, and known is %v: %s", quiet, ok, s.State)
			}
		}
	})
}

// TestLateIsNamed: what is written down long after it happened is told by name.
func TestLateIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var reads atomic.Int64
		var slow atomic.Bool
		m, _ := w.runOn(w.domainOn(watched{Store: w.store, reads: &reads, put: func(collection string) error {
			if slow.Load() && strings.HasSuffix(collection, "/audit") {
				return errors.New("throttled")
			}
			return nil
		}}), w.guard, session.Config{})
		other, _ := w.run(w.guard, session.Config{})
		time.Sleep(20 * time.Second)
		slow.Store(true)
		const sessions = 10
		for n := range sessions {
			_, err := m.Start(t.Context(), request(session.ID(fmt.Sprint("s", n))))
			check(t, err)
		}
		time.Sleep(time.Minute)
		slow.Store(false)
		time.Sleep(10 * time.Second)
		for n := range sessions {
			if s, ok := other.Cached(session.ID(fmt.Sprint("s", n))); !ok || s.State != session.Running {
				t.Errorf("s%d is known as %q: %v", n, s.State, ok)
			}
		}
	})
}
