// Package ide is the HTTP side of the smallest session there is: a program that
// names its user and reads and writes files. The fake's session and the
// quickstart's container serve it.
package ide

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"path"
)

// Files are the files a session reads and writes.
type Files interface {
	ReadFile(name string) ([]byte, error)
	WriteFile(name string, data []byte, perm fs.FileMode) error
}

// Handler serves GET of /, which names the user, and GET and PUT of
// /files/home/alice/x, which is the file /home/alice/x.
func Handler(user string, files Files) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "session of "+user+"\n")
	})
	mux.HandleFunc("GET /files/{name...}", func(w http.ResponseWriter, r *http.Request) {
		data, err := files.ReadFile(path.Join("/", r.PathValue("name")))
		if err != nil {
			http.Error(w, err.Error(), status(err))
			return
		}
		_, _ = w.Write(data) //nolint:gosec // users get their own files
	})
	mux.HandleFunc("PUT /files/{name...}", func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err == nil {
			err = files.WriteFile(path.Join("/", r.PathValue("name")), data, 0o600)
		}
		if err != nil {
			http.Error(w, err.Error(), status(err))
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func status(err error) int {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return http.StatusNotFound
	case errors.Is(err, fs.ErrPermission):
		return http.StatusForbidden
	default:
		return http.StatusInternalServerError
	}
}
