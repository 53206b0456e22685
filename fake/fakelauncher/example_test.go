package fakelauncher_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
)

func ExampleNew() {
	greet := func(_ context.Context, p *fakelauncher.Proc) int {
		name, _ := io.ReadAll(p.Stdin)
		fmt.Fprintf(p.Stdout, "%s, %s", p.Args[0], name)
		return 3
	}
	host, err := fakelauncher.New(fakelauncher.Config{
		Images: fakelauncher.Programs(map[string]fakelauncher.Program{"greet": greet}),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer host.Close()
	ctx := context.Background()
	w := launcher.Workload{ID: "g-1", Owner: "alice", Image: "greet", Command: []string{"Hello"}, Stdin: []byte("Alice")}
	if _, err := host.Launch(ctx, w); err != nil {
		log.Fatal(err)
	}
	s, err := launcher.Wait(ctx, host, w.ID, func(s launcher.Status) bool { return s.Phase == launcher.Exited })
	if err != nil {
		log.Fatal(err)
	}
	logs, err := host.Logs(ctx, w.ID, launcher.LogOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer logs.Close()
	text, _ := io.ReadAll(logs)
	fmt.Printf("%s on %s with code %d: %s\n", s.Phase, s.Host, s.ExitCode, text)
	// Output:
	// exited on local with code 3: Hello, Alice
}

// Two hosts that mount one directory see the same files, with the permissions
// of who acts.
func ExampleDir() {
	homes := fakelauncher.NewDir()
	alice, bob := launcher.User{UID: 10001, GID: 10001}, launcher.User{UID: 10002, GID: 10002}
	if err := homes.Mkdir("alice", 0o700); err != nil {
		log.Fatal(err)
	}
	if err := homes.Chown("alice", alice.UID, alice.GID); err != nil {
		log.Fatal(err)
	}
	fmt.Println(homes.As(alice).WriteFile("alice/plan.R", []byte("1 + 1"), 0o644))
	_, err := homes.As(bob).ReadFile("alice/plan.R")
	fmt.Println(err)
	// Output:
	// <nil>
	// open alice/plan.R: permission denied
}

// A reference that is not in the map is no image.
func ExamplePrograms() {
	images := fakelauncher.Programs(map[string]fakelauncher.Program{
		"greet": func(context.Context, *fakelauncher.Proc) int { return 0 },
	})
	_, err := images(context.Background(), "great")
	fmt.Println(err)
	// Output:
	// no image "great": there are ["greet"]
}

// A new directory belongs to root; who else may write in it is for the test to
// say.
func ExampleNewDir() {
	data := fakelauncher.NewDir()
	alice := launcher.User{UID: 10001, GID: 10001}
	fmt.Println(data.As(alice).WriteFile("plan.R", nil, 0o644))
	if err := data.Chmod("/", 0o777); err != nil {
		log.Fatal(err)
	}
	fmt.Println(data.As(alice).WriteFile("plan.R", nil, 0o644))
	// Output:
	// open plan.R: permission denied
	// <nil>
}
