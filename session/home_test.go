package session_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// homeWorld is a whole world, on EC2 hosts, in which alice and bob have files.
// Alice has left.
type homeWorld struct {
	*fake.World
	t     *testing.T
	files *fakelauncher.Dir
	alice domain.User
	log   *launchLog // over Fleet
}

// launchLog remembers what was launched.
type launchLog struct {
	launcher.Launcher
	mu       sync.Mutex
	launched []launcher.Workload
}

func (l *launchLog) Launch(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
	l.mu.Lock()
	l.launched = append(l.launched, w)
	l.mu.Unlock()
	return l.Launcher.Launch(ctx, w)
}

// removals are the workloads that were to remove a home, each once.
func (l *launchLog) removals() (all []launcher.Workload) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.launched {
		if w.Labels["atelier.home"] != "" && !slices.ContainsFunc(all, func(have launcher.Workload) bool { return have.ID == w.ID }) {
			all = append(all, w)
		}
	}
	return all
}

func newHomeWorld(t *testing.T, tools fakelauncher.Program, deny ...string) *homeWorld {
	t.Helper()
	w := &homeWorld{t: t, World: fake.New(t, fake.Config{
		Images: map[string]fakelauncher.Program{"rstudio": fake.IDE, "tools": tools, "broken": brokenRM},
		AWS:    fakeaws.Config{Delays: fakeaws.Brisk(), Deny: deny},
	})}
	w.log = &launchLog{Launcher: w.Fleet}
	about, err := w.Domain.Describe(t.Context())
	check(t, err)
	w.files, err = w.Cloud.Files(about.FileSystem)
	check(t, err)
	for path, text := range map[string]string{
		"200001/thesis": "words", "200001/data/2026/deep/raw": "1,2,3", "200001/.Rhistory": "q()",
		"200002/bobs": "work", "2000010/other": "domain's", "shared/genome/reads": "GATTACA",
	} {
		check(t, w.files.MkdirAll(path[:strings.LastIndex(path, "/")], 0o755))
		check(t, w.files.WriteFile(path, []byte(text), 0o600))
	}
	check(t, w.Domain.Offboard(t.Context(), "alice"))
	w.alice, err = w.Domain.User(t.Context(), "alice")
	check(t, err)
	return w
}

// brokenRM is an image in which rm fails.
func brokenRM(_ context.Context, p *fakelauncher.Proc) int {
	fmt.Fprintln(p.Stderr, "rm: cannot remove 'x'")
	return 1
}

// manager is another process's, which need not run.
func (w *homeWorld) manager() *session.Manager {
	w.t.Helper()
	m, err := session.New(w.Domain, w.log, session.Config{})
	check(w.t, err)
	return m
}

func deleteAlice() session.DeleteHomeRequest {
	return session.DeleteHomeRequest{User: "alice", Path: "/200001", Image: "tools"}
}

