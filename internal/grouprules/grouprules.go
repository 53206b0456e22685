// Package grouprules compares the rules of EC2 security groups.
package grouprules

import (
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Parted makes one permission for each rule, as EC2 counts them, since it answers rules
// of equal ports joined.
func Parted(list []ec2types.IpPermission) (rules []ec2types.IpPermission) {
	for _, p := range list {
		one := ec2types.IpPermission{IpProtocol: p.IpProtocol, FromPort: p.FromPort, ToPort: p.ToPort}
		for _, g := range p.UserIdGroupPairs {
			r := one
			r.UserIdGroupPairs = []ec2types.UserIdGroupPair{g}
			rules = append(rules, r)
		}
		for _, b := range p.IpRanges {
			r := one
			r.IpRanges = []ec2types.IpRange{b}
			rules = append(rules, r)
		}
		for _, b := range p.Ipv6Ranges {
			r := one
			r.Ipv6Ranges = []ec2types.Ipv6Range{b}
			rules = append(rules, r)
		}
		for _, b := range p.PrefixListIds {
			r := one
			r.PrefixListIds = []ec2types.PrefixListId{b}
			rules = append(rules, r)
		}
	}
	return rules
}

// Without returns the parted rules that are not among others.
func Without(rules, others []ec2types.IpPermission) (rest []ec2types.IpPermission) {
	for _, r := range rules {
		if !slices.ContainsFunc(others, func(o ec2types.IpPermission) bool { return id(o) == id(r) }) {
			rest = append(rest, r)
		}
	}
	return rest
}

// id is what tells a parted rule from others: all but its description and the owner of
// a group.
func id(p ec2types.IpPermission) string {
	from := ""
	for _, g := range p.UserIdGroupPairs {
		from = aws.ToString(g.GroupId)
	}
	for _, b := range p.IpRanges {
		from = aws.ToString(b.CidrIp)
	}
	for _, b := range p.Ipv6Ranges {
		from = aws.ToString(b.CidrIpv6)
	}
	for _, b := range p.PrefixListIds {
		from = aws.ToString(b.PrefixListId)
	}
	return fmt.Sprint(aws.ToString(p.IpProtocol), aws.ToInt32(p.FromPort), aws.ToInt32(p.ToPort), from)
}
