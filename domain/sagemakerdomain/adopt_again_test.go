package sagemakerdomain_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// TestAdoptAfterLoss: with our records lost, everybody has the uid, the home and the access point
// of before, also under a name that was given by Users; what nobody knows is said.
func TestAdoptAfterLoss(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		source := w.domain()
		for _, name := range []string{"ada", "bob", "somebody-whose-name-is-long"} {
			w.profile(source.ID, name)
		}
		c, q := w.client(), sagemakerdomain.AdoptRequest{ID: source.ID, Name: "research", Users: map[string]string{"somebody-whose-name-is-long": "somebody"}}
		d, err := c.Adopt(t.Context(), w.domains(store.NewMemory()), q)
		w.must(err)
		_, err = d.Onboard(t.Context(), domain.OnboardRequest{User: "ada", UID: w.profile(source.ID, "ada").UID, Login: "ada.l", Groups: []string{"staff"}})
		w.must(err)
		w.must(d.SetPolicy(t.Context(), domain.Policy{Sessions: 3}))
		w.must(d.SetGroupPolicy(t.Context(), "staff", &domain.Policy{Sessions: 2}))
		project, err := d.CreateProject(t.Context(), domain.CreateProjectRequest{Name: "genome", Groups: []string{"staff"}})
		w.must(err)
		w.must(d.Offboard(t.Context(), "bob"))
		had := collect(t, d.Users(t.Context()))

		before := w.inventory()
		q.Users, w.records = nil, store.NewMemory()
		to := w.domains(w.records)
		would, err := c.PreviewAdopt(t.Context(), to, q)
		w.must(err)
		text := replaced(lines(would)+"\n", w, source)
		for id := range before {
			if found := fmt.Sprintf("(%s of our hosts, found again", id); strings.Contains(text, found) {
				text = strings.ReplaceAll(text, found, "(HOSTS of our hosts, found again")
			}
		}
		golden(t, "adopt-again.golden", text)
		d, err = c.Adopt(t.Context(), to, q)
		w.must(err)
		if got := differs(before, w.inventory()); got != "" {
			t.Errorf("adopting again changes %s", got)
		}
		has := collect(t, d.Users(t.Context()))
		if len(has) != len(had) {
			t.Fatalf("users are %+v, were %+v", has, had)
		}
		for i, u := range has {
			if was := had[i]; u.Name != was.Name || u.UID != was.UID || u.GID != was.GID || u.Home != was.Home {
				t.Errorf("%+v was %+v", u, was)
			}
			if u.Login != u.Name || u.Groups != nil || !u.Offboarded.IsZero() {
				t.Errorf("the preview says that nobody knows what is known of %+v", u)
			}
		}
		if about, err := d.Describe(t.Context()); err != nil || about.Policy.Sessions != 0 || len(about.GroupPolicies) > 0 {
			t.Errorf("%+v, %v", about, err)
		}
		if again, err := d.CreateProject(t.Context(), domain.CreateProjectRequest{Name: "genome"}); err != nil || again.GID != project.GID || again.Directory != project.Directory {
			t.Errorf("the project is %+v, was %+v, %v", again, project, err)
		}
		// With the records there is nothing to tell.
		would, err = c.PreviewAdopt(t.Context(), to, q)
		w.must(err)
		if strings.Contains(lines(would), "was there before") {
			t.Errorf("it says %s", lines(would))
		}
	})
}

// letIn adds a rule to a security group, for NFS.
func (w *world) letIn(group string, rule ec2types.IpPermission) error {
	w.Helper()
	rule.IpProtocol, rule.FromPort, rule.ToPort = new("tcp"), new(int32(2049)), new(int32(2049))
	_, err := awsec2.NewFromConfig(w.cloud.Config()).AuthorizeSecurityGroupIngress(w.Context(), &awsec2.AuthorizeSecurityGroupIngressInput{
		GroupId: &group, IpPermissions: []ec2types.IpPermission{rule},
	})
	return err
}

