package efs_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestDelete: what is kept, and what each deletion says and does.
func TestDelete(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{Delays: fakeaws.Realistic()})
		c := w.client(efs.Config{})
		p, err := w.provision(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		id := p.FileSystem.ID
		files, err := w.Files(id)
		if err != nil {
			t.Fatal(err)
		}
		if err := files.MkdirAll("/200001", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := files.WriteFile("/200001/thesis", []byte("words"), 0o600); err != nil {
			t.Fatal(err)
		}

		if _, err := c.FileSystem(ctx, id); err != nil {
			t.Error(err)
		}
		if u, err := c.Usage(ctx, id); err != nil || u != (efs.Usage{AccessPoints: 3, Limit: 10_000}) {
			t.Errorf("usage %+v, %v", u, err)
		}
		if d := w.deletions(); len(d) > 0 {
			t.Fatalf("deleted without being asked: %v", d)
		}

		// An access point goes, the files stay, and the next one is another.
		for range 2 {
			if err := c.DeleteAccessPoint(ctx, p.Alice.AccessPoint); err != nil {
				t.Fatal(err)
			}
		}
		home, err := c.EnsureHome(ctx, efs.HomeSpec{FileSystem: id, User: "alice", UID: 200001, GID: 200001})
		if err != nil || home.AccessPoint == p.Alice.AccessPoint || home.Path != p.Alice.Path {
			t.Errorf("home again: %+v, %v", home, err)
		}
		if text, err := files.ReadFile("/200001/thesis"); err != nil || string(text) != "words" {
			t.Errorf("the thesis is %q, %v", text, err)
		}

		if err := c.DeleteFileSystem(ctx, id); !errors.Is(err, efs.ErrState) || !strings.Contains(fmt.Sprint(err), "delete them first") {
			t.Errorf("deleting a file system in use: %v", err)
		}
		for range 2 {
			if err := c.DeleteMountTargets(ctx, id); err != nil {
				t.Fatal(err)
			}
		}
		if fs, err := c.FileSystem(ctx, id); err != nil || fs.MountTargets != 0 {
			t.Errorf("%d mount targets left, %v", fs.MountTargets, err)
		}
		if _, err := files.Stat("/200001/thesis"); err != nil {
			t.Errorf("deleting mount targets deleted files: %v", err)
		}
		for range 2 {
			if err := c.DeleteFileSystem(ctx, id); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.DeleteMountTargets(ctx, id); err != nil {
			t.Error(err)
		}
		if _, err := c.FileSystem(ctx, id); !errors.Is(err, efs.ErrNotFound) {
			t.Errorf("describing what is gone: %v", err)
		}
		if _, err := w.Files(id); err == nil {
			t.Error("the files outlived their file system")
		}
	})
}

// TestDeleteMountTargetsOnce: however late reads show it, each is deleted once.
func TestDeleteMountTargetsOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		inBubble(t, fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, fakeaws.Config{Seed: seed, Delays: fakeaws.Realistic()})
			c := w.client(efs.Config{})
			p, err := w.provision(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.DeleteMountTargets(t.Context(), p.FileSystem.ID); err != nil {
				t.Fatal(err)
			}
			if d := w.deletions(); len(d) != len(p.Targets) {
				t.Errorf("%d targets, %v", len(p.Targets), d)
			}
		})
	}
}

// TestOnlyNamedCallsDelete holds every method to its name.
func TestOnlyNamedCallsDelete(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{})
		c := w.client(efs.Config{})
		p, err := w.provision(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		id := p.FileSystem.ID
		home := efs.HomeSpec{FileSystem: id, User: "alice", UID: 200001, GID: 200001}
		stranger := home
		stranger.User = "mallory"
		for range c.AccessPoints(ctx, id) {
		}
		for _, call := range []func() error{
			func() error { _, err := w.provision(ctx, c); return err },
			func() error { _, err := c.EnsureHome(ctx, stranger); return err },
			func() error { _, err := c.EnsureMountTargets(ctx, id, w.subnets, []string{w.closed}); return err },
			func() error { _, err := c.EnsureMountTargets(ctx, id, []efs.Subnet{w.other}, w.groups); return err },
			func() error { _, err := c.EnsureRoot(ctx, efs.RootSpec{FileSystem: id, Purpose: "spring"}); return err },
			func() error { return c.TagFileSystem(ctx, id, map[string]string{"team": "other"}) },
			func() error { _, err := c.Usage(ctx, id); return err },
			func() error { _, err := c.FileSystem(ctx, id); return err },
		} {
			call()
		}
		if d := w.deletions(); len(d) > 0 {
			t.Errorf("deleted: %v", d)
		}
		for _, step := range []struct {
			action string
			call   func() error
		}{
			{"elasticfilesystem:DeleteAccessPoint", func() error { return c.DeleteAccessPoint(ctx, p.Bob.AccessPoint) }},
			{"elasticfilesystem:DeleteMountTarget", func() error { return c.DeleteMountTargets(ctx, id) }},
			{"elasticfilesystem:DeleteFileSystem", func() error { return c.DeleteFileSystem(ctx, id) }},
		} {
			before := len(w.deletions())
			if err := step.call(); err != nil {
				t.Error(err)
			}
			made := w.deletions()[before:]
			if len(made) == 0 {
				t.Errorf("no %s", step.action)
			}
			for _, action := range made {
				if action != step.action {
					t.Errorf("%s, want %s alone", action, step.action)
				}
			}
		}
	})
}
