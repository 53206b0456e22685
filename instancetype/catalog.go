package instancetype

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Catalog holds instance types and their prices. It never changes, so it is
// safe for concurrent use. The zero value is empty.
type Catalog struct {
	types []Type // by name
	index map[string]int
	// quotes has, for each region, the price of each type at its place in types.
	quotes  map[string][]quote
	origins []origin
	// orders has, for each region that was asked for, the places of all types in the
	// order of offers.
	orders sync.Map
}

// A quote is a price per hour, unknown if it is zero, and its place in origins.
type quote struct {
	perHour Money
	origin  int
}

type origin struct {
	source string
	asOf   time.Time
}

// A Price is what an instance type costs in a region: on demand, Linux, shared
// tenancy, without volumes, traffic and tax.
type Price struct {
	// Type is the EC2 name.
	Type string
	// Region is the region's code ("us-east-1").
	Region string
	// PerHour is the price of an hour, above zero. EC2 bills by the second.
	PerHour Money
	// Source is where it comes from ("karpenter"), empty if not recorded.
	Source string
	// AsOf is the day it was true, or zero. Prices change; most fall.
	AsOf time.Time
}

// New returns a catalog of the given types and prices, which it copies. Types
// need a Name, VCPUs, MemoryMiB and Arch; Family and Size are derived. Prices
// need a Type that is among the types, a Region and a PerHour.
//
// It reports every problem at once, as [ErrInvalid].
func New(types []Type, prices []Price) (*Catalog, error) {
	c := &Catalog{
		types:  slices.Clone(types),
		index:  make(map[string]int, len(types)),
		quotes: make(map[string][]quote),
	}
	var problems []error
	for i, t := range c.types {
		t, err := t.withName()
		if err != nil {
			problems = append(problems, err)
		}
		c.types[i] = t
	}
	slices.SortStableFunc(c.types, func(a, b Type) int { return strings.Compare(a.Name, b.Name) })
	for i := range c.types {
		name := c.types[i].Name
		if _, twice := c.index[name]; twice {
			problems = append(problems, fmt.Errorf("type %.40q is given twice", name))
		}
		c.index[name] = i
	}
	known := make(map[origin]int)
	for _, p := range prices {
		if err := c.add(p, known); err != nil {
			problems = append(problems, fmt.Errorf("price of %.40q in %.40q: %w", p.Type, p.Region, err))
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("%w catalog: %w", ErrInvalid, errors.Join(problems...))
	}
	return c, nil
}

func (c *Catalog) add(p Price, known map[origin]int) error {
	i, ok := c.index[p.Type]
	var problems []error
	if !ok {
		problems = append(problems, errors.New("no such type among those given"))
	}
	if p.Region == "" {
		problems = append(problems, errors.New("region is empty"))
	}
	if p.PerHour <= 0 {
		problems = append(problems, fmt.Errorf("%v an hour: want more than zero, or no price", p.PerHour))
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	row := c.quotes[p.Region]
	if row == nil {
		row = make([]quote, len(c.types))
		c.quotes[p.Region] = row
	}
	if row[i].perHour != 0 {
		return errors.New("is given twice")
	}
	from := origin{p.Source, p.AsOf}
	n := len(c.origins) - 1
	if n < 0 || c.origins[n] != from { // mostly it is that of the price before
		if n, ok = known[from]; !ok {
			n = len(c.origins)
			known[from] = n
			c.origins = append(c.origins, from)
		}
	}
	row[i] = quote{p.PerHour, n}
	return nil
}

// Type returns the instance type of an EC2 or SageMaker name. A name that the
// catalog does not have is an [*UnknownError]. It takes constant time.
func (c *Catalog) Type(name string) (Type, error) {
	i, ok := c.find(name)
	if !ok {
		return Type{}, &UnknownError{Name: name, Near: c.near(name)}
	}
	return c.types[i], nil
}

func (c *Catalog) find(name string) (i int, ok bool) {
	if i, ok = c.index[name]; ok {
		return i, true
	}
	if name, ok = FromSageMaker(name); ok {
		i, ok = c.index[name]
	}
	return i, ok
}

// Price returns what EC2 charges for an instance type in a region, and whether
// that is known. The name may be EC2's or SageMaker's; SageMaker's own charge,
// which is higher, is not in the catalog. It takes constant time.
//
// Unknown is not free, and not proof that the region lacks the type. Prices in
// another currency, as in China, are unknown.
func (c *Catalog) Price(name, region string) (Price, bool) {
	i, ok := c.find(name)
	if !ok {
		return Price{}, false
	}
	return c.price(i, region)
}

func (c *Catalog) price(i int, region string) (Price, bool) {
	row := c.quotes[region]
	if row == nil || row[i].perHour == 0 {
		return Price{}, false
	}
	from := c.origins[row[i].origin]
	return Price{c.types[i].Name, region, row[i].perHour, from.source, from.asOf}, true
}

// All yields every type of the catalog in the order of their names.
func (c *Catalog) All() iter.Seq[Type] { return slices.Values(c.types) }
