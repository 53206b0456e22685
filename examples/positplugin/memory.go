package main

import (
	"context"
	"log/slog"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/session"
)

// inMemory is a world of its own, which ends with the program. There is no shell in
// it: jobs are the words of [fake.Job].
func inMemory(ctx context.Context, o options, log *slog.Logger) (cluster, error) {
	users := map[string][]string{}
	for _, u := range o.users {
		users[u] = nil
	}
	// What a user waits for takes its time. The domain has been there all along.
	delays := fakeaws.Brisk()
	delays.FileSystem, delays.MountTarget, delays.AccessPoint = 0, 0, 0
	w, end, err := fake.Start(ctx, fake.Config{
		Users: users, Images: map[string]fakelauncher.Program{"jobs": fake.Job},
		AWS: fakeaws.Config{Delays: delays}, Sessions: session.Config{Logger: log},
	})
	if err != nil {
		return cluster{}, err
	}
	wait := func(ctx context.Context) error { <-ctx.Done(); return nil } // a world runs by itself
	return cluster{sessions: w.Sessions, run: wait, end: end}, nil
}
