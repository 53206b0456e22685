package session_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/session"
)

// closedBooks is a store that takes nothing for the accounts while they are closed.
type closedBooks struct {
	store.Store
	closed atomic.Bool
}

func (s *closedBooks) Put(ctx context.Context, r store.Record) (int64, error) {
	if s.closed.Load() && strings.HasSuffix(r.Collection, "/accounts") {
		return 0, errors.New("the accounts are closed")
	}
	return s.Store.Put(ctx, r)
}

// stored is all that the store has of sessions and money.
func (w *world) stored() map[string]string {
	w.t.Helper()
	found := map[string]string{}
	for _, of := range []string{"sessions", "accounts", "audit", "projects"} {
		for r, err := range w.store.List(context.Background(), "domains/research/"+of, "") {
			check(w.t, err)
			found[r.Collection+"/"+r.ID] = fmt.Sprint(r.Version, " ", string(r.Value))
		}
	}
	return found
}

// TestQuoteResume: a quote of a resume says what the resume then does, whatever state
// the session is in and whatever is against it, and changes nothing.
func TestQuoteResume(t *testing.T) {
	price, _ := instancetype.Embedded().Price("t3.medium", "us-east-1")
	policy := func(p domain.Policy) func(*testing.T, *world, *session.Manager) {
		return func(t *testing.T, w *world, _ *session.Manager) { check(t, w.domain.SetPolicy(t.Context(), p)) }
	}
	stop := func(t *testing.T, _ *world, m *session.Manager) {
		_, err := m.Stop(t.Context(), "s1", session.Order{})
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
	}
	resume := func(t *testing.T, _ *world, m *session.Manager) {
		_, err := m.Resume(t.Context(), "s1", session.ResumeRequest{})
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Running)
		check(t, err)
		synctest.Wait()
	}
	other := func(t *testing.T, _ *world, m *session.Manager) { started(t, m, request("s2")) }
	larger := session.ResumeRequest{InstanceType: "t3.large"}
	for name, c := range map[string]struct {
		before  []func(*testing.T, *world, *session.Manager)
		q       session.ResumeRequest
		kind    error // of the refusal, or nil
		byLimit bool  // the quote is given, and says so
		limits  int
	}{
		"allowed":              {nil, session.ResumeRequest{}, nil, false, 0},
		"on another type":      {nil, larger, nil, false, 0},
		"within limits":        {[]func(*testing.T, *world, *session.Manager){policy(domain.Policy{SessionsPerUser: 1, Budget: 3 * price.PerHour})}, session.ResumeRequest{}, nil, false, 2},
		"too many":             {[]func(*testing.T, *world, *session.Manager){other, policy(domain.Policy{SessionsPerUser: 1})}, session.ResumeRequest{}, domain.ErrLimit, true, 1},
		"too dear":             {[]func(*testing.T, *world, *session.Manager){policy(domain.Policy{BudgetPerUser: 2*price.PerHour - 1})}, session.ResumeRequest{}, domain.ErrBudget, true, 1},
		"too dear there":       {[]func(*testing.T, *world, *session.Manager){policy(domain.Policy{BudgetPerUser: 2 * price.PerHour})}, larger, domain.ErrBudget, true, 1},
		"not allowed any more": {[]func(*testing.T, *world, *session.Manager){policy(domain.Policy{Types: []string{"r5.*"}})}, session.ResumeRequest{}, domain.ErrNotAllowed, false, 0},
		"unknown type":         {nil, session.ResumeRequest{InstanceType: "t3.mediun"}, domain.ErrInvalid, false, 0},
		"runs":                 {[]func(*testing.T, *world, *session.Manager){resume, policy(domain.Policy{SessionsPerUser: 1, Budget: 1})}, session.ResumeRequest{}, nil, false, 0},
		"runs on another":      {[]func(*testing.T, *world, *session.Manager){resume}, larger, session.ErrState, false, 0},
		"has ended":            {[]func(*testing.T, *world, *session.Manager){stop}, session.ResumeRequest{}, session.ErrState, false, 0},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t)
			m := w.manager()
			began := started(t, m, request("s1")).StartedAt
			time.Sleep(time.Until(began.Add(time.Hour)))
			_, err := m.Suspend(t.Context(), "s1", session.Order{})
			check(t, err)
			_, err = m.Wait(t.Context(), "s1", session.Suspended)
			check(t, err)
			time.Sleep(time.Second)
			for _, do := range c.before {
				do(t, w, m)
			}
			time.Sleep(time.Second)
			synctest.Wait() // the manager has no more to do for it
			before := w.stored()
			quote, quoted := m.QuoteResume(t.Context(), "s1", c.q)
			if diff := cmp.Diff(before, w.stored()); diff != "" {
				t.Errorf("the quote changed something (-before +after):\n%s", diff)
			}
			var refusals []string
			for _, l := range quote.Limits {
				if l.Refusal != "" {
					refusals = append(refusals, l.Refusal)
				}
			}
			s, err := m.Resume(t.Context(), "s1", c.q)
			if c.kind == nil {
				check(t, err)
				check(t, quoted)
				if s.PerHour != quote.PerHour || !quote.PriceKnown || refusals != nil || len(quote.Limits) != c.limits || quote.Grant.Type.Name != s.InstanceType {
					t.Errorf("quoted are %v on %s, refused %q, by %+v; it has %v", quote.PerHour, quote.Grant.Type.Name, refusals, quote.Limits, s)
				}
				return
			}
			fails(t, err, c.kind)
			if c.byLimit {
				check(t, quoted)
				if len(refusals) != 1 || len(quote.Limits) != c.limits || !strings.Contains(err.Error(), refusals[0]) {
					t.Errorf("quoted are refusals %q; the resume says %v", refusals, err)
				}
				return
			}
			if fails(t, quoted, c.kind); quoted == nil {
				return
			}
			if got := strings.ReplaceAll(quoted.Error(), "quote resume", "resume"); got != err.Error() {
				t.Errorf("quoted is %q; the resume says %q", got, err)
			}
		})
	}
	inBubble(t, "no such session", func(t *testing.T) {
		_, err := newWorld(t).manager().QuoteResume(t.Context(), "s1", session.ResumeRequest{})
		fails(t, err, session.ErrNotFound)
	})
}

