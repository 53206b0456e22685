package positlaunchertest

import (
	"context"
	"net"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// A Harness is a cluster to test with, the plugins that serve it, and what it can do.
type Harness struct {
	// Start starts another plugin on the cluster, with the flags that the Launcher
	// would give it, and returns it running; [Command] and [InProcess] make one. It
	// ends by t.Cleanup. Required.
	Start func(t testing.TB, args ...string) Plugin
	// User and OtherUser are two users of the cluster. Required.
	User, OtherUser string
	// Image is what jobs run in; empty for a cluster without containers.
	Image string
	// Cluster is the name of the cluster in jobs.
	Cluster string
	// Jobs are programs. Those that are nil are shell scripts.
	Jobs Jobs

	// Dial connects to an address of a running job. Nil skips Network.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Port is where [Jobs.Serve] listens. Zero is 8787.
	Port int
	// Suspend says that jobs can be suspended, with a Dial those that serve a port. If
	// not, SuspendResume is skipped.
	Suspend bool
	// SlowStart says that a job is pending for some seconds before it runs, long
	// enough to see. If not, what is about pending jobs proves less or is skipped.
	SlowStart bool
	// NoShell skips what needs a shell to run a job's command.
	NoShell bool
	// Alone says that each plugin has a cluster of its own, which ends with it. It
	// skips Shared and Restart; no plugin of a real Workbench should need that.
	Alone bool

	// Limits are how long things may take.
	Limits Limits
}

// Limits are how long things may take. Each that is zero has its default, which is
// that of Posit's own conformance tests where they have one.
type Limits struct {
	// Answer is for an answer to any request: 10 seconds.
	Answer time.Duration
	// Start is from a job's submission until it runs: 30 seconds.
	Start time.Duration
	// Complete is until a job that ends by itself, or is told to, has ended: a minute.
	Complete time.Duration
	// Output is until what a job has written is told, and what it uses: 10 seconds.
	Output time.Duration
	// Seen is until one plugin knows what was done through another: 5 seconds.
	Seen time.Duration
	// Silence is how long a pending job may be without a status message: 5 seconds.
	Silence time.Duration
	// Exit is until a plugin has ended that was told to: 5 seconds.
	Exit time.Duration
	// Heartbeat is what 99 of 100 heartbeats are answered in while the plugin is busy:
	// 50 milliseconds.
	Heartbeat time.Duration
	// Beat is how often a plugin is asked for a sign of life, which has to come before
	// it is asked again: a second. Less than a second is not held to.
	Beat time.Duration
	// Poll is the time between two looks at a job: 50 milliseconds at first, and then
	// more, up to 20 times as much.
	Poll time.Duration
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		limit *time.Duration
		zero  time.Duration
	}{
		{&l.Answer, 10 * time.Second},
		{&l.Start, 30 * time.Second},
		{&l.Complete, time.Minute},
		{&l.Output, 10 * time.Second},
		{&l.Seen, 5 * time.Second},
		{&l.Silence, 5 * time.Second},
		{&l.Exit, 5 * time.Second},
		{&l.Heartbeat, 50 * time.Millisecond},
		{&l.Beat, time.Second},
		{&l.Poll, 50 * time.Millisecond},
	} {
		if *d.limit == 0 {
			*d.limit = d.zero
		}
	}
	return l
}

// A Suite runs the contract.
type Suite struct {
	// New makes the harness of one subtest, within its bubble, and ends it by
	// t.Cleanup. In real time it may return the same cluster each time: jobs of one
	// subtest are not mistaken for another's. Required.
	New func(t testing.TB) Harness
	// RealTime runs without bubbles, for plugins that are processes.
	RealTime bool
	// AtOnce is how many clauses run at one time, in real time, each with a cluster of
	// its own from New. Zero is one.
	AtOnce int
}

// Run runs every clause of the contract as a subtest.
func (s Suite) Run(t *testing.T) {
	if !s.RealTime {
		for _, c := range clauses() {
			t.Run(c.name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { s.run(t, c) }) })
		}
		return
	}
	// Not by t.Parallel, which counts processors: clauses wait most of the time.
	left := make(chan clause)
	var work sync.WaitGroup
	for range max(s.AtOnce, 1) {
		work.Go(func() {
			for c := range left {
				t.Run(c.name, func(t *testing.T) { s.run(t, c) })
			}
		})
	}
	for _, c := range clauses() {
		left <- c
	}
	close(left)
	work.Wait()
}

// clause is one obligation of a plugin.
type clause struct {
	name string
	test func(*run)
	// needs says what of the harness the clause cannot do without.
	needs func(Harness) (present bool, what string)
}

// clauses are all of them.
func clauses() []clause {
	var all []clause
	for _, group := range [][]clause{
		wireClauses, exitClauses, clusterClauses, submitClauses, jobsClauses, usersClauses, processClauses, lifecycleClauses, controlClauses,
		statusClauses, outputClauses, utilizationClauses, networkClauses, sharedClauses, restartClauses, loadClauses,
	} {
		all = append(all, group...)
	}
	return all
}

func needsDial(h Harness) (present bool, what string)    { return h.Dial != nil, "Dial" }
func needsSuspend(h Harness) (present bool, what string) { return h.Suspend, "Suspend" }
func needsSlow(h Harness) (present bool, what string)    { return h.SlowStart, "SlowStart" }
func needsShell(h Harness) (present bool, what string)   { return !h.NoShell, "shell" }
func needsShared(h Harness) (present bool, what string) {
	return !h.Alone, "cluster that plugins share"
}

