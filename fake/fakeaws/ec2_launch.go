package fakeaws

import (
	"encoding/base64"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/instancetype"
)

// launchKey is what makes a launch one: the client token within its scope, the
// zone if the request names one and else the region.
type launchKey struct{ token, zone string }

// A launch is a RunInstances call that succeeded.
type launch struct {
	request     *awsec2.RunInstancesInput
	reservation string
	instances   []*instance
}

// tokenKept is how long a client token is known after the last of its
// instances was terminated. AWS said "at least 24 hours"; the present page,
// https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html,
// says nothing.
const tokenKept = 24 * time.Hour

// runInstances follows
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html
// for instances on demand and one-time spot instances that are terminated when
// EC2 takes them back, with one network interface: a new one, or one that exists.
func (c *Cloud) runInstances(at call, in *awsec2.RunInstancesInput) (*awsec2.RunInstancesOutput, error) {
	if err := modelled(at, in, "MinCount", "MaxCount", "ClientToken", "ImageId", "InstanceType", "SubnetId", "Placement",
		"SecurityGroupIds", "IamInstanceProfile", "UserData", "TagSpecifications", "MetadataOptions",
		"InstanceInitiatedShutdownBehavior", "BlockDeviceMappings", "InstanceMarketOptions", "NetworkInterfaces"); err != nil {
		return nil, err
	}
	if in.Placement != nil {
		if err := modelled(at, in.Placement, "AvailabilityZone"); err != nil {
			return nil, err
		}
	}
	token := aws.ToString(in.ClientToken)
	if len(token) > 64 || strings.ContainsFunc(token, func(r rune) bool { return r > 127 }) {
		return nil, ec2Refuse("InvalidParameterValue", "Value (%s) for parameter clientToken is invalid. It has at most 64 ASCII characters", token)
	}
	subnets, zone, err := c.placement(at, in)
	if err != nil {
		return nil, err
	}
	var own *networkInterface
	if len(in.NetworkInterfaces) > 0 {
		if own, err = c.launchInterface(at, in); err != nil {
			return nil, err
		}
		if zone != "" && zone != own.zone {
			return nil, ec2Refuse("InvalidParameterCombination", "The network interface '%s' is in the availability zone %s, not in %s", own.id, own.zone, zone)
		}
		s, err := c.existingSubnet(own.subnet)
		if err != nil {
			return nil, err
		}
		subnets, zone = []*subnet{s}, s.zone
	}
	key := launchKey{token, zone}
	if l, err := c.repeated(at, key, in); l != nil || err != nil {
		if err != nil {
			return nil, err
		}
		return c.launched(at, l), nil
	}
	order, err := c.order(at, in)
	if err != nil {
		return nil, err
	}
	if order.network = own; own != nil && own.inUse(at.At) {
		return nil, interfaceInUse(own)
	}
	var refusals []error
	for _, s := range subnets {
		groups, err := c.groupsFor(s, in.SecurityGroupIds)
		if err != nil {
			return nil, err
		}
		n, err := c.obtainable(order, s, at.At)
		if err != nil {
			refusals = append(refusals, err)
			continue
		}
		l := &launch{request: in, reservation: resourceID("r", c.hash(at.id, "r"))}
		for index := range n {
			i := c.newInstance(at, order, s, groups, index)
			i.reservation, i.token = l.reservation, token
			l.instances = append(l.instances, i)
		}
		c.ec2.launches[key] = l
		return c.launched(at, l), nil
	}
	return nil, refusals[len(refusals)-1]
}

// placement returns the subnets a request may go to, the best first, and the
// zone it names.
func (c *Cloud) placement(at call, in *awsec2.RunInstancesInput) (subnets []*subnet, zone string, err error) {
	if in.Placement != nil {
		zone = aws.ToString(in.Placement.AvailabilityZone)
		if zone != "" && !slices.Contains(c.zones(), zone) {
			return nil, "", ec2Refuse("InvalidParameterValue", "Invalid availability zone: [%s]", zone)
		}
	}
	if id := aws.ToString(in.SubnetId); id != "" {
		s, err := c.existingSubnet(id)
		if err != nil {
			return nil, "", err
		}
		if zone != "" && zone != s.zone {
			return nil, "", ec2Refuse("InvalidParameterCombination", "The subnet '%s' is in the availability zone %s, not in %s", id, s.zone, zone)
		}
		return []*subnet{s}, s.zone, nil
	}
	if zone != "" {
		return []*subnet{c.defaultSubnet(zone)}, zone, nil
	}
	// EC2 chooses; here by the hash of the call, so that a run can be repeated.
	zones := c.zones()
	first := int(c.hash(at.id, "zone") % uint64(len(zones)))
	for n := range zones {
		subnets = append(subnets, c.defaultSubnet(zones[(first+n)%len(zones)]))
	}
	return subnets, "", nil
}