// names are what is in a directory of the file system.
func (w *homeWorld) names(dir string) (names []string) {
	w.t.Helper()
	entries, err := w.files.ReadDir(dir)
	check(w.t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// audit fails unless alice's home is gone and everything else is there, with
// no access point too many or too few.
func (w *homeWorld) audit() {
	w.t.Helper()
	if got, want := w.names("/"), []string{"2000010", "200002", "shared"}; !slices.Equal(got, want) {
		w.t.Errorf("on the file system are %q, want %q", got, want)
	}
	w.others()
	if got := w.points(); !slices.Equal(got, []string{"/200002"}) {
		w.t.Errorf("access points %q, want that of bob alone", got)
	}
	u, err := w.Domain.User(w.t.Context(), "alice")
	check(w.t, err)
	x := u.Deletion
	if u.UID != 200001 || u.Home.AccessPoint != "" || x.Ended.IsZero() || x.Count != 1 || x.AccessPoint != "" || x.UnderWay() {
		w.t.Errorf("alice is recorded as %+v", u)
	}
}

// others fails unless what is not alice's is as it was.
func (w *homeWorld) others() {
	w.t.Helper()
	for path, want := range map[string]string{"200002/bobs": "work", "2000010/other": "domain's", "shared/genome/reads": "GATTACA"} {
		if text, err := w.files.ReadFile(path); err != nil || string(text) != want {
			w.t.Errorf("%s is %q, %v", path, text, err)
		}
	}
}

// points are the paths of the access points, seen by the SDK.
func (w *homeWorld) points() (paths []string) {
	w.t.Helper()
	out, err := awsefs.NewFromConfig(w.Cloud.Config()).DescribeAccessPoints(w.t.Context(),
		&awsefs.DescribeAccessPointsInput{FileSystemId: aws.String(w.alice.Home.FileSystem)})
	check(w.t, err)
	for _, p := range out.AccessPoints {
		paths = append(paths, *p.RootDirectory.Path)
	}
	slices.Sort(paths)
	return paths
}

// untouched fails if anything was begun for the deletion of alice's home.
func (w *homeWorld) untouched() {
	w.t.Helper()
	u, err := w.Domain.User(w.t.Context(), "alice")
	check(w.t, err)
	if u.Deletion.UnderWay() || !u.Deletion.Ended.IsZero() || u.Home != w.alice.Home {
		w.t.Errorf("alice is recorded as %+v", u)
	}
	if text, err := w.files.ReadFile("200001/thesis"); err != nil || string(text) != "words" {
		w.t.Errorf("the thesis is %q, %v", text, err)
	}
	if got := w.points(); !slices.Equal(got, []string{"/200001", "/200002"}) {
		w.t.Errorf("access points %q", got)
	}
	if got := w.log.removals(); len(got) > 0 {
		w.t.Errorf("launched %+v", got)
	}
	w.others()
}

func within(t *testing.T, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

func TestDeleteHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := within(t, time.Hour)
		w := newHomeWorld(t, fake.Maintenance)
		m := w.manager()
		check(t, m.DeleteHome(ctx, deleteAlice()))
		w.audit()

		launched := w.log.removals()
		if len(launched) != 1 {
			t.Fatalf("launched %+v, want one workload", launched)
		}
		got := launched[0]
		if got.ID != "research.home.200001.1" || got.User.UID != 0 || got.User.GID != 0 || got.Sharing != launcher.Exclusive ||
			!slices.Equal(got.Command, session.DeleteHomeCommand("/homes", 200001)) || got.Stdin != nil || got.Ports != nil {
			t.Errorf("launched %+v", got)
		}
		if len(got.Mounts) != 1 || strings.Contains(got.Mounts[0].Source, w.alice.Home.AccessPoint) {
			t.Errorf("it mounts %+v, want the root and nothing else", got.Mounts)
		}

		// Again is nothing, in whatever process.
		calls := len(w.Cloud.Calls())
		check(t, w.manager().DeleteHome(ctx, deleteAlice()))
		for _, c := range w.Cloud.Calls()[calls:] {
			if strings.HasPrefix(c.Action, "elasticfilesystem") && !strings.Contains(c.Action, "Describe") {
				t.Errorf("deleting again calls %s", c.Action)
			}
		}
		if n := len(w.log.removals()); n != 1 {
			t.Errorf("%d workloads", n)
		}

		// Who comes back has the uid and an empty home; who is new has neither.
		again, err := w.Domain.Onboard(ctx, domain.OnboardRequest{User: "alice"})
		check(t, err)
		if again.UID != 200001 || again.Home.Path != "/200001" || again.Home.AccessPoint == w.alice.Home.AccessPoint {
			t.Errorf("onboarded again as %+v", again)
		}
		zed, err := w.Domain.Onboard(ctx, domain.OnboardRequest{User: "zed"})
		check(t, err)
		if zed.UID == 200001 {
			t.Error("zed has alice's uid")
		}
		_, err = w.Sessions.Start(ctx, session.StartRequest{ID: "new", User: "alice", Image: "rstudio", InstanceType: "t3.medium"})
		check(t, err)
		_, err = w.Sessions.Wait(ctx, "new", session.Running)
		check(t, err)
		if got := w.names("200001"); len(got) > 0 {
			t.Errorf("the new home holds %q", got)
		}

		// And that home can be deleted as well.
		_, err = w.Sessions.Stop(ctx, "new")
		check(t, err)
		_, err = w.Sessions.Wait(ctx, "new", session.Stopped)
		check(t, err)
		check(t, w.files.WriteFile("200001/second", []byte("life"), 0o600))
		check(t, w.Domain.Offboard(ctx, "alice"))
		check(t, m.DeleteHome(ctx, deleteAlice()))
		if _, err := w.files.Stat("200001"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the second home: %v", err)
		}
		if got := w.log.removals(); len(got) != 2 || got[1].ID != "research.home.200001.2" {
			t.Errorf("launched %+v", got)
		}
		w.others()
	})
}

