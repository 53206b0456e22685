package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/moby/moby/client"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/dockerlauncher"
)

// localImage is what the sessions run on this machine's container engine.
const localImage = "atelier-quickstart/ide:1"

// onEngine runs the story with real containers on this machine's engine: the
// domain is still in an account in memory, homes are folders, and the instance
// types that are asked for are this machine.
func onEngine(ctx context.Context, out io.Writer) (err error) {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cloud.Close()) }()
	at, err := arrange(cloud, nil)
	if err != nil {
		return err
	}
	homes, err := os.MkdirTemp("", "atelier-homes-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(homes)) }()
	engine, err := client.New(client.FromEnv)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	if err := importImage(ctx, engine); err != nil {
		return err
	}
	l, err := dockerlauncher.New(dockerlauncher.Config{Client: engine, Mounts: dockerlauncher.Homes(homes)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	// Containers are kept for an hour after their end: those of an earlier story too.
	if err := forget(ctx, l); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, forget(ctx, l)) }()
	at.engine = true
	at.hosts = func(context.Context, aws.Config, store.Store, []string, []string) (hosts, error) {
		return hosts{Launcher: local{l}}, nil
	}
	return run(ctx, cloud.Config(), at, out)
}

// forget ends and removes the containers of the story.
func forget(ctx context.Context, l *dockerlauncher.Launcher) error {
	for w, err := range l.List(ctx, launcher.Filter{Labels: map[string]string{"atelier.domain": "research"}}) {
		if err != nil {
			return err
		}
		if err := l.Stop(ctx, w.ID, launcher.StopOptions{Signal: "SIGKILL", Forget: true}); err != nil {
			return err
		}
	}
	return nil
}

// local runs the one image that is on this machine, whatever a workload names:
// the digests of the account in memory are in no registry.
type local struct{ *dockerlauncher.Launcher }

func (l local) Launch(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
	w.Image = localImage
	return l.Launcher.Launch(ctx, w)
}

// importImage builds the session's program and makes an image of it: one file,
// which needs no other.
func importImage(ctx context.Context, engine *client.Client) (err error) {
	dir, err := os.MkdirTemp("", "atelier-ide-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary := filepath.Join(dir, "ide")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/atelier-go/atelier/examples/quickstart/ide") //nolint:gosec // a name of ours
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("the session's program cannot be built: %w\n%s", err, text)
	}
	program, err := os.ReadFile(binary) //nolint:gosec // it was built here
	if err != nil {
		return err
	}
	var files bytes.Buffer
	archive := tar.NewWriter(&files)
	if err := errors.Join(
		archive.WriteHeader(&tar.Header{Name: "ide", Mode: 0o755, Size: int64(len(program))}),
		second(archive.Write(program)), archive.Close(),
	); err != nil {
		return err
	}
	answer, err := engine.ImageImport(ctx, client.ImageImportSource{Source: &files, SourceName: "-"}, localImage,
		client.ImageImportOptions{Changes: []string{`CMD ["/ide"]`}})
	if err != nil {
		return fmt.Errorf("no container engine takes the image; start one, or leave out -launcher docker: %w", err)
	}
	return errors.Join(second(io.Copy(io.Discard, answer)), answer.Close())
}

func second[T any](_ T, err error) error { return err }
