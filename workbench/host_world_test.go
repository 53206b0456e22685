package workbench_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	efstypes "github.com/aws/aws-sdk-go-v2/service/efs/types"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/workbench"
)

var update = flag.Bool("update", false, "write the golden files anew")

// yard is an account with a domain that has a user, and so a file system, and a
// project.
type yard struct {
	testing.TB
	cloud *fakeaws.Cloud
	store store.Store
}

// slow is an account in which things take their time.
func slow(faults ...fakeaws.Fault) fakeaws.Config {
	return fakeaws.Config{Delays: fakeaws.Realistic(), Faults: faults}
}

func bubble(t *testing.T, test func(*testing.T)) { synctest.Test(t, test) }

func newYard(t testing.TB, c fakeaws.Config) *yard {
	t.Helper()
	cloud, err := fakeaws.New(c)
	if err != nil {
		t.Fatal(err)
	}
	y := &yard{t, cloud, store.NewMemory()}
	t.Cleanup(func() { y.must(cloud.Close()) })
	d, err := y.domains().Create(t.Context(), domain.CreateRequest{
		Name: "research", VPC: cloud.DefaultVPC(), Subnets: []string{cloud.Subnets()[0].ID, cloud.Subnets()[1].ID}, Tags: map[string]string{"team": "science"},
	})
	y.must(err)
	_, err = d.Onboard(t.Context(), domain.OnboardRequest{User: "alice", Groups: []string{"genomics"}})
	y.must(err)
	_, err = d.CreateProject(t.Context(), domain.CreateProjectRequest{Name: "common", Groups: []string{"genomics"}})
	y.must(err)
	return y
}

func (y *yard) must(err error) {
	y.Helper()
	if err != nil {
		y.Fatal(err)
	}
}

// is checks the kind and the words of an error.
func (y *yard) is(err error, kind domain.Kind, words ...string) {
	y.Helper()
	if !errors.Is(err, kind) {
		y.Errorf("error is %v, want %q", err, kind)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			y.Errorf("%q does not say %q", err, w)
		}
	}
}

func (y *yard) domains() *domain.Client {
	y.Helper()
	c, err := domain.NewFromConfig(y.cloud.Config(), domain.Config{Store: y.store})
	y.must(err)
	return c
}

func (y *yard) domain() *domain.Domain {
	y.Helper()
	d, err := y.domains().Get(y.Context(), "research")
	y.must(err)
	return d
}

// client is what a new process would make.
func (y *yard) client() *workbench.Client {
	y.Helper()
	c, err := workbench.NewFromConfig(y.cloud.Config(), y.domain(), workbench.Config{HTTPClient: &http.Client{Transport: y.cloud.Network(serve)}})
	y.must(err)
	return c
}

// serve is Workbench on a host that has its data disk.
func serve(m fakeaws.Machine, port int) http.Handler {
	if port != 8787 || !strings.Contains(m.UserData, "VOLUME="+cmp.Or(m.Volumes["/dev/sdf"], "none")) {
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health-check", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "active-sessions: 0") })
	return mux
}

const secretText = "the key of all cookies"

// request is a host that has everything.
func (y *yard) request() workbench.DeployRequest {
	return workbench.DeployRequest{
		InstanceType: "m7i.xlarge", Access: []string{"10.0.0.0/8"},
		Files: []workbench.File{
			{Path: "/etc/rstudio/rserver.conf", Mode: 0o644, Owner: "root:root", Content: []byte("www-port=8787\n")},
			{Path: "/etc/rstudio/secure-cookie-key", Mode: 0o600, Owner: "rstudio-server:rstudio-server", Content: []byte(secretText)},
		},
		Package:       workbench.Software{URL: "https://example.com/rstudio-workbench-rhel-2026.rpm", SHA256: strings.Repeat("a", 64)},
		Plugin:        workbench.Software{URL: "https://example.com/plugin", SHA256: strings.Repeat("b", 64), Path: "/usr/lib/rstudio-server/bin/rstudio-ec2-launcher"},
		Accounts:      []string{"/usr/lib/rstudio-server/bin/rstudio-ec2-launcher", "accounts"},
		License:       workbench.License{Key: "arn:aws:secretsmanager:us-east-1:123456789012:secret:posit-AbCdEf"},
		SharedStorage: "common",
		Policies:      map[string]string{"plugin": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ec2:RunInstances","Resource":"*"}]}`},
	}
}

// deploy deploys the host of request, which then boots.
func (y *yard) deploy() workbench.Deployed {
	y.Helper()
	done, err := y.client().Deploy(y.Context(), y.request())
	y.must(err)
	time.Sleep(2 * time.Minute)
	return done
}

// steady is a configuration of one who asks until there is an answer.
func (y *yard) steady() aws.Config {
	cfg := y.cloud.Config()
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.RateLimiter = 50, ratelimit.None })
	}
	return cfg
}

// live are the instances that are not terminated.
func (y *yard) live() (ids []string) {
	y.Helper()
	out, err := awsec2.NewFromConfig(y.steady()).DescribeInstances(y.Context(), &awsec2.DescribeInstancesInput{
		Filters: []types.Filter{{Name: aws.String("instance-state-name"), Values: []string{"pending", "running", "shutting-down"}}},
	})
	y.must(err)
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			ids = append(ids, *i.InstanceId)
		}
	}
	return ids
}

