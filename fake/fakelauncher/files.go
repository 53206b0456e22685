package fakelauncher

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/atelier-go/atelier/launcher"
)

// files is what a container sees: a root of its own, and its mounts.
type files struct {
	user launcher.User
	root *Dir
	// mounts has the longest targets first.
	mounts []mountPoint
}

type mountPoint struct {
	target string
	dir    *Dir // as the container's process has it
	engine *Dir // as the engine has it, which is root unless the directory says otherwise
}

// newFiles makes the container's own file system with the secrets.
func newFiles(w launcher.Workload) (*files, error) {
	f := &files{user: w.User}
	root := NewDir()
	f.root = root.As(w.User)
	if err := root.Mkdir("tmp", 0o777|fs.ModeSticky); err != nil {
		return nil, err
	}
	if len(w.Secrets) == 0 {
		return f, nil
	}
	if err := root.MkdirAll("run/secrets", 0o755); err != nil {
		return nil, err
	}
	for name, value := range w.Secrets {
		at := path.Join("run/secrets", name)
		if err := root.WriteFile(at, []byte(value), 0o400); err != nil {
			return nil, err
		}
		if err := root.Chown(at, w.User.UID, w.User.GID); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// mount adds the directories at their targets, outer before inner. The points
// they are mounted on are made by root, as engines do.
func (f *files) mount(mounts []launcher.Mount, dirs []*Dir) error {
	order := make([]int, len(mounts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return len(clean(mounts[a].Target)) - len(clean(mounts[b].Target))
	})
	for _, i := range order {
		m, d := mounts[i], dirs[i]
		outer, rel := f.at(m.Target)
		if outer == f.root {
			outer = &Dir{tree: outer.tree, base: outer.base}
		}
		if err := outer.MkdirAll(rel, 0o755); err != nil {
			return fmt.Errorf("mount of %q at %q: %w", m.Source, m.Target, err)
		}
		if m.ReadOnly {
			d = d.ReadOnly()
		}
		point := mountPoint{clean(m.Target), d, d}
		if d.user == nil {
			point.dir = d.As(f.user)
		}
		f.mounts = slices.Insert(f.mounts, 0, point)
	}
	return nil
}

// work makes the working directory of w if there is none, as engines do, also in a
// mount: empty and root's.
func (f *files) work(w launcher.Workload) error {
	dir, rel := f.at(w.Dir)
	engine := &Dir{tree: dir.tree, base: dir.base}
	for _, m := range f.mounts {
		if m.dir == dir {
			engine = m.engine
		}
	}
	if err := engine.MkdirAll(rel, 0o755); err != nil {
		return fmt.Errorf("working directory %q: %w", w.Dir, err)
	}
	return nil
}

// at returns the directory that holds name, and name within it.
func (f *files) at(name string) (*Dir, string) {
	name = clean(name)
	for _, m := range f.mounts {
		if rest, ok := strings.CutPrefix(name, m.target); ok && (rest == "" || rest[0] == '/') {
			return m.dir, rest
		}
	}
	return f.root, name
}
