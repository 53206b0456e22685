package ec2launcher_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awslogs "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

var update = flag.Bool("update", false, "write golden files")

// The names of the fleet "test" in us-east-1, as they are documented.
const (
	roleName     = "atelier-test-us-east-1-host"
	groupName    = "atelier-test-engine"
	logGroup     = "/atelier/test"
	hostSecret   = "atelier/test/host"
	clientSecret = "atelier/test/client"
)

// golden compares text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s has changed; rewrite it with -update if that is right. Got:\n%s", path, got)
	}
}

// A yard is an account in which fleets are set up, and nothing runs.
type yard struct {
	*testing.T
	cloud *fakeaws.Cloud
	cfg   ec2launcher.Config
	told  *bytes.Buffer // the log
}

func newYard(t *testing.T, account fakeaws.Config) *yard {
	t.Helper()
	cloud, err := fakeaws.New(account)
	if err != nil {
		t.Fatal(err)
	}
	y := &yard{T: t, cloud: cloud, told: &bytes.Buffer{}}
	y.cfg = ec2launcher.Config{
		Fleet: "test", Store: store.NewMemory(), SecurityGroups: []string{"sg-0123456789abcdef0"}, Access: []string{"10.0.0.0/16"},
		Tags:    map[string]string{"team": "research"},
		Connect: func(_ context.Context, h ec2launcher.Host) (ec2launcher.HostLauncher, error) { return cloud.Host(h.ID) },
		Logger:  slog.New(slog.NewTextHandler(y.told, nil)),
	}
	for _, s := range cloud.Subnets() {
		y.cfg.Subnets = append(y.cfg.Subnets, s.ID)
	}
	return y
}

// slow lets reads be late, and the rest take no time.
func slow(faults ...fakeaws.Fault) fakeaws.Config {
	return fakeaws.Config{Delays: fakeaws.Delays{Visible: 2 * time.Second, InstanceProfile: 10 * time.Second}, Faults: faults}
}

// launcher makes a launcher as a new process would.
func (y *yard) launcher() *ec2launcher.Launcher {
	y.Helper()
	l, err := ec2launcher.NewFromConfig(y.cloud.Config(), y.cfg)
	if err != nil {
		y.Fatal(err)
	}
	return l
}

func (y *yard) must(err error) {
	y.Helper()
	if err != nil {
		y.Fatal(err)
	}
}

func (y *yard) is(err error, kind launcher.Kind, words ...string) {
	y.Helper()
	if !errors.Is(err, kind) {
		y.Errorf("%v; want the kind %q", err, kind)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			y.Errorf("%v\ndoes not speak of %s", err, w)
		}
	}
}

func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// read returns a secret's value as the principal of a configuration reads it.
func (y *yard) read(cfg aws.Config, name string) (string, error) {
	out, err := awssecrets.NewFromConfig(cfg).GetSecretValue(y.Context(), &awssecrets.GetSecretValueInput{SecretId: aws.String(name)})
	if err != nil {
		return "", err
	}
	return *out.SecretString, nil
}

type pemKeys struct{ CA, Cert, Key, Made string }

// keys returns what hosts and launcher have; nothing if there is no value.
func (y *yard) keys() (host *pemKeys, client []pemKeys) {
	y.Helper()
	text, err := y.read(y.cloud.RoleConfig(roleName), hostSecret)
	if err == nil {
		y.must(json.Unmarshal([]byte(text), &host))
	} else if codeOf(err) != "ResourceNotFoundException" {
		y.Fatal(err)
	}
	text, err = y.read(y.cloud.Config(), clientSecret)
	if err == nil {
		y.must(json.Unmarshal([]byte(text), &client))
	} else if codeOf(err) != "ResourceNotFoundException" {
		y.Fatal(err)
	}
	return host, client
}

// verifiable reports a host that would boot with keys the launcher does not trust.
func (y *yard) verifiable() {
	y.Helper()
	host, client := y.keys()
	if host != nil && !slices.ContainsFunc(client, func(k pemKeys) bool { return k.CA == host.CA }) {
		y.Error("hosts boot with a certificate that the launcher cannot verify")
	}
}

