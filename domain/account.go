package domain

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/instancetype"
)

// An Account is what the sessions of a user, group, project or domain cost, and
// those of them that are live. It is a copy of a record, as it was read.
//
// Every user who started a session has one, and every group and project that was
// charged. The
// domain has one since a session started while the domain's policy set Sessions or
// Budget: those two count what was started since they were set, and not what ran or
// was settled before. Accounts are kept when a project or the domain is deleted, as
// users are.
type Account struct {
	// Scope and Name say whose it is.
	Scope Scope
	Name  string
	// Settled is what sessions that ended cost, by the month in UTC ("2026-11"),
	// of this month and the twelve before it. A session that ran over the end of a
	// month is in both.
	Settled map[string]instancetype.Money
	// Live are the sessions that are started and not settled, in the order of
	// their keys.
	Live []Hold
}

// A Hold is the reservation of a session that is live.
type Hold struct {
	// Key names the session, as it was given to [Domain.Reserve].
	Key string
	// PerHour is the most it costs an hour. Zero if that is not known.
	PerHour instancetype.Money
	// Since is when it was last decided to start it, to the second, from when on
	// it counts.
	Since time.Time
	// Reserved is what it counts at least, in each month that it is live in.
	Reserved instancetype.Money
}

// Accrued is what the session would cost this month, in UTC, if it ended now and
// had run since it was reserved. What is settled may be less: by the time before
// it ran, and if its host was not of the dearest type.
func (h Hold) Accrued(now time.Time) instancetype.Money { return costIn(now, h.PerHour, h.Since, now) }

// Spent is what this month, in UTC, would cost if every session ended now: what is
// settled and what has accrued.
func (a Account) Spent(now time.Time) instancetype.Money {
	spent := a.Settled[monthName(now)]
	for _, h := range a.Live {
		spent = plus(spent, h.Accrued(now))
	}
	return spent
}

// Used is what a budget is held against when a session is to start: what is settled
// this month, in UTC, and for each live session what is reserved or, once that is
// more, what has accrued. It grows by itself with the time that sessions run.
func (a Account) Used(now time.Time) instancetype.Money {
	used, _ := a.used(now)
	return used
}

// used also returns the part of the live sessions.
func (a Account) used(now time.Time) (used, running instancetype.Money) {
	for _, h := range a.Live {
		running = plus(running, max(h.Reserved, h.Accrued(now)))
	}
	return plus(a.Settled[monthName(now)], running), running
}

// Left is what of a limit's budget a session that starts now may reserve; zero if
// nothing is left, and for a limit without a budget.
func (a Account) Left(l Limit, now time.Time) instancetype.Money { return max(0, l.Budget-a.Used(now)) }

// Over reports whether more is Spent this month than a limit's budget. That is what
// sessions come to that run on after they were reserved for; what is only reserved
// takes no budget over its end. It is false for a limit without a budget.
func (a Account) Over(l Limit, now time.Time) bool { return l.Budget != 0 && a.Spent(now) > l.Budget }

// An owner is whose account is meant.
type owner struct {
	scope Scope
	name  string
}

// String formats o as "user alice".
func (o owner) String() string { return string(o.scope) + " " + o.name }

// id is that of its record.
func (o owner) id() string { return string(o.scope) + "/" + o.name }

func (o owner) check() error {
	if !slices.Contains([]Scope{ScopeUser, ScopeGroup, ScopeProject, ScopeDomain}, o.scope) {
		return fmt.Errorf("scope %.40q: want %q, %q, %q or %q", o.scope, ScopeUser, ScopeGroup, ScopeProject, ScopeDomain)
	}
	return CheckName(string(o.scope), o.name)
}

// owners are those whose accounts a session of g is in: the user, the project and the
// group it is charged to, and everyone whom a limit is for. Those of the most sessions
// come last.
func (g Grant) owners() []owner {
	found := []owner{{ScopeUser, g.User.Name}}
	if g.ChargeTo != "" {
		found = append(found, owner{ScopeProject, g.ChargeTo})
	}
	if g.Group != "" {
		found = append(found, owner{ScopeGroup, g.Group})
	}
	for _, l := range g.Limits {
		if o := (owner{l.Scope, l.Name}); !slices.Contains(found, o) {
			found = append(found, o)
		}
	}
	return found
}

func accountsCollection(domain string) string { return "domains/" + domain + "/accounts" }

func (d *Domain) accounts() store.Table[account] {
	return store.NewTable[account](d.client.store, accountsCollection(d.name))
}

// account is an Account as it is stored. Names are short and times are seconds
// since 1970, as there may be many holds.
type account struct {
	Scope   Scope
	Name    string
	Settled map[string]instancetype.Money `json:",omitempty"`
	Live    map[string]hold               `json:",omitempty"`
	// Done has the keys that were settled of late, and when: what was on its way
	// to reserve them must not do so any more.
	Done map[string]int64 `json:",omitempty"`
}

// hold is a Hold as it is stored.
type hold struct {
	At   int64              `json:"at"`
	Rate instancetype.Money `json:"rate,omitempty"` // an hour
	For  int64              `json:"for,omitempty"`  // seconds
	// By are the calls of Reserve that rely on it, as words, or many. Each that is
	// refused elsewhere takes itself off, and the last takes the hold with it.
	By string `json:"by"`
}

// many stands for more calls than are told apart: none takes the hold back.
const many, maxCalls = "*", 3

