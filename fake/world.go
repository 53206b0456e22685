// Package fake makes a whole running world for a test in one call: an AWS
// account in memory, a domain with users and images, a fleet of EC2 hosts and
// a session manager, all working.
//
//	func TestPortal(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			w := fake.New(t, fake.Config{})
//			s, err := w.Sessions.Start(t.Context(), session.StartRequest{
//				ID: "analysis", User: "alice", InstanceType: "t3.medium",
//			})
//			...
//		})
//	}
//
// Everything but AWS is the real thing: the SDK's clients, the domain, the
// fleet, the manager. In a [testing/synctest] bubble minutes of booting pass at
// once; without one a world with zero delays works too.
package fake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/session"
)

// Config describes a world. The zero value is the domain "research" with the
// users alice and bob and the default image "rstudio", whose program is [IDE],
// in an account where everything happens at once.
type Config struct {
	// Domain is the domain's name. Empty is "research".
	Domain string
	// Users are onboarded, with their groups. Nil is alice and bob, without.
	Users map[string][]string
	// Images are attached: by name, the program that a container runs. Nil is
	// "rstudio", which runs [IDE]. The first by name is the default.
	Images map[string]fakelauncher.Program
	// Policy is the domain's. Zero allows everything.
	Policy domain.Policy
	// Linger is how long a host without work is kept. Zero is five minutes,
	// negative releases it at once.
	Linger time.Duration
	// AWS describes the account: its delays, faults and seed.
	AWS fakeaws.Config
}

// A World is what [New] made.
type World struct {
	// Cloud is the account: for faults, crashes, files and the bill.
	Cloud *fakeaws.Cloud
	// AWS is the configuration the world's clients were made with.
	AWS aws.Config
	// Store holds every record.
	Store store.Store
	// Domains is the client that made Domain.
	Domains *domain.Client
	Domain  *domain.Domain
	// Hosts is the fleet, and Sessions the manager; both are running.
	Hosts    *ec2launcher.Launcher
	Sessions *session.Manager
}

// T is the part of [testing.T] that New uses, so that a world can be made
// without linking package testing.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// New makes a world that works until the test ends; it then ends everything it
// started and waits for it. What is wrong with cfg fails the test.
func New(t T, cfg Config) *World {
	t.Helper()
	w, end, err := Start(context.Background(), cfg)
	if err != nil {
		t.Fatalf("fake: %v", err)
	}
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Fatalf("fake: the world did not end well: %v", err)
		}
	})
	return w
}

// Start is New for programs that are no tests. The function it returns ends
// the world and waits for everything in it. ctx bounds the making of the world,
// not its life.
func Start(ctx context.Context, cfg Config) (w *World, end func() error, err error) {
	cfg = cfg.withDefaults()
	cloud, err := fakeaws.New(cfg.AWS)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, cloud.Close())
		}
	}()
	w = &World{Cloud: cloud, AWS: cloud.Config(), Store: store.NewMemory()}
	if err := w.furnish(ctx, cfg); err != nil {
		return nil, nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var work errgroup.Group
	work.Go(func() error { return w.Hosts.Run(running) })
	work.Go(func() error { return w.Sessions.Run(running) })
	return w, func() error {
		stop()
		return errors.Join(work.Wait(), cloud.Close())
	}, nil
}

// furnish fills the account.
func (w *World) furnish(ctx context.Context, cfg Config) (err error) {
	if w.Domains, err = domain.NewFromConfig(w.AWS, domain.Config{Store: w.Store}); err != nil {
		return err
	}
	var subnets []string
	for _, s := range w.Cloud.Subnets() {
		subnets = append(subnets, s.ID)
	}
	w.Domain, err = w.Domains.Create(ctx, domain.CreateRequest{
		Name: cfg.Domain, VPC: w.Cloud.DefaultVPC(), Subnets: subnets, Policy: cfg.Policy,
	})
	if err != nil {
		return err
	}
	for _, user := range slices.Sorted(maps.Keys(cfg.Users)) {
		if _, err := w.Domain.Onboard(ctx, domain.OnboardRequest{User: user, Groups: cfg.Users[user]}); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Images)) {
		ref := "registry.example.com/" + name + ":1"
		if _, err := w.Cloud.PushImage(ref, fakeaws.Image{Program: cfg.Images[name]}); err != nil {
			return err
		}
		if _, err := w.Domain.Attach(ctx, domain.AttachRequest{Name: name, Reference: ref}); err != nil {
			return err
		}
	}
	about, err := w.Domain.Describe(ctx)
	if err != nil {
		return err
	}
	if w.Hosts, err = ec2launcher.NewFromConfig(w.AWS, ec2launcher.Config{
		Fleet: cfg.Domain, Store: w.Store, Subnets: subnets, SecurityGroups: []string{about.HostSecurityGroup},
		Connect: Connect(w.Cloud), Linger: cfg.Linger,
	}); err != nil {
		return err
	}
	w.Sessions, err = session.New(w.Domain, w.Hosts, session.Config{})
	return err
}

// Connect is the way to the container engines of a cloud's hosts, for
// [ec2launcher.Config].
func Connect(cloud *fakeaws.Cloud) func(context.Context, ec2launcher.Host) (ec2launcher.HostLauncher, error) {
	return func(_ context.Context, h ec2launcher.Host) (ec2launcher.HostLauncher, error) {
		host, err := cloud.Host(h.ID)
		if err != nil {
			return nil, fmt.Errorf("host %s: %w", h.ID, err)
		}
		return host, nil
	}
}

func (c Config) withDefaults() Config {
	if c.Domain == "" {
		c.Domain = "research"
	}
	if c.Users == nil {
		c.Users = map[string][]string{"alice": nil, "bob": nil}
	}
	if c.Images == nil {
		c.Images = map[string]fakelauncher.Program{"rstudio": IDE}
	}
	return c
}
