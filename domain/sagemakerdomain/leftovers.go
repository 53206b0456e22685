package sagemakerdomain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	efstypes "github.com/aws/aws-sdk-go-v2/service/efs/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/internal/refusal"
)

// NFSGroups are the two security groups that SageMaker makes with a domain, through which
// its apps reach their homes: who is in Outbound reaches what is in Inbound. Empty is
// that there is none.
type NFSGroups struct {
	// Inbound is of the mount targets, Outbound of the apps; ids of EC2's.
	Inbound, Outbound string
}

// NFSGroups finds the security groups for NFS of a domain, by their names and the tag that
// SageMaker gives what it makes; also of a domain that is gone.
func (c *Client) NFSGroups(ctx context.Context, domainID string) (NFSGroups, error) {
	in, out, err := c.nfsGroups(ctx, domainID)
	var found NFSGroups
	if in != nil {
		found.Inbound = aws.ToString(in.GroupId)
	}
	if out != nil {
		found.Outbound = aws.ToString(out.GroupId)
	}
	return found, fail(ctx, "find NFS groups", domainID, err)
}

// Names as the developer guide has them ("Attaching a custom file system to a domain or user
// profile").
func inboundName(id string) string  { return "security-group-for-inbound-nfs-" + id }
func outboundName(id string) string { return "security-group-for-outbound-nfs-" + id }

func (c *Client) nfsGroups(ctx context.Context, id string) (in, out *ec2types.SecurityGroup, err error) {
	found, err := c.groups(ctx, filters("group-name", inboundName(id), outboundName(id)))
	if err != nil {
		return nil, nil, err
	}
	for i, g := range found {
		if !managedBy(ec2Tag(g.Tags, tagManaged), id) {
			continue
		}
		if aws.ToString(g.GroupName) == inboundName(id) {
			in = &found[i]
		} else {
			out = &found[i]
		}
	}
	return in, out, nil
}

func ec2Tag(tags []ec2types.Tag, key string) string {
	for _, t := range tags {
		if aws.ToString(t.Key) == key {
			return aws.ToString(t.Value)
		}
	}
	return ""
}

