package session

import (
	"context"
	"io"
	"net"

	"github.com/atelier-go/atelier/launcher"
)

// Dial connects to a port of a running session, by the name its Kind gives it
// ("http" of [RStudio]). A session that does not run is [ErrState], a port it
// does not have [launcher.ErrNotFound]; a program that does not listen yet is
// the launcher's error. The connection outlives ctx, which bounds the
// dialling. It needs no Run.
func (m *Manager) Dial(ctx context.Context, id ID, port string) (net.Conn, error) {
	const op = "dial"
	r, err := m.find(ctx, op, id)
	if err != nil {
		return nil, err
	}
	if r.State != Running {
		return nil, fail(ctx, op, id, stateError{r.State, "only a running session can be dialled; wait for it, resume it or start another"})
	}
	conn, err := m.launcher.Dial(ctx, r.workloadID(), port)
	return conn, fail(ctx, op, id, err)
}

// Usage is what a running session uses, as its host measures it: what it used between
// two calls is their difference, see [launcher.Usage.Cores]. A session that does not
// run is [ErrState], a host that does not answer now [launcher.ErrUnavailable], and
// one that does not measure [launcher.ErrUnsupported]. It needs no Run.
func (m *Manager) Usage(ctx context.Context, id ID) (launcher.Usage, error) {
	const op = "usage"
	r, err := m.find(ctx, op, id)
	if err != nil {
		return launcher.Usage{}, err
	}
	if r.State != Running {
		return launcher.Usage{}, fail(ctx, op, id, stateError{r.State, "only a running session uses anything; wait for it, resume it or start another"})
	}
	u, err := m.launcher.Usage(ctx, r.workloadID())
	return u, fail(ctx, op, id, err)
}

// Logs reads what the container of the session's present generation wrote, also
// after its end: launchers keep it for [launcher.Retention] or, some of them,
// until its host is given back, and then it is [launcher.ErrNotFound]. A
// session whose launcher was not asked for a container yet is [ErrState]. It
// needs no Run.
func (m *Manager) Logs(ctx context.Context, id ID, o launcher.LogOptions) (io.ReadCloser, error) {
	const op = "logs"
	r, err := m.find(ctx, op, id)
	if err != nil {
		return nil, err
	}
	if r.Asked.IsZero() {
		return nil, fail(ctx, op, id, stateError{r.State, "nothing was started, so there are no logs"})
	}
	logs, err := m.launcher.Logs(ctx, r.workloadID(), o)
	return logs, fail(ctx, op, id, err)
}