// inventory tells what the fleet has in the account, without what differs from
// run to run.
func (y *yard) inventory() string {
	y.Helper()
	ctx, cfg := y.Context(), y.cloud.Config()
	var text strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }
	iam, secrets := awsiam.NewFromConfig(cfg), awssecrets.NewFromConfig(cfg)
	if out, err := iam.GetRole(ctx, &awsiam.GetRoleInput{RoleName: aws.String(roleName)}); err == nil {
		trust, err := url.QueryUnescape(*out.Role.AssumeRolePolicyDocument)
		y.must(err)
		say("role %s, %d tags, trust %s", *out.Role.RoleName, len(out.Role.Tags), trust)
		policy, err := iam.GetRolePolicy(ctx, &awsiam.GetRolePolicyInput{RoleName: aws.String(roleName), PolicyName: aws.String("host")})
		if err != nil {
			say("policy: %s", codeOf(err))
		} else {
			document, err := url.QueryUnescape(*policy.PolicyDocument)
			y.must(err)
			say("policy %s", document)
		}
	}
	if out, err := iam.GetInstanceProfile(ctx, &awsiam.GetInstanceProfileInput{InstanceProfileName: aws.String(roleName)}); err == nil {
		say("instance profile %s, %d tags, %d roles", roleName, len(out.InstanceProfile.Tags), len(out.InstanceProfile.Roles))
		for _, r := range out.InstanceProfile.Roles {
			say("  %s", *r.RoleName)
		}
	}
	groups, err := awslogs.NewFromConfig(cfg).DescribeLogGroups(ctx, &awslogs.DescribeLogGroupsInput{})
	y.must(err)
	for _, g := range groups.LogGroups {
		say("log group %s, %d days", *g.LogGroupName, aws.ToInt32(g.RetentionInDays))
	}
	for _, rule := range y.rules() {
		say("%s", rule)
	}
	for _, name := range []string{hostSecret, clientSecret} {
		out, err := secrets.DescribeSecret(ctx, &awssecrets.DescribeSecretInput{SecretId: aws.String(name)})
		if err == nil {
			say("secret %s, %d tags, has a value %t, deleted %t", *out.Name, len(out.Tags), len(out.VersionIdsToStages) > 0, out.DeletedDate != nil)
		}
	}
	if host, client := y.keys(); host != nil {
		say("hosts have the newest of the launcher's keys: %t", len(client) > 0 && host.CA == client[0].CA)
	}
	return text.String()
}

// rules tells of the security groups that are not the network's own.
func (y *yard) rules() (told []string) {
	y.Helper()
	out, err := awsec2.NewFromConfig(y.cloud.Config()).DescribeSecurityGroups(y.Context(), &awsec2.DescribeSecurityGroupsInput{})
	y.must(err)
	for _, g := range out.SecurityGroups {
		if *g.GroupName == "default" {
			continue
		}
		told = append(told, fmt.Sprintf("security group %s, %d tags", *g.GroupName, len(g.Tags)))
		for _, p := range g.IpPermissions {
			to := fmt.Sprintf("  in %s %d-%d from", *p.IpProtocol, aws.ToInt32(p.FromPort), aws.ToInt32(p.ToPort))
			for _, b := range p.IpRanges {
				told = append(told, to+" "+*b.CidrIp)
			}
			for _, b := range p.Ipv6Ranges {
				told = append(told, to+" "+*b.CidrIpv6)
			}
			for range p.UserIdGroupPairs {
				told = append(told, to+" a group")
			}
		}
		for range g.IpPermissionsEgress {
			told = append(told, "  something out")
		}
	}
	return told
}

// since returns the actions called after the first n calls.
func (y *yard) since(n int) (actions []string) {
	for _, c := range y.cloud.Calls()[n:] {
		actions = append(actions, c.Action)
	}
	return actions
}

