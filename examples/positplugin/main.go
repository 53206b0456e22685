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
// Workbench host as Access. The host's instance profile lets the plugin do what the
// policies of packages ec2launcher and dynamostore list. Package workbench renders
// these files, and all others of Workbench, and keeps such a host.
//
// Without Workbench, and without AWS:
//
//	rstudio-ec2-launcher -fake      serves a world in memory, with brisk delays
//	rstudio-ec2-launcher -docker    runs jobs on this machine's container engine
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher"
)

func main() {
	in, out, err := positlauncher.Stdio()
	if err != nil {
		fmt.Fprintln(os.Stderr, "positplugin:", err)
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, os.Args[1:], in, out)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "positplugin:", err)
		os.Exit(1)
	}
}

// options are those of this program. The Launcher's arguments are not among them.
type options struct {
	fake, docker bool
	// users are of the fake's domain, and of the one whose jobs run on an engine.
	users []string
	// image is what jobs run in on an engine, and homes where their homes are.
	image, homes string
}

// parse takes the options of this program from arguments, and leaves the others.
func parse(args []string) (o options, others []string, err error) {
	flags := flag.NewFlagSet("positplugin", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&o.fake, "fake", false, "")
	flags.BoolVar(&o.docker, "docker", false, "")
	users := flags.String("users", cmp.Or(os.Getenv("USER"), "root"), "")
	flags.StringVar(&o.image, "image", "busybox", "")
	flags.StringVar(&o.homes, "homes", "", "")
	var own []string
	for i := 0; i < len(args); i++ {
		name, _, given := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		known := flags.Lookup(name)
		if known == nil || !strings.HasPrefix(args[i], "-") {
			others = append(others, args[i])
			continue
		}
		own = append(own, args[i])
		if truth, ok := known.Value.(interface{ IsBoolFlag() bool }); !given && !(ok && truth.IsBoolFlag()) && i+1 < len(args) {
			i++
			own = append(own, args[i])
		}
	}
	if err := flags.Parse(own); err != nil {
		return o, others, err
	}
	if o.fake && o.docker {
		return o, others, errors.New("-fake or -docker, and not both")
	}
	o.users = strings.Split(*users, ",")
	return o, others, nil
}

// A cluster is what jobs run on: a manager, what it runs on, and how all of it ends.
type cluster struct {
	sessions *session.Manager
	// run has the manager and what is below it work until ctx ends.
	run func(ctx context.Context) error
	end func() error
}

// run serves the Launcher until in ends or ctx does.
func run(ctx context.Context, args []string, in io.Reader, out io.Writer) (err error) {
	o, others, err := parse(args)
	if err != nil {
		return err
	}
	launcher := positlauncher.ParseArguments(others)
	level := slog.LevelInfo
	if launcher.Debug {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))

	open := inAccount
	switch {
	case o.fake:
		open = inMemory
	case o.docker:
		open = onEngine
	}
	c, err := open(ctx, o, launcher, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.end()) }()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error {
		if err := c.run(ctx); ctx.Err() == nil {
			return err
		}
		return nil
	})
	work.Go(func() error {
		defer stop() // the Launcher has gone: sessions go on without
		cfg := launcher.Apply(positlauncher.Config{Logger: log})
		cfg.Cluster = cmp.Or(cfg.Cluster, "EC2")
		return positlauncher.Serve(ctx, in, out, c.sessions, cfg)
	})
	return work.Wait()
}
