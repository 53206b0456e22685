package sagemakerdomain_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	efstypes "github.com/aws/aws-sdk-go-v2/service/efs/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// customFiles makes a file system of the caller's, with a mount target in a group.
func (w *world) customFiles(group string) (fileSystem, target string) {
	w.Helper()
	api := awsefs.NewFromConfig(w.cloud.Config())
	fs, err := api.CreateFileSystem(w.Context(), &awsefs.CreateFileSystemInput{CreationToken: aws.String("custom")})
	w.must(err)
	time.Sleep(time.Minute)
	out, err := api.CreateMountTarget(w.Context(), &awsefs.CreateMountTargetInput{
		FileSystemId: fs.FileSystemId, SubnetId: aws.String(w.cloud.Subnets()[0].ID), SecurityGroups: []string{group},
	})
	w.must(err)
	w.settle(func() bool {
		d, err := api.DescribeMountTargets(w.Context(), &awsefs.DescribeMountTargetsInput{MountTargetId: out.MountTargetId})
		return err == nil && d.MountTargets[0].LifeCycleState == efstypes.LifeCycleStateAvailable
	})
	return *fs.FileSystemId, *out.MountTargetId
}

// Mount targets in the group for inbound NFS end in a clear result each: it stays for
// those of homes that are kept, and for those of a custom file system deleting it says who
// has it. Without any it goes.
func TestMountTargetsInTheGroup(t *testing.T) {
	const (
		kept    = "kept"
		deleted = "deleted"
		without = "without mount targets"
	)
	for _, custom := range []bool{false, true} {
		for _, home := range []string{kept, deleted, without} {
			t.Run(fmt.Sprintf("home %s/custom %t", home, custom), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					w := newWorld(t, slow())
					var told strings.Builder
					c, err := sagemakerdomain.NewFromConfig(w.cloud.Config(), sagemakerdomain.Config{
						Progress: func(p sagemakerdomain.Progress) { fmt.Fprintln(&told, p) },
					})
					w.must(err)
					d := w.domain()
					groups, err := c.NFSGroups(t.Context(), d.ID)
					w.must(err)
					var files, target string
					if custom {
						files, target = w.customFiles(groups.Inbound)
					}
					q := sagemakerdomain.DeleteDomainRequest{Domain: d.ID}
					switch home {
					case deleted:
						q.DeleteFileSystem = d.FileSystem
					case without:
						q.DeleteMountTargetsOf = d.FileSystem
					}
					would, err := c.PreviewDelete(t.Context(), q)
					w.must(err)
					stays, blocks := lines(would, domain.Stays), lines(would, domain.Blocks)
					begun := time.Now()
					err = c.DeleteDomain(t.Context(), q)
					switch left, lookErr := c.NFSGroups(t.Context(), d.ID); {
					case lookErr != nil:
						t.Fatal(lookErr)
					case home == kept:
						w.must(err)
						if left.Inbound != groups.Inbound || left.Outbound != "" {
							t.Errorf("left are %+v", left)
						}
						of := " of file system " + d.FileSystem
						for what, text := range map[string]string{"the preview": stays, "progress": told.String()} {
							if !strings.Contains(text, of) || strings.Contains(text, "mount target "+target+" of file system "+files) != custom {
								t.Errorf("%s does not tell what the group is kept for:\n%s", what, text)
							}
						}
						if blocks != "" {
							t.Errorf("it is blocked by %s", blocks)
						}
					case custom:
						w.is(err, domain.ErrState, "others use it, mount target "+target+" of file system "+files, "take it out of the group")
						if !strings.Contains(stays, "(others use it, mount target "+target+" of file system "+files) || strings.Contains(stays, d.FileSystem) != (home == without) || blocks != "" {
							t.Errorf("what stays is %q; it is blocked by %q", stays, blocks)
						}
						if left.Inbound != groups.Inbound || left.Outbound != "" {
							t.Errorf("left are %+v", left)
						}
						_, err = awsefs.NewFromConfig(w.cloud.Config()).DeleteMountTarget(t.Context(), &awsefs.DeleteMountTargetInput{MountTargetId: &target})
						w.must(err)
						w.must(c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: d.ID})) // it is going, which is waited for
						if left, err := c.NFSGroups(t.Context(), d.ID); err != nil || left != (sagemakerdomain.NFSGroups{}) {
							t.Errorf("left are %+v, %v", left, err)
						}
					default:
						w.must(err)
						if left != (sagemakerdomain.NFSGroups{}) || blocks != "" {
							t.Errorf("left are %+v, it was blocked by %s", left, blocks)
						}
					}
					if took := time.Since(begun); took > 20*time.Minute {
						t.Errorf("it took %v", took)
					}
				})
			})
		}
	}
}

