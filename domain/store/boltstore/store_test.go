package boltstore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/boltstore"
	"github.com/atelier-go/atelier/domain/store/storetest"
)

func open(t *testing.T, path string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t *testing.T, s store.Store, r store.Record) int64 {
	t.Helper()
	version, err := s.Put(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// within fails the test if f has not returned after a while.
func within(t *testing.T, d time.Duration, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatalf("it has not ended after %v", d)
	}
}

func TestStore(t *testing.T) {
	var mu sync.Mutex
	paths := map[store.Store]string{}
	remember := func(s *boltstore.Store, path string) store.Store {
		mu.Lock()
		defer mu.Unlock()
		paths[s] = path
		return s
	}
	storetest.Run(t, storetest.Harness{
		New: func(t *testing.T) store.Store {
			path := filepath.Join(t.TempDir(), "records")
			return remember(open(t, path), path)
		},
		Reopen: func(t *testing.T, s store.Store) store.Store {
			if err := s.(*boltstore.Store).Close(); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			path := paths[s]
			mu.Unlock()
			return remember(open(t, path), path)
		},
	})
}

// The loop over a list of several pages writes so much that the file is mapped
// anew, which waits for whoever reads.
func TestListWhileItGrows(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "records"))
	const n = 600
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if _, err := s.Put(t.Context(), store.Record{Collection: "things", ID: fmt.Sprintf("%03d", i)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	within(t, time.Minute, func() {
		got := 0
		for r, err := range s.List(t.Context(), "things", "") {
			if err != nil {
				t.Error(err)
				return
			}
			if want := fmt.Sprintf("%03d", got); r.ID != want {
				t.Errorf("%s is listed, want %s", r.ID, want)
			}
			if got++; got%30 == 0 {
				if _, err := s.Put(t.Context(), store.Record{Collection: "more", ID: r.ID, Value: make([]byte, store.MaxValue)}); err != nil {
					t.Error(err)
				}
			}
		}
		if got != n {
			t.Errorf("%d records are listed, want %d", got, n)
		}
	})
}

func TestClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	s := open(t, path)
	version := put(t, s, store.Record{Collection: "things", ID: "a", Value: []byte("one")})
	for i := range 300 {
		if i%100 == 0 {
			put(t, s, store.Record{Collection: "things", ID: fmt.Sprint("large", i), Value: make([]byte, store.MaxValue)})
		}
	}
	elements := 0
	var last error
	for _, err := range s.List(t.Context(), "things", "") {
		elements++
		last = err
		if err := s.Close(); err != nil { // the second time it does nothing
			t.Error(err)
		}
	}
	if !errors.Is(last, boltstore.ErrClosed) || elements < 2 {
		t.Errorf("a list in which the store was closed had %d elements, the last with %v", elements, last)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, get := s.Get(t.Context(), "things", "a")
	_, change := s.Put(t.Context(), store.Record{Collection: "things", ID: "a", Version: version})
	_, invalid := s.Get(t.Context(), "no such", "a")
	_, over := s.Get(ctx, "things", "a")
	for _, err := range s.List(t.Context(), "things", "") {
		last = err
	}
	for _, c := range []struct {
		call      string
		err, want error
	}{
		{"Get", get, boltstore.ErrClosed}, {"Put", change, boltstore.ErrClosed}, {"List", last, boltstore.ErrClosed},
		{"Delete", s.Delete(t.Context(), "things", "a", version), boltstore.ErrClosed},
		{"Get of what is invalid", invalid, store.ErrInvalid}, {"Get with a context that has ended", over, context.Canceled},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s of a closed store: %v, want %v", c.call, c.err, c.want)
		}
	}
	if got := get.Error(); got != `read "a" in things: store is closed` {
		t.Errorf("got %q", got)
	}
	if r, err := open(t, path).Get(t.Context(), "things", "a"); err != nil || r.Version != version || string(r.Value) != "one" {
		t.Errorf("after Close there is %+v, %v", r, err)
	}
}

// Close comes between many writers: what they were told is written is there,
// and nothing else.
func TestCloseAmongWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	s := open(t, path)
	const writers = 16
	written := make([]int, writers)
	begun := make(chan struct{}, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for {
				_, err := s.Put(t.Context(), store.Record{Collection: "things", ID: fmt.Sprintf("%d-%d", w, written[w])})
				if errors.Is(err, boltstore.ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				if written[w]++; written[w] == 3 {
					begun <- struct{}{}
				}
			}
		})
	}
	for range writers {
		<-begun
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	want := 0
	for _, n := range written {
		want += n
	}
	s = open(t, path)
	got := 0
	for r, err := range s.List(t.Context(), "things", "") {
		if err != nil {
			t.Fatal(err)
		}
		w, n := 0, 0
		if _, err := fmt.Sscanf(strings.Replace(r.ID, "-", " ", 1), "%d %d", &w, &n); err != nil || n >= written[w] {
			t.Errorf("%s is there, which was refused", r.ID)
		}
		got++
	}
	if got != want {
		t.Errorf("%d records are there, %d were written", got, want)
	}
}
