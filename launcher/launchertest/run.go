package launchertest

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// run is one clause being tested.
type run struct {
	*testing.T
	Harness
	ctx      context.Context
	patience time.Duration
	realTime bool
	prefix   string // of each ID

	mu       sync.Mutex
	launched []launcher.ID
}

// clear ends everything the clause launched and has it forgotten, as far as the
// launcher answers.
func (r *run) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), r.patience)
	defer cancel()
	left := slices.Clone(r.launched)
	for len(left) > 0 && ctx.Err() == nil {
		left = slices.DeleteFunc(left, func(id launcher.ID) bool {
			return errors.Is(r.Launcher.Stop(ctx, id, launcher.StopOptions{Signal: "SIGKILL", Forget: true}), launcher.ErrNotFound)
		})
		time.Sleep(r.pause())
	}
}

// id returns the ID with that name in this run.
func (r *run) id(name string) launcher.ID { return launcher.ID(r.prefix + name) }

// workload returns a workload that does what the command says.
func (r *run) workload(name string, command ...string) launcher.Workload {
	w := r.Template
	w.ID, w.Owner, w.Image, w.Command = r.id(name), "alice", r.Image, command
	w.Labels = maps.Clone(w.Labels)
	if w.Labels == nil {
		w.Labels = map[string]string{}
	}
	w.Labels["run"] = r.prefix + r.Name()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.launched = append(r.launched, w.ID)
	return w
}

// mine selects the workloads of this clause.
func (r *run) mine() launcher.Filter {
	return launcher.Filter{Labels: map[string]string{"run": r.prefix + r.Name()}}
}

// launch launches w, which must succeed.
func (r *run) launch(w launcher.Workload) launcher.Status {
	r.Helper()
	s, err := r.Launcher.Launch(r.ctx, w)
	if err != nil {
		r.Fatalf("Launch(%s %q) = %v", w.ID, w.Command, err)
	}
	return s
}

// start launches w and waits until it runs and, if not empty, until it has written ready.
func (r *run) start(w launcher.Workload, ready string) launcher.Status {
	r.Helper()
	r.launch(w)
	s := r.wait(w.ID, "run", func(s launcher.Status) bool { return s.Phase == launcher.Running })
	if ready != "" {
		r.awaitOutput(w.ID, ready)
	}
	return s
}

// wait waits until done is true of a workload's status.
func (r *run) wait(id launcher.ID, what string, done func(launcher.Status) bool) launcher.Status {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, r.patience)
	defer cancel()
	s, err := launcher.Wait(ctx, r.Launcher, id, done)
	if err != nil {
		now, _ := launcher.Get(r.ctx, r.Launcher, id)
		r.Fatalf("waiting for %s to %s: %v (it is %+v)", id, what, err, now)
	}
	return s
}

// exit waits until a workload has exited.
func (r *run) exit(id launcher.ID) launcher.Status {
	r.Helper()
	return r.wait(id, "exit", func(s launcher.Status) bool { return s.Phase == launcher.Exited })
}

// exitCode waits until a workload has exited, which must be with that code.
func (r *run) exitCode(id launcher.ID, want int) launcher.Status {
	r.Helper()
	s := r.exit(id)
	if s.ExitCode != want || s.StartedAt.IsZero() {
		r.Errorf("%s exited with code %d (started %v, reason %q %s); want code %d", id, s.ExitCode, s.StartedAt, s.Reason, s.Message, want)
	}
	return s
}

// output is all that a workload has written when it has exited.
func (r *run) output(id launcher.ID, stream launcher.Stream) string {
	r.Helper()
	return r.read(id, launcher.LogOptions{Stream: stream, Follow: true})
}

// read reads the logs of a workload to their end.
func (r *run) read(id launcher.ID, o launcher.LogOptions) string {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, r.patience)
	defer cancel()
	logs, err := r.Launcher.Logs(ctx, id, o)
	if err != nil {
		r.Fatalf("Logs(%s, %+v) = %v", id, o, err)
	}
	defer logs.Close()
	data, err := io.ReadAll(logs)
	if err != nil {
		r.Errorf("reading the logs of %s (%+v) after %d bytes: %v", id, o, len(data), err)
	}
	return string(data)
}

// awaitOutput waits until a workload has written text on its standard output.
func (r *run) awaitOutput(id launcher.ID, text string) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, r.patience)
	defer cancel()
	logs, err := r.Launcher.Logs(ctx, id, launcher.LogOptions{Stream: launcher.Stdout, Follow: true})
	if err != nil {
		r.Fatalf("Logs(%s, follow) = %v", id, err)
	}
	defer logs.Close()
	var seen strings.Builder
	buffer := make([]byte, 4096)
	for !strings.Contains(seen.String(), text) {
		n, err := logs.Read(buffer)
		seen.Write(buffer[:n])
		if err != nil && !strings.Contains(seen.String(), text) {
			r.Fatalf("following the logs of %s: %v; it wrote %q without %q", id, err, seen.String(), text)
		}
	}
}

