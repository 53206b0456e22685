package fakeaws_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

func (a studio) updateDomain(t testing.TB, domain string, change func(*awssagemaker.UpdateDomainInput)) error {
	t.Helper()
	in := &awssagemaker.UpdateDomainInput{DomainId: &domain}
	if change != nil {
		change(in)
	}
	_, err := a.sm.UpdateDomain(t.Context(), in)
	return err
}

func (a studio) deleteDomain(t testing.TB, domain string) error {
	t.Helper()
	_, err := a.sm.DeleteDomain(t.Context(), &awssagemaker.DeleteDomainInput{DomainId: &domain})
	return err
}

// domainAt brings a domain to a status, in a bubble, and returns its id.
func (a studio) domainAt(t testing.TB, s types.DomainStatus, takes time.Duration) string {
	t.Helper()
	domain := a.domain(t, bare)
	ok := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if s != types.DomainStatusPending {
		time.Sleep(takes)
	}
	switch s {
	case types.DomainStatusUpdating, types.DomainStatusUpdateFailed:
		ok(a.updateDomain(t, domain, nil))
	case types.DomainStatusDeleting, types.DomainStatusDeleteFailed:
		ok(a.deleteDomain(t, domain))
	}
	if s == types.DomainStatusUpdateFailed || s == types.DomainStatusDeleteFailed {
		time.Sleep(takes)
	}
	d := a.describe(t, domain)
	if d.Status != s {
		t.Fatalf("the domain is %s, want %s", d.Status, s)
	}
	if failed := strings.HasSuffix(string(s), "ailed"); failed != (aws.ToString(d.FailureReason) == "out of luck") {
		t.Errorf("%s because %q", s, aws.ToString(d.FailureReason))
	}
	return domain
}

// TestDomainStates: each call at each status, and where it leads.
func TestDomainStates(t *testing.T) {
	const takes = time.Minute
	const gone = types.DomainStatus("")
	type cell struct {
		code  string
		under types.DomainStatus // right after the call
		then  types.DomainStatus // when that is over
	}
	for status, row := range map[types.DomainStatus]struct{ update, remove, use cell }{
		types.DomainStatusPending: {
			update: cell{inUse, "Pending", "InService"}, remove: cell{inUse, "Pending", "InService"}, use: cell{refused, "Pending", "InService"},
		},
		types.DomainStatusInService: {
			update: cell{"", "Updating", "InService"}, remove: cell{"", "Deleting", gone}, use: cell{"", "InService", "InService"},
		},
		types.DomainStatusUpdating: {
			update: cell{inUse, "Updating", "InService"}, remove: cell{inUse, "Updating", "InService"}, use: cell{refused, "Updating", "InService"},
		},
		types.DomainStatusFailed: {
			update: cell{refused, "Failed", "Failed"}, remove: cell{"", "Deleting", gone}, use: cell{refused, "Failed", "Failed"},
		},
		types.DomainStatusUpdateFailed: {
			update: cell{"", "Updating", "InService"}, remove: cell{"", "Deleting", gone}, use: cell{"", "Update_Failed", "Update_Failed"},
		},
		types.DomainStatusDeleting: {
			update: cell{inUse, "Deleting", gone}, remove: cell{"", "Deleting", gone}, use: cell{refused, "Deleting", gone},
		},
		types.DomainStatusDeleteFailed: {
			update: cell{refused, "Delete_Failed", "Delete_Failed"}, remove: cell{"", "Deleting", gone}, use: cell{refused, "Delete_Failed", "Delete_Failed"},
		},
	} {
		if !slices.Contains(status.Values(), status) {
			t.Errorf("%s is no status of a domain", status)
		}
		for name, test := range map[string]cell{"update": row.update, "delete": row.remove, "create a profile": row.use} {
			t.Run(string(status)+"/"+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var faults []fakeaws.Fault
					if call, failed := map[types.DomainStatus]string{
						types.DomainStatusFailed: "CreateDomain", types.DomainStatusUpdateFailed: "UpdateDomain", types.DomainStatusDeleteFailed: "DeleteDomain",
					}[status]; failed {
						faults = []fakeaws.Fault{{Action: "sagemaker:" + call, Nth: 1, Reason: "out of luck"}}
					}
					a := newStudio(t, fakeaws.Config{Faults: faults, Delays: fakeaws.Delays{Domain: takes}})
					domain := a.domainAt(t, status, takes)
					var err error
					switch name {
					case "update":
						err = a.updateDomain(t, domain, nil)
					case "delete":
						err = a.deleteDomain(t, domain)
					default:
						_, err = a.sm.CreateUserProfile(t.Context(), &awssagemaker.CreateUserProfileInput{DomainId: &domain, UserProfileName: aws.String("ada")})
					}
					is(t, name, err, test.code, "")
					if got := a.describe(t, domain).Status; got != test.under {
						t.Errorf("right after: %s, want %s", got, test.under)
					}
					time.Sleep(takes)
					d, err := a.sm.DescribeDomain(t.Context(), &awssagemaker.DescribeDomainInput{DomainId: &domain})
					switch {
					case test.then == gone:
						is(t, "describe what has gone", err, notFound, domain)
					case err != nil || d.Status != test.then:
						t.Errorf("then: %v %v, want %s", d, err, test.then)
					}
				})
			})
		}
	}
}

