package positlauncher_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// A job that writes without end does not keep anybody from hearing of another.
func TestStatusBesideOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := serve(t, world(t, fake.Config{}), positlauncher.Config{MetricsInterval: -1})
		loud := l.submit(wire.Job{Exe: "count", Args: []string{"400000", "a line that is neither short nor of any interest"}})
		output := l.send(wire.JobOutputRequest, map[string]any{"jobId": loud})
		l.receive()
		l.send(wire.JobStatusRequest, map[string]any{"jobId": "*"})
		asked := l.send(wire.SubmitJobRequest, map[string]any{"job": wire.Job{Exe: "say", Args: []string{"hello"}}})
		quiet := ""
		for range 400 {
			time.Sleep(10 * time.Millisecond) // it reads more slowly than the job writes
			m := l.receive()
			switch {
			case m["requestId"] == float64(asked):
				quiet = m["jobs"].([]any)[0].(map[string]any)["id"].(string)
			case m["requestId"] == float64(output) && m["complete"] == true:
				t.Fatal("the output is over: this shows nothing")
			case m["id"] == quiet && m["status"] == string(wire.Finished):
				return
			}
		}
		t.Error("400 messages on, nothing was told of the end of the other job")
	})
}

// What each run of a job has written is told once, whoever listens while it is
// suspended and resumed.
func TestOutputOfEachRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := serve(t, world(t, fake.Config{}), positlauncher.Config{MetricsInterval: -1})
		id := l.submit(wire.Job{Exe: "say", Args: []string{"run", ";", "serve", "8787"}, Stdin: "x\n", ExposedPorts: []wire.Port{{TargetPort: 8787}}})
		l.await(id, wire.Running)
		output := l.send(wire.JobOutputRequest, map[string]any{"jobId": id})
		var told strings.Builder
		complete := false
		look := func() { // what is told until a request is answered
			asked := l.send(wire.JobStateRequest, map[string]any{"jobId": id})
			for m := l.receive(); m["requestId"] != float64(asked); m = l.receive() {
				if m["requestId"] == float64(output) {
					told.WriteString(m["output"].(string))
					complete = complete || m["complete"] == true
				}
			}
		}
		reach := func(o wire.Operation, want session.State) {
			asked := l.send(wire.ControlJobRequest, map[string]any{"jobId": id, "operation": o})
			for m := l.receive(); m["requestId"] != float64(asked); m = l.receive() {
				if m["requestId"] == float64(output) {
					told.WriteString(m["output"].(string))
				}
			}
			for range 300 {
				time.Sleep(time.Second)
				look()
			}
		}
		reach(wire.Suspend, session.Suspended)
		reach(wire.Resume, session.Running)
		reach(wire.Stop, session.Stopped)
		if told.String() != "run\nrun\n" || !complete {
			t.Errorf("told %q, complete %v; want each run once, and the end", told.String(), complete)
		}
	})
}

// A job whose session another process has ended and deleted, before this one has
// heard of the end, has ended here too.
func TestDeletedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world(t, fake.Config{})
		other := w.Replica(t)
		l := serve(t, other, positlauncher.Config{MetricsInterval: -1})
		id := l.submit(wire.Job{Exe: "wait"})
		l.await(id, wire.Running)
		s := session.ID(id)
		if _, err := w.Sessions.Kill(t.Context(), s, session.Order{}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Sessions.Wait(t.Context(), s, session.Stopped); err != nil {
			t.Fatal(err)
		}
		for w.Sessions.Delete(t.Context(), s, session.Order{}) != nil { // it may be settled first
			time.Sleep(100 * time.Millisecond)
		}
		for range 5 {
			time.Sleep(time.Minute)
			jobs := l.ask(wire.JobStateRequest, map[string]any{"jobId": "*"})["jobs"].([]any)
			if len(jobs) == 0 || jobs[0].(map[string]any)["status"] == string(wire.Killed) {
				return
			}
		}
		t.Error("five minutes later it is told of as if it ran")
	})
}
