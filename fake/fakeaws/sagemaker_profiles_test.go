package fakeaws_test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

func (a studio) updateUser(t testing.TB, domain, name string, s *types.UserSettings) error {
	t.Helper()
	_, err := a.sm.UpdateUserProfile(t.Context(), &awssagemaker.UpdateUserProfileInput{DomainId: &domain, UserProfileName: &name, UserSettings: s})
	return err
}

func (a studio) deleteUser(t testing.TB, domain, name string) error {
	t.Helper()
	_, err := a.sm.DeleteUserProfile(t.Context(), &awssagemaker.DeleteUserProfileInput{DomainId: &domain, UserProfileName: &name})
	return err
}

func access(s types.RStudioServerProAccessStatus, g types.RStudioServerProUserGroup) *types.UserSettings {
	return &types.UserSettings{RStudioServerProAppSettings: &types.RStudioServerProAppSettings{AccessStatus: s, UserGroup: g}}
}

// TestProfileStates: each call at each status.
func TestProfileStates(t *testing.T) {
	const takes = time.Minute
	for _, test := range []struct {
		status                    types.UserProfileStatus
		update, remove, createApp string
		updated, removed          types.UserProfileStatus
	}{
		{status: "Pending", update: inUse, remove: inUse, createApp: refused},
		{status: "InService", updated: "Updating", removed: "Deleting"},
		{status: "Updating", update: inUse, remove: inUse, createApp: refused},
		{status: "Failed", update: refused, removed: "Deleting", createApp: refused},
		{status: "Update_Failed", updated: "Updating", removed: "Deleting"},
		{status: "Deleting", update: inUse, removed: "Deleting", createApp: refused},
		{status: "Delete_Failed", update: refused, removed: "Deleting", createApp: refused},
	} {
		if !slices.Contains(test.status.Values(), test.status) {
			t.Errorf("%s is no status of a profile", test.status)
		}
		for _, call := range []string{"update", "delete", "app"} {
			t.Run(string(test.status)+"/"+call, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var faults []fakeaws.Fault
					if name, failed := map[types.UserProfileStatus]string{"Failed": "Create", "Update_Failed": "Update", "Delete_Failed": "Delete"}[test.status]; failed {
						faults = []fakeaws.Fault{{Action: "sagemaker:" + name + "UserProfile", Nth: 1, Reason: "out of luck"}}
					}
					a := newStudio(t, fakeaws.Config{Faults: faults, Delays: fakeaws.Delays{UserProfile: takes}})
					domain := a.domain(t)
					a.user(t, domain, "ada")
					if test.status != "Pending" {
						time.Sleep(takes)
					}
					var err error
					switch test.status {
					case "Updating", "Update_Failed":
						err = a.updateUser(t, domain, "ada", nil)
					case "Deleting", "Delete_Failed":
						err = a.deleteUser(t, domain, "ada")
					}
					if err != nil {
						t.Fatal(err)
					}
					if strings.HasSuffix(string(test.status), "_Failed") {
						time.Sleep(takes)
					}
					if u := a.profile(t, domain, "ada"); u.Status != test.status || strings.HasSuffix(string(test.status), "ailed") != (u.FailureReason != nil) {
						t.Fatalf("it is %s because %q, want %s", u.Status, aws.ToString(u.FailureReason), test.status)
					}
					want, status := test.createApp, test.status
					switch call {
					case "update":
						want, status, err = test.update, or(test.updated, status), a.updateUser(t, domain, "ada", nil)
					case "delete":
						want, status, err = test.remove, or(test.removed, status), a.deleteUser(t, domain, "ada")
					default:
						err = a.createApp(t, classic(domain, "ada"))
					}
					is(t, call, err, want, "")
					if got := a.profile(t, domain, "ada").Status; got != status {
						t.Errorf("after it: %s, want %s", got, status)
					}
				})
			})
		}
	}
}

func or[T ~string](v, otherwise T) T {
	if v == "" {
		return otherwise
	}
	return v
}

