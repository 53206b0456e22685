package domain_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

func unused(context.Context) error { return nil }

// gone deletes a user's home as package session does, but for the files.
func gone(t testing.TB, d *domain.Domain, user string) {
	t.Helper()
	u, err := d.User(t.Context(), user)
	if err == nil && u.Offboarded.IsZero() {
		err = d.Offboard(t.Context(), user)
	}
	if err == nil {
		u, err = d.BeginHomeDeletion(t.Context(), user, u.Home.Path, unused)
	}
	if err == nil {
		_, err = d.EnsureHomeDeletionAccess(t.Context(), u)
	}
	if err == nil {
		err = d.FinishHomeDeletion(t.Context(), u, u.Home.Path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestHomeDeletion: what is there at each step, and that each can be repeated.
func TestHomeDeletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{Delays: delays()})
		d := w.create(ctx)
		alice, bob := onboard(t, d, "alice"), onboard(t, d, "bob")
		if err := d.Offboard(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		before := w.mutations()
		_, err := d.EnsureHomeDeletionAccess(ctx, alice)
		is(t, err, domain.ErrState)
		is(t, d.FinishHomeDeletion(ctx, alice, "/200001"), domain.ErrState)
		if after := w.mutations(); !slices.Equal(before, after) {
			t.Errorf("without a beginning it calls %q", after[len(before):])
		}

		for range 2 {
			u, err := d.BeginHomeDeletion(ctx, "alice", "/200001", unused)
			if err != nil || !u.Deletion.UnderWay() || u.Home != alice.Home {
				t.Fatalf("%+v, %v", u, err)
			}
		}
		_, err = d.Onboard(ctx, domain.OnboardRequest{User: "alice"})
		is(t, err, domain.ErrState)
		is(t, d.CheckHome(ctx, alice), domain.ErrState)
		is(t, w.client().Delete(ctx, "research"), domain.ErrState)
		_, err = d.Authorize(ctx, domain.Ask{User: "alice", InstanceType: "t3.medium"})
		if !errors.Is(err, domain.ErrNotAllowed) || !strings.Contains(err.Error(), "being deleted") {
			t.Errorf("authorize: %v", err)
		}

		root, err := d.EnsureHomeDeletionAccess(ctx, alice)
		again, againErr := d.EnsureHomeDeletionAccess(ctx, alice)
		if err != nil || againErr != nil || root != again || root.AccessPoint == "" {
			t.Fatalf("access %+v, %v; again %+v, %v", root, err, again, againErr)
		}
		w.audit(ctx, 2, 3)
		for range 2 {
			if err := d.EndHomeDeletionAccess(ctx, "alice", root); err != nil {
				t.Fatal(err)
			}
		}
		w.audit(ctx, 2, 2)
		later, err := d.EnsureHomeDeletionAccess(ctx, alice)
		if err != nil || later == root {
			t.Fatalf("access %+v after %+v, %v", later, root, err)
		}
		// Who failed before, and is late to close what it opened, closes no
		// other's; and nothing but what was opened can be closed.
		for _, root := range []efs.Root{root, {}, {FileSystem: bob.Home.FileSystem, AccessPoint: bob.Home.AccessPoint}} {
			if err := d.EndHomeDeletionAccess(ctx, "alice", root); err != nil {
				t.Fatal(err)
			}
		}
		w.audit(ctx, 2, 3)

		is(t, d.FinishHomeDeletion(ctx, alice, "/200002"), domain.ErrInvalid)
		for range 2 {
			if err := d.FinishHomeDeletion(ctx, alice, "/200001"); err != nil {
				t.Fatal(err)
			}
		}
		w.audit(ctx, 2, 1)
		_, err = d.Authorize(ctx, domain.Ask{User: "alice", InstanceType: "t3.medium"})
		if !errors.Is(err, domain.ErrNotAllowed) || !strings.Contains(err.Error(), "was deleted") {
			t.Errorf("authorize: %v", err)
		}
		u, err := d.BeginHomeDeletion(ctx, "alice", "/200001", unused)
		if err != nil || u.Deletion.UnderWay() || u.Deletion.Count != 1 || !u.Onboarded.IsZero() || u.Home != (efs.Home{}) {
			t.Errorf("a home that is gone is deleted again: %+v, %v", u, err)
		}

		back := onboard(t, d, "alice")
		if back.UID != alice.UID || back.Home.AccessPoint == alice.Home.AccessPoint || back.Home.Path != alice.Home.Path {
			t.Errorf("came back as %+v, left as %+v", back, alice)
		}
		is(t, d.CheckHome(ctx, alice), domain.ErrState)
		if err := d.CheckHome(ctx, back); err != nil {
			t.Error(err)
		}
	})
}

