package domain_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

func TestUIDsAreNeverReused(t *testing.T) {
	inBubble(t, "after offboarding", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		d := w.create(t.Context())
		alice := onboard(t, d, "alice")
		for range 2 {
			if err := d.Offboard(t.Context(), "alice"); err != nil {
				t.Fatal(err)
			}
		}
		if gone, err := d.User(t.Context(), "alice"); err != nil || gone.Offboarded.IsZero() || gone.UID != alice.UID {
			t.Errorf("%+v, %v", gone, err)
		}
		if bob := onboard(t, d, "bob"); bob.UID == alice.UID {
			t.Errorf("bob got alice's uid %d", bob.UID)
		}
		back := onboard(t, d, "alice")
		if back.UID != alice.UID || back.Home != alice.Home || !back.Offboarded.IsZero() {
			t.Errorf("came back as %+v, left as %+v", back, alice)
		}
		is(t, d.Offboard(t.Context(), "carol"), domain.ErrNotFound)
		is(t, d.Offboard(t.Context(), "../carol"), domain.ErrInvalid)
	})
	inBubble(t, "after the domain was deleted", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		alice := onboard(t, d, "alice")
		if err := d.Offboard(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		if err := w.client().Delete(ctx, "research"); err != nil {
			t.Fatal(err)
		}
		d = w.create(ctx)
		if bob := onboard(t, d, "bob"); bob.UID <= alice.UID || bob.Home.FileSystem != alice.Home.FileSystem {
			t.Errorf("bob is %+v, alice was %+v", bob, alice)
		}
		if back := onboard(t, d, "alice"); back.UID != alice.UID || back.Home != alice.Home {
			t.Errorf("came back as %+v, left as %+v", back, alice)
		}
	})
	inBubble(t, "after the store was lost", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		d := w.create(t.Context())
		alice, bob := onboard(t, d, "alice"), onboard(t, d, "bob")
		w.store = store.NewMemory()
		d = w.create(t.Context())
		if carol := onboard(t, d, "carol"); carol.UID <= bob.UID {
			t.Errorf("carol got uid %d, bob has %d", carol.UID, bob.UID)
		}
		if back := onboard(t, d, "alice"); back.UID != alice.UID || back.Home != alice.Home {
			t.Errorf("came back as %+v, was %+v", back, alice)
		}
		found, err := d.User(t.Context(), "bob")
		if err != nil || found.UID != bob.UID || found.Offboarded.IsZero() {
			t.Errorf("bob is remembered as %+v, %v, want offboarded with his uid", found, err)
		}
	})
	inBubble(t, "with another's access points on the file system", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		d := w.create(t.Context())
		alice := onboard(t, d, "alice")
		fs, err := efs.NewFromConfig(w.Config(), efs.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fs.EnsureHome(t.Context(), efs.HomeSpec{FileSystem: alice.Home.FileSystem, User: "somebody", UID: 200500, GID: 200500}); err != nil {
			t.Fatal(err)
		}
		if _, err := fs.EnsureHome(t.Context(), efs.HomeSpec{
			FileSystem: alice.Home.FileSystem, User: "dave", UID: 200600, GID: 100, Tags: map[string]string{"atelier:domain": "research"},
		}); err != nil {
			t.Fatal(err)
		}
		w.store = store.NewMemory()
		d = w.create(t.Context())
		if bob := onboard(t, d, "bob"); bob.UID != 200601 {
			t.Errorf("bob got uid %d, want 200601", bob.UID)
		}
		if dave := onboard(t, d, "dave"); dave.UID != 200602 || dave.GID != 200602 {
			t.Errorf("dave got %d:%d, want 200602:200602", dave.UID, dave.GID)
		}
	})
}

// TestOneNameInTwoStores onboards into domains that know nothing of each other
// and share a file system, as they have the same name.
func TestOneNameInTwoStores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		one := w.create(t.Context())
		w.store = store.NewMemory()
		two := w.create(t.Context())
		owners := map[uint32]string{}
		for n := range 5 {
			for i, d := range []*domain.Domain{one, two} {
				u := onboard(t, d, fmt.Sprintf("user-%d-%d", i, n))
				if owner, taken := owners[u.UID]; taken {
					t.Errorf("uid %d is that of %s and %s", u.UID, owner, u.Name)
				}
				owners[u.UID] = u.Name
			}
		}
	})
}

