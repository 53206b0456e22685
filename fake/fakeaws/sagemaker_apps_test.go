package fakeaws_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
)

// TestAppStates: each call at each status, for one life of an app and the next.
func TestAppStates(t *testing.T) {
	const takes = time.Minute
	for status, want := range map[types.AppStatus]struct{ create, remove string }{
		types.AppStatusPending: {inUse, ""}, types.AppStatusInService: {inUse, ""}, types.AppStatusDeleting: {inUse, ""},
		types.AppStatusDeleted: {"", notFound}, types.AppStatusFailed: {"", refused},
	} {
		for _, call := range []string{"create", "delete"} {
			t.Run(string(status)+"/"+call, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var faults []fakeaws.Fault
					if status == types.AppStatusFailed {
						faults = []fakeaws.Fault{{Action: "sagemaker:CreateApp", Nth: 1, Reason: "out of luck"}}
					}
					a := newStudio(t, fakeaws.Config{Faults: faults, Delays: fakeaws.Delays{App: takes}})
					domain := a.domain(t, bare)
					a.user(t, domain, "ada")
					app := classic(domain, "ada")
					is(t, "create", a.createApp(t, app), "", "")
					made := a.app(t, app).CreationTime
					if status != types.AppStatusPending {
						time.Sleep(takes)
					}
					if status == types.AppStatusDeleting || status == types.AppStatusDeleted {
						is(t, "delete", a.deleteApp(t, app), "", "")
					}
					if status == types.AppStatusDeleted {
						time.Sleep(takes)
					}
					if got := a.app(t, app); got.Status != status || (status == types.AppStatusFailed) != (aws.ToString(got.FailureReason) == "out of luck") {
						t.Fatalf("it is %s because %q, want %s", got.Status, aws.ToString(got.FailureReason), status)
					}
					if call == "delete" {
						is(t, call, a.deleteApp(t, app), want.remove, "")
						return
					}
					is(t, call, a.createApp(t, app), want.create, "")
					if want.create == "" {
						if got := a.app(t, app); got.Status != types.AppStatusPending || !got.CreationTime.Equal(*made) {
							t.Errorf("again it is %s of %v, want the metadata of %v", got.Status, got.CreationTime, made)
						}
					}
				})
			})
		}
	}
}

// TestDeletedAppsAreListedForADay: and then are forgotten, with when they were made.
func TestDeletedAppsAreListedForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newStudio(t, fakeaws.Config{})
		domain := a.domain(t, bare)
		a.user(t, domain, "ada")
		app := classic(domain, "ada")
		is(t, "create", a.createApp(t, app), "", "")
		made := a.app(t, app).CreationTime
		is(t, "delete", a.deleteApp(t, app), "", "")
		listed := func() int {
			out, err := a.sm.ListApps(t.Context(), &awssagemaker.ListAppsInput{DomainIdEquals: &domain})
			if err != nil {
				t.Fatal(err)
			}
			for _, app := range out.Apps {
				if app.Status != types.AppStatusDeleted {
					t.Errorf("listed as %s", app.Status)
				}
			}
			return len(out.Apps)
		}
		time.Sleep(24*time.Hour - time.Second)
		if n := listed(); n != 1 {
			t.Errorf("within a day %d are listed", n)
		}
		time.Sleep(time.Second)
		if n := listed(); n != 0 {
			t.Errorf("after a day %d are listed", n)
		}
		is(t, "create after a day", a.createApp(t, app), "", "")
		if got := a.app(t, app).CreationTime; got.Equal(*made) {
			t.Error("after a day it still has the creation time of before")
		}
	})
}

// TestActivityIsHealthChecks: the timestamp of use goes on without any.
func TestActivityIsHealthChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newStudio(t, fakeaws.Config{})
		domain := a.domain(t, bare)
		a.user(t, domain, "ada")
		is(t, "create", a.createApp(t, classic(domain, "ada")), "", "")
		time.Sleep(3 * time.Hour)
		got := a.app(t, classic(domain, "ada"))
		if idle := time.Since(*got.LastUserActivityTimestamp); idle > 5*time.Minute || !got.LastUserActivityTimestamp.Equal(*got.LastHealthCheckTimestamp) {
			t.Errorf("after three idle hours it was used %v ago", idle)
		}
	})
}

