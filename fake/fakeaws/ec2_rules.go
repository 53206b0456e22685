package fakeaws

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// A rule lets traffic pass to or from one other side: a group or a range.
type rule struct {
	protocol    string // "tcp", "udp", "icmp" or "-1" for all
	from, to    int32
	group, cidr string // one of them
	description string // no part of what tells rules apart
}

// anywhere is every IPv4 address: what a new group reaches.
const anywhere = "0.0.0.0/0"

func (r rule) same(other rule) bool {
	r.description = other.description
	return r == other
}

func (r rule) opens(port int32) bool {
	return r.protocol == "-1" || r.protocol == "tcp" && r.from <= port && port <= r.to
}

// rules parts permissions into one rule for each other side.
func (c *Cloud) rules(g *securityGroup, list []types.IpPermission) ([]rule, error) {
	var rules []rule
	for _, p := range list {
		r := rule{protocol: strings.ToLower(aws.ToString(p.IpProtocol)), from: aws.ToInt32(p.FromPort), to: aws.ToInt32(p.ToPort)}
		switch r.protocol {
		case "6":
			r.protocol = "tcp"
		case "17":
			r.protocol = "udp"
		case "all":
			r.protocol = "-1"
		}
		switch r.protocol {
		case "tcp", "udp":
			if p.FromPort == nil || p.ToPort == nil || r.from < 0 || r.to > 65535 || r.from > r.to {
				return nil, ec2Refuse("InvalidParameterValue", "Invalid value for portRange. Must specify both from and to ports with TCP/UDP.")
			}
		case "-1":
			r.from, r.to = 0, 0
		case "icmp":
		default:
			return nil, ec2Refuse("InvalidParameterValue", "Invalid value '%s' for IP protocol. Unknown protocol.", r.protocol)
		}
		if len(p.PrefixListIds) > 0 {
			return nil, ec2Refuse("UnsupportedOperation", "Prefix lists are not modelled by fakeaws")
		}
		for _, pair := range p.UserIdGroupPairs {
			id := aws.ToString(pair.GroupId)
			if other := c.ec2.groups[id]; other == nil || other.vpc != g.vpc {
				return nil, ec2Refuse("InvalidGroup.NotFound", "You have specified two resources that belong to different networks or a group that does not exist: '%s'", id)
			}
			r.group, r.cidr, r.description = id, "", aws.ToString(pair.Description)
			rules = append(rules, r)
		}
		for _, block := range p.IpRanges {
			prefix, err := netip.ParsePrefix(aws.ToString(block.CidrIp))
			if err != nil || !prefix.Addr().Is4() {
				return nil, ec2Refuse("InvalidParameterValue", "CIDR block %s is malformed", aws.ToString(block.CidrIp))
			}
			r.group, r.cidr, r.description = "", prefix.Masked().String(), aws.ToString(block.Description)
			rules = append(rules, r)
		}
		for _, block := range p.Ipv6Ranges {
			prefix, err := netip.ParsePrefix(aws.ToString(block.CidrIpv6))
			if err != nil || !prefix.Addr().Is6() || prefix.Addr().Is4In6() {
				return nil, ec2Refuse("InvalidParameterValue", "CIDR block %s is malformed", aws.ToString(block.CidrIpv6))
			}
			r.group, r.cidr, r.description = "", prefix.Masked().String(), aws.ToString(block.Description)
			rules = append(rules, r)
		}
	}
	if len(rules) == 0 {
		return nil, ec2Refuse("MissingParameter", "The request must contain at least one rule with a source or destination")
	}
	return rules, nil
}

