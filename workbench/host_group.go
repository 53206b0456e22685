package workbench

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/grouprules"
	"github.com/atelier-go/atelier/internal/refusal"
)

// nfsPort is where EFS is mounted.
const nfsPort = 2049

// ensureGroup makes the host's security group, or repairs what it lets in:
// Want.Access and the hosts of sessions to the port, and nobody else. It reaches
// everything, as new groups do: sessions, the file system, AWS, a licence server.
func (c *Client) ensureGroup(ctx context.Context, r *record, d domain.Description) error {
	group, err := c.findGroup(ctx, d.VPC)
	if err != nil {
		return err
	}
	if group == nil {
		c.log.InfoContext(ctx, "security group made", "group", c.name())
		_, err := c.aws.EC2.CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{
			GroupName: aws.String(c.name()), VpcId: aws.String(d.VPC),
			Description:       aws.String("Atelier domain " + r.Domain + ": who reaches its Workbench."),
			TagSpecifications: c.tagSpecs(d, "security-group"),
		})
		if err != nil && refusal.Code(err) != "InvalidGroup.Duplicate" {
			return err
		}
	}
	var id string
	err = poll(ctx, settlesWithin, func() (bool, error) { // EC2 is eventually consistent
		group, err := c.findGroup(ctx, d.VPC)
		if err != nil || group == nil {
			return false, err
		}
		id = aws.ToString(group.GroupId)
		if !c.owns(group.Tags) {
			return false, c.notOurs("security group " + id + " called " + c.name())
		}
		return c.repairGroup(ctx, group, r.Want, d)
	})
	if err != nil || r.Group == id {
		return err
	}
	return c.note(ctx, r, func(r *record) { r.Group = id })
}

