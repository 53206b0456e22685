package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/atelier-go/atelier/fake/fakelauncher"
	"github.com/atelier-go/atelier/internal/ide"
)

// startup is how long the programs that stand for IDEs take from their start
// until their port answers: longer than a container takes to run, and short
// enough for a test by the wall clock. The real ones take seconds.
const startup = time.Second

// keepAlive is how often an event stream sends something.
const keepAlive = 15 * time.Second

// A program is a running server that stands for an IDE.
type program struct {
	*fakelauncher.Proc
	port    int
	handler http.Handler
	// connections is told of connections as they come and go. Nil is nobody.
	connections func(net.Conn, http.ConnState)
	// signal is called for each signal that was asked for, one after another.
	// If it ends the program it returns the exit code.
	signal func(name string) (code int, ends bool)
}

// run serves after a moment, until a signal ends the program.
func (p program) run(ctx context.Context, signals ...string) int {
	asked := p.Signals(signals...)
	for began := time.After(startup); began != nil; {
		select {
		case <-began:
			began = nil
		case name := <-asked:
			if code, ends := p.signal(name); ends {
				return code
			}
		case <-ctx.Done():
			return 1
		}
	}
	listener, err := p.Listen(p.port)
	if err != nil {
		fmt.Fprintln(p.Stderr, err)
		return 1
	}
	server := &http.Server{
		Handler: p.handler, ReadHeaderTimeout: time.Minute, ConnState: p.connections,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	ended := make(chan int, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = server.Close() }()
		for {
			select {
			case name := <-asked:
				if code, ends := p.signal(name); ends {
					ended <- code
					return
				}
			case <-ctx.Done():
				ended <- 1
				return
			}
		}
	}()
	_, _ = io.WriteString(p.Stdout, "listening on "+strconv.Itoa(p.port)+"\n")
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return 1
	}
	<-done
	return <-ended
}

// below is a handler that expects a path in front of every request, as the real
// servers do that are told one.
func below(base string, h http.Handler) http.Handler {
	if base == "" {
		return h
	}
	mux := http.NewServeMux()
	mux.Handle(base+"/", http.StripPrefix(base, h))
	return mux
}

// argument is the value of an argument such as --name=value, or empty.
func argument(args []string, name string) string {
	for _, arg := range args {
		if value, ok := strings.CutPrefix(arg, name+"="); ok {
			return value
		}
	}
	return ""
}

// serveFiles adds GET and PUT of the container's files.
func serveFiles(mux *http.ServeMux, p *fakelauncher.Proc) {
	mux.Handle("/files/", ide.Handler(p.Getenv("USER"), p))
}

// events is a stream of server-sent events that are nothing but signs of life,
// at once and every keepAlive, until the reader is gone: what a proxy must not
// hold back, and a connection that lasts.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		if _, err := io.WriteString(w, ":\n\n"); err != nil {
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// flag reads the body of a request that is "true" or "false".
func flag(w http.ResponseWriter, r *http.Request, set func(bool)) {
	text, _ := io.ReadAll(io.LimitReader(r.Body, 16))
	on, err := strconv.ParseBool(string(text))
	if err != nil {
		http.Error(w, "want true or false", http.StatusBadRequest)
		return
	}
	set(on)
	w.WriteHeader(http.StatusNoContent)
}
