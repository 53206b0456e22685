package dockerlauncher_test

import (
	"context"
	"fmt"

	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/dockerlauncher"
)

// On a laptop homes are folders, made when they are first mounted.
func ExampleNew() {
	l, err := dockerlauncher.New(dockerlauncher.Config{
		Mounts: dockerlauncher.Homes("/var/lib/atelier/homes"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	// What is refused is refused before the engine is asked.
	_, err = l.Launch(context.Background(), launcher.Workload{
		ID: "analysis.1", Owner: "alice", Image: "rocker/rstudio:4.4",
		Mounts: []launcher.Mount{{Source: "/etc", Target: "/etc"}},
	})
	fmt.Println(err)
	// Output: launcher: launch analysis.1: mount failed: mount at "/etc": "/etc" is no home: want /efs/<file system>.<access point>
}

// The directories that a host prepares are allowed by name.
func ExampleBelow() {
	find := dockerlauncher.Below("/efs")
	for _, source := range []string{"/efs/fs-1.fsap-1", "/efs/../root"} {
		dir, err := find(context.Background(), launcher.Workload{}, launcher.Mount{Source: source})
		fmt.Printf("%q %v\n", dir, err)
	}
	// Output:
	// "/efs/fs-1.fsap-1" <nil>
	// "" "/efs/../root" is not below a directory that may be mounted here (/efs)
}