// TestQuotaOfAppsNamesItself: there is one for each type of app on each type of instance, and
// one of all.
func TestQuotaOfAppsNamesItself(t *testing.T) {
	a := newStudio(t, fakeaws.Config{Quotas: map[string]int{"Maximum number of running Studio apps allowed per account": 4}})
	domain := a.domain(t) // whose server is the first app
	a.user(t, domain, "ada")
	start := func(kind string) error {
		_, err := a.StartRSession(domain, "ada", fakeaws.RSession{InstanceType: kind})
		return err
	}
	is(t, "the first on t3.medium", start(""), "", "")
	is(t, "the second on t3.medium", start("ml.t3.medium"), "", "")
	is(t, "the third on t3.medium", start("ml.t3.medium"), limit, "The account-level service limit 'RSessionGateway Apps running on ml.t3.medium instance' is 2 Apps, "+
		"with current utilization of 2 Apps and a request delta of 1 Apps. Please use AWS Service Quotas to request an increase for this quota.")
	is(t, "on g4dn", start("ml.g4dn.xlarge"), limit, "'RSessionGateway Apps running on ml.g4dn.xlarge instance' is 0 Apps")
	is(t, "another type", start("ml.m5.large"), "", "")
	is(t, "one app too many", a.createApp(t, classic(domain, "ada")), limit, "'Maximum number of running Studio apps allowed per account' is 4 Apps")
	if err := a.SetStudioQuota("RSessionGateway Apps running on ml.g4dn.xlarge instance", 1); err != nil {
		t.Fatal(err)
	}
	if err := a.SetStudioQuota("Maximum number of running Studio apps allowed per account", 5); err != nil {
		t.Fatal(err)
	}
	is(t, "on g4dn when it is granted", start("ml.g4dn.xlarge"), "", "")
	if err := a.SetStudioQuota("RSessionGateway Apps running on ml.t3.medium instances", 1); err == nil {
		t.Error("a quota that AWS has by another name is accepted")
	}
}

