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
//
// # Waiting
//
// Bound what you wait for. A bubble's clock runs as long as anything in it
// sleeps, and a fleet always does: a wait for what never comes passes virtual
// hours for ever, at the price of a processor, until the timeout of go test
// ends it. A context that ends is free, for its hour is virtual too, and says
// which wait it was:
//
//	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
//	defer cancel()
//	s, err := w.Sessions.Wait(ctx, "analysis", session.Running)
//
// A real socket stands still in a bubble, and its clock with it: serve a test's HTTP
// by [net/http/httptest.ResponseRecorder], not by a server that listens. A day of
// virtual time with a session costs a few seconds.
package fake

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

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
	// Images are attached, for x86-64 hosts, in the order of their names: by
	// name, the program that a container runs. The first by name is the domain's
	// default. Nil is "rstudio", which runs [IDE].
	Images map[string]fakelauncher.Program
	// Policy is the domain's. Zero allows everything but IAM roles
	// and mounts.
	Policy domain.Policy
	// Groups are the policies of groups, by name, set before users are
	// onboarded. Groups that need none need not be here.
	Groups map[string]domain.Policy
	// Sessions changes how the session manager works. Zero is right.
	Sessions session.Config
	// Fleet changes how the fleet works: it is given the world, whose account
	// and domain are ready, and the fleet's configuration, complete. It is called
	// more than once. Nil leaves that as it is.
	Fleet func(w *World, c *ec2launcher.Config)
	// AWS describes the account: its delays, faults and seed.
	AWS fakeaws.Config
	// Store keeps the records: one that fails now and then, or is a real one. It must
	// have nothing of a domain of that name. Nil is [store.NewMemory].
	Store store.Store
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
	// Fleet launches on EC2, and Sessions is the manager; both are running.
	Fleet    *ec2launcher.Launcher
	Sessions *session.Manager

	cfg Config
	end func() error // the work of this process
}

// T is the part of [testing.T] that New uses, so that a world can be made
// without linking package testing.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// New makes a world that works until the test ends; it then ends everything it
// started and waits for it. Everything that is wrong with cfg fails the test at
// once, before anything takes time.
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
	if err := errors.Join(err, cfg.rehearse(ctx)); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, cloud.Close())
		}
	}()
	w = &World{Cloud: cloud, AWS: cloud.Config(), Store: cfg.Store, cfg: cfg}
	if err := w.furnish(ctx, cfg); err != nil {
		return nil, nil, err
	}
	w.run(ctx)
	return w, func() error { return errors.Join(w.End(), cloud.Close()) }, nil
}

// run has the fleet and the manager work until the world ends.
func (w *World) run(ctx context.Context) {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var work errgroup.Group
	work.Go(func() error { return w.Fleet.Run(running) })
	work.Go(func() error { return w.Sessions.Run(running) })
	w.end = sync.OnceValue(func() error {
		stop()
		return work.Wait()
	})
}

// End ends the work of Fleet and Sessions, as the end of a program does, and waits
// for it. The account, the records and the hosts stay, and another process of
// [World.Replica] goes on with them. It is idempotent, and the end of a test does it.
func (w *World) End() error { return w.end() }

// Replica makes another process of the same program: with clients, a fleet and a
// manager of its own on the account and the records of w, working until the test
// ends. It is how a test shows what becomes of sessions when a program is begun anew,
// after [World.End], or runs more than once.
func (w *World) Replica(t T) *World {
	t.Helper()
	ctx := context.Background()
	r := &World{Cloud: w.Cloud, AWS: w.Cloud.Config(), Store: w.Store, cfg: w.cfg}
	if err := r.join(ctx, w.Domain.Name()); err != nil {
		t.Fatalf("fake: a replica: %v", err)
	}
	r.run(ctx)
	t.Cleanup(func() {
		if err := r.End(); err != nil {
			t.Fatalf("fake: a replica did not end well: %v", err)
		}
	})
	return r
}

// join makes what works for a domain that is there.
func (w *World) join(ctx context.Context, name string) (err error) {
	if w.Domains, err = domain.NewFromConfig(w.AWS, domain.Config{Store: w.Store}); err != nil {
		return err
	}
	if w.Domain, err = w.Domains.Get(ctx, name); err != nil {
		return err
	}
	return w.staff(ctx, w.cfg)
}

