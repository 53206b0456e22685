package launcher_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// One of 96 vCPUs has computed for a minute, which is 1% of the machine.
func ExampleUsage_Cores() {
	begun := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	before := launcher.Usage{StartedAt: begun, At: begun.Add(time.Hour), CPU: 90 * time.Second}
	now := launcher.Usage{StartedAt: begun, At: begun.Add(time.Hour + time.Minute), CPU: 150 * time.Second}
	fmt.Println(now.Cores(before))
	// Output: 1 true
}

func TestCores(t *testing.T) {
	begun := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	reading := func(at, cpu time.Duration) launcher.Usage {
		return launcher.Usage{StartedAt: begun, At: begun.Add(at), CPU: cpu}
	}
	restarted := reading(time.Minute, time.Hour)
	restarted.StartedAt = begun.Add(time.Second)
	elsewhere := reading(time.Minute, time.Minute)
	elsewhere.StartedAt, elsewhere.At = elsewhere.StartedAt.In(time.FixedZone("", 3600)), elsewhere.At.In(time.FixedZone("", 3600))
	for name, c := range map[string]struct {
		u, earlier launcher.Usage
		cores      float64
		ok         bool
	}{
		"One":           {reading(time.Minute, time.Minute), reading(0, 0), 1, true},
		"Idle":          {reading(time.Minute, time.Minute), reading(time.Second, time.Minute), 0, true},
		"Many":          {reading(2*time.Second, 100*time.Second), reading(time.Second, 4*time.Second), 96, true},
		"Little":        {reading(time.Hour, time.Millisecond), reading(0, 0), 1. / 3_600_000, true},
		"SinceItBegan":  {reading(time.Minute, 30*time.Second), launcher.Usage{StartedAt: begun, At: begun}, .5, true},
		"OtherZone":     {elsewhere, reading(0, 0), 1, true},
		"OutOfOrder":    {reading(0, 0), reading(time.Minute, time.Minute), 0, false},
		"AtOnce":        {reading(time.Minute, time.Minute), reading(time.Minute, 0), 0, false},
		"CounterShrank": {reading(time.Minute, 0), reading(time.Second, time.Second), 0, false},
		"ClockWentBack": {reading(time.Second, time.Minute), reading(time.Minute, time.Second), 0, false},
		"Restarted":     {restarted, reading(time.Second, time.Second), 0, false},
		"NoEarlier":     {reading(time.Minute, time.Minute), launcher.Usage{}, 0, false},
		"Neither":       {launcher.Usage{}, launcher.Usage{}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			if cores, ok := c.u.Cores(c.earlier); cores != c.cores || ok != c.ok {
				t.Errorf("Cores = %v, %v; want %v, %v", cores, ok, c.cores, c.ok)
			}
		})
	}
}

// Whatever is measured, cores are a number of cores, and time has one direction.
func FuzzCores(f *testing.F) {
	f.Add(int64(0), int64(0), int64(0), int64(1), int64(1))
	f.Add(int64(0), int64(time.Hour), int64(math.MaxInt64), int64(time.Minute), int64(0))
	f.Add(int64(1), int64(math.MinInt64), int64(0), int64(math.MaxInt64), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, apart, at1, cpu1, at2, cpu2 int64) {
		a := launcher.Usage{At: time.Unix(0, at1), CPU: time.Duration(cpu1 & math.MaxInt64)}
		b := launcher.Usage{At: time.Unix(0, at2), CPU: time.Duration(cpu2 & math.MaxInt64), StartedAt: a.StartedAt.Add(time.Duration(apart))}
		cores, ok := b.Cores(a)
		if cores < 0 || math.IsNaN(cores) || math.IsInf(cores, 0) || !ok && cores != 0 {
			t.Errorf("%+v.Cores(%+v) = %v, %v", b, a, cores, ok)
		}
		if _, reverse := a.Cores(b); ok && reverse {
			t.Errorf("%+v and %+v are each later than the other", a, b)
		}
		if ok && (apart != 0 || at2 <= at1 || b.CPU < a.CPU) {
			t.Errorf("%+v.Cores(%+v) = %v: they cannot be compared", b, a, cores)
		}
	})
}
