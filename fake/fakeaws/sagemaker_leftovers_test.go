package fakeaws_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestMountTargetInterfaces: EC2 shows the interface that EFS names, in the target's groups and
// in use; it goes with the target and not before.
func TestMountTargetInterfaces(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	d := a.describe(t, a.domain(t))
	api := awsefs.NewFromConfig(a.Config())
	targets, err := api.DescribeMountTargets(t.Context(), &awsefs.DescribeMountTargetsInput{FileSystemId: d.HomeEfsFileSystemId})
	if err != nil || len(targets.MountTargets) == 0 {
		t.Fatalf("%+v %v", targets, err)
	}
	m := targets.MountTargets[0]
	groups, err := api.DescribeMountTargetSecurityGroups(t.Context(), &awsefs.DescribeMountTargetSecurityGroupsInput{MountTargetId: m.MountTargetId})
	if err != nil {
		t.Fatal(err)
	}
	out, err := a.ec2.DescribeNetworkInterfaces(t.Context(), &awsec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{*m.NetworkInterfaceId}})
	if err != nil || len(out.NetworkInterfaces) != 1 {
		t.Fatalf("%+v %v", out, err)
	}
	n := out.NetworkInterfaces[0]
	if *n.Description != "EFS mount target for "+*d.HomeEfsFileSystemId+" ("+*m.MountTargetId+")" || n.InterfaceType != "efs" || len(n.TagSet) != 0 ||
		*n.Groups[0].GroupId != groups.SecurityGroups[0] || n.Status != ec2types.NetworkInterfaceStatusInUse || *n.PrivateIpAddress != *m.IpAddress {
		t.Errorf("got %+v", n)
	}
	_, err = a.ec2.DeleteNetworkInterface(t.Context(), &awsec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: m.NetworkInterfaceId})
	is(t, "delete it", err, "InvalidNetworkInterface.InUse", "")
	_, err = api.DeleteMountTarget(t.Context(), &awsefs.DeleteMountTargetInput{MountTargetId: m.MountTargetId})
	is(t, "delete its target", err, "", "")
	_, err = a.ec2.DescribeNetworkInterfaces(t.Context(), &awsec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{*m.NetworkInterfaceId}})
	is(t, "it is gone", err, "InvalidNetworkInterfaceID.NotFound", "")
}

// TestInterfaceTags: one has the tag of a node of its domain, the next has none.
func TestInterfaceTags(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	domain := a.domain(t, bare, func(in *awssagemaker.CreateDomainInput) { in.SubnetIds = in.SubnetIds[:1] })
	a.user(t, domain, "ada", "bob")
	for _, user := range []string{"ada", "bob"} {
		is(t, user, a.createApp(t, classic(domain, user)), "", "")
	}
	out, err := a.ec2.DescribeNetworkInterfaces(t.Context(), &awsec2.DescribeNetworkInterfacesInput{
		Filters: []ec2types.Filter{{Name: aws.String("description"), Values: []string{"*SageMaker*"}}},
	})
	if err != nil || len(out.NetworkInterfaces) != 2 {
		t.Fatalf("%+v %v", out, err)
	}
	tagged := 0
	for _, n := range out.NetworkInterfaces {
		for _, tag := range n.TagSet {
			if tagged++; *tag.Key != "ManagedByAmazonSageMakerResource" || !strings.Contains(*tag.Value, ":node/"+domain+"/") {
				t.Errorf("got %s = %s", *tag.Key, *tag.Value)
			}
		}
	}
	if tagged != 1 {
		t.Errorf("%d have tags", tagged)
	}
}

// TestUpdateSpace: another name to show and settings laid over, not while it is created, and
// apps run on what it says.
func TestUpdateSpace(t *testing.T) {
	a := newStudio(t, fakeaws.Config{})
	domain := a.domain(t, bare)
	a.user(t, domain, "ada")
	if _, err := a.sm.CreateSpace(t.Context(), &awssagemaker.CreateSpaceInput{
		DomainId: &domain, SpaceName: aws.String("lab"), OwnershipSettings: &types.OwnershipSettings{OwnerUserProfileName: aws.String("ada")},
		SpaceSharingSettings: &types.SpaceSharingSettings{SharingType: types.SharingTypePrivate}, SpaceSettings: &types.SpaceSettings{AppType: types.AppTypeJupyterLab},
	}); err != nil {
		t.Fatal(err)
	}
	_, err := a.sm.UpdateSpace(t.Context(), &awssagemaker.UpdateSpaceInput{DomainId: &domain, SpaceName: aws.String("none")})
	is(t, "none", err, notFound, "")
	_, err = a.sm.UpdateSpace(t.Context(), &awssagemaker.UpdateSpaceInput{
		DomainId: &domain, SpaceName: aws.String("Lab"), SpaceDisplayName: aws.String("Laboratory"), SpaceSettings: &types.SpaceSettings{
			JupyterLabAppSettings: &types.SpaceJupyterLabAppSettings{DefaultResourceSpec: &types.ResourceSpec{InstanceType: types.AppInstanceTypeMlM5Large}},
		},
	})
	is(t, "update", err, "", "")
	s, err := a.sm.DescribeSpace(t.Context(), &awssagemaker.DescribeSpaceInput{DomainId: &domain, SpaceName: aws.String("lab")})
	if err != nil || s.Status != types.SpaceStatusInService || *s.SpaceDisplayName != "Laboratory" || s.SpaceSettings.AppType != types.AppTypeJupyterLab {
		t.Errorf("%+v %v", s, err)
	}
	lab := &awssagemaker.CreateAppInput{DomainId: &domain, SpaceName: aws.String("lab"), AppType: types.AppTypeJupyterLab, AppName: aws.String("default")}
	is(t, "create", a.createApp(t, lab), "", "")
	app, err := a.sm.DescribeApp(t.Context(), &awssagemaker.DescribeAppInput{DomainId: &domain, SpaceName: aws.String("lab"), AppType: types.AppTypeJupyterLab, AppName: aws.String("default")})
	if err != nil || app.ResourceSpec.InstanceType != types.AppInstanceTypeMlM5Large {
		t.Errorf("%+v %v", app, err)
	}
}
