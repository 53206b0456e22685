package boltstore_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/boltstore"
)

var update = flag.Bool("update", false, "write the kept file of the present format, and its text, if there is none")

// presentFile is of the format that Open makes today.
const presentFile = "v1.bolt"

// TestKeptFiles opens a copy of each file that a released version wrote, and
// compares all its records with the text beside it.
//
// Whoever changes the format counts it up, names the new file in presentFile
// and runs this test with -update, which makes the new file and its text. Those
// that are there it leaves: what was released stays readable as it was.
func TestKeptFiles(t *testing.T) {
	made := ""
	if _, err := os.Stat(filepath.Join("testdata", presentFile)); *update && errors.Is(err, fs.ErrNotExist) {
		made = filepath.Join("testdata", presentFile)
		keep(t, made)
	}
	files, err := filepath.Glob("testdata/*.bolt")
	if err != nil {
		t.Fatal(err)
	}
	there := false
	for _, file := range files {
		there = there || filepath.Base(file) == presentFile
		t.Run(filepath.Base(file), func(t *testing.T) {
			kept, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "copy")
			if err := os.WriteFile(path, kept, 0o600); err != nil {
				t.Fatal(err)
			}
			got := describe(t, open(t, path))
			text := strings.TrimSuffix(file, ".bolt") + ".txt"
			if file == made {
				if err := os.WriteFile(text, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(text)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s is not what today's code reads. Got:\n%s", text, got)
			}
		})
	}
	if !there {
		t.Errorf("testdata/%s is missing: make it with -update", presentFile)
	}
}

// The collections of a kept file.
var collections = []string{"0aZ._/:-", "research/users", "sessions", "Z" + strings.Repeat("9", 199)}

// keep writes a file of today's format: keys and values at their limits, and
// versions that were given to what was replaced or deleted.
func keep(t *testing.T, path string) {
	t.Helper()
	s, err := boltstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, collection := range collections {
		for _, r := range []store.Record{
			{ID: "a", Value: []byte(`{"Name":"alice","UID":10000}`)},
			{ID: "B"},
			{ID: "0aZ._/:-", Value: []byte("\x00\xff\xfe")},
			{ID: strings.Repeat("z", 200), Value: bytes.Repeat([]byte("0123456789"), 300*i)},
		} {
			r.Collection = collection
			put(t, s, r)
		}
		version := put(t, s, store.Record{Collection: collection, ID: "replaced", Value: []byte("one")})
		put(t, s, store.Record{Collection: collection, ID: "replaced", Version: version, Value: []byte("two")})
		version = put(t, s, store.Record{Collection: collection, ID: "deleted", Value: []byte("one")})
		if err := s.Delete(t.Context(), collection, "deleted", version); err != nil {
			t.Fatal(err)
		}
	}
}

// describe tells each record of a store in a line, and the version that is
// given next.
func describe(t *testing.T, s store.Store) string {
	t.Helper()
	var b strings.Builder
	for _, collection := range collections {
		for r, err := range s.List(t.Context(), collection, "") {
			if err != nil {
				t.Fatal(err)
			}
			value := fmt.Sprintf("%q", r.Value)
			if len(r.Value) > 40 {
				value = fmt.Sprintf("%d bytes, SHA-256 %x", len(r.Value), sha256.Sum256(r.Value))
			}
			fmt.Fprintf(&b, "%s %s at version %d: %s\n", r.Collection, r.ID, r.Version, value)
		}
	}
	fmt.Fprintf(&b, "the next version is %d\n", put(t, s, store.Record{Collection: "new", ID: "a"}))
	return b.String()
}
