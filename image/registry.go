package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
	"oras.land/oras-go/v2/registry/remote/retry"
)

// ociRepository is a repository of an OCI registry.
type ociRepository struct{ remote *remote.Repository }

// newOCIRepository prepares to read ref's repository. Tokens are kept for the
// one Resolve it is made for.
func newOCIRepository(client *http.Client, credentials func(context.Context, string) (string, string, error), ref Reference) *ociRepository {
	repository := registry.Reference{Registry: ref.Registry, Repository: ref.Repository}
	authorised := &auth.Client{Client: client, Cache: auth.NewCache(), ClientID: "atelier"}
	if credentials != nil {
		authorised.Credential = func(ctx context.Context, _ string) (auth.Credential, error) {
			username, password, err := credentials(ctx, ref.Registry)
			if err != nil {
				return auth.EmptyCredential, &failure{ErrDenied, fmt.Errorf("credentials for %s: %w", ref.Registry, err)}
			}
			return auth.Credential{Username: username, Password: password}, nil
		}
	}
	return &ociRepository{&remote.Repository{
		Client:             strictClient{authorised},
		Reference:          repository,
		PlainHTTP:          loopback(ref.Registry),
		ManifestMediaTypes: mediaTypes(),
	}}
}

func (r *ociRepository) manifest(ctx context.Context, ref Reference) (document, error) {
	name := ref.Tag
	if ref.Pinned() {
		name = ref.Digest
	}
	d, body, err := r.remote.Manifests().FetchReference(ctx, name)
	if err != nil {
		return document{}, registryFailure(err)
	}
	defer body.Close()
	text, err := readDocument(body, d)
	if err != nil {
		return document{}, registryFailure(err)
	}
	return document{mediaType: d.MediaType, digest: d.Digest, body: text}, nil
}

func (r *ociRepository) manifests(ctx context.Context, ref Reference, digests []digest.Digest) ([]document, error) {
	documents := make([]document, len(digests))
	for n, d := range digests {
		var err error
		if documents[n], err = r.manifest(ctx, ref.WithDigest(d.String())); err != nil {
			return nil, err
		}
	}
	return documents, nil
}

func (r *ociRepository) config(ctx context.Context, _ Reference, d ocispec.Descriptor) ([]byte, error) {
	body, err := r.remote.Blobs().Fetch(ctx, d)
	if err != nil {
		return nil, registryFailure(err)
	}
	defer body.Close()
	text, err := readDocument(body, d)
	if err != nil {
		return nil, registryFailure(err)
	}
	return text, nil
}

// readDocument reads and verifies what d describes.
func readDocument(body io.Reader, d ocispec.Descriptor) ([]byte, error) {
	if d.Size > maxDocument {
		return nil, invalid("its manifest has %d bytes: want at most %d", d.Size, maxDocument)
	}
	return content.ReadAll(body, d)
}

// retrying is an HTTP client that repeats what failed for a moment, without
// jitter: the same story takes the same time.
func retrying(transport http.RoundTripper) *http.Client {
	policy := &retry.GenericPolicy{
		Retryable: retry.DefaultPredicate,
		Backoff:   retry.ExponentialBackoff(250*time.Millisecond, 2, 0),
		MinWait:   200 * time.Millisecond,
		MaxWait:   3 * time.Second,
		MaxRetry:  5,
	}
	return &http.Client{Transport: &retry.Transport{Base: transport, Policy: func() retry.Policy { return policy }}}
}

// loopback reports whether a registry is on this machine, where container
// engines expect no TLS either.
func loopback(registry string) bool {
	host, _, err := net.SplitHostPort(registry)
	if err != nil {
		host = registry
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// strictClient turns every HTTP error into an errcode.ErrorResponse, also
// where oras does not look at the body (404), and keeps the query of a URL,
// which signs it in a redirect to storage, out of errors.
type strictClient struct{ client remote.Client }

func (c strictClient) Do(request *http.Request) (*http.Response, error) {
	response, err := c.client.Do(request)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			failed.URL = withoutQuery(failed.URL)
		}
		return nil, err
	}
	if response.Request != nil {
		told := *response.Request
		told.URL = &url.URL{Scheme: told.URL.Scheme, Host: told.URL.Host, Path: told.URL.Path}
		response.Request = &told
	} else {
		response.Request = request
	}
	if response.StatusCode < http.StatusBadRequest {
		return response, nil
	}
	defer response.Body.Close()
	refusal := &errcode.ErrorResponse{
		Method: response.Request.Method, URL: response.Request.URL, StatusCode: response.StatusCode,
	}
	var body struct{ Errors errcode.Errors }
	text, err := io.ReadAll(io.LimitReader(response.Body, 8<<10))
	if err == nil && json.Unmarshal(text, &body) == nil {
		refusal.Errors = body.Errors
	}
	return nil, refusal
}

func withoutQuery(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the registry"
	}
	u.RawQuery, u.User = "", nil
	return u.String()
}

// registryKind is what the error codes of the OCI distribution specification
// (https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes)
// mean here, and those that Docker's registry adds.
func registryKind(code string) (Kind, bool) {
	switch code {
	case errcode.ErrorCodeNameUnknown:
		return ErrNoRepository, true
	case errcode.ErrorCodeManifestUnknown, errcode.ErrorCodeBlobUnknown,
		errcode.ErrorCodeManifestBlobUnknown, "NOT_FOUND":
		return ErrNotFound, true
	case errcode.ErrorCodeNameInvalid, errcode.ErrorCodeDigestInvalid,
		errcode.ErrorCodeManifestInvalid, errcode.ErrorCodeSizeInvalid, "TAG_INVALID":
		return ErrInvalid, true
	case errcode.ErrorCodeUnauthorized, errcode.ErrorCodeDenied:
		return ErrDenied, true
	case "TOOMANYREQUESTS":
		return ErrThrottled, true
	case "UNAVAILABLE":
		return ErrUnavailable, true
	}
	return "", false
}

// statusKind is what an HTTP status means without a known code beside it.
func statusKind(status int) Kind {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return ErrDenied
	case http.StatusNotFound:
		return ErrNotFound
	case http.StatusTooManyRequests:
		return ErrThrottled
	case http.StatusBadRequest, http.StatusNotAcceptable:
		return ErrInvalid
	}
	return ErrUnavailable
}

// registryFailure gives an error of oras or the network its kind.
func registryFailure(err error) error {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if errors.Is(err, auth.ErrBasicCredentialNotFound) {
		return &failure{ErrDenied, errors.New("the registry wants a name and password, and there are none")}
	}
	refusal, ok := errors.AsType[*errcode.ErrorResponse](err)
	if !ok {
		return &failure{ErrUnavailable, err}
	}
	kind := statusKind(refusal.StatusCode)
	for _, e := range refusal.Errors {
		if k, ok := registryKind(e.Code); ok {
			kind = k
			break
		}
	}
	return &failure{kind, advise(kind, err)}
}

// advise adds to a refusal what the caller can do about it.
func advise(kind Kind, err error) error {
	switch kind {
	case ErrDenied:
		return fmt.Errorf("check the name and the credentials, a registry may hide what they do not open: %w", err)
	case ErrNoRepository:
		return fmt.Errorf("the registry has no such repository: %w", err)
	case ErrNotFound:
		return fmt.Errorf("the registry has no such tag or digest there: %w", err)
	}
	return err
}