// TestWhatCallersMayStart: who owns which type of app, and on what it runs.
func TestWhatCallersMayStart(t *testing.T) {
	a := newStudio(t, fakeaws.Config{Quotas: map[string]int{"RStudioServerPro Apps running on ml.c5.4xlarge instances": 1}})
	domain, plain := a.domain(t), a.domain(t, bare)
	a.user(t, domain, "ada")
	a.user(t, plain, "ada")
	a.space(t, domain, "ada", "lab", types.AppTypeJupyterLab)
	a.space(t, domain, "ada", "code", types.AppTypeCodeEditor)
	for _, test := range []struct {
		domain, user, space string
		kind                types.AppType
		name                string
		instance            types.AppInstanceType
		code                string
	}{
		{domain, "ada", "", types.AppTypeRSessionGateway, "s", "ml.t3.medium", refused},
		{domain, "ada", "", types.AppTypeRStudioServerPro, "default", "", refused},
		{domain, "domain-shared", "", types.AppTypeRStudioServerPro, "other", "", refused},
		{domain, "domain-shared", "", types.AppTypeRStudioServerPro, "default", "", inUse},
		{plain, "domain-shared", "", types.AppTypeRStudioServerPro, "default", "", refused},
		{domain, "domain-shared", "", types.AppTypeJupyterServer, "default", "", refused},
		{domain, "bob", "", types.AppTypeJupyterServer, "default", "", notFound},
		{"d-none", "ada", "", types.AppTypeJupyterServer, "default", "", notFound},
		{domain, "ada", "lab", types.AppTypeJupyterLab, "default", "", refused},
		{domain, "", "", types.AppTypeJupyterLab, "default", "", refused},
		{domain, "ada", "", types.AppTypeJupyterLab, "default", "", refused},
		{domain, "", "none", types.AppTypeJupyterLab, "default", "", notFound},
		{domain, "", "code", types.AppTypeJupyterLab, "default", "", refused},
		{domain, "", "lab", types.AppTypeJupyterLab, "de fault", "", refused},
		{domain, "", "lab", types.AppTypeJupyterLab, "default", "system", refused},
		{domain, "", "lab", types.AppTypeJupyterLab, "default", "ml.g5.xlarge", limit},
		{domain, "", "lab", types.AppTypeJupyterLab, "default", "", ""},
		{domain, "", "code", types.AppTypeCodeEditor, "default", "ml.m5.large", ""},
		{domain, "ada", "", types.AppTypeJupyterServer, "default", "ml.t3.medium", refused},
		{domain, "ada", "", types.AppTypeJupyterServer, "default", "system", ""},
		{domain, "ada", "", types.AppTypeKernelGateway, "kernel", "", refused},
		{domain, "ada", "", types.AppTypeKernelGateway, "kernel", "ml.t3.medium", ""},
		{domain, "ada", "", types.AppTypeKernelGateway, "kernel-2", "system", ""},
		{domain, "ada", "", types.AppTypeKernelGateway, "kernel-3", "system", limit},
	} {
		in := &awssagemaker.CreateAppInput{DomainId: &test.domain, AppType: test.kind, AppName: &test.name}
		if test.user != "" {
			in.UserProfileName = &test.user
		}
		if test.space != "" {
			in.SpaceName = &test.space
		}
		if test.instance != "" {
			in.ResourceSpec = &types.ResourceSpec{InstanceType: test.instance}
		}
		is(t, fmt.Sprintf("%+v", test), a.createApp(t, in), test.code, "")
	}
	in := &awssagemaker.CreateAppInput{DomainId: &domain, UserProfileName: aws.String("ada"), AppType: types.AppTypeCanvas, AppName: aws.String("x")}
	if err := a.createApp(t, in); err == nil || !strings.Contains(err.Error(), "not modelled") {
		t.Errorf("Canvas: %v", err)
	}
	_, err := a.sm.ListApps(t.Context(), &awssagemaker.ListAppsInput{UserProfileNameEquals: aws.String("ada"), SpaceNameEquals: aws.String("lab")})
	is(t, "list by both", err, refused, "")
	out, err := a.sm.ListApps(t.Context(), &awssagemaker.ListAppsInput{DomainIdEquals: &domain, UserProfileNameEquals: aws.String("ada"), MaxResults: aws.Int32(100)})
	if err != nil || len(out.Apps) != 3 {
		t.Errorf("the user's own: %v %v", out, err)
	}
}

