package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
)

// storms plays a storm in a bubble.
func storms(t *testing.T, o Options) (r Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		if err := run(t.Context(), o, true, &out); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
	})
	return r
}

// TestSignin: all run, once, in little more than the least time, with few calls.
func TestSignin(t *testing.T) {
	for seed := range uint64(3) {
		r := storms(t, Options{Scenario: "signin", Sessions: 60, Users: 60, Seed: seed, Policy: "pool", Overcommit: 1})
		if r.Running != 60 || r.Failed+r.Duplicates+r.Orphans+r.Throttled != 0 {
			t.Errorf("seed %d: %+v", seed, r)
		}
		// The bound has the quickest instances of all eight types, which are much
		// quicker than others if few are enough.
		if r.AllRunning < r.Bound || r.AllRunning > 1.3*r.Bound {
			t.Errorf("seed %d: all run after %v s, and none could before %v", seed, r.AllRunning, r.Bound)
		}
		if r.Dollars < r.DollarsBound {
			t.Errorf("seed %d: it costs $%v, where the room is $%v", seed, r.Dollars, r.DollarsBound)
		}
	}
}

// TestBoundStandsAlone: what bounds a launcher does not depend on what it does.
func TestBoundStandsAlone(t *testing.T) {
	o := Options{Scenario: "signin", Sessions: 30, Users: 10, Seed: 4, Policy: "pool", Overcommit: 1}
	pool := storms(t, o)
	o.Policy = "exclusive" // which buys a host for each
	each := storms(t, o)
	if each.Hosts != 30 || each.Hosts < 2*pool.Hosts {
		t.Fatalf("%d hosts where %d are enough", each.Hosts, pool.Hosts)
	}
	o.Policy, o.slow = "pool", 20*time.Second // which looks at hosts later
	late := storms(t, o)
	if late.AllRunning < pool.AllRunning+15 {
		t.Fatalf("all run after %v s, and without delay after %v", late.AllRunning, pool.AllRunning)
	}
	for what, other := range map[string]Report{"buys more": each, "looks later": late} {
		if pool.Bound != other.Bound || pool.DollarsBound != other.DollarsBound || pool.BoundParts != other.BoundParts {
			t.Errorf("the bounds are %v and $%v; of one that %s %v and $%v", pool.Bound, pool.DollarsBound, what, other.Bound, other.DollarsBound)
		}
	}
}

// TestBound works some out by hand.
func TestBound(t *testing.T) {
	big := launcher.Resources{MilliCPU: 8000, MemoryMiB: 29000} // two on the largest
	trace := []Visit{
		{Start: 0, End: time.Hour, Size: big}, {Start: 0, End: time.Hour, Size: big}, {Start: 0, End: 2 * time.Hour, Size: big},
	}
	profile := fakeaws.Config{Delays: fakeaws.Delays{
		Call: time.Second, InstanceRunning: 10 * time.Second, HostReady: 5 * time.Second, Pull: 1 << 30, ContainerStart: time.Second,
	}}
	b := bound(trace, profile, 1)
	_, price := must("m5.4xlarge")
	if b.Hosts != 2 || math.Abs(b.Seconds-18) > 0.01 || round(b.Dollars) != round(usd(price)*(1.5+0.5)) {
		t.Errorf("the bound is %+v", b)
	}
	// More than one call's worth of tokens waits for more.
	limited := profile
	limited.Limits = fakeaws.Limits{"ec2:RunInstances": {Instances: fakeaws.Bucket{Size: 1, PerSecond: 1}}}
	few := bound(trace, limited, 1)
	if math.Abs(few.Seconds-19) > 0.01 {
		t.Errorf("with few tokens it is %+v", few)
	}
	// The half host more that they need is paid for from then on.
	if late := b.Dollars - few.Dollars; math.Abs(late-usd(price)*0.5/3600) > 1e-9 {
		t.Errorf("with few tokens it is $%v less", late)
	}
	// With processors given away twice it is memory that is short.
	_, memory := room("m5.4xlarge", 2)
	if twice := bound(trace, profile, 2); twice.Hosts != 2 || round(twice.Dollars) != round(usd(price)*(3+1)*29000/memory) {
		t.Errorf("with processors given away twice it is %+v", twice)
	}
	// Hosts that differ: of each type those are counted that are ready in their
	// order, and the slowest of as few as hold all is what is waited for.
	spread := profile
	spread.Spread, spread.Seed = 0.3, 5
	all := func(name string, n int) float64 {
		d := spread.InstanceDelays(name, n)
		return (time.Second + d.InstanceRunning + d.HostReady + time.Duration(imageGiB*float64(d.Pull)) + d.ContainerStart).Seconds()
	}
	got := bound(trace, spread, 1).Seconds
	var times []float64
	for _, name := range hostTypes {
		times = append(times, all(name, 1), all(name, 2))
	}
	if !slices.ContainsFunc(times, func(s float64) bool { return math.Abs(s-got) < 0.01 }) || got < slices.Min(times) {
		t.Errorf("%v s is when none of the first two of a type is ready: %v", got, times)
	}
	// What comes later does not count.
	late := append(slices.Clone(trace), Visit{Start: time.Minute, End: time.Hour, Size: big})
	if b := bound(late, profile, 1); math.Abs(b.Seconds-18) > 0.01 || b.Hosts != 2 {
		t.Errorf("with one that comes later it is %+v", b)
	}
}

