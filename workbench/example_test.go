package workbench_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/dynamostore"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/image"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/workbench"
)

// A domain's Workbench, from its first deployment to its removal, in an account
// in memory where everything happens at once.
func ExampleNewFromConfig() {
	ctx := context.Background()
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer cloud.Close()
	domains, err := domain.NewFromConfig(cloud.Config(), domain.Config{Store: store.NewMemory()})
	if err != nil {
		log.Fatal(err)
	}
	research, err := domains.Create(ctx, domain.CreateRequest{Name: "research", VPC: cloud.DefaultVPC(), Subnets: []string{cloud.Subnets()[0].ID}})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := research.Onboard(ctx, domain.OnboardRequest{User: "alice"}); err != nil {
		log.Fatal(err)
	}
	// What answers on the host: of a real one it is Workbench.
	answers := cloud.Network(func(fakeaws.Machine, int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "active-sessions: 0\n") })
	})

	client, err := workbench.NewFromConfig(cloud.Config(), research, workbench.Config{HTTPClient: &http.Client{Transport: answers}})
	if err != nil {
		log.Fatal(err)
	}
	request := workbench.DeployRequest{
		InstanceType: "m7i.xlarge",
		Access:       []string{"10.0.0.0/16"},
		Package:      workbench.Software{URL: "https://example.com/rstudio-workbench.rpm", SHA256: strings.Repeat("0", 64)},
		License:      workbench.License{File: "arn:aws:secretsmanager:us-east-1:123456789012:secret:posit-AbCdEf"},
		Files: []workbench.File{
			{Path: "/etc/rstudio/rserver.conf", Mode: 0o644, Owner: "root:root", Content: []byte("server-health-check-enabled=1\n")},
		},
	}
	if _, err := client.Deploy(ctx, request); err != nil {
		log.Fatal(err)
	}
	tell := func(when string) workbench.Description {
		d, err := client.Describe(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s %s, healthy %t\n", when, d.InstanceType, d.State, d.Health.OK)
		for _, p := range d.Problems {
			fmt.Println("  " + p)
		}
		return d
	}
	tell("deployed")

	request.InstanceType = "m7i.2xlarge"
	request.Files[0].Content = []byte("server-health-check-enabled=1\nwww-frame-origin=same\n")
	if _, err := client.Deploy(ctx, request); err != nil {
		log.Fatal(err)
	}
	before := tell("changed")
	if err := client.Replace(ctx); err != nil {
		log.Fatal(err)
	}
	after := tell("replaced")
	fmt.Println("same address:", after.Address == before.Address, "same data:", after.Volume == before.Volume)

	request.Hosts = 2
	_, err = client.Deploy(ctx, request)
	fmt.Println(err, errors.Is(err, domain.ErrInvalid))

	if err := client.Remove(ctx, workbench.RemoveRequest{DeleteVolume: after.Volume}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// deployed: m7i.xlarge running, healthy true
	// changed: m7i.xlarge running, healthy true
	//   Files were published that the host has not read: call Restart.
	//   The instance is not as the last Deploy wants it (it is of type m7i.xlarge, and m7i.2xlarge is wanted): call Replace.
	// replaced: m7i.2xlarge running, healthy true
	// same address: true same data: true
	// workbench: deploy research: invalid: 2 hosts: several Workbench hosts behind a load balancer are not supported; want 1 true
}

// A program on the Workbench host that tells it the domain's accounts.
func ExampleAccounts() {
	ctx := context.Background()
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer cloud.Close()
	domains, err := domain.NewFromConfig(cloud.Config(), domain.Config{Store: store.NewMemory()})
	if err != nil {
		log.Fatal(err)
	}
	research, err := domains.Create(ctx, domain.CreateRequest{Name: "research", VPC: cloud.DefaultVPC(), Subnets: []string{cloud.Subnets()[0].ID}})
	if err != nil {
		log.Fatal(err)
	}
	for _, user := range []string{"alice", "bob", "carol"} {
		if _, err := research.Onboard(ctx, domain.OnboardRequest{User: user, Login: user + ".smith", Groups: []string{"genomics"}[:len(user)%2]}); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := research.CreateProject(ctx, domain.CreateProjectRequest{Name: "genome", Groups: []string{"genomics"}}); err != nil {
		log.Fatal(err)
	}
	if err := research.Offboard(ctx, "bob"); err != nil {
		log.Fatal(err)
	}

	for account, err := range workbench.Accounts(ctx, research) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(account)
	}
	// Output:
	// alice.smith:200001:200001:/home/alice.smith:fsap-0b7ba22e0fa401e62:project-genome=200004,group-genomics
	// carol.smith:200003:200003:/home/carol.smith:fsap-00929b3915007d452:project-genome=200004,group-genomics
}

// The role of a host whose plugin serves a fleet, with records in DynamoDB and images in
// Amazon ECR: three lines, and what they come to in the account.
func ExampleDeployRequest_policies() {
	ctx := context.Background()
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer cloud.Close()
	records, err := dynamostore.NewFromConfig(cloud.Config(), dynamostore.Config{Table: "atelier"})
	if err != nil {
		log.Fatal(err)
	}
	if err := records.EnsureTable(ctx); err != nil {
		log.Fatal(err)
	}
	domains, err := domain.NewFromConfig(cloud.Config(), domain.Config{Store: records})
	if err != nil {
		log.Fatal(err)
	}
	research, err := domains.Create(ctx, domain.CreateRequest{Name: "research", VPC: cloud.DefaultVPC(), Subnets: []string{cloud.Subnets()[0].ID}})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := research.Onboard(ctx, domain.OnboardRequest{User: "alice"}); err != nil {
		log.Fatal(err)
	}
	is, err := research.Describe(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fleet, err := ec2launcher.NewFromConfig(cloud.Config(), ec2launcher.Config{
		Fleet: "research", Store: records, Subnets: []string{is.Subnets[0].ID}, SecurityGroups: is.HostSecurityGroups(),
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := workbench.NewFromConfig(cloud.Config(), research, workbench.Config{})
	if err != nil {
		log.Fatal(err)
	}
	ours := image.Reference{Registry: "123456789012.dkr.ecr.us-east-1.amazonaws.com", Repository: "ide/*"}

	_, err = client.Deploy(ctx, workbench.DeployRequest{
		InstanceType: "m7i.xlarge",
		Policies: map[string]string{
			"fleet":   fleet.Policy().Launcher,
			"records": records.Policy().Records,
			"images":  image.Policy(ours).Pull,
		},
	})
	if err != nil {
		log.Fatal(err)
	}

	for _, name := range []string{"atelier-workbench", "fleet", "images", "records"} {
		out, err := iam.NewFromConfig(cloud.Config()).GetRolePolicy(ctx, &iam.GetRolePolicyInput{
			RoleName: aws.String("atelier-research-workbench-us-east-1"), PolicyName: aws.String(name),
		})
		if err != nil {
			log.Fatal(err)
		}
		text, err := url.QueryUnescape(*out.PolicyDocument)
		if err != nil {
			log.Fatal(err)
		}
		var policy struct{ Statement []struct{ Sid string } }
		if err := json.Unmarshal([]byte(text), &policy); err != nil {
			log.Fatal(err)
		}
		fmt.Println(name, policy.Statement)
	}
	// Output:
	// atelier-workbench [{Homes} {Secrets}]
	// fleet [{Look} {BuyHosts} {BuyHostsHere} {BuyHostsBehind} {TagHosts} {EndHosts} {GiveRole} {Keys} {Images}]
	// images [{Token} {Images}]
	// records [{Records}]
}

// Keys are made once: each program that deploys a Workbench is given the same ones.
func ExampleClient_EnsureKeys() {
	ctx := context.Background()
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer cloud.Close()
	domains, err := domain.NewFromConfig(cloud.Config(), domain.Config{Store: store.NewMemory()})
	if err != nil {
		log.Fatal(err)
	}
	research, err := domains.Create(ctx, domain.CreateRequest{Name: "research", VPC: cloud.DefaultVPC(), Subnets: []string{cloud.Subnets()[0].ID}})
	if err != nil {
		log.Fatal(err)
	}
	client, err := workbench.NewFromConfig(cloud.Config(), research, workbench.Config{})
	if err != nil {
		log.Fatal(err)
	}

	first, err := client.EnsureKeys(ctx)
	if err != nil {
		log.Fatal(err)
	}
	conf := workbench.Configuration{CallbackAddress: "https://workbench.example.com", Keys: first}
	fmt.Println(conf.Keys) // which nothing prints

	again, err := client.EnsureKeys(ctx)
	fmt.Println(again == first, err)
	// Output:
	// keys
	// true <nil>
}
