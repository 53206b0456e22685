package faultlauncher_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/faultlauncher"
)

// The first Launch takes effect but its reply is lost; the retry finds it done.
func ExampleWrap() {
	host, err := fakelauncher.New(fakelauncher.Config{
		Images: fakelauncher.Programs(map[string]fakelauncher.Program{
			"idle": func(ctx context.Context, _ *fakelauncher.Proc) int { <-ctx.Done(); return 0 },
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()
	l, err := faultlauncher.Wrap(host, 1, faultlauncher.Fault{Op: faultlauncher.Launch, Nth: 1, After: true})
	if err != nil {
		log.Fatal(err)
	}
	w := launcher.Workload{ID: "s-1", Owner: "alice", Image: "idle"}
	_, err = l.Launch(context.Background(), w)
	fmt.Println(err, errors.Is(err, faultlauncher.ErrInjected))
	s, err := l.Launch(context.Background(), w)
	fmt.Println(s.Phase, err)
	fmt.Println(l.Injected())
	// Output:
	// launcher: launch s-1: unavailable: an injected fault true
	// running <nil>
	// map[launch:1]
}
