package fakeaws_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

const (
	ecr     = "123456789012.dkr.ecr.us-east-1.amazonaws.com/"
	session = ecr + "r-session:2025.05"
)

// push puts a container image where SageMaker can find it.
func (a studio) push(t testing.TB, reference string) string {
	t.Helper()
	digest, err := a.PushImage(reference, fakeaws.Image{})
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// image makes an image with a configuration of the same name.
func (a studio) image(t testing.TB, name string) {
	t.Helper()
	_, err := a.sm.CreateImage(t.Context(), &awssagemaker.CreateImageInput{ImageName: &name, RoleArn: aws.String(studioRole)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.sm.CreateAppImageConfig(t.Context(), &awssagemaker.CreateAppImageConfigInput{AppImageConfigName: &name}); err != nil {
		t.Fatal(err)
	}
}

func (a studio) version(t testing.TB, image, base, token string) (*awssagemaker.CreateImageVersionOutput, error) {
	t.Helper()
	return a.sm.CreateImageVersion(t.Context(), &awssagemaker.CreateImageVersionInput{ImageName: &image, BaseImage: &base, ClientToken: &token})
}

func (a studio) describeVersion(t testing.TB, image string, number int32) *awssagemaker.DescribeImageVersionOutput {
	t.Helper()
	in := &awssagemaker.DescribeImageVersionInput{ImageName: &image}
	if number > 0 {
		in.Version = &number
	}
	out, err := a.sm.DescribeImageVersion(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestImageStates: statuses in upper case, and each call at each of them.
func TestImageStates(t *testing.T) {
	const takes = time.Minute
	for _, test := range []struct {
		status                  types.ImageStatus
		update, remove, version string
		then                    types.ImageStatus // after an update
	}{
		{"CREATING", inUse, inUse, refused, "CREATING"},
		{"CREATED", "", "", "", "UPDATING"},
		{"CREATE_FAILED", inUse, "", refused, "CREATE_FAILED"},
		{"UPDATING", inUse, inUse, refused, "UPDATING"},
		{"UPDATE_FAILED", "", "", "", "UPDATING"},
		{"DELETING", inUse, "", refused, "DELETING"},
		{"DELETE_FAILED", inUse, "", refused, "DELETE_FAILED"},
	} {
		if !slices.Contains(test.status.Values(), test.status) {
			t.Errorf("%s is no status of an image", test.status)
		}
		for _, call := range []string{"update", "delete", "version"} {
			t.Run(string(test.status)+"/"+call, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var faults []fakeaws.Fault
					if name, failed := strings.CutSuffix(string(test.status), "_FAILED"); failed {
						name = name[:1] + strings.ToLower(name[1:])
						faults = []fakeaws.Fault{{Action: "sagemaker:" + name + "Image", Nth: 1, Reason: "out of luck"}}
					}
					a := newStudio(t, fakeaws.Config{Faults: faults, Delays: fakeaws.Delays{StudioImage: takes}})
					a.push(t, session)
					a.image(t, "r")
					update := func() error {
						_, err := a.sm.UpdateImage(t.Context(), &awssagemaker.UpdateImageInput{ImageName: aws.String("r"), Description: aws.String("d")})
						return err
					}
					remove := func() error {
						_, err := a.sm.DeleteImage(t.Context(), &awssagemaker.DeleteImageInput{ImageName: aws.String("r")})
						return err
					}
					if test.status != "CREATING" {
						time.Sleep(takes)
					}
					switch test.status {
					case "UPDATING", "UPDATE_FAILED":
						is(t, "update", update(), "", "")
					case "DELETING", "DELETE_FAILED":
						is(t, "delete", remove(), "", "")
					}
					if strings.HasSuffix(string(test.status), "E_FAILED") && test.status != "CREATE_FAILED" {
						time.Sleep(takes)
					}
					describe := func() *awssagemaker.DescribeImageOutput {
						out, err := a.sm.DescribeImage(t.Context(), &awssagemaker.DescribeImageInput{ImageName: aws.String("R")})
						if err != nil {
							t.Fatal(err)
						}
						return out
					}
					if i := describe(); i.ImageStatus != test.status || len(faults) > 0 != (i.FailureReason != nil) {
						t.Fatalf("it is %s because %q, want %s", i.ImageStatus, aws.ToString(i.FailureReason), test.status)
					}
					switch call {
					case "update":
						is(t, call, update(), test.update, "")
						if got := describe().ImageStatus; got != test.then {
							t.Errorf("then %s, want %s", got, test.then)
						}
					case "delete":
						is(t, call, remove(), test.remove, "")
					default:
						_, err := a.version(t, "r", session, "token")
						is(t, call, err, test.version, "")
					}
				})
			})
		}
	}
}

// TestImageVersions: numbered, never again, the latest without a number.
func TestImageVersions(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	digest := a.push(t, session)
	a.image(t, "r")
	_, err := a.sm.DescribeImageVersion(t.Context(), &awssagemaker.DescribeImageVersionInput{ImageName: aws.String("r")})
	is(t, "the latest of none", err, notFound, "Latest ImageVersion")
	first, err := a.version(t, "r", session, "one")
	if err != nil {
		t.Fatal(err)
	}
	again, err := a.version(t, "r", session, "one")
	if err != nil || *again.ImageVersionArn != *first.ImageVersionArn {
		t.Errorf("the same token: %v %v, want %s", again, err, *first.ImageVersionArn)
	}
	_, err = a.version(t, "r", ecr+"other:1", "one")
	is(t, "the same token for another image", err, inUse, "ClientToken")
	if _, err := a.version(t, "r", session, "two"); err != nil {
		t.Fatal(err)
	}
	if v := a.describeVersion(t, "r", 0); *v.Version != 2 || *v.ContainerImage != ecr+"r-session@"+digest || *v.BaseImage != session {
		t.Errorf("the latest: %+v", v)
	}
	remove := func(n int32) error {
		_, err := a.sm.DeleteImageVersion(t.Context(), &awssagemaker.DeleteImageVersionInput{ImageName: aws.String("r"), Version: &n})
		return err
	}
	is(t, "delete", remove(2), "", "")
	is(t, "delete again", remove(2), notFound, "")
	if v := a.describeVersion(t, "r", 0); *v.Version != 1 {
		t.Errorf("the latest of what is left: %d", *v.Version)
	}
	if _, err := a.version(t, "r", session, "three"); err != nil {
		t.Fatal(err)
	}
	list, err := a.sm.ListImageVersions(t.Context(), &awssagemaker.ListImageVersionsInput{ImageName: aws.String("r")})
	if err != nil || len(list.ImageVersions) != 2 || *list.ImageVersions[0].Version != 3 {
		t.Errorf("%+v %v, want 3 and 1", list, err)
	}
	if _, err := a.sm.CreateImage(t.Context(), &awssagemaker.CreateImageInput{ImageName: aws.String("R"), RoleArn: aws.String(studioRole)}); code(err) != inUse {
		t.Errorf("the name again: %v", err)
	}
	if _, err := a.sm.DeleteImage(t.Context(), &awssagemaker.DeleteImageInput{ImageName: aws.String("r")}); err != nil {
		t.Fatal(err)
	}
	_, err = a.sm.DescribeImageVersion(t.Context(), &awssagemaker.DescribeImageVersionInput{ImageName: aws.String("r")})
	is(t, "a version of what was deleted", err, notFound, "")
}

// TestVersionOfImageThatECRDoesNotHave: it is refused later, and in no other Region.
func TestVersionOfImageThatECRDoesNotHave(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	a.push(t, session)
	a.image(t, "r")
	for i, test := range []struct{ base, reason string }{
		{session, ""},
		{ecr + "r-session:gone", "does not exist"},
		{ecr + "none:1", "does not exist"},
		{strings.Replace(session, "us-east-1", "eu-west-1", 1), "Cross region"},
		{"rocker/rstudio:4.5", "not an image of Amazon ECR"},
	} {
		if _, err := a.version(t, "r", test.base, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		v := a.describeVersion(t, "r", 0)
		want := types.ImageVersionStatusCreated
		if test.reason != "" {
			want = types.ImageVersionStatusCreateFailed
		}
		if v.ImageVersionStatus != want || !strings.Contains(aws.ToString(v.FailureReason), test.reason) || (v.ContainerImage == nil) != (test.reason != "") {
			t.Errorf("%s: %s because %q", test.base, v.ImageVersionStatus, aws.ToString(v.FailureReason))
		}
	}
}

// TestImageLists: the newest first, by name, a quota.
func TestImageLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newStudio(t, fakeaws.Config{Quotas: map[string]int{"Maximum number of SageMakerImage images allowed per account": 3}})
		for _, name := range []string{"r-old", "py", "r-new"} {
			a.image(t, name)
			time.Sleep(time.Second)
		}
		_, err := a.sm.CreateImage(t.Context(), &awssagemaker.CreateImageInput{ImageName: aws.String("more"), RoleArn: aws.String(studioRole)})
		is(t, "a fourth", err, limit, "is 3 Images")
		var images, configs []string
		pages := awssagemaker.NewListImagesPaginator(a.sm, &awssagemaker.ListImagesInput{NameContains: aws.String("r"), MaxResults: aws.Int32(1)})
		for pages.HasMorePages() {
			out, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range out.Images {
				images = append(images, *i.ImageName)
			}
		}
		out, err := a.sm.ListAppImageConfigs(t.Context(), &awssagemaker.ListAppImageConfigsInput{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range out.AppImageConfigs {
			configs = append(configs, *c.AppImageConfigName)
		}
		if got, want := fmt.Sprint(images, configs), "[r-new r-old] [r-new py r-old]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		_, err = a.sm.CreateAppImageConfig(t.Context(), &awssagemaker.CreateAppImageConfigInput{AppImageConfigName: aws.String("PY")})
		is(t, "a configuration again", err, inUse, "already in use")
		if _, err := a.sm.DeleteAppImageConfig(t.Context(), &awssagemaker.DeleteAppImageConfigInput{AppImageConfigName: aws.String("py")}); err != nil {
			t.Fatal(err)
		}
		_, err = a.sm.DescribeAppImageConfig(t.Context(), &awssagemaker.DescribeAppImageConfigInput{AppImageConfigName: aws.String("py")})
		is(t, "a configuration that was deleted", err, notFound, "py")
	})
}

// attach makes images those that sessions of a domain can choose.
func (a studio) attach(t testing.TB, domain string, images ...types.CustomImage) {
	t.Helper()
	if err := a.updateDomain(t, domain, func(in *awssagemaker.UpdateDomainInput) {
		in.DefaultUserSettings = &types.UserSettings{RSessionAppSettings: &types.RSessionAppSettings{CustomImages: append([]types.CustomImage{}, images...)}}
	}); err != nil {
		t.Fatal(err)
	}
}

func custom(name string, version int32) types.CustomImage {
	i := types.CustomImage{ImageName: &name, AppImageConfigName: &name}
	if version > 0 {
		i.ImageVersionNumber = &version
	}
	return i
}

// restart deletes the server of RStudio and makes it again.
func (a studio) restart(t testing.TB, domain string) {
	t.Helper()
	for err := range errs(a.deleteApp(t, server(domain)), a.createApp(t, server(domain))) {
		t.Fatal(err)
	}
}

func (a studio) menu(t testing.TB, domain, user string) fakeaws.RStudioMenu {
	t.Helper()
	m, err := a.RStudioMenu(domain, user)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestChangesNeedNewServer: images, addresses and the type of the server reach nobody before.
func TestChangesNeedNewServer(t *testing.T) {
	a := newStudio(t, fakeaws.Config{Quotas: map[string]int{"RStudioServerPro Apps running on ml.c5.4xlarge instances": 1}})
	a.push(t, session)
	a.image(t, "r")
	if _, err := a.version(t, "r", session, "one"); err != nil {
		t.Fatal(err)
	}
	domain := a.domain(t)
	a.user(t, domain, "ada")
	a.attach(t, domain, custom("r", 0))
	if err := a.updateDomain(t, domain, func(in *awssagemaker.UpdateDomainInput) {
		in.DomainSettingsForUpdate = &types.DomainSettingsForUpdate{RStudioServerProDomainSettingsForUpdate: &types.RStudioServerProDomainSettingsForUpdate{
			DomainExecutionRoleArn: aws.String(studioRole), RStudioConnectUrl: aws.String("https://connect.example.com"),
			RStudioPackageManagerUrl: aws.String("https://packages.example.com"), DefaultResourceSpec: &types.ResourceSpec{InstanceType: "ml.c5.4xlarge"},
		}}
	}); err != nil {
		t.Fatal(err)
	}
	if m := a.menu(t, domain, "ada"); len(m.Images) != 0 || m.ConnectURL != "" || m.PackageManagerURL != "" || m.InstanceType != "system" {
		t.Errorf("before: %+v", m)
	}
	a.restart(t, domain)
	want := "{[r:1] https://connect.example.com https://packages.example.com ml.c5.4xlarge false}"
	if m := fmt.Sprint(a.menu(t, domain, "ada")); m != want {
		t.Errorf("then: %s, want %s", m, want)
	}
	a.attach(t, domain)
	a.restart(t, domain)
	if m := a.menu(t, domain, "ada"); len(m.Images) != 0 || m.ConnectURL == "" {
		t.Errorf("detached: %+v", m)
	}
}

// TestServerKeepsVersion: a newer version of an image is not started, and neither is one that
// a profile's own list leaves out.
func TestServerKeepsVersion(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	a.push(t, session)
	a.image(t, "r")
	a.image(t, "own")
	for _, image := range []string{"r", "own"} {
		if _, err := a.version(t, image, session, image); err != nil {
			t.Fatal(err)
		}
	}
	domain := a.domain(t, func(in *awssagemaker.CreateDomainInput) {
		in.DefaultUserSettings.RSessionAppSettings = &types.RSessionAppSettings{CustomImages: []types.CustomImage{custom("r", 0)}}
	})
	a.user(t, domain, "ada", "bob")
	if err := a.updateUser(t, domain, "bob", &types.UserSettings{
		RSessionAppSettings:         &types.RSessionAppSettings{CustomImages: []types.CustomImage{custom("own", 1)}},
		RStudioServerProAppSettings: access("", types.RStudioServerProUserGroupAdmin).RStudioServerProAppSettings,
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.version(t, "r", session, "two"); err != nil {
		t.Fatal(err)
	}
	if m := a.menu(t, domain, "ada"); !slices.Equal(m.Images, []string{"r:1"}) || m.Admin {
		t.Errorf("before a restart: %+v", m)
	}
	a.restart(t, domain)
	if m := a.menu(t, domain, "ada"); !slices.Equal(m.Images, []string{"r:2"}) {
		t.Errorf("after a restart: %+v", m)
	}
	if m := a.menu(t, domain, "bob"); !slices.Equal(m.Images, []string{"own:1"}) || !m.Admin {
		t.Errorf("of who has a list of his own: %+v", m)
	}
}

// TestNewImageShowsLate: minutes after it was created, without a word.
func TestNewImageShowsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newStudio(t, fakeaws.Config{Delays: fakeaws.Delays{StudioImage: time.Minute, RStudioImage: 20 * time.Minute}})
		a.push(t, session)
		a.image(t, "r")
		domain := a.domain(t)
		a.user(t, domain, "ada")
		time.Sleep(time.Minute)
		if _, err := a.version(t, "r", session, "one"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		a.attach(t, domain, custom("r", 0))
		a.restart(t, domain)
		if _, err := a.StartRSession(domain, "ada", fakeaws.RSession{Image: "r:1"}); err == nil {
			t.Error("it is offered at once")
		}
		time.Sleep(20*time.Minute - time.Second)
		if m := a.menu(t, domain, "ada"); len(m.Images) != 0 {
			t.Errorf("it shows already: %v", m.Images)
		}
		time.Sleep(time.Second)
		if _, err := a.StartRSession(domain, "ada", fakeaws.RSession{Image: "r:1"}); err != nil {
			t.Error(err)
		}
	})
}

// TestRemovedImageIsNamedStill: the session fails, and says why.
func TestRemovedImageIsNamedStill(t *testing.T) {
	for name, remove := range map[string]func(a studio) error{
		"version": func(a studio) error {
			_, err := a.sm.DeleteImageVersion(t.Context(), &awssagemaker.DeleteImageVersionInput{ImageName: aws.String("r"), Version: aws.Int32(1)})
			return err
		},
		"image": func(a studio) error {
			_, err := a.sm.DeleteImage(t.Context(), &awssagemaker.DeleteImageInput{ImageName: aws.String("r")})
			return err
		},
		"in ECR": func(a studio) error { return a.DeleteImage(session) },
	} {
		a := newStudio(t, fakeaws.Config{})
		a.push(t, session)
		a.image(t, "r")
		if _, err := a.version(t, "r", session, "one"); err != nil {
			t.Fatal(err)
		}
		domain := a.domain(t, func(in *awssagemaker.CreateDomainInput) {
			in.DefaultUserSettings.RSessionAppSettings = &types.RSessionAppSettings{CustomImages: []types.CustomImage{custom("r", 0)}}
		})
		a.user(t, domain, "ada")
		if err := remove(a); err != nil {
			t.Fatal(err)
		}
		app, err := a.StartRSession(domain, "ada", fakeaws.RSession{Image: "r:1"})
		if err != nil {
			t.Fatal(err)
		}
		in := &awssagemaker.CreateAppInput{DomainId: &domain, UserProfileName: aws.String("ada"), AppType: types.AppTypeRSessionGateway, AppName: &app}
		if got := a.app(t, in); got.Status != types.AppStatusFailed || !strings.Contains(*got.FailureReason, "image-version/r/1") {
			t.Errorf("%s: %s because %q", name, got.Status, aws.ToString(got.FailureReason))
		}
	}
}

// A late read after a deletion was asked for again tells of the failure of the one before.
func TestOldFailureOfDeletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newStudio(t, fakeaws.Config{
			Delays: fakeaws.Delays{Visible: 2 * time.Second, StudioImage: 10 * time.Second},
			Faults: []fakeaws.Fault{{Action: "sagemaker:DeleteImage", Nth: 1, Reason: "in the way"}},
		})
		a.image(t, "r-session")
		name := aws.String("r-session")
		for range 2 {
			time.Sleep(time.Minute)
			if _, err := a.sm.DeleteImage(t.Context(), &awssagemaker.DeleteImageInput{ImageName: name}); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[types.ImageStatus]int{}
		for range 20 {
			out, err := a.sm.DescribeImage(t.Context(), &awssagemaker.DescribeImageInput{ImageName: name})
			if err != nil {
				t.Fatal(err)
			}
			seen[out.ImageStatus]++
		}
		if len(seen) != 2 || seen[types.ImageStatusDeleting] == 0 || seen[types.ImageStatusDeleteFailed] == 0 {
			t.Errorf("reads tell %v", seen)
		}
	})
}
