package unittest

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/session"
)

// The whole of AWS, booting hosts included, in a unit test that takes
// milliseconds.
func TestNightly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour) // virtual: what never comes fails the test
		defer cancel()
		w := fake.New(t, fake.Config{
			Users: map[string][]string{"alice": nil, "bob": nil, "carol": nil},
			AWS:   fakeaws.Config{Delays: fakeaws.Realistic()},
		})
		for _, q := range []session.StartRequest{
			{ID: "small", User: "alice", InstanceType: "t3.medium"},
			{ID: "big", User: "alice", InstanceType: "r5.4xlarge"},
			{ID: "gpu", User: "bob", InstanceType: "g4dn.xlarge"},
			{ID: "on-call", User: "carol", InstanceType: "r5.4xlarge"},
		} {
			if _, err := w.Sessions.Start(ctx, q); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []session.ID{"small", "big", "gpu", "on-call"} {
			if _, err := w.Sessions.Wait(ctx, id, session.Running); err != nil {
				t.Fatal(err)
			}
		}

		tool := Nightly{Sessions: w.Sessions, Above: instancetype.Dollar / 2, Keep: map[string]bool{"carol": true}}
		report, err := tool.Run(ctx)
		if err != nil {
			t.Fatal(err)
		}

		slices.Sort(report.Suspended)
		if want := []session.ID{"big", "gpu"}; !slices.Equal(report.Suspended, want) {
			t.Errorf("suspended %v, want %v", report.Suspended, want)
		}
		if got := report.SavedPerHour.String(); got != "$1.534" {
			t.Errorf("saves %s an hour, want $1.534: r5.4xlarge at $1.008 and g4dn.xlarge at $0.526", got)
		}
		time.Sleep(10 * time.Minute) // virtual: the empty hosts linger, then go
		left := 0
		for h, err := range w.Fleet.Hosts(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			if h.GoneAt.IsZero() {
				left++
			}
		}
		if left != 2 {
			t.Errorf("%d hosts are left, want 2: those of small and on-call", left)
		}
	})
}
