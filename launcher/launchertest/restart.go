package launchertest

import (
	"slices"

	"github.com/atelier-go/atelier/launcher"
)

var restartClauses = []clause{
	{name: "Restart/SameWorkloads", test: restartSame, needs: needsRestart},
	{name: "Restart/NeverTwice", test: restartNeverTwice, needs: needsRestart},
	{name: "Restart/InTheMiddle", test: restartInTheMiddle, needs: needsRestart},
}

// restart replaces the launcher by a new process's.
func (r *run) restart() { r.Launcher = r.Restart() }

func restartSame(r *run) {
	running, ended := r.server("running"), r.workload("ended", "say", "hello", ";", "exit", "3")
	before := r.start(running, "serving")
	r.launch(ended)
	exit := r.exitCode(ended.ID, 3)
	r.restart()
	if got, want := ids(r.list(r.mine())), []launcher.ID{ended.ID, running.ID}; !slices.Equal(got, want) {
		r.Errorf("after a restart List yields %v; want %v", got, want)
	}
	if s := r.exitCode(ended.ID, 3); !s.ExitedAt.Equal(exit.ExitedAt) {
		r.Errorf("after a restart the exit is %+v; want %+v", s, exit)
	}
	if got := r.output(ended.ID, launcher.Both); got != "hello\n" {
		r.Errorf("after a restart the logs are %q; want %q", got, "hello\n")
	}
	s := r.wait(running.ID, "run", func(s launcher.Status) bool { return s.Phase == launcher.Running && !s.Unknown })
	if s.Host != before.Host || !s.StartedAt.Equal(before.StartedAt) || s.Owner != before.Owner || s.Labels["run"] != before.Labels["run"] {
		r.Errorf("after a restart it is %+v; want %+v", s, before)
	}
	c := r.dial(running.ID, "http")
	defer c.Close()
	r.echo(c, []byte("still here"))
	r.stop(running.ID, launcher.StopOptions{})
	r.exitCode(running.ID, 128+15)
}

func restartNeverTwice(r *run) {
	running, runningRuns := r.counted("running", "trap", "SIGTERM", "7")
	ended, endedRuns := r.counted("ended", "exit", "3")
	r.start(running, "trapped")
	r.launch(ended)
	r.exitCode(ended.ID, 3)
	r.restart()
	if s := r.launch(ended); s.Phase != launcher.Exited || s.ExitCode != 3 {
		r.Errorf("launched again after a restart, what had exited is %+v; want its exit", s)
	}
	other := ended
	other.Owner = "bob"
	_, err := r.Launcher.Launch(r.ctx, other)
	r.wantKind("Launch of a known ID with another owner after a restart", err, launcher.ErrConflict)
	r.launch(running)
	r.stop(running.ID, launcher.StopOptions{})
	r.exitCode(running.ID, 7)
	for what, runs := range map[string]func() int{"running": runningRuns, "exited": endedRuns} {
		if n := runs(); n != 1 {
			r.Errorf("what was %s at the restart ran %d times; want once", what, n)
		}
	}
}

// What was begun when the process ended is finished by the next.
func restartInTheMiddle(r *run) {
	starting, runs := r.counted("starting", "exit", "0")
	stopping := r.workload("stopping", "ignore", "SIGTERM", ";", "wait")
	r.start(stopping, "ignoring")
	r.launch(starting)
	r.stop(stopping.ID, launcher.StopOptions{})
	r.restart()
	r.exitCode(starting.ID, 0)
	r.exitCode(stopping.ID, 137)
	if n := runs(); n != 1 {
		r.Errorf("launched just before a restart it ran %d times; want once", n)
	}
}
