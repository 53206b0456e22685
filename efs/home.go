package efs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/aws/aws-sdk-go-v2/service/efs/types"
)

// HomeSpec is a home to have.
type HomeSpec struct {
	// FileSystem is the file system it is on. Required.
	FileSystem string
	// User is whose home it is. Required; at most 256 letters, digits, spaces
	// and _ . : / = + - @.
	User string
	// UID and GID are the user's, by which the files are owned. Required; 0,
	// which is root, is refused.
	UID, GID uint32
	// DirectoryGID is the group of the directory if it is made, which another that
	// keeps the file system may want to be its own; &0 is root's. Nil is GID.
	// An access point that exists and would make it otherwise is taken as it is.
	DirectoryGID *uint32
	// Tags are added to the access point when it is made, at most 48.
	Tags map[string]string
	// Owner is the key of the tag that says to whom of several on a file system an access point
	// belongs: one that exists with another value than Tags has is [ErrConflict]. One
	// without the tag is taken. Empty is that whose it is does not matter.
	Owner string
}

// Home is a user's persistent directory. Whoever mounts its access point sees
// that directory alone, and acts in it as the user.
type Home struct {
	// FileSystem and AccessPoint are the identifiers by which a host mounts it.
	FileSystem, AccessPoint string
	// Path is the directory on the file system: "/" and the UID.
	Path string
	// UID and GID are the identity under which every operation is made.
	UID, GID uint32
}

// EnsureHome returns the home of a user, and makes its access point first if
// there is none. The directory, /<UID> with mode 0700, is created when a host
// mounts it for the first time.
//
// A home belongs to its UID: if the access point for the UID is another user's
// or has another GID, the error is [ErrConflict], so that a UID given twice by
// mistake does not open a home to a second user. A file system that is full of
// access points is [ErrQuota], see [Client.Usage].
func (c *Client) EnsureHome(ctx context.Context, spec HomeSpec) (Home, error) {
	const op = "ensure home"
	if err := spec.validate(op); err != nil {
		return Home{}, err
	}
	uid, group := strconv.FormatUint(uint64(spec.UID), 10), spec.GID
	if spec.DirectoryGID != nil {
		group = *spec.DirectoryGID
	}
	tags := map[string]string{"Name": "home of " + spec.User}
	maps.Copy(tags, spec.Tags)
	tags[userTag] = spec.User
	d, err := c.ensureAccessPoint(ctx, op, &awsefs.CreateAccessPointInput{
		ClientToken:  aws.String(token("home", spec.FileSystem, uid)),
		FileSystemId: aws.String(spec.FileSystem),
		PosixUser:    &types.PosixUser{Uid: aws.Int64(int64(spec.UID)), Gid: aws.Int64(int64(spec.GID))},
		RootDirectory: &types.RootDirectory{
			Path: aws.String("/" + uid),
			CreationInfo: &types.CreationInfo{
				OwnerUid: aws.Int64(int64(spec.UID)), OwnerGid: aws.Int64(int64(group)), Permissions: aws.String("0700"),
			},
		},
		Tags: tagList(tags),
	}, spec.same)
	if err != nil {
		return Home{}, err
	}
	return Home{
		FileSystem: spec.FileSystem, AccessPoint: aws.ToString(d.AccessPointId),
		Path: "/" + uid, UID: spec.UID, GID: spec.GID,
	}, nil
}

// same says how the access point for a UID differs from what is asked for.
func (s HomeSpec) same(d types.AccessPointDescription) error {
	p := accessPointOf(d)
	want := AccessPoint{FileSystem: s.FileSystem, Path: fmt.Sprintf("/%d", s.UID), Forced: true, UID: s.UID, GID: s.GID}
	switch {
	case p.User == "":
		return fmt.Errorf("the home of uid %d exists without the tag %s that says whose it is; set it, or delete the access point (its files stay)", s.UID, userTag)
	case p.User != s.User:
		return fmt.Errorf("uid %d is that of user %q, whose home exists; give %q another uid", s.UID, p.User, s.User)
	case p.Tags[s.Owner] != "" && p.Tags[s.Owner] != s.Tags[s.Owner]:
		return fmt.Errorf("the home of user %q exists and is that of %s %q, not %q; use it there, or delete the access point (its files stay)", s.User, s.Owner, p.Tags[s.Owner], s.Tags[s.Owner])
	case p.FileSystem != want.FileSystem, p.Path != want.Path, !p.Forced, p.UID != want.UID, p.GID != want.GID:
		return fmt.Errorf("the home of user %q exists as %s on %s, entered as %d:%d, not as %s on %s, entered as %d:%d; "+
			"ask for what exists, or delete the access point (its files stay)",
			s.User, p.Path, p.FileSystem, p.UID, p.GID, want.Path, want.FileSystem, want.UID, want.GID)
	}
	return nil
}

func (s HomeSpec) validate(op string) error {
	problems := []error{fileSystemProblem(s.FileSystem), valueProblem("user", s.User), tagProblems(s.Tags, 2)}
	if s.User == "" {
		problems = append(problems, errors.New("user is empty"))
	}
	if s.UID == 0 {
		problems = append(problems, errors.New("uid is 0, which is root: want the user's own"))
	}
	if s.GID == 0 {
		problems = append(problems, errors.New("gid is 0, which is root's group: want the user's own"))
	}
	return invalid(op, "", problems...)
}
