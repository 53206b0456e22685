package sagemakerdomain

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// nfs is the TCP port at which mount targets are reached.
const nfs = 2049

// planReach blocks if the mount targets in the zones of our hosts let none of them in: what
// leaves hosts is open, by the group that is theirs. What the rules do not tell for sure is a line.
func (a *adoption) planReach(ctx context.Context, c *Client, source Description, outbound, own string) error {
	from := a.create.External.HostSecurityGroups
	if a.groups != nil {
		from = a.groups
	}
	if own != "" {
		from = append(slices.Clone(from), own)
	}
	places, err := c.placesOf(ctx, source.VPC, a.create.Subnets)
	if err != nil {
		return err
	}
	targets, err := c.files.MountTargets(ctx, source.FileSystem)
	if err != nil {
		return refusal.Step("mount targets of "+source.FileSystem, err)
	}
	shut := map[string][]string{}                 // mount targets by their security groups
	read := map[string][]ec2types.SecurityGroup{} // those groups, which most mount targets share
	for _, t := range targets {
		if len(places[t.Zone]) == 0 || t.VPC != source.VPC {
			continue
		}
		out, err := c.aws.EFS.DescribeMountTargetSecurityGroups(ctx, &awsefs.DescribeMountTargetSecurityGroupsInput{MountTargetId: &t.ID})
		switch code := refusal.Code(err); {
		case code == "MountTargetNotFound", code == "IncorrectMountTargetState": // it is going
			continue
		case err != nil && kindOf(err) == domain.ErrDenied:
			a.differ(domain.ThingFileSystem, source.FileSystem, "whether its mount targets let our hosts in was not looked at: the credentials may not ask for their security groups (elasticfilesystem:DescribeMountTargetSecurityGroups)")
			return nil
		case err != nil:
			return refusal.Step("security groups of mount target "+t.ID, err)
		}
		names := strings.Join(slices.Sorted(slices.Values(out.SecurityGroups)), ", ")
		if read[names] == nil {
			if read[names], err = c.groups(ctx, filters("group-id", out.SecurityGroups...)); err != nil {
				return err
			}
		}
		if len(read[names]) < len(out.SecurityGroups) { // one that is not visible yet
			continue
		}
		switch open, perhaps := letsIn(read[names], from, places[t.Zone]); {
		case open:
		case len(perhaps) > 0:
			a.differ(domain.ThingMountTarget, t.ID, "its security group %s lets TCP %d in by %s, of which nobody here knows whether our hosts are in it: if they are not, add a rule for %s", names, nfs, strings.Join(perhaps, ", "), outbound)
		default:
			shut[names] = append(shut[names], t.ID)
		}
	}
	for _, names := range slices.Sorted(maps.Keys(shut)) {
		a.block(domain.ThingSecurityGroup, names, "lets none of our hosts in at %s, so that homes cannot be mounted: add an inbound rule to it, TCP %d from %s", strings.Join(shut[names], ", "), nfs, outbound)
	}
	return nil
}

// placesOf are the ranges of addresses of subnets in a VPC, by zone.
func (c *Client) placesOf(ctx context.Context, vpc string, subnets []string) (map[string][]netip.Prefix, error) {
	places := map[string][]netip.Prefix{}
	asked := matching(subnets, subnetPattern.MatchString)
	if len(asked) == 0 {
		return places, nil
	}
	pages := awsec2.NewDescribeSubnetsPaginator(c.aws.EC2, &awsec2.DescribeSubnetsInput{Filters: filters("subnet-id", asked...)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range out.Subnets {
			if place, err := netip.ParsePrefix(aws.ToString(s.CidrBlock)); err == nil && aws.ToString(s.VpcId) == vpc {
				places[aws.ToString(s.AvailabilityZone)] = append(places[aws.ToString(s.AvailabilityZone)], place)
			}
		}
	}
	return places, nil
}

// letsIn reports whether any of some security groups lets hosts in that are in groups and at
// places, by NFS; perhaps is by what it may: another group, a part of a range, a list of ranges.
func letsIn(doors []ec2types.SecurityGroup, from []string, places []netip.Prefix) (open bool, perhaps []string) {
	closed := slices.Clone(places)
	for _, door := range doors {
		for _, rule := range door.IpPermissions {
			if !ofNFS(rule) {
				continue
			}
			for _, pair := range rule.UserIdGroupPairs {
				if id := aws.ToString(pair.GroupId); slices.Contains(from, id) {
					return true, nil
				} else {
					perhaps = append(perhaps, id)
				}
			}
			for _, r := range rule.IpRanges {
				block, err := netip.ParsePrefix(aws.ToString(r.CidrIp))
				holds := func(place netip.Prefix) bool {
					return err == nil && block.Bits() <= place.Bits() && block.Contains(place.Addr())
				}
				if slices.ContainsFunc(closed, func(place netip.Prefix) bool { return !holds(place) && (err != nil || block.Overlaps(place)) }) {
					perhaps = append(perhaps, aws.ToString(r.CidrIp))
				}
				closed = slices.DeleteFunc(closed, holds)
			}
			for _, r := range rule.Ipv6Ranges {
				perhaps = append(perhaps, aws.ToString(r.CidrIpv6))
			}
			for _, l := range rule.PrefixListIds {
				perhaps = append(perhaps, aws.ToString(l.PrefixListId))
			}
		}
	}
	return len(closed) == 0, perhaps
}

// ofNFS reports whether a rule is for all traffic or for TCP with the port of NFS.
func ofNFS(rule ec2types.IpPermission) bool {
	switch aws.ToString(rule.IpProtocol) {
	case "-1":
		return true
	case "tcp", "6":
		return rule.FromPort == nil || rule.ToPort == nil || *rule.FromPort <= nfs && nfs <= *rule.ToPort
	}
	return false
}

// tellOfNetwork says what stays of SageMaker's network, and what ours needs besides.
func (a *adoption) tellOfNetwork(source Description, groups NFSGroups, placed bool) {
	if source.FileSystem != "" {
		a.stay(domain.ThingFileSystem, source.FileSystem, "with its mount targets and all files")
	}
	for _, g := range []string{groups.Inbound, groups.Outbound} {
		if g != "" {
			a.stay(domain.ThingSecurityGroup, g, "with its rules")
		}
	}
	for _, g := range source.SecurityGroups {
		a.stay(domain.ThingSecurityGroup, g, "of SageMaker's apps; our hosts are not in it")
	}
	if placed {
		// "Non-EFS traffic is through a VPC managed by Amazon SageMaker AI" (API_CreateDomain,
		// AppNetworkAccessType), and VpcOnly may have endpoints of other services alone: that apps
		// work is no sign of a way out.
		a.note(ThingSubnet, strings.Join(a.create.Subnets, ", "), "our hosts there need a NAT gateway, or VPC endpoints for Secrets Manager, ECR, CloudWatch Logs, EFS and Amazon Linux's packages, "+
			"which was not looked for, and which the apps of %s can do without", source.ID)
	}
}