// TestDeleteHomeMissing: a home that no host ever mounted has no directory.
func TestDeleteHomeMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHomeWorld(t, fake.Maintenance)
		check(t, w.files.RemoveAll("200001"))
		check(t, w.manager().DeleteHome(within(t, time.Hour), deleteAlice()))
		w.audit()
	})
}

// TestDeleteHomeRefused: whatever is wrong stops it before anything is changed.
func TestDeleteHomeRefused(t *testing.T) {
	with := func(change func(*session.DeleteHomeRequest)) session.DeleteHomeRequest {
		q := deleteAlice()
		change(&q)
		return q
	}
	path := func(p string) session.DeleteHomeRequest {
		return with(func(q *session.DeleteHomeRequest) { q.Path = p })
	}
	for name, c := range map[string]struct {
		q     session.DeleteHomeRequest
		kind  error
		words []string
	}{
		"no path":        {path(""), domain.ErrInvalid, []string{"path is missing"}},
		"another's path": {path("/200002"), domain.ErrInvalid, []string{`"/200002"`, "alice"}},
		"root":           {path("/"), domain.ErrInvalid, []string{`"/"`}},
		"shared":         {path("/shared/genome"), domain.ErrInvalid, []string{"shared"}},
		"slash":          {path("/200001/"), domain.ErrInvalid, []string{`"/200001/"`}},
		"relative":       {path("200001"), domain.ErrInvalid, nil},
		"dots":           {path("/200002/../200001"), domain.ErrInvalid, nil},
		"inside":         {path("/200001/data"), domain.ErrInvalid, nil},
		"longer":         {path("/2000010"), domain.ErrInvalid, nil},
		"no user":        {with(func(q *session.DeleteHomeRequest) { q.User = "" }), domain.ErrInvalid, []string{"user"}},
		"no such user":   {with(func(q *session.DeleteHomeRequest) { q.User = "carol" }), domain.ErrNotFound, []string{"carol"}},
		"wrong user":     {with(func(q *session.DeleteHomeRequest) { q.User = "bob" }), domain.ErrInvalid, []string{"200001", "bob: is onboarded"}},
		"onboarded":      {session.DeleteHomeRequest{User: "bob", Path: "/200002", Image: "tools"}, domain.ErrState, []string{"offboard"}},
		"no image":       {with(func(q *session.DeleteHomeRequest) { q.Image = "" }), domain.ErrInvalid, []string{"image is missing"}},
		"no such image":  {with(func(q *session.DeleteHomeRequest) { q.Image = "scratch" }), domain.ErrNotFound, []string{"scratch"}},
		"no such type":   {with(func(q *session.DeleteHomeRequest) { q.InstanceType = "z9.huge" }), domain.ErrInvalid, []string{"z9.huge"}},
		"everything": {
			session.DeleteHomeRequest{User: "bob", Path: "/", Image: "scratch", InstanceType: "z9.huge"}, domain.ErrInvalid,
			[]string{`path "/"`, "offboard", "scratch", "z9.huge", "busy (running)", "paused (suspended)"},
		},
	} {
		inBubble(t, name, func(t *testing.T) {
			ctx := within(t, time.Hour)
			w := newHomeWorld(t, fake.Maintenance)
			if name == "everything" {
				for _, id := range []session.ID{"busy", "paused"} {
					_, err := w.Sessions.Start(ctx, session.StartRequest{ID: id, User: "bob", Image: "rstudio", InstanceType: "t3.medium"})
					check(t, err)
					_, err = w.Sessions.Wait(ctx, id, session.Running)
					check(t, err)
				}
				_, err := w.Sessions.Suspend(ctx, "paused")
				check(t, err)
				_, err = w.Sessions.Wait(ctx, "paused", session.Suspended)
				check(t, err)
			}
			fails(t, w.manager().DeleteHome(ctx, c.q), c.kind, c.words...)
			w.untouched()
			_, err := w.Domain.Onboard(ctx, domain.OnboardRequest{User: "alice"})
			check(t, err)
		})
	}
}

