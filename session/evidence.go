package session

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/atelier-go/atelier/domain/store"
)

// A Source is where evidence of a session's use comes from: one of those of this
// package, or one of the caller's, by any such name: 1 to 20 lower-case letters,
// digits and hyphens, beginning with a letter.
type Source string

const (
	// Began is when its container began to run, or somebody asked for it.
	Began Source = "began"
	// Traffic is what a proxy has passed on to it, as that reports.
	Traffic Source = "traffic"
	// Program is what its own program tells by [Kind.Activity].
	Program Source = "program"
	// CPU is the processor time that it consumes, in cores: one that computes on
	// one core of 96 is as busy as one that does on one of two.
	CPU Source = "cpu"
	// Work is that a kind of session works as long as it runs, as a job does.
	Work Source = "work"
)

var sourcePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,19}$`)

// Evidence is what one source tells of a session's use.
type Evidence struct {
	// Source is who tells. Required.
	Source Source
	// Used is the latest use that it tells of.
	Used time.Time
	// Asked is when it told so.
	Asked time.Time
	// Confidence says how sure it is that this was use, from above 0 to 1. What is
	// below a half is told by [Manager.Explain] and counts for nothing. Zero is 1.
	Confidence float64
	// Detail is what it saw, for people: "GET /events", "1.02 cores for 1m0s".
	Detail string
	// Failure is why it could not tell when it was asked after Asked. Until then it
	// is taken to have been used: who cannot tell must not end a session, and one
	// that never tells any more must not keep it for ever.
	Failure string
}

// counts reports whether e is more likely use than not.
func (e Evidence) counts() bool { return e.Confidence == 0 || e.Confidence >= 0.5 }

// outweighs reports whether e is to take the place of what was known of its source:
// what counts is not displaced by what does not, however late that is.
func (e Evidence) outweighs(known Evidence) bool {
	if e.counts() != known.counts() {
		return e.counts()
	}
	return e.Used.After(known.Used)
}

// last is the latest use that e has to be taken for.
func (e Evidence) last() time.Time {
	if e.Failure != "" && e.Asked.After(e.Used) {
		return e.Asked
	}
	return e.Used
}

// problems reports everything wrong with what a caller reports.
func (e Evidence) problems(now time.Time) []error {
	var found []error
	if !sourcePattern.MatchString(string(e.Source)) || slices.Contains([]Source{Began, Program, CPU, Work}, e.Source) {
		found = append(found, fmt.Errorf("evidence: source %.40q: want %q or a name of your own: 1 to 20 of a-z, 0-9 and hyphen, beginning with a letter", e.Source, Traffic))
	}
	if e.Used.IsZero() || e.Used.After(now.Add(time.Minute)) {
		found = append(found, fmt.Errorf("evidence: used at %v: want a time that is not in the future", e.Used))
	}
	if e.Confidence < 0 || e.Confidence > 1 {
		found = append(found, fmt.Errorf("evidence: confidence %v: want from above 0 to 1, or zero for 1", e.Confidence))
	}
	if len(e.Detail) > 200 {
		found = append(found, fmt.Errorf("evidence: detail has %d bytes, at most 200", len(e.Detail)))
	}
	return found
}

// learn takes in what a source tells, unless a later use is known, and reports
// whether that is news.
func (r *record) learn(e Evidence) bool {
	known, ok := r.Evidence[e.Source]
	if ok && !e.Used.IsZero() && !known.Used.IsZero() && known.counts() && !e.counts() {
		return false
	}
	displaces := !ok || known.Used.IsZero() || !e.Used.IsZero() && e.outweighs(known)
	if !displaces && known.Failure == e.Failure && (e.Failure != "" || e.Asked.Sub(known.Asked) < reportEvery) {
		return false
	}
	if !displaces {
		e.Used, e.Detail, e.Confidence = known.Used, known.Detail, known.Confidence
	}
	if e.Failure != "" {
		e.Asked = known.Asked
	}
	next := maps.Clone(r.Evidence)
	if next == nil {
		next = map[Source]Evidence{}
	}
	next[e.Source] = e
	r.Evidence = next
	return true
}

const (
	// reportEvery is how often what is reported of a session is recorded at most.
	reportEvery = time.Minute
	// maxSources is how many sources a session may have.
	maxSources = 12
)

// reports are what callers have reported and the store does not know yet. The zero
// value is empty.
type reports struct {
	mu    sync.Mutex
	fresh map[ID]map[Source]Evidence
	saved map[ID]time.Time
}

// add notes a report, and reports whether it is time to record it.
func (p *reports) add(id ID, e Evidence, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fresh == nil {
		p.fresh, p.saved = map[ID]map[Source]Evidence{}, map[ID]time.Time{}
	}
	if p.fresh[id] == nil {
		p.fresh[id] = map[Source]Evidence{}
	}
	if known, ok := p.fresh[id][e.Source]; !ok || e.outweighs(known) {
		p.fresh[id][e.Source] = e
	}
	return now.Sub(p.saved[id]) >= reportEvery
}

// drop forgets what was reported of a session and is not recorded.
func (p *reports) drop(id ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.fresh, id)
}

// take returns what is not recorded yet of a session, which is then.
func (p *reports) take(id ID, now time.Time) map[Source]Evidence {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := p.fresh[id]
	delete(p.fresh, id)
	if p.saved != nil {
		p.saved[id] = now
	}
	return fresh
}

// waiting are the sessions of which something is not recorded yet.
func (p *reports) waiting() []ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.fresh))
}

// forget drops when sessions that are not among the live ones were recorded.
func (p *reports) forget(live func(ID) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.saved, func(id ID, _ time.Time) bool { return !live(id) })
}

// Report tells of a session's use: what a proxy has seen, or whatever else a caller
// knows. It may be called for every request: this process remembers the latest of
// each source, and records it once a minute at most, so that it is lost at most for
// that long. A session does not end for idleness before a minute after its rule says,
// so that every process's reports are in. Reports of sessions that do not run are
// ignored; those that make no sense are [ErrInvalid].
func (m *Manager) Report(ctx context.Context, id ID, e Evidence) error {
	const op = "report"
	now := time.Now()
	e.Asked = now
	problems := e.problems(now)
	if err := id.check(); err != nil {
		problems = append(problems, err)
	}
	if problems != nil {
		return &Error{Op: op, ID: id, Kind: ErrInvalid, Err: errors.Join(problems...)}
	}
	due := m.reports.add(id, e, now) // also while the store does not answer
	if err := m.awake(ctx, op, id); err != nil {
		if errors.Is(err, ErrNotRunning) {
			m.reports.drop(id)
		}
		return err
	}
	if known, ok := m.hub.Get(id); ok && known.State != Running {
		m.reports.drop(id)
		return nil
	}
	if due {
		return fail(ctx, op, id, m.saveReports(ctx, id))
	}
	return nil
}

// saveReports records what was reported of a session.
func (m *Manager) saveReports(ctx context.Context, id ID) error {
	fresh := m.reports.take(id, time.Now())
	r, err := m.records.Update(ctx, string(id), func(r *record) error {
		news := false
		for _, e := range fresh {
			_, known := r.Evidence[e.Source]
			if r.State == Running && (known || len(r.Evidence) < maxSources) {
				news = r.learn(e) || news
			}
		}
		if !news {
			return store.ErrUnchanged
		}
		m.revise(r)
		return nil
	})
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrInvalid) {
		return nil // there is nothing to record it in
	}
	if err != nil {
		for _, e := range fresh {
			m.reports.add(id, e, time.Now())
		}
		return err
	}
	m.adopt(r)
	return nil
}
