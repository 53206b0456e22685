package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
)

// badDay is a trace for a day with faults: people come within five minutes, and stay
// long enough to be given three hosts that never come up.
func badDay(o Options) []Visit {
	return draw(o, func(r *rand.Rand) (at, stays time.Duration) {
		return time.Duration(r.Int64N(int64(5 * time.Minute))), 10*time.Minute + time.Duration(r.Int64N(int64(5*time.Minute)))
	})
}

// TestFaults: whatever fails, and whenever the process dies, what is asked for runs,
// once, and nothing is left. What does not run says why.
func TestFaults(t *testing.T) {
	seeds := uint64(200)
	if testing.Short() {
		seeds = 20
	}
	var mu sync.Mutex
	var all Report
	t.Run("seeds", func(t *testing.T) {
		for seed := range seeds {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				o := Options{Scenario: "signin", Sessions: 12, Users: 12, Seed: seed, Policy: "pool", Overcommit: 1, Faults: true}
				r := replays(t, o, badDay(o))
				if r.Duplicates+r.Orphans > 0 {
					t.Errorf("%d ran twice, %d hosts are left over", r.Duplicates, r.Orphans)
				}
				if r.Failures[noReason] > 0 {
					t.Errorf("sessions failed and nobody says why: %v", r.Examples)
				}
				mu.Lock()
				defer mu.Unlock()
				all.Sessions, all.Running, all.Failed = all.Sessions+r.Sessions, all.Running+r.Running, all.Failed+r.Failed
				all.Crashes, all.Injected = all.Crashes+r.Crashes, all.Injected+r.Injected
			})
		}
	})
	if part := float64(all.Running) / float64(all.Sessions); part < 0.99 {
		t.Errorf("%v of all sessions came to run", part)
	}
	if all.Crashes < 3*int(seeds) || all.Injected < 30*int(seeds) {
		t.Errorf("only %d processes died and %d calls were struck: that is no bad day", all.Crashes, all.Injected)
	}
	t.Logf("%d sessions, %d came to run, %d failed; %d calls struck, %d processes killed", all.Sessions, all.Running, all.Failed, all.Injected, all.Crashes)
}

// replays plays a trace in a bubble.
func replays(t *testing.T, o Options, trace []Visit) (r Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if r, _, err = replay(t.Context(), o, trace); err != nil {
			t.Fatal(err)
		}
	})
	return r
}

// TestFaultsShares: of each action a fifth fails, in as many ways as in any, and a
// fiftieth is the last of a process.
func TestFaultsShares(t *testing.T) {
	left, failing, dying := map[string]float64{}, map[string]float64{}, map[string]float64{}
	lost := map[string]bool{}
	for _, f := range faults() {
		if left[f.Action] == 0 {
			left[f.Action] = 1
		}
		share := left[f.Action] * f.Rate
		left[f.Action] -= share
		if f.Crash {
			dying[f.Action] += share
		} else {
			failing[f.Action] += share
		}
		lost[f.Action] = lost[f.Action] || f.After && !f.Crash
	}
	for action := range left {
		if math.Abs(failing[action]-0.2) > 1e-9 || math.Abs(dying[action]-0.02) > 1e-9 || !lost[action] {
			t.Errorf("of %s %v fail and %v kill; answers are lost: %t", action, failing[action], dying[action], lost[action])
		}
	}
	if len(left) != 4 {
		t.Errorf("%d actions fail", len(left))
	}
}

// TestEveryCallMayFail: no call that a fleet makes is spared, and none of the storm's
// own is struck.
func TestEveryCallMayFail(t *testing.T) {
	o := Options{Scenario: "signin", Sessions: 10, Users: 10, Seed: 3, Policy: "pool", Overcommit: 1}
	for action := range replays(t, o, badDay(o)).Calls {
		may := slices.ContainsFunc(faults(), func(f fakeaws.Fault) bool {
			match, err := path.Match(f.Action, action)
			return match && err == nil
		})
		if own := action == "ec2:CreateSecurityGroup"; may == own {
			t.Errorf("%s may fail: %t", action, may)
		}
	}
}

// TestFailuresSayWhy: a session that never ran has failed, with the reason that its
// user was told.
func TestFailuresSayWhy(t *testing.T) {
	fails := func(action string, status int, code string) func(*fakeaws.Config) {
		return func(c *fakeaws.Config) { c.Faults = []fakeaws.Fault{{Action: action, Status: status, Code: code}} }
	}
	soldOut := func(c *fakeaws.Config) { c.SoldOut = []fakeaws.Shortage{{Type: "*"}} }
	small, big := mix[1].size, mix[3].size // which every host type holds, and two of eight
	for _, c := range []struct {
		name   string
		size   launcher.Resources
		change func(*fakeaws.Config)
		want   launcher.Kind
		says   string
	}{
		{"sold out", small, soldOut, launcher.ErrCapacity, "AWS has no m5.large"},
		{"denied", small, func(c *fakeaws.Config) { c.Deny = []string{"ec2:RunInstances"} }, launcher.ErrDenied, "UnauthorizedOperation"},
		{"denied what holds it", big, func(c *fakeaws.Config) { c.Deny = []string{"ec2:RunInstances"} }, launcher.ErrDenied, "UnauthorizedOperation"},
		{"sold out what holds it", big, soldOut, launcher.ErrCapacity, "AWS has no m5.4xlarge"},
		{"unavailable", small, fails("ec2:RunInstances", http.StatusServiceUnavailable, "Unavailable"), launcher.ErrUnavailable, "Unavailable"},
		{"throttled", small, fails("ec2:RunInstances", http.StatusServiceUnavailable, "RequestLimitExceeded"), launcher.ErrThrottled, "RequestLimitExceeded"},
		{"no AMI", small, fails("ssm:GetParameter", http.StatusInternalServerError, "InternalServerError"), launcher.ErrUnavailable, "InternalServerError"},
		{"no subnets", small, fails("ec2:DescribeSubnets", http.StatusInternalServerError, "InternalError"), launcher.ErrUnavailable, "InternalError"},
		{"blind", small, fails("ec2:DescribeInstances", http.StatusInternalServerError, "InternalError"), launcher.ErrUnavailable, "InternalError"},
		{"stillborn", small, func(c *fakeaws.Config) { c.Stillborn = 1 }, launcher.ErrUnavailable, "engine did not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			trace := []Visit{{User: "alice", End: 8 * time.Minute, Size: c.size}, {User: "bob", Start: time.Minute, End: 9 * time.Minute, Size: c.size}}
			o := Options{Scenario: "signin", Sessions: 2, Users: 2, Seed: 1, Policy: "pool", Overcommit: 1, change: c.change}
			r := replays(t, o, trace)
			if r.Running != 0 || r.Failed != 2 || r.Failures[string(c.want)] != 2 || !strings.Contains(r.Examples[string(c.want)], c.says) {
				t.Errorf("%d ran; %v: %v", r.Running, r.Failures, r.Examples)
			}
			if r.Orphans > 0 {
				t.Errorf("%d hosts are left over", r.Orphans)
			}
		})
	}
}
