package domain_test

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

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/domain"
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
