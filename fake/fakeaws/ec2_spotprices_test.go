package fakeaws_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/instancetype"
)

// spotPrices pages through what a request for Linux finds: the price by type and zone.
func (a account) spotPrices(t *testing.T, in *awsec2.DescribeSpotPriceHistoryInput) map[string]instancetype.Money {
	t.Helper()
	found := map[string]instancetype.Money{}
	in.ProductDescriptions = []string{"Linux/UNIX"}
	pages := awsec2.NewDescribeSpotPriceHistoryPaginator(a.ec2, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if in.MaxResults != nil && len(page.SpotPriceHistory) > int(*in.MaxResults) {
			t.Errorf("%d prices on a page of %d", len(page.SpotPriceHistory), *in.MaxResults)
		}
		for _, p := range page.SpotPriceHistory {
			price, err := instancetype.ParseMoney(*p.SpotPrice)
			if err != nil || p.ProductDescription != "Linux/UNIX" || p.Timestamp.After(time.Now()) {
				t.Errorf("%+v: %v", p, err)
			}
			found[string(p.InstanceType)+" "+*p.AvailabilityZone] = price
		}
	}
	return found
}

func TestSpotPrices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{})
		all := a.spotPrices(t, &awsec2.DescribeSpotPriceHistoryInput{})
		priced := 0
		differ := map[string]bool{}
		for kind := range instancetype.Embedded().All() {
			onDemand, ok := instancetype.Embedded().Price(kind.Name, "us-east-1")
			if !ok {
				continue
			}
			for _, zone := range []string{"us-east-1a", "us-east-1b", "us-east-1c"} {
				priced++
				part := float64(all[kind.Name+" "+zone]) / float64(onDemand.PerHour)
				if part < 0.299 || part > 0.5 {
					t.Errorf("%s in %s costs %v of the price on demand", kind.Name, zone, part)
				}
				differ[fmt.Sprintf("%.4f", part)] = true
			}
		}
		if len(all) != priced || priced < 1000 || len(differ) < 500 {
			t.Errorf("%d prices, %d parts of %d prices on demand", len(all), len(differ), priced)
		}
		some := &awsec2.DescribeSpotPriceHistoryInput{InstanceTypes: []types.InstanceType{"t3.medium", "r5.large"}, MaxResults: aws.Int32(2)}
		first := a.spotPrices(t, some)
		if len(first) != 6 {
			t.Errorf("found %v", first)
		}
		time.Sleep(1000 * time.Hour)
		some.StartTime, some.EndTime = aws.Time(time.Now()), aws.Time(time.Now())
		if diff := cmp.Diff(first, a.spotPrices(t, some)); diff != "" {
			t.Errorf("much later:\n%s", diff)
		}
		some.AvailabilityZone = aws.String("us-east-1b")
		if in1b := a.spotPrices(t, some); len(in1b) != 2 || in1b["r5.large us-east-1b"] != first["r5.large us-east-1b"] {
			t.Errorf("in a zone: %v", in1b)
		}
		if err := a.SetOffered("r5.large", "us-east-1b", false); err != nil {
			t.Fatal(err)
		}
		if offered := a.spotPrices(t, some); len(offered) != 1 {
			t.Errorf("of what is offered: %v", offered)
		}
		some.EndTime = aws.Time(time.Now().Add(-2000 * time.Hour))
		if before := a.spotPrices(t, some); len(before) != 0 {
			t.Errorf("before the account was: %v", before)
		}
	})
	a := newAccount(t, fakeaws.Config{})
	for want, in := range map[string]*awsec2.DescribeSpotPriceHistoryInput{
		"InvalidParameterValue":                    {ProductDescriptions: []string{"Linux/UNIX"}, AvailabilityZone: aws.String("eu-west-1a")},
		`ProductDescriptions [] is not modelled`:   {},
		`ProductDescriptions ["Windows"] is not`:   {ProductDescriptions: []string{"Windows"}},
		"with Filters is not modelled":             {ProductDescriptions: []string{"Linux/UNIX"}, Filters: []types.Filter{filter("instance-type", "r5.large")}},
		"with AvailabilityZoneId is not modelled":  {ProductDescriptions: []string{"Linux/UNIX"}, AvailabilityZoneId: aws.String("use1-az1")},
		"for parameter maxResults is invalid. Exp": {ProductDescriptions: []string{"Linux/UNIX"}, MaxResults: aws.Int32(1001)},
	} {
		if _, err := a.ec2.DescribeSpotPriceHistory(t.Context(), in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestSpotBill: a spot instance costs its spot price, and nothing if EC2 takes it
// back within an hour.
func TestSpotBill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{})
		spot := a.spotPrices(t, &awsec2.DescribeSpotPriceHistoryInput{InstanceTypes: []types.InstanceType{"t3.medium"}})["t3.medium us-east-1a"]
		all := a.buySpot(t, "spot", 5)
		if _, err := a.ec2.RunInstances(t.Context(), a.launch("on demand")); err != nil {
			t.Fatal(err)
		}
		interrupted := func(id string) {
			t.Helper()
			if err := a.Interrupt(id); err != nil {
				t.Fatal(err)
			}
		}
		want := map[string]time.Duration{}
		check := func() {
			t.Helper()
			var total instancetype.Money
			b := a.Bill()
			if len(b.Lines) != 6 || b.Unpriced != 0 {
				t.Errorf("%d lines, %d unpriced", len(b.Lines), b.Unpriced)
			}
			for _, l := range b.Lines {
				market, price := fakeaws.Spot, spot
				if !slices.Contains(all, l.Instance) {
					market, price = fakeaws.OnDemand, 41600
				}
				billed, ended := want[l.Instance]
				if !ended {
					billed = time.Since(l.From)
				}
				if l.Market != market || l.PerHour != price || l.Billed != billed || l.Cost != price.Over(billed) || l.To.IsZero() == ended {
					t.Errorf("%+v, want %s for %v at %v", l, market, billed, price)
				}
				total += l.Cost
			}
			if b.Total != total {
				t.Errorf("total %v, want %v", b.Total, total)
			}
		}
		time.Sleep(30 * time.Minute)
		a.terminate(t, all[0])
		want[all[0]] = 30 * time.Minute
		interrupted(all[1]) // and the user terminates it
		interrupted(all[2])
		check()
		time.Sleep(time.Minute)
		a.terminate(t, all[1])
		want[all[1]] = 31 * time.Minute
		check()
		time.Sleep(time.Minute)
		want[all[2]] = 0
		check()
		time.Sleep(26*time.Minute - 1)
		interrupted(all[3]) // a moment too early
		time.Sleep(1 * time.Nanosecond)
		interrupted(all[4])
		time.Sleep(2 * time.Minute)
		want[all[3]], want[all[4]] = 0, time.Hour
		check()
		if text := a.Bill().String(); strings.Count(text, spot.String()+"/h spot") != 5 || strings.Count(text, "$0.0416/h ") != 1 {
			t.Errorf("the bill is\n%s", text)
		}
	})
}
