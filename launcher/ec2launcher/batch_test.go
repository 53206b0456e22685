package ec2launcher_test

import (
	"errors"
	"fmt"
	"math/bits"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
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
		ami, err := awsssm.NewFromConfig(w.cloud.Config()).GetParameter(t.Context(), &awsssm.GetParameterInput{
			Name: aws.String("/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"),
		})
		if err != nil {
			t.Fatal(err)
		}
		client := awsec2.NewFromConfig(w.cloud.Config())
		out, err := client.RunInstances(t.Context(), &awsec2.RunInstancesInput{
			ImageId: ami.Parameter.Value, InstanceType: "t3.medium", MinCount: aws.Int32(n), MaxCount: aws.Int32(n), SubnetId: aws.String(w.cfg.Subnets[0]),
		})
		if err != nil {
			t.Fatal(err)
		}
		ids := []string{"i-0123456789abcdef0"} // which never was
		for _, i := range out.Instances {
			ids = append(ids, *i.InstanceId)
		}
		ids[0], ids[37] = ids[37], ids[0]
		before := w.calls("ec2:TerminateInstances")
		err = ec2launcher.Terminate(t.Context(), w.fleet, ids)
		if err == nil || errors.Is(err, launcher.ErrNotFound) {
			t.Errorf("with one that is not known: %v", err)
		}
		calls := w.calls("ec2:TerminateInstances") - before
		if most := 2*bits.Len(n) + 1; calls > most {
			t.Errorf("it took %d calls, want at most %d", calls, most)
		}
		for _, l := range w.cloud.Bill().Lines {
			if l.To.IsZero() {
				t.Errorf("%s runs on", l.Instance)
			}
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
