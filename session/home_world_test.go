package session_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
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
