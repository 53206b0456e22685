package sagemakerdomain_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestAdoptReach: where the mount targets do not let our hosts in, the plan is blocked, before and
// after, and says what to add; what lets them in by another rule is fine.
func TestAdoptReach(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		source := w.domain()
		w.profile(source.ID, "ada")
		c, to := w.client(), w.domains(store.NewMemory())
		q := sagemakerdomain.AdoptRequest{ID: source.ID, Name: "research"}
		d, err := c.Adopt(t.Context(), to, q)
		w.must(err)
		groups, err := c.NFSGroups(t.Context(), source.ID)
		w.must(err)
		ec2 := awsec2.NewFromConfig(w.cloud.Config())
		found, err := ec2.DescribeSecurityGroups(t.Context(), &awsec2.DescribeSecurityGroupsInput{GroupIds: []string{groups.Inbound}})
		w.must(err)
		_, err = ec2.RevokeSecurityGroupIngress(t.Context(), &awsec2.RevokeSecurityGroupIngressInput{GroupId: &groups.Inbound, IpPermissions: found.SecurityGroups[0].IpPermissions})
		w.must(err)
		check := func(blocked bool, says string) {
			t.Helper()
			for name, to := range map[string]*domain.Client{"again": to, "anew": w.domains(store.NewMemory())} {
				would, err := c.PreviewAdopt(t.Context(), to, q)
				w.must(err)
				if got := lines(would, domain.Blocks); (got != "") != blocked {
					t.Errorf("%s: it is blocked by %q", name, got)
				}
				if got := lines(would); !strings.Contains(got, says) {
					t.Errorf("%s: it says\n%s\nwant %q", name, got, says)
				}
			}
			_, err := c.Adopt(t.Context(), to, q)
			if blocked {
				w.is(err, domain.ErrState, "TCP 2049 from "+groups.Outbound)
			} else {
				w.must(err)
			}
		}
		check(true, "TCP 2049 from "+groups.Outbound+")")
		differences, err := c.Diff(t.Context(), d)
		w.must(err)
		if got := lines(differences); !strings.HasPrefix(got, "blocks: security group "+groups.Inbound+" (lets none of our hosts in at fsmt-") || len(differences) != 1 {
			t.Errorf("they differ by %s", got)
		}
		// By another group nobody knows.
		other := w.group("other")
		time.Sleep(time.Minute)
		w.must(w.letIn(groups.Inbound, ec2types.IpPermission{UserIdGroupPairs: []ec2types.UserIdGroupPair{{GroupId: &other}}}))
		check(false, "lets TCP 2049 in by "+other+", of which nobody here knows whether our hosts are in it")
		w.must(w.letIn(groups.Inbound, ec2types.IpPermission{IpRanges: []ec2types.IpRange{{CidrIp: new("0.0.0.0/0")}}}))
		check(false, "")
		if differences, err := c.Diff(t.Context(), d); err != nil || len(differences) > 0 {
			t.Errorf("they differ: %v, %v", differences, err)
		}
	})
	// Who may not ask is told so.
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow(fakeaws.Fault{Action: "elasticfilesystem:DescribeMountTargetSecurityGroups", Status: 403, Code: "AccessDeniedException"}))
		source := w.small()
		would, err := w.client().PreviewAdopt(t.Context(), w.domains(store.NewMemory()), sagemakerdomain.AdoptRequest{ID: source.ID, Name: "research"})
		w.must(err)
		if got := lines(would); !strings.Contains(got, "stays: file system "+source.FileSystem+" (whether its mount targets let our hosts in was not looked at") || strings.Contains(got, "blocks") {
			t.Errorf("it says\n%s", got)
		}
	})
}

