package domain_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// story is what the tests of crashes interrupt: it goes on wherever it was.
func story(ctx context.Context, w *world) ([]domain.User, error) {
	c, err := domain.NewFromConfig(w.Config(), domain.Config{Store: w.store})
	if err != nil {
		return nil, err
	}
	d, err := c.Create(ctx, w.request())
	if err != nil {
		return nil, err
	}
	var users []domain.User
	for _, name := range []string{"alice", "bob"} {
		u, err := d.Onboard(ctx, domain.OnboardRequest{User: name})
		if err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	return users, nil
}

// projectStory is the same of projects: one is made before any user is, one is
// deleted.
func projectStory(ctx context.Context, w *world) ([]domain.User, error) {
	c, err := domain.NewFromConfig(w.Config(), domain.Config{Store: w.store})
	if err != nil {
		return nil, err
	}
	d, err := c.Create(ctx, w.request())
	if err != nil {
		return nil, err
	}
	var ids []domain.User // that they are users' or projects' does not matter
	for _, name := range []string{"alpha", "beta"} {
		q := domain.CreateProjectRequest{Name: name, Groups: []string{"lab"}}
		p, err := d.CreateProject(ctx, q)
		if errors.Is(err, domain.ErrState) { // a deletion was cut short, which comes first
			if err = d.DeleteProject(ctx, name); err == nil {
				p, err = d.CreateProject(ctx, q)
			}
		}
		if err != nil {
			return nil, err
		}
		ids = append(ids, domain.User{UID: p.GID})
	}
	if err := d.DeleteProject(ctx, "beta"); err != nil && !errors.Is(err, domain.ErrNotFound) {
		return nil, err
	}
	alice, err := d.Onboard(ctx, domain.OnboardRequest{User: "alice"})
	if err != nil {
		return nil, err
	}
	return append(ids, domain.User{UID: alice.UID, Home: alice.Home}), nil
}

// delays let AWS be slow and its reads be late, in moderation.
func delays() fakeaws.Delays {
	d := fakeaws.Brisk()
	d.Visible = 600 * time.Millisecond
	return d
}

// TestCrashAtEveryCall ends the process at each call to AWS in turn, before it
// took effect and after, and runs the story again in a new one.
func TestCrashAtEveryCall(t *testing.T) { crashAtEveryCall(t, story) }

func TestProjectCrashAtEveryCall(t *testing.T) { crashAtEveryCall(t, projectStory) }

func crashAtEveryCall(t *testing.T, story func(context.Context, *world) ([]domain.User, error)) {
	var calls []fakeaws.Call
	var want string
	var users []domain.User
	inBubble(t, "undisturbed", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: delays()})
		var err error
		if users, err = story(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		calls = w.Calls()
		time.Sleep(time.Second)
		want = w.inventory(t.Context())
	})
	for _, call := range calls {
		for _, after := range []bool{false, true} {
			inBubble(t, fmt.Sprintf("%s %d after=%t", call.Action, call.Nth, after), func(t *testing.T) {
				w := newWorld(t, fakeaws.Config{Delays: delays(), Faults: []fakeaws.Fault{
					{Action: call.Action, Subject: call.Subject, Nth: call.Nth, Crash: true, After: after},
				}})
				_, err := story(t.Context(), w)
				if w.Injected() == 0 {
					t.Fatal("the call was not made this time")
				}
				if !errors.Is(err, fakeaws.ErrCrashed) {
					t.Fatalf("%v, want a crash", err)
				}
				got, err := story(t.Context(), w)
				if err != nil {
					t.Fatal(err)
				}
				for i, u := range got {
					if u.UID != users[i].UID || u.Home.Path != users[i].Home.Path {
						t.Errorf("%+v, undisturbed %+v", u, users[i])
					}
				}
				time.Sleep(time.Second) // until every read tells of the last change
				if diff := cmp.Diff(want, w.inventory(t.Context())); diff != "" {
					t.Errorf("(-undisturbed +crashed):\n%s", diff)
				}
			})
		}
	}
}

// failingStore fails one Put, before or after it took effect.
type failingStore struct {
	store.Store
	puts, at int
	after    bool
}

var errStore = errors.New("the store does not answer")

func (s *failingStore) Put(ctx context.Context, r store.Record) (int64, error) {
	s.puts++
	if s.puts != s.at {
		return s.Store.Put(ctx, r)
	}
	if s.after {
		if _, err := s.Store.Put(ctx, r); err != nil {
			return 0, err
		}
	}
	return 0, errStore
}

// TestStoreFailsAtEveryPut does the same with the records.
func TestStoreFailsAtEveryPut(t *testing.T) { storeFailsAtEveryPut(t, story) }

func TestProjectStoreFailsAtEveryPut(t *testing.T) { storeFailsAtEveryPut(t, projectStory) }

func storeFailsAtEveryPut(t *testing.T, story func(context.Context, *world) ([]domain.User, error)) {
	for at := 1; ; at++ {
		reached := true
		for _, after := range []bool{false, true} {
			inBubble(t, fmt.Sprintf("put %d after=%t", at, after), func(t *testing.T) {
				w := newWorld(t, fakeaws.Config{})
				w.store = &failingStore{Store: w.store, at: at, after: after}
				_, err := story(t.Context(), w)
				if reached = err != nil; !reached {
					return
				}
				if !errors.Is(err, errStore) {
					t.Fatal(err)
				}
				got, err := story(t.Context(), w)
				if err != nil {
					t.Fatal(err)
				}
				if got[0].UID == got[1].UID || got[0].UID == 0 || got[1].UID == 0 {
					t.Errorf("uids %d and %d", got[0].UID, got[1].UID)
				}
				w.audit(t.Context(), 2, 2)
			})
		}
		if !reached {
			if at < 10 {
				t.Errorf("the story puts %d records only", at-1)
			}
			return
		}
	}
}

func TestOnboardCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		d := w.create(t.Context())
		for n := range 12 {
			limit := time.Duration(n*n) * 300 * time.Millisecond
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			began := time.Now()
			_, err := d.Onboard(ctx, domain.OnboardRequest{User: "alice"})
			if err != nil && err != context.DeadlineExceeded {
				t.Errorf("%v, want the context's error as it is", err)
			}
			if took := time.Since(began); took > limit {
				t.Errorf("returned after %v, %v was given", took, limit)
			}
			cancel()
		}
		onboard(t, d, "alice")
		onboard(t, d, "bob")
		golden(t, "onboard.golden", w.inventory(t.Context()))
	})
}
