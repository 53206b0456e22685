package sagemakerdomain

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	efstypes "github.com/aws/aws-sdk-go-v2/service/efs/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/internal/refusal"
)

// homesOf are the file systems that SageMaker made for a domain, by its tag: the domain may be
// gone, and a domain of ours be over them still. Those that are going are none.
func (c *Client) homesOf(ctx context.Context, id string) (found []string, err error) {
	pages := awsefs.NewDescribeFileSystemsPaginator(c.aws.EFS, &awsefs.DescribeFileSystemsInput{})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, refusal.Step("the list of file systems", err)
		}
		for _, fs := range out.FileSystems {
			if fs.LifeCycleState == efstypes.LifeCycleStateDeleting || fs.LifeCycleState == efstypes.LifeCycleStateDeleted {
				continue
			}
			if slices.ContainsFunc(fs.Tags, func(t efstypes.Tag) bool {
				return aws.ToString(t.Key) == tagManaged && managedBy(aws.ToString(t.Value), id)
			}) {
				found = append(found, aws.ToString(fs.FileSystemId))
			}
		}
	}
	return found, nil
}

// ourPoints are the access points that domains of ours have on a file system. One that is gone
// has none, and no name is no file system.
func (c *Client) ourPoints(ctx context.Context, fileSystem string) (found []efs.AccessPoint, err error) {
	if fileSystem == "" {
		return nil, nil
	}
	for p, err := range c.files.AccessPoints(ctx, fileSystem) {
		if err != nil && kindOf(err) == domain.ErrNotFound {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if p.Tags[domain.TagDomain] != "" {
			found = append(found, p)
		}
	}
	return found, nil
}

// cutsOff refuses what would cut domains of ours off file systems whose domain is gone.
func (c *Client) cutsOff(ctx context.Context, homes []string) error {
	for _, fs := range homes {
		names, err := c.adopters(ctx, fs)
		if err != nil {
			return err
		}
		if len(names) > 0 {
			return refusal.New(domain.ErrState, "domain %s of ours opens the homes on %s, which the domain has left, by its security groups for NFS: delete ours first, with package domain's Delete, and call again",
				strings.Join(names, ", "), fs)
		}
	}
	return nil
}

// previewAdopters tells of domains of ours that keep a file system's domain, or what it has
// left, from being deleted.
func (c *Client) previewAdopters(ctx context.Context, fileSystem string) (found []domain.Consequence, err error) {
	names, err := c.adopters(ctx, fileSystem)
	for _, name := range names {
		found = append(found, domain.Consequence{Fate: domain.Blocks, Thing: domain.ThingDomain, Name: name, Detail: "of ours opens its homes: delete that one first"})
	}
	return found, err
}

// previewPoints tells of the access points of ours that go with a file system. A domain of
// ours that was deleted has left them: they keep the way to each home.
func (c *Client) previewPoints(ctx context.Context, fileSystem string) (found []domain.Consequence, err error) {
	points, err := c.ourPoints(ctx, fileSystem)
	if err != nil {
		return nil, err
	}
	of := map[string][]string{} // ids by domain
	for _, p := range points {
		of[p.Tags[domain.TagDomain]] = append(of[p.Tags[domain.TagDomain]], p.ID)
	}
	for _, name := range slices.Sorted(maps.Keys(of)) {
		ids := of[name]
		slices.Sort(ids)
		found = append(found, domain.Consequence{
			Fate: domain.Ends, Thing: domain.ThingAccessPoint, Name: strings.Join(ids, ", "),
			Detail: fmt.Sprintf("%d of domain %s of ours, by which it opened homes", len(ids), name),
		})
	}
	return found, nil
}

// previewGone tells what [Client.DeleteDomain] would do about a domain that is gone: what it
// has left. If it has left nothing the error is why, that there is no such domain.
func (c *Client) previewGone(ctx context.Context, q DeleteDomainRequest, why error) (found []domain.Consequence, err error) {
	homes, err := c.homesOf(ctx, q.Domain)
	if err != nil {
		return nil, err
	}
	d := Description{ID: q.Domain}
	for _, fs := range homes {
		blocks, err := c.previewAdopters(ctx, fs)
		if err != nil {
			return nil, err
		}
		found, d.FileSystem = append(found, blocks...), fs
	}
	if q.DeleteFileSystem != "" {
		there, err := c.isThere(ctx, q.DeleteFileSystem)
		if err != nil {
			return nil, err
		}
		if there {
			found = append(found, domain.Consequence{Fate: domain.Blocks, Thing: domain.ThingFileSystem, Name: q.DeleteFileSystem, Detail: adviceFileSystem})
		}
		q.DeleteFileSystem = "" // it stays
	}
	if q.DeleteMountTargetsOf != "" {
		if there, err := c.madeFor(ctx, q.DeleteMountTargetsOf, q.Domain); err != nil {
			return nil, err
		} else if there {
			d.FileSystem = q.DeleteMountTargetsOf
		}
	}
	left, err := c.previewLeftovers(ctx, d, q)
	if err != nil {
		return nil, err
	}
	if found = append(found, left...); len(found) == 0 {
		return nil, why
	}
	slices.SortStableFunc(found, func(a, b domain.Consequence) int { return order(a.Fate) - order(b.Fate) })
	return found, nil
}

const adviceFileSystem = "the domain is gone, and it is there with all files: delete it by package efs, if it is to go"

// isThere reports whether a file system exists.
func (c *Client) isThere(ctx context.Context, fileSystem string) (bool, error) {
	fs, err := c.files.FileSystem(ctx, fileSystem)
	if err != nil && kindOf(err) == domain.ErrNotFound {
		return false, nil
	}
	return err == nil && fs.State != string(efstypes.LifeCycleStateDeleted), err
}

// madeFor reports whether a file system exists, and refuses one that SageMaker did not make for
// a domain.
func (c *Client) madeFor(ctx context.Context, fileSystem, id string) (bool, error) {
	fs, err := c.files.FileSystem(ctx, fileSystem)
	switch {
	case err != nil && kindOf(err) == domain.ErrNotFound:
		return false, nil
	case err != nil:
		return false, err
	case !managedBy(fs.Tags[tagManaged], id):
		return false, refusal.New(domain.ErrInvalid, "file system %s was not made by SageMaker for domain %s", fs.ID, id)
	}
	return true, nil
}