// repeated returns the launch that a token stands for, if it does.
//
// A token whose instances are all terminated is refused with
// IdempotentInstanceTerminated, which EC2 does since January 2025
// (https://github.com/boto/boto3/issues/4406). That one which has a live
// instance left answers with all of them is an assumption.
func (c *Cloud) repeated(at call, key launchKey, in *awsec2.RunInstancesInput) (*launch, error) {
	l := c.ec2.launches[key]
	if l == nil {
		return nil, nil
	}
	var last time.Time
	alive := false
	for _, i := range l.instances {
		if i.state(at.At) != types.InstanceStateNameTerminated {
			alive = true
		} else if i.gone.After(last) {
			last = i.gone
		}
	}
	switch {
	case !alive && !at.At.Before(last.Add(tokenKept)):
		delete(c.ec2.launches, key)
		return nil, nil
	case !alike(reflect.ValueOf(l.request), reflect.ValueOf(in)):
		return nil, ec2Refuse("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
	case !alive:
		return nil, ec2Refuse("IdempotentInstanceTerminated", "The client token you have provided is associated with a terminated instance. Please use a different client token.")
	}
	return l, nil
}

// alikeInputs reports whether two inputs look the same on the wire.
func alikeInputs[T any](a, b *T) bool { return alike(reflect.ValueOf(a), reflect.ValueOf(b)) }

// alike reports whether two inputs look the same on the wire, where an empty
// list is no list.
func alike(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return alike(a.Elem(), b.Elem())
	case reflect.Struct:
		for i := range a.NumField() {
			if a.Type().Field(i).IsExported() && !alike(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !alike(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	default:
		return reflect.DeepEqual(a.Interface(), b.Interface())
	}
}

// An order is what a RunInstances call asks for, found to be possible.
type order struct {
	kind            instancetype.Type
	market          Market
	ami             string
	profile         string
	tags            map[string]string
	requestTags     map[string]string // of the Spot Instance request
	metadata        types.InstanceMetadataOptionsResponse
	network         *networkInterface // that exists, or nil
	userData        string            // decoded
	atLeast, atMost int
}

// order validates a request apart from where it goes and whether there is room.
func (c *Cloud) order(at call, in *awsec2.RunInstancesInput) (o order, err error) {
	if o.market, err = marketOf(at, in.InstanceMarketOptions); err != nil {
		return o, err
	}
	o.atLeast, o.atMost = int(aws.ToInt32(in.MinCount)), int(aws.ToInt32(in.MaxCount))
	if o.atLeast < 1 {
		return o, ec2Refuse("InvalidParameterValue", "Value (%d) for parameter minCount is invalid. Expecting a value of at least 1.", o.atLeast)
	}
	if o.atMost < o.atLeast {
		return o, ec2Refuse("InvalidParameterValue", "Value (%d) for parameter maxCount is invalid. Expecting a value of at least minCount, %d.", o.atMost, o.atLeast)
	}
	if in.ImageId == nil {
		return o, ec2Refuse("MissingParameter", "The request must contain the parameter ImageId")
	}
	o.ami = *in.ImageId
	image, known := c.ec2.amis[o.ami]
	switch {
	case !amiIDPattern.MatchString(o.ami):
		return o, ec2Refuse("InvalidAMIID.Malformed", `Invalid id: "%s" (expecting "ami-...")`, o.ami)
	case !known:
		return o, ec2Refuse("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", o.ami)
	}
	name := string(in.InstanceType)
	if name == "" {
		name = "m1.small" // EC2's default, which no image of today boots on
	}
	o.kind, err = instancetype.Embedded().Type(name)
	if err != nil || o.kind.Name != name { // SageMaker's names are not EC2's
		return o, ec2Refuse("InvalidParameterValue", "Invalid value '%s' for InstanceType.", name)
	}
	if o.kind.Arch != image.arch {
		return o, ec2Refuse("InvalidParameterValue", "The architecture '%s' of the specified instance type does not match the architecture '%s' of the specified AMI. "+
			"Specify an instance type and an AMI that have matching architectures, and try again. "+
			"You can use 'describe-instance-types' or 'describe-images' to discover the architecture of the instance type or AMI.", o.kind.Arch, image.arch)
	}
	if data := aws.ToString(in.UserData); data != "" {
		raw, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			return o, ec2Refuse("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
		}
		if len(raw) > 16<<10 {
			return o, ec2Refuse("InvalidUserData.Malformed", "User data is limited to 16384 bytes")
		}
		o.userData = string(raw)
	}
	if p := in.IamInstanceProfile; p != nil {
		if o.profile, err = c.launchProfile(aws.ToString(p.Name), aws.ToString(p.Arn), at.At); err != nil {
			return o, err
		}
	}
	others := []types.ResourceType{types.ResourceTypeVolume, types.ResourceTypeNetworkInterface}
	if o.market == Spot {
		others = append(others, types.ResourceTypeSpotInstancesRequest)
	}
	if o.tags, err = tagsFor(in.TagSpecifications, types.ResourceTypeInstance, others...); err != nil {
		return o, err
	}
	if o.market == Spot {
		if o.requestTags, err = tagsFor(in.TagSpecifications, types.ResourceTypeSpotInstancesRequest, append(others, types.ResourceTypeInstance)...); err != nil {
			return o, err
		}
	}
	switch in.InstanceInitiatedShutdownBehavior {
	case "", types.ShutdownBehaviorStop, types.ShutdownBehaviorTerminate:
	default:
		return o, ec2Refuse("InvalidParameterValue", "Value (%s) for parameter instanceInitiatedShutdownBehavior is invalid.", in.InstanceInitiatedShutdownBehavior)
	}
	o.metadata, err = metadataOptions(in.MetadataOptions)
	return o, err
}

// metadataOptions fills in what an Amazon Linux 2023 image asks for: IMDSv2
// only and a hop limit of 2
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-options.html).
func metadataOptions(in *types.InstanceMetadataOptionsRequest) (types.InstanceMetadataOptionsResponse, error) {
	o := types.InstanceMetadataOptionsResponse{
		State: types.InstanceMetadataOptionsStateApplied, HttpEndpoint: types.InstanceMetadataEndpointStateEnabled,
		HttpTokens: types.HttpTokensStateRequired, HttpPutResponseHopLimit: aws.Int32(2),
	}
	if in == nil {
		return o, nil
	}
	if in.HttpEndpoint != "" {
		o.HttpEndpoint = in.HttpEndpoint
	}
	if in.HttpTokens != "" {
		o.HttpTokens = in.HttpTokens
	}
	if in.HttpPutResponseHopLimit != nil {
		if n := *in.HttpPutResponseHopLimit; n < 1 || n > 64 {
			return o, ec2Refuse("InvalidParameterValue", "Value (%d) for parameter HttpPutResponseHopLimit is invalid. Expecting a value between 1 and 64.", n)
		}
		o.HttpPutResponseHopLimit = in.HttpPutResponseHopLimit
	}
	return o, nil
}

// groupsFor checks the security groups of a launch into a subnet.
func (c *Cloud) groupsFor(s *subnet, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return []string{c.defaultGroup(s.vpc)}, nil
	}
	for _, id := range ids {
		g, err := c.group(&id)
		if err != nil {
			return nil, err
		}
		if g.vpc != s.vpc {
			return nil, ec2Refuse("InvalidParameter", "Security group %s and subnet %s belong to different networks.", id, s.id)
		}
	}
	return slices.Clone(ids), nil
}

// obtainable returns how many instances an order gets in a subnet: at most
// MaxCount, and if not MinCount then why.
func (c *Cloud) obtainable(o order, s *subnet, now time.Time) (int, error) {
	if c.ec2.withheld[offer{o.kind.Name, s.zone}] {
		var others []string
		for _, z := range c.zones() {
			if !c.ec2.withheld[offer{o.kind.Name, z}] {
				others = append(others, z)
			}
		}
		return 0, ec2Refuse("Unsupported", "Your requested instance type (%s) is not supported in your requested Availability Zone (%s). "+
			"Please retry your request by not specifying an Availability Zone or choosing %s.", o.kind.Name, s.zone, strings.Join(others, ", "))
	}
	n, limit := c.allowed(o.kind, o.market, o.atMost, now)
	switch {
	case n < o.atLeast && o.market == Spot:
		return 0, ec2Refuse("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
	case n < o.atLeast:
		return 0, ec2Refuse("VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of %d allows for the instance bucket "+
			"that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.", limit)
	}
	if free := s.free(now); o.network == nil {
		n = min(n, free)
	}
	if n < o.atLeast {
		return 0, ec2Refuse("InsufficientFreeAddressesInSubnet", "There are not enough free addresses in subnet '%s' to satisfy the requested number of instances.", s.id)
	}
	n = c.room(pool{offer{o.kind.Name, s.zone}, o.market}, n, now)
	switch {
	case n < o.atLeast && o.market == Spot:
		return 0, refuse(http.StatusInternalServerError, "InsufficientInstanceCapacity", noSpotCapacity)
	case n < o.atLeast:
		return 0, refuse(http.StatusInternalServerError, "InsufficientInstanceCapacity", "We currently do not have sufficient %s capacity in the Availability Zone you requested (%s). "+
			"Our system will be working on provisioning additional capacity.", o.kind.Name, s.zone)
	}
	return n, nil
}
