package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/internal/dockertest"
	"github.com/atelier-go/atelier/internal/realtest"
	"github.com/atelier-go/atelier/workbench/positlauncher/positlaunchertest"
)

// TestProcess builds the program, and is the Launcher to it.
func TestProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it builds the program, and its clock is the wall's")
	}
	program := filepath.Join(t.TempDir(), "rstudio-ec2-launcher")
	build := []string{"build", "-o", program, "."}
	if raced {
		build = slices.Insert(build, 1, "-race")
	}
	if out, err := exec.CommandContext(t.Context(), "go", build...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	// The same for all: others use this machine, too.
	limits := positlaunchertest.Limits{
		Answer: 30 * time.Second, Start: time.Minute, Complete: 2 * time.Minute, Output: 30 * time.Second,
		Exit: time.Minute, Heartbeat: 5 * time.Second, Beat: 5 * time.Second,
	}

	t.Run("fake", func(t *testing.T) {
		t.Parallel()
		positlaunchertest.Suite{RealTime: true, AtOnce: 8, New: func(testing.TB) positlaunchertest.Harness {
			return positlaunchertest.Harness{
				Start: starter(program, "-fake", "-users", "alice,bob"),
				User:  "alice", OtherUser: "bob", Cluster: "EC2", Image: "jobs", Jobs: positlaunchertest.FakeJobs(),
				NoShell: true, SlowStart: true, Alone: true, Limits: limits, // nor a Dial: its hosts are in its memory
			}
		}}.Run(t)
	})

	t.Run("docker", func(t *testing.T) {
		if raced {
			t.Skip("-race: the engine's time is not worth it twice")
		}
		t.Parallel()
		image := dockertest.Shell(t, dockertest.Engine(t))
		if os.Geteuid() != 0 {
			realtest.Missing(t, "not root, who alone gives homes to their users")
		}
		homes, port := t.TempDir(), freePort(t)
		positlaunchertest.Suite{RealTime: true, New: func(testing.TB) positlaunchertest.Harness {
			return positlaunchertest.Harness{
				Start: starter(program, "-docker", "-users", "alice,bob", "-image", image, "-homes", homes),
				User:  "alice", OtherUser: "bob", Cluster: "EC2", Image: "jobs",
				Dial: dial, Port: port, Suspend: true, Alone: true, Limits: limits,
			}
		}}.Run(t)
	})

	t.Run("usage", func(t *testing.T) {
		for _, args := range [][]string{nil, {"-h"}, {"accounts"}, {"-fake", "-docker"}} {
			var out, says bytes.Buffer
			cmd := exec.CommandContext(t.Context(), program, args...)
			cmd.Stdout, cmd.Stderr = &out, &says
			exit, ok := errors.AsType[*exec.ExitError](cmd.Run())
			if !ok || exit.ExitCode() != 2 || out.Len() > 0 || !strings.Contains(says.String(), "\nFlags:\n") {
				t.Errorf("%q: %v, %q and %q; want the usage on standard error, and 2", args, exit, &out, &says)
			}
		}
	})
}

// starter starts the program as the Launcher does, but for flags of its own.
func starter(program string, own ...string) func(testing.TB, ...string) positlaunchertest.Plugin {
	return func(t testing.TB, args ...string) positlaunchertest.Plugin {
		return positlaunchertest.Command(t, exec.Command(program, append(slices.Clip(own), args...)...))
	}
}

// dial connects to a job, whose ports are this machine's.
func dial(ctx context.Context, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// freePort is one that nobody on this machine listens at.
func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
