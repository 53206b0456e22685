package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/atelier-go/atelier/domain/store"
)

type counted struct{ N int }

// TestMirror lets chance change a table and holds a mirror to the table after
// each change, also when listings end early.
func TestMirror(t *testing.T) {
	for seed := range uint64(50) {
		ctx := context.Background()
		table := store.NewTable[counted](store.NewMemory(), "things")
		mirror := store.NewMirror(table)
		r := rand.New(rand.NewPCG(seed, 1))
		want := map[int]bool{}
		for step := range 200 {
			id, n := fmt.Sprintf("t%d", r.IntN(8)), step
			switch r.IntN(4) {
			case 0:
				if err := table.Delete(ctx, id); err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Fatal(err)
				}
			case 1:
				for range mirror.All(ctx) {
					break
				}
			default:
				err := table.Create(ctx, id, counted{n})
				if errors.Is(err, store.ErrConflict) {
					_, err = table.Update(ctx, id, func(c *counted) error { c.N = n; return nil })
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			clear(want)
			for c, err := range table.All(ctx) {
				if err != nil {
					t.Fatal(err)
				}
				want[c.N] = true
			}
			got := map[int]bool{}
			for c, err := range mirror.All(ctx) {
				if err != nil {
					t.Fatal(err)
				}
				got[c.N] = true
			}
			if !maps.Equal(got, want) {
				t.Fatalf("seed %d, step %d: the mirror shows %v, the table %v", seed, step, got, want)
			}
		}
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
