package ec2launcher_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// onSpot is a workload that takes a spot instance if there is one.
func (w *world) onSpot(id string) launcher.Workload {
	work := w.workload(id, id)
	work.Sharing, work.Market = launcher.Pool, launcher.SpotOrOnDemand
	return work
}

// run launches a workload and waits until it runs.
func (w *world) run(work launcher.Workload) launcher.Status {
	w.Helper()
	w.launch(work)
	return w.until(work.ID, launcher.Running)
}

// told waits until a workload is told to be as it should.
func (w *world) told(id launcher.ID, is func(launcher.Status) bool) launcher.Status {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Hour)
	defer cancel()
	s, err := launcher.Wait(ctx, w.fleet, id, is)
	if err != nil {
		now, _ := launcher.Get(w.Context(), w.fleet, id)
		w.Fatalf("waiting for %s: %v; it is %+v", id, err, now)
	}
	return s
}

// host returns one of the fleet's hosts.
func (w *world) host(id string) ec2launcher.Host {
	w.Helper()
	for h, err := range w.fleet.Hosts(w.Context()) {
		if err != nil {
			w.Fatal(err)
		}
		if h.ID == id {
			return h
		}
	}
	w.Fatalf("no host %s", id)
	return ec2launcher.Host{}
}

// TestSpot: hosts are bought as one-time requests, for the spot price, and serve
// only who accepts that.
func TestSpot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		s := w.run(w.onSpot("a"))
		if s.Market != launcher.Spot {
			t.Errorf("it runs on %+v", s)
		}
		h := w.host(s.Host)
		list, _ := instancetype.Embedded().Price(h.InstanceType, w.cloud.Region())
		if h.Market != launcher.Spot || !h.PriceKnown || h.PricePerHour == 0 || h.PricePerHour >= list.PerHour {
			t.Errorf("its host is %+v; on demand it is %v", h, list.PerHour)
		}
		demand := w.onSpot("b")
		demand.Market = launcher.OnDemand
		if d := w.run(demand); d.Host == s.Host || d.Market != launcher.OnDemand {
			t.Errorf("what was to run on demand runs on %+v", d)
		}
		if again := w.run(w.onSpot("c")); again.Host != s.Host {
			t.Errorf("the spot host has room, and it is on %s", again.Host)
		}
		for _, id := range []launcher.ID{"a", "b", "c"} {
			if err := w.fleet.Stop(t.Context(), id, launcher.StopOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(20 * time.Minute)
		requests, err := awsec2.NewFromConfig(w.cloud.Config()).DescribeSpotInstanceRequests(t.Context(), &awsec2.DescribeSpotInstanceRequestsInput{})
		if err != nil || len(requests.SpotInstanceRequests) != 1 {
			t.Fatalf("requests are %+v, %v", requests, err)
		}
		if q := requests.SpotInstanceRequests[0]; q.Type != ec2types.SpotInstanceTypeOneTime || q.State != ec2types.SpotInstanceStateClosed {
			t.Errorf("left behind is %+v", q)
		}
	})
}

// TestSpotZone: a spot host is bought in the zone in which it is cheapest, of those
// that the fleet is in, and in the next while that has none.
func TestSpotZone(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, fakeaws.Config{Seed: seed}, func(c *ec2launcher.Config) { c.Subnets = c.Subnets[:2] })
				work := w.onSpot("a")
				now := time.Now()
				history, err := awsec2.NewFromConfig(w.cloud.Config()).DescribeSpotPriceHistory(t.Context(), &awsec2.DescribeSpotPriceHistoryInput{
					InstanceTypes: []ec2types.InstanceType{ec2types.InstanceType(work.InstanceType)}, ProductDescriptions: []string{"Linux/UNIX"},
					StartTime: &now, EndTime: &now,
				})
				if err != nil {
					t.Fatal(err)
				}
				price := map[string]string{} // all have six decimals and less than ten dollars
				for _, p := range history.SpotPriceHistory {
					price[*p.AvailabilityZone] = *p.SpotPrice
				}
				cheap, dear := w.cloud.Subnets()[0].Zone, w.cloud.Subnets()[1].Zone
				if price[cheap] > price[dear] {
					cheap, dear = dear, cheap
				}
				first := w.host(w.run(work).Host)
				if first.Zone != cheap {
					t.Errorf("it is bought in %s of %v", first.Zone, price)
				}
				if err := w.cloud.Interrupt(first.ID); err != nil {
					t.Fatal(err)
				}
				w.told("a", func(s launcher.Status) bool { return !s.Interruption.IsZero() })
				if next := w.host(w.run(w.onSpot("b")).Host); next.Zone != dear || next.Market != launcher.Spot {
					t.Errorf("after AWS took one back in %s, the next is %s %s in %s", cheap, next.Market, next.InstanceType, next.Zone)
				}
			})
		})
	}
}

