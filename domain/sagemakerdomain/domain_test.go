package sagemakerdomain_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

func TestCreateDomain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		d := w.domain()
		if d.Status != "InService" || d.Problem != nil || d.RStudio == nil || d.RStudio.Instance != "system" || d.RStudio.BoundaryGroup == "" ||
			d.FileSystem == "" || d.Name != "research" || d.AuthMode != "IAM" || d.NetworkType != "PublicInternetOnly" || d.DefaultAccess != sagemakerdomain.AccessUser ||
			d.RStudio.ConnectURL != "https://connect.example.com" || d.Tags["team"] != "science" || d.RestartDue {
			t.Errorf("got %+v", d)
		}
		again := w.domain()
		if again.ID != d.ID {
			t.Errorf("made %s and %s", d.ID, again.ID)
		}
		if all := collect(t, w.client().Domains(t.Context())); len(all) != 1 || all[0].ID != d.ID {
			t.Errorf("lists %+v", all)
		}
		groups, err := w.client().NFSGroups(t.Context(), d.ID)
		w.must(err)
		if groups.Inbound == "" || groups.Outbound == "" || groups.Inbound == groups.Outbound {
			t.Errorf("groups are %+v", groups)
		}
		q := w.request()
		q.KMSKey = "alias/other"
		_, err = w.client().CreateDomain(t.Context(), q)
		w.is(err, domain.ErrConflict, "KMS key is", d.ID)
		_, err = w.client().Describe(t.Context(), "d-none")
		w.is(err, domain.ErrNotFound)
	})
}

// All that is wrong is said at once, before anything is made.
func TestCreateDomainReportsEverything(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{License: fakeaws.LicensePending, Quotas: map[string]int{"Total domains": 0}})
		before := kindsOf(w.inventory())
		q := sagemakerdomain.CreateDomainRequest{
			Name: "re search", VPC: w.cloud.DefaultVPC(), Subnets: []string{w.cloud.Subnets()[0].ID, "subnet-0000", "subnet-0000"}, NetworkType: "VpcOnly",
			AuthMode: "LDAP", ExecutionRole: "arn:aws:iam::123456789012:role/nobody", DomainExecutionRole: "arn:aws:iam::123456789012:role/ec2only",
			SecurityGroups: []string{"sg-0001", "sg-0002", "sg-0003"}, KMSKey: "no key", WorkbenchInstance: "ml.m5.large", ConnectURL: "ftp://x",
			PackageManagerURL: "packages", SessionInstance: "r5.large", DefaultAccess: "root", Tags: map[string]string{"atelier:x": "y"},
		}
		_, err := w.client().CreateDomain(t.Context(), q)
		w.is(err, domain.ErrInvalid, `domain "re search"`, "subnet subnet-0000 is given twice", "subnet-0000 does not exist", "auth mode", "role/nobody does not exist",
			"does not let sagemaker.amazonaws.com assume it", "3 security groups: with RStudio and VpcOnly want at most 2", "sg-0001 does not exist", "KMS key", "workbench instance",
			"connect URL", "package manager URL", "session instance", "default access", "atelier:x", "granted and not accepted", "quota of 0 domains", "L-B683BCB0")
		for _, kind := range []domain.Kind{domain.ErrState, domain.ErrQuota} {
			w.is(err, kind)
		}
		if after := kindsOf(w.inventory()); after != before {
			t.Errorf("it made something: %s", after)
		}
	})
}

// "no licence → domain creation fails": it is looked for before.
func TestTrapLicense(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		w.cloud.SetLicense(fakeaws.LicenseMissing)
		_, err := w.client().CreateDomain(t.Context(), w.request())
		w.is(err, domain.ErrState, "RSW-SageMaker is not granted", "us-east-1")
		w.cloud.SetLicense(fakeaws.LicensePending)
		_, err = w.client().CreateDomain(t.Context(), w.request())
		w.is(err, domain.ErrState, "not accepted")
		if all := collect(t, w.client().Domains(t.Context())); len(all) != 0 {
			t.Errorf("there are %+v", all)
		}
	})
}

