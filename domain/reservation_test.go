package domain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/instancetype"
)

// inBooks runs one subtest in a bubble of its own, on the 23rd of November 2026.
func inBooks(t *testing.T, name string, test func(*testing.T, *books, *Domain)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(begun))
			b := newBooks(t)
			test(t, b, b.process())
		})
	})
}

func reserve(t testing.TB, d *Domain, key string, g Grant) {
	t.Helper()
	if err := d.Reserve(t.Context(), Reservation{Key: key, Grant: g}); err != nil {
		t.Fatal(err)
	}
}

func settle(t testing.TB, d *Domain, key string, g Grant, from, to time.Time) instancetype.Money {
	t.Helper()
	cost, err := d.Settle(t.Context(), Settlement{Key: key, Grant: g, PerHour: g.PricePerHour.PerHour, From: from, To: to})
	if err != nil {
		t.Fatal(err)
	}
	return cost
}

func TestReserveRefuses(t *testing.T) {
	userSessions := Limit{Scope: ScopeUser, Name: "alice", Rule: "the domain's policy", Sessions: 2}
	userBudget := Limit{Scope: ScopeUser, Name: "alice", Rule: "policy of group students", Budget: 10 * dollar}
	ofGroup := Limit{Scope: ScopeGroup, Name: "students", Rule: "policy of group students", Sessions: 1, Budget: 100 * dollar}
	ofDomain := Limit{Scope: ScopeDomain, Name: "research", Rule: "the domain's policy", Sessions: 1}
	ofProject := Limit{Scope: ScopeProject, Name: "genome", Rule: "budget of project genome", Budget: 10 * dollar}
	for _, c := range []struct {
		name   string
		limits []Limit
		before int // sessions of alice that run for three hours, at a dollar an hour
		rate   instancetype.Money
		kinds  []Kind
		want   string
	}{
		{"sessions of a user", []Limit{userSessions}, 2, dollar, []Kind{ErrLimit},
			"domain: reserve research/alice: limit reached: user alice: 2 sessions at one time, at most 2 allowed (the domain's policy), and this would be one more; stop one, or ask an administrator"},
		{"sessions of a group", []Limit{ofGroup}, 1, dollar / 1000, []Kind{ErrLimit},
			"domain: reserve research/alice: limit reached: group students: 1 session at one time, at most 1 allowed (policy of group students), and this would be one more; wait until one ends, or ask an administrator"},
		{"sessions of the domain", []Limit{ofDomain}, 1, dollar, []Kind{ErrLimit},
			"domain: reserve research/alice: limit reached: domain research: 1 session at one time, at most 1 allowed (the domain's policy), and this would be one more; wait until one ends, or ask an administrator"},
		{"budget, while some run", []Limit{userBudget}, 2, 5 * dollar, []Kind{ErrBudget},
			"domain: reserve research/alice: budget exceeded: user alice: $6.00 of November 2026 used, $6.00 of it by 2 that run, at most $10.00 allowed (policy of group students), and this would add $5.00; ask for less, stop one, wait for December, or ask an administrator"},
		{"budget, while none runs", []Limit{userBudget}, 0, 11 * dollar, []Kind{ErrBudget},
			"domain: reserve research/alice: budget exceeded: user alice: $0.00 of November 2026 used, at most $10.00 allowed (policy of group students), and this would add $11.00; ask for less, wait for December, or ask an administrator"},
		{"budget of a project", []Limit{ofProject}, 2, 5 * dollar, []Kind{ErrBudget},
			"domain: reserve research/alice: budget exceeded: project genome: $6.00 of November 2026 used, $6.00 of it by 2 that run, at most $10.00 allowed (budget of project genome), and this would add $5.00; ask for less, wait until one ends, wait for December, or ask an administrator"},
		{"both", []Limit{userSessions, userBudget}, 2, 5 * dollar, []Kind{ErrLimit, ErrBudget},
			"domain: reserve research/alice: limit reached: user alice: 2 sessions at one time, at most 2 allowed (the domain's policy), and this would be one more; stop one, or ask an administrator\n" +
				"user alice: $6.00 of November 2026 used, $6.00 of it by 2 that run, at most $10.00 allowed (policy of group students), and this would add $5.00; ask for less, stop one, wait for December, or ask an administrator"},
		{"exactly what is left", []Limit{userBudget}, 2, 4 * dollar, nil, ""},
		{"a millionth more", []Limit{userBudget}, 2, 4*dollar + 1, []Kind{ErrBudget}, ""},
		{"no limits", nil, 5, 100 * dollar, nil, ""},
	} {
		inBooks(t, c.name, func(t *testing.T, b *books, d *Domain) {
			g := chargedTo("genome", "alice", "students", dollar, c.limits...)
			for n := range c.before {
				reserve(t, d, fmt.Sprintf("before-%d.1", n), g)
			}
			time.Sleep(3 * time.Hour)
			before := b.all(d)
			err := d.Reserve(t.Context(), Reservation{Key: "s.1", Grant: chargedTo("genome", "alice", "students", c.rate, c.limits...)})
			if (err == nil) != (c.kinds == nil) || c.want != "" && err.Error() != c.want {
				t.Errorf("%v\nwant\n%s", err, c.want)
			}
			for _, kind := range c.kinds {
				if !errors.Is(err, kind) {
					t.Errorf("%v, want %v", err, kind)
				}
			}
			after := b.all(d)
			if diff := cmp.Diff(before, after); (diff == "") != (err != nil) && c.before > 0 {
				t.Errorf("%v (-before +after):\n%s", err, diff)
			}
		})
	}
}

