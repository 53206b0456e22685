package launchertest

import (
	"context"
	"errors"

	"github.com/atelier-go/atelier/launcher"
)

var cancelClauses = []clause{
	{name: "Cancel/Launch", test: cancelLaunch},
	{name: "Cancel/Stop", test: cancelStop},
	{name: "Cancel/List", test: cancelList},
	{name: "Cancel/Watch", test: cancelWatch},
	{name: "Cancel/Dial", test: cancelDial},
	{name: "Cancel/Logs", test: cancelLogs},
	{name: "Cancel/Usage", test: cancelUsage},
}

var kindClauses = []clause{
	{name: "Kinds/NotFound", test: kindsNotFound},
	{name: "Kinds/Invalid", test: kindsInvalid},
	{name: "Kinds/Image", test: kindsImage, needs: needsNoImage},
	{name: "Kinds/Mount", test: kindsMount, needs: needsNoDir},
}

// cancelled is a context that has ended.
func (r *run) cancelled() context.Context {
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	return ctx
}

// A Launch whose caller gave up can be asked for again, and runs once.
func cancelLaunch(r *run) {
	w, runs := r.counted("a", "exit", "0")
	_, err := r.Launcher.Launch(r.cancelled(), w)
	r.wantCanceled("Launch", err)
	r.launch(w)
	r.exitCode(w.ID, 0)
	if n := runs(); n != 1 {
		r.Errorf("it ran %d times; want once", n)
	}
}

func cancelStop(r *run) {
	w := r.workload("a", "trap", "SIGTERM", "7")
	r.start(w, "trapped")
	r.wantCanceled("Stop", r.Launcher.Stop(r.cancelled(), w.ID, launcher.StopOptions{}))
	r.stop(w.ID, launcher.StopOptions{})
	r.exitCode(w.ID, 7)
}

func cancelList(r *run) {
	r.launch(r.workload("a", "wait"))
	var last error
	for _, err := range r.Launcher.List(r.cancelled(), r.mine()) {
		if last != nil {
			r.Error("List goes on after an error")
		}
		last = err
	}
	r.wantCanceled("List", last)
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	r.launch(r.workload("b", "wait"))
	last = nil
	for _, err := range r.Launcher.List(ctx, r.mine()) {
		last = err
		cancel()
	}
	if last != nil {
		r.wantCanceled("the rest of a List", last)
	}
}

func cancelWatch(r *run) {
	r.launch(r.workload("a", "wait"))
	var last error
	for _, err := range r.Launcher.Watch(r.cancelled(), r.mine()) {
		last = err
	}
	r.wantCanceled("Watch", last)
}

func cancelDial(r *run) {
	w := r.server("a")
	r.start(w, "serving")
	r.dial(w.ID, "http").Close()
	c, err := r.Launcher.Dial(r.cancelled(), w.ID, "http")
	r.wantCanceled("Dial", err)
	if err == nil {
		c.Close()
	}
}

func cancelLogs(r *run) {
	w := r.workload("a", "wait")
	r.start(w, "")
	logs, err := r.Launcher.Logs(r.cancelled(), w.ID, launcher.LogOptions{Follow: true})
	if err == nil {
		_, err = logs.Read(make([]byte, 1))
		logs.Close()
	}
	r.wantCanceled("Logs", err)
}

func cancelUsage(r *run) {
	w := r.workload("a", "wait")
	r.start(w, "")
	_, err := r.Launcher.Usage(r.cancelled(), w.ID)
	r.wantCanceled("Usage", err)
}

func kindsNotFound(r *run) {
	absent := r.id("absent")
	r.wantKind("Stop of an unknown ID", r.Launcher.Stop(r.ctx, absent, launcher.StopOptions{}), launcher.ErrNotFound)
	_, err := r.Launcher.Dial(r.ctx, absent, "http")
	r.wantKind("Dial of an unknown ID", err, launcher.ErrNotFound)
	_, err = r.Launcher.Logs(r.ctx, absent, launcher.LogOptions{})
	r.wantKind("Logs of an unknown ID", err, launcher.ErrNotFound)
	_, err = r.Launcher.Usage(r.ctx, absent)
	r.wantKind("Usage of an unknown ID", err, launcher.ErrNotFound)
}

func kindsInvalid(r *run) {
	w := r.workload("a", "trap", "SIGTERM", "7")
	r.start(w, "trapped")
	r.wantKind("Stop with a negative grace", r.Launcher.Stop(r.ctx, w.ID, launcher.StopOptions{Grace: -1}), launcher.ErrInvalid)
	r.wantKind("Stop with an unknown signal", r.Launcher.Stop(r.ctx, w.ID, launcher.StopOptions{Signal: "SIGNAL"}), launcher.ErrInvalid)
	_, err := r.Launcher.Logs(r.ctx, w.ID, launcher.LogOptions{Offset: -1})
	r.wantKind("Logs from a negative offset", err, launcher.ErrInvalid)
	if s, err := launcher.Get(r.ctx, r.Launcher, w.ID); err != nil || s.Phase != launcher.Running {
		r.Errorf("after refused calls it is %+v, %v; want it running", s, err)
	}
}

// failsToStart launches what cannot start: it is refused, or it exits with the
// reason and without having started.
func (r *run) failsToStart(w launcher.Workload, kind launcher.Kind) {
	r.Helper()
	_, err := r.Launcher.Launch(r.ctx, w)
	if err != nil {
		r.wantKind("Launch", err, kind)
		if s, err := launcher.Get(r.ctx, r.Launcher, w.ID); !errors.Is(err, launcher.ErrNotFound) {
			r.Errorf("after a refused Launch the ID is known: %+v, %v", s, err)
		}
		return
	}
	if s := r.exit(w.ID); s.Reason != kind || s.Message == "" || !s.StartedAt.IsZero() {
		r.Errorf("it exited with reason %q, message %q, started %v; want reason %q, a sentence and no start", s.Reason, s.Message, s.StartedAt, kind)
	}
}

func kindsImage(r *run) {
	w := r.workload("a", "exit", "0")
	w.Image = r.NoImage
	r.failsToStart(w, launcher.ErrImage)
}

func kindsMount(r *run) {
	w := r.workload("a", "exit", "0")
	w.Mounts = []launcher.Mount{{Source: r.NoDir, Target: "/data"}}
	r.failsToStart(w, launcher.ErrMount)
}