// There is no client token: an answer that is lost does not make a second domain.
func TestTrapNoClientToken(t *testing.T) {
	for name, fault := range map[string]fakeaws.Fault{
		"lost":      {Action: "sagemaker:CreateDomain", Nth: 1, After: true},
		"throttled": {Action: "sagemaker:CreateDomain", Nth: 1, Status: 400, Code: "ThrottlingException"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, slow(fault))
				w.domain()
				if w.cloud.Injected() == 0 {
					t.Error("nothing was injected")
				}
				if all := collect(t, w.client().Domains(t.Context())); len(all) != 1 {
					t.Errorf("there are %d domains", len(all))
				}
			})
		})
	}
	t.Run("not made", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, slow(fakeaws.Fault{Action: "sagemaker:CreateDomain", Nth: 1}))
			_, err := w.client().CreateDomain(t.Context(), w.request())
			w.is(err, domain.ErrUnavailable, "the answer was lost", "call again")
			w.domain()
			if all := collect(t, w.client().Domains(t.Context())); len(all) != 1 {
				t.Errorf("there are %d domains", len(all))
			}
		})
	})
}

// Two processes that create at the same time are told of it.
func TestTrapTwins(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		done := make(chan error, 2)
		for range 2 {
			c := w.client()
			go func() {
				_, err := c.CreateDomain(t.Context(), w.request())
				done <- err
			}()
		}
		for range 2 {
			w.is(<-done, domain.ErrConflict, "more than once", "DeleteDomain")
		}
	})
}

func TestTrapNamesAreNotUnique(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		w.inService(w.raw(nil))
		_, err := w.client().CreateDomain(t.Context(), w.request())
		w.is(err, domain.ErrConflict, "was not made by this package")
	})
}

// Reasons of failures are read out and explained.
func TestTrapFailureReason(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow(fakeaws.Fault{Action: "sagemaker:CreateDomain", Reason: "AccessDenied: the role may not create network interfaces"}))
		_, err := w.client().CreateDomain(t.Context(), w.request())
		w.is(err, domain.ErrDenied, "the role may not create network interfaces", "delete it and create it again", "an administrator")
		for d, err := range w.client().Domains(t.Context()) {
			w.must(err)
			about, err := w.client().Describe(t.Context(), d.ID)
			w.must(err)
			w.is(about.Problem, domain.ErrDenied, "is Failed")
		}
	})
}

// AppSecurityGroupManagement has to be Service with VpcOnly and RStudio.
func TestTrapVpcOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		q := w.request()
		q.NetworkType = "VpcOnly"
		_, err := w.client().CreateDomain(t.Context(), q)
		w.is(err, domain.ErrInvalid, "want one at least")
		q.SecurityGroups = []string{w.group("apps")}
		more := []string{w.group("a"), w.group("b")}
		time.Sleep(time.Minute)
		d, err := w.client().CreateDomain(t.Context(), q)
		w.must(err)
		if d.NetworkType != "VpcOnly" || len(d.SecurityGroups) != 1 {
			t.Errorf("got %+v", d)
		}
		_, err = w.client().CreateProfile(t.Context(), sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "alice", SecurityGroups: more})
		w.is(err, domain.ErrInvalid, "3 security groups, 1 of them the domain's", "at most 2")
		_, err = w.client().UpdateDomain(t.Context(), sagemakerdomain.UpdateDomainRequest{Domain: d.ID, NetworkType: "PublicInternetOnly"})
		w.is(err, domain.ErrState, "for ever")
	})
}

