package session

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// An Order is what goes with everything that is asked for a session: who asks,
// why, and a name by which the asking can be repeated. The zero value is
// nobody in particular, for no reason that is told.
type Order struct {
	// ID names this one asking, for a caller that repeats it when the answer got
	// lost: an order with the ID of one that the session has followed already
	// changes nothing, whatever has been asked since; one to do something else is
	// [ErrConflict]. Any text of at most 64
	// bytes that no other asking has, such as that of [NewID]. The last 20 of a
	// session are remembered. Empty is an order that is obeyed each time.
	ID string
	// By is who asks, for [Session.Last] and the audit record: a user's name or
	// what else the caller knows people by, at most 100 bytes. The manager, where
	// it acts by itself, is [Itself].
	By string
	// Why is a sentence for people, at most 500 bytes. It holds no secret.
	Why string

	of string // a digest of what it asks for, where its operation does not say all
}

// Itself is who orders what a manager does without being asked: it suspends a
// session that is idle, and resumes one that AWS took the host of.
const Itself = "atelier"

// maxOrders is how many orders a record remembers: more than a caller has under
// way for one session at one time.
const maxOrders = 20

// problems reports everything wrong with o.
func (o Order) problems() []error {
	var found []error
	for _, field := range []struct {
		name, text string
		most       int
	}{{"ID", o.ID, 64}, {"By", o.By, 100}, {"Why", o.Why, 500}} {
		if len(field.text) > field.most || !utf8.ValidString(field.text) || strings.ContainsFunc(field.text, unprintable) {
			found = append(found, fmt.Errorf("order: %s %.40q: want at most %d bytes of printable text", field.name, field.text, field.most))
		}
	}
	return found
}

func unprintable(r rune) bool { return r < ' ' || r == 0x7f }

// An Asked is the last thing that was asked for a session and changed it.
type Asked struct {
	// Op is what was asked: "start", "suspend", "resume", "stop", "kill" or
	// "keep".
	Op string `json:",omitempty"`
	// By and Why are the order's.
	By  string `json:",omitempty"`
	Why string `json:",omitempty"`
	// At is when it was asked.
	At time.Time `json:",omitzero"`
}

// followed is an order that a session has followed.
type followed struct {
	ID, Op string
	Of     string `json:",omitempty"`
}

// follow notes an order that changed r.
func (r *record) follow(op string, o Order, now time.Time) {
	r.Last = Asked{Op: op, By: o.By, Why: o.Why, At: now}
	r.remember(op, o)
}

// remember notes an order that r has followed.
func (r *record) remember(op string, o Order) {
	if o.ID != "" {
		r.Orders = append(slices.Clone(r.Orders[max(0, len(r.Orders)-maxOrders+1):]), followed{o.ID, op, o.of})
	}
}

// repeats reports whether r has followed an order before. One of the same ID for
// something else is an error.
func (r record) repeats(op string, o Order) (bool, error) {
	if o.ID == "" {
		return false, nil
	}
	for _, f := range r.Orders {
		if f.ID == o.ID && f.Op != op {
			return false, fmt.Errorf("an order of the ID %q was to %s it; give each its own", o.ID, f.Op)
		}
		if f.ID == o.ID && f.Of != o.of && f.Of != "" {
			return false, fmt.Errorf("an order of the ID %q was to %s it otherwise; give each its own", o.ID, op)
		}
		if f.ID == o.ID {
			return true, nil
		}
	}
	return false, nil
}
