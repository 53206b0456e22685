package fakeaws_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestDomainUpdates: what may change when.
func TestDomainUpdates(t *testing.T) {
	vpcOnly := func(in *awssagemaker.UpdateDomainInput) { in.AppNetworkAccessType = types.AppNetworkAccessTypeVpcOnly }
	enable := func(in *awssagemaker.UpdateDomainInput) {
		in.DomainSettingsForUpdate = &types.DomainSettingsForUpdate{RStudioServerProDomainSettingsForUpdate: &types.RStudioServerProDomainSettingsForUpdate{DomainExecutionRoleArn: aws.String(studioRole)}}
	}
	home := func(h types.HomeEfsFileSystemCreation) func(*awssagemaker.UpdateDomainInput) {
		return func(in *awssagemaker.UpdateDomainInput) { in.HomeEfsFileSystemCreation = h }
	}
	for name, test := range map[string]struct {
		rstudio, apps, homeless bool
		change                  func(a studio, in *awssagemaker.UpdateDomainInput)
		code                    string
	}{
		"network type":                      {change: func(_ studio, in *awssagemaker.UpdateDomainInput) { vpcOnly(in) }},
		"network type with apps":            {apps: true, change: func(_ studio, in *awssagemaker.UpdateDomainInput) { vpcOnly(in) }, code: inUse},
		"network type once RStudio is on":   {rstudio: true, change: func(_ studio, in *awssagemaker.UpdateDomainInput) { vpcOnly(in) }, code: refused},
		"network type in the enabling call": {change: func(_ studio, in *awssagemaker.UpdateDomainInput) { vpcOnly(in); enable(in) }, code: refused},
		"the same network type": {rstudio: true, apps: true, change: func(_ studio, in *awssagemaker.UpdateDomainInput) {
			in.AppNetworkAccessType = types.AppNetworkAccessTypePublicInternetOnly
		}},
		"enable RStudio":           {change: func(_ studio, in *awssagemaker.UpdateDomainInput) { enable(in) }},
		"enable RStudio with apps": {apps: true, change: func(_ studio, in *awssagemaker.UpdateDomainInput) { enable(in) }, code: inUse},
		"remove subnets":           {change: func(a studio, in *awssagemaker.UpdateDomainInput) { in.SubnetIds = []string{a.Subnets()[0].ID} }},
		"remove subnets with apps": {apps: true, change: func(a studio, in *awssagemaker.UpdateDomainInput) { in.SubnetIds = []string{a.Subnets()[0].ID} }, code: inUse},
		"identity of roles with apps": {apps: true, change: func(_ studio, in *awssagemaker.UpdateDomainInput) {
			in.DomainSettingsForUpdate = &types.DomainSettingsForUpdate{ExecutionRoleIdentityConfig: types.ExecutionRoleIdentityConfigUserProfileName}
		}, code: inUse},
		"no home any more":     {change: func(_ studio, in *awssagemaker.UpdateDomainInput) { home(types.HomeEfsFileSystemCreationDisabled)(in) }, code: refused},
		"a home after all":     {homeless: true, change: func(_ studio, in *awssagemaker.UpdateDomainInput) { home(types.HomeEfsFileSystemCreationEnabled)(in) }},
		"a domain that is not": {change: func(_ studio, in *awssagemaker.UpdateDomainInput) { in.DomainId = aws.String("d-none") }, code: notFound},
		"group management without RStudio": {change: func(_ studio, in *awssagemaker.UpdateDomainInput) {
			in.AppSecurityGroupManagement = types.AppSecurityGroupManagementService
		}, code: refused},
		"settings of an RStudio with sessions": {rstudio: true, apps: true, change: func(_ studio, in *awssagemaker.UpdateDomainInput) { enable(in) }},
	} {
		t.Run(name, func(t *testing.T) {
			a := newStudio(t, fakeaws.Config{})
			domain := a.domain(t, func(in *awssagemaker.CreateDomainInput) {
				if !test.rstudio {
					bare(in)
				}
				if test.homeless {
					in.HomeEfsFileSystemCreation = types.HomeEfsFileSystemCreationDisabled
				}
			})
			a.user(t, domain, "ada")
			if test.apps {
				if err := a.createApp(t, classic(domain, "ada")); err != nil {
					t.Fatal(err)
				}
			}
			before := a.Inventory()
			err := a.updateDomain(t, domain, func(in *awssagemaker.UpdateDomainInput) { test.change(a, in) })
			is(t, name, err, test.code, "")
			if err != nil && len(a.Inventory()) != len(before) {
				t.Error("a refused update has changed something")
			}
			if !test.homeless {
				return
			}
			d := a.describe(t, domain)
			points, err := a.efs.DescribeAccessPoints(t.Context(), &awsefs.DescribeAccessPointsInput{FileSystemId: d.HomeEfsFileSystemId})
			if err != nil || len(points.AccessPoints) != 1 {
				t.Errorf("access points of the new home %s: %v %v", aws.ToString(d.HomeEfsFileSystemId), points, err)
			}
		})
	}
}

// TestEnablingRStudioDisablesProfiles: those that are there have to be let in one by one.
func TestEnablingRStudioDisablesProfiles(t *testing.T) {
	a := newStudio(t, fakeaws.Config{License: fakeaws.LicenseMissing})
	domain := a.domain(t, bare)
	a.user(t, domain, "ada")
	enable := func(in *awssagemaker.UpdateDomainInput) {
		in.DomainSettingsForUpdate = &types.DomainSettingsForUpdate{RStudioServerProDomainSettingsForUpdate: &types.RStudioServerProDomainSettingsForUpdate{DomainExecutionRoleArn: aws.String(studioRole)}}
	}
	if err := a.updateDomain(t, domain, enable); err != nil {
		t.Fatal(err)
	}
	if d := a.describe(t, domain); d.Status != types.DomainStatusUpdateFailed || d.DomainSettings != nil || !strings.Contains(*d.FailureReason, "license") {
		t.Errorf("without a licence: %s because %q with %v", d.Status, aws.ToString(d.FailureReason), d.DomainSettings)
	}
	a.SetLicense(fakeaws.LicenseActive)
	const servers = "RStudioServerPro Apps running on system instances"
	for err := range errs(a.SetStudioQuota(servers, 0), a.updateDomain(t, domain, enable)) {
		t.Fatal(err)
	}
	if d := a.describe(t, domain); d.Status != types.DomainStatusUpdateFailed || d.DomainSettings != nil || !strings.Contains(*d.FailureReason, servers) {
		t.Errorf("without room for the server: %s because %q with %v", d.Status, aws.ToString(d.FailureReason), d.DomainSettings)
	}
	if err := a.SetStudioQuota(servers, 1); err != nil {
		t.Fatal(err)
	}
	if err := a.updateDomain(t, domain, enable); err != nil {
		t.Fatal(err)
	}
	d := a.describe(t, domain)
	if d.Status != types.DomainStatusInService || aws.ToString(d.SecurityGroupIdForDomainBoundary) == "" || a.app(t, server(domain)).Status != types.AppStatusInService {
		t.Errorf("enabled: %s", d.Status)
	}
	if got := a.profile(t, domain, "ada").UserSettings.RStudioServerProAppSettings.AccessStatus; got != types.RStudioServerProAccessStatusDisabled {
		t.Errorf("a profile of before is %s", got)
	}
	if _, err := a.RStudioMenu(domain, "ada"); err == nil {
		t.Error("it can open RStudio")
	}
	a.user(t, domain, "bob")
	if _, err := a.RStudioMenu(domain, "bob"); err != nil {
		t.Errorf("a new profile: %v", err)
	}
}
