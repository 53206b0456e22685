package fakeaws

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/instancetype"
)

// An instance is a virtual machine. Its state is a function of its instants.
type instance struct {
	id, reservation, token string
	index                  int // in its launch
	kind                   instancetype.Type
	ami, profile           string
	subnet, vpc, zone      string
	address                string
	groups                 []string
	tags                   map[string]string
	metadata               types.InstanceMetadataOptionsResponse

	delays    Delays
	stillborn bool      // its engine never answers
	cut       bool      // from the network
	rebooted  time.Time // last; zero if never
	impaired  time.Time // from here on; zero if not
	userData  string    // decoded

	launched time.Time
	running  time.Time // from here on, unless it ends before
	ended    time.Time // when it was told to end, failed, or EC2 takes it back; zero if not
	gone     time.Time // from here on terminated, if it has ended
	code     string    // why it ended
	message  string

	spot    *spotRequest      // nil on demand
	network *networkInterface // nil if it comes and goes with the instance
	host    *host             // nil until somebody asks for it
}

// shownFor is how long a terminated instance can be described: "about one
// hour" (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html).
const shownFor = time.Hour

// state returns the state at an instant at or after the launch.
func (i *instance) state(now time.Time) types.InstanceStateName {
	switch {
	case !i.ended.IsZero() && !now.Before(i.gone):
		return types.InstanceStateNameTerminated
	case !i.ended.IsZero() && !now.Before(i.ended):
		return types.InstanceStateNameShuttingDown
	case now.Before(i.running):
		return types.InstanceStateNamePending
	}
	return types.InstanceStateNameRunning
}

// stateCode is the number of a state in EC2's answers.
func stateCode(s types.InstanceStateName) int32 {
	switch s {
	case types.InstanceStateNameRunning:
		return 16
	case types.InstanceStateNameShuttingDown:
		return 32
	case types.InstanceStateNameTerminated:
		return 48
	}
	return 0 // pending
}

func instanceState(s types.InstanceStateName) *types.InstanceState {
	return &types.InstanceState{Name: s, Code: aws.Int32(stateCode(s))}
}

func (c *Cloud) newInstance(at call, o order, s *subnet, groups []string, index int) *instance {
	seed := c.hash(at.id, "i", index)
	c.ec2.made[o.kind.Name]++
	number := c.ec2.made[o.kind.Name]
	delays := c.delays.drawn(c.seed, c.spread, o.kind.Name, number)
	i := &instance{
		delays: delays, stillborn: c.stillborn(o.kind.Name, number),
		id: resourceID("i", seed), index: index, kind: o.kind, ami: o.ami, profile: o.profile,
		subnet: s.id, vpc: s.vpc, zone: s.zone,
		groups: groups, tags: o.tags, metadata: o.metadata, userData: o.userData,
		launched: at.At, running: at.At.Add(delays.InstanceRunning),
	}
	if n := o.network; n != nil {
		i.address, i.groups, i.network = n.address, slices.Clone(n.groups), n
		n.attached, n.attachment = i, resourceID("eni-attach", seed)
	} else {
		i.address = c.address(s, seed, at.At)
	}
	if o.market == Spot {
		i.spot = &spotRequest{id: spotRequestID(c.hash(seed, "sir")), tags: o.requestTags}
	}
	place, _ := slices.BinarySearchFunc(c.ec2.instances, i.id, byID)
	c.ec2.instances = slices.Insert(c.ec2.instances, place, i)
	return i
}

func byID(i *instance, id string) int { return strings.Compare(i.id, id) }

// instance finds an instance; c.mu is held.
func (c *Cloud) instance(id string) (*instance, bool) {
	n, ok := slices.BinarySearchFunc(c.ec2.instances, id, byID)
	if !ok {
		return nil, false
	}
	return c.ec2.instances[n], true
}

// end begins the end of an instance at an instant, now or later: its host is cut
// off then. One that ends before that anyway stays as it is.
func (c *Cloud) end(i *instance, at time.Time, code, message string) {
	if !i.ended.IsZero() && !at.Before(i.ended) {
		return
	}
	i.ended, i.gone, i.code, i.message = at, at.Add(i.delays.InstanceGone), code, message
	if s, ok := c.subnet(i.subnet); ok && i.network == nil { // which keeps its address
		s.release(i.address, i.gone)
	}
	i.host.cutOff(at)
}

// launched answers RunInstances.
func (c *Cloud) launched(at call, l *launch) *awsec2.RunInstancesOutput {
	out := &awsec2.RunInstancesOutput{ReservationId: aws.String(l.reservation), OwnerId: aws.String(c.account)}
	for _, i := range l.instances {
		out.Instances = append(out.Instances, c.describe(i, at.At))
	}
	return out
}

