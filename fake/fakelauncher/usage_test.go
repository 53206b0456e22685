package fakelauncher_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
)

// Processor time is what a program says it uses, within what it was given, over
// virtual time.
func TestUsage(t *testing.T) {
	for name, c := range map[string]struct {
		room  launcher.Resources
		given float64 // of 2.5 cores
	}{
		"WithoutLimit": {launcher.Resources{MemoryMiB: 1024}, 2.5},
		"Enough":       {launcher.Resources{MilliCPU: 4000}, 2.5},
		"Bounded":      {launcher.Resources{MilliCPU: 1500}, 1.5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				steps := make(chan func(*fakelauncher.Proc))
				l := newHost(t, func(ctx context.Context, p *fakelauncher.Proc) int {
					for {
						select {
						case step := <-steps:
							step(p)
						case <-ctx.Done():
							return 0
						}
					}
				}, fakelauncher.Config{})
				w := work("a")
				w.Resources = c.room
				s := launch(t, l, w)
				do := func(step func(*fakelauncher.Proc)) {
					steps <- step
					synctest.Wait()
				}
				use := func(cores, given float64) {
					do(func(p *fakelauncher.Proc) {
						if got := p.Use(cores); got != given {
							t.Errorf("Use(%v) = %v; want %v", cores, got, given)
						}
					})
				}
				var memory int64
				takes := func(cpu time.Duration) {
					t.Helper()
					want := launcher.Usage{StartedAt: s.StartedAt, At: time.Now(), CPU: cpu, MemoryBytes: memory}
					if u, err := l.Usage(t.Context(), "a"); u != want || err != nil {
						t.Errorf("Usage = %+v, %v; want %+v", u, err, want)
					}
				}
				minutes := func(cores float64) time.Duration { return time.Duration(cores * float64(time.Minute)) }
				time.Sleep(time.Minute)
				takes(0) // a program that says nothing
				use(2.5, c.given)
				takes(0)
				time.Sleep(time.Minute)
				takes(minutes(c.given))
				use(.25, .25)
				time.Sleep(4 * time.Minute)
				takes(minutes(c.given + 1))
				use(-1, 0)
				time.Sleep(time.Hour)
				takes(minutes(c.given + 1))
				memory = 64 << 20
				do(func(p *fakelauncher.Proc) { p.Allocate(64) })
				takes(minutes(c.given + 1))
				memory = 0
				do(func(p *fakelauncher.Proc) { p.Allocate(-65) })
				takes(minutes(c.given + 1))
			})
		})
	}
}
