package domain_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// as onboards a user with a login.
func as(t testing.TB, d *domain.Domain, user, login string) domain.User {
	t.Helper()
	u, err := d.Onboard(t.Context(), domain.OnboardRequest{User: user, Login: login})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestLogin: a login is recorded and listed, asked for again it changes nothing, and
// whoever has it is found by it.
func TestLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		jane := as(t, d, "jane", "jane.doe")
		bob := onboard(t, d, "bob")
		if jane.Login != "jane.doe" || bob.Login != "bob" {
			t.Errorf("logins %q and %q, want jane.doe and bob", jane.Login, bob.Login)
		}
		var listed []domain.User
		for u, err := range d.Users(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			listed = append(listed, u)
		}
		if diff := cmp.Diff([]domain.User{bob, jane}, listed); diff != "" {
			t.Errorf("(-onboarded +listed)\n%s", diff)
		}
		for _, login := range []string{"jane.doe", ""} { // without one it stays
			if again := as(t, d, "jane", login); !cmp.Equal(again, jane) {
				t.Errorf("again with %q:\n%s", login, cmp.Diff(jane, again))
			}
		}
		for login, want := range map[string]domain.User{"jane.doe": jane, "bob": bob} {
			if u, err := d.UserByLogin(ctx, login); err != nil || !cmp.Equal(u, want) {
				t.Errorf("%s is %+v, %v", login, u, err)
			}
		}
		for login, kind := range map[string]error{
			"jane": domain.ErrNotFound, "_x": domain.ErrNotFound, "root": domain.ErrNotFound, "": domain.ErrInvalid, "*": domain.ErrInvalid, "../bob": domain.ErrInvalid,
		} {
			_, err := d.UserByLogin(ctx, login)
			is(t, err, kind)
		}

		// Offboarded, deleted with the domain and back again, it is hers.
		if err := d.Offboard(ctx, "jane"); err != nil {
			t.Fatal(err)
		}
		_, err := d.Onboard(ctx, domain.OnboardRequest{User: "eve", Login: "jane.doe"})
		is(t, err, domain.ErrConflict)
		if err := d.Offboard(ctx, "bob"); err != nil {
			t.Fatal(err)
		}
		if err := w.client().Delete(ctx, "research"); err != nil {
			t.Fatal(err)
		}
		d = w.create(ctx)
		_, err = d.Onboard(ctx, domain.OnboardRequest{User: "eve", Login: "jane.doe"})
		is(t, err, domain.ErrConflict)
		if back := onboard(t, d, "jane"); back.Login != "jane.doe" || back.UID != jane.UID {
			t.Errorf("she is back as %+v", back)
		}
	})
}

// TestLoginChanges: a login may be another, and what it was stays nobody else's.
func TestLoginChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newWorld(t, fakeaws.Config{}).create(t.Context())
		onboard(t, d, "jane")
		for _, login := range []string{"jane.doe", "jane.smith", "jane", "jane.doe"} {
			if u := as(t, d, "jane", login); u.Login != login {
				t.Errorf("login %q, want %q", u.Login, login)
			}
			if u, err := d.UserByLogin(t.Context(), login); err != nil || u.Name != "jane" {
				t.Errorf("%s: %+v, %v", login, u, err)
			}
		}
		for _, login := range []string{"jane", "jane.smith", "jane.doe"} {
			_, err := d.Onboard(t.Context(), domain.OnboardRequest{User: "eve", Login: login})
			is(t, err, domain.ErrConflict)
			if login != "jane.doe" {
				_, err = d.UserByLogin(t.Context(), login)
				is(t, err, domain.ErrNotFound)
			}
		}
	})
}

