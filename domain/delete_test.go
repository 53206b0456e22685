package domain_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// deleteAll offboards everybody and deletes the domain.
func deleteAll(ctx context.Context, w *world) error {
	c, err := domain.NewFromConfig(w.Config(), domain.Config{Store: w.store})
	if err != nil {
		return err
	}
	d, err := c.Get(ctx, "research")
	if err != nil {
		return err
	}
	for u, err := range d.Users(ctx) {
		if err != nil {
			return err
		}
		if err := d.Offboard(ctx, u.Name); err != nil {
			return err
		}
	}
	return c.Delete(ctx, "research")
}

func TestDelete(t *testing.T) {
	inBubble(t, "refuses while there are users", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		for n := range 12 {
			onboard(t, d, fmt.Sprintf("user-%d", n))
		}
		before := w.inventory(ctx)
		err := w.client().Delete(ctx, "research")
		is(t, err, domain.ErrState)
		if !strings.Contains(err.Error(), "12 users are onboarded, offboard them first: user-0, user-1, user-10,") || !strings.HasSuffix(err.Error(), "and 2 more") {
			t.Error(err)
		}
		if diff := cmp.Diff(before, w.inventory(ctx)); diff != "" {
			t.Errorf("a refused Delete changed (-before +after):\n%s", diff)
		}
		onboard(t, d, "one-more") // the domain is open again
	})
	inBubble(t, "keeps the homes", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		ctx := t.Context()
		if _, err := story(ctx, w); err != nil {
			t.Fatal(err)
		}
		if err := deleteAll(ctx, w); err != nil {
			t.Fatal(err)
		}
		golden(t, "delete.golden", w.inventory(ctx))
		is(t, w.client().Delete(ctx, "research"), domain.ErrNotFound)
		is(t, w.client().Delete(ctx, "re/search"), domain.ErrInvalid)
		_, err := w.client().Get(ctx, "research")
		is(t, err, domain.ErrNotFound)
	})
	inBubble(t, "spares another's group", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		about, err := w.create(ctx).Describe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		ec2 := awsec2.NewFromConfig(w.Config())
		if _, err := ec2.DeleteSecurityGroup(ctx, &awsec2.DeleteSecurityGroupInput{GroupId: aws.String(about.HostSecurityGroup)}); err != nil {
			t.Fatal(err)
		}
		theirs, err := ec2.CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{
			GroupName: aws.String("atelier-research-hosts"), Description: aws.String("of somebody else"), VpcId: aws.String(w.DefaultVPC()),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.client().Delete(ctx, "research"); err != nil {
			t.Fatal(err)
		}
		if _, err := ec2.DescribeSecurityGroups(ctx, &awsec2.DescribeSecurityGroupsInput{GroupIds: []string{*theirs.GroupId}}); err != nil {
			t.Error(err)
		}
	})
	inBubble(t, "of a domain without users", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		w.create(t.Context())
		if err := w.client().Delete(t.Context(), "research"); err != nil {
			t.Fatal(err)
		}
		if got := w.inventory(t.Context()); got != "\n" {
			t.Errorf("left:\n%s", got)
		}
	})
}

