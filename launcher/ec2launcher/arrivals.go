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

// arrivals remember what came to the pool lately, of all users together: what the
// next host that is bought may expect to hold. Another process begins anew.
type arrivals struct {
	known map[launcher.ID]bool
	last  []arrival
}

type arrival struct {
	at       time.Time
	workload *launcher.Workload
}

// note takes in what has been placed and returns what to expect, the latest first.
func (a *arrivals) note(records []*workloadRecord, now time.Time) (expected []*launcher.Workload) {
	if a.known == nil {
		a.known = map[launcher.ID]bool{}
	}
	noted := len(a.last)
	for _, rec := range records {
		if rec.Host != "" && rec.Workload.Sharing == launcher.Pool && !a.known[rec.Workload.ID] && now.Sub(rec.Status.QueuedAt) < expectFor {
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
	for n := len(a.last) - 1; n >= 0 && len(expected) < lookAhead; n-- {
		expected = append(expected, a.last[n].workload)
	}
	return expected
}
