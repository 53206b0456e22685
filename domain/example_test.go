package domain_test

import (
	"context"
	"errors"
	"fmt"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/image"
	"github.com/atelier-go/atelier/instancetype"
)

// account stands in for an AWS account; config.LoadDefaultConfig gives the
// configuration of a real one. It holds an image.
func account() *fakeaws.Cloud {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		panic(err)
	}
	if _, err := cloud.PushImage("rocker/rstudio:4.5", fakeaws.Image{Platforms: []string{"linux/amd64"}}); err != nil {
		panic(err)
	}
	return cloud
}

// research makes a domain with one user, alice, and one image.
func research(ctx context.Context) (*domain.Domain, error) {
	cloud := account()
	client, err := domain.NewFromConfig(cloud.Config(), domain.Config{Store: store.NewMemory()})
	if err != nil {
		return nil, err
	}
	d, err := client.Create(ctx, domain.CreateRequest{
		Name: "research", VPC: cloud.DefaultVPC(), Subnets: []string{cloud.Subnets()[0].ID},
		Policy: domain.Policy{Types: []string{"t3.*", "r5.*"}, MaxPricePerHour: 2 * instancetype.Dollar},
	})
	if err != nil {
		return nil, err
	}
	if _, err := d.Onboard(ctx, domain.OnboardRequest{User: "alice", Groups: []string{"students"}}); err != nil {
		return nil, err
	}
	_, err = d.Attach(ctx, domain.AttachRequest{Name: "rstudio", Reference: "rocker/rstudio:4.5"})
	return d, err
}

func ExampleNewFromConfig() {
	ctx := context.Background()
	client, err := domain.NewFromConfig(account().Config(), domain.Config{Store: store.NewMemory()})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Get(ctx, "research")
	fmt.Println(errors.Is(err, domain.ErrNotFound))
	// Output: true
}

