package positlaunchertest

import (
	"strings"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

var processClauses = []clause{
	{name: "Process/ExitCode", test: processExitCode},
	{name: "Process/Stdin", test: processStdin},
	{name: "Process/NoStdin", test: processNoStdin},
	{name: "Process/Environment", test: processEnvironment},
	{name: "Process/Directory", test: processDirectory},
	{name: "Process/Args", test: processArgs},
	{name: "Process/Shell", test: processShell, needs: needsShell},
}

// A process that ends by itself is Finished, with whatever code.
func processExitCode(r *run) {
	c := r.user()
	r.endedAs(c, r.submit(c, r.Jobs.Quick()).ID, wire.Finished, 3)
	echo := r.Jobs.Echo()
	echo.Stdin = "x"
	r.endedAs(c, r.submit(c, echo).ID, wire.Finished, 0)
}

// All of standard input arrives, also more than a pipe holds, and then its end. It is secret, and need not be told
// again.
func processStdin(r *run) {
	c := r.user()
	for _, stdin := range []string{"one line\n", "no newline", "tabs\tand \"quotes\" $HOME `id` \\n\nünïcödé\x01\n", strings.Repeat("0123456789abcdef\n", 4<<10)} {
		echo := r.Jobs.Echo()
		echo.Stdin = stdin
		job := r.submit(c, echo)
		r.wantText("what a job has read from standard input", r.stdout(c, job.ID), stdin)
		r.endedAs(c, job.ID, wire.Finished, 0)
	}
}

func processNoStdin(r *run) {
	c := r.user()
	job := r.submit(c, r.Jobs.Echo())
	r.wantText("what a job without it has read from standard input", r.stdout(c, job.ID), "")
	r.endedAs(c, job.ID, wire.Finished, 0)
}

func processEnvironment(r *run) {
	c := r.user()
	const value = "a value, with \"quotes\", $HOME, a = and ünïcödé"
	env := r.Jobs.Env("ATELIER_TEST")
	env.Environment = append(env.Environment, wire.Env{Name: "ANOTHER", Value: "x"}, wire.Env{Name: "ATELIER_TEST", Value: value})
	r.wantText("an environment variable", r.stdout(c, r.submit(c, env).ID), value+"\n")
}

func processDirectory(r *run) {
	c := r.user()
	dir := r.Jobs.Dir()
	dir.WorkingDirectory = "/tmp"
	r.wantText("the working directory", r.stdout(c, r.submit(c, dir).ID), "/tmp\n")
}

// The arguments of an exe are what they are.
func processArgs(r *run) {
	c := r.user()
	args := []string{"plain", "two words", "", "'single'", `"double"`, "$HOME", "`id`", "a;b|c&d", "*", `back\slash`, "ünïcödé"}
	r.wantText("arguments", r.stdout(c, r.submit(c, r.Jobs.Args(args...)).ID), strings.Join(args, "\n")+"\n")
}

// A command is the shell's, and its arguments follow it there.
func processShell(r *run) {
	c := r.user()
	job := wire.Job{
		Command:     `X=from; echo "$X the $WHO" &&`,
		Args:        []string{"printf", `'%s\n'`, "two words", `"$WHO"`},
		Environment: []wire.Env{{Name: "WHO", Value: "shell"}},
	}
	r.wantText("a command", r.stdout(c, r.submit(c, job).ID), "from the shell\ntwo\nwords\nshell\n")
}
