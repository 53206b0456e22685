package fake

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"time"

	"github.com/atelier-go/atelier/fake/fakelauncher"
)

// IDEPort is the port [IDE] listens on: RStudio's.
const IDEPort = 8787

// IDE is a program that stands for an interactive session: an HTTP server on
// [IDEPort] that reads and writes the files of its container. GET and PUT of
// /files/home/alice/x are the file /home/alice/x; GET of / names the user. It
// ends with code 0 when it is asked to by SIGTERM.
func IDE(ctx context.Context, p *fakelauncher.Proc) int {
	listener, err := p.Listen(IDEPort)
	if err != nil {
		_, _ = io.WriteString(p.Stderr, err.Error()+"\n")
		return 1
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "session of "+p.Getenv("USER")+"\n")
	})
	mux.HandleFunc("GET /files/{name...}", func(w http.ResponseWriter, r *http.Request) {
		data, err := p.ReadFile(path.Join("/", r.PathValue("name")))
		if err != nil {
			http.Error(w, err.Error(), fileStatus(err))
			return
		}
		_, _ = w.Write(data) //nolint:gosec // users get their own files
	})
	mux.HandleFunc("PUT /files/{name...}", func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err == nil {
			err = p.WriteFile(path.Join("/", r.PathValue("name")), data, 0o600)
		}
		if err != nil {
			http.Error(w, err.Error(), fileStatus(err))
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	defer close(done)
	signals := p.Signals("SIGTERM")
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
		case <-done:
		}
		_ = server.Close()
	}()
	_, _ = io.WriteString(p.Stdout, "listening on "+strconv.Itoa(IDEPort)+"\n")
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return 1
	}
	return 0
}

func fileStatus(err error) int {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return http.StatusNotFound
	case errors.Is(err, fs.ErrPermission):
		return http.StatusForbidden
	default:
		return http.StatusInternalServerError
	}
}
