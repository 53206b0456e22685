package fakeaws

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// A networkInterface is one that exists by itself, not with an instance. Its
// state is a function of its instants.
type networkInterface struct {
	kind                   types.NetworkInterfaceType // empty is an ordinary one; the SDK has no name for "efs"
	id, token, description string
	subnet, vpc, zone      string
	address                string
	groups                 []string
	tags                   map[string]string
	request                *awsec2.CreateNetworkInterfaceInput
	created                time.Time
	attached               *instance // the last it was launched with, or nil
	attachment             string
	// held tells whether another service, whose interface it is, has it attached.
	// Nil is one of the account's own.
	held func(now time.Time) bool
}

var interfaceIDPattern = idPattern("eni")

// inUse reports whether an instance or the service it is of holds it. Terminating the instance frees it
// when that has ended, since it exists by itself
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-eni.html).
func (n *networkInterface) inUse(now time.Time) bool {
	return n.attached != nil && n.attached.state(now) != types.InstanceStateNameTerminated || n.held != nil && n.held(now)
}

// networkInterface finds an interface. A new one shows after [Delays.Visible].
func (c *Cloud) networkInterface(id string, now time.Time) (*networkInterface, error) {
	if !interfaceIDPattern.MatchString(id) {
		return nil, ec2Refuse("InvalidNetworkInterfaceId.Malformed", `Invalid id: "%s" (expecting "eni-...")`, id)
	}
	for _, n := range c.allInterfaces(now) {
		if n.id == id && !now.Before(n.created.Add(c.delays.Visible)) {
			return n, nil
		}
	}
	return nil, ec2Refuse("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '%s' does not exist", id)
}

// allInterfaces are those that exist by themselves and those of mount targets.
func (c *Cloud) allInterfaces(now time.Time) []*networkInterface {
	return append(slices.Clone(c.ec2.interfaces), c.mountTargetInterfaces(now)...)
}

// createNetworkInterface follows
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateNetworkInterface.html,
// with one private address, of the caller's choice or EC2's. That a token is
// known for as long as its interface exists is an assumption.
func (c *Cloud) createNetworkInterface(at call, in *awsec2.CreateNetworkInterfaceInput) (*awsec2.CreateNetworkInterfaceOutput, error) {
	if err := modelled(at, in, "SubnetId", "ClientToken", "Description", "Groups", "PrivateIpAddress", "TagSpecifications"); err != nil {
		return nil, err
	}
	if in.SubnetId == nil {
		return nil, ec2Refuse("MissingParameter", "The request must contain the parameter subnetId")
	}
	token := aws.ToString(in.ClientToken)
	for _, n := range c.ec2.interfaces {
		if token == "" || n.token != token {
			continue
		}
		if !alikeInputs(n.request, in) {
			return nil, ec2Refuse("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
		}
		return &awsec2.CreateNetworkInterfaceOutput{NetworkInterface: new(c.describeInterface(n, at.At)), ClientToken: in.ClientToken}, nil
	}
	s, err := c.existingSubnet(*in.SubnetId)
	if err != nil {
		return nil, err
	}
	groups, err := c.groupsFor(s, in.Groups)
	if err != nil {
		return nil, err
	}
	tags, err := tagsFor(in.TagSpecifications, types.ResourceTypeNetworkInterface)
	if err != nil {
		return nil, err
	}
	n := &networkInterface{
		id: resourceID("eni", c.hash(at.id, "eni")), token: token, description: aws.ToString(in.Description),
		subnet: s.id, vpc: s.vpc, zone: s.zone, groups: groups, tags: tags, request: in, created: at.At,
	}
	if n.address, err = c.addressFor(s, aws.ToString(in.PrivateIpAddress), at); err != nil {
		return nil, err
	}
	c.ec2.interfaces = append(c.ec2.interfaces, n)
	slices.SortFunc(c.ec2.interfaces, func(a, b *networkInterface) int { return strings.Compare(a.id, b.id) })
	return &awsec2.CreateNetworkInterfaceOutput{NetworkInterface: new(c.describeInterface(n, at.At)), ClientToken: in.ClientToken}, nil
}

// addressFor gives out the address that is asked for, or one of EC2's choice.
// The codes are those of
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html.
func (c *Cloud) addressFor(s *subnet, wanted string, at call) (string, error) {
	if wanted == "" {
		if a := c.address(s, at.id, at.At); a != "" {
			return a, nil
		}
		return "", ec2Refuse("InsufficientFreeAddressesInSubnet", "The specified subnet does not have enough free addresses to satisfy the request.")
	}
	a, err := netip.ParseAddr(wanted)
	if err != nil || !s.cidr.Contains(a) {
		return "", ec2Refuse("InvalidParameterValue", "Address %s does not fall within the subnet's address range", wanted)
	}
	s.free(at.At) // what is free again by now
	if s.addresses[a] {
		return "", ec2Refuse("InvalidIPAddress.InUse", "Address %s is in use.", wanted)
	}
	s.addresses[a] = true
	return wanted, nil
}

func (c *Cloud) describeInterface(n *networkInterface, now time.Time) types.NetworkInterface {
	d := types.NetworkInterface{
		NetworkInterfaceId: aws.String(n.id), Description: aws.String(n.description), InterfaceType: or(n.kind, types.NetworkInterfaceTypeInterface),
		SubnetId: aws.String(n.subnet), VpcId: aws.String(n.vpc), AvailabilityZone: aws.String(n.zone), OwnerId: aws.String(c.account),
		PrivateIpAddress: aws.String(n.address), Status: types.NetworkInterfaceStatusAvailable, TagSet: tagList(n.tags),
	}
	for _, id := range n.groups {
		name := ""
		if g := c.ec2.groups[id]; g != nil {
			name = g.name
		}
		d.Groups = append(d.Groups, types.GroupIdentifier{GroupId: aws.String(id), GroupName: aws.String(name)})
	}
	if n.held != nil && n.held(now) {
		d.Status = types.NetworkInterfaceStatusInUse
		d.Attachment = &types.NetworkInterfaceAttachment{
			AttachmentId: aws.String(n.attachment), DeviceIndex: aws.Int32(1), InstanceOwnerId: aws.String("amazon-aws"),
			DeleteOnTermination: aws.Bool(false), Status: types.AttachmentStatusAttached, AttachTime: aws.Time(n.created),
		}
		return d
	}
	if n.inUse(now) {
		d.Status = types.NetworkInterfaceStatusInUse
		d.Attachment = &types.NetworkInterfaceAttachment{
			AttachmentId: aws.String(n.attachment), InstanceId: aws.String(n.attached.id), DeviceIndex: aws.Int32(0),
			DeleteOnTermination: aws.Bool(false), Status: types.AttachmentStatusAttached, AttachTime: aws.Time(n.attached.launched),
		}
	}
	return d
}

// describeNetworkInterfaces shows interfaces that exist by themselves, SageMaker's
// included, and those of mount targets; those that come and go with an instance are not
// modelled.
func (c *Cloud) describeNetworkInterfaces(at call, in *awsec2.DescribeNetworkInterfacesInput) (*awsec2.DescribeNetworkInterfacesOutput, error) {
	if err := modelled(at, in, "NetworkInterfaceIds", "Filters", "MaxResults", "NextToken"); err != nil {
		return nil, err
	}
	for _, id := range in.NetworkInterfaceIds {
		if _, err := c.networkInterface(id, at.At); err != nil {
			return nil, err
		}
	}
	var found []types.NetworkInterface
	for _, n := range c.allInterfaces(at.At) {
		if at.At.Before(n.created.Add(c.delays.Visible)) || len(in.NetworkInterfaceIds) > 0 && !slices.Contains(in.NetworkInterfaceIds, n.id) {
			continue
		}
		d := c.describeInterface(n, at.At)
		ok, err := matches(at, in.Filters, n.tags, func(filter string) ([]string, bool) {
			switch filter {
			case "network-interface-id":
				return []string{n.id}, true
			case "status":
				return []string{string(d.Status)}, true
			case "subnet-id":
				return []string{n.subnet}, true
			case "vpc-id":
				return []string{n.vpc}, true
			case "description":
				return []string{n.description}, true
			case "group-id":
				return n.groups, true
			}
			return nil, false
		})
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, d)
		}
	}
	found, next, err := page(found, func(n types.NetworkInterface) string { return *n.NetworkInterfaceId }, in.MaxResults, in.NextToken, 5)
	if err != nil {
		return nil, err
	}
	return &awsec2.DescribeNetworkInterfacesOutput{NetworkInterfaces: found, NextToken: next}, nil
}

