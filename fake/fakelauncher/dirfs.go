package fakelauncher

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"syscall"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// FS returns the directory as a file system to read, with the permissions of
// the acting identity. It implements [fs.ReadFileFS], [fs.ReadDirFS] and
// [fs.StatFS].
func (d *Dir) FS() fs.FS { return dirFS{d} }

// dirFS adds the strict names of package fs to a Dir.
type dirFS struct{ dir *Dir }

func (f dirFS) Open(name string) (fs.File, error) {
	info, err := f.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		entries, err := f.ReadDir(name)
		if err != nil {
			return nil, err
		}
		return &openDir{name: name, info: info, rest: entries}, nil
	}
	data, err := f.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return &openFile{Reader: bytes.NewReader(data), info: info}, nil
}

func (f dirFS) Stat(name string) (fs.FileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, pathError("stat", name, fs.ErrInvalid)
	}
	return f.dir.Stat(name)
}

func (f dirFS) ReadFile(name string) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, pathError("open", name, fs.ErrInvalid)
	}
	return f.dir.ReadFile(name)
}

func (f dirFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if !fs.ValidPath(name) {
		return nil, pathError("open", name, fs.ErrInvalid)
	}
	return f.dir.ReadDir(name)
}

// openFile is a file as it was when it was opened.
type openFile struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

// openDir is a directory as it was when it was opened.
type openDir struct {
	name string
	info fs.FileInfo
	rest []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, pathError("read", d.name, syscall.EISDIR)
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 || n > len(d.rest) {
		if n > 0 && len(d.rest) == 0 {
			return nil, io.EOF
		}
		n = len(d.rest)
	}
	entries := d.rest[:n:n]
	d.rest = d.rest[n:]
	return entries, nil
}

// fileInfo describes a node at one moment.
type fileInfo struct {
	name    string
	size    int64
	mode    fs.FileMode
	modTime time.Time
	owner   launcher.User
}

func (n *node) info(name string) fs.FileInfo {
	if name == "/" {
		name = "."
	}
	return fileInfo{name, int64(len(n.data)), n.mode, n.modTime, launcher.User{UID: n.uid, GID: n.gid}}
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return i.mode }
func (i fileInfo) ModTime() time.Time { return i.modTime }
func (i fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i fileInfo) Sys() any           { return i.owner }

func isErrno(err error, want syscall.Errno) bool {
	got, ok := errors.AsType[syscall.Errno](err)
	return ok && got == want
}
