package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/session"
)

// run is the story. Everything in it is a call that a program of yours would
// make; where cfg leads it cannot tell.
func run(ctx context.Context, cfg aws.Config, at place, out io.Writer) error {
	tell := narrator(out)

	// A domain is the tenant: a network, users, images, policy.
	records := store.NewMemory()
	domains, err := domain.NewFromConfig(cfg, domain.Config{Store: records})
	if err != nil {
		return err
	}
	research, err := domains.Create(ctx, domain.CreateRequest{Name: "research", VPC: at.vpc, Subnets: at.subnets})
	if err != nil {
		return err
	}
	about, err := research.Describe(ctx)
	if err != nil {
		return err
	}
	tell("domain %s in %s: %s", research.Name(), about.VPC, zones(about.Subnets))
	tell("  hosts' security group %s; file system: none yet", about.HostSecurityGroup)

	// The first user brings the file system; each gets a uid for ever and a home.
	for _, name := range []string{"alice", "bob"} {
		u, err := research.Onboard(ctx, domain.OnboardRequest{User: name})
		if err != nil {
			return err
		}
		tell("user %s: uid %d, home %s by %s on %s", u.Name, u.UID, u.Home.Path, u.Home.AccessPoint, u.Home.FileSystem)
	}

	// Images are attached by tag and run by digest.
	for _, q := range []domain.AttachRequest{
		{Name: "rstudio", Reference: at.image, Default: true},
		{Name: "custom", Reference: at.custom},
	} {
		img, err := research.Attach(ctx, q)
		if err != nil {
			return err
		}
		tell("image %s: %s is %s", img.Name, img.Source, short(img.Reference.Digest))
	}
	if at.connect == nil {
		tell("sessions need a way to the container engines of real hosts, which this version does not have yet")
		tell("left in the account: the file system, its mount targets and two security groups")
		return nil
	}

	// The fleet buys hosts and runs containers on them; the manager drives
	// sessions to what was asked of them. Both work while their Run does.
	fleet, err := ec2launcher.NewFromConfig(cfg, ec2launcher.Config{
		Fleet: "research", Store: records, Connect: at.connect,
		Subnets: at.subnets, SecurityGroups: []string{about.HostSecurityGroup}, Linger: time.Minute,
	})
	if err != nil {
		return err
	}
	sessions, err := session.New(research, fleet, session.Config{})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	var work errgroup.Group
	work.Go(func() error { return fleet.Run(running) })
	work.Go(func() error { return sessions.Run(running) })
	s := scene{sessions: sessions, fleet: fleet, tell: tell}
	err = s.play(ctx)
	stop()
	return errors.Join(err, work.Wait())
}

// A scene is what the sessions' part of the story speaks of.
type scene struct {
	sessions *session.Manager
	fleet    *ec2launcher.Launcher
	tell     func(format string, args ...any)
}

func (s scene) play(ctx context.Context) error {
	// alice's first session: a host is bought, the container started.
	if err := s.start(ctx, session.StartRequest{
		ID: "analysis", User: "alice", InstanceType: "t3.medium", Size: domain.Size{MilliCPU: 1000, MemoryMiB: 2048},
	}); err != nil {
		return err
	}
	// A smaller one of hers shares that host; bob's runs on a host of its own.
	if err := s.start(ctx, session.StartRequest{
		ID: "notes", User: "alice", InstanceType: "t3.medium", Size: domain.Size{MilliCPU: 500, MemoryMiB: 1024},
	}); err != nil {
		return err
	}
	if err := s.start(ctx, session.StartRequest{ID: "genome", User: "bob", Image: "custom", InstanceType: "c5.xlarge"}); err != nil {
		return err
	}
	if err := s.picture(ctx); err != nil {
		return err
	}

	// A file written in one session is there in the next, on another type.
	if err := s.put(ctx, "analysis", "/home/alice/result.txt", "42\n"); err != nil {
		return err
	}
	s.tell("analysis wrote /home/alice/result.txt")
	for _, id := range []session.ID{"notes", "analysis"} {
		if _, err := s.sessions.Suspend(ctx, id); err != nil {
			return err
		}
		if _, err := s.sessions.Wait(ctx, id, session.Suspended); err != nil {
			return err
		}
		s.tell("%s suspended", id)
	}
	if err := s.untilGone(ctx, "t3.medium"); err != nil {
		return err
	}
	s.tell("its host was empty for a minute and is gone")
	if _, err := s.sessions.Resume(ctx, "analysis", session.ResumeRequest{InstanceType: "r5.4xlarge"}); err != nil {
		return err
	}
	if err := s.running(ctx, "analysis"); err != nil {
		return err
	}
	text, err := s.get(ctx, "analysis", "/home/alice/result.txt")
	if err != nil {
		return err
	}
	s.tell("analysis reads /home/alice/result.txt: %q", text)

	// Everything ends; homes stay.
	for _, id := range []session.ID{"analysis", "notes", "genome"} {
		if _, err := s.sessions.Stop(ctx, id); err != nil {
			return err
		}
		if _, err := s.sessions.Wait(ctx, id, session.Stopped); err != nil {
			return err
		}
	}
	s.tell("all sessions stopped")
	for _, instanceType := range []string{"r5.4xlarge", "c5.xlarge"} {
		if err := s.untilGone(ctx, instanceType); err != nil {
			return err
		}
	}
	return s.bill(ctx)
}
