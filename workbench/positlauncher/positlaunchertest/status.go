package positlaunchertest

import (
	"errors"
	"io"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

var statusClauses = []clause{
	{name: "Status/One", test: statusOne},
	{name: "Status/All", test: statusAll},
	{name: "Status/Ended", test: statusEnded},
	{name: "Status/Two", test: statusTwo},
	{name: "Status/Cancel", test: statusCancel},
	{name: "Status/SlowReader", test: statusSlowReader},
}

// final returns the status with which a stream says that a job has ended.
func (r *run) final(s *Stream[wire.JobStatus], id string) wire.JobStatus {
	r.Helper()
	last, err := s.Until(r.Limits.Start+r.Limits.Complete, func(j wire.JobStatus) bool { return j.ID == id && j.Status.Final() })
	if err != nil {
		r.Fatalf("a stream that should tell of the end of job %s: %v", id, err)
	}
	return last
}

func statusOne(r *run) {
	c := r.user()
	long := r.Jobs.Long()
	long.Name = "the job's name"
	job := r.submit(c, long)
	s := r.statuses(c, job.ID)
	now, err := s.Next(r.Limits.Answer)
	if err != nil || now.Name != long.Name {
		r.Errorf("at first a stream says %+v, %v; want what is, with the name %q", now, err, long.Name)
	}
	if now.Status != wire.Running {
		if _, err := s.Until(r.Limits.Start, func(j wire.JobStatus) bool { return j.Status == wire.Running }); err != nil {
			r.Fatalf("a stream that should tell that a job runs: %v", err)
		}
	}
	r.ready(c, job.ID)
	r.control(c, job.ID, wire.Stop)
	if last := r.final(s, job.ID); last.Status != wire.Finished || last.Name != long.Name {
		r.Errorf("the stream ends with %+v; want %s", last, wire.Finished)
	}
}

// A stream of all has what is, and what comes.
func statusAll(r *run) {
	c := r.user()
	early := r.submit(c, r.Jobs.Quick())
	r.ended(c, early.ID)
	waiting := r.submit(c, r.Jobs.Long())
	s := r.statuses(c, wire.All)
	late := r.submit(c, r.Jobs.Quick())
	seen := map[string]wire.Status{}
	_, err := s.Until(r.Limits.Start+r.Limits.Complete, func(j wire.JobStatus) bool {
		seen[j.ID] = j.Status
		return seen[early.ID].Final() && seen[waiting.ID] == wire.Running && seen[late.ID].Final()
	})
	if err != nil {
		r.Errorf("the stream of all jobs: %v; of one that had ended, one that runs and one that came it says %q, %q, %q",
			err, seen[early.ID], seen[waiting.ID], seen[late.ID])
	}
}

func statusEnded(r *run) {
	c := r.user()
	job := r.ended(c, r.submit(c, r.Jobs.Quick()).ID)
	if got, err := r.statuses(c, job.ID).Next(r.Limits.Answer); err != nil || got.Status != job.Status {
		r.Errorf("of a job that is %s a stream says %q, %v", job.Status, got.Status, err)
	}
}

// Streams count for themselves, and one ends without the others.
func statusTwo(r *run) {
	c := r.user()
	job := r.submit(c, r.Jobs.Long())
	a, b, all := r.statuses(c, job.ID), r.statuses(c, job.ID), r.statuses(c, wire.All)
	r.ready(c, job.ID)
	late := r.statuses(c, job.ID)
	r.cancel(b.Cancel)
	r.control(c, job.ID, wire.Kill)
	for what, s := range map[string]*Stream[wire.JobStatus]{"one": a, "all": all, "a later one": late} {
		if got := r.final(s, job.ID); got.Status != wire.Killed {
			r.Errorf("stream %s ends with %s; want %s", what, got.Status, wire.Killed)
		}
	}
}

// After its cancel a stream is silent, but for what was on its way.
func statusCancel(r *run) {
	c := r.user()
	job := r.submit(c, r.Jobs.Long())
	s, all := r.statuses(c, job.ID), r.statuses(c, wire.All)
	if _, err := s.Next(r.Limits.Answer); err != nil {
		r.Fatal(err)
	}
	r.cancel(s.Cancel)
	r.cancel(all.Cancel)
	r.cancel(s.Cancel) // as who does not remember
	r.alive(c, "a cancel")
	r.ready(c, job.ID)
	for range 3 {
		r.ended(c, r.submit(c, r.Jobs.Quick()).ID)
	}
	r.control(c, job.ID, wire.Kill)
	r.ended(c, job.ID)
	if _, err := s.Next(0); !errors.Is(err, io.EOF) {
		r.Errorf("after its cancel a stream says %v", err)
	}
}

// However long the Launcher does not read, it learns how each job has ended.
func statusSlowReader(r *run) {
	c := r.user()
	all := r.statuses(c, wire.All)
	var jobs []wire.Job
	var each []*Stream[wire.JobStatus]
	for range 10 {
		jobs = append(jobs, r.submit(c, r.Jobs.Quick()))
		each = append(each, r.statuses(c, jobs[len(jobs)-1].ID))
	}
	r.alive(c, "opening streams")
	c.l.Pause()
	if r.realTime {
		time.Sleep(3 * time.Second)
	} else {
		time.Sleep(r.Limits.Start + r.Limits.Complete)
	}
	c.l.Resume()
	for i, job := range jobs {
		r.final(each[i], job.ID)
	}
	left := ids(jobs...)
	_, err := all.Until(r.Limits.Start+r.Limits.Complete, func(j wire.JobStatus) bool {
		if j.Status.Final() {
			left = without(left, j.ID)
		}
		return len(left) == 0
	})
	if err != nil {
		r.Errorf("the stream of all jobs: %v; it did not say how %q have ended", err, left)
	}
}

func without(list []string, gone string) []string {
	var left []string
	for _, s := range list {
		if s != gone {
			left = append(left, s)
		}
	}
	return left
}
