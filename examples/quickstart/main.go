// Quickstart shows the whole of Atelier in one story: an empty domain, two
// users, three sessions on two hosts, and one of them resumed on a bigger
// instance with the same files.
//
//	go run ./examples/quickstart
//
// runs it on an AWS account in memory and on virtual time. With -aws it runs
// what needs no host against a real account.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/atelier-go/atelier/examples/internal/bubble"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
)

// A place is where the story happens: what differs between an account in
// memory and a real one.
type place struct {
	vpc     string
	subnets []string
	// image and custom are references of the domain's two images.
	image, custom string
	// connect is the way to a host's container engine; nil if there is none.
	connect func(context.Context, ec2launcher.Host) (ec2launcher.HostLauncher, error)
}

func main() {
	flags := flag.NewFlagSet("quickstart", flag.ExitOnError)
	real := flags.Bool("aws", false, "use the AWS account of the environment instead of one in memory")
	vpc := flags.String("vpc", "", "with -aws: the VPC")
	subnets := flags.String("subnets", "", "with -aws: subnets of the VPC, separated by commas")
	image := flags.String("image", "", "with -aws: the reference of a session image")
	_ = flags.Parse(os.Args[1:]) // ExitOnError
	if !*real {
		bubble.Main(func() int { return exit(inMemory(context.Background(), os.Stdout)) })
	}
	if *vpc == "" || *subnets == "" || *image == "" {
		fmt.Fprintln(os.Stderr, "quickstart: -aws creates things that cost money, so it has to be told where:\n"+
			"  quickstart -aws -vpc vpc-… -subnets subnet-…,subnet-… -image registry/name:tag\n"+
			"Without -aws everything happens in memory.")
		os.Exit(2)
	}
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		os.Exit(exit(err))
	}
	os.Exit(exit(run(context.Background(), cfg, place{
		vpc: *vpc, subnets: strings.Split(*subnets, ","), image: *image, custom: *image,
	}, os.Stdout)))
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
		vpc:     cloud.DefaultVPC(),
		image:   "registry.example.com/rstudio:2026.04",
		custom:  cloud.Account() + ".dkr.ecr." + cloud.Region() + ".amazonaws.com/genomics:7",
		connect: fake.Connect(cloud),
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