// TestAdoptAtOnce: of two that adopt one domain at once under two names one has all homes, and the
// other none.
func TestAdoptAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		source := w.domain()
		for _, name := range []string{"ada", "bob", "carol"} {
			w.profile(source.ID, name)
		}
		names := []string{"one", "two"}
		clients := map[string]*domain.Client{"one": w.domains(store.NewMemory()), "two": w.domains(store.NewMemory())}
		adopt := func(name string) error {
			_, err := w.client().Adopt(t.Context(), clients[name], sagemakerdomain.AdoptRequest{ID: source.ID, Name: name})
			return err
		}
		results := make([]chan error, len(names))
		for n, name := range names {
			results[n] = make(chan error, 1)
			go func() { results[n] <- adopt(name) }()
		}
		errs := []error{<-results[0], <-results[1]}
		won := 0
		if errs[0] != nil {
			won = 1
		}
		winner, loser := names[won], names[1-won]
		w.must(errs[won])
		w.is(errs[1-won], domain.ErrConflict, "domain "+winner+" was adopted meanwhile, and home /", "offboard the users of "+loser)
		efs := awsefs.NewFromConfig(w.cloud.Config())
		points, err := efs.DescribeAccessPoints(t.Context(), &awsefs.DescribeAccessPointsInput{FileSystemId: &source.FileSystem})
		w.must(err)
		count := map[string]int{}
		for _, p := range points.AccessPoints {
			for _, tag := range p.Tags {
				if *tag.Key == domain.TagDomain {
					count[*tag.Value]++
				}
			}
		}
		if count[winner] != 3 || count[loser] != 0 {
			t.Errorf("homes are %v, and %s has won", count, winner)
		}
		w.must(adopt(winner))
		w.is(adopt(loser), domain.ErrState, "is that of user ada of domain "+winner)
		d, err := clients[loser].Get(t.Context(), loser) // as it was told
		w.must(err)
		for u, err := range d.Users(t.Context()) {
			w.must(errors.Join(err, d.Offboard(t.Context(), u.Name)))
		}
		w.must(clients[loser].Delete(t.Context(), loser))
	})
}

// TestAdoptedIsGone: when SageMaker's domain is gone, ours says so, and what to do.
func TestAdoptedIsGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		id := w.raw(bare)
		w.inService(id)
		time.Sleep(5 * time.Second)
		c, to := w.client(), w.domains(store.NewMemory())
		q := sagemakerdomain.AdoptRequest{ID: id, Name: "research"}
		source, err := c.Describe(t.Context(), id)
		w.must(err)
		d, err := c.Adopt(t.Context(), to, q)
		w.must(err)
		_, err = w.sm.DeleteDomain(t.Context(), &awssagemaker.DeleteDomainInput{DomainId: &id}) // its files stay
		w.must(err)
		w.settle(func() bool {
			_, err := c.Describe(t.Context(), id)
			return errors.Is(err, domain.ErrNotFound)
		})
		gone := func(want string) {
			t.Helper()
			differences, err := c.Diff(t.Context(), d)
			w.must(err)
			if got := lines(differences); !strings.HasPrefix(got, "blocks: domain "+id+" (SageMaker has it no more") || !strings.Contains(got, want) || len(differences) != 1 {
				t.Errorf("they differ by %q, want %q", got, want)
			}
			would, err := c.PreviewAdopt(t.Context(), to, q)
			w.must(err)
			if lines(would) != lines(differences) {
				t.Errorf("the preview says %s", lines(would))
			}
			_, err = c.Adopt(t.Context(), to, q)
			w.is(err, domain.ErrState, differences[0].Detail)
		}
		gone("the homes stay on " + source.FileSystem)
		_, err = c.Adopt(t.Context(), to, sagemakerdomain.AdoptRequest{ID: id, Name: "other"})
		w.is(err, domain.ErrNotFound, "SageMaker has no domain "+id+" in us-east-1")
		efs := awsefs.NewFromConfig(w.cloud.Config())
		targets, err := efs.DescribeMountTargets(t.Context(), &awsefs.DescribeMountTargetsInput{FileSystemId: &source.FileSystem})
		w.must(err)
		for _, m := range targets.MountTargets {
			_, err = efs.DeleteMountTarget(t.Context(), &awsefs.DeleteMountTargetInput{MountTargetId: m.MountTargetId})
			w.must(err)
		}
		time.Sleep(5 * time.Minute)
		_, err = efs.DeleteFileSystem(t.Context(), &awsefs.DeleteFileSystemInput{FileSystemId: &source.FileSystem})
		w.must(err)
		time.Sleep(5 * time.Minute)
		gone("the homes are gone with " + source.FileSystem)
	})
}
