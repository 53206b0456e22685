package positlauncher

import (
	"context"
	"fmt"
	"slices"

	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// control does to a job what a request says. It answers when that is asked for, not
// when it is done: the job's status tells.
func (s *server) control(ctx context.Context, q wire.Request) (message, error) {
	j, err := s.job(ctx, q)
	if err != nil {
		return nil, err
	}
	id, o := session.ID(j.ID), order(q, why(q.Operation))
	if err := allowed(q.Operation, j.Status); err != nil {
		return nil, err
	}
	var after session.Session
	var wanted session.State
	switch q.Operation {
	case wire.Suspend:
		if len(j.ExposedPorts) == 0 {
			return nil, wire.Errorf(wire.RequestNotSupported, "job %s serves nobody, and could not go on where it was: let it end, or stop it", j.ID)
		}
		wanted = session.Suspended
		after, err = s.manager.Suspend(ctx, id, o)
	case wire.Resume:
		wanted = session.Running
		after, err = s.manager.Resume(ctx, id, session.ResumeRequest{Order: o})
	case wire.Kill:
		wanted = session.Stopped
		after, err = s.manager.Kill(ctx, id, o)
	default:
		wanted = session.Stopped
		after, err = s.manager.Stop(ctx, id, o)
	}
	if err != nil {
		return nil, err
	}
	if now, _ := s.board.put(after); now.ID != "" {
		j = now
	}
	return &wire.ControlJob{
		Header:        wire.Header{Type: wire.ControlJobResponse},
		StatusMessage: j.StatusMessage, OperationComplete: after.State == wanted,
	}, nil
}

// why is what the record of a session says an operation was for.
func why(o wire.Operation) string { return o.String() + " through Workbench" }

// allowed reports why an operation cannot be done to a job of a status, or nil. What
// may run any moment may be stopped as well as what runs.
func allowed(o wire.Operation, now wire.Status) error {
	var from []wire.Status
	switch o {
	case wire.Suspend:
		from = []wire.Status{wire.Running}
	case wire.Resume:
		from = []wire.Status{wire.Suspended}
	case wire.Stop, wire.Kill:
		from = []wire.Status{wire.Pending, wire.Running, wire.Suspended}
	case wire.Cancel:
		from = []wire.Status{wire.Pending}
	default:
		return wire.Errorf(wire.InvalidRequest, "%v: there is none; want 0 to %d", o, int(wire.Cancel))
	}
	if slices.Contains(from, now) {
		return nil
	}
	return wire.Errorf(wire.InvalidJobState, "a job that is %s cannot be asked to %s%s", now, o, instead(o, now))
}

// instead is what to do in the place of an operation that cannot be done.
func instead(o wire.Operation, now wire.Status) string {
	switch {
	case now.Final():
		return ": it has ended; submit another"
	case o == wire.Cancel:
		return ": stop it"
	}
	return fmt.Sprintf(": wait until it is %s", map[wire.Operation]wire.Status{wire.Suspend: wire.Running, wire.Resume: wire.Suspended}[o])
}