// TestSpecOfApps: the call overrides the profile, which overrides the domain.
func TestSpecOfApps(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	on := func(instance types.AppInstanceType) *types.RSessionAppSettings {
		return &types.RSessionAppSettings{DefaultResourceSpec: &types.ResourceSpec{InstanceType: instance}}
	}
	domain := a.domain(t, func(in *awssagemaker.CreateDomainInput) {
		in.DefaultUserSettings.RSessionAppSettings = on("ml.m5.large")
	})
	a.user(t, domain, "ada")
	if _, err := a.sm.CreateUserProfile(t.Context(), &awssagemaker.CreateUserProfileInput{
		DomainId: &domain, UserProfileName: aws.String("bob"), UserSettings: &types.UserSettings{RSessionAppSettings: on("ml.c5.large")},
	}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ user, asked, want string }{
		{"ada", "", "ml.m5.large"}, {"bob", "", "ml.c5.large"}, {"bob", "ml.r5.large", "ml.r5.large"},
	} {
		name, err := a.StartRSession(domain, test.user, fakeaws.RSession{InstanceType: test.asked})
		if err != nil {
			t.Fatal(err)
		}
		in := &awssagemaker.CreateAppInput{DomainId: &domain, UserProfileName: &test.user, AppType: types.AppTypeRSessionGateway, AppName: &name}
		if got := string(a.app(t, in).ResourceSpec.InstanceType); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}

// TestSessionTypes: what RStudio's sessions run on is much less than what there is.
func TestSessionTypes(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	domain := a.domain(t)
	a.user(t, domain, "ada")
	n := 0
	for _, instance := range types.AppInstanceType("").Values() {
		_, err := a.StartRSession(domain, "ada", fakeaws.RSession{InstanceType: string(instance)})
		switch code(err) {
		case "", limit:
			n++
		case refused:
		default:
			t.Errorf("%s: %v", instance, err)
		}
	}
	if n != 47 {
		t.Errorf("%d types, want 47", n)
	}
}

// TestServerEndsAfterItsSessions: restarting RStudio means ending them first.
func TestServerEndsAfterItsSessions(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	domain := a.domain(t)
	a.user(t, domain, "ada")
	name, err := a.StartRSession(domain, "ada", fakeaws.RSession{})
	if err != nil {
		t.Fatal(err)
	}
	session := &awssagemaker.CreateAppInput{DomainId: &domain, UserProfileName: aws.String("ada"), AppType: types.AppTypeRSessionGateway, AppName: &name}
	is(t, "delete the server", a.deleteApp(t, server(domain)), inUse, "RSessionGateway")
	is(t, "delete the session", a.deleteApp(t, session), "", "")
	is(t, "delete the server then", a.deleteApp(t, server(domain)), "", "")
	if _, err := a.StartRSession(domain, "ada", fakeaws.RSession{}); err == nil || !strings.Contains(err.Error(), "not InService") {
		t.Errorf("a session without a server: %v", err)
	}
	is(t, "make the server again", a.createApp(t, server(domain)), "", "")
	if _, err := a.StartRSession(domain, "ada", fakeaws.RSession{}); err != nil {
		t.Error(err)
	}
}

// TestServerNeedsLicense: also the one that is made again.
func TestServerNeedsLicense(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	domain := a.domain(t)
	is(t, "delete the server", a.deleteApp(t, server(domain)), "", "")
	a.SetLicense(fakeaws.LicensePending)
	is(t, "make it again", a.createApp(t, server(domain)), "", "")
	if got := a.app(t, server(domain)); got.Status != types.AppStatusFailed || !strings.Contains(*got.FailureReason, "license") {
		t.Errorf("%s because %q", got.Status, aws.ToString(got.FailureReason))
	}
	a.SetLicense(fakeaws.LicenseActive)
	is(t, "once more", a.createApp(t, server(domain)), "", "")
	if got := a.app(t, server(domain)); got.Status != types.AppStatusInService || got.FailureReason != nil {
		t.Errorf("%s because %q", got.Status, aws.ToString(got.FailureReason))
	}
}

// TestAppFilesAreTheHome: one directory, seen from Studio, from RStudio and from a host.
func TestAppFilesAreTheHome(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	domain := a.domain(t)
	a.user(t, domain, "ada", "bob")
	a.space(t, domain, "ada", "lab", types.AppTypeJupyterLab)
	lab := &awssagemaker.CreateAppInput{DomainId: &domain, SpaceName: aws.String("lab"), AppType: types.AppTypeJupyterLab, AppName: aws.String("default")}
	is(t, "create", a.createApp(t, lab), "", "")
	name, err := a.StartRSession(domain, "ada", fakeaws.RSession{})
	if err != nil {
		t.Fatal(err)
	}
	studio, err := a.AppFiles(fakeaws.App{Domain: domain, Space: "lab", Type: "JupyterLab", Name: "default"})
	if err != nil {
		t.Fatal(err)
	}
	if err := studio.WriteFile("model.R", []byte("y ~ x"), 0o600); err != nil {
		t.Fatal(err)
	}
	session, err := a.AppFiles(fakeaws.App{Domain: domain, UserProfile: "ada", Type: "RSessionGateway", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := session.ReadFile("model.R"); string(got) != "y ~ x" {
		t.Errorf("from RStudio: %q %v", got, err)
	}
	root, err := a.Files(*a.describe(t, domain).HomeEfsFileSystemId)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"200001": "drwx------ 200001:0", "200001/model.R": "-rw------- 200001:0"} {
		info, err := root.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		owner := info.Sys().(launcher.User)
		if got := fmt.Sprintf("%v %d:%d", info.Mode(), owner.UID, owner.GID); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	is(t, "delete the app", a.deleteApp(t, lab), "", "")
	if _, err := a.AppFiles(fakeaws.App{Domain: domain, Space: "lab", Type: "JupyterLab", Name: "default"}); err == nil {
		t.Error("an app that was deleted has files")
	}
	if _, err := a.AppFiles(fakeaws.App{Domain: domain, UserProfile: "bob", Type: "JupyterServer", Name: "default"}); code(err) != notFound {
		t.Errorf("an app that never was: %v", err)
	}
}

// TestInterfacesOfApps: one for each that runs, left by each that has gone for the next.
func TestInterfacesOfApps(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	domain := a.domain(t, bare, func(in *awssagemaker.CreateDomainInput) { in.SubnetIds = in.SubnetIds[:1] })
	a.user(t, domain, "ada", "bob")
	count := func(want string) {
		t.Helper()
		out, err := a.ec2.DescribeNetworkInterfaces(t.Context(), &awsec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{{Name: aws.String("description"), Values: []string{"*SageMaker*"}}}})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, n := range out.NetworkInterfaces {
			got += string(n.Status) + " "
		}
		if got != want {
			t.Errorf("interfaces %q, want %q", got, want)
		}
	}
	count("")
	is(t, "first", a.createApp(t, classic(domain, "ada")), "", "")
	count("in-use ")
	is(t, "delete", a.deleteApp(t, classic(domain, "ada")), "", "")
	count("available ")
	is(t, "another", a.createApp(t, classic(domain, "bob")), "", "")
	count("in-use ")
	is(t, "both", a.createApp(t, classic(domain, "ada")), "", "")
	count("in-use in-use ")
	is(t, "end both", errors.Join(a.deleteApp(t, classic(domain, "ada")), a.deleteApp(t, classic(domain, "bob"))), "", "")
	for id := range a.Inventory() {
		if strings.HasPrefix(id, "eni-") {
			if _, err := a.ec2.DeleteNetworkInterface(t.Context(), &awsec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: &id}); err != nil {
				t.Fatal(err)
			}
		}
	}
	count("")
	is(t, "after they were deleted", a.createApp(t, classic(domain, "ada")), "", "")
	count("in-use ")
}

// TestSharedSpaceHasItsOwnHome: nobody's uid but the space's.
func TestSharedSpaceHasItsOwnHome(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	domain := a.domain(t, bare)
	if _, err := a.sm.CreateSpace(t.Context(), &awssagemaker.CreateSpaceInput{DomainId: &domain, SpaceName: aws.String("all")}); err != nil {
		t.Fatal(err)
	}
	is(t, "create", a.createApp(t, &awssagemaker.CreateAppInput{DomainId: &domain, SpaceName: aws.String("all"), AppType: types.AppTypeJupyterServer, AppName: aws.String("default")}), "", "")
	home, err := a.AppFiles(fakeaws.App{Domain: domain, Space: "all", Type: "JupyterServer", Name: "default"})
	if err != nil {
		t.Fatal(err)
	}
	if err := home.WriteFile("x", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := home.Stat("x")
	if err != nil || info.Sys().(launcher.User).UID != 200001 {
		t.Errorf("%+v %v", info, err)
	}
}

// TestStatusesAreTheAPIs: the model says nothing that the SDK does not know.
func TestStatusesAreTheAPIs(t *testing.T) {
	for _, s := range []types.AppStatus{types.AppStatusPending, types.AppStatusInService, types.AppStatusDeleting, types.AppStatusDeleted, types.AppStatusFailed} {
		if !slices.Contains(s.Values(), s) || len(s.Values()) != 5 {
			t.Errorf("%s of %v", s, s.Values())
		}
	}
}
