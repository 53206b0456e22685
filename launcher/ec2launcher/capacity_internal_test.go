package ec2launcher

import (
	"testing"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// TestSold: what a purchase has brought says nothing of what was refused after it was
// asked for.
func TestSold(t *testing.T) {
	begin := time.Date(2026, 1, 1, 9, 0, 0, 0, time.UTC)
	b := buyRecord{InstanceType: "m5.large", Zone: "us-east-1a", Subnet: "subnet-1", Count: 100}
	in := subnet{id: b.Subnet, zone: b.Zone}
	p := pool{b.offer(), b.Zone}
	for name, test := range map[string]struct {
		refused        verdict
		at             time.Duration // of the refusal
		got            int           // of what was asked for after a second, and came after two
		held, doubtful bool
	}{
		"All":               {refused: verdict{soldOut: true}, got: 100},
		"AllOfASubnet":      {refused: verdict{full: true}, got: 100},
		"Some":              {refused: verdict{anew: true}, got: 30, doubtful: true},
		"RefusedMeanwhile":  {refused: verdict{soldOut: true}, at: 1500 * time.Millisecond, got: 100, held: true, doubtful: true},
		"FilledMeanwhile":   {refused: verdict{full: true}, at: 1500 * time.Millisecond, got: 100, held: true, doubtful: true},
		"SomeAfterARefusal": {refused: verdict{soldOut: true}, at: 1500 * time.Millisecond, got: 30, held: true, doubtful: true},
	} {
		t.Run(name, func(t *testing.T) {
			var c capacity
			test.refused.kind = launcher.ErrCapacity
			at := begin.Add(test.at)
			if test.at == 0 {
				at = begin.Add(-soldOutFor) // and is over by now
			}
			c.refused(b.offer(), in, test.refused, errTurn, at)
			now := begin.Add(2 * time.Second)
			c.sold(b, test.got, begin.Add(time.Second), now)
			if held := c.soldOut(p, now) != nil || c.noAddress(in.id, now) != nil; held != test.held {
				t.Errorf("it is asked again: %v", !held)
			}
			if doubtful := c.doubts(b.offer(), in, now); doubtful != test.doubtful {
				t.Errorf("it is doubted: %v", doubtful)
			}
		})
	}
}
