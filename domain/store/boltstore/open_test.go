package boltstore_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/boltstore"
)

// wantRefused checks that Open fails at once, with a kind and a sentence.
func wantRefused(t *testing.T, path string, kind error, sentence string) {
	t.Helper()
	within(t, 10*time.Second, func() {
		s, err := boltstore.Open(path)
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), sentence) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want %v, %q and the path", err, kind, sentence)
		}
	})
}

func TestOpenMakesAPrivateFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "records")
	open(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("beside the file there is %v, %v", entries, err)
	}
}

func TestOpenWithoutDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "records")
	wantRefused(t, path, fs.ErrNotExist, "its directory does not exist, make that first")
}

func TestOpenInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	s := open(t, path)
	wantRefused(t, path, boltstore.ErrInUse, "end the other process or close the other store")
	put(t, s, store.Record{Collection: "things", ID: "a"}) // the first is none the worse
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

// Of many that open a file at once that nobody has made, one has it.
func TestOpenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	var opened atomic.Int32
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			s, err := boltstore.Open(path)
			switch {
			case err == nil:
				opened.Add(1)
				t.Cleanup(func() { s.Close() })
			case !errors.Is(err, boltstore.ErrInUse):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if opened.Load() != 1 {
		t.Errorf("%d of 32 have the file, want 1", opened.Load())
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("beside the file there is %v, %v", entries, err)
	}
}

// database makes a bbolt file as some program could.
func database(t *testing.T, path string, options *bbolt.Options, buckets map[string]map[string]string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, options)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(tx *bbolt.Tx) error {
		for name, content := range buckets {
			b, err := tx.CreateBucketIfNotExists([]byte(name))
			if err != nil {
				return err
			}
			for k, v := range content {
				if err := b.Put([]byte(k), []byte(v)); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// What is not a store's file is told from one, and stays as it is.
func TestOpenLeavesWhatItCannotRead(t *testing.T) {
	text := func(n int) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, bytes.Repeat([]byte("text "), n), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	about := func(format string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			database(t, path, nil, map[string]map[string]string{"atelier store": {"format": format}, "records": nil})
		}
	}
	for name, c := range map[string]struct {
		file     func(*testing.T, string)
		sentence string
	}{
		"empty":     {text(0), "it is empty"},
		"text":      {text(3), "not a store file"},
		"long text": {text(100_000), "not a store file"},
		"another program's": {func(t *testing.T, path string) {
			// bbolt itself would write the free list that is missing.
			database(t, path, &bbolt.Options{NoFreelistSync: true}, map[string]map[string]string{"records": {"a": "b"}})
		}, "another program"},
		"newer":          {about("2"), "its format is 2, this program knows up to 1; use the version of Atelier that wrote it, or a newer"},
		"without format": {about(""), `its format is ""`},
		"cut off": {func(t *testing.T, path string) {
			s := open(t, path)
			put(t, s, store.Record{Collection: "things", ID: "a", Value: make([]byte, 64<<10)})
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, 16<<10); err != nil {
				t.Fatal(err)
			}
		}, "it is cut off"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "records")
			c.file(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			wantRefused(t, path, boltstore.ErrFormat, c.sentence)
			after, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file was changed, %v", err)
			}
		})
	}
	t.Run("directory", func(t *testing.T) {
		wantRefused(t, t.TempDir(), boltstore.ErrFormat, "it is no regular file")
	})
}
