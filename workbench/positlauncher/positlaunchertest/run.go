package positlaunchertest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// run is one clause being tested.
type run struct {
	testing.TB
	Harness
	realTime bool
	tag      string // of each job
	launched []*Launcher
	jobs     []string // the IDs of what was submitted
}

// launch starts a plugin and connects to it.
func (r *run) launch(o Options, args ...string) *Launcher {
	r.Helper()
	o.Answer, o.Exit = r.Limits.Answer, r.Limits.Exit
	if o.Heartbeat == 0 {
		o.Heartbeat = r.Limits.Beat
	}
	o.Patience = max(o.Heartbeat, r.Limits.Beat)
	args = append([]string{
		"--enable-debug-logging=0", fmt.Sprintf("--heartbeat-interval-seconds=%d", max(1, r.Limits.Beat/time.Second)), "--plugin-name=" + cmp.Or(r.Cluster, "test"),
		"--a-flag-of-the-future=1", // a plugin does not refuse what it does not know
	}, args...)
	l := Connect(r, r.Start(r, args...), o)
	r.launched = append(r.launched, l)
	return l
}

// start starts a plugin that is ready for requests.
func (r *run) start(args ...string) *Launcher {
	r.Helper()
	l := r.launch(Options{}, args...)
	if err := l.Bootstrap(); err != nil {
		r.Fatalf("Bootstrap: %v", err)
	}
	return l
}

// user starts a plugin, and asks in the user's name.
func (r *run) user() Caller {
	r.Helper()
	return r.start().As(r.User)
}

// clear ends the jobs of the clause, as far as there is somebody to ask.
func (r *run) clear() {
	if !r.realTime || r.Alone || len(r.jobs) == 0 {
		return
	}
	var l *Launcher
	for _, open := range r.launched {
		if !open.isClosed() {
			l = open
		}
	}
	if l == nil {
		l = r.start()
	}
	for _, id := range r.jobs {
		for _, o := range []wire.Operation{wire.Kill, wire.Cancel} {
			if _, err := l.As(wire.All).Control(id, o); err == nil {
				break
			}
		}
	}
}

// whole is a job with what all have.
func (r *run) whole(job wire.Job) wire.Job {
	if job.Container == nil && r.Image != "" {
		job.Container = &wire.Container{Image: r.Image}
	}
	if job.Name == "" {
		job.Name = "test"
	}
	job.Cluster = r.Cluster
	job.Tags = append(slices.Clip(job.Tags), r.tag)
	return job
}

// submit submits a job, which must succeed.
func (r *run) submit(by Caller, job wire.Job) wire.Job {
	r.Helper()
	got, err := by.Submit(r.whole(job))
	if err != nil {
		r.Fatalf("submitting a job: %v", err)
	}
	r.jobs = append(r.jobs, got.ID)
	return got
}

// get returns a job, which must be there.
func (r *run) get(by Caller, id string) wire.Job {
	r.Helper()
	job, err := by.Job(id)
	if err != nil {
		r.Fatalf("getting job %s: %v", id, err)
	}
	return job
}

// list returns jobs of this clause.
func (r *run) list(by Caller, q Query) []wire.Job {
	r.Helper()
	q.Tags = append(slices.Clip(q.Tags), r.tag)
	jobs, err := by.Jobs(q)
	if err != nil {
		r.Fatalf("listing jobs (%+v): %v", q, err)
	}
	return jobs
}

// ids are the IDs of jobs, in order.
func ids(jobs ...wire.Job) []string {
	all := make([]string, len(jobs))
	for i, job := range jobs {
		all[i] = job.ID
	}
	slices.Sort(all)
	return all
}

// wantJobs checks which jobs there are.
func (r *run) wantJobs(what string, got []wire.Job, want ...wire.Job) {
	r.Helper()
	if !slices.Equal(ids(got...), ids(want...)) {
		r.Errorf("%s: jobs %q; want %q", what, ids(got...), ids(want...))
	}
}

// look looks until ok says so, with growing pauses.
func (r *run) look(within time.Duration, ok func() bool) bool {
	pause := r.Limits.Poll
	for end := time.Now().Add(within); !ok(); {
		if time.Now().After(end) {
			return false
		}
		time.Sleep(pause)
		pause = min(pause*3/2, 20*r.Limits.Poll)
	}
	return true
}

// await waits until a job is as it should be.
func (r *run) await(by Caller, id string, within time.Duration, what string, ok func(wire.Job) bool) wire.Job {
	r.Helper()
	var job wire.Job
	if !r.look(within, func() bool { job = r.get(by, id); return ok(job) }) {
		r.Fatalf("after %v job %s is %s (%q); want it to %s", within, id, job.Status, job.StatusMessage, what)
	}
	return job
}

