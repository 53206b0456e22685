package positlauncher_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// TestServeOpening: while a program has no manager yet, it gives signs of life, and
// what it is asked waits.
func TestServeOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world(t, fake.Config{})
		begun := time.Now()
		l := serveOpening(t, func(ctx context.Context) (*session.Manager, error) {
			time.Sleep(10 * time.Second)
			return w.Sessions, nil
		}, positlauncher.Config{Cluster: "EC2", MetricsInterval: -1})
		asked := l.send(wire.BootstrapRequest, map[string]any{"version": wire.API})
		for range 3 {
			l.send(wire.HeartbeatRequest, map[string]any{"requestId": uint64(0)})
			if m := l.receive(); m["messageType"] != float64(wire.HeartbeatResponse) || time.Since(begun) > 0 {
				t.Fatalf("after %v: %v; want a sign of life at once", time.Since(begun), m)
			}
		}
		if m := l.receive(); m["requestId"] != float64(asked) || time.Since(begun) != 10*time.Second {
			t.Errorf("after %v: %v; want the answer after 10s", time.Since(begun), m)
		}
		l.await(l.submit(wire.Job{Name: "one", Exe: "say", Args: []string{"hello"}}), wire.Finished)
	})
}

// TestServeNeverOpens: the end of input ends a program that opens still, and one that
// cannot says why.
func TestServeNeverOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := serveOpening(t, func(ctx context.Context) (*session.Manager, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, positlauncher.Config{Cluster: "EC2"})
		l.send(wire.BootstrapRequest, map[string]any{"version": wire.API})
		l.end() // without an error

		failed := errors.New("there is no such domain")
		in, to := io.Pipe()
		defer to.Close()
		err := positlauncher.ServeOpening(t.Context(), in, io.Discard, func(context.Context) (*session.Manager, error) { return nil, failed }, positlauncher.Config{Cluster: "EC2"})
		if !errors.Is(err, failed) {
			t.Errorf("%v; want %v", err, failed)
		}
	})
}