func (c *Client) interfacesIn(ctx context.Context, groups ...string) (found []ec2types.NetworkInterface, err error) {
	if len(groups) == 0 {
		return nil, nil
	}
	pages := awsec2.NewDescribeNetworkInterfacesPaginator(c.aws.EC2, &awsec2.DescribeNetworkInterfacesInput{Filters: filters("group-id", groups...)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		found = append(found, out.NetworkInterfaces...)
	}
	return found, nil
}

// leftBy reports whether SageMaker made a network interface for apps of a domain, by its tag
// or by its description, which people have exported so.
func leftBy(n ec2types.NetworkInterface, id string) bool {
	return managedBy(ec2Tag(n.TagSet, tagManaged), id) ||
		strings.HasPrefix(aws.ToString(n.Description), "[DO NOT DELETE] ENI managed by SageMaker for Studio Domain("+id+")")
}

// ofMountTarget reports whether EFS made a network interface, which goes with its mount
// target ("Managing mount targets", EFS user guide).
func ofMountTarget(n ec2types.NetworkInterface) bool {
	return strings.HasPrefix(aws.ToString(n.Description), "EFS mount target for ")
}

// previewLeftovers tells what of a domain's network would go with it.
func (c *Client) previewLeftovers(ctx context.Context, d Description, q DeleteDomainRequest) (found []domain.Consequence, err error) {
	add := func(fate domain.Fate, thing domain.Thing, name, detail string) {
		found = append(found, domain.Consequence{Fate: fate, Thing: thing, Name: name, Detail: detail})
	}
	in, out, err := c.nfsGroups(ctx, d.ID)
	if err != nil {
		return nil, err
	}
	targets, err := c.mountTargets(ctx, d.FileSystem)
	if err != nil {
		return nil, err
	}
	fate := domain.Stays
	if or(q.DeleteFileSystem, q.DeleteMountTargetsOf) != "" {
		fate = domain.Ends
	}
	for _, t := range targets {
		add(fate, domain.ThingMountTarget, t.ID, "in subnet "+t.Subnet)
	}
	var ids []string
	for _, g := range []*ec2types.SecurityGroup{in, out} {
		if g == nil {
			continue
		}
		ids = append(ids, aws.ToString(g.GroupId))
		if g == in && len(targets) > 0 && fate == domain.Stays {
			add(domain.Stays, domain.ThingSecurityGroup, aws.ToString(g.GroupName), "the mount targets are in it")
		} else {
			add(domain.Ends, domain.ThingSecurityGroup, aws.ToString(g.GroupName), aws.ToString(g.GroupId))
		}
	}
	interfaces, err := c.interfacesIn(ctx, ids...)
	if err != nil {
		return nil, err
	}
	for _, n := range interfaces {
		switch {
		case ofMountTarget(n):
		case leftBy(n, d.ID):
			add(domain.Ends, ThingInterface, aws.ToString(n.NetworkInterfaceId), "of apps")
		default:
			add(domain.Blocks, ThingInterface, aws.ToString(n.NetworkInterfaceId), "is in a security group of the domain and not SageMaker's: "+adviceHeld)
		}
	}
	switch {
	case d.FileSystem == "":
	case q.DeleteFileSystem != "":
		add(domain.Ends, domain.ThingFileSystem, d.FileSystem, "with all files")
	default:
		add(domain.Stays, domain.ThingFileSystem, d.FileSystem, "with all files")
	}
	return found, nil
}

const adviceHeld = "take it out of the group, or end what it belongs to"

// deleteLeftovers deletes what SageMaker leaves of a domain that is gone. The group for
// inbound NFS stays with mount targets that are in it.
func (c *Client) deleteLeftovers(ctx context.Context, id string) error {
	in, out, err := c.nfsGroups(ctx, id)
	if err != nil {
		return refusal.Step("security groups for NFS", err)
	}
	var ids []string
	for _, g := range []*ec2types.SecurityGroup{in, out} {
		if g != nil {
			ids = append(ids, aws.ToString(g.GroupId))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if err := c.deleteInterfaces(ctx, id, ids); err != nil {
		return refusal.Step("network interfaces", err)
	}
	if in != nil && out != nil {
		if err := c.revoke(ctx, in, out); err != nil {
			return refusal.Step("rules of the security groups for NFS", err)
		}
	}
	if out != nil {
		if err := c.deleteGroup(ctx, id, out); err != nil {
			return refusal.Step("security group "+aws.ToString(out.GroupName), err)
		}
	}
	if in == nil {
		return nil
	}
	if kept, err := c.keepsMountTargets(ctx, id); err != nil || kept {
		return refusal.Step("the file system", err)
	}
	return refusal.Step("security group "+aws.ToString(in.GroupName), c.deleteGroup(ctx, id, in))
}

// keepsMountTargets reports whether the home of a domain, found by SageMaker's tag since the
// domain may be gone, is there with mount targets.
func (c *Client) keepsMountTargets(ctx context.Context, id string) (bool, error) {
	pages := awsefs.NewDescribeFileSystemsPaginator(c.aws.EFS, &awsefs.DescribeFileSystemsInput{})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return false, err
		}
		for _, fs := range out.FileSystems {
			if fs.LifeCycleState == efstypes.LifeCycleStateDeleting || fs.LifeCycleState == efstypes.LifeCycleStateDeleted ||
				!slices.ContainsFunc(fs.Tags, func(t efstypes.Tag) bool {
					return aws.ToString(t.Key) == tagManaged && managedBy(aws.ToString(t.Value), id)
				}) {
				continue
			}
			targets, err := c.mountTargets(ctx, aws.ToString(fs.FileSystemId))
			if err != nil || len(targets) > 0 {
				return len(targets) > 0, err
			}
		}
	}
	return false, nil
}

// deleteInterfaces deletes the interfaces that apps have left, once they are free.
func (c *Client) deleteInterfaces(ctx context.Context, id string, groups []string) error {
	var held []string
	err := pace.Poll(ctx, freedWithin, errLate, func() (bool, error) {
		held = nil
		all, err := c.interfacesIn(ctx, groups...)
		if err != nil {
			return false, err
		}
		for _, n := range all {
			if !leftBy(n, id) || ofMountTarget(n) {
				continue
			}
			name := aws.ToString(n.NetworkInterfaceId)
			if n.Status != ec2types.NetworkInterfaceStatusAvailable {
				held = append(held, name)
				continue
			}
			_, err := c.aws.EC2.DeleteNetworkInterface(ctx, &awsec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: n.NetworkInterfaceId})
			switch code := refusal.Code(err); {
			case err == nil:
				c.log.InfoContext(ctx, "network interface deleted", "domain", id, "interface", name)
			case code == noSuchENI:
			case code == wrongParameter, code == interfaceInUse, code == groupInUse: // it is attached still
				held = append(held, name)
			default:
				return false, err
			}
		}
		if len(held) > 0 {
			c.progress(Progress{Domain: id, Step: "network interface", Resource: held[0], State: "in use"})
		}
		return len(held) == 0, nil
	})
	if errors.Is(err, errLate) {
		return refusal.New(domain.ErrState, "SageMaker still uses %s: call again later", strings.Join(held, ", "))
	}
	return err
}

