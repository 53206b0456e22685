package ec2launcher_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// fill has somebody else take the addresses of a subnet, all but some, and give them
// back.
func (w *world) fill(subnet string, left int) (empty func()) {
	w.Helper()
	ami, err := awsssm.NewFromConfig(w.cloud.Config()).GetParameter(w.Context(), &awsssm.GetParameterInput{
		Name: aws.String("/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"),
	})
	w.must(err)
	client := awsec2.NewFromConfig(w.cloud.Config())
	out, err := client.DescribeSubnets(w.Context(), &awsec2.DescribeSubnetsInput{SubnetIds: []string{subnet}})
	w.must(err)
	n := *out.Subnets[0].AvailableIpAddressCount - int32(left)
	bought, err := client.RunInstances(w.Context(), &awsec2.RunInstancesInput{
		ImageId: ami.Parameter.Value, InstanceType: "t3.nano", SubnetId: &subnet, MinCount: &n, MaxCount: &n,
	})
	w.must(err)
	return func() {
		for some := range slices.Chunk(bought.Instances, 1000) {
			in := &awsec2.TerminateInstancesInput{}
			for _, i := range some {
				in.InstanceIds = append(in.InstanceIds, *i.InstanceId)
			}
			_, err := client.TerminateInstances(w.Context(), in)
			w.must(err)
		}
	}
}

// inTwoSubnets is a world with two subnets of one zone, in the first of which so many
// addresses are left until somebody gives theirs back.
func inTwoSubnets(t *testing.T, left int) (w *world, first, second string, empty func()) {
	w = newWorld(t, realistic, nil)
	w.stop()
	zone := w.cloud.Subnets()[0]
	more, err := w.cloud.AddSubnet(w.cloud.DefaultVPC(), zone.Zone)
	w.must(err)
	w.cfg.Subnets = []string{zone.ID, more.ID}
	w.start()
	return w, zone.ID, more.ID, w.fill(zone.ID, left)
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
		w, _, second, _ := inTwoSubnets(t, 0)
		w.launch(w.workload("a", "alice"))
		w.until("a", launcher.Running)
		s, err := launcher.Get(t.Context(), w.fleet, "a")
		if h := w.hosts(); err != nil || len(h) != 1 || h[0].Subnet != second || len(s.Tried) != 0 {
			t.Errorf("hosts are %+v, %+v (%v), want one in the other subnet of the zone", h, s, err)
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
		if n := w.refusedSales(); n != 1 || len(s.Tried) != 1 || s.Tried[0].String() != "t3.medium in us-east-1a: no free address in "+second {
			t.Errorf("EC2 refused %d times, want once; it was told %v", n, s.Tried)
		}
	})
}

// TestNearlyFullSubnet: of a storm there goes as much into a subnet as it has addresses
// for, and the rest into the next at once.
func TestNearlyFullSubnet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, first, _, _ := inTwoSubnets(t, 130)
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
		if n := w.calls("ec2:RunInstances"); n != 4+1 { // one of somebody else
			t.Errorf("there were %d purchases, want two in each subnet", n-1)
		}
	})
}

// TestAddressesAreCountedAgain: addresses that have become free since they were counted
// are used.
func TestAddressesAreCountedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, first, second, empty := inTwoSubnets(t, 0)
		w.must(w.fleet.Setup(t.Context())) // what Setup makes is looked for no more
		in := func(id launcher.ID) string { return w.host(w.until(id, launcher.Running).Host).Subnet }
		ids := w.exclusives(3)
		if s := in(ids[0]); s != second {
			t.Errorf("it is in %s", s)
		}
		empty()
		time.Sleep(time.Hour)
		w.launch(w.workload("later", "another"))
		if s := in("later"); s != first {
			t.Errorf("later it is in %s", s)
		}
	})
}

// TestNoAddressForAll: who gets one of the last addresses is not told that there is none.
func TestNoAddressForAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, first, _, _ := inTwoSubnets(t, 200)
		w.stop()
		w.cfg.Subnets = []string{first}
		w.start()
		var mu sync.Mutex
		told := map[launcher.ID]bool{}
		go func() {
			for s := range w.fleet.Watch(t.Context(), launcher.Filter{}) {
				mu.Lock()
				told[s.ID] = told[s.ID] || strings.Contains(s.Message, "no subnet of the fleet has a free address")
				mu.Unlock()
			}
		}()
		ids := w.exclusives(300)
		time.Sleep(5 * time.Minute)
		run, wrong := 0, 0
		mu.Lock()
		defer mu.Unlock()
		for _, id := range ids {
			s, err := launcher.Get(t.Context(), w.fleet, id)
			w.must(err)
			if s.Phase == launcher.Running {
				run++
			}
			if told[id] != (s.Phase != launcher.Running) {
				wrong++
			}
		}
		if run != 200 || wrong > 0 {
			t.Errorf("%d run, and %d were told what is not so", run, wrong)
		}
	})
}

