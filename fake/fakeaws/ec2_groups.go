package fakeaws

import (
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

type securityGroup struct {
	id, name, description, vpc string
	tags                       map[string]string
	created                    time.Time
	ingress, egress            []rule
}

// addDefaultGroup makes the group every VPC has: in from itself, out to all
// (https://docs.aws.amazon.com/vpc/latest/userguide/default-security-group.html).
func (c *Cloud) addDefaultGroup(vpc string) {
	g := &securityGroup{
		id: resourceID("sg", c.hash("default group", vpc)), name: "default", description: "default VPC security group", vpc: vpc,
		egress: []rule{{protocol: "-1", cidr: anywhere}},
	}
	g.ingress = []rule{{protocol: "-1", group: g.id}}
	c.ec2.groups[g.id] = g
}

func (c *Cloud) defaultGroup(vpc string) string {
	return resourceID("sg", c.hash("default group", vpc))
}

// createSecurityGroup follows
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html.
func (c *Cloud) createSecurityGroup(at call, in *awsec2.CreateSecurityGroupInput) (*awsec2.CreateSecurityGroupOutput, error) {
	if err := modelled(at, in, "GroupName", "Description", "VpcId", "TagSpecifications"); err != nil {
		return nil, err
	}
	name, inVPC := aws.ToString(in.GroupName), aws.ToString(in.VpcId)
	if inVPC == "" {
		inVPC = c.ec2.vpcs[0].id
	}
	if c.vpc(inVPC) == nil {
		return nil, ec2Refuse("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", inVPC)
	}
	if name == "default" || len(name) > 255 || len(name) >= 3 && name[:3] == "sg-" || !printable(name) {
		return nil, ec2Refuse("InvalidParameterValue", "Value (%s) for parameter GroupName is invalid. "+
			"Group names are up to 255 characters long, must not begin with sg- and must not be default", name)
	}
	if d := aws.ToString(in.Description); len(d) > 255 || !printable(d) {
		return nil, ec2Refuse("InvalidParameterValue", "Value (%s) for parameter GroupDescription is invalid. "+
			"Character sets beyond ASCII are not supported.", d)
	}
	tags, err := tagsFor(in.TagSpecifications, types.ResourceTypeSecurityGroup)
	if err != nil {
		return nil, err
	}
	for _, g := range c.ec2.groups {
		if g.name == name && g.vpc == inVPC {
			return nil, ec2Refuse("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, inVPC)
		}
	}
	g := &securityGroup{
		id: resourceID("sg", c.hash(at.id, "sg", inVPC)), name: name, description: aws.ToString(in.Description), vpc: inVPC,
		tags: tags, created: at.At,
		egress: []rule{{protocol: "-1", cidr: anywhere}},
	}
	c.ec2.groups[g.id] = g
	return &awsec2.CreateSecurityGroupOutput{
		GroupId: aws.String(g.id), SecurityGroupArn: aws.String(c.ec2ARN("security-group", g.id)), Tags: tagList(tags),
	}, nil
}

// printable holds the characters of names and descriptions of groups in a VPC.
func printable(s string) bool {
	for i := range len(s) {
		switch b := s[i]; {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9':
		default:
			if !slices.Contains([]byte(" ._-:/()#,@[]+=&;{}!$*"), b) {
				return false
			}
		}
	}
	return s != ""
}

// group finds a security group.
func (c *Cloud) group(id *string) (*securityGroup, error) {
	switch {
	case id == nil:
		return nil, ec2Refuse("MissingParameter", "The request must contain the parameter groupId")
	case !groupIDPattern.MatchString(*id):
		return nil, ec2Refuse("InvalidGroupId.Malformed", `Invalid id: "%s" (expecting "sg-...")`, *id)
	case c.ec2.groups[*id] == nil:
		return nil, ec2Refuse("InvalidGroup.NotFound", "The security group '%s' does not exist", *id)
	}
	return c.ec2.groups[*id], nil
}

// describeSecurityGroups shows a new group only after [Delays.Visible]; changes
// of its rules at once.
func (c *Cloud) describeSecurityGroups(at call, in *awsec2.DescribeSecurityGroupsInput) (*awsec2.DescribeSecurityGroupsOutput, error) {
	if err := modelled(at, in, "GroupIds", "Filters", "MaxResults", "NextToken"); err != nil {
		return nil, err
	}
	if len(in.GroupIds) > 0 && in.MaxResults != nil {
		return nil, ec2Refuse("InvalidParameterCombination", "The parameter GroupIds cannot be used with the parameter MaxResults")
	}
	visible := func(g *securityGroup) bool { return !at.At.Before(g.created.Add(c.delays.Visible)) }
	for _, id := range in.GroupIds {
		if g, err := c.group(&id); err != nil {
			return nil, err
		} else if !visible(g) {
			return nil, ec2Refuse("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
		}
	}
	var found []types.SecurityGroup
	for _, id := range slices.Sorted(maps.Keys(c.ec2.groups)) {
		g := c.ec2.groups[id]
		if !visible(g) || len(in.GroupIds) > 0 && !slices.Contains(in.GroupIds, id) {
			continue
		}
		ok, err := matches(at, in.Filters, g.tags, func(filter string) ([]string, bool) {
			switch filter {
			case "group-id":
				return []string{g.id}, true
			case "group-name":
				return []string{g.name}, true
			case "vpc-id":
				return []string{g.vpc}, true
			case "description":
				return []string{g.description}, true
			case "ip-permission.group-id":
				return groupsOf(g.ingress), true
			case "egress.ip-permission.group-id":
				return groupsOf(g.egress), true
			}
			return nil, false
		})
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, c.describedGroup(g))
		}
	}
	found, next, err := page(found, func(g types.SecurityGroup) string { return *g.GroupId }, in.MaxResults, in.NextToken, 5)
	if err != nil {
		return nil, err
	}
	return &awsec2.DescribeSecurityGroupsOutput{SecurityGroups: found, NextToken: next}, nil
}

// describedGroup is a security group as EC2 answers it.
func (c *Cloud) describedGroup(g *securityGroup) types.SecurityGroup {
	return types.SecurityGroup{
		GroupId: aws.String(g.id), GroupName: aws.String(g.name), Description: aws.String(g.description),
		VpcId: aws.String(g.vpc), OwnerId: aws.String(c.account), Tags: tagList(g.tags),
		SecurityGroupArn: aws.String(c.ec2ARN("security-group", g.id)),
		IpPermissions:    permissions(g.ingress, c.account), IpPermissionsEgress: permissions(g.egress, c.account),
	}
}

// groupsOf lists the groups that rules are for.
func groupsOf(rules []rule) (groups []string) {
	for _, r := range rules {
		if r.group != "" {
			groups = append(groups, r.group)
		}
	}
	return groups
}

// deleteSecurityGroup follows
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteSecurityGroup.html:
// what has a network interface in the group, and a rule of another group that
// names it, forbid it.
func (c *Cloud) deleteSecurityGroup(at call, in *awsec2.DeleteSecurityGroupInput) (*awsec2.DeleteSecurityGroupOutput, error) {
	if err := modelled(at, in, "GroupId"); err != nil {
		return nil, err
	}
	g, err := c.group(in.GroupId)
	if err != nil {
		return nil, err
	}
	if g.name == "default" {
		return nil, ec2Refuse("CannotDelete", "the specified group: \"%s\" name: \"default\" cannot be deleted by a user", g.id)
	}
	if c.held(g.id, at.At) {
		return nil, ec2Refuse("DependencyViolation", "resource %s has a dependent object", g.id)
	}
	delete(c.ec2.groups, g.id)
	return &awsec2.DeleteSecurityGroupOutput{GroupId: aws.String(g.id), Return: aws.Bool(true)}, nil
}

func (c *Cloud) held(group string, now time.Time) bool {
	for _, i := range c.ec2.instances {
		if i.state(now) != types.InstanceStateNameTerminated && slices.Contains(i.groups, group) {
			return true
		}
	}
	for _, n := range c.ec2.interfaces {
		if slices.Contains(n.groups, group) {
			return true
		}
	}
	names := func(r rule) bool { return r.group == group }
	for id, g := range c.ec2.groups {
		if id != group && (slices.ContainsFunc(g.ingress, names) || slices.ContainsFunc(g.egress, names)) {
			return true
		}
	}
	return slices.ContainsFunc(c.ec2.groupHolders, func(holds func(string, time.Time) bool) bool { return holds(group, now) })
}
