package fakelauncher

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// A Dir is a directory in memory, seen by one identity. Views of one tree
// share their files: a Dir stands for a directory of a network file system
// that several hosts mount.
//
// Permissions are POSIX's: owner, group or other by mode for the acting
// identity with its supplementary groups; user 0 may do all; set-group-ID
// directories hand on their group, sticky ones keep their files from other
// users. There is no umask, and there are no links.
//
// Names are slash-separated and relative to the Dir; a leading slash changes
// nothing and ".." does not lead out. Errors are [*fs.PathError] around the
// system's error numbers. All methods are safe for concurrent use.
type Dir struct {
	tree *tree
	base *node
	// user is the identity that acts; nil is root, or the process that mounts.
	user     *launcher.User
	readOnly bool
}

// tree guards the nodes below it.
type tree struct{ mu sync.RWMutex }

// node is a file or a directory.
type node struct {
	mode     fs.FileMode // type, permissions, set-group-ID and sticky
	uid, gid uint32
	modTime  time.Time
	data     []byte
	children map[string]*node // nil in a file
	removed  bool
}

const modeBits = fs.ModePerm | fs.ModeSetgid | fs.ModeSticky

// errReadOnly is EROFS, and also [fs.ErrPermission].
var errReadOnly = fmt.Errorf("%w: %w", syscall.EROFS, fs.ErrPermission)

func newDirNode(mode fs.FileMode, uid, gid uint32) *node {
	return &node{mode: fs.ModeDir | mode&modeBits, uid: uid, gid: gid, modTime: time.Now(), children: map[string]*node{}}
}

// NewDir returns an empty directory that belongs to root and has mode 0755,
// acted on by root. As a mount it is acted on by the process that mounts it.
func NewDir() *Dir {
	return &Dir{tree: &tree{}, base: newDirNode(0o755, 0, 0)}
}

// As returns a view of the same directory in which u acts, whoever calls: what
// an EFS access point with a POSIX user does.
func (d *Dir) As(u launcher.User) *Dir {
	view := *d
	u.Groups = slices.Clone(u.Groups)
	view.user = &u
	return &view
}

// ReadOnly returns a view of the same directory in which nothing can be changed.
func (d *Dir) ReadOnly() *Dir {
	view := *d
	view.readOnly = true
	return &view
}

// Sub returns a view of the directory name below d, with the same identity. It
// stays with that directory when it is renamed, and ends with it.
func (d *Dir) Sub(name string) (*Dir, error) {
	d.tree.mu.RLock()
	defer d.tree.mu.RUnlock()
	n, err := d.walk(name)
	if err == nil && n.children == nil {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("open", name, err)
	}
	view := *d
	view.base = n
	return &view, nil
}

// Stat describes a file or directory. Its Sys is a [launcher.User] with the
// owning user and group.
func (d *Dir) Stat(name string) (fs.FileInfo, error) {
	d.tree.mu.RLock()
	defer d.tree.mu.RUnlock()
	n, err := d.walk(name)
	if err != nil {
		return nil, pathError("stat", name, err)
	}
	return n.info(path.Base(clean(name))), nil
}

// ReadFile returns the content of a file.
func (d *Dir) ReadFile(name string) ([]byte, error) {
	d.tree.mu.RLock()
	defer d.tree.mu.RUnlock()
	n, err := d.walk(name)
	switch {
	case err != nil:
	case n.children != nil:
		err = syscall.EISDIR
	case !d.may(n, 'r'):
		err = syscall.EACCES
	default:
		return append([]byte{}, n.data...), nil
	}
	return nil, pathError("open", name, err)
}

// ReadDir returns the entries of a directory in the order of their names.
func (d *Dir) ReadDir(name string) ([]fs.DirEntry, error) {
	d.tree.mu.RLock()
	defer d.tree.mu.RUnlock()
	n, err := d.walk(name)
	switch {
	case err != nil:
	case n.children == nil:
		err = syscall.ENOTDIR
	case !d.may(n, 'r'):
		err = syscall.EACCES
	default:
		entries := make([]fs.DirEntry, 0, len(n.children))
		for name, child := range n.children {
			entries = append(entries, fs.FileInfoToDirEntry(child.info(name)))
		}
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
		return entries, nil
	}
	return nil, pathError("open", name, err)
}

// WriteFile replaces the content of a file. It creates a missing one, with
// mode perm, as the acting identity's.
func (d *Dir) WriteFile(name string, data []byte, perm fs.FileMode) error {
	return d.change("open", name, func(parent *node, base string) error {
		n := parent.children[base]
		switch {
		case n == nil:
			if err := d.mayChange(parent); err != nil {
				return err
			}
			n = d.create(parent, base, perm&modeBits)
		case n.children != nil:
			return syscall.EISDIR
		case !d.may(n, 'w'):
			return syscall.EACCES
		}
		n.data, n.modTime = slices.Clone(data), time.Now()
		return nil
	})
}

