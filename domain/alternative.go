package domain

import (
	"fmt"
	"slices"

	"github.com/atelier-go/atelier/instancetype"
)

// Market says how a session's host may be bought.
type Market string

const (
	// OnDemand is at the list price, for as long as it is wanted. It is the
	// default.
	OnDemand Market = ""
	// Spot is from AWS's spare capacity, for a part of the price. AWS takes
	// the host back when it needs it.
	Spot Market = "spot"
	// SpotOrOnDemand is spot or, where none is to be had, on demand.
	SpotOrOnDemand Market = "spot-or-on-demand"
)

// maxAlternatives is how many alternatives an ask may have: a grant holds each
// with all that is known of it, and a record has to hold the grant.
const maxAlternatives = 20

// AlternativeNames returns the names of the types of g's Alternatives, nil if
// there are none.
func (g Grant) AlternativeNames() []string {
	var names []string
	for _, o := range g.Alternatives {
		names = append(names, o.Type.Name)
	}
	return names
}

// checkMarket returns the market of an ask. A resumed session keeps the one it
// had unless another is asked for.
func checkMarket(ask Ask, wrong *problems) Market {
	market := OnDemand
	switch {
	case ask.Market != nil:
		market = *ask.Market
	case ask.Resume != nil:
		market = ask.Resume.Market
	}
	if !slices.Contains([]Market{OnDemand, Spot, SpotOrOnDemand}, market) {
		wrong.add("market", ErrInvalid, fmt.Errorf("market %.40q: want %q, %q or empty for on demand", market, Spot, SpotOrOnDemand))
	}
	return market
}

// checkAlternatives holds each alternative to what the main type is held to, as
// if it alone were asked for.
func (f facts) checkAlternatives(ask Ask, rules rules, img wanted, want wish, sized bool, wrong *problems) []instancetype.Offer {
	if n := len(ask.Alternatives); n > maxAlternatives {
		wrong.add("alternative", ErrInvalid, fmt.Errorf("%d alternatives, at most %d", n, maxAlternatives))
		return nil
	}
	main, _ := f.prices.catalog.Type(ask.InstanceType) // an unknown one is told of elsewhere
	named := map[string]bool{main.Name: main.Name != ""}
	var offers []instancetype.Offer
	for _, name := range ask.Alternatives {
		t, err := f.prices.catalog.Type(name)
		switch {
		case err != nil:
			wrong.add("alternative", ErrInvalid, fmt.Errorf("alternative: %w", err))
			continue
		case named[t.Name]:
			wrong.add("alternative", ErrInvalid, fmt.Errorf("alternative %.40q: instance type %s is named twice", name, t.Name))
			continue
		}
		named[t.Name] = true
		wrong.add("architecture", ErrInvalid, img.runsOn(t))
		if sized {
			wrong.add("size", ErrInvalid, roomOn(t, ask.Size))
		}
		var refused problems
		rules.check(f.prices, want.on(t.Name), &refused)
		wrong.addNew(refused)
		price, priced := f.prices.catalog.Price(t.Name, f.prices.region)
		offers = append(offers, instancetype.Offer{Type: t, Price: price, Priced: priced})
	}
	return offers
}

// addNew adds those that have not been told: what is wrong with an image or a
// role is so on every type.
func (p *problems) addNew(more problems) {
	for _, err := range more {
		if !slices.ContainsFunc(*p, func(told error) bool { return told.Error() == err.Error() }) {
			*p = append(*p, err)
		}
	}
}

// without drops from alternatives the type that was chosen, which whoever named
// no type could not know.
func without(offers []instancetype.Offer, chosen string) []instancetype.Offer {
	return slices.DeleteFunc(offers, func(o instancetype.Offer) bool { return o.Type.Name == chosen })
}
