package session_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/atelier-go/atelier/internal/realtest"
	"github.com/atelier-go/atelier/session"
)

// The script and the package mean the same by their constants.
func TestEntrypointConstants(t *testing.T) {
	for _, line := range []string{
		fmt.Sprintf("\nsaved=%d\n", session.RStudioSaved),
		fmt.Sprintf("\nnot_saved='%s'\n", session.RStudioNotSaved),
		fmt.Sprintf("\nif [ \"${%s:-}\" = 1 ]; then\n", session.RStudioClean),
		"\nlimit=${ATELIER_SUSPEND_SECONDS:-110}\n",
	} {
		if !strings.Contains(session.RStudioEntrypoint, line) {
			t.Errorf("the script lacks %q", line)
		}
	}
	if grace := session.RStudio().SuspendGrace; grace < 115*time.Second {
		t.Errorf("the script waits for 110 s, and the kind's grace is %v", grace)
	}
}

func TestEntrypointShellcheck(t *testing.T) {
	if _, err := exec.LookPath("shellcheck"); err != nil {
		realtest.Missing(t, "shellcheck is not here to check the script")
	}
	if out, err := exec.Command("shellcheck", "--shell=sh", "rstudio.sh").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// stand-ins for RStudio's programs. Each says on standard output what it does.
const (
	standInServer = `#!/bin/sh
case ${MODES:-} in
exit*) exit "${MODES#exit}" ;;
esac
n=0
for mode in ${MODES:-}; do
	n=$((n + 1))
	rsession "$n" "$mode" &
done
echo server
while :; do sleep 0.1; done
`
	standInSession = `#!/bin/sh
state=${RSTUDIO_DATA_HOME:-$HOME/.local/share/rstudio}/sessions/active/session-$1/suspended-session-data
variables() { mkdir -p "$state/search_path" && echo "x of $1" >"$state/environment"; }
whole() { variables "$1" && echo .GlobalEnv >"$state/search_path/search_path_elements"; }
on_usr1() {
	case $2 in
	saves) whole "$1"; [ -z "${!:-}" ] || kill -KILL "$!"; exit ;;
	partly) variables "$1"; exit ;;
	lost) exit ;;
	computes) ;;
	later)
		if [ -n "${asked:-}" ]; then whole "$1"; exit; fi
		asked=1
		;;
	resumed)
		whole "$1"
		rsession "$1" computes &
		exit
		;;
	esac
}
if [ "$2" = forks ]; then
	(trap '' USR1 && while :; do sleep 0.1; done) &
	set -- "$1" saves
fi
trap 'on_usr1 "$1" "$2"' USR1
trap 'echo "R $1 was told to end"; exit' TERM
echo "R $1"
while :; do sleep 0.1; done
`
)

// An entrypoint is one that runs as the first process of a container.
type entrypoint struct {
	t              *testing.T
	home           string
	cmd            *exec.Cmd
	stdout, stderr *bufio.Scanner
}

// enter runs the script by a shell, in a process namespace of its own.
func enter(t *testing.T, shell, home string, env ...string) *entrypoint {
	t.Helper()
	bin := t.TempDir()
	for name, text := range map[string]string{"rserver": standInServer, "rsession": standInSession, "entrypoint": session.RStudioEntrypoint} {
		check(t, os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755))
	}
	for i, pair := range env {
		if rest, ok := strings.CutPrefix(pair, "bin/"); ok { // a stand-in, too
			name, text, _ := strings.Cut(rest, "=")
			check(t, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755))
			env[i] = "STANDIN=" + name
		}
	}
	e := &entrypoint{t: t, home: home}
	e.cmd = exec.Command("sh", "-c", `mount --make-rprivate / && mount -t proc proc /proc && exec "$@"`, "enter",
		shell, filepath.Join(bin, "entrypoint"), "rserver", "--server-daemonize=0")
	e.cmd.Env = append([]string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + home}, env...)
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		e.cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		e.cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		e.cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	stdout, err := e.cmd.StdoutPipe()
	check(t, err)
	stderr, err := e.cmd.StderrPipe()
	check(t, err)
	e.stdout, e.stderr = bufio.NewScanner(stdout), bufio.NewScanner(stderr)
	if err := e.cmd.Start(); err != nil {
		realtest.Missing(t, "a process namespace cannot be made: %v", err)
	}
	guard := time.AfterFunc(time.Minute, func() { _ = e.cmd.Process.Kill() })
	t.Cleanup(func() {
		guard.Stop()
		_ = e.cmd.Process.Kill() // and with it all that is in the namespace
		_ = e.cmd.Wait()
	})
	return e
}

