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
	// Limits are those that it would be held to, and how far they are used.
	Limits []Standing
}

// A Standing is a limit and how far it is used, without the session quoted.
type Standing struct {
	Limit
	// Live is how many sessions there are.
	Live int
	// Used is what of the budget is used, as [Account.Used] counts.
	Used instancetype.Money
	// SessionsLeft and BudgetLeft are what is left; zero also where the limit has
	// no such part.
	SessionsLeft int
	BudgetLeft   instancetype.Money
	// Refusal is the sentence that starting it would be refused by now; empty if
	// it would not.
	Refusal string
}

// Quote tells what a session would cost and what the limits say to it, before it is
// started. It decides as [Domain.Authorize] does, whose errors are its own, and
// reads the accounts. It changes nothing and reserves nothing: what is left now may
// be gone by the time of the start.
func (d *Domain) Quote(ctx context.Context, ask Ask) (Quote, error) {
	const op = "quote"
	grant, err := d.Authorize(ctx, ask)
	if err != nil {
		return Quote{}, err
	}
	q := Quote{Grant: grant}
	q.PerHour, q.PriceKnown = grant.PerHour("")
	q.Reserved = q.PerHour.Over(reservedFor)
	now := time.Now()
	uses := map[owner]use{}
	for _, l := range grant.Limits {
		o := owner{l.Scope, l.Name}
		u, read := uses[o]
		if !read {
			a, err := d.account(ctx, o)
			if err != nil {
				return Quote{}, fail(ctx, op, d.name+"/"+grant.User.Name, err)
			}
			u = a.use("", now)
			uses[o] = u
		}
		s := Standing{
			Limit: l, Live: u.live, Used: u.used,
			SessionsLeft: max(0, l.Sessions-u.live), BudgetLeft: max(0, l.Budget-u.used),
		}
		var wrong problems
		l.refuse(u, q.Reserved, &wrong)
		if err := errors.Join(wrong...); err != nil {
			s.Refusal = err.Error()
		}
		q.Limits = append(q.Limits, s)
	}
	return q, nil
}
