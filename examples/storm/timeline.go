package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
)

// A picture is how a storm looked. Times are counted from its beginning.
type picture struct {
	title string
	// until is the minute in which the last host or session in it ends.
	until time.Duration
	hosts []hostRow // in the order of purchase
	sizes []launcher.Resources
	spent []float64 // dollars, at steps of even length from 0 to until
	least []float64 // what the room costs that was asked for, at the same
}

// A hostRow is one host.
type hostRow struct {
	id, kind, zone string
	// bought, answers and ended are when it was, its engine first did, and it was
	// told to end, which is answers too if it never did.
	bought, answers, ended time.Duration
	boxes                  []box
	// height is what the boxes need beside and above each other, in rooms of the
	// host: 1 unless they came and went so that gaps are left.
	height float64
}

// A box is one run of a session.
type box struct {
	id        launcher.ID
	visit     Visit
	from, to  time.Duration
	low, high float64 // in rooms of the host, counted from its floor
}

// steps is at how many instants the dollars are told, but for the first.
const steps = 300

// picture tells how the storm looked. An instance that never came to run is not in
// it: it costs nothing.
func (s *storm) picture() picture {
	now := time.Since(s.begun)
	p := picture{title: s.title()}
	bill := s.cloud.Bill()
	bought := s.bought()
	rows := map[string]*hostRow{}
	s.census.mu.Lock()
	defer s.census.mu.Unlock()
	since := func(t time.Time, otherwise time.Duration) time.Duration {
		if t.IsZero() {
			return otherwise
		}
		return t.Sub(s.begun)
	}
	for _, l := range bill.Lines {
		row := &hostRow{id: l.Instance, kind: l.Type, zone: l.Zone, ended: since(l.To, now)}
		row.bought = since(bought[l.Instance], since(l.From, 0))
		row.answers = min(since(s.census.answered[l.Instance], row.ended), row.ended)
		rows[l.Instance] = row
		p.until = max(p.until, row.ended)
	}
	for i, v := range s.trace {
		id := visitID(i)
		for _, e := range s.census.runs[id] {
			if row := rows[e.host]; row != nil {
				b := box{id: id, visit: v, from: since(e.begun, 0), to: since(e.end, now)}
				c, m := room(row.kind, s.Overcommit)
				b.high = (float64(v.Size.MilliCPU)/c + float64(v.Size.MemoryMiB)/m) / 2
				row.boxes = append(row.boxes, b)
			}
		}
		if !slices.Contains(p.sizes, v.Size) {
			p.sizes = append(p.sizes, v.Size)
		}
		p.until = max(p.until, v.End)
	}
	for _, row := range rows {
		row.stack()
		p.hosts = append(p.hosts, *row)
	}
	slices.SortFunc(p.hosts, func(a, b hostRow) int { return cmp.Or(cmp.Compare(a.bought, b.bought), strings.Compare(a.id, b.id)) })
	slices.SortFunc(p.sizes, func(a, b launcher.Resources) int {
		return cmp.Or(cmp.Compare(a.MilliCPU, b.MilliCPU), cmp.Compare(a.MemoryMiB, b.MemoryMiB))
	})
	p.until = (p.until + time.Minute - 1).Truncate(time.Minute)
	instants := make([]time.Duration, steps+1)
	for i := range instants {
		instants[i] = time.Duration(float64(p.until) * float64(i) / steps)
		p.spent = append(p.spent, spentUntil(bill, s.begun.Add(instants[i])))
	}
	p.least = dollarsUntil(s.trace, s.account(), s.Overcommit, instants)
	return p
}

// title names the options.
func (s *storm) title() string {
	var text strings.Builder
	text.WriteString("storm: ")
	if s.Trace != "" {
		fmt.Fprintf(&text, "%d sessions of %s", len(s.trace), s.Trace)
	} else {
		fmt.Fprintf(&text, "%s, %d sessions of %d users", s.Scenario, s.Sessions, s.Users)
	}
	fmt.Fprintf(&text, ", seed %d, %s", s.Seed, s.Policy)
	if s.Overcommit != 1 {
		fmt.Fprintf(&text, ", processors given away %v times", s.Overcommit)
	}
	if s.Warm {
		text.WriteString(", warm")
	}
	if s.Faults {
		text.WriteString(", faults")
	}
	return text.String()
}

// bought is when each instance was, to the second, as EC2 has told its bus of events.
func (s *storm) bought() map[string]time.Time {
	all := map[string]time.Time{}
	for _, document := range s.cloud.Events() {
		var e struct {
			Time   time.Time `json:"time"`
			Detail struct {
				Instance string `json:"instance-id"`
				State    string `json:"state"`
			} `json:"detail"`
		}
		if err := json.Unmarshal(document, &e); err == nil && e.Detail.State == "pending" {
			all[e.Detail.Instance] = e.Time
		}
	}
	return all
}

// spentUntil is what the instances of a bill had cost at an instant.
func spentUntil(bill fakeaws.Bill, at time.Time) (dollars float64) {
	for _, l := range bill.Lines {
		if at.Before(l.From) {
			continue
		}
		dollars += usd(l.PerHour.Over(min(l.Billed, max((at.Sub(l.From)+time.Second-1).Truncate(time.Second), time.Minute))))
	}
	return dollars
}

// stack gives each box of a host its place: the lowest at which it meets none that
// is there at the same time.
func (h *hostRow) stack() {
	slices.SortFunc(h.boxes, func(a, b box) int {
		return cmp.Or(cmp.Compare(a.from, b.from), strings.Compare(string(a.id), string(b.id)))
	})
	h.height = 1
	var there []box // by low
	for i := range h.boxes {
		b := &h.boxes[i]
		there = slices.DeleteFunc(there, func(o box) bool { return o.to <= b.from })
		need, place := b.high, 0
		for ; place < len(there); place++ {
			if there[place].low-b.low >= need-1e-9 {
				break // it fits below
			}
			b.low = max(b.low, there[place].high)
		}
		b.high = b.low + need
		there = slices.Insert(there, place, *b)
		h.height = max(h.height, b.high)
	}
}
