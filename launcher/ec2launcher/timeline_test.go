package ec2launcher_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// stages is how long after a workload was queued each stage was reached.
func stages(s launcher.Status) string {
	var all []string
	for _, stage := range []struct {
		name string
		at   time.Time
	}{{"host", s.Reached.Host}, {"boot", s.Reached.Boot}, {"pull", s.Reached.Pull}, {"mount", s.Reached.Mount}, {"began", s.StartedAt}} {
		if !stage.at.IsZero() {
			all = append(all, fmt.Sprintf("%s %v", stage.name, stage.at.Sub(s.QueuedAt).Round(time.Second)))
		}
	}
	return strings.Join(all, ", ")
}

// steady are delays that make every stage as long as it can be told apart.
var steady = fakeaws.Config{Delays: fakeaws.Delays{InstanceRunning: 5 * time.Second, HostReady: 25 * time.Second, Pull: 20 * time.Second, ContainerStart: 2 * time.Second}}

// TestTimeline: what is bought for a workload, booted and pulled takes its time, what
// is there takes none, and no restart of the process changes what was told.
func TestTimeline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, steady, nil)
		w.launch(w.workload("a", "alice"))
		cold := w.until("a", launcher.Running)
		if got, want := stages(cold), "host 0s, boot 31s, pull 51s, mount 53s, began 53s"; got != want {
			t.Errorf("on a host that is bought for it: %s; want %s", got, want)
		}
		h := w.hosts()[0]
		if cold.Zone != h.Zone || h.Zone == "" || !cold.Reached.Boot.Equal(h.ReadyAt) {
			t.Errorf("in %q at %v; its host is in %q since %v", cold.Zone, cold.Reached.Boot, h.Zone, h.ReadyAt)
		}
		time.Sleep(time.Minute)
		w.launch(w.workload("b", "alice"))
		if got, want := stages(w.until("b", launcher.Running)), "host 0s, boot 0s, pull 0s, mount 2s, began 2s"; got != want {
			t.Errorf("on a host that was there: %s; want %s", got, want)
		}
		w.launch(w.workload("c", "bob")) // on a host of his own
		for at := range 8 {              // a process after another, whatever it comes to meanwhile
			time.Sleep(7 * time.Second)
			before, err := launcher.Get(t.Context(), w.fleet, "c")
			if err != nil {
				t.Fatal(err)
			}
			w.restart()
			after, err := launcher.Get(t.Context(), w.fleet, "c")
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(stages(after), stages(before)) {
				t.Errorf("restart %d: it was told %s, and now %s", at, stages(before), stages(after))
			}
		}
		if got := stages(w.until("c", launcher.Running)); strings.Count(got, ",") != 4 {
			t.Errorf("with a process after another: %s", got)
		}
		if now := w.until("a", launcher.Running); now.Reached != cold.Reached {
			t.Errorf("it is %+v; was %+v", now.Reached, cold.Reached)
		}
	})
}

// What was reached on a host that came to nothing counts no more: the times are those
// of the next.
func TestTimelineOfALostHost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := true
		w := newWorld(t, steady, func(c *ec2launcher.Config) {
			c.BootDeadline = 2 * time.Minute
			connect, broken := c.Connect, ""
			c.Connect = func(ctx context.Context, h ec2launcher.Host) (ec2launcher.HostLauncher, error) {
				if first {
					first, broken = false, h.ID
				}
				if h.ID == broken {
					return nil, errors.New("it does not boot")
				}
				return connect(ctx, h)
			}
		})
		w.launch(w.workload("a", "alice"))
		time.Sleep(time.Minute)
		s, err := launcher.Get(t.Context(), w.fleet, "a")
		if err != nil {
			t.Fatal(err)
		}
		if s.Reached.Host.IsZero() || !s.Reached.Boot.IsZero() || s.Zone == "" {
			t.Errorf("on a host that does not boot: %s", stages(s))
		}
		none := false
		for s, err := range w.fleet.Watch(t.Context(), launcher.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			if s.ID != "" && s.Host == "" {
				none = true
				if s.Reached != (launcher.Timeline{}) || s.Zone != "" {
					t.Errorf("without a host, it has reached %s in %q", stages(s), s.Zone)
				}
			}
			if s.Phase == launcher.Running {
				if s.Reached.Host.Sub(s.QueuedAt) < 2*time.Minute || s.Reached.Mount.IsZero() {
					t.Errorf("on the next host: %s", stages(s))
				}
				break
			}
		}
		if !none {
			t.Error("nobody was told that the first host came to nothing")
		}
	})
}
