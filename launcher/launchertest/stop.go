package launchertest

import (
	"errors"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

var stopClauses = []clause{
	{name: "Stop/Signal", test: stopSignal},
	{name: "Stop/OwnSignal", test: stopOwnSignal},
	{name: "Stop/OtherSignal", test: stopOtherSignal},
	{name: "Stop/EndsUnhandled", test: stopEndsUnhandled},
	{name: "Stop/DoesNotWait", test: stopDoesNotWait},
	{name: "Stop/KillsAfterGrace", test: stopKillsAfterGrace},
	{name: "Stop/DefaultGrace", test: stopDefaultGrace},
	{name: "Stop/Shortens", test: stopShortens},
	{name: "Stop/NeverLengthens", test: stopNeverLengthens},
	{name: "Stop/Kill", test: stopKill},
	{name: "Stop/Idempotent", test: stopIdempotent},
	{name: "Stop/AfterExit", test: stopAfterExit},
	{name: "Stop/BeforeStart", test: stopBeforeStart},
	{name: "Stop/Forget", test: stopForget},
	{name: "Stop/ForgetRunning", test: stopForgetRunning},
	{name: "Stop/OthersGoOn", test: stopOthersGoOn},
}

// stop stops a workload, which must succeed.
func (r *run) stop(id launcher.ID, o launcher.StopOptions) {
	r.Helper()
	if err := r.Launcher.Stop(r.ctx, id, o); err != nil {
		r.Fatalf("Stop(%s, %+v) = %v", id, o, err)
	}
}

// settle gives a launcher time to do what it should not.
func (r *run) settle() {
	if !r.realTime {
		time.Sleep(r.patience / 4)
	}
}

func stopSignal(r *run) {
	w := r.workload("a", "trap", "SIGTERM", "7")
	r.start(w, "trapped")
	r.stop(w.ID, launcher.StopOptions{})
	if s := r.exitCode(w.ID, 7); s.Reason != "" {
		r.Errorf("a program that ended by itself has reason %q; want none", s.Reason)
	}
}

func stopOwnSignal(r *run) {
	w := r.workload("a", "ignore", "SIGTERM", ";", "trap", "SIGINT", "8")
	w.StopSignal = "SIGINT"
	r.start(w, "trapped")
	r.stop(w.ID, launcher.StopOptions{})
	r.exitCode(w.ID, 8)
}

func stopOtherSignal(r *run) {
	w := r.workload("a", "trap", "SIGUSR1", "9")
	r.start(w, "trapped")
	r.stop(w.ID, launcher.StopOptions{Signal: "SIGUSR1"})
	r.exitCode(w.ID, 9)
}

func stopEndsUnhandled(r *run) {
	w := r.workload("a", "wait")
	r.start(w, "")
	r.stop(w.ID, launcher.StopOptions{Grace: r.patience})
	r.exitCode(w.ID, 128+15)
}

// Stop returns, and tells that it is stopping, while the program takes its time.
func stopDoesNotWait(r *run) {
	w := r.workload("a", "ignore", "SIGTERM", ";", "wait")
	r.start(w, "ignoring")
	r.stop(w.ID, launcher.StopOptions{Grace: 8 * r.patience})
	s := r.wait(w.ID, "be stopping", func(s launcher.Status) bool { return s.Phase == launcher.Stopping })
	if !s.ExitedAt.IsZero() {
		r.Errorf("a stopping workload has exited at %v", s.ExitedAt)
	}
}

// graceHeld stops a workload that ignores it and checks when it is killed.
func (r *run) graceHeld(o launcher.StopOptions, grace time.Duration) {
	r.Helper()
	w := r.workload("a", "ignore", "SIGTERM", ";", "wait")
	r.start(w, "ignoring")
	begun := time.Now()
	r.stop(w.ID, o)
	r.exitCode(w.ID, 137)
	if took := time.Since(begun); took < grace {
		r.Errorf("killed after %v; want the grace of %v to pass first", took, grace)
	}
}

func stopKillsAfterGrace(r *run) {
	r.graceHeld(launcher.StopOptions{Grace: 3 * time.Second}, 3*time.Second)
}

func stopDefaultGrace(r *run) {
	r.graceHeld(launcher.StopOptions{}, launcher.DefaultGrace)
}

func stopShortens(r *run) {
	w := r.workload("a", "ignore", "SIGTERM", ";", "wait")
	r.start(w, "ignoring")
	r.stop(w.ID, launcher.StopOptions{Grace: 8 * r.patience})
	r.stop(w.ID, launcher.StopOptions{Grace: time.Second})
	r.exitCode(w.ID, 137) // within the patience
}

func stopNeverLengthens(r *run) {
	w := r.workload("a", "ignore", "SIGTERM", ";", "wait")
	r.start(w, "ignoring")
	r.stop(w.ID, launcher.StopOptions{Grace: time.Second})
	r.stop(w.ID, launcher.StopOptions{Grace: 8 * r.patience})
	r.exitCode(w.ID, 137)
}

// SIGKILL cannot be caught, and has no grace.
func stopKill(r *run) {
	w := r.workload("a", "ignore", "SIGKILL", ";", "wait")
	r.start(w, "ignoring")
	r.stop(w.ID, launcher.StopOptions{Signal: "SIGKILL", Grace: 8 * r.patience})
	r.exitCode(w.ID, 137)
}

func stopIdempotent(r *run) {
	w := r.workload("a", "trap", "SIGTERM", "7")
	r.start(w, "trapped")
	for range 3 {
		r.stop(w.ID, launcher.StopOptions{})
	}
	first := r.exitCode(w.ID, 7)
	r.stop(w.ID, launcher.StopOptions{})
	if again := r.exitCode(w.ID, 7); !again.ExitedAt.Equal(first.ExitedAt) {
		r.Errorf("another Stop moved the exit from %v to %v", first.ExitedAt, again.ExitedAt)
	}
}

func stopAfterExit(r *run) {
	w := r.workload("a", "exit", "3")
	r.launch(w)
	r.exitCode(w.ID, 3)
	r.stop(w.ID, launcher.StopOptions{Signal: "SIGKILL"})
	r.exitCode(w.ID, 3)
}

func stopBeforeStart(r *run) {
	w, runs := r.counted("a", "wait")
	r.launch(w)
	r.stop(w.ID, launcher.StopOptions{})
	s := r.exit(w.ID)
	r.settle()
	if later := r.exit(w.ID); !later.StartedAt.Equal(s.StartedAt) {
		r.Errorf("stopped before its start, it started at %v all the same", later.StartedAt)
	}
	if n := runs(); n > 1 || n == 1 && s.StartedAt.IsZero() {
		r.Errorf("it ran %d times, though its status says it started at %v", n, s.StartedAt)
	}
	if s := r.launch(w); s.Phase != launcher.Exited {
		r.Errorf("launched again after a Stop before its start, it is %s; want exited", s.Phase)
	}
}

// unknown reports whether the launcher does not know the ID.
func (r *run) unknown(id launcher.ID) bool {
	_, err := launcher.Get(r.ctx, r.Launcher, id)
	return errors.Is(err, launcher.ErrNotFound)
}

func stopForget(r *run) {
	w := r.workload("a", "say", "hello")
	r.launch(w)
	r.exitCode(w.ID, 0)
	r.stop(w.ID, launcher.StopOptions{Forget: true})
	r.eventually("the forgotten exit is dropped", func() bool { return r.unknown(w.ID) })
	if _, err := r.Launcher.Logs(r.ctx, w.ID, launcher.LogOptions{}); !errors.Is(err, launcher.ErrNotFound) {
		r.Errorf("Logs of what was forgotten: %v; want ErrNotFound", err)
	}
	// A retry of the same call finds it done.
	if err := r.Launcher.Stop(r.ctx, w.ID, launcher.StopOptions{Forget: true}); err != nil {
		r.wantKind("Stop of what was forgotten", err, launcher.ErrNotFound)
	}
}

func stopForgetRunning(r *run) {
	w := r.workload("a", "trap", "SIGTERM", "7")
	r.start(w, "trapped")
	o := r.watch(launcher.Filter{IDs: []launcher.ID{w.ID}})
	r.stop(w.ID, launcher.StopOptions{Forget: true})
	r.eventually("the exit of a forgotten workload is told", func() bool { return o.last(w.ID).Phase == launcher.Exited })
	if code := o.last(w.ID).ExitCode; code != 7 {
		r.Errorf("exit code %d; want 7", code)
	}
	r.eventually("the forgotten exit is dropped", func() bool { return r.unknown(w.ID) })
}

func stopOthersGoOn(r *run) {
	a, b := r.workload("a", "wait"), r.workload("b", "trap", "SIGTERM", "7")
	r.start(a, "")
	r.start(b, "trapped")
	r.stop(a.ID, launcher.StopOptions{})
	r.exit(a.ID)
	r.settle()
	if s, err := launcher.Get(r.ctx, r.Launcher, b.ID); err != nil || s.Phase != launcher.Running {
		r.Errorf("after the Stop of another workload it is %+v, %v; want it running", s, err)
	}
	r.stop(b.ID, launcher.StopOptions{})
	r.exitCode(b.ID, 7)
}
