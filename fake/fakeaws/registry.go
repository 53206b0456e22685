package fakeaws

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/registry"

	"github.com/atelier-go/atelier/internal/pace"
)

// Registry returns what carries requests to every image registry there is, in
// memory: it answers by the OCI distribution protocol, version 1.1, for what
// was pushed with [Cloud.PushImage]. The HTTP client of [Cloud.Config] is made
// of it. Like that config it fails after a [Cloud.Crash].
//
// It can be read from (GET and HEAD of manifests and configurations), asks for
// a token where [Cloud.ProtectRepository] says so, and always at Amazon ECR,
// whose tokens are not modelled. Its calls take [Delays.Call], are in
// [Cloud.Calls] and struck by faults as "registry:Ping", "registry:GetToken",
// "registry:GetManifest" and "registry:GetBlob"; the subject is the reference.
// It serves no other part of AWS: requests to their hosts are refused.
func (c *Cloud) Registry() http.RoundTripper {
	c.mu.Lock()
	defer c.mu.Unlock()
	return registryTransport{&process{cloud: c, life: c.life}}
}

// What registries are asked, as the actions name it.
const (
	pingAction     = "Ping"
	tokenAction    = "GetToken"
	manifestAction = "GetManifest"
	blobAction     = "GetBlob"
)

// registryTransport is a process's way to the registries.
type registryTransport struct{ process *process }

// RoundTrip implements http.RoundTripper.
func (t registryTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }()
	}
	c := t.process.cloud
	action, ref, ok := c.registryRequest(r)
	if !ok {
		return nil, fmt.Errorf("fakeaws: refused to send a request to %s", r.URL.Host)
	}
	if err := pace.Sleep(r.Context(), c.delays.Call); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case t.process.life.Err() != nil:
		return nil, ErrCrashed
	case c.closed:
		return nil, ErrClosed
	}
	subject := ref.Registry
	if ref.Repository != "" {
		subject = ref.String()
	}
	at := c.arrive("registry:"+action, subject)
	entry := len(c.journal)
	c.journal = append(c.journal, at.Call)
	out := &reply{header: http.Header{}}
	err := c.serveRegistry(at, action, ref, r, out)
	c.journal[entry].Code = codeOf(err)
	var refusal *answerError
	switch {
	case errors.As(err, &refusal):
		out.refuse(refusal)
	case err != nil:
		return nil, err
	}
	return out.response(r), nil
}

// registryRequest reads what a request is for. It is false for what no
// registry serves: hosts of AWS other than those of ECR's registries and their
// storage.
func (c *Cloud) registryRequest(r *http.Request) (action string, ref registry.Reference, ok bool) {
	host := r.URL.Host
	switch host {
	case c.ecrStorage():
		path := strings.TrimPrefix(r.URL.Path, "/")
		i := strings.LastIndexByte(path, '/')
		return blobAction, registry.Reference{Registry: c.ecrRegistry(), Repository: path[:max(i, 0)], Reference: path[i+1:]}, true
	case "registry-1.docker.io": // where Docker Hub's registry is
		host = "docker.io"
	}
	for _, suffix := range []string{".amazonaws.com", ".amazonaws.com.cn", ".api.aws"} {
		if strings.HasSuffix(host, suffix) && !isECRHost(host) {
			return "", ref, false
		}
	}
	ref.Registry = host
	if r.URL.Path == "/token" {
		return tokenAction, ref, true
	}
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	parts := strings.Split(path, "/")
	if n := len(parts); n >= 3 {
		ref.Repository, ref.Reference = strings.Join(parts[:n-2], "/"), parts[n-1]
		switch parts[n-2] {
		case "manifests":
			return manifestAction, ref, true
		case "blobs":
			return blobAction, ref, true
		}
	}
	return pingAction, registry.Reference{Registry: host}, true
}