// TestDeleteWaitsForHosts deletes while an instance runs in the hosts' group.
func TestDeleteWaitsForHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		ctx := t.Context()
		about, err := w.create(ctx).Describe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		ami, err := w.AddAMI("x86_64")
		if err != nil {
			t.Fatal(err)
		}
		ec2 := awsec2.NewFromConfig(w.Config())
		run, err := ec2.RunInstances(ctx, &awsec2.RunInstancesInput{
			ImageId: aws.String(ami), InstanceType: types.InstanceTypeT3Medium, SubnetId: aws.String(about.Subnets[0].ID),
			SecurityGroupIds: []string{about.HostSecurityGroup}, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
			ClientToken: aws.String("host"),
		})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err = w.client().Delete(ctx, "research")
		is(t, err, domain.ErrState)
		if took := time.Since(began); took < time.Minute || took > 3*time.Minute {
			t.Errorf("gave up after %v", took)
		}
		if _, err := ec2.TerminateInstances(ctx, &awsec2.TerminateInstancesInput{InstanceIds: []string{*run.Instances[0].InstanceId}}); err != nil {
			t.Fatal(err)
		}
		if err := w.client().Delete(ctx, "research"); err != nil { // it waits until the instance is gone
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestDeleteCrashesAtEveryCall crashes while the domain is deleted, and
// deletes again.
func TestDeleteCrashesAtEveryCall(t *testing.T) {
	var calls []fakeaws.Call
	inBubble(t, "undisturbed", func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: delays()})
		if _, err := story(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		created := len(w.Calls())
		if err := deleteAll(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		calls = w.Calls()[created:]
		golden(t, "delete.golden", w.inventory(t.Context()))
	})
	for _, call := range calls {
		for _, after := range []bool{false, true} {
			inBubble(t, fmt.Sprintf("%s %d after=%t", call.Action, call.Nth, after), func(t *testing.T) {
				w := newWorld(t, fakeaws.Config{Delays: delays(), Faults: []fakeaws.Fault{
					{Action: call.Action, Subject: call.Subject, Nth: call.Nth, Crash: true, After: after},
				}})
				if _, err := story(t.Context(), w); err != nil {
					t.Fatal(err)
				}
				if err := deleteAll(t.Context(), w); !errors.Is(err, fakeaws.ErrCrashed) {
					t.Fatalf("%v, want a crash", err)
				}
				c, d := w.client(), w.must("research")
				if about, err := d.Describe(t.Context()); err != nil || !about.Deleting {
					t.Errorf("half deleted: %+v, %v", about, err)
				}
				_, err := d.Onboard(t.Context(), domain.OnboardRequest{User: "carol"})
				is(t, err, domain.ErrState)
				_, err = c.Create(t.Context(), w.request())
				is(t, err, domain.ErrState)
				_, err = d.Authorize(t.Context(), domain.Ask{User: "alice", InstanceType: "t3.medium"})
				is(t, err, domain.ErrState)
				if err := deleteAll(t.Context(), w); err != nil {
					t.Fatal(err)
				}
				golden(t, "delete.golden", w.inventory(t.Context()))
			})
		}
	}
}

// TestDeleteMeetsOnboard lets the two race. Either the domain is gone and the
// user was refused, or the user is there and so is all of the domain.
func TestDeleteMeetsOnboard(t *testing.T) {
	for seed := range uint64(60) {
		inBubble(t, fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{Seed: seed, Delays: fakeaws.Brisk()})
			ctx := t.Context()
			if _, err := story(ctx, w); err != nil {
				t.Fatal(err)
			}
			d := w.must("research")
			for _, u := range []string{"alice", "bob"} {
				if err := d.Offboard(ctx, u); err != nil {
					t.Fatal(err)
				}
			}
			r := rand.New(rand.NewPCG(seed, 1))
			w.store = &slowStore{Store: w.store, pause: func() time.Duration { return time.Duration(r.IntN(5)) * time.Millisecond }}
			d = w.must("research")
			var onboarded error
			deleted := make([]error, 2)
			var wg sync.WaitGroup
			for n := range deleted {
				wg.Go(func() {
					time.Sleep(time.Duration(seed%13) * time.Millisecond)
					deleted[n] = w.client().Delete(ctx, "research")
				})
			}
			wg.Go(func() { _, onboarded = d.Onboard(ctx, domain.OnboardRequest{User: "carol"}) })
			wg.Wait()
			_, err := w.client().Get(ctx, "research")
			switch gone := errors.Is(err, domain.ErrNotFound); {
			case onboarded == nil && gone:
				t.Errorf("carol was onboarded and the domain deleted: %v", deleted)
			case onboarded == nil:
				w.audit(ctx, 2, 3)
			case gone && (errors.Is(onboarded, domain.ErrState) || errors.Is(onboarded, domain.ErrNotFound)):
				if text := w.inventory(ctx); strings.Contains(text, "security group") || strings.Contains(text, "mount target") {
					t.Errorf("left behind:\n%s", text)
				}
			case gone:
				t.Errorf("carol was refused with %v", onboarded)
			default: // both stepped back; the next call of either goes through
				if err := deleteAll(ctx, w); err != nil {
					t.Errorf("onboard: %v; delete: %v; then %v", onboarded, deleted, err)
				}
			}
		})
	}
}

