package sagemakerdomain

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

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
	const op = "find NFS groups"
	var wrong problems
	wrong.checkDomainID(domainID)
	if err := wrong.err(); err != nil {
		return NFSGroups{}, fail(ctx, op, domainID, err)
	}
	in, out, err := c.nfsGroups(ctx, domainID)
	var found NFSGroups
	if in != nil {
		found.Inbound = aws.ToString(in.GroupId)
	}
	if out != nil {
		found.Outbound = aws.ToString(out.GroupId)
	}
	return found, fail(ctx, op, domainID, err)
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
		if !managedBy(managedTag(g.Tags), id) {
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

// managedTag is the value of SageMaker's own tag, empty if there is none.
func managedTag(tags []ec2types.Tag) string {
	for _, t := range tags {
		if aws.ToString(t.Key) == tagManaged {
			return aws.ToString(t.Value)
		}
	}
	return ""
}

// previewLeftovers tells what of a domain's files and network would go with it, in that order.
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
	switch {
	case d.FileSystem == "":
	case q.DeleteFileSystem != "":
		points, err := c.previewPoints(ctx, d.FileSystem)
		if err != nil {
			return nil, err
		}
		found = append(found, points...)
		add(domain.Ends, domain.ThingFileSystem, d.FileSystem, "with all files")
	default:
		add(domain.Stays, domain.ThingFileSystem, d.FileSystem, "with all files")
	}
	interfaces, err := c.interfacesIn(ctx, idsOf(in, out)...)
	if err != nil {
		return nil, err
	}
	doors, err := c.doorsOf(ctx, d.ID, interfaces)
	if err != nil {
		return nil, err
	}
	for _, n := range interfaces {
		switch {
		case !leftBy(n, d.ID): // whoever's it is, it holds a group
		case managedTag(n.TagSet) == "":
			add(domain.Ends, ThingInterface, aws.ToString(n.NetworkInterfaceId), "of apps, without SageMaker's tag, by which Policy lets it be deleted: it takes "+c.statementFor(n))
		default:
			add(domain.Ends, ThingInterface, aws.ToString(n.NetworkInterfaceId), "of apps")
		}
	}
	lasting := slices.DeleteFunc(slices.Clone(doors), func(d door) bool { return fate == domain.Ends && d.home })
	for _, g := range []*ec2types.SecurityGroup{out, in} {
		if g == nil {
			continue
		}
		if g == in && fate == domain.Stays && keepsInbound(in, doors) {
			add(domain.Stays, domain.ThingSecurityGroup, aws.ToString(g.GroupName), "for "+names(doorsIn(in, doors)))
			continue
		}
		holders, err := c.holdersAmong(ctx, d.ID, aws.ToString(g.GroupId), interfaces, lasting)
		switch {
		case err != nil:
			return nil, err
		case len(holders) > 0:
			add(domain.Stays, domain.ThingSecurityGroup, aws.ToString(g.GroupName), "others use it, "+strings.Join(holders, ", ")+
				", which DeleteDomain fails by when the domain is gone: "+adviceHeld+", before or then, and call it again")
		default:
			add(domain.Ends, domain.ThingSecurityGroup, aws.ToString(g.GroupName), aws.ToString(g.GroupId))
		}
	}
	return found, nil
}

// idsOf are the ids of the groups that there are.
func idsOf(groups ...*ec2types.SecurityGroup) (ids []string) {
	for _, g := range groups {
		if g != nil {
			ids = append(ids, aws.ToString(g.GroupId))
		}
	}
	return ids
}

const adviceHeld = "take it out of the group, or end what it belongs to"

// deleteLeftovers deletes what SageMaker leaves of a domain that is gone. The group for
// inbound NFS stays while mount targets of the domain's home are in it. What others have in the
// group for outbound NFS reaches homes by it, and is not cut off before it is told of. It
// reports whether there was anything.
func (c *Client) deleteLeftovers(ctx context.Context, id string) (left bool, err error) {
	in, out, err := c.nfsGroups(ctx, id)
	if err != nil {
		return false, refusal.Step("security groups for NFS", err)
	}
	if in == nil && out == nil {
		return false, nil
	}
	return true, c.deleteNetwork(ctx, id, in, out)
}

// deleteNetwork deletes the security groups for NFS that there are, and the interfaces in them.
func (c *Client) deleteNetwork(ctx context.Context, id string, in, out *ec2types.SecurityGroup) error {
	if err := c.deleteInterfaces(ctx, id, idsOf(in, out)); err != nil {
		return refusal.Step("network interfaces", err)
	}
	if out != nil {
		holders, err := c.holders(ctx, id, aws.ToString(out.GroupId))
		if err == nil && len(holders) > 0 {
			err = refusal.New(domain.ErrState, "others use it, %s: %s; then call again", strings.Join(holders, ", "), adviceHeld)
		}
		if err != nil {
			return refusal.Step("security group "+aws.ToString(out.GroupName), err)
		}
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
	interfaces, err := c.interfacesIn(ctx, aws.ToString(in.GroupId))
	if err != nil {
		return refusal.Step("network interfaces", err)
	}
	doors, err := c.doorsOf(ctx, id, interfaces)
	if err != nil {
		return refusal.Step("mount targets", err)
	}
	if keepsInbound(in, doors) {
		held := names(doors)
		c.progress(Progress{Domain: id, Step: "security group", Resource: aws.ToString(in.GroupId), State: "kept for " + held})
		c.log.InfoContext(ctx, "security group kept", "domain", id, "group", aws.ToString(in.GroupName), "for", held)
		return nil
	}
	return refusal.Step("security group "+aws.ToString(in.GroupName), c.deleteGroup(ctx, id, in))
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
			if len(holders) > 0 {
				return false, refusal.New(domain.ErrState, "others use it, %s (%w): %s; then call again", strings.Join(holders, ", "), err, adviceHeld)
			}
			held = err
			return false, nil
		case noSuchGroup:
			return true, nil
		}
		if err == nil {
			c.log.InfoContext(ctx, "security group deleted", "domain", id, "group", aws.ToString(g.GroupName))
		}
		return err == nil, err
	})
	if !errors.Is(err, errLate) {
		return err
	}
	rules, err := c.rulesNaming(ctx, aws.ToString(g.GroupId))
	if err != nil {
		return err
	}
	if len(rules) > 0 {
		return refusal.New(domain.ErrState, "rules of SageMaker's own security groups still name it, %s: %w; call again later, or delete those rules", strings.Join(idsOf(rules...), ", "), held)
	}
	return refusal.New(domain.ErrState, "something uses it that EC2 does not show: %w; call again later", held)
}