// deleteNetworkInterface follows
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteNetworkInterface.html:
// it has to be detached first.
func (c *Cloud) deleteNetworkInterface(at call, in *awsec2.DeleteNetworkInterfaceInput) (*awsec2.DeleteNetworkInterfaceOutput, error) {
	if err := modelled(at, in, "NetworkInterfaceId"); err != nil {
		return nil, err
	}
	n, err := c.networkInterface(aws.ToString(in.NetworkInterfaceId), at.At)
	if err != nil {
		return nil, err
	}
	if n.inUse(at.At) {
		return nil, interfaceInUse(n)
	}
	c.ec2.interfaces = slices.DeleteFunc(c.ec2.interfaces, func(other *networkInterface) bool { return other == n })
	if s, ok := c.subnet(n.subnet); ok {
		s.release(n.address, at.At)
	}
	return &awsec2.DeleteNetworkInterfaceOutput{}, nil
}

func interfaceInUse(n *networkInterface) error {
	return ec2Refuse("InvalidNetworkInterface.InUse", "Network interface '%s' is currently in use.", n.id)
}

// launchInterface finds the one interface that a launch brings along. What such a
// launch may not name beside it is in the description of RunInstances; that the
// token's zone is the interface's is an assumption.
func (c *Cloud) launchInterface(at call, in *awsec2.RunInstancesInput) (*networkInterface, error) {
	if len(in.NetworkInterfaces) != 1 {
		return nil, ec2Refuse("InvalidParameterValue", "fakeaws: %d network interfaces are not modelled", len(in.NetworkInterfaces))
	}
	spec := in.NetworkInterfaces[0]
	if err := modelled(at, &spec, "NetworkInterfaceId", "DeviceIndex", "DeleteOnTermination"); err != nil {
		return nil, err
	}
	switch {
	case in.SubnetId != nil || len(in.SecurityGroupIds) > 0:
		return nil, ec2Refuse("InvalidParameterCombination", "Network interfaces and an instance-level subnet ID or security groups may not be specified on the same request")
	case aws.ToInt32(spec.DeviceIndex) != 0 || spec.DeviceIndex == nil:
		return nil, ec2Refuse("InvalidParameterValue", "The primary network interface has the device index 0")
	case aws.ToBool(spec.DeleteOnTermination):
		return nil, ec2Refuse("InvalidParameterCombination", "A network interface that exists may not be deleted on termination")
	case aws.ToInt32(in.MaxCount) > 1:
		return nil, ec2Refuse("InvalidParameterCombination", "A network interface may not be specified for more than one instance")
	}
	return c.networkInterface(aws.ToString(spec.NetworkInterfaceId), at.At)
}
