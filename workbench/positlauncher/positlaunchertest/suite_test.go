package positlaunchertest_test

import (
	"context"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/positlaunchertest"
)

// harness is of a world in memory.
func harness(t testing.TB, flaw string) positlaunchertest.Harness {
	w := newWorld(t, flaw, 3*time.Second)
	return positlaunchertest.Harness{
		Start: func(t testing.TB, args ...string) positlaunchertest.Plugin {
			p := positlaunchertest.InProcess(t, func(ctx context.Context, in io.Reader, out io.Writer) error {
				return w.serve(ctx, in, out, args...)
			})
			term := p.Signal // a plugin that keeps nothing may as well be killed by it
			p.Signal = func(os.Signal) error { return term(syscall.SIGTERM) }
			return p
		},
		User: "alice", OtherUser: "bob", Image: "test", Cluster: "Test", Jobs: programs,
		Dial: w.dial, Suspend: true, SlowStart: true, NoShell: true,
	}
}

// The suite passes on a plugin that conforms.
func TestConforming(t *testing.T) {
	positlaunchertest.Suite{New: func(t testing.TB) positlaunchertest.Harness { return harness(t, "") }}.Run(t)
}

// asPlugin has the test's own executable be a plugin.
const asPlugin = "ATELIER_TEST_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	end, cancel := context.WithCancel(context.Background())
	w := &world{delay: 50 * time.Millisecond, run: process, end: end, changed: make(chan struct{})}
	err := w.serve(ctx, os.Stdin, os.Stdout, os.Args[1:]...)
	w.close(cancel)
	stop()
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Exit(0)
}

// process runs a job as a process of this machine.
func process(p *proc) int {
	cmd := exec.Command(p.job.Exe, p.job.Args...)
	if p.job.Command != "" {
		cmd = exec.Command("/bin/sh", "-c", strings.Join(append([]string{p.job.Command}, p.job.Args...), " "))
	}
	cmd.Dir, cmd.Env = p.job.WorkingDirectory, os.Environ()
	for _, e := range p.job.Environment {
		cmd.Env = append(cmd.Env, e.Name+"="+string(e.Value))
	}
	cmd.Stdin = strings.NewReader(p.job.Stdin)
	cmd.Stdout, cmd.Stderr = whole{p, "stdout"}.pipe(), whole{p, "stderr"}.pipe()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		p.write("stderr", err.Error())
		return 127
	}
	done := make(chan int, 1)
	go func() {
		_ = cmd.Wait()
		code := cmd.ProcessState.ExitCode()
		if s := cmd.ProcessState.Sys().(syscall.WaitStatus); s.Signaled() {
			code = 128 + int(s.Signal())
		}
		done <- code
	}()
	for {
		select {
		case <-p.signals:
			_ = cmd.Process.Signal(syscall.SIGTERM)
		case <-p.kill:
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			p.kill = nil
		case code := <-done:
			return code
		}
	}
}

// whole passes on what a process writes, with no character cut.
type whole struct {
	p      *proc
	stream string
}

func (w whole) pipe() io.Writer {
	var held []byte
	return writer(func(data []byte) {
		held = append(held, data...)
		cut := len(held)
		for i := 1; i < 4 && i <= len(held); i++ {
			if c := held[len(held)-i]; c >= 0xC0 && (c < 0xE0 && i < 2 || c >= 0xE0 && c < 0xF0 && i < 3 || c >= 0xF0) {
				cut = len(held) - i
			}
		}
		if cut > 0 {
			w.p.write(w.stream, string(held[:cut]))
			held = append([]byte{}, held[cut:]...)
		}
	})
}

type writer func([]byte)

func (w writer) Write(data []byte) (int, error) { w(data); return len(data), nil }

// The suite passes on a process, whose jobs are the scripts that a shell runs.
func TestProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes its time")
	}
	positlaunchertest.Suite{RealTime: true, New: func(testing.TB) positlaunchertest.Harness {
		return positlaunchertest.Harness{
			Start: func(t testing.TB, args ...string) positlaunchertest.Plugin {
				cmd := exec.Command(os.Args[0], args...)
				cmd.Env = append(os.Environ(), asPlugin+"=1")
				return positlaunchertest.Command(t, cmd)
			},
			User: "alice", OtherUser: "bob", Alone: true,
			Limits: positlaunchertest.Limits{Heartbeat: 5 * time.Second, Beat: 5 * time.Second}, // others use this machine, too
		}
	}}.Run(t)
}
