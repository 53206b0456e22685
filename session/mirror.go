package session

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/internal/pace"
)

const (
	// tailEvery is how often the end of the audit record is read for what other
	// processes have written. overlap is how much of it is read again: what
	// another whose clock is that much slower wrote stands before what was read.
	tailEvery = time.Second
	overlap   = 10 * time.Second
	// refreshEvery is how often the records of sessions are read that start or end for
	// other processes: what they wait for is not in the audit record.
	refreshEvery = 10 * time.Second
	// mirrorEvery is how often all records are read, for what was missed: less or more
	// by up to a quarter, lest all processes do at once.
	mirrorEvery = 15 * time.Minute
	// afterwards is when they are read again after a manager has gone: what a caller
	// had asked of it just then may be recorded since, and not told of.
	afterwards = 30 * time.Second
	// staleAfter is when what is known here counts no more for [Manager.Cached].
	staleAfter = 10 * time.Second
)

// A mirror takes over what other processes have written: it tells this one's
// watchers, and has this one work for what changed, so that the sessions of a
// process that died are not left alone.
type mirror struct {
	manager *Manager
	// versions are those read last. What has not changed is not decoded.
	versions  map[ID]int64
	next      time.Time // when all records are to be read
	refreshed time.Time // when those of others that start or end were
	// tail are the entries of the audit record that were read last.
	tail map[string]bool
	last time.Time // of them
}

// missed are sessions of which others have said that they wrote something late. The
// zero value is none.
type missed struct {
	mu    sync.Mutex
	ids   map[ID]bool
	all   bool
	flood time.Time // when there were too many last to name them
}

// add has sessions read that a member has named. It names them several times: all are
// read once.
func (s *missed) add(ids []ID, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(ids) >= maxLate && now.Sub(s.flood) >= memberTTL {
		s.all, s.flood = true, now
	}
	if s.ids == nil {
		s.ids = map[ID]bool{}
	}
	for _, id := range ids {
		s.ids[id] = true
	}
}

// addAll has all sessions read.
func (s *missed) addAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = true
}

// take returns those added since, or that all are to be read.
func (s *missed) take() (ids map[ID]bool, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids, all = s.ids, s.all
	s.ids, s.all = nil, false
	return ids, all
}

func newMirror(m *Manager) *mirror {
	r := &mirror{manager: m, versions: map[ID]int64{}}
	for _, known := range m.hub.All() { // of an earlier Run
		r.versions[known.ID] = 0
	}
	return r
}

// prime reads the store, so that the first Watch begins with all there is. It
// gives up only when ctx ends.
func (r *mirror) prime(ctx context.Context) error {
	for pause := newPause(); ; {
		err := r.pass(ctx)
		if err == nil {
			return nil
		}
		r.manager.log.Warn("the store does not answer", "op", "prime", "error", err)
		if err := pace.Sleep(ctx, pause.NextBackOff()); err != nil {
			return err
		}
	}
}

// follow reads what is new, and now and then all.
func (r *mirror) follow(ctx context.Context) error {
	m, now := r.manager, time.Now()
	named, all := m.missed.take()
	if all || !now.Before(r.next) {
		err := r.pass(ctx)
		switch {
		case err != nil:
			m.missed.addAll()
		case all:
			r.next = now.Add(afterwards)
		}
		return err
	}
	err := r.news(ctx, named)
	if err != nil {
		m.missed.add(slices.Collect(maps.Keys(named)), now)
	}
	return err
}

// news reads what was added to the audit record, and the records of the sessions
// that it is about and of those named.
func (r *mirror) news(ctx context.Context, named map[ID]bool) error {
	if err := r.settleDebts(ctx); err != nil {
		return err
	}
	m, now := r.manager, time.Now()
	tail, changed := map[string]bool{}, map[ID]bool{}
	maps.Copy(changed, named)
	for stored, err := range m.domain.Store().List(ctx, auditCollection(m.domain.Name()), r.last.Add(-overlap).UTC().Format(entryTime)) {
		if err != nil {
			return err
		}
		tail[stored.ID] = true
		if _, of, ok := strings.Cut(stored.ID, "/"); ok && !r.tail[stored.ID] {
			id, _, _ := strings.Cut(of, "/")
			changed[ID(id)] = true
		}
	}
	if now.Sub(r.refreshed) >= refreshEvery {
		for _, known := range m.hub.All() {
			if known.State != Running && !known.settled() && !m.members.mine(known.ID) {
				changed[known.ID] = true
			}
		}
		r.refreshed = now
	}
	if err := r.read(ctx, changed); err != nil {
		return err
	}
	r.tail = tail
	r.last = maxTime(r.last, now.Add(-overlap))
	for id := range tail {
		at, err := time.Parse(entryTime, id[:len(entryTime)])
		if err == nil && at.After(r.last) && at.Before(now) { // else by a clock that is fast
			r.last = at
		}
	}
	m.heard.Store(now.UnixNano())
	return nil
}

// read takes over the records of sessions.
func (r *mirror) read(ctx context.Context, changed map[ID]bool) error {
	m := r.manager
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(asking)
	for id := range changed {
		g.Go(func() error {
			rec, err := m.records.Get(ctx, string(id))
			switch {
			case errors.Is(err, store.ErrNotFound):
			case errors.Is(err, store.ErrCorrupt), errors.Is(err, store.ErrInvalid):
				m.garbled(id, err)
			case err != nil:
				return err
			default:
				m.adopt(rec)
			}
			return nil
		})
	}
	return g.Wait()
}

// garbled tells of a record that makes no sense. It must not hold up the others.
func (m *Manager) garbled(id ID, err error) {
	m.log.Error("a record of the store makes no sense; an administrator has to look at it", "session", id, "error", err)
}

// settleDebts writes into the audit record what could not be written there.
func (r *mirror) settleDebts(ctx context.Context) error {
	m := r.manager
	for _, id := range m.trails.debts() {
		rec, err := m.records.Get(ctx, string(id))
		if err == nil {
			err = m.writeDown(ctx, rec)
		}
		switch {
		case errors.Is(err, store.ErrCorrupt):
			m.garbled(id, err)
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		}
		m.trails.owe(id, false)
	}
	return nil
}

// pass reads all records once.
func (r *mirror) pass(ctx context.Context) error {
	m := r.manager
	begun := time.Now()
	seen := make(map[ID]int64, len(r.versions))
	for stored, err := range m.domain.Store().List(ctx, collection(m.domain.Name()), "") {
		if err != nil {
			return err
		}
		id := ID(stored.ID)
		seen[id] = stored.Version
		if r.versions[id] == stored.Version {
			continue
		}
		var rec record
		if err := json.Unmarshal(stored.Value, &rec); err != nil {
			m.garbled(id, err)
			continue
		}
		m.adopt(rec)
	}
	for id := range r.versions {
		if _, still := seen[id]; still {
			continue
		}
		// It may have been made while the store was read.
		if _, err := m.records.Get(ctx, string(id)); errors.Is(err, store.ErrNotFound) {
			m.unpublish(id)
		}
	}
	r.versions = seen
	r.next = begun.Add(mirrorEvery*3/4 + rand.N(mirrorEvery/2))
	if r.last.IsZero() {
		r.last = begun
	}
	m.heard.Store(begun.UnixNano())
	return nil
}
