package positlauncher_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"testing"
	"time"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// world is a domain with users alice and bob and an image that understands jobs.
func world(t *testing.T, c fake.Config) *fake.World {
	t.Helper()
	c.Images = map[string]fakelauncher.Program{"jobs": fake.Job}
	return fake.New(t, c)
}

// A client is the Launcher's side of a plugin.
type client struct {
	t     *testing.T
	to    io.WriteCloser
	from  io.Reader
	ended chan error
	next  uint64
}

// serve begins a plugin on a world.
func serve(t *testing.T, w *fake.World, c positlauncher.Config) *client {
	t.Helper()
	if c.Cluster == "" {
		c.Cluster = "EC2"
	}
	return serveOpening(t, func(context.Context) (*session.Manager, error) { return w.Sessions, nil }, c)
}

// serveOpening begins a plugin.
func serveOpening(t *testing.T, open func(context.Context) (*session.Manager, error), c positlauncher.Config) *client {
	t.Helper()
	in, to := io.Pipe()
	from, out := io.Pipe()
	l := &client{t: t, to: to, from: from, ended: make(chan error, 1)}
	go func() { l.ended <- positlauncher.ServeOpening(context.WithoutCancel(t.Context()), in, out, open, c) }()
	t.Cleanup(func() {
		l.end()
	})
	return l
}

// end closes the plugin's input, and waits for its end.
func (l *client) end() {
	l.t.Helper()
	if l.ended == nil {
		return
	}
	_ = l.to.Close()
	go func() { _, _ = io.Copy(io.Discard, l.from) }()
	if err := <-l.ended; err != nil {
		l.t.Errorf("Serve: %v", err)
	}
	l.ended = nil
}

// send sends a request, and returns its ID.
func (l *client) send(kind wire.RequestType, fields map[string]any) uint64 {
	l.t.Helper()
	l.next++
	all := map[string]any{"messageType": kind, "requestId": l.next, "username": "alice", "requestUsername": "alice"}
	maps.Copy(all, fields)
	frame, err := wire.Encode(all, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.to.Write(frame); err != nil {
		l.t.Fatal(err)
	}
	return all["requestId"].(uint64)
}

// receive returns the next message.
func (l *client) receive() map[string]any {
	l.t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(l.from, head[:]); err != nil {
		l.t.Fatal(err)
	}
	text := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(l.from, text); err != nil {
		l.t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		l.t.Fatal(err)
	}
	return m
}

// ask sends a request and returns its answer, which has to be the next message.
func (l *client) ask(kind wire.RequestType, fields map[string]any) map[string]any {
	l.t.Helper()
	id := l.send(kind, fields)
	m := l.receive()
	if m["requestId"] != float64(id) {
		l.t.Fatalf("%v, not an answer to %d", m, id)
	}
	return m
}

// submit submits a job and returns its ID.
func (l *client) submit(job wire.Job) string {
	l.t.Helper()
	m := l.ask(wire.SubmitJobRequest, map[string]any{"job": job})
	jobs, ok := m["jobs"].([]any)
	if !ok {
		l.t.Fatalf("not submitted: %v", m)
	}
	return jobs[0].(map[string]any)["id"].(string)
}

// await asks for a job until it is in a status, and returns it.
func (l *client) await(id string, want wire.Status) map[string]any {
	l.t.Helper()
	var last map[string]any
	for range 1000 {
		m := l.ask(wire.JobStateRequest, map[string]any{"jobId": id})
		last, _ = m["jobs"].([]any)[0].(map[string]any)
		if last["status"] == string(want) {
			return last
		}
		time.Sleep(time.Second)
	}
	l.t.Fatal(errors.New("it never was "+string(want)), last)
	return nil
}
