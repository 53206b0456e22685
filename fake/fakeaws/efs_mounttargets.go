package fakeaws

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/aws/aws-sdk-go-v2/service/efs/types"
)

// mountTargetPage is "automatically set to 10, and other values are ignored"
// (API_DescribeMountTargets).
const mountTargetPage = 10

// mountTarget is the door to a file system in one zone.
type mountTarget struct {
	lifetime
	id     string
	subnet *subnet
	groups []string
	ip     string
}

func (c *Cloud) registerMountTargets() {
	handle(c, c.createMountTarget)
	handle(c, c.describeMountTargets)
	handle(c, c.describeMountTargetSecurityGroups)
	handle(c, c.deleteMountTarget)
}

// createMountTarget: one per zone, all in one VPC, of an available file system
// (API_CreateMountTarget).
func (c *Cloud) createMountTarget(at call, in *awsefs.CreateMountTargetInput) (*awsefs.CreateMountTargetOutput, error) {
	fs, err := c.availableFileSystem(at, *in.FileSystemId)
	if err != nil {
		return nil, err
	}
	net, ok := c.subnet(*in.SubnetId)
	if !ok {
		return nil, refuseAs(http.StatusBadRequest, &types.SubnetNotFound{
			ErrorCode_: aws.String("SubnetNotFound"),
			Message:    aws.String(fmt.Sprintf("The subnet ID '%s' does not exist", *in.SubnetId)),
		})
	}
	if in.IpAddress != nil || in.IpAddressType != "" || in.Ipv6Address != nil {
		return nil, badRequest("fakeaws: addresses chosen by the caller are not modelled")
	}
	groups := in.SecurityGroups
	if len(groups) == 0 {
		groups = []string{c.defaultGroup(net.vpc)}
	}
	for _, id := range groups {
		if g := c.ec2.groups[id]; g == nil || g.vpc != net.vpc {
			return nil, refuseAs(http.StatusBadRequest, &types.SecurityGroupNotFound{
				ErrorCode_: aws.String("SecurityGroupNotFound"),
				Message:    aws.String(fmt.Sprintf("The security group '%s' does not exist in VPC '%s'", id, net.vpc)),
			})
		}
	}
	for _, t := range fs.targets {
		switch {
		case !t.seen(at.At):
		case t.subnet.vpc != net.vpc:
			return nil, mountTargetConflict("requested subnet for new mount target is not in the same VPC as existing mount targets")
		case t.subnet.zone == net.zone:
			return nil, mountTargetConflict("mount target already exists in this AZ")
		}
	}
	target := c.addMountTarget(fs, net, groups, at.At)
	if target == nil {
		return nil, refuseAs(http.StatusConflict, &types.NoFreeAddressesInSubnet{
			ErrorCode_: aws.String("NoFreeAddressesInSubnet"),
			Message:    aws.String(fmt.Sprintf("The subnet '%s' has no free addresses", net.id)),
		})
	}
	d := c.describeMountTarget(fs, target, at.At)
	return &awsefs.CreateMountTargetOutput{
		FileSystemId: d.FileSystemId, MountTargetId: d.MountTargetId, SubnetId: d.SubnetId,
		LifeCycleState:       types.LifeCycleStateCreating,
		AvailabilityZoneName: d.AvailabilityZoneName, AvailabilityZoneId: d.AvailabilityZoneId,
		IpAddress: d.IpAddress, NetworkInterfaceId: d.NetworkInterfaceId, OwnerId: d.OwnerId, VpcId: d.VpcId,
	}, nil
}

// addMountTarget makes the target of a file system in a subnet at an instant. It is
// nil if the subnet has no address left.
func (c *Cloud) addMountTarget(fs *fileSystem, net *subnet, groups []string, at time.Time) *mountTarget {
	// Not of the call, whose number depends on which subnet is asked for first.
	seed := c.hash("mount target", fs.id, net.id, len(fs.targetsIn(net.zone)))
	target := &mountTarget{
		lifetime: lifetime{created: at, delay: c.delays.MountTarget},
		id:       resourceID("fsmt", seed), subnet: net, groups: groups, ip: c.address(net, seed, at),
	}
	if target.ip == "" {
		return nil
	}
	fs.targets = append(fs.targets, target)
	slices.SortFunc(fs.targets, func(a, b *mountTarget) int { return cmp.Compare(a.id, b.id) })
	return target
}

// remove ends a target at an instant. One that has been told to end goes on ending.
func (t *mountTarget) remove(at time.Time) {
	if t.deleted.IsZero() {
		t.deleted = at
		t.subnet.release(t.ip, at.Add(t.delay))
	}
}

// targetsIn lists all targets a zone ever had.
func (fs *fileSystem) targetsIn(zone string) []*mountTarget {
	var found []*mountTarget
	for _, t := range fs.targets {
		if t.subnet.zone == zone {
			found = append(found, t)
		}
	}
	return found
}

// mountTargetHolds reports whether a mount target's network interface is in a
// security group, which then cannot be deleted.
func (c *Cloud) mountTargetHolds(group string, now time.Time) bool {
	for _, fs := range c.efs.fileSystems {
		for _, t := range fs.targets {
			if t.seen(now) && slices.Contains(t.groups, group) {
				return true
			}
		}
	}
	return false
}

