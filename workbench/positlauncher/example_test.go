package positlauncher_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/workbench/positlauncher"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// The life of a job as the Launcher sees it: submitted, and told of until it has ended.
// In a plugin, in and out are those of Stdio.
func ExampleServe() {
	ctx := context.Background()
	w, end, err := fake.Start(ctx, fake.Config{Images: map[string]fakelauncher.Program{"jobs": fake.Job}})
	if err != nil {
		log.Fatal(err)
	}
	in, launcher := io.Pipe()
	plugin, out := io.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- positlauncher.Serve(ctx, in, out, w.Sessions, positlauncher.Config{Cluster: "EC2"})
	}()

	// What follows is the Launcher's side.
	send := func(request map[string]any) {
		frame, err := wire.Encode(request, 0)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := launcher.Write(frame); err != nil {
			log.Fatal(err)
		}
	}
	send(map[string]any{"messageType": wire.BootstrapRequest, "requestId": 1, "version": wire.API})
	send(map[string]any{"messageType": wire.JobStatusRequest, "requestId": 2, "username": "alice", "jobId": wire.All})
	send(map[string]any{"messageType": wire.SubmitJobRequest, "requestId": 3, "username": "alice", "job": wire.Job{
		Name: "greeting", Exe: "say", Args: []string{"hello"}, ResourceProfile: "m5.large",
	}})
	for frames := wire.NewReader(plugin, 0); ; {
		frame, err := frames.Next()
		if err != nil {
			log.Fatal(err)
		}
		var status wire.JobStatus
		if err := json.Unmarshal(frame, &status); err != nil {
			log.Fatal(err)
		}
		if status.Status.Final() {
			fmt.Println(status.Name, status.Status, status.StatusMessage)
			break
		}
	}
	launcher.Close() // which is how a Launcher ends a plugin
	fmt.Println(<-served, end())
	// Output:
	// greeting Finished it ended with exit code 0
	// <nil> <nil>
}
