package fakeaws

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/atelier-go/atelier/instancetype"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// A Market is how instances are bought.
type Market string

// The markets that are modelled.
const (
	OnDemand Market = "on-demand"
	Spot     Market = "spot" // spare capacity, which EC2 may take back
)

// offer is an instance type in a zone.
type offer struct{ instanceType, zone string }

// pool is where capacity is sold. That each market has its own is an assumption.
type pool struct {
	offer
	market Market
}

// SetCapacity lets n instances of a type that were bought on demand exist in a
// zone at once: zero is sold out, negative is without limit, as it is at first.
// What runs goes on, and an instance counts until it is terminated. RunInstances
// takes what there is if that is at least MinCount, or else fails with
// InsufficientInstanceCapacity and HTTP status 500, which the SDK retries.
// [Config.SoldOut] leaves less still at its times.
func (c *Cloud) SetCapacity(instanceType, zone string, n int) error {
	return c.setCapacity("set capacity", instanceType, zone, OnDemand, n)
}

// SetSpotCapacity is [Cloud.SetCapacity] for spot instances, whose capacity is
// another. To take an instance back is [Cloud.Interrupt].
func (c *Cloud) SetSpotCapacity(instanceType, zone string, n int) error {
	return c.setCapacity("set spot capacity", instanceType, zone, Spot, n)
}

func (c *Cloud) setCapacity(op, instanceType, zone string, market Market, n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, err := c.offerOf(instanceType, zone)
	if err != nil {
		return fmt.Errorf("fakeaws: %s: %w", op, err)
	}
	p := pool{o, market}
	if n < 0 {
		delete(c.ec2.pools, p)
	} else {
		c.ec2.pools[p] = n
	}
	return nil
}

// SetOffered says whether a zone has an instance type at all. At first each has
// all. A launch where it has not fails with Unsupported, and it has no spot price
// there.
func (c *Cloud) SetOffered(instanceType, zone string, offered bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, err := c.offerOf(instanceType, zone)
	if err != nil {
		return fmt.Errorf("fakeaws: set offered: %w", err)
	}
	c.ec2.withheld[o] = !offered
	return nil
}

func (c *Cloud) offerOf(instanceType, zone string) (offer, error) {
	if t, err := instancetype.Embedded().Type(instanceType); err != nil {
		return offer{}, err
	} else if t.Name != instanceType {
		return offer{}, fmt.Errorf("type %q: EC2 calls it %q", instanceType, t.Name)
	}
	if !slices.Contains(c.zones(), zone) {
		return offer{}, fmt.Errorf("zone %q: want one of %q", zone, c.zones())
	}
	return offer{instanceType, zone}, nil
}

// A Quota is a limit of the account on virtual CPUs that run, by its code in
// Service Quotas. On demand
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-on-demand-instances.html)
// and spot (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-spot-limits.html)
// have quotas of their own.
type Quota string

// The quotas that are modelled. The name says which families they count.
const (
	QuotaStandard Quota = "L-1216C47A" // A, C, D, H, I, M, R, T, Z
	QuotaG        Quota = "L-DB2E81BA" // G, VT
	QuotaP        Quota = "L-417A185B" // P
	QuotaX        Quota = "L-7295265B" // X

	QuotaSpotStandard Quota = "L-34B43A08" // A, C, D, H, I, M, R, T, Z
	QuotaSpotG        Quota = "L-3819A6DF" // G, VT
	QuotaSpotP        Quota = "L-7212CCBC" // P2 to P4; that P5 and later, which have one of their own, count here is an assumption
	QuotaSpotX        Quota = "L-E3A00192" // X
)

// spotQuotas are the quotas of spot instances, by those of the same families on
// demand.
var spotQuotas = map[Quota]Quota{
	QuotaStandard: QuotaSpotStandard, QuotaG: QuotaSpotG, QuotaP: QuotaSpotP, QuotaX: QuotaSpotX,
}

// quotaOf returns what a type counts against; families not listed have no
// modelled limit.
func quotaOf(t instancetype.Type, market Market) Quota {
	q := onDemandQuotaOf(t)
	if market == Spot {
		return spotQuotas[q]
	}
	return q
}

func onDemandQuotaOf(t instancetype.Type) Quota {
	letters := t.Family
	if i := strings.IndexAny(letters, "0123456789"); i >= 0 {
		letters = letters[:i]
	}
	switch letters {
	case "a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z":
		return QuotaStandard
	case "g", "gr", "vt":
		return QuotaG
	case "p":
		return QuotaP
	case "x":
		return QuotaX
	}
	return ""
}

// SetQuota limits the virtual CPUs that may run at once; negative is without
// limit, as it is at first. An instance counts until it is terminated. Beyond
// it a launch fails with VcpuLimitExceeded or, of spot instances, with
// MaxSpotInstanceCountExceeded.
func (c *Cloud) SetQuota(q Quota, vcpus int) error {
	known := slices.Collect(maps.Keys(spotQuotas))
	if !slices.Contains(slices.AppendSeq(known, maps.Values(spotQuotas)), q) {
		return fmt.Errorf("fakeaws: set quota: %q is not modelled", q)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if vcpus < 0 {
		delete(c.ec2.quotas, q)
	} else {
		c.ec2.quotas[q] = vcpus
	}
	return nil
}

// room returns how many more of a type a zone has, at most want.
func (c *Cloud) room(p pool, want int, now time.Time) int {
	if c.isSoldOut(p, now) {
		return 0
	}
	limit, limited := c.ec2.pools[p]
	if !limited {
		return want
	}
	for _, i := range c.ec2.instances {
		if i.kind.Name == p.instanceType && i.zone == p.zone && i.market() == p.market && i.state(now) != types.InstanceStateNameTerminated {
			limit--
		}
	}
	return max(0, min(want, limit))
}

// allowed returns how many more of a type the quota leaves, at most want, and
// the quota.
func (c *Cloud) allowed(t instancetype.Type, market Market, want int, now time.Time) (n, limit int) {
	q := quotaOf(t, market)
	limit, limited := c.ec2.quotas[q]
	if !limited {
		return want, 0
	}
	left := limit
	for _, i := range c.ec2.instances {
		if quotaOf(i.kind, i.market()) == q && i.state(now) != types.InstanceStateNameTerminated {
			left -= i.kind.VCPUs
		}
	}
	return max(0, min(want, left/t.VCPUs)), limit
}