// interfaceID is that of the network interface by which a target is reached.
func (c *Cloud) interfaceID(t *mountTarget) string { return resourceID("eni", c.hash("eni", t.id)) }

// mountTargetInterfaces are the network interfaces of targets, described as people have
// exported them; API_CreateMountTarget has "Mount target fsmt-id for file system fs-id". EFS
// holds each for as long as its target is there, and they have no tags.
func (c *Cloud) mountTargetInterfaces(now time.Time) (all []*networkInterface) {
	for _, fs := range c.efs.fileSystems {
		for _, t := range fs.targets {
			if t.seen(now) {
				id := c.interfaceID(t)
				all = append(all, &networkInterface{
					kind: "efs", id: id, description: fmt.Sprintf("EFS mount target for %s (%s)", fs.id, t.id),
					subnet: t.subnet.id, vpc: t.subnet.vpc, zone: t.subnet.zone, address: t.ip, groups: t.groups, created: t.created,
					attachment: resourceID("eni-attach", c.hash("eni", t.id)), held: t.seen,
				})
			}
		}
	}
	return all
}

func (c *Cloud) describeMountTarget(fs *fileSystem, t *mountTarget, at time.Time) types.MountTargetDescription {
	return types.MountTargetDescription{
		FileSystemId: aws.String(fs.id), MountTargetId: aws.String(t.id), SubnetId: aws.String(t.subnet.id),
		LifeCycleState:       t.state(at),
		AvailabilityZoneName: aws.String(t.subnet.zone), VpcId: aws.String(t.subnet.vpc),
		IpAddress:          aws.String(t.ip),
		NetworkInterfaceId: aws.String(c.interfaceID(t)),
		OwnerId:            aws.String(c.account),
	}
}

func (c *Cloud) describeMountTargets(at call, in *awsefs.DescribeMountTargetsInput) (*awsefs.DescribeMountTargetsOutput, error) {
	seen := c.readAt(at)
	var found []types.MountTargetDescription
	switch {
	case in.AccessPointId != nil || (in.FileSystemId == nil) == (in.MountTargetId == nil):
		return nil, badRequest("fakeaws: want a FileSystemId or a MountTargetId")
	case in.FileSystemId != nil:
		fs, err := c.fileSystem(at, *in.FileSystemId)
		if err != nil {
			return nil, err
		}
		for _, t := range fs.targets {
			if t.seen(seen) {
				found = append(found, c.describeMountTarget(fs, t, seen))
			}
		}
	default:
		fs, t, err := c.mountTarget(at, *in.MountTargetId)
		if err != nil {
			return nil, err
		}
		found = append(found, c.describeMountTarget(fs, t, at.At))
	}
	found, next := efsPage(found, func(d types.MountTargetDescription) string { return *d.MountTargetId }, in.Marker, mountTargetPage)
	return &awsefs.DescribeMountTargetsOutput{MountTargets: found, Marker: in.Marker, NextMarker: next}, nil
}

// describeMountTargetSecurityGroups works from the creation on, since the
// network interface exists before CreateMountTarget returns.
func (c *Cloud) describeMountTargetSecurityGroups(
	at call, in *awsefs.DescribeMountTargetSecurityGroupsInput,
) (*awsefs.DescribeMountTargetSecurityGroupsOutput, error) {
	_, t, err := c.mountTarget(at, *in.MountTargetId)
	if err != nil {
		return nil, err
	}
	if state := t.state(at.At); state == types.LifeCycleStateDeleting {
		return nil, refuseAs(http.StatusConflict, &types.IncorrectMountTargetState{
			ErrorCode_: aws.String("IncorrectMountTargetState"),
			Message:    aws.String(fmt.Sprintf("mount target '%s' is %s", t.id, state)),
		})
	}
	return &awsefs.DescribeMountTargetSecurityGroupsOutput{SecurityGroups: slices.Clone(t.groups)}, nil
}

func (c *Cloud) deleteMountTarget(at call, in *awsefs.DeleteMountTargetInput) (*awsefs.DeleteMountTargetOutput, error) {
	_, t, err := c.mountTarget(at, *in.MountTargetId)
	if err != nil {
		return nil, err
	}
	t.remove(at.At)
	return &awsefs.DeleteMountTargetOutput{}, nil
}

func (c *Cloud) mountTarget(at call, id string) (*fileSystem, *mountTarget, error) {
	for _, fs := range c.efs.fileSystems {
		for _, t := range fs.targets {
			if t.id == id && t.seen(at.At) {
				return fs, t, nil
			}
		}
	}
	return nil, nil, refuseAs(http.StatusNotFound, &types.MountTargetNotFound{
		ErrorCode_: aws.String("MountTargetNotFound"),
		Message:    aws.String(fmt.Sprintf("Mount target '%s' does not exist.", id)),
	})
}

func mountTargetConflict(message string) error {
	return refuseAs(http.StatusConflict, &types.MountTargetConflict{
		ErrorCode_: aws.String("MountTargetConflict"), Message: aws.String(message),
	})
}
