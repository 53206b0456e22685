package session_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/session"
)

// TestBudget: a start that a budget or a number of sessions does not allow is refused
// with the rule, the limit and how far it is used, and what ran is charged to the
// second; a resume is held to the same.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		price, _ := instancetype.Embedded().Price("t3.medium", w.domain.Region()) // $0.0416
		check(t, w.domain.SetPolicy(t.Context(), domain.Policy{BudgetPerUser: 3 * price.PerHour, SessionsPerUser: 2}))
		m := w.manager()
		began := started(t, m, request("s1")).StartedAt
		started(t, m, request("s2"))
		_, err := m.Start(t.Context(), request("s3"))
		fails(t, err, domain.ErrLimit, "2")
		if code := session.StatusCode(err); code != http.StatusTooManyRequests {
			t.Errorf("status %d", code)
		}
		time.Sleep(time.Until(began.Add(90 * time.Minute)))
		s, err := m.Suspend(t.Context(), "s1", session.Order{})
		check(t, err)
		if s.PerHour != price.PerHour {
			t.Errorf("it is charged %v an hour", s.PerHour)
		}
		_, err = m.Wait(t.Context(), "s1", session.Suspended)
		check(t, err)
		time.Sleep(time.Second)
		s, err = m.Get(t.Context(), "s1")
		check(t, err)
		if want := domain.Cost(price.PerHour, s.StartedAt, s.EndedAt); s.Spent != want || want != price.PerHour*3/2 {
			t.Errorf("it cost %v, want %v", s.Spent, want)
		}
		// Of three hours, one and a half are spent and the other session has as many.
		_, err = m.Resume(t.Context(), "s1", session.ResumeRequest{})
		fails(t, err, domain.ErrBudget, "of January 2000 used", "at most $0.1248", "the domain's policy")
		if code := session.StatusCode(err); code != http.StatusPaymentRequired {
			t.Errorf("status %d", code)
		}
		quote, err := m.Quote(t.Context(), request("s4"))
		check(t, err)
		refused := 0
		for _, l := range quote.Limits {
			if l.Refusal != "" {
				refused++
			}
		}
		if refused != 1 || quote.PerHour != price.PerHour {
			t.Errorf("the quote is %+v", quote)
		}
	})
}

// TestChargedWhenDeleted: what a session cost is settled before it is forgotten, and
// what is deleted the moment it has ended too.
func TestChargedWhenDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.manager()
		s := started(t, m, request("s1"))
		time.Sleep(time.Hour)
		_, err := m.Stop(t.Context(), "s1", session.Order{})
		check(t, err)
		for {
			if err := m.Delete(t.Context(), "s1", session.Order{}); err == nil {
				break
			} else if !errors.Is(err, session.ErrState) {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		w.settledIs(s.PerHour)
	})
}

// settledIs checks what alice's account has, and that nothing is reserved.
func (w *world) settledIs(want instancetype.Money) {
	w.t.Helper()
	a, err := w.domain.Account(context.Background(), domain.ScopeUser, "alice")
	check(w.t, err)
	var sum instancetype.Money
	for _, month := range a.Settled {
		sum += month
	}
	if sum != want || len(a.Live) != 0 {
		w.t.Errorf("settled are %v, want %v; live are %v", sum, want, a.Live)
	}
}

// TestAbandonedReservations: what was reserved for a session that was never recorded
// does not count for ever.
func TestAbandonedReservations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		check(t, w.domain.SetPolicy(t.Context(), domain.Policy{SessionsPerUser: 1}))
		p := w.process(0, false)
		grant, err := w.domain.Authorize(t.Context(), domain.Ask{User: "alice", InstanceType: "t3.medium"})
		check(t, err)
		check(t, w.domain.Reserve(t.Context(), domain.Reservation{Key: "lost.1", Grant: grant}))
		_, err = p.Start(t.Context(), request("s1"))
		fails(t, err, domain.ErrLimit)
		time.Sleep(30 * time.Minute)
		started(t, p.Manager, request("s1"))
		time.Sleep(2 * time.Hour) // one that lives is not swept
		_, err = p.Start(t.Context(), request("s2"))
		fails(t, err, domain.ErrLimit)
	})
}
