package domain

import (
	"math"
	"math/bits"
	"time"

	"github.com/atelier-go/atelier/instancetype"
)

// Cost is what a session costs that ran from one time to another at a rate an
// hour: the rate for the seconds between, each time without its fraction of a
// second, rounded once to the nearest millionth of a dollar, halves up. It is
// zero for a zero from, which is of a session that never ran, and for a to that
// is not after from. What [instancetype.Money] cannot hold is cut to its largest
// value, and the time to 292 years.
//
// Time that is cut into parts has the same seconds, and each part is rounded: the
// costs of two parts differ from the cost of the whole by a millionth of a dollar
// at most. Accounts do not add up parts, so that they hold exactly this number.
func Cost(perHour instancetype.Money, from, to time.Time) instancetype.Money {
	if from.IsZero() || perHour <= 0 {
		return 0
	}
	return perHour.Over(max(0, time.Unix(to.Unix(), 0).Sub(time.Unix(from.Unix(), 0))))
}

// costIn is the part of Cost that falls into the month of a time, in UTC: what
// has come up to its end, less what had come up to its begin. So the parts of all
// months are Cost, to the last digit.
func costIn(month time.Time, perHour instancetype.Money, from, to time.Time) instancetype.Money {
	begin, end := monthOf(month)
	return Cost(perHour, from, earlier(to, end)) - Cost(perHour, from, earlier(to, begin))
}

// monthOf is when the month of a time begins in UTC, and when the next one does.
func monthOf(t time.Time) (begin, end time.Time) {
	t = t.UTC()
	begin = time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	return begin, begin.AddDate(0, 1, 0)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// monthName is how accounts call the month of a time: "2026-11".
func monthName(t time.Time) string { return t.UTC().Format("2006-01") }

// plus adds amounts that are not negative; a sum that Money cannot hold is its
// largest value, and not a debt.
func plus(a, b instancetype.Money) instancetype.Money {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// PerHour is what the session costs an hour on a host of a type: the price of the
// type, or of it the part of a host's room that the session has. That part is the
// largest of its parts of the CPUs, of the memory for sessions and of the GPUs,
// and all of the host without a Size or with [Exclusive]; it is rounded up to a
// millionth of a dollar. What nobody has of a shared host is charged to nobody.
//
// It is the list price on demand, also on a spot host: there it is an upper bound
// of what AWS charges. Volumes, traffic and the file system are not in it.
//
// The type is one of the grant's, by its EC2 name. Empty is the dearest of them:
// what starting reserves, as only the launcher knows which it will be. The rate is
// zero and known is false for a type that is none of the grant's, whose price is
// not known or, with empty, if the price of any of them is not known.
func (g Grant) PerHour(typ string) (rate instancetype.Money, known bool) {
	for _, o := range append([]instancetype.Offer{{Type: g.Type, Price: g.PricePerHour, Priced: g.PriceKnown}}, g.Alternatives...) {
		if typ != "" && typ != o.Type.Name {
			continue
		}
		if !o.Priced {
			return 0, false
		}
		rate, known = max(rate, g.partOf(o)), true
	}
	return rate, known
}

// partOf is what g's part of a host costs an hour.
func (g Grant) partOf(o instancetype.Offer) instancetype.Money {
	price := o.Price.PerHour
	if g.Size == (Size{}) || g.Sharing == Exclusive {
		return price
	}
	return max(
		part(price, g.Size.MilliCPU, int64(o.Type.VCPUs)*1000),
		part(price, g.Size.MemoryMiB, o.Type.UsableMemoryMiB()),
		part(price, g.Size.GPUs, int64(o.Type.GPUs)),
	)
}

// part is what some of a room costs, rounded up. More than there is, is all.
func part(price instancetype.Money, some, room int64) instancetype.Money {
	switch {
	case some <= 0 || price <= 0:
		return 0
	case some >= room:
		return price
	}
	hi, lo := bits.Mul64(uint64(price), uint64(some))
	q, rest := bits.Div64(hi, lo, uint64(room)) // hi < some < room
	if rest > 0 {
		q++
	}
	return instancetype.Money(q)
}
