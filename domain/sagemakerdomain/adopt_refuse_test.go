package sagemakerdomain_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awslicenses "github.com/aws/aws-sdk-go-v2/service/licensemanager"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	awsquotas "github.com/aws/aws-sdk-go-v2/service/servicequotas"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/image"
)

// uids answers with other user ids of profiles than SageMaker's.
type uids struct {
	sagemakerdomain.API
	of map[string]string
}

func (u uids) DescribeUserProfile(ctx context.Context, in *awssagemaker.DescribeUserProfileInput, o ...func(*awssagemaker.Options)) (*awssagemaker.DescribeUserProfileOutput, error) {
	out, err := u.API.DescribeUserProfile(ctx, in, o...)
	if uid := u.of[aws.ToString(in.UserProfileName)]; err == nil && uid != "" {
		out.HomeEfsFileSystemUid = &uid
	}
	return out, err
}

// withUIDs is a client to which profiles have other user ids.
func (w *world) withUIDs(of map[string]string) *sagemakerdomain.Client {
	w.Helper()
	cfg := w.cloud.Config()
	c, err := sagemakerdomain.New(cfg.Region, sagemakerdomain.Services{
		SageMaker: uids{w.sm, of}, EC2: awsec2.NewFromConfig(cfg), EFS: awsefs.NewFromConfig(cfg), IAM: awsiam.NewFromConfig(cfg),
		Licenses: awslicenses.NewFromConfig(cfg), Quotas: awsquotas.NewFromConfig(cfg), Images: image.NewFromConfig(cfg, image.Config{}),
	}, sagemakerdomain.Config{})
	w.must(err)
	return c
}

// small makes a domain of SageMaker's in the first zone alone.
func (w *world) small() sagemakerdomain.Description {
	w.Helper()
	q := w.request()
	q.Subnets = q.Subnets[:1]
	d, err := w.client().CreateDomain(w.Context(), q)
	w.must(err)
	return d
}

