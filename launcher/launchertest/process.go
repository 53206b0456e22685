package launchertest

import (
	"fmt"
	"strings"

	"github.com/atelier-go/atelier/launcher"
)

var processClauses = []clause{
	{name: "Process/ExitCode", test: processExitCode},
	{name: "Process/Stdin", test: processStdin},
	{name: "Process/StdinEnds", test: processStdinEnds},
	{name: "Process/Env", test: processEnv},
	{name: "Process/Secrets", test: processSecrets},
	{name: "Process/User", test: processUser},
	{name: "Process/OutOfMemory", test: processOutOfMemory},
}

// says runs a workload to its end and checks what it wrote.
func (r *run) says(w launcher.Workload, want string) {
	r.Helper()
	r.launch(w)
	r.exitCode(w.ID, 0)
	if got := r.output(w.ID, launcher.Both); got != want {
		r.Errorf("%q wrote %q; want %q", w.Command, got, want)
	}
}

func processExitCode(r *run) {
	for _, code := range []int{0, 1, 42, 255} {
		w := r.workload(fmt.Sprintf("exit-%d", code), "exit", fmt.Sprint(code))
		r.launch(w)
		if s := r.exitCode(w.ID, code); s.Reason != "" {
			r.Errorf("exit with code %d has reason %q; want none", code, s.Reason)
		}
	}
}

func processStdin(r *run) {
	w := r.workload("a", "echo")
	w.Stdin = []byte("line\n\x00\xff without end")
	r.says(w, string(w.Stdin))
}

func processStdinEnds(r *run) {
	r.says(r.workload("a", "echo", ";", "say", "end"), "end\n")
}

func processEnv(r *run) {
	w := r.workload("a", "env", "A", ";", "env", "B", ";", "env", "ABSENT")
	w.Env = map[string]string{"A": "1", "B": "x=y z"}
	r.says(w, "1\nx=y z\n\n")
}

func processSecrets(r *run) {
	const secret = "correct-horse-battery"
	w := r.workload("a", "read", "/run/secrets/token")
	w.User = launcher.User{UID: 1000, GID: 1000}
	w.Secrets = map[string]string{"token": secret}
	s := r.launch(w)
	if shown := fmt.Sprintf("%+v", s); strings.Contains(shown, secret) {
		r.Errorf("the status shows the secret: %s", shown)
	}
	if shown := fmt.Sprintf("%+v", r.exitCode(w.ID, 0)); strings.Contains(shown, secret) {
		r.Errorf("the status at the exit shows the secret: %s", shown)
	}
	if got := r.output(w.ID, launcher.Both); got != secret {
		r.Errorf("the file /run/secrets/token is %q; want %q", got, secret)
	}
	other := w
	other.Owner, other.Command = "bob", nil
	if _, err := r.Launcher.Launch(r.ctx, other); err == nil || strings.Contains(err.Error(), secret) {
		r.Errorf("a conflict says %v; want an error without the secret", err)
	}
}

func processUser(r *run) {
	w := r.workload("a", "id")
	w.User = launcher.User{UID: 10001, GID: 10002, Groups: []uint32{20001, 20002}}
	r.says(w, "uid=10001 gid=10002 groups=20001,20002\n")
}

func processOutOfMemory(r *run) {
	w := r.workload("a", "allocate", "512", ";", "exit", "0")
	w.Resources.MilliCPU = max(w.Resources.MilliCPU, 100)
	w.Resources.MemoryMiB = 128
	r.launch(w)
	if s := r.exitCode(w.ID, 137); s.Reason != launcher.ErrOutOfMemory || s.Message == "" {
		r.Errorf("a program that took 512 of its 128 MiB exited with reason %q and message %q; want %q and a sentence", s.Reason, s.Message, launcher.ErrOutOfMemory)
	}
}