// An interface that SageMaker has left without its tag is told by its description. The
// policy does not cover it: who may do what the policy says is told the statement that
// it takes, and everything that is covered is gone.
func TestInterfaceWithoutTag(t *testing.T) {
	var untagged string // the same in both bubbles
	for _, denied := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			cfg := slow(failing)
			if denied {
				cfg = slow(failing, fakeaws.Fault{Action: "ec2:DeleteNetworkInterface", Subject: untagged, Nth: 1, Status: 403, Code: "UnauthorizedOperation"})
			}
			w := newWorld(t, cfg)
			c, id := w.client(), w.busy()
			tagged := map[string]bool{}
			list, err := awsec2.NewFromConfig(w.cloud.Config()).DescribeNetworkInterfaces(t.Context(), &awsec2.DescribeNetworkInterfacesInput{
				Filters: []ec2types.Filter{{Name: aws.String("description"), Values: []string{"*SageMaker*"}}},
			})
			w.must(err)
			for _, n := range list.NetworkInterfaces {
				if tagged[*n.NetworkInterfaceId] = len(n.TagSet) > 0; len(n.TagSet) == 0 {
					untagged = *n.NetworkInterfaceId
				}
			}
			if len(tagged) < 3 || untagged == "" {
				t.Fatalf("interfaces with tags are %v", tagged)
			}
			statement := "ec2:DeleteNetworkInterface on arn:aws:ec2:us-east-1:123456789012:network-interface/" + untagged
			would, err := c.PreviewDelete(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: id})
			w.must(err)
			if got := lines(would, domain.Ends); strings.Count(got, "(of apps)") == 0 || !strings.Contains(got, "network interface "+untagged+" (of apps, without SageMaker's tag") || !strings.Contains(got, statement) {
				t.Errorf("the preview is\n%s", got)
			}
			err = c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: id})
			if denied {
				w.is(err, domain.ErrDenied, "SageMaker left "+untagged+" without its tag", "allow "+statement)
				for n := range tagged {
					if _, left := w.inventory()[n]; left != (n == untagged) {
						t.Errorf("interface %s with tag %t is left: %t", n, tagged[n], left)
					}
				}
				err = c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: id})
			}
			w.must(err)
			for what := range w.inventory() {
				if strings.HasPrefix(what, "eni-") {
					t.Errorf("there is still %s", what)
				}
			}
		})
	}
}

// One with a tag that may not be deleted is an ordinary refusal, and says nothing of tags.
func TestInterfaceThatMayNotBeDeleted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow(fakeaws.Fault{Action: "ec2:DeleteNetworkInterface", Status: 403, Code: "UnauthorizedOperation"}))
		d := w.domain()
		err := w.client().DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: d.ID})
		w.is(err, domain.ErrDenied, "what Policy lists")
		if strings.Contains(err.Error(), "without its tag") {
			t.Error(err)
		}
	})
}

// A preview lists what goes in the order in which it goes.
func TestPreviewDeleteInOrder(t *testing.T) {
	for _, with := range []string{"mount targets", "files"} {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, slow(failing))
			c, q := w.client(), sagemakerdomain.DeleteDomainRequest{Domain: w.busy()}
			if with == "files" {
				q.DeleteFileSystem = w.home
			} else {
				q.DeleteMountTargetsOf = w.home
			}
			groups, err := c.NFSGroups(t.Context(), q.Domain)
			w.must(err)
			would, err := c.PreviewDelete(t.Context(), q)
			w.must(err)
			var foretold, seen []string
			for _, line := range would {
				if thing := string(line.Thing); line.Fate == domain.Ends && thing != "file system" && (with != "files" || thing != "mount target") { // which SageMaker ends itself
					if thing == "security group" {
						thing = line.Detail
					}
					foretold = append(foretold, thing)
				}
			}
			before := len(w.cloud.Calls())
			w.must(c.DeleteDomain(t.Context(), q))
			for _, call := range w.cloud.Calls()[before:] {
				thing := map[string]string{
					"sagemaker:DeleteApp": "app", "sagemaker:DeleteSpace": "space", "sagemaker:DeleteUserProfile": "user profile", "sagemaker:DeleteDomain": "domain",
					"elasticfilesystem:DeleteMountTarget": "mount target", "ec2:DeleteNetworkInterface": "network interface", "ec2:DeleteSecurityGroup": call.Subject,
				}[call.Action]
				if thing != "" && call.Code == "" {
					seen = append(seen, thing)
				}
			}
			if foretold, seen = slices.Compact(foretold), slices.Compact(seen); !slices.Equal(foretold, seen) || seen[len(seen)-1] != groups.Inbound {
				t.Errorf("with %s: foretold are %q, and it went %q", with, foretold, seen)
			}
		})
	}
}

// A security group of SageMaker's own that stays, and whose rule names one that is to go, is told.
func TestRuleOfSageMakersOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		c, d := w.client(), w.domain()
		groups, err := c.NFSGroups(t.Context(), d.ID)
		w.must(err)
		ec2 := awsec2.NewFromConfig(w.cloud.Config())
		out, err := ec2.CreateSecurityGroup(t.Context(), &awsec2.CreateSecurityGroupInput{
			GroupName: aws.String("boundary"), Description: aws.String("stays"), VpcId: aws.String(w.cloud.DefaultVPC()),
			TagSpecifications: []ec2types.TagSpecification{{ResourceType: ec2types.ResourceTypeSecurityGroup, Tags: []ec2types.Tag{{Key: aws.String("ManagedByAmazonSageMakerResource"), Value: &d.ARN}}}},
		})
		w.must(err)
		time.Sleep(time.Minute)
		w.must(w.letIn(*out.GroupId, ec2types.IpPermission{UserIdGroupPairs: []ec2types.UserIdGroupPair{{GroupId: &groups.Outbound}}}))
		err = c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: d.ID})
		w.is(err, domain.ErrState, "rules of SageMaker's own security groups still name it, "+*out.GroupId+":", "delete those rules")
		_, err = ec2.DeleteSecurityGroup(t.Context(), &awsec2.DeleteSecurityGroupInput{GroupId: out.GroupId})
		w.must(err)
		w.must(c.DeleteDomain(t.Context(), sagemakerdomain.DeleteDomainRequest{Domain: d.ID}))
	})
}
