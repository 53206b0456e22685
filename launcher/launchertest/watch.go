package launchertest

import (
	"context"
	"errors"
	"slices"

	"github.com/atelier-go/atelier/launcher"
)

// phases is every phase in the order in which they come.
var phases = []launcher.Phase{
	launcher.Queued, launcher.Provisioning, launcher.Starting, launcher.Running, launcher.Stopping, launcher.Exited,
}

var watchClauses = []clause{
	{name: "Watch/Synced", test: watchSynced},
	{name: "Watch/Changes", test: watchChanges},
	{name: "Watch/Forward", test: watchForward},
	{name: "Watch/NeverPastExit", test: watchNeverPastExit},
	{name: "Watch/Filter", test: watchFilter},
	{name: "Watch/Many", test: watchMany},
	{name: "Watch/EndsWithContext", test: watchEndsWithContext},
	{name: "Watch/EarlyBreak", test: watchEarlyBreak},
}

func watchSynced(r *run) {
	want := r.some()
	var before []launcher.ID
	for s, err := range r.Launcher.Watch(r.ctx, r.mine()) {
		if err != nil {
			r.Fatalf("the Watch ended: %v", err)
		}
		if s.Synced() {
			break
		}
		before = append(before, s.ID)
	}
	slices.Sort(before)
	if before = slices.Compact(before); !slices.Equal(before, want) {
		r.Errorf("before its mark the Watch yields %v; want all that is: %v", before, want)
	}
	empty := r.mine()
	empty.Owner = "nobody"
	for s, err := range r.Launcher.Watch(r.ctx, empty) {
		if err != nil || !s.Synced() {
			r.Errorf("a Watch of nothing begins with %+v, %v; want the mark", s, err)
		}
		break
	}
}

func watchChanges(r *run) {
	o := r.watch(r.mine())
	w := r.workload("a", "trap", "SIGTERM", "7")
	r.launch(w)
	r.eventually("the Watch tells that it runs", func() bool { return o.last(w.ID).Phase == launcher.Running })
	r.awaitOutput(w.ID, "trapped")
	r.stop(w.ID, launcher.StopOptions{})
	r.eventually("the Watch tells its exit", func() bool { return o.last(w.ID).Phase == launcher.Exited })
	if s := o.last(w.ID); s.ExitCode != 7 || s.Owner != w.Owner || s.Labels["run"] != w.Labels["run"] {
		r.Errorf("the Watch tells the exit %+v; want code 7, the owner and the labels", s)
	}
}

func watchForward(r *run) {
	o := r.watch(r.mine())
	for _, name := range []string{"a", "b", "c"} {
		w := r.workload(name, "wait")
		r.start(w, "")
		r.stop(w.ID, launcher.StopOptions{})
	}
	for _, name := range []string{"a", "b", "c"} {
		id := r.id(name)
		r.exit(id)
		r.eventually("the Watch tells its exit", func() bool { return o.last(id).Phase == launcher.Exited })
		at := -1
		for _, s := range o.of(id) {
			next := slices.Index(phases, s.Phase)
			if next < at || next < 0 {
				r.Errorf("the phase of %s goes from %s to %s", id, phases[max(at, 0)], s.Phase)
			}
			at = next
		}
	}
}

// A reader that sleeps through a whole life still sees its end.
func watchNeverPastExit(r *run) {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	asleep, awake := make(chan struct{}), make(chan struct{})
	end := make(chan launcher.Status, 1)
	go func() {
		defer close(end)
		for s, err := range r.Launcher.Watch(ctx, r.mine()) {
			switch {
			case err != nil:
				return
			case s.Synced():
				close(asleep)
				<-awake
			case s.Phase == launcher.Exited:
				end <- s
				return
			}
		}
	}()
	<-asleep
	w := r.workload("a", "exit", "5")
	r.launch(w)
	r.exitCode(w.ID, 5)
	r.stop(w.ID, launcher.StopOptions{Forget: true})
	r.eventually("the forgotten exit is dropped", func() bool { return r.unknown(w.ID) })
	close(awake)
	r.eventually("a slow reader is told the exit of what was forgotten meanwhile", func() bool { return len(end) == 1 })
	if s := <-end; s.ID != w.ID || s.ExitCode != 5 {
		r.Errorf("a slow reader was told %+v; want the exit with code 5", s)
	}
}

func watchFilter(r *run) {
	a, b := r.workload("a", "exit", "0"), r.workload("b", "exit", "0")
	b.Owner = "bob"
	bob := r.mine()
	bob.Owner = "bob"
	byOwner, byID := r.watch(bob), r.watch(launcher.Filter{IDs: []launcher.ID{a.ID}})
	r.launch(a)
	r.launch(b)
	r.eventually("both Watches tell the exit of theirs", func() bool {
		return byOwner.last(b.ID).Phase == launcher.Exited && byID.last(a.ID).Phase == launcher.Exited
	})
	if seen := byOwner.of(a.ID); len(seen) > 0 {
		r.Errorf("a Watch of bob's tells of alice's %+v", seen[0])
	}
	if seen := byID.of(b.ID); len(seen) > 0 {
		r.Errorf("a Watch of %s tells of %+v", a.ID, seen[0])
	}
}

func watchMany(r *run) {
	observers := make([]*observer, 16)
	for i := range observers {
		observers[i] = r.watch(r.mine())
	}
	w := r.workload("a", "exit", "3")
	r.launch(w)
	r.eventually("each of 16 Watches tells the exit", func() bool {
		return !slices.ContainsFunc(observers, func(o *observer) bool { return o.last(w.ID).ExitCode != 3 })
	})
}

func watchEndsWithContext(r *run) {
	o := r.watch(r.mine())
	o.end()
	r.eventually("the Watch ends with its context", func() bool {
		select {
		case <-o.done:
			return true
		default:
			return false
		}
	})
	if !errors.Is(o.err, context.Canceled) {
		r.Errorf("the last element of a cancelled Watch has error %v; want context.Canceled", o.err)
	}
}

func watchEarlyBreak(r *run) {
	r.some()
	for range 3 {
		for _, err := range r.Launcher.Watch(r.ctx, r.mine()) {
			if err != nil {
				r.Fatal(err)
			}
			break
		}
	}
}