// furnish makes a working world in the account.
func (w *World) furnish(ctx context.Context, cfg Config) (err error) {
	if err := w.found(ctx, cfg.Domain, cfg.Policy); err != nil {
		return err
	}
	for err := range w.populate(ctx, cfg) {
		if err != nil {
			return err
		}
	}
	return w.staff(ctx, cfg)
}

// staff makes the fleet and the manager, which do nothing until they run.
func (w *World) staff(ctx context.Context, cfg Config) error {
	about, err := w.Domain.Describe(ctx)
	if err != nil {
		return err
	}
	fleet := ec2launcher.Config{
		Fleet: about.Name, Store: w.Store, Subnets: w.subnets(), SecurityGroups: about.HostSecurityGroups(),
		Connect: Connect(w.Cloud),
	}
	if cfg.Fleet != nil {
		cfg.Fleet(w, &fleet)
	}
	w.Fleet, err = ec2launcher.NewFromConfig(w.AWS, fleet)
	var managerErr error // told beside what is wrong with the fleet
	w.Sessions, managerErr = session.New(w.Domain, w.Fleet, cfg.Sessions)
	return errors.Join(err, managerErr)
}

// found makes the domain.
func (w *World) found(ctx context.Context, name string, policy domain.Policy) (err error) {
	if w.Domains, err = domain.NewFromConfig(w.AWS, domain.Config{Store: w.Store}); err != nil {
		return err
	}
	w.Domain, err = w.Domains.Create(ctx, domain.CreateRequest{
		Name: name, VPC: w.Cloud.DefaultVPC(), Subnets: w.subnets(), Policy: policy,
	})
	return err
}

func (w *World) subnets() []string {
	var ids []string
	for _, s := range w.Cloud.Subnets() {
		ids = append(ids, s.ID)
	}
	return ids
}

// populate fills the domain step by step and yields the outcome of each.
func (w *World) populate(ctx context.Context, cfg Config) iter.Seq[error] {
	return func(yield func(error) bool) {
		for _, group := range slices.Sorted(maps.Keys(cfg.Groups)) {
			if !yield(w.Domain.SetGroupPolicy(ctx, group, new(cfg.Groups[group]))) {
				return
			}
		}
		for _, user := range slices.Sorted(maps.Keys(cfg.Users)) {
			if _, err := w.Domain.Onboard(ctx, domain.OnboardRequest{User: user, Groups: cfg.Users[user]}); !yield(err) {
				return
			}
		}
		for _, name := range slices.Sorted(maps.Keys(cfg.Images)) {
			if !yield(w.attach(ctx, name, cfg.Images[name])) {
				return
			}
		}
	}
}

// attach pushes an image and attaches it. Of a name that makes no sense the
// domain's complaint is the better one, so both are tried.
func (w *World) attach(ctx context.Context, name string, program fakelauncher.Program) error {
	ref := "registry.example.com/" + name + ":1"
	_, pushErr := w.Cloud.PushImage(ref, fakeaws.Image{Program: program})
	_, err := w.Domain.Attach(ctx, domain.AttachRequest{Name: name, Reference: ref})
	if errors.Is(err, domain.ErrInvalid) {
		return err
	}
	return errors.Join(pushErr, err)
}

// rehearse reports everything wrong with what c says of the domain. It finds
// out by making it all in an account where nothing takes time or fails.
func (c Config) rehearse(ctx context.Context) error {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		return err
	}
	w := World{Cloud: cloud, AWS: cloud.Config(), Store: store.NewMemory()}
	var problems []error
	if err := w.found(ctx, c.Domain, c.Policy); err != nil {
		problems = append(problems, err)
		if err := w.found(ctx, "rehearsal", domain.Policy{}); err != nil {
			return errors.Join(append(problems, err, cloud.Close())...)
		}
	}
	for err := range w.populate(ctx, c) {
		problems = append(problems, err)
	}
	problems = append(problems, w.staff(ctx, c))
	if ctx.Err() != nil {
		problems = []error{ctx.Err()}
	}
	return errors.Join(append(problems, cloud.Close())...)
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
	if c.Store == nil {
		c.Store = store.NewMemory()
	}
	return c
}
