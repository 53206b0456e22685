package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/session"
)

// run tells the story. Everything in it is a call that a program of yours would
// make; where cfg leads it cannot tell.
func run(ctx context.Context, cfg aws.Config, at place, out io.Writer) error {
	s, err := open(ctx, cfg, at, store.NewMemory(), narrator(out))
	if err != nil {
		return err
	}
	for _, step := range steps(at) {
		s.tell("%s", step.title)
		if err := step.do(s, ctx); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", step.title, err), s.close())
		}
	}
	return s.close()
}

// A step is a part of the story. It can be taken again after a crash.
type step struct {
	title string
	do    func(*stage, context.Context) error
}

func steps(at place) []step {
	first, more := "4. A session of alice's: a host is bought for it.", "5. A second of hers shares that host; bob's gets another."
	if at.engine {
		first, more = "4. A session of alice's: a container on this machine.", "5. A second of hers beside it, and bob's."
	}
	return []step{
		{"2. The first user brings the file system; each gets a uid for ever and a home.", (*stage).onboard},
		{"3. Images are attached by tag and run by digest.", (*stage).attach},
		{first, (*stage).firstSession},
		{more, (*stage).moreSessions},
		{"6. A file is written,", (*stage).write},
		{"   its session suspended,", (*stage).suspend},
		{"   and resumed on a bigger instance, where the file is.", (*stage).resume},
		{"7. Everything stops. What is left, and what did it cost?", (*stage).stopAll},
	}
}

// A stage is what the story is played on: the three things a program of yours
// holds.
type stage struct {
	at       place
	research *domain.Domain
	hosts    hosts
	sessions *session.Manager

	tell  func(format string, args ...any)
	close func() error // ends the fleet's and the manager's work
}

// open creates the domain, or finds it, and puts a fleet and a session manager
// to work. The store has what must survive: opened again on the same one, all
// goes on where it was.
func open(ctx context.Context, cfg aws.Config, at place, records store.Store, tell func(string, ...any)) (*stage, error) {
	tell("1. A domain is the tenant: a network, users, images, policy.")
	domains, err := domain.NewFromConfig(cfg, domain.Config{Store: records})
	if err != nil {
		return nil, err
	}
	research, err := domains.Create(ctx, domain.CreateRequest{Name: "research", VPC: at.vpc, Subnets: at.subnets})
	if err != nil {
		return nil, err
	}
	about, err := research.Describe(ctx)
	if err != nil {
		return nil, err
	}
	tell("   domain %s in %s: %s", research.Name(), about.VPC, zones(about.Subnets))
	tell("   hosts' security group %s, file system %s", about.HostSecurityGroup, orNone(about.FileSystem))

	// The hosts run containers, and the manager drives sessions to what was
	// asked of them. Both work while their Run does.
	on, err := at.hosts(ctx, cfg, records, about.HostSecurityGroups(), at.subnets)
	if err != nil {
		return nil, err
	}
	sessions, err := session.New(research, on, session.Config{})
	if err != nil {
		return nil, err
	}
	working, end := context.WithCancel(ctx)
	var work errgroup.Group
	if on.fleet != nil {
		work.Go(func() error { return on.fleet.Run(working) })
	}
	work.Go(func() error { return sessions.Run(working) })
	return &stage{
		at: at, research: research, hosts: on, sessions: sessions, tell: tell,
		close: func() error {
			end()
			return work.Wait()
		},
	}, nil
}

func (s *stage) onboard(ctx context.Context) error {
	for _, name := range []string{"alice", "bob"} {
		u, err := s.research.Onboard(ctx, domain.OnboardRequest{User: name})
		if err != nil {
			return err
		}
		s.tell("   %s: uid %d, home %s by %s on %s", u.Name, u.UID, u.Home.Path, u.Home.AccessPoint, u.Home.FileSystem)
	}
	return nil
}

func (s *stage) attach(ctx context.Context) error {
	for _, q := range []domain.AttachRequest{
		{Name: "rstudio", Reference: s.at.image, Default: true},
		{Name: "custom", Reference: s.at.custom},
	} {
		img, err := s.research.Attach(ctx, q)
		if err != nil {
			return err
		}
		s.tell("   %s: %s is %s", img.Name, img.Source, short(img.Reference.Digest))
	}
	return nil
}

func (s *stage) firstSession(ctx context.Context) error {
	return s.start(ctx, session.StartRequest{
		ID: "analysis", User: "alice", InstanceType: "t3.medium", Size: domain.Size{MilliCPU: 1000, MemoryMiB: 2048},
	})
}

func (s *stage) moreSessions(ctx context.Context) error {
	if err := s.start(ctx, session.StartRequest{
		ID: "notes", User: "alice", InstanceType: "t3.medium", Size: domain.Size{MilliCPU: 500, MemoryMiB: 1024},
	}); err != nil {
		return err
	}
	if err := s.start(ctx, session.StartRequest{ID: "genome", User: "bob", Image: "custom", InstanceType: "c5.xlarge"}); err != nil {
		return err
	}
	return s.picture(ctx)
}

func (s *stage) write(ctx context.Context) error {
	if err := s.put(ctx, "analysis", result, "42\n"); err != nil {
		return err
	}
	s.tell("   analysis wrote %s", result)
	return nil
}

func (s *stage) suspend(ctx context.Context) error {
	for _, id := range []session.ID{"notes", "analysis"} {
		if _, err := s.sessions.Suspend(ctx, id, session.Order{}); err != nil {
			return err
		}
		if _, err := s.sessions.Wait(ctx, id, session.Suspended); err != nil {
			return err
		}
		s.tell("   %s is suspended", id)
	}
	if s.at.engine {
		return nil
	}
	if err := s.untilGone(ctx, "t3.medium"); err != nil {
		return err
	}
	s.tell("   their host was empty for a minute, and is gone")
	return nil
}

func (s *stage) resume(ctx context.Context) error {
	now, err := s.sessions.Resume(ctx, "analysis", session.ResumeRequest{InstanceType: "r5.4xlarge"})
	if err != nil {
		return err
	}
	s.tell("   analysis is to go on on %s at %s an hour", now.InstanceType, price(now))
	if err := s.running(ctx, "analysis"); err != nil {
		return err
	}
	text, err := s.get(ctx, "analysis", result)
	if err != nil {
		return err
	}
	s.tell("   analysis reads %s: %q", result, text)
	return nil
}

func (s *stage) stopAll(ctx context.Context) error {
	for _, id := range []session.ID{"analysis", "notes", "genome"} {
		if _, err := s.sessions.Stop(ctx, id, session.Order{}); err != nil {
			return err
		}
		if _, err := s.sessions.Wait(ctx, id, session.Stopped); err != nil {
			return err
		}
	}
	if s.at.engine {
		return s.leftOnEngine(ctx)
	}
	for _, instanceType := range []string{"r5.4xlarge", "c5.xlarge"} {
		if err := s.untilGone(ctx, instanceType); err != nil {
			return err
		}
	}
	return s.left(ctx)
}

// result is the file of the story.
const result = "/home/alice/result.txt"
