package domain_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestOnboard holds what two users bring about, security groups with exactly
// their rules included, and what callers are told meanwhile.
func TestOnboard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		var told []string
		c, err := domain.NewFromConfig(w.Config(), domain.Config{
			Store: w.store, Progress: func(p domain.Progress) {
				p.Waited = 0 // how often EFS is looked at is its client's concern
				told = append(told, p.String())
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		d, err := c.Create(t.Context(), w.request())
		if err != nil {
			t.Fatal(err)
		}
		alice := onboard(t, d, "alice", "staff", "lab")
		bob := onboard(t, d, "bob")
		if alice.UID != 200001 || alice.GID != 200001 || bob.UID != 200002 {
			t.Errorf("uids %d:%d and %d, want 200001:200001 and 200002", alice.UID, alice.GID, bob.UID)
		}
		if want := []string{"lab", "staff"}; !slices.Equal(alice.Groups, want) {
			t.Errorf("groups %v, want %v", alice.Groups, want)
		}
		if alice.Home.AccessPoint == bob.Home.AccessPoint || alice.Home.FileSystem != bob.Home.FileSystem || alice.Home.Path != "/200001" {
			t.Errorf("homes %+v and %+v", alice.Home, bob.Home)
		}
		about, err := d.Describe(t.Context())
		if err != nil || about.FileSystem != alice.Home.FileSystem || about.FileSystemSecurityGroup == "" {
			t.Errorf("%+v, %v", about, err)
		}
		golden(t, "onboard.golden", w.inventory(t.Context()))
		told = slices.Compact(told) // looks at one thing in one state
		golden(t, "progress.golden", strings.Join(told, "\n")+"\n")

		before := len(w.mutations())
		if again := onboard(t, d, "alice", "staff", "lab"); !cmp.Equal(again, alice) {
			t.Errorf("onboarded again:\n%s", cmp.Diff(alice, again))
		}
		for _, action := range w.mutations()[before:] {
			if action != "elasticfilesystem:CreateAccessPoint" { // asks by token whether there is one
				t.Errorf("onboarding again called %s", action)
			}
		}
		golden(t, "onboard.golden", w.inventory(t.Context()))
	})
}

func TestOnboardBadInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		d := w.create(t.Context())
		before := len(w.Calls())
		var text strings.Builder
		for _, q := range []domain.OnboardRequest{
			{},
			{User: "al/ice"},
			{User: "Alice Smith"},
			{User: "alice\n"},
			{User: "a-person-with-21-char"},
			{User: "alice", Groups: []string{"", "staff", "staff", "The Lab"}},
		} {
			_, err := d.Onboard(t.Context(), q)
			is(t, err, domain.ErrInvalid)
			fmt.Fprintf(&text, "%v\n\n", err)
		}
		golden(t, "onboard-bad.golden", text.String())
		if n := len(w.Calls()) - before; n != 0 {
			t.Errorf("refused requests made %d calls", n)
		}
		for u, err := range d.Users(t.Context()) {
			t.Errorf("a refused request left a record: %v %v", u, err)
		}
		_, err := w.client().Get(t.Context(), "art")
		is(t, err, domain.ErrNotFound)
	})
}

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
		w.store = store.NewMemory()
		if bob := onboard(t, w.create(t.Context()), "bob"); bob.UID != 200501 {
			t.Errorf("bob got uid %d, want 200501", bob.UID)
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

func TestOnboardConcurrently(t *testing.T) {
	for seed := range uint64(5) {
		inBubble(t, fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{Seed: seed, Delays: fakeaws.Realistic()})
			w.create(t.Context())
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

// delays let AWS be slow and its reads be late, in moderation.
func delays() fakeaws.Delays {
	d := fakeaws.Brisk()
	d.Visible = 600 * time.Millisecond
	return d
}

// TestCrashAtEveryCall ends the process at each call to AWS in turn, before it
// took effect and after, and runs the story again in a new one.
func TestCrashAtEveryCall(t *testing.T) {
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
func TestStoreFailsAtEveryPut(t *testing.T) {
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

// TestOffboardMeetsOnboard offboards a user while the file system is made.
func TestOffboardMeetsOnboard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		d := w.create(t.Context())
		done := make(chan error)
		go func() {
			_, err := d.Onboard(t.Context(), domain.OnboardRequest{User: "alice"})
			done <- err
		}()
		time.Sleep(20 * time.Second)
		if err := d.Offboard(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		is(t, <-done, domain.ErrState)
		if u, err := d.User(t.Context(), "alice"); err != nil || u.Offboarded.IsZero() {
			t.Errorf("%+v, %v, want offboarded", u, err)
		}
		onboard(t, d, "alice")
	})
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

// TestFileSystemGone deletes a file system under a domain: its users are not
// given an empty one without a word.
func TestFileSystemGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		alice := onboard(t, w.create(ctx), "alice")
		fs, err := efs.NewFromConfig(w.Config(), efs.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := fs.DeleteMountTargets(ctx, alice.Home.FileSystem); err != nil {
			t.Fatal(err)
		}
		if err := fs.DeleteAccessPoint(ctx, alice.Home.AccessPoint); err != nil {
			t.Fatal(err)
		}
		if err := fs.DeleteFileSystem(ctx, alice.Home.FileSystem); err != nil {
			t.Fatal(err)
		}
		_, err = w.client().Create(ctx, w.request())
		is(t, err, domain.ErrState)
		d, err := w.client().Get(ctx, "research")
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Onboard(ctx, domain.OnboardRequest{User: "bob"})
		is(t, err, domain.ErrNotFound)

		for _, user := range []string{"alice", "bob"} {
			if err := d.Offboard(ctx, user); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.client().Delete(ctx, "research"); err != nil {
			t.Fatal(err)
		}
		back := onboard(t, w.create(ctx), "alice")
		if back.UID != alice.UID || back.Home.FileSystem == alice.Home.FileSystem {
			t.Errorf("came back as %+v, was %+v", back, alice)
		}
	})
}

// TestCreateRepairs removes what a domain needs by hand and creates it again.
func TestCreateRepairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		alice := onboard(t, d, "alice")
		want := w.inventory(ctx)
		client := awsefs.NewFromConfig(w.Config())
		targets, err := client.DescribeMountTargets(ctx, &awsefs.DescribeMountTargetsInput{FileSystemId: aws.String(alice.Home.FileSystem)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.DeleteMountTarget(ctx, &awsefs.DeleteMountTargetInput{MountTargetId: targets.MountTargets[0].MountTargetId}); err != nil {
			t.Fatal(err)
		}
		w.create(ctx)
		if diff := cmp.Diff(want, w.inventory(ctx)); diff != "" {
			t.Errorf("(-before +repaired):\n%s", diff)
		}
	})
}

func TestUsersAndGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		onboard(t, d, "carol", "lab")
		onboard(t, d, "alice", "lab", "staff")
		onboard(t, d, "bob", "staff")
		if err := d.Offboard(ctx, "carol"); err != nil {
			t.Fatal(err)
		}
		onboard(t, d, "bob", "lab") // sets the groups
		policy := domain.Policy{Types: []string{"t3.*"}}
		if err := d.SetGroupPolicy(ctx, "guests", &policy); err != nil {
			t.Fatal(err)
		}
		var names []string
		for u, err := range d.Users(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, u.Name)
		}
		if want := []string{"alice", "bob", "carol"}; !slices.Equal(names, want) {
			t.Errorf("users %v, want %v", names, want)
		}
		var groups []domain.Group
		for g, err := range d.Groups(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			groups = append(groups, g)
		}
		want := []domain.Group{{Name: "guests", Policy: &policy}, {Name: "lab", Users: []string{"alice", "bob"}}, {Name: "staff", Users: []string{"alice"}}}
		if diff := cmp.Diff(want, groups); diff != "" {
			t.Errorf("groups (-want +got):\n%s", diff)
		}
		for range d.Groups(ctx) {
			break
		}
		for range d.Users(ctx) {
			break
		}
		_, err := d.User(ctx, "dave")
		is(t, err, domain.ErrNotFound)
	})
}
