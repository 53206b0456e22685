// Restart shows that a program may die in the middle of a start: it is killed while
// a host boots for a session, and run again on its file of records. The session runs,
// once, on the host that was bought for it.
//
//	go run ./examples/restart
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store/boltstore"
	"github.com/atelier-go/atelier/examples/internal/bubble"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher/ec2launcher"
	"github.com/atelier-go/atelier/session"
)

func main() { bubble.Run("restart", run) }

func run(ctx context.Context, out io.Writer) (err error) {
	cloud, err := fakeaws.New(fakeaws.Config{Delays: fakeaws.Realistic()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cloud.Close()) }()
	const image = "registry.example.com/rstudio:2026.04"
	if _, err := cloud.PushImage(image, fakeaws.Image{Program: fake.IDE, Size: 1 << 30}); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "atelier-restart-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "records.bolt")

	first, err := open(ctx, cloud, file)
	if err != nil {
		return err
	}
	if _, err := first.domain.Onboard(ctx, domain.OnboardRequest{User: "alice"}); err != nil {
		return err
	}
	if _, err := first.domain.Attach(ctx, domain.AttachRequest{Name: "rstudio", Reference: image}); err != nil {
		return err
	}
	if _, err := first.sessions.Start(ctx, session.StartRequest{ID: "analysis", User: "alice", InstanceType: "m5.large"}); err != nil {
		return err
	}
	s, err := first.sessions.Wait(ctx, "analysis", session.Starting)
	if err != nil {
		return err
	}
	time.Sleep(20 * time.Second)
	fmt.Fprintf(out, "%s is %s: its host boots\n", s.ID, s.State)

	cloud.Crash() // every call that the program still makes fails
	if err := first.end(); err != nil {
		return err
	}
	fmt.Fprintln(out, "the program is killed")

	second, err := open(ctx, cloud, file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, second.end()) }()
	if s, err = second.sessions.Wait(ctx, "analysis", session.Running); err != nil {
		return err
	}
	fmt.Fprintf(out, "run again on its file: %s is %s, generation %d\n", s.ID, s.State, s.Generation)
	hosts := 0
	for _, err := range second.fleet.Hosts(ctx) {
		if err != nil {
			return err
		}
		hosts++
	}
	fmt.Fprintf(out, "hosts bought for it: %d\n", hosts)
	return nil
}

// program is what a portal's main makes.
type program struct {
	domain   *domain.Domain
	fleet    *ec2launcher.Launcher
	sessions *session.Manager
	end      func() error
}

// open makes the program on a file of records, which is made if there is none.
func open(ctx context.Context, cloud *fakeaws.Cloud, file string) (p *program, err error) {
	records, err := boltstore.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, records.Close())
		}
	}()
	cfg := cloud.Config()
	domains, err := domain.NewFromConfig(cfg, domain.Config{Store: records})
	if err != nil {
		return nil, err
	}
	subnet := cloud.Subnets()[0].ID
	p = &program{}
	p.domain, err = domains.Create(ctx, domain.CreateRequest{Name: "research", VPC: cloud.DefaultVPC(), Subnets: []string{subnet}})
	if err != nil {
		return nil, err
	}
	about, err := p.domain.Describe(ctx)
	if err != nil {
		return nil, err
	}
	p.fleet, err = ec2launcher.NewFromConfig(cfg, ec2launcher.Config{
		Fleet: "research", Store: records, Subnets: []string{subnet}, SecurityGroups: about.HostSecurityGroups(),
		Connect: fake.Connect(cloud),
	})
	if err != nil {
		return nil, err
	}
	if p.sessions, err = session.New(p.domain, p.fleet, session.Config{}); err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	var work errgroup.Group
	work.Go(func() error { return p.fleet.Run(running) })
	work.Go(func() error { return p.sessions.Run(running) })
	p.end = func() error {
		stop()
		return errors.Join(work.Wait(), records.Close())
	}
	return p, nil
}
