package dockerlauncher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/atelier-go/atelier/launcher"
)

// Below returns a [Config.Mounts] that allows the directories below those
// named, as they are on the engine's machine, and refuses every other. Without
// any it refuses all. The engine follows symbolic links: name only directories in
// which users of workloads cannot make any.
func Below(dirs ...string) func(context.Context, launcher.Workload, launcher.Mount) (string, error) {
	return func(_ context.Context, _ launcher.Workload, m launcher.Mount) (string, error) {
		for _, dir := range dirs {
			if cleanAbsolute(m.Source) && strings.HasPrefix(m.Source, strings.TrimSuffix(dir, "/")+"/") {
				return m.Source, nil
			}
		}
		return "", fmt.Errorf("%q is not below a directory that may be mounted here (%s)", m.Source, strings.Join(dirs, ", "))
	}
}

// cleanAbsolute reports whether a path is absolute, below the root, and has no
// element that leads elsewhere.
func cleanAbsolute(p string) bool { return path.IsAbs(p) && p != "/" && path.Clean(p) == p }

// homeSource is a home as a fleet's hosts understand it.
var homeSource = regexp.MustCompile(`^/efs/(fs-[0-9a-z]+\.fsap-[0-9a-z]+)$`)

// Homes returns a [Config.Mounts] for an engine on this machine where homes are
// folders: the source /efs/<file system>.<access point> is the folder of that
// name below root. It is made when it is first mounted, as EFS makes a home's
// directory, owned by the workload's user with mode 0700 or, for a mount with a
// Group, by root and the group with mode 2770; unless that is the user and group
// of this process, making it needs root. A folder that is there and not empty stays
// as it is: what is neither a home nor a group's is made before. Root has to exist.
//
// There is no file system here of which the homes are directories, so the
// workload that removes a home's files (label atelier.home) is refused: it
// would find nothing, and call that success. Remove the folder instead.
func Homes(root string) func(context.Context, launcher.Workload, launcher.Mount) (string, error) {
	return func(_ context.Context, w launcher.Workload, m launcher.Mount) (string, error) {
		match := homeSource.FindStringSubmatch(m.Source)
		if match == nil {
			return "", fmt.Errorf("%q is no home: want /efs/<file system>.<access point>", m.Source)
		}
		if user, ok := w.Labels["atelier.home"]; ok {
			return "", fmt.Errorf("homes are folders here, and none holds the others: remove that of %s below %s by hand", user, root)
		}
		dir, err := filepath.Abs(filepath.Join(root, match[1]))
		if err != nil {
			return "", err
		}
		if m.Group == 0 {
			return dir, ensureDir(dir, 0o700, int(w.User.UID), int(w.User.GID))
		}
		return dir, ensureDir(dir, fs.ModeSetgid|0o770, 0, int(m.Group))
	}
}

// ensureDir makes a directory and gives it its owner and mode. While it is empty
// they are set again, so that a call that was interrupted is finished by the next.
func ensureDir(dir string, mode fs.FileMode, uid, gid int) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) > 0 {
			return err
		}
	} else if err != nil {
		return err
	}
	if uid != os.Getuid() || gid != os.Getgid() {
		if err := os.Chown(dir, uid, gid); err != nil {
			return fmt.Errorf("directory %s cannot be given to %d:%d by uid %d; run as root, or make it first: %w", dir, uid, gid, os.Getuid(), err)
		}
	}
	if mode == 0o700 {
		return nil
	}
	return os.Chmod(dir, mode) // after the change of owner, which takes set-group-ID away
}

// directories finds the engine's directory for each mount of a workload and
// reports every one that is refused.
func (l *Launcher) directories(ctx context.Context, w launcher.Workload) ([]string, error) {
	dirs := make([]string, len(w.Mounts))
	var problems []error
	for i, m := range w.Mounts {
		dir, err := l.cfg.Mounts(ctx, w, m)
		if e, ok := errors.AsType[*launcher.Error](err); ok {
			return nil, e
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("mount at %q: %w", m.Target, err))
		}
		dirs[i] = dir
	}
	if problems != nil {
		return nil, failAs("launch", w.ID, launcher.ErrMount, errors.Join(problems...))
	}
	return dirs, nil
}
