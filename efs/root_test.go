package efs_test

import (
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

// TestRoot: an entrance for each purpose, found again until it is deleted.
func TestRoot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		c := w.client(efs.Config{})
		p, err := w.provision(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		spec := efs.RootSpec{FileSystem: p.FileSystem.ID, Purpose: "deletion-of-200001", Tags: map[string]string{"team": "r"}}
		first, err := c.EnsureRoot(ctx, spec)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := c.EnsureRoot(ctx, spec); err != nil || again != first {
			t.Errorf("again it is %+v, %v; was %+v", again, err, first)
		}
		other := spec
		other.Purpose = "deletion-of-200002"
		if another, err := c.EnsureRoot(ctx, other); err != nil || another == first {
			t.Errorf("for another purpose it is %+v, %v", another, err)
		}
		var found []string
		for p, err := range c.AccessPoints(ctx, spec.FileSystem) {
			if err != nil {
				t.Fatal(err)
			}
			if p.Root != "" {
				found = append(found, fmt.Sprintf("%s %s %v %d:%d %s%s", p.Root, p.Path, p.Forced, p.UID, p.GID, p.User, p.Shared))
			}
		}
		slices.Sort(found)
		if want := []string{"deletion-of-200001 / true 0:0 ", "deletion-of-200002 / true 0:0 "}; !slices.Equal(found, want) {
			t.Errorf("listed are %q, want %q", found, want)
		}
		if err := c.DeleteAccessPoint(ctx, first.AccessPoint); err != nil {
			t.Fatal(err)
		}
		if again, err := c.EnsureRoot(ctx, spec); err != nil || again == first {
			t.Errorf("after it was deleted it is %+v, %v", again, err)
		}
	})
}

// TestRootConflicts: what has the purpose's token and is something else is not
// taken for an entrance.
func TestRootConflicts(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*types.AccessPointDescription){
		"elsewhere":  func(d *types.AccessPointDescription) { d.RootDirectory.Path = aws.String("/200001") },
		"a user":     func(d *types.AccessPointDescription) { *d.PosixUser.Uid = 200001 },
		"not forced": func(d *types.AccessPointDescription) { d.PosixUser = nil },
		"no tag":     func(d *types.AccessPointDescription) { d.Tags = nil },
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{})
			p, err := w.provision(t.Context(), w.client(efs.Config{}))
			if err != nil {
				t.Fatal(err)
			}
			c, err := efs.New(api{Client: w.raw(), accessPoint: change}, efs.Config{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.EnsureRoot(t.Context(), efs.RootSpec{FileSystem: p.FileSystem.ID, Purpose: "spring"})
			if !errors.Is(err, efs.ErrConflict) || !strings.Contains(fmt.Sprint(err), "spring") {
				t.Errorf("%v, want ErrConflict", err)
			}
		})
	}
}

// TestRootInvalid: everything that is wrong is told at once, before any call.
func TestRootInvalid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		c, before := w.client(efs.Config{}), len(w.Calls())
		_, err := c.EnsureRoot(t.Context(), efs.RootSpec{Purpose: "Spring/..", Tags: map[string]string{"Name": "x", "atelier:root": "y"}})
		for _, word := range []string{"file system", `purpose "Spring/.."`, `tag "Name"`, `tag "atelier:root"`} {
			if !errors.Is(err, efs.ErrInvalid) || !strings.Contains(err.Error(), word) {
				t.Errorf("%v does not say %q", err, word)
			}
		}
		err = c.TagFileSystem(t.Context(), "nfs", map[string]string{"aws:x": "y"})
		if !errors.Is(err, efs.ErrInvalid) || !strings.Contains(err.Error(), "nfs") || !strings.Contains(err.Error(), "aws:x") {
			t.Error(err)
		}
		if n := len(w.Calls()); n != before {
			t.Error("an invalid request was sent")
		}
	})
}

// TestTagFileSystem: tags are added and replaced, and others stay.
func TestTagFileSystem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{})
		c := w.client(efs.Config{})
		p, err := w.provision(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range []string{"1", "1", "2"} {
			if err := c.TagFileSystem(ctx, p.FileSystem.ID, map[string]string{"mark": value}); err != nil {
				t.Fatal(err)
			}
		}
		fs, err := c.FileSystem(ctx, p.FileSystem.ID)
		if err != nil || fs.Tags["mark"] != "2" || fs.Tags["team"] != "r" {
			t.Errorf("tags %v, %v", fs.Tags, err)
		}
		if err := c.TagFileSystem(ctx, "fs-00000000000000000", map[string]string{"mark": "1"}); !errors.Is(err, efs.ErrNotFound) {
			t.Errorf("%v, want ErrNotFound", err)
		}
	})
}

// TestRootAsEFSHasIt: the root directory, as root, and nothing is created.
func TestRootAsEFSHasIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{})
		c := w.client(efs.Config{})
		p, err := w.provision(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.EnsureRoot(ctx, efs.RootSpec{FileSystem: p.FileSystem.ID, Purpose: "spring"}); err != nil {
			t.Fatal(err)
		}
		out, err := w.raw().DescribeAccessPoints(ctx, &awsefs.DescribeAccessPointsInput{FileSystemId: aws.String(p.FileSystem.ID)})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(out.AccessPoints, func(d types.AccessPointDescription) bool { return *d.Name == "root for spring" })
		if i < 0 {
			t.Fatal("EFS has no such access point")
		}
		if d := out.AccessPoints[i]; *d.RootDirectory.Path != "/" || *d.PosixUser.Uid != 0 || *d.PosixUser.Gid != 0 || d.RootDirectory.CreationInfo != nil {
			t.Errorf("EFS has %+v", d)
		}
	})
}
