package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/atelier-go/atelier/session"
)

// A Handler answers sessions that ask for credentials. Make it with [New] or
// [NewFromConfig]. It is safe for concurrent use, and any number of processes
// may serve the sessions of one domain. It has no goroutine but for requests
// that are being answered.
type Handler struct {
	api     API
	manager *session.Manager
	cfg     Config
	log     *slog.Logger
	cache   cache
}

var _ http.Handler = (*Handler)(nil)

// answer is what SDKs read of credentials.
type answer struct {
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	Token           string
	Expiration      string // RFC 3339
}

// refusal is what SDKs read of an error.
type refusal struct {
	status  int
	Code    string `json:"code"`
	Message string `json:"message"`
	// err is the cause, for the log alone.
	err error
}

func (r *refusal) Error() string { return r.Message }

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	who, c, err := h.serve(r)
	if r.Context().Err() != nil {
		return // nobody reads it
	}
	if err == nil {
		h.log.Debug("credentials given", "session", who.Session, "generation", who.Generation, "role", who.Role, "expire", c.expires)
		reply(w, http.StatusOK, answer{
			AccessKeyID: c.accessKeyID, SecretAccessKey: c.secretAccessKey, Token: c.sessionToken,
			Expiration: c.expires.UTC().Format(time.RFC3339),
		})
		return
	}
	no := refusalOf(err)
	level := slog.LevelDebug // what anybody can bring about
	if who.Session != "" {
		level = slog.LevelWarn
	}
	h.log.Log(r.Context(), level, "credentials refused", "session", who.Session, "generation", who.Generation, "role", who.Role,
		"status", no.status, "code", no.Code, "error", no.err)
	switch no.status {
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodGet)
	case http.StatusUnauthorized: // RFC 9110 wants a scheme; this protocol has none
		w.Header().Set("WWW-Authenticate", "Container-Authorization-Token")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	reply(w, no.status, no)
}

// serve finds who asks and what they get. The principal is zero as long as it
// is not known.
func (h *Handler) serve(r *http.Request) (who session.Principal, c credentials, err error) {
	path := r.URL.Path
	if path == "" {
		path = "/"
	}
	tokens := r.Header.Values("Authorization")
	switch {
	case path != h.cfg.Path:
		err = &refusal{status: http.StatusNotFound, Code: "NotFound", Message: "credentials are not given here; leave AWS_CONTAINER_CREDENTIALS_FULL_URI as it is"}
	case r.Method != http.MethodGet:
		err = &refusal{status: http.StatusMethodNotAllowed, Code: "MethodNotAllowed", Message: "want GET"}
	case r.ContentLength != 0:
		err = &refusal{status: http.StatusBadRequest, Code: "BadRequest", Message: "want a request without a body"}
	case len(tokens) != 1 || tokens[0] == "":
		err = &refusal{status: http.StatusUnauthorized, Code: "Unauthorized", Message: "want the session's token as the one header Authorization"}
	}
	if err != nil {
		return who, c, err
	}
	if who, err = h.manager.Principal(r.Context(), tokens[0]); err != nil {
		return session.Principal{}, c, err
	}
	c, err = h.cache.get(r.Context(), tokens[0], func(ctx context.Context) (credentials, error) {
		c, err := h.assume(ctx, who)
		if err != nil {
			return c, err
		}
		_, err = h.manager.Principal(ctx, tokens[0]) // it may have ended meanwhile
		return c, err
	})
	return who, c, err
}

// reply writes JSON that nobody keeps. The type is exactly the one by which the
// SDK for Go tells errors it can read.
func reply(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil { // strings always marshal
		panic("credentials: " + err.Error())
	}
	head := w.Header()
	head.Set("Content-Type", "application/json")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client may be gone
}

// refusalOf is what a failure is to the session.
func refusalOf(err error) *refusal {
	if no, ok := errors.AsType[*refusal](err); ok {
		return no
	}
	for _, k := range []struct {
		kind    error
		status  int
		code    string
		message string
	}{
		{session.ErrToken, http.StatusUnauthorized, "Unauthorized", "the token is not, or not any more, that of a session of this domain; start or resume the session"},
		{session.ErrState, http.StatusForbidden, "SessionEnded", "the session has ended or is suspended, and has no credentials any more; resume it or start another"},
	} {
		if errors.Is(err, k.kind) {
			return &refusal{status: k.status, Code: k.code, Message: k.message, err: err}
		}
	}
	return &refusal{
		status: http.StatusServiceUnavailable, Code: "ServiceUnavailable", err: err,
		Message: "the session cannot be looked up now; ask again in a moment",
	}
}