// describe tells an instance as it was at an instant.
func (c *Cloud) describe(i *instance, now time.Time) types.Instance {
	state := i.state(now)
	d := types.Instance{
		InstanceId: aws.String(i.id), InstanceType: types.InstanceType(i.kind.Name), ImageId: aws.String(i.ami),
		AmiLaunchIndex: aws.Int32(int32(i.index)), Architecture: types.ArchitectureValues(i.kind.Arch),
		State: instanceState(state), LaunchTime: aws.Time(i.launched.UTC().Truncate(time.Second)),
		Placement:  &types.Placement{AvailabilityZone: aws.String(i.zone), Tenancy: types.TenancyDefault},
		Monitoring: &types.Monitoring{State: types.MonitoringStateDisabled}, EbsOptimized: aws.Bool(false), EnaSupport: aws.Bool(true),
		Hypervisor: types.HypervisorTypeXen, VirtualizationType: types.VirtualizationTypeHvm, RootDeviceType: types.DeviceTypeEbs,
		MetadataOptions: new(i.metadata), PlatformDetails: aws.String("Linux/UNIX"),
		Tags: tagList(i.tags), StateTransitionReason: aws.String(""),
	}
	d.MetadataOptions.HttpPutResponseHopLimit = aws.Int32(*i.metadata.HttpPutResponseHopLimit)
	if i.token != "" {
		d.ClientToken = aws.String(i.token)
	}
	if i.profile != "" {
		d.IamInstanceProfile = &types.IamInstanceProfile{Arn: aws.String(c.profileARN(i.profile))}
	}
	if i.spot != nil {
		d.InstanceLifecycle, d.SpotInstanceRequestId = types.InstanceLifecycleTypeSpot, aws.String(i.spot.id)
	}
	switch state {
	case types.InstanceStateNamePending:
		d.StateReason = &types.StateReason{Code: aws.String("pending"), Message: aws.String("pending")}
	case types.InstanceStateNameShuttingDown, types.InstanceStateNameTerminated:
		d.StateReason = &types.StateReason{Code: aws.String(i.code), Message: aws.String(i.message)}
		d.StateTransitionReason = aws.String(i.transitionReason())
	}
	if state != types.InstanceStateNameTerminated { // its network interface is deleted
		d.SubnetId, d.VpcId, d.PrivateIpAddress = aws.String(i.subnet), aws.String(i.vpc), aws.String(i.address)
		d.PrivateDnsName = aws.String("ip-" + strings.ReplaceAll(i.address, ".", "-") + "." + c.region + ".compute.internal")
		if n := i.network; n != nil {
			d.NetworkInterfaces = []types.InstanceNetworkInterface{{
				NetworkInterfaceId: aws.String(n.id), PrivateIpAddress: aws.String(n.address), SubnetId: aws.String(n.subnet), VpcId: aws.String(n.vpc),
				Status: types.NetworkInterfaceStatusInUse,
				Attachment: &types.InstanceNetworkInterfaceAttachment{
					AttachmentId: aws.String(n.attachment), DeviceIndex: aws.Int32(0), DeleteOnTermination: aws.Bool(false), Status: types.AttachmentStatusAttached,
				},
			}}
		}
		for _, id := range i.groups {
			name := ""
			if g := c.ec2.groups[id]; g != nil { // it may have gone since this instant
				name = g.name
			}
			d.SecurityGroups = append(d.SecurityGroups, types.GroupIdentifier{GroupId: aws.String(id), GroupName: aws.String(name)})
		}
	}
	return d
}

// transitionReason says who ended an instance, and when. Of one that EC2 took
// back it is an assumption, after what people report who met it.
func (i *instance) transitionReason() string {
	when := i.ended.UTC().Format("2006-01-02 15:04:05 GMT")
	switch i.code {
	case userShutdown:
		return "User initiated (" + when + ")"
	case spotTermination:
		return "Service initiated (" + when + ")"
	}
	return hostFailure
}

// seenAt is the instant that reads know the account at: [Delays.Visible] ago. A
// new instance is not in it, and neither is one long terminated.
// https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
func (c *Cloud) seenAt(now time.Time) time.Time { return now.Add(-c.delays.Visible) }

// shown reports whether an instance can be described at an instant.
func (i *instance) shown(at time.Time) bool {
	return !i.launched.After(at) && (i.ended.IsZero() || at.Before(i.gone.Add(shownFor)))
}

// find returns the instances of ids as reads know them, each once, by id.
func (c *Cloud) find(ids []string, then time.Time) ([]*instance, error) {
	var found []*instance
	var missing []string
	for _, id := range ids {
		if !instanceIDPattern.MatchString(id) {
			return nil, ec2Refuse("InvalidInstanceID.Malformed", `Invalid id: "%s"`, id)
		}
		if i, ok := c.instance(id); ok && i.shown(then) {
			found = append(found, i)
		} else {
			missing = append(missing, id)
		}
	}
	switch len(missing) {
	case 0:
		slices.SortFunc(found, func(a, b *instance) int { return strings.Compare(a.id, b.id) })
		return slices.Compact(found), nil
	case 1:
		return nil, ec2Refuse("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", missing[0])
	}
	return nil, ec2Refuse("InvalidInstanceID.NotFound", "The instance IDs '%s' do not exist", strings.Join(missing, ", "))
}

