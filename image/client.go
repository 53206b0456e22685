package image

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
)

// Config says how registries are reached. The zero value reaches public
// images of every registry and, in a Client made from an [aws.Config], what
// its credentials may pull from Amazon ECR.
type Config struct {
	// Transport carries the requests to registries. Nil is the transport of
	// the AWS configuration's HTTPClient, with its proxy and certificates,
	// or else [http.DefaultTransport].
	Transport http.RoundTripper
	// Credentials returns the name and password for a registry, as it is
	// written in [Reference.Registry]; both empty is anonymous. It is called
	// when a registry asks for them, in the goroutine of Resolve, and its
	// error ends the Resolve as [ErrDenied]. Nil is always anonymous.
	Credentials func(ctx context.Context, registry string) (username, password string, err error)
}

// A Client is a [Resolver] for all registries. References to Amazon ECR's
// private registries go to the ECR API of the account's region, under the AWS
// credentials, which need [Policies].Resolve, a part of what pulling needs. All others, public.ecr.aws among them, go to the
// registry by the OCI distribution protocol. Registries on the loopback
// interface are spoken to without TLS.
//
// What fails for a moment (HTTP 5xx and 429, broken connections) is tried again
// up to five times within seven seconds, calls of ECR as the AWS configuration
// says, before it is [ErrThrottled] or [ErrUnavailable]. A request may take as
// long as the context lets it.
type Client struct {
	ecr         API // nil: ECR is a registry like others
	http        *http.Client
	credentials func(context.Context, string) (string, string, error)
}

var _ Resolver = (*Client)(nil)

// NewFromConfig returns a Client that uses cfg for Amazon ECR.
func NewFromConfig(cfg aws.Config, c Config) *Client {
	if c.Transport == nil {
		c.Transport = transportOf(cfg.HTTPClient)
	}
	return New(awsecr.NewFromConfig(cfg), c)
}

// New returns a Client that asks api about images of Amazon ECR. With a nil
// api, ECR is a registry like others, to which [Config.Credentials] must give
// the name "AWS" and a token.
func New(api API, c Config) *Client {
	return &Client{ecr: api, http: retrying(c.Transport), credentials: c.Credentials}
}

// Resolve asks the registry of ref what it stands for. A reference with a
// digest is looked up by the digest, also if it has a tag.
func (c *Client) Resolve(ctx context.Context, ref Reference) (Image, error) {
	if err := ctx.Err(); err != nil {
		return Image{}, err
	}
	if err := ref.validate(); err != nil {
		return Image{}, &Error{Op: "resolve", Reference: ref.String(), Kind: ErrInvalid, Err: err}
	}
	image, err := describe(ctx, c.source(ref), ref)
	switch {
	case err == nil:
		return image, nil
	case ctx.Err() != nil:
		return Image{}, ctx.Err()
	}
	return Image{}, failed("resolve", ref.String(), err)
}

// failed makes the package's error of a failure inside.
func failed(op, reference string, err error) error {
	kind := ErrUnavailable
	if f, ok := errors.AsType[*failure](err); ok {
		kind, err = f.kind, f.err
	}
	return &Error{Op: op, Reference: reference, Kind: kind, Err: err}
}

// source chooses how a reference's registry is asked.
func (c *Client) source(ref Reference) source {
	if host, ok := parseECRHost(ref.Registry); ok && c.ecr != nil {
		return &ecrRepository{api: c.ecr, http: c.http, host: host}
	}
	return newOCIRepository(c.http, c.credentials, ref)
}

// transportOf makes the AWS configuration's way to the network usable for
// registries.
func transportOf(client aws.HTTPClient) http.RoundTripper {
	switch client := client.(type) {
	case nil:
		return nil
	case *http.Client:
		return client.Transport
	case interface{ GetTransport() *http.Transport }: // the SDK's BuildableClient
		return client.GetTransport()
	default:
		return doer{client}
	}
}

type doer struct{ client aws.HTTPClient }

func (d doer) RoundTrip(r *http.Request) (*http.Response, error) { return d.client.Do(r) }
