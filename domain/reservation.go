package domain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/instancetype"
)

const (
	// reservedFor is what a reservation is for at least, unless it says.
	reservedFor = time.Hour
	// maxReservedFor is the longest.
	maxReservedFor = 366 * 24 * time.Hour
	// reserveWithin is how old, or how far ahead by another's clock, the decision
	// to start may be when it is reserved. Whoever was held up for longer, a
	// suspended machine for one, does not know what happened meanwhile.
	reserveWithin = 5 * time.Minute
	// doneFor is how long a settled key is remembered: longer than anyone who
	// decided to start it before it was settled may take to reserve it.
	doneFor = 2 * reserveWithin
	// minSweepAge is the least age of what a sweep removes: a hold may bear a time
	// of reserveWithin before it was written, and the session is recorded after.
	minSweepAge = 2 * reserveWithin
)

// A Reservation is what a session that is to start takes of the limits it is under.
type Reservation struct {
	// Key names the session and makes the reservation safe to repeat, in the
	// domain and for ever: 1 to 32 of a-z, 0-9, hyphen and dot. What is started
	// again, as by a resume, has another. Required.
	Key string
	// Grant is what [Domain.Authorize] allowed: it has the limits, the user, group
	// and project, and by PerHour("") the rate. Required.
	Grant Grant
	// At is when it was decided to start, five minutes ago at most. Zero is now.
	At time.Time
	// For is how long it is to run at least: it starts only if that is left of
	// every budget. Zero is an hour; at most 366 days.
	For time.Duration
}

func (q Reservation) problems(domain string) problems {
	wrong := grantProblems(domain, q.Key, q.Grant)
	if q.For < 0 || q.For > maxReservedFor {
		wrong.add("for", ErrInvalid, fmt.Errorf("reservation for %v: want at most %v, or 0 for %v", q.For, maxReservedFor, reservedFor))
	}
	_, known := q.Grant.PerHour("")
	for _, l := range q.Grant.Limits {
		if l.Budget != 0 && !known {
			wrong.add("budget", ErrNotAllowed, fmt.Errorf("the grant is without a price and cannot be held to the budget of %s; authorize anew", l.Rule))
		}
	}
	return wrong
}

// grantProblems is what is wrong with a key and the grant it is used with.
func grantProblems(domain, key string, g Grant) problems {
	var wrong problems
	wrong.add("key", ErrInvalid, checkKey(key))
	if g.Domain != domain {
		wrong.add("grant", ErrInvalid, fmt.Errorf("the grant is of domain %s", printable(g.Domain)))
	}
	for _, o := range g.owners() {
		wrong.add("grant", ErrInvalid, o.check())
	}
	return wrong
}

// stale reports that q was decided too long ago, or nil. It does not ask the clock
// of time.Since, which may stand still while a machine is suspended.
func (q Reservation) stale(now time.Time) error {
	if apart := time.Duration(now.Unix()-q.At.Unix()) * time.Second; apart.Abs() <= reserveWithin {
		return nil
	}
	return fmt.Errorf("it was decided at %s to start this, and it is %s: more than %v apart; ask again",
		q.At.UTC().Format(time.TimeOnly), now.UTC().Format(time.TimeOnly), reserveWithin)
}

// hold is what is written for q.
func (q Reservation) hold() hold {
	rate, _ := q.Grant.PerHour("")
	return hold{At: q.At.Unix(), Rate: rate, For: int64((q.For + time.Second - 1) / time.Second)}
}

