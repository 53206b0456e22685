package domain

import (
	"context"
	"errors"
	"fmt"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/efs"
)

// fileSystemToken is the creation token by which EFS knows a domain's file
// system. It depends on nothing but the name, so that a domain created again,
// also from an empty store, finds its homes.
func fileSystemToken(domain string) string { return "atelier-" + domain }

// ensureStorage makes what homes need — security groups, file system, mount
// targets — and records each as soon as it is known. What is recorded is taken
// as done; [Client.Create] looks again.
func (d *Domain) ensureStorage(ctx context.Context, r record) (record, error) {
	if r.MountTargets { // also of an external file system
		return r, nil
	}
	return d.repairStorage(ctx, r)
}

// repairStorage is ensureStorage without trust in the record.
func (d *Domain) repairStorage(ctx context.Context, r record) (record, error) {
	r, err := d.ensureHostGroup(ctx, r)
	if err != nil {
		return record{}, err
	}
	id, err := d.client.ensureGroup(ctx, r, fileSystemGroup(d.name, r.HostGroup))
	if err != nil {
		return record{}, err
	}
	if r, err = d.note(ctx, func(r *record) { r.FileSystemGroup = id }); err != nil {
		return record{}, err
	}
	fs, err := d.ensureFileSystem(ctx, r)
	if err != nil {
		return record{}, err
	}
	if r, err = d.note(ctx, func(r *record) { r.FileSystem = fs }); err != nil {
		return record{}, err
	}
	subnets := make([]efs.Subnet, len(r.Subnets))
	for i, s := range r.Subnets {
		subnets[i] = efs.Subnet(s)
	}
	d.client.report(Progress{Domain: d.name, Step: "mount targets"})
	if _, err = d.client.efsFor(d.name, "", "mount targets").EnsureMountTargets(ctx, fs, subnets, []string{r.FileSystemGroup}); err != nil {
		return record{}, err
	}
	return d.note(ctx, func(r *record) { r.MountTargets = true })
}

// ensureHostGroup makes the security group of the domain's hosts.
func (d *Domain) ensureHostGroup(ctx context.Context, r record) (record, error) {
	id, err := d.client.ensureGroup(ctx, r, hostGroup(d.name))
	if err != nil {
		return record{}, err
	}
	return d.note(ctx, func(r *record) { r.HostGroup = id })
}

// ensureFileSystem returns the domain's file system. One that is recorded and
// gone is not replaced by an empty one behind the users' backs.
func (d *Domain) ensureFileSystem(ctx context.Context, r record) (string, error) {
	d.client.report(Progress{Domain: d.name, Step: "file system"})
	client := d.client.efsFor(d.name, "", "file system")
	if r.FileSystem != "" {
		_, err := client.FileSystem(ctx, r.FileSystem)
		return r.FileSystem, gone(r, err)
	}
	fs, err := client.EnsureFileSystem(ctx, efs.FileSystemSpec{
		Token: fileSystemToken(d.name), Name: "atelier-" + d.name, KMSKeyID: r.KMSKeyID, Tags: r.tags(),
	})
	return fs.ID, err
}

// gone says what to do when EFS does not know the recorded file system.
func gone(r record, err error) error {
	if !errors.Is(err, efs.ErrNotFound) {
		return err
	}
	return &Error{Op: "onboard", Name: r.Name, Kind: ErrState, Err: fmt.Errorf(
		"file system %s with the users' homes is gone: to go on with an empty one, delete the domain and create it again: %w", r.FileSystem, err)}
}

// note records what was found or made, unless the record says so already.
func (d *Domain) note(ctx context.Context, alter func(*record)) (record, error) {
	r, err := d.client.domains.Update(ctx, d.name, func(r *record) error {
		before := *r
		alter(r)
		if r.HostGroup == before.HostGroup && r.FileSystemGroup == before.FileSystemGroup &&
			r.FileSystem == before.FileSystem && r.MountTargets == before.MountTargets {
			return store.ErrUnchanged
		}
		return nil
	})
	return r, d.missing(err)
}
