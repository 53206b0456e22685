package launchertest

import (
	"fmt"
	"strings"

	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/launchertest/behave"
)

var processClauses = []clause{
	{name: "Process/ExitCode", test: processExitCode},
	{name: "Process/Stdin", test: processStdin},
	{name: "Process/StdinEnds", test: processStdinEnds},
	{name: "Process/Env", test: processEnv},
	{name: "Process/WorkingDirectory", test: processWorkingDirectory},
	{name: "Process/Entrypoint", test: processEntrypoint},
	{name: "Process/Secrets", test: processSecrets},
	{name: "Process/Role", test: processRole},
	{name: "Process/NoRole", test: processNoRole},
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

// An entry point takes the place of the image's, and of its command.
func processEntrypoint(r *run) {
	w := r.workload("a", "hello")
	w.Entrypoint = []string{behave.Entrypoint, "say"}
	r.says(w, "hello\n")
	w = r.workload("b")
	w.Entrypoint, w.Command = []string{behave.Entrypoint, "say", "alone"}, nil
	r.says(w, "alone\n")
	w.Entrypoint = nil
	_, err := r.Launcher.Launch(r.ctx, w)
	r.wantKind("Launch with another entry point", err, launcher.ErrConflict)
}

// A working directory is the image's, one that was asked for, or one that is made.
func processWorkingDirectory(r *run) {
	w := r.workload("a", "cwd")
	w.Dir = "/tmp"
	r.says(w, "/tmp\n")
	r.says(r.workload("b", "cwd"), "/\n")
	w = r.workload("c", "cwd", ";", "list", ".")
	w.Dir, w.User = "/absent/work", launcher.User{UID: 1000, GID: 1000}
	r.says(w, "/absent/work\n")
	w.Dir = "/tmp"
	_, err := r.Launcher.Launch(r.ctx, w)
	r.wantKind("Launch in another directory", err, launcher.ErrConflict)
	w = r.workload("d", "cwd")
	w.Dir = "work"
	_, err = r.Launcher.Launch(r.ctx, w)
	r.wantKind("Launch in a directory that is not absolute", err, launcher.ErrInvalid)
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

func processRole(r *run) {
	const token = "correct-horse-battery"
	w := r.workload("a", "env", "AWS_CONTAINER_CREDENTIALS_FULL_URI", ";", "env", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", ";", "env", "A", ";",
		"read", "/run/secrets/aws-token", ";", "read", "/run/secrets/other")
	w.User = launcher.User{UID: 1000, GID: 1000}
	w.Env, w.Secrets = map[string]string{"A": "1"}, map[string]string{"other": " kept"}
	w.Role = launcher.Role{ARN: "arn:aws:iam::123456789012:role/analysis", Endpoint: "https://portal.example.com/credentials", Token: token}
	s := r.launch(w)
	for _, s := range []launcher.Status{s, r.exitCode(w.ID, 0)} {
		if shown := fmt.Sprintf("%+v", s); strings.Contains(shown, token) {
			r.Errorf("the status shows the token: %s", shown)
		}
	}
	want := "https://portal.example.com/credentials\n/run/secrets/aws-token\n1\n" + token + " kept"
	if got := r.output(w.ID, launcher.Both); got != want {
		r.Errorf("%q wrote %q; want %q", w.Command, got, want)
	}
	if len(w.Env) != 1 || len(w.Secrets) != 1 {
		r.Errorf("Launch changed the caller's workload: %v, secrets of %d names", w.Env, len(w.Secrets))
	}
	again := w
	again.Role.Token = "another" // as with other secrets, its value does not count
	if _, err := r.Launcher.Launch(r.ctx, again); err != nil {
		r.Errorf("the same with another token: %v", err)
	}
	other := w
	other.Role.ARN = "arn:aws:iam::123456789012:role/other"
	_, err := r.Launcher.Launch(r.ctx, other)
	r.wantKind("Launch with another role", err, launcher.ErrConflict)
	if err != nil && strings.Contains(err.Error(), token) {
		r.Errorf("a conflict tells the token: %v", err)
	}
}

func processNoRole(r *run) {
	w := r.workload("a", "env", "AWS_CONTAINER_CREDENTIALS_FULL_URI", ";", "env", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", ";",
		"read", "/run/secrets/aws-token")
	r.launch(w)
	r.exitCode(w.ID, 1)
	if got := r.output(w.ID, launcher.Stdout); got != "\n\n" {
		r.Errorf("without a role %q wrote %q; want two empty lines", w.Command, got)
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
