package session_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// leads is where each state may lead to by the documentation.
var leads = map[session.State][]session.State{
	"":                 {session.Pending},
	session.Pending:    {session.Starting, session.Running, session.Stopping, session.Stopped, session.Suspended, session.Suspending, session.Failed},
	session.Starting:   {session.Running, session.Stopping, session.Stopped, session.Suspended, session.Suspending, session.Failed},
	session.Running:    {session.Suspending, session.Suspended, session.Stopping, session.Stopped, session.Failed},
	session.Suspending: {session.Suspended, session.Running, session.Stopping, session.Failed},
	session.Suspended:  {session.Pending, session.Stopped},
	session.Stopping:   {session.Stopped, session.Failed},
	session.Stopped:    nil,
	session.Failed:     nil,
}

// resting are the states in which a session has no container, for certain.
var resting = []session.State{session.Suspended, session.Stopped}

// counts reports whether a session is one that limits count: it may have a container.
func counts(s session.State) bool {
	return !slices.Contains(resting, s) && s != session.Failed && s != ""
}

// saw takes in a session that was written a moment ago, and says what is wrong with
// that. No other can be written meanwhile.
func (x *model) saw(id session.ID) {
	s, err := x.observer.Get(context.Background(), id)
	x.mu.Lock()
	defer x.mu.Unlock()
	l := x.lives[id]
	if l == nil {
		l = &life{id: id}
		x.lives[id] = l
		x.ids = append(x.ids, id)
	}
	bad := func(format string, args ...any) {
		x.t.Errorf("operation %d: session %s.%d went from %q to %q: %s", x.number, id, s.Generation, l.now.State, s.State, fmt.Sprintf(format, args...))
	}
	if err != nil { // it was deleted
		if !l.now.State.Ended() || x.alive(id, l.now.Generation) {
			bad("it was deleted before it had ended")
		}
		l.gone = true
		return
	}
	if l.gone {
		bad("it was deleted before")
	}
	old := l.now
	defer func() { l.now = s }()
	if old.ID != "" && (s.Reference != old.Reference || s.User != old.User || s.Role != old.Role || s.Kind.Name != old.Kind.Name ||
		!slices.Equal(s.Projects, old.Projects) || !s.CreatedAt.Equal(old.CreatedAt)) {
		bad("it is another: %+v was %+v", s, old)
	}
	if !s.Last.At.Equal(old.Last.At) && s.Last.By == "somebody" {
		if w := x.wishes[s.Last.Why]; w == nil || w.id != id || w.op != s.Last.Op {
			bad("nobody gave the order %q to %s it", s.Last.Why, s.Last.Op)
		} else if w.obeyed++; w.obeyed > 1 {
			bad("the order %q is followed a second time", s.Last.Why)
		}
	}
	begins := s.Generation != old.Generation
	if begins && s.Generation > 1 && s.Last.At.Equal(old.Last.At) && old.Last.Op == "suspend" && s.Kind.Suspension != session.SavesState {
		bad("its user has asked for it to be suspended, and it goes on by itself")
	}
	if begins && (s.Generation != old.Generation+1 || s.State != session.Pending) {
		bad("generation %d became %d", old.Generation, s.Generation)
	}
	if s.State == old.State && !begins {
		x.charged(l, old, s)
		return
	}
	l.moves = append(l.moves, fmt.Sprintf("%s %s", old.State, s.State))
	l.during = append(l.during, s.State)
	if !slices.Contains(leads[old.State], s.State) {
		bad("the documentation knows no such way")
	}
	if (slices.Contains(resting, s.State) || begins && s.Generation > 1) && x.alive(id, old.Generation) {
		bad("its container lives")
	}
	if s.State == session.Suspending && old.State != session.Running && s.Generation == 1 && s.Last.Op != "suspend" {
		bad("it never ran, and nobody has withdrawn it")
	}
	if old.State == session.Suspending && s.State == session.Running && s.Kind.Suspension != session.SavesState {
		bad("it had nothing to save")
	}
	if s.State == session.Failed && (s.Reason == "" || s.Message == "" || s.Reason == launcher.ErrInterrupted) {
		bad("it failed for %q, %q", s.Reason, s.Message)
	}
	if transient := s.State == session.Pending || s.State == session.Starting || s.State == session.Suspending || s.State == session.Stopping; transient == s.Deadline.IsZero() {
		bad("its deadline is %v", s.Deadline)
	}
	x.timedOut(l, old, s, bad)
	if begins {
		x.begins(l, s, bad)
	}
	x.charged(l, old, s)
}

