package positlauncher

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

var update = flag.Bool("update", false, "rewrite what is compared with generated text")

// Every state of a session, before and after it has run, is one status of a job.
func TestStatuses(t *testing.T) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "state\treason\tran\tasked\texit code\tstatus\tcode\texit code told\tmessage")
	states := []session.State{
		session.Pending, session.Starting, session.Running, session.Suspending, session.Suspended,
		session.Stopping, session.Stopped, session.Failed,
	}
	reasons := map[session.State][]launcher.Kind{
		session.Starting:  {launcher.ErrCapacity},
		session.Suspended: {session.ErrIdle, session.ErrLifetime, launcher.ErrInterrupted},
		session.Stopped:   {session.ErrIdle, launcher.ErrInterrupted},
		session.Failed:    {launcher.ErrImage, launcher.ErrHostLost, launcher.ErrOutOfMemory},
	}
	for _, state := range states {
		for _, reason := range append([]launcher.Kind{""}, reasons[state]...) {
			for _, started := range []bool{false, true} {
				for _, end := range []struct {
					op   string
					code int
				}{{"start", 3}, {"stop", 143}, {"stop", 137}, {"kill", 137}, {"start", 137}} {
					s := session.Session{ID: "s1", State: state, Reason: reason, Generation: 1, Last: session.Asked{Op: end.op}}
					if reason != "" {
						s.Message = "in words"
					}
					if started {
						s.StartedAt, s.ExitCode = time.Unix(1, 0), end.code
					}
					if state != session.Stopped && end.op != "start" || end.code == 137 && end.op == "start" && reason != "" {
						continue // how it was ended tells of what is stopped
					}
					if !started && end.code != 3 || state != session.Stopped && end.code != 3 {
						continue
					}
					j := report(wire.Job{}, s)
					told := "-"
					if j.ExitCode != nil {
						told = fmt.Sprint(*j.ExitCode)
					}
					fmt.Fprintf(w, "%s\t%s\t%v\t%s\t%d\t%s\t%s\t%s\t%s\n", state, reason, started, end.op, s.ExitCode, j.Status, j.StatusCode, told, j.StatusMessage)
					if j.StatusMessage == "" && j.Status != wire.Running {
						t.Errorf("%s: nobody is told why", state)
					}
				}
			}
		}
	}
	_ = w.Flush()
	const golden = "testdata/statuses.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nrun with -update if that is right", b.String())
	}
}

// What was canceled has not run, however far its container came; what ran before is not
// undone by that.
func TestCanceled(t *testing.T) {
	s := session.Session{ID: "s1", Generation: 1, StartedAt: time.Unix(1, 0), ExitCode: 143, Last: session.Asked{Op: "stop", Why: why(wire.Cancel)}}
	for _, c := range []struct {
		state      session.State
		generation int
		want       wire.Status
		code       bool
	}{
		{session.Stopping, 1, wire.Pending, false}, {session.Stopped, 1, wire.Canceled, false}, {session.Stopped, 2, wire.Finished, true},
	} {
		s.State, s.Generation = c.state, c.generation
		if j := report(wire.Job{}, s); j.Status != c.want || (j.ExitCode != nil) != c.code {
			t.Errorf("%s, generation %d: %s, exit code %v; want %s", c.state, c.generation, j.Status, j.ExitCode, c.want)
		}
	}
}

// What may be secret, and what is not the Launcher's to say, is not kept.
func TestKeepsake(t *testing.T) {
	kept, err := keepsake(wire.Job{
		ID: "secret", Name: "n", User: "alice", Stdin: "secret", Environment: []wire.Env{{Name: "A", Value: "secret"}},
		Status: "secret", StatusMessage: "secret", Host: "secret", InstanceID: "i1", Tags: []string{"t"},
	})
	if err != nil || strings.Contains(kept, "secret") || !strings.Contains(kept, "i1") {
		t.Errorf("%s (%v)", kept, err)
	}
}
