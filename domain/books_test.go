package domain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/instancetype"
)

// books is a store of accounts that is slow, fails, and looks at what is written.
type books struct {
	store.Store
	t testing.TB

	mu     sync.Mutex
	calls  int
	pause  func() time.Duration
	fail   func(call int) fault
	limits []Limit                       // held to at every write
	live   map[string]map[string]bool    // what each account had last
	most   map[string]int                // live at one time
	peak   map[string]instancetype.Money // used when a session was let in
}

// fault is what happens to one call.
type fault int

const (
	none      fault = iota
	refused         // it fails and has no effect
	lostReply       // it has its effect and fails
)

var errBooks = errors.New("the store does not answer")

func newBooks(t testing.TB) *books {
	return &books{
		Store: store.NewMemory(), t: t,
		live: map[string]map[string]bool{}, most: map[string]int{}, peak: map[string]instancetype.Money{},
	}
}

// process is the domain as a new process has it.
func (b *books) process() *Domain { return onStore(b) }

func onStore(s store.Store) *Domain {
	c := &Client{
		region: "us-east-1", store: s, catalog: instancetype.Embedded(), log: slog.New(slog.DiscardHandler),
		domains: store.NewTable[record](s, domainsCollection), ledgers: store.NewTable[ledger](s, ledgerCollection),
	}
	return c.domain("research")
}

// next is what a call is to wait and suffer.
func (b *books) next() (wait time.Duration, f fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	if b.pause != nil {
		wait = b.pause()
	}
	if b.fail != nil {
		f = b.fail(b.calls)
	}
	return wait, f
}

func (b *books) Get(ctx context.Context, collection, id string) (store.Record, error) {
	wait, f := b.next()
	time.Sleep(wait)
	if f != none {
		return store.Record{}, errBooks
	}
	return b.Store.Get(ctx, collection, id)
}

func (b *books) Put(ctx context.Context, r store.Record) (int64, error) {
	wait, f := b.next()
	time.Sleep(wait)
	if f == refused {
		return 0, errBooks
	}
	b.mu.Lock()
	version, err := b.Store.Put(ctx, r)
	if err == nil {
		b.audit(r)
	}
	b.mu.Unlock()
	if err == nil && f == lostReply {
		return 0, errBooks
	}
	return version, err
}

// audit holds what was written to the limits, by a count of its own.
func (b *books) audit(r store.Record) {
	var a struct {
		Scope   Scope
		Name    string
		Settled map[string]instancetype.Money
		Live    map[string]struct {
			At, For int64
			Rate    instancetype.Money
		}
	}
	if err := json.Unmarshal(r.Value, &a); err != nil {
		b.t.Error(err)
		return
	}
	now := time.Now()
	month := now.UTC().Format("2006-01")
	used, fresh := a.Settled[month], false
	for key, h := range a.Live {
		fresh = fresh || !b.live[r.ID][key]
		begin, _ := time.Parse("2006-01", month)
		accrued := Cost(h.Rate, time.Unix(h.At, 0), now) - Cost(h.Rate, time.Unix(h.At, 0), time.Unix(max(h.At, begin.Unix()), 0))
		used += max(accrued, h.Rate.Over(time.Duration(h.For)*time.Second))
	}
	b.live[r.ID] = map[string]bool{}
	for key := range a.Live {
		b.live[r.ID][key] = true
	}
	b.most[r.ID] = max(b.most[r.ID], len(a.Live))
	if !fresh {
		return
	}
	b.peak[r.ID] = max(b.peak[r.ID], used)
	for _, l := range b.limits {
		if l.Scope != a.Scope || l.Name != a.Name {
			continue
		}
		if l.Sessions != 0 && len(a.Live) > l.Sessions {
			b.t.Errorf("%s has %d live, at most %d", r.ID, len(a.Live), l.Sessions)
		}
		if l.Budget != 0 && used > l.Budget {
			b.t.Errorf("%s has used %v when one is let in, at most %v", r.ID, used, l.Budget)
		}
	}
}

// all are the accounts as they are.
func (b *books) all(d *Domain) map[string]Account {
	b.t.Helper()
	found := map[string]Account{}
	for a, err := range d.Accounts(context.Background()) {
		if err != nil {
			b.t.Fatal(err)
		}
		found[string(a.Scope)+"/"+a.Name] = a
	}
	return found
}

// grantFor is of a type at a price an hour, held to those limits that are the
// user's, the group's or the domain's.
func grantFor(user, group string, price instancetype.Money, limits ...Limit) Grant {
	return chargedTo("", user, group, price, limits...)
}