// begins is a generation that was recorded a moment ago: limits and budgets allow it.
func (x *model) begins(l *life, s session.Session, bad func(string, ...any)) {
	now := time.Now()
	p := x.users[s.User]
	l.begun, l.used, l.solid = now, now, now
	l.lab = slices.Contains(p.groups, "lab")
	l.since, l.mildest, l.inside = x.inForce(now)
	l.parted = false
	if w := x.wishes[s.Last.Why]; w != nil {
		l.clean = w.clean
	}
	if l.stopped {
		bad("a caller was told that it is stopped")
	}
	count := map[string]int{}
	used := map[string]int64{}
	month := now.UTC().Format("2006-01")
	add := func(l *life, rate int64, from time.Time, live bool) {
		var owners []string
		owners = append(owners, "user "+l.now.User)
		if l.lab {
			owners = append(owners, "lab")
		}
		if l.inside {
			owners = append(owners, "domain")
		}
		for _, o := range owners {
			count[o]++
			used[o] += max(rate, costs(rate, from, now, month)) // an hour at least
		}
	}
	for _, other := range x.lives {
		if other != l && !other.gone && counts(other.now.State) {
			add(other, int64(other.now.PerHour), other.begun, true)
		}
	}
	l.now = s
	add(l, int64(s.PerHour), now, true)
	for name, user := range x.users {
		used["user "+name] += user.spent[month]
	}
	over := func(of string, sessions int, budget instancetype.Money) {
		if sessions > 0 && count[of] > sessions {
			bad("%d sessions of %s, and %d are allowed", count[of], of, sessions)
		}
		if budget > 0 && used[of] > int64(budget) {
			bad("%s comes to %d, and the budget is %d", of, used[of], budget)
		}
	}
	m := l.mildest
	user := "user " + s.User
	over(user, m.all.SessionsPerUser, m.all.BudgetPerUser)
	if l.lab {
		over(user, m.lab.SessionsPerUser, m.lab.BudgetPerUser)
		over("lab", m.lab.Sessions, m.lab.Budget)
	}
	if l.inside {
		over("domain", m.all.Sessions, 0)
	}
}

// costs is what a session at a rate, in millionths of a dollar an hour, has come to
// in a month.
func costs(rate int64, from, to time.Time, month string) int64 {
	begin, _ := time.Parse("2006-01", month)
	end := begin.AddDate(0, 1, 0)
	until := func(t time.Time) int64 {
		if t.After(to) {
			t = to
		}
		return int64(domain.Cost(instancetype.Money(rate), from, t))
	}
	return until(end) - until(begin)
}

// charged checks what a session was charged when its generation had ended, and keeps
// the model's own books.
func (x *model) charged(l *life, old, s session.Session) {
	if s.Spent == old.Spent {
		return
	}
	end := s.EndedAt
	if end.IsZero() {
		end = s.Since
	}
	if want := domain.Cost(s.PerHour, s.StartedAt, end); s.Spent-old.Spent != want || counts(s.State) {
		x.t.Errorf("operation %d: session %s.%d, %s, is charged %v for %v to %v, want %v", x.number, l.id, s.Generation, s.State, s.Spent-old.Spent, s.StartedAt, end, want)
	}
	l.spent = int64(s.Spent)
	p := x.users[s.User]
	for month := s.StartedAt.UTC(); month.Before(end); month = time.Date(month.Year(), month.Month()+1, 1, 0, 0, 0, 0, time.UTC) {
		name := month.Format("2006-01")
		p.spent[name] += costs(int64(s.PerHour), s.StartedAt, end, name)
	}
}

// inForce returns the strictest and the mildest of what a decision that is recorded
// now may be under: a process may have been held up for a while since it decided.
func (x *model) inForce(now time.Time) (strict, mild ruling, inside bool) {
	const heldUp = 6 * time.Minute
	first := len(x.rules) - 1
	for first > 0 && x.rules[first].from.After(now.Add(-heldUp)) {
		first--
	}
	strict, mild = x.rules[first], x.rules[first]
	inside = limited(strict.all)
	for _, r := range x.rules[first+1:] {
		strict.all, strict.lab = stricter(strict.all, r.all), stricter(strict.lab, r.lab)
		mild.all, mild.lab = milder(mild.all, r.all), milder(mild.lab, r.lab)
		inside = inside && limited(r.all)
	}
	return strict, mild, inside
}

