package efs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/aws/aws-sdk-go-v2/service/efs/types"
)

// MaxAccessPoints is how many access points a file system can have unless AWS
// raised its quota (EFS API reference, CreateAccessPoint). It bounds the users
// and shared directories of one file system.
const MaxAccessPoints = 10_000

// pageSize is how many access points a page may hold. EFS gives 100 unless
// asked for more.
const pageSize = 1000

// AccessPoint is a directory of a file system and the identity under which it
// is entered, as EFS described it. It is one of ours, see User, Shared and Root,
// or another's.
type AccessPoint struct {
	// ID is the identifier ("fsap-0123456789abcdef0").
	ID string
	// FileSystem is the file system it belongs to, Path its directory there.
	FileSystem, Path string
	// State is the life-cycle state, see [FileSystem].
	State string
	// User is whose home it is, Shared the name of the shared directory it is,
	// Root the purpose for which it opens the whole file system; at most one
	// is set.
	User, Shared, Root string
	// Forced says that every operation is made as UID and GID, whoever the
	// client is. If it is false, both are zero.
	Forced   bool
	UID, GID uint32
	// OwnerGID is the group that its directory is given when it is created. Zero
	// is root's, or that it is not created by mounting it.
	OwnerGID uint32
	// Tags are all its tags.
	Tags map[string]string
}

// SharedDirectory is the shared directory that p opens, as [Client.EnsureShared]
// made it, or zero if it is none.
func (p AccessPoint) SharedDirectory() Shared {
	if p.Shared == "" || p.Forced || p.Path != (SharedSpec{Name: p.Shared}).path() {
		return Shared{}
	}
	return Shared{FileSystem: p.FileSystem, AccessPoint: p.ID, Path: p.Path, GID: p.OwnerGID}
}

// AccessPoints lists the access points of a file system, of all who use it, in
// no order. A page is fetched when it is reached. It yields an error last.
func (c *Client) AccessPoints(ctx context.Context, fileSystem string) iter.Seq2[AccessPoint, error] {
	const op = "list access points"
	return func(yield func(AccessPoint, error) bool) {
		if err := invalid(op, "", fileSystemProblem(fileSystem)); err != nil {
			yield(AccessPoint{}, err)
			return
		}
		pages := awsefs.NewDescribeAccessPointsPaginator(c.api,
			&awsefs.DescribeAccessPointsInput{FileSystemId: aws.String(fileSystem), MaxResults: aws.Int32(pageSize)})
		for pages.HasMorePages() {
			out, err := pages.NextPage(ctx)
			if err != nil {
				yield(AccessPoint{}, failed(ctx, op, fileSystem, err))
				return
			}
			for _, d := range out.AccessPoints {
				if !yield(accessPointOf(d), nil) {
					return
				}
			}
		}
	}
}

// Usage is how much of a file system's room for access points is taken.
type Usage struct {
	// AccessPoints is how many exist.
	AccessPoints int
	// Limit is [MaxAccessPoints].
	Limit int
}

// Usage counts the access points of a file system. It lists them all: one call
// of EFS for each thousand.
func (c *Client) Usage(ctx context.Context, fileSystem string) (Usage, error) {
	usage := Usage{Limit: MaxAccessPoints}
	for _, err := range c.AccessPoints(ctx, fileSystem) {
		if err != nil {
			return Usage{}, err
		}
		usage.AccessPoints++
	}
	return usage, nil
}

// DeleteAccessPoint deletes an access point and returns when it is gone. Its
// directory and all files in it stay, and an access point made again for the
// same home enters them; so do hosts that have it mounted until they unmount
// it. One that does not exist is no error.
func (c *Client) DeleteAccessPoint(ctx context.Context, id string) error {
	const op = "delete access point"
	if !accessPointPattern.MatchString(id) {
		return invalid(op, "", fmt.Errorf("access point %q: want an id such as fsap-0123456789abcdef0", id))
	}
	_, err := c.api.DeleteAccessPoint(ctx, &awsefs.DeleteAccessPointInput{AccessPointId: aws.String(id)})
	if code(err) == "AccessPointNotFound" {
		return nil
	}
	if err != nil {
		return failed(ctx, op, id, err)
	}
	return c.wait(ctx, op, id, func(ctx context.Context) (look, error) {
		d, err := c.describeAccessPoint(ctx, id)
		if code(err) == "AccessPointNotFound" || err == nil && d.LifeCycleState == types.LifeCycleStateDeleted {
			return look{done: true}, nil
		}
		return look{resource: id, state: d.LifeCycleState}, err
	})
}

