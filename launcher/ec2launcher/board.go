package ec2launcher

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/launcher"
)

// A board is what is recorded of the workloads, sorted by what is to be done about
// them, so that a pass looks only at those for which there may be something to do.
type board struct {
	mirror *store.Mirror[workloadRecord]
	all    map[string]*workloadRecord
	// on are those that have not exited, by host, in the order of their IDs.
	on map[string][]*workloadRecord
	// waiting are those that have no host yet, restless those that time moves on
	// without a word from anybody: that are asked to end or have exited. The others
	// move when their host speaks.
	waiting  map[string]*workloadRecord
	restless map[string]*workloadRecord
	// unsettled are those that have not exited and do not run undisturbed.
	unsettled map[string]*workloadRecord
	// touched are the hosts on which a record has changed since a pass was done with it.
	touched map[string]bool
}

func newBoard(workloads *store.Mirror[workloadRecord]) *board {
	return &board{
		mirror: workloads, all: map[string]*workloadRecord{}, on: map[string][]*workloadRecord{},
		restless: map[string]*workloadRecord{}, unsettled: map[string]*workloadRecord{}, waiting: map[string]*workloadRecord{}, touched: map[string]bool{},
	}
}

// update brings the board up to date and returns the records that have changed.
func (b *board) update(ctx context.Context) (changed []*workloadRecord, err error) {
	changes, err := b.mirror.Update(ctx)
	for _, c := range changes { // also beside an error: they are not told again
		if old := b.all[c.ID]; old != nil {
			b.remove(c.ID, old)
		}
		if c.Value != nil {
			b.add(c.ID, c.Value)
			changed = append(changed, c.Value)
		}
	}
	return changed, err
}

// settled reports whether a workload runs and nobody has asked it to end.
func (w *workloadRecord) settled() bool {
	return w.Status.Phase == launcher.Running && w.Seen && w.Stop == nil && w.Host != ""
}

// restless reports whether time may move a workload on.
func (w *workloadRecord) restless() bool { return w.Status.Phase == launcher.Exited || w.Stop != nil }

func (b *board) add(id string, rec *workloadRecord) {
	b.all[id] = rec
	over := rec.Status.Phase == launcher.Exited
	if rec.restless() {
		b.restless[id] = rec
	}
	if !over && !rec.settled() {
		b.unsettled[id] = rec
	}
	b.touched[rec.Host] = true
	switch {
	case over:
	case rec.Host == "":
		b.waiting[id] = rec
	default:
		at, _ := slices.BinarySearchFunc(b.on[rec.Host], id, byRecordID)
		b.on[rec.Host] = slices.Insert(b.on[rec.Host], at, rec)
	}
}

func (b *board) remove(id string, rec *workloadRecord) {
	delete(b.all, id)
	delete(b.restless, id)
	delete(b.unsettled, id)
	delete(b.waiting, id)
	b.touched[rec.Host] = true
	if at, found := slices.BinarySearchFunc(b.on[rec.Host], id, byRecordID); found {
		if b.on[rec.Host] = slices.Delete(b.on[rec.Host], at, at+1); len(b.on[rec.Host]) == 0 {
			delete(b.on, rec.Host)
		}
	}
}

func byRecordID(rec *workloadRecord, id string) int {
	return strings.Compare(string(rec.Workload.ID), id)
}

// queue returns those that have no host, by the second in which they came, and of one
// by their size.
func (b *board) queue() []*launcher.Workload {
	type waiting struct {
		second int64
		*launcher.Workload
	}
	all := make([]waiting, 0, len(b.waiting))
	for _, rec := range b.waiting {
		all = append(all, waiting{rec.Status.QueuedAt.Unix(), &rec.Workload})
	}
	slices.SortFunc(all, func(a, b waiting) int { return cmp.Or(cmp.Compare(a.second, b.second), bySize(a.Workload, b.Workload)) })
	queue := make([]*launcher.Workload, len(all))
	for i, w := range all {
		queue[i] = w.Workload
	}
	return queue
}

// moving returns the restless, in the order of their IDs.
func (b *board) moving() (all []*workloadRecord) {
	for _, id := range slices.Sorted(maps.Keys(b.restless)) {
		all = append(all, b.restless[id])
	}
	return all
}

// quiet reports whether nothing is under way.
func (b *board) quiet() bool { return len(b.unsettled) == 0 }
