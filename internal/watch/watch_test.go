package watch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/atelier-go/atelier/internal/watch"
)

func all(string, int) bool { return true }

// follow collects what a reader sees in a goroutine; the value 0 is the mark.
func follow(ctx context.Context, h *watch.Hub[string, int], match func(string, int) bool) (seen func() []int, end func() error) {
	var values []int
	var last error
	done := make(chan struct{})
	go func() {
		defer close(done)
		for v, err := range h.Changes(ctx, match) {
			if err != nil {
				last = err
				continue
			}
			values = append(values, v)
		}
	}()
	return func() []int { synctest.Wait(); return slices.Clone(values) }, func() error { <-done; return last }
}

func TestChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h watch.Hub[string, int]
		h.Set("b", 2)
		h.Set("a", 1)
		h.Set("odd", 99)
		ctx, cancel := context.WithCancel(t.Context())
		seen, end := follow(ctx, &h, func(k string, _ int) bool { return k != "odd" })
		if got, want := seen(), []int{1, 2, 0}; !slices.Equal(got, want) {
			t.Errorf("a new reader saw %v; want what is by key, then the mark: %v", got, want)
		}
		h.Set("c", 3)
		h.Set("odd", 98)
		seen()
		h.Set("a", 4)
		if got, want := seen(), []int{1, 2, 0, 3, 4}; !slices.Equal(got, want) {
			t.Errorf("the reader saw %v; want %v", got, want)
		}
		cancel()
		if err := end(); !errors.Is(err, context.Canceled) {
			t.Errorf("the last element is %v; want the context's error", err)
		}
	})
}

// A reader that lags sees the latest of each key in the order of first change,
// deleted ones too.
func TestChangesSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h watch.Hub[string, int]
		resume := make(chan struct{})
		var got []int
		done := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer close(done)
			for v, err := range h.Changes(ctx, all) {
				if err != nil {
					return
				}
				got = append(got, v)
				<-resume
			}
		}()
		synctest.Wait()
		for i := range 1000 {
			h.Set("z", 1000+i)
			h.Set("a", 2000+i)
		}
		h.Delete("z")
		close(resume)
		synctest.Wait()
		if want := []int{0, 1999, 2999}; !slices.Equal(got, want) {
			t.Errorf("a slow reader saw %v; want %v", got, want)
		}
		cancel()
		<-done
	})
}

// The step from what is to what changes must lose nothing.
func TestChangesWhileReadingThePresent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h watch.Hub[string, int]
		h.Set("a", 1)
		h.Set("b", 2)
		var got []int
		for v, err := range h.Changes(t.Context(), all) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, v)
			if v == 1 {
				h.Set("a", 3)
				h.Set("c", 4)
			}
			if v == 4 {
				break
			}
		}
		if want := []int{1, 2, 0, 3, 4}; !slices.Equal(got, want) {
			t.Errorf("saw %v; want %v", got, want)
		}
	})
}

func TestChangesCancelledBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h watch.Hub[string, int]
		h.Set("a", 1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		n := 0
		for v, err := range h.Changes(ctx, all) {
			if n++; !errors.Is(err, context.Canceled) {
				t.Errorf("element %d is %v, %v; want the context's error alone", n, v, err)
			}
		}
		if n != 1 {
			t.Errorf("%d elements; want 1", n)
		}
	})
}

func TestAllAndGet(t *testing.T) {
	var h watch.Hub[string, int]
	if got := h.All(); len(got) != 0 {
		t.Errorf("All of an empty hub = %v", got)
	}
	h.Set("b", 2)
	h.Set("a", 1)
	h.Set("b", 3)
	if got := h.All(); !slices.Equal(got, []int{1, 3}) {
		t.Errorf("All = %v; want [1 3]", got)
	}
	h.Delete("a")
	if v, ok := h.Get("a"); ok {
		t.Errorf("Get of a deleted key = %v", v)
	}
	if v, ok := h.Get("b"); !ok || v != 3 {
		t.Errorf("Get(b) = %v, %v", v, ok)
	}
}

// However many write, every reader ends at the last value of every key.
func TestChangesConverge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h watch.Hub[string, int]
		ctx, cancel := context.WithCancel(t.Context())
		const readers, keys, rounds = 8, 16, 200
		last := make([]map[int]int, readers)
		done := make(chan struct{}, readers)
		for r := range readers {
			last[r] = map[int]int{}
			go func() {
				for v, err := range h.Changes(ctx, all) {
					if err == nil && v != 0 {
						last[r][v%keys] = v
					}
				}
				done <- struct{}{}
			}()
		}
		for k := range keys {
			go func() {
				for i := range rounds {
					h.Set(fmt.Sprint(k), (i+1)*keys+k)
				}
			}()
		}
		synctest.Wait()
		cancel()
		for range readers {
			<-done
		}
		for r, seen := range last {
			for k := range keys {
				if want := rounds*keys + k; seen[k] != want {
					t.Errorf("reader %d ended at %d for key %d; want %d", r, seen[k], k, want)
				}
			}
		}
	})
}

func BenchmarkSet(b *testing.B) {
	var h watch.Hub[string, int]
	b.ReportAllocs()
	for b.Loop() {
		h.Set("a", 1)
	}
}

// A loop that is ended from outside says why.
func TestChangesTellsTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h watch.Hub[string, int]
		ctx, cancel := context.WithCancelCause(t.Context())
		seen, end := follow(ctx, &h, all)
		seen()
		why := errors.New("the host is gone")
		cancel(why)
		if err := end(); !errors.Is(err, why) {
			t.Errorf("the last element is %v; want %v", err, why)
		}
	})
}
