package session

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
	"sync"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/launcher"
)

// An Entry is a line of the audit record: something that was asked for a session,
// with what came of it, or something that happened to one. Entries are never
// changed or removed by this library.
//
// What changes a session is written down in its own record by the same write, and
// from there into the audit record, so that no crash loses or doubles a line. What
// is refused is written down as it is answered; a program that dies at that moment
// may lose the line.
type Entry struct {
	// ID orders entries: by their time, then by session. No two have one.
	ID string
	// At is when it was, by the clock of the process that did it.
	At time.Time
	// Session is the session concerned, and User whose it is. A session that was
	// refused has the ID that was asked for.
	Session ID
	User    string `json:",omitempty"`
	// Generation is that of the session then.
	Generation int `json:",omitempty"`
	// Op is what was asked ("start", "suspend", "resume", "stop", "kill",
	// "keep", "delete") or, in the words of the package documentation's table, what
	// happened ("runs", "exited", "deadline").
	Op string
	// By, Why and Order are the [Order]'s, of what was asked.
	By    string `json:",omitempty"`
	Why   string `json:",omitempty"`
	Order string `json:",omitempty"`
	// From and To are the session's state before and after. Equal is a change of
	// something else; empty is that there was, or is, no session.
	From State `json:",omitempty"`
	To   State `json:",omitempty"`
	// Refused is the kind of error that was the answer. Empty is that it was done.
	Refused string `json:",omitempty"`
	// Message is the session's, or the error's sentence.
	Message string `json:",omitempty"`
}

func auditCollection(domain string) string { return collection(domain) + "/audit" }

// entryTime is how IDs of entries begin: as long for every time, so that they are
// in its order.
const entryTime = "20060102T150405.000000000Z"

func entryID(at time.Time, id ID, part string) string {
	return at.UTC().Format(entryTime) + "/" + string(id) + "/" + part
}

// AuditFilter selects entries. The zero value selects all.
type AuditFilter struct {
	// After, if not empty, is the ID of an entry: those that follow it are
	// selected. It is how a page, or the next look, goes on where the last ended.
	After string
	// Since and Until, if not zero, bound the time: from Since on, before Until.
	Since, Until time.Time
	// Session, User and By, if not empty, select the entries that have them.
	Session ID
	User    string
	By      string
}

func (f AuditFilter) match(e Entry) bool {
	return (f.Session == "" || f.Session == e.Session) && (f.User == "" || f.User == e.User) && (f.By == "" || f.By == e.By)
}

// Audit yields the entries that match f, oldest first. Those of the last seconds
// may be followed by older ones of another process. It is complete or ends with an
// error. It reads the store, all that is between Since and Until, and needs no Run.
func (m *Manager) Audit(ctx context.Context, f AuditFilter) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		after := f.After
		if !f.Since.IsZero() {
			// What is less than the first possible ID of its instant.
			after = max(after, strings.TrimSuffix(f.Since.UTC().Format(entryTime), "Z"))
		}
		for e, err := range m.audit.After(ctx, after) {
			if err != nil {
				yield(Entry{}, fail(ctx, "audit", "", err))
				return
			}
			if !f.Until.IsZero() && !e.At.Before(f.Until) {
				return
			}
			if f.match(e) && !yield(e, nil) {
				return
			}
		}
	}
}

// maxTrail is how many entries wait in a record for being written at most. A store
// that takes the record takes them too, but for a moment.
const maxTrail = 50

// trail adds to r what has just become of it, for the audit record.
func (r *record) trail(before record, op string, o Order, now time.Time) {
	e := Entry{
		ID: entryID(now, r.ID, fmt.Sprintf("%09d", r.Revision)), At: now,
		Session: r.ID, User: cmp.Or(before.Request.User, r.Request.User), Generation: r.Generation,
		Op: op, By: o.By, Why: o.Why, Order: o.ID, From: before.State, To: r.State, Message: r.Message,
	}
	r.Trail = append(slices.Clone(r.Trail[max(0, len(r.Trail)-maxTrail+1):]), e)
}

// trails knows up to which revision of a session this process has written its
// entries. The zero value knows nothing.
type trails struct {
	mu      sync.Mutex
	written map[ID]int64
	owed    map[ID]bool // what could not be written
	late    map[ID]time.Time
}

// tardy notes that something was written of a session so long after it happened that
// who reads the end of the audit record may have missed it.
func (t *trails) tardy(id ID, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.late == nil {
		t.late = map[ID]time.Time{}
	}
	t.late[id] = now
}

// missed are the sessions of which something was written late, not long ago.
func (t *trails) missed(now time.Time) []ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.late, func(_ ID, at time.Time) bool { return now.Sub(at) >= memberTTL })
	return slices.Sorted(maps.Keys(t.late))
}

// owe notes whether something could not be written of a session.
func (t *trails) owe(id ID, owed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !owed {
		delete(t.owed, id)
		return
	}
	if t.owed == nil {
		t.owed = map[ID]bool{}
	}
	t.owed[id] = true
}

// debts are the sessions of which something could not be written.
func (t *trails) debts() []ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(maps.Keys(t.owed))
}

func (t *trails) wrote(id ID, revision int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.written == nil {
		t.written = map[ID]int64{}
	}
	t.written[id] = max(t.written[id], revision)
}

func (t *trails) until(id ID) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.written[id]
}

func (t *trails) forget(id ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.written, id)
}

// writeDown writes what waits in r into the audit record. It may be there already.
func (m *Manager) writeDown(ctx context.Context, r record) error {
	if len(r.Trail) == 0 || m.trails.until(r.ID) >= r.Revision {
		return nil
	}
	for _, e := range r.Trail {
		if err := m.audit.Create(ctx, e.ID, e); err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
		if now := time.Now(); now.Sub(e.At) >= overlap/2 {
			m.trails.tardy(r.ID, now)
		}
	}
	m.trails.wrote(r.ID, r.Revision)
	return nil
}

// refuse writes down that something was refused, if it was: a request that makes no
// sense, or that nobody could decide about, is not. It returns the error.
func (m *Manager) refuse(ctx context.Context, op string, id ID, user string, o Order, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || errors.Is(err, errStale) || id.check() != nil || o.problems() != nil {
		return err
	}
	for _, undecided := range []error{
		ErrInvalid, ErrUnavailable, ErrNotRunning, domain.ErrInvalid, domain.ErrUnavailable, domain.ErrThrottled, launcher.ErrThrottled,
	} {
		if errors.Is(e.Kind, undecided) {
			return err
		}
	}
	now := time.Now()
	entry := Entry{
		ID: entryID(now, id, "refused-"+rand.Text()), At: now, Session: id, User: user, Op: op,
		By: o.By, Why: o.Why, Order: o.ID, Refused: e.Kind.Error(), Message: e.Error(),
	}
	if known, ok := m.hub.Get(id); ok {
		entry.From, entry.To, entry.Generation = known.State, known.State, known.Generation
		entry.User = known.Request.User
	}
	if err := m.audit.Create(ctx, entry.ID, entry); err != nil {
		m.log.Warn("a refusal could not be written into the audit record", "session", id, "op", op, "by", o.By, "error", err)
	}
	return err
}
