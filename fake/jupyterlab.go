package fake

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/atelier-go/atelier/fake/fakelauncher"
)

// JupyterLab is a program that stands for JupyterLab on Jupyter Server without a
// token, for sessions of [session.JupyterLab]. As the real one it
//
//   - answers on port 8888 after a moment: GET of / leads to /lab, GET of /api is
//     its version;
//   - tells at /api/status when it was last used, and at /api/kernels its kernels:
//     POST starts one, DELETE of /api/kernels/ID ends it. Requests of the API
//     count as use, but for those of /api and /api/status, and those with
//     no_track_activity in their query;
//   - on SIGTERM ends with 0, and its kernels with it. It goes on after SIGUSR1;
//   - with the argument --ServerApp.base_url=/PATH has all of that below that path.
//
// The real one runs code over a websocket; here a PUT of "busy" or "idle" to
// /kernels/ID is what a kernel does, and counts as its use. GET of /events is a
// stream with signs of life. GET and PUT of /files/home/alice/x are the file
// /home/alice/x, as with [IDE], and count as no use, as with the real one.
func JupyterLab(ctx context.Context, p *fakelauncher.Proc) int {
	base := strings.TrimSuffix(argument(p.Args, "--ServerApp.base_url"), "/")
	j := &jupyter{base: base, started: time.Now(), last: time.Now(), kernels: map[string]*kernel{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, base+"/lab", http.StatusFound) })
	mux.HandleFunc("GET /lab", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "JupyterLab\n") })
	mux.HandleFunc("GET /api", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"version": "2.14.0"})
	})
	mux.HandleFunc("GET /api/status", j.status)
	mux.HandleFunc("GET /api/kernels", j.list)
	mux.HandleFunc("POST /api/kernels", j.start)
	mux.HandleFunc("DELETE /api/kernels/{id}", j.end)
	mux.HandleFunc("PUT /kernels/{id}", j.compute)
	mux.HandleFunc("GET /events", events)
	serveFiles(mux, p)
	signal := func(name string) (int, bool) { return 0, name == "SIGTERM" }
	return program{Proc: p, port: 8888, handler: below(base, mux), signal: signal}.run(ctx, "SIGTERM", "SIGUSR1")
}

// jupyter is the server.
type jupyter struct {
	base    string // its path, without a slash at the end
	started time.Time

	mu      sync.Mutex
	last    time.Time // use of the API
	count   int
	kernels map[string]*kernel
}

// A kernel as /api/kernels tells of it.
type kernel struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	LastActivity time.Time `json:"last_activity"`
	State        string    `json:"execution_state"`
	Connections  int       `json:"connections"`
}

// used notes a request of the API, unless it asks not to be. j.mu is held.
func (j *jupyter) used(r *http.Request) {
	if !r.URL.Query().Has("no_track_activity") {
		j.last = time.Now()
	}
}

func (j *jupyter) status(w http.ResponseWriter, _ *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	last := j.last
	for _, k := range j.kernels {
		if k.LastActivity.After(last) {
			last = k.LastActivity
		}
	}
	answer(w, http.StatusOK, map[string]any{
		"started": j.started.UTC(), "last_activity": last.UTC(), "kernels": len(j.kernels), "connections": 0,
	})
}

func (j *jupyter) list(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.used(r)
	all := []*kernel{}
	for _, k := range j.kernels {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b *kernel) int { return strings.Compare(a.ID, b.ID) })
	answer(w, http.StatusOK, all)
}

func (j *jupyter) start(w http.ResponseWriter, r *http.Request) {
	var model struct {
		Name string `json:"name"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&model); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.used(r)
	j.count++
	k := &kernel{
		ID:   fmt.Sprintf("00000000-0000-0000-0000-%012d", j.count),
		Name: cmp.Or(model.Name, "python3"), LastActivity: time.Now().UTC(), State: "idle",
	}
	j.kernels[k.ID] = k
	w.Header().Set("Location", j.base+"/api/kernels/"+k.ID)
	answer(w, http.StatusCreated, k)
}

func (j *jupyter) end(w http.ResponseWriter, r *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.used(r)
	if j.kernels[r.PathValue("id")] == nil {
		http.NotFound(w, r)
		return
	}
	delete(j.kernels, r.PathValue("id"))
	w.WriteHeader(http.StatusNoContent)
}

func (j *jupyter) compute(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(io.LimitReader(r.Body, 16))
	j.mu.Lock()
	defer j.mu.Unlock()
	k := j.kernels[r.PathValue("id")]
	switch state := string(text); {
	case k == nil:
		http.NotFound(w, r)
	case err != nil || state != "busy" && state != "idle":
		http.Error(w, "want busy or idle", http.StatusBadRequest)
	default:
		k.State, k.LastActivity = state, time.Now().UTC()
		w.WriteHeader(http.StatusNoContent)
	}
}

// answer writes a value as JSON.
func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the reader may be gone
}
