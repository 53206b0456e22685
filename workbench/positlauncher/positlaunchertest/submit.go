package positlaunchertest

import (
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

var submitClauses = []clause{
	{name: "Submit/ID", test: submitID},
	{name: "Submit/Time", test: submitTime},
	{name: "Submit/Status", test: submitStatus},
	{name: "Submit/Keeps", test: submitKeeps},
	{name: "Submit/User", test: submitUser},
	{name: "Submit/NoUser", test: submitNoUser},
	{name: "Submit/Image", test: submitImage},
}

func submitID(r *run) {
	c := r.user()
	seen := map[string]bool{}
	for range 3 {
		job := r.submit(c, r.Jobs.Quick())
		if job.ID == "" || job.ID == wire.All || seen[job.ID] {
			r.Errorf("a job has ID %q, after %v; want one of its own", job.ID, seen)
		}
		seen[job.ID] = true
	}
}

func submitTime(r *run) {
	c := r.user()
	before := time.Now()
	job := r.submit(c, r.Jobs.Quick())
	if job.SubmissionTime == nil {
		r.Fatal("the answer to a submit has no submissionTime")
	}
	// To the second, and clocks differ.
	if d := job.SubmissionTime.Sub(before); d < -time.Minute || d > time.Minute {
		r.Errorf("submissionTime is %v; want about %v", job.SubmissionTime, before)
	}
	if later := r.ended(c, job.ID); later.SubmissionTime == nil || !later.SubmissionTime.Equal(job.SubmissionTime.Time) {
		r.Errorf("submissionTime was %v and is %v", job.SubmissionTime, later.SubmissionTime)
	}
}

// A job waits for its place, and who submitted it does not.
func submitStatus(r *run) {
	c := r.user()
	job := r.submit(c, r.Jobs.Long())
	if job.Status != wire.Pending && (r.SlowStart || job.Status != wire.Running) {
		r.Errorf("a job that was just submitted is %q; want %s", job.Status, wire.Pending)
	}
}

// keeper is a job with all that a plugin returns as it was.
func (r *run) keeper() wire.Job {
	job := r.Jobs.Long()
	job.Name = `a name, with "quotes", ünïcödé & <angles>`
	job.Tags = []string{"rstudio-r-session", "a tag with spaces", "key=value", "ünïcödé", "rstudio-r-session-name:a/b\\c"}
	job.InstanceID = "instance/0123-äöü"
	job.Metadata = json.RawMessage(`{"job":{"annotations":{"a.b/c":"d"}},"number":1.5,"none":null,"list":[1,"2",{"three":3}]}`)
	return job
}

// kept checks that a job is what was submitted.
func (r *run) kept(what string, want, got wire.Job) {
	r.Helper()
	want = r.whole(want)
	slices.Sort(got.Tags)
	slices.Sort(want.Tags)
	for _, f := range []struct {
		name      string
		got, want any
	}{
		{"name", got.Name, want.Name},
		{"tags", got.Tags, want.Tags},
		{"instanceId", got.InstanceID, want.InstanceID},
		{"metadata", decoded(got.Metadata), decoded(want.Metadata)},
		{"cluster", got.Cluster, want.Cluster},
	} {
		if !reflect.DeepEqual(f.got, f.want) {
			r.Errorf("%s: %s is %v; want %v", what, f.name, f.got, f.want)
		}
	}
}

// decoded is JSON without the ways to write it.
func decoded(text json.RawMessage) any {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		return err.Error()
	}
	return v
}

// By these the Launcher and Workbench know a job again.
func submitKeeps(r *run) {
	c := r.user()
	job := r.keeper()
	submitted := r.submit(c, job)
	r.kept("in the answer", job, submitted)
	r.kept("by its ID", job, r.get(c, submitted.ID))
	for _, listed := range r.list(c, Query{}) {
		r.kept("in a list", job, listed)
	}
	r.kept("running", job, r.running(c, submitted.ID))
	r.control(c, submitted.ID, wire.Kill)
	r.kept("ended", job, r.ended(c, submitted.ID))
}

// A job is of who submits it, or of whom an administrator names.
func submitUser(r *run) {
	l := r.start()
	if job := r.submit(l.As(r.User), r.Jobs.Quick()); job.User != r.User {
		r.Errorf("a job of %q is of %q", r.User, job.User)
	}
	named := r.Jobs.Quick()
	named.User = r.OtherUser
	if job := r.submit(l.As(wire.All), named); job.User != r.OtherUser {
		r.Errorf("a job that an administrator submits for %q is of %q", r.OtherUser, job.User)
	}
}

func submitNoUser(r *run) {
	l := r.start()
	for _, user := range []string{"", wire.All} {
		_, err := l.As(user).Submit(r.whole(r.Jobs.Quick()))
		r.wantCode("a job of nobody, submitted by "+user, err, wire.InvalidRequest)
	}
	named := r.Jobs.Quick()
	named.User = r.OtherUser
	if job, err := l.As(r.User).Submit(r.whole(named)); err == nil && job.User != r.User {
		r.Errorf("%s submitted a job of %s", r.User, job.User)
	}
	r.wantJobs("of another, by no fault of theirs", r.list(l.As(r.OtherUser), Query{}))
}

// What a job asks for, it still says.
func submitImage(r *run) {
	if r.Image == "" {
		r.Skip("the harness has no Image")
	}
	c := r.user()
	job := r.get(c, r.submit(c, r.Jobs.Quick()).ID)
	if job.Container == nil || job.Container.Image != r.Image {
		r.Errorf("a job's container is %+v; want image %q", job.Container, r.Image)
	}
}
