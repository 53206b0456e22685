package positlauncher

import (
	"context"
	"errors"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// errNoJob answers who asks for a job that there is not, or that is not theirs: it
// does not say which.
func errNoJob(id string) error {
	return wire.Errorf(wire.JobNotFound, "there is no job %.40q", id)
}

// codes is what kinds of failure are in the Launcher's words; the first that fits
// counts. What is not in it is [wire.Unknown].
var codes = []struct {
	kind error
	code wire.ErrorCode
}{
	{session.ErrState, wire.InvalidJobState},
	{launcher.ErrNotRunning, wire.JobNotRunning},
	{domain.ErrInvalid, wire.InvalidRequest},
	{domain.ErrNotFound, wire.InvalidRequest}, // a user, an image, a project
	{domain.ErrNotAllowed, wire.InvalidRequest},
	{domain.ErrLimit, wire.InvalidRequest},
	{domain.ErrBudget, wire.InvalidRequest},
	{session.ErrInvalid, wire.InvalidRequest},
	{session.ErrNotFound, wire.JobNotFound},
	{errors.ErrUnsupported, wire.RequestNotSupported},
	{launcher.ErrUnsupported, wire.RequestNotSupported},
	{context.DeadlineExceeded, wire.Timeout},
}

// refusal is an error as the Launcher is answered.
func refusal(err error) *wire.Error {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e
	}
	for _, c := range codes {
		if errors.Is(err, c.kind) {
			return wire.Errorf(c.code, "%v", err)
		}
	}
	return wire.Errorf(wire.Unknown, "%v", err)
}