// says reads lines of a stream until one begins with what is wanted.
func (e *entrypoint) says(stream *bufio.Scanner, want string) string {
	e.t.Helper()
	var lines []string
	for stream.Scan() {
		if strings.HasPrefix(stream.Text(), want) {
			return stream.Text()
		}
		lines = append(lines, stream.Text())
	}
	e.t.Fatalf("it never said %q: %q", want, lines)
	return ""
}

// begun waits until the server and so many R sessions run.
func (e *entrypoint) begun(sessions int) {
	e.t.Helper()
	for range sessions + 1 {
		if !e.stdout.Scan() {
			text, _ := io.ReadAll(e.rest())
			e.t.Fatalf("it ended before it began: %s", text)
		}
	}
}

func (e *entrypoint) rest() io.Reader {
	var text bytes.Buffer
	for e.stderr.Scan() {
		text.WriteString(e.stderr.Text() + "\n")
	}
	return &text
}

func (e *entrypoint) signal(s os.Signal) {
	e.t.Helper()
	check(e.t, e.cmd.Process.Signal(s))
}

// ended is what it ended with, and what it said on standard error to the end.
func (e *entrypoint) ended() (code int, said string) {
	e.t.Helper()
	for e.stdout.Scan() {
		said += e.stdout.Text() + "\n"
	}
	text, _ := io.ReadAll(e.rest())
	err := e.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		e.t.Fatal(err)
	} else if ok {
		code = exit.ExitCode()
	}
	return code, said + string(text)
}

// refuses asks it to suspend and returns why it does not. It is then asked to
// end, and does.
func (e *entrypoint) refuses() string {
	e.t.Helper()
	e.signal(syscall.SIGUSR1)
	why := e.says(e.stderr, session.RStudioNotSaved)
	e.signal(syscall.SIGTERM)
	if code, said := e.ended(); code != 0 {
		e.t.Errorf("told to end it did with %d: %s", code, said)
	}
	return why
}

func (e *entrypoint) file(name ...string) string {
	e.t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{e.home, ".local/share/rstudio"}, name...)...))
	check(e.t, err)
	return string(text)
}

func (e *entrypoint) suspends() {
	e.t.Helper()
	e.signal(syscall.SIGUSR1)
	if code, said := e.ended(); code != session.RStudioSaved || strings.Contains(said, session.RStudioNotSaved) {
		e.t.Errorf("ended with %d, want %d: %s", code, session.RStudioSaved, said)
	}
}

const stateOf1 = "sessions/active/session-1/suspended-session-data"

func TestEntrypoint(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs real processes")
	}
	for _, shell := range []string{"sh", "bash"} {
		if _, err := exec.LookPath(shell); err != nil {
			continue // sh is everywhere
		}
		entrypointTests(func(name string, test func(t *testing.T, enter func(env ...string) *entrypoint)) {
			t.Run(shell+"/"+name, func(t *testing.T) {
				t.Parallel()
				home := t.TempDir()
				test(t, func(env ...string) *entrypoint {
					t.Helper()
					return enter(t, shell, home, env...)
				})
			})
		})
	}
}

