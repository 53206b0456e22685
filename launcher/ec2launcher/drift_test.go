package ec2launcher_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// drift is the report, in which nothing may be that is about no one.
func (w *world) drift() []ec2launcher.Drift {
	w.Helper()
	found, err := w.fleet.Drift(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	for _, d := range found {
		if d.Instance+string(d.Workload)+d.Token == "" || d.Detail == "" || d.Repair == "" {
			w.Errorf("the report says %+v", d)
		}
	}
	return found
}

// alter changes a record by hand, as nothing of ours does.
func (w *world) alter(collection, id string, change func(map[string]any)) {
	w.Helper()
	_, err := store.NewTable[map[string]any](w.store, collection).Update(w.Context(), id, func(doc *map[string]any) error {
		change(*doc)
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) erase(collection, id string) {
	w.Helper()
	if err := store.NewTable[map[string]any](w.store, collection).Delete(w.Context(), id); err != nil {
		w.Fatal(err)
	}
}

// TestDrift: each difference is reported with what it is about, once, and nothing
// else is; nothing changes by that; and Run repairs it.
func TestDrift(t *testing.T) {
	for _, test := range []struct {
		kind    ec2launcher.DriftKind
		make    func(w *world, s launcher.Status) // with Run ended
		also    []ec2launcher.DriftKind
		running bool // make is called while Run works
		exits   launcher.Kind
		faults  []fakeaws.Fault
	}{
		{kind: ec2launcher.InstanceUnrecorded, also: []ec2launcher.DriftKind{ec2launcher.HostUnrecorded}, make: func(w *world, s launcher.Status) {
			w.erase("test.hosts", s.Host)
		}},
		{kind: ec2launcher.HostUnrecorded, exits: launcher.ErrHostLost, make: func(w *world, s launcher.Status) {
			w.must(w.cloud.CrashHost(s.Host))
			time.Sleep(2 * time.Minute)
			w.erase("test.hosts", s.Host)
		}},
		{kind: ec2launcher.InstanceMissing, exits: launcher.ErrHostLost, make: func(w *world, s launcher.Status) {
			w.must(w.cloud.CrashHost(s.Host))
			time.Sleep(2 * time.Hour)
		}},
		{kind: ec2launcher.InstanceEnded, exits: launcher.ErrHostLost, make: func(w *world, s launcher.Status) {
			w.must(w.cloud.CrashHost(s.Host))
			time.Sleep(2 * time.Minute)
		}},
		{kind: ec2launcher.HostSilent, exits: launcher.ErrHostLost, make: func(w *world, s launcher.Status) { w.must(w.cloud.Partition(s.Host, true)) }},
		{kind: ec2launcher.ContainerUnrecorded, make: func(w *world, s launcher.Status) {
			h, err := w.cloud.Host(s.Host)
			w.must(err)
			_, err = h.Launch(w.Context(), w.workload("stranger", "nobody"))
			w.must(err)
			time.Sleep(time.Minute)
		}},
		{kind: ec2launcher.ContainerUnwanted, make: func(w *world, s launcher.Status) {
			w.alter("test.workloads", "a", func(doc map[string]any) { doc["Status"].(map[string]any)["Phase"] = "exited" })
		}},
		{kind: ec2launcher.ContainerMissing, exits: launcher.ErrHostLost, make: func(w *world, s launcher.Status) {
			h, err := w.cloud.Host(s.Host)
			w.must(err)
			w.must(h.Stop(w.Context(), "a", launcher.StopOptions{Signal: "SIGKILL", Forget: true}))
			time.Sleep(time.Minute)
		}},
		{kind: ec2launcher.InstanceLingers, running: true, faults: []fakeaws.Fault{{Action: "ec2:TerminateInstances"}}, make: func(w *world, s launcher.Status) {
			w.must(w.fleet.Stop(w.Context(), "a", launcher.StopOptions{Forget: true}))
			time.Sleep(20 * time.Minute)
		}},
	} {
		t.Run(strings.ReplaceAll(string(test.kind), " ", "_"), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				account := realistic
				account.Faults = test.faults
				w := newWorld(t, account, nil)
				s := w.run(w.workload("a", "alice"))
				time.Sleep(time.Minute)
				if found := w.drift(); len(found) != 0 {
					t.Fatalf("all is well, and the report says %v", found)
				}
				if !test.running {
					w.stop()
				}
				test.make(w, s)
				before := len(w.cloud.Calls())
				found := w.drift()
				var kinds []ec2launcher.DriftKind
				for _, d := range found {
					kinds = append(kinds, d.Kind)
				}
				want := append([]ec2launcher.DriftKind{test.kind}, test.also...)
				slices.Sort(want)
				if !slices.Equal(kinds, want) {
					t.Fatalf("the report says %v, want %v", found, want)
				}
				for _, c := range w.cloud.Calls()[before:] {
					if !strings.HasPrefix(c.Action, "ec2:Describe") {
						t.Errorf("the report calls %s", c.Action)
					}
				}
				if len(test.faults) > 0 {
					return
				}
				if again := w.drift(); !slices.Equal(found, again) {
					t.Errorf("asked again it says %v, before %v", again, found)
				}
				w.start()
				time.Sleep(20 * time.Minute)
				if found := w.drift(); len(found) != 0 {
					t.Errorf("20 minutes later it says %v", found)
				}
				if now, err := launcher.Get(t.Context(), w.fleet, "a"); test.exits != "" && now.Reason != test.exits {
					t.Errorf("it is %+v, %v; want %s", now, err, test.exits)
				}
			})
		})
	}
}

// TestDriftOfPurchase: a purchase of which nobody knows what came is reported when
// it takes long.
func TestDriftOfPurchase(t *testing.T) {
	bubble(t, func(t *testing.T) {
		account := realistic
		account.Faults = []fakeaws.Fault{{Action: "ec2:RunInstances"}}
		w := newWorld(t, account, nil)
		w.launch(w.workload("a", "alice"))
		time.Sleep(time.Minute)
		if found := w.drift(); len(found) != 0 {
			t.Errorf("after a minute the report says %v", found)
		}
		time.Sleep(10 * time.Minute)
		found := w.drift()
		if len(found) != 1 || found[0].Kind != ec2launcher.PurchaseOpen || !strings.Contains(found[0].String(), "1 t3.medium in us-east-1a") {
			t.Errorf("after long it says %v", found)
		}
	})
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}
