package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/dockerlauncher"
	"github.com/atelier-go/atelier/session"
)

// onEngine runs jobs as containers of this machine's engine. Their domain is in an
// account in memory, and ends with the program; homes are folders.
func onEngine(ctx context.Context, o options, log *slog.Logger) (c cluster, err error) {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		return c, err
	}
	ends := []func() error{cloud.Close}
	end := func() error {
		var all []error
		for _, end := range slices.Backward(ends) {
			all = append(all, end())
		}
		return errors.Join(all...)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, end())
		}
	}()
	d, err := furnish(ctx, cloud, o.users)
	if err != nil {
		return c, err
	}
	homes := o.homes
	if homes == "" {
		if homes, err = os.MkdirTemp("", "atelier-homes-"); err != nil {
			return c, err
		}
		ends = append(ends, func() error { return os.RemoveAll(homes) })
	}
	engine, err := dockerlauncher.New(dockerlauncher.Config{Mounts: dockerlauncher.Homes(homes), Logger: log})
	if err != nil {
		return c, err
	}
	ends = append(ends, engine.Close)
	l := local{engine, o.image}
	if err := l.forget(ctx); err != nil { // of an earlier process, of whose domain nothing is left
		return c, err
	}
	ends = append(ends, func() error { return l.forget(context.WithoutCancel(ctx)) })
	sessions, err := session.New(d, l, session.Config{Logger: log})
	if err != nil {
		return c, err
	}
	return cluster{sessions: sessions, run: sessions.Run, end: end}, nil
}

// domainName is that of the domain in memory.
const domainName = "positplugin"

// furnish makes a domain with users and one image.
func furnish(ctx context.Context, cloud *fakeaws.Cloud, users []string) (*domain.Domain, error) {
	const ref = "registry.example.com/jobs:1"
	if _, err := cloud.PushImage(ref, fakeaws.Image{}); err != nil {
		return nil, err
	}
	domains, err := domain.NewFromConfig(cloud.Config(), domain.Config{Store: store.NewMemory()})
	if err != nil {
		return nil, err
	}
	d, err := domains.Create(ctx, domain.CreateRequest{
		Name: domainName, VPC: cloud.DefaultVPC(), Subnets: []string{cloud.Subnets()[0].ID},
	})
	if err != nil {
		return nil, err
	}
	if err := onboard(ctx, d, users); err != nil {
		return nil, err
	}
	_, err = d.Attach(ctx, domain.AttachRequest{Name: "jobs", Reference: ref})
	return d, err
}

// local runs one image of this machine, whatever a workload names: the digests of the
// account in memory are in no registry.
type local struct {
	*dockerlauncher.Launcher
	image string
}

// launchGrace is how much longer a launch may take than the program.
const launchGrace = 3 * time.Second

// Launch implements [launcher.Launcher]. The end of the program does not end it at
// once: an engine goes on with what it was asked for, and nobody would remove that.
func (l local) Launch(ctx context.Context, w launcher.Workload) (launcher.Status, error) {
	end := ctx
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(end, func() { time.AfterFunc(launchGrace, cancel) })()
	w.Image = l.image
	return l.Launcher.Launch(ctx, w)
}

// forget ends and removes the containers of the domain.
func (l local) forget(ctx context.Context) error {
	for w, err := range l.List(ctx, launcher.Filter{Labels: map[string]string{"atelier.domain": domainName}}) {
		if err != nil {
			return err
		}
		if err := l.Stop(ctx, w.ID, launcher.StopOptions{Signal: "SIGKILL", Forget: true}); err != nil {
			return err
		}
	}
	return nil
}
