package fakeaws_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// requests pages through the Spot Instance requests that filters select.
func (a account) requests(t *testing.T, size int32, filters ...types.Filter) (list []types.SpotInstanceRequest) {
	t.Helper()
	pages := awsec2.NewDescribeSpotInstanceRequestsPaginator(a.ec2, &awsec2.DescribeSpotInstanceRequestsInput{Filters: filters, MaxResults: aws.Int32(size)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(page.SpotInstanceRequests) > int(size) {
			t.Errorf("%d requests on a page of %d", len(page.SpotInstanceRequests), size)
		}
		list = append(list, page.SpotInstanceRequests...)
	}
	return list
}

func TestSpotFilters(t *testing.T) {
	a := newAccount(t, fakeaws.Config{})
	if _, err := a.ec2.RunInstances(t.Context(), a.launch("on demand")); err != nil {
		t.Fatal(err)
	}
	var made []types.Instance
	for n := range 3 {
		in := a.spot(fmt.Sprint("buy-", n))
		in.MinCount, in.MaxCount = aws.Int32(7), aws.Int32(7)
		in.SubnetId = aws.String(a.Subnets()[n].ID)
		in.TagSpecifications = []types.TagSpecification{
			{ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{{Key: aws.String("fleet"), Value: aws.String("instances")}}},
			{ResourceType: types.ResourceTypeSpotInstancesRequest, Tags: []types.Tag{{Key: aws.String("fleet"), Value: aws.String(fmt.Sprint("f", n%2))}}},
		}
		out, err := a.ec2.RunInstances(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, out.Instances...)
	}
	a.terminate(t, *made[0].InstanceId, *made[1].InstanceId)
	if err := a.Interrupt(*made[2].InstanceId); err != nil {
		t.Fatal(err)
	}
	one := made[20]
	for _, c := range []struct {
		filters             []types.Filter
		requests, instances int // -1 is not a filter of theirs
	}{
		{nil, 21, 22},
		{[]types.Filter{filter("spot-instance-request-id", *one.SpotInstanceRequestId)}, 1, 1},
		{[]types.Filter{filter("instance-id", *one.InstanceId)}, 1, 1},
		{[]types.Filter{filter("instance-lifecycle", "spot")}, -1, 21},
		{[]types.Filter{filter("instance-lifecycle", "scheduled")}, -1, 0},
		{[]types.Filter{filter("state", "active")}, 18, -1},
		{[]types.Filter{filter("state", "closed")}, 3, -1},
		{[]types.Filter{filter("status-code", "fulfilled")}, 18, -1},
		{[]types.Filter{filter("status-code", "instance-terminated-*")}, 3, -1},
		{[]types.Filter{filter("status-code", "instance-terminated-by-user")}, 2, -1},
		{[]types.Filter{filter("status-code", "instance-terminated-no-capacity"), filter("tag:fleet", "f0")}, 1, -1},
		{[]types.Filter{filter("launched-availability-zone", "us-east-1b")}, 7, -1},
		{[]types.Filter{filter("tag:fleet", "f0")}, 14, 0},
		{[]types.Filter{filter("tag:fleet", "instances")}, 0, 21},
		{[]types.Filter{filter("tag-key", "fleet")}, 21, 21},
		{[]types.Filter{filter("type", "one-time"), filter("launch.instance-type", "t3.*"), filter("launch.image-id", a.ami), filter("product-description", "Linux/UNIX")}, 21, -1},
		{[]types.Filter{filter("type", "persistent")}, 0, -1},
	} {
		if c.requests >= 0 {
			distinct := map[string]bool{}
			list := a.requests(t, 5, c.filters...)
			for _, r := range list {
				distinct[*r.SpotInstanceRequestId+*r.InstanceId] = true
			}
			if len(list) != c.requests || len(distinct) != c.requests {
				t.Errorf("%v: %d requests, %d of them distinct, want %d", describeFilters(c.filters), len(list), len(distinct), c.requests)
			}
		}
		if c.instances >= 0 {
			if list := a.paged(t, 5, c.filters...); len(list) != c.instances {
				t.Errorf("%v: %d instances, want %d", describeFilters(c.filters), len(list), c.instances)
			}
		}
	}
	for want, ids := range map[string][]string{
		"InvalidSpotInstanceRequestID.NotFound":  {*one.SpotInstanceRequestId, "sir-00000000"},
		"InvalidSpotInstanceRequestID.Malformed": {*one.InstanceId},
		"":                                       {*one.SpotInstanceRequestId, *made[5].SpotInstanceRequestId, *one.SpotInstanceRequestId},
	} {
		out, err := a.ec2.DescribeSpotInstanceRequests(t.Context(), &awsec2.DescribeSpotInstanceRequestsInput{SpotInstanceRequestIds: ids})
		if code(err) != want {
			t.Errorf("%v: %v, want %q", ids, err, want)
		} else if err == nil && len(out.SpotInstanceRequests) != 2 {
			t.Errorf("%v: %d requests", ids, len(out.SpotInstanceRequests))
		}
	}
}

// TestSpotWaiter: the SDK's own waiter finds a request that reads do not know yet.
func TestSpotWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		out, err := a.ec2.RunInstances(t.Context(), a.spot("wait"))
		if err != nil {
			t.Fatal(err)
		}
		err = awsec2.NewSpotInstanceRequestFulfilledWaiter(a.ec2).Wait(t.Context(),
			&awsec2.DescribeSpotInstanceRequestsInput{SpotInstanceRequestIds: []string{*out.Instances[0].SpotInstanceRequestId}}, time.Hour)
		if err != nil {
			t.Error(err)
		}
	})
}
