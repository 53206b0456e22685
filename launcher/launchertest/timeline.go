package launchertest

import (
	"time"

	"github.com/atelier-go/atelier/launcher"
)

var timelineClauses = []clause{
	{name: "Timeline/Order", test: timelineOrder},
	{name: "Timeline/Stays", test: timelineStays},
	{name: "Timeline/StoppedEarly", test: timelineStoppedEarly},
	{name: "Timeline/Restart", test: timelineRestart, needs: needsRestart},
}

// A stage is one time of a start.
type stage struct {
	name string
	at   time.Time
}

// stages is the whole of a start in order.
func stages(s launcher.Status) []stage {
	return []stage{
		{"queued", s.QueuedAt}, {"host", s.Reached.Host}, {"boot", s.Reached.Boot}, {"pull", s.Reached.Pull},
		{"mount", s.Reached.Mount}, {"started", s.StartedAt},
	}
}

// inOrder checks that no stage that was reached is before an earlier one, and
// returns those that were not reached.
func (r *run) inOrder(s launcher.Status) (missing []string) {
	r.Helper()
	var last stage
	for _, next := range stages(s) {
		switch {
		case next.at.IsZero():
			missing = append(missing, next.name)
			continue
		case next.at.Before(last.at):
			r.Errorf("%s reached %s at %v, before %s at %v", s.ID, next.name, next.at, last.name, last.at)
		case next.at.After(time.Now()):
			r.Errorf("%s is said to reach %s at %v, which is yet to come", s.ID, next.name, next.at)
		}
		last = next
	}
	return missing
}

// A launcher knows when what it has itself brought up came to each stage.
func timelineOrder(r *run) {
	w := r.workload("a", "trap", "SIGTERM", "7")
	if s := r.launch(w); s.Phase != launcher.Exited {
		r.inOrder(s)
	}
	s := r.start(w, "trapped")
	if missing := r.inOrder(s); missing != nil {
		r.Errorf("it runs, and it is not known when it reached %v", missing)
	}
	r.stop(w.ID, launcher.StopOptions{})
	if missing := r.inOrder(r.exitCode(w.ID, 7)); missing != nil {
		r.Errorf("it has exited, and it is not known any more when it reached %v", missing)
	}
}

// What was reached on a host stays as it was told first.
func timelineStays(r *run) {
	o := r.watch(r.mine())
	for _, name := range []string{"a", "b"} { // the second finds host and image
		w := r.workload(name, "trap", "SIGTERM", "7")
		r.start(w, "trapped")
		r.stop(w.ID, launcher.StopOptions{})
		r.exitCode(w.ID, 7)
		r.eventually("the Watch tells its exit", func() bool { return o.last(w.ID).Phase == launcher.Exited })
		var before launcher.Status
		for _, s := range o.of(w.ID) {
			r.inOrder(s)
			if s.Host == before.Host {
				r.stays("the Watch", before, s)
			}
			before = s
		}
	}
}

// stays checks that no stage of a status was told otherwise before.
func (r *run) stays(who string, before, now launcher.Status) {
	r.Helper()
	for i, was := range stages(before) {
		if is := stages(now)[i]; !was.at.IsZero() && !is.at.Equal(was.at) {
			r.Errorf("%s tells that %s reached %s at %v; it was %v before", who, now.ID, is.name, is.at, was.at)
		}
	}
}

// What was stopped on its way has not reached what it has not.
func timelineStoppedEarly(r *run) {
	w := r.workload("a", "wait")
	r.launch(w)
	r.stop(w.ID, launcher.StopOptions{Signal: "SIGKILL"})
	s := r.exit(w.ID)
	if missing := r.inOrder(s); s.StartedAt.IsZero() && len(missing) == 0 {
		r.Errorf("it never began, and reached %+v", s.Reached)
	}
}

func timelineRestart(r *run) {
	w := r.workload("a", "trap", "SIGTERM", "7")
	before := r.start(w, "trapped")
	r.restart()
	s := r.wait(w.ID, "run", func(s launcher.Status) bool { return s.Phase == launcher.Running && !s.Unknown })
	r.stays("a new process", before, s)
	r.stop(w.ID, launcher.StopOptions{})
	r.stays("a new process", before, r.exitCode(w.ID, 7))
}