// TestQuoteResumeUnsettled: what the last run cost counts as settled, though the
// accounts have it as running still, and an earlier try's reservation is its own.
func TestQuoteResumeUnsettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		price, _ := instancetype.Embedded().Price("t3.medium", w.domain.Region())
		check(t, w.domain.SetPolicy(t.Context(), domain.Policy{SessionsPerUser: 1, Budget: 10 * price.PerHour}))
		books := &closedBooks{Store: w.store}
		d := w.domainOn(books)
		m, _ := w.runOn(d, w.guard, session.Config{})
		began := started(t, m, request("s1")).StartedAt
		time.Sleep(time.Until(began.Add(2 * time.Hour)))
		books.closed.Store(true)
		_, err := m.Suspend(t.Context(), "s1", session.Order{})
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Suspended)
		check(t, err)
		time.Sleep(time.Hour)
		s, err := m.Get(t.Context(), "s1")
		if err != nil || s.Settled || s.Spent != 0 || s.Cost(time.Now()) != 2*price.PerHour {
			t.Errorf("settled %t, spent %v, cost %v, %v", s.Settled, s.Spent, s.Cost(time.Now()), err)
		}
		quote := func() {
			t.Helper()
			q, err := m.QuoteResume(t.Context(), "s1", session.ResumeRequest{})
			check(t, err)
			for _, l := range q.Limits {
				if l.Refusal != "" || l.Live != 0 || l.Used != 2*price.PerHour {
					t.Errorf("%+v", l)
				}
			}
			if len(q.Limits) != 2 {
				t.Errorf("limits %+v", q.Limits)
			}
		}
		quote()
		books.closed.Store(false)
		time.Sleep(time.Minute)
		if s, err = m.Get(t.Context(), "s1"); err != nil || !s.Settled || s.Spent != 2*price.PerHour || s.Cost(time.Now()) != s.Spent {
			t.Errorf("settled %t, spent %v, cost %v, %v", s.Settled, s.Spent, s.Cost(time.Now()), err)
		}
		quote()
		grant, err := d.Authorize(t.Context(), domain.Ask{User: "alice", InstanceType: "t3.medium"})
		check(t, err)
		check(t, d.Reserve(t.Context(), domain.Reservation{Key: "s1.2", Grant: grant}))
		quote()
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{})
		check(t, err)
	})
}

