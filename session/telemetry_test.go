package session_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/embedded"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher/faultlauncher"
	"github.com/atelier-go/atelier/session"
)

// collect returns what a reader reads: by instrument, its kind and unit, and each
// measurement as a line.
func collect(t *testing.T, r sdk.Reader) (kinds map[string]string, lines []string) {
	t.Helper()
	var all metricdata.ResourceMetrics
	check(t, r.Collect(t.Context(), &all))
	kinds = map[string]string{}
	for _, scope := range all.ScopeMetrics {
		if scope.Scope.Name != "github.com/atelier-go/atelier/session" {
			continue
		}
		for _, m := range scope.Metrics {
			kind := ""
			add := func(set attribute.Set, format string, args ...any) {
				var attrs []string
				for _, a := range set.ToSlice() {
					if a.Key != "atelier.domain" {
						attrs = append(attrs, string(a.Key)+"="+a.Value.Emit())
					}
				}
				lines = append(lines, fmt.Sprintf("%s{%s} %s", m.Name, strings.Join(attrs, ", "), fmt.Sprintf(format, args...)))
				if v, _ := set.Value("atelier.domain"); v.Emit() != "research" {
					t.Errorf("%s is of domain %q", m.Name, v.Emit())
				}
			}
			sum := func(monotonic bool) {
				kind = "up-down"
				if monotonic {
					kind = "counter"
				}
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				sum(data.IsMonotonic)
				for _, p := range data.DataPoints {
					add(p.Attributes, "%d", p.Value)
				}
			case metricdata.Sum[float64]:
				sum(data.IsMonotonic)
				for _, p := range data.DataPoints {
					add(p.Attributes, "%.4f", p.Value)
				}
			case metricdata.Gauge[int64]:
				kind = "gauge"
				for _, p := range data.DataPoints {
					add(p.Attributes, "%d", p.Value)
				}
			case metricdata.Histogram[float64]:
				kind = "histogram"
				for _, p := range data.DataPoints {
					add(p.Attributes, "%d in %.0f", p.Count, p.Sum) // what happens at one moment comes in any order, and takes a pass more
				}
			default:
				t.Errorf("%s has data of type %T", m.Name, data)
			}
			kinds[m.Name] = kind + " " + m.Unit + " " + m.Description
		}
	}
	slices.Sort(lines)
	return kinds, lines
}

// TestMetrics: a start, an idle suspension, a resume, a refusal and a stop are in the
// metrics, with what they cost; and all that the documentation lists is measured as
// it says.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Hour)
		defer cancel()
		reader := sdk.NewManualReader()
		w := fake.New(t, fake.Config{
			AWS:      fakeaws.Config{Delays: fakeaws.Realistic()},
			Policy:   domain.Policy{SessionsPerUser: 1, Idle: []domain.IdleRule{{After: time.Hour}}},
			Sessions: session.Config{MeterProvider: sdk.NewMeterProvider(sdk.WithReader(reader))},
		})
		start := func(id session.ID) error {
			_, err := w.Sessions.Start(ctx, session.StartRequest{ID: id, User: "alice", InstanceType: "m5.xlarge"})
			return err
		}
		wait := func(state session.State) {
			t.Helper()
			_, err := w.Sessions.Wait(ctx, "s1", state)
			check(t, err)
		}
		check(t, start("s1"))
		wait(session.Running)
		fails(t, start("s2"), domain.ErrLimit)
		wait(session.Suspended) // an hour later
		_, err := w.Sessions.Resume(ctx, "s1", session.ResumeRequest{})
		check(t, err)
		wait(session.Running)
		_, err = w.Sessions.Suspend(ctx, "s3", session.Order{})
		fails(t, err, session.ErrNotFound)
		_, running := collect(t, reader)
		_, err = w.Sessions.Stop(ctx, "s1", session.Order{})
		check(t, err)
		wait(session.Stopped)
		time.Sleep(time.Minute)
		_, stopped := collect(t, reader)
		for name, lines := range map[string][]string{"metrics-running.txt": running, "metrics-stopped.txt": stopped} {
			lines = slices.DeleteFunc(lines, func(l string) bool { // as often as it pleases
				return strings.Contains(l, "atelier.operation=look")
			})
			golden(t, name, strings.Join(lines, "\n")+"\n")
		}
	})
}

