package positlaunchertest

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

var utilizationClauses = []clause{
	{name: "Utilization/Values", test: utilizationValues},
	{name: "Utilization/Cancel", test: utilizationCancel},
	{name: "Utilization/Ended", test: utilizationEnded},
}

// utilization opens a stream of what a job uses.
func (r *run) utilization(c Caller, id string) *Stream[wire.ResourceUtil] {
	r.Helper()
	s, err := c.Utilization(id)
	if err != nil {
		r.Fatal(err)
	}
	return s
}

func utilizationValues(r *run) {
	c := r.user()
	job := r.ready(c, r.submit(c, r.Jobs.Long()).ID)
	s := r.utilization(c, job.ID)
	got, err := s.Until(r.Limits.Output, func(u wire.ResourceUtil) bool { return u.ResidentMemory > 0 })
	if err != nil {
		r.Errorf("what a running job uses, at last %+v: %v; want memory", got, err)
	}
	r.control(c, job.ID, wire.Kill)
	if _, err := s.All(r.Limits.Complete + r.Limits.Output); err != nil {
		r.Errorf("a stream of use whose job has ended: %v; want it complete", err)
	}
}

func utilizationCancel(r *run) {
	c := r.user()
	job := r.ready(c, r.submit(c, r.Jobs.Long()).ID)
	s := r.utilization(c, job.ID)
	if _, err := s.Next(r.Limits.Output); err != nil {
		r.Fatal(err)
	}
	r.cancel(s.Cancel)
	r.alive(c, "a cancel")
	if r.realTime {
		time.Sleep(time.Second)
	} else {
		time.Sleep(r.Limits.Output)
	}
	r.control(c, job.ID, wire.Kill)
	r.ended(c, job.ID)
}

// What has ended uses nothing: its stream is complete, or refused.
func utilizationEnded(r *run) {
	c := r.user()
	job := r.ended(c, r.submit(c, r.Jobs.Quick()).ID)
	if _, err := r.utilization(c, job.ID).All(r.Limits.Output); err != nil && !errors.As(err, new(*wire.Error)) {
		r.Errorf("the use of a job that has ended: %v", err)
	}
}

var networkClauses = []clause{
	{name: "Network/Pending", test: networkPending, needs: needsSlow},
	{name: "Network/Ended", test: networkEnded},
	{name: "Network/Reachable", test: networkReachable, needs: needsDial},
}

// serve is a job that sends a line to who connects.
func (r *run) serve(line string) wire.Job {
	job := r.Jobs.Serve(r.Port)
	job.Stdin = line + "\n"
	job.ExposedPorts = []wire.Port{{TargetPort: r.Port, Protocol: "TCP"}}
	return job
}

// A job that does not run yet has no address.
func networkPending(r *run) {
	c := r.user()
	_, err := c.Network(r.submit(c, r.serve("hello")).ID)
	r.wantCode("the network of a pending job", err, wire.JobNotRunning)
}

func networkEnded(r *run) {
	c := r.user()
	_, err := c.Network(r.ended(c, r.submit(c, r.Jobs.Quick()).ID).ID)
	r.wantCode("the network of a job that has ended", err, wire.JobNotRunning)
}

// Who is told an address can connect to it, to the port that was asked for or the one
// that the job says is published for it: at once, but for what serves one at a time.
func networkReachable(r *run) {
	c := r.user()
	const line = "hello from standard input"
	id := r.submit(c, r.serve(line)).ID
	var network wire.JobNetwork
	if !r.look(r.Limits.Start, func() bool {
		var err error
		if network, err = c.Network(id); err != nil {
			r.wantCode("the network of a job on its way", err, wire.JobNotRunning)
		}
		return err == nil
	}) {
		r.Fatalf("after %v the job has no network", r.Limits.Start)
	}
	job, port := r.get(c, id), r.Port
	if job.Status != wire.Running {
		r.Errorf("a job with an address is %s; want %s", job.Status, wire.Running)
	}
	for _, p := range job.ExposedPorts {
		if p.TargetPort == r.Port && p.PublishedPort != nil && *p.PublishedPort != 0 {
			port = *p.PublishedPort
		}
	}
	for _, ip := range network.IPAddresses {
		var got string
		var err error
		r.look(time.Second, func() bool {
			got, err = r.hear(net.JoinHostPort(ip, strconv.Itoa(port)))
			return err == nil
		})
		if err != nil || got != line {
			r.Errorf("%s port %d says %q, %v; want %q", ip, port, got, err, line)
		}
	}
}

// hear returns the line that is sent to who connects.
func (r *run) hear(address string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), r.Limits.Answer)
	defer cancel()
	conn, err := r.Dial(ctx, address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(r.Limits.Answer)); err != nil {
		return "", err
	}
	var line strings.Builder
	for b := make([]byte, 1); ; {
		if _, err := io.ReadFull(conn, b); err != nil || b[0] == '\n' {
			return line.String(), err
		}
		line.Write(b)
	}
}