// What a caller may not read is not held against the request, and said.
func TestCheckDomainSaysWhatItCannot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{
			{Action: "iam:GetRole", Status: 403, Code: "AccessDenied"}, {Action: "servicequotas:*", Status: 403, Code: "AccessDeniedException"},
			{Action: "license-manager:*", Status: 403, Code: "AccessDeniedException"}, {Action: "ec2:DescribeSubnets", Status: 403, Code: "UnauthorizedOperation"},
		}})
		q := w.request()
		q.KMSKey = "alias/mine"
		unchecked, err := w.client().CheckDomain(t.Context(), q)
		w.must(err)
		for _, what := range []string{"the network", "the execution role", "the domain execution role", "the licence", "the quotas", "KMS key"} {
			if !strings.Contains(strings.Join(unchecked, "\n"), what) {
				t.Errorf("%q does not say %q", unchecked, what)
			}
		}
	})
}

// Tags are the caller's to choose as far as there is room, and their lengths are in characters.
func TestTags(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		many := func(n int) map[string]string {
			tags := map[string]string{strings.Repeat("ä", 128): strings.Repeat("ü", 256)}
			for i := range n - 1 {
				tags[fmt.Sprint("team", i)] = "science"
			}
			return tags
		}
		c, q := w.client(), w.request()
		q.Tags = many(49)
		_, err := c.CreateDomain(t.Context(), q)
		w.is(err, domain.ErrInvalid, "49 tags: want at most 48")
		q.Tags = many(48)
		d, err := c.CreateDomain(t.Context(), q)
		w.must(err)
		p := sagemakerdomain.ProfileRequest{Domain: d.ID, Name: "alice", Tags: many(51)}
		p.Tags["aws:x"], p.Tags["atelier:x"], p.Tags[strings.Repeat("ä", 129)] = "", "", ""
		_, err = c.CreateProfile(t.Context(), p)
		w.is(err, domain.ErrInvalid, "54 tags: want at most 50", `tag "aws:x"`, `tag "atelier:x"`, `tag "ääää`)
		p.Tags = many(50)
		for range 2 {
			alice, err := c.CreateProfile(t.Context(), p)
			w.must(err)
			out, err := w.sm.ListTags(t.Context(), &awssagemaker.ListTagsInput{ResourceArn: &alice.ARN, MaxResults: aws.Int32(100)})
			w.must(err)
			if len(out.Tags) != 50 {
				t.Errorf("the profile has %d tags", len(out.Tags))
			}
		}
		_, err = c.RegisterImage(t.Context(), sagemakerdomain.RegisterImageRequest{Name: "r", Role: userRole, Tags: many(51)})
		w.is(err, domain.ErrInvalid, "51 tags: want at most 50")
		_, err = c.RegisterImage(t.Context(), sagemakerdomain.RegisterImageRequest{Name: "r", Role: userRole, Tags: many(50)})
		w.must(err)
	})
}

// A key that a second call names otherwise is no other, and a role that everyone may assume no
// wrong one.
func TestCreateDomainInOtherWords(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		_, err := awsiam.NewFromConfig(w.cloud.Config()).CreateRole(t.Context(), &awsiam.CreateRoleInput{
			RoleName: aws.String("open"), AssumeRolePolicyDocument: aws.String(strings.Replace(trust, `{"Service":"sagemaker.amazonaws.com"}`, `"*"`, 1)),
		})
		w.must(err)
		q := w.request()
		q.ExecutionRole = strings.Replace(userRole, "studio", "open", 1)
		const id, arn = "1234abcd-12ab-34cd-56ef-1234567890ab", "arn:aws:kms:us-east-1:123456789012:"
		for _, q.KMSKey = range []string{id, arn + "key/" + id, "alias/mine", arn + "alias/mine"} {
			_, err := w.client().CreateDomain(t.Context(), q)
			w.must(err)
		}
		q.KMSKey = arn + "key/" + strings.Replace(id, "1234", "5678", 1)
		_, err = w.client().CreateDomain(t.Context(), q)
		w.is(err, domain.ErrConflict, "KMS key is "+id+", not "+q.KMSKey)
	})
}

