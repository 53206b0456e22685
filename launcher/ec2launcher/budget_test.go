package ec2launcher_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// refused counts the calls of an action that the account found too many.
func (w *world) refused(action string) (n int) {
	for _, c := range w.cloud.Calls() {
		if c.Action == action && c.Code == "RequestLimitExceeded" {
			n++
		}
	}
	return n
}

// budgetOf is a launcher's budget of an action.
func budgetOf(l *ec2launcher.Launcher, action string) ec2launcher.ActionBudget {
	for _, b := range l.Budget() {
		if b.Action == action {
			return b
		}
	}
	return ec2launcher.ActionBudget{}
}

var published = fakeaws.Config{Delays: fakeaws.Realistic(), Limits: fakeaws.PublishedLimits()}

// TestBudget: however many want different hosts at one time, the account has to
// refuse no call, and all are bought.
func TestBudget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, published, nil)
		types := []string{"t3.medium", "t3.large", "m5.large", "m5.xlarge", "c5.large", "c5.xlarge", "r5.large", "r5.xlarge", "m5.2xlarge", "c5.2xlarge", "r5.2xlarge", "t3.xlarge"}
		for i, name := range types {
			work := w.workload(fmt.Sprintf("w%d", i), fmt.Sprintf("user%d", i))
			work.InstanceType = name
			w.launch(work)
		}
		waited := false
		for range 30 {
			time.Sleep(100 * time.Millisecond)
			if b := budgetOf(w.fleet, "RunInstances"); b.Waiting > 0 && b.Longest > 0 && b.PerSecond == 2 {
				waited = true
			}
		}
		if !waited {
			t.Errorf("nobody is told that purchases wait: %+v", w.fleet.Budget())
		}
		for i := range types {
			w.until(launcher.ID(fmt.Sprintf("w%d", i)), launcher.Running)
		}
		if n := w.refused("ec2:RunInstances"); n != 0 || w.calls("ec2:RunInstances") != len(types) {
			t.Errorf("of %d purchases %d were refused for being too many", w.calls("ec2:RunInstances"), n)
		}
		if b := budgetOf(w.fleet, "RunInstances"); b.Waiting != 0 || b.Longest != 0 || b.Throttled != 0 || b.Instances < 900 || b.Instances > 998 || b.InstancesPerSecond != 2 {
			t.Errorf("when all is over the budget is %+v", b)
		}
	})
}

// TestBudgetLearns: where others take most of what the account has, few calls are
// refused, hardly one so often that the SDK gives up, and when the others leave,
// it goes back to what is published.
func TestBudgetLearns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, published, nil)
		if err := w.cloud.SetLimits(fakeaws.Limits{"ec2:DescribeInstances": {Calls: fakeaws.Bucket{Size: 10, PerSecond: 5}}}); err != nil {
			t.Fatal(err)
		}
		const n = 400
		var calls sync.WaitGroup
		var failed atomic.Int64
		begun := time.Now()
		for range n { // a few more each second than there are
			calls.Go(func() {
				if err := ec2launcher.Describe(t.Context(), w.fleet); err != nil {
					failed.Add(1)
				}
			})
			time.Sleep(150 * time.Millisecond)
		}
		learnt := budgetOf(w.fleet, "DescribeInstances")
		calls.Wait()
		took := time.Since(begun)
		if learnt.Throttled == 0 || learnt.PerSecond >= 10 {
			t.Errorf("throttled, it is %+v", learnt)
		}
		if refused := w.refused("ec2:DescribeInstances"); refused > n/10 || failed.Load() > n/100 {
			t.Errorf("of %d calls %d were refused, and %d failed in the end", n, refused, failed.Load())
		}
		if least := n / 5 * time.Second; took > least*3/2 {
			t.Errorf("%d calls took %v, where the account could take them within %v", n, took, least)
		}
		if err := w.cloud.SetLimits(nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if b := budgetOf(w.fleet, "DescribeInstances"); b.PerSecond != 20 || b.Burst != 80 || b.Waiting != 0 {
			t.Errorf("a minute after it is %+v", b)
		}
	})
}

// TestBudgetHasAnEnd: who waits for a turn may leave.
func TestBudgetHasAnEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, published, nil)
		for range 200 {
			go func() { _ = ec2launcher.Describe(t.Context(), w.fleet) }()
		}
		time.Sleep(time.Millisecond)
		begun := time.Now()
		gone, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		if err := ec2launcher.Describe(gone, w.fleet); !errors.Is(err, context.Canceled) || time.Since(begun) != time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		time.Sleep(time.Minute)
	})
}
