package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/aws/aws-sdk-go-v2/config"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store/dynamostore"
	"github.com/atelier-go/atelier/image"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench"
	"github.com/atelier-go/atelier/workbench/positlauncher"
)

// inAccount is the domain of the Launcher's file, in the account of the host.
func inAccount(ctx context.Context, _ options, launcher positlauncher.Arguments, log *slog.Logger) (cluster, error) {
	if launcher.ConfigFile == "" {
		return cluster{}, errors.New("the Launcher starts this program, and names a file to it by --config-file; without it, try -fake or -docker")
	}
	text, err := os.ReadFile(launcher.ConfigFile)
	if err != nil {
		return cluster{}, err
	}
	at, err := workbench.ParsePlugin(text)
	if err != nil {
		return cluster{}, fmt.Errorf("%s: %w", launcher.ConfigFile, err)
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(at.Region))
	if err != nil {
		return cluster{}, err
	}
	records, err := dynamostore.NewFromConfig(cfg, dynamostore.Config{Table: at.Store})
	if err != nil {
		return cluster{}, err
	}
	domains, err := domain.NewFromConfig(cfg, domain.Config{Store: records})
	if err != nil {
		return cluster{}, err
	}
	d, err := domains.Get(ctx, at.Domain)
	if err != nil {
		return cluster{}, err
	}
	is, err := d.Describe(ctx)
	if err != nil {
		return cluster{}, err
	}
	hosts := ec2launcher.Config{
		Fleet: is.Name, Store: records, SecurityGroups: []string{is.HostSecurityGroup},
		Credentials: image.ECRCredentials(awsecr.NewFromConfig(cfg), nil), Logger: log,
	}
	for _, s := range is.Subnets {
		hosts.Subnets = append(hosts.Subnets, s.ID)
	}
	fleet, err := ec2launcher.NewFromConfig(cfg, hosts)
	if err != nil {
		return cluster{}, err
	}
	sessions, err := session.New(d, fleet, session.Config{Logger: log})
	if err != nil {
		return cluster{}, err
	}
	return cluster{
		sessions: sessions,
		run: func(ctx context.Context) error {
			work, ctx := errgroup.WithContext(ctx)
			work.Go(func() error { return fleet.Run(ctx) })
			work.Go(func() error { return sessions.Run(ctx) })
			return work.Wait()
		},
		end: func() error { return nil },
	}, nil
}
