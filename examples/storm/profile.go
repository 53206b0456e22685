package main

import (
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/instancetype"
)

// hostTypes are what sessions may run on, the preferred first: the general family,
// which has the ratio of memory to processors that the sessions ask for, in two
// generations of one price, from two processors to sixteen.
var hostTypes = []string{
	"m5.large", "m5.xlarge", "m5.2xlarge", "m5.4xlarge",
	"m6i.large", "m6i.xlarge", "m6i.2xlarge", "m6i.4xlarge",
}

const (
	region = "us-east-1"
	// imageGiB is the size of the image.
	imageGiB = 1e9 / (1 << 30)
)

// account is the profile of the account: what AWS publishes, and what was
// measured there.
func (o Options) account() fakeaws.Config {
	account := fakeaws.Config{
		Region: region, Seed: o.Seed, Delays: fakeaws.Realistic(), Spread: 0.3, Limits: fakeaws.PublishedLimits(),
	}
	if o.Faults {
		disturb(&account)
	}
	if o.change != nil {
		o.change(&account)
	}
	return account
}

// room is what a type has for sessions, with its processors given away so many
// times over.
func room(name string, overcommit float64) (cpu, memory float64) {
	t, _ := must(name)
	return float64(t.VCPUs*1000) * overcommit, float64(t.UsableMemoryMiB())
}

// must is for what the catalog that is in the program has.
func must(name string) (instancetype.Type, instancetype.Money) {
	t, err := instancetype.Embedded().Type(name)
	if err != nil {
		panic(err)
	}
	p, ok := instancetype.Embedded().Price(name, region)
	if !ok {
		panic("no price for " + name)
	}
	return t, p.PerHour
}
