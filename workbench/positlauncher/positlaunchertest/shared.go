package positlaunchertest

import (
	"errors"
	"os"
	"slices"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

var sharedClauses = []clause{
	{name: "Shared/Seen", test: sharedSeen, needs: needsShared},
	{name: "Shared/Controlled", test: sharedControlled, needs: needsShared},
	{name: "Shared/Streams", test: sharedStreams, needs: needsShared},
}

// seen waits until a job is known to a caller.
func (r *run) seen(by Caller, id string) wire.Job {
	r.Helper()
	var job wire.Job
	if !r.look(r.Limits.Seen, func() bool {
		var err error
		job, err = by.Job(id)
		return err == nil && slices.Contains(ids(r.list(by, Query{})...), id)
	}) {
		r.Fatalf("after %v another plugin does not know job %s", r.Limits.Seen, id)
	}
	return job
}

// Where several machines run the Launcher, each has a plugin of its own, and all tell
// of the same jobs.
func sharedSeen(r *run) {
	a, b := r.user(), r.user()
	job := r.keeper()
	one := r.submit(a, job)
	r.kept("at the other plugin", job, r.seen(b, one.ID))
	two := r.submit(b, r.Jobs.Quick())
	if one.ID == two.ID {
		r.Errorf("two plugins give the same ID %s", one.ID)
	}
	r.seen(a, two.ID)
	r.wantJobs("at the first", r.list(a, Query{}), one, two)
	r.wantJobs("at the second", r.list(b, Query{}), one, two)
	r.wantText("output at the other plugin", r.stdout(a, two.ID), "out\n")
}

func sharedControlled(r *run) {
	a, b := r.user(), r.user()
	job := r.ready(a, r.submit(a, r.Jobs.Long()).ID)
	r.seen(b, job.ID)
	r.running(b, job.ID)
	r.control(b, job.ID, wire.Stop)
	r.endedAs(a, job.ID, wire.Finished, 143)
	r.endedAs(b, job.ID, wire.Finished, 143)
}

// A stream has what is done through others.
func sharedStreams(r *run) {
	a, b := r.user(), r.user()
	s := r.statuses(b, wire.All)
	job := r.submit(a, r.Jobs.Quick())
	r.final(s, job.ID)
}

var restartClauses = []clause{
	{name: "Restart/Recovers", test: restartRecovers, needs: needsShared},
	{name: "Restart/Killed", test: restartKilled, needs: needsShared},
	{name: "Restart/Pending", test: restartPending, needs: needsShared},
}

// A plugin that comes after another knows its jobs, and they have gone on.
func (r *run) restart(end func(*Launcher) error) {
	r.Helper()
	a := r.user()
	job := r.keeper()
	long := r.ready(a, r.submit(a, job).ID)
	quick := r.endedAs(a, r.submit(a, r.Jobs.Quick()).ID, wire.Finished, 3)
	if err := end(a.l); errors.Is(err, errors.ErrUnsupported) {
		r.Skip(err)
	} else if err != nil {
		r.Fatalf("the end of the first plugin: %v", err)
	}
	b := r.user()
	r.wantJobs("after a restart", r.list(b, Query{}), long, quick)
	again := r.get(b, long.ID)
	if again.Status != wire.Running || !again.SubmissionTime.Equal(long.SubmissionTime.Time) {
		r.Errorf("after a restart a job that ran is %s, submitted %v; want %s, %v", again.Status, again.SubmissionTime, wire.Running, long.SubmissionTime)
	}
	r.kept("after a restart", job, again)
	r.endedAs(b, quick.ID, wire.Finished, 3)
	r.wantText("output after a restart", r.stdout(b, quick.ID), "out\n")
	r.control(b, long.ID, wire.Stop)
	r.endedAs(b, long.ID, wire.Finished, 143)
}

func restartRecovers(r *run) { r.restart((*Launcher).Close) }

func restartKilled(r *run) {
	r.restart(func(l *Launcher) error { return l.Terminate(os.Kill) })
}

// What was accepted is done, though nobody is there for a while.
func restartPending(r *run) {
	a := r.user()
	job := r.submit(a, r.Jobs.Quick())
	r.close(a.l, "with a pending job")
	r.endedAs(r.user(), job.ID, wire.Finished, 3)
}