// remake deletes SageMaker's group for outbound NFS of a domain and makes another of its name.
func (w *world) remake(id string) (was, is string) {
	w.Helper()
	groups, err := w.client().NFSGroups(w.Context(), id)
	w.must(err)
	ec2 := awsec2.NewFromConfig(w.cloud.Config())
	found, err := ec2.DescribeSecurityGroups(w.Context(), &awsec2.DescribeSecurityGroupsInput{GroupIds: []string{groups.Inbound, groups.Outbound}})
	w.must(err)
	var tags []ec2types.Tag
	for _, g := range found.SecurityGroups {
		tags = g.Tags
		if len(g.IpPermissions) > 0 {
			_, err = ec2.RevokeSecurityGroupIngress(w.Context(), &awsec2.RevokeSecurityGroupIngressInput{GroupId: g.GroupId, IpPermissions: g.IpPermissions})
			w.must(err)
		}
		if len(g.IpPermissionsEgress) > 0 {
			_, err = ec2.RevokeSecurityGroupEgress(w.Context(), &awsec2.RevokeSecurityGroupEgressInput{GroupId: g.GroupId, IpPermissions: g.IpPermissionsEgress})
			w.must(err)
		}
	}
	_, err = ec2.DeleteSecurityGroup(w.Context(), &awsec2.DeleteSecurityGroupInput{GroupId: &groups.Outbound})
	w.must(err)
	out, err := ec2.CreateSecurityGroup(w.Context(), &awsec2.CreateSecurityGroupInput{
		GroupName: new("security-group-for-outbound-nfs-" + id), Description: new("made again"), VpcId: new(w.cloud.DefaultVPC()),
		TagSpecifications: []ec2types.TagSpecification{{ResourceType: ec2types.ResourceTypeSecurityGroup, Tags: tags}},
	})
	w.must(err)
	time.Sleep(time.Minute)
	w.must(w.letIn(groups.Inbound, ec2types.IpPermission{UserIdGroupPairs: []ec2types.UserIdGroupPair{{GroupId: out.GroupId}}}))
	return groups.Outbound, *out.GroupId
}

// TestAdoptAnotherGroup: where SageMaker's group for outbound NFS is another, hosts that start
// later are in that, and in those that an administrator has added.
func TestAdoptAnotherGroup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		id := w.raw(bare)
		w.inService(id)
		time.Sleep(5 * time.Second)
		w.profile(id, "ada")
		c, to := w.client(), w.domains(store.NewMemory())
		q := sagemakerdomain.AdoptRequest{ID: id, Name: "research"}
		d, err := c.Adopt(t.Context(), to, q)
		w.must(err)
		about, err := d.Describe(t.Context())
		w.must(err)
		mine := w.group("of-an-administrator")
		time.Sleep(time.Minute)
		w.must(d.SetHostSecurityGroups(t.Context(), append(about.External.HostSecurityGroups, mine)))
		if differences, err := c.Diff(t.Context(), d); err != nil || len(differences) > 0 {
			t.Errorf("with a group of an administrator they differ: %v, %v", differences, err)
		}
		more := []string{mine, w.group("of-another"), w.group("of-a-third")}
		time.Sleep(time.Minute)
		w.must(d.SetHostSecurityGroups(t.Context(), more)) // too many to have SageMaker's too
		_, err = c.Adopt(t.Context(), to, q)
		w.is(err, domain.ErrInvalid, "4 security groups of hosts: want at most 3", "the domain's hosts are in "+strings.Join(more, ", ")+": take out by SetHostSecurityGroups")
		w.must(d.SetHostSecurityGroups(t.Context(), append(about.External.HostSecurityGroups, mine)))
		was, is := w.remake(id)
		before := w.inventory()
		differences, err := c.Diff(t.Context(), d)
		w.must(err)
		if got, want := lines(differences), "makes: security group "+mine+", "+is+" (of hosts that start later, in place of "+was+", which is gone, "+
			"once their fleet is set up with the domain's HostSecurityGroups as they are then)"; got != want {
			t.Errorf("they differ by\n%s\nwant\n%s", got, want)
		}
		for range 2 {
			_, err = c.Adopt(t.Context(), to, q)
			w.must(err)
			about, err = d.Describe(t.Context())
			w.must(err)
			if want := []string{about.HostSecurityGroup, mine, is}; !slices.Equal(about.HostSecurityGroups(), want) {
				t.Errorf("hosts are in %v, want %v", about.HostSecurityGroups(), want)
			}
			if differences, err := c.Diff(t.Context(), d); err != nil || len(differences) > 0 {
				t.Errorf("they differ: %v, %v", differences, err)
			}
		}
		if got := differs(before, w.inventory()); got != "" {
			t.Errorf("it changes %s", got)
		}
		// What else makes it another domain is for its administrator to decide.
		external := about.External
		external.HomeGID = 100
		w.must(d.Offboard(t.Context(), "ada"))
		w.must(to.Delete(t.Context(), "research"))
		_, err = to.Create(t.Context(), domain.CreateRequest{Name: "research", VPC: w.cloud.DefaultVPC(), Subnets: []string{about.Subnets[0].ID}, External: external})
		w.must(err)
		_, err = c.Adopt(t.Context(), to, q)
		w.must(err)
		if about, err = d.Describe(t.Context()); err != nil || about.External.HomeGID != 100 || len(about.Subnets) != 1 {
			t.Errorf("%+v, %v", about, err)
		}
	})
}

