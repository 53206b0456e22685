package ec2launcher

import (
	"testing"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// The boot of a workload's host is when its engine answered, not before the workload
// had it, and not known if it was not recorded.
func TestBootOf(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	for _, c := range []struct {
		name   string
		ready  time.Time
		before launcher.Timeline
		want   time.Time
	}{
		{"booted for it", at(40), launcher.Timeline{Host: at(10)}, at(40)},
		{"booted that moment", at(9), launcher.Timeline{Host: at(10)}, at(10)},
		{"was there", at(5), Host{Ready: true}.welcomes(at(10)), at(10)},
		{"of an earlier version", time.Time{}, Host{}.welcomes(at(10)), time.Time{}},
		{"told already", at(40), launcher.Timeline{Host: at(10), Boot: at(30)}, at(30)},
	} {
		w := hostWatch{readyAt: c.ready}
		if got := w.bootOf(c.before); !got.Equal(c.want) {
			t.Errorf("%s: %v; want %v", c.name, got, c.want)
		}
	}
}