// chargedTo is a grant that a project pays for, too.
func chargedTo(project, user, group string, price instancetype.Money, limits ...Limit) Grant {
	g := Grant{
		ChargeTo: project,
		Domain:   "research", User: *testUser(user, 200001), Group: group, Sharing: PerUser,
		Type: instancetype.Type{Name: "t3.medium", VCPUs: 2, MemoryMiB: 4096}, PricePerHour: instancetype.Price{PerHour: price}, PriceKnown: price > 0,
	}
	for _, l := range limits {
		if (owner{l.Scope, l.Name}) == (owner{ScopeUser, user}) || (owner{l.Scope, l.Name}) == (owner{ScopeGroup, group}) || (owner{l.Scope, l.Name}) == (owner{ScopeProject, project}) || l.Scope == ScopeDomain {
			g.Limits = append(g.Limits, l)
		}
	}
	return g
}

// bookLimits are those that the random tests run under.
var bookLimits = []Limit{
	{Scope: ScopeDomain, Name: "research", Rule: "the domain's policy", Sessions: 7, Budget: 40 * dollar},
	{Scope: ScopeGroup, Name: "one", Rule: "policy of group one", Sessions: 4},
	{Scope: ScopeGroup, Name: "two", Rule: "policy of group two", Budget: 15 * dollar},
	{Scope: ScopeUser, Name: "a", Rule: "the domain's policy", Sessions: 2},
	{Scope: ScopeUser, Name: "b", Rule: "policy of group one", Budget: 9 * dollar},
	{Scope: ScopeProject, Name: "genome", Rule: "budget of project genome", Budget: 12 * dollar},
}

func randomGrant(r *rand.Rand) Grant {
	user := []string{"a", "b", "c", "d"}[r.IntN(4)]
	group := map[string]string{"a": "one", "b": "one", "c": "two", "d": ""}[user]
	project := []string{"", "genome", "trial"}[r.IntN(3)] // of which trial has no budget
	return chargedTo(project, user, group, instancetype.Money(1+r.IntN([]int{30_000, 30_000, 3_000_000}[r.IntN(3)])), bookLimits...)
}

// ended is a session that was settled, as the test has it.
type ended struct {
	grant    Grant
	from, to time.Time
}

// balance compares what is settled with the sessions that ended.
func (b *books) balance(accounts map[string]Account, sessions map[string]ended) {
	b.t.Helper()
	want, projects := map[string]instancetype.Money{}, map[string]instancetype.Money{}
	var total, users instancetype.Money
	for _, s := range sessions {
		cost := Cost(s.grant.PricePerHour.PerHour, s.from, s.to)
		total += cost
		if project := s.grant.ChargeTo; project != "" {
			projects["project/"+project] += cost
		}
		for _, o := range s.grant.owners() {
			want[o.id()] += cost
		}
	}
	for id, a := range accounts {
		var sum instancetype.Money
		for _, m := range a.Settled {
			sum += m
		}
		if sum != want[id] {
			b.t.Errorf("%s was charged with %v, its sessions cost %v", id, sum, want[id])
		}
		if a.Scope == ScopeUser {
			users += sum
		}
		if a.Scope == ScopeProject {
			if sum != projects[id] {
				b.t.Errorf("%s was charged with %v, the sessions that name it cost %v", id, sum, projects[id])
			}
			delete(projects, id)
		}
	}
	for id, cost := range projects {
		b.t.Errorf("%s has no account, and the sessions that name it cost %v", id, cost)
	}
	if users != total {
		b.t.Errorf("users were charged with %v, the sessions cost %v", users, total)
	}
}

// model is the accounts, written down a second time for one caller.
type model struct {
	live map[string]modelHold // by key
	done map[string]ended
}

type modelHold struct {
	grant Grant
	at    time.Time
	need  time.Duration
}

// in reports whether a session of a grant is in the account of a limit.
func in(g Grant, l Limit) bool { return slices.Contains(g.owners(), owner{l.Scope, l.Name}) }

