package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/atelier-go/atelier/session"
)

// How soon it makes sense to ask again: of what changes by itself, and of what
// somebody has to change.
const (
	soon  = 2 * time.Second
	later = 30 * time.Second
)

// An answer is what the proxy says in the place of a session.
type answer struct {
	status      int
	again       time.Duration
	Session     session.ID    `json:"session,omitempty"`
	State       session.State `json:"state,omitempty"`
	Message     string        `json:"message"`
	Explanation string        `json:"explanation,omitempty"`
}

// notFound is the one answer to who asks for what is not there, or not for them.
func notFound(w http.ResponseWriter, r *http.Request) {
	answer{status: http.StatusNotFound, Message: "there is no such session, or you may not enter it"}.reply(w, r)
}

// absent answers for a session that does not run.
func (v *visit) absent(w http.ResponseWriter, r *http.Request) {
	if v.away != nil {
		w.Header().Set("Cache-Control", "no-store")
		v.away(w, r, v.s)
		return
	}
	a := answer{status: http.StatusServiceUnavailable, again: soon, Session: v.s.ID, State: v.s.State, Message: v.s.Message}
	var words string
	switch v.s.State {
	case session.Pending, session.Starting:
		words = "it is starting; it takes a moment"
	case session.Suspending:
		words = "it is being suspended; it can be resumed afterwards"
	case session.Suspended:
		a.again, words = later, "it is suspended; resume it"
	case session.Stopping:
		words = "it is being stopped"
	default:
		a.status, a.again, words = http.StatusGone, 0, "it has ended; start another"
	}
	if a.Message == "" {
		a.Message = words
	}
	if x, err := v.manager.Explain(r.Context(), v.s.ID); err == nil && x.Session.State == v.s.State {
		a.Explanation = strings.TrimSpace(x.String())
	}
	a.reply(w, r)
}

// fail answers for what went wrong, before or instead of the program's answer.
func (v *visit) fail(w http.ResponseWriter, r *http.Request, err error) {
	a := answer{status: http.StatusServiceUnavailable, again: soon, Session: v.s.ID, State: v.s.State}
	switch ctx := r.Context().Err(); {
	case errors.Is(ctx, context.Canceled):
		w.WriteHeader(session.StatusClientClosedRequest) // nobody reads it
		return
	case ctx != nil:
		a.status, a.again, a.Message = http.StatusGatewayTimeout, 0, "the request took longer than it may"
		a.reply(w, r)
		return
	case v.s.ID == "":
		a.Message = "the session cannot be looked up now; ask again in a moment"
		v.log.Warn("sessions cannot be looked up", "error", err)
		a.reply(w, r)
		return
	case errors.Is(err, session.ErrNotRunning): // it was logged
		a.Message = "the portal does not take care of sessions now; ask again in a moment, or an administrator"
		a.reply(w, r)
		return
	}
	v.log.Warn("a session does not answer", "session", v.s.ID, "generation", v.s.Generation, "request", v.use.detail, "error", err)
	if s, err := v.manager.Get(r.Context(), v.s.ID); err == nil && s.State != session.Running { // that is why
		v.s = s
		v.absent(w, r)
		return
	}
	if _, ok := errors.AsType[dialError](err); ok {
		a.Message = "it runs, and its host or program does not answer now; ask again in a moment"
	} else {
		a.status, a.again, a.Message = http.StatusBadGateway, 0, "its program broke off, or did not answer as a web server does"
	}
	a.reply(w, r)
}

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Session {{.Session}}</title>
{{with .Refresh}}<meta http-equiv="refresh" content="{{.}}">
{{end}}</head><body>
{{with .State}}<h1>{{$.Session}} is {{.}}</h1>
{{end}}<p>{{.Message}}</p>
{{with .Explanation}}<pre>{{.}}</pre>
{{end}}</body></html>
`))

// Refresh is after how many seconds a page asks again. Zero is never.
func (a answer) Refresh() int {
	if a.again != soon {
		return 0
	}
	return int(a.again / time.Second)
}

// reply writes an answer as who asks can read it.
func (a answer) reply(w http.ResponseWriter, r *http.Request) {
	var text strings.Builder
	var err error
	kind := "application/json"
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		kind = "text/html; charset=utf-8"
		err = page.Execute(&text, a)
	} else {
		err = json.NewEncoder(&text).Encode(a)
	}
	if err != nil { // of strings neither fails
		panic("proxy: " + err.Error())
	}
	head := w.Header()
	head.Set("Content-Type", kind)
	head.Set("Cache-Control", "no-store")
	head.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'self'")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Vary", "Accept")
	if a.again > 0 {
		head.Set("Retry-After", strconv.Itoa(int(a.again/time.Second)))
	}
	w.WriteHeader(a.status)
	_, _ = w.Write([]byte(text.String())) // the client may be gone
}

// buffers are what bodies are copied through.
var buffers = pool{New: func() any { return new([32 << 10]byte) }}

type pool sync.Pool

func (p *pool) Get() []byte  { return (*sync.Pool)(p).Get().(*[32 << 10]byte)[:] }
func (p *pool) Put(b []byte) { (*sync.Pool)(p).Put((*[32 << 10]byte)(b)) }
