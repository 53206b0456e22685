package dockerlauncher_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/dockerlauncher"
	"github.com/atelier-go/atelier/launcher/launchertest"
)

// testImage is what package behave describes, beside the program of hostile
// acts. It is made by the first test that needs it.
const testImage = "atelier-test/behave:1"

// hostileImage is the same files with another entry point: what sessions must
// not get away with.
const hostileImage = "atelier-test/hostile:1"

// images makes the test image once, or says why it cannot.
var images = sync.OnceValue(func() error {
	engine, err := client.New(client.FromEnv)
	if err != nil {
		return err
	}
	defer engine.Close()
	dir, err := os.MkdirTemp("", "atelier-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var layer bytes.Buffer
	files := tar.NewWriter(&layer)
	for _, d := range []string{"tmp", "run", "data"} {
		if err := files.WriteHeader(&tar.Header{Name: d + "/", Typeflag: tar.TypeDir, Mode: 0o1777}); err != nil {
			return err
		}
	}
	for name, pkg := range map[string]string{"behaved": "../launchertest/behave/behaved", "hostile": "./testdata/hostile"} {
		binary := filepath.Join(dir, name)
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", pkg, err, out)
		}
		text, err := os.ReadFile(binary)
		if err != nil {
			return err
		}
		if err := files.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text))}); err != nil {
			return err
		}
		if _, err := files.Write(text); err != nil {
			return err
		}
	}
	if err := files.Close(); err != nil {
		return err
	}
	testLayer = layer.Bytes()
	for image, program := range map[string]string{testImage: "behaved", hostileImage: "hostile"} {
		answer, err := engine.ImageImport(context.Background(), client.ImageImportSource{Source: bytes.NewReader(layer.Bytes()), SourceName: "-"}, image,
			client.ImageImportOptions{Changes: []string{`ENTRYPOINT ["/` + program + `"]`}})
		if err != nil {
			return err
		}
		defer answer.Close()
		if _, err := io.Copy(io.Discard, answer); err != nil {
			return err
		}
	}
	return nil
})

// testLayer is the files of the test images, as a tar.
var testLayer []byte

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

// engine returns a client of the real engine, or skips the test. ATELIER_REAL=1
// says that there has to be one.
func engine(t testing.TB) *client.Client {
	t.Helper()
	c, err := client.New(client.FromEnv)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := c.Ping(ctx, client.PingOptions{}); err != nil {
		if os.Getenv("ATELIER_REAL") != "" {
			t.Fatalf("no Docker Engine answers: %v", err)
		}
		t.Skip("no Docker Engine answers here: start one to run this test")
	}
	if err := images(); err != nil {
		t.Fatal(err)
	}
	return c
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
	engine(t)
	launchertest.Suite{RealTime: true, New: func(t *testing.T) launchertest.Harness {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		return launchertest.Harness{
			Launcher: open(t, dir),
			Image:    testImage,
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
