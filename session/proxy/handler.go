package proxy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/atelier-go/atelier/session"
)

// A Handler passes requests on to sessions. Make it with [New]. It is safe for
// concurrent use, and any number of processes may serve the sessions of one
// domain. It has no goroutine but for requests that are being answered and for
// connections to sessions, which are kept for a minute after the last.
type Handler struct {
	manager   *session.Manager
	authorize func(*http.Request, session.Session) error
	away      func(http.ResponseWriter, *http.Request, session.Session) // nil is the handler's own answer
	log       *slog.Logger

	scheme, host string // as browsers see it
	path         string // without a slash at the end
	private      cookies
	origins      *http.CrossOriginProtection

	transport *http.Transport
}

var _ http.Handler = (*Handler)(nil)

// Path is the path below which a session is served, "/sessions/analysis", for
// programs that have to be started with it: see [session.Kind.At].
func (h *Handler) Path(id session.ID) string { return h.path + "/" + string(id) }

// A visit is one request on its way to a session and back.
type visit struct {
	*Handler
	s    session.Session
	port string
	base string // the session's path, as browsers see it
	rest string // what follows in the request's, escaped; it begins with a slash
	use  *use   // what of it counts
	// query is to be added to that of the request.
	query string
	// switched is the connection to a program that answered with another protocol.
	switched io.Closer
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v, err := h.enter(r)
	switch {
	case errors.Is(err, session.ErrNotFound):
		notFound(w, r)
		return
	case err != nil:
		v.fail(w, r, err)
		return
	case h.crosses(r):
		answer{status: http.StatusForbidden, Session: v.s.ID, State: v.s.State, Message: "a page of another site may not do this in a session"}.reply(w, r)
		return
	case v.rest == "": // what the pages link to is beside them
		to := url.URL{Path: v.base + "/", RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, to.String(), http.StatusTemporaryRedirect)
		return
	case v.s.State != session.Running:
		v.absent(w, r)
		return
	case len(v.s.Kind.Ports) == 0:
		answer{status: http.StatusNotFound, Session: v.s.ID, State: v.s.State, Message: "it runs, and serves nothing that a browser could show"}.reply(w, r)
		return
	}
	v.port = v.s.Kind.Ports[0].Name
	if err := v.judge(r); err != nil {
		v.fail(w, r, err)
		return
	}
	p := httputil.ReverseProxy{
		Rewrite: v.request, ModifyResponse: v.response,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { v.fail(w, r, err) },
		// Not in the context of the ReverseProxy, by which it would hear of interim answers:
		// it passes them on as they are, and clears what was set of the answer's headers.
		Transport: trip(func(out *http.Request) (*http.Response, error) {
			return h.transport.RoundTrip(out.WithContext(r.Context()))
		}),
		BufferPool: &buffers, ErrorLog: nowhere,
	}
	if h.log.Enabled(r.Context(), slog.LevelDebug) {
		p.ErrorLog = slog.NewLogLogger(h.log.With("session", v.s.ID).Handler(), slog.LevelDebug)
	}
	defer v.hangUp()
	p.ServeHTTP(w, r)
}

// A trip sends a request and returns its answer.
type trip func(*http.Request) (*http.Response, error)

func (t trip) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// hangUp ends the connection to a program that switched protocols: the ReverseProxy
// leaves it open if nobody asked for that, or if the client's cannot be had.
func (v *visit) hangUp() {
	if v.switched != nil {
		_ = v.switched.Close()
	}
}

// origin is that of all that is served here, as browsers write it.
func (h *Handler) origin() string { return h.scheme + "://" + h.host }

// crosses reports whether a page of another origin asks for more than to look.
func (h *Handler) crosses(r *http.Request) bool {
	if from := r.Header.Get("Origin"); isUpgrade(r) && from != "" && from != h.origin() {
		return true
	}
	return h.origins.Check(r) != nil
}

// nowhere is where it is told what broke off, as bodies do when a client goes.
var nowhere = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)

// enter finds the session of a request, if that may enter it. What may not be
// known is [session.ErrNotFound].
func (h *Handler) enter(r *http.Request) (*visit, error) {
	v := &visit{Handler: h}
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), h.path+"/")
	name, rest, slash := strings.Cut(rest, "/")
	if !ok || name == "" {
		return v, session.ErrNotFound
	}
	s, err := h.find(r.Context(), session.ID(name))
	if errors.Is(err, session.ErrInvalid) {
		err = session.ErrNotFound
	}
	if err != nil {
		return v, err
	}
	if err := h.authorize(r, s); err != nil {
		h.log.Debug("refused", "session", s.ID, "error", err)
		return v, session.ErrNotFound
	}
	v.s, v.base = s, h.Path(s.ID)
	if slash {
		v.rest = "/" + rest
	}
	return v, nil
}

// find returns a session, from memory while it runs.
func (h *Handler) find(ctx context.Context, id session.ID) (session.Session, error) {
	if s, ok := h.manager.Cached(id); ok && s.State == session.Running {
		return s, nil
	}
	return h.manager.Get(ctx, id)
}

// address names a generation of a session for the transport, which keeps
// connections by it: those of an earlier one are never used again.
func (v *visit) address() string {
	return string(v.s.ID) + "." + strconv.Itoa(v.s.Generation) + "." + v.port
}

// dialLimit is how long it may take until a session's host answers.
const dialLimit = 10 * time.Second

// A dialError is a session that could not be connected to.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

// dial connects to what an address names.
func (h *Handler) dial(ctx context.Context, _, address string) (net.Conn, error) {
	name, _, _ := strings.Cut(address, ":")
	id, rest, _ := strings.Cut(name, ".")
	_, port, _ := strings.Cut(rest, ".")
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	conn, err := h.manager.Dial(ctx, session.ID(id), port)
	if err != nil {
		return nil, dialError{err}
	}
	return conn, nil
}