// TestWaitForAddresses: who waits for an address gets one soon after there is one.
func TestWaitForAddresses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, first, _, empty := inTwoSubnets(t, 0)
		w.stop()
		w.cfg.Subnets = []string{first}
		w.start()
		w.must(w.fleet.Setup(t.Context())) // what Setup makes is looked for no more
		w.launch(w.workload("a", "alice"))
		time.Sleep(20 * time.Minute)
		empty()
		freed := time.Now()
		if s := w.until("a", launcher.Running); s.StartedAt.Sub(freed) > lookEvery+2*time.Minute {
			t.Errorf("it runs %v after there is one", s.StartedAt.Sub(freed))
		}
		if n := w.refusedSales(); n > 0 {
			t.Errorf("EC2 was asked %d times for what it had said there is not", n)
		}
	})
}

// TestAddressesOfPurchases: a purchase under way has the addresses that it asks for, and
// none when it has brought nothing.
func TestAddressesOfPurchases(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, first, _, _ := inTwoSubnets(t, 100)
		w.stop()
		w.sdk = append(w.sdk, slowly("RunInstances", 30*time.Second))
		w.start()
		w.must(w.cloud.SetCapacity("t3.medium", w.cloud.Subnets()[0].Zone, 0))
		w.exclusives(80)
		time.Sleep(5 * time.Second)
		others := func(from, to int) {
			for i := range to - from {
				work := w.workload(fmt.Sprintf("other%d", from+i), "another")
				work.InstanceType, work.Sharing = "m5.large", launcher.Exclusive
				w.launch(work)
			}
			time.Sleep(5 * time.Second)
		}
		asked := func() (n float64) {
			for b, err := range store.NewTable[map[string]any](w.store, "test.buys").All(t.Context()) {
				w.must(err)
				if b["Subnet"] == first {
					n += b["Count"].(float64)
				}
			}
			return n
		}
		others(0, 40)
		if n := asked(); n != 100 {
			t.Errorf("%v of 100 addresses are asked for", n)
		}
		time.Sleep(30 * time.Second) // what was sold out has brought nothing
		others(40, 60)
		time.Sleep(time.Minute)
		in := map[string]int{}
		for _, h := range w.hosts() {
			in[h.Subnet]++
		}
		if in[first] != 40 {
			t.Errorf("hosts are in %v, want 40 in %s", in, first)
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

// TestLessThanAskedFor: who was sold less than was asked for is not asked first for the
// rest, and nobody is told why: a quota may have run out as well as the zone.
func TestLessThanAskedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		w.must(w.cloud.SetCapacity("t3.medium", w.cloud.Subnets()[0].Zone, 30))
		for _, id := range w.exclusives(100) {
			if tried := w.until(id, launcher.Running).Tried; len(tried) > 0 {
				t.Errorf("%s was told %v", id, tried)
			}
		}
		if n := w.refusedSales(); n != 0 {
			t.Errorf("EC2 was asked %d times for more", n)
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
		w.sdk = append(w.sdk, slowly("RunInstances", 10*time.Second))
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

// TestAddressesThatCannotBeCounted: where AWS does not say how many addresses are free
// any more, hosts are bought all the same.
func TestAddressesThatCannotBeCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		w.stop()
		w.must(w.fleet.Setup(t.Context()))
		var broken atomic.Bool
		w.sdk = append(w.sdk, failing("DescribeSubnets", &broken))
		w.start()
		w.run(w.workload("a", "alice"))
		broken.Store(true)
		time.Sleep(2 * lookEvery)
		other := w.workload("b", "bob")
		other.InstanceType = "g4dn.xlarge" // whose image is not known yet
		w.launch(other)
		if s := w.until("b", launcher.Running); s.StartedAt.Sub(s.QueuedAt) > 2*time.Minute {
			t.Errorf("it has waited for %v", s.StartedAt.Sub(s.QueuedAt))
		}
	})
}

// lookEvery is how often free addresses are counted.
const lookEvery = time.Minute