// Reserve has a session that is to start counted, if every limit of its grant
// leaves room for it: one session more at one time, and for each budget what it
// costs in the time it is reserved for, at the rate of the dearest of its types.
// Each account is looked at and written in one step, so that limits hold whatever
// else starts at the same time, also in other processes. Those in one process
// take turns. What is reserved counts until it is settled or released; see
// [Account.Used].
//
// It is idempotent by the key, and may be called for one key at the same time. What
// is reserved already is not counted twice, and checked again only if it is to cost
// more than then; what has been settled is left so, and the answer is nil.
//
// A refusal is [ErrLimit] for the number of sessions, also if an account holds 2,000,
// which is as many as it can, and [ErrBudget] for money. It names the rule, the
// limit, how far it is used, how much of that by sessions that run, and what to do.
// It is that of the first account that refuses; [Domain.Quote] tells of all. What
// this call has reserved in other accounts is then taken back. If that fails, and
// after any other error or a crash, there may be reservations: repeat the call,
// Release, or leave them to [Domain.Sweep]. A decision that has become too
// old is [ErrConflict]; what makes no sense [ErrInvalid].
func (d *Domain) Reserve(ctx context.Context, q Reservation) error {
	const op = "reserve"
	name := d.name + "/" + printable(q.Grant.User.Name)
	if err := q.problems(d.name).err(op, name); err != nil {
		return err
	}
	if q.At.IsZero() {
		q.At = time.Now()
	}
	if q.For == 0 {
		q.For = reservedFor
	}
	var wrong problems
	wrong.add("at", ErrConflict, q.stale(time.Now()))
	if err := wrong.err(op, name); err != nil {
		return err
	}
	h := q.hold()
	h.By = callName()
	for n, o := range q.Grant.owners() {
		err := d.openAccount(ctx, o, func(a *account) error {
			return a.reserve(q, h, name)
		})
		if err != nil {
			d.takeBack(ctx, q.Key, q.Grant.owners()[:n+1], h.By)
			return fail(ctx, op, name, err)
		}
	}
	return nil
}

// reserve adds a hold, or says what is against it.
func (a *account) reserve(q Reservation, h hold, name string) error {
	if _, done := a.Done[q.Key]; done {
		return store.ErrUnchanged
	}
	var wrong problems
	now := time.Now()
	wrong.add("at", ErrConflict, q.stale(now))
	asks := a.asks(q.Key, h)
	if before, there := a.Live[q.Key]; there {
		h = hold{At: max(before.At, h.At), Rate: max(before.Rate, h.Rate), For: max(before.For, h.For), By: before.join(h.By)}
	}
	if asks {
		u := a.use(q.Key, now)
		for _, l := range q.Grant.Limits {
			if (owner{l.Scope, l.Name}) == u.of {
				l.refuse(u, h.reserved(), &wrong)
			}
		}
		if u.live >= maxSessions && len(wrong) == 0 {
			wrong.add("sessions", ErrLimit, fmt.Errorf("%v: %d sessions at one time, as many as one account can hold, and this would be one more; wait until one ends", u.of, u.live))
		}
	}
	if err := wrong.err("reserve", name); err != nil {
		return err
	}
	if a.Live == nil {
		a.Live = map[string]hold{}
	}
	a.Live[q.Key] = h
	a.tidy(now)
	return nil
}

// asks reports whether a hold takes more than its key has, so that limits have to
// leave room for it.
func (a account) asks(key string, h hold) bool {
	before, there := a.Live[key]
	return !there || h.Rate > before.Rate || h.For > before.For
}

// takeBack takes a call of Reserve off what it reserved, and removes that if no other
// call relies on it. What it cannot remove a sweep does.
func (d *Domain) takeBack(ctx context.Context, key string, from []owner, call string) {
	for _, o := range from {
		err := d.book(ctx, o, func(a *account) error {
			h, before := a.Live[key], a.Live[key].By
			switch others := h.leave(call); {
			case h.By == before:
				return store.ErrUnchanged
			case others:
				a.Live[key] = h
			default:
				delete(a.Live, key)
			}
			return nil
		})
		if err != nil {
			d.client.log.WarnContext(ctx, "reservation not taken back", "domain", d.name, "account", o.String(), "key", key, "error", err)
		}
	}
}

// Release ends a reservation that came to nothing: it costs nothing. The grant is
// the one it was reserved by. It is idempotent, and the key may be reserved again.
// Call it only if there is no session of the key and will be none: another call that
// started it may have relied on the same reservation.
func (d *Domain) Release(ctx context.Context, key string, g Grant) error {
	const op = "release"
	name := d.name + "/" + printable(g.User.Name)
	if err := grantProblems(d.name, key, g).err(op, name); err != nil {
		return err
	}
	for _, o := range g.owners() {
		err := d.book(ctx, o, func(a *account) error {
			if _, there := a.Live[key]; !there {
				return store.ErrUnchanged
			}
			delete(a.Live, key)
			return nil
		})
		if err != nil {
			return fail(ctx, op, name, err)
		}
	}
	return nil
}

// A Settlement is what a session came to.
type Settlement struct {
	// Key and Grant are those it was reserved by. Required.
	Key   string
	Grant Grant
	// PerHour is its rate on the host it had, as [Grant.PerHour] tells. Zero is
	// unknown, and costs nothing.
	PerHour instancetype.Money
	// From and To are when it began to run and when it ended. A zero From is that
	// it never ran, and costs nothing.
	From, To time.Time
}

