package efs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/aws/aws-sdk-go-v2/service/efs/types"
)

// FileSystemSpec is a file system to have. Only Token is required.
//
// Every file system is made encrypted, for general purpose, with elastic
// throughput (nothing to size, paid by use) and, against what idle homes cost,
// with a life cycle: files go to Infrequent Access after 30 days without
// access, to Archive after 90, and return to primary storage at the first
// access. The first two are what the EFS console recommends; the third is for
// interactive users, who read a file that they open more than once.
type FileSystemSpec struct {
	// Token names the file system for ever in its account and region: 1 to 64
	// printable ASCII characters.
	Token string
	// Name is what the console shows. Empty is Token.
	Name string
	// KMSKeyID is the id, ARN or alias of a symmetric KMS key. Empty is the
	// account's key for EFS. It cannot be changed later.
	KMSKeyID string
	// Tags are added to the file system, at most 49.
	Tags map[string]string
}

// FileSystem is a file system as EFS described it.
type FileSystem struct {
	// ID is the identifier ("fs-0123456789abcdef0").
	ID string
	// Token is the creation token, Name the Name tag.
	Token, Name string
	// State is the life-cycle state: "creating", "available", "updating",
	// "deleting", "deleted" or "error".
	State string
	// Encrypted says whether data at rest is encrypted, KMSKey with which key, by ARN.
	Encrypted bool
	KMSKey    string
	// Created is when it was created.
	Created time.Time
	// Size is the metered size in bytes. It lags by hours.
	Size int64
	// MountTargets is how many mount targets it has.
	MountTargets int
	// Tags are all its tags.
	Tags map[string]string
}

// EnsureFileSystem returns the file system with the spec's token, available,
// and creates it first if there is none.
//
// One that exists must be encrypted, and with the spec's key if that names one,
// else the error is [ErrConflict]; one that is being deleted or has failed is
// [ErrState]. Tags it lacks are added. A life cycle is set only if it has none,
// so that an administrator's stays.
func (c *Client) EnsureFileSystem(ctx context.Context, spec FileSystemSpec) (FileSystem, error) {
	const op = "ensure file system"
	if err := spec.validate(op); err != nil {
		return FileSystem{}, err
	}
	id, err := c.createFileSystem(ctx, spec)
	if err != nil {
		return FileSystem{}, failed(ctx, op, id, err)
	}
	d, err := c.waitFileSystem(ctx, op, id, true)
	if err != nil {
		return FileSystem{}, err
	}
	if err := sameFileSystem(spec, d); err != nil {
		return FileSystem{}, problem(op, id, ErrConflict, "a file system with token %q exists and %w", spec.Token, err)
	}
	if d.Tags, err = c.addTags(ctx, id, d.Tags, spec.tags()); err != nil {
		return FileSystem{}, failed(ctx, op, id, err)
	}
	if err := c.addLifecycle(ctx, d); err != nil {
		return FileSystem{}, failed(ctx, op, id, err)
	}
	return fileSystemOf(d), nil
}

// createFileSystem returns the id for the spec's token, of a new file system
// or of the one that has it.
func (c *Client) createFileSystem(ctx context.Context, spec FileSystemSpec) (string, error) {
	in := &awsefs.CreateFileSystemInput{
		CreationToken:   aws.String(spec.Token),
		Encrypted:       aws.Bool(true),
		PerformanceMode: types.PerformanceModeGeneralPurpose,
		ThroughputMode:  types.ThroughputModeElastic,
		Tags:            tagList(spec.tags()),
	}
	if spec.KMSKeyID != "" {
		in.KmsKeyId = aws.String(spec.KMSKeyID)
	}
	out, err := c.api.CreateFileSystem(ctx, in)
	if exists, ok := errors.AsType[*types.FileSystemAlreadyExists](err); ok && exists.FileSystemId != nil {
		return *exists.FileSystemId, nil
	}
	if err != nil {
		return "", err
	}
	return aws.ToString(out.FileSystemId), nil
}

