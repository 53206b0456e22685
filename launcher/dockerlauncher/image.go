package dockerlauncher

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"

	"github.com/atelier-go/atelier/launcher"
)

// Pull makes an image present on the engine. One that is present is not asked
// for again. A pull that was begun goes on when ctx ends, and who asks again
// joins it.
func (l *Launcher) Pull(ctx context.Context, image string) error {
	const op = "pull"
	if _, err := registryOf(op, "", image); err != nil {
		return err
	}
	_, err := l.engine.ImageInspect(ctx, image)
	if !errdefs.IsNotFound(err) {
		return fail(op, "", err)
	}
	return l.pull(ctx, op, "", image)
}

// registryOf returns the registry that an image's reference names.
func registryOf(op string, id launcher.ID, image string) (string, error) {
	name, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return "", refuse(op, id, launcher.ErrImage, "image %.200q is no reference: %w", image, err)
	}
	return reference.Domain(name), nil
}

// pull fetches an image from its registry. All who want it at one time share
// one pull, which tells the flights that wait for it how far it is.
func (l *Launcher) pull(ctx context.Context, op string, id launcher.ID, image string) error {
	done := l.pulls.DoChan(image, func() (any, error) {
		outcome := errClosed
		finished := make(chan struct{})
		if !l.background(func(life context.Context) {
			defer close(finished)
			outcome = l.fetch(life, image)
		}) {
			return nil, outcome
		}
		<-finished
		return nil, outcome
	})
	select {
	case <-ctx.Done():
		return ctx.Err()
	case r := <-done:
		err := r.Err
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errClosed) || l.life.Err() != nil:
			return refuse(op, id, launcher.ErrNotRunning, "%w", errClosed)
		case errdefs.IsNotFound(err), errdefs.IsInvalidArgument(err):
			return failAs(op, id, launcher.ErrImage, fmt.Errorf("image %s cannot be had for this machine (%s): check its reference and its platforms: %w", image, runtime.GOARCH, err))
		}
		return fail(op, id, fmt.Errorf("image %s: %w", image, err))
	}
}

// fetch is one pull.
func (l *Launcher) fetch(ctx context.Context, image string) error {
	auth, err := l.authorisation(ctx, image)
	if err != nil {
		return err
	}
	answer, err := l.engine.ImagePull(ctx, image, client.ImagePullOptions{RegistryAuth: auth})
	if err != nil {
		return err
	}
	defer answer.Close()
	return l.follow(image, answer.JSONMessages(ctx))
}

// authorisation asks for the credentials of an image's registry, in the form
// in which the engine takes them for one request.
func (l *Launcher) authorisation(ctx context.Context, image string) (string, error) {
	host, err := registryOf("pull", "", image)
	if err != nil || l.cfg.Credentials == nil {
		return "", err
	}
	username, password, err := l.cfg.Credentials(ctx, host)
	if err != nil {
		return "", failAs("pull", "", launcher.ErrDenied, fmt.Errorf("there are no credentials for registry %s: %w", host, err))
	}
	if username == "" && password == "" {
		return "", nil
	}
	return authconfig.Encode(registry.AuthConfig{Username: username, Password: password, ServerAddress: host})
}

// follow reads what the engine tells of a pull until it ends.
func (l *Launcher) follow(image string, messages iter.Seq2[jsonstream.Message, error]) error {
	layers := map[string]jsonstream.Progress{}
	told := ""
	for m, err := range messages {
		if err != nil {
			return err
		}
		if m.Error != nil {
			return m.Error
		}
		if m.Progress != nil && m.ID != "" && !strings.HasPrefix(m.Status, "Extracting") {
			layers[m.ID] = *m.Progress
		}
		var have, all int64
		for _, p := range layers {
			have, all = have+p.Current, all+p.Total
		}
		text := fmt.Sprintf("the image is being pulled: %d of %d MiB", have>>20, all>>20)
		if text != told {
			told = text
			l.tell(image, text)
		}
	}
	return nil
}
