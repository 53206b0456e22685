package positlauncher

import (
	"context"
	"net"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// reachWithin is how long the port of a job may take to answer.
const reachWithin = 5 * time.Second

// network tells where a job is reached, once it is: every port of it takes a
// connection from here, which is where Workbench is.
func (s *server) network(ctx context.Context, q wire.Request) (message, error) {
	j, err := s.job(ctx, q)
	if err != nil {
		return nil, err
	}
	now, _ := s.board.session(session.ID(j.ID))
	if j.Status != wire.Running || now.State != session.Running {
		return nil, wire.Errorf(wire.JobNotRunning, "job %s is %s, and is reached only while it runs: %s", j.ID, j.Status, j.StatusMessage)
	}
	if err := s.reach(ctx, now); err != nil {
		return nil, wire.Errorf(wire.JobNotRunning, "job %s runs, and cannot be reached yet: %v", j.ID, err)
	}
	m := &wire.JobNetwork{Header: wire.Header{Type: wire.JobNetworkResponse}, Host: now.Host, IPAddresses: []string{}}
	for _, at := range now.Endpoints {
		if host, _, err := net.SplitHostPort(at); err == nil && !slices.Contains(m.IPAddresses, host) {
			m.IPAddresses = append(m.IPAddresses, host)
		}
	}
	slices.Sort(m.IPAddresses)
	if len(m.IPAddresses) > 0 {
		m.Host = m.IPAddresses[0] // a name would have to be known to the VPC's resolver
	}
	return m, nil
}

// reach connects to every port of a session.
func (s *server) reach(ctx context.Context, now session.Session) error {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	ports, ctx := errgroup.WithContext(ctx)
	for _, p := range now.Kind.Ports {
		ports.Go(func() error {
			conn, err := s.manager.Dial(ctx, now.ID, p.Name)
			if err != nil {
				return err
			}
			return conn.Close()
		})
	}
	return ports.Wait()
}