// TestAdoptBlockedByCreate: for whatever Create would refuse our domain, the preview has a line
// that blocks, in the same words, and nothing is made.
func TestAdoptBlockedByCreate(t *testing.T) {
	type attempt struct {
		*world
		source sagemakerdomain.Description
		to     *domain.Client
		q      sagemakerdomain.AdoptRequest
	}
	taken := func(a *attempt) {
		a.group("atelier-research-hosts")
		time.Sleep(time.Minute)
	}
	adopted := func(a *attempt) *domain.Domain {
		d, err := a.client().Adopt(a.Context(), a.to, a.q)
		a.must(err)
		return d
	}
	for name, test := range map[string]struct {
		faults []fakeaws.Fault
		before func(*attempt)
		kind   domain.Kind
		want   []string // what a blocking line says, each
	}{
		"Name":        {before: func(a *attempt) { a.q.Name = "My\nlab" }, kind: domain.ErrInvalid, want: []string{`domain "My\nlab" has`}},
		"Policy":      {before: func(a *attempt) { a.q.Policy.Types = []string{"x", "zz9.*"} }, kind: domain.ErrInvalid, want: []string{`policy: instance type "x"`, `policy: instance types "zz9.*"`}},
		"Sharing":     {before: func(a *attempt) { a.q.Policy.Sharing = "everybody" }, kind: domain.ErrInvalid, want: []string{`policy: sharing "everybody"`}},
		"Zone":        {before: func(a *attempt) { a.q.Subnets = []string{a.cloud.Subnets()[0].ID, a.cloud.Subnets()[1].ID} }, kind: domain.ErrInvalid, want: []string{"has no mount target: leave it out"}},
		"Subnet":      {before: func(a *attempt) { a.q.Subnets = []string{"subnet-00000001"} }, kind: domain.ErrInvalid, want: []string{"subnet subnet-00000001 does not exist"}},
		"SubnetTwice": {before: func(a *attempt) { a.q.Subnets = []string{a.source.Subnets[0], a.source.Subnets[0]} }, kind: domain.ErrInvalid, want: []string{"is listed twice"}},
		"VPC": {before: func(a *attempt) {
			vpc, err := a.cloud.AddVPC()
			a.must(err)
			s, err := a.cloud.AddSubnet(vpc, "us-east-1a")
			a.must(err)
			a.q.Subnets = []string{s.ID}
		}, kind: domain.ErrInvalid, want: []string{", not in vpc-"}},
		"FileSystemGone": {before: func(a *attempt) {
			efs := awsefs.NewFromConfig(a.cloud.Config())
			targets, err := efs.DescribeMountTargets(a.Context(), &awsefs.DescribeMountTargetsInput{FileSystemId: &a.source.FileSystem})
			a.must(err)
			for _, m := range targets.MountTargets {
				_, err = efs.DeleteMountTarget(a.Context(), &awsefs.DeleteMountTargetInput{MountTargetId: m.MountTargetId})
				a.must(err)
			}
			time.Sleep(5 * time.Minute)
			_, err = efs.DeleteFileSystem(a.Context(), &awsefs.DeleteFileSystemInput{FileSystemId: &a.source.FileSystem})
			a.must(err)
			time.Sleep(5 * time.Minute)
		}, kind: domain.ErrInvalid, want: []string{"does not exist in us-east-1"}},
		"Foreign": {before: taken, kind: domain.ErrConflict, want: []string{"is already called atelier-research-hosts and lacks the tag"}},
		"Predecessor": {before: func(a *attempt) {
			d, err := a.to.Create(a.Context(), domain.CreateRequest{Name: "research", VPC: a.source.VPC, Subnets: a.source.Subnets})
			a.must(err)
			_, err = d.Onboard(a.Context(), domain.OnboardRequest{User: "ada"})
			a.must(errors.Join(err, d.Offboard(a.Context(), "ada"), a.to.Delete(a.Context(), "research")))
		}, kind: domain.ErrConflict, want: []string{"an earlier domain of this name had users with homes on another file system"}},
		"Deleting": {
			faults: []fakeaws.Fault{{Action: "ec2:DeleteSecurityGroup", Status: 403, Code: "UnauthorizedOperation"}},
			before: func(a *attempt) {
				d := adopted(a)
				a.must(d.Offboard(a.Context(), "ada"))
				a.is(a.to.Delete(a.Context(), "research"), domain.ErrDenied)
			}, kind: domain.ErrState, want: []string{"the domain is being deleted"},
		},
		"Region": {before: func(a *attempt) {
			cfg := a.cloud.Config()
			elsewhere, err := domain.New("eu-west-1", awsec2.NewFromConfig(cfg), awsefs.NewFromConfig(cfg), domain.Config{Store: a.records, Images: image.NewFromConfig(cfg, image.Config{})})
			a.must(err)
			_, err = elsewhere.Create(a.Context(), domain.CreateRequest{Name: "research", VPC: a.source.VPC, Subnets: a.source.Subnets})
			a.must(err)
		}, kind: domain.ErrConflict, want: []string{"its region is eu-west-1"}},
		"ManyGroups": {before: func(a *attempt) {
			more := []string{a.group("a"), a.group("b"), a.group("c")}
			time.Sleep(time.Minute)
			a.must(adopted(a).SetHostSecurityGroups(a.Context(), more))
		}, kind: domain.ErrInvalid, want: []string{"4 security groups of hosts: want at most 3"}},
		"All": {before: func(a *attempt) {
			taken(a)
			a.q.Policy = domain.Policy{Types: []string{"x"}, Images: []string{"a/b"}}
			a.q.Subnets = []string{a.cloud.Subnets()[1].ID}
		}, kind: domain.ErrInvalid, want: []string{`policy: instance type "x"`, `policy: image "a/b"`, "has no mount target", "is already called"}},
		"AllWithoutFileSystem": {before: func(a *attempt) {
			a.q.ID = a.raw(func(in *awssagemaker.CreateDomainInput) {
				bare(in)
				in.HomeEfsFileSystemCreation = types.HomeEfsFileSystemCreationDisabled
			})
			time.Sleep(3 * time.Second) // what was just made may be invisible
			a.q.Policy.Types = []string{"x"}
		}, kind: domain.ErrInvalid, want: []string{"it is Pending", "the domain has none", `policy: instance type "x"`}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, slow(test.faults...))
				w.records = store.NewMemory()
				a := &attempt{world: w, source: w.small(), to: w.domains(w.records)}
				w.profile(a.source.ID, "ada")
				a.q = sagemakerdomain.AdoptRequest{ID: a.source.ID, Name: "research"}
				test.before(a)
				before, had := w.inventory(), w.stored()
				would, err := w.client().PreviewAdopt(t.Context(), a.to, a.q)
				w.must(err)
				blocks := lines(would, domain.Blocks)
				_, err = w.client().Adopt(t.Context(), a.to, a.q)
				w.is(err, test.kind, test.want...)
				if e, ok := errors.AsType[*sagemakerdomain.Error](err); !ok || e.Kind != test.kind {
					t.Errorf("%v is not %q first", err, test.kind)
				}
				for _, want := range test.want {
					if !strings.Contains(blocks, want) {
						t.Errorf("it is blocked by %q, which does not say %q", blocks, want)
					}
				}
				n := 0
				for _, c := range would {
					if c.Fate == domain.Blocks {
						n++
						w.is(err, test.kind, c.Detail)
					}
				}
				if n != len(test.want) {
					t.Errorf("it is blocked by %d things, want %d:\n%s", n, len(test.want), blocks)
				}
				if strings.Count(lines(would), "\n") != len(would)-1 {
					t.Errorf("a line of %q is broken", would)
				}
				if got := lines(would); strings.Contains(got, "makes: domain") || strings.Contains(got, "subnet-00000001 (") {
					t.Errorf("it says what cannot be:\n%s", got)
				}
				if got := differs(before, w.inventory()); got != "" && name != "AllWithoutFileSystem" {
					t.Errorf("refused, it changes %s", got)
				}
				if has := w.stored(); !slices.Equal(has, had) {
					t.Errorf("refused, it leaves the records %v, before %v", has, had)
				}
			})
		})
	}
}

