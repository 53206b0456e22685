package ec2launcher

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/launcher"
)

// spotPrices are AWS's spot prices, as they were asked for last. They change
// slowly, "based on long-term trends in supply and demand" ("Spot Instance
// pricing history", Amazon EC2 user guide).
type spotPrices struct {
	mu    sync.Mutex
	known map[pool]instancetype.Money // of an hour, by type and zone
	asked map[string]time.Time        // by instance type
}

// spotPricesFor is how long spot prices are taken to hold.
const spotPricesFor = 10 * time.Minute

// stale returns those of the types whose prices were not asked for lately.
func (s *spotPrices) stale(instanceTypes []string, now time.Time) (stale []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range instanceTypes {
		if at, ok := s.asked[t]; !ok || now.Sub(at) >= spotPricesFor {
			stale = append(stale, t)
		}
	}
	return stale
}

// price is what an hour of a spot instance costs in a zone or, if that is empty,
// in the cheapest that is known.
func (s *spotPrices) price(instanceType, zone string) (price instancetype.Money, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, each := range s.known {
		if p.instanceType == instanceType && (zone == "" || p.zone == zone) && (!known || each < price) {
			price, known = each, true
		}
	}
	return price, known
}

// learnSpotPrices asks for the present spot prices of types. If that fails they
// are not known for a while, which only makes the choice among them a worse one.
func (l *Launcher) learnSpotPrices(ctx context.Context, instanceTypes []string) {
	now := time.Now()
	in := &awsec2.DescribeSpotPriceHistoryInput{
		ProductDescriptions: []string{"Linux/UNIX"},
		StartTime:           aws.Time(now), EndTime: aws.Time(now), // the prices that hold now, whenever they began
	}
	for _, t := range instanceTypes {
		in.InstanceTypes = append(in.InstanceTypes, ec2types.InstanceType(t))
	}
	found := map[pool]instancetype.Money{}
	pages := awsec2.NewDescribeSpotPriceHistoryPaginator(l.ec2, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			l.cfg.Logger.Warn("spot prices are not known; list prices are used to choose", "types", instanceTypes, "error", err)
			break
		}
		for _, p := range page.SpotPriceHistory {
			if price, err := instancetype.ParseMoney(aws.ToString(p.SpotPrice)); err == nil {
				found[pool{offer{string(p.InstanceType), launcher.Spot}, aws.ToString(p.AvailabilityZone)}] = price
			}
		}
	}
	l.spot.mu.Lock()
	defer l.spot.mu.Unlock()
	if l.spot.known == nil {
		l.spot.known, l.spot.asked = map[pool]instancetype.Money{}, map[string]time.Time{}
	}
	maps.Copy(l.spot.known, found)
	for _, t := range instanceTypes {
		l.spot.asked[t] = now
	}
}

// price is what an hour of an offer costs in a zone, or in the cheapest.
func (l *Launcher) price(o offer, zone string) (price instancetype.Money, known bool) {
	if o.market == launcher.Spot {
		return l.spot.price(o.instanceType, zone)
	}
	p, ok := l.cfg.Catalog.Price(o.instanceType, l.region)
	return p.PerHour, ok
}
