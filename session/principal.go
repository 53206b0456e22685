package session

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/launcher"
)

// access is how one generation of a session gets credentials.
type access struct {
	URL   string
	Token string // secret
}

// access makes what a generation with this grant needs, or zero. The token
// names the session, so that it can be looked up, and the generation, and has
// 130 random bits.
func (m *Manager) access(id ID, generation int, g domain.Grant) access {
	if g.Role == "" {
		return access{}
	}
	return access{URL: m.url, Token: string(id) + "." + strconv.Itoa(generation) + "." + rand.Text()}
}

// maxToken is more than any token has: an ID, a generation and 26 characters.
const maxToken = maxID + 20 + 26

// role is what the launcher is told of the present generation's role.
func (r record) role() launcher.Role {
	if r.Grant.Role == "" {
		return launcher.Role{}
	}
	return launcher.Role{ARN: r.Grant.Role, Endpoint: r.Access.URL, Token: r.Access.Token}
}

// roleProblems reports why this manager cannot start a session of a role.
func (m *Manager) roleProblems(role string) []error {
	if role == "" || m.url != "" {
		return nil
	}
	return []error{fmt.Errorf("role %.80q: this program gives sessions no credentials; "+
		"its author has to mount the handler of package session/credentials and set Config.CredentialsURL", role)}
}

// checkCredentialsURL reports why the SDKs would not ask a URL.
func checkCredentialsURL(url string) []error {
	if url == "" {
		return nil
	}
	draft := launcher.Workload{ID: "draft", Owner: "draft", Image: "draft", Role: launcher.Role{ARN: "arn:aws:iam::123456789012:role/draft", Endpoint: url, Token: "draft"}}
	if e, ok := errors.AsType[*launcher.Error](draft.Validate()); ok {
		return []error{fmt.Errorf("credentials URL: %w", e.Err)}
	}
	return nil
}

// CredentialsURL returns that of [Config].
func (m *Manager) CredentialsURL() string { return m.url }

// A Principal is who a token for credentials stands for: one generation of a
// session, and the role as which it acts.
type Principal struct {
	// Domain is the name of the domain.
	Domain string
	// User is whose session it is.
	User string
	// Session is the session.
	Session ID
	// Generation is which of its starts.
	Generation int
	// Role is the ARN of the IAM role.
	Role string
}

// Principal returns who has a token, for the handler that gives sessions their
// role's credentials.
//
// A token is good while the container that has it may live: its session is
// starting, running, suspending or stopping, and has not been resumed since.
// The token of a session in another state is [ErrState]; any other text, and
// the token of an earlier generation, is [ErrToken], which takes as long
// however much of it is right. A session whose launch has not been recorded
// yet is [ErrUnavailable]: ask again in a moment. It needs no Run.
func (m *Manager) Principal(ctx context.Context, token string) (Principal, error) {
	const op = "look up the principal"
	wrong := &Error{Op: op, Kind: ErrToken, Err: errors.New("it belongs to no session that may have credentials")}
	name, _, _ := strings.Cut(token, ".")
	id := ID(name)
	if len(token) > maxToken || id.check() != nil {
		return Principal{}, wrong
	}
	r, err := m.find(ctx, op, id)
	if errors.Is(err, ErrNotFound) {
		return Principal{}, wrong
	}
	if err != nil {
		return Principal{}, err
	}
	if subtle.ConstantTimeCompare([]byte(r.Access.Token), []byte(token)) != 1 {
		return Principal{}, wrong
	}
	switch {
	case r.State == Pending && r.loose():
		return Principal{}, &Error{Op: op, ID: id, Kind: ErrUnavailable, Err: errors.New("its launch is not recorded yet; ask again in a moment")}
	case !r.entitled():
		return Principal{}, fail(ctx, op, id, stateError{r.State, "it has no credentials any more"})
	}
	return Principal{
		Domain: r.Grant.Domain, User: r.Grant.User.Name, Session: id, Generation: r.Generation, Role: r.Grant.Role,
	}, nil
}

// entitled reports whether the container of the present generation may live
// and act as its role.
func (r record) entitled() bool {
	switch r.State {
	case Starting, Running, Suspending, Stopping:
		return r.loose()
	}
	return false
}