// stored are the domains and users that there are records of, with their versions.
func (w *world) stored() (all []string) {
	w.Helper()
	for _, collection := range []string{"domains", "domains/research/users"} {
		for r, err := range w.records.List(w.Context(), collection, "") {
			w.must(err)
			all = append(all, fmt.Sprintf("%s %s %d", collection, r.ID, r.Version))
		}
	}
	return all
}

// TestAdoptLeavesOut: who cannot be a user is left out, and the preview says why; nobody is for
// that taken for gone.
func TestAdoptLeavesOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		source := w.domain()
		for _, name := range []string{"ada", "root", "low", "high"} {
			w.profile(source.ID, name)
		}
		c := w.withUIDs(map[string]string{"low": "65535", "high": "2147483647"})
		to := w.domains(store.NewMemory())
		q := sagemakerdomain.AdoptRequest{ID: source.ID, Name: "research"}
		would, err := c.PreviewAdopt(t.Context(), to, q)
		w.must(err)
		for _, want := range []string{
			"stays: user root (profile root is left out: user root has no other login: login root: is a name that Linux has",
			"want another, by Login; name the user of this profile by AdoptRequest.Users)",
			"stays: user low (profile low is left out: uid 65535: want 65536 to 2147483646)",
			"stays: user high (profile high is left out: uid 2147483647: want 65536 to 2147483646)",
		} {
			if !strings.Contains(lines(would), want) {
				t.Errorf("it does not say %q:\n%s", want, lines(would))
			}
		}
		d, err := c.Adopt(t.Context(), to, q)
		w.must(err)
		if got := userNames(t, d); got != "ada" {
			t.Errorf("users are %s", got)
		}
		q.Users = map[string]string{"root": "superuser"}
		_, err = c.Adopt(t.Context(), to, q)
		w.must(err)
		if got := userNames(t, d); got != "ada, superuser" {
			t.Errorf("users are %s", got)
		}
	})
}

// userNames are the users of a domain who are not offboarded.
func userNames(t testing.TB, d *domain.Domain) string {
	t.Helper()
	var names []string
	for _, u := range collect(t, d.Users(t.Context())) {
		if u.Offboarded.IsZero() {
			names = append(names, u.Name)
		}
	}
	return strings.Join(names, ", ")
}
