package launchertest

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/atelier-go/atelier/launcher"
)

var launchClauses = []clause{
	{name: "Launch/Runs", test: launchRuns},
	{name: "Launch/ReturnsStatus", test: launchReturnsStatus},
	{name: "Launch/Idempotent", test: launchIdempotent},
	{name: "Launch/Conflict", test: launchConflict},
	{name: "Launch/NeverTwice", test: launchNeverTwice},
	{name: "Launch/NeverTwiceAfterStop", test: launchNeverTwiceAfterStop},
	{name: "Launch/Concurrent", test: launchConcurrent},
	{name: "Launch/Invalid", test: launchInvalid},
	{name: "Launch/CopiesWorkload", test: launchCopies},
	{name: "Launch/Many", test: launchMany},
}

// counted returns a workload that leaves a trace of each time it runs, and
// what counts the traces once it has exited.
func (r *run) counted(name string, then ...string) (w launcher.Workload, runs func() int) {
	command := []string{"say", "ran"}
	w = r.workload(name)
	if r.Dir != nil {
		command = append(command, ";", "mark", "/trace")
		w.Mounts = append(w.Mounts, launcher.Mount{Source: r.Dir(string(w.ID)), Target: "/trace"})
	}
	w.Command = append(append(command, ";"), then...)
	return w, func() int {
		r.Helper()
		n := strings.Count(r.output(w.ID, launcher.Stdout), "ran\n")
		if r.Dir == nil {
			return n
		}
		count := r.workload(name+"-count", "list", "/trace")
		count.Mounts = w.Mounts
		r.launch(count)
		return max(n, strings.Count(r.output(count.ID, launcher.Stdout), "\n"))
	}
}

func launchRuns(r *run) {
	w := r.workload("a", "say", "hello")
	r.launch(w)
	s := r.exitCode(w.ID, 0)
	if got := r.output(w.ID, launcher.Stdout); got != "hello\n" {
		r.Errorf("the program wrote %q; want %q", got, "hello\n")
	}
	if s.Reason != "" {
		r.Errorf("an ordinary exit has reason %q; want none", s.Reason)
	}
	if s.QueuedAt.IsZero() || s.StartedAt.Before(s.QueuedAt) || s.ExitedAt.Before(s.StartedAt) {
		r.Errorf("queued %v, started %v, exited %v; want them in this order", s.QueuedAt, s.StartedAt, s.ExitedAt)
	}
	if s.Host == "" {
		r.Error("the status of what ran names no host")
	}
}

func launchReturnsStatus(r *run) {
	w := r.workload("a", "wait")
	w.Labels["color"] = "green"
	s := r.launch(w)
	if s.ID != w.ID || s.Owner != w.Owner || s.Image != w.Image || s.Labels["color"] != "green" || s.QueuedAt.IsZero() {
		r.Errorf("Launch of %s for %s with image %s returned %+v", w.ID, w.Owner, w.Image, s)
	}
	if !slices.Contains(phases, s.Phase) || s.Phase == launcher.Exited {
		r.Errorf("Launch returned phase %q", s.Phase)
	}
	if got, err := launcher.Get(r.ctx, r.Launcher, w.ID); err != nil || got.ID != w.ID {
		r.Errorf("just launched, List knows %+v, %v; want the workload", got, err)
	}
}

func launchIdempotent(r *run) {
	w, runs := r.counted("a", "trap", "SIGTERM", "0")
	first := r.launch(w)
	for _, when := range []string{"at once", "when it runs"} {
		again := r.launch(w)
		if again.ID != w.ID || !again.QueuedAt.Equal(first.QueuedAt) {
			r.Errorf("a second Launch %s returned %+v; want the workload queued at %v", when, again, first.QueuedAt)
		}
		r.awaitOutput(w.ID, "trapped")
	}
	r.stop(w.ID, launcher.StopOptions{})
	r.exit(w.ID)
	if n := runs(); n != 1 {
		r.Errorf("launched three times it ran %d times; want once", n)
	}
}

func launchConflict(r *run) {
	w := r.workload("a", "trap", "SIGTERM", "7")
	r.start(w, "trapped")
	for what, change := range map[string]func(*launcher.Workload){
		"command": func(w *launcher.Workload) { w.Command = []string{"exit", "1"} },
		"owner":   func(w *launcher.Workload) { w.Owner = "bob" },
		"env":     func(w *launcher.Workload) { w.Env = map[string]string{"A": "B"} },
		"user":    func(w *launcher.Workload) { w.User.UID++ },
	} {
		other := w
		change(&other)
		_, err := r.Launcher.Launch(r.ctx, other)
		r.wantKind("Launch of a known ID with another "+what, err, launcher.ErrConflict)
	}
	r.stop(w.ID, launcher.StopOptions{})
	r.exitCode(w.ID, 7)
	other := w
	other.Owner = "bob"
	_, err := r.Launcher.Launch(r.ctx, other)
	r.wantKind("Launch of an exited ID with another owner", err, launcher.ErrConflict)
}