func TestReservationProblems(t *testing.T) {
	inBooks(t, "", func(t *testing.T, _ *books, d *Domain) {
		good := grantFor("alice", "students", dollar)
		other, nameless, unpriced := good, good, grantFor("alice", "", 0, Limit{Scope: ScopeUser, Name: "alice", Budget: dollar})
		other.Domain, nameless.User.Name, nameless.Limits = "elsewhere", "../alice", []Limit{{Scope: "planet", Name: "x"}}
		for _, c := range []struct {
			q    Reservation
			kind Kind
			want []string
		}{
			{Reservation{Grant: good}, ErrInvalid, []string{`key ""`}},
			{Reservation{Key: strings.Repeat("k", 33), Grant: good}, ErrInvalid, []string{"1 to 32"}},
			{Reservation{Key: "a/b", Grant: good, For: -time.Second}, ErrInvalid, []string{`key "a/b"`, "reservation for -1s"}},
			{Reservation{Key: "s.1", Grant: good, For: maxReservedFor + 1}, ErrInvalid, []string{"at most 8784h0m0s"}},
			{Reservation{Key: "s.1", Grant: other}, ErrInvalid, []string{"of domain elsewhere"}},
			{Reservation{Key: "s.1", Grant: nameless}, ErrInvalid, []string{"user", `scope "planet"`}},
			{Reservation{Key: "s.1", Grant: unpriced}, ErrNotAllowed, []string{"without a price"}},
			{Reservation{Key: "s.1", Grant: good, At: begun.Add(-reserveWithin - time.Second)}, ErrConflict, []string{"08:54:59", "09:00:00", "5m0s"}},
			{Reservation{Key: "s.1", Grant: good, At: begun.Add(reserveWithin + time.Second)}, ErrConflict, []string{"ask again"}},
		} {
			err := d.Reserve(t.Context(), c.q)
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Kind != c.kind {
				t.Errorf("%+v: %v, want %v", c.q.Key, err, c.kind)
				continue
			}
			for _, text := range c.want {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%v, want %q", err, text)
				}
			}
		}
		if _, err := d.Settle(t.Context(), Settlement{Key: "s.1", Grant: good, PerHour: -1}); !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
		if err := d.Release(t.Context(), "", other); !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
		if _, err := d.Account(t.Context(), "planet", "x"); !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
		if _, err := d.Sweep(t.Context(), minSweepAge-1, nil); !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
		for a, err := range d.Accounts(t.Context()) {
			t.Errorf("there is %+v, %v", a, err)
		}
	})
}

// TestManyAtOnce has five hundred callers write one record, and others give up.
func TestManyAtOnce(t *testing.T) {
	const callers, limit = 500, 400
	inBooks(t, "", func(t *testing.T, b *books, d *Domain) {
		b.pause = func() time.Duration { return 20 * time.Millisecond }
		b.limits = []Limit{{Scope: ScopeDomain, Name: "research", Rule: "the domain's policy", Sessions: limit}}
		processes := []*Domain{d, d, d, b.process()}
		var mu sync.Mutex
		var let, refused, gaveUp int
		var wg sync.WaitGroup
		for n := range callers {
			wg.Go(func() {
				ctx := t.Context()
				if n%10 == 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Second)
					defer cancel()
				}
				began := time.Now()
				g := grantFor(fmt.Sprintf("user-%d", n), "", dollar, b.limits...)
				err := processes[n%len(processes)].Reserve(ctx, Reservation{Key: fmt.Sprintf("s-%d.1", n), Grant: g})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					let++
				case errors.Is(err, ErrLimit):
					refused++
				case err == context.DeadlineExceeded && n%10 == 0:
					if took := time.Since(began); took > time.Second+50*time.Millisecond { // a call of the store's
						t.Errorf("gave up after %v", took)
					}
					gaveUp++
				default:
					t.Errorf("%d: %v", n, err)
				}
			})
		}
		wg.Wait()
		a, err := d.Account(t.Context(), ScopeDomain, "research")
		if err != nil || len(a.Live) != limit || let != limit || gaveUp == 0 || b.most["domain/research"] != limit {
			t.Errorf("%d live, %d let in, %d refused, %d gave up, %v", len(a.Live), let, refused, gaveUp, err)
		}
		if len(d.client.turns.slots) != 0 {
			t.Errorf("%d turns are remembered", len(d.client.turns.slots))
		}
	})
}

