package fakeaws

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

type vpc struct {
	id        string
	cidr      netip.Prefix
	isDefault bool
	subnets   int
}

type subnet struct {
	id, vpc, zone string
	cidr          netip.Prefix
	addresses     map[netip.Addr]bool // that are given out
	leaving       []leaving           // of them, those that will be free again
}

// leaving is an address and when it is free.
type leaving struct {
	address netip.Addr
	at      time.Time
}

// A Subnet is part of a VPC in one Availability Zone.
type Subnet struct {
	// ID is EC2's ("subnet-...").
	ID string
	// VPC is the VPC it is in.
	VPC string
	// Zone is its Availability Zone ("us-east-1a").
	Zone string
	// CIDR is its range of addresses ("172.31.0.0/20"), of which EC2 keeps five.
	CIDR string
}

// zones are the Availability Zones of the region.
func (c *Cloud) zones() []string {
	return []string{c.region + "a", c.region + "b", c.region + "c"}
}

// addDefaultVPC makes what every new account has in each region: a VPC with the
// range 172.31.0.0/16 and a /20 for each zone
// (https://docs.aws.amazon.com/vpc/latest/userguide/default-vpc-components.html).
func (c *Cloud) addDefaultVPC() {
	v := c.addVPC(netip.MustParsePrefix("172.31.0.0/16"), true)
	for _, zone := range c.zones() {
		c.addSubnet(v, zone)
	}
}

func (c *Cloud) addVPC(cidr netip.Prefix, isDefault bool) *vpc {
	v := &vpc{id: resourceID("vpc", c.hash("vpc", len(c.ec2.vpcs))), cidr: cidr, isDefault: isDefault}
	c.ec2.vpcs = append(c.ec2.vpcs, v)
	c.addDefaultGroup(v.id)
	return v
}

// subnetBits is the size of each subnet: a /20, as in default VPCs.
const subnetBits = 20

func (c *Cloud) addSubnet(v *vpc, zone string) *subnet {
	base := v.cidr.Addr().As4()
	base[2] = byte(v.subnets << (24 - subnetBits))
	s := &subnet{
		id: resourceID("subnet", c.hash("subnet", v.id, v.subnets)), vpc: v.id, zone: zone,
		cidr:      netip.PrefixFrom(netip.AddrFrom4(base), subnetBits),
		addresses: map[netip.Addr]bool{},
	}
	v.subnets++
	c.ec2.subnets = append(c.ec2.subnets, s)
	return s
}

// DefaultVPC returns the id of the VPC the account began with.
func (c *Cloud) DefaultVPC() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ec2.vpcs[0].id
}

// Subnets returns every subnet of the account: first those of the default VPC,
// one in each of three zones, then what [Cloud.AddSubnet] made.
func (c *Cloud) Subnets() []Subnet {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []Subnet
	for _, s := range c.ec2.subnets {
		list = append(list, s.public())
	}
	return list
}

func (s *subnet) public() Subnet {
	return Subnet{ID: s.id, VPC: s.vpc, Zone: s.zone, CIDR: s.cidr.String()}
}

// AddVPC makes another VPC, without subnets, and returns its id. An account
// holds at most 255 beside its default.
func (c *Cloud) AddVPC() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.ec2.vpcs)
	if n > 255 {
		return "", fmt.Errorf("fakeaws: add VPC: the account has %d already", n)
	}
	return c.addVPC(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n), 0, 0}), 16), false).id, nil
}

// AddSubnet makes another subnet. A VPC has room for 16, in the zones a, b and
// c of the region.
func (c *Cloud) AddSubnet(vpc, zone string) (Subnet, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.vpc(vpc)
	switch {
	case v == nil:
		return Subnet{}, fmt.Errorf("fakeaws: add subnet: no VPC %q", vpc)
	case !slices.Contains(c.zones(), zone):
		return Subnet{}, fmt.Errorf("fakeaws: add subnet: zone %q: want one of %q", zone, c.zones())
	case v.subnets == 1<<(subnetBits-16):
		return Subnet{}, fmt.Errorf("fakeaws: add subnet: %s is full", vpc)
	}
	return c.addSubnet(v, zone).public(), nil
}

func (c *Cloud) vpc(id string) *vpc {
	i := slices.IndexFunc(c.ec2.vpcs, func(v *vpc) bool { return v.id == id })
	if i < 0 {
		return nil
	}
	return c.ec2.vpcs[i]
}

// subnet finds a subnet; c.mu is held.
func (c *Cloud) subnet(id string) (*subnet, bool) {
	i := slices.IndexFunc(c.ec2.subnets, func(s *subnet) bool { return s.id == id })
	if i < 0 {
		return nil, false
	}
	return c.ec2.subnets[i], true
}

// reserved is how many addresses of a subnet EC2 keeps: the first four and the
// last (https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html).
const reserved = 5

// free counts the addresses a subnet has left.
func (s *subnet) free(now time.Time) int {
	s.leaving = slices.DeleteFunc(s.leaving, func(l leaving) bool {
		free := !now.Before(l.at)
		if free {
			delete(s.addresses, l.address)
		}
		return free
	})
	return 1<<(32-s.cidr.Bits()) - reserved - len(s.addresses)
}

// address gives out an address by the hash of who gets it. One that is taken is
// drawn again. It is "" if none is left.
func (c *Cloud) address(s *subnet, seed uint64, now time.Time) string {
	if s.free(now) == 0 {
		return ""
	}
	base := s.cidr.Addr().As4()
	for try := 0; ; try++ {
		n := 4 + c.hash("address", s.id, seed, try)%(1<<(32-s.cidr.Bits())-reserved)
		a := netip.AddrFrom4([4]byte{base[0], base[1], base[2] | byte(n>>8), byte(n)})
		if !s.addresses[a] {
			s.addresses[a] = true
			return a.String()
		}
	}
}

