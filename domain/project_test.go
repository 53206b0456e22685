package domain_test

import (
	"context"
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
	"github.com/atelier-go/atelier/instancetype"
)

func createProject(t testing.TB, d *domain.Domain, name string, groups ...string) domain.Project {
	t.Helper()
	p, err := d.CreateProject(t.Context(), domain.CreateProjectRequest{Name: name, Groups: groups})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func projects(t testing.TB, d *domain.Domain) (names []string) {
	t.Helper()
	for p, err := range d.Projects(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, p.Name)
	}
	return names
}

// TestProject makes the first project before any user, and takes it through its
// life.
func TestProject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		ctx := t.Context()
		d := w.create(ctx)
		alpha := createProject(t, d, "alpha", "staff", "lab")
		alice := onboard(t, d, "alice", "lab")
		if alpha.GID == 0 || alpha.GID == alice.GID || !slices.Equal(alpha.Groups, []string{"lab", "staff"}) || alpha.Created.IsZero() {
			t.Errorf("%+v beside %+v", alpha, alice)
		}
		if dir := alpha.Directory; dir.Path != "/shared/alpha" || dir.GID != alpha.GID || dir.FileSystem != alice.Home.FileSystem || dir.AccessPoint == "" {
			t.Errorf("directory %+v", dir)
		}
		text := w.inventory(ctx)
		if want := fmt.Sprintf("access point /shared/alpha of group %d, Name=shared directory alpha atelier:domain=research atelier:shared=alpha", alpha.GID); !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
		if again := createProject(t, d, "alpha", "lab", "staff"); !cmp.Equal(again, alpha) {
			t.Errorf("created again:\n%s", cmp.Diff(alpha, again))
		}
		_, err := d.CreateProject(ctx, domain.CreateProjectRequest{Name: "alpha", Groups: []string{"lab"}})
		is(t, err, domain.ErrConflict)
		beta := createProject(t, d, "beta")
		if got := projects(t, d); !slices.Equal(got, []string{"alpha", "beta"}) || beta.GID == alpha.GID {
			t.Errorf("projects %v, gids %d and %d", got, alpha.GID, beta.GID)
		}
		if err := d.SetProjectGroups(ctx, "beta", []string{"staff", "lab"}); err != nil {
			t.Fatal(err)
		}
		if p, err := d.Project(ctx, "beta"); err != nil || !slices.Equal(p.Groups, []string{"lab", "staff"}) {
			t.Errorf("%+v, %v", p, err)
		}

		if err := d.DeleteProject(ctx, "alpha"); err != nil {
			t.Fatal(err)
		}
		if text := w.inventory(ctx); strings.Contains(text, "/shared/alpha") || !strings.Contains(text, "/shared/beta") {
			t.Errorf("after the deletion of alpha:\n%s", text)
		}
		_, err = d.Project(ctx, "alpha")
		is(t, err, domain.ErrNotFound)
		is(t, d.DeleteProject(ctx, "alpha"), domain.ErrNotFound)
		is(t, d.SetProjectGroups(ctx, "alpha", nil), domain.ErrNotFound)
		if bob := onboard(t, d, "bob"); bob.UID == alpha.GID {
			t.Errorf("bob got the gid of a deleted project, %d", bob.UID)
		}
		back := createProject(t, d, "alpha", "others")
		if back.GID != alpha.GID || back.Directory.Path != alpha.Directory.Path || !slices.Equal(back.Groups, []string{"others"}) {
			t.Errorf("came back as %+v, was %+v", back, alpha)
		}
	})
}

func TestProjectBadInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		before := len(w.Calls())
		for _, q := range []domain.CreateProjectRequest{
			{}, {Name: "../homes"}, {Name: "a-project-with-21-chr"}, {Name: "alpha", Groups: []string{"The Lab"}}, {Name: "alpha", Groups: []string{"lab", "lab"}},
		} {
			_, err := d.CreateProject(ctx, q)
			is(t, err, domain.ErrInvalid)
		}
		is(t, d.SetProjectGroups(ctx, "a/b", []string{"The Lab"}), domain.ErrInvalid)
		is(t, d.DeleteProject(ctx, "a/b"), domain.ErrInvalid)
		_, err := d.Project(ctx, "a/b")
		is(t, err, domain.ErrInvalid)
		if n := len(w.Calls()) - before; n != 0 || projects(t, d) != nil {
			t.Errorf("refused requests made %d calls and %v", n, projects(t, d))
		}
	})
}