// ensureAccessPoint makes the access point of in, or finds the one that has its
// token, and returns it when it is available and same finds no difference.
func (c *Client) ensureAccessPoint(
	ctx context.Context, op string, in *awsefs.CreateAccessPointInput, same func(types.AccessPointDescription) error,
) (types.AccessPointDescription, error) {
	fileSystem := aws.ToString(in.FileSystemId)
	var found types.AccessPointDescription
	var id string // of the access point in our hands
	var named time.Time
	err := c.wait(ctx, op, fileSystem, func(ctx context.Context) (look, error) {
		if id == "" {
			var err error
			if id, err = c.createAccessPoint(ctx, in); err != nil {
				return look{}, err
			}
			if id == "" { // the file system is not available yet
				return look{resource: fileSystem}, nil
			}
			named = time.Now()
		}
		d, err := c.describeAccessPoint(ctx, id)
		if code(err) == "AccessPointNotFound" {
			// Not visible yet, or deleted between the two calls: then its
			// token is free again.
			seen := look{resource: id}
			if time.Since(named) > visible {
				id = ""
			}
			return seen, nil
		}
		if err != nil {
			return look{}, err
		}
		switch d.LifeCycleState {
		case types.LifeCycleStateAvailable:
			if err := same(d); err != nil {
				return look{}, problem(op, id, ErrConflict, "%w", err)
			}
			found = d
			return look{done: true}, nil
		case types.LifeCycleStateDeleting, types.LifeCycleStateDeleted: // its successor is made when it is gone
			seen := look{resource: id, state: d.LifeCycleState}
			id = ""
			return seen, nil
		case types.LifeCycleStateError:
			return look{}, problem(op, id, ErrState, "the access point has failed; delete it (its files stay) and call again")
		}
		return look{resource: id, state: d.LifeCycleState}, nil
	})
	return found, err
}

// createAccessPoint returns the id for in's token, of a new access point or of
// the one that has it; or none if the file system is still being created.
func (c *Client) createAccessPoint(ctx context.Context, in *awsefs.CreateAccessPointInput) (string, error) {
	out, err := c.api.CreateAccessPoint(ctx, in)
	if exists, ok := errors.AsType[*types.AccessPointAlreadyExists](err); ok && exists.AccessPointId != nil {
		return *exists.AccessPointId, nil
	}
	switch code(err) {
	case "":
	case "AccessPointLimitExceeded":
		return "", fmt.Errorf("the file system has as many access points as it can, %d unless AWS raised the quota; "+
			"delete those of users who left (their files stay), have the quota raised, or use another domain: %w", MaxAccessPoints, err)
	case "IncorrectFileSystemLifeCycleState":
		d, describeErr := c.describeFileSystem(ctx, aws.ToString(in.FileSystemId))
		if code(describeErr) == "FileSystemNotFound" { // it exists, and is not visible yet
			return "", nil
		}
		if describeErr != nil {
			return "", describeErr
		}
		switch d.LifeCycleState {
		case types.LifeCycleStateCreating, types.LifeCycleStateUpdating, types.LifeCycleStateAvailable:
			return "", nil
		}
	}
	if err != nil {
		return "", err
	}
	return aws.ToString(out.AccessPointId), nil
}

func (c *Client) describeAccessPoint(ctx context.Context, id string) (types.AccessPointDescription, error) {
	out, err := c.api.DescribeAccessPoints(ctx, &awsefs.DescribeAccessPointsInput{AccessPointId: aws.String(id)})
	if err != nil {
		return types.AccessPointDescription{}, err
	}
	if len(out.AccessPoints) != 1 {
		return types.AccessPointDescription{}, &types.AccessPointNotFound{Message: aws.String("EFS described no access point " + id)}
	}
	return out.AccessPoints[0], nil
}

func accessPointOf(d types.AccessPointDescription) AccessPoint {
	p := AccessPoint{
		ID: aws.ToString(d.AccessPointId), FileSystem: aws.ToString(d.FileSystemId), Path: "/",
		State: string(d.LifeCycleState), Tags: tagMap(d.Tags),
	}
	p.User, p.Shared, p.Root = p.Tags[userTag], p.Tags[sharedTag], p.Tags[rootTag]
	if d.RootDirectory != nil && d.RootDirectory.Path != nil {
		p.Path = *d.RootDirectory.Path
	}
	if d.RootDirectory != nil && d.RootDirectory.CreationInfo != nil {
		p.OwnerGID = uint32(aws.ToInt64(d.RootDirectory.CreationInfo.OwnerGid))
	}
	if u := d.PosixUser; u != nil {
		p.Forced, p.UID, p.GID = true, uint32(aws.ToInt64(u.Uid)), uint32(aws.ToInt64(u.Gid))
	}
	return p
}

// token is unique in the account and region, as EFS requires, and the same
// whenever the same thing is asked for. EFS takes at most 64 characters.
func token(kind, fileSystem, name string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + fileSystem + "\x00" + name))
	return fmt.Sprintf("atelier-%s-%x", kind, sum[:20])
}

var accessPointPattern = regexp.MustCompile(`^fsap-[0-9a-f]{8,40}$`)
