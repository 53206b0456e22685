package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/pace"
)

// Offboard ends a user's membership of the domain, then their sessions, and
// returns when the last container of theirs has ended, for certain. From the
// first step on they are refused sessions, and none that waits is launched. Home,
// uid and the files of projects are kept: [Manager.DeleteHome], which names a
// home, is a call of its own. [Manager.PreviewOffboard] tells what this would do.
//
// It is idempotent, and has to be called again, in any process, after an error, a
// crash or the end of ctx, and goes on where it was. It waits as long as a host
// does not answer, so bound it by ctx. A user who never was one is
// [domain.ErrNotFound]. The order is that by which each session is stopped; its ID
// counts for nothing.
func (m *Manager) Offboard(ctx context.Context, user string, o Order) error {
	const op = "offboard"
	if err := m.awake(ctx, op, ""); err != nil {
		return err
	}
	if problems := o.problems(); problems != nil {
		return &Error{Op: op, Kind: ErrInvalid, Err: errors.Join(problems...)}
	}
	o.ID, o.Why = "", cmp.Or(o.Why, "user "+user+" is offboarded")
	if err := m.domain.Offboard(ctx, user); err != nil {
		return fail(ctx, op, "", err)
	}
	m.log.Info("asked", "user", user, "op", op, "by", o.By)
	for pause := newPause(); ; {
		left, err := m.unended(ctx, user)
		if err != nil || len(left) == 0 {
			return fail(ctx, op, "", err)
		}
		waiting := false
		for _, r := range left {
			if r.State.Ended() {
				continue // its container is being seen to
			}
			waiting = true
			if _, err := m.Stop(ctx, r.ID, o); err != nil {
				return err
			}
		}
		for _, r := range left {
			if r.State.Ended() {
				continue
			}
			// How it ended does not matter, nor that it was deleted then.
			if _, err := m.Wait(ctx, r.ID, Stopped, Failed); err != nil && ctx.Err() != nil {
				return err
			}
		}
		if !waiting {
			if err := pace.Sleep(ctx, pause.NextBackOff()); err != nil {
				return err
			}
		}
	}
}

// PreviewOffboard returns what [Manager.Offboard] of a user would do now: what it
// would end, in that order, then what stays. It changes nothing and needs no Run.
func (m *Manager) PreviewOffboard(ctx context.Context, user string) ([]domain.Consequence, error) {
	const op = "preview offboard"
	found, err := m.domain.PreviewOffboard(ctx, user)
	if err != nil {
		return nil, fail(ctx, op, "", err)
	}
	sessions, err := m.previewSessions(ctx, user, domain.Ends)
	if err != nil {
		return nil, fail(ctx, op, "", err)
	}
	kept := 0
	for kept < len(found) && found[kept].Fate != domain.Stays {
		kept++
	}
	return append(append(found[:kept:kept], sessions...), found[kept:]...), nil
}

// DeleteDomain deletes the manager's domain as [domain.Client.Delete] does, once
// no session of it is left: it is [ErrState], with their list, while there are
// sessions that have not ended. [Manager.Offboard] of every user is what comes
// before. It is idempotent, resumable and needs no Run.
func (m *Manager) DeleteDomain(ctx context.Context) error {
	const op = "delete domain"
	left, err := m.unended(ctx, "")
	if err != nil {
		return fail(ctx, op, "", err)
	}
	if len(left) > 0 {
		return &Error{Op: op, Kind: ErrState, Err: busyError{"", left}}
	}
	return fail(ctx, op, "", m.domain.Client().Delete(ctx, m.domain.Name()))
}

// PreviewDeleteDomain returns what [Manager.DeleteDomain] would do now: what
// blocks it, sessions first, what it would end, in that order, and what stays. It
// changes nothing and needs no Run.
func (m *Manager) PreviewDeleteDomain(ctx context.Context) ([]domain.Consequence, error) {
	const op = "preview delete domain"
	sessions, err := m.previewSessions(ctx, "", domain.Blocks)
	if err != nil {
		return nil, fail(ctx, op, "", err)
	}
	found, err := m.domain.Client().PreviewDelete(ctx, m.domain.Name())
	if err != nil {
		return nil, fail(ctx, op, "", err)
	}
	return append(sessions, found...), nil
}

func (m *Manager) previewSessions(ctx context.Context, user string, fate domain.Fate) ([]domain.Consequence, error) {
	left, err := m.unended(ctx, user)
	var found []domain.Consequence
	for _, r := range left {
		found = append(found, domain.Consequence{
			Fate: fate, Thing: domain.ThingSession, Name: string(r.ID), Detail: fmt.Sprintf("of %s, %s", r.Request.User, r.State),
		})
	}
	return found, err
}

// unended returns the sessions of a user, or of all, that have not ended, or
// whose container may still live.
func (m *Manager) unended(ctx context.Context, user string) ([]record, error) {
	var found []record
	for r, err := range m.records.All(ctx) {
		if err != nil {
			return nil, err
		}
		if (user == "" || r.Request.User == user) && r.Deleted.IsZero() && (!r.State.Ended() || r.loose()) {
			found = append(found, r)
		}
	}
	return found, nil
}
