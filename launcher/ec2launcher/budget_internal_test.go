package ec2launcher

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestPublished: every call of EC2 has a budget, which is what the account has.
func TestPublished(t *testing.T) {
	account := fakeaws.PublishedLimits()
	for m := range reflect.TypeFor[EC2]().Methods() {
		p, ok := published[m.Name]
		limit := account["ec2:"+m.Name]
		if want := (bucket{limit.Calls.Size, limit.Calls.PerSecond}); !ok || p.calls != want {
			t.Errorf("%s has %+v of its own, want %+v", m.Name, p.calls, want)
		}
		if want := (bucket{limit.Instances.Size, limit.Instances.PerSecond}); p.instances != want {
			t.Errorf("%s has %+v for instances, want %+v", m.Name, p.instances, want)
		}
	}
}

// TestAllowance: whenever in a second EC2 fills its bucket, it has what is taken.
func TestAllowance(t *testing.T) {
	for _, b := range []bucket{{5, 2}, {100, 20}, {1000, 2}, {50, 5}, {1, 1}} {
		for tenth := range 10 { // of a second, in which the bucket is filled
			synctest.Test(t, func(t *testing.T) {
				a := newAllowance(b)
				begun := time.Now()
				for taken := 1; taken < 200; taken++ {
					if err := a.wait(t.Context(), 1); err != nil {
						t.Fatal(err)
					}
					passed := time.Since(begun)
					fills := int((passed + time.Second - time.Duration(tenth+1)*100*time.Millisecond) / time.Second)
					if has := b.size + b.perSecond*fills; taken > has {
						t.Fatalf("%+v: after %v %d are taken of %d", b, passed, taken, has)
					}
				}
			})
		}
	}
}

// TestShrink: calls that were throttled at one time are one lesson, later ones
// another, down to a tenth; what was learnt is forgotten step by step.
func TestShrink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(budget).lane("RunInstances")
		rate := func() float64 { return l.tell(time.Now()).PerSecond }
		together := time.Now()
		time.Sleep(time.Millisecond)
		for range 3 {
			l.shrink(together, time.Now())
		}
		if rate() != 1 {
			t.Errorf("after three at once it is %v, want half of 2", rate())
		}
		for range 5 {
			made := time.Now()
			time.Sleep(time.Millisecond)
			l.shrink(made.Add(time.Microsecond), time.Now())
		}
		if rate() != 2*leastShare {
			t.Errorf("after five more, one by one, it is %v, want %v", rate(), 2*leastShare)
		}
		time.Sleep(growEvery)
		if got := rate(); got < 0.39 || got > 0.41 {
			t.Errorf("after %v without it is %v", growEvery, got)
		}
		time.Sleep(time.Minute)
		if rate() != 2 {
			t.Errorf("after a minute it is %v", rate())
		}
	})
}

// TestPurchasable: what waits for its turn has taken no tokens, and there are none for
// others in its place.
func TestPurchasable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &budget{installed: true}
		all := b.purchasable(time.Now())
		turn := b.lane("RunInstances").turn
		turn <- struct{}{} // somebody else's
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() { gone <- b.lane("RunInstances").take(ctx, all-30) }()
		go func() { gone <- b.lane("RunInstances").take(t.Context(), 20) }()
		synctest.Wait()
		if got := b.purchasable(time.Now()); got != 10 {
			t.Errorf("%d may be bought beside what waits, want 10", got)
		}
		if got := b.refill(20, time.Now()); got != 10*time.Second+time.Millisecond {
			t.Errorf("20 more may be bought in %v, want a little over 10s, at two a second", got)
		}
		cancel()
		if err := <-gone; err == nil {
			t.Error("who has gone has had its turn")
		}
		if got := b.purchasable(time.Now()); got != all-20 {
			t.Errorf("%d may be bought when one has gone, want %d", got, all-20)
		}
		<-turn
		if err := <-gone; err != nil {
			t.Fatal(err)
		}
		if got := b.purchasable(time.Now()); got != all-20 {
			t.Errorf("%d may be bought when the other has its tokens, want %d", got, all-20)
		}
	})
}

// TestTurnThatDoesNotCome: who has waited for a turn for as long as a call may take has
// sent nothing.
func TestTurnThatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b budget
		b.lane("RunInstances").turn <- struct{}{} // somebody else's
		for name, test := range map[string]struct {
			ctx  func() (context.Context, context.CancelFunc)
			turn bool
		}{
			"TimeIsUp":  {func() (context.Context, context.CancelFunc) { return context.WithTimeout(t.Context(), time.Minute) }, true},
			"Cancelled": {func() (context.Context, context.CancelFunc) { return canceledSoon(t.Context()) }, false},
		} {
			ctx, cancel := test.ctx()
			_, _, err := b.attempt(awsmiddleware.SetOperationName(ctx, "RunInstances"), middleware.FinalizeInput{}, nil)
			cancel()
			if errors.Is(err, errTurn) != test.turn {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// canceledSoon is a context that is cancelled after a second.
func canceledSoon(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	time.AfterFunc(time.Second, cancel)
	return ctx, cancel
}