// TestMonthsAndReports settles over the end of a year and reads the accounts.
func TestMonthsAndReports(t *testing.T) {
	inBooks(t, "", func(t *testing.T, b *books, d *Domain) {
		limit := Limit{Scope: ScopeUser, Name: "alice", Rule: "the domain's policy", Budget: 10 * dollar}
		g := grantFor("alice", "students", dollar, limit)
		time.Sleep(time.Until(time.Date(2026, 12, 31, 20, 0, 0, 0, time.UTC)))
		reserve(t, d, "first.1", g)
		reserve(t, d, "second.1", g)
		time.Sleep(3*time.Hour + 30*time.Minute)
		account := func() Account {
			a, err := d.Account(t.Context(), ScopeUser, "alice")
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		check := func(spent, used, left instancetype.Money, over bool) {
			t.Helper()
			a, now := account(), time.Now()
			if a.Spent(now) != spent || a.Used(now) != used || a.Left(limit, now) != left || a.Over(limit, now) != over {
				t.Errorf("at %s spent %v, used %v, left %v, over %t; want %v, %v, %v, %t", now.UTC().Format(time.DateTime),
					a.Spent(now), a.Used(now), a.Left(limit, now), a.Over(limit, now), spent, used, left, over)
			}
		}
		check(7*dollar, 7*dollar, 3*dollar, false)
		time.Sleep(time.Hour) // 2027
		check(dollar, 2*dollar, 8*dollar, false)
		if cost := settle(t, d, "first.1", g, time.Now().Add(-4*time.Hour).In(time.FixedZone("Kiritimati", 14*3600)), time.Now()); cost != 4*dollar {
			t.Errorf("it cost %v", cost)
		}
		want := map[string]instancetype.Money{"2026-12": 3_500_000, "2027-01": 500_000}
		if diff := cmp.Diff(want, account().Settled); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		check(dollar, 1_500_000, 8_500_000, false)
		time.Sleep(9 * time.Hour)
		check(10*dollar, 10*dollar, 0, false)
		time.Sleep(time.Second)
		check(10_000_278, 10_000_278, 0, true)
		if a := account(); a.Left(Limit{Sessions: 1}, time.Now()) != 0 || a.Over(Limit{Sessions: 1}, time.Now()) {
			t.Error("a limit without a budget is over, or leaves some")
		}
		for range 13 { // a session each month
			now := time.Now()
			time.Sleep(time.Until(time.Date(now.Year(), now.Month()+1, 1, 12, 0, 0, 0, time.UTC)))
			key := "monthly." + monthName(time.Now())
			reserve(t, d, key, grantFor("alice", "students", dollar))
			settle(t, d, key, g, time.Now(), time.Now().Add(time.Hour))
		}
		months := slices.Sorted(maps.Keys(account().Settled))
		if len(months) != 13 || months[0] != "2027-02" || months[12] != "2028-02" {
			t.Errorf("kept are %v", months)
		}
		if group, err := d.Account(t.Context(), ScopeGroup, "students"); err != nil || len(group.Live) != 1 || group.Live[0].Key != "second.1" || len(group.Settled) != 13 {
			t.Errorf("group %+v, %v", group, err)
		}
		if none, err := d.Account(t.Context(), ScopeDomain, "research"); err != nil || none.Settled != nil || none.Live != nil {
			t.Errorf("the domain, without a limit, has %+v, %v", none, err)
		}
		if got := slices.Sorted(maps.Keys(b.all(d))); !slices.Equal(got, []string{"group/students", "user/alice"}) {
			t.Errorf("accounts %v", got)
		}
		// What a clock or a caller got wrong costs nothing rather than decades.
		reserve(t, d, "never.1", grantFor("alice", "", dollar))
		if cost := settle(t, d, "never.1", grantFor("alice", "", dollar), time.Time{}, time.Now()); cost != 0 {
			t.Errorf("a session that never ran cost %v", cost)
		}
		// A cost that Money cannot hold is not a debt of ours.
		dear := grantFor("bob", "", math.MaxInt64)
		for _, key := range []string{"dear.1", "dear.2"} {
			reserve(t, d, key, dear)
			settle(t, d, key, dear, time.Now(), time.Now().Add(2*time.Hour))
		}
		if bob, err := d.Account(t.Context(), ScopeUser, "bob"); err != nil || bob.Spent(time.Now()) != math.MaxInt64 {
			t.Errorf("bob spent %v, %v", bob.Spent(time.Now()), err)
		}
	})
}

func TestReserveAgain(t *testing.T) {
	limit := Limit{Scope: ScopeUser, Name: "alice", Rule: "the domain's policy", Sessions: 1, Budget: 5 * dollar}
	cheap, dear := grantFor("alice", "", dollar, limit), grantFor("alice", "", 6*dollar, limit)
	inBooks(t, "what is dearer is looked at again", func(t *testing.T, b *books, d *Domain) {
		reserve(t, d, "s.1", cheap)
		reserve(t, d, "s.1", cheap)
		if err := d.Reserve(t.Context(), Reservation{Key: "s.1", Grant: dear}); !errors.Is(err, ErrBudget) {
			t.Errorf("%v, want a refusal", err)
		}
		if err := d.Reserve(t.Context(), Reservation{Key: "s.1", Grant: cheap, For: 6 * time.Hour}); !errors.Is(err, ErrBudget) {
			t.Errorf("%v, want a refusal", err)
		}
		if err := d.Reserve(t.Context(), Reservation{Key: "s.1", Grant: cheap, For: 5 * time.Hour}); err != nil {
			t.Error(err)
		}
		if a := b.all(d)["user/alice"]; len(a.Live) != 1 || a.Live[0].Reserved != 5*dollar {
			t.Errorf("%+v", a)
		}
	})
	inBooks(t, "after it was released", func(t *testing.T, b *books, d *Domain) {
		reserve(t, d, "s.1", cheap)
		for range 2 {
			if err := d.Release(t.Context(), "s.1", cheap); err != nil {
				t.Fatal(err)
			}
		}
		if a := b.all(d)["user/alice"]; len(a.Live) != 0 || a.Used(time.Now()) != 0 {
			t.Errorf("%+v", a)
		}
		reserve(t, d, "s.1", cheap)
	})
	inBooks(t, "by more callers than are told apart", func(t *testing.T, b *books, d *Domain) {
		g := grantFor("alice", "students", dollar)
		for range maxCalls {
			reserve(t, d, "s.1", g)
		}
		a, err := d.accounts().Get(t.Context(), "user/alice")
		if err != nil {
			t.Fatal(err)
		}
		calls := strings.Fields(a.Live["s.1"].By)
		if len(calls) != maxCalls {
			t.Fatalf("calls %q", calls)
		}
		reserve(t, d, "s.1", g)
		reserve(t, d, "s.1", g)
		if a, err = d.accounts().Get(t.Context(), "user/alice"); err != nil || a.Live["s.1"].By != many {
			t.Errorf("calls %q, %v", a.Live["s.1"].By, err)
		}
		for _, call := range calls {
			d.takeBack(t.Context(), "s.1", g.owners(), call)
		}
		for id, a := range b.all(d) {
			if len(a.Live) != 1 {
				t.Errorf("%s: %+v", id, a)
			}
		}
	})
}

// TestTwoCallersOfOneKey has two calls for one session meet at every point, where
// the room in the group's account is there for one and then the other.
func TestTwoCallersOfOneKey(t *testing.T) {
	group := Limit{Scope: ScopeGroup, Name: "students", Rule: "policy of group students", Sessions: 1}
	other := grantFor("bob", "students", dollar, group)
	g := grantFor("alice", "students", dollar, group)
	for lead := range 12 {
		for leave := range 12 {
			inBooks(t, fmt.Sprint(lead, " ", leave), func(t *testing.T, b *books, d *Domain) {
				reserve(t, d, "other.1", other)
				b.pause = func() time.Duration { return 10 * time.Millisecond }
				var errs [2]error
				var wg sync.WaitGroup
				for n := range errs {
					wg.Go(func() {
						time.Sleep(time.Duration(n*lead) * 7 * time.Millisecond)
						errs[n] = b.process().Reserve(t.Context(), Reservation{Key: "s.1", Grant: g})
					})
				}
				wg.Go(func() {
					time.Sleep(time.Duration(leave) * 7 * time.Millisecond)
					if err := b.process().Release(t.Context(), "other.1", other); err != nil {
						t.Error(err)
					}
				})
				wg.Wait()
				want := 0
				if errs[0] == nil || errs[1] == nil {
					want = 1
				}
				for id, a := range b.all(d) {
					n := 0
					for _, h := range a.Live {
						if h.Key == "s.1" {
							n++
						}
					}
					if n != want && id != "user/bob" {
						t.Errorf("%s holds it %d times, the calls got %v", id, n, errs)
					}
				}
			})
		}
	}
}

// life is a session from its reservation to its settlement, as package session has
// it: what a crash leaves is continued by running it again.
func life(ctx context.Context, d *Domain, g Grant, from time.Time) error {
	if err := d.Reserve(ctx, Reservation{Key: "s.1", Grant: g}); err != nil {
		return err
	}
	_, err := d.Settle(ctx, Settlement{Key: "s.1", Grant: g, PerHour: dollar, From: from, To: from.Add(time.Hour)})
	return err
}

// TestCrashAtEveryStoreCall ends the process at each call to the store in turn,
// before it took effect and after.
func TestCrashAtEveryStoreCall(t *testing.T) {
	limits := []Limit{
		{Scope: ScopeDomain, Name: "research", Rule: "the domain's policy", Budget: dollar},
		{Scope: ScopeGroup, Name: "students", Rule: "policy of group students", Sessions: 1},
	}
	g := grantFor("alice", "students", dollar, limits...)
	nothing := func(string) (Grant, bool, error) { return Grant{}, false, nil }
	for at := 1; ; at++ {
		reached := false
		for _, how := range []fault{refused, lostReply} {
			crash := func(b *books) {
				b.fail = func(call int) fault { // nothing works from then on, as for a process that is gone
					switch {
					case call < at:
						return none
					case call == at:
						return how
					}
					return refused
				}
			}
			inBooks(t, fmt.Sprint(at, " again, how ", how), func(t *testing.T, b *books, d *Domain) {
				crash(b)
				from := time.Now()
				err := life(t.Context(), d, g, from)
				if reached = err != nil; !reached {
					return
				}
				if !errors.Is(err, errBooks) {
					t.Fatal(err)
				}
				b.fail = nil
				if err := life(t.Context(), b.process(), g, from); err != nil {
					t.Fatal(err)
				}
				b.limits = limits
				b.balance(b.all(d), map[string]ended{"s.1": {g, from, from.Add(time.Hour)}})
				for id, a := range b.all(d) {
					if len(a.Live) > 0 || a.Spent(from) != dollar {
						t.Errorf("%s: %+v", id, a)
					}
				}
			})
			inBooks(t, fmt.Sprint(at, " swept, how ", how), func(t *testing.T, b *books, d *Domain) {
				crash(b)
				if err := d.Reserve(t.Context(), Reservation{Key: "s.1", Grant: g}); err == nil {
					return
				}
				b.fail = nil
				next := b.process()
				for _, after := range []time.Duration{0, minSweepAge} { // nobody else's start is cut short
					time.Sleep(after)
					if n, err := next.Sweep(t.Context(), minSweepAge, nothing); n != 0 || err != nil {
						t.Errorf("%d swept after %v, %v", n, after, err)
					}
				}
				time.Sleep(time.Second)
				if _, err := next.Sweep(t.Context(), minSweepAge, nothing); err != nil {
					t.Error(err)
				}
				for id, a := range b.all(next) {
					if len(a.Live) > 0 || a.Used(time.Now()) > 0 {
						t.Errorf("%s: %+v", id, a)
					}
				}
				reserve(t, next, "another.1", g)
			})
		}
		if !reached {
			if at < 15 {
				t.Errorf("only %d calls to the store", at-1)
			}
			return
		}
	}
}

func TestSweep(t *testing.T) {
	g := grantFor("alice", "students", dollar)
	inBooks(t, "leaves sessions that run", func(t *testing.T, b *books, d *Domain) {
		reserve(t, d, "runs.1", g)
		reserve(t, d, "left.1", g)
		time.Sleep(time.Hour)
		reserve(t, d, "fresh.1", g)
		n, err := d.Sweep(t.Context(), minSweepAge, func(key string) (Grant, bool, error) { return g, key == "runs.1", nil })
		if n != 2 || err != nil { // left.1, of the user and of the group
			t.Errorf("%d swept, %v", n, err)
		}
		for id, a := range b.all(d) {
			if len(a.Live) != 2 || a.Settled != nil {
				t.Errorf("%s: %+v", id, a)
			}
		}
	})
	inBooks(t, "of a group that is not charged any more", func(t *testing.T, b *books, d *Domain) {
		reserve(t, d, "s.1", grantFor("alice", "teachers", dollar)) // and its process ended
		reserve(t, d, "s.1", g)
		time.Sleep(time.Hour)
		n, err := d.Sweep(t.Context(), minSweepAge, func(string) (Grant, bool, error) { return g, true, nil })
		if accounts := b.all(d); n != 1 || err != nil || len(accounts["group/teachers"].Live) != 0 || len(accounts["user/alice"].Live) != 1 {
			t.Errorf("%d swept, %v, %+v", n, err, accounts)
		}
	})
	inBooks(t, "not what is reserved again meanwhile", func(t *testing.T, b *books, d *Domain) {
		g := grantFor("alice", "", dollar)
		reserve(t, d, "s.1", g)
		time.Sleep(time.Hour)
		n, err := d.Sweep(t.Context(), minSweepAge, func(string) (Grant, bool, error) {
			reserve(t, b.process(), "s.1", g)
			return Grant{}, false, nil
		})
		if n != 0 || err != nil || len(b.all(d)["user/alice"].Live) != 1 {
			t.Errorf("%d swept, %v", n, err)
		}
	})
}

// TestLateReserve has a call to reserve arrive after the session was settled.
func TestLateReserve(t *testing.T) {
	g := grantFor("alice", "students", dollar)
	inBooks(t, "held up on its way to the store", func(t *testing.T, b *books, d *Domain) {
		first := true
		b.pause = func() (wait time.Duration) {
			if first {
				wait, first = 4*minSweepAge, false
			}
			return wait
		}
		var late error
		var wg sync.WaitGroup
		wg.Go(func() { late = b.process().Reserve(t.Context(), Reservation{Key: "s.1", Grant: g}) })
		time.Sleep(time.Second)
		reserve(t, d, "s.1", g)
		settle(t, d, "s.1", g, begun, begun.Add(time.Hour))
		time.Sleep(2 * doneFor)
		reserve(t, d, "another.1", g) // by then s.1 is forgotten
		wg.Wait()
		is := errors.Is(late, ErrConflict)
		for id, a := range b.all(d) {
			if !is || len(a.Live) != 1 {
				t.Errorf("%s: %+v, %v", id, a, late)
			}
		}
	})
	inBooks(t, "after it was settled", func(t *testing.T, b *books, d *Domain) {
		decided := time.Now()
		reserve(t, d, "s.1", g)
		settle(t, d, "s.1", g, decided, decided.Add(time.Hour))
		for range 5 { // until the decision is too old
			time.Sleep(2 * time.Minute)
			reserve(t, d, "another.1", g) // which has the account tidied
			if err := d.Release(t.Context(), "another.1", g); err != nil {
				t.Fatal(err)
			}
			late := d.Reserve(t.Context(), Reservation{Key: "s.1", Grant: g, At: decided})
			if late != nil && !errors.Is(late, ErrConflict) {
				t.Fatal(late)
			}
			settle(t, d, "s.1", g, decided, decided.Add(time.Hour))
		}
		for id, a := range b.all(d) {
			if a.Spent(time.Now()) != dollar || len(a.Live) != 0 {
				t.Errorf("%s: %+v", id, a)
			}
		}
	})
}

// TestAccountFitsRecord fills an account with the largest there is.
func TestAccountFitsRecord(t *testing.T) {
	longest := func(prefix string, n int) string {
		return fmt.Sprintf("%s%0*d", prefix, maxKey-len(prefix), n)
	}
	now := time.Now()
	for _, live := range []int{0, 1, maxSessions / 2, maxSessions} {
		a := account{Scope: ScopeProject, Name: strings.Repeat("n", maxName), Settled: map[string]instancetype.Money{}, Live: map[string]hold{}, Done: map[string]int64{}}
		for n := range keptMonths + 5 {
			a.Settled[monthName(now.AddDate(0, -n, 0))] = math.MaxInt64
		}
		for n := range live {
			a.Live[longest("live-", n)] = hold{At: now.Unix(), Rate: math.MaxInt64, For: int64(maxReservedFor / time.Second), By: "AAAAAA BBBBBB CCCCCC"}
		}
		for n := range 10_000 {
			a.Done[longest("done-", n)] = now.Unix() - int64(n%500)
		}
		a.tidy(now)
		text, err := json.Marshal(a)
		if err != nil || len(text) > store.MaxValue-spareBytes/2 {
			t.Errorf("with %d live, %d done, it has %d bytes, %v", live, len(a.Done), len(text), err)
		}
		if len(a.Settled) > keptMonths || len(a.Done) < 100 {
			t.Errorf("with %d live, %d months and %d done are kept", live, len(a.Settled), len(a.Done))
		}
		for key, at := range a.Done {
			if ago := now.Unix() - at; ago > int64(len(a.Done)/20) { // there are twenty of each second
				t.Errorf("%s, of %d s ago, is kept, and later ones are not", key, ago)
			}
		}
	}
	if h := (hold{At: now.Unix(), By: callName()}); len(callName()) != 6 || len(strings.Fields(h.join(callName()))) != 2 {
		t.Errorf("calls are %q", h.By)
	}
}

// TestAccountIsFull starts one more than a record holds, and settles all.
func TestAccountIsFull(t *testing.T) {
	inBooks(t, "", func(t *testing.T, b *books, d *Domain) {
		g := grantFor("alice", "", dollar)
		a := account{Scope: ScopeUser, Name: "alice", Live: map[string]hold{}}
		for n := range maxSessions {
			a.Live[fmt.Sprintf("%0*d", maxKey, n)] = hold{At: time.Now().Unix(), Rate: math.MaxInt64 / 1_000_000, For: 3600, By: "AAAAAA BBBBBB CCCCCC"}
		}
		if err := d.accounts().Create(t.Context(), "user/alice", a); err != nil {
			t.Fatal(err)
		}
		err := d.Reserve(t.Context(), Reservation{Key: "one-more.1", Grant: g})
		const want = "domain: reserve research/alice: limit reached: user alice: 2000 sessions at one time, as many as one account can hold, and this would be one more; wait until one ends"
		if err == nil || err.Error() != want || !errors.Is(err, ErrLimit) {
			t.Errorf("%v\nwant\n%s", err, want)
		}
		for n := range 3 {
			settle(t, d, fmt.Sprintf("%0*d", maxKey, n), g, begun, begun.Add(time.Hour))
		}
		reserve(t, d, "one-more.1", g)
		if got := b.all(d)["user/alice"]; len(got.Live) != maxSessions-2 || got.Settled["2026-11"] != 3*dollar {
			t.Errorf("%d live, settled %v", len(got.Live), got.Settled)
		}
	})
}

func TestQuote(t *testing.T) {
	inBooks(t, "", func(t *testing.T, b *books, d *Domain) {
		ctx := t.Context()
		f := testFacts()
		f.domain.Policy = Policy{SessionsPerUser: 1, Budget: 100 * dollar}
		f.domain.Groups = map[string]Policy{"students": {BudgetPerUser: dollar, Sessions: 30}}
		f.user.Groups = []string{"students"}
		if err := errors.Join(d.client.domains.Create(ctx, "research", f.domain), d.users.Create(ctx, "alice", *f.user)); err != nil {
			t.Fatal(err)
		}
		ask := Ask{User: "alice", InstanceType: "t3.medium", Alternatives: []string{"r5.4xlarge"}, Size: Size{1000, 1000, 0}}
		quote := func() Quote {
			t.Helper()
			q, err := d.Quote(ctx, ask)
			if err != nil {
				t.Fatal(err)
			}
			return q
		}
		before := b.all(d)
		q := quote()
		if len(before) != 0 || len(b.all(d)) != 0 {
			t.Error("a quote made an account")
		}
		g, err := d.Authorize(ctx, ask)
		if diff := cmp.Diff(g, q.Grant); diff != "" || err != nil {
			t.Errorf("%v (-authorized +quoted):\n%s", err, diff)
		}
		if q.PerHour != 63_000 || !q.PriceKnown || q.Reserved != 63_000 { // a sixteenth of a r5.4xlarge
			t.Errorf("%v an hour, %t, %v reserved", q.PerHour, q.PriceKnown, q.Reserved)
		}
		for _, s := range q.Limits {
			n, ofSessions := s.SessionsLeft()
			left, ofBudget := s.BudgetLeft()
			if s.Refusal != "" || s.Live != 0 || s.Used != 0 || n != s.Sessions || left != s.Budget || ofSessions != (s.Sessions > 0) || ofBudget != (s.Budget > 0) {
				t.Errorf("%+v", s)
			}
		}
		reserve(t, d, "s.1", g)
		time.Sleep(15 * time.Hour)
		err = d.Reserve(ctx, Reservation{Key: "s.2", Grant: g})
		var said []string
		for _, s := range quote().Limits {
			text := fmt.Sprintf("%s %s: %d live, %v used", s.Scope, s.Name, s.Live, s.Used)
			if n, limited := s.SessionsLeft(); limited {
				text += fmt.Sprintf(", %d sessions left", n)
			}
			if left, limited := s.BudgetLeft(); limited {
				text += fmt.Sprintf(", %v left", left)
			}
			said = append(said, text)
			if s.Refusal != "" && (err == nil || !strings.Contains(err.Error(), s.Refusal)) {
				t.Errorf("quoted is %q, refused %v", s.Refusal, err)
			}
			if (s.Refusal != "") != (s.Scope == ScopeUser) {
				t.Errorf("%+v", s)
			}
		}
		want := []string{
			"domain research: 1 live, $0.945 used, $99.055 left",
			"user alice: 1 live, $0.945 used, 0 sessions left",
			"group students: 1 live, $0.945 used, 29 sessions left",
			"user alice: 1 live, $0.945 used, $0.055 left",
		}
		if diff := cmp.Diff(want, said); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		ask.InstanceType = "t3.mediun"
		if _, err := d.Quote(ctx, ask); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v, want what Authorize says", err)
		}
	})
}

