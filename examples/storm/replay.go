package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

const imageReference = "registry.example.com/rstudio:1"

// A Report is what came of a storm. Seconds are virtual but for WallSeconds.
type Report struct {
	Sessions int `json:"sessions"`
	// Running came to run, Failed ended otherwise than by their user.
	Running int `json:"running"`
	Failed  int `json:"failed"`
	// Duplicates ran more than once, Orphans are instances that run when all
	// sessions have ended and their hosts had time to.
	Duplicates int `json:"duplicates"`
	Orphans    int `json:"orphans"`
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
	// Calls are those of AWS until the last session ran, by action.
	Calls           map[string]int `json:"aws_calls"`
	CallsPerSession float64        `json:"calls_per_session"`
	Throttled       int            `json:"throttled_calls"`
	// Dollars is the bill of the whole trace, beside the least that its room
	// costs, and a host for each session.
	Dollars      float64 `json:"usd"`
	DollarsBound float64 `json:"usd_lower_bound"`
	DollarsEach  float64 `json:"usd_one_host_per_session"`
	// WallSeconds and PeakMiB are what it took of this machine; other things
	// on it count.
	WallSeconds float64 `json:"wall_seconds"`
	PeakMiB     int64   `json:"peak_rss_mib"`
}

// replay plays a trace against a fleet.
func replay(ctx context.Context, o Options, trace []Visit) (Report, error) {
	begun := wallClock()
	profile := account(o.Seed)
	cloud, err := fakeaws.New(profile)
	if err != nil {
		return Report{}, err
	}
	runs := &census{}
	if _, err := cloud.PushImage(imageReference, fakeaws.Image{Program: runs.program, Size: 1e9}); err != nil {
		return Report{}, err
	}
	fleet, err := open(ctx, cloud, o)
	if err != nil {
		return Report{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- fleet.Run(ctx) }()
	s := &storm{Options: o, fleet: fleet, cloud: cloud, trace: trace, waited: map[launcher.ID]time.Duration{}, asked: map[launcher.ID]time.Time{}}
	playErr := s.play(ctx)
	time.Sleep(orphanAfter)
	report := s.report(bound(trace, profile, o.Overcommit), runs)
	report.WallSeconds, report.PeakMiB = round(wallClock()-begun), peakMiB()
	cancel()
	return report, errors.Join(playErr, <-ended, cloud.Close())
}

// orphanAfter is how long hosts have to end after the last session.
const orphanAfter = 15 * time.Minute

// open makes a fleet in an account.
func open(ctx context.Context, cloud *fakeaws.Cloud, o Options) (*ec2launcher.Launcher, error) {
	group, err := awsec2.NewFromConfig(cloud.Config()).CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{
		GroupName: aws.String("storm"), Description: aws.String("hosts of storm"), VpcId: aws.String(cloud.DefaultVPC()),
	})
	if err != nil {
		return nil, err
	}
	var subnets []string
	for _, subnet := range cloud.Subnets()[:3] {
		subnets = append(subnets, subnet.ID)
	}
	return ec2launcher.NewFromConfig(cloud.Config(), ec2launcher.Config{
		Fleet: "storm", Store: store.NewMemory(), Subnets: subnets, SecurityGroups: []string{aws.ToString(group.GroupId)},
		Overcommit: ec2launcher.Overcommit{CPU: o.Overcommit}, Warm: o.warm(),
		Connect:    func(_ context.Context, h ec2launcher.Host) (ec2launcher.HostLauncher, error) { return cloud.Host(h.ID) },
	})
}

// A storm is a trace being played.
type storm struct {
	Options
	fleet *ec2launcher.Launcher
	cloud *fakeaws.Cloud
	trace []Visit

	mu     sync.Mutex
	asked  map[launcher.ID]time.Time
	waited map[launcher.ID]time.Duration
	failed int
	calls  map[string]int // until the last ran
	refuse int            // of these, for being too many
}

