package workbench

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// Restart reboots the host, which reads its files anew: those that the last
// Deploy published. Its sessions run on, elsewhere; who is signed in waits until
// Workbench answers again. It returns when EC2 has been told. A host that does
// not run is [domain.ErrState], no host [domain.ErrNotFound].
func (c *Client) Restart(ctx context.Context) error {
	return c.administer(ctx, "restart", func(ctx context.Context) error {
		r, err := c.present(ctx)
		if err != nil {
			return err
		}
		if r.Instance.ID == "" || r.Replacing != "" {
			return refusal.New(domain.ErrState, "the host is not whole: call Deploy or Replace first, which goes on where it stands")
		}
		state, _, err := c.look(ctx, r.Instance)
		if err != nil {
			return err
		}
		if state != ec2types.InstanceStateNameRunning {
			return refusal.New(domain.ErrState, "instance %s is %s, not running: wait, or call Deploy", r.Instance.ID, state)
		}
		c.log.InfoContext(ctx, "restarting", "instance", r.Instance.ID)
		if _, err := c.aws.EC2.RebootInstances(ctx, &awsec2.RebootInstancesInput{InstanceIds: []string{r.Instance.ID}}); err != nil {
			return err
		}
		number := r.Published.Number
		return c.note(ctx, &r, func(r *record) { r.Read = number })
	})
}

// Replace launches another instance in place of the present one, as the last
// Deploy wants it, with the address and the data that there are, and returns
// when it runs and has the data disk. It is for a host that fails its checks,
// and for what [Deployed.ReplaceDue] tells.
//
// The present instance is terminated first: Workbench is not there meanwhile,
// and never on two instances. Sessions run on. After a failure call it again,
// or Deploy: either goes on.
func (c *Client) Replace(ctx context.Context) error {
	return c.administer(ctx, "replace", func(ctx context.Context) error {
		r, err := c.present(ctx)
		if err != nil {
			return err
		}
		d, err := c.domain.Describe(ctx)
		if err != nil {
			return err
		}
		if r.Volume.ID == "" || r.Interface.ID == "" {
			return refusal.New(domain.ErrState, "the host is not made yet: call Deploy, which goes on where it stands")
		}
		if r.Replacing == "" && r.Instance.ID != "" {
			c.log.InfoContext(ctx, "replacing", "instance", r.Instance.ID)
			if err := c.note(ctx, &r, func(r *record) { r.Replacing = r.Instance.ID }); err != nil {
				return err
			}
		}
		return c.settle(ctx, &r, d)
	})
}

// present is the record of a Workbench that is not being removed.
func (c *Client) present(ctx context.Context) (record, error) {
	r, err := c.load(ctx)
	if err == nil && r.Removing != nil {
		err = refusal.New(domain.ErrState, "Remove has begun and not ended: call it again")
	}
	return r, err
}

// launchedBy returns the instances that were launched with a token.
func (c *Client) launchedBy(ctx context.Context, token string) (ids []string, err error) {
	pages := awsec2.NewDescribeInstancesPaginator(c.aws.EC2, &awsec2.DescribeInstancesInput{Filters: filter("client-token", token)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, reservation := range page.Reservations {
			for _, i := range reservation.Instances {
				ids = append(ids, aws.ToString(i.InstanceId))
			}
		}
	}
	return ids, nil
}