// allows reports whether one more may start by every limit.
func (m model) allows(g Grant, need time.Duration, now time.Time) (quota, budget bool) {
	month := now.UTC().Format("2006-01")
	first := time.Date(now.UTC().Year(), now.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
	for _, o := range g.owners() { // the first account that refuses decides
		quota, budget := true, true
		for _, l := range g.Limits {
			if (owner{l.Scope, l.Name}) != o {
				continue
			}
			n, used := 0, g.PricePerHour.PerHour.Over(need)
			for _, h := range m.live {
				if in(h.grant, l) {
					n++
					rate := h.grant.PricePerHour.PerHour
					accrued := Cost(rate, h.at, now) - Cost(rate, h.at, first)
					used += max(accrued, rate.Over(h.need))
				}
			}
			for _, s := range m.done {
				for day := s.from; in(s.grant, l) && day.Before(s.to); {
					next := time.Date(day.UTC().Year(), day.UTC().Month()+1, 1, 0, 0, 0, 0, time.UTC)
					if s.to.Before(next) {
						next = s.to
					}
					if day.UTC().Format("2006-01") == month {
						rate := s.grant.PricePerHour.PerHour
						used += Cost(rate, s.from, next) - Cost(rate, s.from, day)
					}
					day = next
				}
			}
			quota = quota && (l.Sessions == 0 || n < l.Sessions)
			budget = budget && (l.Budget == 0 || used <= l.Budget)
		}
		if !quota || !budget {
			return quota, budget
		}
	}
	return true, true
}

// TestAccountsAgainstModel does at random what sessions do, one thing after
// another, over the ends of months and a year.
func TestAccountsAgainstModel(t *testing.T) {
	tally := map[string]int{}
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 7))
				b := newBooks(t)
				b.limits = bookLimits
				d := b.process()
				ctx := t.Context()
				m := model{map[string]modelHold{}, map[string]ended{}}
				time.Sleep(time.Duration(300+r.IntN(60)) * 24 * time.Hour) // the clock begins on a New Year's Day
				for n := range 400 {
					time.Sleep(time.Duration(r.IntN(9*3600)) * time.Second)
					now := time.Now()
					var key string
					for k := range m.live {
						key = max(key, k)
					}
					switch r.IntN(7) {
					case 0, 1, 5, 6:
						g, key := randomGrant(r), fmt.Sprintf("s-%d.1", n)
						need := time.Duration(1+r.IntN(4)) * time.Hour
						quota, budget := m.allows(g, need, now)
						err := d.Reserve(ctx, Reservation{Key: key, Grant: g, For: need})
						if errors.Is(err, ErrLimit) == quota || errors.Is(err, ErrBudget) == budget || (err == nil) != (quota && budget) {
							t.Fatalf("%d: %v, by the model %t, %t", n, err, quota, budget)
						}
						tally[fmt.Sprint("reserve ", quota, " ", budget)]++
						if err == nil {
							m.live[key] = modelHold{g, now, need}
						}
					case 2: // again
						if key != "" {
							h := m.live[key]
							if err := d.Reserve(ctx, Reservation{Key: key, Grant: h.grant, For: h.need}); err != nil {
								t.Fatal(err)
							}
							m.live[key] = modelHold{h.grant, now, h.need}
						}
					case 3:
						if key != "" {
							for range 1 + r.IntN(2) {
								if err := d.Release(ctx, key, m.live[key].grant); err != nil {
									t.Fatal(err)
								}
							}
							delete(m.live, key)
						}
					case 4:
						if key == "" {
							continue
						}
						g := m.live[key].grant
						e := ended{g, m.live[key].at, now}
						for range 1 + r.IntN(2) {
							got, err := d.Settle(ctx, Settlement{Key: key, Grant: g, PerHour: g.PricePerHour.PerHour, From: e.from, To: e.to})
							if want := Cost(g.PricePerHour.PerHour, e.from, e.to); err != nil || got != want {
								t.Fatalf("settled %v, %v, want %v", got, err, want)
							}
						}
						delete(m.live, key)
						m.done[key] = e
						if r.IntN(2) == 0 { // a start that comes late
							if err := d.Reserve(ctx, Reservation{Key: key, Grant: g}); err != nil {
								t.Fatal(err)
							}
							if _, err := d.Settle(ctx, Settlement{Key: key, Grant: g, PerHour: g.PricePerHour.PerHour, From: e.from, To: e.to.Add(time.Hour)}); err != nil {
								t.Fatal(err)
							}
						}
						tally["settle"]++
					}
				}
				accounts := b.all(d)
				for id, a := range accounts {
					n := 0
					for _, h := range m.live {
						if slices.Contains(h.grant.owners(), owner{a.Scope, a.Name}) {
							n++
						}
					}
					if len(a.Live) != n {
						t.Errorf("%s has %d live, by the model %d", id, len(a.Live), n)
					}
				}
				b.balance(accounts, m.done)
			})
		})
	}
	for _, what := range []string{"reserve true true", "reserve false true", "reserve true false", "settle"} {
		if tally[what] < 50 {
			t.Errorf("%q only %d times: %v", what, tally[what], tally)
		}
	}
}

