package image_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/atelier-go/atelier/image"
)

// ecrWire is an AWS configuration whose calls are answered over HTTP by do.
func ecrWire(do roundTrip) aws.Config {
	return aws.Config{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "fake", ""),
		HTTPClient: &http.Client{Transport: do}, RetryMaxAttempts: 1,
	}
}

func awsJSON(r *http.Request, status int, body string) *http.Response {
	a := answer(r, status, body)
	a.Header.Set("Content-Type", "application/x-amz-json-1.1")
	return a
}

// TestRouting proves which host is asked about a reference: ECR's API in the
// registry's own region, or the registry itself.
func TestRouting(t *testing.T) {
	for name, want := range map[string]string{
		"123456789012.dkr.ecr.us-east-1.amazonaws.com/ide:1":         "api.ecr.us-east-1.amazonaws.com 123456789012",
		"210987654321.dkr.ecr.eu-west-3.amazonaws.com/ide:1":         "api.ecr.eu-west-3.amazonaws.com 210987654321",
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/ide:1":     "api.ecr.cn-north-1.amazonaws.com.cn 123456789012",
		"123456789012.dkr.ecr-fips.us-west-2.amazonaws.com/ide:1":    "api.ecr-fips.us-west-2.amazonaws.com 123456789012",
		"123456789012.dkr-ecr.us-west-2.on.aws/ide:1":                "ecr.us-west-2.api.aws 123456789012",
		"public.ecr.aws/docker/library/r-base:4":                     "public.ecr.aws",
		"ubuntu":                                                     "registry-1.docker.io",
		"ghcr.io/a/b:c":                                              "ghcr.io",
		"12345.dkr.ecr.us-east-1.amazonaws.com/ide:1":                "12345.dkr.ecr.us-east-1.amazonaws.com",
		"123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.test/a:1": "123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.test",
		"x.123456789012.dkr.ecr.us-east-1.amazonaws.com/ide:1":       "x.123456789012.dkr.ecr.us-east-1.amazonaws.com",
	} {
		got := ""
		client := image.NewFromConfig(ecrWire(func(r *http.Request) (*http.Response, error) {
			got = r.URL.Host
			if r.Method == http.MethodPost {
				var in struct {
					RegistryID         string   `json:"registryId"`
					AcceptedMediaTypes []string `json:"acceptedMediaTypes"`
				}
				if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
					t.Error(err)
				}
				got += " " + in.RegistryID
				if len(in.AcceptedMediaTypes) != 4 {
					t.Errorf("accepts %q, want OCI's and Docker's manifests and indexes", in.AcceptedMediaTypes)
				}
			}
			return awsJSON(r, http.StatusNotFound, `{}`), nil
		}), image.Config{})
		resolve(t, client, name)
		if got != want {
			t.Errorf("%s: asked %q, want %q", name, got, want)
		}
	}
	t.Run("without ECR", func(t *testing.T) {
		got := ""
		client := image.New(nil, image.Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			got = r.URL.String()
			return answer(r, http.StatusNotFound, ""), nil
		})})
		resolve(t, client, ecrRegistry+"/ide:1")
		if want := "https://" + ecrRegistry + "/v2/ide/manifests/1"; got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
	})
}

// TestECRErrors holds the table of ECR's codes.
func TestECRErrors(t *testing.T) {
	type response struct {
		status int
		body   string
	}
	code := func(status int, code string) response {
		return response{status, fmt.Sprintf(`{"__type":%q,"message":"told"}`, code)}
	}
	failure := func(code string) response {
		return response{200, fmt.Sprintf(`{"failures":[{"failureCode":%q,"failureReason":"told","imageId":{"imageTag":"1"}}],"images":[]}`, code)}
	}
	_, manifest := single(t, "linux", "amd64", 1)
	found := func(mediaType, digest, body string) response {
		text, err := json.Marshal(map[string]any{"images": []any{map[string]any{
			"imageId": map[string]string{"imageDigest": digest}, "imageManifest": body, "imageManifestMediaType": mediaType,
		}}})
		if err != nil {
			t.Fatal(err)
		}
		return response{200, string(text)}
	}
	for _, c := range []struct {
		response
		want image.Kind
	}{
		{code(400, "RepositoryNotFoundException"), image.ErrNoRepository},
		{code(400, "InvalidParameterException"), image.ErrInvalid},
		{code(400, "ValidationException"), image.ErrInvalid},
		{code(400, "AccessDeniedException"), image.ErrDenied},
		{code(400, "UnrecognizedClientException"), image.ErrDenied},
		{code(400, "ExpiredTokenException"), image.ErrDenied},
		{code(400, "UnableToGetUpstreamImageException"), image.ErrDenied},
		{code(400, "ThrottlingException"), image.ErrThrottled},
		{code(400, "LimitExceededException"), image.ErrThrottled},
		{code(500, "ServerException"), image.ErrUnavailable},
		{code(503, "SomethingNew"), image.ErrUnavailable},
		{code(403, "SomethingNew"), image.ErrDenied},
		{failure("ImageNotFound"), image.ErrNotFound},
		{failure("InvalidImageTag"), image.ErrInvalid},
		{failure("UpstreamAccessDenied"), image.ErrDenied},
		{failure("KmsError"), image.ErrDenied},
		{failure("UpstreamTooManyRequests"), image.ErrThrottled},
		{failure("UpstreamUnavailable"), image.ErrUnavailable},
		{failure("SomethingNew"), image.ErrUnavailable},
		{response{200, `{}`}, image.ErrUnavailable},
		{response{200, `{"images":[{}]}`}, image.ErrUnavailable},
		{found(ocispec.MediaTypeImageManifest, "", string(manifest.body)), image.ErrUnavailable},
		{found(ocispec.MediaTypeImageManifest, digestA, string(manifest.body)), image.ErrUnavailable},
		{found("text/plain", manifest.descriptor().Digest.String(), string(manifest.body)), image.ErrInvalid},
	} {
		t.Run(c.body, func(t *testing.T) {
			client := image.NewFromConfig(ecrWire(func(r *http.Request) (*http.Response, error) {
				return awsJSON(r, c.status, c.body), nil
			}), image.Config{})
			_, err := resolve(t, client, ecrRegistry+"/ide:1")
			if e, ok := errors.AsType[*image.Error](err); !ok || e.Kind != c.want {
				t.Errorf("%v, want %s", err, c.want)
			}
			if strings.Contains(c.body, "told") && !strings.Contains(err.Error(), "told") {
				t.Errorf("%v: does not say what ECR said", err)
			}
		})
	}
}

