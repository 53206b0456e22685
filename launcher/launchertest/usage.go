package launchertest

import (
	"errors"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

var usageClauses = []clause{
	{name: "Usage/Busy", test: usageBusy},
	{name: "Usage/Idle", test: usageIdle},
	{name: "Usage/Memory", test: usageMemory},
	{name: "Usage/Stopping", test: usageStopping},
	{name: "Usage/BeforeStart", test: usageBeforeStart},
	{name: "Usage/NotRunning", test: usageNotRunning},
	{name: "Usage/Restart", test: usageRestart, needs: needsRestart},
}

// usage measures what a workload uses, which must succeed.
func (r *run) usage(id launcher.ID) launcher.Usage {
	r.Helper()
	u, err := r.Launcher.Usage(r.ctx, id)
	if err != nil {
		r.Fatalf("Usage(%s) = %v", id, err)
	}
	if u.At.Before(u.StartedAt) || u.StartedAt.IsZero() || u.CPU < 0 || u.MemoryBytes < 0 {
		r.Errorf("Usage(%s) = %+v; want a start, a later measurement and nothing negative", id, u)
	}
	return u
}

// A busy program consumes the time of one core and no more, and what it has
// consumed only grows.
func usageBusy(r *run) {
	w := r.workload("a", "say", "begun", ";", "spin", "1h")
	s := r.start(w, "begun")
	first := r.usage(w.ID)
	if !first.StartedAt.Equal(s.StartedAt) {
		r.Errorf("what it uses counts from %v; want its start at %v", first.StartedAt, s.StartedAt)
	}
	last := first
	r.eventually("it has consumed 300 ms more", func() bool {
		u := r.usage(w.ID)
		if u.CPU < last.CPU || u.At.Before(last.At) || !u.StartedAt.Equal(last.StartedAt) {
			r.Errorf("from %+v it went to %+v; want no step back", last, u)
		}
		last = u
		return last.CPU-first.CPU >= 300*time.Millisecond
	})
	// Some more than one: the program's runtime has threads of its own.
	if cores, ok := last.Cores(first); !ok || cores <= 0 || cores > 1.5 {
		r.Errorf("a program on one core kept %v busy, %v, from %+v to %+v", cores, ok, first, last)
	}
}

// An idle program consumes next to nothing, however much it has consumed before.
func usageIdle(r *run) {
	const spun = 300 * time.Millisecond
	w := r.workload("a", "spin", spun.String(), ";", "say", "spun", ";", "wait")
	r.start(w, "spun")
	first := r.usage(w.ID)
	// To begin costs something too, as much as an engine makes of it.
	if first.CPU < spun*9/10 || first.CPU > spun+5*time.Second {
		r.Errorf("after %v on one core it has consumed %v", spun, first.CPU)
	}
	time.Sleep(r.patience / 60)
	last := r.usage(w.ID)
	if cores, ok := last.Cores(first); !ok || cores > 0.1 {
		r.Errorf("an idle program kept %v cores busy, %v, from %+v to %+v", cores, ok, first, last)
	}
}

func usageMemory(r *run) {
	const taken, mib = 64, 1 << 20
	little, more := r.workload("little", "say", "ready", ";", "wait"), r.workload("more", "allocate", "64", ";", "say", "ready", ";", "wait")
	r.start(little, "ready")
	r.start(more, "ready")
	before, after := r.usage(little.ID).MemoryBytes, r.usage(more.ID).MemoryBytes
	if before > taken*mib/2 {
		r.Errorf("a program that has taken nothing uses %d bytes of memory", before)
	}
	if after < taken*mib || after > taken*mib*3/2 {
		r.Errorf("a program that has taken %d MiB uses %d bytes of memory", taken, after)
	}
}

func usageStopping(r *run) {
	w := r.workload("a", "ignore", "SIGTERM", ";", "spin", "200ms", ";", "say", "spun", ";", "wait")
	r.start(w, "spun")
	before := r.usage(w.ID)
	r.stop(w.ID, launcher.StopOptions{Grace: 8 * r.patience})
	r.wait(w.ID, "be stopping", func(s launcher.Status) bool { return s.Phase == launcher.Stopping })
	if after := r.usage(w.ID); after.CPU < before.CPU || !after.StartedAt.Equal(before.StartedAt) {
		r.Errorf("when it stops it goes from %+v to %+v", before, after)
	}
}

// What has not begun is known, and does not run.
func usageBeforeStart(r *run) {
	w := r.workload("a", "wait")
	r.launch(w)
	r.eventually("it can be measured", func() bool {
		_, err := r.Launcher.Usage(r.ctx, w.ID)
		if err != nil {
			r.wantKind("Usage before the start", err, launcher.ErrNotRunning)
		}
		return err == nil
	})
	if s, err := launcher.Get(r.ctx, r.Launcher, w.ID); err != nil || s.Phase != launcher.Running {
		r.Errorf("when it can be measured it is %+v, %v; want it running", s, err)
	}
}

func usageNotRunning(r *run) {
	w := r.workload("a", "spin", "10ms", ";", "exit", "3")
	r.launch(w)
	r.exitCode(w.ID, 3)
	_, err := r.Launcher.Usage(r.ctx, w.ID)
	r.wantKind("Usage of what has exited", err, launcher.ErrNotRunning)
}

// A workload is measured from its start, whoever launched it.
func usageRestart(r *run) {
	w := r.workload("a", "spin", "300ms", ";", "say", "spun", ";", "wait")
	r.start(w, "spun")
	before := r.usage(w.ID)
	r.restart()
	var after launcher.Usage
	r.eventually("it is measured after a restart", func() (measured bool) {
		var err error
		after, err = r.Launcher.Usage(r.ctx, w.ID)
		if err != nil && !errors.Is(err, launcher.ErrUnavailable) {
			r.Fatalf("Usage after a restart: %v", err)
		}
		return err == nil
	})
	if !after.StartedAt.Equal(before.StartedAt) || after.CPU < before.CPU {
		r.Errorf("after a restart it is %+v; want what goes on from %+v", after, before)
	}
}
