package launcher

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
)

// A Role is how a workload acts in AWS. The zero value is none: the workload
// then finds no credentials there.
//
// The SDKs and the CLI in the container ask Endpoint for credentials, by the
// protocol of a container credential provider, and prove with Token that they
// may have them:
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html.
type Role struct {
	// ARN is the IAM role whose credentials Endpoint gives. It is not secret,
	// and a launcher does nothing with it.
	ARN string
	// Endpoint is the URL that is asked: https, or http on a loopback address
	// or one of those that container services of AWS use (169.254.170.2,
	// 169.254.170.23 and fd00:ec2::23), as the SDKs refuse to send a token
	// anywhere else in the clear.
	Endpoint string
	// Token is sent in the header Authorization. It is secret: it is a file
	// in the container, as Secrets are, and no part of [Workload.Digest].
	Token string `json:",omitempty"`
}

// What a workload with a Role finds in its container.
const (
	roleSecret   = "aws-token"
	roleEndpoint = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
	roleFile     = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
)

// roleVariables are what the SDKs read of the environment to find a container
// credential provider. A Role alone sets them.
func roleVariables() []string {
	return []string{roleEndpoint, roleFile, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"}
}

// Expand returns w as its container is to be made: of its Role, the token is
// the secret aws-token, which is the file /run/secrets/aws-token, and the
// environment has AWS_CONTAINER_CREDENTIALS_FULL_URI, the endpoint, and
// AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, the file. Without a Role it is w.
//
// It is what every launcher does that makes containers itself, after
// [Workload.Validate], which refuses what Expand would overwrite. It shares no
// map with w that it changes, has the same Digest, and is its own expansion.
func (w Workload) Expand() Workload {
	if w.Role == (Role{}) {
		return w
	}
	env, secrets := map[string]string{}, map[string]string{}
	maps.Copy(env, w.Env)
	maps.Copy(secrets, w.Secrets)
	env[roleEndpoint] = w.Role.Endpoint
	env[roleFile] = "/run/secrets/" + roleSecret
	secrets[roleSecret] = w.Role.Token
	w.Env, w.Secrets = env, secrets
	return w
}

// roleProblems reports everything wrong with the Role of w, and what stands in
// its way.
func (w Workload) roleProblems() (found []error) {
	for _, k := range roleVariables() {
		if _, ok := w.Env[k]; ok {
			found = append(found, fmt.Errorf("environment variable %s: is set by the workload's Role alone; leave it out", k))
		}
	}
	if _, ok := w.Secrets[roleSecret]; ok {
		found = append(found, fmt.Errorf("secret %q: is the token of the workload's Role; use another name", roleSecret))
	}
	if w.Role == (Role{}) {
		return found
	}
	if !strings.HasPrefix(w.Role.ARN, "arn:") || !strings.Contains(w.Role.ARN, ":role/") || strings.ContainsFunc(w.Role.ARN, unprintable) {
		found = append(found, fmt.Errorf("role: ARN %.80q: want one such as arn:aws:iam::123456789012:role/analysis", w.Role.ARN))
	}
	if err := checkEndpoint(w.Role.Endpoint); err != nil {
		found = append(found, fmt.Errorf("role: %w", err))
	}
	// A header's value, which SDKs refuse with a newline in it.
	if n := len(w.Role.Token); n < 1 || n > maxToken || strings.ContainsFunc(w.Role.Token, unprintable) {
		found = append(found, fmt.Errorf("role: the token has %d bytes: want 1 to %d of visible ASCII", n, maxToken))
	}
	return found
}

// maxToken is the longest token in bytes. Web servers take headers of a few
// KiB.
const maxToken = 1024

// unprintable reports whether r is anything but visible ASCII.
func unprintable(r rune) bool { return r <= ' ' || r > '~' }

// localHosts are where the SDKs send a token over http, beside loopback: the
// endpoints of Amazon ECS and of EKS,
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html.
func localHosts() []string { return []string{"169.254.170.2", "169.254.170.23", "fd00:ec2::23"} }

// checkEndpoint reports why the SDKs would not ask an endpoint, or nil.
func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	switch {
	case endpoint == "":
		return fmt.Errorf("the endpoint is empty: want the https URL of a container credential provider")
	case err != nil || u.Host == "" || u.Hostname() == "" || strings.ContainsFunc(endpoint, unprintable):
		return fmt.Errorf("endpoint %.80q: want an absolute https URL", shown(u))
	case u.User != nil || u.Fragment != "":
		return fmt.Errorf("endpoint %.80q: want no user and no fragment in it", shown(u))
	case u.Scheme == "https":
		return nil
	case u.Scheme != "http":
		return fmt.Errorf("endpoint %.80q: want https, not %.20q", shown(u), u.Scheme)
	}
	ip := net.ParseIP(u.Hostname())
	if u.Hostname() == "localhost" || ip != nil && (ip.IsLoopback() || slices.ContainsFunc(localHosts(), func(h string) bool { return ip.Equal(net.ParseIP(h)) })) {
		return nil
	}
	return fmt.Errorf("endpoint %.80q: want https; SDKs send a token over http to loopback and %s alone", shown(u), strings.Join(localHosts(), ", "))
}

// shown is a URL as it may be told: without a password. One that cannot be
// read is not told at all.
func shown(u *url.URL) string {
	if u == nil {
		return "..."
	}
	return u.Redacted()
}
