package domain_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/image"
)

// TestHomeDeletionOfAnEarlierHome: who began the deletion of a home, and was
// overtaken, neither ends nor opens anything for the next one.
func TestHomeDeletionOfAnEarlierHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{})
		d := w.create(ctx)
		first := onboard(t, d, "alice")
		gone(t, d, "alice")
		second := onboard(t, d, "alice")
		is(t, d.FinishHomeDeletion(ctx, second, "/200001"), domain.ErrState)
		if err := d.Offboard(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.BeginHomeDeletion(ctx, "alice", "/200001", unused); err != nil {
			t.Fatal(err)
		}
		if err := d.FinishHomeDeletion(ctx, first, "/200001"); err != nil {
			t.Errorf("the first home is gone, and that is not told: %v", err)
		}
		_, err := d.EnsureHomeDeletionAccess(ctx, first)
		is(t, err, domain.ErrState)
		u, err := d.User(ctx, "alice")
		if err != nil || !u.Deletion.UnderWay() || u.Deletion.Count != 1 || u.Home != second.Home {
			t.Errorf("recorded is %+v, %v", u, err)
		}
		w.audit(ctx, 2, 1)
	})
}

// TestHomeDeletionAccessTooLate: what a call opens that was overtaken, it closes.
func TestHomeDeletionAccessTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{})
		d := w.create(ctx)
		alice := onboard(t, d, "alice")
		onboard(t, d, "bob")
		if err := d.Offboard(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.BeginHomeDeletion(ctx, "alice", "/200001", unused); err != nil {
			t.Fatal(err)
		}
		slow, held := w.held()
		late := make(chan error, 1)
		go func() {
			_, err := slow.EnsureHomeDeletionAccess(ctx, alice)
			late <- err
		}()
		<-held.at // it is about to make the access point
		gone(t, d, "alice")
		close(held.until)
		is(t, <-late, domain.ErrState)
		w.audit(ctx, 2, 1)
	})
}

// TestOnboardKeepsTheUIDOfADeletedHome: if somebody has taken it on the file
// system meanwhile, that is said, and no other uid given instead.
func TestOnboardKeepsTheUIDOfADeletedHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{})
		d := w.create(ctx)
		alice := onboard(t, d, "alice")
		gone(t, d, "alice")
		fs, err := efs.NewFromConfig(w.Config(), efs.Config{})
		if err != nil {
			t.Fatal(err)
		}
		spec := efs.HomeSpec{FileSystem: alice.Home.FileSystem, User: "mallory", UID: alice.UID, GID: alice.GID}
		if _, err := fs.EnsureHome(ctx, spec); err != nil {
			t.Fatal(err)
		}
		_, err = d.Onboard(ctx, domain.OnboardRequest{User: "alice"})
		is(t, err, domain.ErrConflict)
		if u, err := d.User(ctx, "alice"); err != nil || u.UID != alice.UID {
			t.Errorf("alice has uid %d, %v; had %d", u.UID, err, alice.UID)
		}
	})
}

