package efs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/aws/aws-sdk-go-v2/service/efs/types"

	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// world is an account with a network.
type world struct {
	*fakeaws.Cloud
	t       testing.TB
	subnets []efs.Subnet // two in the first zone, one in the second
	groups  []string     // one that lets the mount targets be reached
	other   efs.Subnet   // of another VPC
	closed  string       // another group
	// otherGroup is in the VPC of other.
	otherGroup string
}

// inBubble runs one subtest in a bubble of its own.
func inBubble(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func (w *world) client(c efs.Config) *efs.Client {
	w.t.Helper()
	client, err := efs.NewFromConfig(w.Config(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	return client
}

// provisioned is what a domain with two users and a project has.
type provisioned struct {
	FileSystem efs.FileSystem
	Targets    []efs.MountTarget
	Alice, Bob efs.Home
	Project    efs.Shared
}

// provision is the story that the tests interrupt.
func (w *world) provision(ctx context.Context, c *efs.Client) (p provisioned, err error) {
	if p.FileSystem, err = c.EnsureFileSystem(ctx, efs.FileSystemSpec{Token: "research", Tags: map[string]string{"team": "r"}}); err != nil {
		return p, err
	}
	id := p.FileSystem.ID
	if p.Targets, err = c.EnsureMountTargets(ctx, id, w.subnets, w.groups); err != nil {
		return p, err
	}
	if p.Alice, err = c.EnsureHome(ctx, efs.HomeSpec{FileSystem: id, User: "alice", UID: 200001, GID: 200001}); err != nil {
		return p, err
	}
	if p.Bob, err = c.EnsureHome(ctx, efs.HomeSpec{FileSystem: id, User: "bob", UID: 200002, GID: 200002}); err != nil {
		return p, err
	}
	p.Project, err = c.EnsureShared(ctx, efs.SharedSpec{FileSystem: id, Name: "genome", GID: 300001})
	return p, err
}

// again calls until it is answered, however many faults are injected.
func again[T any](t testing.TB, call func() (T, error)) T {
	t.Helper()
	var errs []error
	for range 50 {
		out, err := call()
		if err == nil {
			return out
		}
		errs = append(errs, err)
	}
	t.Fatal(errors.Join(errs...))
	panic("unreachable")
}

// audit fails unless the account holds exactly what p says, looked at with the
// AWS SDK itself, and returns it as text.
func (w *world) audit(ctx context.Context, p provisioned) string {
	w.t.Helper()
	api := awsefs.NewFromConfig(w.Config(), func(o *awsefs.Options) { o.RetryMaxAttempts = 20 })
	systems := again(w.t, func() (*awsefs.DescribeFileSystemsOutput, error) {
		return api.DescribeFileSystems(ctx, &awsefs.DescribeFileSystemsInput{})
	}).FileSystems
	if len(systems) != 1 || *systems[0].FileSystemId != p.FileSystem.ID {
		w.t.Fatalf("%d file systems, want one, %s", len(systems), p.FileSystem.ID)
	}
	fs := systems[0]
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s %s %v\n", *fs.FileSystemId, fs.LifeCycleState, *fs.Name, *fs.Encrypted)
	policies := again(w.t, func() (*awsefs.DescribeLifecycleConfigurationOutput, error) {
		return api.DescribeLifecycleConfiguration(ctx, &awsefs.DescribeLifecycleConfigurationInput{FileSystemId: fs.FileSystemId})
	}).LifecyclePolicies
	if len(policies) != 3 {
		w.t.Errorf("%d lifecycle policies, want 3", len(policies))
	}
	targets := again(w.t, func() (*awsefs.DescribeMountTargetsOutput, error) {
		return api.DescribeMountTargets(ctx, &awsefs.DescribeMountTargetsInput{FileSystemId: fs.FileSystemId})
	}).MountTargets
	slices.SortFunc(targets, func(a, b types.MountTargetDescription) int {
		return strings.Compare(*a.AvailabilityZoneName, *b.AvailabilityZoneName)
	})
	if len(targets) != len(p.Targets) {
		w.t.Fatalf("%d mount targets, want %d", len(targets), len(p.Targets))
	}
	for i, target := range targets {
		if *target.MountTargetId != p.Targets[i].ID {
			w.t.Errorf("mount target %s, want %s", *target.MountTargetId, p.Targets[i].ID)
		}
		fmt.Fprintf(&text, "%s %s %s %s\n", *target.MountTargetId, target.LifeCycleState, *target.AvailabilityZoneName, *target.SubnetId)
	}
	points := again(w.t, func() (*awsefs.DescribeAccessPointsOutput, error) {
		return api.DescribeAccessPoints(ctx, &awsefs.DescribeAccessPointsInput{FileSystemId: fs.FileSystemId})
	}).AccessPoints
	var got []string
	for _, point := range points {
		got = append(got, *point.AccessPointId)
		fmt.Fprintf(&text, "%s %s %s\n", *point.AccessPointId, point.LifeCycleState, *point.RootDirectory.Path)
	}
	want := []string{p.Alice.AccessPoint, p.Bob.AccessPoint, p.Project.AccessPoint}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.t.Errorf("access points %v, want %v", got, want)
	}
	return text.String()
}

// deletions are the calls so far that delete something.
func (w *world) deletions() []string {
	var found []string
	for _, call := range w.Calls() {
		if strings.Contains(call.Action, ":Delete") {
			found = append(found, call.Action)
		}
	}
	return found
}

// api is EFS of which some answers are changed by a test.
type api struct {
	*awsefs.Client
	fileSystem  func(*types.FileSystemDescription)
	mountTarget func(*types.MountTargetDescription)
	accessPoint func(*types.AccessPointDescription)
}

func (a api) DescribeFileSystems(ctx context.Context, in *awsefs.DescribeFileSystemsInput, o ...func(*awsefs.Options)) (*awsefs.DescribeFileSystemsOutput, error) {
	out, err := a.Client.DescribeFileSystems(ctx, in, o...)
	if err == nil && a.fileSystem != nil {
		for i := range out.FileSystems {
			a.fileSystem(&out.FileSystems[i])
		}
	}
	return out, err
}

func (a api) DescribeMountTargets(ctx context.Context, in *awsefs.DescribeMountTargetsInput, o ...func(*awsefs.Options)) (*awsefs.DescribeMountTargetsOutput, error) {
	out, err := a.Client.DescribeMountTargets(ctx, in, o...)
	if err == nil && a.mountTarget != nil {
		for i := range out.MountTargets {
			a.mountTarget(&out.MountTargets[i])
		}
	}
	return out, err
}

func (a api) DescribeAccessPoints(ctx context.Context, in *awsefs.DescribeAccessPointsInput, o ...func(*awsefs.Options)) (*awsefs.DescribeAccessPointsOutput, error) {
	out, err := a.Client.DescribeAccessPoints(ctx, in, o...)
	if err == nil && a.accessPoint != nil {
		for i := range out.AccessPoints {
			a.accessPoint(&out.AccessPoints[i])
		}
	}
	return out, err
}

// raw is the SDK's own client.
func (w *world) raw() *awsefs.Client { return awsefs.NewFromConfig(w.Config()) }

func (w *world) putLifecycle(fileSystem string, policies ...types.LifecyclePolicy) {
	w.t.Helper()
	if _, err := w.raw().PutLifecycleConfiguration(context.Background(), &awsefs.PutLifecycleConfigurationInput{
		FileSystemId: aws.String(fileSystem), LifecyclePolicies: policies,
	}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) lifecycle(fileSystem string) []types.LifecyclePolicy {
	w.t.Helper()
	out, err := w.raw().DescribeLifecycleConfiguration(context.Background(), &awsefs.DescribeLifecycleConfigurationInput{
		FileSystemId: aws.String(fileSystem),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.LifecyclePolicies
}

func (w *world) accessPoint(id string) types.AccessPointDescription {
	w.t.Helper()
	out, err := w.raw().DescribeAccessPoints(context.Background(), &awsefs.DescribeAccessPointsInput{AccessPointId: &id})
	if err != nil || len(out.AccessPoints) != 1 {
		w.t.Fatal(out, err)
	}
	return out.AccessPoints[0]
}

// fill makes n access points.
func (w *world) fill(fileSystem string, n int) {
	w.t.Helper()
	api := w.raw()
	for i := range n {
		if _, err := api.CreateAccessPoint(context.Background(), &awsefs.CreateAccessPointInput{
			FileSystemId: aws.String(fileSystem), ClientToken: aws.String(fmt.Sprint("other-", i)),
		}); err != nil {
			w.t.Fatal(err)
		}
	}
}
