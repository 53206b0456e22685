package fakeaws_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awslicenses "github.com/aws/aws-sdk-go-v2/service/licensemanager"
	licensetypes "github.com/aws/aws-sdk-go-v2/service/licensemanager/types"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	awsquotas "github.com/aws/aws-sdk-go-v2/service/servicequotas"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestPresignedURLBounds: how long it is good for, and where it leads.
func TestPresignedURLBounds(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	domain := a.domain(t)
	sso := a.domain(t, func(in *awssagemaker.CreateDomainInput) { in.AuthMode = types.AuthModeSso })
	a.user(t, domain, "ada")
	if _, err := a.sm.CreateUserProfile(t.Context(), &awssagemaker.CreateUserProfileInput{
		DomainId: &sso, UserProfileName: aws.String("ada"), SingleSignOnUserIdentifier: aws.String("UserName"), SingleSignOnUserValue: aws.String("ada"),
	}); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		in   awssagemaker.CreatePresignedDomainUrlInput
		code string
	}{
		"default":       {awssagemaker.CreatePresignedDomainUrlInput{}, ""},
		"RStudio":       {awssagemaker.CreatePresignedDomainUrlInput{LandingUri: aws.String("app:RStudioServerPro:")}, ""},
		"Studio":        {awssagemaker.CreatePresignedDomainUrlInput{LandingUri: aws.String("studio::jupyterlab/lab")}, ""},
		"elsewhere":     {awssagemaker.CreatePresignedDomainUrlInput{LandingUri: aws.String("app:RSessionGateway:")}, refused},
		"5 s":           {awssagemaker.CreatePresignedDomainUrlInput{ExpiresInSeconds: aws.Int32(5)}, ""},
		"4 s":           {awssagemaker.CreatePresignedDomainUrlInput{ExpiresInSeconds: aws.Int32(4)}, refused},
		"301 s":         {awssagemaker.CreatePresignedDomainUrlInput{ExpiresInSeconds: aws.Int32(301)}, refused},
		"half an hour":  {awssagemaker.CreatePresignedDomainUrlInput{SessionExpirationDurationInSeconds: aws.Int32(1800)}, ""},
		"less":          {awssagemaker.CreatePresignedDomainUrlInput{SessionExpirationDurationInSeconds: aws.Int32(1799)}, refused},
		"12 hours more": {awssagemaker.CreatePresignedDomainUrlInput{SessionExpirationDurationInSeconds: aws.Int32(43201)}, refused},
		"no space":      {awssagemaker.CreatePresignedDomainUrlInput{SpaceName: aws.String("none")}, notFound},
		"nobody":        {awssagemaker.CreatePresignedDomainUrlInput{UserProfileName: aws.String("bob")}, notFound},
		"SSO":           {awssagemaker.CreatePresignedDomainUrlInput{DomainId: &sso}, refused},
	} {
		if test.in.DomainId == nil {
			test.in.DomainId = &domain
		}
		if test.in.UserProfileName == nil {
			test.in.UserProfileName = aws.String("ada")
		}
		out, err := a.sm.CreatePresignedDomainUrl(t.Context(), &test.in)
		is(t, name, err, test.code, "")
		if err == nil && !strings.HasPrefix(*out.AuthorizedUrl, "https://"+domain+".studio.us-east-1.sagemaker.aws/auth?token=") {
			t.Errorf("%s: %s", name, *out.AuthorizedUrl)
		}
	}
}

