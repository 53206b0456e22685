// Package proxy serves sessions to users' browsers: an [http.Handler] that a
// portal mounts behind its own authentication.
//
//	h, err := proxy.New(manager, proxy.Config{
//		URL: "https://portal.example.com/sessions/",
//		Authorize: func(r *http.Request, s session.Session) error {
//			if s.User != userOf(r) { // however the portal knows
//				return errors.New("not theirs")
//			}
//			return nil
//		},
//		Cookies: []string{"__Host-portal"},
//	})
//	mux.Handle("/sessions/", signedIn(h))
//
// A request of /sessions/analysis/x goes to the session "analysis", to the first
// port of its kind, as a request of /x. It passes through as it comes, in either
// direction and at the pace of whoever reads, and so do websockets and event
// streams; nothing is kept whole. The manager has to run in this process
// ([session.Manager.Run]), for it is told of use.
//
// A session that runs is known from memory ([session.Manager.Cached]), every other one
// is looked up in the store. So a request may still find running what another
// process has suspended or stopped, for two seconds at most while the store
// answers; its program is gone by then or ends meanwhile, and the answer says so. That
// lets nobody into a session that is not theirs: Authorize decides on each request,
// whose a session is never changes, the ID of a deleted one is not given again for a
// day, and a connection is made to what the store says.
//
// A mux puts paths right that are not clean ("//", "..") before the handler sees
// them; the handler itself leaves them to the session.
//
// # The path
//
// A program has to know the path below which it is served, or to link only to
// what is beside it; [session.Base] says which. One that is told by a header gets
// it with each request, without the path in front, and so does one that need not
// know; of both, redirects are put right. One that expects the path is started
// with [Handler.Path]:
//
//	kind, args := session.JupyterLab().At(h.Path("analysis"))
//	m.Start(ctx, session.StartRequest{ID: "analysis", Kind: kind, Command: append(command, args...), ...})
//
// # What a session gets to see
//
// A session runs code of its user's choice. Of a request it does not get the
// header Authorization, what a load balancer of AWS says of who signed in
// (X-Amzn-Oidc-*, AWSELBAuthSessionCookie*), and the cookies of Config.Cookies;
// what a client says of where it comes from (Forwarded, X-Forwarded-*, X-Real-Ip)
// and of the path is replaced by what is known. It gets every other header and
// cookie, so list the portal's. The cookies it sets are kept below its path,
// whatever path or domain they name, so that the browser sends them to no other
// session; those with the name of one that is kept from it are dropped. So are headers
// of its answers that would bind the portal's whole origin (Accept-CH, Alt-Svc,
// Clear-Site-Data, NEL, Report-To, Secure-Session-Registration, Set-Login,
// Strict-Transport-Security, Use-As-Dictionary), and interim answers, such as 103;
// Service-Worker-Allowed is its path.
//
// # One origin
//
// To a browser all that is served at one scheme, host and port is one origin: a
// page of a session may read, with the rights of whoever looks at it, every other
// page there, another session's and the portal's, call the portal in their name,
// and set cookies for all of it. Paths are no wall. So serve sessions at a host of
// their own, with a cookie that is good for nothing else, and let nobody enter a
// session whose user they would not trust with their other ones.
//
// A page of another origin opens no websocket, and makes no request but GET, HEAD
// and OPTIONS ([http.CrossOriginProtection]), whoever is signed in; that of Config.URL
// is the one that is trusted, whatever Host a load balancer sends.
//
// # What counts as use
//
// What passes is reported as [session.Traffic]: each request, what is uploaded and
// downloaded in it as long as it lasts, and each message with something in it that a
// client sends on a websocket, at most every ten seconds. These do not count: HEAD
// and OPTIONS, event streams, what a session sends by itself, pings, and what
// [session.Background] says that pages of the kind send while nobody looks.
//
// # Answers of its own
//
// They are JSON with session, state, message and explanation, or a page for who
// accepts text/html, and are never kept by a browser.
//
//	307  the path of a session without the slash at its end
//	403  a page of another origin asks for a websocket, or for more than to look
//	404  no such session, or none that may be entered: it does not say which; no port
//	410  the session has ended for good
//	502  its program answers with what is not HTTP, or breaks off
//	503  it is starting, suspended or about to be; its host or program, or the
//	     store, does not answer; the manager does not run. Retry-After says when
//	     it makes sense to ask again
//	504  the request's own deadline passed
//
// Config.Absent answers 410, and 503 for the state of a session, as the portal likes.
package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/atelier-go/atelier/session"
)

