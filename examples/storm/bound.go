package main

import (
	"cmp"
	"math"
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
	// Dollars is what the sessions' room costs where it is cheapest, from when the
	// account lets the hosts for it be bought.
	Dollars float64 `json:"-"`
}

// bound bounds the time until all run of those that come at once, at the trace's
// beginning, and the bill of the whole trace. Whatever a launcher buys, the
// instances that are ready by some time have to hold them all; the n-th of a type
// is not bought before the account's buckets let n be bought, not ready before the
// account says so, and starts no session before the image is there.
func bound(trace []Visit, profile fakeaws.Config, overcommit float64) Bound {
	first := slices.DeleteFunc(slices.Clone(trace), func(v Visit) bool { return v.Start > trace[0].Start })
	b := Bound{Hosts: fewest(trace, overcommit)}
	var cpu, memory float64
	for _, v := range first {
		cpu, memory = cpu+float64(v.Size.MilliCPU), memory+float64(v.Size.MemoryMiB)
	}
	fleet := make([]ready, 0, len(hostTypes))
	for _, name := range hostTypes {
		fleet = append(fleet, ready{name: name, profile: profile, overcommit: overcommit})
	}
	// The next instance to be ready, of those that are next of their type.
	for cpu > 0 || memory > 0 {
		soonest := 0
		for i := range fleet {
			if fleet[i].next().all() < fleet[soonest].next().all() {
				soonest = i
			}
		}
		part := fleet[soonest].take()
		b.at(part)
		c, m := room(fleet[soonest].name, overcommit)
		cpu, memory = cpu-c, memory-m
	}
	// The last of the fewest waits for its turn to be bought, however fast it is.
	last, quickest := buying(fewest(first, overcommit), profile), ready{}
	for _, name := range hostTypes {
		r := ready{name: name, profile: profile}
		for range fewest(first, overcommit) {
			if p := r.take(); quickest.least.all() == 0 || p.boot+p.start < quickest.least.boot+quickest.least.start {
				quickest.least = p
			}
		}
	}
	b.at(part{last, quickest.least.boot, quickest.least.start})
	b.Dollars = dollars(trace, profile, overcommit)
	return b
}

// A part is when an instance can have its first session, by what that takes.
type part struct{ calls, boot, start time.Duration }

func (p part) all() time.Duration { return p.calls + p.boot + p.start }

// at makes a bound no less than a part.
func (b *Bound) at(p part) {
	if all := p.all().Seconds(); all > b.Seconds {
		b.Seconds, b.Calls, b.HostReady, b.Start = all, p.calls.Seconds(), p.boot.Seconds(), p.start.Seconds()
	}
}

// ready tells the instances of a type one after another, none before those that
// were made before it.
type ready struct {
	name       string
	profile    fakeaws.Config
	overcommit float64
	taken      int
	least      part // of the last that was taken
}

// next is when the next is ready.
func (r *ready) next() part {
	d := r.profile.InstanceDelays(r.name, r.taken+1)
	p := part{buying(r.taken+1, r.profile), d.InstanceRunning + d.HostReady, time.Duration(imageGiB*float64(d.Pull)) + d.ContainerStart}
	if p.all() < r.least.all() {
		return r.least // its number is not the next before that
	}
	return p
}

func (r *ready) take() part {
	r.least = r.next()
	r.taken++
	return r.least
}

// buying is how long it takes at least until the n-th instance is bought: one call
// asks for as many as the bucket has, and what is more waits for tokens.
func buying(n int, profile fakeaws.Config) time.Duration {
	limit := profile.Limits["ec2:RunInstances"].Instances
	if over := n - limit.Size; limit.Size > 0 && over > 0 {
		return profile.Delays.Call + time.Duration((over+limit.PerSecond-1)/limit.PerSecond)*time.Second
	}
	return profile.Delays.Call
}

// bought is how many instances can have been asked for by a time.
func bought(by time.Duration, profile fakeaws.Config) float64 {
	limit := profile.Limits["ec2:RunInstances"].Instances
	if limit.Size == 0 {
		return math.Inf(1)
	}
	return float64(limit.Size) + float64(limit.PerSecond)*math.Floor(by.Seconds())
}

