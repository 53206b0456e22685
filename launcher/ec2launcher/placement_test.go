package ec2launcher

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
)

var testRooms = map[string]launcher.Resources{
	"t3.medium":  {MilliCPU: 2000, MemoryMiB: 3800},
	"r5.4xlarge": {MilliCPU: 16000, MemoryMiB: 121000},
	"g5.xlarge":  {MilliCPU: 4000, MemoryMiB: 15000, GPUs: 1},
}

func testRoom(instanceType string) launcher.Resources { return testRooms[instanceType] }

// randomQueue makes n workloads of a few owners, types, sizes and sharing rules.
func randomQueue(r *rand.Rand, n int) []launcher.Workload {
	types := []string{"t3.medium", "r5.4xlarge", "g5.xlarge"}
	var queue []launcher.Workload
	for i := range n {
		w := launcher.Workload{
			ID:           launcher.ID(fmt.Sprintf("w%03d", i)),
			Owner:        fmt.Sprintf("owner%d", r.IntN(4)),
			InstanceType: types[r.IntN(len(types))],
			Sharing:      []launcher.Sharing{launcher.PerOwner, launcher.PerOwner, launcher.Pool, launcher.Exclusive}[r.IntN(4)],
		}
		if r.IntN(4) > 0 {
			room := testRooms[w.InstanceType]
			w.Resources = launcher.Resources{MilliCPU: 1 + r.Int64N(room.MilliCPU), MemoryMiB: 1 + r.Int64N(room.MemoryMiB)}
		}
		if r.IntN(3) == 0 {
			w.Ports = []launcher.Port{{Name: "http", Number: 8787, HostPort: r.IntN(2) * 8787}}
		}
		if r.IntN(2) == 0 {
			w.Mounts = []launcher.Mount{{Source: "/efs/" + w.Owner, Target: "/home/x"}}
		}
		queue = append(queue, w)
	}
	return queue
}

// settle turns a plan's purchases into hosts and places again, until nothing
// is bought any more, as the reconciler does.
func settle(t *testing.T, queue []launcher.Workload) (map[launcher.ID]string, []slot) {
	t.Helper()
	var hosts []slot
	placed := map[launcher.ID]string{}
	for range len(queue) + 1 {
		var waiting []launcher.Workload
		current := make([]slot, len(hosts))
		for i, h := range hosts {
			current[i] = slot{id: h.id, instanceType: h.instanceType, room: h.room, free: h.room, ports: map[int]bool{}, mounts: map[string]bool{}}
		}
		for _, w := range queue {
			host, ok := placed[w.ID]
			if !ok {
				waiting = append(waiting, w)
				continue
			}
			for i := range current {
				if current[i].id == host {
					current[i].take(w)
				}
			}
		}
		p := place(waiting, current, nil, testRoom)
		maps.Copy(placed, p.assign)
		if len(p.buy) == 0 {
			return placed, hosts
		}
		for _, n := range p.buy {
			for range n.count {
				hosts = append(hosts, slot{id: fmt.Sprintf("i-%03d", len(hosts)), instanceType: n.instanceType, room: testRoom(n.instanceType)})
			}
		}
	}
	t.Fatal("placement never settles")
	return nil, nil
}

// TestPlaceHoldsItsBounds lets chance choose queues and checks what must hold
// for every one: everybody is placed, no host is filled over its room in any
// dimension, and no host is shared across a boundary.
func TestPlaceHoldsItsBounds(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		queue := randomQueue(r, 1+r.IntN(40))
		placed, hosts := settle(t, queue)
		rooms := map[string]slot{}
		for _, h := range hosts {
			rooms[h.id] = h
		}
		used, count := map[string]launcher.Resources{}, map[string]int{}
		keys, ports := map[string]map[string]bool{}, map[string]map[int]bool{}
		for _, w := range queue {
			id, ok := placed[w.ID]
			if !ok {
				t.Fatalf("seed %d: %s was never placed", seed, w.ID)
			}
			h := rooms[id]
			if h.instanceType != w.InstanceType {
				t.Fatalf("seed %d: %s wants a %s and is on a %s", seed, w.ID, w.InstanceType, h.instanceType)
			}
			if keys[id] == nil {
				keys[id], ports[id] = map[string]bool{}, map[int]bool{}
			}
			keys[id][sharingKey(w)] = true
			count[id]++
			if w.Resources.IsZero() {
				used[id] = used[id].Plus(h.room)
			}
			used[id] = used[id].Plus(w.Resources)
			for _, p := range w.Ports {
				if p.HostPort != 0 && ports[id][p.HostPort] {
					t.Fatalf("seed %d: host port %d is given twice on %s", seed, p.HostPort, id)
				}
				ports[id][p.HostPort] = true
			}
		}
		for id, u := range used {
			if !u.Fits(rooms[id].room) {
				t.Fatalf("seed %d: %s holds %v and has room for %v", seed, id, u, rooms[id].room)
			}
			if len(keys[id]) != 1 {
				t.Fatalf("seed %d: %s is shared across a boundary: %v", seed, id, keys[id])
			}
			for key := range keys[id] {
				if len(key) > len(exclusiveKey) && key[:len(exclusiveKey)] == exclusiveKey && count[id] != 1 {
					t.Fatalf("seed %d: an exclusive workload shares %s with %d others", seed, id, count[id]-1)
				}
			}
		}
	}
}

