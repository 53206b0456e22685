package dockerlauncher

import (
	"archive/tar"
	"bytes"
	"context"
	"maps"
	"path"
	"slices"

	"github.com/moby/moby/client"

	"github.com/atelier-go/atelier/launcher"
)

// secretsTarget is where a container finds its secrets.
const secretsTarget = "/run/secrets"

// secretsDir is where they are on the host. The engine makes the directory,
// owned by root, when the container is created.
func (l *Launcher) secretsDir(id launcher.ID) string { return path.Join(l.cfg.SecretsDir, string(id)) }

// putSecrets writes the secrets of a container that has not started, through
// the engine, into the directory that is mounted there: no file of the image
// and no disk ever holds them.
func (l *Launcher) putSecrets(ctx context.Context, container string, w launcher.Workload) error {
	return l.writeSecrets(ctx, container, w.Secrets, w.User)
}

func (l *Launcher) writeSecrets(ctx context.Context, container string, secrets map[string]string, owner launcher.User) error {
	var files bytes.Buffer
	archive := tar.NewWriter(&files)
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		header := &tar.Header{
			Name: name, Typeflag: tar.TypeReg, Mode: 0o400, Size: int64(len(secrets[name])),
			Uid: int(owner.UID), Gid: int(owner.GID),
		}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write([]byte(secrets[name])); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	_, err := l.engine.CopyToContainer(ctx, container, client.CopyToContainerOptions{DestinationPath: secretsTarget, Content: &files})
	return err
}

// emptySecrets makes the secrets of an exited container empty files. The
// engine cannot remove a file of the host's; what is left is a name.
func (l *Launcher) emptySecrets(ctx context.Context, c *found) {
	names := c.secrets()
	if len(names) == 0 {
		return
	}
	empty := map[string]string{}
	for _, name := range names {
		empty[name] = ""
	}
	if err := l.writeSecrets(ctx, c.ID, empty, launcher.User{}); err != nil {
		l.cfg.Logger.Warn("secrets of an exited container were not emptied", "workload", c.workload(), "error", err)
	}
}