func comparePorts(a, b rule) int {
	return cmp.Or(cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
}

// sortedRules are rules in an order that is theirs.
func sortedRules(rules []rule) []rule {
	return slices.SortedFunc(slices.Values(rules), func(a, b rule) int {
		return cmp.Or(comparePorts(a, b), cmp.Compare(a.group, b.group), cmp.Compare(a.cidr, b.cidr))
	})
}

// permissions joins rules of equal protocol and ports, as EC2 answers them.
func permissions(rules []rule, account string) []types.IpPermission {
	rules = slices.Clone(rules)
	slices.SortStableFunc(rules, comparePorts)
	var list []types.IpPermission
	for i, r := range rules {
		if i == 0 || r.protocol != rules[i-1].protocol || r.from != rules[i-1].from || r.to != rules[i-1].to {
			p := types.IpPermission{IpProtocol: aws.String(r.protocol)}
			if r.protocol != "-1" {
				p.FromPort, p.ToPort = aws.Int32(r.from), aws.Int32(r.to)
			}
			list = append(list, p)
		}
		p := &list[len(list)-1]
		var description *string
		if r.description != "" {
			description = aws.String(r.description)
		}
		switch {
		case r.group != "":
			p.UserIdGroupPairs = append(p.UserIdGroupPairs, types.UserIdGroupPair{
				GroupId: aws.String(r.group), UserId: aws.String(account), Description: description,
			})
		case strings.Contains(r.cidr, ":"):
			p.Ipv6Ranges = append(p.Ipv6Ranges, types.Ipv6Range{CidrIpv6: aws.String(r.cidr), Description: description})
		default:
			p.IpRanges = append(p.IpRanges, types.IpRange{CidrIp: aws.String(r.cidr), Description: description})
		}
	}
	return list
}

// authorize adds rules, all or none.
func (c *Cloud) authorize(id *string, list []types.IpPermission, side func(*securityGroup) *[]rule) error {
	g, err := c.group(id)
	if err != nil {
		return err
	}
	added, err := c.rules(g, list)
	if err != nil {
		return err
	}
	rules := slices.Clone(*side(g))
	for _, r := range added {
		if slices.ContainsFunc(rules, r.same) {
			return ec2Refuse("InvalidPermission.Duplicate", `the specified rule "peer: %s, %s, from port: %d, to port: %d, ALLOW" already exists`,
				r.group+r.cidr, strings.ToUpper(r.protocol), r.from, r.to)
		}
		rules = append(rules, r)
	}
	if len(rules) > 60 { // the default quota of rules for each direction
		return ec2Refuse("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
	}
	*side(g) = rules
	return nil
}

// revoke removes rules, all or none.
func (c *Cloud) revoke(id *string, list []types.IpPermission, side func(*securityGroup) *[]rule) error {
	g, err := c.group(id)
	if err != nil {
		return err
	}
	removed, err := c.rules(g, list)
	if err != nil {
		return err
	}
	rules := slices.Clone(*side(g))
	for _, r := range removed {
		i := slices.IndexFunc(rules, r.same)
		if i < 0 {
			return ec2Refuse("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
		}
		rules = slices.Delete(rules, i, i+1)
	}
	*side(g) = rules
	return nil
}

func ingress(g *securityGroup) *[]rule { return &g.ingress }
func egress(g *securityGroup) *[]rule  { return &g.egress }

func (c *Cloud) authorizeSecurityGroupIngress(at call, in *awsec2.AuthorizeSecurityGroupIngressInput) (*awsec2.AuthorizeSecurityGroupIngressOutput, error) {
	if err := modelled(at, in, "GroupId", "IpPermissions"); err != nil {
		return nil, err
	}
	if err := c.authorize(in.GroupId, in.IpPermissions, ingress); err != nil {
		return nil, err
	}
	return &awsec2.AuthorizeSecurityGroupIngressOutput{Return: aws.Bool(true)}, nil
}

func (c *Cloud) authorizeSecurityGroupEgress(at call, in *awsec2.AuthorizeSecurityGroupEgressInput) (*awsec2.AuthorizeSecurityGroupEgressOutput, error) {
	if err := modelled(at, in, "GroupId", "IpPermissions"); err != nil {
		return nil, err
	}
	if err := c.authorize(in.GroupId, in.IpPermissions, egress); err != nil {
		return nil, err
	}
	return &awsec2.AuthorizeSecurityGroupEgressOutput{Return: aws.Bool(true)}, nil
}

func (c *Cloud) revokeSecurityGroupIngress(at call, in *awsec2.RevokeSecurityGroupIngressInput) (*awsec2.RevokeSecurityGroupIngressOutput, error) {
	if err := modelled(at, in, "GroupId", "IpPermissions"); err != nil {
		return nil, err
	}
	if err := c.revoke(in.GroupId, in.IpPermissions, ingress); err != nil {
		return nil, err
	}
	return &awsec2.RevokeSecurityGroupIngressOutput{Return: aws.Bool(true)}, nil
}

func (c *Cloud) revokeSecurityGroupEgress(at call, in *awsec2.RevokeSecurityGroupEgressInput) (*awsec2.RevokeSecurityGroupEgressOutput, error) {
	if err := modelled(at, in, "GroupId", "IpPermissions"); err != nil {
		return nil, err
	}
	if err := c.revoke(in.GroupId, in.IpPermissions, egress); err != nil {
		return nil, err
	}
	return &awsec2.RevokeSecurityGroupEgressOutput{Return: aws.Bool(true)}, nil
}

// reaches reports whether interfaces in the groups from may open a TCP
// connection to a port of interfaces in the groups to: the rules of both sides
// must let it pass, the answers pass by themselves. A range counts if it holds
// the whole VPC; addresses within it are not told apart.
func (c *Cloud) reaches(from, to []string, port int32) bool {
	passes := func(groups, others []string, side func(*securityGroup) *[]rule) bool {
		return slices.ContainsFunc(groups, func(id string) bool {
			g := c.ec2.groups[id]
			return g != nil && slices.ContainsFunc(*side(g), func(r rule) bool {
				return r.opens(port) && (slices.Contains(others, r.group) || r.holds(c.vpc(g.vpc).cidr))
			})
		})
	}
	return passes(from, to, egress) && passes(to, from, ingress)
}

// holds reports whether the rule is for a range with all of another.
func (r rule) holds(all netip.Prefix) bool {
	block, err := netip.ParsePrefix(r.cidr)
	return err == nil && block.Bits() <= all.Bits() && block.Contains(all.Addr())
}
