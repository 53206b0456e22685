// Ide is what the quickstart's sessions run on a real container engine: an HTTP
// server on RStudio's port that reads and writes its container's files, and
// ends when it is asked to. Built without cgo it is an image by itself.
package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/atelier-go/atelier/internal/ide"
)

// saved is session.RStudioSaved, without all that package session links: the exit
// code by which a session of RStudio's kind confirms that its state is on disk.
// This one has none but its files.
const saved = 80

func main() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGUSR1)
	code := 0
	server := &http.Server{Addr: ":8787", Handler: ide.Handler(os.Getenv("USER"), disk{}), ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if <-asked == syscall.SIGUSR1 {
			code = saved
		}
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	<-done
	os.Exit(code)
}

// disk is the container's files.
type disk struct{}

func (disk) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) } //nolint:gosec // a session reads its own files

func (disk) WriteFile(name string, data []byte, perm os.FileMode) error {
	return os.WriteFile(name, data, perm)
}
