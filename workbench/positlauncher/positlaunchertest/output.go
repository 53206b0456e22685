package positlaunchertest

import (
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

var outputClauses = []clause{
	{name: "Output/Separate", test: outputSeparate},
	{name: "Output/Both", test: outputBoth},
	{name: "Output/Follows", test: outputFollows},
	{name: "Output/Big", test: outputBig},
	{name: "Output/Ended", test: outputEnded},
	{name: "Output/Pending", test: outputPending},
	{name: "Output/Two", test: outputTwo},
	{name: "Output/Cancel", test: outputCancel},
	{name: "Output/SlowReader", test: outputSlowReader},
}

// What is written on one stream is not on the other.
func outputSeparate(r *run) {
	c := r.user()
	job := r.submit(c, r.Jobs.Quick())
	for name, want := range map[string]string{"stdout": "out\n", "stderr": "err\n"} {
		texts := r.read(r.output(c, job.ID, name))
		if len(texts) != 1 || texts[name] != want {
			r.Errorf("%s has %q; want %q", name, texts, want)
		}
	}
}

func outputBoth(r *run) {
	c := r.user()
	job := r.submit(c, r.Jobs.Quick())
	texts := r.read(r.output(c, job.ID, "mixed"))
	mixed := texts["mixed"]
	if mixed == "out\nerr\n" || mixed == "err\nout\n" {
		return
	}
	if mixed != "" || texts["stdout"] != "out\n" || texts["stderr"] != "err\n" {
		r.Errorf("both streams have %q; want out on stdout and err on stderr, or both in mixed", texts)
	}
}

// Output is told while the job runs, and the end of its stream is the job's.
func outputFollows(r *run) {
	c := r.user()
	job := r.submit(c, r.Jobs.Long())
	s := r.output(c, job.ID, "stdout")
	r.awaitText(s, "ready\n")
	if got := r.get(c, job.ID); got.Status != wire.Running {
		r.Errorf("a job whose output is told is %s; want %s", got.Status, wire.Running)
	}
	r.control(c, job.ID, wire.Kill)
	if left := r.read(s); len(left) > 0 {
		r.Errorf("after that it wrote %q", left)
	}
}

// Nothing is lost, and no character is cut.
func outputBig(r *run) {
	c := r.user()
	job := r.submit(c, r.Jobs.Big())
	r.wantText("output while it is written", r.stdout(c, job.ID), BigText())
	r.endedAs(c, job.ID, wire.Finished, 0)
	r.wantText("output after the end", r.stdout(c, job.ID), BigText())
}

func outputEnded(r *run) {
	c := r.user()
	job := r.ended(c, r.submit(c, r.Jobs.Quick()).ID)
	for range 2 {
		r.wantText("the output of a job that has ended", r.stdout(c, job.ID), "out\n")
		r.alive(c, "the end of output") // after which nothing of it may come
	}
}

// Who asks for the output of a job that does not run yet waits for it.
func outputPending(r *run) {
	c := r.user()
	job := r.submit(c, r.Jobs.Quick())
	r.wantText("output asked for at once", r.stdout(c, job.ID), "out\n")
}

func outputTwo(r *run) {
	c := r.user()
	job := r.submit(c, r.Jobs.Quick())
	a, b, all := r.output(c, job.ID, "stdout"), r.output(c, job.ID, "stdout"), r.output(c, job.ID, nil)
	r.wantText("the first stream", r.read(a)["stdout"], "out\n")
	r.wantText("the second stream", r.read(b)["stdout"], "out\n")
	if texts := r.read(all); texts["stdout"]+texts["mixed"] == "" {
		r.Errorf("the third stream has %q", texts)
	}
}

// After its cancel a stream is silent, others go on, and another begins anew.
func outputCancel(r *run) {
	c := r.user()
	job := r.submit(c, r.Jobs.Big())
	s, other := r.output(c, job.ID, "stdout"), r.output(c, job.ID, "stdout")
	if _, err := s.Next(r.Limits.Start + r.Limits.Output); err != nil {
		r.Fatal(err)
	}
	r.cancel(s.Cancel)
	r.alive(c, "a cancel")
	r.wantText("the other stream", r.read(other)["stdout"], BigText())
	r.wantText("a stream after a cancel", r.stdout(c, job.ID), BigText())
}

// However slowly the Launcher reads, requests are answered and nothing is lost.
func outputSlowReader(r *run) {
	c := r.user()
	job := r.submit(c, r.Jobs.Big())
	s := r.output(c, job.ID, "stdout")
	r.ended(c, job.ID)
	for range 5 {
		c.l.Pause()
		time.Sleep(100 * time.Millisecond)
		c.l.Resume()
		r.alive(c, "a pause")
	}
	r.wantText("output", r.read(s)["stdout"], BigText())
}
