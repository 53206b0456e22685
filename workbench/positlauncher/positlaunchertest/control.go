package positlaunchertest

import (
	"errors"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

var lifecycleClauses = []clause{
	{name: "Lifecycle/Ends", test: lifecycleEnds},
	{name: "Lifecycle/StaysEnded", test: lifecycleStaysEnded},
	{name: "Lifecycle/SaysWhy", test: lifecycleSaysWhy, needs: needsSlow},
}

func lifecycleEnds(r *run) {
	c := r.user()
	job := r.submit(c, r.Jobs.Quick())
	order := map[wire.Status]int{wire.Pending: 0, wire.Running: 1, wire.Finished: 2}
	last := 0
	r.look(r.Limits.Start+r.Limits.Complete, func() bool {
		job = r.get(c, job.ID)
		now, ok := order[job.Status]
		if !ok || now < last {
			r.Fatalf("job %s is %s (%q), and step %d of its life was seen", job.ID, job.Status, job.StatusMessage, last)
		}
		last = now
		return now == 2
	})
	if last != 2 {
		r.Errorf("a job that ends by itself is %s (%q) after %v", job.Status, job.StatusMessage, r.Limits.Start+r.Limits.Complete)
	}
}

func lifecycleStaysEnded(r *run) {
	c := r.user()
	job := r.ended(c, r.submit(c, r.Jobs.Quick()).ID)
	time.Sleep(200 * time.Millisecond)
	if later := r.get(c, job.ID); later.Status != job.Status || later.ExitCode == nil || *later.ExitCode != *job.ExitCode {
		r.Errorf("a job that was %s is %s, with exit code %v", job.Status, later.Status, later.ExitCode)
	}
}

// While a job is pending its user sees why, in lists and in streams.
func lifecycleSaysWhy(r *run) {
	c := r.user()
	job := r.submit(c, r.Jobs.Long())
	s := r.statuses(c, job.ID)
	begun, said := time.Now(), false
	r.look(r.Limits.Start, func() bool {
		job = r.get(c, job.ID)
		said = said || job.StatusMessage != ""
		switch quiet := job.Status == wire.Pending && job.StatusMessage == ""; {
		case quiet && said:
			r.Errorf("a pending job had a status message and has none after %v", time.Since(begun))
		case quiet && time.Since(begun) > r.Limits.Silence:
			r.Fatalf("a job is pending for %v without a status message", time.Since(begun))
		}
		return job.Status == wire.Running
	})
	told := ""
	_, err := s.Until(r.Limits.Start, func(j wire.JobStatus) bool {
		if j.Status == wire.Pending {
			told += j.StatusMessage
		}
		return j.Status != wire.Pending
	})
	if err != nil || told == "" {
		r.Errorf("the stream of a pending job's statuses has message %q, %v; want one", told, err)
	}
}

var controlClauses = []clause{
	{name: "Control/Stop", test: controlStop},
	{name: "Control/Kill", test: controlKill},
	{name: "Control/KillAfterStop", test: controlKillAfterStop},
	{name: "Control/CancelPending", test: controlCancelPending},
	{name: "Control/CancelRunning", test: controlCancelRunning},
	{name: "Control/Ended", test: controlEnded},
	{name: "Control/NotFound", test: controlNotFound},
	{name: "Control/Unknown", test: controlUnknown},
	{name: "Control/All", test: controlAll},
	{name: "Control/SuspendResume", test: controlSuspendResume, needs: needsSuspend},
}

func controlStop(r *run) {
	c := r.user()
	job := r.ready(c, r.submit(c, r.Jobs.Long()).ID)
	r.control(c, job.ID, wire.Stop)
	r.endedAs(c, job.ID, wire.Finished, 143)
}

func controlKill(r *run) {
	c := r.user()
	for _, make := range []func() wire.Job{r.Jobs.Long, r.Jobs.Ignore} {
		job := r.ready(c, r.submit(c, make()).ID)
		r.control(c, job.ID, wire.Kill)
		r.endedAs(c, job.ID, wire.Killed, 137)
	}
}

func controlKillAfterStop(r *run) {
	c := r.user()
	job := r.ready(c, r.submit(c, r.Jobs.Ignore()).ID)
	r.control(c, job.ID, wire.Stop)
	if job = r.get(c, job.ID); job.Status.Final() {
		r.Fatalf("a job that ignores it is %s right after a stop", job.Status)
	}
	r.control(c, job.ID, wire.Kill)
	r.endedAs(c, job.ID, wire.Killed, 137)
}

// A pending job can be withdrawn. One that is too far on its way may refuse.
func controlCancelPending(r *run) {
	c := r.user()
	job := r.submit(c, r.Jobs.Long())
	_, err := c.Control(job.ID, wire.Cancel)
	switch {
	case err == nil:
		if got := r.ended(c, job.ID); got.Status != wire.Canceled {
			r.Errorf("a job that was canceled is %s", got.Status)
		}
	case !errors.As(err, new(*wire.Error)):
		r.Errorf("canceling a job: %v", err)
	default:
		r.running(c, job.ID)
	}
}

func controlCancelRunning(r *run) {
	c := r.user()
	job := r.ready(c, r.submit(c, r.Jobs.Long()).ID)
	_, err := c.Control(job.ID, wire.Cancel)
	r.wantCode("to cancel a running job", err, wire.InvalidJobState)
	if got := r.get(c, job.ID); got.Status != wire.Running {
		r.Errorf("a running job that cannot be canceled is %s", got.Status)
	}
}

func controlEnded(r *run) {
	c := r.user()
	job := r.ended(c, r.submit(c, r.Jobs.Quick()).ID)
	for _, o := range []wire.Operation{wire.Stop, wire.Kill, wire.Cancel} {
		_, err := c.Control(job.ID, o)
		r.wantCode("to "+o.String()+" a job that has ended", err, wire.InvalidJobState)
	}
	r.endedAs(c, job.ID, wire.Finished, 3)
}

func controlNotFound(r *run) {
	_, err := r.user().Control("no-such-job", wire.Stop)
	r.wantCode("to stop no job", err, wire.JobNotFound)
}

func controlUnknown(r *run) {
	c := r.user()
	job := r.ready(c, r.submit(c, r.Jobs.Long()).ID)
	for _, o := range []wire.Operation{-1, 5, 99} {
		_, err := c.Control(job.ID, o)
		r.wantCode(o.String(), err, wire.InvalidRequest)
	}
	if got := r.get(c, job.ID); got.Status != wire.Running {
		r.Errorf("after operations that there are not, a job is %s", got.Status)
	}
}

// Nobody ends everything by one request.
func controlAll(r *run) {
	c := r.user()
	job := r.ready(c, r.submit(c, r.Jobs.Long()).ID)
	for _, by := range []Caller{c, c.l.As(wire.All)} {
		_, err := by.Control(wire.All, wire.Kill)
		r.wantCode("to kill all jobs", err, wire.InvalidRequest)
	}
	if got := r.get(c, job.ID); got.Status != wire.Running {
		r.Errorf("a job is %s", got.Status)
	}
}

func controlSuspendResume(r *run) {
	c := r.user()
	work := r.Jobs.Long()
	if r.Dial != nil { // who serves nobody may not be able to go on
		work = r.serve("again\n")
	}
	job := r.running(c, r.submit(c, work).ID)
	_, err := c.Control(job.ID, wire.Resume)
	r.wantCode("to resume a job that runs", err, wire.InvalidJobState)
	r.control(c, job.ID, wire.Suspend)
	r.await(c, job.ID, r.Limits.Complete, "be suspended", func(j wire.Job) bool { return j.Status == wire.Suspended })
	r.control(c, job.ID, wire.Resume)
	r.running(c, job.ID)
	r.control(c, job.ID, wire.Kill)
	r.ended(c, job.ID)
}
