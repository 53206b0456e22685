package ec2launcher

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
)

// TestPatrol: a host of which nothing is heard is looked at all the same, with what is recorded
// there: where something is not settled soon, and elsewhere after a while.
func TestPatrol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, cloud := keyed(t, fakeaws.Config{}, nil)
		defer func() {
			if err := cloud.Close(); err != nil {
				t.Error(err)
			}
		}()
		for id, phase := range map[string]launcher.Phase{"i-settled": launcher.Running, "i-starting": launcher.Starting} {
			h := Host{ID: id, InstanceType: "m5.large", State: HostReady, Running: true, Ready: true, Sharing: poolKey}
			rec := workloadRecord{Workload: launcher.Workload{ID: launcher.ID("w-" + id)}, Host: id, Delivered: true, Seen: true, Status: launcher.Status{Phase: phase}}
			if err := l.hosts.Create(t.Context(), id, h); err != nil {
				t.Fatal(err)
			}
			if err := l.workloads.Create(t.Context(), string(rec.Workload.ID), rec); err != nil {
				t.Fatal(err)
			}
		}
		r := &reconciler{
			l: l, fleet: &fleet{l: l, capacity: &capacity{}}, board: newBoard(store.NewMirror(l.workloads)), known: store.NewMirror(l.hosts),
			hosts: map[string]*hostWatch{"i-settled": {}, "i-starting": {}}, met: map[string]time.Time{}, restless: map[string]bool{},
		}
		if _, err := r.known.Update(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.board.update(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.patrolledAt, r.revisitedAt, r.lookedAt = time.Now(), time.Now(), time.Now()
		begun, first := time.Now(), map[string]time.Duration{}
		for time.Since(begun) < patrolEvery+time.Minute {
			w := &world{now: time.Now(), given: map[string]bool{}, spoke: map[string]bool{}}
			if err := r.followHosts(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			for id := range w.spoke {
				if _, seen := first[id]; !seen {
					first[id] = time.Since(begun)
				}
			}
			time.Sleep(time.Second)
		}
		if first["i-starting"] != revisitEvery || first["i-settled"] != patrolEvery || len(first) != 2 {
			t.Errorf("they are looked at after %v", first)
		}
	})
}
