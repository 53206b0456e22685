package fake

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/atelier-go/atelier/fake/fakelauncher"
)

// VSCode is a program that stands for code-server, for sessions of
// [session.VSCode]. As the real one it
//
//   - answers on port 8080 after a moment: GET of / leads to ./login;
//   - has a heart: every request but those of /healthz beats it, at most once a
//     minute, and a minute later it beats by itself if a connection is open, such
//     as that of a browser's tab;
//   - tells at /healthz of the last beat;
//   - on SIGTERM ends with 0.
//
// GET of /events is a stream with signs of life, and a connection that lasts.
// GET and PUT of /files/home/alice/x are the file /home/alice/x, as with [IDE].
func VSCode(ctx context.Context, p *fakelauncher.Proc) int {
	h := &heart{open: map[net.Conn]struct{}{}}
	defer h.stop()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "./login", http.StatusFound) })
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "sign in to code-server\n") })
	mux.HandleFunc("GET /events", events)
	serveFiles(mux, p)
	handler := http.NewServeMux()
	handler.HandleFunc("GET /healthz", h.health)
	handler.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.beat()
		mux.ServeHTTP(w, r)
	})
	signal := func(string) (int, bool) { return 0, true }
	return program{Proc: p, port: 8080, handler: handler, connections: h.connection, signal: signal}.run(ctx, "SIGTERM")
}

// heartbeat is how long a beat lasts: heartbeatInterval in code-server's
// src/node/heart.ts.
const heartbeat = time.Minute

// heart is code-server's, in src/node/heart.ts.
type heart struct {
	mu      sync.Mutex
	last    time.Time
	timer   *time.Timer
	stopped bool
	open    map[net.Conn]struct{}
}

// alive reports whether the last beat lasts. h.mu is held.
func (h *heart) alive() bool { return !h.last.IsZero() && time.Since(h.last) < heartbeat }

func (h *heart) beat() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.beatLocked()
}

func (h *heart) beatLocked() {
	if h.alive() || h.stopped {
		return
	}
	h.last = time.Now()
	if h.timer != nil {
		h.timer.Stop()
	}
	h.timer = time.AfterFunc(heartbeat, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.open) > 0 {
			h.beatLocked()
		}
	})
}

func (h *heart) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	if h.timer != nil {
		h.timer.Stop()
	}
}

func (h *heart) connection(c net.Conn, s http.ConnState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch s {
	case http.StateNew:
		h.open[c] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		delete(h.open, c)
	}
}

func (h *heart) health(w http.ResponseWriter, _ *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	status, last := "expired", int64(0)
	if h.alive() {
		status = "alive"
	}
	if !h.last.IsZero() {
		last = h.last.UnixMilli()
	}
	answer(w, http.StatusOK, map[string]any{"status": status, "lastHeartbeat": last})
}
