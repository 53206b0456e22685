// Positplugin is a launcher plugin for Posit Workbench: it runs the users' RStudio,
// Jupyter, VS Code and Positron sessions and their Workbench Jobs on EC2 instances of
// a domain. Workbench and its Job Launcher need a licence of Posit's, and it was not
// tried with them; package positlauncher says what that leaves open.
//
//	go build -o rstudio-ec2-launcher ./examples/positplugin
//
// On the Workbench host, as root:
//
//	install -m 0755 rstudio-ec2-launcher /usr/lib/rstudio-server/bin/
//
// In /etc/rstudio/launcher.conf, beside what is there:
//
//	[cluster]
//	name=EC2
//	type=Plugin
//	exe=/usr/lib/rstudio-server/bin/rstudio-ec2-launcher
//
// In /etc/rstudio/launcher.ec2.conf, which the Launcher names to the plugin:
//
//	domain=research
//	region=us-east-1
//	store=atelier
//
// The domain of that name has its records in the DynamoDB table of that name, and was
// made by a program that also ran Setup of its fleet, with the security group of the
// Workbench host as Access. The fleet is called as the domain is: that program's
// ec2launcher.Config has Fleet "research", too. The host's instance profile lets the
// plugin do what the policies of packages ec2launcher, dynamostore and image list, and
// nothing else: it calls neither EFS nor what makes a domain. Package workbench renders
// these files, and all others of Workbench, and keeps such a host, whose role it gives
// these policies (workbench.DeployRequest.Policies); it has the accounts of the host's
// users from this program, which prints them one a line
// (workbench.DeployRequest.Accounts):
//
//	rstudio-ec2-launcher accounts --config-file=/etc/rstudio/launcher.ec2.conf
//
// Without Workbench, and without AWS:
//
//	rstudio-ec2-launcher -fake      serves a world in memory, with brisk delays
//	rstudio-ec2-launcher -docker    runs jobs on this machine's container engine
//
// Both end with their jobs when standard input does. Jobs name the image "jobs"; in
// memory it runs the words of fake.Job, on the engine it is -image.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch _, misused := errors.AsType[*usageError](err); {
	case err == nil, errors.Is(err, context.Canceled):
	case misused:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "positplugin:", err)
		os.Exit(1)
	}
}

// run does what the arguments say.
func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.accounts {
		return printAccounts(ctx, o, os.Stdout)
	}
	in, out, err := positlauncher.Stdio()
	if err != nil {
		return err
	}
	return serve(ctx, o, in, out)
}

// A cluster is what jobs run on: a manager, what it runs on, and how all of it ends.
type cluster struct {
	sessions *session.Manager
	// run has the manager and what is below it work until ctx ends.
	run func(ctx context.Context) error
	end func() error
}

// serve serves the Launcher until in ends or ctx does.
func serve(ctx context.Context, o options, in io.Reader, out io.Writer) error {
	open := inAccount
	switch {
	case o.fake:
		open = inMemory
	case o.docker:
		open = onEngine
	}
	level := slog.LevelInfo
	if o.launcher.Debug {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	cfg := o.launcher.Apply(positlauncher.Config{Logger: log})
	cfg.Cluster = cmp.Or(cfg.Cluster, "EC2")
	return serveCluster(ctx, in, out, cfg, func(ctx context.Context) (cluster, error) { return open(ctx, o, log) })
}

// serveCluster serves what open opens, which takes its time, and ends it.
func serveCluster(ctx context.Context, in io.Reader, out io.Writer, cfg positlauncher.Config, open func(context.Context) (cluster, error)) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	work, ctx := errgroup.WithContext(ctx)
	end := func() error { return nil }
	work.Go(func() error {
		defer stop() // the Launcher has gone: sessions go on without
		return positlauncher.ServeOpening(ctx, in, out, func(opening context.Context) (*session.Manager, error) {
			c, err := open(opening)
			if err != nil {
				return nil, err
			}
			end = c.end
			work.Go(func() error {
				if err := c.run(ctx); ctx.Err() == nil {
					return err
				}
				return nil
			})
			return c.sessions, nil
		}, cfg)
	})
	return errors.Join(work.Wait(), end())
}