// running waits until a job runs.
func (r *run) running(by Caller, id string) wire.Job {
	r.Helper()
	return r.await(by, id, r.Limits.Start, "run", func(j wire.Job) bool {
		if j.Status.Final() {
			r.Fatalf("job %s is %s (%q) and should be running", id, j.Status, j.StatusMessage)
		}
		return j.Status == wire.Running
	})
}

// ready waits until a job runs and has written "ready".
func (r *run) ready(by Caller, id string) wire.Job {
	r.Helper()
	job := r.running(by, id)
	s := r.output(by, id, wire.Stdout.String())
	r.awaitText(s, "ready\n")
	r.cancel(s.Cancel)
	return job
}

// ended waits until a job has ended.
func (r *run) ended(by Caller, id string) wire.Job {
	r.Helper()
	return r.await(by, id, r.Limits.Start+r.Limits.Complete, "end", func(j wire.Job) bool { return j.Status.Final() })
}

// endedAs waits until a job has ended, which must be so.
func (r *run) endedAs(by Caller, id string, status wire.Status, code int) wire.Job {
	r.Helper()
	job := r.ended(by, id)
	switch {
	case job.Status != status:
		r.Errorf("job %s is %s (%q); want %s", id, job.Status, job.StatusMessage, status)
	case job.ExitCode == nil:
		r.Errorf("job %s is %s and has no exit code; want %d", id, status, code)
	case *job.ExitCode != code:
		r.Errorf("job %s has exit code %d; want %d", id, *job.ExitCode, code)
	}
	return job
}

// control does something to a job, which must succeed.
func (r *run) control(by Caller, id string, o wire.Operation) {
	r.Helper()
	if _, err := by.Control(id, o); err != nil {
		r.Fatalf("to %s job %s: %v", o, id, err)
	}
}

// output opens a stream of output.
func (r *run) output(by Caller, id string, stream any) *Stream[Output] {
	r.Helper()
	s, err := by.Output(id, stream)
	if err != nil {
		r.Fatalf("the output of %s: %v", id, err)
	}
	return s
}

// statuses opens a stream of statuses.
func (r *run) statuses(by Caller, id string) *Stream[wire.JobStatus] {
	r.Helper()
	s, err := by.Statuses(id)
	if err != nil {
		r.Fatalf("the statuses of %s: %v", id, err)
	}
	return s
}

// cancel cancels a stream.
func (r *run) cancel(cancel func() error) {
	r.Helper()
	if err := cancel(); err != nil {
		r.Fatalf("canceling a stream: %v", err)
	}
}

// awaitText reads a stream until its text begins so.
func (r *run) awaitText(s *Stream[Output], want string) {
	r.Helper()
	var seen strings.Builder
	_, err := s.Until(r.Limits.Start+r.Limits.Output, func(o Output) bool {
		seen.WriteString(o.Text)
		return seen.Len() >= len(want)
	})
	if err != nil || !strings.HasPrefix(seen.String(), want) {
		r.Fatalf("the output begins with %.80q, %v; want %.80q", seen.String(), err, want)
	}
}

// read reads a stream of output to its end and returns what was written on which
// stream.
func (r *run) read(s *Stream[Output]) map[string]string {
	r.Helper()
	pieces, err := s.All(r.Limits.Start + r.Limits.Complete + r.Limits.Output)
	if err != nil {
		r.Fatalf("reading output, after %d pieces: %v", len(pieces), err)
	}
	texts := map[string]string{}
	for _, p := range pieces {
		if p.Text != "" {
			texts[p.Stream] += p.Text
		}
	}
	return texts
}

// stdout is all that a job writes on its standard output.
func (r *run) stdout(by Caller, id string) string {
	r.Helper()
	return r.read(r.output(by, id, wire.Stdout.String()))[wire.Stdout.String()]
}

// wantText checks a text, of which it shows where it differs.
func (r *run) wantText(what, got, want string) {
	r.Helper()
	if got == want {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	cut := func(s string) string { return s[max(0, at-20):min(len(s), at+60)] }
	r.Errorf("%s: %d bytes, of which from %d on %q; want %d bytes, %q", what, len(got), at, cut(got), len(want), cut(want))
}

// wantCode checks that err is an error response with that code.
func (r *run) wantCode(what string, err error, code wire.ErrorCode) {
	r.Helper()
	if e, ok := errors.AsType[*wire.Error](err); !ok {
		r.Errorf("%s: %v; want an error response with code %d", what, err, code)
	} else if e.Code != code {
		r.Errorf("%s: error code %d (%s); want %d", what, e.Code, e.Message, code)
	}
}

// alive checks that the plugin still answers.
func (r *run) alive(c Caller, after string) {
	r.Helper()
	if _, err := c.ClusterInfo(); err != nil {
		r.Fatalf("after %s: %v", after, err)
	}
}