// TestDeleteDomainWhileHomesAre: a domain waits for the deletion of the last home,
// which needs its mount targets.
func TestDeleteDomainWhileHomesAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{})
		d := w.create(ctx)
		onboard(t, d, "alice")
		if err := d.Offboard(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.BeginHomeDeletion(ctx, "alice", "/200001", unused); err != nil {
			t.Fatal(err)
		}
		err := w.client().Delete(ctx, "research")
		is(t, err, domain.ErrState)
		if !strings.Contains(err.Error(), "1 homes are being deleted, finish that first: alice") {
			t.Error(err)
		}
		gone(t, d, "alice")
		if err := w.client().Delete(ctx, "research"); err != nil {
			t.Error(err)
		}
	})
}

// TestHomeDeletionAfterHalfAnOnboarding: who was given a uid and no home yet has
// one for as long as its deletion takes.
func TestHomeDeletionAfterHalfAnOnboarding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{
			{Action: "elasticfilesystem:CreateAccessPoint", Nth: 1, Status: 403, Code: "AccessPointLimitExceeded"},
		}})
		d := w.create(ctx)
		_, err := d.Onboard(ctx, domain.OnboardRequest{User: "alice"})
		is(t, err, domain.ErrQuota)
		if err := d.Offboard(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		u, err := d.BeginHomeDeletion(ctx, "alice", "/200001", unused)
		if err != nil || u.Home.AccessPoint == "" {
			t.Fatalf("%+v, %v", u, err)
		}
		_, err = d.EnsureHomeDeletionAccess(ctx, u) // the fault strikes each access point's first call
		is(t, err, domain.ErrQuota)
		if _, err = d.EnsureHomeDeletionAccess(ctx, u); err != nil {
			t.Fatal(err)
		}
		if err := d.FinishHomeDeletion(ctx, u, "/200001"); err != nil {
			t.Fatal(err)
		}
		w.audit(ctx, 2, 0)
		if back := onboard(t, d, "alice"); back.UID != 200001 {
			t.Errorf("onboarded as %+v", back)
		}
	})
}

// TestHomeDeletionKeepsUIDs: the last user's uid is not given again, also if
// the home is gone and so are the records.
func TestHomeDeletionKeepsUIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		d := w.create(t.Context())
		alice, bob := onboard(t, d, "alice"), onboard(t, d, "bob")
		gone(t, d, "bob")
		w.store = store.NewMemory()
		d = w.create(t.Context())
		zed := onboard(t, d, "zed")
		if zed.UID <= bob.UID {
			t.Errorf("zed got uid %d, bob had %d", zed.UID, bob.UID)
		}
		if back := onboard(t, d, "alice"); back.UID != alice.UID || back.Home != alice.Home {
			t.Errorf("came back as %+v, was %+v", back, alice)
		}
		// The mark only rises.
		gone(t, d, "alice")
		w.store = store.NewMemory()
		d = w.create(t.Context())
		if yan := onboard(t, d, "yan"); yan.UID <= zed.UID {
			t.Errorf("yan got uid %d, zed has %d", yan.UID, zed.UID)
		}
	})
}

