package fakelauncher

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"

	"github.com/atelier-go/atelier/launcher"
)

// A Proc is a running program's view of its container. When the program has
// ended or was killed, every use of it fails with [os.ErrProcessDone]. It may
// be used by several goroutines.
type Proc struct {
	// ID is the workload's.
	ID launcher.ID
	// Args is the command with its arguments.
	Args []string
	// Dir is the working directory, in which names that are not absolute are looked up:
	// the workload's, or "/" as in an image that names none.
	Dir string
	// Env is the environment.
	Env map[string]string
	// User is who the process is.
	User launcher.User
	// Stdin is what the workload was given, then io.EOF.
	Stdin io.Reader
	// Stdout and Stderr are what [launcher.Launcher.Logs] reads.
	Stdout, Stderr io.Writer

	c *container
}

// Getenv returns a variable of the environment, or "".
func (p *Proc) Getenv(name string) string { return p.Env[name] }

// Signals asks for the named signals, or for all that can be caught. They
// arrive on the channel and no longer end the program; like package os/signal
// it drops what finds the channel full, which holds 16. A later call replaces
// an earlier one.
func (p *Proc) Signals(names ...string) <-chan string {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.c.signals = make(chan string, 16)
	p.c.caught = slices.Clone(names)
	return p.c.signals
}

// Allocate takes that many MiB of memory more, or gives them back if negative.
// A program that takes more than its workload was given is killed as an engine
// does it: exit code 137, [launcher.ErrOutOfMemory]. It reports whether the
// program lives on.
func (p *Proc) Allocate(mib int64) bool {
	c := p.c
	c.mu.Lock()
	c.memory += mib
	alive, over := !c.dead, c.limit > 0 && c.memory > c.limit
	c.mu.Unlock()
	if alive && over {
		c.outOfMemory()
	}
	return alive && !over
}

// stdin is a workload's standard input.
type stdin struct {
	c    *container
	data []byte
}

func (s *stdin) Read(b []byte) (int, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	switch {
	case s.c.dead:
		return 0, os.ErrProcessDone
	case len(s.data) == 0:
		return 0, io.EOF
	}
	n := copy(b, s.data)
	s.data = s.data[n:]
	return n, nil
}

// file runs f on the directory that holds name, and the name in it: a mount,
// or the container's own file system. Nothing is done for a dead program.
func (p *Proc) file(op, name string, f func(d *Dir, rel string) error) error {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if p.c.dead {
		return pathError(op, name, os.ErrProcessDone)
	}
	d, rel := p.c.files.at(p.absolute(name))
	err := f(d, rel)
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return pathError(e.Op, name, e.Err)
	}
	return err
}

// absolute is a name in the container's root.
func (p *Proc) absolute(name string) string {
	if path.IsAbs(name) {
		return name
	}
	return path.Join(p.Dir, name)
}

// ReadFile returns the content of a file. See [Dir] for permissions and errors.
func (p *Proc) ReadFile(name string) (data []byte, err error) {
	err = p.file("open", name, func(d *Dir, rel string) (err error) {
		data, err = d.ReadFile(rel)
		return err
	})
	return data, err
}

// WriteFile replaces the content of a file, or creates it with mode perm.
func (p *Proc) WriteFile(name string, data []byte, perm fs.FileMode) error {
	return p.file("open", name, func(d *Dir, rel string) error { return d.WriteFile(rel, data, perm) })
}

// Stat describes a file or directory.
func (p *Proc) Stat(name string) (info fs.FileInfo, err error) {
	err = p.file("stat", name, func(d *Dir, rel string) (err error) {
		info, err = d.Stat(rel)
		return err
	})
	return info, err
}

// ReadDir returns the entries of a directory in the order of their names.
func (p *Proc) ReadDir(name string) (entries []fs.DirEntry, err error) {
	err = p.file("open", name, func(d *Dir, rel string) (err error) {
		entries, err = d.ReadDir(rel)
		return err
	})
	return entries, err
}

// Mkdir creates a directory with mode perm.
func (p *Proc) Mkdir(name string, perm fs.FileMode) error {
	return p.file("mkdir", name, func(d *Dir, rel string) error { return d.Mkdir(rel, perm) })
}

// MkdirAll creates a directory and its missing parents with mode perm.
func (p *Proc) MkdirAll(name string, perm fs.FileMode) error {
	return p.file("mkdir", name, func(d *Dir, rel string) error { return d.MkdirAll(rel, perm) })
}

// Remove removes a file or an empty directory.
func (p *Proc) Remove(name string) error {
	return p.file("remove", name, func(d *Dir, rel string) error { return d.Remove(rel) })
}

// RemoveAll removes a file or a directory with all it holds.
func (p *Proc) RemoveAll(name string) error {
	return p.file("remove", name, func(d *Dir, rel string) error { return d.RemoveAll(rel) })
}

// Chmod sets the permissions of a file or directory.
func (p *Proc) Chmod(name string, mode fs.FileMode) error {
	return p.file("chmod", name, func(d *Dir, rel string) error { return d.Chmod(rel, mode) })
}

// Rename moves a file or directory within one mount.
func (p *Proc) Rename(from, to string) error {
	return p.file("rename", from, func(d *Dir, rel string) error {
		toDir, toRel := p.c.files.at(p.absolute(to))
		if toDir != d {
			return pathError("rename", from, syscall.EXDEV)
		}
		return d.Rename(rel, toRel)
	})
}
