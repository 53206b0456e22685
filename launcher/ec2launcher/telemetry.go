package ec2launcher

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/internal/instrument"
	"github.com/atelier-go/atelier/launcher"
)

// instruments are all metrics of this package. The package documentation has the
// list.
var instruments = []instrument.Spec{
	{Name: "atelier.fleet.hosts", Kind: instrument.UpDown, Unit: "{host}", Attributes: []string{attrState, attrMarket}, About: "hosts that are not gone, and those being bought"},
	{Name: "atelier.fleet.cost.rate", Kind: instrument.UpDown, Unit: "{USD}/h", Attributes: []string{attrMarket}, About: "what those hosts cost an hour, as far as prices are known"},
	{Name: "atelier.fleet.waiting", Kind: instrument.UpDown, Unit: "{workload}", Attributes: []string{attrError}, About: "workloads without a host, by what keeps them"},
	{Name: "atelier.fleet.warm.slots", Kind: instrument.UpDown, Unit: "{slot}", Attributes: []string{attrWarm, attrState}, About: "warm room: ready, coming or lacking"},
	{Name: "atelier.fleet.calls.waiting", Kind: instrument.UpDown, Unit: "{call}", Attributes: []string{attrAction}, About: "calls of EC2 that wait for their turn"},
	{Name: "atelier.fleet.calls.rate", Kind: instrument.Gauge, Unit: "{call}/s", Attributes: []string{attrAction}, About: "how fast EC2 is called at most at present"},
	{Name: "atelier.fleet.call.wait", Kind: instrument.Histogram, Unit: "s", Attributes: []string{attrAction}, About: "how long calls waited for their turn", Bounds: instrument.Seconds},
	{Name: "atelier.fleet.call.duration", Kind: instrument.Histogram, Unit: "s", Attributes: []string{attrAction, attrError}, About: "attempts of calls of EC2, from then on", Bounds: instrument.Seconds},
}

// The attributes.
const (
	attrFleet  = "atelier.fleet" // which all have
	attrState  = "atelier.state"
	attrMarket = "atelier.market"
	attrWarm   = "atelier.warm"
	attrAction = "atelier.action"
	attrError  = "error.type"
)

// telemetry measures a launcher. Nil measures nothing and costs nothing.
type telemetry struct {
	meter metric.Meter
	fleet attribute.KeyValue
	// census is what the reconciler counted last, nil if it is another process's.
	census atomic.Pointer[census]

	hosts    metric.Int64ObservableUpDownCounter
	rate     metric.Float64ObservableUpDownCounter
	waiting  metric.Int64ObservableUpDownCounter
	warm     metric.Int64ObservableUpDownCounter
	queued   metric.Int64ObservableUpDownCounter
	allowed  metric.Float64ObservableGauge
	waits    metric.Float64Histogram
	attempts metric.Float64Histogram
}

func newTelemetry(p metric.MeterProvider, fleet string) (*telemetry, error) {
	if p == nil {
		return nil, nil
	}
	m := p.Meter("github.com/atelier-go/atelier/launcher/ec2launcher")
	set := instrument.NewSet(instruments)
	t := &telemetry{
		meter: m, fleet: attribute.String(attrFleet, fleet),
		hosts:    instrument.Make(set, m.Int64ObservableUpDownCounter, "atelier.fleet.hosts"),
		rate:     instrument.Make(set, m.Float64ObservableUpDownCounter, "atelier.fleet.cost.rate"),
		waiting:  instrument.Make(set, m.Int64ObservableUpDownCounter, "atelier.fleet.waiting"),
		warm:     instrument.Make(set, m.Int64ObservableUpDownCounter, "atelier.fleet.warm.slots"),
		queued:   instrument.Make(set, m.Int64ObservableUpDownCounter, "atelier.fleet.calls.waiting"),
		allowed:  instrument.Make(set, m.Float64ObservableGauge, "atelier.fleet.calls.rate"),
		waits:    instrument.Make(set, m.Float64Histogram, "atelier.fleet.call.wait"),
		attempts: instrument.Make(set, m.Float64Histogram, "atelier.fleet.call.duration"),
	}
	return t, set.Err()
}

