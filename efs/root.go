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

// RootSpec is an entrance to the whole of a file system to have for a while.
type RootSpec struct {
	// FileSystem is the file system it opens. Required.
	FileSystem string
	// Purpose tells it from others of the file system: 1 to 63 lower-case
	// letters, digits and hyphens. Required. Each purpose has one of its own,
	// so that whoever is done can delete it.
	Purpose string
	// Tags are added to the access point when it is made, at most 48.
	Tags map[string]string
}

// Root is the whole of a file system, entered as root. Whoever mounts its
// access point can change and remove everything: keep it only while it is
// needed, and mount it in nothing but what needs it.
type Root struct {
	// FileSystem and AccessPoint are the identifiers by which a host mounts it.
	FileSystem, AccessPoint string
}

// EnsureRoot returns an entrance to the root directory of a file system, under
// the forced identity of root, and makes its access point first if there is
// none for the purpose. [Client.DeleteAccessPoint] ends it.
//
// A host that mounts it needs the IAM permission
// elasticfilesystem:ClientRootAccess; without it EFS lets nobody act as root
// (https://docs.aws.amazon.com/efs/latest/ug/enforce-identity-access-points.html).
//
// An access point of the purpose that leads elsewhere is [ErrConflict].
func (c *Client) EnsureRoot(ctx context.Context, spec RootSpec) (Root, error) {
	const op = "ensure root"
	if err := spec.validate(op); err != nil {
		return Root{}, err
	}
	tags := map[string]string{"Name": "root for " + spec.Purpose}
	maps.Copy(tags, spec.Tags)
	tags[rootTag] = spec.Purpose
	d, err := c.ensureAccessPoint(ctx, op, &awsefs.CreateAccessPointInput{
		ClientToken:   aws.String(token("root", spec.FileSystem, spec.Purpose)),
		FileSystemId:  aws.String(spec.FileSystem),
		PosixUser:     &types.PosixUser{Uid: aws.Int64(0), Gid: aws.Int64(0)},
		RootDirectory: &types.RootDirectory{Path: aws.String("/")},
		Tags:          tagList(tags),
	}, spec.same)
	if err != nil {
		return Root{}, err
	}
	return Root{FileSystem: spec.FileSystem, AccessPoint: aws.ToString(d.AccessPointId)}, nil
}

// same says how the access point for a purpose differs from what is asked for.
func (s RootSpec) same(d types.AccessPointDescription) error {
	p := accessPointOf(d)
	if p.FileSystem != s.FileSystem || p.Path != "/" || !p.Forced || p.UID != 0 || p.GID != 0 || p.Root != s.Purpose {
		return fmt.Errorf("the access point for the purpose %q exists as %s on %s, entered as %d:%d (forced identity: %v, tag %s: %q), "+
			"not as / on %s, entered as root; delete it (files stay) and call again",
			s.Purpose, p.Path, p.FileSystem, p.UID, p.GID, p.Forced, rootTag, p.Root, s.FileSystem)
	}
	return nil
}

var purposePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

func (s RootSpec) validate(op string) error {
	problems := []error{fileSystemProblem(s.FileSystem), tagProblems(s.Tags, 2)}
	if !purposePattern.MatchString(s.Purpose) {
		problems = append(problems, fmt.Errorf("purpose %q: want 1 to 63 lower-case letters, digits and hyphens", s.Purpose))
	}
	if _, ok := s.Tags["Name"]; ok {
		problems = append(problems, errors.New(`tag "Name": it is set by this package`))
	}
	return invalid(op, "", problems...)
}