// release frees an address at an instant. Of two such instants the last one told
// counts.
func (s *subnet) release(address string, at time.Time) {
	if a, err := netip.ParseAddr(address); err == nil && s.addresses[a] {
		s.leaving = slices.DeleteFunc(s.leaving, func(l leaving) bool { return l.address == a })
		s.leaving = append(s.leaving, leaving{a, at})
	}
}

var groupIDPattern = idPattern("sg")

// idPattern is the form of EC2's identifiers, the present and the shorter one
// from before 2016.
func idPattern(prefix string) *regexp.Regexp {
	return regexp.MustCompile(`^` + prefix + `-([0-9a-f]{8}|[0-9a-f]{17})$`)
}

func (c *Cloud) describeVpcs(at call, in *awsec2.DescribeVpcsInput) (*awsec2.DescribeVpcsOutput, error) {
	if err := modelled(at, in, "VpcIds", "Filters", "MaxResults", "NextToken"); err != nil {
		return nil, err
	}
	for _, id := range in.VpcIds {
		if c.vpc(id) == nil {
			return nil, ec2Refuse("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", id)
		}
	}
	var found []types.Vpc
	for _, v := range c.ec2.vpcs {
		ok, err := matches(at, in.Filters, nil, func(filter string) ([]string, bool) {
			switch filter {
			case "vpc-id":
				return []string{v.id}, true
			case "is-default", "isDefault":
				return []string{fmt.Sprint(v.isDefault)}, true
			}
			return nil, false
		})
		if err != nil {
			return nil, err
		}
		if ok && (len(in.VpcIds) == 0 || slices.Contains(in.VpcIds, v.id)) {
			found = append(found, types.Vpc{
				VpcId: aws.String(v.id), OwnerId: aws.String(c.account), CidrBlock: aws.String(v.cidr.String()),
				IsDefault: aws.Bool(v.isDefault), State: types.VpcStateAvailable, InstanceTenancy: types.TenancyDefault,
			})
		}
	}
	slices.SortFunc(found, func(a, b types.Vpc) int { return strings.Compare(*a.VpcId, *b.VpcId) })
	found, next, err := page(found, func(v types.Vpc) string { return *v.VpcId }, in.MaxResults, in.NextToken, 5)
	if err != nil {
		return nil, err
	}
	return &awsec2.DescribeVpcsOutput{Vpcs: found, NextToken: next}, nil
}

func (c *Cloud) describeSubnets(at call, in *awsec2.DescribeSubnetsInput) (*awsec2.DescribeSubnetsOutput, error) {
	if err := modelled(at, in, "SubnetIds", "Filters", "MaxResults", "NextToken"); err != nil {
		return nil, err
	}
	for _, id := range in.SubnetIds {
		if _, err := c.existingSubnet(id); err != nil {
			return nil, err
		}
	}
	var found []types.Subnet
	for _, s := range c.ec2.subnets {
		ok, err := matches(at, in.Filters, nil, func(filter string) ([]string, bool) {
			switch filter {
			case "subnet-id":
				return []string{s.id}, true
			case "vpc-id":
				return []string{s.vpc}, true
			case "availability-zone", "availabilityZone":
				return []string{s.zone}, true
			case "default-for-az", "defaultForAz":
				return []string{fmt.Sprint(c.isDefault(s))}, true
			case "state":
				return []string{"available"}, true
			}
			return nil, false
		})
		if err != nil {
			return nil, err
		}
		if ok && (len(in.SubnetIds) == 0 || slices.Contains(in.SubnetIds, s.id)) {
			found = append(found, types.Subnet{
				SubnetId: aws.String(s.id), VpcId: aws.String(s.vpc), OwnerId: aws.String(c.account),
				AvailabilityZone: aws.String(s.zone), CidrBlock: aws.String(s.cidr.String()),
				SubnetArn:               aws.String(c.ec2ARN("subnet", s.id)),
				AvailableIpAddressCount: aws.Int32(int32(s.free(at.At))),
				DefaultForAz:            aws.Bool(c.isDefault(s)), State: types.SubnetStateAvailable,
			})
		}
	}
	slices.SortFunc(found, func(a, b types.Subnet) int { return strings.Compare(*a.SubnetId, *b.SubnetId) })
	found, next, err := page(found, func(s types.Subnet) string { return *s.SubnetId }, in.MaxResults, in.NextToken, 5)
	if err != nil {
		return nil, err
	}
	return &awsec2.DescribeSubnetsOutput{Subnets: found, NextToken: next}, nil
}

func (c *Cloud) existingSubnet(id string) (*subnet, error) {
	s, ok := c.subnet(id)
	if !ok {
		return nil, ec2Refuse("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
	}
	return s, nil
}

// isDefault reports whether a subnet is the one of its zone that is taken when
// none is named: the default VPC's first.
func (c *Cloud) isDefault(s *subnet) bool {
	return c.defaultSubnet(s.zone) == s
}

func (c *Cloud) defaultSubnet(zone string) *subnet {
	for _, s := range c.ec2.subnets {
		if s.zone == zone && s.vpc == c.ec2.vpcs[0].id {
			return s
		}
	}
	return nil
}

func (c *Cloud) ec2ARN(kind, id string) string {
	return fmt.Sprintf("arn:aws:ec2:%s:%s:%s/%s", c.region, c.account, kind, id)
}
