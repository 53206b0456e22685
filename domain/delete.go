package domain

import (
	"context"
	"errors"
	"fmt"

	"github.com/atelier-go/atelier/domain/store"
)

// Delete deletes a domain: projects, mount targets, security groups, policies
// and attached images. The file system with every home, every file of a project
// and every access point is kept, and so are the records of users, logins, uids
// and gids, for a domain created again under the name; a project is then created
// again, too. [Client.PreviewDelete] tells all that without doing it.
//
// Sessions are not its concern: DeleteDomain of package session's Manager sees
// to it that none is left. It is [ErrState] while users are onboarded, homes are
// being deleted, projects are half-made or something occupies it ([Domain.Occupy]), or while something that runs holds a security group; end that, and call again. It can be
// called again after any failure and continues; a domain that is not there, or
// no more, is [ErrNotFound].
func (c *Client) Delete(ctx context.Context, name string) error {
	const op = "delete"
	if err := CheckName("domain", name); err != nil {
		return &Error{Op: op, Name: printable(name), Kind: ErrInvalid, Err: err}
	}
	d := c.domain(name)
	if err := d.close(ctx); err != nil {
		return fail(ctx, op, name, err)
	}
	for _, step := range []func(context.Context, record) error{
		d.closeProjects, d.removeMountTargets, d.removeFileSystemGroup, d.removeHostGroup,
	} {
		r, err := c.domains.Get(ctx, name)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return nil // another call has finished
		case err != nil:
			return fail(ctx, op, name, err)
		case r.Closing != closingRemoving:
			return &Error{Op: op, Name: name, Kind: ErrConflict, Err: errors.New("it was deleted and created again meanwhile")}
		}
		if err := step(ctx, r); err != nil {
			return fail(ctx, op, name, err)
		}
	}
	err := c.domains.DeleteIf(ctx, name, func(r record) error {
		if r.Closing != closingRemoving {
			return &Error{Op: op, Name: name, Kind: ErrConflict, Err: errors.New("it was deleted and created again meanwhile")}
		}
		return nil
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fail(ctx, op, name, err)
	}
	c.log.InfoContext(ctx, "domain deleted", "domain", name)
	return nil
}

// close brings the domain to the point where it has no users and gets none.
//
// It closes the domain first and looks for users after; Onboard writes the
// user first and looks whether the domain is closed after. So they cannot miss
// each other. Each call closes under a number of its own, so that one that
// opens the domain again does not undo another's closing.
func (d *Domain) close(ctx context.Context) error {
	r, err := d.client.domains.Update(ctx, d.name, func(r *record) error {
		if r.Closing == closingRemoving {
			return store.ErrUnchanged
		}
		r.Closing = closingClaimed
		r.Claim++
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return unrecorded("the store has no domain of this name; there is nothing to delete, or the name is another")
	}
	if err != nil || r.Closing == closingRemoving {
		return err
	}
	blocking, err := d.blocking(ctx, r)
	if err != nil {
		return err
	}
	needed := len(blocking) > 0
	next := closingRemoving
	if needed {
		next = ""
	}
	_, err = d.client.domains.Update(ctx, d.name, func(now *record) error {
		if now.Claim != r.Claim {
			if needed {
				return store.ErrUnchanged
			}
			return &Error{Op: "delete", Name: d.name, Kind: ErrConflict, Err: errors.New("another call deletes it too; call again")}
		}
		now.Closing = next
		return nil
	})
	if err != nil || !needed {
		return err
	}
	names := map[Thing][]string{}
	for _, c := range blocking {
		names[c.Thing] = append(names[c.Thing], c.Name)
	}
	var wrong problems
	for _, of := range []struct {
		thing Thing
		what  string
	}{
		{ThingUser, "users are onboarded, offboard them first"},
		{ThingHome, "homes are being deleted, finish that first"},
		{ThingProject, "projects are half-made, create or delete them first"},
		{ThingOccupant, "things are in the domain's network that would break, remove them first"},
	} {
		if n := names[of.thing]; len(n) > 0 {
			wrong.add(string(of.thing), ErrState, fmt.Errorf("%d %s: %s", len(n), of.what, enumerate(n, 10)))
		}
	}
	return wrong.err("delete", d.name)
}

// blocking is what a domain may not have to be deleted: users who are not
// offboarded, homes that are being deleted, by user, projects half-made, and what
// occupies it, as its record says.
func (d *Domain) blocking(ctx context.Context, r record) ([]Consequence, error) {
	found := r.occupants()
	users, deleting, err := d.members(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range users {
		found = append(found, Consequence{Blocks, ThingUser, name, "is onboarded"})
	}
	for _, name := range deleting {
		found = append(found, Consequence{Blocks, ThingHome, name, "is being deleted"})
	}
	for p, err := range d.projects.All(ctx) {
		if err != nil {
			return nil, err
		}
		if p.halfMade() {
			found = append(found, Consequence{Blocks, ThingProject, p.Name, "is half-made"})
		}
	}
	return found, nil
}

// removeMountTargets frees the network interfaces of the file system, which
// would keep the subnets from being deleted.
func (d *Domain) removeMountTargets(ctx context.Context, r record) error {
	if r.FileSystem == "" || !r.External.none() {
		return nil
	}
	d.client.report(Progress{Domain: d.name, Step: "mount targets", State: "deleting"})
	return d.client.efsFor(d.name, "", "mount targets").DeleteMountTargets(ctx, r.FileSystem)
}

func (d *Domain) removeFileSystemGroup(ctx context.Context, r record) error {
	return d.client.removeGroup(ctx, r, fileSystemGroup(d.name, ""))
}

func (d *Domain) removeHostGroup(ctx context.Context, r record) error {
	return d.client.removeGroup(ctx, r, hostGroup(d.name))
}