// waitFileSystem waits until a file system is available. One that was just
// named by EFS may be invisible for a while.
func (c *Client) waitFileSystem(ctx context.Context, op, id string, named bool) (types.FileSystemDescription, error) {
	var found types.FileSystemDescription
	began := time.Now()
	err := c.wait(ctx, op, id, func(ctx context.Context) (look, error) {
		d, err := c.describeFileSystem(ctx, id)
		if code(err) == "FileSystemNotFound" && named && time.Since(began) < visible {
			return look{resource: id}, nil
		}
		if err != nil {
			return look{}, err
		}
		switch d.LifeCycleState {
		case types.LifeCycleStateAvailable:
			found = d
			return look{done: true}, nil
		case types.LifeCycleStateCreating, types.LifeCycleStateUpdating:
			return look{resource: id, state: d.LifeCycleState}, nil
		}
		return look{}, problem(op, id, ErrState, "the file system is in state %q and will not become available; "+
			"if it was deleted on purpose, wait until it is gone or use another token", d.LifeCycleState)
	})
	return found, err
}

func (c *Client) describeFileSystem(ctx context.Context, id string) (types.FileSystemDescription, error) {
	out, err := c.api.DescribeFileSystems(ctx, &awsefs.DescribeFileSystemsInput{FileSystemId: aws.String(id)})
	if err != nil {
		return types.FileSystemDescription{}, err
	}
	if len(out.FileSystems) != 1 {
		return types.FileSystemDescription{}, &types.FileSystemNotFound{Message: aws.String("EFS described no file system " + id)}
	}
	return out.FileSystems[0], nil
}

// sameFileSystem says how an existing file system differs in what cannot be changed.
func sameFileSystem(spec FileSystemSpec, d types.FileSystemDescription) error {
	key := aws.ToString(d.KmsKeyId)
	switch {
	case !aws.ToBool(d.Encrypted):
		return errors.New("is not encrypted, which cannot be changed; use another token and copy its data")
	case spec.KMSKeyID == "" || strings.Contains(spec.KMSKeyID, "alias/"): // EFS shows the key behind an alias
		return nil
	case key != spec.KMSKeyID && !strings.HasSuffix(key, ":key/"+spec.KMSKeyID):
		return fmt.Errorf("is encrypted with %s, not %s, which cannot be changed; use another token and copy its data", key, spec.KMSKeyID)
	}
	return nil
}

// addTags adds the tags that a file system lacks or has with another value,
// and returns all it has then.
func (c *Client) addTags(ctx context.Context, id string, has []types.Tag, want map[string]string) ([]types.Tag, error) {
	present, missing := tagMap(has), map[string]string{}
	for k, v := range want {
		if old, ok := present[k]; !ok || old != v {
			missing[k], present[k] = v, v
		}
	}
	if len(missing) == 0 {
		return has, nil
	}
	_, err := c.api.TagResource(ctx, &awsefs.TagResourceInput{ResourceId: aws.String(id), Tags: tagList(missing)})
	return tagList(present), err
}

// addLifecycle sets the life cycle of a file system that has none.
func (c *Client) addLifecycle(ctx context.Context, d types.FileSystemDescription) error {
	has, err := c.api.DescribeLifecycleConfiguration(ctx, &awsefs.DescribeLifecycleConfigurationInput{FileSystemId: d.FileSystemId})
	if err != nil || len(has.LifecyclePolicies) > 0 {
		return err
	}
	// EFS wants one transition in each policy.
	policies := []types.LifecyclePolicy{
		{TransitionToIA: types.TransitionToIARulesAfter30Days},
		{TransitionToPrimaryStorageClass: types.TransitionToPrimaryStorageClassRulesAfter1Access},
	}
	if d.ThroughputMode == types.ThroughputModeElastic { // the only mode that has the Archive class
		policies = append(policies, types.LifecyclePolicy{TransitionToArchive: types.TransitionToArchiveRulesAfter90Days})
	}
	_, err = c.api.PutLifecycleConfiguration(ctx, &awsefs.PutLifecycleConfigurationInput{
		FileSystemId: d.FileSystemId, LifecyclePolicies: policies,
	})
	return err
}

