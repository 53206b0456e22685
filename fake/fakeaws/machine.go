package fakeaws

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/atelier-go/atelier/internal/pace"
)

// A Machine is an instance that has booted, as the software on it sees it.
type Machine struct {
	// Instance is its id, Address its private address.
	Instance, Address string
	// Profile is the name of its instance profile, UserData what it was
	// launched with, decoded.
	Profile, UserData string
	// Volumes are the volumes attached to it, their ids by device.
	Volumes map[string]string
	// Booted is when it began to boot last.
	Booted time.Time
}

// Network returns what carries HTTP requests to the private addresses of the
// account's instances. It asks serve who answers at a machine's port: nil is
// that nobody listens. Only programs' own requests pass through it; containers
// are reached by [Cloud.Host].
//
// A machine answers from [Delays.HostReady] after it runs or was rebooted, not
// while it is impaired or cut off, and at ports that a rule of its security
// groups opens to anybody: who asks is not told apart. What does not answer
// fails at once, with the error that a dialler would give after a while.
// Requests take [Delays.Call] and fail after a [Cloud.Crash].
func (c *Cloud) Network(serve func(m Machine, port int) http.Handler) http.RoundTripper {
	c.mu.Lock()
	defer c.mu.Unlock()
	return network{cloud: c, life: c.life, serve: serve}
}

type network struct {
	cloud *Cloud
	life  context.Context
	serve func(Machine, int) http.Handler
}

// RoundTrip implements http.RoundTripper.
func (n network) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }()
	}
	if err := pace.Sleep(r.Context(), n.cloud.delays.Call); err != nil {
		return nil, err
	}
	m, port, err := n.reach(r)
	if err != nil {
		return nil, err
	}
	handler := n.serve(m, port)
	if handler == nil {
		return nil, noDial(r.URL.Host, syscall.ECONNREFUSED)
	}
	out := &recorder{header: http.Header{}}
	handler.ServeHTTP(out, r)
	return &http.Response{
		StatusCode: out.status(), Status: fmt.Sprintf("%d %s", out.status(), http.StatusText(out.status())),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: out.header,
		Body: io.NopCloser(bytes.NewReader(out.body.Bytes())), ContentLength: int64(out.body.Len()), Request: r,
	}, nil
}

// reach finds the machine that a request is for.
func (n network) reach(r *http.Request) (Machine, int, error) {
	text := r.URL.Port()
	if text == "" {
		text = map[string]string{"http": "80", "https": "443"}[r.URL.Scheme]
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return Machine{}, 0, fmt.Errorf("fakeaws: request to %q: %w", r.URL.Host, err)
	}
	c := n.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	switch {
	case n.life.Err() != nil:
		return Machine{}, 0, ErrCrashed
	case c.closed:
		return Machine{}, 0, ErrClosed
	}
	for _, i := range c.ec2.instances {
		if i.address != r.URL.Hostname() || !i.answers(now) || !c.openTo(i, int32(port)) {
			continue
		}
		booted := i.running
		if i.rebooted.After(booted) {
			booted = i.rebooted
		}
		return Machine{
			Instance: i.id, Address: i.address, Profile: i.profile, UserData: i.userData, Volumes: c.devices(i, now), Booted: booted,
		}, int(port), nil
	}
	return Machine{}, 0, noDial(r.URL.Host, syscall.ETIMEDOUT)
}

func noDial(address string, why error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("%s: %w", address, why)}
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }

func (w *recorder) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
}

func (w *recorder) status() int {
	if w.code == 0 {
		return http.StatusOK
	}
	return w.code
}
