package fakeaws

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/atelier-go/atelier/instancetype"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// pool is where capacity is sold.
type pool struct{ instanceType, zone string }

// SetCapacity lets n instances of a type exist in a zone at once: zero is sold
// out, negative is without limit, as it is at first. What runs goes on.
// RunInstances takes what there is if that is at least MinCount, or else fails
// with InsufficientInstanceCapacity and HTTP status 500, which the SDK retries.
func (c *Cloud) SetCapacity(instanceType, zone string, n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := c.poolOf(instanceType, zone)
	if err != nil {
		return fmt.Errorf("fakeaws: set capacity: %w", err)
	}
	if n < 0 {
		delete(c.ec2.pools, p)
	} else {
		c.ec2.pools[p] = n
	}
	return nil
}

// SetOffered says whether a zone has an instance type at all. At first each has
// all. A launch where it has not fails with Unsupported.
func (c *Cloud) SetOffered(instanceType, zone string, offered bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := c.poolOf(instanceType, zone)
	if err != nil {
		return fmt.Errorf("fakeaws: set offered: %w", err)
	}
	c.ec2.withheld[p] = !offered
	return nil
}

func (c *Cloud) poolOf(instanceType, zone string) (pool, error) {
	if t, err := instancetype.Embedded().Type(instanceType); err != nil {
		return pool{}, err
	} else if t.Name != instanceType {
		return pool{}, fmt.Errorf("type %q: EC2 calls it %q", instanceType, t.Name)
	}
	if !slices.Contains(c.zones(), zone) {
		return pool{}, fmt.Errorf("zone %q: want one of %q", zone, c.zones())
	}
	return pool{instanceType, zone}, nil
}

// A Quota is a limit of the account on virtual CPUs that run on demand, by its
// code in Service Quotas
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-on-demand-instances.html).
type Quota string

// The quotas that are modelled. The name says which families they count.
const (
	QuotaStandard Quota = "L-1216C47A" // A, C, D, H, I, M, R, T, Z
	QuotaG        Quota = "L-DB2E81BA" // G, VT
	QuotaP        Quota = "L-417A185B" // P
	QuotaX        Quota = "L-7295265B" // X
)

// quotaOf returns what a type counts against; families not listed have no
// modelled limit.
func quotaOf(t instancetype.Type) Quota {
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
// it a launch fails with VcpuLimitExceeded.
func (c *Cloud) SetQuota(q Quota, vcpus int) error {
	if !slices.Contains([]Quota{QuotaStandard, QuotaG, QuotaP, QuotaX}, q) {
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
	limit, limited := c.ec2.pools[p]
	if !limited {
		return want
	}
	for _, i := range c.ec2.instances {
		if i.kind.Name == p.instanceType && i.zone == p.zone && i.state(now) != types.InstanceStateNameTerminated {
			limit--
		}
	}
	return max(0, min(want, limit))
}

// allowed returns how many more of a type the quota leaves, at most want, and
// the quota.
func (c *Cloud) allowed(t instancetype.Type, want int, now time.Time) (n, limit int) {
	q := quotaOf(t)
	limit, limited := c.ec2.quotas[q]
	if !limited {
		return want, 0
	}
	left := limit
	for _, i := range c.ec2.instances {
		if quotaOf(i.kind) == q && i.state(now) != types.InstanceStateNameTerminated {
			left -= i.kind.VCPUs
		}
	}
	return max(0, min(want, left/t.VCPUs)), limit
}
