package fake

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/internal/ide"
	"github.com/atelier-go/atelier/session"
)

// IDEPort is the port [IDE] listens on: RStudio's.
const IDEPort = 8787

// IDE is a program that stands for an interactive session: an HTTP server on
// [IDEPort] that reads and writes the files of its container. GET and PUT of
// /files/home/alice/x are the file /home/alice/x; GET of / names the user. It
// ends with code 0 when it is asked to by SIGTERM, and on SIGUSR1 with
// [session.RStudioSaved]: files are all the state it has. A session of a kind with
// another port needs a program of its own.
func IDE(ctx context.Context, p *fakelauncher.Proc) int {
	listener, err := p.Listen(IDEPort)
	if err != nil {
		_, _ = io.WriteString(p.Stderr, err.Error()+"\n")
		return 1
	}
	server := &http.Server{Handler: ide.Handler(p.Getenv("USER"), p), ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	defer close(done)
	signals := p.Signals("SIGTERM", "SIGUSR1")
	code := make(chan int, 1)
	go func() {
		select {
		case signal := <-signals:
			if signal == "SIGUSR1" {
				code <- session.RStudioSaved
			}
		case <-ctx.Done():
		case <-done:
		}
		_ = server.Close()
	}()
	_, _ = io.WriteString(p.Stdout, "listening on "+strconv.Itoa(IDEPort)+"\n")
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return 1
	}
	select {
	case saved := <-code:
		return saved
	default:
		return 0
	}
}