// TestInterruption: what runs on a spot host that AWS takes back is told within
// seconds, nothing new is placed there, and what has not ended when the host is
// gone was interrupted.
func TestInterruption(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		s, other := w.run(w.onSpot("stays")), w.run(w.onSpot("goes"))
		if s.Host != other.Host {
			t.Fatal("they do not share a host")
		}
		noticed := time.Now()
		if err := w.cloud.Interrupt(s.Host); err != nil {
			t.Fatal(err)
		}
		told := w.told("goes", func(s launcher.Status) bool { return !s.Interruption.IsZero() })
		if took := time.Since(noticed); took > 15*time.Second {
			t.Errorf("it is told after %v", took)
		}
		if d := told.Interruption.Sub(noticed.Add(2 * time.Minute)); d.Abs() > time.Second {
			t.Errorf("the end is told as %v off", d)
		}
		if told.Phase != launcher.Running || told.Unknown {
			t.Errorf("it is %+v", told)
		}
		fresh := w.run(w.onSpot("fresh"))
		if fresh.Host == s.Host {
			t.Error("new work is placed on a host that goes")
		}
		if fresh.Market != launcher.OnDemand && w.host(fresh.Host).Zone == w.host(s.Host).Zone {
			t.Error("another is bought where AWS takes them back")
		}
		if err := w.fleet.Stop(t.Context(), "goes", launcher.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		if s := w.told("goes", exited); s.Reason != "" || time.Since(noticed) > 2*time.Minute {
			t.Errorf("what was stopped in time is %+v", s)
		}
		if s := w.told("stays", exited); s.Reason != launcher.ErrInterrupted || !strings.Contains(s.Message, "AWS has taken its host") {
			t.Errorf("what was not is %+v", s)
		}
		if took := time.Since(noticed); took < 2*time.Minute || took > 3*time.Minute {
			t.Errorf("it is told to have ended after %v", took)
		}
	})
}

// TestInterruptionUnseen: a notice that nobody saw, as no process ran, is found
// out when the host is gone.
func TestInterruptionUnseen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		s := w.run(w.onSpot("a"))
		w.stop()
		if err := w.cloud.Interrupt(s.Host); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Minute)
		w.start()
		if s := w.told("a", exited); s.Reason != launcher.ErrInterrupted {
			t.Errorf("it is %+v", s)
		}
	})
}

// TestInterruptedBeforeItRan: a workload that its host was not asked to run finds
// another.
func TestInterruptedBeforeItRan(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		w.launch(w.onSpot("a"))
		first := w.told("a", func(s launcher.Status) bool { return s.Host != "" })
		for !w.host(first.Host).Running { // and its engine does not answer yet
			time.Sleep(10 * time.Millisecond)
		}
		if err := w.cloud.Interrupt(first.Host); err != nil {
			t.Fatal(err)
		}
		for _, event := range w.cloud.Events() {
			if err := w.fleet.HandleEvent(t.Context(), event); err != nil {
				t.Fatal(err)
			}
		}
		s := w.told("a", func(s launcher.Status) bool { return s.Phase == launcher.Running })
		if s.Host == first.Host || !s.Interruption.IsZero() {
			t.Errorf("it runs on the host that goes: %+v", s)
		}
	})
}

// TestHandleEvent: what EventBridge tells is as good as what EC2 is asked for, and
// recommendations are told.
func TestHandleEvent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		s := w.run(w.onSpot("a"))
		if err := w.cloud.Recommend(s.Host); err != nil {
			t.Fatal(err)
		}
		deliver := func() {
			t.Helper()
			for _, event := range w.cloud.Events() {
				if err := w.fleet.HandleEvent(t.Context(), event); err != nil {
					t.Errorf("%s: %v", event, err)
				}
			}
		}
		deliver()
		told := w.told("a", func(s launcher.Status) bool { return s.Endangered })
		if !told.Interruption.IsZero() || told.Phase != launcher.Running {
			t.Errorf("it is %+v", told)
		}
		if b := w.run(w.onSpot("b")); b.Host == s.Host {
			t.Error("new work is placed on a host that may go")
		}
		if err := w.cloud.Interrupt(s.Host); err != nil {
			t.Fatal(err)
		}
		deliver()
		told = w.told("a", func(s launcher.Status) bool { return !s.Interruption.IsZero() })
		if d := time.Until(told.Interruption); d < 115*time.Second {
			t.Errorf("%v are left of two minutes", d)
		}
		for event, want := range map[string]error{
			`{"source": "aws.ec2", "detail-type": "EC2 Spot Instance Interruption Warning", "detail": {"instance-id": "` + s.Host + `"}}`: launcher.ErrInvalid,
			`{`: launcher.ErrInvalid, `{"a": 1}`: launcher.ErrInvalid, `[]`: launcher.ErrInvalid,
			`{"source": "aws.ec2", "detail-type": "EBS Volume Notification", "detail": {}}`:                                            nil,
			`{"source": "mine", "detail-type": "EC2 Spot Instance Interruption Warning", "detail": {"instance-id": "` + s.Host + `"}}`: nil,
			`{"source": "aws.ec2", "detail-type": "EC2 Instance Rebalance Recommendation", "detail": {"instance-id": "i-0123456789"}}`: nil,
		} {
			if err := w.fleet.HandleEvent(t.Context(), []byte(event)); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", event, err, want)
			}
		}
	})
}

