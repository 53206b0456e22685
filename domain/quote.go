package domain

import (
	"context"
	"errors"
	"time"

	"github.com/atelier-go/atelier/instancetype"
)

// A Quote is what a session would cost, and whether limits would let it start.
type Quote struct {
	// Grant is what policies allow.
	Grant Grant
	// PerHour is the rate on the dearest of its types, if PriceKnown; see
	// [Grant.PerHour] for that of each.
	PerHour    instancetype.Money
	PriceKnown bool
	// Reserved is what starting it would take of each budget at once: an hour. It
	// is zero if the price is not known.
	Reserved instancetype.Money
	// Limits are those that it would be held to, and how far they are used, in the
	// order of the grant's.
	Limits []Standing
}

// A Standing is a limit and how far it is used, without the session quoted.
type Standing struct {
	Limit
	// Live is how many sessions there are.
	Live int
	// Used is what of the budget is used, as [Account.Used] counts.
	Used instancetype.Money
	// Refusal is the sentence that starting it would be refused by now; empty if
	// it would not.
	Refusal string
}

// SessionsLeft is how many more sessions may start now. With limited false the limit
// sets no number, and n is zero.
func (s Standing) SessionsLeft() (n int, limited bool) {
	return max(0, s.Sessions-s.Live), s.Sessions != 0
}

// BudgetLeft is what of this month's budget is left. With limited false the limit sets
// none, and left is zero.
func (s Standing) BudgetLeft() (left instancetype.Money, limited bool) {
	return max(0, s.Budget-s.Used), s.Budget != 0
}

// Quote tells what a session would cost and what the limits say to it, before it is
// started. It decides as [Domain.Authorize] does, whose errors are its own, and
// reads the accounts. It changes nothing and reserves nothing: what is left now may
// be gone by the time of the start.
func (d *Domain) Quote(ctx context.Context, ask Ask) (Quote, error) {
	return d.quote(ctx, ask, "", nil)
}

// QuoteResume is Quote for a session that goes on: ask has its earlier grant, and key
// is the one that the resume would reserve by. What that key holds already, as when
// an earlier try was cut short, is the session's own: it is not counted as use, and
// refuses nothing that costs no more. What before says of the session's last run,
// unless it is nil, counts as settled, whether or not it is. A key or settlement that
// makes no sense is [ErrInvalid].
func (d *Domain) QuoteResume(ctx context.Context, ask Ask, key string, before *Settlement) (Quote, error) {
	const op = "quote"
	var wrong problems
	wrong.add("key", ErrInvalid, checkKey(key))
	if before != nil {
		wrong.addNew(before.problems(d.name))
	}
	if err := wrong.err(op, d.name+"/"+printable(ask.User)); err != nil {
		return Quote{}, err
	}
	return d.quote(ctx, ask, key, before)
}

func (d *Domain) quote(ctx context.Context, ask Ask, key string, before *Settlement) (Quote, error) {
	const op = "quote"
	grant, err := d.Authorize(ctx, ask)
	if err != nil {
		return Quote{}, err
	}
	q := Quote{Grant: grant}
	q.PerHour, q.PriceKnown = grant.PerHour("")
	q.Reserved = q.PerHour.Over(reservedFor)
	now := time.Now()
	h := Reservation{Grant: grant, At: now, For: reservedFor}.hold()
	accounts := map[owner]account{}
	for _, l := range grant.Limits {
		o := owner{l.Scope, l.Name}
		a, read := accounts[o]
		if !read {
			if a, err = d.account(ctx, o); err != nil {
				return Quote{}, fail(ctx, op, d.name+"/"+grant.User.Name, err)
			}
			if before != nil {
				_ = a.settle(*before) // in this copy of it; one without the key stays as it is
			}
			accounts[o] = a
		}
		u := a.use(key, now)
		s := Standing{Limit: l, Live: u.live, Used: u.used}
		var wrong problems
		if a.asks(key, h) {
			l.refuse(u, q.Reserved, &wrong)
		}
		if err := errors.Join(wrong...); err != nil {
			s.Refusal = err.Error()
		}
		q.Limits = append(q.Limits, s)
	}
	return q, nil
}
