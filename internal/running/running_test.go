package running_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/internal/running"
)

func TestGateClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g running.Gate
		begun := time.Now()
		if err := g.Wait(t.Context()); !errors.Is(err, running.ErrNotRunning) {
			t.Errorf("Wait at a closed gate = %v; want ErrNotRunning", err)
		}
		if waited := time.Since(begun); waited != time.Second {
			t.Errorf("Wait took %v; want a second", waited)
		}
	})
}

// A use right after "go x.Run(ctx)" must not fail.
func TestGateOpensWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g running.Gate
		go func() {
			time.Sleep(time.Second / 2)
			open, _, err := g.Enter()
			if err != nil {
				t.Error(err)
			}
			open()
		}()
		begun := time.Now()
		if err := g.Wait(t.Context()); err != nil {
			t.Errorf("Wait = %v", err)
		}
		if waited := time.Since(begun); waited != time.Second/2 {
			t.Errorf("Wait took %v; want it to end when the gate opens", waited)
		}
	})
}

// A Run that takes its time to be ready is waited for, and not for longer than it is
// there.
func TestGateEnteredLongBeforeOpen(t *testing.T) {
	for name, ready := range map[string]bool{"ready": true, "never ready": false} {
		for when, early := range map[string]time.Duration{"after it began": time.Second, "before it began": -time.Second / 2} {
			t.Run(name+", asked "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var g running.Gate
					go func() {
						time.Sleep(max(0, -early))
						open, leave, err := g.Enter()
						if err != nil {
							t.Error(err)
						}
						time.Sleep(time.Minute)
						if ready {
							open()
						}
						leave()
					}()
					time.Sleep(max(0, early))
					if err := g.Wait(t.Context()); (err == nil) != ready || err != nil && !errors.Is(err, running.ErrNotRunning) {
						t.Errorf("Wait = %v", err)
					}
				})
			})
		}
	}
}

func TestGateReopens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g running.Gate
		for range 2 {
			open, leave, err := g.Enter()
			if err != nil {
				t.Fatal(err)
			}
			open()
			if _, _, err := g.Enter(); !errors.Is(err, running.ErrAlreadyRunning) {
				t.Errorf("second Enter = %v; want ErrAlreadyRunning", err)
			}
			cancelled, cancel := context.WithCancel(t.Context())
			cancel()
			if err := g.Wait(cancelled); err != nil {
				t.Errorf("Wait at an open gate = %v", err)
			}
			leave()
			if err := g.Wait(t.Context()); !errors.Is(err, running.ErrNotRunning) {
				t.Errorf("Wait after leave = %v; want ErrNotRunning", err)
			}
		}
	})
}

func TestGateWaitCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g running.Gate
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := g.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait = %v; want the context's error", err)
		}
	})
}

// What is bound to a Run ends with it, and says why.
func TestGateBind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g running.Gate
		closed, cancel := g.Bind(t.Context())
		defer cancel()
		if !errors.Is(context.Cause(closed), running.ErrNotRunning) {
			t.Errorf("bound at a closed gate: cause %v; want ErrNotRunning", context.Cause(closed))
		}
		open, leave, err := g.Enter()
		open()
		if err != nil {
			t.Fatal(err)
		}
		parent, end := context.WithCancel(t.Context())
		byParent, cancelParent := g.Bind(parent)
		defer cancelParent()
		byRun, cancelRun := g.Bind(t.Context())
		defer cancelRun()
		end()
		synctest.Wait()
		if !errors.Is(context.Cause(byParent), context.Canceled) || byRun.Err() != nil {
			t.Errorf("when one parent ended: causes %v and %v; want its own alone", context.Cause(byParent), context.Cause(byRun))
		}
		leave()
		synctest.Wait()
		if !errors.Is(context.Cause(byRun), running.ErrNotRunning) {
			t.Errorf("when the Run ended: cause %v; want ErrNotRunning", context.Cause(byRun))
		}
	})
}