// TestServiceQuotas: what is in force, what AWS gives, and their names.
func TestServiceQuotas(t *testing.T) {
	a := newAccount(t, fakeaws.Config{Quotas: map[string]int{"RSessionGateway Apps running on ml.g4dn.xlarge instance": 7}})
	api := awsquotas.NewFromConfig(a.Config())
	ctx := t.Context()
	got := map[string]float64{}
	codes := map[string]string{}
	pages := awsquotas.NewListServiceQuotasPaginator(api, &awsquotas.ListServiceQuotasInput{ServiceCode: aws.String("sagemaker")})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range out.Quotas {
			got[*q.QuotaName], codes[*q.QuotaName] = *q.Value, *q.QuotaCode
		}
	}
	if n := len(slices.Compact(slices.Sorted(maps.Values(codes)))); n != len(got) {
		t.Errorf("%d codes of %d quotas", n, len(got))
	}
	defaults := map[string]float64{}
	all := awsquotas.NewListAWSDefaultServiceQuotasPaginator(api, &awsquotas.ListAWSDefaultServiceQuotasInput{ServiceCode: aws.String("sagemaker"), MaxResults: aws.Int32(9)})
	for all.HasMorePages() {
		out, err := all.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range out.Quotas {
			defaults[*q.QuotaName] = *q.Value
		}
	}
	if len(defaults) != len(got) {
		t.Errorf("%d quotas in force and %d defaults", len(got), len(defaults))
	}
	sessions := 0
	for name := range got {
		if strings.HasPrefix(name, "RSessionGateway Apps running on ml.") && strings.HasSuffix(name, " instance") {
			sessions++
		}
	}
	if sessions != 47 {
		t.Errorf("sessions have %d quotas, want 47", sessions)
	}
	for name, want := range map[string][2]float64{
		"RSessionGateway Apps running on ml.g4dn.xlarge instance":      {7, 0},
		"RSessionGateway Apps running on ml.t3.medium instance":        {2, 2},
		"RStudioServerPro Apps running on system instances":            {1, 1},
		"Studio JupyterLab Apps running on ml.t3.medium instances":     {6, 6},
		"Studio KernelGateway Apps running on ml.g5.48xlarge instance": {0, 0},
		"Studio Jupyter Apps running on system instances":              {10, 10},
		"Total domains": {2, 2},
		"Maximum number of running Studio apps allowed per account":       {40, 40},
		"Maximum number of Studio user profiles allowed per account":      {60, 60},
		"Maximum number of SageMakerImage images allowed per account":     {250, 250},
		"Studio CodeEditor Apps running on ml.p6-b200.48xlarge instances": {0, 0},
	} {
		if _, ok := got[name]; !ok || got[name] != want[0] || defaults[name] != want[1] {
			t.Errorf("%s: %v, by default %v, want %v", name, got[name], defaults[name], want)
		}
	}
	code7 := codes["RSessionGateway Apps running on ml.g4dn.xlarge instance"]
	one, err := api.GetServiceQuota(ctx, &awsquotas.GetServiceQuotaInput{ServiceCode: aws.String("sagemaker"), QuotaCode: &code7})
	if err != nil || code7 != "L-050981C0" || *one.Quota.Value != 7 {
		t.Errorf("%s: %+v %v", code7, one, err)
	}
	plain, err := api.GetAWSDefaultServiceQuota(ctx, &awsquotas.GetAWSDefaultServiceQuotaInput{ServiceCode: aws.String("sagemaker"), QuotaCode: &code7})
	if err != nil || *plain.Quota.Value != 0 {
		t.Errorf("%+v %v", plain, err)
	}
	_, err = api.GetServiceQuota(ctx, &awsquotas.GetServiceQuotaInput{ServiceCode: aws.String("sagemaker"), QuotaCode: aws.String("L-00000000")})
	is(t, "a quota that is not", err, "NoSuchResourceException", "")
	for _, quotas := range []map[string]int{{"Number of cats": 1}, {"Total domains": -1}} {
		if _, err := fakeaws.New(fakeaws.Config{Quotas: quotas}); err == nil {
			t.Errorf("%v is accepted", quotas)
		}
	}
}

// TestLicenses: what a check of Posit's licence sees.
func TestLicenses(t *testing.T) {
	for _, test := range []struct {
		license fakeaws.License
		want    licensetypes.ReceivedStatus
	}{
		{fakeaws.LicenseActive, licensetypes.ReceivedStatusActive}, {fakeaws.LicensePending, licensetypes.ReceivedStatusPendingAccept}, {fakeaws.LicenseMissing, ""},
	} {
		a := newAccount(t, fakeaws.Config{Region: "eu-west-1", License: test.license})
		api := awslicenses.NewFromConfig(a.Config())
		out, err := api.ListReceivedLicenses(t.Context(), &awslicenses.ListReceivedLicensesInput{})
		if err != nil {
			t.Fatal(err)
		}
		if test.want == "" {
			if len(out.Licenses) != 0 {
				t.Errorf("a licence that is missing: %+v", out.Licenses)
			}
			continue
		}
		if len(out.Licenses) != 1 || *out.Licenses[0].ProductName != "RSW-SageMaker" || *out.Licenses[0].HomeRegion != "us-east-1" || out.Licenses[0].ReceivedMetadata.ReceivedStatus != test.want {
			t.Errorf("%d: %+v", test.license, out.Licenses)
		}
		one, err := api.GetLicense(t.Context(), &awslicenses.GetLicenseInput{LicenseArn: out.Licenses[0].LicenseArn})
		if err != nil || one.License.Status != licensetypes.LicenseStatusAvailable {
			t.Errorf("%+v %v", one, err)
		}
		none, err := api.ListReceivedLicenses(t.Context(), &awslicenses.ListReceivedLicensesInput{Filters: []licensetypes.Filter{{Name: aws.String("IssuerName"), Values: []string{"x"}}}})
		if err != nil || len(none.Licenses) != 0 {
			t.Errorf("%+v %v", none, err)
		}
		_, err = api.GetLicense(t.Context(), &awslicenses.GetLicenseInput{LicenseArn: aws.String("arn:aws:license-manager::1:license:l-0")})
		is(t, "a licence that is not", err, "InvalidParameterValueException", "")
	}
	if _, err := fakeaws.New(fakeaws.Config{License: 9}); err == nil {
		t.Error("a licence that is none is accepted")
	}
}

