package ec2launcher

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/internal/grouprules"
	"github.com/atelier-go/atelier/launcher"
)

// engineGroup returns the id of the security group that opens the hosts, which
// Setup has made in the VPC of the subnets. Without one it is
// [launcher.ErrNotFound].
func (l *Launcher) engineGroup(ctx context.Context, vpc string) (string, error) {
	group, err := l.findGroup(ctx, vpc)
	if err != nil {
		return "", err
	}
	if group == nil || !l.ownsGroup(group) {
		return "", fail("launch", "", launcher.ErrNotFound, fmt.Errorf("there is no security group %s with the tag %s=%s in %s: call Setup",
			l.engineGroupName(), tagFleet, l.cfg.Fleet, vpc))
	}
	return aws.ToString(group.GroupId), nil
}

// ensureGroup makes the security group that opens the hosts, or repairs its
// rules: exactly those for Config.Access in, and none out, so that what hosts
// reach is decided by Config.SecurityGroups alone.
func (l *Launcher) ensureGroup(ctx context.Context, vpc string) error {
	group, err := l.findGroup(ctx, vpc)
	if err != nil {
		return err
	}
	if group == nil {
		l.cfg.Logger.Info("setup: making the security group", "group", l.engineGroupName())
		_, err := l.ec2.CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{
			GroupName: aws.String(l.engineGroupName()), VpcId: aws.String(vpc),
			Description: aws.String("Atelier fleet " + l.cfg.Fleet + ": who reaches the engines and sessions of its hosts."),
			TagSpecifications: []ec2types.TagSpecification{{
				ResourceType: ec2types.ResourceTypeSecurityGroup,
				Tags:         tagsAs(l.ownTags(), func(k, v *string) ec2types.Tag { return ec2types.Tag{Key: k, Value: v} }),
			}},
		})
		if err != nil && codeOf(err) != "InvalidGroup.Duplicate" {
			return err
		}
	}
	return poll(ctx, func() (bool, error) { // EC2 is eventually consistent
		group, err := l.findGroup(ctx, vpc)
		if err != nil || group == nil {
			return false, err
		}
		if !l.ownsGroup(group) {
			return false, l.notOurs("security group " + aws.ToString(group.GroupId) + " called " + l.engineGroupName())
		}
		return l.repairGroup(ctx, group)
	})
}

// repairGroup brings a group's rules to what they should be, and reports
// whether it did: if they were not as the last look showed, they are looked at
// again.
func (l *Launcher) repairGroup(ctx context.Context, group *ec2types.SecurityGroup) (done bool, err error) {
	have, want := grouprules.Parted(group.IpPermissions), grouprules.Parted(l.accessRules())
	missing, superfluous := grouprules.Without(want, have), grouprules.Without(have, want)
	done = true
	tolerate := func(err error, code string) error {
		if codeOf(err) == code {
			done = false
			return nil
		}
		return err
	}
	if len(superfluous) > 0 {
		_, err := l.ec2.RevokeSecurityGroupIngress(ctx, &awsec2.RevokeSecurityGroupIngressInput{GroupId: group.GroupId, IpPermissions: superfluous})
		if err := tolerate(err, "InvalidPermission.NotFound"); err != nil {
			return false, err
		}
	}
	if len(missing) > 0 {
		_, err := l.ec2.AuthorizeSecurityGroupIngress(ctx, &awsec2.AuthorizeSecurityGroupIngressInput{GroupId: group.GroupId, IpPermissions: missing})
		if err := tolerate(err, "InvalidPermission.Duplicate"); err != nil {
			return false, err
		}
	}
	if out := group.IpPermissionsEgress; len(out) > 0 {
		_, err := l.ec2.RevokeSecurityGroupEgress(ctx, &awsec2.RevokeSecurityGroupEgressInput{GroupId: group.GroupId, IpPermissions: out})
		if err := tolerate(err, "InvalidPermission.NotFound"); err != nil {
			return false, err
		}
	}
	return done, nil
}

