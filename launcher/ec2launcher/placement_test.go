package ec2launcher

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
)

// testTypes have the ratios of real ones.
var testTypes = map[string]terms{
	"t3.medium":  {machine: launcher.Resources{MilliCPU: 2000, MemoryMiB: 3800}, price: 41600},
	"m5.xlarge":  {machine: launcher.Resources{MilliCPU: 4000, MemoryMiB: 15200}, price: 192000},
	"m5.2xlarge": {machine: launcher.Resources{MilliCPU: 8000, MemoryMiB: 30400}, price: 384000},
	"r5.4xlarge": {machine: launcher.Resources{MilliCPU: 16000, MemoryMiB: 121000}, price: 1008000},
	"g5.xlarge":  {machine: launcher.Resources{MilliCPU: 4000, MemoryMiB: 15000, GPUs: 1}, price: 1006000},
}

// testTerms sells everything without overcommitment, spot at a third.
func testTerms(o offer) terms {
	t := testTypes[o.instanceType]
	t.room = t.machine
	if o.market == launcher.Spot {
		t.price /= 3
	}
	return t
}

// randomQueue makes n workloads of a few owners, types, sizes, markets and
// sharing rules, each of which some host can hold.
func randomQueue(r *rand.Rand, n int) []launcher.Workload {
	types := slices.Sorted(maps.Keys(testTypes))
	var queue []launcher.Workload
	for i := range n {
		w := launcher.Workload{
			ID:           launcher.ID(fmt.Sprintf("w%03d", i)),
			Owner:        fmt.Sprintf("owner%d", r.IntN(4)),
			InstanceType: types[r.IntN(len(types))],
			Market:       []launcher.Market{launcher.OnDemand, launcher.OnDemand, launcher.Spot, launcher.SpotOrOnDemand}[r.IntN(4)],
			Sharing:      []launcher.Sharing{launcher.PerOwner, launcher.PerOwner, launcher.Pool, launcher.Exclusive}[r.IntN(4)],
			Lifetime:     []time.Duration{0, 0, 10 * time.Minute, 3 * time.Hour, 9 * time.Hour}[r.IntN(5)],
		}
		for _, t := range types {
			if t != w.InstanceType && r.IntN(3) == 0 {
				w.Alternatives = append(w.Alternatives, t)
			}
		}
		if r.IntN(4) > 0 {
			room := testTypes[w.InstanceType].machine
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

// empty is a bought host.
func empty(id string, o offer, terms func(offer) terms) slot {
	s := newSlot(o, terms(o))
	s.id = id
	return *s
}

// load is hosts with what was placed on them, as they are before the next plan.
func load(hosts []slot, queue []launcher.Workload, placed map[launcher.ID]string) (current []slot, waiting []launcher.Workload) {
	for _, h := range hosts {
		h.free, h.ports, h.mounts = h.room, nil, nil
		current = append(current, h)
	}
	for i, w := range queue {
		host, ok := placed[w.ID]
		if !ok {
			waiting = append(waiting, w)
			continue
		}
		n := slices.IndexFunc(current, func(s slot) bool { return s.id == host })
		current[n].key = sharingKey(w)
		current[n].take(&queue[i])
	}
	return current, waiting
}

// settle turns a plan's purchases into hosts and places again, until nothing
// is bought any more, as the reconciler does.
func settle(t *testing.T, queue []launcher.Workload, terms func(offer) terms) (map[launcher.ID]string, []slot) {
	t.Helper()
	var hosts []slot
	placed := map[launcher.ID]string{}
	for range len(queue) + 1 {
		current, waiting := load(hosts, queue, placed)
		p := place(demand{queue: pointers(waiting), hosts: current, terms: terms})
		maps.Copy(placed, p.assign)
		if len(p.buy) == 0 {
			return placed, hosts
		}
		for _, n := range p.buy {
			for range n.count {
				hosts = append(hosts, empty(fmt.Sprintf("i-%03d", len(hosts)), n.offer, terms))
			}
		}
	}
	t.Fatal("placement never settles")
	return nil, nil
}

// TestPlaceHoldsItsBounds lets chance choose queues and checks what must hold
// for every one: everybody is placed on what it accepts, no host is filled over
// its room in any dimension, no workload gets more than one machine has, and no
// host is shared across a boundary.
func TestPlaceHoldsItsBounds(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		queue := randomQueue(r, 1+r.IntN(40))
		factors := Overcommit{CPU: float64(1 + r.IntN(2))}
		terms := func(o offer) terms {
			t := testTerms(o)
			t.room = factors.of(t.room)
			return t
		}
		placed, hosts := settle(t, queue, terms)
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
			if !slices.Contains(offersOf(&w), h.offer) {
				t.Fatalf("seed %d: %s accepts %v and is on a %s", seed, w.ID, offersOf(&w), h.offer)
			}
			if !w.Resources.Fits(h.machine) {
				t.Fatalf("seed %d: %s has more than the machine", seed, w.ID)
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

// TestPlaceIsFirstFit holds place against the plainest program that does the same,
// which looks at every host for every workload: on hosts that are partly full the
// assignments are the same.
func TestPlaceIsFirstFit(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		old := randomQueue(r, 60)
		placed, hosts := settle(t, old, testTerms)
		for id := range placed { // some have ended
			if r.IntN(2) == 0 {
				delete(placed, id)
			}
		}
		kept := slices.DeleteFunc(old, func(w launcher.Workload) bool { return placed[w.ID] == "" })
		queue := randomQueue(r, 60)
		current, _ := load(hosts, kept, placed)
		for i := range current {
			if current[i].key != "" {
				current[i].span = r.IntN(spans)
			}
		}
		plain := make([]slot, len(current))
		for i, s := range current {
			s.ports, s.mounts = maps.Clone(s.ports), maps.Clone(s.mounts)
			plain[i] = s
		}
		p := place(demand{queue: pointers(queue), hosts: current, terms: func(o offer) terms {
			t := testTerms(o)
			t.soldOut = true // so that only hosts that are there count
			return t
		}})
		if want := firstFit(queue, plain); !maps.Equal(p.assign, want) {
			t.Fatalf("seed %d: assigned %v, want %v", seed, p.assign, want)
		}
	}
}

// firstFit is the plainest program.
func firstFit(queue []launcher.Workload, hosts []slot) map[launcher.ID]string {
	order := make([]*slot, len(hosts))
	for i := range hosts {
		order[i] = &hosts[i]
	}
	slices.SortStableFunc(order, func(a, b *slot) int {
		if a.room.MilliCPU != b.room.MilliCPU {
			return int(a.room.MilliCPU - b.room.MilliCPU)
		}
		return int(a.room.MemoryMiB - b.room.MemoryMiB)
	})
	assign := map[launcher.ID]string{}
	for i := range queue {
		w, key, span := &queue[i], sharingKey(queue[i]), spanOf(queue[i].Lifetime)
		take := func(used bool, spans ...int) bool {
			for _, s := range spans {
				for n, h := range order {
					if used != (h.key != "") || used && (h.key != key || h.span != s) || !slices.Contains(offersOf(w), h.offer) || !h.fits(w) {
						continue
					}
					assign[w.ID] = h.id
					if !used || span > h.span { // it goes to the end of its list
						h.span = span
						order = append(slices.Delete(order, n, n+1), h)
					}
					h.key = key
					h.take(w)
					return true
				}
			}
			return false
		}
		longer := [][]int{{short, medium, long}, {medium, long, short}, {long, medium, short}}[span]
		_ = take(true, longer...) || take(false, long, medium, short)
	}
	return assign
}

// TestPlaceIsDeterministic: the same queue and hosts give the same plan.
func TestPlaceIsDeterministic(t *testing.T) {
	queue := randomQueue(rand.New(rand.NewPCG(7, 7)), 60)
	first := place(demand{queue: pointers(queue), terms: testTerms})
	for range 20 {
		if again := place(demand{queue: pointers(queue), terms: testTerms}); !reflect.DeepEqual(first, again) {
			t.Fatalf("two plans of one queue differ:\n%v\n%v", first, again)
		}
	}
}

// TestPlaceCountsOnWhatIsBought: a plan made again while its purchases are under
// way buys nothing more.
func TestPlaceCountsOnWhatIsBought(t *testing.T) {
	for seed := range uint64(100) {
		queue := randomQueue(rand.New(rand.NewPCG(seed, 2)), 30)
		first := place(demand{queue: pointers(queue), terms: testTerms})
		var coming []slot
		for _, n := range first.buy {
			for range n.count {
				coming = append(coming, empty("", n.offer, testTerms))
			}
		}
		again := place(demand{queue: pointers(queue), hosts: coming, promised: first.coming, terms: testTerms})
		if len(again.buy) != 0 {
			t.Fatalf("seed %d: bought %v and would buy %v on top", seed, first.buy, again.buy)
		}
	}
}

// session is one of a pool on either of some types.
func session(id launcher.ID, cpu, gib int64, types ...string) launcher.Workload {
	return launcher.Workload{
		ID: id, Owner: string(id), Sharing: launcher.Pool, InstanceType: types[0], Alternatives: types[1:],
		Resources: launcher.Resources{MilliCPU: cpu * 1000, MemoryMiB: gib << 10},
	}
}

// TestChoose: what is bought is the cheapest for what will fill it.
func TestChoose(t *testing.T) {
	big, small := "m5.2xlarge", "m5.xlarge"
	many := func(n int) (list []launcher.Workload) {
		for i := range n {
			list = append(list, session(launcher.ID(fmt.Sprint("s", i)), 2, 8, small, big, "r5.4xlarge"))
		}
		return list
	}
	quarters := func(n int) (list []launcher.Workload) { // of the small
		for i := range n {
			w := session(launcher.ID(fmt.Sprint("q", i)), 1, 4, small, big)
			w.Resources.MemoryMiB = 3800
			list = append(list, w)
		}
		return list
	}
	soldOut := func(gone ...offer) func(offer) terms {
		return func(o offer) terms {
			t := testTerms(o)
			t.soldOut = slices.Contains(gone, o)
			return t
		}
	}
	spot := func(w launcher.Workload, m launcher.Market) launcher.Workload {
		w.Market = m
		return w
	}
	exclusive := session("x", 2, 8, big, small)
	exclusive.Sharing = launcher.Exclusive
	for name, test := range map[string]struct {
		demand demand
		buy    []need
		wait   int
	}{
		"Alone":    {demand: demand{queue: pointers(many(1))}, buy: []need{{offer{small, ""}, 1}}},
		"Expected": {demand: demand{queue: pointers(many(1)), expected: pointers(many(9)[1:])}, buy: []need{{offer{big, ""}, 1}}},
		"Three":    {demand: demand{queue: pointers(many(3))}, buy: []need{{offer{big, ""}, 1}}},
		"Many":     {demand: demand{queue: pointers(many(8))}, buy: []need{{offer{"r5.4xlarge", ""}, 1}}},
		"Same":     {demand: demand{queue: pointers(many(16))}, buy: []need{{offer{"r5.4xlarge", ""}, 2}}},
		// A fourth and a fifth would fill a host that has them for less each.
		"Exclusive": {demand: demand{queue: pointers([]launcher.Workload{exclusive}), expected: pointers(many(9))}, buy: []need{{offer{small, ""}, 1}}},
		// Of what costs the same, the larger if it is filled at once, and else the smaller.
		"Larger":   {demand: demand{queue: pointers(quarters(8))}, buy: []need{{offer{big, ""}, 1}}},
		"Smaller":  {demand: demand{queue: pointers(quarters(1)), expected: pointers(quarters(20)[1:])}, buy: []need{{offer{small, ""}, 1}}},
		"NextType": {demand: demand{queue: pointers(many(1)), terms: soldOut(offer{small, ""})}, buy: []need{{offer{big, ""}, 1}}},
		"Nothing":  {demand: demand{queue: pointers(many(2)), terms: soldOut(offer{small, ""}, offer{big, ""}, offer{"r5.4xlarge", ""})}, wait: 2},
		"Spot":     {demand: demand{queue: pointers([]launcher.Workload{spot(session("s", 2, 8, small), launcher.SpotOrOnDemand)})}, buy: []need{{offer{small, launcher.Spot}, 1}}},
		"SpotFirst": { // a dearer type on spot comes before on demand
			demand: demand{
				queue: pointers([]launcher.Workload{spot(session("s", 2, 8, small, "r5.4xlarge"), launcher.SpotOrOnDemand)}),
				terms: soldOut(offer{small, launcher.Spot}),
			},
			buy: []need{{offer{"r5.4xlarge", launcher.Spot}, 1}},
		},
		"NextMarket": {
			demand: demand{
				queue: pointers([]launcher.Workload{spot(session("s", 2, 8, small), launcher.SpotOrOnDemand)}), terms: soldOut(offer{small, launcher.Spot}),
			},
			buy: []need{{offer{small, ""}, 1}},
		},
		"SpotOnly": {
			demand: demand{queue: pointers([]launcher.Workload{spot(session("s", 2, 8, small), launcher.Spot)}), terms: soldOut(offer{small, launcher.Spot})},
			wait:   1,
		},
		"NotOnSpot": { // what runs on demand goes to no spot host
			demand: demand{queue: pointers(many(1)), hosts: []slot{empty("i-spot", offer{small, launcher.Spot}, testTerms)}},
			buy:    []need{{offer{small, ""}, 1}},
		},
	} {
		if test.demand.terms == nil {
			test.demand.terms = testTerms
		}
		p := place(test.demand)
		if !slices.Equal(p.buy, test.buy) || len(p.wait) != test.wait || len(p.misfits) != 0 {
			t.Errorf("%s: buys %v, %d wait, want %v and %d", name, p.buy, len(p.wait), test.buy, test.wait)
		}
	}
	huge := place(demand{queue: pointers([]launcher.Workload{session("h", 64, 1, small)}), terms: testTerms})
	if !slices.Equal(huge.misfits, []launcher.ID{"h"}) {
		t.Errorf("what nothing holds is %+v", huge)
	}
	unpriced := place(demand{queue: pointers(many(1)), terms: func(o offer) terms {
		t := testTerms(o)
		if o.instanceType == small {
			t.price = 0
		}
		return t
	}})
	if !slices.Equal(unpriced.buy, []need{{offer{big, ""}, 1}}) {
		t.Errorf("with a price that is not known it buys %v", unpriced.buy)
	}
}

// TestAfford: where there are few tokens kinds take turns, and what would be content with
// a host of which more are wanted waits with that one.
func TestAfford(t *testing.T) {
	big, small, gpu := offer{"m5.4xlarge", ""}, offer{"m5.xlarge", ""}, offer{"g5.xlarge", ""}
	p := plan{buy: []need{{small, 1}, {big, 230}, {gpu, 2}}, others: map[offer][]offer{small: {small, big}, big: {small, big}, gpu: {gpu}}}
	now := time.Now()
	for name, test := range map[string]struct {
		tokens int
		served map[offer]time.Time
		orders []need
		short  int
	}{
		"Plenty":     {tokens: 1000, orders: []need{{big, 100}, {big, 100}, {big, 30}, {gpu, 2}, {small, 1}}},
		"Enough":     {tokens: 233, orders: []need{{big, 100}, {big, 100}, {big, 30}, {gpu, 2}, {small, 1}}},
		"NotSmall":   {tokens: 232, orders: []need{{big, 100}, {big, 100}, {big, 30}, {gpu, 2}}},
		"NotAllBig":  {tokens: 225, orders: []need{{big, 100}, {big, 100}, {big, 25}}, short: 5},
		"BigFirst":   {tokens: 19, short: 20},
		"GPUsTurn":   {tokens: 19, served: map[offer]time.Time{big: now, small: now}, orders: []need{{gpu, 2}}, short: 20},
		"GPUHadIts":  {tokens: 19, served: map[offer]time.Time{big: now.Add(-time.Second), gpu: now}, short: 20},
		"BigHadIts":  {tokens: 1, served: map[offer]time.Time{big: now}, short: 2},
		"SmallsTurn": {tokens: 19, served: map[offer]time.Time{big: now, gpu: now}, short: 20}, // it waits with the big
		"None":       {short: 20},
	} {
		orders, short := p.afford(test.tokens, test.served)
		if !slices.Equal(orders, test.orders) || short != test.short {
			t.Errorf("%s: %v and %d short, want %v and %d", name, orders, short, test.orders, test.short)
		}
	}
	// One of those that get a small host accepts nothing else.
	p.others[small] = []offer{small}
	if orders, short := p.afford(3, map[offer]time.Time{big: now}); !slices.Equal(orders, []need{{gpu, 2}, {small, 1}}) || short != 20 {
		t.Errorf("what accepts nothing else does not wait: %v, %d", orders, short)
	}
	// In turns nobody waits for ever: with two tokens a second each kind is served in time.
	kinds := plan{others: map[offer][]offer{}}
	served, got := map[offer]time.Time{}, map[offer]int{}
	tokens := 0
	for second := range 600 {
		kinds.buy = []need{{big, 500}} // who keep coming
		for n := range 10 {
			kinds.buy = append(kinds.buy, need{offer{fmt.Sprintf("rare%d", n), ""}, 3})
		}
		tokens += 2
		orders, _ := kinds.afford(tokens, served)
		for _, part := range orders {
			tokens -= part.count
			served[part.offer] = now.Add(time.Duration(second) * time.Second)
			got[part.offer] += part.count
		}
	}
	for _, n := range kinds.buy {
		if got[n.offer] < 3*20 {
			t.Errorf("of %s %d were bought in ten minutes beside %v", n, got[n.offer], got)
		}
	}
	// Several wants of one kind: others are what all of them accept.
	merged := plan{others: map[offer][]offer{}}
	merged.wants(small, []offer{small, big})
	merged.wants(small, []offer{small, gpu})
	if !slices.Equal(merged.others[small], []offer{small}) || !slices.Equal(merged.buy, []need{{small, 2}}) {
		t.Errorf("%+v", merged)
	}
}

// TestShortApartFromLong: what ends soon does not keep a host from becoming empty.
func TestShortApartFromLong(t *testing.T) {
	host := func(id string, span int) slot {
		s := empty(id, offer{"r5.4xlarge", ""}, testTerms)
		w := session("on-"+launcher.ID(id), 1, 1, "r5.4xlarge")
		s.key, s.span = sharingKey(w), span
		s.take(&w)
		return s
	}
	brief, job := session("brief", 1, 1, "r5.4xlarge"), session("job", 1, 1, "r5.4xlarge")
	brief.Lifetime, job.Lifetime = 10*time.Minute, 2*time.Hour
	open := session("open", 1, 1, "r5.4xlarge")
	all := []slot{host("i-long", long), host("i-medium", medium), host("i-short", short)}
	p := place(demand{queue: pointers([]launcher.Workload{brief, job, open}), hosts: all, terms: testTerms})
	if p.assign["brief"] != "i-short" || p.assign["job"] != "i-medium" || p.assign["open"] != "i-long" {
		t.Errorf("assigned %v", p.assign)
	}
	// Without its like the short one goes where others stay longer anyway.
	p = place(demand{queue: pointers([]launcher.Workload{brief}), hosts: []slot{host("i-long", long), host("i-medium", medium)}, terms: testTerms})
	if p.assign["brief"] != "i-medium" {
		t.Errorf("assigned %v", p.assign)
	}
	// The long one shares with short ones rather than that a host is bought, which
	// from then on is a long one.
	p = place(demand{queue: pointers([]launcher.Workload{open, job, brief}), hosts: []slot{host("i-short", short)}, terms: testTerms})
	if p.assign["open"] != "i-short" || p.assign["job"] != "i-short" || len(p.buy) != 0 {
		t.Errorf("assigned %v, bought %v", p.assign, p.buy)
	}
}

// TestPlaceCountsMountsForLife: a host keeps what it has mounted, so that one
// which has had many homes takes no new one, and those it has had still.
func TestPlaceCountsMountsForLife(t *testing.T) {
	home := func(id launcher.ID, user string) launcher.Workload {
		w := session(id, 1, 1, "r5.4xlarge")
		w.Mounts = []launcher.Mount{{Source: "/efs/" + user, Target: "/home/x"}, {Source: "/efs/" + user, Target: "/again"}}
		return w
	}
	old := empty("i-old", offer{"r5.4xlarge", ""}, testTerms)
	first := home("first", "alice")
	old.key = sharingKey(first)
	old.take(&first)
	if len(old.mounts) != 1 {
		t.Fatalf("one home is %d mounts", len(old.mounts))
	}
	for i := range maxMounts - 2 {
		old.keeps(fmt.Sprintf("/efs/gone-%d", i))
	}
	p := place(demand{queue: pointers([]launcher.Workload{
		home("a", "alice"), home("b", "bob"), home("c", "carol"), home("d", "bob"), home("e", "gone-7"),
	}), hosts: []slot{old}, terms: testTerms})
	if p.assign["a"] != "i-old" || p.assign["b"] != "i-old" || p.assign["d"] != "i-old" || p.assign["e"] != "i-old" || p.coming["c"] == (offer{}) {
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
	r := &reconciler{l: l, fleet: &fleet{l: l, capacity: &capacity{}}, board: newBoard(store.NewMirror(l.workloads)), known: store.NewMirror(l.hosts)}
	if _, err := r.known.Update(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := r.slots(&world{now: time.Now()}); len(s) != 1 || s[0].fits(&launcher.Workload{Mounts: []launcher.Mount{{Source: "/efs/new"}}}) {
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

func pointers(list []launcher.Workload) (queue []*launcher.Workload) {
	for i := range list {
		queue = append(queue, &list[i])
	}
	return queue
}

// TestReserveTakesNothing: what is kept free for others never changes where the
// queue goes, and is found room for within its limit.
func TestReserveTakesNothing(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 4))
		old := randomQueue(r, 30)
		placed, hosts := settle(t, old, testTerms)
		queue := pointers(randomQueue(r, 20))
		warm := []Warm{{Like: session("x", 1, 4, "m5.xlarge", "m5.2xlarge"), Slots: 9, MaxPerHour: 400000}}
		var reserves []reserve
		for i := range 9 {
			w := warm[0].Like
			w.ID = launcher.ID(fmt.Sprint("warm ", i))
			reserves = append(reserves, reserve{w, 0})
		}
		without, _ := load(hosts, old, placed)
		with, _ := load(hosts, old, placed)
		plain := place(demand{queue: queue, hosts: without, terms: testTerms})
		kept := place(demand{queue: queue, hosts: with, terms: testTerms, reserves: reserves, warm: warm})
		if !maps.Equal(plain.assign, kept.assign) || !maps.Equal(plain.coming, kept.coming) {
			t.Fatalf("seed %d: with warm room the queue goes elsewhere", seed)
		}
		if extra := price(kept) - price(plain); extra > 0.4 {
			t.Fatalf("seed %d: warm room costs $%.3f an hour more", seed, extra)
		}
	}
}

// TestReserveFindsWhatIsFree: a slot that an empty host would cost too much for is
// kept on one that is there anyway, or on a cheaper one.
func TestReserveFindsWhatIsFree(t *testing.T) {
	limit := []Warm{{Like: session("x", 1, 4, "m5.2xlarge", "m5.xlarge"), Slots: 1, MaxPerHour: 200000}}
	slots := []reserve{{session("warm 0", 1, 4, "m5.2xlarge", "m5.xlarge"), 0}}
	idle := empty("i-idle", offer{"m5.2xlarge", ""}, testTerms)
	idle.key = poolKey
	busy := empty("i-busy", offer{"r5.4xlarge", ""}, testTerms)
	on := session("on", 1, 4, "r5.4xlarge")
	busy.key = poolKey
	busy.take(&on)
	slots[0].workload.Alternatives = append(slots[0].workload.Alternatives, "r5.4xlarge")
	if p := place(demand{hosts: []slot{idle, busy}, reserves: slots, warm: limit, terms: testTerms}); p.keep["i-busy"] == nil || len(p.buy) != 0 {
		t.Errorf("kept %v, bought %v", p.keep, p.buy)
	}
	plenty := []Warm{limit[0]}
	plenty[0].MaxPerHour = 0
	if p := place(demand{hosts: []slot{idle, busy}, reserves: slots, warm: plenty, terms: testTerms}); p.keep["i-busy"] == nil || p.keep["i-idle"] != nil {
		t.Errorf("without a limit kept are %v", p.keep)
	}
	if p := place(demand{hosts: []slot{idle}, reserves: slots, warm: limit, terms: testTerms}); !slices.Equal(p.buy, []need{{offer{"m5.xlarge", ""}, 1}}) {
		t.Errorf("kept %v, bought %v", p.keep, p.buy)
	}
}
