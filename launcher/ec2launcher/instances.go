package ec2launcher

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/launcher"
)

// maxFilter is how many values a filter has at most ("Filter your resources" in the
// Amazon EC2 user guide).
const maxFilter = 200

// describe returns the instances of the fleet that EC2 shows: of some, which are at
// most maxFilter, or with nil all. It is no error if there are none of an id.
func (l *Launcher) describe(ctx context.Context, ids []string) (map[string]ec2types.Instance, error) {
	seen := map[string]ec2types.Instance{}
	filters := filter("tag:"+tagFleet, l.cfg.Fleet)
	if ids != nil {
		filters = append(filters, ec2types.Filter{Name: aws.String("instance-id"), Values: ids})
	}
	pages := awsec2.NewDescribeInstancesPaginator(l.ec2, &awsec2.DescribeInstancesInput{Filters: filters, MaxResults: aws.Int32(1000)})
	for pages.HasMorePages() {
		page, err := nextPage(ctx, pages)
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

// nextPage is one call: a large fleet takes many.
func nextPage(ctx context.Context, pages *awsec2.DescribeInstancesPaginator) (*awsec2.DescribeInstancesOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return pages.NextPage(ctx)
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

// maxTerminated is how many instances one call ends. EC2 takes 1000
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TerminateInstances.html),
// which is all that its bucket holds when nobody else in the account has ended one
// lately: what asks for more than there is is never let through.
const maxTerminated = 100

// terminate asks EC2 to end hosts. EC2 ends all or none of a call's, so what it
// refuses is asked for again in halves, until those that it has something
// against are alone, or until as few are left as there are tokens for. If there
// are none for one, the others are not asked for either. That an instance is not
// found is no proof of its end (EC2 is eventually consistent), so it is no success.
func (l *Launcher) terminate(ctx context.Context, ids []string) error {
	part := maxTerminated
	if len(ids) <= maxTerminated {
		err := l.terminateOnce(ctx, ids)
		if v := judge(err); err == nil || len(ids) == 1 || !isNotFound(err) && !v.settled && v.kind != launcher.ErrThrottled {
			return err
		}
		part = len(ids) / 2
	}
	err := l.terminate(ctx, ids[:part])
	if err != nil && judge(err).kind == launcher.ErrThrottled {
		return err
	}
	return errors.Join(err, l.terminate(ctx, ids[part:]))
}

func (l *Launcher) terminateOnce(ctx context.Context, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := l.ec2.TerminateInstances(ctx, &awsec2.TerminateInstancesInput{InstanceIds: ids})
	return err
}

func tagOf(i ec2types.Instance, key string) string {
	for _, t := range i.Tags {
		if aws.ToString(t.Key) == key {
			return aws.ToString(t.Value)
		}
	}
	return ""
}
