package sagemakerdomain

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/iampolicy"
	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/internal/refusal"
)

// interfacesIn lists the network interfaces that are in any of some groups.
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

// leftBy reports whether SageMaker made a network interface for apps of a domain: by its
// tag, which names the domain or, as people have exported it, a node of the domain
// ("arn:...:node/d-.../..."), or by its description, which they have exported too. That
// every one has the tag no page says: SageMaker's service-linked role needs it to let apps use
// an interface, and neither to make nor to delete one (AmazonSageMakerNotebooksServiceRolePolicy,
// "AWS managed policies for SageMaker Notebooks", developer guide).
func leftBy(n ec2types.NetworkInterface, id string) bool {
	tag := managedTag(n.TagSet)
	return managedBy(tag, id) || strings.Contains(tag, ":node/"+id+"/") ||
		strings.HasPrefix(aws.ToString(n.Description), "[DO NOT DELETE] ENI managed by SageMaker for Studio Domain("+id+")")
}

// statementFor is what a policy has to allow so that one network interface can be deleted.
// IAM has no condition on descriptions ("Actions, resources, and condition keys for Amazon EC2",
// Service Authorization Reference).
func (c *Client) statementFor(n ec2types.NetworkInterface) string {
	return "ec2:DeleteNetworkInterface on " + iampolicy.ARN(c.region, "ec2", aws.ToString(n.OwnerId), "network-interface/"+aws.ToString(n.NetworkInterfaceId))
}

// deleteInterfaces deletes the interfaces that apps have left, once they are free. Those
// that Policy does not let it delete, since they have no tag, are named when all others
// are gone.
func (c *Client) deleteInterfaces(ctx context.Context, id string, groups []string) error {
	var held, denied, statements []string
	var why error
	err := pace.Poll(ctx, freedWithin, errLate, func() (bool, error) {
		held = nil
		all, err := c.interfacesIn(ctx, groups...)
		if err != nil {
			return false, err
		}
		for _, n := range all {
			name := aws.ToString(n.NetworkInterfaceId)
			if !leftBy(n, id) || slices.Contains(denied, name) {
				continue
			}
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
			case kindOf(err) == domain.ErrDenied && managedTag(n.TagSet) == "":
				denied, statements, why = append(denied, name), append(statements, c.statementFor(n)), err
			default:
				return false, err
			}
		}
		if len(held) > 0 {
			c.progress(Progress{Domain: id, Step: "network interface", Resource: held[0], State: "in use"})
		}
		return len(held) == 0, nil
	})
	switch {
	case errors.Is(err, errLate):
		return refusal.New(domain.ErrState, "SageMaker still uses %s: call again later", strings.Join(held, ", "))
	case err == nil && len(denied) > 0:
		return refusal.New(domain.ErrDenied, "SageMaker left %s without its tag %s, by which alone Policy lets interfaces be deleted: have an administrator allow %s, or delete what they name; then call again: %w",
			strings.Join(denied, ", "), tagManaged, strings.Join(statements, ", "), why)
	}
	return err
}

// A door is a mount target that is in security groups of a domain.
type door struct {
	target, fileSystem string
	groups             []string
	home               bool // it is of the file system that SageMaker made for the domain
}

func (d door) in(g *ec2types.SecurityGroup) bool {
	return g != nil && slices.Contains(d.groups, aws.ToString(g.GroupId))
}

func doorsIn(g *ec2types.SecurityGroup, all []door) []door {
	return slices.DeleteFunc(slices.Clone(all), func(d door) bool { return !d.in(g) })
}

// keepsInbound reports whether the group for inbound NFS stays: as long as a mount target of
// the domain's home is in it.
func keepsInbound(in *ec2types.SecurityGroup, all []door) bool {
	return slices.ContainsFunc(doorsIn(in, all), func(d door) bool { return d.home })
}

// names tells of mount targets: "mount target fsmt-1 of file system fs-1, ...".
func names(doors []door) string {
	var list []string
	for _, d := range doors {
		list = append(list, "mount target "+d.target+" of file system "+d.fileSystem)
	}
	return strings.Join(list, ", ")
}

