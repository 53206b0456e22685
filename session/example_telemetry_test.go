package session_test

import (
	"context"
	"fmt"
	"log"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/atelier-go/atelier/session"
)

// A program that has OpenTelemetry gives its provider to the manager, and exports as
// it does with all else. Here it reads the metrics itself.
func ExampleConfig_meterProvider() {
	ctx, cancel := context.WithCancel(context.Background())
	d, host, end := research(ctx)
	defer end()

	reader := sdk.NewManualReader() // or a periodic one with an exporter
	m, err := session.New(d, host, session.Config{MeterProvider: sdk.NewMeterProvider(sdk.WithReader(reader))})
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()

	_, err = m.Start(ctx, session.StartRequest{ID: "analysis", User: "mallory", InstanceType: "t3.medium"})
	fmt.Println(session.StatusCode(err))
	if _, err = m.Start(ctx, session.StartRequest{ID: "analysis", User: "alice", InstanceType: "t3.medium"}); err != nil {
		log.Fatal(err)
	}
	if _, err = m.Wait(ctx, "analysis", session.Running); err != nil {
		log.Fatal(err)
	}

	var metrics metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &metrics); err != nil {
		log.Fatal(err)
	}
	for _, one := range metrics.ScopeMetrics[0].Metrics {
		switch data := one.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				if state, ok := p.Attributes.Value("atelier.state"); ok && one.Name == "atelier.sessions" {
					fmt.Println(one.Name, state.AsString(), p.Value)
				}
				if kind, ok := p.Attributes.Value("error.type"); ok && one.Name == "atelier.session.requests" {
					fmt.Println(one.Name, kind.AsString(), p.Value)
				}
			}
		case metricdata.Histogram[float64]:
			if one.Name == "atelier.session.start.duration" {
				fmt.Println(one.Name, data.DataPoints[0].Count)
			}
		}
	}

	cancel()
	fmt.Println(<-done)
	// Output:
	// 404
	// atelier.sessions running 1
	// atelier.session.requests not found 1
	// atelier.session.start.duration 1
	// <nil>
}

// What a user waited for.
func ExampleTimeline() {
	asked := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	after := asked.Add
	t := session.Timeline{
		Asked: asked, Queued: asked, Host: after(41 * time.Second), InstanceType: "m5.xlarge", Zone: "us-east-1a",
		Boot: after(58 * time.Second), Pull: after(80 * time.Second), Mount: after(81 * time.Second),
		Began: after(82 * time.Second), Ready: after(85 * time.Second),
	}
	fmt.Println(t)
	fmt.Println("pulled for", t.Pull.Sub(t.Boot))
	// Output:
	// queued 0s, host 41s (m5.xlarge in us-east-1a), boot 58s, pull 1m20s, mount 1m21s, began 1m22s, ready 1m25s
	// pulled for 22s
}
