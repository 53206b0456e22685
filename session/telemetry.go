package session

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/internal/instrument"
	"github.com/atelier-go/atelier/launcher"
)

// instruments are all metrics of this package. The package documentation has the
// list. No attribute has a value for each user or session.
var instruments = []instrument.Spec{
	{Name: "atelier.sessions", Kind: instrument.UpDown, Unit: "{session}", Attributes: []string{attrKind, attrState}, About: "sessions that this manager works for"},
	{Name: "atelier.session.cost.rate", Kind: instrument.UpDown, Unit: "{USD}/h", Attributes: []string{attrKind}, About: "what those of them that run are charged an hour"},
	{Name: "atelier.session.cost", Kind: instrument.Counter, Unit: "{USD}", Attributes: []string{attrKind}, About: "what was charged when generations had ended"},
	{Name: "atelier.session.requests", Kind: instrument.Counter, Unit: "{request}", Attributes: []string{attrOperation, attrError}, About: "what callers asked for, done or refused"},
	{Name: "atelier.session.transitions", Kind: instrument.Counter, Unit: "{transition}", Attributes: []string{attrKind, attrEvent, attrState, attrError}, About: "changes of state: event, new state, reason"},
	{Name: "atelier.session.start.duration", Kind: instrument.Histogram, Unit: "s", Attributes: []string{attrKind, attrOutcome, attrError}, About: "from a start or resume to its outcome", Bounds: instrument.Seconds},
	{Name: "atelier.session.start.stage.duration", Kind: instrument.Histogram, Unit: "s", Attributes: []string{attrStage, attrOutcome}, About: "of that, in each stage", Bounds: instrument.Seconds},
	{Name: "atelier.session.launcher.duration", Kind: instrument.Histogram, Unit: "s", Attributes: []string{attrOperation, attrError}, About: "calls of the launcher", Bounds: instrument.Seconds},
	{Name: "atelier.session.failures", Kind: instrument.Counter, Unit: "{failure}", Attributes: []string{attrOperation, attrError}, About: "steps that failed, mostly for the store, and are repeated"},
	{Name: "atelier.session.managers", Kind: instrument.Gauge, Unit: "{manager}", About: "managers among which the sessions are shared, as this one sees it"},
	{Name: "atelier.session.manager.changes", Kind: instrument.Counter, Unit: "{change}", About: "times that this manager's part has changed, as others came or went"},
}

// The attributes.
const (
	attrDomain    = "atelier.domain" // which all have
	attrKind      = "atelier.kind"
	attrState     = "atelier.state"
	attrOperation = "atelier.operation"
	attrEvent     = "atelier.event"
	attrStage     = "atelier.stage"
	attrOutcome   = "atelier.outcome"
	attrError     = "error.type"
)

// telemetry measures a manager. Nil measures nothing and costs nothing.
type telemetry struct {
	meter  metric.Meter
	domain attribute.KeyValue

	sessions    metric.Int64ObservableUpDownCounter
	rate        metric.Float64ObservableUpDownCounter
	managers    metric.Int64ObservableGauge
	cost        metric.Float64Counter
	requests    metric.Int64Counter
	transitions metric.Int64Counter
	starts      metric.Float64Histogram
	stages      metric.Float64Histogram
	calls       metric.Float64Histogram
	failures    metric.Int64Counter
	changes     metric.Int64Counter
}

func newTelemetry(p metric.MeterProvider, domain string) (*telemetry, error) {
	if p == nil {
		return nil, nil
	}
	m := p.Meter("github.com/atelier-go/atelier/session")
	set := instrument.NewSet(instruments)
	t := &telemetry{
		meter: m, domain: attribute.String(attrDomain, domain),
		sessions:    instrument.Make(set, m.Int64ObservableUpDownCounter, "atelier.sessions"),
		rate:        instrument.Make(set, m.Float64ObservableUpDownCounter, "atelier.session.cost.rate"),
		managers:    instrument.Make(set, m.Int64ObservableGauge, "atelier.session.managers"),
		cost:        instrument.Make(set, m.Float64Counter, "atelier.session.cost"),
		requests:    instrument.Make(set, m.Int64Counter, "atelier.session.requests"),
		transitions: instrument.Make(set, m.Int64Counter, "atelier.session.transitions"),
		starts:      instrument.Make(set, m.Float64Histogram, "atelier.session.start.duration"),
		stages:      instrument.Make(set, m.Float64Histogram, "atelier.session.start.stage.duration"),
		calls:       instrument.Make(set, m.Float64Histogram, "atelier.session.launcher.duration"),
		failures:    instrument.Make(set, m.Int64Counter, "atelier.session.failures"),
		changes:     instrument.Make(set, m.Int64Counter, "atelier.session.manager.changes"),
	}
	return t, set.Err()
}

// with are the attributes of a measurement.
func (t *telemetry) with(pairs ...string) metric.MeasurementOption {
	return instrument.With(t.domain, pairs...)
}

