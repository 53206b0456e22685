package ec2launcher_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/launcher/launchertest/behave"
)

// account is an AWS account in memory; in production cfg comes from the SDK's
// config.LoadDefaultConfig.
func account() (cloud *fakeaws.Cloud, cfg aws.Config, group string) {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		log.Panic(err)
	}
	if _, err := cloud.PushImage(testImage, fakeaws.Image{Program: behave.Program}); err != nil {
		log.Panic(err)
	}
	cfg = cloud.Config()
	made, err := awsec2.NewFromConfig(cfg).CreateSecurityGroup(context.Background(), &awsec2.CreateSecurityGroupInput{
		GroupName: aws.String("hosts"), Description: aws.String("hosts"), VpcId: aws.String(cloud.DefaultVPC()),
	})
	if err != nil {
		log.Panic(err)
	}
	return cloud, cfg, aws.ToString(made.GroupId)
}

// An EventBridge rule with the source "aws.ec2" delivers what AWS says of hosts to a
// queue or function of the caller's, which passes it on.
func ExampleLauncher_HandleEvent() {
	cloud, cfg, group := account()
	defer func() { _ = cloud.Close() }()
	fleet, err := ec2launcher.NewFromConfig(cfg, ec2launcher.Config{
		Fleet: "research", Store: store.NewMemory(), Subnets: []string{cloud.Subnets()[0].ID}, SecurityGroups: []string{group},
		Connect: func(_ context.Context, h ec2launcher.Host) (ec2launcher.HostLauncher, error) { return cloud.Host(h.ID) },
	})
	if err != nil {
		log.Panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- fleet.Run(ctx) }()
	w := launcher.Workload{
		ID: "hello", Owner: "alice", Image: testImage, Command: []string{"wait"}, InstanceType: "t3.medium", Market: launcher.Spot,
	}
	if _, err := fleet.Launch(ctx, w); err != nil {
		log.Panic(err)
	}
	s, err := launcher.Wait(ctx, fleet, "hello", func(s launcher.Status) bool { return s.Phase == launcher.Running })
	if err != nil {
		log.Panic(err)
	}

	if err := cloud.Recommend(s.Host); err != nil { // AWS may soon want it back
		log.Panic(err)
	}
	for _, event := range cloud.Events() { // as a queue would bring them
		if err := fleet.HandleEvent(ctx, event); err != nil {
			log.Panic(err)
		}
	}
	s, err = launcher.Wait(ctx, fleet, "hello", func(s launcher.Status) bool { return s.Endangered })
	fmt.Println(s.Phase, "endangered:", s.Endangered, err)
	stop()
	fmt.Println(<-done)
	// Output:
	// running endangered: true <nil>
	// <nil>
}

func ExampleNewFromConfig() {
	cloud, cfg, group := account()
	defer func() { _ = cloud.Close() }()

	fleet, err := ec2launcher.NewFromConfig(cfg, ec2launcher.Config{
		Fleet:          "research",
		Store:          store.NewMemory(),
		Subnets:        []string{cloud.Subnets()[0].ID},
		SecurityGroups: []string{group},
		Connect: func(_ context.Context, h ec2launcher.Host) (ec2launcher.HostLauncher, error) {
			return cloud.Host(h.ID)
		},
	})
	if err != nil {
		log.Panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- fleet.Run(ctx) }()

	_, err = fleet.Launch(ctx, launcher.Workload{
		ID: "hello", Owner: "alice", Image: testImage, Command: []string{"exit", "3"}, InstanceType: "t3.medium",
	})
	if err != nil {
		log.Panic(err)
	}
	s, err := launcher.Wait(ctx, fleet, "hello", func(s launcher.Status) bool { return s.Phase == launcher.Exited })
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(s.ID, s.Phase, "with code", s.ExitCode)
	for h, err := range fleet.Hosts(ctx) {
		fmt.Println(h.InstanceType, "at", h.PricePerHour, "an hour is", h.State, err)
	}
	stop()
	fmt.Println(<-done)
	// Output:
	// hello exited with code 3
	// t3.medium at $0.0416 an hour is ready <nil>
	// <nil>
}

// An administrator sets a fleet up once, and again at each deployment: it then
// changes nothing, or what has to be changed.
func ExampleLauncher_Setup() {
	cloud, cfg, group := account()
	defer func() { _ = cloud.Close() }()

	fleet, err := ec2launcher.NewFromConfig(cfg, ec2launcher.Config{
		Fleet:          "research",
		Store:          store.NewMemory(),
		Subnets:        []string{cloud.Subnets()[0].ID},
		SecurityGroups: []string{group},
		Access:         []string{"10.0.0.0/16"}, // where the portal runs
		Connect: func(_ context.Context, h ec2launcher.Host) (ec2launcher.HostLauncher, error) {
			return cloud.Host(h.ID)
		},
		Logger: slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == "generation" || a.Key == "until" {
					return slog.Attr{}
				}
				return a
			},
		})),
	})
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(fleet.Setup(context.Background()))
	fmt.Println(fleet.Setup(context.Background()))
	fmt.Println(fleet.Teardown(context.Background()))
	// Output:
	// msg="setup: making the hosts' role" role=atelier-research-us-east-1-host
	// msg="setup: making the hosts' instance profile" profile=atelier-research-us-east-1-host
	// msg="setup: making the log group" group=/atelier/research
	// msg="setup: making the security group" group=atelier-research-engine
	// msg="setup: making a secret" secret=atelier/research/client
	// msg="setup: making a secret" secret=atelier/research/host
	// msg="setup: making keys for the hosts' engines"
	// <nil>
	// <nil>
	// msg="teardown: what Setup made is gone"
	// <nil>
}

// Policy is what an administrator attaches to whoever runs the launcher.
func ExampleLauncher_Policy() {
	cloud, cfg, group := account()
	defer func() { _ = cloud.Close() }()

	fleet, err := ec2launcher.NewFromConfig(cfg, ec2launcher.Config{
		Fleet: "research", Store: store.NewMemory(), Subnets: []string{cloud.Subnets()[0].ID}, SecurityGroups: []string{group},
		Connect: func(_ context.Context, h ec2launcher.Host) (ec2launcher.HostLauncher, error) {
			return cloud.Host(h.ID)
		},
	})
	if err != nil {
		log.Panic(err)
	}
	policy := fleet.Policy()
	for line := range strings.Lines(policy.Host) {
		if strings.Contains(line, "secretsmanager") {
			fmt.Print(strings.TrimLeft(line, " "))
		}
	}
	// Output:
	// "secretsmanager:GetSecretValue"
	// "arn:aws:secretsmanager:us-east-1:*:secret:atelier/research/host-??????"
}

// New is for programs that have clients of their own, for example with other
// middleware. Everything that is wrong with a Config is told at once.
func ExampleNew() {
	cloud, cfg, group := account()
	defer func() { _ = cloud.Close() }()
	_, err := ec2launcher.New(ec2launcher.Services{
		EC2: awsec2.NewFromConfig(cfg), SSM: awsssm.NewFromConfig(cfg),
	}, cfg.Region, ec2launcher.Config{
		Fleet: "Research", SecurityGroups: []string{group},
	})
	fmt.Println(err)
	// Output:
	// launcher: new: invalid: the Secrets client is nil, and with it there is no key to any host: use NewFromConfig, give it, or a Connect
	// fleet "Research": want 1 to 20 of a-z 0-9 - beginning with a letter
	// store is nil: use store.NewMemory or one that survives a restart
	// no subnets: want at least one
}