// All instruments that the documentation lists measure something, as it says, if
// enough goes wrong; and when Run has returned nothing looks at the manager.
func TestMetricsAsDocumented(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		reader := sdk.NewManualReader()
		m, end := w.run(w.host, session.Config{MeterProvider: sdk.NewMeterProvider(sdk.WithReader(reader))})
		started(t, m, request("s1"))
		running, _ := collect(t, reader)
		_, err := m.Stop(t.Context(), "s1", session.Order{})
		check(t, err)
		_, err = m.Wait(t.Context(), "s1", session.Stopped)
		check(t, err)
		time.Sleep(time.Minute)
		kinds, lines := collect(t, reader)
		maps.Copy(kinds, running)
		want := session.Instruments()
		delete(want, "atelier.session.failures") // see TestFailuresAreCounted
		for name, spec := range want {
			if kinds[name] != spec {
				t.Errorf("%s is measured as %q; the documentation says %q", name, kinds[name], spec)
			}
		}
		for name := range kinds {
			if want[name] == "" {
				t.Errorf("%s is not in the documentation", name)
			}
		}
		if !slices.Contains(lines, "atelier.session.managers{} 1") {
			t.Errorf("one manager runs, and is not counted:\n%s", strings.Join(lines, "\n"))
		}
		end()
		if _, lines := collect(t, reader); slices.ContainsFunc(lines, func(l string) bool {
			return strings.HasPrefix(l, "atelier.sessions{") || strings.HasPrefix(l, "atelier.session.managers{")
		}) {
			t.Errorf("Run has returned, and sessions are counted still:\n%s", strings.Join(lines, "\n"))
		}
	})
}

// Two managers count each session once.
func TestManagersAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var readers [2]*sdk.ManualReader
		var managers [2]*session.Manager
		for i := range readers {
			readers[i] = sdk.NewManualReader()
			managers[i], _ = w.run(w.host, session.Config{MeterProvider: sdk.NewMeterProvider(sdk.WithReader(readers[i]))})
		}
		time.Sleep(10 * time.Second)
		for i := range 20 {
			started(t, managers[0], request(session.ID(fmt.Sprintf("s%d", i))))
		}
		time.Sleep(2 * time.Minute)
		var parts []int
		total := 0
		for _, r := range readers {
			_, lines := collect(t, r)
			for _, line := range lines {
				var n int
				if _, err := fmt.Sscanf(line, "atelier.sessions{atelier.kind=plain, atelier.state=running} %d", &n); err == nil {
					parts, total = append(parts, n), total+n
				}
			}
		}
		if len(parts) != 2 || total != 20 {
			t.Errorf("two managers count %v of 20 sessions", parts)
		}
	})
}

// What fails and is repeated is counted by what it was, calls of the launcher by how
// they ended, and a start that fails by where and why.
func TestFailuresAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOn(t, fakelauncher.Config{Delays: fakelauncher.Delays{Pull: time.Hour}})
		faults, err := faultlauncher.Wrap(w.host, 1, faultlauncher.Fault{Op: faultlauncher.Launch, Nth: 1})
		check(t, err)
		reader := sdk.NewManualReader()
		b := &broken{Store: w.store}
		m, _ := w.runOn(w.domainOn(b), faults, session.Config{MeterProvider: sdk.NewMeterProvider(sdk.WithReader(reader))})
		_, err = m.Start(t.Context(), request("s1"))
		check(t, err)
		time.Sleep(time.Minute)
		b.set(true)
		time.Sleep(time.Minute)
		b.set(false)
		_, err = m.Wait(t.Context(), "s1", session.Running)
		fails(t, err, session.ErrDeadline, "its image is being pulled")
		_, lines := collect(t, reader)
		for _, want := range []string{
			"atelier.session.launcher.duration{atelier.operation=launch, error.type=unavailable} 1 in",
			"atelier.session.launcher.duration{atelier.operation=launch} 1 in",
			"atelier.session.failures{atelier.operation=follow, error.type=",
			"atelier.session.start.duration{atelier.kind=plain, atelier.outcome=failed, error.type=deadline passed} 1 in 180",
			"atelier.session.start.stage.duration{atelier.outcome=failed, atelier.stage=pull} 1 in 180",
			"atelier.session.start.stage.duration{atelier.outcome=ready, atelier.stage=queued} 1 in",
			"atelier.session.transitions{atelier.event=deadline, atelier.kind=plain, atelier.state=failed, error.type=deadline passed} 1",
		} {
			if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, want) }) {
				t.Errorf("missing: %s\n", want)
			}
		}
		if t.Failed() {
			t.Log(strings.Join(lines, "\n"))
		}
	})
}