// TestDeleteHomeInUse: a session that can still come back keeps the home.
func TestDeleteHomeInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := within(t, time.Hour)
		w := newHomeWorld(t, fake.Maintenance)
		m := w.manager()
		_, err := w.Domain.Onboard(ctx, domain.OnboardRequest{User: "alice"})
		check(t, err)
		_, err = w.Sessions.Start(ctx, session.StartRequest{ID: "s1", User: "alice", Image: "rstudio", InstanceType: "t3.medium"})
		check(t, err)
		check(t, w.Domain.Offboard(ctx, "alice"))
		refused := func(state string) {
			t.Helper()
			err := m.DeleteHome(ctx, deleteAlice())
			fails(t, err, session.ErrState, "s1 ("+state)
			if code := session.StatusCode(err); code != 409 {
				t.Errorf("status %d", code)
			}
			w.untouched()
		}
		refused("")
		_, err = w.Sessions.Wait(ctx, "s1", session.Running)
		check(t, err)
		refused("running")
		_, err = w.Sessions.Suspend(ctx, "s1")
		check(t, err)
		_, err = w.Sessions.Wait(ctx, "s1", session.Suspended)
		check(t, err)
		refused("suspended")
		_, err = w.Sessions.Stop(ctx, "s1")
		check(t, err)
		check(t, m.DeleteHome(ctx, deleteAlice()))
		w.audit()
	})
}

// TestDeleteHomeOfALostSession: a session that has failed keeps the home as long
// as its container may still live.
func TestDeleteHomeOfALostSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := within(t, 12*time.Hour)
		w := newHomeWorld(t, fake.Maintenance)
		_, err := w.Domain.Onboard(ctx, domain.OnboardRequest{User: "alice"})
		check(t, err)
		_, err = w.Sessions.Start(ctx, session.StartRequest{ID: "s1", User: "alice", Image: "rstudio", InstanceType: "t3.medium"})
		check(t, err)
		s, err := w.Sessions.Wait(ctx, "s1", session.Running)
		check(t, err)
		check(t, w.Domain.Offboard(ctx, "alice"))
		check(t, w.Cloud.Partition(s.Host, true))
		_, err = w.Sessions.Stop(ctx, "s1")
		check(t, err)
		_, err = w.Sessions.Wait(ctx, "s1", session.Failed)
		check(t, err)
		m := w.manager()
		fails(t, m.DeleteHome(ctx, deleteAlice()), session.ErrState, "s1 (failed)")
		w.untouched()
		check(t, w.Cloud.Partition(s.Host, false))
		for err = errNotYet; errors.Is(err, errNotYet) || errors.Is(err, session.ErrState); time.Sleep(time.Minute) {
			err = m.DeleteHome(ctx, deleteAlice())
		}
		check(t, err)
		w.audit()
	})
}

// TestDeleteHomeFails: the error has what the command wrote, nothing stays open,
// and the next call begins another attempt.
func TestDeleteHomeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := within(t, time.Hour)
		w := newHomeWorld(t, fake.Maintenance)
		m := w.manager()
		q := deleteAlice()
		q.Image = "broken"
		fails(t, m.DeleteHome(ctx, q), session.ErrUnavailable, "code 1", "cannot remove 'x'", "alice")
		if got := w.points(); !slices.Equal(got, []string{"/200001", "/200002"}) {
			t.Errorf("access points %q: the file system is still open", got)
		}
		_, err := w.Domain.Onboard(ctx, domain.OnboardRequest{User: "alice"})
		fails(t, err, domain.ErrState, "being deleted")
		fails(t, w.Domains.Delete(ctx, "research"), domain.ErrState, "1 homes are being deleted", "alice")

		check(t, m.DeleteHome(ctx, deleteAlice()))
		w.audit()
		if got := w.log.removals(); len(got) != 2 || got[0].ID == got[1].ID || got[0].Mounts[0] == got[1].Mounts[0] {
			t.Errorf("launched %+v, want two with a root of their own each", got)
		}
	})
}

// TestDeleteHomeWithoutRootAccess: hosts that may not act as root remove nothing,
// and that is not taken for success.
func TestDeleteHomeWithoutRootAccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHomeWorld(t, fake.Maintenance, "elasticfilesystem:ClientRootAccess")
		fails(t, w.manager().DeleteHome(within(t, time.Hour), deleteAlice()), session.ErrUnavailable, "mv: ", "permission denied", "ClientRootAccess")
		if text, err := w.files.ReadFile("200001/thesis"); err != nil || string(text) != "words" {
			t.Errorf("the thesis is %q, %v", text, err)
		}
	})
}