// TestInventory: the same while nothing changes, and different by what has.
func TestInventory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newStudio(t, fakeaws.Config{})
		ctx := t.Context()
		domain := a.domain(t)
		a.user(t, domain, "ada")
		a.space(t, domain, "ada", "lab", types.AppTypeJupyterLab)
		a.push(t, session)
		a.image(t, "r")
		if _, err := a.version(t, "r", session, "one"); err != nil {
			t.Fatal(err)
		}
		iam := awsiam.NewFromConfig(a.Config())
		if _, err := iam.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: aws.String("host"), AssumeRolePolicyDocument: aws.String(`{"Statement":[]}`)}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.ec2.RunInstances(ctx, a.launch("one")); err != nil {
			t.Fatal(err)
		}
		before := a.Inventory()
		time.Sleep(time.Hour)
		if later := a.Inventory(); !maps.Equal(before, later) {
			for id := range later {
				if later[id] != before[id] {
					t.Errorf("%s has changed by itself:\n%s\n%s", id, before[id], later[id])
				}
			}
		}
		kinds := map[string]int{}
		for id := range before {
			kind, _, arn := strings.Cut(id, ":sagemaker:")
			if arn {
				_, rest, _ := strings.Cut(id, "123456789012:")
				kind, _, _ = strings.Cut(rest, "/")
			} else if i := strings.LastIndexAny(id, "-/"); i > 0 {
				kind = id[:i]
			}
			kinds[kind]++
		}
		want := map[string]int{
			"sg": 4, "eni": 1, "i": 1, "fs": 1, "fsmt": 3, "fsap": 2, "arn:aws:iam::123456789012:role": 1,
			"domain": 1, "user-profile": 1, "space": 1, "app": 1, "image": 1, "image-version": 1, "app-image-config": 1,
		}
		if !maps.Equal(kinds, want) {
			t.Errorf("got %v, want %v", kinds, want)
		}
		home := a.describe(t, domain).HomeEfsFileSystemId
		point, err := a.efs.CreateAccessPoint(ctx, &awsefs.CreateAccessPointInput{FileSystemId: home, ClientToken: aws.String("x")})
		if err != nil {
			t.Fatal(err)
		}
		group := *a.describe(t, domain).SecurityGroupIdForDomainBoundary
		out, err := a.ec2.DescribeSecurityGroups(ctx, &awsec2.DescribeSecurityGroupsInput{GroupIds: []string{group}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.ec2.RevokeSecurityGroupEgress(ctx, &awsec2.RevokeSecurityGroupEgressInput{GroupId: &group, IpPermissions: out.SecurityGroups[0].IpPermissionsEgress}); err != nil {
			t.Fatal(err)
		}
		arn := a.profile(t, domain, "ada").UserProfileArn
		if _, err := a.sm.AddTags(ctx, &awssagemaker.AddTagsInput{ResourceArn: arn, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}); err != nil {
			t.Fatal(err)
		}
		var changed []string
		after := a.Inventory()
		for id := range after {
			if after[id] != before[id] {
				changed = append(changed, id)
			}
		}
		slices.Sort(changed)
		if expected := slices.Sorted(slices.Values([]string{*point.AccessPointId, group, *arn})); !slices.Equal(changed, expected) {
			t.Errorf("changed %v, want %v", changed, expected)
		}
	})
}
