package positlauncher_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// A job that writes without end does not keep anybody from hearing of another.
func TestStatusBesideOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := serve(t, world(t, fake.Config{}), positlauncher.Config{MetricsInterval: -1})
		loud := l.submit(wire.Job{Exe: "count", Args: []string{"400000", "a line that is neither short nor of any interest"}})
		output := l.send(wire.JobOutputRequest, map[string]any{"jobId": loud})
		l.receive()
		l.send(wire.JobStatusRequest, map[string]any{"jobId": "*"})
		asked := l.send(wire.SubmitJobRequest, map[string]any{"job": wire.Job{Exe: "say", Args: []string{"hello"}}})
		quiet := ""
		for range 400 {
			time.Sleep(10 * time.Millisecond) // it reads more slowly than the job writes
			m := l.receive()
			switch {
			case m["requestId"] == float64(asked):
				quiet = m["jobs"].([]any)[0].(map[string]any)["id"].(string)
			case m["requestId"] == float64(output) && m["complete"] == true:
				t.Fatal("the output is over: this shows nothing")
			case m["id"] == quiet && m["status"] == string(wire.Finished):
				return
			}
		}
		t.Error("400 messages on, nothing was told of the end of the other job")
	})
}

// What each run of a job has written is told once, whoever listens while it is
// suspended and resumed.
func TestOutputOfEachRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := serve(t, world(t, fake.Config{}), positlauncher.Config{MetricsInterval: -1})
		id := l.submit(wire.Job{Exe: "say", Args: []string{"run", ";", "serve", "8787"}, Stdin: "x\n", ExposedPorts: []wire.Port{{TargetPort: 8787}}})
		l.await(id, wire.Running)
		output := l.send(wire.JobOutputRequest, map[string]any{"jobId": id})
		var told strings.Builder
		complete := false
		look := func() { // what is told until a request is answered
			asked := l.send(wire.JobStateRequest, map[string]any{"jobId": id})
			for m := l.receive(); m["requestId"] != float64(asked); m = l.receive() {
				if m["requestId"] == float64(output) {
					told.WriteString(m["output"].(string))
					complete = complete || m["complete"] == true
				}
			}
		}
		reach := func(o wire.Operation, want session.State) {
			asked := l.send(wire.ControlJobRequest, map[string]any{"jobId": id, "operation": o})
			for m := l.receive(); m["requestId"] != float64(asked); m = l.receive() {
				if m["requestId"] == float64(output) {
					told.WriteString(m["output"].(string))
				}
			}
			for range 300 {
				time.Sleep(time.Second)
				look()
			}
		}
		reach(wire.Suspend, session.Suspended)
		reach(wire.Resume, session.Running)
		reach(wire.Stop, session.Stopped)
		if told.String() != "run\nrun\n" || !complete {
			t.Errorf("told %q, complete %v; want each run once, and the end", told.String(), complete)
		}
	})
}

// forgetful is a host that, once the connection to it broke, has the newest of what a
// workload writes alone.
type forgetful struct {
	ec2launcher.HostLauncher
	broke *atomic.Bool
}

const (
	breaksAfter = 300_000 // bytes
	keeps       = 250_000
)

func (h forgetful) Logs(ctx context.Context, id launcher.ID, o launcher.LogOptions) (io.ReadCloser, error) {
	if h.broke.Load() {
		all, err := h.HostLauncher.Logs(ctx, id, launcher.LogOptions{Stream: o.Stream})
		if err != nil {
			return nil, err
		}
		n, err := io.Copy(io.Discard, all)
		if err := errors.Join(err, all.Close()); err != nil {
			return nil, err
		}
		o.Offset += max(0, n-keeps)
		return h.HostLauncher.Logs(ctx, id, o)
	}
	logs, err := h.HostLauncher.Logs(ctx, id, o)
	return &breaking{logs, h.broke, breaksAfter}, err
}

// breaking is what is read until the connection breaks.
type breaking struct {
	io.ReadCloser
	broke *atomic.Bool
	left  int
}

func (b *breaking) Read(p []byte) (int, error) {
	if b.left == 0 {
		b.broke.Store(true)
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// Where the connection to a host broke the output goes on where it was, also if the host
// has dropped the oldest meanwhile.
func TestOutputAfterABreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broke atomic.Bool
		l := serve(t, world(t, fake.Config{Fleet: func(_ *fake.World, c *ec2launcher.Config) {
			connect := c.Connect
			c.Connect = func(ctx context.Context, h ec2launcher.Host) (ec2launcher.HostLauncher, error) {
				host, err := connect(ctx, h)
				return forgetful{host, &broke}, err
			}
		}}), positlauncher.Config{MetricsInterval: -1})
		id := l.submit(wire.Job{Exe: "count", Args: []string{"50000", "x", ";", "work", "10m", ";", "count", "1000", "y"}})
		output := l.send(wire.JobOutputRequest, map[string]any{"jobId": id, "outputType": "stdout"})
		var told, want strings.Builder
		for m := l.receive(); ; m = l.receive() {
			if m["requestId"] != float64(output) {
				continue
			}
			text, ok := m["output"].(string)
			if !ok {
				t.Fatal(m)
			}
			told.WriteString(text)
			if m["complete"] == true {
				break
			}
		}
		for n := range 50000 {
			fmt.Fprintln(&want, n, "x")
		}
		for n := range 1000 {
			fmt.Fprintln(&want, n, "y")
		}
		if !broke.Load() {
			t.Error("nothing broke: this shows nothing")
		}
		if told.String() != want.String() {
			t.Errorf("%d bytes are told, or others than the %d that were written", told.Len(), want.Len())
		}
	})
}

// A job whose session another process has ended and deleted, before this one has
// heard of the end, has ended here too.
func TestDeletedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world(t, fake.Config{})
		other := w.Replica(t)
		l := serve(t, other, positlauncher.Config{MetricsInterval: -1})
		id := l.submit(wire.Job{Exe: "wait"})
		l.await(id, wire.Running)
		s := session.ID(id)
		if _, err := w.Sessions.Kill(t.Context(), s, session.Order{}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Sessions.Wait(t.Context(), s, session.Stopped); err != nil {
			t.Fatal(err)
		}
		for w.Sessions.Delete(t.Context(), s, session.Order{}) != nil { // it may be settled first
			time.Sleep(100 * time.Millisecond)
		}
		for range 5 {
			time.Sleep(time.Minute)
			jobs := l.ask(wire.JobStateRequest, map[string]any{"jobId": "*"})["jobs"].([]any)
			if len(jobs) == 0 || jobs[0].(map[string]any)["status"] == string(wire.Killed) {
				return
			}
		}
		t.Error("five minutes later it is told of as if it ran")
	})
}