// TestAuthorizeProject: who is in a group of a project may have it, as long as
// that is so; a resumed session keeps it, and is refused without.
func TestAuthorizeProject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		w.push("rocker/rstudio:4.5")
		attach(t, d, "rstudio", "rocker/rstudio:4.5")
		onboard(t, d, "alice", "lab")
		onboard(t, d, "carol", "guests")
		alpha := createProject(t, d, "alpha", "lab", "staff")
		ask := domain.Ask{User: "alice", InstanceType: "t3.medium", Projects: []string{"alpha"}}
		grant, err := d.Authorize(ctx, ask)
		if err != nil || !cmp.Equal(grant.Projects, []domain.Project{alpha}) {
			t.Fatalf("%+v, %v", grant.Projects, err)
		}
		refused := func(change func(*domain.Ask), kind domain.Kind, words ...string) {
			t.Helper()
			q := ask
			change(&q)
			_, err := d.Authorize(ctx, q)
			is(t, err, kind)
			for _, word := range words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not say %q", err, word)
				}
			}
		}
		refused(func(q *domain.Ask) { q.User = "carol" }, domain.ErrNotAllowed, "for members of lab, staff", "carol is in guests")
		refused(func(q *domain.Ask) { q.Projects = []string{"beta"} }, domain.ErrNotFound, "project beta")
		refused(func(q *domain.Ask) { q.Projects = []string{"alpha", "alpha"} }, domain.ErrInvalid, "twice")
		refused(func(q *domain.Ask) { q.Projects = make([]string, 11) }, domain.ErrInvalid, "11 projects, at most 10")

		resume := domain.Ask{User: "alice", Resume: &grant}
		if again, err := d.Authorize(ctx, resume); err != nil || !slices.Equal(again.ProjectNames(), []string{"alpha"}) {
			t.Errorf("resumed with %v, %v", again.ProjectNames(), err)
		}
		onResume := func(q *domain.Ask) { *q = resume }
		refused(func(q *domain.Ask) { *q = resume; q.Projects = []string{"beta"} }, domain.ErrInvalid, "keeps them")
		onboard(t, d, "alice", "guests")
		refused(onResume, domain.ErrNotAllowed, "for members of lab, staff")
		onboard(t, d, "alice", "lab")
		if err := d.DeleteProject(ctx, "alpha"); err != nil {
			t.Fatal(err)
		}
		refused(onResume, domain.ErrNotFound, "was deleted since", "start a new session without")
	})
}

