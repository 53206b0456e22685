// Package credentials gives sessions the AWS credentials of their role: an
// [http.Handler] that the caller's program mounts at
// [session.Config.CredentialsURL].
//
//	m, err := session.New(d, l, session.Config{CredentialsURL: "https://portal.example.com/credentials"})
//	h, err := credentials.NewFromConfig(cfg, m, credentials.Config{})
//	mux.Handle("/credentials", h)
//
// It speaks the protocol of a container credential provider, so that the SDKs
// and the CLI in a session find it by themselves, through what its container
// has of [launcher.Role]:
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html.
// A GET with the session's token as the header Authorization is answered with
// AccessKeyId, SecretAccessKey, Token and Expiration of an AssumeRole for that
// session alone.
//
// # What has to be set up
//
// The program's own credentials need sts:AssumeRole and sts:TagSession on each
// role that a policy of the domain lists, and the role's trust policy has to
// allow them both. Sessions must reach the URL from their hosts' network.
//
// # The end of a session
//
// A token works while its generation may live, and never after. Credentials
// that were given out before work on until they expire, for AWS has no way to
// take them back alone; Config.Duration bounds that. An administrator who
// cannot wait denies the role what has a tag atelier:session of that value, or
// everything from before a time (aws:TokenIssueTime):
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html.
//
// # Answers
//
// Errors are JSON with code and message, which the SDKs show. They ask again by
// themselves after 429 and after 500, 502, 503 and 504, and give up at once
// after the others (aws-sdk-go-v2, package endpointcreds and
// aws/retry.DefaultRetryableHTTPStatusCodes).
//
//	400  the request has a body, or AWS refuses what it is asked: an administrator's turn
//	401  no token, or one of no session
//	403  the session has ended, or the role may not be assumed
//	404  another path
//	405  another method than GET
//	429  AWS is asked too often
//	500  the program's own credentials are refused: an administrator's turn
//	503  the store or AWS does not answer; the session's launch is not recorded yet
package credentials

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/atelier-go/atelier/session"
)

// API is the part of AWS STS that is used.
type API interface {
	AssumeRole(context.Context, *awssts.AssumeRoleInput, ...func(*awssts.Options)) (*awssts.AssumeRoleOutput, error)
}

var _ API = (*awssts.Client)(nil)

// Config changes how a Handler works. The zero value is right.
type Config struct {
	// Duration is how long credentials last, in whole seconds: 15 minutes, the
	// least that STS gives, to 1 hour, the most it gives to a program that
	// acts as a role itself, as on EC2
	// (https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html).
	// Zero is 1 hour. The SDKs ask for new ones five minutes before the end.
	Duration time.Duration
	// Policy returns a session policy, as JSON, of at most 2,048 characters:
	// what the session may do is what both it and the role allow. An empty one
	// is none. It is called once for each AssumeRole, from several goroutines,
	// and its error is the program's own failure. Nil is none.
	Policy func(context.Context, session.Principal) (string, error)
	// Path is the path at which requests arrive. Empty is that of
	// [session.Config.CredentialsURL], which is right unless something on the
	// way to the handler changes paths, such as [net/http.StripPrefix].
	Path string
	// Logger is told of credentials given and of failures, never of a token
	// or a key. Nil discards.
	Logger *slog.Logger
}

// The bounds of Config.Duration.
const (
	minDuration = 15 * time.Minute
	maxDuration = time.Hour
)

// NewFromConfig returns a Handler for the sessions of m that assumes roles with
// the credentials of cfg. It calls nothing; its error is [session.ErrInvalid].
func NewFromConfig(cfg aws.Config, m *session.Manager, c Config) (*Handler, error) {
	return New(awssts.NewFromConfig(cfg), m, c)
}

// New returns a Handler that calls the given API. It calls nothing; its error
// is [session.ErrInvalid] and names every problem: a manager without
// [session.Config.CredentialsURL] is one.
func New(api API, m *session.Manager, c Config) (*Handler, error) {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if api == nil {
		bad("the STS API is nil")
	}
	switch {
	case m == nil:
		bad("the manager is nil")
	case m.CredentialsURL() == "":
		bad("the manager has no CredentialsURL in its Config, so no session would ask")
	case c.Path == "":
		u, err := url.Parse(m.CredentialsURL())
		if err != nil { // its Config was validated
			bad("the manager's CredentialsURL: %w", err)
			break
		}
		c.Path = u.Path
	}
	switch {
	case c.Duration == 0:
		c.Duration = maxDuration
	case c.Duration < minDuration || c.Duration > maxDuration || c.Duration%time.Second != 0:
		bad("duration %v: want whole seconds from %v to %v, or zero for the longest", c.Duration, minDuration, maxDuration)
	}
	if problems != nil {
		return nil, fmt.Errorf("credentials: new: %w: %w", session.ErrInvalid, errors.Join(problems...))
	}
	if c.Path == "" {
		c.Path = "/" // a URL without a path
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Handler{api: api, manager: m, cfg: c, log: c.Logger}, nil
}
