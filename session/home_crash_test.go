package session_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/image"
	"github.com/atelier-go/atelier/session"
)

// mortalEFS is EFS as seen by a process that may die at any call.
type mortalEFS struct {
	efs.API
	*fuse
}

type efsOption = func(*awsefs.Options)

func (e mortalEFS) CreateAccessPoint(ctx context.Context, in *awsefs.CreateAccessPointInput, o ...efsOption) (*awsefs.CreateAccessPointOutput, error) {
	return burn(e.fuse, func() (*awsefs.CreateAccessPointOutput, error) { return e.API.CreateAccessPoint(ctx, in, o...) })
}

func (e mortalEFS) DescribeAccessPoints(ctx context.Context, in *awsefs.DescribeAccessPointsInput, o ...efsOption) (*awsefs.DescribeAccessPointsOutput, error) {
	return burn(e.fuse, func() (*awsefs.DescribeAccessPointsOutput, error) { return e.API.DescribeAccessPoints(ctx, in, o...) })
}

func (e mortalEFS) DeleteAccessPoint(ctx context.Context, in *awsefs.DeleteAccessPointInput, o ...efsOption) (*awsefs.DeleteAccessPointOutput, error) {
	return burn(e.fuse, func() (*awsefs.DeleteAccessPointOutput, error) { return e.API.DeleteAccessPoint(ctx, in, o...) })
}

func (e mortalEFS) DescribeFileSystems(ctx context.Context, in *awsefs.DescribeFileSystemsInput, o ...efsOption) (*awsefs.DescribeFileSystemsOutput, error) {
	return burn(e.fuse, func() (*awsefs.DescribeFileSystemsOutput, error) { return e.API.DescribeFileSystems(ctx, in, o...) })
}

func (e mortalEFS) TagResource(ctx context.Context, in *awsefs.TagResourceInput, o ...efsOption) (*awsefs.TagResourceOutput, error) {
	return burn(e.fuse, func() (*awsefs.TagResourceOutput, error) { return e.API.TagResource(ctx, in, o...) })
}

// doomed is a process that dies at its n-th call of the store, EFS or the
// launcher, before it took effect or after. Its context ends with it.
func (w *homeWorld) doomed(n int, after bool) (m *session.Manager, f *fuse, ctx context.Context) {
	w.t.Helper()
	ctx, die := context.WithCancel(within(w.t, time.Hour))
	w.t.Cleanup(die)
	f = &fuse{kill: die, after: after}
	cfg := w.Cloud.Config()
	client, err := domain.New(cfg.Region, awsec2.NewFromConfig(cfg), mortalEFS{awsefs.NewFromConfig(cfg), f},
		domain.Config{Store: mortalStore{w.Store, f}, Images: image.NewFromConfig(cfg, image.Config{})})
	check(w.t, err)
	d, err := client.Get(ctx, "research")
	check(w.t, err)
	m, err = session.New(d, mortalLauncher{w.log, f}, session.Config{})
	check(w.t, err)
	f.at, f.calls = n, 0
	return m, f, ctx
}

// TestDeleteHomeCrashAtEveryCall: a process that dies at any call of the store,
// of EFS or of the launcher leaves what the next one completes, to the same
// end, by one workload.
func TestDeleteHomeCrashAtEveryCall(t *testing.T) {
	for _, after := range []bool{false, true} {
		reached, calls := false, 0
		for n := 1; !reached; n++ {
			inBubble(t, fmt.Sprintf("after=%v/call=%d", after, n), func(t *testing.T) {
				w := newHomeWorld(t, fake.Maintenance)
				m, f, ctx := w.doomed(n, after)
				err := m.DeleteHome(ctx, deleteAlice())
				if reached = !f.dead; reached {
					check(t, err)
					calls = f.calls
				} else if !errors.Is(err, context.Canceled) {
					t.Errorf("it died and returned %v", err)
				}
				// In between nothing of another's is touched, and the home is
				// whole or has another name.
				w.others()
				if _, err := w.files.ReadFile("200001/data/2026/deep/raw"); err != nil {
					if _, err := w.files.Stat("200001"); err == nil {
						t.Error("the home is there and is not whole")
					}
				}
				check(t, w.manager().DeleteHome(within(t, time.Hour), deleteAlice()))
				w.audit()
				if got := w.log.removals(); len(got) != 1 {
					t.Errorf("launched %+v, want one", got)
				}
				u, err := w.Domain.Onboard(t.Context(), domain.OnboardRequest{User: "alice"})
				check(t, err)
				if u.UID != 200001 {
					t.Errorf("onboarded again as %+v", u)
				}
			})
			if t.Failed() || n > 500 {
				t.Fatalf("ended at call %d", n)
			}
		}
		if calls < 30 {
			t.Errorf("the deletion makes %d calls only", calls)
		}
	}
}

