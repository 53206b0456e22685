package ec2launcher_test

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
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

// A closed counts the connections to each host that were closed.
type closed struct {
	mu    sync.Mutex
	hosts map[string]int
}

func (c *closed) of(host string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hosts[host]
}

// count makes the connections to hosts counted ones.
func (c *closed) count(cfg *ec2launcher.Config) {
	c.hosts = map[string]int{}
	inner := cfg.Connect
	cfg.Connect = func(ctx context.Context, h ec2launcher.Host) (ec2launcher.HostLauncher, error) {
		engine, err := inner(ctx, h)
		return closing{engine, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.hosts[h.ID]++
		}}, err
	}
}

// A closing is a connection that tells when it is closed.
type closing struct {
	ec2launcher.HostLauncher
	told func()
}

func (c closing) Close() error {
	c.told()
	return nil
}

// TestDriftCloses: a process without Run keeps no connection to what is gone.
func TestDriftCloses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, func(c *ec2launcher.Config) { c.Linger = time.Minute })
		var closed closed
		cfg := w.cfg
		closed.count(&cfg)
		idle, err := ec2launcher.NewFromConfig(w.cloud.Config(), cfg)
		w.must(err)
		stays, goes := w.run(w.workload("a", "alice")).Host, w.run(w.workload("b", "bob")).Host
		look := func(gone int) {
			t.Helper()
			_, err := idle.Drift(t.Context())
			w.must(err)
			if n, m := closed.of(stays), closed.of(goes); n != 0 || m != gone {
				t.Errorf("%d connections to a host that is there are closed, and %d, not %d, to the other", n, m, gone)
			}
		}
		_, err = idle.Usage(t.Context(), "b")
		w.must(err)
		look(0)
		w.must(w.fleet.Stop(t.Context(), "b", launcher.StopOptions{}))
		time.Sleep(10 * time.Minute)
		look(1)
		look(1)
	})
}

// A lateStore has something done when one caller has read the hosts.
type lateStore struct {
	store.Store
	then func()
}

// late marks that caller's context.
type late struct{}

func (s *lateStore) List(ctx context.Context, collection, after string) iter.Seq2[store.Record, error] {
	if ctx.Value(late{}) != nil && collection == "test.workloads" {
		s.then()
	}
	return s.Store.List(ctx, collection, after)
}

// TestDriftClosesNothingElse: a host that came when the hosts had been read keeps the
// connection that Run has to it.
func TestDriftClosesNothingElse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var closed closed
		var host string
		s := &lateStore{}
		w := newWorld(t, realistic, func(c *ec2launcher.Config) {
			closed.count(c)
			s.Store, c.Store = c.Store, s
		})
		before := 0 // as it booted
		s.then = func() {
			host = w.run(w.workload("b", "bob")).Host
			before = closed.of(host)
		}
		w.run(w.workload("a", "alice"))
		_, err := w.fleet.Drift(context.WithValue(t.Context(), late{}, true))
		w.must(err)
		if n := closed.of(host) - before; host == "" || n != 0 {
			t.Errorf("%d connections to host %q are closed", n, host)
		}
	})
}