// errorType is the kind of an error as an attribute.
func errorType(err error) string {
	return instrument.ErrorType(err, func(err error) string {
		if kind := outermost(err); kind != nil {
			return kind.Error()
		}
		return ""
	})
}

// observe has what m knows looked at whenever metrics are collected, until the
// function that it returns is called.
func (t *telemetry) observe(m *Manager) (end func()) {
	if t == nil {
		return func() {}
	}
	watched, err := t.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		t.look(m, o)
		return nil
	}, t.sessions, t.rate, t.managers)
	if err != nil {
		m.log.Warn("sessions are not counted", "error", err)
		return func() {}
	}
	return func() {
		if err := watched.Unregister(); err != nil {
			m.log.Warn("sessions are still counted", "error", err)
		}
	}
}

// look counts the sessions that m works for: the sum over all managers is that of
// all sessions.
func (t *telemetry) look(m *Manager, o metric.Observer) {
	type of struct{ kind, state string }
	count, rates := map[of]int64{}, map[string]instancetype.Money{}
	for _, r := range m.hub.All() {
		if !r.Deleted.IsZero() || !m.members.mine(r.ID) {
			continue
		}
		kind := r.Request.Kind.Name
		count[of{kind, string(r.State)}]++
		if r.State == Running {
			rates[kind] += r.rate()
		}
	}
	for at, n := range count {
		o.ObserveInt64(t.sessions, n, t.with(attrKind, at.kind, attrState, at.state))
	}
	for kind, rate := range rates {
		o.ObserveFloat64(t.rate, dollars(rate), t.with(attrKind, kind))
	}
	o.ObserveInt64(t.managers, int64(m.members.working()), t.with())
}

// working is how many managers share the work.
func (m *members) working() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.live)
}

func dollars(m instancetype.Money) float64 { return float64(m) / 1e6 }

// asked counts what a caller asked for, when it has been answered.
func (t *telemetry) asked(ctx context.Context, op string, err *error) {
	if t == nil {
		return
	}
	t.requests.Add(ctx, 1, t.with(attrOperation, op, attrError, errorType(*err)))
}

// moved counts a change of a session's state by an event, and measures the start
// that it ends.
func (t *telemetry) moved(ctx context.Context, was, now record, event string) {
	if t == nil || was.State == now.State {
		return
	}
	kind, trouble := now.Request.Kind.Name, string(now.Reason)
	if now.timedOut() { // as the rules say: nothing went wrong
		trouble = ""
	}
	t.transitions.Add(ctx, 1, t.with(attrKind, kind, attrEvent, event, attrState, string(now.State), attrError, trouble))
	if !was.State.begins() || now.State.begins() {
		return
	}
	outcome, reason := "ready", ""
	switch event {
	case sawRunning.String():
	case sawInterrupted.String():
		outcome = "interrupted"
	case askStop.String(), askKill.String(), sawExit.String():
		outcome = "stopped"
	default:
		outcome, reason = "failed", string(now.Reason)
	}
	line := now.timeline()
	at := line.Asked
	if at.IsZero() { // a record of an earlier version
		return
	}
	for _, s := range line.reached() {
		t.stages.Record(ctx, s.at.Sub(at).Seconds(), t.with(attrStage, s.name, attrOutcome, "ready"))
		at = s.at
	}
	if next, ok := line.pending(); ok {
		end := maxTime(time.Now(), at)
		t.stages.Record(ctx, end.Sub(at).Seconds(), t.with(attrStage, next.name, attrOutcome, outcome))
		at = end
	}
	t.starts.Record(ctx, at.Sub(line.Asked).Seconds(), t.with(attrKind, kind, attrOutcome, outcome, attrError, reason))
}

// charged adds what a generation has cost.
func (t *telemetry) charged(ctx context.Context, r record, cost instancetype.Money) {
	if t == nil {
		return
	}
	t.cost.Add(ctx, dollars(cost), t.with(attrKind, r.Request.Kind.Name))
}

// failed counts a step that is taken again.
func (t *telemetry) failed(ctx context.Context, op string, err error) {
	if t == nil {
		return
	}
	t.failures.Add(ctx, 1, t.with(attrOperation, op, attrError, errorType(err)))
}

// shared counts that others have come or gone.
func (t *telemetry) shared(ctx context.Context) {
	if t == nil {
		return
	}
	t.changes.Add(ctx, 1, t.with())
}

// answered measures a call of the launcher that was begun at a time, and notes
// whether it was answered. That there is no such workload is an answer.
func (m *Manager) answered(ctx context.Context, c call, begun time.Time, err error) {
	m.members.answered(c, begun, err)
	if t := m.telemetry; t != nil {
		kind := errorType(err)
		if errors.Is(err, launcher.ErrNotFound) {
			kind = ""
		}
		t.calls.Record(ctx, time.Since(begun).Seconds(), t.with(attrOperation, string(c), attrError, kind))
	}
}
