package sagemakerdomain

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/internal/refusal"
)

// An adoption is what is to be done so that a domain of ours is one of SageMaker's.
type adoption struct {
	to     *domain.Client
	create domain.CreateRequest
	groups []string                // of hosts, in place of those that the domain has; nil is none
	images []domain.AttachRequest  // that are not attached as they are there
	users  []domain.OnboardRequest // who are not users yet, or not any more
	gone   []string                // users whose profile is gone
	// replaced are the names of users with which there is a profile of another uid.
	replaced map[string]bool

	points   []efs.AccessPoint // that are ours on the file system
	people   aliases           // the request's Users
	pictures aliases           // and Images
	included aliases           // and Include, without names of ours
	wrong    problems          // what blocks, as sentences

	blocks, makes, ends []domain.Consequence
	apart               []domain.Consequence // what differs and stays so
	stays               []domain.Consequence
	notes               []domain.Consequence // what stays, at length
}

// differences are what is not as it is there, first what somebody has to do something about.
func (a *adoption) differences() []domain.Consequence {
	return slices.Concat(a.blocks, a.makes, a.ends, a.apart)
}

// lines are all, those last that are long and the same each time.
func (a *adoption) lines() []domain.Consequence {
	return slices.Concat(a.differences(), a.stays, a.notes)
}

func (a *adoption) block(thing domain.Thing, name, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	a.blocks = append(a.blocks, domain.Consequence{Fate: domain.Blocks, Thing: thing, Name: name, Detail: detail})
	a.wrong.add(domain.ErrState, "%s %s: %s", thing, name, detail)
}

// refuse blocks for what package domain would refuse.
func (a *adoption) refuse(thing domain.Thing, name string, refusals []error) {
	for _, err := range refusals {
		a.blocks = append(a.blocks, domain.Consequence{Fate: domain.Blocks, Thing: thing, Name: name, Detail: err.Error()})
		a.wrong = append(a.wrong, fmt.Errorf("%s %s: %w", thing, name, err)) // which has its kind
	}
}

func (a *adoption) make(thing domain.Thing, name, format string, args ...any) {
	a.makes = append(a.makes, domain.Consequence{Fate: domain.Makes, Thing: thing, Name: name, Detail: fmt.Sprintf(format, args...)})
}

func (a *adoption) differ(thing domain.Thing, name, format string, args ...any) {
	a.apart = append(a.apart, domain.Consequence{Fate: domain.Stays, Thing: thing, Name: name, Detail: fmt.Sprintf(format, args...)})
}

func (a *adoption) stay(thing domain.Thing, name, format string, args ...any) {
	a.stays = append(a.stays, domain.Consequence{Fate: domain.Stays, Thing: thing, Name: name, Detail: fmt.Sprintf(format, args...)})
}

// note is a line for what has no counterpart or is not looked at, whoever adopts.
func (a *adoption) note(thing domain.Thing, name, format string, args ...any) {
	a.notes = append(a.notes, domain.Consequence{Fate: domain.Stays, Thing: thing, Name: name, Detail: fmt.Sprintf(format, args...)})
}

// planAdoption reads SageMaker's domain and ours, if there is one.
func (c *Client) planAdoption(ctx context.Context, to *domain.Client, q AdoptRequest) (*adoption, error) {
	var wrong problems
	wrong.checkDomainID(q.ID)
	if to == nil {
		wrong.add(domain.ErrInvalid, "the client of domains is nil")
	}
	a := &adoption{to: to}
	if len(wrong) > 0 { // else CheckCreate tells of the name, and the plan of the others
		if err := domain.CheckName("domain", q.Name); err != nil {
			wrong.add(domain.ErrInvalid, "%w", err)
		}
		a.readNames(q, nil)
		return nil, append(wrong, a.wrong...).err()
	}
	ours, err := ourDomain(ctx, to, q.Name)
	if err != nil {
		return nil, err
	}
	source, err := c.describe(ctx, q.ID)
	if kindOf(err) == domain.ErrNotFound {
		return a, a.planWithout(ctx, c, q.ID, ours)
	}
	if err != nil {
		return nil, err
	}
	a.readNames(q, ours)
	if a.points, err = c.ourPoints(ctx, source.FileSystem); err != nil {
		return nil, err
	}
	for _, plan := range []func(context.Context, *Client, AdoptRequest, Description, *present) error{
		a.planDomain, a.planImages, a.planUsers, a.planSpaces,
	} {
		if err := plan(ctx, c, q, source, ours); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// planWithout blocks what would go on with a domain that SageMaker has no more.
func (a *adoption) planWithout(ctx context.Context, c *Client, id string, ours *present) error {
	if ours == nil || ours.External.Keeper != keeper+id {
		return refusal.New(domain.ErrNotFound, "SageMaker has no domain %s in %s: check the id, as Domains lists it", id, c.region)
	}
	_, err := c.files.FileSystem(ctx, ours.FileSystem)
	switch {
	case err == nil:
		a.block(domain.ThingDomain, id, "SageMaker has it no more; the homes stay on %s, and users of %s go on with the uids that they have: nobody comes or goes by a profile any more, "+
			"so onboard with a uid that nobody has, and offboard, by domain %s itself, or delete it and keep the files", ours.FileSystem, ours.Name, ours.Name)
	case kindOf(err) == domain.ErrNotFound:
		a.block(domain.ThingDomain, id, "SageMaker has it no more, and the homes are gone with %s: delete domain %s", ours.FileSystem, ours.Name)
	default:
		return err
	}
	return nil
}

// A present is a domain of ours that exists; nil is none.
type present struct {
	domain.Description
	handle *domain.Domain
	users  map[uint32]domain.User
	names  map[string]domain.User
	images map[string]domain.Image // by name
}

// ourDomain reads the domain of a name. A name that is none, and a domain elsewhere, are none
// here: Create refuses them.
func ourDomain(ctx context.Context, to *domain.Client, name string) (*present, error) {
	d, err := to.Get(ctx, name)
	if errors.Is(err, domain.ErrNotFound) || errors.Is(err, domain.ErrInvalid) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := &present{handle: d, users: map[uint32]domain.User{}, names: map[string]domain.User{}, images: map[string]domain.Image{}}
	if p.Description, err = d.Describe(ctx); err != nil {
		return nil, err
	}
	for u, err := range d.Users(ctx) {
		if err != nil {
			return nil, err
		}
		p.names[u.Name] = u
		if u.UID != 0 {
			p.users[u.UID] = u
		}
	}
	for i, err := range d.Images(ctx) {
		if err != nil {
			return nil, err
		}
		p.images[i.Name] = i
	}
	return p, nil
}
