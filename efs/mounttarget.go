package efs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/aws/aws-sdk-go-v2/service/efs/types"

	"github.com/atelier-go/atelier/internal/pace"
)

// Subnet is a place for a mount target.
type Subnet struct {
	// ID is the identifier ("subnet-0123456789abcdef0").
	ID string
	// Zone is the availability zone the subnet is in, by name ("us-east-1a").
	Zone string
}

// MountTarget is the door to a file system in one availability zone. All hosts
// in the zone use it, whichever subnet of the VPC they are in.
type MountTarget struct {
	// ID is the identifier ("fsmt-0123456789abcdef0").
	ID string
	// FileSystem is the file system it opens.
	FileSystem string
	// Subnet, Zone and VPC are where it is.
	Subnet, Zone, VPC string
	// Address is its IP address.
	Address string
	// State is the life-cycle state, see [FileSystem].
	State string
	// SecurityGroups decide who reaches it, on TCP port 2049. Nil from
	// [Client.MountTargets], which does not ask for them.
	SecurityGroups []string
}

// EnsureMountTargets returns one available mount target for each zone of the
// subnets, in the order of zones, and creates those that are missing.
//
// Of several subnets in a zone it takes the one with the smallest ID. A target
// that exists in a zone is taken whatever its subnet, but its security groups
// must be exactly those given, else the error is [ErrConflict] and nothing is
// created: opening or closing an existing target to others is for an
// administrator to decide. Targets in other zones are left alone.
//
// The security groups are required, since EFS would use the VPC's default
// group. All subnets must be in one VPC, in which all targets of a file system
// must be.
func (c *Client) EnsureMountTargets(ctx context.Context, fileSystem string, subnets []Subnet, securityGroups []string) ([]MountTarget, error) {
	const op = "ensure mount targets"
	if err := invalid(op, fileSystem, fileSystemProblem(fileSystem), subnetProblems(subnets), groupProblems(securityGroups)); err != nil {
		return nil, err
	}
	if _, err := c.waitFileSystem(ctx, op, fileSystem, false); err != nil {
		return nil, err
	}
	chosen := map[string]string{} // zone to subnet
	for _, s := range subnets {
		if id, ok := chosen[s.Zone]; !ok || s.ID < id {
			chosen[s.Zone] = s.ID
		}
	}
	zones := slices.Sorted(maps.Keys(chosen))
	found, err := c.adoptMountTargets(ctx, op, fileSystem, zones, securityGroups)
	if err != nil {
		return nil, err
	}
	for _, zone := range zones {
		if _, ok := found[zone]; !ok {
			if err := c.createMountTarget(ctx, op, fileSystem, zone, chosen[zone], securityGroups); err != nil {
				return nil, err
			}
		}
	}
	if found, err = c.waitMountTargets(ctx, op, fileSystem, zones); err != nil {
		return nil, err
	}
	targets := make([]MountTarget, 0, len(zones))
	for _, zone := range zones {
		target := mountTargetOf(found[zone])
		target.SecurityGroups = slices.Sorted(slices.Values(securityGroups))
		targets = append(targets, target)
	}
	return targets, nil
}

// adoptMountTargets returns the targets that some zones have, all with the
// groups, when none of them is on its way out: only then can it be replaced.
func (c *Client) adoptMountTargets(
	ctx context.Context, op, fileSystem string, zones, groups []string,
) (map[string]types.MountTargetDescription, error) {
	var found map[string]types.MountTargetDescription
	err := c.wait(ctx, op, fileSystem, func(ctx context.Context) (look, error) {
		var err error
		if found, err = c.mountTargetsByZone(ctx, fileSystem); err != nil {
			return look{}, err
		}
		for _, zone := range zones {
			d, ok := found[zone]
			if !ok {
				continue
			}
			going := look{resource: aws.ToString(d.MountTargetId), state: types.LifeCycleStateDeleting}
			if d.LifeCycleState == types.LifeCycleStateDeleting {
				return going, nil
			}
			err := c.checkGroups(ctx, op, d, groups)
			switch code(err) {
			case "IncorrectMountTargetState", "MountTargetNotFound": // since we looked
				return going, nil
			}
			if err != nil {
				return look{}, err
			}
		}
		return look{done: true}, nil
	})
	return found, err
}

