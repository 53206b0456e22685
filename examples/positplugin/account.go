package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/domain/store/dynamostore"
	"github.com/atelier-go/atelier/image"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench"
)

// inAccount is the domain of the Launcher's file, in the account of the host.
func inAccount(ctx context.Context, o options, log *slog.Logger) (cluster, error) {
	cfg, at, err := account(ctx, o.launcher.ConfigFile)
	if err != nil {
		return cluster{}, err
	}
	return open(ctx, cfg, at, log, engines)
}

// printAccounts prints the accounts of the domain of the Launcher's file.
func printAccounts(ctx context.Context, o options, out io.Writer) error {
	cfg, at, err := account(ctx, o.launcher.ConfigFile)
	if err != nil {
		return err
	}
	d, _, err := find(ctx, cfg, at)
	if err != nil {
		return err
	}
	return accounts(ctx, d, out)
}

// accounts prints all accounts of a domain, or none and why.
func accounts(ctx context.Context, d *domain.Domain, out io.Writer) error {
	var lines strings.Builder
	for a, err := range workbench.Accounts(ctx, d) {
		if err != nil {
			return err
		}
		fmt.Fprintln(&lines, a)
	}
	_, err := io.WriteString(out, lines.String())
	return err
}

// account is where the domain of the Launcher's file is, and the way there.
func account(ctx context.Context, file string) (aws.Config, workbench.Plugin, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the administrator names it
	if err != nil {
		return aws.Config{}, workbench.Plugin{}, err
	}
	at, err := workbench.ParsePlugin(text)
	if err != nil {
		return aws.Config{}, at, fmt.Errorf("%s: %w", file, err)
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(at.Region))
	return cfg, at, err
}

// find is a domain and its records.
func find(ctx context.Context, cfg aws.Config, at workbench.Plugin) (*domain.Domain, store.Store, error) {
	records, err := dynamostore.NewFromConfig(cfg, dynamostore.Config{Table: at.Store})
	if err != nil {
		return nil, nil, err
	}
	domains, err := domain.NewFromConfig(cfg, domain.Config{Store: records})
	if err != nil {
		return nil, nil, err
	}
	d, err := domains.Get(ctx, at.Domain)
	return d, records, err
}

// engines has hosts pull images from the registry of their account, by the engines
// that they boot with.
func engines(cfg aws.Config, c *ec2launcher.Config) {
	c.Credentials = image.ECRCredentials(awsecr.NewFromConfig(cfg), nil)
}

// open is the cluster of a domain, on hosts whose engines are reached as reach says.
func open(ctx context.Context, cfg aws.Config, at workbench.Plugin, log *slog.Logger, reach func(aws.Config, *ec2launcher.Config)) (cluster, error) {
	d, records, err := find(ctx, cfg, at)
	if err != nil {
		return cluster{}, err
	}
	is, err := d.Describe(ctx)
	if err != nil {
		return cluster{}, err
	}
	hosts := ec2launcher.Config{Fleet: is.Name, Store: records, SecurityGroups: is.HostSecurityGroups(), Logger: log}
	for _, s := range is.Subnets {
		hosts.Subnets = append(hosts.Subnets, s.ID)
	}
	reach(cfg, &hosts)
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