var instanceIDPattern = idPattern("i")

// named returns the instances that a call names, or all if it names none. Names and the
// size of a page do not go together.
func (c *Cloud) named(ids []string, page *int32, then time.Time) ([]*instance, error) {
	switch {
	case len(ids) == 0:
		return c.ec2.instances, nil
	case page != nil:
		return nil, ec2Refuse("InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults")
	}
	return c.find(ids, then)
}

// describeInstances follows
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html.
func (c *Cloud) describeInstances(at call, in *awsec2.DescribeInstancesInput) (*awsec2.DescribeInstancesOutput, error) {
	if err := modelled(at, in, "InstanceIds", "Filters", "MaxResults", "NextToken"); err != nil {
		return nil, err
	}
	then := c.seenAt(at.At)
	candidates, err := c.named(in.InstanceIds, in.MaxResults, then)
	if err != nil {
		return nil, err
	}
	var found []*instance
	for _, i := range candidates {
		if !i.shown(then) {
			continue
		}
		ok, err := matches(at, in.Filters, i.tags, func(filter string) ([]string, bool) { return i.attribute(filter, then) })
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, i)
		}
	}
	found, next, err := page(found, func(i *instance) string { return i.id }, in.MaxResults, in.NextToken, 5)
	if err != nil {
		return nil, err
	}
	out := &awsec2.DescribeInstancesOutput{NextToken: next}
	place := map[string]int{}
	for _, i := range found {
		n, ok := place[i.reservation]
		if !ok {
			n = len(out.Reservations)
			place[i.reservation] = n
			out.Reservations = append(out.Reservations, types.Reservation{ReservationId: aws.String(i.reservation), OwnerId: aws.String(c.account)})
		}
		out.Reservations[n].Instances = append(out.Reservations[n].Instances, c.describe(i, then))
	}
	return out, nil
}

// attribute is what an instance has for a filter.
func (i *instance) attribute(filter string, now time.Time) (values []string, known bool) {
	state := i.state(now)
	switch filter {
	case "instance-id":
		return []string{i.id}, true
	case "instance-state-name":
		return []string{string(state)}, true
	case "instance-state-code":
		return []string{fmt.Sprint(stateCode(state))}, true
	case "instance-type":
		return []string{i.kind.Name}, true
	case "availability-zone":
		return []string{i.zone}, true
	case "client-token":
		return []string{i.token}, true
	case "reservation-id":
		return []string{i.reservation}, true
	case "instance-lifecycle":
		if i.spot != nil {
			values = []string{string(types.InstanceLifecycleTypeSpot)}
		}
		return values, true
	case "spot-instance-request-id":
		if i.spot != nil {
			values = []string{i.spot.id}
		}
		return values, true
	}
	gone := state == types.InstanceStateNameTerminated
	switch filter {
	case "subnet-id":
		values = []string{i.subnet}
	case "vpc-id":
		values = []string{i.vpc}
	case "private-ip-address":
		values = []string{i.address}
	case "instance.group-id":
		values = i.groups
	default:
		return nil, false
	}
	if gone {
		values = nil
	}
	return values, true
}

// Why an instance ended
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html).
const (
	userShutdown    = "Client.UserInitiatedShutdown"
	hostFailure     = "Server.InternalError"
	spotTermination = "Server.SpotInstanceTermination"
)

// terminateInstances follows
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html:
// all or none, and again is no error.
func (c *Cloud) terminateInstances(at call, in *awsec2.TerminateInstancesInput) (*awsec2.TerminateInstancesOutput, error) {
	if err := modelled(at, in, "InstanceIds"); err != nil {
		return nil, err
	}
	if n := len(in.InstanceIds); n == 0 {
		return nil, ec2Refuse("InvalidParameterCombination", "No instances specified")
	} else if n > 1000 {
		return nil, ec2Refuse("InvalidParameterValue", "The request must contain no more than 1000 instance IDs, not %d", n)
	}
	found, err := c.find(in.InstanceIds, c.seenAt(at.At))
	if err != nil {
		return nil, err
	}
	out := &awsec2.TerminateInstancesOutput{}
	for _, i := range found {
		before := i.state(at.At)
		c.end(i, at.At, userShutdown, userShutdown+": User initiated shutdown")
		out.TerminatingInstances = append(out.TerminatingInstances, types.InstanceStateChange{
			InstanceId: aws.String(i.id), PreviousState: instanceState(before), CurrentState: instanceState(i.state(at.At)),
		})
	}
	return out, nil
}
