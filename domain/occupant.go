package domain

import (
	"context"
	"fmt"
	"slices"

	"github.com/atelier-go/atelier/domain/store"
)

// Occupy says that something is in the domain's network that would break without it,
// such as a Workbench. The domain is not deleted until [Domain.Vacate] of the same name,
// 1 to 20 of a-z, 0-9 and hyphen, beginning with a letter. It is idempotent. A domain
// that is being deleted is [ErrState].
func (d *Domain) Occupy(ctx context.Context, name string) error {
	const op = "occupy"
	if err := CheckName("occupant", name); err != nil {
		return &Error{Op: op, Name: d.name + "/" + printable(name), Kind: ErrInvalid, Err: err}
	}
	_, err := d.client.domains.Update(ctx, d.name, func(r *record) error {
		if err := r.open(); err != nil {
			return &Error{Op: op, Name: d.name + "/" + name, Kind: ErrState, Err: err}
		}
		if slices.Contains(r.Occupants, name) {
			return store.ErrUnchanged
		}
		r.Occupants = append(slices.Clone(r.Occupants), name)
		slices.Sort(r.Occupants)
		return nil
	})
	return fail(ctx, op, d.name+"/"+name, err)
}

// Vacate says that what occupied the domain is gone. It is idempotent, also for a domain
// that is being deleted.
func (d *Domain) Vacate(ctx context.Context, name string) error {
	_, err := d.client.domains.Update(ctx, d.name, func(r *record) error {
		if !slices.Contains(r.Occupants, name) {
			return store.ErrUnchanged
		}
		r.Occupants = slices.DeleteFunc(slices.Clone(r.Occupants), func(o string) bool { return o == name })
		return nil
	})
	return fail(ctx, "vacate", d.name+"/"+printable(name), err)
}

// occupants are what keeps a domain from being deleted.
func (r record) occupants() []Consequence {
	var found []Consequence
	for _, name := range r.Occupants {
		found = append(found, Consequence{Blocks, ThingOccupant, name, fmt.Sprintf("is in the domain's network and would break: remove the %s first", name)})
	}
	return found
}
