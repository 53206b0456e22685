package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// A Report is what came of a storm. Seconds are virtual but for WallSeconds.
type Report struct {
	Sessions int `json:"sessions"`
	// Running came to run. Failed did not before their user left, or ended
	// otherwise than by their user.
	Running int `json:"running"`
	Failed  int `json:"failed"`
	// Failures are those that failed, by the reason that was told, "none told" if
	// there was none. Examples have the first of each and what people read of it.
	Failures map[string]int    `json:"failures"`
	Examples map[string]string `json:"failure_examples"`
	// Duplicates ran more than once. Orphans are instances that run when all
	// sessions have ended and their hosts had time to, but for Kept, which the
	// fleet keeps for warm room.
	Duplicates int `json:"duplicates"`
	Orphans    int `json:"orphans"`
	Kept       int `json:"kept"`
	// Crashes are processes that died and had a successor, Injected how many
	// calls were made to fail or to kill one.
	Crashes  int `json:"crashes"`
	Injected int `json:"injected"`
	// Hosts is how many were bought.
	Hosts int `json:"hosts"`
	// P50 and P95 are how long a session waited until it ran, AllRunning how
	// long the last of those that came first did.
	P50        float64 `json:"virtual_seconds_p50"`
	P95        float64 `json:"virtual_seconds_p95"`
	AllRunning float64 `json:"virtual_seconds_all_running"`
	// Bound is what AllRunning cannot be less than, and its parts; see [Bound].
	Bound      float64 `json:"bound_seconds"`
	BoundParts Bound   `json:"bound_parts"`
	// Calls are those of AWS until the last session ran, by action, and Throttled
	// how many of them were refused for being too many, also by a fault.
	Calls           map[string]int `json:"aws_calls"`
	CallsPerSession float64        `json:"calls_per_session"`
	Throttled       int            `json:"throttled_calls"`
	// Dollars is the bill of the whole trace, beside the least that its room costs
	// from when the hosts for it can be bought, and a host for each session.
	Dollars      float64 `json:"usd"`
	DollarsBound float64 `json:"usd_lower_bound"`
	DollarsEach  float64 `json:"usd_one_host_per_session"`
	// WallSeconds and PeakMiB are what it took of this machine; other things
	// on it count.
	WallSeconds float64 `json:"wall_seconds"`
	PeakMiB     int64   `json:"peak_rss_mib"`
}

// report tells what came of a storm whose fleet keeps some hosts.
func (s *storm) report(b Bound, kept map[string]bool) Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil { // some never ran
		s.count()
	}
	r := Report{
		Sessions: len(s.trace), Running: s.ran, Duplicates: len(s.census.duplicates()),
		Failures: map[string]int{}, Examples: map[string]string{}, Crashes: s.crashes, Injected: s.cloud.Injected(),
		Bound: round(b.Seconds), BoundParts: b,
		Calls: s.calls, Throttled: s.refuse, DollarsBound: round(b.Dollars), DollarsEach: round(oneHostEach(s.trace)),
	}
	var waits []time.Duration
	for _, id := range slices.Sorted(maps.Keys(s.stays)) {
		is := s.stays[id]
		if is.ran {
			waits = append(waits, is.waited)
		}
		if is.failed {
			r.fail(id, is.last)
		}
	}
	slices.Sort(waits)
	r.P50, r.P95, r.AllRunning = quantile(waits, 0.5), quantile(waits, 0.95), quantile(waits, 1)
	bill := s.cloud.Bill()
	r.Hosts, r.Dollars = len(bill.Lines), round(usd(bill.Total))
	for _, l := range bill.Lines {
		switch {
		case !l.To.IsZero():
		case kept[l.Instance]:
			r.Kept++
		default:
			r.Orphans++
		}
	}
	total := 0
	for _, n := range s.calls {
		total += n
	}
	r.CallsPerSession = round(float64(total) / float64(len(s.trace)))
	return r
}

// fail counts a session that failed with the status it was last told with.
func (r *Report) fail(id launcher.ID, last launcher.Status) {
	reason := cmp.Or(string(last.Reason), noReason)
	r.Failed++
	if r.Failures[reason]++; r.Failures[reason] == 1 {
		r.Examples[reason] = fmt.Sprintf("%s was %s: %s", id, cmp.Or(last.Phase, "unknown"), cmp.Or(last.Message, "no message"))
	}
}

// noReason is the reason of a session that failed without one.
const noReason = "none told"

// wallClock is this machine's time in seconds: that of package time is virtual.
func wallClock() float64 {
	var now syscall.Timeval
	if err := syscall.Gettimeofday(&now); err != nil {
		return 0
	}
	return time.Duration(now.Nano()).Seconds()
}

// peakMiB is the most memory that this process has had.
func peakMiB() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return usage.Maxrss >> 10 // in KiB, on Linux
}

// quantile is the least value that a share of the sorted ones does not exceed.
func quantile(sorted []time.Duration, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := int(math.Ceil(share*float64(len(sorted)))) - 1
	return round(sorted[max(i, 0)].Seconds())
}

// round leaves thousandths.
func round(x float64) float64 { return math.Round(x*1000) / 1000 }

// table is a report for people.
func (r Report) table() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	line("sessions", "%d: %d came to run, %d failed, %d ran twice", r.Sessions, r.Running, r.Failed, r.Duplicates)
	for _, reason := range slices.Sorted(maps.Keys(r.Failures)) {
		line("", "failed with reason %q: %d, such as %s", reason, r.Failures[reason], r.Examples[reason])
	}
	if r.Injected > 0 {
		line("faults", "%d calls struck, %d processes killed", r.Injected, r.Crashes)
	}
	line("hosts", "%d, %d left over, %d kept; %d of the largest would hold what is there at one time", r.Hosts, r.Orphans, r.Kept, r.BoundParts.Hosts)
	line("wait", "p50 %.1f s, p95 %.1f s, the last %.1f s", r.P50, r.P95, r.AllRunning)
	line("AWS calls", "%.3f a session, %d refused for being too many", r.CallsPerSession, r.Throttled)
	for _, action := range slices.Sorted(maps.Keys(r.Calls)) {
		line("", "%s %d", action, r.Calls[action])
	}
	line("cost", "$%.2f; the room alone $%.2f, a host for each session $%.2f", r.Dollars, r.DollarsBound, r.DollarsEach)
	line("no sooner than", "%.1f s: calls %.1f, hosts %.1f, image and start %.1f", r.Bound, r.BoundParts.Calls, r.BoundParts.HostReady, r.BoundParts.Start)
	line("this machine", "%.1f s, %d MiB", r.WallSeconds, r.PeakMiB)
	_ = w.Flush()
	return text.String()
}
