// Idle shows how a session that nobody uses ends, and how that is explained: what is
// known of its use, the rule, the warning, and afterwards why it was suspended.
//
//	go run ./examples/idle
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

func main() { bubble.Run("idle", run) }

func run(ctx context.Context, out io.Writer) (err error) {
	w, end, err := fake.Start(ctx, fake.Config{Policy: domain.Policy{Idle: []domain.IdleRule{
		{After: 8 * time.Hour},
		{After: 2 * time.Hour, MinPricePerHour: instancetype.Dollar / 2}, // dear ones sooner
	}}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()

	const id = "analysis"
	if _, err := w.Sessions.Start(ctx, session.StartRequest{ID: id, User: "alice", InstanceType: "m5.4xlarge"}); err != nil {
		return err
	}
	s, err := w.Sessions.Wait(ctx, id, session.Running)
	if err != nil {
		return err
	}
	at := func(d time.Duration) { time.Sleep(time.Until(s.StartedAt.Add(d))) }
	explain := func() error {
		why, err := w.Sessions.Explain(ctx, id)
		fmt.Fprintf(out, "%s\n", why)
		return err
	}

	at(time.Hour) // alice clicks, and a proxy reports it
	if err := w.Sessions.Report(ctx, id, session.Evidence{Source: session.Traffic, Used: time.Now(), Detail: "GET /files/report.Rmd"}); err != nil {
		return err
	}
	if err := explain(); err != nil {
		return err
	}
	at(2*time.Hour + 55*time.Minute) // she is warned: a portal shows it, from Session.Ends
	if s, err = w.Sessions.Get(ctx, id); err != nil {
		return err
	}
	fmt.Fprintf(out, "warned: it ends at %s, because %s\n\n", s.Ends.At.UTC().Format(time.TimeOnly), s.Ends.Why)
	if _, err := w.Sessions.Wait(ctx, id, session.Suspended); err != nil {
		return err
	}
	return explain()
}