// TestChargeTo: a session may name a project that pays, if its user may have it, and
// a resumed one keeps it. The project's budget refuses by its own name, and what it
// spent outlives it.
func TestChargeTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		w.push("rocker/rstudio:4.5")
		attach(t, d, "rstudio", "rocker/rstudio:4.5")
		onboard(t, d, "alice", "lab")
		onboard(t, d, "carol", "guests")
		cost, _ := d.Catalog().Price("t3.medium", d.Region())
		hours := func(n instancetype.Money) instancetype.Money { return n * cost.PerHour }
		q := domain.CreateProjectRequest{Name: "genome", Groups: []string{"lab"}, Budget: hours(3)}
		for range 2 {
			if p, err := d.CreateProject(ctx, q); err != nil || p.Budget != q.Budget {
				t.Fatalf("%+v, %v", p, err)
			}
		}
		other := q
		other.Budget, other.Groups = hours(4), nil
		_, err := d.CreateProject(ctx, other)
		is(t, err, domain.ErrConflict)
		for _, words := range []string{"SetProjectGroups", "SetProjectBudget", "a budget of $0.1248 a month, not $0.1664"} {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%v does not say %q", err, words)
			}
		}
		other = q
		other.Budget = 0
		_, err = d.CreateProject(ctx, other)
		is(t, err, domain.ErrConflict)
		refused := func(ask domain.Ask, kind domain.Kind, words string) {
			t.Helper()
			_, err := d.Authorize(ctx, ask)
			is(t, err, kind)
			if strings.Count(err.Error(), words) != 1 {
				t.Errorf("%q does not say %q once", err, words)
			}
		}
		ask := domain.Ask{User: "alice", InstanceType: "t3.medium", ChargeTo: "genome"}
		grant, err := d.Authorize(ctx, ask)
		if err != nil || grant.ChargeTo != "genome" || grant.Projects != nil {
			t.Fatalf("%+v, %v", grant, err)
		}
		refused(domain.Ask{User: "carol", InstanceType: "t3.medium", ChargeTo: "genome"}, domain.ErrNotAllowed, "project genome: is for members of lab")
		refused(domain.Ask{User: "carol", InstanceType: "t3.medium", ChargeTo: "genome", Projects: []string{"genome"}}, domain.ErrNotAllowed, "project genome: is for members of lab")
		refused(domain.Ask{User: "alice", InstanceType: "t3.medium", ChargeTo: "beta"}, domain.ErrNotFound, "project beta")
		refused(domain.Ask{User: "alice", InstanceType: "t3.medium", ChargeTo: "a/b"}, domain.ErrInvalid, "a/b")
		refused(domain.Ask{User: "alice", ChargeTo: "beta", Resume: &grant}, domain.ErrInvalid, "is charged to project genome, and stays so")
		plain, err := d.Authorize(ctx, domain.Ask{User: "alice", InstanceType: "t3.medium", Projects: []string{"genome"}})
		if err != nil || plain.ChargeTo != "" {
			t.Errorf("a project that was not named pays: %+v, %v", plain, err)
		}
		refused(domain.Ask{User: "alice", ChargeTo: "genome", Resume: &plain}, domain.ErrInvalid, "is charged to no project, and stays so")
		if again, err := d.Authorize(ctx, domain.Ask{User: "alice", Resume: &grant}); err != nil || !cmp.Equal(again, grant) {
			t.Errorf("resumed, %v:\n%s", err, cmp.Diff(grant, again))
		}

		account := func() domain.Account {
			t.Helper()
			a, err := d.Account(ctx, domain.ScopeProject, "genome")
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		began := time.Now()
		if err := d.Reserve(ctx, domain.Reservation{Key: "s.1", Grant: grant}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if err := d.SetProjectBudget(ctx, "genome", hours(3)-1); err != nil {
			t.Fatal(err)
		}
		tight, err := d.Authorize(ctx, ask)
		if err != nil {
			t.Fatal(err)
		}
		err = d.Reserve(ctx, domain.Reservation{Key: "s.2", Grant: tight})
		is(t, err, domain.ErrBudget)
		if !strings.Contains(err.Error(), "project genome: $0.0832 of January 2000 used, $0.0832 of it by 1 that run, at most $0.124799 allowed (budget of project genome), and this would add $0.0416") {
			t.Error(err)
		}
		is(t, d.SetProjectBudget(ctx, "genome", -1), domain.ErrInvalid)
		is(t, d.SetProjectBudget(ctx, "beta", 1), domain.ErrNotFound)
		_, err = d.CreateProject(ctx, domain.CreateProjectRequest{Name: "minus", Budget: -1})
		is(t, err, domain.ErrInvalid)

		// It is deleted while a session of it runs.
		if err := d.DeleteProject(ctx, "genome"); err != nil {
			t.Fatal(err)
		}
		is(t, d.SetProjectBudget(ctx, "genome", 1), domain.ErrNotFound)
		refused(domain.Ask{User: "alice", Resume: &grant}, domain.ErrNotFound, "project genome: was deleted since")
		if _, err := d.Settle(ctx, domain.Settlement{Key: "s.1", Grant: grant, PerHour: cost.PerHour, From: began, To: time.Now()}); err != nil {
			t.Fatal(err)
		}
		if a := account(); a.Settled["2000-01"] != hours(2) || len(a.Live) != 0 {
			t.Errorf("the account of the deleted project is %+v", a)
		}
		q.Budget = hours(2)
		if _, err := d.CreateProject(ctx, q); err != nil {
			t.Fatal(err)
		}
		if grant, err = d.Authorize(ctx, ask); err != nil {
			t.Fatal(err)
		}
		is(t, d.Reserve(ctx, domain.Reservation{Key: "s.3", Grant: grant}), domain.ErrBudget)
	})
}

