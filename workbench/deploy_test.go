package workbench_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/workbench"
)

// Everything that is there after a Deploy, and that a second changes nothing.
func TestDeploy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		first := y.deploy()
		golden(t, "inventory", y.inventory()+"\n")
		before := len(y.cloud.Calls())
		again, err := y.client().Deploy(t.Context(), y.request())
		y.must(err)
		if fmt.Sprint(again) != fmt.Sprint(first) || again.RestartDue || again.ReplaceDue != nil {
			t.Errorf("first %+v, then %+v", first, again)
		}
		for _, c := range y.cloud.Calls()[before:] {
			_, name, _ := strings.Cut(c.Action, ":")
			if !strings.HasPrefix(name, "Describe") && !strings.HasPrefix(name, "Get") && name != "PutRolePolicy" && name != "PutResourcePolicy" {
				t.Errorf("a second Deploy calls %s", c.Action)
			}
		}
		d, err := y.client().Describe(t.Context())
		y.must(err)
		if d.Problems != nil || !d.Health.OK || d.Checks != "ok" || d.State != "running" || d.Published != 1 || d.Address != first.Address {
			t.Errorf("%+v", d)
		}
	})
}

// Deploys of several processes take turns.
func TestDeploysAtOneTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		var all sync.WaitGroup
		for range 3 {
			c := y.client()
			all.Go(func() {
				if _, err := c.Deploy(t.Context(), y.request()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if live := y.live(); len(live) != 1 {
			t.Errorf("there are %q", live)
		}
	})
}

func TestDeployRefuses(t *testing.T) {
	long := []byte(strings.Repeat("x", 60000))
	for name, c := range map[string]struct {
		change func(*workbench.DeployRequest)
		says   []string
	}{
		"several":         {func(q *workbench.DeployRequest) { q.Hosts = 2 }, []string{"2 hosts", "behind a load balancer are not supported"}},
		"no type":         {func(q *workbench.DeployRequest) { q.InstanceType = "" }, []string{"instance type is missing"}},
		"unknown type":    {func(q *workbench.DeployRequest) { q.InstanceType = "m99.huge" }, []string{"m99.huge"}},
		"a Mac":           {func(q *workbench.DeployRequest) { q.InstanceType = "mac2.metal" }, []string{"runs no Linux"}},
		"AMI":             {func(q *workbench.DeployRequest) { q.AMI = "ubuntu" }, []string{`AMI "ubuntu"`}},
		"root device":     {func(q *workbench.DeployRequest) { q.RootDevice = "xvda" }, []string{"root device"}},
		"volume":          {func(q *workbench.DeployRequest) { q.VolumeGiB = -1 }, []string{"volume of -1 GiB"}},
		"subnet":          {func(q *workbench.DeployRequest) { q.Subnet = "subnet-00000000" }, []string{"subnet-00000000", "is not the domain's"}},
		"access":          {func(q *workbench.DeployRequest) { q.Access = []string{"10.0.0.1/8", "office", "10.0.0.1/8"} }, []string{`"10.0.0.1/8"`, `"office"`, "listed twice"}},
		"unknown group":   {func(q *workbench.DeployRequest) { q.Access = []string{"sg-00000000"} }, []string{"security group sg-00000000 of", "does not exist"}},
		"port":            {func(q *workbench.DeployRequest) { q.Port = 70000 }, []string{"port 70000"}},
		"URL":             {func(q *workbench.DeployRequest) { q.URL = "https://me:hunter2@example.com/x?token=hunter2" }, []string{"URL", "example.com"}},
		"file path":       {func(q *workbench.DeployRequest) { q.Files[0].Path = "etc/../x" }, []string{`file "etc/../x"`}},
		"file twice":      {func(q *workbench.DeployRequest) { q.Files[0].Path = q.Files[1].Path }, []string{"listed twice"}},
		"file in a home":  {func(q *workbench.DeployRequest) { q.Files[0].Path = "/home/alice/.profile" }, []string{"not configuration"}},
		"file mode":       {func(q *workbench.DeployRequest) { q.Files[0].Mode = 0o4755 }, []string{"mode"}},
		"file owner":      {func(q *workbench.DeployRequest) { q.Files[0].Owner = "root" }, []string{"owner"}},
		"too many bytes":  {func(q *workbench.DeployRequest) { q.Files[0].Content = long }, []string{"one secret holds 65536"}},
		"package scheme":  {func(q *workbench.DeployRequest) { q.Package.URL = "http://example.com/a.rpm" }, []string{"package: URL"}},
		"package query":   {func(q *workbench.DeployRequest) { q.Package.URL = "https://example.com/a.rpm?sig=hunter2" }, []string{"without a query"}},
		"package sum":     {func(q *workbench.DeployRequest) { q.Package.SHA256 = "abc" }, []string{"SHA-256"}},
		"package path":    {func(q *workbench.DeployRequest) { q.Package.Path = "/x" }, []string{"it has a path"}},
		"plugin path":     {func(q *workbench.DeployRequest) { q.Plugin.Path = "" }, []string{"plugin: path"}},
		"shell in a path": {func(q *workbench.DeployRequest) { q.Plugin.Path = "/x;$(reboot)" }, []string{"plugin: path"}},
		"shell":           {func(q *workbench.DeployRequest) { q.Accounts = []string{"/bin/x", "$(reboot)"} }, []string{"accounts"}},
		"program":         {func(q *workbench.DeployRequest) { q.Accounts = []string{"x"} }, []string{"absolute path"}},
		"licence itself":  {func(q *workbench.DeployRequest) { q.License = workbench.License{Key: "hunter2-ABCD"} }, []string{"is not an ARN"}},
		"two licences":    {func(q *workbench.DeployRequest) { q.License.Server = "licence.example.com" }, []string{"one of a key, a file and a server"}},
		"licence server":  {func(q *workbench.DeployRequest) { q.License = workbench.License{Server: "a b"} }, []string{"license: server"}},
		"licence abroad": {func(q *workbench.DeployRequest) {
			q.License = workbench.License{File: "arn:aws:ssm:eu-west-1:123456789012:parameter/lic"}
		}, []string{"kept in eu-west-1"}},
		"storage":    {func(q *workbench.DeployRequest) { q.SharedStorage = "/mnt/workbench" }, []string{`shared storage "/mnt/workbench"`, "name of a project"}},
		"no project": {func(q *workbench.DeployRequest) { q.SharedStorage = "absent" }, []string{"shared storage: the domain has no project absent", "create it"}},
		"policy":     {func(q *workbench.DeployRequest) { q.Policies = map[string]string{"atelier-workbench": "{}"} }, []string{"atelier-workbench", "no IAM policy document"}},
		"policies": {func(q *workbench.DeployRequest) {
			q.Policies["plugin"] = `{"Statement":"` + strings.Repeat("x", 10000) + `"}`
			q.Port = -1
		}, []string{"beside the host's own a role holds", "port -1"}},
		"user data": {func(q *workbench.DeployRequest) { q.Package.URL += strings.Repeat("x", 16000) }, []string{"too long for an instance's user data"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				y := newYard(t, fakeaws.Config{})
				q := y.request()
				c.change(&q)
				before := y.inventory()
				_, err := y.client().Deploy(t.Context(), q)
				says := c.says
				if name == "unknown group" {
					says = []string{"sg-00000000 does not exist"}
				}
				y.is(err, domain.ErrInvalid, says...)
				if err != nil && strings.Contains(err.Error(), "hunter2") {
					t.Errorf("the error tells a secret: %v", err)
				}
				if after := y.inventory(); after != before {
					t.Errorf("something was made:\n%s", after)
				}
				_, err = y.client().Describe(t.Context())
				y.is(err, domain.ErrNotFound)
			})
		})
	}
}