// limited reports whether sessions are counted in the domain's account.
func limited(p domain.Policy) bool { return p.Sessions != 0 || p.Budget != 0 }

// stricter and milder combine what two policies say of limits and of how long
// sessions run; zero is no limit.
func stricter(a, b domain.Policy) domain.Policy { return combine(a, b, less) }
func milder(a, b domain.Policy) domain.Policy   { return combine(a, b, more) }

func less(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func more(a, b int64) int64 {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}

func combine(a, b domain.Policy, pick func(a, b int64) int64) domain.Policy {
	return domain.Policy{
		Sessions:        int(pick(int64(a.Sessions), int64(b.Sessions))),
		SessionsPerUser: int(pick(int64(a.SessionsPerUser), int64(b.SessionsPerUser))),
		Budget:          instancetype.Money(pick(int64(a.Budget), int64(b.Budget))),
		BudgetPerUser:   instancetype.Money(pick(int64(a.BudgetPerUser), int64(b.BudgetPerUser))),
		MaxLifetime:     time.Duration(pick(int64(a.MaxLifetime), int64(b.MaxLifetime))),
		Idle:            idleAfter(time.Duration(pick(int64(shortest(a)), int64(shortest(b))))),
	}
}

func idleAfter(d time.Duration) []domain.IdleRule {
	if d == 0 {
		return nil
	}
	return []domain.IdleRule{{After: d}}
}

// shortest is the shortest time after which sessions are idle, or zero.
func shortest(p domain.Policy) (d time.Duration) {
	for _, r := range p.Idle {
		d = time.Duration(less(int64(d), int64(r.After)))
	}
	return d
}

// bounds are after how long without use and after how long at all a session ends.
func (l *life) bounds(r ruling) (idle, lifetime time.Duration) {
	idle, lifetime = shortest(r.all), r.all.MaxLifetime
	if l.lab {
		idle = time.Duration(less(int64(idle), int64(shortest(r.lab))))
		lifetime = time.Duration(less(int64(lifetime), int64(r.lab.MaxLifetime)))
	}
	if l.request.Kind.Suspension == session.NoSuspension {
		idle = 0
	}
	return idle, lifetime
}

// lastUse is when a session was last used, as far as callers have done so.
func (l *life) lastUse() time.Time {
	last := l.used
	for _, t := range []time.Time{l.now.StartedAt, l.begun} {
		if t.After(last) {
			last = t
		}
	}
	if l.now.Last.By != session.Itself && l.now.Last.At.After(last) {
		last = l.now.Last.At
	}
	return last
}

// timedOut checks that a session that the manager ends of itself is not ended early.
func (x *model) timedOut(l *life, old, s session.Session, bad func(string, ...any)) {
	if old.State != session.Running || s.Last.By != session.Itself || s.Last.At.Equal(old.Last.At) {
		return
	}
	l.parted = true
	now := time.Now()
	idle, lifetime := l.bounds(l.since)
	tooLong := lifetime > 0 && now.Sub(s.StartedAt) >= lifetime
	unused := idle > 0 && now.Sub(l.lastUse()) >= idle
	if !tooLong && !unused || old.KeptUntil.After(now) {
		bad("it timed out (%s); it began at %v, was last used at %v, is kept until %v and is under %v, %v", s.Last.Why, s.StartedAt, l.lastUse(), old.KeptUntil, idle, lifetime)
	}
	if old.Ends.At.IsZero() {
		bad("it timed out without a warning")
	}
}

// launched is a container that was not there before: of a generation that is wanted.
func (x *model) launched(w launcher.Workload) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := x.lives[session.ID(w.Labels["atelier.session"])]
	if l == nil || l.gone || containerOf(l.id, l.now.Generation) != w.ID || slices.Contains(resting, l.now.State) {
		x.t.Errorf("operation %d: %s is launched, and nobody wants it", x.number, w.ID)
	}
}
