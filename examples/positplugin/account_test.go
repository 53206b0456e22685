package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/dynamostore"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/workbench"
	"github.com/atelier-go/atelier/workbench/positlauncher"
	"github.com/atelier-go/atelier/workbench/positlauncher/positlaunchertest"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// research is what the Launcher's file says in tests.
var research = workbench.Plugin{Domain: "research", Region: "us-east-1", Store: "atelier"}

// newAccount is an account with the domain, as another program has made it.
func newAccount(t *testing.T) *fakeaws.Cloud {
	t.Helper()
	cloud, err := fakeaws.New(fakeaws.Config{Delays: fakeaws.Realistic()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
	})
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const ref = "registry.example.com/jobs:1"
	_, err = cloud.PushImage(ref, fakeaws.Image{Program: fake.Job})
	ok(err)
	records, err := dynamostore.NewFromConfig(cloud.Config(), dynamostore.Config{Table: research.Store})
	ok(err)
	ok(records.EnsureTable(t.Context()))
	domains, err := domain.NewFromConfig(cloud.Config(), domain.Config{Store: records})
	ok(err)
	d, err := domains.Create(t.Context(), domain.CreateRequest{
		Name: research.Domain, VPC: cloud.DefaultVPC(), Subnets: []string{cloud.Subnets()[0].ID},
	})
	ok(err)
	_, err = d.Onboard(t.Context(), domain.OnboardRequest{User: "alice", Login: "alice.smith", Groups: []string{"genomics"}})
	ok(err)
	_, err = d.Onboard(t.Context(), domain.OnboardRequest{User: "bob"})
	ok(err)
	_, err = d.CreateProject(t.Context(), domain.CreateProjectRequest{Name: "genome", Groups: []string{"genomics"}})
	ok(err)
	_, err = d.Attach(t.Context(), domain.AttachRequest{Name: "jobs", Reference: ref})
	ok(err)
	return cloud
}

// TestAccount: a plugin finds a domain by its name, in the table that has its records,
// and runs a job on a host that it buys; another plugin then tells of that job.
func TestAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := newAccount(t)
		before := len(cloud.Calls())
		connect := func() positlaunchertest.Caller {
			p := positlaunchertest.InProcess(t, func(ctx context.Context, in io.Reader, out io.Writer) error {
				return serveCluster(ctx, in, out, positlauncher.Config{Cluster: "EC2"}, func(ctx context.Context) (cluster, error) {
					return open(ctx, cloud.Config(), research, slog.New(slog.DiscardHandler), func(_ aws.Config, c *ec2launcher.Config) {
						c.Connect = fake.Connect(cloud) // a fake's engines do not speak Docker's language
					})
				})
			})
			l := positlaunchertest.Connect(t, p, positlaunchertest.Options{Heartbeat: time.Second, Answer: time.Minute})
			if err := l.Bootstrap(); err != nil {
				t.Fatal(err)
			}
			return l.As("alice.smith")
		}
		c := connect()
		info, err := c.ClusterInfo()
		if err != nil || len(info.Images) != 1 || info.DefaultImage != "jobs" || len(info.ResourceProfiles) == 0 {
			t.Fatalf("%+v, %v", info, err)
		}
		job, err := c.Submit(wire.Job{Name: "n", Exe: "say", Args: []string{"hello", ";", "exit", "3"}, ResourceProfile: "m5.large"})
		if err != nil {
			t.Fatal(err)
		}
		output, err := c.Output(job.ID, "stdout")
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		pieces, err := output.All(10 * time.Minute)
		for _, piece := range pieces {
			said.WriteString(piece.Text)
		}
		if err != nil || said.String() != "hello\n" {
			t.Errorf("the job said %q, %v", &said, err)
		}
		again := connect()
		for who, c := range map[string]positlaunchertest.Caller{"the plugin": c, "another": again} {
			if job, err = c.Job(job.ID); err != nil || job.Status != wire.Finished || job.ExitCode == nil || *job.ExitCode != 3 {
				t.Errorf("%s tells %+v, %v", who, job, err)
			}
		}
		allowed := hostPolicies(t, cloud)
		for _, c := range cloud.Calls()[before:] {
			if !slices.Contains(allowed, c.Action) {
				t.Errorf("a plugin calls %s, which its host's role is not given", c.Action)
			}
		}
	})
}

// hostPolicies are the actions that the Workbench host's role is given for the plugin,
// as an example of package workbench has it.
func hostPolicies(t *testing.T, cloud *fakeaws.Cloud) (actions []string) {
	t.Helper()
	records, err := dynamostore.NewFromConfig(cloud.Config(), dynamostore.Config{Table: research.Store})
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := ec2launcher.NewFromConfig(cloud.Config(), ec2launcher.Config{
		Fleet: research.Domain, Store: records, Subnets: []string{cloud.Subnets()[0].ID}, SecurityGroups: []string{"sg-0123456789abcdef0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range []string{fleet.Policy().Launcher, records.Policy().Records} {
		var p struct{ Statement []struct{ Action []string } }
		if err := json.Unmarshal([]byte(document), &p); err != nil {
			t.Fatal(err)
		}
		for _, s := range p.Statement {
			actions = append(actions, s.Action...)
		}
	}
	return actions
}

// TestAccounts: the accounts of a domain are told whole, or not at all.
func TestAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := newAccount(t)
		d, _, err := find(t.Context(), cloud.Config(), research)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := accounts(t.Context(), d, &out); err != nil {
			t.Fatal(err)
		}
		const want = "alice.smith:200001:200001:/home/alice.smith:fsap-0b7ba22e0fa401e62:project-genome=200003,group-genomics\n" +
			"bob:200002:200002:/home/bob:fsap-0357ec10d2a13769d:\n"
		if out.String() != want {
			t.Errorf("got %s\nwant %s", &out, want)
		}
		records, err := dynamostore.NewFromConfig(cloud.Config(), dynamostore.Config{Table: research.Store})
		if err != nil {
			t.Fatal(err)
		}
		domains, err := domain.NewFromConfig(cloud.Config(), domain.Config{Store: torn{records}})
		if err != nil {
			t.Fatal(err)
		}
		if d, err = domains.Get(t.Context(), research.Domain); err != nil {
			t.Fatal(err)
		}
		out.Reset()
		if err := accounts(t.Context(), d, &out); !errors.Is(err, errTorn) || out.Len() > 0 {
			t.Errorf("from a list that breaks off after alice: %q, %v", &out, err)
		}
	})
}

// torn is a store whose lists break off after the first record.
type torn struct{ store.Store }

var errTorn = errors.New("as if the network failed")

func (s torn) List(ctx context.Context, collection, after string) iter.Seq2[store.Record, error] {
	return func(yield func(store.Record, error) bool) {
		n := 0
		for r, err := range s.Store.List(ctx, collection, after) {
			if n++; n > 1 {
				yield(store.Record{}, errTorn)
				return
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// TestNoDomain: who has named another table, or another domain, is told which.
func TestNoDomain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := newAccount(t)
		for name, at := range map[string]workbench.Plugin{
			"physics": {Domain: "physics", Region: "us-east-1", Store: research.Store},
			"nowhere": {Domain: research.Domain, Region: "us-east-1", Store: "nowhere"},
			"table":   {Domain: research.Domain, Region: "us-east-1"},
		} {
			if _, _, err := find(t.Context(), cloud.Config(), at); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%+v: %v; want an error that says %s", at, err, name)
			}
		}
	})
}