// TestECRTampering proves that what ECR and its storage answer is checked, and
// that a signed address is in no error.
func TestECRTampering(t *testing.T) {
	config, manifest := single(t, "linux", "amd64", 1)
	_, other := single(t, "linux", "amd64", 2)
	child := manifest.descriptor()
	child.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	index := document(t, ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: []ocispec.Descriptor{child}})
	type held struct {
		claimed blob // whose digest ECR claims
		blob
	}
	intact := func(r *http.Request) (*http.Response, error) { return answer(r, 200, string(config.body)), nil }
	for name, c := range map[string]struct {
		reference string
		batches   []held
		storage   roundTrip
		good      bool
	}{
		"good":                                  {reference: ":1", batches: []held{{manifest, manifest}}, storage: intact, good: true},
		"good by digest":                        {reference: "@" + child.Digest.String(), batches: []held{{manifest, manifest}}, storage: intact, good: true},
		"good index":                            {reference: ":1", batches: []held{{index, index}, {manifest, manifest}}, good: true},
		"another manifest than its digest says": {reference: ":1", batches: []held{{other, manifest}}, storage: intact},
		"another manifest than asked":           {reference: "@" + digestA, batches: []held{{manifest, manifest}}, storage: intact},
		"another child than its digest says":    {reference: ":1", batches: []held{{index, index}, {manifest, other}}},
		"another child than asked":              {reference: ":1", batches: []held{{index, index}, {other, other}}},
		"another configuration": {reference: ":1", batches: []held{{manifest, manifest}}, storage: func(r *http.Request) (*http.Response, error) {
			return answer(r, 200, strings.ReplaceAll(string(config.body), "amd64", "arm64")), nil
		}},
		"configuration denied": {reference: ":1", batches: []held{{manifest, manifest}}, storage: func(r *http.Request) (*http.Response, error) {
			return answer(r, 403, "<Error/>"), nil
		}},
		"configuration out of reach": {reference: ":1", batches: []held{{manifest, manifest}}, storage: func(*http.Request) (*http.Response, error) {
			return nil, io.ErrClosedPipe
		}},
	} {
		t.Run(name, func(t *testing.T) {
			batches := c.batches
			client := image.NewFromConfig(ecrWire(func(r *http.Request) (*http.Response, error) {
				if r.URL.Host == "storage.test" {
					return c.storage(r)
				}
				if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetDownloadUrlForLayer") {
					return awsJSON(r, 200, `{"downloadUrl":"https://storage.test/x?Signature=sesame"}`), nil
				}
				h := batches[0]
				batches = batches[1:]
				text, err := json.Marshal(map[string]any{"images": []any{map[string]any{
					"imageId":       map[string]string{"imageDigest": h.claimed.descriptor().Digest.String()},
					"imageManifest": string(h.body), "imageManifestMediaType": h.mediaType,
				}}})
				return awsJSON(r, 200, string(text)), err
			}), image.Config{})
			got, err := resolve(t, client, ecrRegistry+"/ide"+c.reference)
			if (err == nil) != c.good {
				t.Errorf("Resolve = %v, %v", got, err)
			}
			if err != nil && strings.Contains(err.Error(), "sesame") {
				t.Errorf("%v: the signed address is in the error", err)
			}
		})
	}
}
