package session

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/launcher"
)

// The managers that run on one store share the sessions among them. Each has a
// record there, a lease on its part of the work that it renews every beatEvery.
// It stops working when, by its own clock, the last renewal that succeeded was
// begun safeFor ago; the others take its part when they, by theirs, have seen the
// record unchanged for memberTTL. No two clocks are compared.
//
// For a moment, when one joins, two may work for one session. That is safe, and so
// is one that was paused and goes on: nothing is done for a session that was not
// recorded before in its record, by compare-and-swap on its revision, which is the
// fence; the launcher runs each generation once whoever asks.
const (
	beatEvery = 3 * time.Second
	safeFor   = 9 * time.Second
	memberTTL = 12 * time.Second
	// buriedAfter is when a record of one that ended without a word is removed.
	buriedAfter = 10 * memberTTL
)

// A manager whose launcher has not answered it for illAfter is ill: its part is the
// others', if one of them is well, until illFor at least and until the launcher
// answers it again.
const (
	illAfter = 10 * time.Second
	illFor   = 30 * time.Second
)

// member is a running manager as it is stored.
type member struct {
	Name  string
	Begun time.Time
	Beat  int64
	Ill   bool `json:",omitempty"`
	// Late are the sessions of which it wrote something so late into the audit record
	// that the others may have missed it there; after maxLate they are to read all.
	Late []ID `json:",omitempty"`
}

// maxLate is how many sessions a member names.
const maxLate = 500

func membersCollection(domain string) string { return "domains/" + domain + "/managers" }

// roll is the records of the managers that run.
func (m *Manager) roll() store.Table[member] {
	return store.NewTable[member](m.domain.Store(), membersCollection(m.domain.Name()))
}

// members knows which managers run, and which of them works for a session. The
// zero value works for none.
type members struct {
	mu      sync.Mutex
	me      string
	renewed time.Time // when the last beat that succeeded was begun
	live    []string  // those to work, as it was seen last
	seen    map[string]heartbeat
	// silent is since when the launcher has not answered, by what it was asked: one
	// that answers questions may not take work.
	silent map[call]time.Time
}

// heartbeat is a version of another's record, and when it was first seen.
type heartbeat struct {
	version int64
	since   time.Time
	ill     bool
	late    []ID
}

// mine reports whether this process is to work for a session now. Of those that
// run it is the one whose name, taken together with the session's, has the
// greatest hash: when one comes or goes, no others change hands.
func (m *members) mine(id ID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.me == "" || time.Since(m.renewed) >= safeFor {
		return false
	}
	if !slices.Contains(m.live, m.me) {
		return false
	}
	mine := weight(m.me, id)
	for _, name := range m.live {
		if w := weight(name, id); w > mine || w == mine && name > m.me {
			return false
		}
	}
	return true
}

// weight is a hash of a name and a session.
func weight(name string, id ID) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name + "/" + string(id)))
	x := h.Sum64() // of which the last bytes moved little: mixed as by MurmurHash3
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// join begins a part in the work, under a name of its own.
func (m *members) join() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.me, m.renewed, m.live, m.seen = rand.Text(), time.Time{}, nil, map[string]heartbeat{}
	m.silent = nil
}

// answered notes whether the launcher answered a call that was begun at a time.
func (m *members) answered(c call, begun time.Time, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch _, already := m.silent[c]; {
	case !errors.Is(err, launcher.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded):
		delete(m.silent, c)
	case m.silent == nil:
		m.silent = map[call]time.Time{c: begun}
	case !already:
		m.silent[c] = begun
	}
}

// recovered forgets that the launcher did not answer.
func (m *members) recovered() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.silent = nil
}

// silence is for how long the launcher has not answered this process; zero if it
// does.
func (m *members) silence(now time.Time) (longest time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, since := range m.silent {
		longest = max(longest, now.Sub(since))
	}
	return longest
}

// leave ends it: from now on nothing is this process's. It returns the name.
func (m *members) leave() (name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name, m.me = m.me, ""
	return name
}

// state is what beat needs.
func (m *members) state() (me string, renewed time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.me, m.renewed
}

// beat renews this process's part and looks at the others. It reports whether the
// parts have changed, and whether that is as one of the others has gone.
func (m *Manager) beat(ctx context.Context) (changed, gone bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, beatEvery)
	defer cancel()
	me, renewed := m.members.state()
	begun := time.Now()
	ill, late := m.members.silence(begun) >= illAfter, m.trails.missed(begun)
	late = late[:min(len(late), maxLate)]
	_, err = m.roll().Update(ctx, me, func(r *member) error {
		r.Beat++
		r.Ill, r.Late = ill, late
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		err = m.roll().Create(ctx, me, member{Name: me, Begun: begun, Beat: 1, Ill: ill, Late: late})
	}
	if err != nil {
		return false, false, err
	}
	others := map[string]heartbeat{}
	for r, err := range m.domain.Store().List(ctx, membersCollection(m.domain.Name()), "") {
		if err != nil {
			return false, false, err
		}
		var other member
		if r.ID != me && json.Unmarshal(r.Value, &other) == nil { // what makes no sense works for nothing
			others[r.ID] = heartbeat{version: r.Version, ill: other.Ill, late: other.Late}
		}
	}
	dead, named := m.members.saw(others, begun)
	for _, ids := range named {
		m.missed.add(ids, begun)
	}
	for name, version := range dead {
		if err := m.domain.Store().Delete(ctx, membersCollection(m.domain.Name()), name, version); err != nil && ctx.Err() != nil {
			return false, false, err
		}
	}
	changed, gone = m.members.renew(begun, ill)
	lapsed := time.Since(renewed) >= safeFor // its own part was the others'
	return changed || lapsed, gone || lapsed && !renewed.IsZero(), nil
}

// saw takes in the records of the others, and returns those that are to be removed
// and what those that are new say is late.
func (m *members) saw(others map[string]heartbeat, now time.Time) (dead map[string]int64, late [][]ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dead = map[string]int64{}
	maps.DeleteFunc(m.seen, func(name string, _ heartbeat) bool {
		_, there := others[name]
		return !there
	})
	for name, other := range others {
		if known, ok := m.seen[name]; !ok || known.version != other.version {
			other.since = now
			late = append(late, other.late)
			other.late = nil
			m.seen[name] = other
		}
		if now.Sub(m.seen[name].since) >= buriedAfter {
			dead[name] = other.version
		}
	}
	return dead, late
}

// renew counts a beat that was begun at a time, and reports whether others are to
// work now than before, and whether one of those has gone.
func (m *members) renew(begun time.Time, ill bool) (changed, gone bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	parts := map[bool][]string{ill: {m.me}} // by whether they are ill
	for name, seen := range m.seen {
		if begun.Sub(seen.since) < memberTTL {
			parts[seen.ill] = append(parts[seen.ill], name)
		}
	}
	live := parts[false]
	if live == nil {
		live = parts[true]
	}
	slices.Sort(live)
	changed = !slices.Equal(live, m.live)
	gone = slices.ContainsFunc(m.live, func(name string) bool { return !slices.Contains(live, name) })
	m.renewed, m.live = begun, live
	return changed, gone
}
