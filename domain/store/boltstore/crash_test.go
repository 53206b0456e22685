package boltstore_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/boltstore"
)

// A child is this test binary run again. It opens the file at a path, saying
// so before and after; then "hold" waits for the end of its input, and "write"
// changes records until it is killed, telling each change that has returned.
const childVar = "ATELIER_BOLTSTORE_CHILD" // role, round and path

func TestMain(m *testing.M) {
	if text := os.Getenv(childVar); text != "" {
		if err := child(text); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(text string) error {
	var role string
	var round uint64
	var path string
	if _, err := fmt.Sscanf(text, "%s %d %q", &role, &round, &path); err != nil {
		return err
	}
	fmt.Println("opening")
	s, err := boltstore.Open(path)
	if err != nil {
		return err
	}
	fmt.Println("open")
	if role == "hold" {
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	}
	failed := make(chan error)
	for w := range workers {
		go func() { failed <- write(s, round, w) }()
	}
	return <-failed
}

// begin starts a child and returns its output, line by line.
func begin(t *testing.T, role string, round int, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %q", childVar, role, round, path))
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// await reads a child's output up to a line.
func await(t *testing.T, lines *bufio.Scanner, line string) {
	t.Helper()
	for lines.Scan() {
		if lines.Text() == line {
			return
		}
	}
	t.Fatalf("the child ended before it said %q: %s", line, lines.Text())
}

func TestOpenInUseByAProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	cmd, lines := begin(t, "hold", 0, path)
	await(t, lines, "open")
	wantRefused(t, path, boltstore.ErrInUse, "end the other process or close the other store")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	open(t, path) // the lock ended with the process
}

const (
	workers = 4
	ids     = 5 // of each worker
)

func id(worker, n int) string { return fmt.Sprintf("%d-%d", worker, n%ids) }

// A step is the n-th change of a worker in a round: what is in the record then;
// it is deleted if that is empty.
func step(round uint64, worker, n int, exists bool) (changed, value string) {
	if n%7 == 0 && exists {
		return id(worker, n), ""
	}
	size := rand.New(rand.NewPCG(round, uint64(worker*1_000_000+n))).IntN(6000)
	if n%10 == 0 {
		size += 60_000
	}
	name := fmt.Sprintf("round %d, worker %d, change %d. ", round, worker, n)
	return id(worker, n), strings.Repeat(name, size/len(name)+1)
}

// write is a worker: it makes one step after another.
func write(s store.Store, round uint64, worker int) error {
	ctx := context.Background()
	versions := map[string]int64{}
	for r, err := range s.List(ctx, "things", "") {
		if err != nil {
			return err
		}
		versions[r.ID] = r.Version
	}
	for n := 1; ; n++ {
		id, value := step(round, worker, n, versions[id(worker, n)] != 0)
		var err error
		if value == "" {
			err = s.Delete(ctx, "things", id, versions[id])
			versions[id] = 0
		} else {
			versions[id], err = s.Put(ctx, store.Record{Collection: "things", ID: id, Version: versions[id], Value: []byte(value)})
		}
		if err != nil {
			return err
		}
		fmt.Println("did", worker, n, versions[id]) // one write, which a pipe takes whole
	}
}

// A ledger is what has to be in the file.
type ledger struct {
	present map[string]store.Record // by ID
	used    map[string]map[int64]bool
	steps   [workers]int // of this round, that have returned
}

func (l *ledger) note(t *testing.T, id, value string, version int64) {
	t.Helper()
	if value == "" {
		delete(l.present, id)
		return
	}
	if l.used[id] == nil {
		l.used[id] = map[int64]bool{}
	}
	if l.used[id][version] {
		t.Errorf("version %d was given to %s twice", version, id)
	}
	l.used[id][version] = true
	l.present[id] = store.Record{Collection: "things", ID: id, Version: version, Value: []byte(value)}
}

// read takes in what a child says. Once enough changes have returned, or it
// says until, it is killed; what it said before that counts.
func (l *ledger) read(t *testing.T, round uint64, cmd *exec.Cmd, lines *bufio.Scanner, until string, enough int) {
	t.Helper()
	did := 0
	for lines.Scan() {
		var worker, n int
		var version int64
		if _, err := fmt.Sscanf(lines.Text(), "did %d %d %d", &worker, &n, &version); err == nil {
			l.steps[worker] = n
			id, value := step(round, worker, n, l.present[id(worker, n)].Version != 0)
			l.note(t, id, value, version)
			did++
		} else if strings.HasPrefix(lines.Text(), "failed") {
			t.Error(lines.Text())
		}
		if lines.Text() == until || did >= enough && until == "" {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			until = "killed"
		}
	}
	_ = cmd.Wait()
}

// check compares the file with what was said; of each worker, the step after
// the last that returned may have happened.
func (l *ledger) check(t *testing.T, round uint64, s store.Store) {
	t.Helper()
	found := map[string]store.Record{}
	for r, err := range s.List(t.Context(), "things", "") {
		if err != nil {
			t.Fatal(err)
		}
		found[r.ID] = r
	}
	same := func(a, b store.Record) bool { return a.Version == b.Version && string(a.Value) == string(b.Value) }
	for worker := range workers {
		n := l.steps[worker] + 1
		next, value := step(round, worker, n, l.present[id(worker, n)].Version != 0)
		for i := range ids {
			id := id(worker, i)
			r := found[id]
			delete(found, id)
			switch {
			case same(r, l.present[id]):
			case id == next && string(r.Value) == value:
				l.note(t, id, value, r.Version)
			default:
				t.Errorf("%s is %.40q of %d bytes at version %d; what returned last is %.40q of %d bytes at version %d",
					id, r.Value, len(r.Value), r.Version, l.present[id].Value, len(l.present[id].Value), l.present[id].Version)
			}
		}
		l.steps[worker] = 0
	}
	if len(found) > 0 {
		t.Errorf("records that nobody wrote: %v", found)
	}
}

// TestKilled kills a process that changes records with SIGKILL, again and
// again. Each time what it was told is done is there, whole, and of what was
// under way all or nothing. It shows nothing about a power failure: what a
// killed process has written but not synced, the system still has.
func TestKilled(t *testing.T) {
	rounds := 30
	if testing.Short() {
		rounds = 4
	}
	path := filepath.Join(t.TempDir(), "records")
	l := &ledger{present: map[string]store.Record{}, used: map[string]map[int64]bool{}}
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range rounds {
		cmd, lines := begin(t, "write", round, path)
		until := []string{"opening", "open", "", "", ""}[round%5]
		l.read(t, uint64(round), cmd, lines, until, 1+rnd.IntN(60))
		if round == 0 {
			open(t, path).Close() // it may not have been made
		}
		whole(t, path)
		s := open(t, path)
		l.check(t, uint64(round), s)
		s.Close()
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	if len(l.used) != workers*ids {
		t.Errorf("%d records were ever written, want %d: too little was tested", len(l.used), workers*ids)
	}
}

// whole has bbolt look at each page of a file.
func whole(t *testing.T, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
