package positlaunchertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Plugin is one that runs, seen from outside.
type Plugin struct {
	// Stdin takes requests, and its end is the plugin's. Stdout has responses; it ends
	// when the plugin has, and closing it frees who reads it.
	Stdin  io.WriteCloser
	Stdout io.ReadCloser
	// Wait waits until the plugin has ended and returns what went wrong with it, nil if
	// nothing. It may be called again.
	Wait func() error
	// Signal sends a signal. One that the plugin cannot be sent is
	// errors.ErrUnsupported. Nil is a plugin that takes none.
	Signal func(os.Signal) error
}

// Command starts cmd as a plugin in a process of its own, and kills it at the end of
// the test if it is still there. What it writes on standard error is logged if the
// test fails.
func Command(t testing.TB, cmd *exec.Cmd) Plugin {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatalf("a pipe to the plugin: %v", err)
	}
	// Not StdoutPipe: Wait would close it before all was read.
	stdout, w, err := os.Pipe()
	if err != nil {
		t.Fatalf("a pipe from the plugin: %v", err)
	}
	stderr := &tail{}
	cmd.Stdout, cmd.Stderr = w, stderr
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = time.Second // what it has started may hold its standard error
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting the plugin: %v", err)
	}
	w.Close()
	wait := sync.OnceValue(cmd.Wait)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = wait()
		stdout.Close()
		if text := stderr.String(); t.Failed() && text != "" {
			t.Logf("%s wrote on standard error:\n%s", cmd.Path, text)
		}
	})
	return Plugin{Stdin: stdin, Stdout: stdout, Wait: wait, Signal: cmd.Process.Signal}
}

// tail keeps the last of what is written.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	if over := len(w.text) - 16<<10; over > 0 {
		w.text = w.text[over:]
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text)
}

// InProcess runs serve as a plugin in a goroutine. SIGTERM cancels its context, as
// does the end of the test, which waits for it.
func InProcess(t testing.TB, serve func(ctx context.Context, in io.Reader, out io.Writer) error) Plugin {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	in, stdin := io.Pipe()
	stdout, out := io.Pipe()
	done := make(chan struct{})
	var result error
	go func() {
		defer close(done)
		result = serve(ctx, in, out)
		in.CloseWithError(errors.New("its input is closed"))
		out.Close()
	}()
	t.Cleanup(func() {
		cancel()
		stdin.Close()
		stdout.Close()
		<-done
	})
	return Plugin{
		Stdin:  stdin,
		Stdout: stdout,
		Wait: func() error {
			<-done
			return result
		},
		Signal: func(s os.Signal) error {
			if s != syscall.SIGTERM {
				return fmt.Errorf("%v to a plugin in this process: %w", s, errors.ErrUnsupported)
			}
			cancel()
			return nil
		},
	}
}
