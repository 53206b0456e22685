package instancetype

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
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
// MaxPerHour. If r is not valid there are none, and [Requirements.Validate]
// says why.
func (c *Catalog) Offers(region string, r Requirements) []Offer {
	if r.Validate() != nil {
		return nil
	}
	var offers []*Offer // pointers, for an Offer is large to sort
	for i := range c.types {
		o := c.offer(i, region)
		met := true
		r.refuse(&o, func(string, ...any) { met = false })
		if met {
			offers = append(offers, &o)
		}
	}
	slices.SortFunc(offers, compare)
	sorted := make([]Offer, len(offers))
	for i, o := range offers {
		sorted[i] = *o
	}
	return sorted
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

func compare(a, b *Offer) int {
	size := cmp.Or(cmp.Compare(a.Type.VCPUs, b.Type.VCPUs), cmp.Compare(a.Type.MemoryMiB, b.Type.MemoryMiB))
	name := strings.Compare(a.Type.Name, b.Type.Name)
	switch {
	case a.Priced && b.Priced:
		return cmp.Or(cmp.Compare(a.Price.PerHour, b.Price.PerHour), -size, name)
	case a.Priced:
		return -1
	case b.Priced:
		return 1
	}
	return cmp.Or(size, name)
}