// TestDeleteHomeMeetsOnboard: while one deletes and another onboards, the home
// is at no time somebody's whose files go, and in the end it is one of the
// two: deleted, or there with its access point.
func TestDeleteHomeMeetsOnboard(t *testing.T) {
	var deleted, refused int
	for seed := range uint64(40) {
		inBubble(t, fmt.Sprint(seed), func(t *testing.T) {
			ctx := within(t, time.Hour)
			w := newHomeWorld(t, fake.Maintenance)
			m, err := session.New(w.slowDomain(seed, 1), w.log, session.Config{})
			check(t, err)
			other := w.slowDomain(seed, 2)
			random := rand.New(rand.NewPCG(seed, 1))
			delay := time.Duration(random.IntN(120_000)) * time.Millisecond / time.Duration(1+seed%8*8)
			var both sync.WaitGroup
			var onboardErr, deleteErr error
			var u domain.User
			both.Go(func() {
				time.Sleep(time.Duration(seed%4) * 700 * time.Millisecond)
				deleteErr = m.DeleteHome(ctx, deleteAlice())
			})
			both.Go(func() {
				time.Sleep(delay)
				u, onboardErr = other.Onboard(ctx, domain.OnboardRequest{User: "alice"})
			})
			both.Wait()
			if onboardErr != nil {
				if !errors.Is(onboardErr, domain.ErrState) && !errors.Is(onboardErr, domain.ErrConflict) {
					t.Error(onboardErr)
				}
				refused++
			}
			if deleteErr != nil && !errors.Is(deleteErr, domain.ErrState) && !errors.Is(deleteErr, domain.ErrConflict) {
				t.Error(deleteErr)
			}
			if deleteErr == nil {
				deleted++
			}
			text, err := w.files.ReadFile("200001/thesis")
			if kept := err == nil && string(text) == "words"; kept == (deleteErr == nil) {
				t.Errorf("deletion: %v; the thesis: %q, %v", deleteErr, text, err)
			}
			if onboardErr == nil {
				point, err := w.point(u.Home.AccessPoint)
				if err != nil || point != "/200001" {
					t.Errorf("onboarded with the access point %s of %q, %v", u.Home.AccessPoint, point, err)
				}
				if u.UID != 200001 || u.Deletion.UnderWay() {
					t.Errorf("onboarded as %+v", u)
				}
			}
			w.others()
		})
	}
	t.Logf("deleted %d times, refused to onboard %d times", deleted, refused)
	if deleted == 0 || deleted == 40 || refused == 0 {
		t.Errorf("of 40 deletions %d were done, %d onboardings refused: want some of each", deleted, refused)
	}
}

// point is the path of an access point, seen by the SDK.
func (w *homeWorld) point(id string) (string, error) {
	out, err := awsefs.NewFromConfig(w.Cloud.Config()).DescribeAccessPoints(w.t.Context(), &awsefs.DescribeAccessPointsInput{AccessPointId: &id})
	if err != nil {
		return "", err
	}
	return *out.AccessPoints[0].RootDirectory.Path, nil
}

// gateStore holds up what a process first writes to a collection whose name
// ends as said.
type gateStore struct {
	store.Store
	suffix   string
	at, open chan struct{}
	once     sync.Once
}

func (w *homeWorld) gate(suffix string) *gateStore {
	return &gateStore{Store: w.Store, suffix: suffix, at: make(chan struct{}), open: make(chan struct{})}
}

