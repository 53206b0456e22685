package workbench_test

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// newYardOver is a yard whose domain is over a file system that another keeps, and the
// group by which that lets hosts in.
func newYardOver(t testing.TB, c fakeaws.Config) (y *yard, group string) {
	t.Helper()
	cloud, err := fakeaws.New(c)
	if err != nil {
		t.Fatal(err)
	}
	y = &yard{t, cloud, store.NewMemory()}
	t.Cleanup(func() { y.must(cloud.Close()) })
	ctx := t.Context()
	made, err := awsec2.NewFromConfig(cloud.Config()).CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{
		GroupName: aws.String("reaches-homes"), Description: aws.String("of another"), VpcId: aws.String(cloud.DefaultVPC()),
	})
	y.must(err)
	group = *made.GroupId
	subnets := []string{cloud.Subnets()[0].ID, cloud.Subnets()[1].ID}
	files := awsefs.NewFromConfig(cloud.Config())
	fs, err := files.CreateFileSystem(ctx, &awsefs.CreateFileSystemInput{CreationToken: aws.String("another's")})
	y.must(err)
	time.Sleep(time.Minute)
	for _, s := range subnets {
		_, err = files.CreateMountTarget(ctx, &awsefs.CreateMountTargetInput{FileSystemId: fs.FileSystemId, SubnetId: aws.String(s), SecurityGroups: []string{group}})
		y.must(err)
	}
	time.Sleep(5 * time.Minute)
	d, err := y.domains().Create(ctx, domain.CreateRequest{
		Name: "research", VPC: cloud.DefaultVPC(), Subnets: subnets,
		External: domain.External{Keeper: "SageMaker domain d-abc123", FileSystem: *fs.FileSystemId, HostSecurityGroups: []string{group}},
	})
	y.must(err)
	_, err = d.Onboard(ctx, domain.OnboardRequest{User: "alice", UID: 200007, Groups: []string{"genomics"}})
	y.must(err)
	_, err = d.CreateProject(ctx, domain.CreateProjectRequest{Name: "common", Groups: []string{"genomics"}})
	y.must(err)
	return y, group
}

// The Workbench of a domain over another's file system reaches that by the group that
// its keeper has for hosts, whose rules are never changed, from Deploy to Remove.
func TestHostOverAnothersFileSystem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y, theirs := newYardOver(t, slow())
		ec2 := awsec2.NewFromConfig(y.cloud.Config())
		// interfaces are the groups of each of the host's; the rest is the keeper's.
		interfaces := func() (groups [][]string) {
			t.Helper()
			out, err := ec2.DescribeNetworkInterfaces(t.Context(), &awsec2.DescribeNetworkInterfacesInput{
				Filters: []types.Filter{{Name: aws.String("tag:atelier:workbench"), Values: []string{"research"}}},
			})
			y.must(err)
			for _, n := range out.NetworkInterfaces {
				var ids []string
				for _, g := range n.Groups {
					ids = append(ids, *g.GroupId)
				}
				groups = append(groups, ids)
			}
			return groups
		}
		first := y.deploy()
		check := func(when string) {
			t.Helper()
			got := interfaces()
			if len(got) != 1 || len(got[0]) != 2 || !slices.Contains(got[0], first.SecurityGroup) || !slices.Contains(got[0], theirs) {
				t.Errorf("%s: the groups of its interface are %q, want %s and %s", when, got, first.SecurityGroup, theirs)
			}
		}
		check("deployed")
		again, err := y.client().Deploy(t.Context(), y.request())
		y.must(err)
		if again.Instance != first.Instance {
			t.Errorf("first %+v, then %+v", first, again)
		}
		y.must(replaceAct(y))
		time.Sleep(2 * time.Minute)
		d, err := y.client().Describe(t.Context())
		y.must(err)
		if d.Instance == first.Instance || d.Address != first.Address || d.Problems != nil || !d.Health.OK {
			t.Errorf("%+v", d)
		}
		check("replaced")
		y.must(removeAllAct(y))
		time.Sleep(time.Minute)
		if got := interfaces(); got != nil {
			t.Errorf("after Remove there are interfaces in %q", got)
		}
		groups, err := ec2.DescribeSecurityGroups(t.Context(), &awsec2.DescribeSecurityGroupsInput{})
		y.must(err)
		kept := false
		for _, g := range groups.SecurityGroups {
			if *g.GroupId == first.SecurityGroup {
				t.Error("Remove leaves the host's group")
			}
			if *g.GroupId == theirs {
				kept = len(g.IpPermissions) == 0
			}
		}
		if !kept {
			t.Error("the keeper's group is gone, or its rules are others")
		}
	})
}