func launchNeverTwice(r *run) {
	w, runs := r.counted("a", "exit", "3")
	r.launch(w)
	first := r.exitCode(w.ID, 3)
	again := r.launch(w)
	if again.Phase != launcher.Exited || again.ExitCode != 3 || !again.ExitedAt.Equal(first.ExitedAt) {
		r.Errorf("Launch of an ID that has exited returned %+v; want its exit %+v", again, first)
	}
	r.settle()
	r.exitCode(w.ID, 3)
	if n := runs(); n != 1 {
		r.Errorf("launched again after its exit, it ran %d times; want once", n)
	}
}

func launchNeverTwiceAfterStop(r *run) {
	w, runs := r.counted("a", "wait")
	r.start(w, "ran")
	r.stop(w.ID, launcher.StopOptions{Signal: "SIGKILL"})
	r.launch(w)
	r.exit(w.ID)
	if s := r.launch(w); s.Phase != launcher.Exited {
		r.Errorf("Launch of a stopped ID returned phase %s; want exited", s.Phase)
	}
	if n := runs(); n != 1 {
		r.Errorf("launched again after Stop, it ran %d times; want once", n)
	}
}

func launchConcurrent(r *run) {
	w, runs := r.counted("a", "exit", "0")
	var calls sync.WaitGroup
	for range 16 {
		calls.Go(func() {
			if s, err := r.Launcher.Launch(r.ctx, w); err != nil || s.ID != w.ID {
				r.Errorf("one of 16 equal Launches at once: %+v, %v", s, err)
			}
		})
	}
	calls.Wait()
	r.exitCode(w.ID, 0)
	if n := runs(); n != 1 {
		r.Errorf("launched 16 times at once, it ran %d times; want once", n)
	}
}

func launchInvalid(r *run) {
	w := r.workload("a", "exit", "0")
	w.Owner, w.StopSignal, w.Ports = "", "SIGNAL", []launcher.Port{{Name: "HTTP", Number: 80}}
	_, err := r.Launcher.Launch(r.ctx, w)
	r.wantKind("Launch without owner, with an unknown signal and a bad port name", err, launcher.ErrInvalid)
	for _, word := range []string{"owner", "SIGNAL", "HTTP"} {
		if err != nil && !strings.Contains(err.Error(), word) {
			r.Errorf("the error %q does not name %q; want every problem at once", err, word)
		}
	}
	if s, err := launcher.Get(r.ctx, r.Launcher, w.ID); !errors.Is(err, launcher.ErrNotFound) {
		r.Errorf("after a refused Launch the ID is known: %+v, %v", s, err)
	}
}

func launchCopies(r *run) {
	w := r.workload("a", "env", "COLOR", ";", "echo")
	w.Env, w.Labels["color"], w.Stdin = map[string]string{"COLOR": "green"}, "green", []byte("green")
	s := r.launch(w)
	w.Env["COLOR"], w.Labels["color"], w.Command[0] = "red", "red", "exit"
	copy(w.Stdin, "red  ")
	if s.Labels != nil {
		s.Labels["color"] = "blue"
	}
	r.exit(w.ID)
	if got := r.output(w.ID, launcher.Stdout); got != "green\ngreen" {
		r.Errorf("the program saw %q; want what the workload was at Launch", got)
	}
	if s, _ := launcher.Get(r.ctx, r.Launcher, w.ID); s.Labels["color"] != "green" {
		r.Errorf("label color is %q; want what it was at Launch", s.Labels["color"])
	}
}

func launchMany(r *run) {
	const n = 8
	var calls sync.WaitGroup
	for i := range n {
		w := r.workload(string(rune('a'+i)), "exit", string(rune('0'+i)))
		calls.Go(func() {
			if _, err := r.Launcher.Launch(r.ctx, w); err != nil {
				r.Errorf("one of %d Launches at once: %v", n, err)
			}
		})
	}
	calls.Wait()
	for i := range n {
		r.exitCode(r.id(string(rune('a'+i))), i)
	}
}