// TestDomainMakesHomeAndGroups: what SageMaker leaves in the account's network.
func TestDomainMakesHomeAndGroups(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	domain := a.domain(t)
	d := a.describe(t, domain)
	if !strings.HasPrefix(domain, "d-") || len(domain) != 14 || !strings.Contains(*d.Url, domain) {
		t.Errorf("id %s at %s", domain, *d.Url)
	}
	fs, err := a.efs.DescribeFileSystems(t.Context(), &awsefs.DescribeFileSystemsInput{FileSystemId: d.HomeEfsFileSystemId})
	if err != nil {
		t.Fatal(err)
	}
	home := fs.FileSystems[0]
	if tag := home.Tags[0]; *tag.Key != "ManagedByAmazonSageMakerResource" || *tag.Value != *d.DomainArn || !*home.Encrypted || home.NumberOfMountTargets != 3 {
		t.Errorf("file system %+v", home)
	}
	groups, err := a.ec2.DescribeSecurityGroups(t.Context(), &awsec2.DescribeSecurityGroupsInput{Filters: []ec2types.Filter{
		{Name: aws.String("tag:ManagedByAmazonSageMakerResource"), Values: []string{*d.DomainArn}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]ec2types.SecurityGroup{}
	for _, g := range groups.SecurityGroups {
		byName[*g.GroupName] = g
		if !strings.HasPrefix(*g.Description, "[DO NOT DELETE]") {
			t.Errorf("%s: %s", *g.GroupName, *g.Description)
		}
	}
	in, out := byName["security-group-for-inbound-nfs-"+domain], byName["security-group-for-outbound-nfs-"+domain]
	if len(byName) != 3 || in.GroupId == nil || out.GroupId == nil {
		t.Fatalf("groups %v", byName)
	}
	ports := func(list []ec2types.IpPermission, other *string) (got []int32) {
		for _, p := range list {
			if *p.UserIdGroupPairs[0].GroupId != *other {
				t.Errorf("a rule for %s, want %s", *p.UserIdGroupPairs[0].GroupId, *other)
			}
			got = append(got, *p.FromPort)
		}
		return got
	}
	want := []int32{988, 1018, 2049}
	if got := ports(in.IpPermissions, out.GroupId); !slices.Equal(got, want) || len(in.IpPermissionsEgress) != 0 {
		t.Errorf("inbound lets in %v", got)
	}
	if got := ports(out.IpPermissionsEgress, in.GroupId); !slices.Equal(got, want) || len(out.IpPermissions) != 0 {
		t.Errorf("outbound lets out %v", got)
	}
	if aws.ToString(d.SecurityGroupIdForDomainBoundary) == "" {
		t.Error("there is no boundary group")
	}
	targets, err := a.efs.DescribeMountTargets(t.Context(), &awsefs.DescribeMountTargetsInput{FileSystemId: d.HomeEfsFileSystemId})
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range targets.MountTargets {
		g, err := a.efs.DescribeMountTargetSecurityGroups(t.Context(), &awsefs.DescribeMountTargetSecurityGroupsInput{MountTargetId: target.MountTargetId})
		if err != nil || !slices.Equal(g.SecurityGroups, []string{*in.GroupId}) {
			t.Errorf("mount target in %v, %v", g, err)
		}
	}
}

// TestDomainGroupsAndInterfacesOutliveIt: what is left, and the order in which it goes.
func TestDomainGroupsAndInterfacesOutliveIt(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	ctx := t.Context()
	before := a.Inventory()
	domain := a.domain(t)
	d := a.describe(t, domain)
	interfaces := func() []ec2types.NetworkInterface {
		out, err := a.ec2.DescribeNetworkInterfaces(ctx, &awsec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{
			{Name: aws.String("description"), Values: []string{"*SageMaker for Studio Domain(" + domain + ")*"}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		return out.NetworkInterfaces
	}
	held := interfaces()
	if len(held) != 1 || held[0].Status != ec2types.NetworkInterfaceStatusInUse {
		t.Fatalf("interfaces of the server of RStudio: %+v", held)
	}
	_, err := a.ec2.DeleteNetworkInterface(ctx, &awsec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: held[0].NetworkInterfaceId})
	is(t, "delete an interface in use", err, "InvalidNetworkInterface.InUse", "")
	for err := range errs(a.deleteApp(t, server(domain)), a.deleteDomain(t, domain)) {
		t.Fatal(err)
	}
	left := interfaces()
	if len(left) != 1 || left[0].Status != ec2types.NetworkInterfaceStatusAvailable {
		t.Fatalf("interfaces after the domain: %+v", left)
	}
	found, err := a.ec2.DescribeSecurityGroups(ctx, &awsec2.DescribeSecurityGroupsInput{Filters: []ec2types.Filter{
		{Name: aws.String("group-name"), Values: []string{"security-group-for-*-nfs-" + domain}},
	}})
	if err != nil || len(found.SecurityGroups) != 2 {
		t.Fatalf("groups after the domain: %v %v", found, err)
	}
	in, out := found.SecurityGroups[0], found.SecurityGroups[1]
	if strings.Contains(*in.GroupName, "outbound") {
		in, out = out, in
	}
	remove := func(g ec2types.SecurityGroup) error {
		_, err := a.ec2.DeleteSecurityGroup(ctx, &awsec2.DeleteSecurityGroupInput{GroupId: g.GroupId})
		return err
	}
	const held1 = "DependencyViolation"
	is(t, "delete the inbound group first", remove(in), held1, "")
	is(t, "delete the outbound group first", remove(out), held1, "")
	for _, filter := range []struct {
		name      string
		has, uses ec2types.SecurityGroup
	}{{"ip-permission.group-id", out, in}, {"egress.ip-permission.group-id", in, out}} {
		users, err := a.ec2.DescribeSecurityGroups(ctx, &awsec2.DescribeSecurityGroupsInput{Filters: []ec2types.Filter{
			{Name: &filter.name, Values: []string{*filter.has.GroupId}},
		}})
		if err != nil || len(users.SecurityGroups) != 1 || *users.SecurityGroups[0].GroupId != *filter.uses.GroupId {
			t.Errorf("%s: %v %v", filter.name, users, err)
		}
	}
	if _, err := a.ec2.RevokeSecurityGroupEgress(ctx, &awsec2.RevokeSecurityGroupEgressInput{GroupId: out.GroupId, IpPermissions: out.IpPermissionsEgress}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.ec2.RevokeSecurityGroupIngress(ctx, &awsec2.RevokeSecurityGroupIngressInput{GroupId: in.GroupId, IpPermissions: in.IpPermissions}); err != nil {
		t.Fatal(err)
	}
	is(t, "delete the outbound group with an interface in it", remove(out), held1, "")
	is(t, "delete the inbound group with mount targets in it", remove(in), held1, "")
	if _, err := a.ec2.DeleteNetworkInterface(ctx, &awsec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: left[0].NetworkInterfaceId}); err != nil {
		t.Fatal(err)
	}
	is(t, "delete the outbound group", remove(out), "", "")
	targets, err := a.efs.DescribeMountTargets(ctx, &awsefs.DescribeMountTargetsInput{FileSystemId: d.HomeEfsFileSystemId})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range targets.MountTargets {
		if _, err := a.efs.DeleteMountTarget(ctx, &awsefs.DeleteMountTargetInput{MountTargetId: m.MountTargetId}); err != nil {
			t.Fatal(err)
		}
	}
	is(t, "delete the inbound group", remove(in), "", "")
	if _, err := a.efs.DeleteFileSystem(ctx, &awsefs.DeleteFileSystemInput{FileSystemId: d.HomeEfsFileSystemId}); err != nil {
		t.Fatal(err)
	}
	if after := a.Inventory(); len(after) != len(before) {
		t.Errorf("of %d things %d are there: %v", len(before), len(after), after)
	}
}

// TestHomeIsRetainedUnlessTold: by default the file system stays with its mount targets.
func TestHomeIsRetainedUnlessTold(t *testing.T) {
	for policy, stays := range map[types.RetentionType]bool{"": true, types.RetentionTypeRetain: true, types.RetentionTypeDelete: false} {
		t.Run(string(policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newStudio(t, fakeaws.Config{Delays: fakeaws.Delays{Domain: time.Minute, FileSystem: time.Second, MountTarget: 90 * time.Second}})
				domain := a.domain(t, bare)
				time.Sleep(2 * time.Minute)
				home := a.describe(t, domain).HomeEfsFileSystemId
				in := &awssagemaker.DeleteDomainInput{DomainId: &domain}
				if policy != "" {
					in.RetentionPolicy = &types.RetentionPolicy{HomeEfsFileSystem: policy}
				}
				if _, err := a.sm.DeleteDomain(t.Context(), in); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Minute)
				if _, err := a.sm.DescribeDomain(t.Context(), &awssagemaker.DescribeDomainInput{DomainId: &domain}); code(err) != notFound {
					t.Errorf("the domain is still there: %v", err)
				}
				_, err := a.efs.DescribeMountTargets(t.Context(), &awsefs.DescribeMountTargetsInput{FileSystemId: home})
				if stays != (err == nil) {
					t.Errorf("the file system: %v, want it there: %v", err, stays)
				}
			})
		})
	}
}

// TestDomainWithoutLicenseFails: the licence is looked at when the server starts.
func TestDomainWithoutLicenseFails(t *testing.T) {
	for _, license := range []fakeaws.License{fakeaws.LicenseMissing, fakeaws.LicensePending} {
		a := newStudio(t, fakeaws.Config{License: license})
		domain := a.domain(t)
		d := a.describe(t, domain)
		if d.Status != types.DomainStatusFailed || !strings.Contains(aws.ToString(d.FailureReason), "RSW-SageMaker") {
			t.Errorf("licence %d: %s because %q", license, d.Status, aws.ToString(d.FailureReason))
		}
		if other := a.describe(t, a.domain(t, bare)); other.Status != types.DomainStatusInService {
			t.Errorf("a domain without RStudio is %s", other.Status)
		}
		is(t, "delete the failed domain", a.deleteDomain(t, domain), "", "")
		a.SetLicense(fakeaws.LicenseActive)
		if d := a.describe(t, a.domain(t)); d.Status != types.DomainStatusInService {
			t.Errorf("with a licence: %s", d.Status)
		}
	}
}

// TestServerQuotaFailsDomain: what the server cannot run on comes out as the domain's failure.
func TestServerQuotaFailsDomain(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	d := a.describe(t, a.domain(t, func(in *awssagemaker.CreateDomainInput) {
		in.DomainSettings.RStudioServerProDomainSettings.DefaultResourceSpec = &types.ResourceSpec{InstanceType: types.AppInstanceTypeMlC54xlarge}
	}))
	if d.Status != types.DomainStatusFailed || !strings.Contains(aws.ToString(d.FailureReason), "RStudioServerPro Apps running on ml.c5.4xlarge instances") {
		t.Errorf("%s because %q", d.Status, aws.ToString(d.FailureReason))
	}
}

// TestDomainSettingsAreChecked: what CreateDomain refuses.
func TestDomainSettingsAreChecked(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	other, err := a.AddVPC()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.sm.CreateImage(t.Context(), &awssagemaker.CreateImageInput{ImageName: aws.String("there"), RoleArn: aws.String(studioRole)}); err != nil {
		t.Fatal(err)
	}
	service := types.AppSecurityGroupManagementService
	group, err := a.ec2.DescribeSecurityGroups(t.Context(), &awsec2.DescribeSecurityGroupsInput{Filters: []ec2types.Filter{{Name: aws.String("vpc-id"), Values: []string{a.DefaultVPC()}}}})
	if err != nil {
		t.Fatal(err)
	}
	own := *group.SecurityGroups[0].GroupId
	server := func(in *awssagemaker.CreateDomainInput) *types.RStudioServerProDomainSettings {
		return in.DomainSettings.RStudioServerProDomainSettings
	}
	for name, test := range map[string]struct {
		change func(*awssagemaker.CreateDomainInput)
		code   string
	}{
		"name":          {func(in *awssagemaker.CreateDomainInput) { in.DomainName = aws.String("a b") }, refused},
		"no subnets":    {func(in *awssagemaker.CreateDomainInput) { in.SubnetIds = nil }, refused},
		"other network": {func(in *awssagemaker.CreateDomainInput) { in.VpcId = &other }, refused},
		"strange role":  {func(in *awssagemaker.CreateDomainInput) { server(in).DomainExecutionRoleArn = aws.String("studio") }, refused},
		"type of server": {func(in *awssagemaker.CreateDomainInput) {
			server(in).DefaultResourceSpec = &types.ResourceSpec{InstanceType: "ml.m5.large"}
		}, refused},
		"address of Connect": {func(in *awssagemaker.CreateDomainInput) {
			server(in).RStudioConnectUrl = aws.String("connect.example.com")
		}, refused},
		"address with www": {func(in *awssagemaker.CreateDomainInput) { server(in).RStudioConnectUrl = aws.String("www.example.com") }, ""},
		"type of session": {func(in *awssagemaker.CreateDomainInput) {
			in.DefaultUserSettings.RSessionAppSettings = &types.RSessionAppSettings{DefaultResourceSpec: &types.ResourceSpec{InstanceType: "ml.g5.xlarge"}}
		}, refused},
		"group that is not": {func(in *awssagemaker.CreateDomainInput) {
			in.DefaultUserSettings.SecurityGroups = []string{"sg-00000000"}
		}, refused},
		"4 groups with RStudio": {func(in *awssagemaker.CreateDomainInput) {
			in.DefaultUserSettings.SecurityGroups = slices.Repeat([]string{own}, 4)
		}, ""},
		"5 groups with RStudio": {func(in *awssagemaker.CreateDomainInput) {
			in.DefaultUserSettings.SecurityGroups = slices.Repeat([]string{own}, 5)
		}, refused},
		"5 groups without": {func(in *awssagemaker.CreateDomainInput) {
			bare(in)
			in.DefaultUserSettings.SecurityGroups = slices.Repeat([]string{own}, 5)
		}, ""},
		"6 groups without": {func(in *awssagemaker.CreateDomainInput) {
			bare(in)
			in.DefaultUserSettings.SecurityGroups = slices.Repeat([]string{own}, 6)
		}, refused},
		"image that is not": {func(in *awssagemaker.CreateDomainInput) {
			in.DefaultUserSettings.RSessionAppSettings = &types.RSessionAppSettings{CustomImages: []types.CustomImage{{ImageName: aws.String("r"), AppImageConfigName: aws.String("r")}}}
		}, refused},
		"configuration that is not": {func(in *awssagemaker.CreateDomainInput) {
			in.DefaultUserSettings.RSessionAppSettings = &types.RSessionAppSettings{CustomImages: []types.CustomImage{{ImageName: aws.String("there"), AppImageConfigName: aws.String("r")}}}
		}, refused},
		"VpcOnly needs Service": {func(in *awssagemaker.CreateDomainInput) { in.AppNetworkAccessType = types.AppNetworkAccessTypeVpcOnly }, refused},
		"VpcOnly with Customer": {func(in *awssagemaker.CreateDomainInput) {
			in.AppNetworkAccessType, in.AppSecurityGroupManagement = types.AppNetworkAccessTypeVpcOnly, types.AppSecurityGroupManagementCustomer
		}, refused},
		"VpcOnly with Service": {func(in *awssagemaker.CreateDomainInput) {
			in.AppNetworkAccessType, in.AppSecurityGroupManagement = types.AppNetworkAccessTypeVpcOnly, service
		}, ""},
		"VpcOnly with 3 groups": {func(in *awssagemaker.CreateDomainInput) {
			in.AppNetworkAccessType, in.AppSecurityGroupManagement, in.DefaultUserSettings.SecurityGroups = types.AppNetworkAccessTypeVpcOnly, service, []string{own, own, own}
		}, refused},
		"Service without server": {func(in *awssagemaker.CreateDomainInput) { bare(in); in.AppSecurityGroupManagement = service }, refused},
	} {
		in := a.domainInput()
		test.change(in)
		_, err := a.sm.CreateDomain(t.Context(), in)
		is(t, name, err, test.code, "")
	}
}

// TestDeleteDomainRefusesWhileInUse: profiles, spaces and the server of RStudio hold it.
func TestDeleteDomainRefusesWhileInUse(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	domain := a.domain(t)
	a.user(t, domain, "ada")
	shared := aws.String("shared")
	if _, err := a.sm.CreateSpace(t.Context(), &awssagemaker.CreateSpaceInput{DomainId: &domain, SpaceName: shared}); err != nil {
		t.Fatal(err)
	}
	is(t, "with a profile", a.deleteDomain(t, domain), inUse, "UserProfile(s) are associated with it")
	if _, err := a.sm.DeleteUserProfile(t.Context(), &awssagemaker.DeleteUserProfileInput{DomainId: &domain, UserProfileName: aws.String("ada")}); err != nil {
		t.Fatal(err)
	}
	is(t, "with a space", a.deleteDomain(t, domain), inUse, "Space(s) are associated with it")
	if _, err := a.sm.DeleteSpace(t.Context(), &awssagemaker.DeleteSpaceInput{DomainId: &domain, SpaceName: shared}); err != nil {
		t.Fatal(err)
	}
	is(t, "with the server", a.deleteDomain(t, domain), inUse, "App(s) are associated with it")
	if err := a.deleteApp(t, server(domain)); err != nil {
		t.Fatal(err)
	}
	is(t, "empty", a.deleteDomain(t, domain), "", "")
}

// TestTotalDomains: the quota counts what has failed too, until it is deleted.
func TestTotalDomains(t *testing.T) {
	a := newStudio(t, fakeaws.Config{License: fakeaws.LicenseMissing, Quotas: map[string]int{"Total domains": 1}})
	domain := a.domain(t)
	_, err := a.sm.CreateDomain(t.Context(), a.domainInput())
	is(t, "a second domain", err, limit, "The account-level service limit 'Total domains' is 1 Domains, with current utilization of 1 Domains and a request delta of 1 Domains.")
	is(t, "delete the failed one", a.deleteDomain(t, domain), "", "")
	a.domain(t, bare)
}
