// Ide is what the quickstart's sessions run on a real container engine: an HTTP
// server on RStudio's port that reads and writes its container's files, and
// ends when it is asked to. Built without cgo it is an image by itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/atelier-go/atelier/internal/ide"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	server := &http.Server{Addr: ":8787", Handler: ide.Handler(os.Getenv("USER"), disk{}), ReadHeaderTimeout: time.Minute}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // nothing is left to undo
	}
}

// disk is the container's files.
type disk struct{}

func (disk) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) } //nolint:gosec // a session reads its own files

func (disk) WriteFile(name string, data []byte, perm os.FileMode) error {
	return os.WriteFile(name, data, perm)
}