// All that is wrong is said at once.
func TestDeployReportsAllAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, fakeaws.Config{})
		_, err := y.client().Deploy(t.Context(), workbench.DeployRequest{
			Hosts: 3, Subnet: "x", AMI: "x", Access: []string{"x", "sg-00000000"}, Port: -1, Files: []workbench.File{{}}, License: workbench.License{Key: "x"}, SharedStorage: "absent",
		})
		y.is(err, domain.ErrInvalid, "3 hosts", "instance type", "AMI", `access "x"`, "port -1", "file", "license", `subnet "x"`, "sg-00000000", "project absent")
	})
}

func TestDeployWithoutFileSystem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, fakeaws.Config{})
		d, err := y.domains().Create(t.Context(), domain.CreateRequest{Name: "empty", VPC: y.cloud.DefaultVPC(), Subnets: []string{y.cloud.Subnets()[0].ID}})
		y.must(err)
		c, err := workbench.NewFromConfig(y.cloud.Config(), d, workbench.Config{})
		y.must(err)
		q := y.request()
		q.SharedStorage = ""
		_, err = c.Deploy(t.Context(), q)
		y.is(err, domain.ErrState, "onboard one")
	})
}

// What stays as the first Deploy has it.
func TestDeployConflicts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		y.deploy()
		before := y.inventory()
		q := y.request()
		q.Subnet, q.VolumeGiB = y.cloud.Subnets()[1].ID, 51
		_, err := y.client().Deploy(t.Context(), q)
		y.is(err, domain.ErrConflict, y.cloud.Subnets()[0].ID, "50 GiB, not 51")
		if after := y.inventory(); after != before {
			t.Errorf("it was changed:\n%s", after)
		}
	})
}