// TestPlaceIsDeterministic: the same queue and hosts give the same plan.
func TestPlaceIsDeterministic(t *testing.T) {
	queue := randomQueue(rand.New(rand.NewPCG(7, 7)), 60)
	first := place(queue, nil, nil, testRoom)
	for range 20 {
		if again := place(queue, nil, nil, testRoom); !reflect.DeepEqual(first, again) {
			t.Fatalf("two plans of one queue differ:\n%v\n%v", first, again)
		}
	}
}

// TestPlaceCountsOnWhatIsBought: a plan made again while its purchase is under
// way buys nothing more.
func TestPlaceCountsOnWhatIsBought(t *testing.T) {
	for seed := range uint64(50) {
		queue := randomQueue(rand.New(rand.NewPCG(seed, 2)), 30)
		first := place(queue, nil, nil, testRoom)
		bought := map[string]int{}
		for _, n := range first.buy {
			bought[n.instanceType] += n.count
		}
		if again := place(queue, nil, bought, testRoom); len(again.buy) != 0 {
			t.Fatalf("seed %d: bought %v and would buy %v on top", seed, bought, again.buy)
		}
	}
}

func BenchmarkPlace(b *testing.B) {
	queue := randomQueue(rand.New(rand.NewPCG(1, 1)), 1000)
	b.ReportAllocs()
	for b.Loop() {
		place(queue, nil, nil, testRoom)
	}
}

// TestPlaceCountsMountsForLife: a host keeps what it has mounted, so that one
// which has had many homes takes no new one, and those it has had still.
func TestPlaceCountsMountsForLife(t *testing.T) {
	home := func(id launcher.ID, user string) launcher.Workload {
		return launcher.Workload{
			ID: id, Owner: user, InstanceType: "r5.4xlarge", Sharing: launcher.Pool, Resources: launcher.Resources{MilliCPU: 100, MemoryMiB: 100},
			Mounts: []launcher.Mount{{Source: "/efs/" + user, Target: "/home/x"}, {Source: "/efs/" + user, Target: "/again"}},
		}
	}
	old := newSlot("r5.4xlarge", testRoom("r5.4xlarge"))
	old.id = "i-old"
	old.take(home("first", "alice"))
	if len(old.mounts) != 1 {
		t.Fatalf("one home is %d mounts", len(old.mounts))
	}
	for i := range maxMounts - 2 {
		old.mounts[fmt.Sprintf("/efs/gone-%d", i)] = true
	}
	p := place([]launcher.Workload{
		home("a", "alice"), home("b", "bob"), home("c", "carol"), home("d", "bob"), home("e", "gone-7"),
	}, []slot{*old}, nil, testRoom)
	if p.assign["a"] != "i-old" || p.assign["b"] != "i-old" || p.assign["d"] != "i-old" || p.assign["e"] != "i-old" || !p.coming["c"] {
		t.Errorf("assigned %v, coming %v", p.assign, p.coming)
	}
}

// TestHostWith: the sources of a host's mounts stay in order and are there once,
// and the record that is read is not written.
func TestHostWith(t *testing.T) {
	h := Host{Mounts: []string{"b", "d"}}
	got := h.with([]launcher.Mount{{Source: "c"}, {Source: "a"}, {Source: "d"}, {Source: "a"}})
	if !slices.Equal(got, []string{"a", "b", "c", "d"}) || !slices.Equal(h.Mounts, []string{"b", "d"}) {
		t.Errorf("%v of %v", got, h.Mounts)
	}
}

// TestAssignLooksAgain: what a plan knew of a host may be over by now.
func TestAssignLooksAgain(t *testing.T) {
	l, _ := keyed(t, fakeaws.Config{}, nil)
	full := Host{ID: "i-full", InstanceType: "m5.large", State: HostReady}
	for i := range maxMounts {
		full = Host{ID: full.ID, InstanceType: full.InstanceType, State: full.State, Mounts: full.with([]launcher.Mount{{Source: fmt.Sprintf("/efs/%03d", i)}})}
	}
	if err := l.hosts.Create(t.Context(), full.ID, full); err != nil {
		t.Fatal(err)
	}
	r := &reconciler{l: l}
	if s := r.slots(&world{hosts: []Host{full}, now: time.Now()}); len(s) != 1 || s[0].fits(launcher.Workload{Mounts: []launcher.Mount{{Source: "/efs/new"}}}) {
		t.Errorf("a plan finds room for one more on %+v", s)
	}
	for source, want := range map[string]string{"/efs/new": "", "/efs/007": full.ID} {
		rec := workloadRecord{Workload: launcher.Workload{
			ID: launcher.ID("w-" + source[5:]), Owner: "alice", InstanceType: "m5.large", Sharing: launcher.Pool, Mounts: []launcher.Mount{{Source: source, Target: "/home/x"}},
		}}
		if err := l.workloads.Create(t.Context(), string(rec.Workload.ID), rec); err != nil {
			t.Fatal(err)
		}
		if err := r.assign(t.Context(), &rec, full.ID); err != nil {
			t.Fatal(err)
		}
		got, err := l.workloads.Get(t.Context(), string(rec.Workload.ID))
		if err != nil || got.Host != want {
			t.Errorf("with %s it is on %q (%v), want %q", source, got.Host, err, want)
		}
	}
}
