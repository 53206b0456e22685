package workbench

import (
	"context"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/efs"
)

const (
	// storageDirectory is the shared storage's name among the file system's shared
	// directories. It is longer than a project's can be, so that it is none's.
	storageDirectory = "atelier-workbench-shared-storage"
	// storageGroup is the group that the directory is given when it is made,
	// nobody's: the host gives it to root then, with the modes of /tmp.
	storageGroup = 65534
)

// ensureStorage makes the access point of the shared storage, if one is wanted.
// It has the tag of the Workbench and not the domain's, which looks for its
// projects by that.
func (c *Client) ensureStorage(ctx context.Context, r *record, d domain.Description) error {
	if r.Want.SharedStorage == "" || r.Storage != "" {
		return nil
	}
	tags := c.tags(d)
	delete(tags, "Name") // package efs sets it
	dir, err := c.efs.EnsureShared(ctx, efs.SharedSpec{FileSystem: d.FileSystem, Name: storageDirectory, GID: storageGroup, Tags: tags})
	if err != nil {
		return err
	}
	return c.note(ctx, r, func(r *record) { r.Storage = dir.AccessPoint })
}