func (s Suite) run(t testing.TB, c clause) {
	h := s.New(t)
	if c.needs != nil {
		if ok, what := c.needs(h); !ok {
			t.Skipf("the harness has no %s", what)
		}
	}
	h.Limits = h.Limits.withDefaults()
	if h.Port == 0 {
		h.Port = 8787
	}
	h.Jobs = h.Jobs.withDefaults()
	r := &run{TB: t, Harness: h, realTime: s.RealTime, tag: "clause=" + c.name}
	if s.RealTime {
		// What an earlier run left behind must not have this run's tags.
		r.tag += "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	}
	defer r.clear()
	c.test(r)
	if !s.RealTime { // what the plugin still says is looked at as well
		time.Sleep(time.Millisecond)
	}
}

// Jobs are the programs that a cluster is tested with. Each function returns what is
// special about a job, most often Command, or Exe and Args; what all have is added. A
// function that is nil is a script for /bin/sh, with the tools that a small image has:
// cat, printf, pwd, sleep and, for Serve, busybox's nc.
type Jobs struct {
	// Quick writes "out\n" on standard output and "err\n" on standard error, and exits
	// with 3.
	Quick func() wire.Job
	// Long writes "ready\n" and runs until SIGTERM, on which it exits with 143.
	Long func() wire.Job
	// Ignore writes "ready\n" and runs until it is killed: it ignores SIGTERM.
	Ignore func() wire.Job
	// Echo copies standard input to standard output until its end, and exits with 0.
	Echo func() wire.Job
	// Big writes [BigText] on standard output, and exits with 0.
	Big func() wire.Job
	// Serve reads a line from standard input and listens on that port; whoever
	// connects is sent the line. It runs until it is killed.
	Serve func(port int) wire.Job
	// Env writes the value of an environment variable, and a newline.
	Env func(name string) wire.Job
	// Dir writes its working directory, and a newline.
	Dir func() wire.Job
	// Args writes each of its arguments, and a newline after each.
	Args func(args ...string) wire.Job
}

// FakeJobs are programs for a cluster in memory, whose image runs the Job of this
// library's package fake: they are its words.
func FakeJobs() Jobs {
	do := func(words ...string) func() wire.Job {
		return func() wire.Job { return wire.Job{Exe: words[0], Args: words[1:]} }
	}
	return Jobs{
		Quick:  do("say", "out", ";", "complain", "err", ";", "exit", "3"),
		Long:   do("allocate", "20", ";", "say", "ready", ";", "wait"),
		Ignore: do("ignore", "SIGTERM", ";", "say", "ready", ";", "wait"),
		Echo:   do("echo"),
		Big:    do("count", strconv.Itoa(bigLines), bigLine),
		Serve:  func(port int) wire.Job { return do("serve", strconv.Itoa(port))() },
		Env:    func(name string) wire.Job { return do("env", name)() },
		Dir:    do("cwd"),
		Args:   func(args ...string) wire.Job { return do(append([]string{"args"}, args...)...)() },
	}
}

// script is a job that a shell runs.
func script(text string) func() wire.Job { return func() wire.Job { return wire.Job{Command: text} } }

func (j Jobs) withDefaults() Jobs {
	for _, d := range []struct {
		job  *func() wire.Job
		text string
	}{
		{&j.Quick, `echo out; echo err >&2; exit 3`},
		{&j.Long, `trap 'exit 143' TERM; echo ready; while :; do sleep 1; done`},
		{&j.Ignore, `trap '' TERM; echo ready; while :; do sleep 1; done`},
		{&j.Echo, `cat`},
		{&j.Big, `i=0; while [ $i -lt ` + strconv.Itoa(bigLines) + ` ]; do echo "$i ` + bigLine + `"; i=$((i+1)); done`},
		{&j.Dir, `pwd`},
	} {
		if *d.job == nil {
			*d.job = script(d.text)
		}
	}
	if j.Serve == nil {
		j.Serve = func(port int) wire.Job {
			return wire.Job{Command: `read -r line; while :; do echo "$line" | nc -l -p ` + strconv.Itoa(port) + `; done`}
		}
	}
	if j.Env == nil {
		j.Env = func(name string) wire.Job { return wire.Job{Command: `printf '%s\n' "$` + name + `"`} }
	}
	if j.Args == nil {
		j.Args = func(args ...string) wire.Job {
			return wire.Job{Exe: "/bin/sh", Args: append([]string{"-c", `printf '%s\n' "$@"`, "sh"}, args...)}
		}
	}
	return j
}

// Most characters of a line take several bytes: wherever output is cut, it is likely
// to be within one.
const (
	bigLines = 8000
	bigLine  = "änderungsschneiderei · Ω≈ç√∫ · 日本語のテキスト · 🚀🛰️🌍 · привет, мир · ελληνικά"
)

// BigText is what [Jobs.Big] writes: a megabyte of numbered lines.
func BigText() string {
	var text []byte
	for i := range bigLines {
		text = append(strconv.AppendInt(text, int64(i), 10), " "+bigLine+"\n"...)
	}
	return string(text)
}