// TestIDsAreNeverShared does at random what gives ids, takes them out of use and
// loses what was known of them: no two of users and projects ever have one, and
// each has its own for ever.
func TestIDsAreNeverShared(t *testing.T) {
	for seed := range uint64(30) {
		inBubble(t, fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{})
			ctx := t.Context()
			d := w.create(ctx)
			r := rand.New(rand.NewPCG(seed, 7))
			owners, ids := map[uint32]string{}, map[string]uint32{}
			has := func(id uint32, owner string) {
				t.Helper()
				if other, ok := owners[id]; ok && other != owner {
					t.Errorf("%d is that of %s and %s", id, other, owner)
				}
				if before, ok := ids[owner]; ok && before != id {
					t.Errorf("%s has %d, had %d", owner, id, before)
				}
				owners[id], ids[owner] = owner, id
			}
			for range 40 {
				name := string(rune('a' + r.IntN(5)))
				switch r.IntN(6) {
				case 0, 1:
					has(createProject(t, d, name).GID, "project "+name)
				case 2, 3:
					has(onboard(t, d, name).UID, "user "+name)
				case 4:
					if err := d.DeleteProject(ctx, name); err != nil && !errors.Is(err, domain.ErrNotFound) {
						t.Fatal(err)
					}
					if r.IntN(2) > 0 {
						continue
					}
					w.store = store.NewMemory()
					d = w.create(ctx)
					onboard(t, d, "zoe")
					text := w.inventory(ctx)
					for _, p := range []string{"a", "b", "c", "d", "e"} { // deleted, and known to the store alone
						if !strings.Contains(text, "/shared/"+p+" ") {
							delete(ids, "project "+p)
						}
					}
				case 5:
					for u, err := range d.Users(ctx) {
						if err != nil {
							t.Fatal(err)
						}
						if err := d.Offboard(ctx, u.Name); err != nil {
							t.Fatal(err)
						}
					}
					if err := w.client().Delete(ctx, "research"); err != nil {
						t.Fatal(err)
					}
					if left := projects(t, d); left != nil {
						t.Errorf("projects %v outlive their domain", left)
					}
					d = w.create(ctx)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// TestCreateProjectConcurrently has many calls for few projects, in several
// processes, before there is a file system, among users who join.
func TestCreateProjectConcurrently(t *testing.T) {
	for seed := range uint64(10) {
		inBubble(t, fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{Seed: seed, Delays: fakeaws.Realistic()})
			w.create(t.Context())
			r := rand.New(rand.NewPCG(seed, 1))
			w.store = &slowStore{Store: w.store, pause: func() time.Duration { return time.Duration(r.IntN(5)) * time.Millisecond }}
			var mu sync.Mutex
			owners := map[uint32]string{}
			var wg sync.WaitGroup
			for n := range 12 {
				d := w.must("research")
				wg.Go(func() {
					time.Sleep(time.Duration(n%5) * 17 * time.Second)
					name := fmt.Sprintf("p%d", n%3)
					var id uint32
					if n%4 == 0 {
						name = fmt.Sprintf("u%d", n%3)
						id = onboard(t, d, name).UID
					} else {
						id = createProject(t, d, name, "lab").GID
					}
					mu.Lock()
					defer mu.Unlock()
					if owner, ok := owners[id]; ok && owner != name {
						t.Errorf("%d is that of %s and %s", id, owner, name)
					}
					owners[id] = name
				})
			}
			wg.Wait()
			if len(owners) != 6 {
				t.Errorf("3 projects and 3 users have %v", owners)
			}
			w.audit(t.Context(), 2, 6)
		})
	}
}

// TestProjectMeetsItsDeletion crosses creations with deletions: whoever comes
// last has their way once each has been called again, and a project that is
// there can be mounted.
func TestProjectMeetsItsDeletion(t *testing.T) {
	for seed := range uint64(60) {
		inBubble(t, fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{Seed: seed, Delays: fakeaws.Brisk()})
			ctx := t.Context()
			alpha := createProject(t, w.create(ctx), "alpha")
			r, start := rand.New(rand.NewPCG(seed, 2)), rand.New(rand.NewPCG(seed, 3))
			w.store = &slowStore{Store: w.store, pause: func() time.Duration { return time.Duration(r.IntN(30)) * time.Millisecond }}
			d := w.must("research")
			var wg sync.WaitGroup
			for n := range 6 {
				pause := time.Duration(start.IntN(400)) * time.Millisecond
				wg.Go(func() {
					time.Sleep(pause)
					var err error
					if n%2 == 0 {
						err = d.DeleteProject(ctx, "alpha")
					} else {
						_, err = d.CreateProject(ctx, domain.CreateProjectRequest{Name: "alpha"})
					}
					if err != nil && !errors.Is(err, domain.ErrState) && !errors.Is(err, domain.ErrNotFound) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if _, err := d.Project(ctx, "alpha"); err == nil {
				p, err := d.Project(ctx, "alpha")
				if err != nil || !p.Created.IsZero() && !strings.Contains(w.inventory(ctx), "/shared/alpha") {
					t.Errorf("%+v, %v, and its access point is gone", p, err)
				}
			}
			err := d.DeleteProject(ctx, "alpha")
			if err != nil && !errors.Is(err, domain.ErrNotFound) {
				t.Fatal(err)
			}
			back := createProject(t, d, "alpha")
			if back.GID != alpha.GID {
				t.Errorf("gid %d, was %d", back.GID, alpha.GID)
			}
			drift, err := d.Drift(ctx)
			if err != nil || len(drift) > 0 {
				t.Errorf("%v, %v", drift, err)
			}
		})
	}
}

// TestDeleteMeetsCreateProject: a project that is being made keeps the domain,
// or is refused; nothing is left of a domain that was deleted.
func TestDeleteMeetsCreateProject(t *testing.T) {
	for seed := range uint64(40) {
		inBubble(t, fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{Seed: seed, Delays: fakeaws.Brisk()})
			ctx := t.Context()
			w.create(ctx)
			r := rand.New(rand.NewPCG(seed, 1))
			w.store = &slowStore{Store: w.store, pause: func() time.Duration { return time.Duration(r.IntN(5)) * time.Millisecond }}
			d := w.must("research")
			var created, deleted error
			var wg sync.WaitGroup
			wg.Go(func() {
				time.Sleep(time.Duration(seed%13) * time.Millisecond)
				deleted = w.client().Delete(ctx, "research")
			})
			wg.Go(func() { _, created = d.CreateProject(ctx, domain.CreateProjectRequest{Name: "alpha"}) })
			wg.Wait()
			_, err := w.client().Get(ctx, "research")
			switch gone := errors.Is(err, domain.ErrNotFound); {
			case gone && created != nil && !errors.Is(created, domain.ErrState) && !errors.Is(created, domain.ErrNotFound):
				t.Errorf("the project was refused with %v", created)
			case gone:
				if text := w.inventory(ctx); strings.Contains(text, "security group") || strings.Contains(text, "mount target") {
					t.Errorf("%v, %v, left behind:\n%s", created, deleted, text)
				}
			case created == nil && deleted == nil:
				t.Error("both went through, and the domain is there")
			case created == nil:
				is(t, deleted, domain.ErrState)
			default: // both stepped back
				createProject(t, d, "alpha")
			}
		})
	}
}

// TestProjectAfterTheStoreWasLost finds a project by its access point.
func TestProjectAfterTheStoreWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		alice := onboard(t, d, "alice")
		alpha := createProject(t, d, "alpha", "lab")
		w.store = store.NewMemory()
		d = w.create(ctx)
		if bob := onboard(t, d, "bob"); bob.UID <= alpha.GID {
			t.Errorf("bob has %d, the project %d", bob.UID, alpha.GID)
		}
		if left := projects(t, d); left != nil {
			t.Errorf("without records there are projects %v", left)
		}
		back := createProject(t, d, "alpha", "staff")
		if back.GID != alpha.GID || back.Directory != alpha.Directory || back.GID == alice.GID {
			t.Errorf("came back as %+v, was %+v", back, alpha)
		}
	})
}

