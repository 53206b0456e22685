package fakelauncher_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
)

// A whole life: launch, running, stop, exit, forgotten.
func BenchmarkLife(b *testing.B) {
	idle := func(ctx context.Context, _ *fakelauncher.Proc) int { <-ctx.Done(); return 0 }
	l := newHost(b, idle, fakelauncher.Config{Room: launcher.Resources{MilliCPU: 64000, MemoryMiB: 1 << 20}})
	ctx := b.Context()
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		w := launcher.Workload{
			ID: launcher.ID("s-" + strconv.Itoa(n)), Owner: "alice", Image: "x",
			Resources: launcher.Resources{MilliCPU: 1000, MemoryMiB: 1024},
			Ports:     []launcher.Port{{Name: "http", Number: 8787}},
			Mounts:    []launcher.Mount{{Source: "home", Target: "/home/alice"}},
		}
		if _, err := l.Launch(ctx, w); err != nil {
			b.Fatal(err)
		}
		if err := l.Stop(ctx, w.ID, launcher.StopOptions{}); err != nil {
			b.Fatal(err)
		}
		if s, err := launcher.Get(ctx, l, w.ID); err != nil || s.Phase != launcher.Exited {
			b.Fatal(s, err)
		}
		if err := l.Stop(ctx, w.ID, launcher.StopOptions{Forget: true}); err != nil {
			b.Fatal(err)
		}
	}
}

// What it costs to look for one among many.
func BenchmarkGetOf10000(b *testing.B) {
	idle := func(ctx context.Context, _ *fakelauncher.Proc) int { <-ctx.Done(); return 0 }
	l := newHost(b, idle, fakelauncher.Config{})
	for n := range 10_000 {
		if _, err := l.Launch(b.Context(), launcher.Workload{ID: launcher.ID("s-" + strconv.Itoa(n)), Owner: "alice", Image: "x"}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := launcher.Get(b.Context(), l, "s-5000"); err != nil {
			b.Fatal(err)
		}
	}
}