// gatedStore keeps the n-th reader of users, when it has read them, until its
// gate opens.
type gatedStore struct {
	store.Store
	mu    sync.Mutex
	gates []chan struct{}
}

func (s *gatedStore) List(ctx context.Context, collection, after string) iter.Seq2[store.Record, error] {
	if !strings.HasSuffix(collection, "/users") {
		return s.Store.List(ctx, collection, after)
	}
	s.mu.Lock()
	gate := s.gates[0]
	s.gates = s.gates[1:]
	s.mu.Unlock()
	return func(yield func(store.Record, error) bool) {
		for r, err := range s.Store.List(ctx, collection, after) {
			if !yield(r, err) {
				return
			}
		}
		<-gate
	}
}

// TestDeleteDoesNotTrustAnothersClosing has three Deletes overtake each other:
// the first finds a user and gives up after the second has found none.
func TestDeleteDoesNotTrustAnothersClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		d := w.create(ctx)
		onboard(t, d, "alice")
		gates := []chan struct{}{make(chan struct{}), make(chan struct{}), make(chan struct{})}
		w.store = &gatedStore{Store: w.store, gates: gates}
		d = w.must("research")
		results := make([]error, len(gates))
		var wg sync.WaitGroup
		begin := func(n int) {
			wg.Go(func() { results[n] = w.client().Delete(ctx, "research") })
			synctest.Wait()
		}
		open := func(n int) {
			close(gates[n])
			synctest.Wait()
		}
		begin(0)
		if err := d.Offboard(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		begin(1)
		open(0)
		_, onboarded := d.Onboard(ctx, domain.OnboardRequest{User: "carol"})
		begin(2)
		open(1)
		open(2)
		wg.Wait()
		_, err := w.client().Get(ctx, "research")
		if onboarded == nil && err != nil {
			t.Errorf("carol was onboarded and the domain deleted: %v", results)
		}
		is(t, results[0], domain.ErrState)
		is(t, results[1], domain.ErrConflict)
		if results[2] != nil {
			t.Error(results[2])
		}
	})
}

// meddlingStore does something before the n-th read of a domain's record.
type meddlingStore struct {
	store.Store
	n      int
	meddle func()
}

func (s *meddlingStore) Get(ctx context.Context, collection, id string) (store.Record, error) {
	if collection == "domains" {
		if s.n--; s.n == 0 {
			s.meddle()
		}
	}
	return s.Store.Get(ctx, collection, id)
}

// TestDeleteSparesASuccessor has the domain deleted by another and created
// again, with a user, between two steps of a Delete.
func TestDeleteSparesASuccessor(t *testing.T) {
	for n := 1; n <= 6; n++ {
		inBubble(t, fmt.Sprint(n), func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{})
			ctx := t.Context()
			if err := w.create(ctx).SetPolicy(ctx, domain.Policy{}); err != nil {
				t.Fatal(err)
			}
			other := &world{Cloud: w.Cloud, t: t, store: w.store}
			met := false
			w.store = &meddlingStore{Store: w.store, n: n, meddle: func() {
				met = true
				if err := other.client().Delete(ctx, "research"); err != nil {
					t.Fatal(err)
				}
				onboard(t, other.create(ctx), "carol")
			}}
			err := w.client().Delete(ctx, "research")
			if !met {
				t.Fatalf("a Delete reads the record less than %d times", n)
			}
			if !errors.Is(err, domain.ErrState) && !errors.Is(err, domain.ErrConflict) {
				t.Errorf("%v, want a refusal", err)
			}
			other.audit(ctx, 2, 1)
		})
	}
}

func TestDeleteConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		ctx := t.Context()
		if _, err := story(ctx, w); err != nil {
			t.Fatal(err)
		}
		for _, u := range []string{"alice", "bob"} {
			if err := w.must("research").Offboard(ctx, u); err != nil {
				t.Fatal(err)
			}
		}
		results := make([]error, 5)
		var wg sync.WaitGroup
		for n := range results {
			wg.Go(func() {
				time.Sleep(time.Duration(n) * 50 * time.Millisecond)
				results[n] = w.client().Delete(ctx, "research")
			})
		}
		wg.Wait()
		for _, err := range results {
			if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, domain.ErrConflict) {
				t.Error(err)
			}
		}
		golden(t, "delete.golden", w.inventory(ctx))
	})
}
