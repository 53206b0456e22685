package fake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"sync"
	"time"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/session"
)

// RStudio is a program that stands for an image of RStudio Server with
// [session.RStudioEntrypoint], for sessions of [session.RStudio]. As the real
// one it
//
//   - answers on port 8787 after a moment: GET of / leads to /auth-sign-in;
//   - has one R session, whose variables it loads at its start from what it
//     saved in the home, in ~/.local/share/rstudio/sessions/active;
//   - on SIGUSR1 saves them there and ends with [session.RStudioSaved]; or, if
//     that fails, says so in a line that begins with [session.RStudioNotSaved]
//     and goes on. While R computes it goes on, too, and suspends when it has
//     finished;
//   - on SIGTERM ends with 0, and what was not saved is lost;
//   - with [session.RStudioClean] set to 1 moves a saved state aside first. An R
//     session whose state cannot be read does not start: each request for it is
//     answered with 500.
//
// What the real one does by other ways, this one does over HTTP: GET and PUT of
// /variables/x are the text that R's variable x holds, PUT of true or false to
// /busy lets R compute, PUT of true to /full fills the home, GET of /events is a
// stream with signs of life. GET and PUT of /files/home/alice/x are the file
// /home/alice/x, as with [IDE].
//
// The real one waits for R to finish before it gives up; this one gives up at
// once.
func RStudio(ctx context.Context, p *fakelauncher.Proc) int {
	r := &rstudio{Proc: p, variables: map[string]string{}}
	if p.Getenv(session.RStudioClean) == "1" {
		if err := r.setAside(); err != nil {
			fmt.Fprintf(p.Stderr, "atelier: %v; nothing is started\n", err)
			return 1
		}
	}
	if err := r.load(); err != nil {
		r.broken = err.Error()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, q *http.Request) { http.Redirect(w, q, "/auth-sign-in", http.StatusFound) })
	mux.HandleFunc("GET /auth-sign-in", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "sign in to RStudio\n") })
	mux.HandleFunc("GET /variables/{name}", r.get)
	mux.HandleFunc("PUT /variables/{name}", r.put)
	mux.HandleFunc("PUT /busy", func(w http.ResponseWriter, q *http.Request) { flag(w, q, r.setBusy) })
	mux.HandleFunc("PUT /full", func(w http.ResponseWriter, q *http.Request) { flag(w, q, r.setFull) })
	mux.HandleFunc("GET /events", events)
	serveFiles(mux, p)
	return program{Proc: p, port: 8787, handler: mux, signal: r.signal}.run(ctx, "SIGUSR1", "SIGTERM")
}

// rstudio is the server with its one R session.
type rstudio struct {
	*fakelauncher.Proc

	mu        sync.Mutex
	variables map[string]string
	broken    string // why the R session does not start; empty if it does
	busy      bool
	full      bool
	pending   bool // it is to suspend when it is not busy any more
}

const suspendedState = "suspended-session-data"

// data is RStudio's data directory.
func (r *rstudio) data() string { return path.Join(r.Getenv("HOME"), ".local/share/rstudio") }

// home is the directory of the R session.
func (r *rstudio) home() string { return path.Join(r.data(), "sessions/active/session-1") }

// environment is the file of the variables.
func (r *rstudio) environment() string { return path.Join(r.home(), suspendedState, "environment") }

func (r *rstudio) load() error {
	text, err := r.ReadFile(r.environment())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, &r.variables)
	}
	if err != nil {
		return fmt.Errorf("the R session does not start: its state cannot be restored: %w", err)
	}
	return nil
}

// save writes the state as the real one does: the variables first, the search
// path last. r.mu is held.
func (r *rstudio) save() error {
	switch {
	case r.broken != "":
		return nil // there is no R session
	case r.busy:
		r.pending = true
		return errors.New("session 1 of R computes, and suspends when it has finished")
	case r.full:
		return fmt.Errorf("%s cannot be written to: no space left on device", r.home())
	}
	text, err := json.Marshal(r.variables)
	if err != nil {
		return err
	}
	search := path.Join(r.home(), suspendedState, "search_path")
	if err := r.MkdirAll(search, 0o700); err != nil {
		return err
	}
	if err := r.WriteFile(r.environment(), text, 0o600); err != nil {
		return err
	}
	return r.WriteFile(path.Join(search, "search_path_elements"), []byte(".GlobalEnv\npackage:base\n"), 0o600)
}

// setAside moves the saved state away.
func (r *rstudio) setAside() error {
	from := path.Join(r.home(), suspendedState)
	if _, err := r.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	aside := path.Join(r.data(), "atelier-set-aside")
	to := path.Join(aside, "session-1."+time.Now().UTC().Format("20060102T150405Z"))
	for {
		if _, err := r.Stat(to); err != nil {
			break
		}
		to += ".1"
	}
	if err := r.MkdirAll(aside, 0o700); err != nil {
		return err
	}
	if err := r.Rename(from, to); err != nil {
		return err
	}
	fmt.Fprintf(r.Stderr, "atelier: %s was set aside as %s\n", from, to)
	return nil
}

func (r *rstudio) signal(name string) (code int, ends bool) {
	if name == "SIGTERM" {
		return 0, true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.save(); err != nil {
		fmt.Fprintf(r.Stderr, "%s%v; the server goes on, with R sessions: 1\n", session.RStudioNotSaved, err)
		return 0, false
	}
	return session.RStudioSaved, true
}

func (r *rstudio) setFull(full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.full = full
}

// setBusy lets R compute or finish. If it was asked to suspend meanwhile it
// does, and the server goes on.
func (r *rstudio) setBusy(busy bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = busy
	if !busy && r.pending {
		r.pending = false
		if err := r.save(); err != nil {
			fmt.Fprintln(r.Stderr, err)
		}
	}
}

func (r *rstudio) get(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	value, ok := r.variables[q.PathValue("name")]
	switch {
	case r.broken != "":
		http.Error(w, r.broken, http.StatusInternalServerError)
	case !ok:
		http.Error(w, "object not found", http.StatusNotFound)
	default:
		_, _ = io.WriteString(w, value)
	}
}

func (r *rstudio) put(w http.ResponseWriter, q *http.Request) {
	value, err := io.ReadAll(q.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case r.broken != "":
		http.Error(w, r.broken, http.StatusInternalServerError)
	default:
		r.variables[q.PathValue("name")] = string(value)
		w.WriteHeader(http.StatusNoContent)
	}
}
