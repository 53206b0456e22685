// Package launchertest is the contract of [launcher.Launcher] as tests. An
// implementation that passes them can be used wherever a Launcher is asked for.
//
// Each clause is a subtest of its own, named for it ("Launch/NeverTwice"). It
// runs in a testing/synctest bubble on virtual time, or on the wall clock for
// a launcher that needs one.
package launchertest

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// A Harness is a launcher to test and what the tests need beside it.
type Harness struct {
	// Launcher is tested. It runs and knows no workload of this Suite.
	Launcher launcher.Launcher
	// Image is the reference of the test image: what package behave describes.
	Image string
	// Template is what every workload begins with: Resources, InstanceType,
	// Sharing, Labels.
	Template launcher.Workload

	// NoImage is a reference that no image has. Empty skips Kinds/Image.
	NoImage string
	// Dir returns the mount source of a directory of that name in which every
	// user may write; it is empty when first asked for. Nil skips Mount and
	// lets other tests prove less.
	Dir func(name string) string
	// NoDir is a mount source that cannot be mounted. Empty skips Kinds/Mount.
	NoDir string
	// Restart ends the launcher as the end of its process would and returns
	// another one over the same workloads. Nil skips Restart.
	Restart func() launcher.Launcher
}

// A Suite runs the contract.
type Suite struct {
	// New makes the harness of one subtest, within its bubble, and ends it by
	// t.Cleanup. Required.
	New func(t *testing.T) Harness
	// RealTime runs without bubbles, for a launcher outside of this process.
	RealTime bool
	// Patience is how long anything may take: to start, to end, to be told. It
	// should be less than [launcher.Retention]. Zero is half an hour in a
	// bubble and a minute in real time.
	Patience time.Duration
}

// Run runs every clause of the contract as a subtest.
func (s Suite) Run(t *testing.T) {
	if s.Patience == 0 {
		s.Patience = 30 * time.Minute
		if s.RealTime {
			s.Patience = time.Minute
		}
	}
	for _, group := range [][]clause{
		launchClauses, processClauses, mountClauses, stopClauses, listClauses, watchClauses,
		dialClauses, logsClauses, usageClauses, cancelClauses, kindClauses, restartClauses, timelineClauses,
	} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				if s.RealTime {
					s.run(t, c)
				} else {
					synctest.Test(t, func(t *testing.T) { s.run(t, c) })
				}
			})
		}
	}
}

// clause is one obligation of a launcher.
type clause struct {
	name string
	test func(*run)
	// needs says what of the harness the clause cannot do without.
	needs func(Harness) (present bool, what string)
}

func needsDir(h Harness) (bool, string)     { return h.Dir != nil, "Dir" }
func needsNoDir(h Harness) (bool, string)   { return h.NoDir != "", "NoDir" }
func needsNoImage(h Harness) (bool, string) { return h.NoImage != "", "NoImage" }
func needsRestart(h Harness) (bool, string) { return h.Restart != nil, "Restart" }

func (s Suite) run(t *testing.T, c clause) {
	h := s.New(t)
	if c.needs != nil {
		if ok, what := c.needs(h); !ok {
			t.Skipf("the harness has no %s", what)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*s.Patience)
	defer cancel()
	r := &run{T: t, Harness: h, ctx: ctx, patience: s.Patience, realTime: s.RealTime}
	if s.RealTime {
		// What an earlier run left behind must not have this run's names.
		r.prefix = "t" + strconv.FormatInt(time.Now().UnixNano(), 36) + "-"
		defer r.clear()
	}
	c.test(r)
}
