// Package domain keeps domains: the network, file system, users, images and
// policies that sessions of one organisation share.
//
// A [Client] creates and finds domains. A [Domain] onboards users — each with
// one uid for ever and one home, on an EFS file system that the first of them
// brings about — makes projects, which are directories that groups of users
// share, attaches container images, and holds policies.
// [Domain.Authorize] is its one decision: whether a user may run an image on
// an instance type, and on which.
//
// # Records
//
// What a domain knows is in a [store.Store]; AWS holds the rest, under names
// and tokens that follow from the domain's name. Every method that changes
// something is idempotent, records what it is about to do, and can be called
// again after an error, a crash or a cancelled context, which leave nothing
// that the next call does not find. Methods are safe for concurrent use by
// goroutines and processes.
//
// # Money
//
// Policies may limit how many sessions there are at one time and what they cost in
// a month, and a project what those cost that name it to pay. [Domain.Quote] tells what a session would cost before it is started.
// When it starts it is held to its limits by [Domain.Reserve], and when it ended
// [Domain.Settle] charges its cost to each [Account] it is in; [Domain.Authorize]
// does not look at use. Package session's Manager makes these calls.
//
// # What is kept
//
// No method of this package deletes a file system or the files of a home or a
// project.
// Files are removed by a workload, through DeleteHome of package session's
// Manager, which alone calls what this package has for it: only
// [Domain.FinishHomeDeletion] deletes a home's access point. A uid is never
// given to a second user, also after that, nor is a name or a login.
package domain

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/instancetype"
)

// A Domain is a handle on a domain, made by a [Client]. It holds no state of
// its own and is safe for concurrent use.
type Domain struct {
	client *Client
	name   string
	users  store.Table[User]

	projects store.Table[project]
	claims   store.Table[claim]
}

// Name returns the domain's name.
func (d *Domain) Name() string { return d.name }

// Region returns the AWS region the domain lies in.
func (d *Domain) Region() string { return d.client.region }

// Client returns the client that made d.
func (d *Domain) Client() *Client { return d.client }

// Store returns where the domain's records are kept, and those of its sessions.
func (d *Domain) Store() store.Store { return d.client.store }

// Catalog returns the instance types and prices the domain decides by.
func (d *Domain) Catalog() *instancetype.Catalog { return d.client.catalog }

// A Description is what a domain is and consists of.
type Description struct {
	// Name, Region, VPC, KMSKeyID and Tags are as created.
	Name     string
	Region   string
	VPC      string
	KMSKeyID string
	Tags     map[string]string
	// Subnets are where hosts may run, in the order of their zones.
	Subnets []Subnet
	// HostSecurityGroup is the group of the domain's hosts, which may have to be in
	// others, too: see HostSecurityGroups.
	HostSecurityGroup string
	// FileSystem and FileSystemSecurityGroup hold the homes; empty before the
	// first user.
	FileSystem              string
	FileSystemSecurityGroup string
	// External is as created, but for what [Domain.SetHostSecurityGroups] has changed: zero
	// if the file system is the domain's own.
	External External `json:",omitzero"`
	// Policy is the domain's policy; GroupPolicies are those of groups.
	Policy        Policy
	GroupPolicies map[string]Policy
	// DefaultImage is the name of the image that runs when none is named.
	DefaultImage string
	// Created is when the domain was created.
	Created time.Time
	// Deleting is whether Delete was called and has not ended.
	Deleting bool
}

// Describe returns what the records say of the domain. It asks nothing of AWS.
func (d *Domain) Describe(ctx context.Context) (Description, error) {
	r, err := d.load(ctx, "describe")
	if err != nil {
		return Description{}, err
	}
	return Description{
		Name: r.Name, Region: r.Region, VPC: r.VPC, KMSKeyID: r.KMSKeyID, Tags: r.Tags, Subnets: r.Subnets,
		HostSecurityGroup: r.HostGroup, FileSystem: r.FileSystem, FileSystemSecurityGroup: r.FileSystemGroup, External: r.External,
		Policy: r.Policy, GroupPolicies: r.Groups, DefaultImage: r.DefaultImage,
		Created: r.Created, Deleting: r.Closing != "",
	}, nil
}

// A Group is a name that users have in common.
type Group struct {
	// Name is the group's name.
	Name string
	// Policy is the group's policy, or nil.
	Policy *Policy
	// Users are the names of its users who are not offboarded, in order.
	Users []string
}

// Groups yields every group that has a policy or a user, in the order of their
// names. It is complete or ends with an error.
func (d *Domain) Groups(ctx context.Context) iter.Seq2[Group, error] {
	return func(yield func(Group, error) bool) {
		r, err := d.load(ctx, "groups")
		if err != nil {
			yield(Group{}, err)
			return
		}
		groups := map[string]Group{}
		for name, p := range r.Groups {
			groups[name] = Group{Name: name, Policy: &p}
		}
		for u, err := range d.Users(ctx) {
			if err != nil {
				yield(Group{}, err)
				return
			}
			if !u.Offboarded.IsZero() {
				continue
			}
			for _, name := range u.Groups {
				g := groups[name]
				g.Name, g.Users = name, append(g.Users, u.Name)
				groups[name] = g
			}
		}
		for _, name := range slices.Sorted(maps.Keys(groups)) {
			if !yield(groups[name], nil) {
				return
			}
		}
	}
}
