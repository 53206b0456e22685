package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/session"
)

// inMemory is a world of its own, which ends with the program. There is no shell in
// it: jobs are the words of [fake.Job].
func inMemory(ctx context.Context, o options, log *slog.Logger) (cluster, error) {
	// What a user waits for takes its time. The domain has been there all along.
	delays := fakeaws.Brisk()
	delays.FileSystem, delays.MountTarget, delays.AccessPoint = 0, 0, 0
	w, end, err := fake.Start(ctx, fake.Config{
		Users: map[string][]string{}, Images: map[string]fakelauncher.Program{"jobs": fake.Job},
		AWS: fakeaws.Config{Delays: delays}, Sessions: session.Config{Logger: log},
	})
	if err != nil {
		return cluster{}, err
	}
	if err := onboard(ctx, w.Domain, o.users); err != nil {
		return cluster{}, errors.Join(err, end())
	}
	wait := func(ctx context.Context) error { <-ctx.Done(); return nil } // a world runs by itself
	return cluster{sessions: w.Sessions, run: wait, end: end}, nil
}

// onboard makes users of a domain in memory, who sign in by their logins. What else they
// are called in the domain is for nobody to know.
func onboard(ctx context.Context, d *domain.Domain, logins []string) error {
	for n, login := range logins {
		if _, err := d.Onboard(ctx, domain.OnboardRequest{User: fmt.Sprintf("user-%d", n+1), Login: login}); err != nil {
			return err
		}
	}
	return nil
}
