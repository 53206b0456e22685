package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// What is in a file: two buckets. One has the format; the other has all
// records, by key, and the sequence that their versions come from.
var (
	aboutBucket   = []byte("atelier store")
	formatKey     = []byte("format")
	recordsBucket = []byte("records")
)

// format is that of the files this program makes. It reads all up to it.
const format = 1

// atOnce has bbolt try the lock once. Zero would have it wait for ever.
const atOnce time.Duration = 1

// Open opens the store in a file, or makes the file, with mode 0600, if there
// is none. Its directory has to exist. To make the file, this process needs to
// be allowed to write there, and the file system to know hard links; if it is
// killed in that moment, a file whose name has ".new-" in it may stay behind,
// which may be removed.
//
// If another has the file it is [ErrInUse] at once, and [ErrFormat] for a file
// that is empty, cut off, another program's or a newer Atelier's; any other
// error is the system's. In none of these cases does it change the file.
func Open(path string) (*Store, error) {
	s, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	return s, nil
}

func open(path string) (*Store, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = create(path); err == nil {
			info, err = os.Stat(path)
		}
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: it is no regular file", ErrFormat)
	}
	if info.Size() == 0 { // bbolt would begin anew
		return nil, fmt.Errorf("%w: it is empty; if nothing was lost, remove it", ErrFormat)
	}
	if err := check(path); err != nil {
		return nil, err
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: atOnce, FreelistType: bbolt.FreelistMapType, NoStatistics: true})
	if err != nil {
		return nil, refused(err)
	}
	return &Store{db: db}, nil
}

// check looks at a file without writing to it, as bbolt may when it opens one
// for writing.
func check(path string) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: atOnce, ReadOnly: true, NoStatistics: true})
	if err != nil {
		return refused(err)
	}
	defer func() { _ = db.Close() }() // nothing was written
	return db.View(func(tx *bbolt.Tx) error {
		// Reading what is not there would be the end of the process.
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if info.Size() < tx.Size() {
			return fmt.Errorf("%w: it is cut off: %d of %d bytes are there; restore a copy", ErrFormat, info.Size(), tx.Size())
		}
		about, records := tx.Bucket(aboutBucket), tx.Bucket(recordsBucket)
		if about == nil || records == nil {
			return fmt.Errorf("%w: it is a bbolt database of another program", ErrFormat)
		}
		text := string(about.Get(formatKey))
		is, err := strconv.Atoi(text)
		switch {
		case err != nil || is < 1:
			return fmt.Errorf("%w: its format is %q", ErrFormat, text)
		case is > format:
			return fmt.Errorf("%w: its format is %d, this program knows up to %d; use the version of Atelier that wrote it, or a newer", ErrFormat, is, format)
		}
		return nil
	})
}

// refused gives an error of bbolt's Open its kind.
func refused(err error) error {
	if errors.Is(err, berrors.ErrTimeout) {
		return fmt.Errorf("%w: one process has it at a time, and opens it once; end the other process or close the other store", ErrInUse)
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return err
	}
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return err
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}

// create makes a file without records. It is whole when it appears at its
// path: a process that is killed meanwhile leaves none there, and of two that
// make it one comes first.
func create(path string) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".new-*") // its mode is 0600
	if err != nil {
		if _, missing := os.Stat(dir); errors.Is(missing, fs.ErrNotExist) {
			return fmt.Errorf("its directory does not exist, make that first: %w", missing)
		}
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if err := f.Close(); err != nil {
		return err
	}
	db, err := bbolt.Open(f.Name(), 0o600, &bbolt.Options{Timeout: atOnce})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // does nothing the second time
	err = db.Update(func(tx *bbolt.Tx) error {
		about, err := tx.CreateBucket(aboutBucket)
		if err != nil {
			return err
		}
		if err := about.Put(formatKey, []byte(strconv.Itoa(format))); err != nil {
			return err
		}
		_, err = tx.CreateBucket(recordsBucket)
		return err
	})
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

// syncDir has the name of a file survive a power failure, as its content does.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // which has no such thing
		return nil
	}
	d, err := os.Open(dir) // #nosec G304 -- the caller says where its file is
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
