package efs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/aws/aws-sdk-go-v2/service/efs/types"
)

// SharedSpec is a directory for a group to have.
type SharedSpec struct {
	// FileSystem is the file system it is on. Required.
	FileSystem string
	// Name is the directory's: 1 to 63 lower-case letters, digits and hyphens,
	// beginning with a letter. Required.
	Name string
	// GID is the group that may enter. Required; 0, which is root's, is refused.
	GID uint32
	// Tags are added to the access point when it is made, at most 48.
	Tags map[string]string
}

// Shared is a persistent directory of a group. Whoever mounts its access point
// sees that directory alone and stays who they are: a container enters it by
// being in the group.
type Shared struct {
	// FileSystem and AccessPoint are the identifiers by which a host mounts it.
	FileSystem, AccessPoint string
	// Path is the directory on the file system: "/shared/" and the name.
	Path string
	// GID is the group that owns it.
	GID uint32
}

// EnsureShared returns a shared directory, and makes its access point first if
// there is none. The directory, with mode 2770, is root's and the group's; it
// is created when a host mounts it for the first time. Set-group-ID makes what
// is created in it the group's too.
//
// A directory of that name for another group is [ErrConflict].
func (c *Client) EnsureShared(ctx context.Context, spec SharedSpec) (Shared, error) {
	const op = "ensure shared directory"
	if err := spec.validate(op); err != nil {
		return Shared{}, err
	}
	tags := map[string]string{"Name": "shared directory " + spec.Name}
	maps.Copy(tags, spec.Tags)
	tags[sharedTag] = spec.Name
	d, err := c.ensureAccessPoint(ctx, op, &awsefs.CreateAccessPointInput{
		ClientToken:  aws.String(token("shared", spec.FileSystem, spec.Name)),
		FileSystemId: aws.String(spec.FileSystem),
		RootDirectory: &types.RootDirectory{
			Path: aws.String(spec.path()),
			CreationInfo: &types.CreationInfo{
				OwnerUid: aws.Int64(0), OwnerGid: aws.Int64(int64(spec.GID)), Permissions: aws.String("2770"),
			},
		},
		Tags: tagList(tags),
	}, spec.same)
	if err != nil {
		return Shared{}, err
	}
	return Shared{FileSystem: spec.FileSystem, AccessPoint: aws.ToString(d.AccessPointId), Path: spec.path(), GID: spec.GID}, nil
}

func (s SharedSpec) path() string { return "/shared/" + s.Name }

// same says how the access point for a name differs from what is asked for.
func (s SharedSpec) same(d types.AccessPointDescription) error {
	p := accessPointOf(d)
	if p.FileSystem != s.FileSystem || p.Path != s.path() || p.Forced || p.OwnerGID != s.GID {
		return fmt.Errorf("the shared directory %q exists as %s on %s for group %d (forced identity: %v), not as %s on %s for group %d; "+
			"ask for what exists, or use another name", s.Name, p.Path, p.FileSystem, p.OwnerGID, p.Forced, s.path(), s.FileSystem, s.GID)
	}
	return nil
}

var sharedPattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

func (s SharedSpec) validate(op string) error {
	problems := []error{fileSystemProblem(s.FileSystem), tagProblems(s.Tags, 2)}
	if !sharedPattern.MatchString(s.Name) {
		problems = append(problems, fmt.Errorf("name %q: want 1 to 63 lower-case letters, digits and hyphens, beginning with a letter", s.Name))
	}
	if s.GID == 0 {
		problems = append(problems, errors.New("gid is 0, which is root's group: want that of a group"))
	}
	return invalid(op, "", problems...)
}
