package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
)

var update = flag.Bool("update", false, "rewrite golden files")

// elements counts the elements of a document by their name, and fails if it is none.
func elements(t *testing.T, document []byte) map[string]int {
	t.Helper()
	count := map[string]int{}
	d := xml.NewDecoder(bytes.NewReader(document))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return count
		}
		if err != nil {
			t.Fatalf("it is no XML: %v\n%.2000s", err, document)
		}
		if start, ok := token.(xml.StartElement); ok {
			count[start.Name.Local]++
			for _, a := range start.Attr {
				if strings.Contains(a.Value, "%!") || strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") || a.Name.Local == "width" && strings.HasPrefix(a.Value, "-") {
					t.Errorf("<%s %s=%q>", start.Name.Local, a.Name.Local, a.Value)
				}
			}
		}
	}
}

// TestPicture draws a tiny storm as it was drawn before. What a fleet does is not the
// same to the millisecond in each run, so it is written down here.
func TestPicture(t *testing.T) {
	s := storm{Options: Options{Scenario: "signin", Sessions: 4, Users: 3, Seed: 7, Policy: "pool", Overcommit: 1, Warm: true}}
	visit := func(user string, start, end time.Duration, m int) Visit {
		return Visit{User: user, Start: start * time.Minute, End: end * time.Minute, Size: mix[m].size}
	}
	visits := []Visit{visit("alice", 0, 30, 0), visit("bob <b@example.com>", 0, 20, 1), visit("carol", 5, 30, 2), visit("alice", 22, 30, 1)}
	on := func(id int, from, to time.Duration, share float64) box {
		return box{id: visitID(id), visit: visits[id], from: from, to: to, high: share}
	}
	p := picture{
		title: s.title(), until: 36 * time.Minute, sizes: []launcher.Resources{mix[1].size, mix[0].size, mix[2].size},
		hosts: []hostRow{
			{id: "i-0000000000000000a", kind: "m5.xlarge", zone: region + "b", bought: 2 * time.Second, answers: 25 * time.Second, ended: 35 * time.Minute, boxes: []box{
				on(0, time.Minute, 30*time.Minute, 0.5), on(1, time.Minute, 20*time.Minute, 0.25), on(3, 22*time.Minute, 30*time.Minute, 0.25),
			}},
			{id: "i-0000000000000000b", kind: "m5.xlarge", zone: region + "b", bought: 5 * time.Minute, answers: 8 * time.Minute, ended: 8 * time.Minute},
			{id: "i-0000000000000000c", kind: "m6i.xlarge", zone: region + "c", bought: 8 * time.Minute, answers: 8*time.Minute + 24*time.Second, ended: 35*time.Minute + 10*time.Second, boxes: []box{
				on(2, 9*time.Minute, 30*time.Minute, 1),
			}},
		},
		spent: []float64{0, 0.02, 0.06, 0.12, 0.18, 0.24, 0.24}, least: dollarsUntil(visits, fakeaws.Config{}, 1, []time.Duration{
			0, 6 * time.Minute, 12 * time.Minute, 18 * time.Minute, 24 * time.Minute, 30 * time.Minute, 36 * time.Minute,
		}),
	}
	for i := range p.hosts {
		p.hosts[i].stack()
	}
	var out bytes.Buffer
	if err := p.draw(&out); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/storm.svg"
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("the picture has changed; rewrite it with -update if that is right:\n%s", out.String())
	}
	if n := elements(t, out.Bytes()); n["svg"] != 1 || n["polyline"] != 2 || n["title"] != 1+3+4 {
		t.Errorf("it has %v", n)
	}
}

// TestPictureFile: the picture of a storm is written to a file, and one that cannot
// be is told before the storm.
func TestPictureFile(t *testing.T) {
	o := Options{Scenario: "signin", Sessions: 4, Users: 4, Seed: 1, Policy: "pool", Overcommit: 1, SVG: filepath.Join(t.TempDir(), "storm.svg")}
	r := storms(t, o)
	got, err := os.ReadFile(o.SVG)
	if err != nil {
		t.Fatal(err)
	}
	if n := elements(t, got); n["title"] != 1+r.Hosts+r.Running {
		t.Errorf("%d hosts with %d sessions are drawn with %v", r.Hosts, r.Running, n)
	}
	o.SVG = filepath.Join(o.SVG, "file")
	if err := run(t.Context(), o, false, io.Discard); err == nil { // in no bubble: it would take an hour
		t.Error("a file below a file was written")
	}
}

