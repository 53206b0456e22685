package fakeaws

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/aws/aws-sdk-go-v2/service/efs/types"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
)

// TestMountEFS takes away, one by one, what a mount needs.
func TestMountEFS(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		c, err := New(Config{Delays: Realistic()})
		if err != nil {
			t.Fatal(err)
		}
		api, network := awsefs.NewFromConfig(c.Config()), awsec2.NewFromConfig(c.Config())
		ok := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		group := func(name string) string {
			out, err := network.CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{
				GroupName: aws.String(name), Description: aws.String(name), VpcId: aws.String(c.DefaultVPC()),
			})
			ok(err)
			return *out.GroupId
		}
		hosts, homes := group("hosts"), group("homes")
		net := c.Subnets()[0]
		here, elsewhere := net.Zone, c.Subnets()[1].Zone
		mount := func(zone, source string) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			_, err := c.mountEFS(zone, []string{hosts}, launcher.Mount{Source: source, Target: "/home"})
			return err
		}
		fails := func(err error, says string) {
			t.Helper()
			if !errors.Is(err, launcher.ErrMount) || !strings.Contains(fmt.Sprint(err), says) {
				t.Errorf("got %v\nwant a failed mount that says %q", err, says)
			}
		}

		system, err := api.CreateFileSystem(ctx, &awsefs.CreateFileSystemInput{})
		ok(err)
		id := *system.FileSystemId
		nowhere := "/efs/" + id + ".fsap-0123456789abcdef0"
		fails(mount(here, "/mnt/"+id), "want /efs/")
		fails(mount(here, "/efs/"+id), "want /efs/")
		fails(mount(here, "/efs/fs-0123456789abcdef0.fsap-1"), "does not exist or is not available")
		fails(mount(here, nowhere), "does not exist or is not available") // creating
		time.Sleep(Realistic().FileSystem)
		fails(mount(here, nowhere), "no available mount target in zone "+here)
		_, err = api.CreateMountTarget(ctx, &awsefs.CreateMountTargetInput{FileSystemId: &id, SubnetId: &net.ID, SecurityGroups: []string{homes}})
		ok(err)
		fails(mount(here, nowhere), "no available mount target") // creating
		time.Sleep(Realistic().MountTarget)
		fails(mount(elsewhere, nowhere), "no available mount target in zone "+elsewhere)
		fails(mount(here, nowhere), "do not let TCP 2049 in")
		_, err = network.AuthorizeSecurityGroupIngress(ctx, &awsec2.AuthorizeSecurityGroupIngressInput{
			GroupId: &homes, IpPermissions: []ec2types.IpPermission{{
				IpProtocol: aws.String("tcp"), FromPort: aws.Int32(2049), ToPort: aws.Int32(2049),
				UserIdGroupPairs: []ec2types.UserIdGroupPair{{GroupId: &hosts}},
			}},
		})
		ok(err)
		fails(mount(here, nowhere), "access point fsap-0123456789abcdef0 does not exist")
		home, err := api.CreateAccessPoint(ctx, &awsefs.CreateAccessPointInput{
			FileSystemId: &id, PosixUser: &types.PosixUser{Uid: aws.Int64(7), Gid: aws.Int64(7)},
			RootDirectory: &types.RootDirectory{Path: aws.String("/7"), CreationInfo: &types.CreationInfo{
				OwnerUid: aws.Int64(7), OwnerGid: aws.Int64(7), Permissions: aws.String("0700"),
			}},
		})
		ok(err)
		source := "/efs/" + id + "." + *home.AccessPointId
		fails(mount(here, source), "is not available") // creating
		time.Sleep(Realistic().AccessPoint)
		root, err := c.Files(id)
		ok(err)
		if _, err := root.Stat("/7"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the directory exists before the first mount: %v", err)
		}
		ok(mount(here, source))
		info, err := root.Stat("/7")
		ok(err)
		if owner := info.Sys().(launcher.User); info.Mode().Perm() != 0o700 || owner.UID != 7 || owner.GID != 7 {
			t.Errorf("the directory is %v of %+v", info.Mode(), owner)
		}
		ok(root.Chmod("/7", 0o750))
		ok(mount(here, source))
		if info, err = root.Stat("/7"); err != nil || info.Mode().Perm() != 0o750 {
			t.Errorf("the second mount made the mode %v, %v", info.Mode(), err)
		}

		_, err = api.DeleteAccessPoint(ctx, &awsefs.DeleteAccessPointInput{AccessPointId: home.AccessPointId})
		ok(err)
		fails(mount(here, source), "is not available")
		if _, err := root.Stat("/7"); err != nil {
			t.Errorf("deleting the access point took the directory: %v", err)
		}
	})
}

