package session

import (
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// RStudio is RStudio Server, the open source edition, on port "http", 8787: the
// port it listens on unless its rserver.conf says otherwise (www-port).
//
// Its image runs [RStudioEntrypoint], which translates: the server itself does
// nothing on SIGUSR1, and takes its R sessions with it when it ends, unsaved. It
// is given two minutes to suspend, as long as AWS gives a spot host. SIGTERM ends
// it without saving, which it is given 30 seconds for.
//
// It is ready when its sign-in page is served or leads elsewhere: that comes
// from rserver, and starts no R session. It does not tell when it was used: the
// endpoint that does, /health-check, is of Posit Workbench, which needs a
// licence. What there is to go by is the traffic to it, and its use of the
// processor. Its pages wait for events at /events/get_events all the time
// (RemoteServerEventListener.java), and keep each terminal by a message of one
// byte (TerminalSocketPacket.java).
func RStudio() Kind {
	return Kind{
		Name:          "rstudio",
		Ports:         []launcher.Port{{Name: "http", Number: 8787}},
		Ready:         Probe{Port: "http", Path: "/auth-sign-in"},
		StopGrace:     30 * time.Second,
		Suspension:    SavesState,
		SuspendSignal: "SIGUSR1",
		SuspendGrace:  2 * time.Minute,
		SavedCodes:    []int{RStudioSaved},
		Base:          Base{Header: "X-RStudio-Root-Path"}, // or www-root-path in rserver.conf
		Background:    Background{Requests: []string{"POST /events/get_events"}, KeepAlive: 1},
	}
}

// JupyterLab is JupyterLab on Jupyter Server, on port "http", 8888: its default
// (DEFAULT_JUPYTER_SERVER_PORT). Its image makes it listen on all addresses
// (--ServerApp.ip=0.0.0.0).
//
// It is ready when it answers for its version, which it does without a sign-in.
// When it was used it tells only whom it lets in: it has to be served without a
// token (--IdentityProvider.token=), or the token be in the path of Activity,
// "/api/status?token=...", which is then no secret of the session's.
//
// On SIGTERM, which it takes well, it ends and its kernels with it: their
// memory is lost, the files are kept. It ignores a SIGUSR1 but for a line in its
// log.
//
// Its pages list kernels, sessions, terminals and the open folder every ten
// seconds, and kernelspecs every minute (packages/services of jupyterlab); files are
// read at the same paths as folders, so that reading one is no use by itself. Jupyter
// Server would take all that for use, but for no_track_activity in the query, which a
// proxy adds. What extensions ask for counts, and so does a document that is shared, which tells all
// the time who is there.
func JupyterLab() Kind {
	return Kind{
		Name:         "jupyterlab",
		Ports:        []launcher.Port{{Name: "http", Number: 8888}},
		Ready:        Probe{Port: "http", Path: "/api"},
		Activity:     Activity{Port: "http", Path: "/api/status", Format: JupyterStatus},
		StopGrace:    30 * time.Second,
		SuspendGrace: 30 * time.Second,
		Base:         Base{Argument: "--ServerApp.base_url={path}"},
		Background: Background{Requests: []string{
			"GET /api", "GET /api/status", "GET /api/me", "GET /api/kernels", "GET /api/kernels/*", "GET /api/sessions",
			"GET /api/terminals", "GET /api/kernelspecs", "GET /api/contents", "GET /api/contents/",
			"GET /api/events/subscribe",
		}, Query: "no_track_activity=1"},
	}
}

// VSCode is code-server, Visual Studio Code in the browser, on port "http",
// 8080: the port of its default bind-addr, which its image widens to all
// addresses (--bind-addr=0.0.0.0:8080).
//
// It is ready and tells when it was used at /healthz, which needs no sign-in and
// is the one path that does not count as use itself. On SIGTERM it ends; unsaved
// files are kept in the browser and in the home, what runs in its terminals is
// lost.
//
// Its pages speak over websockets in messages of 13 bytes and what is in them, and
// keep them by one with nothing in it every five seconds (ProtocolConstants in
// ipc.net.ts of microsoft/vscode); what acknowledges a call has 5 bytes in it
// (rpcProtocol.ts). What extensions say beside that counts.
//
// For /healthz an open page is use, whether or not anybody looks at it. Where all
// traffic comes by a proxy that reports it, make Activity zero: then such a session is
// idle when nothing is done in it.
func VSCode() Kind {
	return Kind{
		Name:         "vscode",
		Ports:        []launcher.Port{{Name: "http", Number: 8080}},
		Ready:        Probe{Port: "http", Path: "/healthz"},
		Activity:     Activity{Port: "http", Path: "/healthz", Format: CodeServerHealth},
		StopGrace:    30 * time.Second,
		SuspendGrace: 30 * time.Second,
		Background:   Background{Requests: []string{"GET /healthz"}, KeepAlive: vscodeKeepAlive},
	}
}

// vscodeKeepAlive is the length of a message of VS Code that says nothing, or
// acknowledges a call.
const vscodeKeepAlive = 13 + 5

// Positron is Positron Server, which needs a licence of Posit, on port "http",
// 8000: its default (parsePort of its server-main.ts). Its image makes it listen
// on all addresses (--host=0.0.0.0).
//
// It is ready when it answers for its version, which it does without a token,
// and only once its licence was found good. When it was used it tells only whom
// it lets in, and it always has a connection token: that has to be in the path
// of Activity, "/idle?tkn=...", which is then no secret of the session's. Of
// versions that know no /idle there is no word.
//
// On SIGTERM it ends: files are kept, R and Python sessions are lost. Its pages speak
// as those of [VSCode] do.
func Positron() Kind {
	return Kind{
		Name:         "positron",
		Ports:        []launcher.Port{{Name: "http", Number: 8000}},
		Ready:        Probe{Port: "http", Path: "/version"},
		Activity:     Activity{Port: "http", Path: "/idle", Format: PositronIdle},
		StopGrace:    30 * time.Second,
		SuspendGrace: 30 * time.Second,
		Base:         Base{Argument: "--server-base-path={path}"},
		Background:   Background{Requests: []string{"GET /version", "GET /idle"}, KeepAlive: vscodeKeepAlive},
	}
}

// Job is a command that serves no port and ends by itself, with an exit code.
// It cannot be suspended. On SIGTERM it is given 30 seconds to end.
func Job() Kind {
	return Kind{
		Name:       "job",
		StopGrace:  30 * time.Second,
		Suspension: NoSuspension,
	}
}
