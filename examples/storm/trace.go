package main

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// A Visit is one session of a user's: when it is asked for, and when it ends,
// from the beginning of the trace.
type Visit struct {
	User       string
	Start, End time.Duration
	Size       launcher.Resources
}

// mix is what sessions ask for, and how many of twenty ask for it: small ones for
// notebooks, and few big ones.
var mix = []struct {
	of   int
	size launcher.Resources
}{
	{10, launcher.Resources{MilliCPU: 2000, MemoryMiB: 8 << 10}},
	{6, launcher.Resources{MilliCPU: 1000, MemoryMiB: 4 << 10}},
	{3, launcher.Resources{MilliCPU: 4000, MemoryMiB: 16 << 10}},
	{1, launcher.Resources{MilliCPU: 8000, MemoryMiB: 32 << 10}},
}

// sizes are what sessions of a trace commonly ask for: as many as the mix has, those
// that most ask for first.
func (o Options) sizes(trace []Visit) (sizes []launcher.Resources) {
	if o.Trace == "" {
		for _, m := range mix {
			sizes = append(sizes, m.size)
		}
		return sizes
	}
	times := map[launcher.Resources]int{}
	for _, v := range trace {
		if times[v.Size]++; times[v.Size] == 1 {
			sizes = append(sizes, v.Size)
		}
	}
	slices.SortStableFunc(sizes, func(a, b launcher.Resources) int { return cmp.Compare(times[b], times[a]) })
	return sizes[:min(len(sizes), len(mix))]
}

// describe says what is asked for.
func (o Options) describe() string {
	if o.Trace != "" {
		return "sessions: those of " + o.Trace + "; image of 1 GB\n"
	}
	var shares []string
	for _, m := range mix {
		shares = append(shares, fmt.Sprintf("%d%% %d vCPU and %d GiB", m.of*5, m.size.MilliCPU/1000, m.size.MemoryMiB>>10))
	}
	return "sessions: " + strings.Join(shares, ", ") + "; image of 1 GB\n"
}

// scenarios draw traces. Each is a function of the options alone.
var scenarios = map[string]func(Options) []Visit{"signin": signin, "weekday": weekday}

// signin is nine o'clock: everybody comes at once and stays for an hour. Since an
// account may start two instances a second, the last of a great storm wait for longer
// than that: all stay an hour more for each 25,000.
func signin(o Options) []Visit {
	stays := time.Hour * time.Duration(1+(o.Sessions-1)/25_000)
	return draw(o, func(*rand.Rand) (time.Duration, time.Duration) { return 0, stays })
}

// weekday is a working day. People come at about nine and leave at about half past
// five, give or take an hour. Two of three sessions are opened on coming and closed
// on leaving; the others are for a task at some time in between, of an hour and a
// half in the median and with a long tail (log-normal, from ten minutes to ten
// hours).
func weekday(o Options) []Visit {
	return draw(o, func(r *rand.Rand) (time.Duration, time.Duration) {
		const midnight = -6 * time.Hour // the trace begins at six
		around := func(at, spread time.Duration) time.Duration {
			return at + time.Duration(r.NormFloat64()*float64(spread))
		}
		comes := around(9*time.Hour, 45*time.Minute)
		leaves := max(around(17*time.Hour+30*time.Minute, time.Hour), comes+time.Hour)
		if r.IntN(3) > 0 {
			return midnight + comes, leaves - comes
		}
		at := comes + time.Duration(r.Float64()*float64(leaves-comes))
		stays := time.Duration(math.Exp(r.NormFloat64()*0.8) * float64(90*time.Minute))
		return midnight + at, min(max(stays, 10*time.Minute), 10*time.Hour)
	})
}

// draw makes a trace: who comes when, in the order of arrival.
func draw(o Options, when func(*rand.Rand) (at, stays time.Duration)) []Visit {
	r := rand.New(rand.NewPCG(o.Seed, 0x73746f726d))
	var sizes []launcher.Resources
	for _, m := range mix {
		for range m.of {
			sizes = append(sizes, m.size)
		}
	}
	trace := make([]Visit, o.Sessions)
	for i := range trace {
		at, stays := when(r)
		at = max(at, 0).Truncate(time.Millisecond)
		trace[i] = Visit{
			User: fmt.Sprintf("user%05d", i%o.Users), Start: at, End: (at + stays).Truncate(time.Millisecond), Size: sizes[r.IntN(len(sizes))],
		}
	}
	slices.SortStableFunc(trace, func(a, b Visit) int { return cmp.Compare(a.Start, b.Start) })
	return trace
}