func (s *gateStore) Put(ctx context.Context, r store.Record) (int64, error) {
	if strings.HasSuffix(r.Collection, s.suffix) {
		s.once.Do(func() {
			close(s.at)
			<-s.open
		})
	}
	return s.Store.Put(ctx, r)
}

// TestDeleteHomeAfterLateSession: a session that was recorded after it was looked
// for, and launched before the deletion was, as its user came back for a while,
// keeps the home: it is looked for again.
func TestDeleteHomeAfterLateSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := within(t, time.Hour)
		w := newHomeWorld(t, fake.Maintenance)
		_, err := w.Domain.Onboard(ctx, domain.OnboardRequest{User: "alice"})
		check(t, err)
		start, claim := w.gate("/sessions"), w.gate("/users")
		late, err := session.New(w.domainOn(start), w.log, session.Config{})
		check(t, err)
		running, stop := context.WithCancel(ctx)
		var work sync.WaitGroup
		defer work.Wait()
		defer stop()
		work.Go(func() { _ = late.Run(running) })
		work.Go(func() {
			_, err := late.Start(ctx, session.StartRequest{ID: "late", User: "alice", Image: "rstudio", InstanceType: "t3.medium"})
			if err != nil {
				t.Error(err)
			}
		})
		<-start.at
		check(t, w.Domain.Offboard(ctx, "alice"))
		m, err := session.New(w.domainOn(claim), w.log, session.Config{})
		check(t, err)
		deleted := make(chan error, 1)
		go func() { deleted <- m.DeleteHome(ctx, deleteAlice()) }()
		<-claim.at
		_, err = w.Domain.Onboard(ctx, domain.OnboardRequest{User: "alice"})
		check(t, err)
		close(start.open)
		synctest.Wait()
		_, err = late.Wait(ctx, "late", session.Running)
		check(t, err)
		check(t, w.Domain.Offboard(ctx, "alice"))
		close(claim.open)
		fails(t, <-deleted, session.ErrState, "late (running)")
		w.untouched()
	})
}

// TestDeleteHomeBeforeLateSession: a session that was allowed before its user
// left, and is recorded only when the home is on its way out, never gets a
// container.
func TestDeleteHomeBeforeLateSession(t *testing.T) {
	for _, when := range []string{"under way", "ended", "onboarded again"} {
		inBubble(t, when, func(t *testing.T) {
			ctx := within(t, time.Hour)
			begun := make(chan struct{}, 9)
			w := newHomeWorld(t, slowly(begun))
			_, err := w.Domain.Onboard(ctx, domain.OnboardRequest{User: "alice"})
			check(t, err)
			gate := w.gate("/sessions")
			late, err := session.New(w.domainOn(gate), w.log, session.Config{})
			check(t, err)
			running, stop := context.WithCancel(ctx)
			var work sync.WaitGroup
			defer work.Wait()
			defer stop()
			work.Go(func() { _ = late.Run(running) })
			work.Go(func() {
				_, err := late.Start(ctx, session.StartRequest{ID: "late", User: "alice", Image: "rstudio", InstanceType: "t3.medium"})
				if err != nil {
					t.Error(err)
				}
			})
			<-gate.at
			check(t, w.Domain.Offboard(ctx, "alice"))
			deleted := make(chan error, 1)
			go func() { deleted <- w.manager().DeleteHome(ctx, deleteAlice()) }()
			<-begun
			if when != "under way" {
				check(t, <-deleted)
			}
			if when == "onboarded again" {
				_, err := w.Domain.Onboard(ctx, domain.OnboardRequest{User: "alice"})
				check(t, err)
			}
			close(gate.open)
			synctest.Wait()
			_, err = late.Wait(ctx, "late", session.Running)
			fails(t, err, session.ErrState, "the home is being deleted or was")
			if when == "under way" {
				check(t, <-deleted)
			}
			for _, launched := range w.log.launched {
				if launched.Labels["atelier.session"] == "late" {
					t.Errorf("launched %+v", launched)
				}
			}
			if when != "onboarded again" {
				w.audit()
			}
		})
	}
}