// TestAccessPointIdentity: who one is behind each kind of access point.
func TestAccessPointIdentity(t *testing.T) {
	t.Parallel()
	c, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	api := awsefs.NewFromConfig(c.Config())
	system, err := api.CreateFileSystem(t.Context(), &awsefs.CreateFileSystemInput{})
	if err != nil {
		t.Fatal(err)
	}
	enter := func(user *types.PosixUser, path, permissions string) (dir interface {
		WriteFile(string, []byte, fs.FileMode) error
		Stat(string) (fs.FileInfo, error)
	}, err error) {
		in := &awsefs.CreateAccessPointInput{FileSystemId: system.FileSystemId, PosixUser: user, RootDirectory: &types.RootDirectory{Path: &path}}
		if permissions != "" {
			in.RootDirectory.CreationInfo = &types.CreationInfo{OwnerUid: aws.Int64(0), OwnerGid: aws.Int64(50), Permissions: &permissions}
		}
		point, err := api.CreateAccessPoint(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.efs.fileSystems[*system.FileSystemId].enter(c.accessPoint(*point.AccessPointId))
	}
	if _, err := enter(nil, "/missing", ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory without creation info was made: %v", err)
	}
	if _, err := enter(nil, "/shared/team", "2770"); err != nil {
		t.Fatal(err)
	}
	member := &types.PosixUser{Uid: aws.Int64(7), Gid: aws.Int64(7), SecondaryGids: []int64{50}}
	dir, err := enter(member, "/shared/team", "0777") // exists: keeps its mode
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.WriteFile("f", nil, 0o660); err != nil {
		t.Fatal(err)
	}
	info, err := dir.Stat("f")
	if err != nil || info.Sys().(launcher.User).UID != 7 || info.Sys().(launcher.User).GID != 50 {
		t.Errorf("the file is %+v's, %v", info.Sys(), err)
	}
	stranger, err := enter(&types.PosixUser{Uid: aws.Int64(8), Gid: aws.Int64(8)}, "/shared/team", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := stranger.WriteFile("g", nil, 0o600); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a stranger wrote: %v", err)
	}
	whole, err := enter(&types.PosixUser{Uid: aws.Int64(0), Gid: aws.Int64(0)}, "/", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := whole.Stat("shared/team/f"); err != nil {
		t.Errorf("root does not see all: %v", err)
	}
	if err := whole.(*fakelauncher.Dir).Rename("shared/team", "moved"); err != nil {
		t.Errorf("root may not rename: %v", err)
	}
}

// TestRootAccess: without the permission who would be root is nobody.
func TestRootAccess(t *testing.T) {
	t.Parallel()
	for _, deny := range []bool{false, true} {
		cfg := Config{}
		if deny {
			cfg.Deny = []string{"elasticfilesystem:ClientRootAccess"}
		}
		c, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		api, net := awsefs.NewFromConfig(c.Config()), c.Subnets()[0]
		system, err := api.CreateFileSystem(t.Context(), &awsefs.CreateFileSystemInput{})
		if err == nil {
			_, err = api.CreateMountTarget(t.Context(), &awsefs.CreateMountTargetInput{FileSystemId: system.FileSystemId, SubnetId: &net.ID})
		}
		if err != nil {
			t.Fatal(err)
		}
		point, err := api.CreateAccessPoint(t.Context(), &awsefs.CreateAccessPointInput{
			FileSystemId: system.FileSystemId, PosixUser: &types.PosixUser{Uid: aws.Int64(0), Gid: aws.Int64(0)},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		target := c.efs.fileSystems[*system.FileSystemId].targets[0]
		dir, err := c.mountEFS(net.Zone, target.groups, launcher.Mount{Source: "/efs/" + *system.FileSystemId + "." + *point.AccessPointId})
		c.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		if err := dir.Mkdir("x", 0o700); errors.Is(err, fs.ErrPermission) != deny {
			t.Errorf("denied %t: mkdir: %v", deny, err)
		}
	}
	if _, err := New(Config{Faults: []Fault{{Action: rootAccess}}}); err == nil {
		t.Error("a fault was taken that can never strike")
	}
}

// TestLifetime is the table of states by time.
func TestLifetime(t *testing.T) {
	t.Parallel()
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	sec := func(n int) time.Time { return t0.Add(time.Duration(n) * time.Second) }
	kept := lifetime{created: sec(10), delay: 5 * time.Second}
	gone, young := kept, kept
	gone.deleted, young.deleted = sec(20), sec(12)
	for _, test := range []struct {
		l    lifetime
		at   int
		want types.LifeCycleState
	}{
		{kept, 9, "deleted"}, {kept, 10, "creating"}, {kept, 14, "creating"}, {kept, 15, "available"}, {kept, 999, "available"},
		{gone, 19, "available"}, {gone, 20, "deleting"}, {gone, 24, "deleting"}, {gone, 25, "deleted"},
		{young, 11, "creating"}, {young, 12, "deleting"}, {young, 17, "deleted"},
	} {
		if got := test.l.state(sec(test.at)); got != test.want {
			t.Errorf("%+v at %d: %s, want %s", test.l, test.at, got, test.want)
		}
	}
}