// TestUIDsNeverComeAgain: an id is a text, above what containers use, and its owner's for ever.
func TestUIDsNeverComeAgain(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	one, two := a.domain(t), a.domain(t)
	a.user(t, one, "ada")
	a.user(t, two, "ada")
	a.space(t, one, "ada", "lab", types.AppTypeJupyterLab)
	if err := a.deleteUser(t, two, "ada"); err != nil {
		t.Fatal(err)
	}
	a.user(t, two, "ada")
	space, err := a.sm.DescribeSpace(t.Context(), &awssagemaker.DescribeSpaceInput{DomainId: &one, SpaceName: aws.String("lab")})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{*a.profile(t, one, "ada").HomeEfsFileSystemUid, *space.HomeEfsFileSystemUid, *a.profile(t, two, "ada").HomeEfsFileSystemUid}
	if want := []string{"200001", "200003", "200004"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestProfileHasAccessPoint: from its creation on, with the group root.
func TestProfileHasAccessPoint(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	domain := a.domain(t)
	a.user(t, domain, "ada")
	home := a.describe(t, domain).HomeEfsFileSystemId
	points := func() []string {
		out, err := a.efs.DescribeAccessPoints(t.Context(), &awsefs.DescribeAccessPointsInput{FileSystemId: home})
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, p := range out.AccessPoints {
			i := p.RootDirectory.CreationInfo
			list = append(list, fmt.Sprintf("%d:%d %s %d:%d %s", *p.PosixUser.Uid, *p.PosixUser.Gid, *p.RootDirectory.Path, *i.OwnerUid, *i.OwnerGid, *i.Permissions))
		}
		return list
	}
	if got, want := points(), []string{"200001:0 /200001 200001:0 700"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := a.deleteUser(t, domain, "ada"); err != nil {
		t.Fatal(err)
	}
	if got := points(); len(got) != 0 {
		t.Errorf("after the profile: %q", got)
	}
}

// TestAccessIsOneWay: nobody loses RStudio but by deleting the profile.
func TestAccessIsOneWay(t *testing.T) {
	const on, off = types.RStudioServerProAccessStatusEnabled, types.RStudioServerProAccessStatusDisabled
	const user, admin = types.RStudioServerProUserGroupUser, types.RStudioServerProUserGroupAdmin
	a := newStudio(t, fakeaws.Config{})
	domain := a.domain(t)
	for i, test := range []struct {
		from, to *types.UserSettings
		code     string
	}{
		{nil, access(off, ""), refused}, // a new one is let in by default
		{access(on, user), access(off, ""), refused},
		{access(off, ""), access(on, user), ""},
		{access(off, ""), access(off, ""), ""},
		{access(on, user), access(on, admin), ""},
		{access(on, admin), access(on, user), ""},
		{access(on, user), nil, ""},
		{access(off, ""), access(off, user), refused},
		{access(off, ""), access("", user), refused},
	} {
		name := fmt.Sprint("user-", i)
		if _, err := a.sm.CreateUserProfile(t.Context(), &awssagemaker.CreateUserProfileInput{DomainId: &domain, UserProfileName: &name, UserSettings: test.from}); err != nil {
			t.Fatal(err)
		}
		is(t, name, a.updateUser(t, domain, name, test.to), test.code, "")
	}
}

// TestDisabledWithUserGroupIsRefused: also for those to come.
func TestDisabledWithUserGroupIsRefused(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	both := access(types.RStudioServerProAccessStatusDisabled, types.RStudioServerProUserGroupUser)
	domain := a.domain(t)
	_, err := a.sm.CreateUserProfile(t.Context(), &awssagemaker.CreateUserProfileInput{DomainId: &domain, UserProfileName: aws.String("ada"), UserSettings: both})
	is(t, "a profile", err, refused, "UserGroup")
	in := a.domainInput()
	in.DefaultUserSettings.RStudioServerProAppSettings = both.RStudioServerProAppSettings
	_, err = a.sm.CreateDomain(t.Context(), in)
	is(t, "a domain", err, refused, "UserGroup")
}

// TestProfileNamesIgnoreCase: one name is one profile however it is written.
func TestProfileNamesIgnoreCase(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	domain := a.domain(t)
	a.user(t, domain, "Ada")
	_, err := a.sm.CreateUserProfile(t.Context(), &awssagemaker.CreateUserProfileInput{DomainId: &domain, UserProfileName: aws.String("ADA")})
	is(t, "create again", err, inUse, "already exists")
	if got := *a.profile(t, domain, "ada").UserProfileName; got != "Ada" {
		t.Errorf("it is called %s", got)
	}
	for _, name := range []string{"domain-shared", "a_b", "-a", strings.Repeat("x", 64)} {
		_, err := a.sm.CreateUserProfile(t.Context(), &awssagemaker.CreateUserProfileInput{DomainId: &domain, UserProfileName: &name})
		is(t, name, err, refused, "")
	}
}

// TestProfilesOfSSO: who signs in by IAM Identity Center has a name there, and nobody else.
func TestProfilesOfSSO(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	for mode, test := range map[types.AuthMode]struct{ with, without string }{types.AuthModeIam: {refused, ""}, types.AuthModeSso: {"", refused}} {
		domain := a.domain(t, func(in *awssagemaker.CreateDomainInput) { in.AuthMode = mode })
		_, err := a.sm.CreateUserProfile(t.Context(), &awssagemaker.CreateUserProfileInput{DomainId: &domain, UserProfileName: aws.String("without")})
		is(t, string(mode)+" without", err, test.without, "")
		_, err = a.sm.CreateUserProfile(t.Context(), &awssagemaker.CreateUserProfileInput{
			DomainId: &domain, UserProfileName: aws.String("with"), SingleSignOnUserIdentifier: aws.String("UserName"), SingleSignOnUserValue: aws.String("ada"),
		})
		is(t, string(mode)+" with", err, test.with, "")
	}
}

// TestProfilesInUse: an app in service keeps a profile as it is, one that has failed does not.
func TestProfilesInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newStudio(t, fakeaws.Config{Delays: fakeaws.Delays{App: time.Minute}, Faults: []fakeaws.Fault{
			{Action: "sagemaker:CreateApp", Subject: "bob/JupyterServer/default", Reason: "out of luck"},
		}})
		domain := a.domain(t)
		a.user(t, domain, "ada", "bob")
		for _, name := range []string{"ada", "bob"} {
			if err := a.createApp(t, classic(domain, name)); err != nil {
				t.Fatal(err)
			}
		}
		is(t, "update while an app is Pending", a.updateUser(t, domain, "ada", nil), "", "")
		is(t, "delete while an app is Pending", a.deleteUser(t, domain, "ada"), inUse, "because App(s) are associated with it")
		time.Sleep(time.Minute)
		is(t, "update while an app is InService", a.updateUser(t, domain, "ada", nil), inUse, "")
		is(t, "delete while an app is InService", a.deleteUser(t, domain, "ada"), inUse, "because App(s) are associated with it")
		is(t, "update while an app is Failed", a.updateUser(t, domain, "bob", nil), "", "")
		is(t, "delete while an app is Failed", a.deleteUser(t, domain, "bob"), "", "")
		if err := a.deleteApp(t, classic(domain, "ada")); err != nil {
			t.Fatal(err)
		}
		is(t, "update while an app is Deleting", a.updateUser(t, domain, "ada", nil), "", "")
		is(t, "delete while an app is Deleting", a.deleteUser(t, domain, "ada"), inUse, "because App(s) are associated with it")
		time.Sleep(time.Minute)
		a.space(t, domain, "ada", "lab", types.AppTypeJupyterLab)
		is(t, "delete with a space", a.deleteUser(t, domain, "ada"), inUse, "because Space(s) are associated with it")
		if _, err := a.sm.DeleteSpace(t.Context(), &awssagemaker.DeleteSpaceInput{DomainId: &domain, SpaceName: aws.String("lab")}); err != nil {
			t.Fatal(err)
		}
		is(t, "delete", a.deleteUser(t, domain, "ada"), "", "")
	})
}

