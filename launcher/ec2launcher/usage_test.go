package ec2launcher_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// What a workload uses is measured by its host, whichever process asks, and by
// nobody while that does not answer or when it is gone.
func TestUsageOfAHost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		work := w.workload("a", "alice") // with half a vCPU
		work.Command = []string{"spin", "24h"}
		w.launch(work)
		host := w.until("a", launcher.Running).Host
		other, err := ec2launcher.NewFromConfig(w.cloud.Config(), w.cfg) // and no Run
		if err != nil {
			t.Fatal(err)
		}
		processes := map[string]*ec2launcher.Launcher{"the one that works": w.fleet, "another": other}
		before, err := other.Usage(t.Context(), "a")
		w.must(err)
		time.Sleep(time.Minute)
		for what, fleet := range processes {
			u, err := fleet.Usage(t.Context(), "a")
			if cores, ok := u.Cores(before); err != nil || !ok || cores != .5 {
				t.Errorf("measured by %s process it used %v cores, %v, from %+v to %+v, %v; want half a core", what, cores, ok, before, u, err)
			}
		}
		w.must(w.cloud.Partition(host, true))
		for what, fleet := range processes {
			if u, err := fleet.Usage(t.Context(), "a"); !errors.Is(err, launcher.ErrUnavailable) {
				t.Errorf("of a silent host %s process has %+v, %v; want ErrUnavailable", what, u, err)
			}
		}
		w.must(w.cloud.Partition(host, false))
		// Between the host's end and the workload's, which the next look tells of.
		w.alter("test.hosts", host, func(doc map[string]any) { doc["State"] = ec2launcher.HostGone })
		for what, fleet := range processes {
			if u, err := fleet.Usage(t.Context(), "a"); !errors.Is(err, launcher.ErrNotRunning) || !strings.Contains(err.Error(), "gone") {
				t.Errorf("of a host that is gone %s process has %+v, %v; want ErrNotRunning that says so", what, u, err)
			}
		}
	})
}

// What a host was asked to run and has not begun is known, though not to the
// host; and of what has exited no host is asked.
func TestUsageOfWhatTheHostDoesNotRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var asked atomic.Int64
		w := newWorld(t, realistic, func(c *ec2launcher.Config) {
			c.Linger = time.Hour
			odd(c, func(o *oddHost) {
				o.launch = func(ctx context.Context, work launcher.Workload) (launcher.Status, error) {
					if work.ID == "late" {
						asked.Add(1)
						return launcher.Status{}, launcher.ErrUnavailable
					}
					return o.HostLauncher.Launch(ctx, work)
				}
			})
		})
		short := w.workload("short", "alice")
		short.Command = []string{"exit", "0"}
		w.launch(short)
		host := w.until("short", launcher.Exited).Host
		w.launch(w.workload("late", "alice"))
		time.Sleep(time.Minute)
		if u, err := w.fleet.Usage(t.Context(), "late"); asked.Load() == 0 || !errors.Is(err, launcher.ErrNotRunning) {
			t.Errorf("what its host was asked for %d times uses %+v, %v; want ErrNotRunning", asked.Load(), u, err)
		}
		w.must(w.cloud.Partition(host, true))
		if u, err := w.fleet.Usage(t.Context(), "short"); !errors.Is(err, launcher.ErrNotRunning) {
			t.Errorf("what has exited on a host that is silent now uses %+v, %v; want ErrNotRunning", u, err)
		}
	})
}