// repairGroup brings the rules to what they should be, and reports whether it
// did: if they were not as the last look showed, they are looked at again.
func (c *Client) repairGroup(ctx context.Context, group *ec2types.SecurityGroup, w want, d domain.Description) (done bool, err error) {
	have, needed := grouprules.Parted(group.IpPermissions), accessRules(w, d)
	if superfluous := grouprules.Without(have, needed); len(superfluous) > 0 {
		_, err := c.aws.EC2.RevokeSecurityGroupIngress(ctx, &awsec2.RevokeSecurityGroupIngressInput{GroupId: group.GroupId, IpPermissions: superfluous})
		if refusal.Code(err) == "InvalidPermission.NotFound" {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	if missing := grouprules.Without(needed, have); len(missing) > 0 {
		_, err := c.aws.EC2.AuthorizeSecurityGroupIngress(ctx, &awsec2.AuthorizeSecurityGroupIngressInput{GroupId: group.GroupId, IpPermissions: missing})
		if refusal.Code(err) == "InvalidPermission.Duplicate" {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// accessRules open the port: one rule for each who has access.
func accessRules(w want, d domain.Description) (rules []ec2types.IpPermission) {
	port := aws.Int32(int32(w.Port))
	from := slices.Clone(w.Access)
	if !slices.Contains(from, d.HostSecurityGroup) {
		from = append(from, d.HostSecurityGroup)
	}
	for _, a := range from {
		p := ec2types.IpPermission{IpProtocol: aws.String("tcp"), FromPort: port, ToPort: port}
		switch {
		case a == d.HostSecurityGroup:
			p.UserIdGroupPairs = []ec2types.UserIdGroupPair{{GroupId: aws.String(a), Description: aws.String("sessions, which call back")}}
		case strings.HasPrefix(a, "sg-"):
			p.UserIdGroupPairs = []ec2types.UserIdGroupPair{{GroupId: aws.String(a), Description: aws.String("access")}}
		case strings.Contains(a, ":"):
			p.Ipv6Ranges = []ec2types.Ipv6Range{{CidrIpv6: aws.String(a), Description: aws.String("access")}}
		default:
			p.IpRanges = []ec2types.IpRange{{CidrIp: aws.String(a), Description: aws.String("access")}}
		}
		rules = append(rules, p)
	}
	return rules
}

// nfsRule lets the host mount the domain's file system. It stands in the group
// that the domain made for that, beside the domain's own rule, which looks for
// its own alone.
func nfsRule(group string) []ec2types.IpPermission {
	return []ec2types.IpPermission{{
		IpProtocol: aws.String("tcp"), FromPort: aws.Int32(nfsPort), ToPort: aws.Int32(nfsPort),
		UserIdGroupPairs: []ec2types.UserIdGroupPair{{GroupId: aws.String(group), Description: aws.String("homes, from the Workbench")}},
	}}
}

// hostGroups are the security groups of the host's interface: its own and, where another
// keeps the file system, those by which that lets hosts in. An interface stays in those that
// the domain had when it was made; SetHostSecurityGroups of the domain changes none.
func hostGroups(r record, d domain.Description) []string {
	return append([]string{r.Group}, d.External.HostSecurityGroups...)
}

// admitToFileSystem has the file system's group let the host in. Of a file system that
// another keeps no group is the domain's: there hostGroups let the host in.
func (c *Client) admitToFileSystem(ctx context.Context, r record, d domain.Description) error {
	if d.External.FileSystem != "" {
		return nil
	}
	groups, err := c.describeGroups(ctx, filter("group-id", d.FileSystemSecurityGroup))
	if err != nil {
		return err
	}
	if len(groups) == 1 && len(grouprules.Without(nfsRule(r.Group), grouprules.Parted(groups[0].IpPermissions))) == 0 {
		return nil
	}
	_, err = c.aws.EC2.AuthorizeSecurityGroupIngress(ctx, &awsec2.AuthorizeSecurityGroupIngressInput{
		GroupId: aws.String(d.FileSystemSecurityGroup), IpPermissions: nfsRule(r.Group),
	})
	if refusal.Code(err) == "InvalidPermission.Duplicate" {
		return nil
	}
	return err
}

// shutOutOfFileSystem takes the rule away again.
func (c *Client) shutOutOfFileSystem(ctx context.Context, r record, d domain.Description) error {
	if d.FileSystemSecurityGroup == "" || r.Group == "" {
		return nil
	}
	_, err := c.aws.EC2.RevokeSecurityGroupIngress(ctx, &awsec2.RevokeSecurityGroupIngressInput{
		GroupId: aws.String(d.FileSystemSecurityGroup), IpPermissions: nfsRule(r.Group),
	})
	switch refusal.Code(err) {
	case "InvalidPermission.NotFound", "InvalidGroup.NotFound":
		return nil
	}
	return err
}

// removeGroup deletes the host's group if there is one. While a network
// interface that was just deleted still holds it, it waits.
func (c *Client) removeGroup(ctx context.Context, d domain.Description) error {
	group, err := c.findGroup(ctx, d.VPC)
	if err != nil || group == nil || !c.owns(group.Tags) {
		return err
	}
	var held error
	err = poll(ctx, settlesWithin, func() (bool, error) {
		_, err := c.aws.EC2.DeleteSecurityGroup(ctx, &awsec2.DeleteSecurityGroupInput{GroupId: group.GroupId})
		switch refusal.Code(err) {
		case "InvalidGroup.NotFound":
			return true, nil
		case "DependencyViolation":
			held = err
			return false, nil
		}
		return err == nil, err
	})
	if !errors.Is(err, errTooLong) {
		return err
	}
	if err := c.refuseNamed(ctx, d); err != nil {
		return err
	}
	return refusal.New(domain.ErrState, "something still uses %s, such as a network interface; end that and call again: %w", aws.ToString(group.GroupId), held)
}

// refuseNamed is [domain.ErrState] while rules elsewhere name the host's group, which
// cannot be deleted then. They are somebody else's and are left alone.
func (c *Client) refuseNamed(ctx context.Context, d domain.Description) error {
	group, naming, err := c.namedBy(ctx, d)
	if err != nil || naming == nil {
		return err
	}
	var names []string
	for _, g := range naming {
		names = append(names, aws.ToString(g.GroupId)+" ("+aws.ToString(g.GroupName)+")")
	}
	return refusal.New(domain.ErrState, "rules of %s name the host's security group %s, which cannot be deleted then: %s, and call again",
		strings.Join(names, ", "), group, adviceNamed)
}

const adviceNamed = "take it out of them (a fleet's: out of the Access of ec2launcher's Config, and call Setup)"

// namedBy returns the id of the host's group and the other groups whose rules name it,
// in the order of their ids. The rule for homes, which Remove takes away, does not
// count. Nor do groups of other networks: their rules become stale (API reference,
// DeleteSecurityGroup). Without a group of ours there are none.
func (c *Client) namedBy(ctx context.Context, d domain.Description) (group string, naming []ec2types.SecurityGroup, err error) {
	own, err := c.findGroup(ctx, d.VPC)
	if err != nil || own == nil || !c.owns(own.Tags) {
		return "", nil, err
	}
	group = aws.ToString(own.GroupId)
	for _, rules := range []string{"ip-permission.group-id", "egress.ip-permission.group-id"} {
		found, err := c.describeGroups(ctx, append(filter("vpc-id", d.VPC), filter(rules, group)...))
		if err != nil {
			return "", nil, err
		}
		for _, g := range found {
			known := slices.ContainsFunc(naming, func(n ec2types.SecurityGroup) bool { return aws.ToString(n.GroupId) == aws.ToString(g.GroupId) })
			if !known && aws.ToString(g.GroupId) != group && refersTo(g, group, d) {
				naming = append(naming, g)
			}
		}
	}
	slices.SortFunc(naming, func(a, b ec2types.SecurityGroup) int {
		return strings.Compare(aws.ToString(a.GroupId), aws.ToString(b.GroupId))
	})
	return group, naming, nil
}

// refersTo reports whether a group has a rule that names another, beside the one for homes.
func refersTo(g ec2types.SecurityGroup, other string, d domain.Description) bool {
	in := grouprules.Parted(g.IpPermissions)
	if aws.ToString(g.GroupId) == d.FileSystemSecurityGroup {
		in = grouprules.Without(in, nfsRule(other))
	}
	return slices.ContainsFunc(append(in, grouprules.Parted(g.IpPermissionsEgress)...), func(p ec2types.IpPermission) bool {
		return len(p.UserIdGroupPairs) == 1 && aws.ToString(p.UserIdGroupPairs[0].GroupId) == other
	})
}

// findGroup returns the group of the Workbench's name in a VPC, or nil.
func (c *Client) findGroup(ctx context.Context, vpc string) (*ec2types.SecurityGroup, error) {
	groups, err := c.describeGroups(ctx, append(filter("vpc-id", vpc), filter("group-name", c.name())...))
	if err != nil || len(groups) == 0 {
		return nil, err
	}
	return &groups[0], nil // a name is unique in its VPC
}

func (c *Client) describeGroups(ctx context.Context, filters []ec2types.Filter) (groups []ec2types.SecurityGroup, err error) {
	pages := awsec2.NewDescribeSecurityGroupsPaginator(c.aws.EC2, &awsec2.DescribeSecurityGroupsInput{Filters: filters})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		groups = append(groups, page.SecurityGroups...)
	}
	return groups, nil
}

func filter(name string, values ...string) []ec2types.Filter {
	return []ec2types.Filter{{Name: aws.String(name), Values: values}}
}