// slowly is a Maintenance that takes five minutes, and tells when it begins.
func slowly(begun chan<- struct{}) fakelauncher.Program {
	return func(ctx context.Context, p *fakelauncher.Proc) int {
		select {
		case begun <- struct{}{}:
		case <-ctx.Done():
			return 137
		}
		select {
		case <-time.After(5 * time.Minute):
		case <-ctx.Done():
			return 137
		}
		return fake.Maintenance(ctx, p)
	}
}

// TestDeleteHomeWhileSweeping: the managers that run leave the workload alone as
// long as it is wanted, and then have it forgotten. One that nobody wants goes.
func TestDeleteHomeWhileSweeping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := within(t, time.Hour)
		begun := make(chan struct{}, 9)
		w := newHomeWorld(t, slowly(begun))
		check(t, w.manager().DeleteHome(ctx, deleteAlice()))
		w.audit()
		if got := w.log.removals(); len(got) != 1 {
			t.Errorf("launched %+v, want one", got)
		}
		stray := w.log.removals()[0]
		stray.ID, stray.Labels = "research.home.200002.7", map[string]string{"atelier.domain": "research", "atelier.home": "bob"}
		stray.Mounts = nil
		_, err := w.Fleet.Launch(ctx, stray)
		check(t, err)
		time.Sleep(3 * time.Minute)
		for s, err := range w.Fleet.List(ctx, launcher.Filter{}) {
			check(t, err)
			t.Errorf("%s is %s, want it gone", s.ID, s.Phase)
		}
	})
}

// TestDeleteHomeLeavesNoneAlive: a container of an earlier attempt, whatever
// became of it, has ended before the deletion has: it would find the next home.
func TestDeleteHomeLeavesNoneAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := within(t, time.Hour)
		w := newHomeWorld(t, func(ctx context.Context, p *fakelauncher.Proc) int {
			if p.Args[0] == "linger" {
				<-ctx.Done()
			}
			return fake.Maintenance(ctx, p)
		})
		check(t, w.manager().DeleteHome(ctx, deleteAlice()))
		_, err := w.Domain.Onboard(ctx, domain.OnboardRequest{User: "alice"})
		check(t, err)
		check(t, w.Domain.Offboard(ctx, "alice"))
		lost := w.log.removals()[0]
		lost.ID, lost.Mounts, lost.Command = "research.home.200001.0", nil, []string{"linger"}
		lost.InstanceType = "t3.medium"
		_, err = w.Fleet.Launch(ctx, lost)
		check(t, err)
		_, err = launcher.Wait(ctx, w.Fleet, lost.ID, func(s launcher.Status) bool { return s.Phase == launcher.Running })
		check(t, err)
		q := deleteAlice()
		q.InstanceType = "t3.medium"
		check(t, w.manager().DeleteHome(ctx, q))
		if s, err := launcher.Get(ctx, w.Fleet, lost.ID); err == nil && s.Phase != launcher.Exited {
			t.Errorf("%s is still %s", lost.ID, s.Phase)
		}
	})
}