// TestProjectPays: a session is charged to the project that it names, whatever it has
// else, and is held to that one's budget, when it is resumed too; while it runs its
// cost is known, and not settled.
func TestProjectPays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx := t.Context()
		price, _ := instancetype.Embedded().Price("t3.medium", w.domain.Region())
		check(t, w.domain.SetGroupPolicy(ctx, "lab", &domain.Policy{}))
		_, err := w.domain.Onboard(ctx, domain.OnboardRequest{User: "alice", Groups: []string{"lab"}})
		check(t, err)
		_, err = w.domain.CreateProject(ctx, domain.CreateProjectRequest{Name: "genome", Groups: []string{"lab"}, Budget: 2 * price.PerHour})
		check(t, err)
		_, err = w.domain.CreateProject(ctx, domain.CreateProjectRequest{Name: "shared", Groups: []string{"lab"}})
		check(t, err)
		m := w.manager()
		q := request("s1")
		q.ChargeTo, q.Projects = "genome", []string{"shared"}
		began := started(t, m, q).StartedAt
		time.Sleep(time.Until(began.Add(90 * time.Minute)))
		s, err := m.Get(ctx, "s1")
		check(t, err)
		if s.ChargeTo != "genome" || s.Group != "lab" || s.Settled || s.Spent != 0 || s.Cost(time.Now()) != price.PerHour*3/2 {
			t.Errorf("charged to %q and %q, settled %t, spent %v, cost %v", s.ChargeTo, s.Group, s.Settled, s.Spent, s.Cost(time.Now()))
		}
		repeated, err := m.Start(ctx, q)
		check(t, err)
		q.ChargeTo = "shared"
		_, err = m.Start(ctx, q)
		fails(t, err, session.ErrConflict)
		other := request("s2")
		other.User, other.ChargeTo = "bob", "genome"
		_, err = m.Start(ctx, other)
		fails(t, err, domain.ErrNotAllowed, "project genome: is for members of lab")
		_, err = m.Suspend(ctx, "s1", session.Order{})
		check(t, err)
		_, err = m.Wait(ctx, "s1", session.Suspended)
		check(t, err)
		time.Sleep(time.Second)
		_, err = m.Resume(ctx, "s1", session.ResumeRequest{})
		fails(t, err, domain.ErrBudget, "project genome", "budget of project genome", "at most $0.0832")
		check(t, w.domain.SetProjectBudget(ctx, "genome", 0))
		_, err = m.Resume(ctx, "s1", session.ResumeRequest{})
		check(t, err)
		s, err = m.Wait(ctx, "s1", session.Running)
		check(t, err)
		if s.ChargeTo != "genome" || s.Settled || s.Spent != price.PerHour*3/2 {
			t.Errorf("resumed: charged to %q, settled %t, spent %v; was %v", s.ChargeTo, s.Settled, s.Spent, repeated)
		}
		time.Sleep(time.Until(s.StartedAt.Add(time.Hour)))
		check(t, w.domain.DeleteProject(ctx, "genome")) // it is charged all the same
		_, err = m.Stop(ctx, "s1", session.Order{})
		check(t, err)
		_, err = m.Wait(ctx, "s1", session.Stopped)
		check(t, err)
		time.Sleep(time.Second)
		s, err = m.Get(ctx, "s1")
		check(t, err)
		if !s.Settled || s.Spent != price.PerHour*5/2 || s.Cost(time.Now().Add(time.Hour)) != s.Spent {
			t.Errorf("settled %t, spent %v", s.Settled, s.Spent)
		}
		for of, want := range map[domain.Scope]map[string]instancetype.Money{
			domain.ScopeUser: {"alice": s.Spent, "bob": 0}, domain.ScopeGroup: {"lab": s.Spent}, domain.ScopeProject: {"genome": s.Spent, "shared": 0},
		} {
			for name, want := range want {
				a, err := w.domain.Account(ctx, of, name)
				check(t, err)
				var sum instancetype.Money
				for _, cost := range a.Settled {
					sum += cost
				}
				if sum != want || len(a.Live) != 0 {
					t.Errorf("%s %s was charged %v, want %v; live are %v", of, name, sum, want, a.Live)
				}
			}
		}
	})
}

// TestCost: what a session has cost by a time, in every state.
func TestCost(t *testing.T) {
	began := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	at := func(hours int) time.Time { return began.Add(time.Duration(hours) * time.Hour) }
	const dollar = instancetype.Dollar
	for name, c := range map[string]struct {
		s    session.Session
		want instancetype.Money // ten hours after
	}{
		"waits":                   {session.Session{State: session.Pending, Since: began}, 5 * dollar},
		"runs":                    {session.Session{State: session.Running, StartedAt: began}, 15 * dollar},
		"is suspended":            {session.Session{State: session.Suspended, StartedAt: began, EndedAt: at(2), Since: at(3)}, 7 * dollar},
		"nobody knows when":       {session.Session{State: session.Stopped, StartedAt: began, Since: at(3)}, 8 * dollar},
		"ended before it ran":     {session.Session{State: session.Failed, EndedAt: at(1), Since: at(1)}, 5 * dollar},
		"is settled":              {session.Session{State: session.Stopped, StartedAt: began, EndedAt: at(2), Since: at(2), Settled: true}, 5 * dollar},
		"began after it is asked": {session.Session{State: session.Running, StartedAt: at(11)}, 5 * dollar},
	} {
		c.s.Spent = 5 * dollar
		if c.s.PerHour == 0 {
			c.s.PerHour = dollar
		}
		if got := c.s.Cost(at(10)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
