package positlaunchertest

import (
	"errors"
	"syscall"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

var exitClauses = []clause{
	{name: "Exit/EndOfInput", test: exitEndOfInput},
	{name: "Exit/BeforeBootstrap", test: exitBeforeBootstrap},
	{name: "Exit/WithinMessage", test: exitWithinMessage},
	{name: "Exit/OpenStreams", test: exitOpenStreams},
	{name: "Exit/SIGTERM", test: exitSIGTERM},
}

// close ends a plugin by the end of its input, which must succeed.
func (r *run) close(l *Launcher, when string) {
	r.Helper()
	if err := l.Close(); err != nil {
		r.Errorf("the end of the plugin's input %s: %v", when, err)
	}
}

func exitEndOfInput(r *run) {
	c := r.user()
	r.alive(c, "Bootstrap")
	r.close(c.l, "when nothing is asked")
}

func exitBeforeBootstrap(r *run) { r.close(r.launch(Options{}), "before Bootstrap") }

func exitWithinMessage(r *run) {
	for _, n := range []int{1, 4, 10} {
		c := r.user()
		if _, err := c.l.Write(requestFrame(1, wire.ClusterInfoRequest, c.fields(nil))[:n]); err != nil {
			r.Fatal(err)
		}
		// That it ends matters here, and not what it says of it.
		_ = c.l.end(func() error { return c.l.plugin.Stdin.Close() }, false)
		if err := c.l.Close(); err != nil {
			r.Errorf("the end of the plugin's input after %d bytes of a message: %v", n, err)
		}
	}
}

// streams opens one of each kind.
func (r *run) streams(c Caller) {
	r.Helper()
	job := r.submit(c, r.Jobs.Long())
	r.statuses(c, wire.All)
	r.statuses(c, job.ID)
	r.output(c, job.ID, nil)
	r.running(c, job.ID)
	if _, err := c.Utilization(job.ID); err != nil {
		r.Fatal(err)
	}
	r.output(c, job.ID, "stdout")
	r.alive(c, "opening streams")
}

func exitOpenStreams(r *run) {
	c := r.user()
	r.streams(c)
	r.close(c.l, "with open streams")
}

func exitSIGTERM(r *run) {
	for _, busy := range []bool{false, true} {
		c := r.user()
		if busy {
			r.streams(c)
		}
		if err := c.l.Terminate(syscall.SIGTERM); errors.Is(err, errors.ErrUnsupported) {
			r.Skip(err)
		} else if err != nil {
			r.Errorf("SIGTERM with open streams %v: %v", busy, err)
		}
	}
}