// TestAdoptSubnets: our hosts are where the caller says.
func TestAdoptSubnets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		source := w.domain()
		beside, err := w.cloud.AddSubnet(source.VPC, w.cloud.Subnets()[0].Zone)
		w.must(err)
		c, to := w.client(), w.domains(store.NewMemory())
		for name, subnets := range map[string][]string{"one": source.Subnets[:1], "other": {beside.ID}} {
			q := sagemakerdomain.AdoptRequest{ID: source.ID, Name: name, Subnets: subnets}
			d, err := c.Adopt(t.Context(), to, q)
			w.must(err)
			about, err := d.Describe(t.Context())
			w.must(err)
			if len(about.Subnets) != 1 || about.Subnets[0].ID != subnets[0] {
				t.Errorf("%s is in %v, want %v", name, about.Subnets, subnets)
			}
			differences, err := c.Diff(t.Context(), d)
			w.must(err)
			if got := lines(differences); name == "one" && got != "" || name == "other" && !strings.HasPrefix(got, "stays: domain other (in "+beside.ID+", although SageMaker is in ") {
				t.Errorf("%s differs by %q", name, got)
			}
			q.Subnets = source.Subnets[1:2]
			would, err := c.PreviewAdopt(t.Context(), to, q)
			w.must(err)
			if got := lines(would); !strings.Contains(got, "stays: domain "+name+" (in "+subnets[0]+", not in "+source.Subnets[1]+", which Subnets says: they are for good, and only another domain has others)") {
				t.Errorf("elsewhere it says %s", got)
			}
		}
	})
}

// TestAdoptTypes: a policy that names no types has those on which sessions of RStudio can run.
func TestAdoptTypes(t *testing.T) {
	denied := slow(fakeaws.Fault{Action: "servicequotas:ListServiceQuotas", Status: 400, Code: "AccessDeniedException"})
	zero := map[string]int{}
	for _, kind := range []string{"t3.medium", "m5.large", "m5.xlarge", "m5.2xlarge", "m5.4xlarge", "m5d.large", "m5d.xlarge", "m5d.2xlarge", "m5d.4xlarge",
		"c5.large", "c5.xlarge", "c5.2xlarge", "r5.large", "r5.xlarge", "r5.2xlarge"} {
		zero["RSessionGateway Apps running on ml."+kind+" instance"] = 0
	}
	some := map[string]int{"RSessionGateway Apps running on ml.g4dn.xlarge instance": 2}
	maps.Copy(some, zero)
	some["RSessionGateway Apps running on ml.t3.medium instance"] = 1
	for name, test := range map[string]struct {
		account fakeaws.Config
		policy  domain.Policy
		want    []string
		line    string
		kind    domain.Kind // of a refusal
	}{
		"Quotas": {account: fakeaws.Config{Quotas: some}, want: []string{"g4dn.xlarge", "t3.medium"}, policy: domain.Policy{Sessions: 3},
			line: "makes: policy research (the domain's allows the types that the account's quotas let RStudio's sessions run on, unless Policy.Types names others: g4dn.xlarge, t3.medium)"},
		"Given": {policy: domain.Policy{Types: []string{"*"}}, want: []string{"*"}},
		"None": {account: fakeaws.Config{Quotas: zero}, kind: domain.ErrInvalid,
			line: `blocks: policy research (the account's quotas let RStudio's sessions run on no type that is known here: name them in Policy.Types, "*" for all)`},
		"Denied": {account: denied, kind: domain.ErrDenied, line: "blocks: policy research (the credentials may not read the account's quotas, which say on what types RStudio's sessions run: " +
			`allow servicequotas:ListAWSDefaultServiceQuotas and servicequotas:ListServiceQuotas, or name them in Policy.Types, "*" for all)`},
		"DeniedAndGiven": {account: denied, policy: domain.Policy{Types: []string{"t3.*"}}, want: []string{"t3.*"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, test.account)
				id := w.raw(nil)
				w.inService(id)
				c, to := w.client(), w.domains(store.NewMemory())
				q := sagemakerdomain.AdoptRequest{ID: id, Name: "research", Policy: test.policy}
				would, err := c.PreviewAdopt(t.Context(), to, q)
				w.must(err)
				var told []string
				for _, c := range would {
					if c.Thing == domain.ThingPolicy {
						told = append(told, c.String())
					}
				}
				if strings.Join(told, "\n") != test.line {
					t.Errorf("it says %q, want %q", told, test.line)
				}
				if test.kind != "" {
					_, err := c.Adopt(t.Context(), to, q)
					w.is(err, test.kind, "Policy.Types")
					return
				}
				for range 2 { // the second time it is the domain's
					d, err := c.Adopt(t.Context(), to, q)
					w.must(err)
					if about, err := d.Describe(t.Context()); err != nil || !slices.Equal(about.Policy.Types, test.want) || about.Policy.Sessions != test.policy.Sessions {
						t.Errorf("the policy is %+v, %v; want the types %v", about.Policy, err, test.want)
					}
					w.must(w.cloud.SetStudioQuota("RSessionGateway Apps running on ml.p3.2xlarge instance", 1))
				}
			})
		})
	}
	// What fails otherwise is no answer.
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow(fakeaws.Fault{Action: "servicequotas:ListServiceQuotas", Status: 500, Code: "ServiceException"}))
		id := w.raw(nil)
		w.inService(id)
		time.Sleep(5 * time.Second)
		_, err := w.client().PreviewAdopt(t.Context(), w.domains(store.NewMemory()), sagemakerdomain.AdoptRequest{ID: id, Name: "research"})
		w.is(err, domain.ErrUnavailable, "quotas")
	})
}