// TestPictureOfFaults: every session that ran has its box, and every host its row.
func TestPictureOfFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{Scenario: "signin", Sessions: 20, Users: 7, Seed: 5, Policy: "user", Overcommit: 2, Faults: true}
		r, p, err := replay(t.Context(), o, badDay(o))
		if err != nil {
			t.Fatal(err)
		}
		boxes := 0
		for _, h := range p.hosts {
			if h.bought < 0 || h.answers < h.bought || h.ended < h.answers {
				t.Errorf("%+v", h)
			}
			for _, b := range h.boxes {
				if b.from < h.answers || b.to > h.ended || b.to <= b.from {
					t.Errorf("%s runs from %v to %v on a host that answers from %v to %v", b.id, b.from, b.to, h.answers, h.ended)
				}
			}
			boxes += len(h.boxes)
		}
		if len(p.hosts) != r.Hosts || boxes != r.Running {
			t.Errorf("%d hosts with %d sessions are drawn; want %d with %d", len(p.hosts), boxes, r.Hosts, r.Running)
		}
		if spent, least := p.spent[steps], p.least[steps]; math.Abs(spent-r.Dollars) > 0.002 || math.Abs(least-r.DollarsBound) > 0.002 {
			t.Errorf("$%v are spent in the end where $%v are the least; want $%v and $%v", spent, least, r.Dollars, r.DollarsBound)
		}
		var out bytes.Buffer
		if err := p.draw(&out); err != nil {
			t.Fatal(err)
		}
		elements(t, out.Bytes())
		if !strings.Contains(out.String(), "storm: signin, 20 sessions of 7 users, seed 5, user, processors given away 2 times, faults") {
			t.Errorf("the title does not say what it is of:\n%.400s", out.String())
		}
	})
}

// TestPictureOfMany: a thousand sessions on hosts of their own, of as many sizes,
// whose users have names that are no XML, are drawn in less than two megabytes.
func TestPictureOfMany(t *testing.T) {
	p := picture{title: `a "title" & <more>`, until: 24 * time.Hour, spent: make([]float64, steps+1), least: make([]float64, steps+1)}
	for i := range 1000 {
		size := launcher.Resources{MilliCPU: int64(i + 1), MemoryMiB: 1}
		v := Visit{User: fmt.Sprintf("<user>\x00 %d", i), End: time.Hour, Size: size}
		h := hostRow{id: fmt.Sprintf("i-%017d", i), kind: "m6i.4xlarge", zone: region + "a", ended: time.Hour, answers: time.Minute}
		h.boxes = []box{{id: visitID(i), visit: v, from: time.Minute, to: time.Hour, high: 0.5}}
		h.stack()
		p.hosts, p.sizes = append(p.hosts, h), append(p.sizes, size)
	}
	var out bytes.Buffer
	if err := p.draw(&out); err != nil {
		t.Fatal(err)
	}
	if n := elements(t, out.Bytes()); n["rect"] < 3000 || out.Len() > 2<<20 {
		t.Errorf("%d bytes with %v", out.Len(), n)
	}
	// A storm in which nothing ran is a picture too.
	out.Reset()
	if err := (picture{spent: []float64{0, 0}, least: []float64{0, 0}}).draw(&out); err != nil {
		t.Fatal(err)
	}
	elements(t, out.Bytes())
}

// TestStack: boxes that are there at one time do not meet, and fill a host as far as
// their gaps allow.
func TestStack(t *testing.T) {
	h := hostRow{boxes: []box{
		{id: "a", from: 0, to: 10, high: 0.25},
		{id: "b", from: 0, to: 20, high: 0.5},
		{id: "c", from: 5, to: 20, high: 0.25},
		{id: "d", from: 10, to: 30, high: 0.25}, // in the place of a
		{id: "e", from: 20, to: 30, high: 0.75}, // above d
		{id: "f", from: 30, to: 40, high: 1},
	}}
	h.stack()
	want := map[launcher.ID]float64{"a": 0, "b": 0.25, "c": 0.75, "d": 0, "e": 0.25, "f": 0}
	for _, b := range h.boxes {
		if b.low != want[b.id] {
			t.Errorf("%s is at %v; want %v", b.id, b.low, want[b.id])
		}
	}
	if h.height != 1 {
		t.Errorf("the host is %v high", h.height)
	}
	// Two gaps of a quarter hold no half, and the row becomes denser.
	gaps := hostRow{boxes: []box{
		{id: "a", from: 0, to: 10, high: 0.25}, {id: "b", from: 0, to: 20, high: 0.25}, {id: "c", from: 0, to: 10, high: 0.25},
		{id: "d", from: 0, to: 20, high: 0.25}, {id: "e", from: 10, to: 20, high: 0.5},
	}}
	if gaps.stack(); gaps.height != 1.5 {
		t.Errorf("the host with gaps is %v high", gaps.height)
	}
}

// TestTicks: an axis has some ticks and not too many.
func TestTicks(t *testing.T) {
	for _, until := range []time.Duration{0, time.Second, 17 * time.Second, time.Minute, time.Hour, 5 * time.Hour, 24 * time.Hour, 300 * 24 * time.Hour} {
		if n := until / timeStep(until); n > 12 || until > 17*time.Second && n < 3 {
			t.Errorf("%v has %d ticks", until, n)
		}
	}
	for _, most := range []float64{0.01, 0.07, 1, 3.3, 99, 12345} {
		if n := most / moneyStep(most); n > 6 || n < 1 {
			t.Errorf("$%v has %v ticks", most, n)
		}
	}
}
