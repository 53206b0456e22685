package instancetype

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
)

// An Offer is an instance type that meets [Requirements].
type Offer struct {
	// Type is the instance type.
	Type Type
	// Price is what it costs, if Priced.
	Price Price
	// Priced is whether the price in the region is known.
	Priced bool
}

// Offers returns the types that meet r, cheapest first: by price; of equal
// price the one with more CPUs, then memory; then by name. Types whose price
// in the region is unknown come last, smallest first, and only if r sets no
// MaxPerHour; in a region of which the catalog has no prices those are all. If r is not valid there are none, and [Requirements.Validate]
// says why.
func (c *Catalog) Offers(region string, r Requirements) []Offer {
	return slices.Collect(c.EachOffer(region, r))
}

// EachOffer yields the types that Offers returns, in its order: for who wants the first
// that something else is also true of.
func (c *Catalog) EachOffer(region string, r Requirements) iter.Seq[Offer] {
	return func(yield func(Offer) bool) {
		if r.Validate() != nil {
			return
		}
		for _, i := range c.order(region) {
			o, ok := c.offer(i, region), true
			r.refuse(&o, func(string, ...any) { ok = false })
			if ok && !yield(o) {
				return
			}
		}
	}
}

// order returns the places of all types in the order in which they are offered in a
// region.
func (c *Catalog) order(region string) []int {
	if known, ok := c.orders.Load(region); ok {
		return known.([]int)
	}
	row := c.quotes[region]
	all := make([]int, len(c.types))
	for i := range all {
		all[i] = i
	}
	slices.SortFunc(all, func(i, j int) int {
		a, b := &c.types[i], &c.types[j]
		var p, q Money
		if row != nil {
			p, q = row[i].perHour, row[j].perHour
		}
		size := cmp.Or(cmp.Compare(a.VCPUs, b.VCPUs), cmp.Compare(a.MemoryMiB, b.MemoryMiB))
		switch {
		case p != 0 && q != 0:
			return cmp.Or(cmp.Compare(p, q), -size, cmp.Compare(i, j))
		case p != q: // one of them is unknown
			return cmp.Compare(q, p)
		}
		return cmp.Or(size, cmp.Compare(i, j))
	})
	if row != nil { // regions that the catalog does not know are without number
		c.orders.Store(region, all)
	}
	return all
}

// Check returns nil if the named type meets r in the region: if and only if
// Offers offers it. Otherwise it is a [*RefusedError] with every reason; or an
// [*UnknownError]; or, if r makes no sense, [ErrInvalid].
func (c *Catalog) Check(name, region string, r Requirements) error {
	if err := r.Validate(); err != nil {
		return err
	}
	i, ok := c.find(name)
	if !ok {
		return &UnknownError{Name: name, Near: c.near(name)}
	}
	o := c.offer(i, region)
	var reasons []string
	r.refuse(&o, func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) })
	if len(reasons) == 0 {
		return nil
	}
	return &RefusedError{Type: o.Type.Name, Region: region, Reasons: reasons}
}

func (c *Catalog) offer(i int, region string) Offer {
	o := Offer{Type: c.types[i]}
	o.Price, o.Priced = c.price(i, region)
	return o
}
