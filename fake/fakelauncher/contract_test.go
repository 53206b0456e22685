package fakelauncher_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/launchertest"
	"github.com/atelier-go/atelier/launcher/launchertest/behave"
)

// newHarness returns a host for the contract.
func newHarness(t *testing.T, delays fakelauncher.Delays) launchertest.Harness {
	shared := fakelauncher.NewDir()
	images := fakelauncher.Programs(map[string]fakelauncher.Program{"behave": behave.Program})
	l, err := fakelauncher.New(fakelauncher.Config{
		Images: func(ctx context.Context, ref string) (fakelauncher.Image, error) {
			// A registry takes its time, in which other calls come.
			time.Sleep(delays.Start / 10)
			return images(ctx, ref)
		},
		Mount: func(m launcher.Mount) (*fakelauncher.Dir, error) {
			if m.Source == "/missing" {
				return nil, errors.New("no such directory")
			}
			if err := shared.MkdirAll(m.Source, 0o777); err != nil {
				return nil, err
			}
			return shared.Sub(m.Source)
		},
		Room:   launcher.Resources{MilliCPU: 64_000, MemoryMiB: 128 << 10},
		Delays: delays,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return launchertest.Harness{
		Launcher: l,
		Image:    "behave",
		Template: launcher.Workload{Resources: launcher.Resources{MilliCPU: 1000, MemoryMiB: 1024}},
		NoImage:  "absent",
		Dir:      func(name string) string { return "/shared/" + name },
		NoDir:    "/missing",
		// The engine is a process of its own: its client's end changes nothing.
		Restart: func() launcher.Launcher { return l },
	}
}

func TestContract(t *testing.T) {
	launchertest.Suite{New: func(t *testing.T) launchertest.Harness {
		return newHarness(t, fakelauncher.Delays{})
	}}.Run(t)
}

func TestContractDelayed(t *testing.T) {
	launchertest.Suite{New: func(t *testing.T) launchertest.Harness {
		return newHarness(t, fakelauncher.Delays{Pull: 30 * time.Second, Start: time.Second})
	}}.Run(t)
}