// refusingProvider is a provider whose meter makes no instrument.
type refusingProvider struct{ embedded.MeterProvider }

func (refusingProvider) Meter(string, ...metric.MeterOption) metric.Meter { return refusingMeter{} }

type refusingMeter struct{ noop.Meter }

func (refusingMeter) Int64Counter(name string, _ ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return noop.Int64Counter{}, errors.New("no room for " + name)
}

// A provider that refuses an instrument is told at once, with all else.
func TestNewWithABrokenMeterProvider(t *testing.T) {
	_, err := session.New(newWorld(t).domain, nil, session.Config{MeterProvider: refusingProvider{}})
	fails(t, err, session.ErrInvalid, "the launcher is nil", "atelier.session.requests", "atelier.session.failures")
}

// TestLogs: every line about a session says which; one when it is ready has its whole
// start; no line has a secret.
func TestLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const secret = "hunter2"
		var out syncBuffer
		w := newWorldOn(t, fakelauncher.Config{Delays: fakelauncher.Delays{Pull: 10 * time.Second, Start: 2 * time.Second}})
		faults, err := faultlauncher.Wrap(w.host, 1,
			faultlauncher.Fault{Op: faultlauncher.Launch, Rate: 0.3},
			faultlauncher.Fault{Op: faultlauncher.Stop, Rate: 0.3},
			faultlauncher.Fault{Op: faultlauncher.List, Rate: 0.3})
		check(t, err)
		logger := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		m, end := w.run(faults, session.Config{Logger: logger})
		ids := []session.ID{"s1", "s2", "s3"}
		for _, id := range ids {
			q := request(id)
			q.Env, q.Stdin = map[string]string{"TOKEN": secret}, []byte(secret)
			q.Annotations = map[string]string{"note": secret}
			_, err := m.Start(t.Context(), q)
			check(t, err)
			_, err = m.Wait(t.Context(), id, session.Running)
			check(t, err)
		}
		for _, id := range ids {
			_, err := m.Suspend(t.Context(), id, session.Order{By: "alice"})
			check(t, err)
			_, err = m.Wait(t.Context(), id, session.Suspended)
			check(t, err)
			_, err = m.Resume(t.Context(), id, session.ResumeRequest{})
			check(t, err)
			_, err = m.Wait(t.Context(), id, session.Running)
			check(t, err)
			_, err = m.Stop(t.Context(), id, session.Order{By: "alice"})
			check(t, err)
			_, err = m.Wait(t.Context(), id, session.Stopped)
			check(t, err)
		}
		end()
		ready := map[string]int{}
		about := 0
		for line := range strings.Lines(out.String()) {
			var said map[string]any
			check(t, json.Unmarshal([]byte(line), &said))
			if strings.Contains(line, secret) {
				t.Errorf("a line has a secret: %s", line)
			}
			if said["domain"] != "research" {
				t.Errorf("a line does not name the domain: %s", line)
			}
			id, of := said["session"].(string)
			mentions := strings.Contains(line, `"s1`) || strings.Contains(line, `"s2`) || strings.Contains(line, `"s3`) ||
				strings.Contains(line, "research.s")
			if mentions && (!of || !slices.Contains(ids, session.ID(id)) || said["generation"] == nil) {
				t.Errorf("a line about a session does not say which, or which generation: %s", line)
			}
			if of {
				about++
			}
			if said["msg"] == "session is ready" {
				ready[id]++
				start, _ := said["start"].(map[string]any)
				for _, stage := range []string{"queued", "host", "boot", "pull", "mount", "began", "ready"} {
					if _, ok := start[stage].(float64); !ok {
						t.Errorf("it is ready, and there is no %s: %s", stage, line)
					}
				}
				if said["user"] != "alice" || said["host"] == "" || said["level"] != "INFO" {
					t.Errorf("it is ready, and nobody knows whose or where: %s", line)
				}
			}
		}
		for _, id := range ids {
			if ready[string(id)] != 2 {
				t.Errorf("%s was ready twice; logged %d times", id, ready[string(id)])
			}
		}
		if about < 30 {
			t.Errorf("only %d lines are about sessions:\n%s", about, out.String())
		}
	})
}

// syncBuffer is a buffer for many writers.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