// TestProjectInTwoStores: domains that know nothing of each other and share a
// file system do not give a project the gid of the other's user.
func TestProjectInTwoStores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		one := w.create(t.Context())
		onboard(t, one, "alice")
		w.store = store.NewMemory()
		two := w.create(t.Context())
		xenia := onboard(t, two, "xenia")
		bob := onboard(t, one, "bob")
		alpha := createProject(t, two, "alpha", "lab")
		if alpha.GID == bob.UID || alpha.GID == xenia.UID {
			t.Errorf("the project has %d, bob %d and xenia %d", alpha.GID, bob.UID, xenia.UID)
		}
		if same := createProject(t, one, "alpha", "staff"); same.GID != alpha.GID {
			t.Errorf("one directory is that of groups %d and %d", same.GID, alpha.GID)
		}
	})
}

// TestDeleteProjectHalfMade deletes a project whose creation ended before its
// access point was recorded.
func TestDeleteProjectHalfMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{
			{Action: "elasticfilesystem:CreateAccessPoint", Nth: 1, Crash: true, After: true},
		}})
		ctx := t.Context()
		q := domain.CreateProjectRequest{Name: "alpha", Groups: []string{"lab"}}
		if _, err := w.create(ctx).CreateProject(ctx, q); !errors.Is(err, fakeaws.ErrCrashed) {
			t.Fatalf("%v, want a crash", err)
		}
		d := w.must("research")
		if !strings.Contains(w.inventory(ctx), "/shared/alpha") {
			t.Fatal("nothing was made")
		}
		if err := d.DeleteProject(ctx, "alpha"); err != nil {
			t.Fatal(err)
		}
		if text := w.inventory(ctx); strings.Contains(text, "/shared/alpha") {
			t.Errorf("left behind:\n%s", text)
		}
	})
}

