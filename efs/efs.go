// Package efs keeps the persistent directories of a domain's users on Amazon
// Elastic File System.
//
// One file system holds them all. It has one mount target per availability
// zone, and every directory is entered through an access point: a home ([Home])
// under the forced identity of its user, a shared directory ([Shared]) under
// the identity of whoever enters, and, for as long as homes' files are removed,
// the whole ([Root]) as root.
//
// # Ensure
//
// What a method named Ensure makes is found again, never made twice: AWS is
// given tokens that follow from what is asked for. After an error, a crash, or
// next to another process that does the same, call it again, and it continues
// where things stand. What exists and differs is [ErrConflict]; it is left as it is.
//
// # Deleting
//
// Everything is kept unless [Client.DeleteFileSystem],
// [Client.DeleteMountTargets] or [Client.DeleteAccessPoint] is called. No other
// method deletes anything. Deleting an access point keeps the directory and its
// files: EFS has no call that removes files. That takes a host that mounts the
// file system, and is done by the method DeleteHome of package session's Manager.
//
// # Waiting
//
// EFS has no waiters; methods here return when what they made can be used. They
// look again after half a second, then after pauses that double up to ten
// seconds, report each look to [Config.Progress] and give up after
// [Config.Timeout].
package efs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
)

// API is what a [Client] calls of EFS. *efs.Client of the AWS SDK implements it.
type API interface {
	CreateFileSystem(context.Context, *awsefs.CreateFileSystemInput, ...func(*awsefs.Options)) (*awsefs.CreateFileSystemOutput, error)
	DescribeFileSystems(context.Context, *awsefs.DescribeFileSystemsInput, ...func(*awsefs.Options)) (*awsefs.DescribeFileSystemsOutput, error)
	DeleteFileSystem(context.Context, *awsefs.DeleteFileSystemInput, ...func(*awsefs.Options)) (*awsefs.DeleteFileSystemOutput, error)
	TagResource(context.Context, *awsefs.TagResourceInput, ...func(*awsefs.Options)) (*awsefs.TagResourceOutput, error)
	DescribeLifecycleConfiguration(context.Context, *awsefs.DescribeLifecycleConfigurationInput, ...func(*awsefs.Options)) (*awsefs.DescribeLifecycleConfigurationOutput, error)
	PutLifecycleConfiguration(context.Context, *awsefs.PutLifecycleConfigurationInput, ...func(*awsefs.Options)) (*awsefs.PutLifecycleConfigurationOutput, error)

	CreateMountTarget(context.Context, *awsefs.CreateMountTargetInput, ...func(*awsefs.Options)) (*awsefs.CreateMountTargetOutput, error)
	DescribeMountTargets(context.Context, *awsefs.DescribeMountTargetsInput, ...func(*awsefs.Options)) (*awsefs.DescribeMountTargetsOutput, error)
	DescribeMountTargetSecurityGroups(context.Context, *awsefs.DescribeMountTargetSecurityGroupsInput, ...func(*awsefs.Options)) (*awsefs.DescribeMountTargetSecurityGroupsOutput, error)
	DeleteMountTarget(context.Context, *awsefs.DeleteMountTargetInput, ...func(*awsefs.Options)) (*awsefs.DeleteMountTargetOutput, error)

	CreateAccessPoint(context.Context, *awsefs.CreateAccessPointInput, ...func(*awsefs.Options)) (*awsefs.CreateAccessPointOutput, error)
	DescribeAccessPoints(context.Context, *awsefs.DescribeAccessPointsInput, ...func(*awsefs.Options)) (*awsefs.DescribeAccessPointsOutput, error)
	DeleteAccessPoint(context.Context, *awsefs.DeleteAccessPointInput, ...func(*awsefs.Options)) (*awsefs.DeleteAccessPointOutput, error)
}

var _ API = (*awsefs.Client)(nil)

// Config adjusts a [Client]. The zero value is right.
type Config struct {
	// Progress is told of each look at a resource that is not ready yet. It is
	// called on the goroutine of the waiting call. Nil tells no one.
	Progress func(Progress)
	// Timeout bounds the wait for one resource, or for the mount targets of
	// one file system together. Zero is 10 minutes; EFS publishes no figure,
	// mount targets are seen to take about 90 seconds.
	Timeout time.Duration
}

// Progress is one look at a resource that is waited for.
type Progress struct {
	// Resource is the identifier: a file system's (fs-), mount target's (fsmt-)
	// or access point's (fsap-).
	Resource string
	// State is the life-cycle state EFS shows ("creating"), or empty if EFS
	// does not show the resource yet.
	State string
	// Waited is the time since the wait began.
	Waited time.Duration
}

const defaultTimeout = 10 * time.Minute

// A Client makes and finds file systems, mount targets and access points. It
// keeps no state; all methods are safe for concurrent use.
type Client struct {
	api      API
	progress func(Progress)
	timeout  time.Duration
}

// NewFromConfig returns a Client that calls EFS as cfg says: region,
// credentials, retries. It makes no call. Its error is [ErrInvalid].
func NewFromConfig(cfg aws.Config, c Config) (*Client, error) {
	if cfg.Region == "" {
		return nil, invalid("new", "", errors.New("the AWS config has no region"), c.validate())
	}
	return New(awsefs.NewFromConfig(cfg), c)
}

// New returns a Client that calls api. It makes no call. Its error is [ErrInvalid].
func New(api API, c Config) (*Client, error) {
	var missing error
	if api == nil {
		missing = errors.New("api is nil")
	}
	if err := invalid("new", "", missing, c.validate()); err != nil {
		return nil, err
	}
	client := &Client{api: api, progress: c.Progress, timeout: c.Timeout}
	if client.progress == nil {
		client.progress = func(Progress) {}
	}
	if client.timeout == 0 {
		client.timeout = defaultTimeout
	}
	return client, nil
}

func (c Config) validate() error {
	if c.Timeout < 0 {
		return fmt.Errorf("timeout is %v: want a positive duration, or 0 for %v", c.Timeout, defaultTimeout)
	}
	return nil
}