// TestHomeDeletionWithdrawn: what ready refuses has not begun; and what another
// call's ready allowed before that is asked again.
func TestHomeDeletionWithdrawn(t *testing.T) {
	refuse := errors.New("somebody is there")
	inBubble(t, "one", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		d := w.create(t.Context())
		onboard(t, d, "alice")
		if err := d.Offboard(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		_, err := d.BeginHomeDeletion(t.Context(), "alice", "/200001", func(ctx context.Context) error {
			_, err := d.Onboard(ctx, domain.OnboardRequest{User: "alice"})
			is(t, err, domain.ErrState)
			return refuse
		})
		if err != refuse {
			t.Errorf("%v, want ready's error as it is", err)
		}
		onboard(t, d, "alice")
	})
	inBubble(t, "two", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		d := w.create(t.Context())
		onboard(t, d, "alice")
		if err := d.Offboard(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		asked, release, third := 0, make(chan struct{}), make(chan error, 1)
		_, err := d.BeginHomeDeletion(t.Context(), "alice", "/200001", func(ctx context.Context) error {
			if asked++; asked > 1 {
				return refuse
			}
			// Another call withdraws; for a moment a session may begin.
			if _, err := d.BeginHomeDeletion(ctx, "alice", "/200001", func(context.Context) error { return refuse }); err != refuse {
				t.Error(err)
			}
			// And a third claims, so that it looks as it did.
			at := make(chan struct{})
			go func() {
				_, err := d.BeginHomeDeletion(ctx, "alice", "/200001", func(context.Context) error { close(at); <-release; return refuse })
				third <- err
			}()
			<-at
			return nil
		})
		if asked != 2 || err != refuse {
			t.Errorf("asked %d times, %v: the home was taken on an answer that had lapsed", asked, err)
		}
		close(release)
		if err := <-third; err != refuse {
			t.Error(err)
		}
		onboard(t, d, "alice")
	})
	inBubble(t, "the domain is being deleted", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "ec2:DeleteSecurityGroup", Code: "DependencyViolation"}}})
		d := w.create(t.Context())
		onboard(t, d, "alice")
		if err := d.Offboard(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		if err := w.client().Delete(t.Context(), "research"); err == nil {
			t.Fatal("the fault did not strike")
		}
		_, err := d.BeginHomeDeletion(t.Context(), "alice", "/200001", unused)
		is(t, err, domain.ErrState)
		u, err := d.User(t.Context(), "alice")
		if err != nil || u.Deletion.UnderWay() {
			t.Errorf("%+v, %v", u.Deletion, err)
		}
	})
}

// heldEFS holds up the first call about an access point: before one is made, or
// after one was looked at.
type heldEFS struct {
	efs.API
	once      *sync.Once
	at, until chan struct{}
}

// held is the domain as seen by a process whose first such call takes long.
func (w *world) held() (*domain.Domain, heldEFS) {
	w.t.Helper()
	held := heldEFS{awsefs.NewFromConfig(w.Config()), new(sync.Once), make(chan struct{}), make(chan struct{})}
	client, err := domain.New(w.Region(), awsec2.NewFromConfig(w.Config()), held,
		domain.Config{Store: w.store, Images: image.NewFromConfig(w.Config(), image.Config{})})
	if err != nil {
		w.t.Fatal(err)
	}
	d, err := client.Get(context.Background(), "research")
	if err != nil {
		w.t.Fatal(err)
	}
	return d, held
}

func (e heldEFS) hold() {
	e.once.Do(func() {
		close(e.at)
		<-e.until
	})
}

func (e heldEFS) CreateAccessPoint(
	ctx context.Context, in *awsefs.CreateAccessPointInput, o ...func(*awsefs.Options),
) (*awsefs.CreateAccessPointOutput, error) {
	if *in.RootDirectory.Path == "/" {
		e.hold()
	}
	return e.API.CreateAccessPoint(ctx, in, o...)
}

func (e heldEFS) DescribeAccessPoints(
	ctx context.Context, in *awsefs.DescribeAccessPointsInput, o ...func(*awsefs.Options),
) (*awsefs.DescribeAccessPointsOutput, error) {
	out, err := e.API.DescribeAccessPoints(ctx, in, o...)
	e.hold()
	return out, err
}

// TestOnboardAcrossHomeDeletion: an Onboard that found the old access point and
// was overtaken by a deletion and another Onboard does not bring it back.
func TestOnboardAcrossHomeDeletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{})
		d := w.create(ctx)
		onboard(t, d, "alice")
		slow, held := w.held()
		late := make(chan error, 1)
		go func() {
			_, err := slow.Onboard(ctx, domain.OnboardRequest{User: "alice"})
			late <- err
		}()
		<-held.at
		gone(t, d, "alice")
		back := onboard(t, d, "alice")
		close(held.until)
		is(t, <-late, domain.ErrConflict)
		if u, err := d.User(ctx, "alice"); err != nil || u.Home != back.Home {
			t.Errorf("recorded is %+v, %v; want %+v", u.Home, err, back.Home)
		}
	})
}