// A domain that is there and another than what is asked for is refused member by member, with what
// can be done about it; what is said in other words, or not at all, is no difference.
func TestCreateDomainThatDiffers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		d := w.domain()
		subnets := strings.Join(d.Subnets, ", ")
		const change, other = "; ask for what there is, or change it by UpdateDomain", "; ask for what there is, or for a domain of another name"
		for name, test := range map[string]struct {
			change func(*sagemakerdomain.CreateDomainRequest)
			want   string
		}{
			"tags":      {func(q *sagemakerdomain.CreateDomainRequest) { q.Tags = map[string]string{"team": "art"} }, ""},
			"no access": {func(q *sagemakerdomain.CreateDomainRequest) { q.DefaultAccess = "" }, ""},
			"instances": {func(q *sagemakerdomain.CreateDomainRequest) {
				q.SessionInstance, q.WorkbenchInstance = "ml.t3.medium", "system"
			}, ""},
			"administrator":    {func(q *sagemakerdomain.CreateDomainRequest) { q.DefaultAccess = sagemakerdomain.AccessAdmin }, "differs: default access is user, not admin" + change},
			"off":              {func(q *sagemakerdomain.CreateDomainRequest) { q.DefaultAccess = sagemakerdomain.AccessOff }, "differs: default access is user, not off" + change},
			"session instance": {func(q *sagemakerdomain.CreateDomainRequest) { q.SessionInstance = "ml.m5.large" }, "differs: session instance is ml.t3.medium, not ml.m5.large" + change},
			"URLs": {func(q *sagemakerdomain.CreateDomainRequest) {
				q.ConnectURL, q.PackageManagerURL = "", "https://p.example.com"
			},
				"differs: connect URL is https://connect.example.com, not none; package manager URL is none, not https://p.example.com" + change},
			"server": {func(q *sagemakerdomain.CreateDomainRequest) {
				q.DomainExecutionRole, q.WorkbenchInstance = userRole, "ml.c5.4xlarge"
			},
				"differs: domain execution role is " + serverRole + ", not " + userRole + "; workbench instance is system, not ml.c5.4xlarge" + change},
			"groups":  {func(q *sagemakerdomain.CreateDomainRequest) { q.SecurityGroups = []string{"sg-1", "sg-2"} }, "differs: security groups are none, not sg-1, sg-2" + change},
			"subnets": {func(q *sagemakerdomain.CreateDomainRequest) { q.Subnets = q.Subnets[:1] }, "differs: subnets are " + subnets + ", not " + d.Subnets[0] + change},
			"VPC":     {func(q *sagemakerdomain.CreateDomainRequest) { q.VPC = "vpc-1" }, "differs: VPC is " + d.VPC + ", not vpc-1, for ever" + other},
			"sign-in": {func(q *sagemakerdomain.CreateDomainRequest) { q.AuthMode = "SSO" }, "differs: auth mode is IAM, not SSO, for ever" + other},
			"network": {func(q *sagemakerdomain.CreateDomainRequest) {
				q.NetworkType, q.SecurityGroups = "VpcOnly", []string{"sg-1"}
			},
				"differs: network type is PublicInternetOnly, not VpcOnly, for ever; security groups are none, not sg-1; ask for what there is, or change by UpdateDomain what is not for ever"},
		} {
			q := w.request()
			test.change(&q)
			is, err := w.client().CreateDomain(t.Context(), q)
			switch {
			case test.want != "":
				w.is(err, domain.ErrConflict, "domain "+d.ID+" has the name and "+test.want)
			case err != nil || is.ID != d.ID:
				t.Errorf("%s: %s, %v", name, is.ID, err)
			}
		}
	})
	bubble(t, func(t *testing.T) { // without RStudio the network is not for ever
		w := newWorld(t, fakeaws.Config{})
		id := w.raw(func(in *awssagemaker.CreateDomainInput) { ours(in); bare(in) })
		w.inService(id)
		q := w.request()
		q.NetworkType, q.SecurityGroups = "VpcOnly", []string{"sg-1"}
		_, err := w.client().CreateDomain(t.Context(), q)
		w.is(err, domain.ErrConflict, "network type is PublicInternetOnly, not VpcOnly; security groups", "RStudio is off; ask for what there is, or change it by UpdateDomain")
	})
}
