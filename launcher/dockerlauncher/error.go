package dockerlauncher

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/atelier-go/atelier/launcher"
)

// kindOf is the one place that knows what the engine's errors mean: it tells
// them apart by their HTTP status, which the client turns into these classes.
// Where a call gives a status a meaning of its own, that call says so.
func kindOf(err error) launcher.Kind {
	switch {
	case errdefs.IsNotFound(err):
		return launcher.ErrNotFound
	case errdefs.IsConflict(err), errdefs.IsAlreadyExists(err):
		return launcher.ErrConflict
	case errdefs.IsInvalidArgument(err):
		return launcher.ErrInvalid
	case errdefs.IsUnauthorized(err), errdefs.IsPermissionDenied(err):
		return launcher.ErrDenied
	case errdefs.IsNotImplemented(err):
		return launcher.ErrUnsupported
	}
	return launcher.ErrUnavailable // it does not answer, or not well
}

// fail makes the package's error of what the engine said. Context errors stay
// what they are, and errors that are a launcher's already are kept.
func fail(op string, id launcher.ID, err error) error {
	if err == nil {
		return nil
	}
	return failAs(op, id, kindOf(err), err)
}

// failAs is fail for an error whose kind the call knows.
func failAs(op string, id launcher.ID, kind launcher.Kind, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if _, ok := errors.AsType[*launcher.Error](err); ok {
		return err
	}
	return &launcher.Error{Op: op, ID: id, Kind: kind, Err: err}
}

// refuse makes an error of the package's own.
func refuse(op string, id launcher.ID, kind launcher.Kind, format string, args ...any) error {
	return &launcher.Error{Op: op, ID: id, Kind: kind, Err: fmt.Errorf(format, args...)}
}
