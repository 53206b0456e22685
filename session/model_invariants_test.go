package session_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// invariants hold at every moment. Whatever takes a while may be late by as much
// after the last trouble.
func (x *model) invariants() {
	now := time.Now()
	if x.trouble() {
		x.calm = now
	}
	late := func(t time.Time, by time.Duration) bool {
		if t.Before(x.calm) {
			t = x.calm.Add(90 * time.Second) // until managers have found each other, and try again
		}
		return now.Sub(t) > by
	}
	count := map[string]int{}
	wanted := map[launcher.ID]*life{}
	x.mu.Lock()
	for _, l := range x.lives {
		if s := l.now; s.ID != "" && !l.gone {
			wanted[containerOf(l.id, s.Generation)] = l
			x.inTime(l, late)
		}
	}
	x.mu.Unlock()
	for s, err := range x.host.List(context.Background(), launcher.Filter{}) {
		check(x.t, err)
		x.gate.note(s)
		if s.Phase == launcher.Exited {
			continue
		}
		id := s.Labels["atelier.session"]
		if count[id]++; count[id] > 1 {
			x.t.Errorf("operation %d: %s has two containers", x.number, id)
		}
		l := wanted[s.ID]
		if l != nil && !slices.Contains(resting, l.now.State) && l.now.State != session.Failed {
			delete(x.orphans, s.ID)
			continue
		}
		if x.orphans[s.ID].IsZero() {
			x.orphans[s.ID] = now
		}
		if late(x.orphans[s.ID], 4*time.Minute) {
			x.t.Errorf("operation %d: %s lives, and nobody wants it since %v", x.number, s.ID, x.orphans[s.ID])
		}
	}
	x.books(false)
}

// inTime checks what has to have happened to a session by now.
func (x *model) inTime(l *life, late func(time.Time, time.Duration) bool) {
	s := l.now
	bad := func(format string, args ...any) {
		x.t.Errorf("operation %d: %s.%d is %s: %s", x.number, l.id, s.Generation, s.State, fmt.Sprintf(format, args...))
	}
	if !s.Deadline.IsZero() && late(s.Deadline, 40*time.Second) {
		bad("it should have left that at %v", s.Deadline)
	}
	if l.stopped && s.State != session.Stopping && !s.State.Ended() {
		bad("a caller was told that it is stopped")
	}
	if s.State == session.Stopping && !l.killed.IsZero() && late(l.killed, 20*time.Second) {
		bad("it was to be killed at %v", l.killed)
	}
	if s.State != session.Running {
		return
	}
	if !x.alive(l.id, s.Generation) && late(l.seen(x), 90*time.Second) {
		bad("it has no container")
	}
	idle, lifetime := l.bounds(l.mildest)
	ends := time.Time{}
	if unused := l.lastUse(); idle > 0 && !l.clean && !slices.Contains(l.request.Command, "spin") {
		if unused.Before(x.calm) {
			unused = x.calm // who could not be asked may have been used
		}
		ends = unused.Add(idle)
	}
	if end := s.StartedAt.Add(lifetime); lifetime > 0 && !l.clean && (ends.IsZero() || end.Before(ends)) {
		ends = end
	}
	if s.KeptUntil.After(ends) && !ends.IsZero() {
		ends = s.KeptUntil
	}
	if !ends.IsZero() && late(ends, 7*time.Minute) {
		bad("it should have ended at %v, by rules of %v and %v; last used at %v", ends, idle, lifetime, l.lastUse())
	}
}

// seen is when a container that is not there any more was last known to live.
func (l *life) seen(x *model) time.Time {
	s, err := launcher.Get(context.Background(), x.host, containerOf(l.id, l.now.Generation))
	if err != nil {
		return time.Now()
	}
	return s.ExitedAt
}

// books compares the domain's accounts with the sessions: what is settled is what
// those cost that have ended, and what is reserved is for those that have not.
func (x *model) books(quiet bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for name, p := range x.users {
		a, err := x.domain.Account(context.Background(), domain.ScopeUser, name)
		check(x.t, err)
		var settled, spent, owed int64
		for _, m := range a.Settled {
			settled += int64(m)
		}
		for _, m := range p.spent {
			spent += m
		}
		held := map[string]bool{}
		for _, h := range a.Live {
			held[h.Key] = true
		}
		for _, l := range x.lives {
			s := l.now
			if s.User != name || s.ID == "" || l.gone {
				continue
			}
			key := fmt.Sprintf("%s.%d", l.id, s.Generation)
			switch {
			case counts(s.State) && !held[key]:
				x.t.Errorf("operation %d: nothing is reserved for %s, which is %s", x.number, key, s.State)
			case !counts(s.State):
				end := s.EndedAt
				if end.IsZero() {
					end = s.Since
				}
				owed += int64(domain.Cost(s.PerHour, s.StartedAt, end))
			}
			delete(held, key)
		}
		if settled < spent || settled > spent+owed || quiet && settled != spent {
			x.t.Errorf("operation %d: of %s are settled %d, and the sessions cost %d, and at most %d more", x.number, name, settled, spent, owed)
		}
		if quiet {
			for key := range held {
				x.t.Errorf("operation %d: reserved for %s is %s, which is nobody's", x.number, name, key)
			}
		}
	}
}