// TestHomeDeletionOfAnother: records that give a uid to the wrong user open
// nobody's home.
func TestHomeDeletionOfAnother(t *testing.T) {
	inBubble(t, "another store", func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{})
		onboard(t, w.create(ctx), "alice")
		w.store = store.NewMemory()
		d := w.create(ctx)
		onboard(t, d, "bob") // makes a ledger
		forge(t, w, "mallory", domain.User{Name: "mallory", UID: 200001, GID: 200001, Offboarded: time.Now()})
		before := w.inventory(ctx)
		_, err := d.BeginHomeDeletion(ctx, "mallory", "/200001", unused)
		is(t, err, domain.ErrConflict)
		if !strings.Contains(err.Error(), "alice") {
			t.Errorf("%v does not say whose it is", err)
		}
		if after := w.inventory(ctx); after != before {
			t.Errorf("it changed\n%s\nto\n%s", before, after)
		}
		if u, err := d.User(ctx, "mallory"); err != nil || u.Deletion.UnderWay() {
			t.Errorf("%+v, %v", u, err)
		}
	})
	for _, uid := range []uint32{1, 65534, 200000, 200002, 4_000_000_000} {
		inBubble(t, fmt.Sprint("not in the ledger: ", uid), func(t *testing.T) {
			ctx := t.Context()
			w := newWorld(t, fakeaws.Config{})
			d := w.create(ctx)
			onboard(t, d, "alice")
			forge(t, w, "mallory", domain.User{Name: "mallory", UID: uid, GID: uid, Offboarded: time.Now()})
			_, err := d.AuthorizeHomeDeletion(ctx, domain.HomeDeletionRequest{User: "mallory", Path: fmt.Sprint("/", uid), Image: "tools"})
			is(t, err, domain.ErrState)
			if !strings.Contains(err.Error(), "ledger") {
				t.Errorf("%v does not speak of the ledger", err)
			}
		})
	}
	inBubble(t, "no uid", func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{})
		d := w.create(ctx)
		onboard(t, d, "alice")
		forge(t, w, "mallory", domain.User{Name: "mallory", Offboarded: time.Now()})
		for _, path := range []string{"/0", "/", "/200001"} {
			_, err := d.AuthorizeHomeDeletion(ctx, domain.HomeDeletionRequest{User: "mallory", Path: path, Image: "tools"})
			is(t, err, domain.ErrState)
			_, err = d.BeginHomeDeletion(ctx, "mallory", path, unused)
			is(t, err, domain.ErrState)
		}
	})
	inBubble(t, "another file system", func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{})
		d := w.create(ctx)
		u := onboard(t, d, "alice")
		u.Name, u.Home.FileSystem, u.Offboarded = "mallory", "fs-00000000000000000", time.Now()
		forge(t, w, "mallory", u)
		_, err := d.AuthorizeHomeDeletion(ctx, domain.HomeDeletionRequest{User: "mallory", Path: "/200001", Image: "tools"})
		is(t, err, domain.ErrState)
		if !strings.Contains(err.Error(), "fs-00000000000000000") {
			t.Errorf("%v does not speak of the file system", err)
		}
	})
}

// forge writes a user's record past the domain.
func forge(t testing.TB, w *world, name string, u domain.User) {
	t.Helper()
	value, err := json.Marshal(u)
	if err == nil {
		_, err = w.store.Put(t.Context(), store.Record{Collection: "domains/research/users", ID: name, Value: value})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestAuthorizeHomeDeletion: what it runs on, beside all policies.
func TestAuthorizeHomeDeletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, fakeaws.Config{})
		d := w.create(ctx)
		if _, err := w.PushImage("example.com/tools:1", fakeaws.Image{Platforms: []string{"linux/amd64"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Attach(ctx, domain.AttachRequest{Name: "tools", Reference: "example.com/tools:1"}); err != nil {
			t.Fatal(err)
		}
		if err := d.SetPolicy(ctx, domain.Policy{Types: []string{"r5.*"}, Images: []string{"rstudio"}, Sharing: domain.Pool}); err != nil {
			t.Fatal(err)
		}
		onboard(t, d, "alice")
		if err := d.Offboard(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		q := domain.HomeDeletionRequest{User: "alice", Path: "/200001", Image: "tools"}
		g, err := d.AuthorizeHomeDeletion(ctx, q)
		if err != nil || g.Sharing != domain.Exclusive || g.User.Name != "alice" || g.Size.MemoryMiB == 0 || g.Image.Name != "tools" {
			t.Errorf("%+v, %v", g, err)
		}
		cheapest, err := d.AuthorizeHomeDeletion(ctx, q)
		if err != nil || cheapest.PricePerHour.PerHour > g.PricePerHour.PerHour {
			t.Errorf("%+v, %v", cheapest, err)
		}
		q.InstanceType = "ml.t3.medium"
		if g, err := d.AuthorizeHomeDeletion(ctx, q); err != nil || g.Type.Name != "t3.medium" {
			t.Errorf("%+v, %v", g, err)
		}
		q.InstanceType = "t4g.medium" // the image is for amd64
		_, err = d.AuthorizeHomeDeletion(ctx, q)
		is(t, err, domain.ErrInvalid)
		q.InstanceType = "t3.nano" // no room
		_, err = d.AuthorizeHomeDeletion(ctx, q)
		is(t, err, domain.ErrInvalid)
	})
}