// createMountTarget makes a target in a zone. That the zone has one already
// means another process, or an answer that was lost, was faster than our look;
// then that one is taken.
func (c *Client) createMountTarget(ctx context.Context, op, fileSystem, zone, subnet string, groups []string) error {
	_, err := c.api.CreateMountTarget(ctx, &awsefs.CreateMountTargetInput{
		FileSystemId: aws.String(fileSystem), SubnetId: aws.String(subnet), SecurityGroups: groups,
	})
	if code(err) != "MountTargetConflict" {
		return failed(ctx, op, fileSystem, err)
	}
	conflict := failed(ctx, op, fileSystem, err, fmt.Sprintf(
		"a mount target in subnet %s (%s) is not possible: all mount targets of a file system are in one VPC, one per zone", subnet, zone))
	for i := range patience { // 15.5 seconds, by which it is visible or there is none
		found, err := c.adoptMountTargets(ctx, op, fileSystem, []string{zone}, groups)
		if err != nil {
			return err
		}
		if _, ok := found[zone]; ok {
			return nil
		}
		if err := pace.Sleep(ctx, firstPause<<i); err != nil {
			return failed(ctx, op, fileSystem, err)
		}
	}
	return conflict
}

func (c *Client) checkGroups(ctx context.Context, op string, d types.MountTargetDescription, want []string) error {
	id := aws.ToString(d.MountTargetId)
	out, err := c.api.DescribeMountTargetSecurityGroups(ctx, &awsefs.DescribeMountTargetSecurityGroupsInput{MountTargetId: d.MountTargetId})
	if err != nil {
		return failed(ctx, op, id, err)
	}
	has, want := slices.Sorted(slices.Values(out.SecurityGroups)), slices.Sorted(slices.Values(want))
	if !slices.Equal(has, want) {
		return problem(op, id, ErrConflict, "the mount target of %s in %s has security groups %v, not %v; "+
			"change them with ModifyMountTargetSecurityGroups, or use these", aws.ToString(d.FileSystemId), aws.ToString(d.AvailabilityZoneName), has, want)
	}
	return nil
}

// waitMountTargets waits until every zone has an available target.
func (c *Client) waitMountTargets(ctx context.Context, op, fileSystem string, zones []string) (map[string]types.MountTargetDescription, error) {
	var found map[string]types.MountTargetDescription
	err := c.wait(ctx, op, fileSystem, func(ctx context.Context) (look, error) {
		var err error
		if found, err = c.mountTargetsByZone(ctx, fileSystem); err != nil {
			return look{}, err
		}
		for _, zone := range zones {
			d, ok := found[zone]
			switch {
			case !ok:
				return look{resource: fileSystem}, nil
			case d.LifeCycleState == types.LifeCycleStateCreating, d.LifeCycleState == types.LifeCycleStateUpdating:
				return look{resource: aws.ToString(d.MountTargetId), state: d.LifeCycleState}, nil
			case d.LifeCycleState != types.LifeCycleStateAvailable:
				return look{}, problem(op, aws.ToString(d.MountTargetId), ErrState,
					"the mount target in %s is in state %q and will not become available; delete it and call again", zone, d.LifeCycleState)
			}
		}
		return look{done: true}, nil
	})
	return found, err
}

// mountTargetsByZone lists all targets of a file system that exist.
func (c *Client) mountTargetsByZone(ctx context.Context, fileSystem string) (map[string]types.MountTargetDescription, error) {
	found := map[string]types.MountTargetDescription{}
	pages := awsefs.NewDescribeMountTargetsPaginator(c.api, &awsefs.DescribeMountTargetsInput{FileSystemId: aws.String(fileSystem)})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, d := range out.MountTargets {
			if d.LifeCycleState != types.LifeCycleStateDeleted {
				found[aws.ToString(d.AvailabilityZoneName)] = d
			}
		}
	}
	return found, nil
}

