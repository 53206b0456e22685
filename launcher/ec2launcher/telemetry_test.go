package ec2launcher_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// measured is what a reader reads: the value of each measurement or, of a
// histogram, the count; and what each instrument is.
func measured(t *testing.T, r sdk.Reader) (values map[string]float64, kinds map[string]string) {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	values, kinds = map[string]float64{}, map[string]string{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			add := func(set attribute.Set, value float64) {
				var attrs []string
				for _, a := range set.ToSlice() {
					if a.Key != "atelier.fleet" {
						attrs = append(attrs, string(a.Key)+"="+a.Value.Emit())
					}
				}
				if !set.HasValue("atelier.fleet") {
					t.Errorf("%s does not say of which fleet", m.Name)
				}
				values[fmt.Sprintf("%s{%s}", strings.TrimPrefix(m.Name, "atelier.fleet."), strings.Join(attrs, ", "))] = value
			}
			kind := ""
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				kind = "up-down"
				for _, p := range data.DataPoints {
					add(p.Attributes, float64(p.Value))
				}
			case metricdata.Sum[float64]:
				kind = "up-down"
				for _, p := range data.DataPoints {
					add(p.Attributes, p.Value)
				}
			case metricdata.Gauge[float64]:
				kind = "gauge"
				for _, p := range data.DataPoints {
					add(p.Attributes, p.Value)
				}
			case metricdata.Histogram[float64]:
				kind = "histogram"
				for _, p := range data.DataPoints {
					add(p.Attributes, float64(p.Count))
				}
			}
			kinds[m.Name] = kind + " " + m.Unit + " " + m.Description
		}
	}
	return values, kinds
}

// TestMetrics: what the fleet has, what waits for what, and how EC2 is called are in
// the metrics as the documentation says, of the process that works for the fleet
// alone, and of none when Run has returned.
func TestMetrics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		reader, other := sdk.NewManualReader(), sdk.NewManualReader()
		account := fakeaws.Config{
			Delays:  steady.Delays,
			Faults:  []fakeaws.Fault{{Action: "ec2:RunInstances", Nth: 1, Status: 503, Code: "RequestLimitExceeded"}},
			SoldOut: []fakeaws.Shortage{{Type: "c5.large"}},
		}
		w := newWorld(t, account, func(c *ec2launcher.Config) {
			c.MeterProvider = sdk.NewMeterProvider(sdk.WithReader(reader))
			c.Warm = []ec2launcher.Warm{{Like: (*world)(nil).pooled("like"), Slots: 2}}
		})
		time.Sleep(time.Second)
		second := w.cfg
		second.MeterProvider = sdk.NewMeterProvider(sdk.WithReader(other))
		_, end := w.process(second)
		defer end()
		w.launch(w.workload("a", "alice"))
		sold := w.workload("b", "bob")
		sold.InstanceType = "c5.large"
		w.launch(sold)
		time.Sleep(15 * time.Second)
		if values, _ := measured(t, reader); values["hosts{atelier.market=on-demand, atelier.state=booting}"] == 0 {
			t.Errorf("no host boots: %v", values)
		}
		time.Sleep(3*time.Minute + 25*time.Second) // what is sold out was asked for again
		values, kinds := measured(t, reader)
		hosts := float64(len(w.hosts()))
		for name, ok := range map[string]func(float64) bool{
			"hosts{atelier.market=on-demand, atelier.state=ready}": func(v float64) bool { return v == hosts && v > 0 },
			"cost.rate{atelier.market=on-demand}":                  func(v float64) bool { return v > 0.0415*hosts && v < 0.0417*hosts },
			"waiting{error.type=no capacity}":                      func(v float64) bool { return v == 1 },
			"warm.slots{atelier.state=ready, atelier.warm=0}":      func(v float64) bool { return v == 2 },
			"warm.slots{atelier.state=lacking, atelier.warm=0}":    func(v float64) bool { return v == 0 },
			"calls.waiting{atelier.action=RunInstances}":           func(v float64) bool { return v == 0 },
			// Less than EC2's two a second, as it has throttled.
			"calls.rate{atelier.action=RunInstances}":                            func(v float64) bool { return v > 0 && v < 2 },
			"call.wait{atelier.action=RunInstances}":                             func(v float64) bool { return v >= 2 },
			"call.duration{atelier.action=RunInstances, error.type=throttled}":   func(v float64) bool { return v >= 1 },
			"call.duration{atelier.action=RunInstances}":                         func(v float64) bool { return v >= 1 },
			"call.duration{atelier.action=RunInstances, error.type=no capacity}": func(v float64) bool { return v >= 1 },
			"call.duration{atelier.action=DescribeInstances}":                    func(v float64) bool { return v >= 1 },
		} {
			if v, there := values[name]; !there || !ok(v) {
				t.Errorf("%s is %v, %v", name, v, there)
			}
		}
		want := ec2launcher.Instruments()
		if !maps.Equal(kinds, want) {
			t.Errorf("measured are %v; the documentation says %v", kinds, want)
		}
		counts := func(r sdk.Reader) bool {
			values, _ := measured(t, r)
			return slices.ContainsFunc(slices.Collect(maps.Keys(values)), func(name string) bool { return strings.HasPrefix(name, "hosts{") })
		}
		if counts(other) {
			t.Error("a process that stands by counts hosts")
		}
		w.stop()
		if values, _ := measured(t, reader); counts(reader) || values["calls.rate{atelier.action=RunInstances}"] != 0 {
			t.Errorf("Run has returned, and the fleet is looked at: %v", values)
		}
		time.Sleep(time.Minute)
		if !counts(other) {
			t.Error("the process that took over counts no hosts")
		}
		// The same launcher stands by now.
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.fleet.Run(ctx) }()
		w.stop = func() { cancel(); <-done }
		time.Sleep(5 * time.Second)
		if counts(reader) {
			t.Error("a process that does not work for the fleet any more counts hosts")
		}
	})
}

// A provider that refuses an instrument is told at once.
func TestNewWithABrokenMeterProvider(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{}, nil)
		c := w.cfg
		c.MeterProvider = refusingProvider{}
		_, err := ec2launcher.NewFromConfig(w.cloud.Config(), c)
		if !errors.Is(err, launcher.ErrInvalid) || !strings.Contains(err.Error(), "atelier.fleet.call.wait") {
			t.Errorf("error %v", err)
		}
	})
}

// refusingProvider is a provider whose meter makes no histogram.
type refusingProvider struct{ embedded.MeterProvider }

func (refusingProvider) Meter(string, ...metric.MeterOption) metric.Meter { return refusingMeter{} }

type refusingMeter struct{ noop.Meter }

func (refusingMeter) Float64Histogram(name string, _ ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return noop.Float64Histogram{}, errors.New("no room for " + name)
}
