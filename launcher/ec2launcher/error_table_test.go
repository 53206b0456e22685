package ec2launcher_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
)

// TestErrorTable lets every purchase fail with each error code that EC2 is known to
// answer, and holds against the golden file what becomes of it: what the workload
// is told, whether the same call is made again (one token) or another purchase is
// tried elsewhere or later (a token each), and the sentence people read.
func TestErrorTable(t *testing.T) {
	type row struct {
		class  string
		status int
		codes  []string
	}
	var text strings.Builder
	for _, r := range []row{
		{"no capacity", 500, []string{"InsufficientInstanceCapacity"}},
		{"no capacity", 400, []string{"InsufficientHostCapacity", "UnfulfillableCapacity", "Unsupported", "ReservationCapacityExceeded"}},
		{"no addresses", 400, []string{"InsufficientFreeAddressesInSubnet"}},
		{"quota", 400, []string{"VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded", "MaxFleetCountExceeded", "PendingVerification"}},
		{"throttled", 503, []string{"RequestLimitExceeded"}},
		{"denied", 403, []string{"UnauthorizedOperation", "AuthFailure", "AccessDenied", "AuthFailure.ServiceLinkedRoleCreationNotPermitted"}},
		{"input", 400, []string{
			"InvalidAMIID.Malformed", "InvalidAMIID.NotFound", "InvalidParameterValue", "InvalidSubnetID.NotFound", "InvalidLaunchTemplateId.NotFound", "InvalidUserData.Malformed",
		}},
		{"server", 500, []string{"InternalError"}},
		{"server", 503, []string{"Unavailable"}},
		{"server", 502, []string{"SomethingNew"}},
		{"unknown", 400, []string{"SomethingNew"}},
	} {
		for _, code := range r.codes {
			bubble(t, func(t *testing.T) {
				account := realistic
				account.Faults = []fakeaws.Fault{{Action: "ec2:RunInstances", Code: code, Status: r.status}}
				w := newWorld(t, account, nil)
				w.launch(w.workload("a", "alice"))
				time.Sleep(100 * time.Second)
				s, err := launcher.Get(t.Context(), w.fleet, "a")
				if err != nil {
					t.Fatal(err)
				}
				var tokens []string
				calls := 0
				for _, c := range w.cloud.Calls() {
					if c.Action == "ec2:RunInstances" {
						calls++
						tokens = append(tokens, c.Subject)
					}
				}
				slices.Sort(tokens)
				tokens = slices.Compact(tokens)
				again := "the same call again"
				switch {
				case s.Phase == launcher.Exited:
					again = "given up"
				case len(tokens) == calls && calls > 1:
					again = "elsewhere, then later"
					if len(s.Tried) == 1 {
						again = "later"
					}
				}
				if s.Message == "" || s.Reason == "" {
					t.Errorf("%s: nothing is said: %+v", code, s)
				}
				fmt.Fprintf(&text, "%-12s %d %s: %s, %q; %s\n    %s\n", r.class, r.status, code, s.Phase, s.Reason, again, s.Message)
				for _, a := range s.Tried {
					fmt.Fprintf(&text, "    tried %v: %s\n", a, a.Message)
				}
			})
		}
	}
	golden(t, "errors.golden", regexp.MustCompile(`after \d\d:\d\d:\d\d`).ReplaceAllString(text.String(), "after (a time)"))
}

// TestConsistencyErrors: that an instance is not found is neither proof that it was
// not bought nor that it has ended; it is asked for again.
func TestConsistencyErrors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		account := realistic
		account.Faults = []fakeaws.Fault{{Action: "ec2:TerminateInstances", Nth: 1, Status: 400, Code: "InvalidInstanceID.NotFound"}}
		w := newWorld(t, account, nil)
		s := w.run(w.workload("a", "alice"))
		w.must(w.fleet.Stop(t.Context(), "a", launcher.StopOptions{}))
		time.Sleep(20 * time.Minute)
		if h := w.host(s.Host); h.GoneAt.IsZero() || w.calls("ec2:TerminateInstances") < 2 {
			t.Errorf("after %d calls the host is %+v", w.calls("ec2:TerminateInstances"), h)
		}
	})
}
