package ec2launcher

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// A crowd is 10,000 sessions of a pool that came at one time, and 2,000 hosts, each of which has something to do.
func crowd() (queue []launcher.Workload, hosts []slot) {
	r := rand.New(rand.NewPCG(1, 1))
	draw := func(id string) launcher.Workload {
		cpu := []int64{1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 4, 4, 4, 8}[r.IntN(20)]
		w := session(launcher.ID(id), cpu, 4*cpu, "m5.2xlarge", "r5.4xlarge")
		w.Mounts = []launcher.Mount{{Source: "/efs/" + id, Target: "/home/x"}}
		w.Ports = []launcher.Port{{Name: "http", Number: 8787}}
		if cpu == 8 {
			w.InstanceType, w.Alternatives = "r5.4xlarge", nil
		}
		return w
	}
	for i := range 2000 {
		h := empty(fmt.Sprintf("i-%04d", i), offer{[]string{"m5.2xlarge", "r5.4xlarge"}[i%2], ""}, testTerms)
		for n := range 1 + r.IntN(6) {
			if w := draw(fmt.Sprintf("old-%d-%d", i, n)); h.fits(&w) {
				h.key = sharingKey(w)
				h.take(&w)
			}
		}
		hosts = append(hosts, h)
	}
	for i := range 10_000 {
		queue = append(queue, draw(fmt.Sprintf("new-%05d", i)))
	}
	return queue, hosts
}

// The rules that placement is compared with. Each knows no types: it fills hosts
// that are there, then buys the type that holds a workload at the least price.
type rule struct {
	name string
	sort bool // the largest first
	best bool // the fullest host that has room instead of the first
}

var rules = []rule{{name: "first-fit"}, {name: "best-fit", best: true}, {name: "first-fit-decreasing", sort: true}}

// fill applies a rule and returns the price of an hour of what it buys.
func (r rule) fill(queue []launcher.Workload, hosts []slot) (dollars float64) {
	waiting := pointers(queue)
	if r.sort {
		slices.SortFunc(waiting, func(a, b *launcher.Workload) int { return cmp.Compare(b.Resources.MemoryMiB, a.Resources.MemoryMiB) })
	}
	for _, w := range waiting {
		var chosen *slot
		for n := range hosts {
			h := &hosts[n]
			if !h.holds(w) || h.instanceType != w.InstanceType && !slices.Contains(w.Alternatives, h.instanceType) || !h.connects(w) {
				continue
			}
			if chosen == nil || h.free.MemoryMiB < chosen.free.MemoryMiB {
				chosen = h
			}
			if !r.best {
				break
			}
		}
		if chosen == nil {
			o := offersOf(w)[0]
			hosts = append(hosts, empty("", o, testTerms))
			chosen = &hosts[len(hosts)-1]
			dollars += testTerms(o).cost() / 1e6
		}
		chosen.take(w)
	}
	return dollars
}

// BenchmarkPlace places the crowd, beside what the plain rules do:
//
//	go test -run '^$' -bench BenchmarkPlace -benchtime 10x ./launcher/ec2launcher
func BenchmarkPlace(b *testing.B) {
	run := func(name string, fill func(queue []launcher.Workload, hosts []slot) float64) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var dollars float64
			for b.Loop() {
				b.StopTimer()
				queue, hosts := crowd()
				b.StartTimer()
				dollars = fill(queue, hosts)
			}
			b.ReportMetric(dollars, "$/h")
		})
	}
	run("place", func(queue []launcher.Workload, hosts []slot) float64 { return price(placed(queue, hosts)) })
	for _, r := range rules {
		run(r.name, r.fill)
	}
}

// placed places a crowd in the order in which the reconciler does.
func placed(queue []launcher.Workload, hosts []slot) plan {
	waiting := pointers(queue)
	slices.SortFunc(waiting, bySize)
	return place(demand{queue: waiting, hosts: hosts, terms: testTerms})
}

// price is the price of an hour of what a plan buys.
func price(p plan) (dollars float64) {
	for _, n := range p.buy {
		dollars += float64(n.count) * testTerms(n.offer).cost() / 1e6
	}
	return dollars
}

// TestPlaceIsNoDearer: what placement buys costs no more than what any of the plain
// rules does, and it takes less time than they: it is linear where they are not.
func TestPlaceIsNoDearer(t *testing.T) {
	queue, hosts := crowd()
	begun := time.Now()
	p := placed(queue, hosts)
	took := time.Since(begun)
	if n := len(p.assign) + len(p.coming); n != len(queue) {
		t.Fatalf("%d of %d were placed", n, len(queue))
	}
	for _, r := range rules {
		queue, hosts := crowd()
		begun := time.Now()
		dollars := r.fill(queue, hosts)
		if price(p) > dollars {
			t.Errorf("%s: $%.2f an hour, and placement $%.2f", r.name, dollars, price(p))
		}
		t.Logf("%s: $%.2f in %v; placement: $%.2f in %v", r.name, dollars, time.Since(begun), price(p), took)
	}
}
