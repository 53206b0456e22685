package domain

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/atelier-go/atelier/efs"
)

// Fate is what a call would do to a thing.
type Fate string

const (
	// Blocks: it has to come to its end first. As long as there is such a thing
	// the call is refused, with [ErrState] unless it says otherwise, and changes nothing.
	Blocks Fate = "blocks"
	// Ends: it would be gone, or be over.
	Ends Fate = "ends"
	// Stays: it would be as before.
	Stays Fate = "stays"
	// Makes: it would be made, or begin.
	Makes Fate = "makes"
)

// Thing is what a [Consequence] is about.
type Thing string

// What there is in a domain, and by which names.
const (
	ThingUser          Thing = "user"           // by name
	ThingSession       Thing = "session"        // by id; package session tells of them
	ThingHome          Thing = "home"           // by its user's name
	ThingProject       Thing = "project"        // by name
	ThingImage         Thing = "image"          // by name
	ThingPolicy        Thing = "policy"         // by its group's name, the domain's own by that of the domain
	ThingMountTarget   Thing = "mount target"   // by EFS's id
	ThingSecurityGroup Thing = "security group" // by name
	ThingOccupant      Thing = "occupant"       // by the name given to [Domain.Occupy]
	ThingDomain        Thing = "domain"         // by name
	ThingFileSystem    Thing = "file system"    // by EFS's id
	ThingAccessPoint   Thing = "access point"   // by EFS's id
)

// A Consequence is what a call would do to one thing.
type Consequence struct {
	Fate  Fate
	Thing Thing
	// Name is which, see [Thing].
	Name string
	// Detail says more, in a few words for people, or nothing.
	Detail string
}

// String is one line of a preview: "ends: security group atelier-research-hosts".
func (c Consequence) String() string {
	s := fmt.Sprintf("%s: %s %s", c.Fate, c.Thing, c.Name)
	if c.Detail != "" {
		s += " (" + c.Detail + ")"
	}
	return s
}

// PreviewOffboard returns what [Domain.Offboard] of a user would do now: what it
// would end, then what stays. It changes nothing and asks nobody but the store.
// Sessions are told of by PreviewOffboard of package session's Manager. A user
// who never was one is [ErrNotFound].
func (d *Domain) PreviewOffboard(ctx context.Context, user string) ([]Consequence, error) {
	u, err := d.User(ctx, user)
	if err != nil {
		return nil, err
	}
	var found []Consequence
	if u.Offboarded.IsZero() {
		found = append(found, Consequence{Ends, ThingUser, u.Name, "is refused sessions; the record and uid stay"})
	}
	found = append(found, u.homeStays()...)
	for p, err := range d.Projects(ctx) {
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(p.Groups, func(g string) bool { return slices.Contains(u.Groups, g) }) {
			found = append(found, Consequence{Stays, ThingProject, p.Name, "with what the user has put there"})
		}
	}
	return found, nil
}

// homeStays is a user's home, if there is one.
func (u User) homeStays() []Consequence {
	if u.Home == (efs.Home{}) {
		return nil
	}
	return []Consequence{
		{Stays, ThingHome, u.Name, u.Home.Path + " on " + u.Home.FileSystem},
		{Stays, ThingAccessPoint, u.Home.AccessPoint, "of the home of " + u.Name},
	}
}

// PreviewDelete returns what [Client.Delete] would do now: what blocks it, what
// it would end, in that order, and what stays. It changes nothing; EC2 and EFS
// are asked what there is. That something else holds a security group, which is
// [ErrState] too, shows when it is deleted. A domain that is not there is
// [ErrNotFound].
func (c *Client) PreviewDelete(ctx context.Context, name string) ([]Consequence, error) {
	const op = "preview delete"
	if err := CheckName("domain", name); err != nil {
		return nil, &Error{Op: op, Name: printable(name), Kind: ErrInvalid, Err: err}
	}
	d := c.domain(name)
	r, err := d.load(ctx, op)
	if err != nil {
		return nil, err
	}
	found, err := d.blocking(ctx, r)
	if err != nil {
		return nil, fail(ctx, op, name, err)
	}
	var stays []Consequence
	if r.FileSystem != "" {
		stays = append(stays, Consequence{Stays, ThingFileSystem, r.FileSystem, strings.TrimSuffix("with all files, of "+r.External.Keeper, ", of ")})
	}
	for u, err := range d.Users(ctx) {
		if err != nil {
			return nil, err
		}
		stays = append(stays, u.homeStays()...)
	}
	for p, err := range d.Projects(ctx) {
		if err != nil {
			return nil, err
		}
		if !p.Created.IsZero() {
			found = append(found, Consequence{Ends, ThingProject, p.Name, "its files and its gid stay"})
		}
		if p.Directory != (efs.Shared{}) {
			stays = append(stays, Consequence{Stays, ThingAccessPoint, p.Directory.AccessPoint, "of project " + p.Name})
		}
	}
	network, err := d.previewNetwork(ctx, r)
	if err != nil {
		return nil, fail(ctx, op, name, err)
	}
	found = append(found, network...)
	for _, image := range slices.Sorted(maps.Keys(r.Images)) {
		found = append(found, Consequence{Ends, ThingImage, image, "is detached; the registry keeps it"})
	}
	for _, group := range slices.Sorted(maps.Keys(r.Groups)) {
		found = append(found, Consequence{Ends, ThingPolicy, group, ""})
	}
	found = append(found, Consequence{Ends, ThingDomain, name, "with its policy"})
	return append(found, stays...), nil
}

// previewNetwork is what of the domain's network Delete would remove.
func (d *Domain) previewNetwork(ctx context.Context, r record) ([]Consequence, error) {
	var found []Consequence
	if r.FileSystem != "" && r.External.none() {
		targets, err := d.client.efsFor(d.name, "", "mount targets").MountTargets(ctx, r.FileSystem)
		if err != nil {
			return nil, err
		}
		for _, m := range targets {
			found = append(found, Consequence{Ends, ThingMountTarget, m.ID, "in " + m.Zone})
		}
	}
	for _, spec := range []groupSpec{fileSystemGroup(d.name, ""), hostGroup(d.name)} {
		group, err := d.client.findGroup(ctx, r.VPC, spec.name)
		if err != nil {
			return nil, err
		}
		if group != nil && ours(group, d.name) {
			found = append(found, Consequence{Ends, ThingSecurityGroup, spec.name, ""})
		}
	}
	return found, nil
}
