package ec2launcher_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// fill has somebody else take the addresses of a subnet, all but some.
func (w *world) fill(subnet string, left int) {
	w.Helper()
	ami, err := awsssm.NewFromConfig(w.cloud.Config()).GetParameter(w.Context(), &awsssm.GetParameterInput{
		Name: aws.String("/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"),
	})
	w.must(err)
	client := awsec2.NewFromConfig(w.cloud.Config())
	out, err := client.DescribeSubnets(w.Context(), &awsec2.DescribeSubnetsInput{SubnetIds: []string{subnet}})
	w.must(err)
	n := *out.Subnets[0].AvailableIpAddressCount - int32(left)
	_, err = client.RunInstances(w.Context(), &awsec2.RunInstancesInput{
		ImageId: ami.Parameter.Value, InstanceType: "t3.nano", SubnetId: &subnet, MinCount: &n, MaxCount: &n,
	})
	w.must(err)
}

// inTwoSubnets is a world with two subnets of one zone, in the first of which so many
// addresses are left.
func inTwoSubnets(t *testing.T, left int) (w *world, first, second string) {
	w = newWorld(t, realistic, nil)
	w.stop()
	zone := w.cloud.Subnets()[0]
	more, err := w.cloud.AddSubnet(w.cloud.DefaultVPC(), zone.Zone)
	w.must(err)
	w.cfg.Subnets = []string{zone.ID, more.ID}
	w.start()
	w.fill(zone.ID, left)
	return w, zone.ID, more.ID
}

// refusedSales counts the purchases that EC2 refused.
func (w *world) refusedSales() (n int) {
	for _, c := range w.cloud.Calls() {
		if c.Action == "ec2:RunInstances" && c.Code != "" {
			n++
		}
	}
	return n
}

// exclusives launches workloads that share with nobody.
func (w *world) exclusives(n int) (ids []launcher.ID) {
	w.Helper()
	for i := range n {
		work := w.workload(fmt.Sprintf("x%d", i), fmt.Sprintf("user%d", i))
		work.Sharing = launcher.Exclusive
		w.launch(work)
		ids = append(ids, work.ID)
	}
	return ids
}

// TestFullSubnets: a subnet without a free address is left alone, and another of the
// same zone is taken; if all are full, that is said.
func TestFullSubnets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, first, second := inTwoSubnets(t, 0)
		w.launch(w.workload("a", "alice"))
		w.until("a", launcher.Running)
		s, err := launcher.Get(t.Context(), w.fleet, "a")
		if h := w.hosts(); err != nil || len(h) != 1 || h[0].Subnet != second || len(s.Tried) != 1 || !strings.Contains(s.Tried[0].Message, first) {
			t.Errorf("hosts are %+v, %+v (%v), want one in the other subnet of the zone, and the full one named", h, s, err)
		}
		other := w.workload("b", "bob")
		other.InstanceType = "m5.large"
		w.launch(other)
		time.Sleep(5 * time.Second)
		if n := w.refusedSales(); n != 0 {
			t.Errorf("EC2 was asked %d times for more than it had said there is", n)
		}
		w.fill(second, 0) // of which the fleet knows nothing yet
		w.launch(w.workload("c", "carol"))
		time.Sleep(time.Minute)
		s, err = launcher.Get(t.Context(), w.fleet, "c")
		if err != nil || s.Phase != launcher.Queued || s.Reason != launcher.ErrCapacity || !strings.Contains(s.Message, "no subnet of the fleet has a free address") {
			t.Errorf("with all full it is %+v, %v", s, err)
		}
		if n := w.refusedSales(); n != 1 {
			t.Errorf("EC2 refused %d times, want once", n)
		}
	})
}

// TestNearlyFullSubnet: of a storm there goes as much into a subnet as it has addresses
// for, and the rest into the next at once.
func TestNearlyFullSubnet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, first, _ := inTwoSubnets(t, 130)
		for _, id := range w.exclusives(300) {
			w.until(id, launcher.Running)
		}
		in := map[string]int{}
		for _, h := range w.hosts() {
			in[h.Subnet]++
		}
		if n := w.refusedSales(); n != 0 || in[first] != 130 {
			t.Errorf("%d purchases were refused, and hosts are in %v", n, in)
		}
		s := w.until("x299", launcher.Running)
		if s.StartedAt.Sub(s.QueuedAt) > 2*time.Minute {
			t.Errorf("the last has waited for %v", s.StartedAt.Sub(s.QueuedAt))
		}
		for _, a := range s.Tried {
			if strings.Contains(a.Message, "AWS had") {
				t.Errorf("more were asked for than there are: %s", a.Message)
			}
		}
	})
}

// TestAddressesAreCountedAgain: addresses that have become free since they were counted
// are used.
func TestAddressesAreCountedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, first, _ := inTwoSubnets(t, 3)
		w.must(w.fleet.Setup(t.Context())) // what Setup makes is looked for no more
		ids := w.exclusives(3)
		for _, id := range ids {
			w.until(id, launcher.Running)
			w.must(w.fleet.Stop(t.Context(), id, launcher.StopOptions{Forget: true}))
		}
		time.Sleep(time.Hour) // their hosts have gone
		w.exclusives(2)
		w.until("x0", launcher.Running)
		for _, h := range w.hosts() {
			if h.Subnet != first {
				t.Errorf("host %s is in %s", h.ID, h.Subnet)
			}
		}
	})
}

