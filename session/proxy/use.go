package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/atelier-go/atelier/session"
)

const (
	eventStream = "text/event-stream"
	// useEvery is how often the use by one request is reported, while that lasts.
	useEvery = 10 * time.Second
	// reportLimit is how long a request waits for its report to be recorded. The
	// manager remembers it all the same.
	reportLimit = 2 * time.Second
	// maxDetail is how much of a request is told as evidence, in bytes.
	maxDetail = 200
)

// use is what is reported of one request.
type use struct {
	*visit
	counts bool // the request itself, and what is in its body and its answer's
	sends  bool // messages of a client on a websocket count
	detail string
	last   atomic.Int64 // when it was last reported, in nanoseconds since 1970
}

// judge decides what of a request counts, and reports it. Its error is that nobody
// would notice use.
func (v *visit) judge(r *http.Request) error {
	path, _ := url.PathUnescape(v.rest)
	detail := r.Method + " " + v.rest
	background := v.s.Kind.Background.Matches(r.Method, path)
	if background {
		v.query = v.s.Kind.Background.Query
	}
	v.use = &use{visit: v, detail: detail[:min(len(detail), maxDetail)]}
	switch {
	case background, r.Method == http.MethodHead, r.Method == http.MethodOptions:
	case isUpgrade(r):
		v.use.sends = true
	case strings.HasPrefix(r.Header.Get("Accept"), eventStream): // it listens, and again by itself
	default:
		v.use.counts = true
		return v.use.report(r.Context())
	}
	return nil
}

// seen reports that the request goes on.
func (u *use) seen(ctx context.Context) {
	if last := u.last.Load(); time.Now().UnixNano()-last >= int64(useEvery) {
		_ = u.report(ctx) // it was logged
	}
}

// report tells the manager. Its error is that this does not run; others are
// logged, and no reason to keep anybody from working.
func (u *use) report(ctx context.Context) error {
	now := time.Now()
	u.last.Store(now.UnixNano())
	ctx, cancel := context.WithTimeout(ctx, reportLimit)
	defer cancel()
	err := u.manager.Report(ctx, u.s.ID, session.Evidence{Source: session.Traffic, Used: now, Detail: u.detail})
	switch {
	case errors.Is(err, session.ErrNotRunning):
		u.log.Error("use is not noticed", "session", u.s.ID, "error", err)
		return err
	case err != nil:
		u.log.Warn("use is not recorded yet", "session", u.s.ID, "error", err)
	}
	return nil
}

// used is a body, reading which is use.
type used struct {
	io.ReadCloser
	use *use
}

func (b used) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.use.seen(context.Background())
	}
	return n, err
}

// socket is the connection to a program after a switch of protocols. What is
// written to it comes from the client.
type socket struct {
	io.ReadWriteCloser
	*visit
	raw    bool // no websocket
	frames frames
	ctx    context.Context //nolint:containedctx // a connection has no other way to be told
}

func (s *socket) Write(p []byte) (int, error) {
	n, err := s.ReadWriteCloser.Write(p)
	if !s.use.sends || n == 0 {
		return n, err
	}
	if s.raw || s.frames.messages(p[:n], uint64(s.s.Kind.Background.KeepAlive)) > 0 {
		s.use.seen(s.ctx)
	}
	return n, err
}

// CloseWrite tells the program that the client has said all.
func (s *socket) CloseWrite() error {
	if c, ok := s.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported // and the whole connection ends
}
