package launcher

import "time"

// A Usage is what a workload uses, as its host measured it at one moment. The
// zero value is no measurement.
//
// Nothing in it is a share of a machine: one busy core of a host with 96 is 1%
// of the machine, and somebody's computation all the same. There is no size of
// virtual memory, since nothing measures one for a container as a whole.
type Usage struct {
	// StartedAt is when the workload began, which is from when CPU counts, and
	// At when it was measured. Both are by the clock of its host.
	StartedAt, At time.Time
	// CPU is the processor time that all processes of the workload have
	// consumed so far, in the kernel and outside, added up over all cores: two
	// cores that are busy for a second consume two. It never shrinks.
	CPU time.Duration
	// MemoryBytes is the memory that the workload keeps from others: without
	// the cache of files that the kernel would give away first.
	MemoryBytes int64
}

// Cores returns how many cores were busy on average from an earlier measurement
// to u: 1 is one core all the time. A mean hides what is shorter than the time
// between.
//
// It reports false if nothing can be told: the two are not of one container,
// or earlier is not earlier. A measurement is compared with its container's
// beginning by Usage{StartedAt: u.StartedAt, At: u.StartedAt}. A clock of the host
// that was set between the two is not noticed, unless it went back that far.
func (u Usage) Cores(earlier Usage) (float64, bool) {
	passed, used := u.At.Sub(earlier.At), u.CPU-earlier.CPU
	if !u.StartedAt.Equal(earlier.StartedAt) || passed <= 0 || used < 0 {
		return 0, false
	}
	return float64(used) / float64(passed), true
}