// TestBadLogins holds the rule, by what may be and what is said of what may not.
func TestBadLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		d := w.create(t.Context())
		as(t, d, "jane", "jane.doe")
		before := len(w.Calls())
		var text strings.Builder
		for _, q := range []domain.OnboardRequest{
			{User: "x", Login: "Jane.Doe"},
			{User: "x", Login: "jane doe"},
			{User: "x", Login: "jane:x"},
			{User: "x", Login: "-jane"},
			{User: "x", Login: ".."},
			{User: "x", Login: "1000"},
			{User: "x", Login: "jane\n"},
			{User: "x", Login: "jäne"},
			{User: "x", Login: strings.Repeat("j", 33)},
			{User: "x", Login: "root"},
			{User: "x", Login: "rstudio-server"},
			{User: "x", Login: "systemd-oom"},
			{User: "x", Login: "project-x"},
			{User: "x", Login: "group-x"},
			{User: "x", Login: "jane.doe"},
			{User: "x", Login: "jane"},
			{User: "daemon"},
			{User: "group-x"},
			{User: "daemon", Login: "root", Groups: []string{"The Lab"}},
			{User: "9", Login: "nobody"},
			{User: "daemon", Groups: []string{"The Lab"}},
			{User: "x", Login: "jane.doe", Groups: []string{"The Lab"}},
		} {
			_, err := d.Onboard(t.Context(), q)
			if err == nil {
				t.Fatalf("%+v is let in", q)
			}
			fmt.Fprintf(&text, "%v\n\n", err)
		}
		golden(t, "login-bad.golden", text.String())
		if n := len(w.Calls()) - before; n != 0 {
			t.Errorf("refused requests made %d calls", n)
		}
		for u, err := range d.Users(t.Context()) {
			if err != nil || u.Name != "jane" {
				t.Errorf("a refused request left %+v, %v", u, err)
			}
		}
		for n, login := range []string{"j", "_jane", "jane.doe-x_1", strings.Repeat("j", 32), "x-project-x", "mygroup-x", "daemons"} {
			as(t, d, fmt.Sprintf("u%d", n), login)
		}
		// A name that no login may be is none if there is another login, from the first on.
		as(t, d, "daemon", "dae.mon")
		if u := onboard(t, d, "daemon"); u.Login != "dae.mon" {
			t.Errorf("login %q", u.Login)
		}
		// A name is nobody's if it is a login, and the other way round.
		as(t, d, "kim", "lee")
		_, err := d.Onboard(t.Context(), domain.OnboardRequest{User: "lee"})
		is(t, err, domain.ErrConflict)
		if want := `user lee: is or was the login of user kim`; !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	})
}

// TestLoginsOfOldRecords: a user who was onboarded before there were logins has the name,
// which is nobody else's, and may be given another.
func TestLoginsOfOldRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		onboard(t, d, "jane")
		w.age(ctx, "jane")
		if u, err := d.User(ctx, "jane"); err != nil || u.Login != "jane" {
			t.Errorf("%+v, %v", u, err)
		}
		if u, err := d.UserByLogin(ctx, "jane"); err != nil || u.Name != "jane" {
			t.Errorf("%+v, %v", u, err)
		}
		_, err := d.Onboard(ctx, domain.OnboardRequest{User: "eve", Login: "jane"})
		is(t, err, domain.ErrConflict)
		if u := as(t, d, "jane", "jane.doe"); u.Login != "jane.doe" {
			t.Errorf("%+v", u)
		}
		_, err = d.Onboard(ctx, domain.OnboardRequest{User: "eve", Login: "jane"})
		is(t, err, domain.ErrConflict)

		// What is kept of a session has users, too.
		var g domain.Grant
		if err := json.Unmarshal([]byte(`{"User": {"Name": "jane", "UID": 200001}}`), &g); err != nil || g.User.Login != "jane" || g.User.UID != 200001 {
			t.Errorf("%+v, %v", g.User, err)
		}
		if err := json.Unmarshal([]byte(`{"User": {"Name": 1}}`), &g); err == nil {
			t.Error("a user whose name is a number is read")
		}
	})
}

