package session

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// A Probe is how a program tells that it serves: it answers an HTTP GET with a
// status below 500. A redirect to a sign-in counts, and so does a refusal with
// 401 or 403, as whoever refuses is there to let others in; redirects are not
// followed.
//
// Without a Path, it serves once its port takes a connection that stays open for
// 200 milliseconds, or on which it speaks first; nothing is sent. That a connection
// is made proves nothing: Docker's userland proxy accepts it before the program in
// the container listens, and then hangs up.
//
// The zero value asks nothing: such a program is ready at once.
type Probe struct {
	// Port is the name of one of the Kind's Ports.
	Port string `json:",omitempty"`
	// Path begins with a slash. It may have a query. Empty is a program that does
	// not speak HTTP, or of which it is not known.
	Path string `json:",omitempty"`
}

func (p Probe) problems(ports []launcher.Port) []error {
	switch {
	case p == (Probe{}):
		return nil
	case p.Path == "":
		return portProblems("ready", p.Port, ports)
	}
	return endpointProblems("ready", p.Port, p.Path, ports)
}

// portProblems reports that a program has no port of a name.
func portProblems(what, port string, ports []launcher.Port) []error {
	if slices.ContainsFunc(ports, func(p launcher.Port) bool { return p.Name == port }) {
		return nil
	}
	var names []string
	for _, p := range ports {
		names = append(names, p.Name)
	}
	return []error{fmt.Errorf("%s: port %.40q is not among its ports, %.40q", what, port, names)}
}

// endpointProblems reports what is wrong with the port and the path that a
// program is to be asked at.
func endpointProblems(what, port, path string, ports []launcher.Port) []error {
	found := portProblems(what, port, ports)
	_, err := url.ParseRequestURI(path)
	if err != nil || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.Contains(path, "#") || !plain(path) {
		found = append(found, fmt.Errorf("%s: path %.40q: want one such as /healthz, beginning with one slash", what, path))
	}
	return found
}

// A dialer connects to a port of a container, by its name.
type dialer func(ctx context.Context, port string) (net.Conn, error)

// ready reports whether a program serves. If not, it says why, for people. It
// takes at most askLimit, and dial has to heed its context.
func (k Kind) ready(ctx context.Context, dial dialer) (bool, string) {
	if k.Ready == (Probe{}) {
		return true, ""
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	var status int
	var err error
	if k.Ready.Path == "" {
		err = connect(ctx, dial, k.Ready.Port)
	} else {
		status, _, err = ask(ctx, dial, k.Ready.Port, k.Ready.Path)
	}
	switch {
	case err != nil:
		return false, fmt.Sprintf("it does not serve yet: %v", err)
	case status >= http.StatusInternalServerError:
		return false, fmt.Sprintf("it does not serve yet: it answers %s to GET %s", statusText(status), k.Ready.Path)
	}
	return true, ""
}

const (
	// askLimit is how long a program may take to answer.
	askLimit = 2 * time.Second
	// maxAnswer is how much is read of its answer, in bytes. A hundred kernels
	// of Jupyter are 20 KiB.
	maxAnswer = 1 << 20
	// stays is how long a connection has to stay open. A proxy on the host that finds
	// nobody to pass it on to closes it within a millisecond or two.
	stays = 200 * time.Millisecond
)

// limit closes a connection when ctx ends. What it returns closes it now, after which
// nothing goes on, and is ctx's error if that had ended before.
func limit(ctx context.Context, conn net.Conn) (end func() error) {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		conn.Close()
	})
	return func() error {
		if stop() {
			conn.Close()
			return nil
		}
		<-closed
		return fmt.Errorf("no answer in time: %w", context.Cause(ctx))
	}
}

// connect makes a connection and returns nil if it stays open, or if something is
// said on it. When it returns the connection is closed and nothing goes on.
func connect(ctx context.Context, dial dialer, port string) error {
	conn, err := dial(ctx, port)
	if err != nil {
		return err
	}
	end := limit(ctx, conn)
	n := 0
	if err = conn.SetReadDeadline(time.Now().Add(stays)); err == nil {
		n, err = conn.Read(make([]byte, 1))
	}
	if late := end(); late != nil {
		return late
	}
	if timeout, ok := errors.AsType[net.Error](err); n > 0 || ok && timeout.Timeout() {
		return nil
	}
	return fmt.Errorf("port %q hangs up at once: %w", port, err)
}

// ask sends one HTTP GET on a connection of its own and returns the answer.
// When it returns the connection is closed and nothing goes on.
func ask(ctx context.Context, dial dialer, port, path string) (status int, body []byte, err error) {
	conn, err := dial(ctx, port)
	if err != nil {
		return 0, nil, err
	}
	end := limit(ctx, conn)
	defer func() {
		if late := end(); late != nil && err != nil {
			status, body, err = 0, nil, late
		}
	}()
	// Jupyter refuses names of hosts that it does not know, but never this.
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	request.Close = true
	request.Header.Set("User-Agent", "atelier")
	if err := request.Write(conn); err != nil {
		return 0, nil, err
	}
	limited := &io.LimitedReader{R: conn, N: maxAnswer}
	reader := bufio.NewReader(limited)
	response, err := http.ReadResponse(reader, request)
	for err == nil && response.StatusCode < http.StatusOK && response.StatusCode != http.StatusSwitchingProtocols {
		response, err = http.ReadResponse(reader, request) // that was "continue" or "early hints"
	}
	if err == nil {
		defer response.Body.Close()
		body, err = io.ReadAll(response.Body)
	}
	switch {
	case limited.N <= 0:
		return 0, nil, fmt.Errorf("it answers with more than %d bytes", maxAnswer)
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return 0, nil, errors.New("it hangs up before it has answered")
	case err != nil:
		return 0, nil, fmt.Errorf("it does not answer as an HTTP server: %w", err)
	}
	return response.StatusCode, body, nil
}

func statusText(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}
