package fake_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// A job ends by itself, with its exit code and what it wrote.
func ExampleJob() {
	t := &exampleT{} // in a test, its *testing.T
	defer t.end()
	ctx := context.Background()

	w := fake.New(t, fake.Config{Images: map[string]fakelauncher.Program{"batch": fake.Job}})
	_, err := w.Sessions.Start(ctx, session.StartRequest{
		ID: "nightly", User: "alice", InstanceType: "t3.medium", Kind: session.Job(),
		Command: []string{"say", "fitting the model", ";", "exit", "3"},
	})
	if err != nil {
		log.Panic(err)
	}
	s, err := w.Sessions.Wait(ctx, "nightly", session.Stopped)
	if err != nil {
		log.Panic(err)
	}
	logs, err := w.Sessions.Logs(ctx, "nightly", launcher.LogOptions{})
	if err != nil {
		log.Panic(err)
	}
	defer logs.Close()
	text, err := io.ReadAll(logs)
	fmt.Printf("%sexit code %d %v\n", text, s.ExitCode, err)
	// Output:
	// fitting the model
	// exit code 3 <nil>
}
