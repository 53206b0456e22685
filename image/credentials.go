package image

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
)

// TokenAPI is the part of Amazon ECR that lets container engines in. The
// credentials need [Policies].Pull.
type TokenAPI interface {
	GetAuthorizationToken(context.Context, *awsecr.GetAuthorizationTokenInput, ...func(*awsecr.Options)) (*awsecr.GetAuthorizationTokenOutput, error)
}

var _ TokenAPI = (*awsecr.Client)(nil)

// renewBefore is how long a token must still be good for when it is handed
// out: what is pulled with it may be large.
const renewBefore = time.Hour

// ECRCredentials returns a function that gives container engines the name and
// password for a registry, as launchers ask for them with each pull. For
// private registries of Amazon ECR it is a token of api's credentials, which
// opens every registry of the region that they may pull from; it lasts 12 hours
// (Amazon ECR API reference, GetAuthorizationToken) and is asked for anew when
// less than one is left. For every other registry others is asked; nil is
// anonymous.
//
// The function is safe for concurrent use and keeps tokens in memory alone. Its
// errors are an [*Error] with a [Kind], context errors are returned as they are.
func ECRCredentials(
	api TokenAPI, others func(ctx context.Context, registry string) (username, password string, err error),
) func(ctx context.Context, registry string) (username, password string, err error) {
	t := &tokens{api: api, known: map[ecrHost]token{}}
	return func(ctx context.Context, registry string) (string, string, error) {
		host, ok := parseECRHost(registry)
		switch {
		case ok:
			return t.get(ctx, registry, host)
		case others != nil:
			return others(ctx, registry)
		}
		return "", "", nil
	}
}

// tokens are those that were asked for, one for each endpoint of ECR.
type tokens struct {
	api TokenAPI

	mu    sync.Mutex
	known map[ecrHost]token
}

type token struct {
	username, password string
	expires            time.Time
}

func (t *tokens) get(ctx context.Context, registry string, host ecrHost) (string, string, error) {
	host.account = "" // a token is for all of them
	t.mu.Lock()
	known := t.known[host]
	t.mu.Unlock()
	if time.Until(known.expires) > renewBefore {
		return known.username, known.password, nil
	}
	fresh, err := t.ask(ctx, host)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return "", "", ctx.Err()
	case time.Until(known.expires) > 0: // there is time to try again
		return known.username, known.password, nil
	default:
		return "", "", failed("log in to", registry, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known[host] = fresh
	return fresh.username, fresh.password, nil
}

func (t *tokens) ask(ctx context.Context, host ecrHost) (token, error) {
	out, err := t.api.GetAuthorizationToken(ctx, &awsecr.GetAuthorizationTokenInput{}, host.options)
	if err != nil {
		return token{}, ecrFailure(err)
	}
	if len(out.AuthorizationData) == 0 {
		return token{}, unavailable("ECR's answer has no token")
	}
	data := out.AuthorizationData[0]
	text, err := base64.StdEncoding.DecodeString(aws.ToString(data.AuthorizationToken))
	username, password, ok := strings.Cut(string(text), ":")
	if err != nil || !ok {
		return token{}, unavailable("ECR's token is not a name and a password")
	}
	return token{username, password, aws.ToTime(data.ExpiresAt)}, nil
}

// String keeps a token out of logs.
func (t token) String() string { return fmt.Sprintf("token until %v", t.expires) }
