package session_test

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
)

// A kind of one's own is a value. This one is ready when its /health answers,
// does not tell when it was used, and keeps its files when it is suspended, not
// its memory.
func ExampleKind() {
	dashboard := session.Kind{
		Name:         "dashboard",
		Ports:        []launcher.Port{{Name: "http", Number: 3000}},
		Ready:        session.Probe{Port: "http", Path: "/health"},
		SuspendGrace: time.Minute,
		Base:         session.Base{Argument: "--base-url={path}"},
	}
	text, err := json.MarshalIndent(dashboard, "", "  ")
	fmt.Printf("%s %v\n", text, err)
	// Output:
	// {
	//   "Name": "dashboard",
	//   "Ports": [
	//     {
	//       "Name": "http",
	//       "Number": 3000,
	//       "HostPort": 0
	//     }
	//   ],
	//   "Ready": {
	//     "Port": "http",
	//     "Path": "/health"
	//   },
	//   "SuspendGrace": 60000000000,
	//   "Base": {
	//     "Argument": "--base-url={path}"
	//   }
	// } <nil>
}

// What an image copies is in the library.
func ExampleRStudioEntrypoint() {
	fmt.Println(session.RStudioEntrypoint[:len("#!/bin/sh")])
	k := session.RStudio()
	fmt.Println(k.SuspendSignal, k.SuspendGrace, k.SavedCodes, k.Suspension)
	// Output:
	// #!/bin/sh
	// SIGUSR1 2m0s [80] saves-state
}

// What a caller changes of a kind it changes in the value: here the token that
// Jupyter is served with, without which it does not tell when it was used.
func ExampleJupyterLab() {
	k := session.JupyterLab()
	k.Activity.Path += "?token=not-secret"
	fmt.Println(k.Activity.Path, k.Activity.Format)
	fmt.Println(k.Activity == session.Activity{Port: "http", Path: "/api/status?token=not-secret", Format: session.JupyterStatus})
	// Output:
	// /api/status?token=not-secret jupyter-status
	// true
}

// A session that a proxy serves below a path is started with what its program has
// to know of that. RStudio is told with each request.
func ExampleKind_At() {
	kind, args := session.JupyterLab().At("/sessions/analysis")
	fmt.Println(kind.Ready.Path, kind.Activity.Path, args)
	kind, args = session.RStudio().At("/sessions/analysis")
	fmt.Println(kind.Ready.Path, args, kind.Base.Header)
	// Output:
	// /sessions/analysis/api /sessions/analysis/api/status [--ServerApp.base_url=/sessions/analysis]
	// /auth-sign-in [] X-RStudio-Root-Path
}