// quiet lets everything calm down, and checks what then holds of the whole world.
func (x *model) quiet() {
	if x.t.Failed() {
		return
	}
	x.soothe()
	for len(x.servers) < 2 {
		x.servers = append(x.servers, x.serve())
	}
	// Until all deadlines have passed and what is nobody's was swept, twice.
	for range 3 {
		time.Sleep(9 * time.Minute)
		x.mark()
		x.invariants()
	}
	x.books(true)
	x.audited()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range x.servers {
		x.watched(s)
	}
	live := map[launcher.ID]bool{}
	for s, err := range x.host.List(context.Background(), launcher.Filter{}) {
		check(x.t, err)
		live[s.ID] = s.Phase != launcher.Exited
	}
	for _, id := range slices.Clone(x.ids) {
		l := x.lives[id]
		s := l.now
		if s.ID == "" { // nobody knew, and there is none
			delete(x.lives, id)
			x.ids = slices.DeleteFunc(x.ids, func(other session.ID) bool { return other == id })
			continue
		}
		c := containerOf(id, s.Generation)
		if (s.State == session.Running) != live[c] && (!live[c] || s.Deadline.IsZero()) && !l.gone {
			x.t.Errorf("in the end %s is %s, and that its container lives is %v", id, s.State, live[c])
		}
		delete(live, c)
		if s.State == session.Suspended && !l.parted && s.OnInterruption != session.StaySuspended && s.Generation == 1 && s.Message == "" {
			x.t.Errorf("in the end %s is suspended, and nobody has asked for that: %+v", id, s)
		}
		if l.gone && time.Since(l.ended) > 2*24*time.Hour {
			delete(x.lives, id)
			x.ids = slices.DeleteFunc(x.ids, func(other session.ID) bool { return other == id })
		}
	}
	for c, lives := range live {
		if lives {
			x.t.Errorf("in the end %s lives", c)
		}
	}
}

// night passes a day in which no manager runs. What was deleted is then forgotten.
func (x *model) night() {
	for _, s := range x.servers {
		s.end()
	}
	time.Sleep(25 * time.Hour)
	for n := range x.servers {
		x.servers[n] = x.serve()
	}
	x.worry()
	time.Sleep(time.Minute)
	x.worry()
}

// watched compares what a watcher was told with what there is.
func (x *model) watched(s *server) {
	s.view.mu.Lock()
	defer s.view.mu.Unlock()
	if !s.view.synced {
		x.t.Errorf("the watcher of process %d has not been told all that was there", s.name)
	}
	for id, l := range x.lives {
		if l.gone || l.now.ID == "" {
			delete(s.view.known, id)
			continue
		}
		if diff := cmp.Diff(l.now, s.view.known[id]); diff != "" {
			x.t.Errorf("operation %d: the watcher of process %d knows %s otherwise (-is +knows)\n%s", x.number, s.name, id, diff)
		}
	}
}

// audited reads what was added to the audit record since the last time, and compares
// it with what was seen to happen: each change of a state once, in its order, and each
// order once.
func (x *model) audited() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for e, err := range x.observer.Audit(context.Background(), session.AuditFilter{After: x.read}) {
		check(x.t, err)
		x.read = e.ID
		if x.gate.tells(e.Message) || x.gate.tells(e.Why) {
			x.t.Errorf("the audit record has a secret: %+v", e)
		}
		if e.Refused == "" && e.From != e.To {
			x.told[e.Session] = append(x.told[e.Session], fmt.Sprintf("%s %s", e.From, e.To))
		}
		if w := x.wishes[e.Order]; w != nil && e.Refused == "" {
			if w.written++; w.written > 1 || w.id != e.Session || w.op != e.Op {
				x.t.Errorf("the audit record has the order %s, which was to %s %s, %d times: %+v", e.Order, w.op, w.id, w.written, e)
			}
		}
	}
	// Nobody reads it again: a record of weeks would make every look at its end slow.
	for r, err := range x.store.List(context.Background(), "domains/research/sessions/audit", "") {
		check(x.t, err)
		if r.ID <= x.read {
			check(x.t, x.store.Delete(context.Background(), r.Collection, r.ID, r.Version))
		}
	}
	for id, l := range x.lives {
		if diff := cmp.Diff(l.moves, x.told[id]); diff != "" {
			x.t.Errorf("operation %d: what happened to %s, and what the audit record tells:\n%s\n%s", x.number, id, strings.Join(l.moves, ", "), strings.Join(x.told[id], ", "))
		}
	}
}