// Other files are published, and read at the next boot; going back to the first
// ones is a publication too.
func TestPublish(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		first := y.deploy()
		role := y.cloud.RoleConfig("atelier-research-workbench-us-east-1")
		q := y.request()
		q.Files[0].Content = []byte("www-port=8787\nserver-health-check-enabled=1\n")
		for n, files := range [][]workbench.File{q.Files, y.request().Files} {
			r := y.request()
			r.Files = files
			done, err := y.client().Deploy(t.Context(), r)
			y.must(err)
			if !done.RestartDue || done.ReplaceDue != nil || done.Instance != first.Instance {
				t.Errorf("%+v: want a restart to be due, and nothing else", done)
			}
			text, err := y.secret(role)
			y.must(err)
			if !strings.Contains(text, base(string(files[0].Content))) {
				t.Errorf("publication %d is not what the host would read", n)
			}
			d, err := y.client().Describe(t.Context())
			y.must(err)
			if !d.RestartDue || !slices.ContainsFunc(d.Problems, func(p string) bool { return strings.Contains(p, "call Restart") }) || d.Published != n+2 {
				t.Errorf("%+v", d)
			}
			y.must(y.client().Restart(t.Context()))
			time.Sleep(time.Minute)
			if d, err = y.client().Describe(t.Context()); err != nil || d.RestartDue || d.Problems != nil || d.Instance != first.Instance {
				t.Errorf("after a restart: %+v, %v", d, err)
			}
		}
	})
}

// Nobody but the host reads the secret, and nothing of it is anywhere else.
func TestNothingSecretLeaks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		done := y.deploy()
		if text, err := y.secret(y.cloud.Config()); err == nil {
			t.Errorf("an administrator reads %q", text)
		}
		var all strings.Builder
		for r, err := range y.store.List(t.Context(), "workbenches", "") {
			y.must(err)
			all.Write(r.Value)
		}
		var data string
		client := &http.Client{Transport: y.cloud.Network(func(m fakeaws.Machine, _ int) http.Handler {
			data = m.UserData
			return nil
		})}
		_, _ = client.Get("http://" + done.Address + ":8787/")
		if !strings.HasPrefix(data, "#cloud-config\n") || len(data) > 16384 {
			t.Errorf("user data has %d bytes: %.40q", len(data), data)
		}
		fmt.Fprintf(&all, "%s %+v %+v %#v %v", data, done, y.request(), y.request().Files[1], y.request().Files[1])
		d, err := y.client().Describe(t.Context())
		y.must(err)
		fmt.Fprintf(&all, "%+v", d)
		bytes := fmt.Sprintf("%#v", []byte(secretText[:8])) // as Go writes them
		for _, hidden := range []string{secretText, base(secretText), strings.Trim(bytes, "[]byte{}")} {
			if strings.Contains(all.String(), hidden) {
				t.Errorf("%q is told", hidden)
			}
		}
	})
}

// Another type or image: Replace is due, and does it, with the address and the
// data as they were.
func TestReplaceKeepsAddressAndData(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		first := y.deploy()
		d, err := y.client().Describe(t.Context())
		y.must(err)
		volume := d.Volume
		ami, err := y.cloud.AddAMI("arm64")
		y.must(err)
		q := y.request()
		q.InstanceType, q.AMI, q.License = "m7g.large", ami, workbench.License{Server: "licence.example.com"}
		done, err := y.client().Deploy(t.Context(), q)
		y.must(err)
		if len(done.ReplaceDue) != 3 || done.Instance != first.Instance || done.RestartDue {
			t.Errorf("%+v: want three reasons to replace", done)
		}
		y.must(y.client().Replace(t.Context()))
		y.neverTwo()
		time.Sleep(2 * time.Minute)
		d, err = y.client().Describe(t.Context())
		y.must(err)
		if d.Instance == first.Instance || d.Address != first.Address || d.Volume != volume || d.InstanceType != "m7g.large" || d.AMI != ami || d.Problems != nil || !d.Health.OK {
			t.Errorf("%+v", d)
		}
		if len(y.live()) != 1 {
			t.Errorf("there are %q", y.live())
		}
	})
}

// A host that cannot be had now, and what becomes of the request.
func TestSoldOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		y.must(y.cloud.SetCapacity("m7i.xlarge", y.cloud.Subnets()[0].Zone, 0))
		_, err := y.client().Deploy(t.Context(), y.request())
		y.is(err, domain.ErrUnavailable, "EC2 has no m7i.xlarge")
		runs := 0
		for _, c := range y.cloud.Calls() {
			if c.Action == "ec2:RunInstances" && c.Code == "InsufficientInstanceCapacity" {
				runs++
			}
		}
		if runs != 1 {
			t.Errorf("it was asked for %d times: the SDK repeats what is sold out", runs)
		}
		q := y.request()
		q.InstanceType = "m7i.large"
		done, err := y.client().Deploy(t.Context(), q)
		y.must(err)
		if done.ReplaceDue != nil || len(y.live()) != 1 {
			t.Errorf("%+v, %q", done, y.live())
		}
	})
}