// serveRegistry answers a request; c.mu is held.
func (c *Cloud) serveRegistry(at call, action string, ref registry.Reference, r *http.Request, out *reply) error {
	if fault := c.strike(at); fault != nil {
		c.injected++
		if fault.Crash {
			c.crash()
			return ErrCrashed
		}
		return fault.error()
	}
	for _, pattern := range c.deny {
		if pattern.MatchString(at.Action) {
			return refuse(http.StatusForbidden, "DENIED", "requested access to the resource is denied")
		}
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return refuse(http.StatusMethodNotAllowed, "UNSUPPORTED", "the operation is unsupported")
	}
	if r.URL.Host == c.ecrStorage() {
		return c.serveStorage(ref, r, out)
	}
	if action == tokenAction {
		return c.serveToken(ref, r, out)
	}
	if err := c.authorise(ref, r, out); err != nil {
		return err
	}
	out.header.Set("Docker-Distribution-Api-Version", "registry/2.0")
	switch action {
	case manifestAction:
		d, repository := c.images.find(ref)
		if repository == nil {
			return refuse(http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
		}
		m, ok := repository.manifest(d)
		if !ok {
			return refuse(http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		}
		out.content(m)
	case blobAction:
		repository := c.images.repositories[repositoryName(ref)]
		if repository == nil {
			return refuse(http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
		}
		blob, ok := repository.configs[digest.Digest(ref.Reference)]
		if !ok {
			return refuse(http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry")
		}
		out.content(content{"application/octet-stream", blob.body})
	default:
		if path := strings.TrimSuffix(r.URL.Path, "/"); path != "/v2" {
			return refuse(http.StatusNotFound, "UNSUPPORTED", "the operation is unsupported")
		}
	}
	return nil
}

// authorise lets a request pass, or challenges it as registries do.
func (c *Cloud) authorise(ref registry.Reference, r *http.Request, out *reply) error {
	if isECRHost(ref.Registry) {
		if username, password, ok := r.BasicAuth(); ok && ref.Registry == c.ecrRegistry() && c.ecrLogin(username, password) {
			return nil
		}
		out.header.Set("Www-Authenticate", fmt.Sprintf(`Basic realm="https://%s/",service="ecr.amazonaws.com"`, ref.Registry))
		return refuse(http.StatusUnauthorized, "DENIED", "Not Authorized")
	}
	login, protected := c.images.logins[repositoryName(ref)]
	authorization := r.Header.Get("Authorization")
	switch {
	case !protected || authorization == "Bearer "+c.pullToken(ref, login):
		return nil
	case authorization == "Bearer "+anonymousToken || authorization == "":
		out.header.Set("Www-Authenticate", fmt.Sprintf(`Bearer realm="%s://%s/token",service="%s",scope="repository:%s:pull"`,
			r.URL.Scheme, r.URL.Host, r.URL.Host, ref.Repository))
		return refuse(http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	}
	return refuse(http.StatusForbidden, "DENIED", "requested access to the resource is denied")
}

// anonymousToken is given to whoever does not log in. It opens nothing that
// is protected.
const anonymousToken = "anonymous"

// pullToken opens one protected repository.
func (c *Cloud) pullToken(ref registry.Reference, l login) string {
	return fmt.Sprintf("%016x", c.hash("token", repositoryName(ref), l.username, l.password))
}

// serveToken follows https://distribution.github.io/distribution/spec/auth/token/.
func (c *Cloud) serveToken(ref registry.Reference, r *http.Request, out *reply) error {
	token := anonymousToken
	if username, password, ok := r.BasicAuth(); ok {
		scope := strings.Split(r.URL.Query().Get("scope"), ":")
		if len(scope) != 3 || scope[0] != "repository" {
			return refuse(http.StatusBadRequest, "UNSUPPORTED", "want a scope such as repository:name:pull")
		}
		ref.Repository = scope[1]
		want, protected := c.images.logins[repositoryName(ref)]
		if protected && want != (login{username, password}) {
			return refuse(http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
		}
		token = c.pullToken(ref, want)
	}
	out.content(encode("application/json", map[string]string{"token": token}))
	return nil
}

// serveStorage answers for the bucket behind ECR.
func (c *Cloud) serveStorage(ref registry.Reference, r *http.Request, out *reply) error {
	if r.URL.Query().Get("X-Amz-Signature") != c.signature(ref) {
		return refuse(http.StatusForbidden, "SignatureDoesNotMatch", "the request signature does not match")
	}
	if repository := c.images.repositories[repositoryName(ref)]; repository != nil {
		if blob, ok := repository.configs[digest.Digest(ref.Reference)]; ok {
			out.content(content{"application/octet-stream", blob.body})
			return nil
		}
	}
	return refuse(http.StatusNotFound, "NoSuchKey", "the specified key does not exist")
}

// reply is a response being made. The zero status is 200.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// content replies with a document.
func (o *reply) content(c content) {
	o.body = c.body
	o.header.Set("Content-Type", c.mediaType)
	o.header.Set("Docker-Content-Digest", digest.FromBytes(c.body).String())
}

// refuse replies with an error as the distribution specification has it.
func (o *reply) refuse(e *answerError) {
	type problem struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	o.status = e.status
	o.header.Set("Content-Type", "application/json")
	o.body, _ = json.Marshal(map[string][]problem{"errors": {{e.err.ErrorCode(), e.err.ErrorMessage()}}})
}

// response finishes the reply to r.
func (o *reply) response(r *http.Request) *http.Response {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	o.header.Set("Content-Length", fmt.Sprint(len(o.body)))
	response := &http.Response{
		StatusCode: o.status, Status: fmt.Sprintf("%d %s", o.status, http.StatusText(o.status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: o.header, Body: http.NoBody, ContentLength: int64(len(o.body)), Request: r,
	}
	if r.Method != http.MethodHead {
		response.Body = io.NopCloser(bytes.NewReader(o.body))
	}
	return response
}
