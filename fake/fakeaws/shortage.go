package fakeaws

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/atelier-go/atelier/instancetype"
)

// A Shortage is a time in which there is no capacity for new instances, as data.
// Launches fail as those beyond [Cloud.SetCapacity] and
// [Cloud.SetSpotCapacity], and what runs goes on.
type Shortage struct {
	// Type is which instance types are sold out ("r5.*"), with * for any text.
	// Required, and matches at least one that there is.
	Type string
	// Zone is where ("us-east-1a"). Empty is every zone.
	Zone string
	// Market is what is sold out. Empty is all; it is not package launcher's, of
	// which the empty one is on demand.
	Market Market
	// From and Until are when, counted from [New]: From is the first instant and
	// Until that after the last. A zero Until is for good.
	From, Until time.Duration
}

// covers reports whether a pool is sold out so long after the account was made.
func (s Shortage) covers(p pool, since time.Duration) bool {
	return s.fits(p.instanceType) && (s.Zone == "" || s.Zone == p.zone) && (s.Market == "" || s.Market == p.market) &&
		since >= s.From && (s.Until == 0 || since < s.Until)
}

func (s Shortage) fits(instanceType string) bool {
	return glob(s.Type, instanceType)
}

// isSoldOut reports whether a pool has no capacity at an instant.
func (c *Cloud) isSoldOut(p pool, now time.Time) bool {
	return slices.ContainsFunc(c.soldOut, func(s Shortage) bool { return s.covers(p, now.Sub(c.begun)) })
}

// checkShortages reports everything wrong with [Config.SoldOut], also those that
// could never be felt.
func (c *Cloud) checkShortages() (problems []error) {
	for n, s := range c.soldOut {
		if err := s.validate(c.zones()); err != nil {
			problems = append(problems, fmt.Errorf("sold out %d: %w", n, err))
		}
	}
	return problems
}

func (s Shortage) validate(zones []string) error {
	var problems []error
	known := false
	for t := range instancetype.Embedded().All() {
		known = known || s.fits(t.Name)
	}
	switch {
	case s.Type == "":
		problems = append(problems, errors.New(`type is empty: want a pattern such as "r5.*" or "*"`))
	case !known:
		problems = append(problems, fmt.Errorf("type %.60q matches none that there is", s.Type))
	}
	if s.Zone != "" && !slices.Contains(zones, s.Zone) {
		problems = append(problems, fmt.Errorf("zone %.60q: want one of %q, or none for all", s.Zone, zones))
	}
	if !slices.Contains([]Market{"", OnDemand, Spot}, s.Market) {
		problems = append(problems, fmt.Errorf("market %.60q: want %q or %q, or none for both", s.Market, OnDemand, Spot))
	}
	if s.From < 0 {
		problems = append(problems, fmt.Errorf("from is negative: %v", s.From))
	}
	if s.Until != 0 && s.Until <= s.From {
		problems = append(problems, fmt.Errorf("until is %v: want more than %v, from when it is, or 0 for good", s.Until, s.From))
	}
	return errors.Join(problems...)
}