// Config says how a Handler works.
type Config struct {
	// URL is where the handler is mounted, as browsers see it:
	// "https://portal.example.com/sessions/". Its path is also the one at which
	// requests arrive, so nothing in between may change it. Programs are told that
	// they are asked there, whatever the request says. Required.
	URL string
	// Authorize decides whether a request may enter a session; an error refuses.
	// It is called for each request, from several goroutines, so also once for a
	// websocket, however long that lasts. Required.
	Authorize func(*http.Request, session.Session) error
	// Cookies are the names of the portal's own cookies, which no session gets to
	// see or to set. Nil is none.
	Cookies []string
	// Absent answers a request for a session that it may enter and that does not run,
	// such as with a page of the portal's that offers to resume it. It gets what the
	// session's pages ask for by themselves, too. The request is as it came, but its
	// body may have been read; the answer is not kept by a browser unless Absent says
	// so. It is called from several goroutines. Nil is the handler's own answer.
	Absent func(http.ResponseWriter, *http.Request, session.Session)
	// Logger is told of requests, by session and path, and of failures; never of a
	// query, a cookie or a header. Nil discards.
	Logger *slog.Logger
}

// New returns a Handler for the sessions of m. It calls nothing; its error is
// [session.ErrInvalid] and names every problem.
func New(m *session.Manager, c Config) (*Handler, error) {
	var problems []error
	if m == nil {
		problems = append(problems, errors.New("the manager is nil"))
	}
	if c.Authorize == nil {
		problems = append(problems, errors.New("nothing says who may enter which session: want Authorize"))
	}
	u, err := mount(c.URL)
	problems = append(problems, err)
	for _, name := range c.Cookies {
		if _, err := http.ParseCookie(name + "="); err != nil || strings.ContainsAny(name, "=;") {
			problems = append(problems, fmt.Errorf("cookie %.40q: want the name of a cookie", name))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("proxy: new: %w: %w", session.ErrInvalid, err)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Handler{
		manager: m, authorize: c.Authorize, away: c.Absent, log: c.Logger,
		scheme: u.Scheme, host: u.Host, path: u.Path, private: slices.Clone(c.Cookies),
		origins: http.NewCrossOriginProtection(),
	}
	if err := h.origins.AddTrustedOrigin(h.origin()); err != nil {
		return nil, fmt.Errorf("proxy: new: %w: %w", session.ErrInvalid, err)
	}
	h.transport = &http.Transport{
		DialContext: h.dial, DisableCompression: true,
		MaxIdleConnsPerHost: idlePerSession, IdleConnTimeout: idleFor,
	}
	return h, nil
}

const (
	// idlePerSession and idleFor are how many connections to a session are kept for
	// the next requests, and how long. A browser opens six to one server.
	idlePerSession = 6
	idleFor        = time.Minute
)

// mount reads where a handler is mounted. The path of the result has no slash at
// its end.
func mount(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery ||
		u.Fragment != "" || strings.ContainsAny(u.EscapedPath(), "%;\\") || path.Clean("/"+u.Path) != "/"+strings.Trim(u.Path, "/") {
		return nil, fmt.Errorf("url %.80q: want where the handler is mounted, such as https://portal.example.com/sessions/", text)
	}
	u.Host = strings.ToLower(u.Host)
	if port := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]; strings.HasSuffix(u.Host, port) { // browsers leave it out
		u.Host = strings.TrimSuffix(u.Host, port)
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}
