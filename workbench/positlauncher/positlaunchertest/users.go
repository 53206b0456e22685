package positlaunchertest

import (
	"errors"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

var usersClauses = []clause{
	{name: "Users/Foreign", test: usersForeign},
	{name: "Users/ForeignStreams", test: usersForeignStreams},
	{name: "Users/OwnList", test: usersOwnList},
	{name: "Users/OwnStream", test: usersOwnStream},
	{name: "Users/Administrator", test: usersAdministrator},
}

// A job of another is not found, whatever is asked of it, and nothing happens to it.
func usersForeign(r *run) {
	l := r.start()
	owner, other := l.As(r.User), l.As(r.OtherUser)
	job := r.submit(owner, r.Jobs.Long())
	r.ready(owner, job.ID)
	_, err := other.Job(job.ID)
	r.wantCode("a foreign job", err, wire.JobNotFound)
	_, err = other.Network(job.ID)
	r.wantCode("the network of a foreign job", err, wire.JobNotFound)
	for o := wire.Suspend; o <= wire.Cancel; o++ {
		_, err := other.Control(job.ID, o)
		r.wantCode("to "+o.String()+" a foreign job", err, wire.JobNotFound)
	}
	if got := r.get(owner, job.ID); got.Status != wire.Running {
		r.Errorf("after another user wanted it ended, a job is %s", got.Status)
	}
}

func usersForeignStreams(r *run) {
	l := r.start()
	owner, other := l.As(r.User), l.As(r.OtherUser)
	job := r.submit(owner, r.Jobs.Long())
	r.ready(owner, job.ID)
	for _, id := range []string{job.ID, "no-such-job"} {
		_, err := r.statuses(other, id).Next(r.Limits.Answer)
		r.wantCode("the statuses of a foreign job", err, wire.JobNotFound)
		_, err = r.output(other, id, nil).Next(r.Limits.Answer)
		r.wantCode("the output of a foreign job", err, wire.JobNotFound)
		s, err := other.Utilization(id)
		if err == nil {
			_, err = s.Next(r.Limits.Answer)
		}
		r.wantCode("the use of a foreign job", err, wire.JobNotFound)
	}
}

func usersOwnList(r *run) {
	l := r.start()
	owner, other := l.As(r.User), l.As(r.OtherUser)
	a := r.submit(owner, r.Jobs.Quick())
	r.wantJobs("of who has none", r.list(other, Query{}))
	b := r.submit(other, r.Jobs.Quick())
	r.wantJobs("of the first", r.list(owner, Query{}), a)
	r.wantJobs("of the second", r.list(other, Query{}), b)
}

// A stream of all jobs is of all of one's own.
func usersOwnStream(r *run) {
	l := r.start()
	owner, other := l.As(r.User), l.As(r.OtherUser)
	early := r.submit(owner, r.Jobs.Quick())
	s := r.statuses(other, wire.All)
	foreign := r.submit(owner, r.Jobs.Quick())
	r.ended(owner, foreign.ID)
	own := r.submit(other, r.Jobs.Quick())
	_, err := s.Until(r.Limits.Start+r.Limits.Complete, func(j wire.JobStatus) bool {
		if j.ID == foreign.ID || j.ID == early.ID {
			r.Errorf("a stream of one user's jobs has job %s of another", j.ID)
		}
		return j.ID == own.ID && j.Status.Final()
	})
	if err != nil {
		r.Errorf("the stream of all jobs: %v", err)
	}
}

// The Launcher itself sees and does all.
func usersAdministrator(r *run) {
	l := r.start()
	owner, other, admin := l.As(r.User), l.As(r.OtherUser), l.As(wire.All)
	a, b := r.submit(owner, r.Jobs.Long()), r.submit(other, r.Jobs.Quick())
	r.wantJobs("of all users", r.list(admin, Query{}), a, b)
	if got := r.get(admin, a.ID); got.User != r.User {
		r.Errorf("a job of %s is of %q", r.User, got.User)
	}
	s := r.statuses(admin, wire.All)
	final := map[string]wire.Status{}
	r.ready(admin, a.ID)
	r.control(admin, a.ID, wire.Kill)
	_, err := s.Until(r.Limits.Start+r.Limits.Complete, func(j wire.JobStatus) bool {
		if j.Status.Final() && (j.ID == a.ID || j.ID == b.ID) {
			final[j.ID] = j.Status
		}
		return len(final) == 2
	})
	if err != nil {
		r.Errorf("the stream of all users' jobs: %v; ended are %v", err, final)
	}
	if _, err := r.output(admin, b.ID, nil).Next(r.Limits.Output); errors.As(err, new(*wire.Error)) {
		r.Errorf("the output of a user's job: %v", err)
	}
}
