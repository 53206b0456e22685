package session_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// manySessions is how many run in [BenchmarkMany], of how many users.
const (
	manySessions = 100_000
	users        = 100
)

func sessionN(n int) session.ID { return session.ID(fmt.Sprintf("s%06d", n)) }

// crowd is a launcher on which each of the sessions runs.
type crowd struct {
	launcher.Launcher
	statuses []launcher.Status
}

func (c crowd) List(context.Context, launcher.Filter) iter.Seq2[launcher.Status, error] {
	return func(yield func(launcher.Status, error) bool) {
		for _, s := range c.statuses {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func (c crowd) Usage(context.Context, launcher.ID) (launcher.Usage, error) {
	return launcher.Usage{StartedAt: c.statuses[0].StartedAt, At: time.Now()}, nil
}

func (c crowd) Watch(ctx context.Context, f launcher.Filter) iter.Seq2[launcher.Status, error] {
	return func(yield func(launcher.Status, error) bool) {
		for s := range c.List(ctx, f) {
			if !yield(s, nil) {
				return
			}
		}
		if yield(launcher.Status{}, nil) {
			<-ctx.Done()
			yield(launcher.Status{}, ctx.Err())
		}
	}
}

// many is a manager of as many sessions that run and are idle after an hour, and what
// each takes of its memory. They are copies of one that was started.
func many(b *testing.B) (m *session.Manager, bytesEach float64) {
	b.Helper()
	w := newWorld(b)
	ctx := b.Context()
	check(b, w.domain.SetPolicy(ctx, domain.Policy{Idle: []domain.IdleRule{{After: time.Hour}}}))
	first, end := w.run(w.host, session.Config{})
	_, err := first.Start(ctx, request("first"))
	check(b, err)
	_, err = first.Wait(ctx, "first", session.Running)
	check(b, err)
	end()
	var status launcher.Status
	for s, err := range w.host.List(ctx, launcher.Filter{}) {
		check(b, err)
		status = s
	}
	const records = "domains/research/sessions"
	stored, err := w.store.Get(ctx, records, "first")
	check(b, err)
	var document map[string]json.RawMessage
	check(b, json.Unmarshal(stored.Value, &document))
	delete(document, "Trail") // it is in the audit record
	asked := document["Request"]
	c := crowd{Launcher: w.host}
	for n := range manySessions {
		id := string(sessionN(n))
		document["ID"], _ = json.Marshal(id)
		document["Request"] = bytes.Replace(asked, []byte(`"alice"`), fmt.Appendf(nil, `"user%03d"`, n%users), 1)
		value, err := json.Marshal(document)
		check(b, err)
		_, err = w.store.Put(ctx, store.Record{Collection: records, ID: id, Value: value})
		check(b, err)
		s := status
		s.ID = launcher.ID("research." + id + ".1")
		s.Labels = maps.Clone(status.Labels)
		s.Labels["atelier.session"] = id
		c.statuses = append(c.statuses, s)
	}
	before := heap()
	m, _ = w.run(c, session.Config{})
	for s, err := range m.Watch(ctx, session.Filter{}) {
		check(b, err)
		if s.ID == "" {
			break
		}
	}
	return m, float64(heap()-before) / manySessions
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// BenchmarkMany is what a hundred thousand sessions cost one manager:
//
//   - Page lists a hundred of them from the store, User those of one user from
//     memory;
//   - Pass is once all that is done again and again while nothing happens;
//   - FanOut is one change until each of a thousand watchers has it, who watch the
//     sessions of one user.
func BenchmarkMany(b *testing.B) {
	m, bytesEach := many(b)
	b.Run("Page", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			for _, err := range m.List(b.Context(), session.Filter{After: sessionN(manySessions / 2)}) {
				check(b, err)
				if n++; n == 100 {
					break
				}
			}
			if n != 100 {
				b.Fatalf("%d sessions", n)
			}
		}
		b.ReportMetric(bytesEach, "B/session")
	})
	b.Run("User", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			for s, err := range m.Watch(b.Context(), session.Filter{User: "user007"}) {
				check(b, err)
				if s.ID == "" {
					break
				}
				n++
			}
			if n != manySessions/users {
				b.Fatalf("%d sessions", n)
			}
		}
	})
	b.Run("Pass", func(b *testing.B) {
		pass := m.Pass()
		check(b, pass(b.Context())) // the first measures them
		b.ReportAllocs()
		for b.Loop() {
			check(b, pass(b.Context()))
		}
	})
	b.Run("FanOut", func(b *testing.B) {
		const watchers = 1000
		ctx, cancel := context.WithCancel(b.Context())
		var synced, told, ended sync.WaitGroup
		synced.Add(watchers)
		for range watchers {
			ended.Go(func() {
				ready, seen := false, time.Time{}
				for s := range m.Watch(ctx, session.Filter{User: "user007"}) {
					switch {
					case ready && s.KeptUntil.After(seen):
						seen = s.KeptUntil
						told.Done()
					case s.ID == "" && !ready:
						ready = true
						synced.Done()
					}
				}
			})
		}
		synced.Wait()
		b.ReportAllocs()
		until := time.Now().Add(time.Hour)
		for b.Loop() {
			until = until.Add(time.Second)
			told.Add(watchers)
			_, err := m.Keep(ctx, sessionN(7), until, session.Order{})
			check(b, err)
			told.Wait()
		}
		b.StopTimer()
		cancel()
		ended.Wait()
	})
}
