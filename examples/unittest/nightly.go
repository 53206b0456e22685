// Package unittest is a small internal tool as a caller would write it, with
// its unit test: every evening it suspends the sessions that run on expensive
// instances, and tells how much an hour that saves.
package unittest

import (
	"context"
	"errors"
	"fmt"

	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/session"
)

// Nightly suspends running sessions above a price per hour.
type Nightly struct {
	Sessions *session.Manager
	// Above is the price per hour that is too much for a night.
	Above instancetype.Money
	// Keep are the users whose sessions go on.
	Keep map[string]bool
}

// Report is what a night brought.
type Report struct {
	// Suspended are the sessions that were suspended.
	Suspended []session.ID
	// SavedPerHour is the list price of their hosts.
	SavedPerHour instancetype.Money
}

// Run suspends what is too expensive and waits until it is. A session that
// cannot be suspended does not keep the others from it.
func (n Nightly) Run(ctx context.Context) (Report, error) {
	var report Report
	var failed []error
	for s, err := range n.Sessions.List(ctx, session.Filter{States: []session.State{session.Running}}) {
		if err != nil {
			return report, err
		}
		if n.Keep[s.User] || !s.PriceKnown || s.PricePerHour <= n.Above {
			continue
		}
		if err := n.suspend(ctx, s.ID); err != nil {
			failed = append(failed, fmt.Errorf("session %s of %s: %w", s.ID, s.User, err))
			continue
		}
		report.Suspended = append(report.Suspended, s.ID)
		report.SavedPerHour += s.PricePerHour
	}
	return report, errors.Join(failed...)
}

func (n Nightly) suspend(ctx context.Context, id session.ID) error {
	if _, err := n.Sessions.Suspend(ctx, id, session.Order{By: "nightly", Why: "it is night"}); err != nil {
		return err
	}
	_, err := n.Sessions.Wait(ctx, id, session.Suspended)
	return err
}