// TestTrace: a trace is its seed's, in order, and within its bounds.
func TestTrace(t *testing.T) {
	for name, draw := range scenarios {
		o := Options{Scenario: name, Sessions: 500, Users: 100, Seed: 9}
		trace := draw(o)
		if !reflect.DeepEqual(trace, draw(o)) {
			t.Errorf("%s: drawn again it is another", name)
		}
		if o.Seed++; reflect.DeepEqual(trace, draw(o)) {
			t.Errorf("%s: of another seed it is the same", name)
		}
		if !slices.IsSortedFunc(trace, func(a, b Visit) int { return int(a.Start - b.Start) }) {
			t.Errorf("%s: not in order", name)
		}
		for _, v := range trace {
			if v.Start < 0 || v.End <= v.Start || v.End > 24*time.Hour || !strings.HasPrefix(v.User, "user") {
				t.Errorf("%s: %+v", name, v)
			}
		}
	}
}

// TestTenant: beside another program that makes half of the calls that the account
// may, all run, and few purchases are refused until the fleet knows.
func TestTenant(t *testing.T) {
	o := Options{Scenario: "signin", Sessions: 1000, Users: 1000, Seed: 1, Policy: "pool", Overcommit: 1}
	if testing.Short() {
		o.Sessions, o.Users = 200, 200
	}
	for others, most := range map[float64]int{0: 0, 0.5: 3} {
		o.change = func(c *fakeaws.Config) { c.Limits = fakeaws.PublishedLimits().Shared(others) }
		r := storms(t, o)
		if r.Running != o.Sessions || r.Failed+r.Duplicates+r.Orphans != 0 || r.Throttled > most {
			t.Errorf("beside one that takes %v: %+v", others, r)
		}
	}
}

// TestWarmIsNoOrphan: what the fleet keeps for warm room is not left over.
func TestWarmIsNoOrphan(t *testing.T) {
	r := storms(t, Options{Scenario: "signin", Sessions: 30, Users: 30, Seed: 2, Policy: "pool", Overcommit: 1, Warm: true})
	if r.Running != 30 || r.Orphans != 0 || r.Kept < 1 || r.Kept > len(mix) {
		t.Errorf("%+v", r)
	}
}

// TestOptions: the flags of a scenario have their defaults without a trace alone.
func TestOptions(t *testing.T) {
	for args, want := range map[string]Options{
		"":                         {Scenario: "signin", Sessions: 1000, Users: 1000, Seed: 1, Policy: "pool", Overcommit: 1},
		"-sessions 5 -users 2":     {Scenario: "signin", Sessions: 5, Users: 2, Seed: 1, Policy: "pool", Overcommit: 1},
		"-trace a.csv -svg b.svg":  {Trace: "a.csv", SVG: "b.svg", Seed: 1, Policy: "pool", Overcommit: 1},
		"-trace a.csv -sessions 5": {Trace: "a.csv", Sessions: 5, Seed: 1, Policy: "pool", Overcommit: 1},
		"-faults -warm":            {Scenario: "signin", Sessions: 1000, Users: 1000, Seed: 1, Policy: "pool", Overcommit: 1, Warm: true, Faults: true},
	} {
		if o, _ := options(flag.NewFlagSet("storm", flag.ContinueOnError), strings.Fields(args)); !reflect.DeepEqual(o, want) {
			t.Errorf("%q is %+v", args, o)
		}
	}
}

func TestOptionsRefused(t *testing.T) {
	err := run(t.Context(), Options{Scenario: "doomsday", Policy: "first come"}, false, new(bytes.Buffer))
	for _, want := range []string{"0 sessions of 0 users", `scenario "doomsday": want signin or weekday`, `policy "first come": want exclusive, user or pool`, "overcommit 0: want 1 to 10"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	err = run(t.Context(), Options{Trace: "a.csv", Sessions: 5, Policy: "pool", Overcommit: 1}, false, new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "trace a.csv: it says who comes: leave out scenario, sessions and users") {
		t.Errorf("%v", err)
	}
}

// TestTable: what is printed for people has every figure.
func TestTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		if err := run(t.Context(), Options{Scenario: "signin", Sessions: 5, Users: 5, Seed: 1, Policy: "user", Overcommit: 1}, false, &out); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"5: 5 came to run, 0 failed, 0 ran twice", "5, 0 left over", "ec2:RunInstances", "no sooner than", "a host for each session $"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in\n%s", want, out.String())
			}
		}
	})
}
