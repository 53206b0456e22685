package main

import (
	"context"
	"log/slog"
	"strings"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher"
)

// inMemory is a world of its own, which ends with the program.
func inMemory(ctx context.Context, o options, _ positlauncher.Arguments, log *slog.Logger) (cluster, error) {
	users := map[string][]string{}
	for _, u := range o.users {
		users[u] = nil
	}
	w, end, err := fake.Start(ctx, fake.Config{
		Users: users, Images: map[string]fakelauncher.Program{"jobs": program},
		AWS: fakeaws.Config{Delays: fakeaws.Brisk()}, Sessions: session.Config{Logger: log},
	})
	if err != nil {
		return cluster{}, err
	}
	wait := func(ctx context.Context) error { <-ctx.Done(); return nil } // a world runs by itself
	return cluster{sessions: w.Sessions, run: wait, end: end}, nil
}

// program is what a job runs in memory, where there is no shell: the actions of
// [fake.Job], or "serve", which is [fake.IDE].
func program(ctx context.Context, p *fakelauncher.Proc) int {
	if len(p.Args) == 3 && p.Args[0] == "/bin/sh" && p.Args[1] == "-c" {
		p.Args = strings.Fields(p.Args[2])
	}
	if len(p.Args) > 0 && p.Args[0] == "serve" {
		return fake.IDE(ctx, p)
	}
	return fake.Job(ctx, p)
}
