//go:build !race

// The race detector makes allocations of its own.

package main

import (
	"runtime"
	"testing"
	"time"
)

// TestWorkIsLinear: a storm of ten times as many takes no more work for each, though the
// account lets the large one's hosts start only bit by bit. Work is counted in allocations.
// Time has a part that is the machine's: on a virtual one with pages of 4 KiB the larger heap
// took a quarter more of it, and the same with pages of 2 MiB.
func TestWorkIsLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("eleven storms, one of them of 10,000 sessions")
	}
	const small, times = 1000, 10
	type work struct {
		allocations, bytes uint64
		took               time.Duration
	}
	measure := func(sessions int, seed uint64) work {
		o := Options{Scenario: "signin", Sessions: sessions, Users: sessions, Seed: seed, Policy: "pool", Overcommit: 1}
		trace, err := o.sessions()
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begun := time.Now()
		if r := replays(t, o, trace); r.Running != sessions {
			t.Fatalf("of %d sessions %d came to run", sessions, r.Running)
		}
		took := time.Since(begun)
		runtime.ReadMemStats(&after)
		return work{after.Mallocs - before.Mallocs, after.TotalAlloc - before.TotalAlloc, took}
	}
	var one work // of the small storms together
	for seed := range uint64(times) {
		w := measure(small, seed)
		one = work{one.allocations + w.allocations, one.bytes + w.bytes, one.took + w.took}
	}
	ten := measure(times*small, 1)
	ratio := func(a, b uint64) float64 { return float64(a) / float64(b) }
	t.Logf("one of %d beside %d of %d: %.3f times the allocations, %.3f the bytes, %.3f the time (%v)", times*small, times, small,
		ratio(ten.allocations, one.allocations), ratio(ten.bytes, one.bytes), ratio(uint64(ten.took), uint64(one.took)), ten.took.Round(time.Millisecond))
	if ratio(ten.allocations, one.allocations) > 1.05 || ratio(ten.bytes, one.bytes) > 1.15 {
		t.Errorf("ten times as many sessions take more than ten times the work: %d allocations of %d bytes beside %d of %d", ten.allocations, ten.bytes, one.allocations, one.bytes)
	}
}
