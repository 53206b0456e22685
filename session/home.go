package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/launcher"
)

// A DeleteHomeRequest names a home to delete, and what removes its files.
type DeleteHomeRequest struct {
	// User is whose home it is. Required.
	User string
	// Path is the home's path on the file system, "/" and the uid, as
	// [domain.User] has it. Required: the caller repeats it, so that no other
	// home is deleted by mistake.
	Path string
	// Image is the name of an image of the domain that has sh, mv and rm, and
	// no entrypoint but one that runs the command it is given. It runs as root,
	// with the file system mounted: choose one that is trusted. Required.
	Image string
	// InstanceType is the EC2 or SageMaker name of the type of its host. Empty
	// is the cheapest that has room for it.
	InstanceType string
}

// DeleteHome deletes a user's home with all files in it, for ever, and returns
// when it is gone. It is the only call that does.
//
// The user must be offboarded and have no session that has not ended. That,
// the path, the image and the instance type are checked first, and everything
// that is wrong is told in one error: the domain's kinds, such as
// [domain.ErrInvalid] for a path that is not that of this user's home, and
// [ErrState] with the list of sessions. Nothing has been changed then.
//
// From there on the user can be neither onboarded nor have a session until it
// is done. An access point opens the whole file system as root; a workload that
// mounts it and nothing else runs [DeleteHomeCommand] on a host of its own,
// which renames the directory and then removes it; when its container has ended
// well, that access point and the home's are deleted. The uid stays the user's:
// onboarded again, they get an empty home under it.
//
// It needs no Run. Whatever ends it, ctx, an error or a crash: call it again, in
// any process, and it goes on where it was; several calls at once are fine, and
// one for a home that is deleted already does nothing. It waits as long as it
// takes to get a host, and for the removal, so bound it by ctx; the workload
// goes on meanwhile. If that fails, the error has its kind and what it wrote;
// the next call begins another, with the image and type of its own request.
//
// The role of the hosts needs the IAM permission
// elasticfilesystem:ClientRootAccess. The launcher must mount homes from one
// file system of which they are directories, as EC2 hosts do.
func (m *Manager) DeleteHome(ctx context.Context, q DeleteHomeRequest) error {
	const op = "delete home"
	grant, err := m.domain.AuthorizeHomeDeletion(ctx, domain.HomeDeletionRequest(q))
	if used := m.unused(ctx, q.User); err == nil {
		err = used
	} else if used != nil {
		err = errors.Join(err, used)
	}
	if err != nil {
		return failHome(ctx, err)
	}
	u, err := m.domain.BeginHomeDeletion(ctx, q.User, q.Path, func(ctx context.Context) error { return m.unused(ctx, q.User) })
	if err != nil {
		return failHome(ctx, err)
	}
	if u.Deletion.Ended.IsZero() {
		m.log.Info("asked", "user", u.Name, "op", op, "path", q.Path)
		grant.User = u
		if err := m.removeFiles(ctx, grant); err != nil {
			return failHome(ctx, err)
		}
		if err := m.domain.FinishHomeDeletion(ctx, u, q.Path); err != nil {
			return failHome(ctx, err)
		}
		m.log.Info("home deleted", "user", u.Name, "path", q.Path)
	}
	return nil
}

// failHome dresses an error of a deletion. Of several the first has the kind.
func failHome(ctx context.Context, err error) error {
	const op = "delete home"
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	if e, ok := errors.AsType[*domain.Error](err); ok {
		return &Error{Op: op, Kind: e.Kind, Err: err}
	}
	if _, ok := errors.AsType[busyError](err); ok {
		return &Error{Op: op, Kind: ErrState, Err: err}
	}
	return fail(ctx, op, "", err)
}

// busyError says which sessions, of a user or of the domain, are in the way. It
// is [ErrState].
type busyError struct {
	user     string // empty is all
	sessions []record
}

func (e busyError) Error() string {
	const most = 10
	var names []string
	for _, r := range e.sessions[:min(len(e.sessions), most)] {
		names = append(names, fmt.Sprintf("%s (%s)", r.ID, r.State))
	}
	list, whose := strings.Join(names, ", "), "the domain"
	if n := len(e.sessions); n > most {
		list += fmt.Sprintf(" and %d more", n-most)
	}
	if e.user != "" {
		whose = "user " + e.user
	}
	return fmt.Sprintf("%s: has %d sessions that have not ended, or not for certain; stop them and wait for that: %s",
		whose, len(e.sessions), list)
}

