package fakeaws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/aws/aws-sdk-go-v2/service/efs/types"
	"github.com/aws/smithy-go"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// answering is the network of an SDK client that always gets the same answer.
type answering struct {
	status int
	id     string
	code   string
	body   map[string]string
}

func (a answering) Do(*http.Request) (*http.Response, error) {
	body, err := json.Marshal(a.body)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: a.status, Status: fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)),
		Header: http.Header{"X-Amzn-Errortype": {a.code}, "X-Amzn-Requestid": {a.id}},
		Body:   io.NopCloser(bytes.NewReader(body)),
	}, nil
}

// chain is the types in a tree of errors, with what each says.
func chain(err error) []string {
	var lines []string
	for ; err != nil; err = errors.Unwrap(err) {
		lines = append(lines, fmt.Sprintf("%T: %v", err, err))
	}
	return lines
}

// TestEFSErrors provokes each error of the model and compares it, whole, with
// what the SDK's own deserialiser makes of the same answer.
func TestEFSErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		delays := fakeaws.Delays{FileSystem: time.Second, MountTarget: time.Second}
		cloud, err := fakeaws.New(fakeaws.Config{
			Delays: delays, Deny: []string{"elasticfilesystem:DescribeLifecycleConfiguration"},
			Faults: []fakeaws.Fault{{Action: "elasticfilesystem:PutLifecycleConfiguration"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		once := func(o *awsefs.Options) { o.RetryMaxAttempts = 1 }
		api := awsefs.NewFromConfig(cloud.Config(), once)
		subnets := cloud.Subnets()
		vpc, err := cloud.AddVPC()
		if err != nil {
			t.Fatal(err)
		}
		far, err := cloud.AddSubnet(vpc, "us-east-1c")
		if err != nil {
			t.Fatal(err)
		}

		fs, err := api.CreateFileSystem(ctx, &awsefs.CreateFileSystemInput{CreationToken: aws.String("x")})
		if err != nil {
			t.Fatal(err)
		}
		id := fs.FileSystemId
		_, notYet := api.CreateMountTarget(ctx, &awsefs.CreateMountTargetInput{FileSystemId: id, SubnetId: &subnets[0].ID})
		time.Sleep(delays.FileSystem)
		target, err := api.CreateMountTarget(ctx, &awsefs.CreateMountTargetInput{FileSystemId: id, SubnetId: &subnets[0].ID})
		if err != nil {
			t.Fatal(err)
		}
		point := &awsefs.CreateAccessPointInput{ClientToken: aws.String("p"), FileSystemId: id}
		if _, err := api.CreateAccessPoint(ctx, point); err != nil {
			t.Fatal(err)
		}
		mount := func(in *awsefs.CreateMountTargetInput) call {
			return func(api *awsefs.Client) error { _, err := api.CreateMountTarget(ctx, in); return err }
		}
		none := aws.String("fs-0123456789abcdef0")
		for _, test := range []struct {
			status int
			code   string
			got    error // if it is only to be had earlier
			call   call
		}{
			{409, "IncorrectFileSystemLifeCycleState", notYet, mount(&awsefs.CreateMountTargetInput{FileSystemId: id, SubnetId: &subnets[0].ID})},
			{409, "FileSystemAlreadyExists", nil, func(api *awsefs.Client) error {
				_, err := api.CreateFileSystem(ctx, &awsefs.CreateFileSystemInput{CreationToken: aws.String("x")})
				return err
			}},
			{400, "BadRequest", nil, func(api *awsefs.Client) error {
				_, err := api.CreateFileSystem(ctx, &awsefs.CreateFileSystemInput{KmsKeyId: aws.String("alias/x")})
				return err
			}},
			{404, "FileSystemNotFound", nil, func(api *awsefs.Client) error {
				_, err := api.DescribeFileSystems(ctx, &awsefs.DescribeFileSystemsInput{FileSystemId: none})
				return err
			}},
			{409, "FileSystemInUse", nil, func(api *awsefs.Client) error {
				_, err := api.DeleteFileSystem(ctx, &awsefs.DeleteFileSystemInput{FileSystemId: id})
				return err
			}},
			{409, "MountTargetConflict", nil, mount(&awsefs.CreateMountTargetInput{FileSystemId: id, SubnetId: &subnets[0].ID})},
			{409, "MountTargetConflict", nil, mount(&awsefs.CreateMountTargetInput{FileSystemId: id, SubnetId: &far.ID})},
			{400, "SubnetNotFound", nil, mount(&awsefs.CreateMountTargetInput{FileSystemId: id, SubnetId: aws.String("subnet-0123456789abcdef0")})},
			{400, "SecurityGroupNotFound", nil, mount(&awsefs.CreateMountTargetInput{
				FileSystemId: id, SubnetId: &subnets[1].ID, SecurityGroups: []string{"sg-0123456789abcdef0"},
			})},
			{404, "MountTargetNotFound", nil, func(api *awsefs.Client) error {
				_, err := api.DeleteMountTarget(ctx, &awsefs.DeleteMountTargetInput{MountTargetId: aws.String("fsmt-0123456789abcdef0")})
				return err
			}},
			{409, "AccessPointAlreadyExists", nil, func(api *awsefs.Client) error { _, err := api.CreateAccessPoint(ctx, point); return err }},
			{404, "AccessPointNotFound", nil, func(api *awsefs.Client) error {
				_, err := api.DeleteAccessPoint(ctx, &awsefs.DeleteAccessPointInput{AccessPointId: aws.String("fsap-0123456789abcdef0")})
				return err
			}},
			{403, "AccessPointLimitExceeded", nil, func(api *awsefs.Client) error {
				for {
					if _, err := api.CreateAccessPoint(ctx, &awsefs.CreateAccessPointInput{FileSystemId: id}); err != nil {
						return err
					}
				}
			}},
			{403, "FileSystemLimitExceeded", nil, func(api *awsefs.Client) error {
				for {
					if _, err := api.CreateFileSystem(ctx, &awsefs.CreateFileSystemInput{}); err != nil {
						return err
					}
				}
			}},
			{409, "IncorrectMountTargetState", nil, func(api *awsefs.Client) error {
				api.DeleteMountTarget(ctx, &awsefs.DeleteMountTargetInput{MountTargetId: target.MountTargetId})
				_, err := api.DescribeMountTargetSecurityGroups(ctx, &awsefs.DescribeMountTargetSecurityGroupsInput{MountTargetId: target.MountTargetId})
				return err
			}},
			{0, "AccessDeniedException", nil, func(api *awsefs.Client) error {
				_, err := api.DescribeLifecycleConfiguration(ctx, &awsefs.DescribeLifecycleConfigurationInput{FileSystemId: id})
				return err
			}},
			{500, "InternalError", nil, func(api *awsefs.Client) error {
				_, err := api.PutLifecycleConfiguration(ctx, &awsefs.PutLifecycleConfigurationInput{FileSystemId: id, LifecyclePolicies: []types.LifecyclePolicy{}})
				return err
			}},
		} {
			got := test.got
			if got == nil {
				got = test.call(api)
			}
			refusal, ok := errors.AsType[smithy.APIError](got)
			answer, sealed := errors.AsType[*awshttp.ResponseError](got)
			if !ok || !sealed || refusal.ErrorCode() != test.code || test.status != 0 && answer.HTTPStatusCode() != test.status {
				t.Errorf("%s: got %v", test.code, got)
				continue
			}
			body := map[string]string{"ErrorCode": test.code, "Message": refusal.ErrorMessage()}
			if e, ok := refusal.(*types.FileSystemAlreadyExists); ok {
				body["FileSystemId"] = *e.FileSystemId
			}
			if e, ok := refusal.(*types.AccessPointAlreadyExists); ok {
				body["AccessPointId"] = *e.AccessPointId
			}
			cfg := aws.Config{
				Region: cloud.Region(), Credentials: cloud.Config().Credentials,
				HTTPClient: answering{answer.HTTPStatusCode(), answer.ServiceRequestID(), test.code, body},
			}
			want := test.call(awsefs.NewFromConfig(cfg, once))
			if g, w := chain(got), chain(want); !reflect.DeepEqual(g, w) {
				t.Errorf("%s:\ngot  %s\nwant %s", test.code, strings.Join(g, "\n     "), strings.Join(w, "\n     "))
			}
			real, _ := errors.AsType[smithy.APIError](want)
			if !reflect.DeepEqual(refusal, real) {
				t.Errorf("%s: got %#v\nwant %#v", test.code, refusal, real)
			}
		}
	})
}

type call = func(*awsefs.Client) error

// TestEFSTokensSpanFileSystems: the token of an access point is the account's.
func TestEFSTokensSpanFileSystems(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	api := awsefs.NewFromConfig(cloud.Config())
	var made []*string
	for range 2 {
		fs, err := api.CreateFileSystem(ctx, &awsefs.CreateFileSystemInput{})
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, fs.FileSystemId)
	}
	first, err := api.CreateAccessPoint(ctx, &awsefs.CreateAccessPointInput{FileSystemId: made[0], ClientToken: aws.String("t")})
	if err != nil {
		t.Fatal(err)
	}
	second := &awsefs.CreateAccessPointInput{FileSystemId: made[1], ClientToken: aws.String("t")}
	_, err = api.CreateAccessPoint(ctx, second)
	if exists, ok := errors.AsType[*types.AccessPointAlreadyExists](err); !ok || *exists.AccessPointId != *first.AccessPointId {
		t.Errorf("got %v", err)
	}
	if _, err := api.DeleteAccessPoint(ctx, &awsefs.DeleteAccessPointInput{AccessPointId: first.AccessPointId}); err != nil {
		t.Fatal(err)
	}
	if _, err = api.CreateAccessPoint(ctx, second); err != nil {
		t.Errorf("a token is not free after its access point is deleted: %v", err)
	}
}

