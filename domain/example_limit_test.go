package domain_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/instancetype"
)

// A user may have one session at a time. What the second would cost is known before
// it is refused.
func ExampleDomain_Reserve() {
	ctx := context.Background()
	d, err := research(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = d.SetPolicy(ctx, domain.Policy{SessionsPerUser: 1, Budget: 500 * instancetype.Dollar})
	if err != nil {
		fmt.Println(err)
		return
	}
	quote, err := d.Quote(ctx, domain.Ask{User: "alice", InstanceType: "r5.4xlarge", Size: domain.Size{MilliCPU: 4000, MemoryMiB: 16 << 10}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(quote.PerHour, "an hour")
	for _, l := range quote.Limits {
		if n, limited := l.SessionsLeft(); limited {
			fmt.Printf("%s %s: %d of %d sessions left (%s)\n", l.Scope, l.Name, n, l.Sessions, l.Rule)
		}
		if left, limited := l.BudgetLeft(); limited {
			fmt.Printf("%s %s: %v of %v left this month (%s)\n", l.Scope, l.Name, left, l.Budget, l.Rule)
		}
	}
	if err := d.Reserve(ctx, domain.Reservation{Key: "analysis.1", Grant: quote.Grant}); err != nil {
		fmt.Println(err)
		return
	}
	err = d.Reserve(ctx, domain.Reservation{Key: "plots.1", Grant: quote.Grant})
	fmt.Println(errors.Is(err, domain.ErrLimit), err)
	if refused, ok := errors.AsType[*domain.LimitError](err); ok {
		fmt.Println(refused.Standing.Scope, refused.Standing.Name, refused.Standing.Live, "of", refused.Standing.Sessions)
	}

	began := time.Now()
	cost, err := d.Settle(ctx, domain.Settlement{
		Key: "analysis.1", Grant: quote.Grant, PerHour: quote.PerHour, From: began, To: began.Add(90 * time.Minute),
	})
	fmt.Println("it cost", cost, err)
	// Output:
	// $0.252 an hour
	// domain research: $500.00 of $500.00 left this month (the domain's policy)
	// user alice: 1 of 1 sessions left (the domain's policy)
	// true domain: reserve research/alice: limit reached: user alice: 1 session at one time, at most 1 allowed (the domain's policy), and this would be one more; stop one, or ask an administrator
	// user alice 1 of 1
	// it cost $0.378 <nil>
}