func TestSetup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		y.must(y.launcher().Setup(t.Context()))
		golden(t, "setup.golden", y.inventory())

		_, before := y.keys()
		calls := len(y.cloud.Calls())
		y.must(y.launcher().Setup(t.Context()))
		for _, action := range y.since(calls) {
			_, verb, _ := strings.Cut(action, ":")
			reads := strings.HasPrefix(verb, "Get") || strings.HasPrefix(verb, "Describe") || strings.HasPrefix(verb, "List")
			if !reads && action != "iam:PutRolePolicy" && action != "secretsmanager:PutResourcePolicy" {
				t.Errorf("a second Setup called %s", action)
			}
		}
		if _, after := y.keys(); !slices.Equal(before, after) {
			t.Error("a second Setup changed the keys")
		}
		if _, err := y.read(y.cloud.Config(), hostSecret); codeOf(err) != "AccessDeniedException" {
			t.Errorf("somebody who is no host reads the hosts' keys: %v", err)
		}

		y.must(y.launcher().Teardown(t.Context()))
		if left := y.inventory(); left != "" {
			t.Errorf("Teardown left:\n%s", left)
		}
		y.must(y.launcher().Teardown(t.Context())) // of nothing
		y.must(y.launcher().Setup(t.Context()))    // at once, with the same names
		golden(t, "setup.golden", y.inventory())
	})
}

// What Setup needs and does not have it says at once, and before any change.
func TestSetupOfAWrongNetwork(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		other, err := y.cloud.AddVPC()
		y.must(err)
		elsewhere, err := y.cloud.AddSubnet(other, "us-east-1a")
		y.must(err)
		y.cfg.Subnets = append(y.cfg.Subnets, elsewhere.ID, "subnet-00000000000000000")
		y.cfg.Access = []string{"sg-00000000000000000"}
		err = y.launcher().Setup(t.Context())
		y.is(err, launcher.ErrInvalid, "subnet-00000000000000000", elsewhere.ID+" is in "+other, "sg-00000000000000000")
		if left := y.inventory(); left != "" {
			t.Errorf("it made:\n%s", left)
		}
	})
	y := newYard(t, fakeaws.Config{})
	idle, err := ec2launcher.New(ec2launcher.Services{EC2: awsec2.NewFromConfig(y.cloud.Config()), SSM: noSSM{}}, "us-east-1", y.cfg)
	y.must(err)
	for what, call := range map[string]func(context.Context) error{"setup": idle.Setup, "teardown": idle.Teardown, "rotate keys": idle.RotateKeys} {
		y.is(call(t.Context()), launcher.ErrInvalid, what, "client is nil")
	}
}

type noSSM struct{ ec2launcher.SSM }

// The security group has exactly the rules of the configuration, whatever it
// had before, and follows it.
func TestSetupOpensExactly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		client := awsec2.NewFromConfig(y.cloud.Config())
		program, err := client.CreateSecurityGroup(t.Context(), &awsec2.CreateSecurityGroupInput{
			GroupName: aws.String("program"), Description: aws.String("program"), VpcId: aws.String(y.cloud.DefaultVPC()),
		})
		y.must(err)
		time.Sleep(2 * time.Second)
		y.cfg.Access = []string{*program.GroupId, "10.1.0.0/16", "2001:db8::/32"}
		y.must(y.launcher().Setup(t.Context()))
		want := []string{
			"security group atelier-test-engine, 2 tags", "  in tcp 1024-65535 from a group",
			"  in tcp 2376-2376 from 10.1.0.0/16", "  in tcp 2376-2376 from 2001:db8::/32", "  in tcp 2376-2376 from a group",
			"  in tcp 30000-32767 from 10.1.0.0/16", "  in tcp 30000-32767 from 2001:db8::/32",
		}
		check := func(want ...string) {
			t.Helper()
			var got []string
			for _, r := range y.rules() {
				if r != "security group program, 0 tags" && r != "  something out" {
					got = append(got, r)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		check(want...)

		mine := y.engineGroup()
		y.must2(client.AuthorizeSecurityGroupIngress(t.Context(), &awsec2.AuthorizeSecurityGroupIngressInput{GroupId: mine, IpPermissions: []ec2types.IpPermission{
			{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(22), ToPort: aws.Int32(22), IpRanges: []ec2types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}},
			{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(2376), ToPort: aws.Int32(2376), IpRanges: []ec2types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}},
		}}))
		y.must2(client.RevokeSecurityGroupIngress(t.Context(), &awsec2.RevokeSecurityGroupIngressInput{GroupId: mine, IpPermissions: []ec2types.IpPermission{
			{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(30000), ToPort: aws.Int32(32767), IpRanges: []ec2types.IpRange{{CidrIp: aws.String("10.1.0.0/16")}}},
		}}))
		y.must2(client.AuthorizeSecurityGroupEgress(t.Context(), &awsec2.AuthorizeSecurityGroupEgressInput{GroupId: mine, IpPermissions: []ec2types.IpPermission{
			{IpProtocol: aws.String("-1"), IpRanges: []ec2types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}},
		}}))
		y.must(y.launcher().Setup(t.Context()))
		check(want...)

		y.cfg.Access = nil
		y.must(y.launcher().Setup(t.Context()))
		check("security group atelier-test-engine, 2 tags")
		if got := y.rules(); strings.Count(strings.Join(got, "\n"), "out") != 1 { // the program's own
			t.Errorf("the group lets something out:\n%s", strings.Join(got, "\n"))
		}
	})
}

