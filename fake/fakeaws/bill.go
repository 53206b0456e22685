package fakeaws

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/atelier-go/atelier/instancetype"
)

// A Bill is what the account's instances cost so far: Linux, on demand by the
// prices of [instancetype.Embedded] and spot by those that
// DescribeSpotPriceHistory answers. It has no volumes, traffic, file systems, apps of
// SageMaker or tax.
type Bill struct {
	// Lines has every instance that ran, by the time it began, then by id.
	Lines []BillLine
	// Total is the sum of the lines whose price is known.
	Total instancetype.Money
	// Unpriced is how many lines have no known price.
	Unpriced int
}

// A BillLine is one instance on a [Bill].
type BillLine struct {
	Instance, Type, Zone string
	// Market is how it was bought.
	Market Market
	// From is when it came to run, To when it was told to end; zero while it runs.
	From, To time.Time
	// Billed is the time paid for: whole seconds, at least a minute. It is zero if
	// nothing is paid, see [Cloud.Bill].
	Billed time.Duration
	// PerHour is the price of an hour. Zero is unknown.
	PerHour instancetype.Money
	// Cost is Billed at PerHour, rounded to the nearest millionth of a dollar.
	Cost instancetype.Money
}

// Bill returns what the instances cost up to now. An instance is paid from the
// state running to the request that ends it, by the second, for a minute at
// least (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html);
// that a begun second counts whole is an assumption. One that never came to run
// costs nothing, and neither does a spot instance that EC2 took back within an
// hour, once it has
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/billing-for-interrupted-spot-instances.html).
// That the hour begins at the state running is an assumption.
func (c *Cloud) Bill() Bill {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	var b Bill
	for _, i := range c.ec2.instances {
		until := now
		ended := !i.ended.IsZero() && !now.Before(i.ended)
		if ended {
			until = i.ended
		}
		if until.Before(i.running) {
			continue
		}
		l := BillLine{Instance: i.id, Type: i.kind.Name, Zone: i.zone, Market: i.market(), From: i.running}
		l.Billed = max((until.Sub(i.running) + time.Second - 1).Truncate(time.Second), time.Minute)
		if ended {
			l.To = i.ended
			if i.code == spotTermination && until.Sub(i.running) < time.Hour {
				l.Billed = 0
			}
		}
		if price, ok := c.price(offer{i.kind.Name, i.zone}, l.Market); ok {
			l.PerHour, l.Cost = price, price.Over(l.Billed)
		} else {
			b.Unpriced++
		}
		b.Lines = append(b.Lines, l)
		b.Total += l.Cost
	}
	slices.SortFunc(b.Lines, func(x, y BillLine) int {
		return cmp.Or(x.From.Compare(y.From), strings.Compare(x.Instance, y.Instance))
	})
	return b
}

// String formats b as a table, one line for each instance, and the total.
func (b Bill) String() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, l := range b.Lines {
		price, cost := l.PerHour.String()+"/h", l.Cost.String()
		if l.Market == Spot {
			price += " spot"
		}
		if l.PerHour == 0 {
			price, cost = "price unknown", ""
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%v\t%s\t%s\n", l.Instance, l.Type, l.Zone, l.Billed, price, cost)
	}
	total := b.Total.String()
	if b.Unpriced > 0 {
		total += fmt.Sprintf(" and %d without a known price", b.Unpriced)
	}
	_, _ = fmt.Fprintf(w, "total\t\t\t\t\t%s\n", total)
	_ = w.Flush()
	return text.String()
}
