// Budget shows what a user hears when a budget leaves too little: the price before
// the start, the refusal with its rule, limit and use, and the bill to the second.
//
//	go run ./examples/budget
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/examples/internal/bubble"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/session"
)

func main() { bubble.Run("budget", run) }

func run(ctx context.Context, out io.Writer) (err error) {
	w, end, err := fake.Start(ctx, fake.Config{
		Users:  map[string][]string{"alice": {"students"}},
		Groups: map[string]domain.Policy{"students": {BudgetPerUser: instancetype.Dollar}},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()

	big := session.StartRequest{ID: "big", User: "alice", InstanceType: "m5.4xlarge"}
	quote, err := w.Sessions.Quote(ctx, big)
	if err != nil {
		return err
	}
	left, _ := quote.Limits[0].BudgetLeft() // the one limit there is
	fmt.Fprintf(out, "an m5.4xlarge is %v an hour; alice has %v left this month\n", quote.PerHour, left)
	if _, err := w.Sessions.Start(ctx, big); err != nil {
		fmt.Fprintf(out, "a portal answers %d: ", session.StatusCode(err))
	} else {
		fmt.Fprintln(out, "it starts")
	}
	if _, err := w.Sessions.Wait(ctx, "big", session.Running); err != nil {
		return err
	}
	time.Sleep(time.Hour)
	if _, err := w.Sessions.Stop(ctx, "big", session.Order{By: "alice"}); err != nil {
		return err
	}
	ended, err := w.Sessions.Wait(ctx, "big", session.Stopped)
	if err != nil {
		return err
	}
	for !ended.Settled { // that is done a moment after its end
		time.Sleep(time.Second)
		if ended, err = w.Sessions.Get(ctx, "big"); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "it ran for %v and cost %v\n", ended.EndedAt.Sub(ended.StartedAt).Round(time.Second), ended.Spent)

	again := big
	again.ID = "again"
	_, err = w.Sessions.Start(ctx, again)
	fmt.Fprintf(out, "another: %d, %v\n", session.StatusCode(err), err)
	again.InstanceType = "t3.medium"
	if _, err = w.Sessions.Start(ctx, again); err != nil {
		return err
	}
	fmt.Fprintln(out, "a t3.medium starts")
	return nil
}
