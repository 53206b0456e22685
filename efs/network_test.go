package efs_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// newWorld makes an account and in it the network that a domain would have.
func newWorld(t testing.TB, cfg fakeaws.Config) *world {
	t.Helper()
	cloud, err := fakeaws.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cloud.Close() })
	api := awsec2.NewFromConfig(cloud.Config())
	group := func(name, vpc string) string {
		out, err := api.CreateSecurityGroup(t.Context(), &awsec2.CreateSecurityGroupInput{
			GroupName: aws.String(name), Description: aws.String(name), VpcId: aws.String(vpc),
		})
		if err != nil {
			t.Fatal(err)
		}
		return *out.GroupId
	}
	subnet := func(vpc, zone string) efs.Subnet {
		s, err := cloud.AddSubnet(vpc, zone)
		if err != nil {
			t.Fatal(err)
		}
		return efs.Subnet{ID: s.ID, Zone: s.Zone}
	}
	vpc, zone := cloud.DefaultVPC(), cloud.Region()
	far, err := cloud.AddVPC()
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		Cloud: cloud, t: t,
		subnets: []efs.Subnet{subnet(vpc, zone+"a"), subnet(vpc, zone+"a"), subnet(vpc, zone+"b")},
		groups:  []string{group("homes", vpc)}, closed: group("closed", vpc),
		other: subnet(far, zone+"c"), otherGroup: group("far", far),
	}
}