func entrypointTests(run func(name string, test func(t *testing.T, enter func(env ...string) *entrypoint))) {
	run("saves", func(_ *testing.T, enter func(env ...string) *entrypoint) {
		e := enter("MODES=saves saves")
		e.begun(2)
		e.suspends()
		if got := e.file(stateOf1, "environment"); got != "x of 1\n" {
			e.t.Errorf("saved %q", got)
		}
	})
	run("forked", func(_ *testing.T, enter func(env ...string) *entrypoint) {
		e := enter("MODES=forks")
		e.begun(1)
		e.suspends()
	})
	run("nothing to save", func(_ *testing.T, enter func(env ...string) *entrypoint) {
		e := enter()
		e.begun(0)
		e.suspends()
	})
	run("elsewhere", func(t *testing.T, enter func(env ...string) *entrypoint) {
		data := t.TempDir()
		e := enter("MODES=saves", "RSTUDIO_DATA_HOME="+data)
		e.begun(1)
		e.suspends()
		if _, err := os.Stat(filepath.Join(data, stateOf1)); err != nil {
			t.Error(err)
		}
	})
	for name, c := range map[string]struct {
		modes string
		count int
		env   []string
		why   []string
	}{
		"computes":   {"saves computes", 2, []string{"ATELIER_SUSPEND_SECONDS=1"}, []string{"have not suspended within 1 s", "the server goes on, with R sessions: "}},
		"half saved": {"saves partly", 2, nil, []string{"2 R sessions have ended, but only 1 of them", "with R sessions: none"}},
		"not saved":  {"lost", 1, nil, []string{"1 R sessions have ended, but only 0 of them"}},
		"resumed":    {"resumed", 1, nil, []string{"R sessions began meanwhile", "with R sessions: "}},
		"full":       {"saves", 1, []string{"bin/df=echo Filesystem; echo overlay 100 99 1 99% /"}, []string{"there are 1 KiB free for the state of R sessions that hold ", "with R sessions: "}},
	} {
		run(name, func(t *testing.T, enter func(env ...string) *entrypoint) {
			e := enter(append(c.env, "MODES="+c.modes)...)
			e.begun(c.count)
			why := e.refuses()
			for _, want := range c.why {
				if !strings.Contains(why, want) {
					t.Errorf("it says %q, want %q", why, want)
				}
			}
		})
	}
	run("state of before", func(t *testing.T, enter func(env ...string) *entrypoint) {
		first := enter("MODES=saves")
		first.begun(1)
		first.suspends()
		e := enter("MODES=lost")
		e.begun(1)
		if why := e.refuses(); !strings.Contains(why, "only 0 of them") {
			t.Errorf("what was saved before counts: %q", why)
		}
	})
	run("home unwritable", func(t *testing.T, enter func(env ...string) *entrypoint) {
		e := enter("MODES=saves")
		e.begun(1)
		check(t, os.WriteFile(filepath.Join(e.home, ".local"), nil, 0o600))
		if why := e.refuses(); !strings.Contains(why, "cannot be written to") || strings.Contains(why, "none") {
			t.Errorf("it says %q", why)
		}
	})
	run("free space unknown", func(_ *testing.T, enter func(env ...string) *entrypoint) {
		e := enter("MODES=saves", "bin/df=echo nothing of use")
		e.begun(1)
		e.suspends()
	})
	run("again", func(_ *testing.T, enter func(env ...string) *entrypoint) {
		e := enter("MODES=later", "ATELIER_SUSPEND_SECONDS=1")
		e.begun(1)
		e.signal(syscall.SIGUSR1)
		e.says(e.stderr, session.RStudioNotSaved)
		e.suspends()
	})
	run("asked before the server began", func(t *testing.T, enter func(env ...string) *entrypoint) {
		first := enter("MODES=saves")
		first.begun(1)
		first.suspends()
		e := enter(session.RStudioClean+"=1", "bin/date=kill -s USR1 1; echo now")
		if code, said := e.ended(); code != session.RStudioSaved {
			t.Errorf("ended with %d: %s", code, said)
		}
	})
	run("told to end", func(t *testing.T, enter func(env ...string) *entrypoint) {
		e := enter("MODES=saves computes")
		e.begun(2)
		e.signal(syscall.SIGTERM)
		if code, said := e.ended(); code != 0 || !strings.Contains(said, "R 1 was told to end") || !strings.Contains(said, "R 2 was told to end") {
			t.Errorf("ended with %d: %s", code, said)
		}
	})
	run("told to end while it suspends", func(t *testing.T, enter func(env ...string) *entrypoint) {
		e := enter("MODES=computes")
		e.begun(1)
		e.signal(syscall.SIGUSR1)
		e.signal(syscall.SIGTERM)
		if code, said := e.ended(); code != 0 {
			t.Errorf("ended with %d: %s", code, said)
		}
	})
	for code, want := range map[string]int{"0": 0, "7": 7, fmt.Sprint(session.RStudioSaved): 1} {
		run("server ends with "+code, func(t *testing.T, enter func(env ...string) *entrypoint) {
			if got, said := enter("MODES=exit" + code).ended(); got != want {
				t.Errorf("ended with %d, want %d: %s", got, want, said)
			}
		})
	}
	run("starts clean", func(t *testing.T, enter func(env ...string) *entrypoint) {
		const data = ".local/share/rstudio"
		for want := range 3 {
			e := enter("MODES=saves", session.RStudioClean+"=1", "bin/date=echo now")
			e.begun(1)
			if _, err := os.Stat(filepath.Join(e.home, data, stateOf1)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("there is a state: %v", err)
			}
			aside, _ := filepath.Glob(filepath.Join(e.home, data, "atelier-set-aside/session-1.now*/environment"))
			if len(aside) != want {
				t.Errorf("set aside are %q, want %d", aside, want)
			}
			e.suspends()
		}
		e := enter("MODES=saves")
		e.begun(1)
		if _, err := os.Stat(filepath.Join(e.home, data, stateOf1)); err != nil {
			t.Errorf("set aside unasked: %v", err)
		}
		e.suspends()
		check(t, os.RemoveAll(filepath.Join(e.home, data, "atelier-set-aside")))
		check(t, os.WriteFile(filepath.Join(e.home, data, "atelier-set-aside"), nil, 0o600))
		e = enter("MODES=exit0", session.RStudioClean+"=1")
		if code, said := e.ended(); code != 1 || !strings.Contains(said, "could not be set aside; nothing is started") {
			t.Errorf("ended with %d: %s", code, said)
		}
	})
}
