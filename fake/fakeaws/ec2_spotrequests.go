package fakeaws

import (
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// requestShownFor is how long a Spot Instance request can be described after its
// instance was terminated: it is deleted "four hours after they are canceled and
// their instances are terminated"
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotInstanceRequests.html).
// That one which closed by itself stays as long is an assumption.
const requestShownFor = 4 * time.Hour

// spotStatus is the status of a Spot Instance request.
type spotStatus struct {
	state         types.SpotInstanceState
	code, message string
	since         time.Time
}

// requestStatus returns the status of an instance's Spot Instance request, of
// those in
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instances-request-status-lifecycle.html.
//
// A request is fulfilled from the launch on, since RunInstances fails otherwise.
// With the notice it goes at once to instance-terminated-no-capacity and not to
// marked-for-termination, while the instance runs for two minutes more: so says
// that page, of instances that are terminated when they are interrupted. That
// nothing which happens in these minutes changes it is an assumption, and that
// a machine that failed counts as no capacity too.
func (i *instance) requestStatus(now time.Time) spotStatus {
	noCapacity := spotStatus{
		state: types.SpotInstanceStateClosed, code: "instance-terminated-no-capacity", since: i.spot.noticed,
		message: "Your Spot instance was terminated because there is no Spot capacity available that matches your request.",
	}
	switch {
	case !i.spot.noticed.IsZero() && !now.Before(i.spot.noticed):
		return noCapacity
	case i.state(now) != types.InstanceStateNameTerminated:
		return spotStatus{types.SpotInstanceStateActive, "fulfilled", "Your Spot request is fulfilled.", i.launched}
	case i.code == userShutdown:
		return spotStatus{types.SpotInstanceStateClosed, "instance-terminated-by-user", "Spot Instance terminated due to user-initiated termination.", i.gone}
	}
	noCapacity.since = i.gone
	return noCapacity
}

// requestShown reports whether an instance's Spot Instance request can be
// described at an instant.
func (i *instance) requestShown(at time.Time) bool {
	return i.spot != nil && !i.launched.After(at) && (i.ended.IsZero() || at.Before(i.gone.Add(requestShownFor)))
}

// describeRequest tells an instance's Spot Instance request as it was at an
// instant. Its price, if none was asked for, is that on demand
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/how-spot-instances-work.html).
func (c *Cloud) describeRequest(i *instance, now time.Time) types.SpotInstanceRequest {
	s := i.requestStatus(now)
	d := types.SpotInstanceRequest{
		SpotInstanceRequestId: aws.String(i.spot.id), InstanceId: aws.String(i.id),
		State:  s.state,
		Status: &types.SpotInstanceStatus{Code: aws.String(s.code), Message: aws.String(s.message), UpdateTime: aws.Time(s.since.UTC().Truncate(time.Second))},
		Type:   types.SpotInstanceTypeOneTime, InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorTerminate,
		CreateTime:               aws.Time(i.launched.UTC().Truncate(time.Second)),
		LaunchedAvailabilityZone: aws.String(i.zone), ProductDescription: linux, Tags: tagList(i.spot.tags),
		LaunchSpecification: &types.LaunchSpecification{
			ImageId: aws.String(i.ami), InstanceType: types.InstanceType(i.kind.Name), SubnetId: aws.String(i.subnet),
			Placement: &types.SpotPlacement{AvailabilityZone: aws.String(i.zone)}, Monitoring: &types.RunInstancesMonitoringEnabled{Enabled: aws.Bool(false)},
		},
	}
	for _, id := range i.groups {
		d.LaunchSpecification.SecurityGroups = append(d.LaunchSpecification.SecurityGroups, types.GroupIdentifier{GroupId: aws.String(id)})
	}
	if price, ok := c.price(offer{i.kind.Name, i.zone}, OnDemand); ok {
		d.SpotPrice = aws.String(decimals(price))
	}
	return d
}

// findRequests returns the instances of Spot Instance requests as reads know
// them.
func (c *Cloud) findRequests(ids []string, then time.Time) ([]*instance, error) {
	byRequest := map[string]*instance{}
	for _, i := range c.ec2.instances {
		if i.requestShown(then) {
			byRequest[i.spot.id] = i
		}
	}
	var found []*instance
	for _, id := range ids {
		if !spotRequestIDPattern.MatchString(id) {
			return nil, ec2Refuse("InvalidSpotInstanceRequestID.Malformed", `Invalid id: "%s" (expecting "sir-...")`, id)
		}
		i, ok := byRequest[id]
		if !ok {
			return nil, ec2Refuse("InvalidSpotInstanceRequestID.NotFound", "The spot instance request ID '%s' does not exist", id)
		}
		if !slices.Contains(found, i) {
			found = append(found, i)
		}
	}
	return found, nil
}

// describeSpotInstanceRequests follows
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotInstanceRequests.html.
func (c *Cloud) describeSpotInstanceRequests(at call, in *awsec2.DescribeSpotInstanceRequestsInput) (*awsec2.DescribeSpotInstanceRequestsOutput, error) {
	if err := modelled(at, in, "SpotInstanceRequestIds", "Filters", "MaxResults", "NextToken"); err != nil {
		return nil, err
	}
	then := c.seenAt(at.At)
	candidates := c.ec2.instances
	if len(in.SpotInstanceRequestIds) > 0 {
		var err error
		if candidates, err = c.findRequests(in.SpotInstanceRequestIds, then); err != nil {
			return nil, err
		}
	}
	var found []*instance
	for _, i := range candidates {
		if !i.requestShown(then) {
			continue
		}
		ok, err := matches(at, in.Filters, i.spot.tags, func(filter string) ([]string, bool) { return i.requestAttribute(filter, then) })
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, i)
		}
	}
	slices.SortFunc(found, func(a, b *instance) int { return strings.Compare(a.spot.id, b.spot.id) })
	found, next, err := page(found, func(i *instance) string { return i.spot.id }, in.MaxResults, in.NextToken, 5)
	if err != nil {
		return nil, err
	}
	out := &awsec2.DescribeSpotInstanceRequestsOutput{NextToken: next}
	for _, i := range found {
		out.SpotInstanceRequests = append(out.SpotInstanceRequests, c.describeRequest(i, then))
	}
	return out, nil
}

// requestAttribute is what an instance's Spot Instance request has for a filter.
func (i *instance) requestAttribute(filter string, now time.Time) (values []string, known bool) {
	value, known := map[string]string{
		"spot-instance-request-id":   i.spot.id,
		"instance-id":                i.id,
		"state":                      string(i.requestStatus(now).state),
		"status-code":                i.requestStatus(now).code,
		"type":                       string(types.SpotInstanceTypeOneTime),
		"product-description":        string(linux),
		"launched-availability-zone": i.zone,
		"launch.instance-type":       i.kind.Name,
		"launch.image-id":            i.ami,
	}[filter]
	return []string{value}, known
}
