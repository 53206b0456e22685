package positlauncher

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// A meter counts how long the cluster takes to do what it is asked.
type meter struct {
	mu    sync.Mutex
	taken *wire.Histogram
}

// took notes that something took so long.
func (m *meter) took(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.taken == nil {
		m.taken = &wire.Histogram{}
	}
	m.taken.Sum += d.Seconds()
	for i, bound := range wire.LatencyBounds {
		if d.Seconds() <= bound {
			m.taken.Buckets[i]++
			return
		}
	}
}

// drain returns what was counted since it was last called; nil is nothing.
func (m *meter) drain() *wire.Histogram {
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := m.taken
	m.taken = nil
	return taken
}

// timed counts how long an answer takes that the cluster has a part in.
func (s *server) timed(answer func() (message, error)) (message, error) {
	begun := time.Now()
	defer func() { s.meter.took(time.Since(begun)) }()
	return answer()
}

// tellMetrics tells of the plugin itself now and then, from when it serves.
func (s *server) tellMetrics(ctx context.Context) error {
	interval := s.config().MetricsInterval
	if interval < 0 {
		return nil
	}
	select {
	case <-s.board.synced:
	case <-ctx.Done():
		return nil
	}
	_ = pace.Every(ctx, interval, func() {
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		s.out.post(&wire.Metrics{
			Header:           wire.Header{Type: wire.MetricsResponse},
			UptimeSeconds:    uint64(time.Since(s.begun) / time.Second),
			MemoryUsageBytes: memory.Sys - memory.HeapReleased,
			Latency:          s.meter.drain(),
		})
	})
	return nil
}
