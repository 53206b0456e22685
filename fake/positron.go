package fake

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/atelier-go/atelier/fake/fakelauncher"
)

// Positron is a program that stands for Positron Server, for sessions of
// [session.Positron]. Its command has the argument --connection-token=TOKEN, or
// it ends with 1, as the real one does without a token or a licence; of licences
// this one knows nothing. As the real one it
//
//   - answers on port 8000 after a moment: GET of /version is a commit, without a
//     token; every other path needs it as ?tkn=TOKEN or in the cookie vscode-tkn,
//     and is 403 without;
//   - tells at /idle when a browser last reported that it was used, or when it
//     began itself;
//   - on SIGTERM ends, by that signal: the exit code is 143;
//   - with the argument --server-base-path=/PATH has all of that below that path.
//
// The real one is told of use over a websocket; here a PUT of anything to /used
// is that. GET of /events is a stream with signs of life. GET and PUT of
// /files/home/alice/x are the file /home/alice/x, as with [IDE].
func Positron(ctx context.Context, p *fakelauncher.Proc) int {
	token := argument(p.Args, "--connection-token")
	if token == "" {
		fmt.Fprintln(p.Stderr, "Positron requires a connection token; use --connection-token")
		return 1
	}
	i := &idle{last: time.Now()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "Positron\n") })
	mux.HandleFunc("GET /idle", i.tell)
	mux.HandleFunc("PUT /used", i.used)
	mux.HandleFunc("GET /events", events)
	serveFiles(mux, p)
	handler := http.NewServeMux()
	handler.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "04c87cc349f75add13c68d8465ed08bdce21948d")
	})
	handler.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		cookie, _ := r.Cookie("vscode-tkn")
		if r.URL.Query().Get("tkn") != token && (cookie == nil || cookie.Value != token) {
			http.Error(w, "Forbidden.", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
	signal := func(string) (int, bool) { return 143, true }
	return program{Proc: p, port: 8000, handler: below(strings.TrimSuffix(argument(p.Args, "--server-base-path"), "/"), handler), signal: signal}.run(ctx, "SIGTERM")
}

// idle is Positron's IPositronIdleTrackingService.
type idle struct {
	mu   sync.Mutex
	last time.Time
}

func (i *idle) used(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.last = time.Now()
	w.WriteHeader(http.StatusNoContent)
}

func (i *idle) tell(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{
		"seconds_idle": int(time.Since(i.last).Seconds()), "last_activity_epoch_ms": i.last.UnixMilli(), "connections": 0,
	})
}