// age makes a user's records those of a program that knows no logins.
func (w *world) age(ctx context.Context, user string) {
	w.t.Helper()
	r, err := w.store.Get(ctx, "domains/research/users", user)
	if err != nil {
		w.t.Fatal(err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(r.Value, &members); err != nil || members["Login"] == nil {
		w.t.Fatal(err, members)
	}
	delete(members, "Login")
	if r.Value, err = json.Marshal(members); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.store.Put(ctx, r); err != nil {
		w.t.Fatal(err)
	}
	for c, err := range w.store.List(ctx, "domains/research/logins", "") {
		if err != nil {
			w.t.Fatal(err)
		}
		if err := w.store.Delete(ctx, c.Collection, c.ID, c.Version); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestLoginsAreUnique: many onboard at once, in several processes, for few names; some
// break off at whatever step. No two users have one login, none has another's name, and
// who was told that it is theirs has it.
func TestLoginsAreUnique(t *testing.T) {
	names := []string{"ann", "bob", "cyd"}
	logins := slices.Concat(names, []string{"", "ann.x", "bob.x"})
	won, lost := 0, 0
	for seed := range uint64(40) {
		inBubble(t, fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{})
			d := w.create(t.Context())
			onboard(t, d, "first")                                                      // so that there is a file system
			r, pauses := rand.New(rand.NewPCG(seed, 0)), rand.New(rand.NewPCG(seed, 1)) // the store's own, which it asks one at a time
			slow := &slowStore{Store: w.store, pause: func() time.Duration { return time.Duration(pauses.IntN(20)) * time.Millisecond }}
			var group sync.WaitGroup
			var mu sync.Mutex
			for range 8 {
				user, login := names[r.IntN(len(names))], logins[r.IntN(len(logins))]
				breaks := time.Duration(20+r.IntN(400)) * time.Millisecond
				c, err := domain.NewFromConfig(w.Config(), domain.Config{Store: slow})
				if err != nil {
					t.Fatal(err)
				}
				group.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), breaks)
					defer cancel()
					d, err := c.Get(ctx, "research")
					if err == nil {
						_, err = d.Onboard(ctx, domain.OnboardRequest{User: user, Login: login})
					}
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						won++
					case errors.Is(err, domain.ErrConflict):
						lost++
					case !errors.Is(err, context.DeadlineExceeded):
						t.Errorf("%s as %q: %v", user, login, err)
					}
				})
			}
			group.Wait()
			taken := map[string]string{}
			for u, err := range d.Users(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range slices.Compact([]string{u.Name, u.Login}) {
					if other, ok := taken[name]; ok {
						t.Errorf("%s is that of %s and of %s", name, other, u.Name)
					}
					taken[name] = u.Name
				}
				if found, err := d.UserByLogin(t.Context(), u.Login); err != nil || found.Name != u.Name {
					t.Errorf("login %s of %s is found to be %s's, %v", u.Login, u.Name, found.Name, err)
				}
			}
		})
	}
	t.Logf("%d onboarded, %d refused", won, lost)
	if won < 50 || lost < 50 {
		t.Error("chance has left out a case")
	}
}

// TestUnreadLogins: what the store does not tell is no leave to have a name.
func TestUnreadLogins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		w.create(t.Context())
		c, err := domain.NewFromConfig(w.Config(), domain.Config{Store: deaf{w.store}})
		if err != nil {
			t.Fatal(err)
		}
		d, err := c.Get(t.Context(), "research")
		if err != nil {
			t.Fatal(err)
		}
		for _, login := range []string{"", "jane.doe"} {
			if _, err := d.Onboard(t.Context(), domain.OnboardRequest{User: "jane", Login: login}); !errors.Is(err, errDeaf) {
				t.Errorf("%v", err)
			}
		}
		if _, err := d.UserByLogin(t.Context(), "jane"); !errors.Is(err, errDeaf) {
			t.Errorf("%v", err)
		}
	})
}

var errDeaf = errors.New("as if the table did not answer")

// deaf is a store that does not answer what is asked of logins.
type deaf struct{ store.Store }

func (s deaf) Get(ctx context.Context, collection, id string) (store.Record, error) {
	if strings.HasSuffix(collection, "/logins") {
		return store.Record{}, errDeaf
	}
	return s.Store.Get(ctx, collection, id)
}

// TestUnixGroups: no group of a domain, and no project, has the Unix group of another,
// or one that a login may have.
func TestUnixGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newWorld(t, fakeaws.Config{}).create(t.Context())
		taken := map[string]bool{}
		for _, name := range []string{"a", "group-a", "project-a", strings.Repeat("a", 20)} {
			for _, unix := range []string{domain.UnixGroup(name), domain.Project{Name: name}.UnixGroup()} {
				if taken[unix] || len(unix) > 32 {
					t.Errorf("%s is twice, or longer than groupadd takes", unix)
				}
				taken[unix] = true
				_, err := d.Onboard(t.Context(), domain.OnboardRequest{User: "x", Login: unix})
				is(t, err, domain.ErrInvalid)
			}
		}
	})
}