// with are the attributes of a measurement.
func (t *telemetry) with(pairs ...string) metric.MeasurementOption {
	return instrument.With(t.fleet, pairs...)
}

// A census is how many there are at one moment.
type census struct {
	hosts   map[kept]int64
	rates   map[launcher.Market]instancetype.Money
	waiting map[launcher.Kind]int64
}

// kept is what hosts are counted by.
type kept struct {
	state  HostState
	market launcher.Market
}

// buying is the state of hosts of which EC2 has not said yet that they are bought.
const buying HostState = "buying"

// count counts what a pass has seen.
func (t *telemetry) count(r *reconciler, w *world) {
	if t == nil {
		return
	}
	c := &census{hosts: map[kept]int64{}, rates: map[launcher.Market]instancetype.Money{}, waiting: map[launcher.Kind]int64{}}
	for h := range r.known.Values() {
		if h.live() {
			c.hosts[kept{h.State, h.Market}]++
			c.rates[h.Market] += h.PricePerHour
		}
	}
	for _, b := range w.buys {
		c.hosts[kept{buying, b.Market}] += int64(b.Count)
	}
	for _, rec := range r.board.waiting {
		c.waiting[rec.status(outlook{inTurn: r.toldTurns}).Reason]++
	}
	t.census.Store(c)
}

// leave forgets what was counted, as another process may count now.
func (t *telemetry) leave() {
	if t != nil {
		t.census.Store(nil)
	}
}

// observe has what l knows looked at whenever metrics are collected, until the
// function that it returns is called.
func (t *telemetry) observe(l *Launcher) (end func()) {
	if t == nil {
		return func() {}
	}
	watched, err := t.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		t.look(l, o)
		return nil
	}, t.hosts, t.rate, t.waiting, t.warm, t.queued, t.allowed)
	if err != nil {
		l.cfg.Logger.Warn("the fleet is not counted", "error", err)
		return func() {}
	}
	return func() {
		if err := watched.Unregister(); err != nil {
			l.cfg.Logger.Warn("the fleet is still counted", "error", err)
		}
	}
}

func (t *telemetry) look(l *Launcher, o metric.Observer) {
	if c := t.census.Load(); c != nil {
		for of, n := range c.hosts {
			o.ObserveInt64(t.hosts, n, t.with(attrState, string(of.state), attrMarket, marketName(of.market)))
		}
		for market, rate := range c.rates {
			o.ObserveFloat64(t.rate, float64(rate)/1e6, t.with(attrMarket, marketName(market)))
		}
		for why, n := range c.waiting {
			o.ObserveInt64(t.waiting, n, t.with(attrError, string(why)))
		}
	}
	for i, room := range l.WarmRooms() {
		for state, n := range map[string]int{"ready": room.Ready, "coming": room.Coming, "lacking": room.Slots - room.Ready - room.Coming} {
			o.ObserveInt64(t.warm, int64(n), t.with(attrWarm, strconv.Itoa(i), attrState, state))
		}
	}
	for _, b := range l.Budget() {
		o.ObserveInt64(t.queued, int64(b.Waiting), t.with(attrAction, b.Action))
		o.ObserveFloat64(t.allowed, b.PerSecond, t.with(attrAction, b.Action))
	}
}

// marketName is a market, also where that is the default.
func marketName(m launcher.Market) string {
	if m == launcher.Spot {
		return "spot"
	}
	return "on-demand"
}

// waited measures that a call waited for its turn since a time.
func (t *telemetry) waited(ctx context.Context, action string, since time.Time) {
	if t == nil {
		return
	}
	t.waits.Record(ctx, time.Since(since).Seconds(), t.with(attrAction, action))
}

// called measures an attempt of a call that was made at a time.
func (t *telemetry) called(ctx context.Context, action string, made time.Time, err error) {
	if t == nil {
		return
	}
	kind := instrument.ErrorType(err, func(err error) string { return string(judge(err).kind) })
	t.attempts.Record(ctx, time.Since(made).Seconds(), t.with(attrAction, action, attrError, kind))
}