// A launch that EC2 put off is made as it was recorded, and counts from when it
// succeeds: what was just launched is not taken for gone because it does not show.
func TestLaunchPutOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := slow(fakeaws.Fault{Action: "ec2:RunInstances", Nth: 1, Status: 503, Code: "RequestLimitExceeded"})
		c.Delays.InstanceProfile = 0
		y := newYard(t, c)
		_, err := y.client().Deploy(t.Context(), y.request())
		y.is(err, domain.ErrThrottled, "call again")
		time.Sleep(time.Hour)
		done, err := y.client().Deploy(t.Context(), y.request())
		y.must(err)
		if live := y.live(); len(live) != 1 || live[0] != done.Instance {
			t.Errorf("there are %q, %s is told", live, done.Instance)
		}
		y.neverTwo()
	})
}

// What is not this Workbench's is not touched.
func TestNotOurs(t *testing.T) {
	for name, make := range map[string]func(*yard){
		"role": func(y *yard) { y.cloud.AddInstanceProfile("atelier-research-workbench-us-east-1") },
		"group": func(y *yard) {
			_, err := awsec2.NewFromConfig(y.cloud.Config()).CreateSecurityGroup(y.Context(), &awsec2.CreateSecurityGroupInput{
				GroupName: aws.String("atelier-research-workbench"), Description: aws.String("x"), VpcId: aws.String(y.cloud.DefaultVPC()),
			})
			y.must(err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				y := newYard(t, fakeaws.Config{})
				make(y)
				before := y.inventory()
				_, err := y.client().Deploy(t.Context(), y.request())
				y.is(err, domain.ErrConflict, "lacks the tag atelier:workbench=research")
				y.must(y.client().Remove(t.Context(), workbench.RemoveRequest{}))
				if after := y.inventory(); after != before {
					t.Errorf("before\n%s\nafter\n%s", before, after)
				}
			})
		})
	}
}

// What the caller no longer names is taken away.
func TestDeployTakesAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		y.deploy()
		y.must(deployAct(otherFiles)(y))
		got := y.inventory()
		for _, want := range []string{"  in 8787 from 10.1.0.0/16", "  policy other"} {
			if !strings.Contains(got, want) {
				t.Errorf("%q is not in\n%s", want, got)
			}
		}
		for _, gone := range []string{"10.0.0.0/8", "  policy plugin"} {
			if strings.Contains(got, gone) {
				t.Errorf("%q is still in\n%s", gone, got)
			}
		}
	})
}

// watched keeps what EC2 was asked to launch.
type watched struct {
	*awsec2.Client
	launched *awsec2.RunInstancesInput
}

func (w *watched) RunInstances(ctx context.Context, in *awsec2.RunInstancesInput, options ...func(*awsec2.Options)) (*awsec2.RunInstancesOutput, error) {
	w.launched = in
	return w.Client.RunInstances(ctx, in, options...)
}

// What the account in memory does not tell of a launch: the root volume.
func TestRootVolumeIsEncrypted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, slow())
		cfg := y.cloud.Config()
		w := &watched{Client: awsec2.NewFromConfig(cfg)}
		c, err := workbench.New(y.domain(), workbench.Services{
			EC2: w, SSM: awsssm.NewFromConfig(cfg), IAM: awsiam.NewFromConfig(cfg), Secrets: awssecrets.NewFromConfig(cfg),
		}, workbench.Config{})
		y.must(err)
		_, err = c.Deploy(t.Context(), y.request())
		y.must(err)
		disks := w.launched.BlockDeviceMappings
		if len(disks) != 1 || *disks[0].DeviceName != "/dev/xvda" || !aws.ToBool(disks[0].Ebs.Encrypted) || !aws.ToBool(disks[0].Ebs.DeleteOnTermination) {
			t.Errorf("it was launched with the disks %+v", disks)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		y := newYard(t, fakeaws.Config{})
		_, err := workbench.New(nil, workbench.Services{}, workbench.Config{})
		y.is(err, domain.ErrInvalid, "the domain is nil", "EC2 client is nil", "SSM client", "IAM client", "Secrets client")
		elsewhere := y.cloud.Config()
		elsewhere.Region = "eu-west-1"
		_, err = workbench.NewFromConfig(elsewhere, y.domain(), workbench.Config{})
		y.is(err, domain.ErrInvalid, "eu-west-1", "us-east-1")
	})
}
