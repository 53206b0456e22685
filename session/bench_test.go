package session_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/atelier-go/atelier/session"
)

// A session from the request until it runs and until it has stopped, over a
// host that takes no time.
func BenchmarkStartRunningStop(b *testing.B) {
	w := newWorld(b)
	m := w.bare()
	ctx := context.Background()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		id := session.ID(fmt.Sprintf("s%d", n))
		q := request(id)
		q.Command = strings.Fields("wait")
		if _, err := m.Start(ctx, q); err != nil {
			b.Fatal(err)
		}
		if _, err := m.Wait(ctx, id, session.Running); err != nil {
			b.Fatal(err)
		}
		if _, err := m.Stop(ctx, id, session.Order{}); err != nil {
			b.Fatal(err)
		}
		if _, err := m.Wait(ctx, id, session.Stopped); err != nil {
			b.Fatal(err)
		}
	}
}

// bare is a manager with no guard between it and the host.
func (w *world) bare() *session.Manager {
	w.t.Helper()
	m, _ := w.run(w.host, session.Config{})
	return m
}
