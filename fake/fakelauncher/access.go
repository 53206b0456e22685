package fakelauncher

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// walk finds name; the tree is locked.
func (d *Dir) walk(name string) (*node, error) {
	n := d.base
	if n.removed {
		return nil, syscall.ENOENT
	}
	for _, element := range elements(name) {
		if n.children == nil {
			return nil, syscall.ENOTDIR
		}
		if !d.may(n, 'x') {
			return nil, syscall.EACCES
		}
		if n = n.children[element]; n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, nil
}

// walkParent finds the directory that holds, or would hold, name.
func (d *Dir) walkParent(name string) (*node, string, error) {
	dir, base := path.Split(clean(name))
	if base == "" {
		return nil, "", syscall.EBUSY // the root of the view is not an entry
	}
	n, err := d.walk(dir)
	switch {
	case err != nil:
		return nil, "", err
	case n.children == nil:
		return nil, "", syscall.ENOTDIR
	case !d.may(n, 'x'):
		return nil, "", syscall.EACCES
	}
	return n, base, nil
}

// create adds a file owned by the acting identity.
func (d *Dir) create(parent *node, base string, mode fs.FileMode) *node {
	u := d.identity()
	n := &node{mode: mode, uid: u.UID, gid: u.GID, modTime: time.Now()}
	if parent.mode&fs.ModeSetgid != 0 {
		n.gid = parent.gid
	}
	parent.children[base] = n
	parent.modTime = n.modTime
	return n
}

func (d *Dir) unlink(parent *node, base string) {
	parent.children[base].removed = true
	delete(parent.children, base)
	parent.modTime = time.Now()
}

func (d *Dir) identity() launcher.User {
	if d.user == nil {
		return launcher.User{}
	}
	return *d.user
}

// may reports whether the acting identity has a right ('r', 'w', 'x') on n.
// The first class that fits decides alone, as POSIX has it.
func (d *Dir) may(n *node, right byte) bool {
	u := d.identity()
	if u.UID == 0 {
		return true
	}
	bit := map[byte]fs.FileMode{'r': 4, 'w': 2, 'x': 1}[right]
	switch {
	case u.UID == n.uid:
		bit <<= 6
	case inGroup(u, n.gid):
		bit <<= 3
	}
	return n.mode&bit != 0
}

// mayChange reports why the acting identity cannot change the entries of a
// directory that it can search.
func (d *Dir) mayChange(dir *node) error {
	if !d.may(dir, 'w') {
		return syscall.EACCES
	}
	return nil
}

func (d *Dir) mayUnlink(parent, n *node) error {
	if err := d.mayChange(parent); err != nil {
		return err
	}
	u := d.identity()
	if parent.mode&fs.ModeSticky != 0 && u.UID != 0 && u.UID != n.uid && u.UID != parent.uid {
		return syscall.EPERM
	}
	return nil
}

// holds reports whether n is or contains other.
func (n *node) holds(other *node) bool {
	if n == other {
		return true
	}
	for _, child := range n.children {
		if child.holds(other) {
			return true
		}
	}
	return false
}

func inGroup(u launcher.User, gid uint32) bool {
	return u.GID == gid || slices.Contains(u.Groups, gid)
}

// clean makes name absolute, so that ".." does not lead out.
func clean(name string) string { return path.Clean("/" + name) }

func elements(name string) []string {
	if name = clean(name); name == "/" {
		return nil
	}
	return strings.Split(name[1:], "/")
}