// New takes the clients of the AWS SDK as they are, or what wraps them.
func ExampleNew() {
	cfg := account().Config()
	client, err := domain.New(cfg.Region, awsec2.NewFromConfig(cfg), awsefs.NewFromConfig(cfg), domain.Config{
		Store:  store.NewMemory(),
		Images: image.NewFromConfig(cfg, image.Config{}),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for d, err := range client.List(context.Background()) {
		fmt.Println(d.Name(), err)
	}
	// Output:
}

func ExampleClient_Create() {
	ctx := context.Background()
	cloud := account()
	client, err := domain.NewFromConfig(cloud.Config(), domain.Config{Store: store.NewMemory()})
	if err != nil {
		fmt.Println(err)
		return
	}
	d, err := client.Create(ctx, domain.CreateRequest{
		Name:    "research",
		VPC:     cloud.DefaultVPC(),
		Subnets: []string{cloud.Subnets()[0].ID, cloud.Subnets()[1].ID},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	about, err := d.Describe(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(about.Name, "in", about.Region, "with subnets in", about.Subnets[0].Zone, about.Subnets[1].Zone)
	fmt.Printf("file system: %q\n", about.FileSystem)

	_, err = client.Create(ctx, domain.CreateRequest{Name: "Research 2", VPC: "default", Policy: domain.Policy{Types: []string{"t3.mediun"}}})
	fmt.Println(err)
	// Output:
	// research in us-east-1 with subnets in us-east-1a us-east-1b
	// file system: ""
	// domain: create "Research 2": invalid: domain "Research 2" has 'R', ' ': want 1 to 20 of a-z, 0-9 and hyphen, beginning with a letter
	// VPC "default": want an identifier such as "vpc-0123456789abcdef0"
	// 0 subnets: want 1 to 200
	// policy: unknown instance type "t3.mediun": did you mean t3.medium, t3a.medium, t2.medium?
}

func ExampleDomain_Onboard() {
	ctx := context.Background()
	d, err := research(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"alice", "bob"} {
		u, err := d.Onboard(ctx, domain.OnboardRequest{User: name})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(u.Name, "has uid", u.UID, "and home", u.Home.Path)
	}
	if err := d.Offboard(ctx, "alice"); err != nil {
		fmt.Println(err)
		return
	}
	back, err := d.Onboard(ctx, domain.OnboardRequest{User: "alice"})
	fmt.Println(back.Name, "comes back to", back.Home.Path, err)
	// Output:
	// alice has uid 200001 and home /200001
	// bob has uid 200002 and home /200002
	// alice comes back to /200001 <nil>
}

func ExampleDomain_Authorize() {
	ctx := context.Background()
	d, err := research(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	show := func(ask domain.Ask) {
		g, err := d.Authorize(ctx, ask)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(g.User.Name, "may run", g.Image.Name, "on", g.Type.Name, "for", g.PricePerHour.PerHour, "an hour")
	}
	show(domain.Ask{User: "alice", InstanceType: "ml.t3.medium"})
	show(domain.Ask{User: "alice", Size: domain.Size{MilliCPU: 2000, MemoryMiB: 12 << 10}})
	show(domain.Ask{User: "alice", InstanceType: "p3.2xlarge"})
	show(domain.Ask{User: "carol", Image: "julia", InstanceType: "t3.medium"})
	// Output:
	// alice may run rstudio on t3.medium for $0.0416 an hour
	// alice may run rstudio on r5.large for $0.126 an hour
	// domain: authorize research/alice: not allowed: instance type p3.2xlarge: $3.06 an hour, at most $2.00 allowed (the domain's policy); choose a cheaper one, or ask an administrator
	// instance type p3.2xlarge: not among those allowed, ["r5.*" "t3.*"] (the domain's policy); choose one of these, or ask an administrator
	// domain: authorize research/carol: not found: user carol: is not a user of the domain; onboard them first
	// image "julia": is not attached to the domain; attached: rstudio
}

func ExampleDomain_Choices() {
	ctx := context.Background()
	d, err := research(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := d.Choices(ctx, "alice")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, img := range c.Images {
		for _, o := range c.Types[:3] {
			fmt.Println(img.Name, "on", o.Type.Name, "for", o.Price.PerHour, "an hour:", c.Runs(img, o))
		}
	}
	// Output:
	// rstudio on t3.nano for $0.0052 an hour: true
	// rstudio on t3.micro for $0.0104 an hour: true
	// rstudio on t3.small for $0.0208 an hour: true
}

func ExampleDomain_SetGroupPolicy() {
	ctx := context.Background()
	d, err := research(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = d.SetGroupPolicy(ctx, "students", &domain.Policy{MaxPricePerHour: instancetype.Dollar / 10})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = d.Authorize(ctx, domain.Ask{User: "alice", InstanceType: "r5.large"})
	fmt.Println(err)
	// Output:
	// domain: authorize research/alice: not allowed: instance type r5.large: $0.126 an hour, at most $0.10 allowed (policy of group students); choose a cheaper one, or ask an administrator
}

// A project is for the members of groups, each of whose sessions may have it.
func ExampleDomain_CreateProject() {
	ctx := context.Background()
	d, err := research(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := d.CreateProject(ctx, domain.CreateProjectRequest{Name: "genome", Groups: []string{"students"}})
	fmt.Println(p.Name, p.GID, p.Directory.Path, err)
	grant, err := d.Authorize(ctx, domain.Ask{User: "alice", InstanceType: "t3.medium", Projects: []string{"genome"}})
	fmt.Println(grant.ProjectNames(), err)
	if err := d.SetProjectGroups(ctx, "genome", []string{"staff"}); err != nil {
		fmt.Println(err)
	}
	_, err = d.Authorize(ctx, domain.Ask{User: "alice", Resume: &grant})
	fmt.Println(err)
	// Output:
	// genome 200002 /shared/genome <nil>
	// [genome] <nil>
	// domain: authorize research/alice: not allowed: project genome: is for members of staff, and user alice is in students; ask for none, or ask an administrator
}

// What would go with a domain, before it does.
func ExampleClient_PreviewDelete() {
	ctx := context.Background()
	d, err := research(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := d.Offboard(ctx, "alice"); err != nil {
		fmt.Println(err)
	}
	preview, err := d.Client().PreviewDelete(ctx, d.Name())
	for _, c := range preview {
		if c.Thing != domain.ThingMountTarget && c.Thing != domain.ThingFileSystem && c.Thing != domain.ThingAccessPoint { // AWS named these
			fmt.Println(c.Fate, c.Thing, c.Name)
		}
	}
	fmt.Println(err)
	// Output:
	// ends security group atelier-research-efs
	// ends security group atelier-research-hosts
	// ends image rstudio
	// ends domain research
	// stays home alice
	// <nil>
}
