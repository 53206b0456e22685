package launchertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/launchertest/behave"
)

var dialClauses = []clause{
	{name: "Dial/Connects", test: dialConnects},
	{name: "Dial/HalfClose", test: dialHalfClose},
	{name: "Dial/Concurrent", test: dialConcurrent},
	{name: "Dial/OutlivesContext", test: dialOutlivesContext},
	{name: "Dial/EndsWithWorkload", test: dialEndsWithWorkload},
	{name: "Dial/NotRunning", test: dialNotRunning},
	{name: "Dial/UnknownPort", test: dialUnknownPort},
	{name: "Dial/Endpoints", test: dialEndpoints},
}

// server is a workload that answers with what it is sent.
func (r *run) server(name string) launcher.Workload {
	w := r.workload(name, "serve", "8787")
	w.Ports = []launcher.Port{{Name: "http", Number: 8787}}
	return w
}

// echo checks that a connection answers with what it is sent.
func (r *run) echo(c net.Conn, data []byte) {
	r.Helper()
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		sent <- err
	}()
	got := make([]byte, len(data))
	if n, err := io.ReadFull(c, got); err != nil {
		r.Errorf("of %d bytes sent to an echo, %d came back: %v", len(data), n, err)
	} else if !bytes.Equal(got, data) {
		r.Errorf("an echo changed the %d bytes it was sent", len(data))
	}
	if err := <-sent; err != nil {
		r.Errorf("sending %d bytes: %v", len(data), err)
	}
}

func dialConnects(r *run) {
	w := r.server("a")
	r.start(w, "serving")
	c := r.dial(w.ID, "http")
	defer c.Close()
	r.echo(c, []byte("hello"))
	r.echo(c, behave.Pattern(1<<20))
}

func dialHalfClose(r *run) {
	w := r.server("a")
	r.start(w, "serving")
	c := r.dial(w.ID, "http")
	defer c.Close()
	half, ok := c.(interface{ CloseWrite() error })
	if !ok {
		r.Fatalf("a dialled %T has no CloseWrite", c)
	}
	if _, err := c.Write([]byte("last words")); err != nil {
		r.Fatal(err)
	}
	if err := half.CloseWrite(); err != nil {
		r.Fatalf("CloseWrite: %v", err)
	}
	if got, err := io.ReadAll(c); string(got) != "last words" || err != nil {
		r.Errorf("after CloseWrite an echo answers %q, %v; want all that was sent, then the end", got, err)
	}
}

func dialConcurrent(r *run) {
	w := r.server("a")
	r.start(w, "serving")
	r.dial(w.ID, "http").Close()
	var calls sync.WaitGroup
	for i := range 16 {
		calls.Go(func() {
			c, err := r.tryDial(w.ID, "http")
			if err != nil {
				r.Errorf("one of 16 Dials at once: %v", err)
				return
			}
			defer c.Close()
			r.echo(c, behave.Pattern(100_000 + i)[i:])
		})
	}
	calls.Wait()
}

func dialOutlivesContext(r *run) {
	w := r.server("a")
	r.start(w, "serving")
	r.dial(w.ID, "http").Close()
	ctx, cancel := context.WithCancel(r.ctx)
	c, err := r.Launcher.Dial(ctx, w.ID, "http")
	if err != nil {
		r.Fatalf("Dial = %v", err)
	}
	defer c.Close()
	cancel()
	time.Sleep(r.pause())
	r.echo(c, []byte("still here"))
}

func dialEndsWithWorkload(r *run) {
	w := r.server("a")
	r.start(w, "serving")
	c := r.dial(w.ID, "http")
	defer c.Close()
	r.echo(c, []byte("hello"))
	r.stop(w.ID, launcher.StopOptions{Signal: "SIGKILL"})
	r.exitCode(w.ID, 137)
	if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		r.Errorf("after the exit reading from its connection gives %d bytes, %v; want an end", n, err)
	}
}

func dialNotRunning(r *run) {
	w := r.server("a")
	w.Command = []string{"exit", "0"}
	r.launch(w)
	r.exit(w.ID)
	_, err := r.Launcher.Dial(r.ctx, w.ID, "http")
	r.wantKind("Dial of what has exited", err, launcher.ErrNotRunning)
}

func dialUnknownPort(r *run) {
	w := r.server("a")
	r.start(w, "serving")
	_, err := r.Launcher.Dial(r.ctx, w.ID, "ssh")
	r.wantKind("Dial of a port that was not declared", err, launcher.ErrNotFound)
}

func dialEndpoints(r *run) {
	a, b := r.server("a"), r.server("b")
	a.Ports = append(a.Ports, launcher.Port{Name: "metrics", Number: 9090})
	seen := map[string]bool{}
	for _, w := range []launcher.Workload{a, b} {
		s := r.start(w, "serving")
		if len(s.Endpoints) != len(w.Ports) {
			r.Errorf("endpoints of %s are %v; want one for each of %v", w.ID, s.Endpoints, w.Ports)
		}
		for name, endpoint := range s.Endpoints {
			if _, _, err := net.SplitHostPort(endpoint); err != nil {
				r.Errorf("endpoint %q of %s is %q: %v", name, w.ID, endpoint, err)
			}
			if seen[endpoint] {
				r.Errorf("endpoint %s is given twice", endpoint)
			}
			seen[endpoint] = true
		}
	}
	r.stop(a.ID, launcher.StopOptions{})
	if s := r.exit(a.ID); len(s.Endpoints) > 0 {
		r.Errorf("after its exit it has endpoints %v; want none", s.Endpoints)
	}
}
