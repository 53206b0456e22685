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

// linux is the one product that is modelled.
const linux = types.RIProductDescriptionLinuxUnix

// price returns what an hour costs. A spot instance costs a share of the price on
// demand that is drawn by the seed for each type in each zone, from 0.3 to 0.5, and
// stays: an assumption. AWS says no more than that spot prices are up to 90 % lower,
// differ between zones and change slowly
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-spot-instances-history.html).
func (c *Cloud) price(o offer, market Market) (instancetype.Money, bool) {
	p, ok := instancetype.Embedded().Price(o.instanceType, c.region)
	if !ok || market != Spot {
		return p.PerHour, ok
	}
	part := 0.3 + 0.2*share(c.hash("spot price", o.instanceType, o.zone))
	return instancetype.Money(part * float64(p.PerHour)), true
}

// decimals writes an amount as EC2 does: "0.012300".
func decimals(m instancetype.Money) string {
	return fmt.Sprintf("%d.%06d", m/instancetype.Dollar, m%instancetype.Dollar)
}

// describeSpotPriceHistory follows
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotPriceHistory.html
// for Linux. Prices have not changed since the account was made, so that each has
// one entry, of that instant: "the last price change before the start time", for
// whatever time one asks. A type without a price on demand has none, and that one
// which AWS does not know is no error is an assumption.
func (c *Cloud) describeSpotPriceHistory(at call, in *awsec2.DescribeSpotPriceHistoryInput) (*awsec2.DescribeSpotPriceHistoryOutput, error) {
	if err := modelled(at, in, "InstanceTypes", "ProductDescriptions", "StartTime", "EndTime", "AvailabilityZone", "MaxResults", "NextToken"); err != nil {
		return nil, err
	}
	if !slices.Equal(in.ProductDescriptions, []string{string(linux)}) {
		return nil, fmt.Errorf("fakeaws: %s with the ProductDescriptions %q is not modelled: want %q", at.Action, in.ProductDescriptions, linux)
	}
	zone := aws.ToString(in.AvailabilityZone)
	if zone != "" && !slices.Contains(c.zones(), zone) {
		return nil, ec2Refuse("InvalidParameterValue", "Invalid availability zone: [%s]", zone)
	}
	var found []types.SpotPrice
	since := c.begun.UTC().Truncate(time.Second)
	for t := range instancetype.Embedded().All() {
		if len(in.InstanceTypes) > 0 && !slices.Contains(in.InstanceTypes, types.InstanceType(t.Name)) || in.EndTime != nil && in.EndTime.Before(since) {
			continue
		}
		for _, z := range c.zones() {
			o := offer{t.Name, z}
			price, ok := c.price(o, Spot)
			if !ok || zone != "" && z != zone || c.ec2.withheld[o] {
				continue
			}
			found = append(found, types.SpotPrice{
				InstanceType: types.InstanceType(t.Name), AvailabilityZone: aws.String(z), ProductDescription: linux,
				SpotPrice: aws.String(decimals(price)), Timestamp: aws.Time(since),
			})
		}
	}
	id := func(p types.SpotPrice) string { return string(p.InstanceType) + "/" + *p.AvailabilityZone }
	slices.SortFunc(found, func(a, b types.SpotPrice) int { return strings.Compare(id(a), id(b)) })
	found, next, err := page(found, id, in.MaxResults, in.NextToken, 1)
	if err != nil {
		return nil, err
	}
	return &awsec2.DescribeSpotPriceHistoryOutput{SpotPriceHistory: found, NextToken: next}, nil
}