// TestStockTakenAmongHalfOnboardedUsers has uids given that the file system
// does not show yet, when it turns out to be shared.
func TestStockTakenAmongHalfOnboardedUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{ // the first try at each access point
			{Action: "elasticfilesystem:CreateAccessPoint", Nth: 1, Status: 400, Code: "ValidationException"},
		}})
		twice := func(d *domain.Domain, user string) {
			_, err := d.Onboard(t.Context(), domain.OnboardRequest{User: user})
			is(t, err, domain.ErrInvalid)
			onboard(t, d, user)
		}
		one := w.create(t.Context())
		twice(one, "alice")
		w.store = store.NewMemory()
		two := w.create(t.Context())
		for _, user := range []string{"xenia", "yves"} {
			_, err := two.Onboard(t.Context(), domain.OnboardRequest{User: user})
			is(t, err, domain.ErrInvalid)
		}
		onboard(t, one, "bob") // has xenia's uid, and is first at the file system
		twice(two, "xenia")
		owners := map[uint32]string{}
		for u, err := range two.Users(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if owner, taken := owners[u.UID]; taken {
				t.Errorf("uid %d is that of %s and %s", u.UID, owner, u.Name)
			}
			owners[u.UID] = u.Name
		}
		if len(owners) != 4 {
			t.Errorf("users %v, want four", owners)
		}
	})
}

func TestOnboardConcurrently(t *testing.T) {
	for seed := range uint64(5) {
		inBubble(t, fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{Seed: seed, Delays: fakeaws.Realistic()})
			w.create(t.Context())
			r := rand.New(rand.NewPCG(seed, 1))
			w.store = &slowStore{Store: w.store, pause: func() time.Duration { return time.Duration(r.IntN(5)) * time.Millisecond }}
			clients := []*domain.Client{w.client(), w.client(), w.client()} // processes
			const users, calls = 12, 4
			got := make([][]domain.User, users)
			var mu sync.Mutex
			var wg sync.WaitGroup
			for n := range users * calls {
				wg.Go(func() {
					time.Sleep(time.Duration(n%7) * 11 * time.Second) // first users meet the file system in the making
					d, err := clients[n%len(clients)].Get(t.Context(), "research")
					if err != nil {
						t.Error(err)
						return
					}
					u, err := d.Onboard(t.Context(), domain.OnboardRequest{User: fmt.Sprintf("user-%d", n%users)})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					got[n%users] = append(got[n%users], u)
					mu.Unlock()
				})
			}
			wg.Wait()
			uids := map[uint32]string{}
			for _, same := range got {
				for _, u := range same {
					if u.UID != same[0].UID || u.Home != same[0].Home {
						t.Errorf("one user is %+v and %+v", u, same[0])
					}
				}
				if owner, taken := uids[same[0].UID]; taken {
					t.Errorf("uid %d is that of %s and %s", same[0].UID, owner, same[0].Name)
				}
				uids[same[0].UID] = same[0].Name
			}
			w.audit(t.Context(), 2, users)
		})
	}
}

// TestOnboardOneUserManyTimesAtOnce has the calls meet where the uid is given.
func TestOnboardOneUserManyTimesAtOnce(t *testing.T) {
	for seed := range uint64(20) {
		inBubble(t, fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{Seed: seed})
			onboard(t, w.create(t.Context()), "bob")
			r := rand.New(rand.NewPCG(seed, 2))
			w.store = &slowStore{Store: w.store, pause: func() time.Duration { return time.Duration(r.IntN(5)) * time.Millisecond }}
			d := w.must("research")
			var uids [5]uint32
			var wg sync.WaitGroup
			for n := range uids {
				wg.Go(func() { uids[n] = onboard(t, d, "alice").UID })
			}
			wg.Wait()
			for _, uid := range uids {
				if uid != uids[0] {
					t.Errorf("alice has uids %v", uids)
				}
			}
			w.audit(t.Context(), 2, 2)
		})
	}
}