// Mkdir creates a directory with mode perm as the acting identity's. An
// existing name is [fs.ErrExist].
func (d *Dir) Mkdir(name string, perm fs.FileMode) error {
	return d.change("mkdir", name, func(parent *node, base string) error {
		if parent.children[base] != nil {
			return syscall.EEXIST
		}
		if err := d.mayChange(parent); err != nil {
			return err
		}
		n := d.create(parent, base, fs.ModeDir|perm&modeBits)
		n.mode |= parent.mode & fs.ModeSetgid
		n.children = map[string]*node{}
		return nil
	})
}

// MkdirAll creates a directory and its missing parents with mode perm. An
// existing directory is left as it is.
func (d *Dir) MkdirAll(name string, perm fs.FileMode) error {
	at := ""
	for _, element := range elements(name) {
		at = path.Join(at, element)
		if info, err := d.Stat(at); err == nil && info.IsDir() {
			continue
		} else if err == nil {
			return pathError("mkdir", name, syscall.ENOTDIR)
		}
		// Another may create it between the two steps; then it is looked at again.
		if err := d.Mkdir(at, perm); err != nil {
			if info, statErr := d.Stat(at); statErr != nil || !info.IsDir() {
				return err
			}
		}
	}
	return nil
}

// Remove removes a file or an empty directory.
func (d *Dir) Remove(name string) error {
	return d.change("remove", name, func(parent *node, base string) error {
		n := parent.children[base]
		if n == nil {
			return syscall.ENOENT
		}
		if err := d.mayUnlink(parent, n); err != nil {
			return err
		}
		if len(n.children) > 0 {
			return syscall.ENOTEMPTY
		}
		d.unlink(parent, base)
		return nil
	})
}

// RemoveAll removes a file or a directory with all it holds. A missing name is
// no error. What may not be removed stops it half-way.
func (d *Dir) RemoveAll(name string) error {
	entries, err := d.ReadDir(name)
	switch {
	case err == nil:
		for _, e := range entries {
			if err := d.RemoveAll(path.Join(name, e.Name())); err != nil {
				return err
			}
		}
	case isErrno(err, syscall.ENOENT):
		return nil
	}
	if err := d.Remove(name); err != nil && !isErrno(err, syscall.ENOENT) {
		return err
	}
	return nil
}

// Rename moves a file or directory. It replaces a file, or an empty directory
// by a directory.
func (d *Dir) Rename(from, to string) error {
	return d.change("rename", from, func(source *node, sourceBase string) error {
		target, targetBase, err := d.walkParent(to)
		if err != nil {
			return err
		}
		moved, replaced := source.children[sourceBase], target.children[targetBase]
		switch {
		case moved == nil:
			return syscall.ENOENT
		case moved == replaced:
			return nil
		case moved.holds(target):
			return syscall.EINVAL
		}
		if err := d.mayUnlink(source, moved); err != nil {
			return err
		}
		if replaced == nil {
			err = d.mayChange(target)
		} else {
			err = d.mayUnlink(target, replaced)
		}
		switch {
		case err != nil:
			return err
		case replaced == nil:
		case replaced.children == nil && moved.children != nil:
			return syscall.ENOTDIR
		case replaced.children != nil && moved.children == nil:
			return syscall.EISDIR
		case len(replaced.children) > 0:
			return syscall.ENOTEMPTY
		default:
			d.unlink(target, targetBase)
		}
		delete(source.children, sourceBase)
		target.children[targetBase] = moved
		source.modTime, target.modTime = time.Now(), time.Now()
		return nil
	})
}

// Chmod sets permissions, set-group-ID and sticky bit. Only the owner and root may.
func (d *Dir) Chmod(name string, mode fs.FileMode) error {
	return d.changeNode("chmod", name, func(n *node, u launcher.User) error {
		if u.UID != 0 && u.UID != n.uid {
			return syscall.EPERM
		}
		n.mode = n.mode&^modeBits | mode&modeBits
		return nil
	})
}

// Chown gives a file or directory to another user and group. Root may; the
// owner may give it to a group of their own.
func (d *Dir) Chown(name string, uid, gid uint32) error {
	return d.changeNode("chown", name, func(n *node, u launcher.User) error {
		if u.UID != 0 && (u.UID != n.uid || uid != n.uid || !inGroup(u, gid)) {
			return syscall.EPERM
		}
		n.uid, n.gid = uid, gid
		return nil
	})
}

// change runs f on the parent of name, for writing.
func (d *Dir) change(op, name string, f func(parent *node, base string) error) error {
	d.tree.mu.Lock()
	defer d.tree.mu.Unlock()
	parent, base, err := d.walkParent(name)
	if err == nil && d.readOnly {
		err = errReadOnly
	}
	if err == nil {
		err = f(parent, base)
	}
	return pathError(op, name, err)
}

// changeNode runs f on name itself, which may be the root of the view.
func (d *Dir) changeNode(op, name string, f func(*node, launcher.User) error) error {
	d.tree.mu.Lock()
	defer d.tree.mu.Unlock()
	n, err := d.walk(name)
	if err == nil && d.readOnly {
		err = errReadOnly
	}
	if err == nil {
		err = f(n, d.identity())
	}
	return pathError(op, name, err)
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}