// MountTargets returns the mount targets of a file system that exist, whoever
// made them, in the order of zones. Without the file system there are none.
func (c *Client) MountTargets(ctx context.Context, fileSystem string) ([]MountTarget, error) {
	const op = "list mount targets"
	if err := invalid(op, "", fileSystemProblem(fileSystem)); err != nil {
		return nil, err
	}
	found, err := c.mountTargetsByZone(ctx, fileSystem)
	if err != nil && code(err) != "FileSystemNotFound" {
		return nil, failed(ctx, op, fileSystem, err)
	}
	var targets []MountTarget
	for _, zone := range slices.Sorted(maps.Keys(found)) {
		targets = append(targets, mountTargetOf(found[zone]))
	}
	return targets, nil
}

// DeleteMountTargets deletes all mount targets of a file system and returns
// when they are gone. Hosts that have it mounted hang, and writes they have not
// sent are lost; the files in it stay. Without targets, and without the file
// system, there is nothing to do, which is no error.
func (c *Client) DeleteMountTargets(ctx context.Context, fileSystem string) error {
	const op = "delete mount targets"
	if err := invalid(op, "", fileSystemProblem(fileSystem)); err != nil {
		return err
	}
	asked := map[string]bool{}
	return c.wait(ctx, op, fileSystem, func(ctx context.Context) (look, error) {
		found, err := c.mountTargetsByZone(ctx, fileSystem)
		if code(err) == "FileSystemNotFound" || err == nil && len(found) == 0 {
			return look{done: true}, nil
		}
		if err != nil {
			return look{}, err
		}
		var next look
		for _, zone := range slices.Sorted(maps.Keys(found)) {
			d := found[zone]
			next = look{resource: aws.ToString(d.MountTargetId), state: d.LifeCycleState}
			if asked[next.resource] || d.LifeCycleState == types.LifeCycleStateDeleting {
				continue
			}
			_, err := c.api.DeleteMountTarget(ctx, &awsefs.DeleteMountTargetInput{MountTargetId: d.MountTargetId})
			if err != nil && code(err) != "MountTargetNotFound" {
				return look{}, err
			}
			asked[next.resource] = true
		}
		return next, nil
	})
}

func mountTargetOf(d types.MountTargetDescription) MountTarget {
	return MountTarget{
		ID: aws.ToString(d.MountTargetId), FileSystem: aws.ToString(d.FileSystemId),
		Subnet: aws.ToString(d.SubnetId), Zone: aws.ToString(d.AvailabilityZoneName), VPC: aws.ToString(d.VpcId),
		Address: cmp.Or(aws.ToString(d.IpAddress), aws.ToString(d.Ipv6Address)), State: string(d.LifeCycleState),
	}
}

var (
	subnetPattern = regexp.MustCompile(`^subnet-[0-9a-f]{8,40}$`)
	groupPattern  = regexp.MustCompile(`^sg-[0-9a-f]{8,40}$`)
)

func subnetProblems(subnets []Subnet) error {
	var problems []error
	if len(subnets) == 0 {
		problems = append(problems, errors.New("no subnets: want at least one"))
	}
	seen := map[string]bool{}
	for _, s := range subnets {
		if !subnetPattern.MatchString(s.ID) {
			problems = append(problems, fmt.Errorf("subnet %q: want an id such as subnet-0123456789abcdef0", s.ID))
		}
		if s.Zone == "" {
			problems = append(problems, fmt.Errorf("subnet %q: its zone is empty", s.ID))
		}
		if seen[s.ID] {
			problems = append(problems, fmt.Errorf("subnet %q is given twice", s.ID))
		}
		seen[s.ID] = true
	}
	return errors.Join(problems...)
}

func groupProblems(groups []string) error {
	var problems []error
	if len(groups) == 0 {
		problems = append(problems, errors.New("no security groups: want at least one, EFS would use the VPC's default group"))
	}
	seen := map[string]bool{}
	for _, g := range groups {
		if !groupPattern.MatchString(g) {
			problems = append(problems, fmt.Errorf("security group %q: want an id such as sg-0123456789abcdef0", g))
		}
		if seen[g] {
			problems = append(problems, fmt.Errorf("security group %q is given twice", g))
		}
		seen[g] = true
	}
	return errors.Join(problems...)
}
