package session

import (
	"cmp"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/launcher"
)

// sightings remembers what the launcher's Watch told of each session's latest
// generation, while there is a Watch. The zero value knows nothing.
type sightings struct {
	mu       sync.Mutex
	statuses map[ID]launcher.Status // nil while nothing is watched
}

// watching forgets everything; what is told from now on is remembered only if
// something is watched.
func (s *sightings) watching(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.statuses = nil
	if on {
		s.statuses = map[ID]launcher.Status{}
	}
}

// tell remembers a status. What a call returned may be older than what was
// watched, so it counts only if nothing is known yet.
func (s *sightings) tell(status launcher.Status, watched bool) (ID, bool) {
	id, generation, ok := owner(status)
	if !ok {
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.statuses == nil {
		return id, true
	}
	if known, ok := s.statuses[id]; ok {
		_, latest, _ := owner(known)
		if generation < latest || generation == latest && !watched {
			return id, true
		}
	}
	s.statuses[id] = status
	return id, true
}

// of returns the status of a record's present generation.
func (s *sightings) of(r record) (launcher.Status, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status, ok := s.statuses[r.ID]
	return status, ok && status.ID == r.workloadID()
}

// forget drops what is known of a session.
func (s *sightings) forget(id ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.statuses, id)
}

// look says what the launcher knows of a session's present generation: from
// the Watch, or else by asking, as only an answer proves an absence.
func (m *Manager) look(ctx context.Context, r record) sighting {
	if r.Asked.IsZero() {
		return sighting{sure: true}
	}
	if s, ok := m.seen.of(r); ok {
		return m.probe(ctx, r, s)
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	begun := time.Now()
	s, err := launcher.Get(ctx, m.launcher, r.workloadID())
	m.answered(ctx, callLook, begun, err)
	switch {
	case errors.Is(err, launcher.ErrNotFound):
		return sighting{sure: true}
	case err != nil:
		m.log.Warn("the launcher does not answer", "session", r.ID, "generation", r.Generation, "op", "look", "error", err)
		return sighting{}
	}
	m.seen.tell(s, false)
	return m.probe(ctx, r, s)
}

// probe asks the program of a session that is starting, if its container runs,
// whether it serves.
func (m *Manager) probe(ctx context.Context, r record, s launcher.Status) sighting {
	if s.Phase == launcher.Running && !s.Unknown && r.State.begins() && r.Request.Kind.Ready != (Probe{}) {
		select {
		case m.probing <- struct{}{}:
			defer func() { <-m.probing }()
		default:
			s.Reason, s.Message = ErrNotReady, cmp.Or(r.Message, "it waits to be asked whether it serves")
			return sighting{sure: true, status: s, unready: true}
		}
		begun := time.Now()
		for pause := firstProbe; ; pause *= 2 {
			_ = pace.Sleep(ctx, pause)
			ready, why := r.Request.Kind.ready(ctx, m.dialer(r))
			if ready {
				break
			}
			if time.Since(begun)+pause >= tick || ctx.Err() != nil {
				s.Reason, s.Message = ErrNotReady, oneLine(why)
				return sighting{sure: true, status: s, unready: true}
			}
		}
	}
	return sighting{sure: true, status: s}
}

// firstProbe is how long after its container was seen to run a program is first asked
// whether it serves, as hardly any does at once; then after twice as long, and so on
// for a second.
const firstProbe = 20 * time.Millisecond

// dialer connects to the container of a session's present generation.
func (m *Manager) dialer(r record) dialer {
	return func(ctx context.Context, port string) (net.Conn, error) {
		return m.launcher.Dial(ctx, r.workloadID(), port)
	}
}