// fewest is how many hosts hold the sessions that are there at one time at least:
// in each dimension demand over the most that one has.
func fewest(trace []Visit, overcommit float64) int {
	mostCPU, mostMemory := largest(overcommit)
	most := 0.0
	sweep(trace, func(cpu, memory int64, _, _ time.Duration) {
		most = max(most, float64(cpu)/mostCPU, float64(memory)/mostMemory)
	})
	return int(math.Ceil(most))
}

// largest is the most of each dimension that one host has.
func largest(overcommit float64) (mostCPU, mostMemory float64) {
	for _, name := range hostTypes {
		c, m := room(name, overcommit)
		mostCPU, mostMemory = max(mostCPU, c), max(mostMemory, m)
	}
	return mostCPU, mostMemory
}

// dollars is what the room of a whole trace costs where a unit of it is cheapest,
// by the dearer of its dimensions at each instant, if each session has its room as
// soon as the account's buckets let the hosts be bought that there have to be at
// least. Who starts sessions later, and ends them when the trace does, pays less.
func dollars(trace []Visit, profile fakeaws.Config, overcommit float64) float64 {
	return dollarsUntil(trace, profile, overcommit, []time.Duration{math.MaxInt64})[0]
}

// dollarsUntil is dollars up to each of some instants, which are in their order.
func dollarsUntil(trace []Visit, profile fakeaws.Config, overcommit float64, instants []time.Duration) []float64 {
	sums := make([]float64, len(instants))
	sum, next := 0.0, 0
	rates(trace, profile, overcommit, func(perHour float64, from, until time.Duration) {
		for ; next < len(instants) && instants[next] < until; next++ {
			sums[next] = sum + perHour*max(instants[next]-from, 0).Hours()
		}
		sum += perHour * (until - from).Hours()
	})
	for ; next < len(instants); next++ {
		sums[next] = sum
	}
	return sums
}

// rates goes through the trace in time and tells what the room costs an hour that
// there can be, and from when until when.
func rates(trace []Visit, profile fakeaws.Config, overcommit float64, f func(perHour float64, from, until time.Duration)) {
	perCPU, perMiB := math.Inf(1), math.Inf(1)
	for _, name := range hostTypes {
		_, price := must(name)
		c, m := room(name, overcommit)
		perCPU, perMiB = min(perCPU, usd(price)/c), min(perMiB, usd(price)/m)
	}
	mostCPU, mostMemory := largest(overcommit)
	sweep(trace, func(cpu, memory int64, from, until time.Duration) {
		perHour := max(float64(cpu)*perCPU, float64(memory)*perMiB)
		hosts := max(float64(cpu)/mostCPU, float64(memory)/mostMemory)
		for to := until; from < until; from, to = to, until {
			share := 1.0
			if has := bought(from, profile); has < hosts { // until there are more tokens
				share, to = has/hosts, min(until, from.Truncate(time.Second)+time.Second)
			}
			f(perHour*share, from, to)
		}
	})
}

// sweep goes through the trace in time and tells what is wanted, and from when
// until when.
func sweep(trace []Visit, f func(cpu, memory int64, from, until time.Duration)) {
	type change struct {
		at          time.Duration
		cpu, memory int64
	}
	var changes []change
	for _, v := range trace {
		changes = append(changes,
			change{v.Start, v.Size.MilliCPU, v.Size.MemoryMiB}, change{v.End, -v.Size.MilliCPU, -v.Size.MemoryMiB})
	}
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(a.at, b.at) })
	var cpu, memory int64
	for i, c := range changes {
		cpu, memory = cpu+c.cpu, memory+c.memory
		if i+1 < len(changes) && changes[i+1].at > c.at {
			f(cpu, memory, c.at, changes[i+1].at)
		}
	}
}

// oneHostEach is the bill of who buys for each session alone, from its start to
// its end, the cheapest type that holds it.
func oneHostEach(trace []Visit) (dollars float64) {
	for _, v := range trace {
		least := math.Inf(1)
		for _, name := range hostTypes {
			_, price := must(name)
			if c, m := room(name, 1); float64(v.Size.MilliCPU) <= c && float64(v.Size.MemoryMiB) <= m {
				least = min(least, usd(price))
			}
		}
		dollars += least * (v.End - v.Start).Hours()
	}
	return dollars
}

// usd is an amount in dollars.
func usd(m instancetype.Money) float64 { return float64(m) / float64(instancetype.Dollar) }