func (y *yard) must2(_ any, err error) {
	y.Helper()
	y.must(err)
}

// engineGroup is the id of the group that opens hosts.
func (y *yard) engineGroup() *string {
	y.Helper()
	out, err := awsec2.NewFromConfig(y.cloud.Config()).DescribeSecurityGroups(y.Context(), &awsec2.DescribeSecurityGroupsInput{
		Filters: []ec2types.Filter{{Name: aws.String("group-name"), Values: []string{groupName}}},
	})
	if err != nil || len(out.SecurityGroups) != 1 {
		y.Fatalf("%+v, %v", out, err)
	}
	return out.SecurityGroups[0].GroupId
}

// What somebody changed by hand is as it should be after Setup.
func TestSetupRepairs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		ctx, cfg := t.Context(), y.cloud.Config()
		iam, secrets := awsiam.NewFromConfig(cfg), awssecrets.NewFromConfig(cfg)
		y.must(y.launcher().Setup(ctx))
		want := y.inventory()

		const other = `{"Version":"2012-10-17","Statement":[]}`
		y.must2(iam.UpdateAssumeRolePolicy(ctx, &awsiam.UpdateAssumeRolePolicyInput{RoleName: aws.String(roleName), PolicyDocument: aws.String(other)}))
		y.must2(iam.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{RoleName: aws.String(roleName), PolicyName: aws.String("host"), PolicyDocument: aws.String(other)}))
		y.must2(iam.RemoveRoleFromInstanceProfile(ctx, &awsiam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: aws.String(roleName), RoleName: aws.String(roleName)}))
		y.cloud.AddInstanceProfile("somebody")
		y.must2(iam.AddRoleToInstanceProfile(ctx, &awsiam.AddRoleToInstanceProfileInput{InstanceProfileName: aws.String(roleName), RoleName: aws.String("somebody")}))
		y.must2(awslogs.NewFromConfig(cfg).PutRetentionPolicy(ctx, &awslogs.PutRetentionPolicyInput{LogGroupName: aws.String(logGroup), RetentionInDays: aws.Int32(1)}))
		for _, name := range []string{hostSecret, clientSecret} {
			y.must2(secrets.DeleteSecret(ctx, &awssecrets.DeleteSecretInput{SecretId: aws.String(name)}))
		}
		y.must(y.launcher().Setup(ctx))
		if got := y.inventory(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		_, before := y.keys()
		if len(before) != 1 {
			t.Errorf("%d generations of keys; those restored were good", len(before))
		}

		// A client's secret that is lost is made anew, and so are the hosts' keys.
		y.must2(secrets.DeleteSecret(ctx, &awssecrets.DeleteSecretInput{SecretId: aws.String(clientSecret), ForceDeleteWithoutRecovery: aws.Bool(true)}))
		y.must(y.launcher().Setup(ctx))
		if got := y.inventory(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

// What has a name of the fleet and not its tag is neither used nor deleted.
func TestSetupOfTakenNames(t *testing.T) {
	for what, take := range map[string]func(y *yard, cfg aws.Config){
		"role": func(y *yard, cfg aws.Config) {
			y.must2(awsiam.NewFromConfig(cfg).CreateRole(y.Context(), &awsiam.CreateRoleInput{RoleName: aws.String(roleName), AssumeRolePolicyDocument: aws.String(`{"Statement":[]}`)}))
		},
		"instance profile": func(y *yard, cfg aws.Config) {
			y.must2(awsiam.NewFromConfig(cfg).CreateInstanceProfile(y.Context(), &awsiam.CreateInstanceProfileInput{InstanceProfileName: aws.String(roleName)}))
		},
		"log group": func(y *yard, cfg aws.Config) {
			y.must2(awslogs.NewFromConfig(cfg).CreateLogGroup(y.Context(), &awslogs.CreateLogGroupInput{LogGroupName: aws.String(logGroup)}))
		},
		"security group": func(y *yard, cfg aws.Config) {
			y.must2(awsec2.NewFromConfig(cfg).CreateSecurityGroup(y.Context(), &awsec2.CreateSecurityGroupInput{GroupName: aws.String(groupName), Description: aws.String("d"), VpcId: aws.String(y.cloud.DefaultVPC())}))
		},
		"secret " + hostSecret: func(y *yard, cfg aws.Config) {
			y.must2(awssecrets.NewFromConfig(cfg).CreateSecret(y.Context(), &awssecrets.CreateSecretInput{Name: aws.String(hostSecret), SecretString: aws.String("{}")}))
		},
		"secret " + clientSecret: func(y *yard, cfg aws.Config) {
			y.must2(awssecrets.NewFromConfig(cfg).CreateSecret(y.Context(), &awssecrets.CreateSecretInput{Name: aws.String(clientSecret), SecretString: aws.String("[]")}))
		},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				y := newYard(t, slow())
				take(y, y.cloud.Config())
				time.Sleep(2 * time.Second)
				taken := y.inventory()
				y.is(y.launcher().Setup(t.Context()), launcher.ErrConflict, what, "rename or delete it")
				y.must(y.launcher().Teardown(t.Context()))
				if got := y.inventory(); got != taken {
					t.Errorf("got\n%s\nwant\n%s", got, taken)
				}
			})
		})
	}
}

