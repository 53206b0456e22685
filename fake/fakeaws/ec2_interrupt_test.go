package fakeaws_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
)

const sleepImage = "registry.example.com/sleep:1"

// TestInterruptedHost: a host goes on for two minutes and then not a moment longer,
// whether a program was connected to it before the notice or not.
func TestInterruptedHost(t *testing.T) {
	for name, c := range map[string]struct {
		late bool // who connects to the host, and starts something
		end  func(*testing.T, account, string)
		want time.Duration // from the notice to the end of what runs
	}{
		"connected before":       {want: 2 * time.Minute},
		"connected after":        {late: true, want: 2 * time.Minute},
		"terminated":             {end: func(t *testing.T, a account, id string) { a.terminate(t, id) }, want: time.Minute},
		"the machine fails":      {end: func(_ *testing.T, a account, id string) { _ = a.CrashHost(id) }, want: time.Minute},
		"the account is closed":  {end: func(_ *testing.T, a account, _ string) { _ = a.Close() }, want: time.Minute},
		"the program crashed":    {end: func(_ *testing.T, a account, _ string) { a.Crash() }, want: 2 * time.Minute},
		"given notice again":     {end: func(_ *testing.T, a account, id string) { _ = a.Interrupt(id) }, want: 2 * time.Minute},
		"cut off by a partition": {end: func(_ *testing.T, a account, id string) { _ = a.Partition(id, true) }, want: 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount(t, fakeaws.Config{})
				ended := make(chan time.Time, 1)
				if _, err := a.PushImage(sleepImage, fakeaws.Image{Program: func(ctx context.Context, _ *fakelauncher.Proc) int {
					<-ctx.Done()
					ended <- time.Now()
					return 0
				}}); err != nil {
					t.Fatal(err)
				}
				id := a.buySpot(t, "host", 1)[0]
				start := func() *fakeaws.Host {
					h, err := a.Host(id)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := h.Launch(t.Context(), launcher.Workload{ID: "w", Owner: "alice", Image: sleepImage}); err != nil {
						t.Fatal(err)
					}
					return h
				}
				var h *fakeaws.Host
				if !c.late {
					h = start()
				}
				time.Sleep(time.Hour)
				noticed := time.Now()
				if err := a.Interrupt(id); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if c.late {
					h = start()
				}
				if c.end != nil {
					c.end(t, a, id)
				} else {
					time.Sleep(time.Minute - 1)
					if s, err := launcher.Get(t.Context(), h, "w"); err != nil || s.Phase != launcher.Running {
						t.Errorf("a moment before: %s, %v", s.Phase, err)
					}
				}
				if after := (<-ended).Sub(noticed); after != c.want {
					t.Errorf("what ran has ended after %v, want %v", after, c.want)
				}
				if _, err := h.Room(t.Context()); !errors.Is(err, launcher.ErrUnavailable) {
					t.Errorf("afterwards the host says %v", err)
				}
			})
		})
	}
}

// TestInterruptedWatch: who looks at a host is told at the very instant, and told of
// no exit.
func TestInterruptedWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{})
		if _, err := a.PushImage(echoImage, fakeaws.Image{Program: echo}); err != nil {
			t.Fatal(err)
		}
		id := a.buySpot(t, "host", 1)[0]
		h, err := a.Host(id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Launch(t.Context(), workload("w")); err != nil {
			t.Fatal(err)
		}
		if err := a.Interrupt(id); err != nil {
			t.Fatal(err)
		}
		noticed := time.Now()
		for s, err := range h.Watch(t.Context(), launcher.Filter{}) {
			if s.Phase == launcher.Exited {
				t.Error("an exit was told")
			}
			if err != nil && !errors.Is(err, launcher.ErrUnavailable) {
				t.Error(err)
			}
		}
		if after := time.Since(noticed); after != 2*time.Minute {
			t.Errorf("it was told after %v", after)
		}
	})
}

// TestInterruptRefused: only a spot instance that runs can be taken back or
// recommended against.
func TestInterruptRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Delays: fakeaws.Delays{InstanceRunning: time.Minute, InstanceGone: time.Minute}})
		out, err := a.ec2.RunInstances(t.Context(), a.launch("on demand"))
		if err != nil {
			t.Fatal(err)
		}
		spot := a.buySpot(t, "spot", 3)
		both := func(what, id string, want error) {
			t.Helper()
			for op, do := range map[string]func(string) error{"interrupt": a.Interrupt, "recommend": a.Recommend} {
				if err := do(id); !errors.Is(err, want) || want == nil && err != nil {
					t.Errorf("%s %s: %v, want %v", op, what, err, want)
				}
			}
		}
		both("nothing", "i-00000000", launcher.ErrNotFound)
		both("what is pending", spot[0], launcher.ErrInvalid)
		time.Sleep(time.Minute)
		both("what was bought on demand", ids(out)[0], launcher.ErrInvalid)
		both("what runs", spot[0], nil)
		both("what was given notice", spot[0], nil)
		a.terminate(t, spot[1])
		both("what shuts down", spot[1], launcher.ErrInvalid)
		time.Sleep(2 * time.Minute)
		both("what was taken back", spot[0], launcher.ErrInvalid)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		both("in a closed account", spot[2], fakeaws.ErrClosed)
	})
}

// TestInterruptedAddress: the address of what ended before EC2 took it back is free
// once, and not again when it would have been taken back.
func TestInterruptedAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{})
		id := a.buySpot(t, "fill", 4096-5)[0]
		if err := a.Interrupt(id); err != nil {
			t.Fatal(err)
		}
		a.terminate(t, id)
		for i, want := range []string{"", "InsufficientFreeAddressesInSubnet"} {
			if _, err := a.ec2.RunInstances(t.Context(), a.launch(fmt.Sprint(i))); code(err) != want {
				t.Errorf("launch %d: %v, want %q", i, err, want)
			}
			time.Sleep(time.Hour)
		}
	})
}
