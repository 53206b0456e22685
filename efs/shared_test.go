package efs_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestSharedDirectory: what was made is found again by its access point, and a
// home is no shared directory; mount targets are listed as they were made.
func TestSharedDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		ctx := t.Context()
		c := w.client(efs.Config{})
		made, err := w.provision(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		var found []efs.Shared
		for p, err := range c.AccessPoints(ctx, made.FileSystem.ID) {
			if err != nil {
				t.Fatal(err)
			}
			if dir := p.SharedDirectory(); dir != (efs.Shared{}) {
				found = append(found, dir)
			} else if p.User == "" || p.OwnerGID != p.GID {
				t.Errorf("%+v is neither a home nor a shared directory", p)
			}
		}
		if !slices.Equal(found, []efs.Shared{made.Project}) {
			t.Errorf("found %+v, made %+v", found, made.Project)
		}
		targets, err := c.MountTargets(ctx, made.FileSystem.ID)
		if err != nil || len(targets) != len(made.Targets) {
			t.Fatalf("%+v, %v", targets, err)
		}
		for i, m := range targets {
			if m.ID != made.Targets[i].ID || m.Zone != made.Targets[i].Zone || m.SecurityGroups != nil {
				t.Errorf("%+v, made %+v", m, made.Targets[i])
			}
		}
		if targets, err := c.MountTargets(ctx, "fs-00000000000000000"); err != nil || targets != nil {
			t.Errorf("of no file system: %+v, %v", targets, err)
		}
		if _, err := c.MountTargets(ctx, "nonsense"); err == nil {
			t.Error("nonsense is taken for a file system")
		}
	})
}
