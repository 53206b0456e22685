package fakeaws_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

func TestNetwork(t *testing.T) {
	a := newAccount(t, fakeaws.Config{Region: "eu-west-1"})
	var zones []string
	for _, s := range a.Subnets() {
		zones = append(zones, s.Zone+" "+s.CIDR)
		if s.VPC != a.DefaultVPC() {
			t.Errorf("%+v is not in the default VPC", s)
		}
	}
	if want := []string{"eu-west-1a 172.31.0.0/20", "eu-west-1b 172.31.16.0/20", "eu-west-1c 172.31.32.0/20"}; !slices.Equal(zones, want) {
		t.Errorf("subnets %q, want %q", zones, want)
	}
	vpc, err := a.AddVPC()
	if err != nil {
		t.Fatal(err)
	}
	for n := range 16 {
		s, err := a.AddSubnet(vpc, "eu-west-1b")
		if want := fmt.Sprintf("10.1.%d.0/20", 16*n); err != nil || s.CIDR != want {
			t.Errorf("subnet %d has %q, want %q: %v", n, s.CIDR, want, err)
		}
	}
	for _, bad := range []struct{ vpc, zone string }{{vpc, "eu-west-1b"}, {"vpc-00000000", "eu-west-1b"}, {a.DefaultVPC(), "us-east-1a"}} {
		if s, err := a.AddSubnet(bad.vpc, bad.zone); err == nil {
			t.Errorf("AddSubnet(%q, %q) = %+v", bad.vpc, bad.zone, s)
		}
	}
	count := func(filters ...types.Filter) (n int) {
		pages := awsec2.NewDescribeSubnetsPaginator(a.ec2, &awsec2.DescribeSubnetsInput{Filters: filters, MaxResults: aws.Int32(5)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			n += len(page.Subnets)
		}
		return n
	}
	for _, c := range []struct {
		filters []types.Filter
		want    int
	}{
		{nil, 19},
		{[]types.Filter{filter("vpc-id", vpc)}, 16},
		{[]types.Filter{filter("subnet-id", a.Subnets()[0].ID, "subnet-00000000")}, 1},
		{[]types.Filter{filter("default-for-az", "true")}, 3},
		{[]types.Filter{filter("availability-zone", "eu-west-1b")}, 17},
	} {
		if got := count(c.filters...); got != c.want {
			t.Errorf("%v: %d subnets, want %d", describeFilters(c.filters), got, c.want)
		}
	}
	vpcs, err := a.ec2.DescribeVpcs(t.Context(), &awsec2.DescribeVpcsInput{Filters: []types.Filter{filter("is-default", "true")}})
	if err != nil || len(vpcs.Vpcs) != 1 || *vpcs.Vpcs[0].VpcId != a.DefaultVPC() {
		t.Errorf("the default VPC: %+v: %v", vpcs, err)
	}
}

// TestSecurityGroupLife: a group is made open outwards, is told after a while,
// and goes when nothing holds it.
func TestSecurityGroupLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Delays: fakeaws.Delays{Visible: 2 * time.Second, InstanceGone: time.Minute}})
		ctx := t.Context()
		make := func(name string) *string {
			out, err := a.ec2.CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{
				GroupName: aws.String(name), Description: aws.String("d"), VpcId: aws.String(a.DefaultVPC()),
				TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeSecurityGroup, Tags: []types.Tag{{Key: aws.String("domain"), Value: aws.String("research")}}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			return out.GroupId
		}
		hosts, efs := make("hosts"), make("efs")
		find := func(filters ...types.Filter) []types.SecurityGroup {
			out, err := a.ec2.DescribeSecurityGroups(ctx, &awsec2.DescribeSecurityGroupsInput{Filters: filters})
			if err != nil {
				t.Fatal(err)
			}
			return out.SecurityGroups
		}
		if n := len(find(filter("group-name", "hosts"))); n != 0 {
			t.Errorf("%d groups before they can be seen", n)
		}
		if _, err := a.ec2.DescribeSecurityGroups(ctx, &awsec2.DescribeSecurityGroupsInput{GroupIds: []string{*hosts}}); code(err) != "InvalidGroup.NotFound" {
			t.Errorf("by id before it can be seen: %v", err)
		}
		time.Sleep(2 * time.Second)
		got := find(filter("group-name", "hosts"), filter("vpc-id", a.DefaultVPC()), filter("tag:domain", "research"))
		if len(got) != 1 || *got[0].GroupId != *hosts || len(got[0].IpPermissions) != 0 || len(got[0].IpPermissionsEgress) != 1 ||
			*got[0].IpPermissionsEgress[0].IpProtocol != "-1" || *got[0].IpPermissionsEgress[0].IpRanges[0].CidrIp != "0.0.0.0/0" {
			t.Fatalf("a new group: %+v", got)
		}
		nfs := []types.IpPermission{{
			IpProtocol: aws.String("tcp"), FromPort: aws.Int32(2049), ToPort: aws.Int32(2049),
			UserIdGroupPairs: []types.UserIdGroupPair{{GroupId: hosts, Description: aws.String("homes")}},
		}}
		if _, err := a.ec2.AuthorizeSecurityGroupIngress(ctx, &awsec2.AuthorizeSecurityGroupIngressInput{GroupId: efs, IpPermissions: nfs}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.ec2.RevokeSecurityGroupEgress(ctx, &awsec2.RevokeSecurityGroupEgressInput{GroupId: efs, IpPermissions: got[0].IpPermissionsEgress}); err != nil {
			t.Fatal(err)
		}
		told := find(filter("group-id", *efs))[0]
		if pair := told.IpPermissions[0].UserIdGroupPairs[0]; *pair.GroupId != *hosts || *pair.Description != "homes" || len(told.IpPermissionsEgress) != 0 {
			t.Errorf("its rules: %+v", told)
		}
		for range 2 { // what is taken away can be given again
			if _, err := a.ec2.RevokeSecurityGroupIngress(ctx, &awsec2.RevokeSecurityGroupIngressInput{GroupId: efs, IpPermissions: told.IpPermissions}); err != nil {
				t.Fatal(err)
			}
			if n := len(find(filter("group-id", *efs))[0].IpPermissions); n != 0 {
				t.Errorf("%d rules after they were revoked", n)
			}
			if _, err := a.ec2.AuthorizeSecurityGroupIngress(ctx, &awsec2.AuthorizeSecurityGroupIngressInput{GroupId: efs, IpPermissions: told.IpPermissions}); err != nil {
				t.Fatal(err)
			}
		}
		naming := func(name string, id *string) (ids []string) {
			for _, g := range find(filter(name, *id)) {
				ids = append(ids, *g.GroupId)
			}
			return ids
		}
		if in, out := naming("ip-permission.group-id", hosts), naming("egress.ip-permission.group-id", hosts); !slices.Equal(in, []string{*efs}) || out != nil {
			t.Errorf("%v name the hosts' group in rules inwards, %v outwards; want %s and none", in, out, *efs)
		}
		if _, err := a.ec2.AuthorizeSecurityGroupEgress(ctx, &awsec2.AuthorizeSecurityGroupEgressInput{GroupId: efs, IpPermissions: nfs}); err != nil {
			t.Fatal(err)
		}
		if out := naming("egress.ip-permission.group-id", hosts); !slices.Equal(out, []string{*efs}) {
			t.Errorf("%v name the hosts' group in rules outwards, want %s", out, *efs)
		}
		in := a.launch("x")
		in.SecurityGroupIds = []string{*efs}
		out, err := a.ec2.RunInstances(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		drop := func(id *string) string {
			_, err := a.ec2.DeleteSecurityGroup(ctx, &awsec2.DeleteSecurityGroupInput{GroupId: id})
			return code(err)
		}
		if got := drop(hosts); got != "DependencyViolation" {
			t.Errorf("named by another's rule: %q", got)
		}
		if got := drop(efs); got != "DependencyViolation" {
			t.Errorf("used by an instance: %q", got)
		}
		time.Sleep(2 * time.Second)
		if _, err := a.ec2.TerminateInstances(ctx, &awsec2.TerminateInstancesInput{InstanceIds: ids(out)}); err != nil {
			t.Fatal(err)
		}
		if got := drop(efs); got != "DependencyViolation" {
			t.Errorf("while the instance shuts down: %q", got)
		}
		time.Sleep(time.Minute)
		for _, id := range []*string{efs, hosts} {
			if got := drop(id); got != "" {
				t.Errorf("free: %q", got)
			}
		}
		if list := a.listed(t); len(list) != 1 || *list[0].SecurityGroups[0].GroupId != *efs { // as it was seconds ago
			t.Errorf("an instance whose group has gone: %+v", list)
		}
		for _, g := range find(filter("vpc-id", a.DefaultVPC())) {
			if *g.GroupName != "default" {
				t.Errorf("left behind: %s", *g.GroupName)
			}
			if got := drop(g.GroupId); got != "CannotDelete" {
				t.Errorf("the VPC's own group: %q", got)
			}
		}
	})
}

// TestPagesOfAListThatChanges: what stays is told, also when the item that a
// token names goes.
func TestPagesOfAListThatChanges(t *testing.T) {
	a := newAccount(t, fakeaws.Config{})
	const groups = 12 // with the VPC's own
	for n := range groups - 1 {
		if _, err := a.ec2.CreateSecurityGroup(t.Context(), &awsec2.CreateSecurityGroupInput{GroupName: aws.String(fmt.Sprint("g", n)), Description: aws.String("d")}); err != nil {
			t.Fatal(err)
		}
	}
	told := 0
	pages := awsec2.NewDescribeSecurityGroupsPaginator(a.ec2, &awsec2.DescribeSecurityGroupsInput{MaxResults: aws.Int32(5)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		told += len(page.SecurityGroups)
		last := page.SecurityGroups[len(page.SecurityGroups)-1]
		if _, err := a.ec2.DeleteSecurityGroup(t.Context(), &awsec2.DeleteSecurityGroupInput{GroupId: last.GroupId}); code(err) != "" && *last.GroupName != "default" {
			t.Fatal(err)
		}
	}
	if told != groups {
		t.Errorf("%d groups told, want %d", told, groups)
	}
}
