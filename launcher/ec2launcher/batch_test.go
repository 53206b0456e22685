package ec2launcher_test

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// TestHostsEndTogether: what becomes empty at one time ends in few calls.
func TestHostsEndTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const n = 60
		w := newWorld(t, published, func(c *ec2launcher.Config) { c.Linger = time.Minute })
		for i := range n {
			w.launch(w.workload(fmt.Sprintf("w%d", i), fmt.Sprintf("user%d", i))) // a host each
		}
		for i := range n {
			w.until(launcher.ID(fmt.Sprintf("w%d", i)), launcher.Running)
		}
		if len(w.hosts()) != n {
			t.Fatalf("%d hosts", len(w.hosts()))
		}
		for i := range n {
			if err := w.fleet.Stop(t.Context(), launcher.ID(fmt.Sprintf("w%d", i)), launcher.StopOptions{Signal: "SIGKILL"}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Minute)
		if left := w.hosts(); len(left) != 0 {
			t.Errorf("%d hosts are left: %+v", len(left), left[0])
		}
		if calls := w.calls("ec2:TerminateInstances"); calls > n/10 || w.refused("ec2:TerminateInstances") > 0 {
			t.Errorf("%d hosts ended by %d calls", n, calls)
		}
	})
}

// TestOneBadInstance: EC2 refuses a call for all if it knows one of its instances
// not; the others end all the same, with no more calls than it takes to find it.
func TestOneBadInstance(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const n = 100
		w := newWorld(t, fakeaws.Config{}, nil)
		ids := append(w.bought(n-1), "i-0123456789abcdef0") // which never was
		ids[37], ids[n-1] = ids[n-1], ids[37]
		before := w.calls("ec2:TerminateInstances")
		err := ec2launcher.Terminate(t.Context(), w.fleet, ids)
		if err == nil || errors.Is(err, launcher.ErrNotFound) {
			t.Errorf("with one that is not known: %v", err)
		}
		calls := w.calls("ec2:TerminateInstances") - before
		if most := 2*bits.Len(n) + 1; calls > most {
			t.Errorf("it took %d calls, want at most %d", calls, most)
		}
		if runs := w.goOn(); len(runs) > 0 {
			t.Errorf("%q run on", runs)
		}
	})
}

// bought buys instances that are no hosts of the fleet, with tags.
func (w *world) bought(n int32, tags ...ec2types.Tag) (ids []string) {
	w.Helper()
	ami, err := awsssm.NewFromConfig(w.cloud.Config()).GetParameter(w.Context(), &awsssm.GetParameterInput{
		Name: aws.String("/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"),
	})
	if err != nil {
		w.Fatal(err)
	}
	in := &awsec2.RunInstancesInput{
		ImageId: ami.Parameter.Value, InstanceType: "t3.medium", MinCount: &n, MaxCount: &n, SubnetId: aws.String(w.cfg.Subnets[0]),
	}
	if tags != nil {
		in.TagSpecifications = []ec2types.TagSpecification{{ResourceType: ec2types.ResourceTypeInstance, Tags: tags}}
	}
	out, err := awsec2.NewFromConfig(w.cloud.Config()).RunInstances(w.Context(), in)
	if err != nil {
		w.Fatal(err)
	}
	for _, i := range out.Instances {
		ids = append(ids, *i.InstanceId)
	}
	return ids
}

// goOn are the instances of the account that nobody has ended.
func (w *world) goOn() (ids []string) {
	for _, l := range w.cloud.Bill().Lines {
		if l.To.IsZero() {
			ids = append(ids, l.Instance)
		}
	}
	return ids
}

// TestEndsBesideOthers: instances end also where there are never as many tokens for that
// as instances, or as one call takes.
func TestEndsBesideOthers(t *testing.T) {
	for name, test := range map[string]struct {
		instances int32
		left      fakeaws.Bucket // by others in the account
		tries     int            // of which there is one a minute
		within    time.Duration  // of a try
	}{
		"Some": {1000, fakeaws.Bucket{Size: 800, PerSecond: 16}, 1, 30 * time.Second},
		"Few":  {100, fakeaws.Bucket{Size: 40, PerSecond: 2}, 4, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				account := published
				account.Limits = fakeaws.PublishedLimits()
				ends := account.Limits["ec2:TerminateInstances"]
				ends.Instances = test.left
				account.Limits["ec2:TerminateInstances"] = ends
				w := newWorld(t, account, nil)
				w.bought(test.instances)
				var left []int
				for range test.tries {
					time.Sleep(time.Minute)
					ctx, cancel := context.WithTimeout(t.Context(), test.within)
					_ = ec2launcher.Terminate(ctx, w.fleet, w.goOn())
					cancel()
					left = append(left, len(w.goOn()))
				}
				if left[test.tries-1] > 0 {
					t.Errorf("of %d run on, after each try: %d", test.instances, left)
				}
			})
		})
	}
}

// TestNoTokensToEnd: where EC2 takes no call, it is not asked for each instance.
func TestNoTokensToEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		account := fakeaws.Config{Faults: []fakeaws.Fault{{Action: "ec2:TerminateInstances", Status: 503, Code: "RequestLimitExceeded"}}}
		w := newWorld(t, account, nil)
		if err := ec2launcher.Terminate(t.Context(), w.fleet, w.bought(1000)); err == nil {
			t.Error("it is told that they end")
		}
		const attempts = 3 // of the SDK
		if calls := w.calls("ec2:TerminateInstances"); calls > attempts*bits.Len(100) {
			t.Errorf("EC2 was asked %d times", calls)
		}
	})
}

// TestEqualPurchasesTogether: what is wanted within a moment is one call.
func TestEqualPurchasesTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const n = 40
		w := newWorld(t, published, nil)
		w.launch(w.workload("first", "alice")) // teaches where and of what image
		w.until("first", launcher.Running)
		before := w.calls("ec2:RunInstances")
		for i := range n {
			w.launch(w.workload(fmt.Sprintf("w%d", i), fmt.Sprintf("user%d", i))) // a host each
			time.Sleep(5 * time.Millisecond)
		}
		for i := range n {
			w.until(launcher.ID(fmt.Sprintf("w%d", i)), launcher.Running)
		}
		if calls := w.calls("ec2:RunInstances") - before; calls != 1 || len(w.hosts()) != n+1 {
			t.Errorf("%d hosts are bought by %d calls", len(w.hosts())-1, calls)
		}
	})
}

// TestPurchaseInParts: no call asks for more than its share of EC2's bucket, which
// would never let it through.
func TestPurchaseInParts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		account := realistic
		account.Limits = fakeaws.PublishedLimits()
		w := newWorld(t, account, nil)
		const n = 1100
		for i := range n {
			work := w.workload(fmt.Sprintf("w%04d", i), "alice")
			work.Sharing = launcher.Exclusive
			w.launch(work)
		}
		time.Sleep(3 * time.Minute)
		sizes := map[string]int{}
		for _, h := range w.hosts() {
			sizes[h.Token]++
		}
		all := 0
		for token, size := range sizes {
			if all += size; size > 100 {
				t.Errorf("%s bought %d", token, size)
			}
		}
		if all != n {
			t.Errorf("%d hosts were bought, want %d", all, n)
		}
		for _, c := range w.cloud.Calls() {
			if c.Code == "RequestLimitExceeded" {
				t.Fatalf("%s was refused for being too many", c.Action)
			}
		}
	})
}
