package session

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/instancetype"
)

// A session is reserved in the domain's accounts before its generation is recorded,
// and settled there when the generation's container has ended for certain, before it
// is at rest. Both are idempotent by the generation's key: whoever crashes between,
// the next one finishes it, and what came to nothing is swept.

// key names a generation in the domain's accounts.
func key(id ID, generation int) string { return fmt.Sprintf("%s.%d", id, generation) }

// generationOf is key read backwards.
func generationOf(key string) (id ID, generation int, ok bool) {
	name, number, ok := strings.Cut(key, ".")
	generation, err := strconv.Atoi(number)
	return ID(name), generation, ok && err == nil
}

// reserve has a generation counted that is to be recorded, if the limits of its
// grant leave room for it.
func (m *Manager) reserve(ctx context.Context, id ID, generation int, g domain.Grant, now time.Time) error {
	return m.domain.Reserve(ctx, domain.Reservation{Key: key(id, generation), Grant: g, At: now})
}

// charged reports whether what the present generation cost is settled.
func (r record) charged() bool { return r.Charged == r.Generation || !r.Deleted.IsZero() }

// rate is what the session costs an hour on the host that it has.
func (r record) rate() instancetype.Money {
	rate, known := r.Grant.PerHour(r.Type)
	if !known { // a launcher that has types of its own
		rate, _ = r.Grant.PerHour("")
	}
	return rate
}

// settlement is what the present generation, which is at rest, has come to.
func (r record) settlement() domain.Settlement {
	end := r.Ended
	if end.IsZero() {
		end = r.Since
	}
	return domain.Settlement{Key: key(r.ID, r.Generation), Grant: r.Grant, PerHour: r.rate(), From: r.Started, To: end}
}

// charge settles what the present generation, which is at rest, has cost.
func (m *Manager) charge(ctx context.Context, r record) (record, error) {
	cost, err := m.domain.Settle(ctx, r.settlement())
	if err != nil {
		return r, err
	}
	next, err := m.advance(ctx, r, func(r *record) {
		r.Charged = r.Generation
		r.Spent += cost
	})
	if err == nil {
		m.telemetry.charged(ctx, r, cost)
	}
	return next, err
}

// settle charges a session that is at rest if it is not charged, on behalf of a
// caller who goes on with it.
func (m *Manager) settle(ctx context.Context, op string, r record) (record, error) {
	for r.still() && !r.charged() {
		next, err := m.charge(ctx, r)
		if errors.Is(err, errStale) {
			next, err = m.find(ctx, op, r.ID)
		}
		if err != nil {
			return r, fail(ctx, op, r.ID, err)
		}
		r = next
	}
	return r, nil
}

// sweepAccounts ends reservations of generations that were never recorded.
func (m *Manager) sweepAccounts(ctx context.Context) error {
	_, err := m.domain.Sweep(ctx, abandonedAfter, func(k string) (domain.Grant, bool, error) {
		id, generation, ok := generationOf(k)
		if !ok {
			return domain.Grant{}, false, nil
		}
		owes := func(r record) bool { return r.Generation == generation && !r.charged() }
		if known, ok := m.hub.Get(id); ok && owes(*known) {
			return known.Grant, true, nil
		}
		r, err := m.records.Get(ctx, string(id))
		if errors.Is(err, store.ErrNotFound) {
			return domain.Grant{}, false, nil
		}
		return r.Grant, owes(r), err
	})
	return err
}

// Quote tells what a session of q would cost, and what limits say to it, before it is
// started. It decides as [Manager.Start] does, and changes nothing; q needs no ID. It
// reads the store and needs no Run.
func (m *Manager) Quote(ctx context.Context, q StartRequest) (domain.Quote, error) {
	quote, err := m.domain.Quote(ctx, q.ask())
	return quote, fail(ctx, "quote", q.ID, err)
}

// QuoteResume tells what a session would cost once it is resumed on what q asks for,
// and what limits say to it. It decides as [Manager.Resume] does, [ErrState] included,
// and changes nothing: what the session's last run cost counts as settled, whether or
// not that has been done. Nobody orders anything: q's Order is not looked at. Of a
// session that is starting or running on what is asked for, which Resume returns as it
// is, the quote is what it has, with nothing to reserve and no limits. It reads the
// store and needs no Run.
func (m *Manager) QuoteResume(ctx context.Context, id ID, q ResumeRequest) (domain.Quote, error) {
	const op = "quote resume"
	r, err := m.find(ctx, op, id)
	if err != nil {
		return domain.Quote{}, err
	}
	switch err := m.resumable(r, q); {
	case errors.Is(err, store.ErrUnchanged):
		quote := domain.Quote{Grant: r.Grant}
		quote.PerHour, quote.PriceKnown = r.Grant.PerHour("")
		return quote, nil
	case err != nil:
		return domain.Quote{}, fail(ctx, op, id, err)
	}
	var before *domain.Settlement
	if r.still() && !r.charged() {
		before = new(r.settlement())
	}
	quote, err := m.domain.QuoteResume(ctx, q.ask(r), key(id, r.Generation+1), before)
	if err != nil {
		return domain.Quote{}, fail(ctx, op, id, err)
	}
	if problems := m.roleProblems(quote.Grant.Role); problems != nil {
		return domain.Quote{}, &Error{Op: op, ID: id, Kind: ErrInvalid, Err: errors.Join(problems...)}
	}
	return quote, nil
}