// TestDoubt: where AWS had none a while ago comes last, and is asked for few until it
// has sold some: hosts that are asked for in vain cost the account's tokens too.
func TestDoubt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		zones := w.cloud.Subnets()
		sell := func(n int, in ...fakeaws.Subnet) {
			for _, s := range in {
				w.must(w.cloud.SetCapacity("t3.medium", s.Zone, n))
			}
		}
		sell(0, zones[0])
		w.run(w.workload("a", "alice"))
		refused := w.refusedSales()
		time.Sleep(soldOutFor + time.Minute)
		w.run(w.workload("b", "bob"))
		if n := w.refusedSales() - refused; n != 0 {
			t.Errorf("the zone that had none was asked %d times although there are others", n)
		}
		sell(0, zones...)
		ids := w.exclusives(90)
		time.Sleep(soldOutFor / 2)
		sell(100, zones[0])
		for _, id := range ids {
			w.until(id, launcher.Running)
		}
		bought := map[string]int{}
		var first ec2launcher.Host
		for _, h := range w.hosts() {
			bought[h.Token]++
			if h.Zone == zones[0].Zone && (first.ID == "" || h.BoughtAt.Before(first.BoughtAt)) {
				first = h
			}
		}
		if n := bought[first.Token]; n != 20 {
			t.Errorf("at first %d were asked for where there was none", n)
		}
		delete(bought, first.Token)
		if !slices.Contains(slices.Collect(maps.Values(bought)), 70) {
			t.Errorf("then %v were bought, want the rest at once", bought)
		}
	})
}

// TestLessThanAskedFor: less than was asked for is all there was, and is told.
func TestLessThanAskedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		w.must(w.cloud.SetCapacity("t3.medium", w.cloud.Subnets()[0].Zone, 30))
		told := false
		for _, id := range w.exclusives(100) {
			for _, a := range w.until(id, launcher.Running).Tried {
				told = told || strings.Contains(a.Message, "AWS had 30 of 100 t3.medium in us-east-1a")
			}
		}
		if n := w.refusedSales(); n != 0 || !told {
			t.Errorf("EC2 was asked %d times for more, and it was told: %v", n, told)
		}
	})
}

// TestDoubtIsAskedOnce: while it is not known whether there are any again, no more are
// asked for there.
func TestDoubtIsAskedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		account := realistic
		account.SoldOut = []fakeaws.Shortage{{Type: "*"}}
		w := newWorld(t, account, nil)
		w.stop()
		w.sdk = append(w.sdk, before("RunInstances", func() error { time.Sleep(10 * time.Second); return nil }))
		w.start()
		w.exclusives(90)
		time.Sleep(time.Minute)
		before := w.calls("ec2:RunInstances")
		time.Sleep(soldOutFor + time.Minute)
		if n := w.calls("ec2:RunInstances") - before; n != 3 {
			t.Errorf("EC2 was asked %d times, want once in each of three zones", n)
		}
	})
}

// soldOutFor is how long a zone that had none is not asked again.
const soldOutFor = 3 * time.Minute

// TestReasonsAreWrittenOnce: why many wait is recorded once, however long nothing is to
// be had.
func TestReasonsAreWrittenOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		account := realistic
		account.SoldOut = []fakeaws.Shortage{{Type: "*"}}
		w := newWorld(t, account, nil)
		ids := w.exclusives(20)
		time.Sleep(time.Minute)
		before := w.revisions(ids)
		time.Sleep(20 * time.Minute)
		if after := w.revisions(ids); !slices.Equal(before, after) {
			t.Errorf("records have changed %v times, then %v", before, after)
		}
	})
}

// revisions are how often the records of workloads have changed.
func (w *world) revisions(ids []launcher.ID) (all []float64) {
	w.Helper()
	for _, id := range ids {
		w.alter("test.workloads", string(id), func(doc map[string]any) { all = append(all, doc["Revision"].(float64)) })
	}
	return all
}

// TestFormerHolder: who does not work for the fleet any more and has not noticed orders
// nothing.
func TestFormerHolder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		w.run(w.workload("a", "alice"))
		w.alter("test.fleet", "fleet", func(doc map[string]any) { doc["Epoch"] = 1000 })
		before := w.calls("ec2:RunInstances")
		w.launch(w.workload("b", "bob"))
		time.Sleep(time.Minute)
		s, err := launcher.Get(t.Context(), w.fleet, "b")
		if n := w.calls("ec2:RunInstances") - before; n != 0 || err != nil || s.Reason != launcher.ErrUnavailable {
			t.Errorf("%d purchases are made in a later term's stead; it is %+v, %v", n, s, err)
		}
		w.alter("test.fleet", "fleet", func(doc map[string]any) { doc["Epoch"] = 0 })
		w.until("b", launcher.Running)
		w.stop()
		w.start()
		time.Sleep(time.Second)
		w.alter("test.fleet", "fleet", func(doc map[string]any) {
			if epoch := doc["Epoch"].(float64); epoch < 2 {
				t.Errorf("the epoch of the second term is %v", epoch)
			}
		})
	})
}