// TestAdoptTells: what of profiles has no counterpart, what spaces hold, and what hosts need, is
// a line each.
func TestAdoptTells(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, slow())
		id := w.raw(func(in *awssagemaker.CreateDomainInput) {
			in.AppNetworkAccessType = types.AppNetworkAccessTypeVpcOnly
			bare(in)
		})
		w.inService(id)
		time.Sleep(5 * time.Second)
		const role = "arn:aws:iam::123456789012:role/rstudio"
		group := w.group("of-apps")
		for name, settings := range map[string]*types.UserSettings{
			"plain": nil,
			"ada": {
				ExecutionRole: new(role), SecurityGroups: []string{group},
				RSessionAppSettings: &types.RSessionAppSettings{DefaultResourceSpec: &types.ResourceSpec{InstanceType: "ml.m5.large"}},
			},
		} {
			_, err := w.sm.CreateUserProfile(t.Context(), &awssagemaker.CreateUserProfileInput{DomainId: &id, UserProfileName: &name, UserSettings: settings})
			w.must(err)
		}
		time.Sleep(time.Minute)
		w.space(id, "ada", "lab", types.AppTypeJupyterLab)
		w.space(id, "plain", "lab2", types.AppTypeJupyterLab)
		w.space(id, "plain", "code", types.AppTypeCodeEditor)
		_, err := w.sm.CreateSpace(t.Context(), &awssagemaker.CreateSpaceInput{DomainId: &id, SpaceName: new("all")})
		w.must(err)
		time.Sleep(time.Minute)
		would, err := w.client().PreviewAdopt(t.Context(), w.domains(store.NewMemory()), sagemakerdomain.AdoptRequest{ID: id, Name: "research"})
		w.must(err)
		d, err := w.client().Describe(t.Context(), id)
		w.must(err)
		text := "" // but what is told elsewhere
		for line := range strings.Lines(lines(would, domain.Stays) + "\n") {
			if !strings.HasPrefix(line, "stays: file system") && !strings.HasPrefix(line, "stays: security group") {
				text += line
			}
		}
		golden(t, "adopt-tells.golden", strings.NewReplacer(group, "GROUP").Replace(replaced(text, w, d)))
	})
}

// TestAdoptWithoutHostsGroup: a group of our hosts that is gone is listed, and made again.
func TestAdoptWithoutHostsGroup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{})
		source := w.domain()
		w.profile(source.ID, "ada")
		c, to := w.client(), w.domains(store.NewMemory())
		q := sagemakerdomain.AdoptRequest{ID: source.ID, Name: "research"}
		d, err := c.Adopt(t.Context(), to, q)
		w.must(err)
		before, err := d.Describe(t.Context())
		w.must(err)
		ec2 := awsec2.NewFromConfig(w.cloud.Config())
		_, err = ec2.DeleteSecurityGroup(t.Context(), &awsec2.DeleteSecurityGroupInput{GroupId: &before.HostSecurityGroup})
		w.must(err)
		const line = "makes: security group atelier-research-hosts (of our hosts, again, since it is gone)"
		would, err := c.PreviewAdopt(t.Context(), to, q)
		w.must(err)
		differences, err := c.Diff(t.Context(), d)
		w.must(err)
		if got := lines(would, domain.Makes); got != line {
			t.Errorf("the preview makes\n%s", got)
		}
		if got := lines(differences); got != line {
			t.Errorf("they differ by\n%s", got)
		}
		was := w.inventory()
		_, err = c.Adopt(t.Context(), to, q)
		w.must(err)
		if got := differs(was, w.inventory()); got != "+security group 1" {
			t.Errorf("adopting again changes %s", got)
		}
		if differences, err = c.Diff(t.Context(), d); err != nil || len(differences) > 0 {
			t.Errorf("they differ by %v, %v", differences, err)
		}
	})
}
