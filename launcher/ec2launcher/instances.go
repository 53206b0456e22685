package ec2launcher

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// maxFilter is how many values a filter has at most ("Filter your resources" in the
// Amazon EC2 user guide).
const maxFilter = 200

// describe returns the instances of the fleet that EC2 shows: of some, which are at
// most maxFilter, or with nil all. It is no error if there are none of an id.
func (l *Launcher) describe(ctx context.Context, ids []string) (map[string]ec2types.Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	seen := map[string]ec2types.Instance{}
	filters := filter("tag:"+tagFleet, l.cfg.Fleet)
	if ids != nil {
		filters = append(filters, ec2types.Filter{Name: aws.String("instance-id"), Values: ids})
	}
	pages := awsec2.NewDescribeInstancesPaginator(l.ec2, &awsec2.DescribeInstancesInput{Filters: filters, MaxResults: aws.Int32(1000)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Reservations {
			for _, i := range r.Instances {
				seen[aws.ToString(i.InstanceId)] = i
			}
		}
	}
	return seen, nil
}

// find looks an instance up by its id, whatever its tags are.
func (l *Launcher) find(ctx context.Context, id string) (i ec2types.Instance, shown bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := l.ec2.DescribeInstances(ctx, &awsec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if isNotFound(err) {
		return i, false, nil
	}
	if err != nil {
		return i, false, err
	}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			return i, true, nil
		}
	}
	return i, false, nil
}

// maxTerminated is how many instances one call ends
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html).
const maxTerminated = 1000

// terminate asks EC2 to end hosts. EC2 ends all or none of a call's, so what it
// refuses is asked for again in halves, until those that it has something
// against are alone. That an instance is not found is no proof of its end (EC2
// is eventually consistent), so it is no success either.
func (l *Launcher) terminate(ctx context.Context, ids []string) error {
	if len(ids) > maxTerminated {
		return errors.Join(l.terminate(ctx, ids[:maxTerminated]), l.terminate(ctx, ids[maxTerminated:]))
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := l.ec2.TerminateInstances(call, &awsec2.TerminateInstancesInput{InstanceIds: ids})
	if err == nil || len(ids) == 1 || !isNotFound(err) && !judge(err).settled {
		return err
	}
	half := len(ids) / 2
	return errors.Join(l.terminate(ctx, ids[:half]), l.terminate(ctx, ids[half:]))
}

func tagOf(i ec2types.Instance, key string) string {
	for _, t := range i.Tags {
		if aws.ToString(t.Key) == key {
			return aws.ToString(t.Value)
		}
	}
	return ""
}
