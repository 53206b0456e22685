package fakeaws

import (
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/launcher"
)

// up is from when an instance answers, if nothing is wrong with it.
func (i *instance) up() time.Time {
	from := i.running
	if i.rebooted.After(from) {
		from = i.rebooted
	}
	return from.Add(i.delays.HostReady)
}

// answers reports whether what runs on an instance answers the network.
func (i *instance) answers(now time.Time) bool {
	return i.state(now) == types.InstanceStateNameRunning && !i.stillborn && !now.Before(i.up()) && !i.isImpaired(now) && !i.cut
}

func (i *instance) isImpaired(now time.Time) bool {
	return !i.impaired.IsZero() && !now.Before(i.impaired)
}

// rebootInstances follows
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RebootInstances.html:
// requests for terminated instances are ignored, and data disks stay. What runs
// on an instance ends, and it answers again after [Delays.HostReady].
func (c *Cloud) rebootInstances(at call, in *awsec2.RebootInstancesInput) (*awsec2.RebootInstancesOutput, error) {
	if err := modelled(at, in, "InstanceIds"); err != nil {
		return nil, err
	}
	if len(in.InstanceIds) == 0 {
		return nil, ec2Refuse("InvalidParameterCombination", "No instances specified")
	}
	found, err := c.find(in.InstanceIds, c.seenAt(at.At))
	if err != nil {
		return nil, err
	}
	for _, i := range found {
		if i.state(at.At) != types.InstanceStateNameRunning {
			continue
		}
		i.rebooted = at.At
		if i.host != nil { // what ran there is gone, the next to ask gets an engine that has nothing
			i.host.stop()
			i.host.engine.Crash()
			c.ec2.rebootedHosts = append(c.ec2.rebootedHosts, i.host)
			i.host = nil
		}
	}
	return &awsec2.RebootInstancesOutput{}, nil
}

// Impair has the status checks of an instance fail from now on, and what runs
// there answer no more, while EC2 says that it runs; no reboot mends it. It is a
// machine whose kernel or disk has gone bad. See [Cloud.CrashHost] for one that
// EC2 terminates.
func (c *Cloud) Impair(instanceID string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.instance(instanceID)
	if !ok {
		return &launcher.Error{Op: "impair", Kind: launcher.ErrNotFound, Err: fmt.Errorf("no instance %q", instanceID)}
	}
	i.impaired = time.Now()
	return nil
}

// describeInstanceStatus follows
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceStatus.html:
// unless all are asked for, only those that run are told of. Checks pass
// [Delays.StatusChecks] after the instance runs; that a failure shows at once is
// an assumption, EC2 makes them every minute.
func (c *Cloud) describeInstanceStatus(at call, in *awsec2.DescribeInstanceStatusInput) (*awsec2.DescribeInstanceStatusOutput, error) {
	if err := modelled(at, in, "InstanceIds", "IncludeAllInstances", "MaxResults", "NextToken"); err != nil {
		return nil, err
	}
	then := c.seenAt(at.At)
	candidates, err := c.named(in.InstanceIds, in.MaxResults, then)
	if err != nil {
		return nil, err
	}
	var found []types.InstanceStatus
	for _, i := range candidates {
		state := i.state(then)
		if !i.shown(then) || state != types.InstanceStateNameRunning && !aws.ToBool(in.IncludeAllInstances) {
			continue
		}
		status, detail := types.SummaryStatusOk, types.StatusTypePassed
		switch {
		case state != types.InstanceStateNameRunning:
			status, detail = types.SummaryStatusNotApplicable, ""
		case i.isImpaired(then):
			status, detail = types.SummaryStatusImpaired, types.StatusTypeFailed
		case then.Before(i.running.Add(i.delays.StatusChecks)):
			status, detail = types.SummaryStatusInitializing, types.StatusTypeInitializing
		}
		summary := func() *types.InstanceStatusSummary {
			s := &types.InstanceStatusSummary{Status: status}
			if detail != "" {
				d := types.InstanceStatusDetails{Name: types.StatusNameReachability, Status: detail}
				if detail == types.StatusTypeFailed {
					d.ImpairedSince = aws.Time(i.impaired.UTC().Truncate(time.Second))
				}
				s.Details = []types.InstanceStatusDetails{d}
			}
			return s
		}
		d := types.InstanceStatus{
			InstanceId: aws.String(i.id), AvailabilityZone: aws.String(i.zone), InstanceState: instanceState(state),
			InstanceStatus: summary(), SystemStatus: summary(),
		}
		if status == types.SummaryStatusImpaired { // it is the instance's own trouble
			d.SystemStatus = &types.InstanceStatusSummary{Status: types.SummaryStatusOk}
		}
		found = append(found, d)
	}
	found, next, err := page(found, func(s types.InstanceStatus) string { return *s.InstanceId }, in.MaxResults, in.NextToken, 5)
	if err != nil {
		return nil, err
	}
	return &awsec2.DescribeInstanceStatusOutput{InstanceStatuses: found, NextToken: next}, nil
}

// devices are the volumes attached to an instance, by their devices.
func (c *Cloud) devices(i *instance, now time.Time) map[string]string {
	found := map[string]string{}
	for _, v := range c.ec2.volumes {
		if v.attached == i && v.inUse(now) && !now.Before(v.attachedAt.Add(c.delays.VolumeAttached)) {
			found[v.device] = v.id
		}
	}
	return found
}

// openTo reports whether the rules of an instance let anything in at a port.
func (c *Cloud) openTo(i *instance, port int32) bool {
	return slices.ContainsFunc(i.groups, func(id string) bool {
		g := c.ec2.groups[id]
		return g != nil && slices.ContainsFunc(g.ingress, func(r rule) bool { return r.opens(port) })
	})
}
