package ec2launcher

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// expectFor is for how long what came is taken for what will come.
const expectFor = 15 * time.Minute

// arrivals remember what came lately: what the next host that is bought may expect
// to hold, and how much room to keep warm. Another process begins anew.
type arrivals struct {
	known map[launcher.ID]bool
	last  []arrival
}

type arrival struct {
	at       time.Time
	workload *launcher.Workload
}

// note takes in what has been placed.
func (a *arrivals) note(records []*workloadRecord, now time.Time) {
	if a.known == nil {
		a.known = map[launcher.ID]bool{}
	}
	noted := len(a.last)
	for _, rec := range records {
		if rec.Host != "" && !a.known[rec.Workload.ID] && now.Sub(rec.Status.QueuedAt) < expectFor {
			a.known[rec.Workload.ID] = true
			a.last = append(a.last, arrival{rec.Status.QueuedAt, &rec.Workload})
		}
	}
	if len(a.last) > noted {
		slices.SortFunc(a.last, func(x, y arrival) int {
			return cmp.Or(x.at.Compare(y.at), strings.Compare(string(x.workload.ID), string(y.workload.ID)))
		})
	}
	for len(a.last) > 0 && now.Sub(a.last[0].at) >= expectFor {
		delete(a.known, a.last[0].workload.ID)
		a.last = a.last[1:]
	}
}

// pool returns what came to the pool, of all users together, the latest first.
func (a *arrivals) pool() (expected []*launcher.Workload) {
	for n := len(a.last) - 1; n >= 0 && len(expected) < lookAhead; n-- {
		if w := a.last[n].workload; w.Sharing == launcher.Pool {
			expected = append(expected, w)
		}
	}
	return expected
}

// like counts what came since a time that is like a workload.
func (a *arrivals) like(w launcher.Workload, since time.Time) (n int) {
	for i := len(a.last) - 1; i >= 0 && a.last[i].at.After(since); i-- {
		other := a.last[i].workload
		if other.Resources == w.Resources && other.InstanceType == w.InstanceType && other.Market == w.Market && other.Image == w.Image {
			n++
		}
	}
	return n
}