// TestFallback: zone, then type, then market; what was tried in vain is told.
func TestFallback(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic(), SoldOut: []fakeaws.Shortage{
			{Type: "t3.medium", Market: fakeaws.Spot}, {Type: "t3.large", Zone: "us-east-1a", Market: fakeaws.Spot},
		}}, nil)
		for _, market := range []launcher.Market{launcher.SpotOrOnDemand, launcher.Spot} {
			a := w.onSpot("a-" + string(market))
			a.InstanceType, a.Alternatives, a.Market, a.Sharing = "t3.medium", []string{"t3.large"}, market, launcher.Exclusive
			s := w.run(a)
			h := w.host(s.Host)
			if s.InstanceType != "t3.large" || s.Market != launcher.Spot || h.Zone != "us-east-1b" {
				t.Errorf("it runs on a %s in %s (%q)", s.InstanceType, h.Zone, s.Market)
			}
			var tried []string
			for _, a := range s.Tried {
				tried = append(tried, a.String())
				if !strings.Contains(a.Message, "InsufficientInstanceCapacity") || a.At.IsZero() {
					t.Errorf("tried %+v", a)
				}
			}
			if len(tried) < 2 || !slices.Contains(tried, "spot t3.medium in us-east-1a: no capacity") || !slices.Contains(tried, "spot t3.large in us-east-1a: no capacity") {
				t.Errorf("tried %q", tried)
			}
		}
		b := w.onSpot("b")
		b.InstanceType = "t3.medium"
		if s := w.run(b); s.Market != launcher.OnDemand {
			t.Errorf("without spot it runs on %q", s.Market)
		}
		c := w.onSpot("c")
		c.InstanceType, c.Market = "t3.medium", launcher.Spot
		w.launch(c)
		s := w.told("c", func(s launcher.Status) bool { return s.Reason != "" })
		if s.Reason != launcher.ErrCapacity || !strings.Contains(s.Message, "AWS has no spot t3.medium in any zone of the fleet now") {
			t.Errorf("it waits for %+v", s)
		}
	})
}

// TestQuotaIsNamed: the administrator is told which quota to have raised, and spot's
// is as good as sold out where on demand is accepted.
func TestQuotaIsNamed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		for q, n := range map[fakeaws.Quota]int{fakeaws.QuotaSpotStandard: 0, fakeaws.QuotaStandard: 2} {
			if err := w.cloud.SetQuota(q, n); err != nil {
				t.Fatal(err)
			}
		}
		s := w.run(w.onSpot("a"))
		if s.Market != launcher.OnDemand || len(s.Tried) != 1 || s.Tried[0].Reason != launcher.ErrQuota ||
			!strings.Contains(s.Tried[0].Message, `"All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests" (L-34B43A08)`) {
			t.Errorf("it runs on %+v", s)
		}
		b := w.onSpot("b")
		b.Sharing, b.Market = launcher.Exclusive, launcher.OnDemand
		w.launch(b)
		s = w.told("b", func(s launcher.Status) bool { return s.Reason != "" })
		if s.Reason != launcher.ErrQuota || !strings.Contains(s.Message, `"Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances" (L-1216C47A)`) {
			t.Errorf("it waits for %+v", s)
		}
	})
}

// TestHopelessAlternatives: what is wrong with the configuration ends a workload
// once all that it accepts was tried, and one that accepts something else waits.
func TestHopelessAlternatives(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, func(c *ec2launcher.Config) { c.AMI = "ami-00000000000000000" })
		a := w.onSpot("a")
		a.Alternatives = []string{"t3.large"}
		w.launch(a)
		s := w.told("a", exited)
		if s.Reason != launcher.ErrInvalid || !strings.Contains(s.Message, "InvalidAMIID.NotFound") || len(s.Tried) != 4 {
			t.Errorf("it is %+v", s)
		}
	})
}

func exited(s launcher.Status) bool { return s.Phase == launcher.Exited }