// revoke takes from each of the two groups the rules that name the other, which keep it
// from being deleted.
func (c *Client) revoke(ctx context.Context, in, out *ec2types.SecurityGroup) error {
	if rules := naming(in.IpPermissions, aws.ToString(out.GroupId)); rules != nil {
		if _, err := c.aws.EC2.RevokeSecurityGroupIngress(ctx, &awsec2.RevokeSecurityGroupIngressInput{GroupId: in.GroupId, IpPermissions: rules}); err != nil && !gone(err) {
			return err
		}
	}
	if rules := naming(out.IpPermissionsEgress, aws.ToString(in.GroupId)); rules != nil {
		if _, err := c.aws.EC2.RevokeSecurityGroupEgress(ctx, &awsec2.RevokeSecurityGroupEgressInput{GroupId: out.GroupId, IpPermissions: rules}); err != nil && !gone(err) {
			return err
		}
	}
	return nil
}

func gone(err error) bool { return refusal.Code(err) == noSuchRule || refusal.Code(err) == noSuchGroup }

// naming is the part of rules that names a group.
func naming(rules []ec2types.IpPermission, group string) (found []ec2types.IpPermission) {
	for _, r := range rules {
		for _, pair := range r.UserIdGroupPairs {
			if aws.ToString(pair.GroupId) == group {
				found = append(found, ec2types.IpPermission{
					IpProtocol: r.IpProtocol, FromPort: r.FromPort, ToPort: r.ToPort, UserIdGroupPairs: []ec2types.UserIdGroupPair{{GroupId: pair.GroupId}},
				})
			}
		}
	}
	return found
}

// deleteGroup deletes a security group. While something that is not SageMaker's holds it,
// it is refused; what has just been given up is waited for.
func (c *Client) deleteGroup(ctx context.Context, id string, g *ec2types.SecurityGroup) error {
	var held error
	err := pace.Poll(ctx, freedWithin, errLate, func() (bool, error) {
		_, err := c.aws.EC2.DeleteSecurityGroup(ctx, &awsec2.DeleteSecurityGroupInput{GroupId: g.GroupId})
		switch refusal.Code(err) {
		case groupInUse:
			c.progress(Progress{Domain: id, Step: "security group", Resource: aws.ToString(g.GroupId), State: "in use"})
			holders, lookErr := c.holders(ctx, id, aws.ToString(g.GroupId))
			if lookErr != nil {
				return false, lookErr
			}
			held = fmt.Errorf("%s (%w)", strings.Join(holders, ", "), err)
			if len(holders) > 0 {
				return false, refusal.New(domain.ErrState, "others use it, %w: %s; then call again", held, adviceHeld)
			}
			return false, nil
		case noSuchGroup:
			return true, nil
		}
		if err == nil {
			c.log.InfoContext(ctx, "security group deleted", "domain", id, "group", aws.ToString(g.GroupName))
		}
		return err == nil, err
	})
	if errors.Is(err, errLate) {
		return refusal.New(domain.ErrState, "something uses it that EC2 does not show: %w; call again later", held)
	}
	return err
}

// holders are what has a security group and is neither SageMaker's nor EFS's: interfaces
// in it and groups whose rules name it.
func (c *Client) holders(ctx context.Context, id, group string) (found []string, err error) {
	interfaces, err := c.interfacesIn(ctx, group)
	if err != nil {
		return nil, err
	}
	for _, n := range interfaces {
		if !leftBy(n, id) && !ofMountTarget(n) {
			found = append(found, "network interface "+aws.ToString(n.NetworkInterfaceId))
		}
	}
	for _, name := range []string{"ip-permission.group-id", "egress.ip-permission.group-id"} {
		groups, err := c.groups(ctx, filters(name, group))
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			if other := aws.ToString(g.GroupId); other != group && !managedBy(ec2Tag(g.Tags, tagManaged), id) {
				found = append(found, "a rule of security group "+other)
			}
		}
	}
	return found, nil
}
