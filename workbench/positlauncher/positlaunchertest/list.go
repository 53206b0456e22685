package positlaunchertest

import (
	"maps"
	"slices"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

var jobsClauses = []clause{
	{name: "Jobs/ByID", test: jobsByID},
	{name: "Jobs/NotFound", test: jobsNotFound},
	{name: "Jobs/ByTag", test: jobsByTag},
	{name: "Jobs/ByStatus", test: jobsByStatus},
	{name: "Jobs/ByTime", test: jobsByTime},
	{name: "Jobs/None", test: jobsNone},
	{name: "Jobs/Fields", test: jobsFields},
}

// A job is found as soon as its submit is answered.
func jobsByID(r *run) {
	c := r.user()
	for range 5 {
		job := r.submit(c, r.Jobs.Quick())
		if got := r.get(c, job.ID); got.ID != job.ID || got.Status == "" || got.SubmissionTime == nil {
			r.Errorf("job %s by its ID is %+v", job.ID, got)
		}
	}
}

func jobsNotFound(r *run) {
	c := r.user()
	for _, id := range []string{"no-such-job", "../../etc/passwd", "0", "'; drop table jobs; --"} {
		_, err := c.Job(id)
		r.wantCode("a job "+id, err, wire.JobNotFound)
	}
}

// A list has a job as soon as its submit is answered; it has those with all tags.
func jobsByTag(r *run) {
	c := r.user()
	tagged := func(tags ...string) wire.Job {
		job := r.Jobs.Quick()
		job.Tags = tags
		return r.submit(c, job)
	}
	a := tagged("x")
	r.wantJobs("after one submit", r.list(c, Query{}), a)
	b := tagged("x", "y")
	r.wantJobs("after two", r.list(c, Query{}), a, b)
	r.wantJobs("with x", r.list(c, Query{Tags: []string{"x"}}), a, b)
	r.wantJobs("with y", r.list(c, Query{Tags: []string{"y"}}), b)
	r.wantJobs("with x and y", r.list(c, Query{Tags: []string{"x", "y"}}), b)
	r.wantJobs("with x and z", r.list(c, Query{Tags: []string{"x", "z"}}))
	r.wantJobs("with part of a tag", r.list(c, Query{Tags: []string{r.tag[:3]}}))
}

func jobsByStatus(r *run) {
	c := r.user()
	long, quick := r.submit(c, r.Jobs.Long()), r.submit(c, r.Jobs.Quick())
	r.running(c, long.ID)
	r.ended(c, quick.ID)
	r.wantJobs("running", r.list(c, Query{Statuses: []wire.Status{wire.Running}}), long)
	r.wantJobs("finished", r.list(c, Query{Statuses: []wire.Status{wire.Finished}}), quick)
	r.wantJobs("running or finished", r.list(c, Query{Statuses: []wire.Status{wire.Running, wire.Finished}}), long, quick)
	r.wantJobs("suspended", r.list(c, Query{Statuses: []wire.Status{wire.Suspended}}))
}

func jobsByTime(r *run) {
	c := r.user()
	a := r.submit(c, r.Jobs.Quick())
	time.Sleep(3 * time.Second) // times have no fractions
	b := r.submit(c, r.Jobs.Quick())
	between := a.SubmissionTime.Add(b.SubmissionTime.Sub(a.SubmissionTime.Time) / 2)
	r.wantJobs("since", r.list(c, Query{Start: between}), b)
	r.wantJobs("until", r.list(c, Query{End: between}), a)
	r.wantJobs("from and to", r.list(c, Query{Start: a.SubmissionTime.Add(-time.Minute), End: b.SubmissionTime.Add(time.Minute)}), a, b)
	r.wantJobs("between", r.list(c, Query{Start: between, End: between}))
}

// No job is an empty list, and no error.
func jobsNone(r *run) { r.wantJobs("nothing was submitted", r.list(r.user(), Query{})) }

// What is asked for is there, the ID is always, and nothing else is.
func jobsFields(r *run) {
	c := r.user()
	job := r.submit(c, r.Jobs.Quick())
	r.ended(c, job.ID)
	for _, names := range [][]string{{"status", "name"}, {"id"}, {"tags", "exitCode", "submissionTime"}, {"status", "no-such-field"}} {
		want := map[string]bool{"id": true}
		for _, name := range names {
			want[name] = name != "no-such-field"
		}
		maps.DeleteFunc(want, func(_ string, there bool) bool { return !there })
		for what, id := range map[string]string{"by its ID": job.ID, "in a list": wire.All} {
			fields := c.fields(jobFields(id))
			fields["fields"], fields["tags"] = names, []string{r.tag}
			got, err := c.l.Ask(wire.JobStateRequest, fields)
			if err != nil {
				r.Errorf("fields %q: %v", names, err)
				continue
			}
			for _, job := range got["jobs"].([]any) {
				have, wanted := slices.Sorted(maps.Keys(job.(map[string]any))), slices.Sorted(maps.Keys(want))
				if !slices.Equal(have, wanted) {
					r.Errorf("a job %s, asked for %q, has %q; want %q", what, names, have, wanted)
				}
			}
		}
	}
}
