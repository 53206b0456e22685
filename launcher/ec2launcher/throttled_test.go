package ec2launcher_test

import (
	"fmt"
	"testing"
	"time"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// few are the limits of an account in which others start most of the instances.
func few() fakeaws.Limits {
	limits := fakeaws.PublishedLimits()
	run := limits["ec2:RunInstances"]
	run.Instances = fakeaws.Bucket{Size: 30, PerSecond: 1}
	limits["ec2:RunInstances"] = run
	return limits
}

// wants launches workloads that want a host each.
func (w *world) wants(n int) (ids []launcher.ID) {
	w.Helper()
	for i := range n {
		work := w.workload(fmt.Sprintf("w%d", i), "alice")
		work.Sharing = launcher.Exclusive
		w.launch(work)
		ids = append(ids, work.ID)
	}
	return ids
}

// open are the tokens of the purchases of which it is not known what came.
func (w *world) open() (tokens []string) {
	w.Helper()
	for r, err := range w.store.List(w.Context(), "test.buys", "") {
		if err != nil {
			w.Fatal(err)
		}
		tokens = append(tokens, r.ID)
	}
	return tokens
}

// TestThrottledPurchase: what asks for more hosts than the account ever has tokens for
// is not asked for again as it is; fewer are.
func TestThrottledPurchase(t *testing.T) {
	bubble(t, func(t *testing.T) {
		account := published
		account.Limits = few()
		w := newWorld(t, account, nil)
		const n = 60
		ids := w.wants(n)
		time.Sleep(3 * time.Minute)
		for _, id := range ids {
			if s := status(t, w.fleet, id); s.Phase != launcher.Running {
				t.Fatalf("%s is %+v", id, s)
			}
		}
		if bought := len(w.goOn()); bought != n || w.refused("ec2:RunInstances") == 0 {
			t.Errorf("%d hosts are bought, want %d, after %d refusals", bought, n, w.refused("ec2:RunInstances"))
		}
	})
}

// TestThrottledPurchaseThatBought: if an earlier call may have bought, that a later one
// is throttled says nothing of it. The same call is made until its outcome is known.
func TestThrottledPurchaseThatBought(t *testing.T) {
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprintf("crash=%t", crash), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				account := published
				account.Faults = []fakeaws.Fault{{Action: "ec2:RunInstances", Nth: 1, After: true, Crash: crash}}
				w := newWorld(t, account, nil)
				crashed := w.cloud.Crashed()
				const n = 60
				ids := w.wants(n)
				for w.calls("ec2:RunInstances") == 0 {
					time.Sleep(10 * time.Millisecond)
				}
				w.must(w.cloud.SetLimits(few()))
				if crash {
					<-crashed
					w.restart()
				}
				for w.refused("ec2:RunInstances") == 0 {
					time.Sleep(10 * time.Millisecond)
				}
				time.Sleep(time.Second)
				if open := w.open(); len(open) != 1 {
					t.Errorf("the purchases %q are open, want the one that has bought", open)
				}
				w.must(w.cloud.SetLimits(nil))
				for _, id := range ids {
					w.until(id, launcher.Running)
				}
				if bought := len(w.goOn()); bought != n || len(w.open()) != 0 {
					t.Errorf("%d hosts are bought, want %d; %q are open", bought, n, w.open())
				}
			})
		})
	}
}

// TestThrottledWithoutBudget: a launcher that does not know what there are tokens for
// goes on asking for as many, and not too often.
func TestThrottledWithoutBudget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		account := published
		account.Limits = few()
		w := newWorld(t, account, nil)
		w.stop()
		var err error
		w.fleet, err = ec2launcher.New(ec2launcher.Services{
			EC2: awsec2.NewFromConfig(w.cloud.Config()), SSM: awsssm.NewFromConfig(w.cloud.Config()),
		}, "us-east-1", w.cfg)
		w.must(err)
		w.stop = w.operate(w.fleet)
		w.wants(60)
		time.Sleep(2 * time.Minute)
		if calls := w.calls("ec2:RunInstances"); calls < 2 || calls > 10 {
			t.Errorf("EC2 was asked %d times", calls)
		}
	})
}