// FileSystem describes a file system as it is now. One that does not exist is
// [ErrNotFound].
func (c *Client) FileSystem(ctx context.Context, id string) (FileSystem, error) {
	const op = "describe file system"
	if err := invalid(op, "", fileSystemProblem(id)); err != nil {
		return FileSystem{}, err
	}
	d, err := c.describeFileSystem(ctx, id)
	if err != nil {
		return FileSystem{}, failed(ctx, op, id, err)
	}
	return fileSystemOf(d), nil
}

// DeleteFileSystem deletes a file system with all files in it, for ever, and
// returns when it is gone. It must have no mount targets, else the error is
// [ErrState]: see [Client.DeleteMountTargets]. One that does not exist is no error.
func (c *Client) DeleteFileSystem(ctx context.Context, id string) error {
	const op = "delete file system"
	if err := invalid(op, "", fileSystemProblem(id)); err != nil {
		return err
	}
	_, err := c.api.DeleteFileSystem(ctx, &awsefs.DeleteFileSystemInput{FileSystemId: aws.String(id)})
	switch code(err) {
	case "FileSystemNotFound":
		return nil
	case "FileSystemInUse":
		return failed(ctx, op, id, err, "nothing was deleted: the file system has mount targets, delete them first")
	}
	if err != nil {
		return failed(ctx, op, id, err)
	}
	return c.wait(ctx, op, id, func(ctx context.Context) (look, error) {
		d, err := c.describeFileSystem(ctx, id)
		if code(err) == "FileSystemNotFound" || err == nil && d.LifeCycleState == types.LifeCycleStateDeleted {
			return look{done: true}, nil
		}
		return look{resource: id, state: d.LifeCycleState}, err
	})
}

func fileSystemOf(d types.FileSystemDescription) FileSystem {
	fs := FileSystem{
		ID: aws.ToString(d.FileSystemId), Token: aws.ToString(d.CreationToken), Name: aws.ToString(d.Name),
		State: string(d.LifeCycleState), Encrypted: aws.ToBool(d.Encrypted), KMSKey: aws.ToString(d.KmsKeyId),
		Created: aws.ToTime(d.CreationTime), MountTargets: int(d.NumberOfMountTargets), Tags: tagMap(d.Tags),
	}
	if d.SizeInBytes != nil {
		fs.Size = d.SizeInBytes.Value
	}
	return fs
}

func (s FileSystemSpec) tags() map[string]string {
	tags := map[string]string{"Name": s.Token}
	if s.Name != "" {
		tags["Name"] = s.Name
	}
	maps.Copy(tags, s.Tags)
	return tags
}

var (
	tokenPattern      = regexp.MustCompile(`^[!-~]{1,64}$`)
	fileSystemPattern = regexp.MustCompile(`^fs-[0-9a-f]{8,40}$`)
)

func (s FileSystemSpec) validate(op string) error {
	var problems []error
	if !tokenPattern.MatchString(s.Token) {
		problems = append(problems, fmt.Errorf("token %q: want 1 to 64 printable ASCII characters", s.Token))
	}
	if s.KMSKeyID != "" && !tokenChars(s.KMSKeyID) {
		problems = append(problems, fmt.Errorf("KMS key %q: want an id, ARN or alias without spaces", s.KMSKeyID))
	}
	if _, ok := s.Tags["Name"]; ok {
		problems = append(problems, errors.New(`tag "Name": use the field Name`))
	}
	problems = append(problems, tagProblems(s.Tags, 1), valueProblem("name", s.Name))
	return invalid(op, "", problems...)
}

func tokenChars(s string) bool {
	return !slices.ContainsFunc([]byte(s), func(b byte) bool { return b < '!' || b > '~' })
}

func fileSystemProblem(id string) error {
	if !fileSystemPattern.MatchString(id) {
		return fmt.Errorf("file system %q: want an id such as fs-0123456789abcdef0", id)
	}
	return nil
}