// TestAccountsUnderInterleaving has many callers in several processes start, repeat,
// give up, settle and sweep at the same time, on a store that is slow and fails.
func TestAccountsUnderInterleaving(t *testing.T) {
	started, refusals, failures := 0, 0, 0
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 8))
				time.Sleep(time.Duration(366*24*60-r.IntN(600)) * time.Minute) // in the last hours of 2000, a leap year
				b := newBooks(t)
				b.limits = bookLimits
				b.pause = func() time.Duration { return time.Duration(r.IntN(20)) * time.Millisecond }
				b.fail = func(int) fault {
					if r.IntN(25) > 0 {
						return none
					}
					failures++
					return fault(1 + r.IntN(2))
				}
				var mu sync.Mutex
				draw := func(n int) int {
					b.mu.Lock()
					defer b.mu.Unlock()
					return r.IntN(n)
				}
				running, done := map[string]Grant{}, map[string]ended{}
				grant := func(key string) (Grant, bool, error) {
					mu.Lock()
					defer mu.Unlock()
					g, ok := running[key]
					return g, ok, nil
				}
				processes := []*Domain{b.process(), b.process(), b.process()}
				var wg sync.WaitGroup
				for n := range 60 {
					key := fmt.Sprintf("s-%d.1", n)
					b.mu.Lock() // callers of others draw already
					g := randomGrant(r)
					b.mu.Unlock()
					begin := time.Duration(draw(12*3600)) * time.Second
					recorded := false
					for range 1 + draw(3) { // callers of one session, at about the same time
						wg.Go(func() {
							time.Sleep(begin + time.Duration(draw(30))*time.Millisecond)
							d := processes[draw(3)]
							err := d.Reserve(t.Context(), Reservation{Key: key, Grant: g})
							for tries := 0; errors.Is(err, errBooks) && tries < draw(4); tries++ {
								err = d.Reserve(t.Context(), Reservation{Key: key, Grant: g})
							}
							if err != nil { // refused, or its process has ended
								if !errors.Is(err, ErrLimit) && !errors.Is(err, ErrBudget) && !errors.Is(err, errBooks) {
									t.Error(err)
								}
								mu.Lock()
								refusals++
								mu.Unlock()
								return
							}
							mu.Lock()
							first := !recorded
							if first { // it records the session, and has it run
								recorded = true
								running[key] = g
								started++
							}
							mu.Unlock()
							if first {
								from := time.Now()
								time.Sleep(time.Duration(draw(5*3600)) * time.Second)
								for _, o := range g.owners() {
									a, err := b.Store.Get(t.Context(), accountsCollection("research"), o.id())
									if err != nil || !strings.Contains(string(a.Value), `"`+key+`":{`) {
										t.Errorf("%s runs and is not in %s: %s, %v", key, o, a.Value, err)
									}
								}
								s := Settlement{Key: key, Grant: g, PerHour: g.PricePerHour.PerHour, From: from, To: time.Now()}
								for err := errBooks; err != nil; { // whoever finds it in the records
									_, err = processes[draw(3)].Settle(t.Context(), s)
								}
								if draw(3) == 0 {
									processes[draw(3)].Settle(t.Context(), s)
								}
								mu.Lock()
								done[key] = ended{g, s.From, s.To}
								delete(running, key)
								mu.Unlock()
							}
						})
					}
				}
				for range 20 {
					wg.Go(func() {
						time.Sleep(time.Duration(draw(18*3600)) * time.Second)
						_, err := processes[draw(3)].Sweep(t.Context(), minSweepAge, grant)
						if err != nil && !errors.Is(err, errBooks) {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				b.fail = nil
				time.Sleep(time.Hour)
				if _, err := processes[0].Sweep(t.Context(), minSweepAge, grant); err != nil {
					t.Error(err)
				}
				accounts := b.all(processes[0])
				for id, a := range accounts {
					if len(a.Live) > 0 {
						t.Errorf("%s still has %v", id, a.Live)
					}
				}
				b.balance(accounts, done)
			})
		})
	}
	if started < 300 || refusals < 300 || failures < 300 {
		t.Errorf("%d started, %d refused, %d failures: not varied enough", started, refusals, failures)
	}
}
