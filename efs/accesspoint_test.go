package efs_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/service/efs/types"

	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestFull fills a file system with access points.
func TestFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{})
		c := w.client(efs.Config{})
		fs, err := c.EnsureFileSystem(ctx, efs.FileSystemSpec{Token: "full"})
		if err != nil {
			t.Fatal(err)
		}
		w.fill(fs.ID, efs.MaxAccessPoints-1)
		spec := efs.HomeSpec{FileSystem: fs.ID, User: "last", UID: 200001, GID: 200001}
		if _, err := c.EnsureHome(ctx, spec); err != nil {
			t.Fatal(err)
		}
		calls := len(w.Calls())
		if u, err := c.Usage(ctx, fs.ID); err != nil || u.AccessPoints != u.Limit {
			t.Errorf("usage %+v, %v", u, err)
		}
		if pages := len(w.Calls()) - calls; pages != 10 {
			t.Errorf("%d pages, want 10", pages)
		}
		ids := map[string]bool{}
		for p, err := range c.AccessPoints(ctx, fs.ID) {
			if err != nil {
				t.Fatal(err)
			}
			ids[p.ID] = true
		}
		if len(ids) != efs.MaxAccessPoints {
			t.Errorf("listed %d different access points", len(ids))
		}
		calls = len(w.Calls())
		for range c.AccessPoints(ctx, fs.ID) {
			break
		}
		if pages := len(w.Calls()) - calls; pages != 1 {
			t.Errorf("a list left at once fetched %d pages", pages)
		}
		if _, err := c.EnsureHome(ctx, spec); err != nil {
			t.Errorf("a home that exists, on a full file system: %v", err)
		}
		spec.User, spec.UID = "toolate", 200002
		_, err = c.EnsureHome(ctx, spec)
		if _, modelled := errors.AsType[*types.AccessPointLimitExceeded](err); !errors.Is(err, efs.ErrQuota) || !modelled ||
			!strings.Contains(err.Error(), "10000 unless AWS raised the quota") {
			t.Errorf("got %v", err)
		}
	})
}

// TestListFails: an error is the last that a list yields.
func TestListFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		var errs []error
		for p, err := range w.client(efs.Config{}).AccessPoints(t.Context(), "fs-0123456789abcdef0") {
			if err == nil {
				t.Errorf("yielded %+v", p)
			}
			errs = append(errs, err)
		}
		if len(errs) != 1 || !errors.Is(errs[0], efs.ErrNotFound) {
			t.Errorf("got %v", errs)
		}
	})
}