// accessGroups are the security groups of Config.Access.
func (l *Launcher) accessGroups() (ids []string) {
	for _, a := range l.cfg.Access {
		if strings.HasPrefix(a, "sg-") {
			ids = append(ids, a)
		}
	}
	return ids
}

// accessRules open the engine's port and those of workloads to Config.Access: to
// groups all that a workload may name, to ranges those that hosts keep containers
// from, as a range may hold the hosts.
func (l *Launcher) accessRules() (rules []ec2types.IpPermission) {
	open := func(to string, first, last int32, description string) {
		p := ec2types.IpPermission{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(first), ToPort: aws.Int32(last)}
		switch {
		case strings.HasPrefix(to, "sg-"):
			p.UserIdGroupPairs = []ec2types.UserIdGroupPair{{GroupId: aws.String(to), Description: aws.String(description)}}
		case strings.Contains(to, ":"):
			p.Ipv6Ranges = []ec2types.Ipv6Range{{CidrIpv6: aws.String(to), Description: aws.String(description)}}
		default:
			p.IpRanges = []ec2types.IpRange{{CidrIp: aws.String(to), Description: aws.String(description)}}
		}
		rules = append(rules, p)
	}
	for _, a := range l.cfg.Access {
		open(a, enginePort, enginePort, "container engine")
		if strings.HasPrefix(a, "sg-") {
			open(a, firstOpenPort, lastOpenPort, "sessions")
		} else {
			open(a, firstSessionPort, lastSessionPort, "sessions")
		}
	}
	return rules
}

// findGroup returns the group of the hosts' name in a VPC, or nil. A name is
// unique in its VPC.
func (l *Launcher) findGroup(ctx context.Context, vpc string) (*ec2types.SecurityGroup, error) {
	groups, err := l.describeGroups(ctx, append(filter("vpc-id", vpc), filter("group-name", l.engineGroupName())...))
	if err != nil || len(groups) == 0 {
		return nil, err
	}
	return &groups[0], nil
}

func (l *Launcher) describeGroups(ctx context.Context, filters []ec2types.Filter) (groups []ec2types.SecurityGroup, err error) {
	pages := awsec2.NewDescribeSecurityGroupsPaginator(l.ec2, &awsec2.DescribeSecurityGroupsInput{Filters: filters})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		groups = append(groups, page.SecurityGroups...)
	}
	return groups, nil
}

// ownsGroup reports whether a security group was made for the fleet.
func (l *Launcher) ownsGroup(group *ec2types.SecurityGroup) bool {
	for _, t := range group.Tags {
		if aws.ToString(t.Key) == tagFleet {
			return aws.ToString(t.Value) == l.cfg.Fleet
		}
	}
	return false
}

// removeGroups deletes the fleet's security groups, whatever VPC they are in.
// While network interfaces that were just deleted still hold one, it waits.
func (l *Launcher) removeGroups(ctx context.Context) error {
	groups, err := l.describeGroups(ctx, append(filter("tag:"+tagFleet, l.cfg.Fleet), filter("group-name", l.engineGroupName())...))
	if err != nil {
		return err
	}
	for _, g := range groups {
		var held error
		err := poll(ctx, func() (bool, error) {
			_, err := l.ec2.DeleteSecurityGroup(ctx, &awsec2.DeleteSecurityGroupInput{GroupId: g.GroupId})
			switch codeOf(err) {
			case "InvalidGroup.NotFound":
				return true, nil
			case "DependencyViolation":
				held = err
				return false, nil
			}
			return err == nil, err
		})
		if errors.Is(err, errTooLong) {
			return fail("teardown", "", launcher.ErrConflict, fmt.Errorf(
				"something still uses security group %s (%s), an instance or a rule of another group; end that and call again: %w",
				l.engineGroupName(), aws.ToString(g.GroupId), held))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