// callName returns a name for a call of Reserve.
func callName() string { return rand.Text()[:6] }

// join adds a call to those that rely on h.
func (h hold) join(call string) string {
	calls := append(strings.Fields(h.By), call)
	if h.By == many || len(calls) > maxCalls {
		return many
	}
	return strings.Join(calls, " ")
}

// leave takes a call off. It reports whether that left any.
func (h *hold) leave(call string) (others bool) {
	calls := slices.DeleteFunc(strings.Fields(h.By), func(c string) bool { return c == call })
	h.By = strings.Join(calls, " ")
	return len(calls) > 0
}

func (h hold) reserved() instancetype.Money {
	return h.Rate.Over(time.Duration(h.For) * time.Second)
}

// The sizes of an account, in bytes of JSON. The longest hold has a key of maxKey,
// the largest numbers and a comma; a test makes an account of them.
const (
	maxKey       = 32
	maxHoldBytes = 123
	maxDoneBytes = 46
	// spareBytes are for names, months, and what later versions put beside them.
	spareBytes = 8 << 10
	// keptMonths is for how many months settled amounts are kept, this one included.
	keptMonths = 13
)

// tidy drops what an account need not keep any longer. It makes room for the
// settlements of every session that is live: keys that were settled go first.
func (a *account) tidy(now time.Time) {
	oldest, _ := monthOf(now)
	oldest = oldest.AddDate(0, 1-keptMonths, 0)
	maps.DeleteFunc(a.Settled, func(month string, _ instancetype.Money) bool { return month < monthName(oldest) })
	maps.DeleteFunc(a.Done, func(_ string, at int64) bool { return at < now.Add(-doneFor).Unix() })
	room := (store.MaxValue - spareBytes - len(a.Live)*maxHoldBytes) / maxDoneBytes
	if len(a.Done) <= room {
		return
	}
	keys := slices.SortedFunc(maps.Keys(a.Done), func(k, l string) int { // the latest first
		return cmp.Or(cmp.Compare(a.Done[l], a.Done[k]), strings.Compare(k, l))
	})
	for _, key := range keys[max(0, room):] {
		delete(a.Done, key)
	}
}

// public is a as callers see it.
func (a account) public() Account {
	p := Account{Scope: a.Scope, Name: a.Name, Settled: a.Settled}
	for _, key := range slices.Sorted(maps.Keys(a.Live)) {
		h := a.Live[key]
		p.Live = append(p.Live, Hold{Key: key, PerHour: h.Rate, Since: time.Unix(h.At, 0).UTC(), Reserved: h.reserved()})
	}
	return p
}

// use is how far a is used, but for what a key holds.
func (a account) use(key string, now time.Time) use {
	p := a.public()
	p.Live = slices.DeleteFunc(p.Live, func(h Hold) bool { return h.Key == key })
	u := use{of: owner{a.Scope, a.Name}, at: now, live: len(p.Live)}
	u.used, u.running = p.used(now)
	return u
}

// Account returns the account of a user, group, project or domain. One that no
// session was charged to has nothing in it. A scope or name that makes no sense is
// [ErrInvalid].
func (d *Domain) Account(ctx context.Context, scope Scope, name string) (Account, error) {
	const op = "account"
	o := owner{scope, name}
	if err := o.check(); err != nil {
		return Account{}, &Error{Op: op, Name: d.name + "/" + printable(name), Kind: ErrInvalid, Err: err}
	}
	a, err := d.account(ctx, o)
	return a.public(), fail(ctx, op, d.name+"/"+name, err)
}

// account reads an account; there need not be one.
func (d *Domain) account(ctx context.Context, o owner) (account, error) {
	a, err := d.accounts().Get(ctx, o.id())
	if errors.Is(err, store.ErrNotFound) {
		return account{Scope: o.scope, Name: o.name}, nil
	}
	return a, err
}

// Accounts yields every account of the domain, in the order of scopes and names.
// It is complete or ends with an error.
func (d *Domain) Accounts(ctx context.Context) iter.Seq2[Account, error] {
	return func(yield func(Account, error) bool) {
		for a, err := range d.accounts().All(ctx) {
			if !yield(a.public(), fail(ctx, "accounts", d.name, err)) || err != nil {
				return
			}
		}
	}
}

// book changes an account, if there is one. The callers of one process do so one
// after another: if they all tried at once, all but one would have to try again.
func (d *Domain) book(ctx context.Context, o owner, change func(*account) error) error {
	done, err := d.client.turns.take(ctx, d.name+"/"+o.id())
	if err != nil {
		return err
	}
	defer done()
	_, err = d.accounts().Update(ctx, o.id(), change)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// openAccount is book for an account that need not be there yet.
func (d *Domain) openAccount(ctx context.Context, o owner, change func(*account) error) error {
	opened := false
	err := d.book(ctx, o, func(a *account) error {
		opened = true
		return change(a)
	})
	if err != nil || opened {
		return err
	}
	err = d.accounts().Create(ctx, o.id(), account{Scope: o.scope, Name: o.name})
	if err != nil && !errors.Is(err, store.ErrConflict) { // another was faster
		return err
	}
	return d.book(ctx, o, change)
}

// checkKey reports what is wrong with the key of a session, or nil.
func checkKey(key string) error {
	if key == "" || len(key) > maxKey || strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
		return fmt.Errorf("key %.60q: want 1 to %d of a-z, 0-9, hyphen and dot", key, maxKey)
	}
	return nil
}