// inventory is what the account holds of the Workbench, looked at with the AWS
// SDK alone, without identifiers.
func (y *yard) inventory() string {
	y.Helper()
	time.Sleep(5 * time.Second) // what was done last shows
	ctx, cfg := y.Context(), y.steady()
	ec2, iam := awsec2.NewFromConfig(cfg), awsiam.NewFromConfig(cfg)
	var lines []string
	address := "?"
	say := func(format string, args ...any) {
		lines = append(lines, strings.ReplaceAll(fmt.Sprintf(format, args...), address, "its address"))
	}
	groups, err := ec2.DescribeSecurityGroups(ctx, &awsec2.DescribeSecurityGroupsInput{})
	y.must(err)
	names := map[string]string{}
	for _, g := range groups.SecurityGroups {
		names[*g.GroupId] = *g.GroupName
	}
	slices.SortFunc(groups.SecurityGroups, func(a, b types.SecurityGroup) int { return cmp.Compare(*a.GroupName, *b.GroupName) })
	for _, g := range groups.SecurityGroups {
		if *g.GroupName == "default" {
			continue
		}
		say("security group %s", *g.GroupName)
		for _, r := range g.IpPermissions {
			for _, p := range r.UserIdGroupPairs {
				say("  in %d from %s", aws.ToInt32(r.FromPort), names[*p.GroupId])
			}
			for _, p := range r.IpRanges {
				say("  in %d from %s", aws.ToInt32(r.FromPort), *p.CidrIp)
			}
		}
	}
	enis, err := ec2.DescribeNetworkInterfaces(ctx, &awsec2.DescribeNetworkInterfacesInput{})
	y.must(err)
	for _, n := range enis.NetworkInterfaces {
		if n.InterfaceType == "efs" { // of a mount target
			continue
		}
		address = *n.PrivateIpAddress
		say("interface %s %s %v", n.Status, *n.PrivateIpAddress, tagged(n.TagSet))
	}
	volumes, err := ec2.DescribeVolumes(ctx, &awsec2.DescribeVolumesInput{})
	y.must(err)
	for _, v := range volumes.Volumes {
		say("volume %s %d GiB %s encrypted %t %v", v.State, *v.Size, v.VolumeType, *v.Encrypted, tagged(v.Tags))
	}
	out, err := ec2.DescribeInstances(ctx, &awsec2.DescribeInstancesInput{})
	y.must(err)
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			if i.State.Name != types.InstanceStateNameTerminated {
				say("instance %s %s %s, IMDS %s hop %d, %v", i.State.Name, i.InstanceType, *i.PrivateIpAddress, i.MetadataOptions.HttpTokens, *i.MetadataOptions.HttpPutResponseHopLimit, tagged(i.Tags))
			}
		}
	}
	const role = "atelier-research-workbench-us-east-1"
	if got, err := iam.GetRole(ctx, &awsiam.GetRoleInput{RoleName: aws.String(role)}); err == nil {
		say("role %s", *got.Role.RoleName)
		for _, name := range []string{"atelier-workbench", "plugin", "other"} {
			if _, err := iam.GetRolePolicy(ctx, &awsiam.GetRolePolicyInput{RoleName: aws.String(role), PolicyName: aws.String(name)}); err == nil {
				say("  policy %s", name)
			}
		}
	}
	if got, err := iam.GetInstanceProfile(ctx, &awsiam.GetInstanceProfileInput{InstanceProfileName: aws.String(role)}); err == nil {
		say("profile with %d role", len(got.InstanceProfile.Roles))
	}
	if text, err := y.secret(y.cloud.RoleConfig(role)); err == nil {
		say("secret %s", text)
	} else if _, err := awssecrets.NewFromConfig(cfg).DescribeSecret(ctx, &awssecrets.DescribeSecretInput{SecretId: aws.String("atelier/research/workbench")}); err == nil {
		say("secret without a value")
	}
	if got, err := awssecrets.NewFromConfig(cfg).DescribeSecret(ctx, &awssecrets.DescribeSecretInput{SecretId: aws.String(keysSecret)}); err == nil {
		say("secret with the keys%s", map[bool]string{true: ", to be deleted"}[got.DeletedDate != nil])
	}
	fs, err := awsefs.NewFromConfig(cfg).DescribeFileSystems(ctx, &awsefs.DescribeFileSystemsInput{})
	y.must(err)
	for _, f := range fs.FileSystems {
		points, err := awsefs.NewFromConfig(cfg).DescribeAccessPoints(ctx, &awsefs.DescribeAccessPointsInput{FileSystemId: f.FileSystemId})
		y.must(err)
		slices.SortFunc(points.AccessPoints, func(a, b efstypes.AccessPointDescription) int {
			return cmp.Compare(*a.RootDirectory.Path, *b.RootDirectory.Path)
		})
		for _, p := range points.AccessPoints {
			say("access point %s", *p.RootDirectory.Path)
		}
	}
	return strings.Join(lines, "\n")
}

func tagged(tags []types.Tag) (text []string) {
	for _, t := range tags {
		text = append(text, *t.Key+"="+*t.Value)
	}
	return text
}

// secret is what a principal reads of the host's secret.
func (y *yard) secret(cfg aws.Config) (string, error) {
	out, err := awssecrets.NewFromConfig(cfg).GetSecretValue(y.Context(), &awssecrets.GetSecretValueInput{SecretId: aws.String("atelier/research/workbench")})
	if err != nil {
		return "", err
	}
	return *out.SecretString, nil
}

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(file, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("not as in %s: look at the difference, and run with -update if it is meant\n%s", file, got)
	}
}

// cancelled is a context that has ended.
func cancelled(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

func base(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