// TestFilesOutliveProfile: only the way to them goes.
func TestFilesOutliveProfile(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	domain := a.domain(t)
	a.user(t, domain, "ada")
	if err := a.createApp(t, classic(domain, "ada")); err != nil {
		t.Fatal(err)
	}
	home, err := a.AppFiles(fakeaws.App{Domain: domain, UserProfile: "ada", Type: "JupyterServer", Name: "default"})
	if err != nil {
		t.Fatal(err)
	}
	if err := home.WriteFile("notes", []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	for err := range errs(a.deleteApp(t, classic(domain, "ada")), a.deleteUser(t, domain, "ada")) {
		t.Fatal(err)
	}
	root, err := a.Files(*a.describe(t, domain).HomeEfsFileSystemId)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fs.ReadFile(root.FS(), "200001/notes"); string(got) != "keep" {
		t.Errorf("%q %v", got, err)
	}
}

// TestProfileQuota: 60 as AWS has it, or what the account was given.
func TestProfileQuota(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	domain := a.domain(t)
	for i := range 60 {
		a.user(t, domain, fmt.Sprint("user-", i))
	}
	_, err := a.sm.CreateUserProfile(t.Context(), &awssagemaker.CreateUserProfileInput{DomainId: &domain, UserProfileName: aws.String("more")})
	is(t, "the 61st", err, limit, "'Maximum number of Studio user profiles allowed per account' is 60 UserProfiles")
	if err := a.SetStudioQuota("Maximum number of Studio user profiles allowed per account", 61); err != nil {
		t.Fatal(err)
	}
	a.user(t, domain, "more")
}

// TestLostHomeBreaksDomain: who deletes the file system by hand has no users any more.
func TestLostHomeBreaksDomain(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	domain := a.domain(t)
	home := a.describe(t, domain).HomeEfsFileSystemId
	targets, err := a.efs.DescribeMountTargets(t.Context(), &awsefs.DescribeMountTargetsInput{FileSystemId: home})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range targets.MountTargets {
		if _, err := a.efs.DeleteMountTarget(t.Context(), &awsefs.DeleteMountTargetInput{MountTargetId: m.MountTargetId}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.efs.DeleteFileSystem(t.Context(), &awsefs.DeleteFileSystemInput{FileSystemId: home}); err != nil {
		t.Fatal(err)
	}
	a.user(t, domain, "ada")
	if u := a.profile(t, domain, "ada"); u.Status != types.UserProfileStatusFailed || !strings.Contains(aws.ToString(u.FailureReason), *home) {
		t.Errorf("%s because %q", u.Status, aws.ToString(u.FailureReason))
	}
}

// TestSpaces: what belongs together, and what holds a space.
func TestSpaces(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	domain := a.domain(t)
	a.user(t, domain, "ada")
	private := &types.SpaceSharingSettings{SharingType: types.SharingTypePrivate}
	for name, test := range map[string]struct {
		in   awssagemaker.CreateSpaceInput
		code string
	}{
		"sharing of nobody": {awssagemaker.CreateSpaceInput{SpaceSharingSettings: private}, refused},
		"stranger":          {awssagemaker.CreateSpaceInput{SpaceSharingSettings: private, OwnershipSettings: &types.OwnershipSettings{OwnerUserProfileName: aws.String("bob")}}, notFound},
		"RStudio":           {awssagemaker.CreateSpaceInput{SpaceSettings: &types.SpaceSettings{AppType: types.AppTypeRSessionGateway}}, refused},
	} {
		test.in.DomainId, test.in.SpaceName = &domain, aws.String("s")
		_, err := a.sm.CreateSpace(t.Context(), &test.in)
		is(t, name, err, test.code, "")
	}
	a.space(t, domain, "ada", "lab", types.AppTypeJupyterLab)
	list, err := a.sm.ListSpaces(t.Context(), &awssagemaker.ListSpacesInput{DomainIdEquals: &domain, SpaceNameContains: aws.String("LA")})
	if err != nil || len(list.Spaces) != 1 || *list.Spaces[0].OwnershipSettingsSummary.OwnerUserProfileName != "ada" || list.Spaces[0].SpaceSettingsSummary.AppType != types.AppTypeJupyterLab {
		t.Errorf("%+v %v", list, err)
	}
	app := &awssagemaker.CreateAppInput{DomainId: &domain, SpaceName: aws.String("lab"), AppType: types.AppTypeJupyterLab, AppName: aws.String("default")}
	if err := a.createApp(t, app); err != nil {
		t.Fatal(err)
	}
	remove := func() error {
		_, err := a.sm.DeleteSpace(t.Context(), &awssagemaker.DeleteSpaceInput{DomainId: &domain, SpaceName: aws.String("lab")})
		return err
	}
	is(t, "delete with an app", remove(), inUse, "App(s)")
	is(t, "delete the app", a.deleteApp(t, app), "", "")
	is(t, "delete", remove(), "", "")
	_, err = a.sm.DescribeSpace(t.Context(), &awssagemaker.DescribeSpaceInput{DomainId: &domain, SpaceName: aws.String("lab")})
	is(t, "describe", err, notFound, "lab")
}
