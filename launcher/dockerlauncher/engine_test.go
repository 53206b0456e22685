package dockerlauncher_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/atelier-go/atelier/internal/dockertest"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/dockerlauncher"
	"github.com/atelier-go/atelier/launcher/launchertest"
)

// create is a container without a launcher.
func create(network, image string, command []string) client.ContainerCreateOptions {
	return client.ContainerCreateOptions{
		Config:     &container.Config{Image: image, Cmd: command},
		HostConfig: &container.HostConfig{NetworkMode: container.NetworkMode(network)},
	}
}

// demux reads what a container wrote on its standard output.
func demux(t testing.TB, r io.Reader) string {
	t.Helper()
	var text bytes.Buffer
	if _, err := stdcopy.StdCopy(&text, io.Discard, r); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// open returns a launcher on the real engine that allows mounts below dir.
func open(t testing.TB, dir string, change ...func(*dockerlauncher.Config)) *dockerlauncher.Launcher {
	t.Helper()
	c, err := client.New(client.FromEnv)
	if err != nil {
		t.Fatal(err)
	}
	cfg := dockerlauncher.Config{Client: c, Mounts: dockerlauncher.Below(dir)}
	for _, f := range change {
		f(&cfg)
	}
	l, err := dockerlauncher.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// TestContract: a real engine keeps the contract of every launcher.
func TestContract(t *testing.T) {
	dockertest.Engine(t)
	launchertest.Suite{RealTime: true, New: func(t *testing.T) launchertest.Harness {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		return launchertest.Harness{
			Launcher: open(t, dir),
			Image:    dockertest.Image,
			Template: launcher.Workload{Resources: launcher.Resources{MilliCPU: 500, MemoryMiB: 256}},
			NoImage:  newRegistry(t) + "/absent:1",
			Dir: func(name string) string {
				d := filepath.Join(dir, name)
				if err := os.MkdirAll(d, 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(d, 0o777); err != nil { // whatever the umask
					t.Fatal(err)
				}
				return d
			},
			NoDir:   filepath.Join(dir, "missing"),
			Restart: func() launcher.Launcher { return open(t, dir) },
		}
	}}.Run(t)
}

// nowhere is a client of an engine that does not answer.
func nowhere(t testing.TB) *client.Client {
	t.Helper()
	c, err := client.New(client.WithHost("unix://" + filepath.Join(t.TempDir(), "socket")))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