// TestQuoteResumeOfKeys: what the key of a resume holds is its own, unless it is to
// cost more, and what ended before counts as settled, once.
func TestQuoteResumeOfKeys(t *testing.T) {
	inBooks(t, "", func(t *testing.T, b *books, d *Domain) {
		ctx := t.Context()
		f := testFacts()
		f.domain.Policy = Policy{SessionsPerUser: 1, BudgetPerUser: dollar}
		if err := errors.Join(d.client.domains.Create(ctx, "research", f.domain), d.users.Create(ctx, "alice", *f.user)); err != nil {
			t.Fatal(err)
		}
		g, err := d.Authorize(ctx, Ask{User: "alice", InstanceType: "t3.medium"})
		if err != nil {
			t.Fatal(err)
		}
		rate, _ := g.PerHour("")
		reserve(t, d, "s.1", g)
		time.Sleep(3 * time.Hour)
		ran := &Settlement{Key: "s.1", Grant: g, PerHour: rate, From: begun, To: begun.Add(2 * time.Hour)}
		quote := func(typ string, before *Settlement, used instancetype.Money, refusals ...string) {
			t.Helper()
			q, err := d.QuoteResume(ctx, Ask{User: "alice", InstanceType: typ, Resume: &g}, "s.2", before)
			if err != nil || len(q.Limits) != 1 || q.Limits[0].Used != used {
				t.Fatalf("%+v, %v; want %v used", q.Limits, err, used)
			}
			if said := q.Limits[0].Refusal; (said == "") != (refusals == nil) {
				t.Errorf("refused by %q", said)
			}
			for _, text := range refusals {
				if !strings.Contains(q.Limits[0].Refusal, text) {
					t.Errorf("%q does not say %q", q.Limits[0].Refusal, text)
				}
			}
		}
		quote("t3.medium", nil, 3*rate, "1 session at one time")
		quote("t3.medium", ran, 2*rate)
		settle(t, d, "s.1", g, ran.From, ran.To)
		quote("t3.medium", ran, 2*rate)
		quote("t3.medium", nil, 2*rate)
		reserve(t, d, "s.2", g)
		quote("t3.medium", nil, 2*rate)
		quote("r5.4xlarge", nil, 2*rate, "this would add $1.008")
		f.domain.Policy.BudgetPerUser = 1
		if err := d.SetPolicy(ctx, f.domain.Policy); err != nil {
			t.Fatal(err)
		}
		quote("t3.medium", nil, 2*rate) // it is reserved
		if err := d.Reserve(ctx, Reservation{Key: "s.2", Grant: g}); err != nil {
			t.Error(err)
		}
		_, err = d.QuoteResume(ctx, Ask{User: "alice", Resume: &g}, "", &Settlement{Key: "s/1", Grant: g, PerHour: -1})
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%v, want a refusal", err)
		}
		for _, text := range []string{`key ""`, `key "s/1"`, "may not be negative"} {
			if err != nil && !strings.Contains(err.Error(), text) {
				t.Errorf("%v does not say %s", err, text)
			}
		}
	})
}

// BenchmarkReserve starts and settles a session beside others of the same account.
func BenchmarkReserve(b *testing.B) {
	for _, live := range []int{0, 100, maxSessions - 1} {
		b.Run(fmt.Sprint(live), func(b *testing.B) {
			d := onStore(store.NewMemory())
			g := grantFor("alice", "", dollar)
			a := account{Scope: ScopeUser, Name: "alice", Live: map[string]hold{}}
			for n := range live {
				a.Live[fmt.Sprintf("s-%d.1", n)] = hold{At: time.Now().Unix(), Rate: 41_600, For: 3600, By: callName()}
			}
			if err := d.accounts().Create(b.Context(), "user/alice", a); err != nil {
				b.Fatal(err)
			}
			for n := 0; b.Loop(); n++ {
				key := fmt.Sprintf("b-%d.1", n)
				reserve(b, d, key, g)
				settle(b, d, key, g, time.Now(), time.Now())
			}
		})
	}
}