// firstStore does something before the first record of projects is written.
type firstStore struct {
	store.Store
	once   sync.Once
	meddle func()
}

func (s *firstStore) Put(ctx context.Context, r store.Record) (int64, error) {
	if strings.HasSuffix(r.Collection, "/projects") {
		s.once.Do(s.meddle)
	}
	return s.Store.Put(ctx, r)
}

// TestProjectOfAClosedDomain: a creation that found the domain open just before
// its deletion began makes nothing in it.
func TestProjectOfAClosedDomain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "ec2:DeleteSecurityGroup", Nth: 1, Status: 403, Code: "UnauthorizedOperation"}}})
		ctx := t.Context()
		w.create(ctx)
		other := w.client()
		w.store = &firstStore{Store: w.store, meddle: func() { is(t, other.Delete(ctx, "research"), domain.ErrDenied) }}
		_, err := w.must("research").CreateProject(ctx, domain.CreateProjectRequest{Name: "alpha"})
		is(t, err, domain.ErrState)
		if text := w.inventory(ctx); strings.Contains(text, "file system") {
			t.Errorf("made in a domain that is being deleted:\n%s", text)
		}
	})
}

// TestProjectDeletedUnderItsCreation: a creation that was overtaken by a deletion
// says so, and one that has forgotten what it found deletes no successor's access
// point.
func TestProjectDeletedUnderItsCreation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		createProject(t, d, "alpha")
		other, slow := w.must("research"), &readStore{Store: w.store}
		w.store = slow
		d = w.must("research")

		slow.of, slow.n, slow.meddle = "/projects", 2, func() { // the creation's last look at the project
			if err := other.DeleteProject(ctx, "alpha"); err != nil {
				t.Error(err)
			}
		}
		_, err := d.CreateProject(ctx, domain.CreateProjectRequest{Name: "alpha"})
		is(t, err, domain.ErrState)
		if slow.n > 0 {
			t.Fatal("a creation reads the project less often")
		}

		createProject(t, other, "alpha")
		slow.of, slow.n, slow.meddle = "uids", 1, func() { // the deletion is about to look for access points
			if err := other.DeleteProject(ctx, "alpha"); err != nil {
				t.Error(err)
			}
			createProject(t, other, "alpha")
		}
		if err := d.DeleteProject(ctx, "alpha"); err != nil {
			t.Error(err)
		}
		if slow.n > 0 {
			t.Fatal("a deletion does not read the ledger")
		}
		if drift, err := other.Drift(ctx); err != nil || len(drift) > 0 {
			t.Errorf("%v, %v", drift, err)
		}
	})
}

// readStore does something before the n-th read of a record in a collection whose
// name ends as said.
type readStore struct {
	store.Store
	of     string
	n      int
	meddle func()
}

func (s *readStore) Get(ctx context.Context, collection, id string) (store.Record, error) {
	if s.of != "" && strings.HasSuffix(collection, s.of) {
		if s.n--; s.n == 0 {
			s.meddle()
		}
	}
	return s.Store.Get(ctx, collection, id)
}