// TestEFSInputs: what the API reference forbids is refused.
func TestEFSInputs(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	api := awsefs.NewFromConfig(cloud.Config())
	elastic, err := api.CreateFileSystem(ctx, &awsefs.CreateFileSystemInput{ThroughputMode: types.ThroughputModeElastic})
	if err != nil {
		t.Fatal(err)
	}
	bursting, err := api.CreateFileSystem(ctx, &awsefs.CreateFileSystemInput{})
	if err != nil {
		t.Fatal(err)
	}
	long := aws.String(strings.Repeat("x", 65))
	system := func(in awsefs.CreateFileSystemInput) error { _, err := api.CreateFileSystem(ctx, &in); return err }
	policies := func(fs *string, p ...types.LifecyclePolicy) error {
		_, err := api.PutLifecycleConfiguration(ctx, &awsefs.PutLifecycleConfigurationInput{FileSystemId: fs, LifecyclePolicies: append([]types.LifecyclePolicy{}, p...)})
		return err
	}
	point := func(in awsefs.CreateAccessPointInput) error {
		in.FileSystemId = elastic.FileSystemId
		_, err := api.CreateAccessPoint(ctx, &in)
		return err
	}
	path := func(p string) error {
		return point(awsefs.CreateAccessPointInput{RootDirectory: &types.RootDirectory{Path: &p}})
	}
	creation := func(uid int64, permissions string) error {
		return point(awsefs.CreateAccessPointInput{RootDirectory: &types.RootDirectory{Path: aws.String("/p"), CreationInfo: &types.CreationInfo{
			OwnerUid: &uid, OwnerGid: aws.Int64(1), Permissions: &permissions,
		}}})
	}
	ia, archive := types.LifecyclePolicy{TransitionToIA: types.TransitionToIARulesAfter30Days}, types.LifecyclePolicy{TransitionToArchive: types.TransitionToArchiveRulesAfter90Days}
	for name, err := range map[string]error{
		"long creation token":   system(awsefs.CreateFileSystemInput{CreationToken: long}),
		"key without encrypted": system(awsefs.CreateFileSystemInput{KmsKeyId: aws.String("alias/k")}),
		"strange key":           system(awsefs.CreateFileSystemInput{Encrypted: aws.Bool(true), KmsKeyId: aws.String("k")}),
		"maxIO and elastic":     system(awsefs.CreateFileSystemInput{PerformanceMode: types.PerformanceModeMaxIo, ThroughputMode: types.ThroughputModeElastic}),
		"provisioned without":   system(awsefs.CreateFileSystemInput{ThroughputMode: types.ThroughputModeProvisioned}),
		"two transitions in one": policies(elastic.FileSystemId, types.LifecyclePolicy{
			TransitionToIA: ia.TransitionToIA, TransitionToArchive: archive.TransitionToArchive,
		}),
		"archive before IA":        policies(elastic.FileSystemId, types.LifecyclePolicy{TransitionToIA: types.TransitionToIARulesAfter90Days}, archive),
		"archive when bursting":    policies(bursting.FileSystemId, ia, archive),
		"four policies":            policies(elastic.FileSystemId, ia, ia, ia, ia),
		"long client token":        point(awsefs.CreateAccessPointInput{ClientToken: long}),
		"five directories":         path("/a/b/c/d/e"),
		"long path":                path("/" + strings.Repeat("p", 100)),
		"relative path":            path("a"),
		"path out":                 path("/a/../b"),
		"shell characters":         path("/a;b"),
		"uid too large":            creation(1<<32, "700"),
		"uid negative":             creation(-1, "700"),
		"permissions not octal":    creation(1, "rwx"),
		"permissions of one digit": creation(1, "7"),
	} {
		if _, ok := errors.AsType[*types.BadRequest](err); !ok {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"root path": path("/"), "deep path": path("/a/b/c/d"), "setgid": creation(0, "2770"),
		"no policies": policies(elastic.FileSystemId), "IA and archive": policies(elastic.FileSystemId, ia, archive),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEFSPages: pages are complete, however they are cut.
func TestEFSPages(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	api := awsefs.NewFromConfig(cloud.Config())
	want := map[string]bool{}
	var id *string
	for range 250 {
		fs, err := api.CreateFileSystem(ctx, &awsefs.CreateFileSystemInput{})
		if err != nil {
			t.Fatal(err)
		}
		id = fs.FileSystemId
		want[*id] = true
	}
	for _, size := range []int32{0, 1, 7, 100, 1000} {
		got := map[string]bool{}
		pages := awsefs.NewDescribeFileSystemsPaginator(api, &awsefs.DescribeFileSystemsInput{}, func(o *awsefs.DescribeFileSystemsPaginatorOptions) { o.Limit = size })
		for pages.HasMorePages() {
			out, err := pages.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if len(out.FileSystems) > 100 {
				t.Errorf("a page of %d", len(out.FileSystems))
			}
			for _, fs := range out.FileSystems {
				got[*fs.FileSystemId] = true
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("pages of %d: %d of %d", size, len(got), len(want))
		}
	}
	for range 230 {
		if _, err := api.CreateAccessPoint(ctx, &awsefs.CreateAccessPointInput{FileSystemId: id}); err != nil {
			t.Fatal(err)
		}
	}
	// What is deleted between two pages does not hide what follows it.
	n := 0
	pages := awsefs.NewDescribeAccessPointsPaginator(api, &awsefs.DescribeAccessPointsInput{FileSystemId: id})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		n += len(out.AccessPoints)
		last := out.AccessPoints[len(out.AccessPoints)-1].AccessPointId
		if _, err := api.DeleteAccessPoint(ctx, &awsefs.DeleteAccessPointInput{AccessPointId: last}); err != nil {
			t.Fatal(err)
		}
	}
	if n != 230 {
		t.Errorf("%d of 230 access points", n)
	}
}

// TestEFSTargetHoldsGroup: a security group in use cannot be deleted.
func TestEFSTargetHoldsGroup(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	api, ec2 := awsefs.NewFromConfig(cloud.Config()), awsec2.NewFromConfig(cloud.Config())
	group, err := ec2.CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{
		GroupName: aws.String("g"), Description: aws.String("d"), VpcId: aws.String(cloud.DefaultVPC()),
	})
	if err != nil {
		t.Fatal(err)
	}
	fs, err := api.CreateFileSystem(ctx, &awsefs.CreateFileSystemInput{})
	if err != nil {
		t.Fatal(err)
	}
	target, err := api.CreateMountTarget(ctx, &awsefs.CreateMountTargetInput{
		FileSystemId: fs.FileSystemId, SubnetId: &cloud.Subnets()[0].ID, SecurityGroups: []string{*group.GroupId},
	})
	if err != nil {
		t.Fatal(err)
	}
	remove := func() error {
		_, err := ec2.DeleteSecurityGroup(ctx, &awsec2.DeleteSecurityGroupInput{GroupId: group.GroupId})
		return err
	}
	if refusal, ok := errors.AsType[smithy.APIError](remove()); !ok || refusal.ErrorCode() != "DependencyViolation" {
		t.Errorf("deleted a group that a mount target is in: %v", refusal)
	}
	if _, err := api.DeleteMountTarget(ctx, &awsefs.DeleteMountTargetInput{MountTargetId: target.MountTargetId}); err != nil {
		t.Fatal(err)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
}