// Hosts that Setup has just prepared can be bought at once, though EC2 does not
// know their instance profile yet, and are in the group that opens them.
func TestLaunchRightAfterSetup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		account := realistic
		account.Delays.InstanceProfile = time.Minute
		w := newWorld(t, account, func(c *ec2launcher.Config) {
			c.InstanceProfile, c.Access = roleName, []string{"172.31.0.0/16"}
		})
		if err := w.fleet.Setup(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.launch(w.workload("a", "alice"))
		w.until("a", launcher.Running)
		refused := 0
		for _, c := range w.cloud.Calls() {
			if c.Action == "ec2:RunInstances" && c.Code == "InvalidParameterValue" {
				refused++
			}
		}
		i := w.instances("running")
		if len(i) != 1 || refused == 0 {
			t.Fatalf("%d hosts, %d purchases refused; want one that was refused at first", len(i), refused)
		}
		var groups []string
		for _, g := range i[0].SecurityGroups {
			groups = append(groups, aws.ToString(g.GroupName))
		}
		slices.Sort(groups)
		if !slices.Equal(groups, []string{groupName, "hosts"}) || !strings.HasSuffix(*i[0].IamInstanceProfile.Arn, "/"+roleName) {
			t.Errorf("a host in the groups %q with the profile %s", groups, *i[0].IamInstanceProfile.Arn)
		}
		y := &yard{T: t}
		y.is(w.fleet.Teardown(t.Context()), launcher.ErrConflict, "1 instances of the fleet are not terminated")
		if err := w.fleet.Stop(t.Context(), "a", launcher.StopOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if err := w.fleet.Teardown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A wrong value is told all the same, if later.
func TestProfileThatIsNeverKnown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, func(c *ec2launcher.Config) { c.InstanceProfile = "nobody" })
		w.launch(w.workload("a", "alice"))
		if s := w.until("a", launcher.Exited); s.Reason != launcher.ErrInvalid || !strings.Contains(s.Message, "nobody") {
			t.Errorf("it ended as %+v", s)
		}
	})
}

// A fleet that is set up while it runs puts new hosts into the group.
func TestSetupOfARunningFleet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, realistic, nil)
		w.launch(w.workload("a", "alice"))
		w.until("a", launcher.Running)
		if err := w.fleet.Setup(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w.launch(w.workload("b", "bob"))
		w.until("b", launcher.Running)
		var groups []int
		for _, i := range w.instances("running") {
			groups = append(groups, len(i.SecurityGroups))
		}
		slices.Sort(groups)
		if !slices.Equal(groups, []int{1, 2}) {
			t.Errorf("hosts have %v groups, want the second to have two", groups)
		}
	})
}
