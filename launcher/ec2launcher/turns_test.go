package ec2launcher_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// turns lists who waits for a turn at the account's bucket, by what a process tells.
func (w *world) turns(fleet launcher.Launcher) (n int) {
	w.Helper()
	for s, err := range fleet.List(w.Context(), launcher.Filter{}) {
		if err != nil {
			w.Fatal(err)
		}
		if s.Reason == launcher.ErrThrottled && s.Message != "" {
			n++
			if s.Host != "" || s.Phase != launcher.Queued {
				w.Errorf("it waits for its turn, although it has a host: %+v", s)
			}
		}
	}
	return n
}

// storm launches workloads that share with nobody: more than the account's bucket has
// tokens for. The last come after the others.
func (w *world) storm(name string, late int) (ids []launcher.ID) {
	w.Helper()
	const bucket = 1000
	for i := range bucket + late {
		if i == bucket {
			time.Sleep(3950 * time.Millisecond)
		}
		work := w.workload(fmt.Sprintf("%s%d", name, i), fmt.Sprintf("user%d", i))
		work.Sharing = launcher.Exclusive
		w.launch(work)
		ids = append(ids, work.ID)
	}
	time.Sleep(5 * time.Second)
	if w.turns(w.fleet) == 0 {
		w.Fatal("nobody waits")
	}
	return ids
}

func (w *world) withdraw(ids []launcher.ID) {
	w.Helper()
	for _, id := range ids {
		if err := w.fleet.Stop(w.Context(), id, launcher.StopOptions{}); err != nil {
			w.Fatal(err)
		}
	}
	time.Sleep(5 * time.Second)
}

// TestTurns: who waits for a host that the account's bucket has no token for is told so,
// by every process, as long as hosts are wanted that there are no tokens for.
func TestTurns(t *testing.T) {
	const late = 60
	t.Run("Served", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			reader := sdk.NewManualReader()
			w := newWorld(t, published, func(c *ec2launcher.Config) { c.MeterProvider = sdk.NewMeterProvider(sdk.WithReader(reader)) })
			other, end := w.process(w.cfg)
			defer end()
			var mu sync.Mutex
			told := map[launcher.ID]bool{}
			watched := func() int {
				mu.Lock()
				defer mu.Unlock()
				return len(told)
			}
			go func() {
				for s, err := range other.Watch(t.Context(), launcher.Filter{}) {
					if err != nil {
						return
					}
					mu.Lock()
					if s.Reason == launcher.ErrThrottled {
						told[s.ID] = true
					} else {
						delete(told, s.ID)
					}
					mu.Unlock()
				}
			}()
			ids := w.storm("w", late)
			last := w.workload(string(ids[len(ids)-1]), fmt.Sprintf("user%d", len(ids)-1))
			last.Sharing = launcher.Exclusive
			if again, err := w.fleet.Launch(t.Context(), last); err != nil || again.Reason != launcher.ErrThrottled {
				t.Errorf("launched again it is %+v, %v", again, err)
			}
			if here, there, by := w.turns(w.fleet), w.turns(other), watched(); here < late/2 || there != here || by < late/2 {
				t.Errorf("%d wait for their turn, by what another process lists %d, and tells %d", here, there, by)
			}
			if values, _ := measured(t, reader); values["waiting{error.type=throttled}"] < late/2 {
				t.Errorf("measured are %v", values)
			}
			for _, id := range ids {
				w.until(id, launcher.Running)
			}
			w.launch(w.workload("after", "another"))
			time.Sleep(5 * time.Second)
			if n := w.turns(w.fleet); n > 0 || watched() > 0 {
				t.Errorf("%d still wait, %d were told nothing else", n, watched())
			}
		})
	})
	t.Run("NotYetKnown", func(t *testing.T) { // which image a host boots from, that is
		bubble(t, func(t *testing.T) {
			w := newWorld(t, published, nil)
			w.stop()
			w.sdk = append(w.sdk, slowly("GetParameter", 10*time.Second))
			w.start()
			w.exclusives(1100)
			time.Sleep(5 * time.Second)
			if n := w.turns(w.fleet); n > 0 {
				t.Errorf("%d are told to wait for their turn, although nothing was asked for", n)
			}
		})
	})
	withdraw := func(w *world, ids []launcher.ID) { w.withdraw(ids[len(ids)-late:]) }
	for name, test := range map[string]struct {
		soldOut bool // somebody waits for what is not to be had
		over    func(*world, []launcher.ID)
		told    bool
	}{
		"Withdrawn":       {over: withdraw},
		"WithdrawnButOne": {soldOut: true, over: withdraw},
		"Restart": {over: func(w *world, _ []launcher.ID) {
			w.stop()
			time.Sleep(20 * time.Minute) // the bucket fills
			w.start()
			time.Sleep(5 * time.Second)
		}},
		"OfALaterTerm": {told: true, over: func(w *world, ids []launcher.ID) {
			w.alter("test.fleet", "fleet", func(doc map[string]any) { doc["Epoch"] = 1000 })
			withdraw(w, ids)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				account := published
				account.SoldOut = []fakeaws.Shortage{{Type: "c5.large"}}
				w := newWorld(t, account, nil)
				if test.soldOut {
					work := w.workload("soldout", "another")
					work.InstanceType = "c5.large"
					w.launch(work)
					w.told(work.ID, func(s launcher.Status) bool { return s.Reason == launcher.ErrCapacity })
				}
				test.over(w, w.storm("w", late))
				w.launch(w.workload("anew", "another"))
				if n := w.turns(w.fleet); n > 0 != test.told {
					t.Errorf("%d are told to wait for their turn", n)
				}
			})
		})
	}
}