// dial connects to a port of a running workload that may not listen yet.
func (r *run) dial(id launcher.ID, port string) net.Conn {
	r.Helper()
	c, err := r.tryDial(id, port)
	if err != nil {
		r.Fatalf("Dial(%s, %q) = %v", id, port, err)
	}
	if err := c.SetDeadline(time.Now().Add(r.patience)); err != nil {
		r.Errorf("SetDeadline on a dialled connection: %v", err)
	}
	return c
}

func (r *run) tryDial(id launcher.ID, port string) (net.Conn, error) {
	for until := time.Now().Add(r.patience); ; time.Sleep(r.pause()) {
		c, err := r.Launcher.Dial(r.ctx, id, port)
		if !errors.Is(err, launcher.ErrUnavailable) || time.Now().After(until) {
			return c, err
		}
	}
}

// pause is the time between two tries.
func (r *run) pause() time.Duration { return r.patience / 1000 }

// eventually tries until ok says so.
func (r *run) eventually(what string, ok func() bool) {
	r.Helper()
	for until := time.Now().Add(r.patience); !ok(); time.Sleep(r.pause()) {
		if time.Now().After(until) {
			r.Fatalf("after %v still not: %s", r.patience, what)
		}
	}
}

// list returns what the filter selects.
func (r *run) list(f launcher.Filter) []launcher.Status {
	r.Helper()
	var all []launcher.Status
	for s, err := range r.Launcher.List(r.ctx, f) {
		if err != nil {
			r.Fatalf("List(%+v) failed after %d: %v", f, len(all), err)
		}
		all = append(all, s)
	}
	return all
}

// ids returns the names of statuses.
func ids(statuses []launcher.Status) []launcher.ID {
	names := make([]launcher.ID, len(statuses))
	for i, s := range statuses {
		names[i] = s.ID
	}
	return names
}

// wantKind checks that err is a launcher's error of that kind.
func (r *run) wantKind(what string, err error, kind launcher.Kind) {
	r.Helper()
	if !errors.Is(err, kind) {
		r.Errorf("%s: error is %v; want it to be launcher kind %q", what, err, kind)
		return
	}
	if e, ok := errors.AsType[*launcher.Error](err); !ok {
		r.Errorf("%s: error %v is no *launcher.Error", what, err)
	} else if e.Kind != kind {
		r.Errorf("%s: error %v has kind %q; want %q", what, err, e.Kind, kind)
	}
}

// wantCanceled checks that err is the context's.
func (r *run) wantCanceled(what string, err error) {
	r.Helper()
	if !errors.Is(err, context.Canceled) {
		r.Errorf("%s with a cancelled context: error is %v; want context.Canceled", what, err)
	}
}

// observer is a Watch in a goroutine.
type observer struct {
	mu     sync.Mutex
	seen   []launcher.Status
	synced bool
	err    error
	// done is closed when the Watch has ended.
	done chan struct{}
	// end ends it.
	end func()
}

// watch observes until the clause ends. It returns when the Watch has synced.
func (r *run) watch(f launcher.Filter) *observer {
	r.Helper()
	ctx, cancel := context.WithCancel(r.ctx)
	o := &observer{done: make(chan struct{}), end: cancel}
	synced := make(chan struct{})
	go func() {
		defer close(o.done)
		for s, err := range r.Launcher.Watch(ctx, f) {
			if o.add(s, err) {
				close(synced)
			}
		}
	}()
	r.Cleanup(func() { cancel(); <-o.done })
	select {
	case <-synced:
	case <-o.done:
		r.Fatalf("the Watch ended before it synced: %v", o.err)
	case <-time.After(r.patience):
		r.Fatalf("the Watch has not synced after %v", r.patience)
	}
	return o
}

// add reports whether s is the first mark.
func (o *observer) add(s launcher.Status, err error) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err != nil:
		o.err = err
	case s.Synced():
		first := !o.synced
		o.synced = true
		return first
	default:
		o.seen = append(o.seen, s)
	}
	return false
}

// of returns what was seen of one workload.
func (o *observer) of(id launcher.ID) []launcher.Status {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(o.seen), func(s launcher.Status) bool { return s.ID != id })
}

// last returns the latest status seen of one workload.
func (o *observer) last(id launcher.ID) launcher.Status {
	seen := o.of(id)
	if len(seen) == 0 {
		return launcher.Status{}
	}
	return seen[len(seen)-1]
}
