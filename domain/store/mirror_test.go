package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/domain/store"
)

type counted struct{ N int }

// A plain store is one that a mirror knows nothing about.
type plain struct{ store.Store }

// TestMirror lets chance change a table and holds a mirror to the table after
// each change, also when listings end early and when much changed in between; what
// its twin says has changed turns what that showed before into what it shows now.
func TestMirror(t *testing.T) {
	for name, open := range map[string]func() store.Store{
		"Memory": func() store.Store { return store.NewMemory() },
		"Plain":  func() store.Store { return plain{store.NewMemory()} },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(30) {
				mirrors(t, seed, open())
			}
		})
	}
}

func mirrors(t *testing.T, seed uint64, s store.Store) {
	ctx := context.Background()
	table, other := store.NewTable[counted](s, "things"), store.NewTable[counted](s, "others")
	mirror := store.NewMirror(table)
	told := mirror.Twin()
	r := rand.New(rand.NewPCG(seed, 1))
	known := map[string]int{}
	for step := range 200 {
		id, n := fmt.Sprintf("t%d", r.IntN(8)), step
		put := func(table store.Table[counted], id string, n int) {
			err := table.Create(ctx, id, counted{n})
			if errors.Is(err, store.ErrConflict) {
				_, err = table.Update(ctx, id, func(c *counted) error { c.N = n; return nil })
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		switch r.IntN(6) {
		case 0, 1:
			if err := table.Delete(ctx, id); err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Fatal(err)
			}
		case 2:
			for range mirror.All(ctx) {
				break
			}
		case 3:
			put(other, id, n)
		default:
			put(table, id, n)
			if step%50 == 49 { // more than a store remembers
				for i := range 4000 {
					put(table, id, n+i)
				}
			}
		}
		want := map[string]int{}
		for c, err := range table.All(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			want[fmt.Sprint(c.N)] = c.N
		}
		got := map[string]int{}
		for c, err := range mirror.All(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			got[fmt.Sprint(c.N)] = c.N
		}
		if !maps.Equal(got, want) {
			t.Fatalf("seed %d, step %d: the mirror shows %v, the table %v", seed, step, got, want)
		}
		if r.IntN(3) > 0 { // the other is brought up to date less often
			continue
		}
		changes, err := told.Update(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if old, ok := known[c.ID]; c.Value == nil && !ok || c.Value != nil && ok && old == c.Value.N {
				t.Fatalf("seed %d, step %d: %+v is told to have changed", seed, step, c)
			}
			if c.Value == nil {
				delete(known, c.ID)
			} else {
				known[c.ID] = c.Value.N
			}
		}
		values := map[string]int{}
		for _, n := range known {
			values[fmt.Sprint(n)] = n
		}
		if !maps.Equal(values, want) || told.Len() != len(want) {
			t.Fatalf("seed %d, step %d: by the changes there are %v, in the table %v", seed, step, values, want)
		}
		for id := range known {
			one, _ := mirror.Get(id)
			if other, _ := told.Get(id); one != other {
				t.Fatalf("seed %d, step %d: %s was decoded twice", seed, step, id)
			}
		}
	}
}

// TestTwinsAtOnce: twins may be used at the same time.
func TestTwinsAtOnce(t *testing.T) {
	ctx := context.Background()
	table := store.NewTable[counted](store.NewMemory(), "things")
	mirror := store.NewMirror(table)
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			twin := mirror.Twin()
			for i := range 2000 {
				id := fmt.Sprintf("t%d", i%8)
				if err := table.Create(ctx, id, counted{i}); err != nil && !errors.Is(err, store.ErrConflict) {
					return err
				}
				if _, err := twin.Update(ctx); err != nil {
					return err
				}
				if err := table.Delete(ctx, id); err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

// TestMirrorOfTrouble: what cannot be read is told again until it can, and nothing
// is lost by it.
func TestMirrorOfTrouble(t *testing.T) {
	ctx := context.Background()
	memory := store.NewMemory()
	table := store.NewTable[counted](memory, "things")
	mirror := store.NewMirror(table)
	if err := table.Create(ctx, "a", counted{1}); err != nil {
		t.Fatal(err)
	}
	if changes, err := mirror.Update(ctx); err != nil || len(changes) != 1 {
		t.Fatalf("%v, %v", changes, err)
	}
	version, err := memory.Put(ctx, store.Record{Collection: "things", ID: "b", Value: []byte("{")})
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Create(ctx, "c", counted{3}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if changes, err := mirror.Update(ctx); err == nil {
			t.Fatalf("a document that is none: %v", changes)
		}
	}
	if _, err := memory.Put(ctx, store.Record{Collection: "things", ID: "b", Value: []byte(`{"N": 2}`), Version: version}); err != nil {
		t.Fatal(err)
	}
	if _, err := mirror.Update(ctx); err != nil || mirror.Len() != 3 {
		t.Errorf("%d are there, %v", mirror.Len(), err)
	}
	if v, ok := mirror.Get("b"); !ok || v.N != 2 {
		t.Errorf("it is %v", v)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := mirror.Update(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

// BenchmarkMirror lists a thousand documents of which none has changed, beside
// a table that decodes them all.
func BenchmarkMirror(b *testing.B) {
	ctx := context.Background()
	table := store.NewTable[counted](store.NewMemory(), "things")
	for i := range 1000 {
		if err := table.Create(ctx, fmt.Sprintf("t%04d", i), counted{i}); err != nil {
			b.Fatal(err)
		}
	}
	mirror := store.NewMirror(table)
	b.Run("mirror", func(b *testing.B) {
		for b.Loop() {
			for _, err := range mirror.All(ctx) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("table", func(b *testing.B) {
		for b.Loop() {
			for _, err := range table.All(ctx) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
