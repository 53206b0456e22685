package main

import (
	"slices"
	"time"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/instancetype"
)

// A Bound is what no launcher does better, worked out from the trace and the
// account's profile alone.
type Bound struct {
	// Hosts are the fewest that hold what is there at one time.
	Hosts int `json:"hosts"`
	// Calls is how long it takes to make the calls that buy them, HostReady
	// until the slowest of them answers, and Start from there until its first
	// session runs, with the image's pull. Each is in seconds, of the host
	// that is last.
	Calls     float64 `json:"calls_seconds"`
	HostReady float64 `json:"host_ready_seconds"`
	Start     float64 `json:"start_seconds"`
	// Seconds is when the last session of those that come first runs.
	Seconds float64 `json:"-"`
	// Dollars is what the sessions' room costs where it is cheapest.
	Dollars float64 `json:"-"`
}

// bound bounds the time until all run of those that come at once, at the trace's
// beginning, and the bill of the whole trace. Every launcher has to buy at least
// as many hosts as hold them, the account's first ones; none can use one before
// the account says it is up, nor start a session before the image is there.
func bound(trace []Visit, profile fakeaws.Config) Bound {
	b := Bound{Hosts: fewest(trace)}
	limit := profile.Limits["ec2:RunInstances"]
	for n := 1; n <= b.Hosts; n++ {
		// One call asks for as many as the bucket has; what is more waits for tokens.
		var wait time.Duration
		if over := n - limit.Instances.Size; limit.Instances.Size > 0 && over > 0 {
			wait = time.Duration((over+limit.Instances.PerSecond-1)/limit.Instances.PerSecond) * time.Second
		}
		d := profile.InstanceDelays(hostType, n)
		calls := profile.Delays.Call + wait
		ready := d.InstanceRunning + d.HostReady
		start := time.Duration(imageGiB*float64(d.Pull)) + d.ContainerStart
		if all := (calls + ready + start).Seconds(); all > b.Seconds {
			b.Seconds, b.Calls, b.HostReady, b.Start = all, calls.Seconds(), ready.Seconds(), start.Seconds()
		}
	}
	b.Dollars = dollars(trace)
	return b
}

// fewest is how many hosts hold the sessions that are there at one time at least:
// in each dimension demand over capacity.
func fewest(trace []Visit) int {
	t, _ := must(hostType)
	most := 0
	sweep(trace, func(cpu, memory int64, _ time.Duration) {
		for _, d := range []struct{ want, has int64 }{{cpu, int64(t.VCPUs) * 1000}, {memory, t.UsableMemoryMiB()}} {
			most = max(most, int((d.want+d.has-1)/d.has))
		}
	})
	return most
}

// dollars is what the room costs where a unit of it is cheapest, by the dearer
// of its dimensions at each instant.
func dollars(trace []Visit) float64 {
	t, price := must(hostType)
	perCPU := usd(price) / float64(t.VCPUs*1000)
	perMiB := usd(price) / float64(t.UsableMemoryMiB())
	sum := 0.0
	sweep(trace, func(cpu, memory int64, lasts time.Duration) {
		sum += max(float64(cpu)*perCPU, float64(memory)*perMiB) * lasts.Hours()
	})
	return sum
}

// sweep goes through the trace in time and tells what is wanted, and for how long.
func sweep(trace []Visit, f func(cpu, memory int64, lasts time.Duration)) {
	type change struct {
		at          time.Duration
		cpu, memory int64
	}
	var changes []change
	for _, v := range trace {
		changes = append(changes,
			change{v.Start, v.Size.MilliCPU, v.Size.MemoryMiB}, change{v.End, -v.Size.MilliCPU, -v.Size.MemoryMiB})
	}
	slices.SortStableFunc(changes, func(a, b change) int { return int(a.at - b.at) })
	var cpu, memory int64
	for i, c := range changes {
		cpu, memory = cpu+c.cpu, memory+c.memory
		if i+1 < len(changes) && changes[i+1].at > c.at {
			f(cpu, memory, changes[i+1].at-c.at)
		}
	}
}

// oneHostEach is the bill of who buys for each session alone, from its start to
// its end, the cheapest type of the host's generation that holds it.
func oneHostEach(trace []Visit) (dollars float64) {
	prices := map[[2]int64]float64{}
	for _, v := range trace {
		key := [2]int64{v.Size.MilliCPU, v.Size.MemoryMiB}
		if _, known := prices[key]; !known {
			for _, o := range instancetype.Embedded().Offers(region, instancetype.Requirements{
				MinVCPUs: int((v.Size.MilliCPU + 999) / 1000), MinMemoryMiB: v.Size.MemoryMiB, Allowed: []string{"c5.*", "m5.*", "r5.*"},
			}) {
				if o.Type.UsableMemoryMiB() >= v.Size.MemoryMiB {
					prices[key] = usd(o.Price.PerHour)
					break
				}
			}
		}
		dollars += prices[key] * (v.End - v.Start).Hours()
	}
	return dollars
}

// usd is an amount in dollars.
func usd(m instancetype.Money) float64 { return float64(m) / float64(instancetype.Dollar) }
