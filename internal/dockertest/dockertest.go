// Package dockertest gives tests the Docker Engine of this machine and images
// that are made on the spot: no registry is asked.
package dockertest

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/atelier-go/atelier/internal/realtest"
)

// Image is what package behave describes. It is made by the first Engine.
const Image = "atelier-test/behave:1"

// Hostile is the same files with another entry point: what sessions must not
// get away with.
const Hostile = "atelier-test/hostile:1"

// Engine returns a client of the real engine, on which the images are, or skips
// the test: for want of one, or with -short, since what is real takes its time.
func Engine(t testing.TB) *client.Client {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: nothing real")
	}
	c, err := client.New(client.FromEnv)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := c.Ping(ctx, client.PingOptions{}); err != nil {
		realtest.Missing(t, "no Docker Engine answers here: start one to run this test (%v)", err)
	}
	if err := importImages(); err != nil {
		t.Fatal(err)
	}
	return c
}

// Layer is the files of the images, as a tar.
func Layer(t testing.TB) []byte {
	t.Helper()
	text, err := layer()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// importImages makes the images once in a process, or says why it cannot.
var importImages = sync.OnceValue(func() error {
	engine, err := client.New(client.FromEnv)
	if err != nil {
		return err
	}
	defer engine.Close()
	files, err := layer()
	if err != nil {
		return err
	}
	return keepImages(engine, files, map[string]string{Image: `ENTRYPOINT ["/behaved"]`, Hostile: `ENTRYPOINT ["/hostile"]`})
})

// keepImages makes images of files, each with a change as a Dockerfile has it. Those
// that another process has made of the same files are left alone: tests of other
// packages use them now.
func keepImages(engine *client.Client, files []byte, images map[string]string) error {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "atelier-test-images.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() // which unlocks it
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	const label = "atelier-test.files"
	content := fmt.Sprintf("%x", sha256.Sum256(files))
	for image, change := range images {
		known, err := engine.ImageInspect(context.Background(), image)
		if err == nil && known.Config != nil && known.Config.Labels[label] == content {
			continue
		}
		if err := importImage(engine, files, image, change, "LABEL "+label+"="+content); err != nil {
			return err
		}
	}
	return nil
}

// importImage makes an image of files, with changes as a Dockerfile has them.
func importImage(engine *client.Client, files []byte, image string, changes ...string) error {
	answer, err := engine.ImageImport(context.Background(), client.ImageImportSource{Source: bytes.NewReader(files), SourceName: "-"}, image,
		client.ImageImportOptions{Changes: changes})
	if err != nil {
		return err
	}
	defer answer.Close()
	_, err = io.Copy(io.Discard, answer)
	return err
}

// Import makes an image of the test's own from the files of the others, with
// changes as a Dockerfile has them, and returns its name. It goes with the test.
func Import(t testing.TB, engine *client.Client, image string, changes ...string) string {
	t.Helper()
	if err := importImage(engine, Layer(t), image, changes...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := engine.ImageRemove(context.Background(), image, client.ImageRemoveOptions{Force: true}); err != nil {
			t.Error(err)
		}
	})
	return image
}

// layer builds the programs once in a process.
var layer = sync.OnceValues(func() ([]byte, error) {
	const module = "github.com/atelier-go/atelier/"
	dir, err := os.MkdirTemp("", "atelier-image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var layer bytes.Buffer
	files := tar.NewWriter(&layer)
	for _, d := range []string{"tmp", "run", "data"} {
		if err := files.WriteHeader(&tar.Header{Name: d + "/", Typeflag: tar.TypeDir, Mode: 0o1777}); err != nil {
			return nil, err
		}
	}
	for _, pkg := range []string{"launcher/launchertest/behave/behaved", "internal/dockertest/hostile"} { // in this order: the files are hashed
		name := path.Base(pkg)
		binary := filepath.Join(dir, name)
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", binary, module+pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building %s: %w\n%s", pkg, err, out)
		}
		text, err := os.ReadFile(binary)
		if err != nil {
			return nil, err
		}
		if err := files.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text))}); err != nil {
			return nil, err
		}
		if _, err := files.Write(text); err != nil {
			return nil, err
		}
	}
	if err := files.Close(); err != nil {
		return nil, err
	}
	return layer.Bytes(), nil
})
