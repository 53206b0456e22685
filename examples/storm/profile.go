package main

import (
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/instancetype"
)

const (
	// hostType is what sessions run on: sixteen processors, and the memory of
	// the general family, which has the ratio that the sessions ask for.
	hostType = "m5.4xlarge"
	region   = "us-east-1"
	// imageGiB is the size of the image.
	imageGiB = 1e9 / (1 << 30)
)

// account is the profile of the account: what AWS publishes, and what was
// measured there.
func account(seed uint64) fakeaws.Config {
	return fakeaws.Config{
		Region: region, Seed: seed, Delays: fakeaws.Realistic(), Spread: 0.3, Limits: fakeaws.PublishedLimits(),
	}
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
