package ec2launcher

import (
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// What a workload has reached is in its record, and of the host's boot in the
// host's: no crash loses more than what was not written yet, as of all else. The
// stages on a host are as the launcher there tells them.

// welcomes is what a workload has reached when it is given the host: the boot too,
// if that is over.
func (h Host) welcomes(now time.Time) launcher.Timeline {
	t := launcher.Timeline{Host: now}
	if h.Ready {
		t.Boot = now
	}
	return t
}

// bootOf is when the host of a workload that has reached so much had booted: zero
// if that is not recorded.
func (w *hostWatch) bootOf(t launcher.Timeline) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !t.Boot.IsZero() || w.readyAt.IsZero():
		return t.Boot
	case w.readyAt.Before(t.Host): // it was given to it that moment, by what was read before
		return t.Host
	}
	return w.readyAt
}
