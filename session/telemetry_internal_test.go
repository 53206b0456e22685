package session

import (
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/atelier-go/atelier/internal/instrument"
)

func TestDocumentationHasTheMetrics(t *testing.T) { documented(t, instrument.Table(instruments)) }

// A start of which it is not known when it was asked for has no duration.
func TestStartOfAnOldRecordIsNotMeasured(t *testing.T) {
	reader := sdk.NewManualReader()
	tel, err := newTelemetry(sdk.NewMeterProvider(sdk.WithReader(reader)), "research")
	if err != nil {
		t.Fatal(err)
	}
	was := draft(Starting, time.Now())
	was.Generation = 2
	now := was
	now.State, now.Started = Running, time.Now()
	tel.moved(t.Context(), was, now, sawRunning.String())
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, m := range all.ScopeMetrics[0].Metrics {
		if m.Name != "atelier.session.transitions" {
			t.Errorf("%s is measured: %+v", m.Name, m.Data)
		}
	}
}