func (busyError) Unwrap() error { return ErrState }

// unused returns an error that lists the sessions of a user that have not
// ended, or whose container may still live.
func (m *Manager) unused(ctx context.Context, user string) error {
	busy, err := m.unended(ctx, user)
	if err != nil || len(busy) == 0 {
		return err
	}
	return busyError{user, busy}
}

// removeFiles has a home's files removed by a workload, and returns when they
// are gone. It begins an attempt unless one is under way.
func (m *Manager) removeFiles(ctx context.Context, g domain.Grant) error {
	r, err := m.removals().Get(ctx, g.User.Name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if r.Home != g.User.Deletion.Count || r.Attempt == 0 || r.Over && !r.Removed {
		if r, err = m.attemptRemoval(ctx, g, r.Attempt); err != nil {
			return err
		}
	}
	for pause := newPause(); !r.Over || r.Lost; {
		if r.Lost { // its end went unnoticed for too long; the command can be run again
			if r, err = m.attemptRemoval(ctx, g, r.Attempt); err != nil {
				return err
			}
		}
		err := m.watchRemoval(ctx, r)
		if err = errors.Join(err, m.advanceRemoval(ctx, r)); err != nil && ctx.Err() == nil && !errors.Is(err, errStale) {
			m.log.Warn("the removal of a home's files does not get on; it is tried again", "user", r.User, "workload", r.workloadID(), "error", err)
			_ = pace.Sleep(ctx, pause.NextBackOff()) // its error is looked at next
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if r, err = m.removals().Get(ctx, g.User.Name); err != nil {
			return err
		}
		if r.Home != g.User.Deletion.Count {
			return nil // another call has come to its end
		}
	}
	if !r.Removed {
		return &Error{Op: "delete home", Kind: r.Reason, Err: fmt.Errorf(
			"the files of user %s were not removed, or not all: %s; correct that and call again", r.User, r.Message)}
	}
	return nil
}

// attemptRemoval records the attempt after the one whose number is given,
// before anything of it is asked of the launcher. If another call has done so,
// it returns that one's.
func (m *Manager) attemptRemoval(ctx context.Context, g domain.Grant, last int) (removal, error) {
	root, err := m.domain.EnsureHomeDeletionAccess(ctx, g.User)
	if err != nil {
		return removal{}, err
	}
	next := removal{
		User: g.User.Name, Home: g.User.Deletion.Count, Attempt: last + 1, Grant: g, Root: root, Asked: time.Now(),
	}
	if last == 0 {
		err = m.removals().Create(ctx, next.User, next)
		if !errors.Is(err, store.ErrConflict) {
			return next, err
		}
		return m.removals().Get(ctx, next.User)
	}
	return m.removals().Update(ctx, next.User, func(r *removal) error {
		if r.Attempt != last {
			return store.ErrUnchanged
		}
		*r = next
		return nil
	})
}

// watchRemoval returns when the attempt's workload has ended, or is not there.
func (m *Manager) watchRemoval(ctx context.Context, r removal) error {
	ended := func(s launcher.Status) bool { return s.Phase == launcher.Exited && !s.Unknown }
	_, err := launcher.Wait(ctx, m.launcher, r.workloadID(), ended)
	if errors.Is(err, launcher.ErrNotFound) {
		return nil
	}
	return err
}

// advanceRemoval takes the next step of an attempt, going by an answer of the
// launcher: it launches what is not there, and records what has ended. An error
// says that nothing could be done for the time being.
func (m *Manager) advanceRemoval(ctx context.Context, r removal) error {
	limited, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	s, err := launcher.Get(limited, m.launcher, r.workloadID())
	switch {
	case errors.Is(err, launcher.ErrNotFound) && time.Since(r.Asked) >= oblivion:
		_, err := m.changeRemoval(ctx, r, func(r *removal) { r.Over, r.Lost = true, true })
		return err
	case errors.Is(err, launcher.ErrNotFound):
		return m.launchRemoval(ctx, r)
	case err != nil:
		return err
	case s.Phase != launcher.Exited || s.Unknown:
		return nil
	case s.Reason == "" && s.ExitCode == 0 && !s.StartedAt.IsZero():
		return m.removed(ctx, r)
	}
	kind, why := s.Reason, s.Message
	switch {
	case kind != "":
	case s.StartedAt.IsZero():
		kind, why = ErrUnavailable, "the workload was stopped before it began"
	default:
		kind, why = ErrUnavailable, fmt.Sprintf("the command ended with code %d: %s; if that is a matter of permission, "+
			"the hosts' role lacks elasticfilesystem:ClientRootAccess", s.ExitCode, m.lastWords(ctx, s.ID))
	}
	return m.endRemoval(ctx, r, kind, why)
}

// launchRemoval asks for the attempt's workload, after recording that it does.
func (m *Manager) launchRemoval(ctx context.Context, r removal) error {
	asked := time.Now()
	r, err := m.changeRemoval(ctx, r, func(r *removal) { r.Asked = asked })
	if err != nil {
		return err
	}
	limited, cancel := context.WithDeadline(ctx, asked.Add(callLimit))
	defer cancel()
	_, err = m.launcher.Launch(limited, r.workload())
	if err == nil || ctx.Err() != nil {
		return err
	}
	if kind, why := refusal(err); permanent(kind) {
		return m.endRemoval(ctx, r, kind, why)
	}
	return err
}

// removed records that an attempt has removed the files. No other attempt's
// workload may live by then, whatever it may have come to: what it would find
// is the user's next home.
func (m *Manager) removed(ctx context.Context, r removal) error {
	limited, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	all := launcher.Filter{Labels: map[string]string{labelDomain: m.domain.Name(), labelHome: r.User}}
	for s, err := range m.launcher.List(limited, all) {
		if err != nil {
			return err
		}
		if s.Phase != launcher.Exited || s.Unknown {
			err := m.launcher.Stop(limited, s.ID, launcher.StopOptions{Signal: "SIGKILL"})
			return errors.Join(fmt.Errorf("workload %s of an earlier attempt still lives", s.ID), err)
		}
	}
	_, err := m.changeRemoval(ctx, r, func(r *removal) { r.Over, r.Removed = true, true })
	return err
}

// endRemoval records that an attempt has failed. What it opened is closed
// before, so that what a next attempt opens is never closed by this.
func (m *Manager) endRemoval(ctx context.Context, r removal, kind launcher.Kind, why string) error {
	if err := m.domain.EndHomeDeletionAccess(ctx, r.User, r.Root); err != nil {
		return err
	}
	_, err := m.changeRemoval(ctx, r, func(r *removal) { r.Over, r.Reason, r.Message = true, kind, why })
	return err
}

// changeRemoval changes the record of an attempt that is under way; else it is
// errStale.
func (m *Manager) changeRemoval(ctx context.Context, r removal, change func(*removal)) (removal, error) {
	return m.removals().Update(ctx, r.User, func(now *removal) error {
		if now.Attempt != r.Attempt || now.Over {
			return errStale
		}
		change(now)
		return nil
	})
}

// lastWords is the end of what a workload wrote to standard error, quoted.
func (m *Manager) lastWords(ctx context.Context, id launcher.ID) string {
	const most = 300
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	log, err := m.launcher.Logs(ctx, id, launcher.LogOptions{Stream: launcher.Stderr})
	if err != nil {
		return "its log could not be read"
	}
	defer log.Close()
	var end []byte
	for chunk := make([]byte, most); err == nil; {
		var n int
		n, err = log.Read(chunk)
		end = append(end, chunk[:n]...)
		end = end[max(0, len(end)-most):]
	}
	if !errors.Is(err, io.EOF) && len(end) == 0 {
		return "its log could not be read"
	}
	return fmt.Sprintf("%q", end)
}

// homeless refuses the launch of a session whose user was offboarded, or whose
// home is being deleted or was, in the launcher's words. A store that does not answer is an error.
func (m *Manager) homeless(ctx context.Context, r record) (refused bool, why string, err error) {
	err = m.domain.CheckHome(ctx, r.Grant.User)
	e, ok := errors.AsType[*domain.Error](err)
	if !ok || !slices.Contains([]domain.Kind{domain.ErrState, domain.ErrNotFound}, e.Kind) {
		return false, "", err
	}
	return true, e.Err.Error(), nil
}