// targetDescription is how EFS describes the network interface of a mount target: "Mount
// target fsmt-id for file system fs-id" (API_CreateMountTarget) or, as people have exported
// it, "EFS mount target for fs-id (fsmt-id)".
var targetDescription = regexp.MustCompile(`^(?:EFS mount target for (fs-[0-9a-f]+) \((fsmt-[0-9a-f]+)\)|Mount target (fsmt-[0-9a-f]+) for file system (fs-[0-9a-f]+))$`)

// mountTargetOf reads which mount target a network interface is of, if EFS made it.
func mountTargetOf(n ec2types.NetworkInterface) (target, fileSystem string, ok bool) {
	m := targetDescription.FindStringSubmatch(aws.ToString(n.Description))
	if m == nil {
		return "", "", false
	}
	return m[2] + m[3], m[1] + m[4], true
}

// doorsOf are the mount targets among network interfaces, without those that are going:
// their interfaces go with them ("Managing mount targets", EFS user guide). The home is
// found by SageMaker's tag, since the domain may be gone.
func (c *Client) doorsOf(ctx context.Context, id string, interfaces []ec2types.NetworkInterface) (found []door, err error) {
	there, homes := map[string]bool{}, map[string]bool{} // targets that stay, and file systems that were looked at
	for _, n := range interfaces {
		target, fileSystem, ok := mountTargetOf(n)
		if !ok {
			continue
		}
		if _, looked := homes[fileSystem]; !looked {
			fs, err := c.files.FileSystem(ctx, fileSystem)
			if err != nil && kindOf(err) != domain.ErrNotFound {
				return nil, err
			}
			homes[fileSystem] = managedBy(fs.Tags[tagManaged], id)
			targets, err := c.mountTargets(ctx, fileSystem)
			if err != nil {
				return nil, err
			}
			for _, t := range targets {
				there[t.ID] = t.State != "deleting" && t.State != "deleted"
			}
		}
		if there[target] {
			d := door{target: target, fileSystem: fileSystem, home: homes[fileSystem]}
			for _, g := range n.Groups {
				d.groups = append(d.groups, aws.ToString(g.GroupId))
			}
			found = append(found, d)
		}
	}
	return found, nil
}

// holders are what has a security group and does not give it up by itself: mount targets,
// interfaces that are neither SageMaker's nor EFS's, and groups whose rules name it.
func (c *Client) holders(ctx context.Context, id, group string) (found []string, err error) {
	interfaces, err := c.interfacesIn(ctx, group)
	if err != nil {
		return nil, err
	}
	doors, err := c.doorsOf(ctx, id, interfaces)
	if err != nil {
		return nil, err
	}
	return c.holdersAmong(ctx, id, group, interfaces, doors)
}

// holdersAmong finds holders among interfaces and mount targets that were looked for.
func (c *Client) holdersAmong(ctx context.Context, id, group string, interfaces []ec2types.NetworkInterface, doors []door) (found []string, err error) {
	doors = slices.DeleteFunc(slices.Clone(doors), func(d door) bool { return !slices.Contains(d.groups, group) })
	if len(doors) > 0 {
		found = append(found, names(doors))
	}
	for _, n := range interfaces {
		in := slices.ContainsFunc(n.Groups, func(g ec2types.GroupIdentifier) bool { return aws.ToString(g.GroupId) == group })
		if _, _, ofTarget := mountTargetOf(n); in && !ofTarget && !leftBy(n, id) {
			found = append(found, "network interface "+aws.ToString(n.NetworkInterfaceId))
		}
	}
	rules, err := c.rulesNaming(ctx, group)
	if err != nil {
		return nil, err
	}
	for _, g := range rules {
		if !managedBy(managedTag(g.Tags), id) {
			found = append(found, "a rule of security group "+aws.ToString(g.GroupId))
		}
	}
	return found, nil
}

// rulesNaming are the other groups that have a rule for a group.
func (c *Client) rulesNaming(ctx context.Context, group string) (found []*ec2types.SecurityGroup, err error) {
	for _, name := range []string{"ip-permission.group-id", "egress.ip-permission.group-id"} {
		groups, err := c.groups(ctx, filters(name, group))
		if err != nil {
			return nil, err
		}
		for i := range groups {
			if id := aws.ToString(groups[i].GroupId); id != group && !slices.Contains(idsOf(found...), id) {
				found = append(found, &groups[i])
			}
		}
	}
	return found, nil
}