// TestDeleteHomeInterrupted: neither a caller who goes away nor a host that dies
// in the middle leaves a home half removed under its name, or stops the next
// call.
func TestDeleteHomeInterrupted(t *testing.T) {
	inBubble(t, "caller", func(t *testing.T) {
		begun := make(chan struct{}, 9)
		w := newHomeWorld(t, slowly(begun))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.manager().DeleteHome(ctx, deleteAlice()) }()
		<-begun
		cancel()
		synctest.Wait() // it returns at once
		select {
		case err := <-ended:
			if err != context.Canceled {
				t.Errorf("%v, want the context's error as it is", err)
			}
		default:
			t.Fatal("it goes on after its context has ended")
		}
		check(t, w.manager().DeleteHome(within(t, time.Hour), deleteAlice()))
		w.audit()
		if got := w.log.removals(); len(got) != 1 {
			t.Errorf("launched %+v, want the one that was under way", got)
		}
	})
	inBubble(t, "caller for a day", func(t *testing.T) {
		begun := make(chan struct{}, 9)
		w := newHomeWorld(t, slowly(begun))
		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		calls.Go(func() {
			if err := w.manager().DeleteHome(ctx, deleteAlice()); err != context.Canceled {
				t.Error(err)
			}
		})
		<-begun
		cancel()
		calls.Wait()
		time.Sleep(24 * time.Hour) // the launcher has forgotten by now
		w.others()
		check(t, w.manager().DeleteHome(within(t, time.Hour), deleteAlice()))
		w.audit()
		if got := w.log.removals(); len(got) != 2 || got[0].Mounts[0] != got[1].Mounts[0] {
			t.Errorf("launched %+v, want another to make sure, by the same access point", got)
		}
	})
	inBubble(t, "host", func(t *testing.T) {
		ctx := within(t, 3*time.Hour)
		removed := make(chan launcher.ID, 1)
		first := true
		w := newHomeWorld(t, func(ctx context.Context, p *fakelauncher.Proc) int {
			if !first {
				return fake.Maintenance(ctx, p)
			}
			first = false // one file gone, and the host dies
			if p.Rename("/homes/200001", "/homes/.deleted-200001") != nil || p.Remove("/homes/.deleted-200001/thesis") != nil {
				return 1
			}
			removed <- p.ID
			<-ctx.Done()
			return 137
		})
		m := w.manager()
		ended := make(chan error, 1)
		go func() { ended <- m.DeleteHome(ctx, deleteAlice()) }()
		s, err := launcher.Get(ctx, w.Fleet, <-removed)
		check(t, err)
		check(t, w.Cloud.CrashHost(s.Host))
		fails(t, <-ended, launcher.ErrHostLost, "call again")
		check(t, m.DeleteHome(ctx, deleteAlice()))
		w.audit()
	})
}

// TestDeleteHomeTogether: calls of several processes at once come to one end.
func TestDeleteHomeTogether(t *testing.T) {
	for seed := range uint64(20) {
		inBubble(t, fmt.Sprint(seed), func(t *testing.T) {
			ctx := within(t, time.Hour)
			w := newHomeWorld(t, fake.Maintenance)
			var calls sync.WaitGroup
			for i := range 4 {
				m, err := session.New(w.slowDomain(seed, uint64(i)), w.log, session.Config{})
				check(t, err)
				calls.Go(func() {
					for err := errNotYet; err != nil; {
						err = m.DeleteHome(ctx, deleteAlice())
						if err != nil && !errors.Is(err, domain.ErrConflict) && !errors.Is(err, domain.ErrState) {
							t.Error(err)
							return
						}
					}
				})
			}
			calls.Wait()
			w.audit()
			if got := w.log.removals(); len(got) != 1 {
				t.Errorf("launched %+v, want one", got)
			}
		})
	}
}

var errNotYet = errors.New("not yet tried")

// slowDomain is the domain as seen by a process whose store takes a while, each
// time another.
func (w *homeWorld) slowDomain(seed, n uint64) *domain.Domain {
	w.t.Helper()
	return w.domainOn(&laggingStore{Store: w.Store, seed: seed*31 + n})
}

func (w *homeWorld) domainOn(s store.Store) *domain.Domain {
	w.t.Helper()
	client, err := domain.NewFromConfig(w.Cloud.Config(), domain.Config{Store: s})
	check(w.t, err)
	d, err := client.Get(w.t.Context(), "research")
	check(w.t, err)
	return d
}

type laggingStore struct {
	store.Store
	mu    sync.Mutex
	seed  uint64
	calls uint64
}

func (s *laggingStore) lag() {
	s.mu.Lock()
	s.calls++
	x := (s.seed+1)*0x9e3779b97f4a7c15 ^ s.calls*0xbf58476d1ce4e5b9
	s.mu.Unlock()
	x ^= x >> 31
	x *= 0x94d049bb133111eb
	time.Sleep(time.Duration(x>>40%400) * time.Millisecond)
}

func (s *laggingStore) Get(ctx context.Context, collection, id string) (store.Record, error) {
	s.lag()
	return s.Store.Get(ctx, collection, id)
}

func (s *laggingStore) Put(ctx context.Context, r store.Record) (int64, error) {
	s.lag()
	return s.Store.Put(ctx, r)
}
