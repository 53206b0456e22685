// Quickstart shows the whole of Atelier in one story: an empty domain, two
// users, three sessions on two hosts, and one of them resumed on a bigger
// instance with the same files.
//
//	go run ./examples/quickstart
//
// runs it on an AWS account in memory and on virtual time. With -launcher
// docker the sessions are real containers on this machine's engine, and time is
// real; with -aws everything is, and costs money.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/examples/internal/bubble"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/image"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// A place is where the story happens: what differs between an account in
// memory and a real one.
type place struct {
	vpc     string
	subnets []string
	// image and custom are references of the domain's two images.
	image, custom string
	// engine says that sessions run on this machine's container engine.
	engine bool
	// hosts makes what sessions run on, in security groups of the domain.
	hosts func(ctx context.Context, cfg aws.Config, records store.Store, securityGroups, subnets []string) (hosts, error)
}

// hosts are what sessions run on: a fleet of EC2 instances, or one engine.
type hosts struct {
	launcher.Launcher
	fleet *ec2launcher.Launcher // nil on one engine
}

// onFleet makes a fleet of what a story's hosts have in common.
func onFleet(change func(*ec2launcher.Config)) func(context.Context, aws.Config, store.Store, []string, []string) (hosts, error) {
	return func(_ context.Context, cfg aws.Config, records store.Store, securityGroups, subnets []string) (hosts, error) {
		c := ec2launcher.Config{
			Fleet: "research", Store: records, Linger: time.Minute,
			Subnets: subnets, SecurityGroups: securityGroups,
		}
		change(&c)
		fleet, err := ec2launcher.NewFromConfig(cfg, c)
		return hosts{fleet, fleet}, err
	}
}

func main() {
	flags := flag.NewFlagSet("quickstart", flag.ExitOnError)
	engine := flags.String("launcher", "", `"docker" runs the sessions as containers of this machine's engine`)
	real := flags.Bool("aws", false, "use the AWS account of the environment instead of one in memory")
	vpc := flags.String("vpc", "", "with -aws: the VPC")
	subnets := flags.String("subnets", "", "with -aws: subnets of the VPC, separated by commas")
	ref := flags.String("image", "", "with -aws: the reference of an image of the program in examples/quickstart/ide")
	access := flags.String("access", "", "with -aws: the security group or the CIDR of this machine, which is let in to the hosts")
	_ = flags.Parse(os.Args[1:]) // ExitOnError
	ctx := context.Background()
	switch {
	case !*real && *engine == "":
		bubble.Main(func() int { return exit(inMemory(ctx, os.Stdout)) })
	case !*real && *engine == "docker":
		os.Exit(exit(onEngine(ctx, os.Stdout)))
	case *engine != "":
		fmt.Fprintln(os.Stderr, `quickstart: -launcher is "docker", or left out; and with -aws there is no other`)
		os.Exit(2)
	case *vpc == "" || *subnets == "" || *ref == "" || *access == "":
		fmt.Fprintln(os.Stderr, "quickstart: -aws creates things that cost money, so it has to be told where:\n"+
			"  quickstart -aws -vpc vpc-… -subnets subnet-…,subnet-… -image registry/name:tag -access sg-…\n"+
			"Without -aws everything happens in memory.")
		os.Exit(2)
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		os.Exit(exit(err))
	}
	os.Exit(exit(run(ctx, cfg, inAccount(cfg, *vpc, strings.Split(*subnets, ","), *ref, *access), os.Stdout)))
}

// inAccount is a real account, where hosts are what Setup has prepared.
func inAccount(cfg aws.Config, vpc string, subnets []string, ref, access string) place {
	fleet := onFleet(func(c *ec2launcher.Config) {
		c.Access = []string{access}
		c.Credentials = image.ECRCredentials(awsecr.NewFromConfig(cfg), nil)
	})
	at := place{vpc: vpc, subnets: subnets, image: ref, custom: ref}
	at.hosts = func(ctx context.Context, cfg aws.Config, records store.Store, groups, subnets []string) (hosts, error) {
		on, err := fleet(ctx, cfg, records, groups, subnets)
		if err != nil {
			return hosts{}, err
		}
		return on, on.fleet.Setup(ctx)
	}
	return at
}

// inMemory runs the story in an account that is made for it.
func inMemory(ctx context.Context, out io.Writer) (err error) {
	cloud, err := fakeaws.New(fakeaws.Config{Delays: fakeaws.Realistic()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cloud.Close()) }()
	at, err := arrange(cloud, fake.IDE)
	if err != nil {
		return err
	}
	return run(ctx, cloud.Config(), at, out)
}

// arrange puts into the account what the story finds there: two images.
func arrange(cloud *fakeaws.Cloud, program fakelauncher.Program) (place, error) {
	at := place{
		vpc:    cloud.DefaultVPC(),
		image:  "registry.example.com/rstudio:2026.04",
		custom: cloud.Account() + ".dkr.ecr." + cloud.Region() + ".amazonaws.com/genomics:7",
		hosts:  onFleet(func(c *ec2launcher.Config) { c.Connect = fake.Connect(cloud) }),
	}
	for _, s := range cloud.Subnets()[:2] {
		at.subnets = append(at.subnets, s.ID)
	}
	for _, ref := range []string{at.image, at.custom} {
		if _, err := cloud.PushImage(ref, fakeaws.Image{Program: program, Size: 1 << 30}); err != nil {
			return place{}, err
		}
	}
	return at, nil
}

func exit(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		return 1
	}
	return 0
}