// play lets every user come and go.
func (s *storm) play(ctx context.Context) error {
	watching, stop := context.WithCancel(ctx)
	var watch, users sync.WaitGroup
	watch.Go(func() { s.watch(watching) })
	var mu sync.Mutex
	var errs []error
	begun := time.Now()
	for i, v := range s.trace {
		users.Go(func() {
			time.Sleep(time.Until(begun.Add(v.Start)))
			if err := s.visit(ctx, i, v, begun); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	users.Wait()
	stop()
	watch.Wait()
	return errors.Join(errs...)
}

// visit is one session of a user's.
func (s *storm) visit(ctx context.Context, i int, v Visit, begun time.Time) error {
	id := launcher.ID(fmt.Sprintf("s%06d", i))
	s.mu.Lock()
	s.asked[id] = time.Now()
	s.mu.Unlock()
	if _, err := s.fleet.Launch(ctx, s.workload(id, v)); err != nil {
		return err
	}
	time.Sleep(time.Until(begun.Add(v.End)))
	return s.fleet.Stop(ctx, id, launcher.StopOptions{Forget: true})
}

// workload is the session of a visit.
func (o Options) workload(id launcher.ID, v Visit) launcher.Workload {
	return launcher.Workload{
		ID: id, Owner: v.User, Image: imageReference, InstanceType: hostTypes[0], Alternatives: hostTypes[1:], Resources: v.Size,
		Sharing: policies[o.Policy],
	}
}

// warm is room for one of each size, and for as many as came lately.
func (o Options) warm() (warm []ec2launcher.Warm) {
	if !o.Warm {
		return nil
	}
	for _, m := range mix {
		warm = append(warm, ec2launcher.Warm{Like: o.workload("like", Visit{User: "anybody", Size: m.size}), Slots: 1, Most: 20})
	}
	return warm
}

// watch notes when sessions come to run, and which end otherwise than they should.
func (s *storm) watch(ctx context.Context) {
	for st, err := range s.fleet.Watch(ctx, launcher.Filter{}) {
		if err != nil || st.Synced() {
			continue
		}
		s.mu.Lock()
		switch _, ran := s.waited[st.ID]; {
		case st.Phase == launcher.Running && !ran:
			s.waited[st.ID] = time.Since(s.asked[st.ID])
			if len(s.waited) == len(s.trace) {
				s.count()
			}
		case st.Phase == launcher.Exited && st.Reason != "":
			s.failed++
		}
		s.mu.Unlock()
	}
}

// count notes the calls that there were until now.
func (s *storm) count() {
	s.calls, s.refuse = map[string]int{}, 0
	for _, c := range s.cloud.Calls() {
		s.calls[c.Action]++
		if c.Code == "RequestLimitExceeded" {
			s.refuse++
		}
	}
}

func (s *storm) report(b Bound, runs *census) Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil { // some never ran
		s.count()
	}
	waits := slices.Sorted(maps.Values(s.waited))
	r := Report{
		Sessions: len(s.trace), Running: len(waits), Failed: s.failed, Duplicates: runs.duplicates(),
		P50: quantile(waits, 0.5), P95: quantile(waits, 0.95), AllRunning: quantile(waits, 1),
		Bound: round(b.Seconds), BoundParts: b,
		Calls: s.calls, Throttled: s.refuse, DollarsBound: round(b.Dollars), DollarsEach: round(oneHostEach(s.trace)),
	}
	bill := s.cloud.Bill()
	r.Hosts, r.Dollars = len(bill.Lines), round(usd(bill.Total))
	for _, l := range bill.Lines {
		if l.To.IsZero() { // it still runs
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

// census counts how often each session ran.
type census struct {
	mu   sync.Mutex
	runs map[launcher.ID]int
}

// program is a session: it waits for its end.
func (c *census) program(ctx context.Context, p *fakelauncher.Proc) int {
	c.mu.Lock()
	if c.runs == nil {
		c.runs = map[launcher.ID]int{}
	}
	c.runs[p.ID]++
	c.mu.Unlock()
	<-ctx.Done()
	return 0
}

func (c *census) duplicates() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, runs := range c.runs {
		if runs > 1 {
			n++
		}
	}
	return n
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
	line("hosts", "%d, %d left over; %d of the largest would hold what is there at one time", r.Hosts, r.Orphans, r.BoundParts.Hosts)
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
