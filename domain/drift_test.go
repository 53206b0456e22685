package domain_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/aws/aws-sdk-go-v2/service/efs/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestDrift: each difference is reported once, with what it is about, nothing else
// is, and nothing is changed by that; what is said to repair it does.
func TestDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		d := w.create(t.Context())
		report := func(want ...domain.DriftKind) []domain.Drift {
			t.Helper()
			before := len(w.mutations())
			found, err := d.Drift(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var kinds []domain.DriftKind
			for _, f := range found {
				kinds = append(kinds, f.Kind)
				if f.AccessPoint == "" || f.Detail == "" || f.Repair == "" {
					t.Errorf("the report says %+v", f)
				}
			}
			if !slices.Equal(kinds, want) {
				t.Errorf("the report says %v, want %v", found, want)
			}
			if len(w.mutations()) != before {
				t.Error("the report changes something")
			}
			return found
		}
		report() // no file system
		alice, bob := onboard(t, d, "alice"), onboard(t, d, "bob")
		report()
		client := awsefs.NewFromConfig(w.Config())
		remove := func(id string) {
			t.Helper()
			if _, err := client.DeleteAccessPoint(t.Context(), &awsefs.DeleteAccessPointInput{AccessPointId: aws.String(id)}); err != nil {
				t.Fatal(err)
			}
		}
		add := func(token, path string, uid int64, tags map[string]string) {
			t.Helper()
			in := &awsefs.CreateAccessPointInput{
				ClientToken: aws.String(token), FileSystemId: aws.String(alice.Home.FileSystem),
				RootDirectory: &types.RootDirectory{Path: aws.String(path)},
			}
			if uid > 0 {
				in.PosixUser = &types.PosixUser{Uid: aws.Int64(uid), Gid: aws.Int64(uid)}
			}
			for k, v := range tags {
				in.Tags = append(in.Tags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
			}
			if _, err := client.CreateAccessPoint(t.Context(), in); err != nil {
				t.Fatal(err)
			}
		}
		remove(alice.Home.AccessPoint)
		if found := report(domain.HomeMissing); len(found) == 1 && found[0].User != "alice" {
			t.Errorf("it is about %s", found[0].User)
		}
		onboard(t, d, "alice")
		report()

		ours := map[string]string{"atelier:domain": "research"}
		add("a", "/somewhere", 0, nil) // another's
		add("b", "/elsewhere", 77, ours)
		report()
		add("c", "/", 0, map[string]string{"atelier:domain": "research", "atelier:root": "deletion-of-200001"})
		add("d", "/300000", 300000, map[string]string{"atelier:domain": "research", "atelier:user": "carol"})
		report(domain.RootLeft, domain.AccessPointUnrecorded)

		// A record that says otherwise than EFS.
		_, err := store.NewTable[domain.User](w.store, "domains/research/users").Update(t.Context(), "bob", func(u *domain.User) error {
			u.Home.Path = "/" + fmt.Sprint(bob.UID+1)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		report(domain.RootLeft, domain.AccessPointUnrecorded, domain.HomeDiffers)
		if err := d.Offboard(t.Context(), "bob"); err != nil {
			t.Fatal(err)
		}
		report(domain.RootLeft, domain.AccessPointUnrecorded) // an offboarded user's home is at rest

		// Projects: one that was deleted behind our back, and one of no record.
		// To make one takes stock, by which carol is remembered.
		alpha := createProject(t, d, "alpha", "lab")
		report(domain.RootLeft)
		remove(alpha.Directory.AccessPoint)
		report(domain.RootLeft, domain.ProjectMissing)
		alpha = createProject(t, d, "alpha", "lab")
		report(domain.RootLeft)
		if err := store.NewTable[domain.Project](w.store, "domains/research/projects").Delete(t.Context(), "alpha"); err != nil {
			t.Fatal(err)
		}
		report(domain.RootLeft, domain.AccessPointUnrecorded)
		if back := createProject(t, d, "alpha"); back.GID != alpha.GID || back.Directory != alpha.Directory {
			t.Errorf("repaired to %+v, was %+v", back, alpha)
		}
		report(domain.RootLeft)
	})
}