func (s Settlement) problems(domain string) problems {
	wrong := grantProblems(domain, s.Key, s.Grant)
	if s.PerHour < 0 {
		wrong.add("rate", ErrInvalid, fmt.Errorf("rate of %v an hour may not be negative", s.PerHour))
	}
	return wrong
}

// Settle ends the reservation of a session that has ended, and charges each of its
// accounts with what it cost, which it returns: the Cost of its time, each month's
// part in that month. So what is settled of all users is the sum of the Cost of
// their sessions.
//
// It is idempotent by the key: an account is charged in the one write that removes
// the reservation. Without one nothing is charged, and the cost is returned all the
// same. After an error repeat it. What makes no sense is [ErrInvalid]; no limit
// refuses it.
func (d *Domain) Settle(ctx context.Context, s Settlement) (instancetype.Money, error) {
	const op = "settle"
	name := d.name + "/" + printable(s.Grant.User.Name)
	if err := s.problems(d.name).err(op, name); err != nil {
		return 0, err
	}
	for _, o := range s.Grant.owners() {
		if err := d.book(ctx, o, func(a *account) error { return a.settle(s) }); err != nil {
			return 0, fail(ctx, op, name, err)
		}
	}
	return Cost(s.PerHour, s.From, s.To), nil
}

// settle replaces a hold by what its session cost.
func (a *account) settle(s Settlement) error {
	if _, there := a.Live[s.Key]; !there {
		return store.ErrUnchanged
	}
	delete(a.Live, s.Key)
	if a.Settled == nil {
		a.Settled = map[string]instancetype.Money{}
	}
	for month, _ := monthOf(s.From); month.Before(s.To); month = month.AddDate(0, 1, 0) {
		if cost := costIn(month, s.PerHour, s.From, s.To); cost != 0 {
			a.Settled[monthName(month)] = plus(a.Settled[monthName(month)], cost)
		}
	}
	if a.Done == nil {
		a.Done = map[string]int64{}
	}
	now := time.Now()
	a.Done[s.Key] = now.Unix()
	a.tidy(now)
	return nil
}

// Sweep ends reservations that are nobody's, at no cost, and returns how many: what
// a process left that ended between Reserve and the record of the session. It asks
// about each that is older than an age, ten minutes at least.
//
// The function grant returns by what grant the session of a key runs, and whether
// there is one: true until it is settled or released. It has to know every session
// that was recorded a minute before, and whoever reserves has to record the session
// within four. Its error ends the sweep, but for [store.ErrCorrupt], by which that one
// is left. A reservation in an account that the grant does not charge, left by
// an earlier grant for the same key, is nobody's, too. Sweeps may run at the same
// time, and beside everything else. After an error, repeat it.
func (d *Domain) Sweep(ctx context.Context, olderThan time.Duration, grant func(key string) (Grant, bool, error)) (ended int, err error) {
	const op = "sweep"
	if olderThan < minSweepAge {
		return 0, &Error{Op: op, Name: d.name, Kind: ErrInvalid, Err: fmt.Errorf("reservations older than %v: want at least %v, as others may still be recording their sessions", olderThan, minSweepAge)}
	}
	for a, err := range d.accounts().All(ctx) {
		if err != nil {
			return ended, fail(ctx, op, d.name, err)
		}
		o, left := owner{a.Scope, a.Name}, map[string]hold{}
		for key, h := range a.Live {
			if time.Since(time.Unix(h.At, 0)) <= olderThan {
				continue
			}
			g, live, err := grant(key)
			if errors.Is(err, store.ErrCorrupt) {
				continue // whose session cannot be read may live
			}
			if err != nil {
				return ended, fail(ctx, op, d.name, err)
			}
			if !live || !slices.Contains(g.owners(), o) {
				left[key] = h
			}
		}
		if len(left) == 0 {
			continue
		}
		n := 0
		err = d.book(ctx, o, func(a *account) error {
			n = 0
			for key, h := range left {
				if a.Live[key] == h { // and nobody relies on it since
					delete(a.Live, key)
					n++
				}
			}
			if n == 0 {
				return store.ErrUnchanged
			}
			return nil
		})
		if err != nil {
			return ended, fail(ctx, op, d.name, err)
		}
		ended += n
		d.client.log.InfoContext(ctx, "reservations swept", "domain", d.name, "account", o.String(), "ended", n)
	}
	return ended, nil
}
