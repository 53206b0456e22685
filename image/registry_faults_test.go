package image_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/atelier-go/atelier/image"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answer is a response of a scripted registry.
func answer(r *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}
}

func TestRegistryErrors(t *testing.T) {
	coded := func(code string) string { return fmt.Sprintf(`{"errors":[{"code":%q,"message":"told"}]}`, code) }
	for _, c := range []struct {
		status int
		body   string
		want   image.Kind
	}{
		{404, coded("NAME_UNKNOWN"), image.ErrNoRepository},
		{404, coded("MANIFEST_UNKNOWN"), image.ErrNotFound},
		{404, `404 page not found`, image.ErrNotFound},
		{404, ``, image.ErrNotFound},
		{400, coded("NAME_INVALID"), image.ErrInvalid},
		{400, coded("TAG_INVALID"), image.ErrInvalid},
		{401, coded("UNAUTHORIZED"), image.ErrDenied},
		{401, `<html>`, image.ErrDenied},
		{403, coded("DENIED"), image.ErrDenied},
		{403, ``, image.ErrDenied},
		{429, coded("TOOMANYREQUESTS"), image.ErrThrottled},
		{429, `slow down`, image.ErrThrottled},
		{500, coded("SOMETHING_NEW"), image.ErrUnavailable},
		{503, coded("UNAVAILABLE"), image.ErrUnavailable},
		{418, ``, image.ErrUnavailable},
		{404, `{"errors":[{"code":"SOMETHING_NEW"},{"code":"NAME_UNKNOWN"}]}`, image.ErrNoRepository},
	} {
		t.Run(fmt.Sprint(c.status, c.body), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				attempts := 0
				client := image.New(nil, image.Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					attempts++
					return answer(r, c.status, c.body), nil
				})})
				_, err := resolve(t, client, "registry.test/a/b:c")
				if !errors.Is(err, c.want) {
					t.Errorf("%v, want %s", err, c.want)
				}
				if e, ok := errors.AsType[*image.Error](err); !ok || e.Kind != c.want {
					t.Errorf("%#v, want an *image.Error of kind %q", err, c.want)
				}
				retried := c.status == 429 || c.status >= 500
				if want := map[bool]int{false: 1, true: 6}[retried]; attempts != want {
					t.Errorf("%d attempts, want %d", attempts, want)
				}
			})
		})
	}
}

// TestRetries proves that a registry that stumbles is asked again, always
// after the same times.
func TestRetries(t *testing.T) {
	for range 3 {
		synctest.Test(t, func(t *testing.T) {
			good := independentRegistry()
			config, manifest := single(t, "linux", "amd64", 1)
			put(t, good, "a", "", config)
			put(t, good, "a", "b", manifest)
			calls := 0
			client := image.New(nil, image.Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if calls++; calls <= 3 {
					return answer(r, http.StatusServiceUnavailable, ""), nil
				}
				return good.RoundTrip(r)
			})})
			began := time.Now()
			if _, err := resolve(t, client, "registry.test/a:b"); err != nil {
				t.Fatal(err)
			}
			if got, want := time.Since(began), (250+500+1000)*time.Millisecond; got != want {
				t.Errorf("took %v, want %v", got, want)
			}
		})
	}
}

func TestContext(t *testing.T) {
	t.Run("ended before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ref, _ := image.Parse("registry.test/a:b")
		_, err := image.New(nil, image.Config{Transport: independentRegistry()}).Resolve(ctx, ref)
		if err != context.Canceled {
			t.Errorf("%v, want context.Canceled itself", err)
		}
	})
	t.Run("ended while waiting to retry", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			client := image.New(nil, image.Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				return answer(r, http.StatusBadGateway, ""), nil
			})})
			ref, _ := image.Parse("registry.test/a:b")
			began := time.Now()
			if _, err := client.Resolve(ctx, ref); err != context.DeadlineExceeded {
				t.Errorf("%v, want context.DeadlineExceeded itself", err)
			}
			if d := time.Since(began); d != 300*time.Millisecond {
				t.Errorf("returned after %v, want 300ms", d)
			}
		})
	})
}

// TestTampering proves that content is checked against its digest.
func TestTampering(t *testing.T) {
	good := independentRegistry()
	config, manifest := single(t, "linux", "amd64", 1)
	put(t, good, "a", "", config)
	put(t, good, "a", "b", manifest)
	for _, part := range []string{"/manifests/", "/blobs/"} {
		t.Run(strings.Trim(part, "/"), func(t *testing.T) {
			client := image.New(nil, image.Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				response, err := good.RoundTrip(r)
				if err == nil && strings.Contains(r.URL.Path, part) {
					text, _ := io.ReadAll(response.Body)
					response.Body = io.NopCloser(bytes.NewReader(bytes.ReplaceAll(text, []byte("linux"), []byte("minix"))))
					if part == "/manifests/" {
						response.Body = io.NopCloser(bytes.NewReader(bytes.ReplaceAll(text, []byte(`"size":1`), []byte(`"size":2`))))
					}
				}
				return response, err
			})})
			if got, err := resolve(t, client, "registry.test/a:b"); !errors.Is(err, image.ErrUnavailable) {
				t.Errorf("Resolve = %v, %v; want ErrUnavailable", got, err)
			}
		})
	}
}

// TestNoSecretInErrors proves that a signed address, where registries redirect
// to for content, is in no error.
func TestNoSecretInErrors(t *testing.T) {
	good := independentRegistry()
	config, manifest := single(t, "linux", "amd64", 1)
	put(t, good, "a", "", config)
	put(t, good, "a", "b", manifest)
	for name, storage := range map[string]roundTrip{
		"refused": func(r *http.Request) (*http.Response, error) { return answer(r, http.StatusForbidden, ""), nil },
		"broken":  func(*http.Request) (*http.Response, error) { return nil, errors.New("connection reset") },
		"short":   func(r *http.Request) (*http.Response, error) { return answer(r, http.StatusOK, "x"), nil },
		"bad digest": func(r *http.Request) (*http.Response, error) {
			a := answer(r, http.StatusOK, string(config.body))
			a.Header.Set("Docker-Content-Digest", "nonsense")
			return a, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			client := image.New(nil, image.Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				switch {
				case r.URL.Host == "storage.test":
					return storage(r)
				case strings.Contains(r.URL.Path, "/blobs/"):
					redirect := answer(r, http.StatusTemporaryRedirect, "")
					redirect.Header.Set("Location", "https://storage.test/blob?Signature=sesame")
					return redirect, nil
				}
				return good.RoundTrip(r)
			})})
			_, err := resolve(t, client, "registry.test/a:b")
			if err == nil || strings.Contains(err.Error(), "sesame") {
				t.Errorf("%v: want an error without the signature", err)
			}
		})
	}
}

// TestCredentials proves who is asked for credentials, and when.
func TestCredentials(t *testing.T) {
	good := independentRegistry()
	config, manifest := single(t, "linux", "amd64", 1)
	put(t, good, "acme/ide", "", config)
	put(t, good, "acme/ide", "1", manifest)
	private := roundTrip(func(r *http.Request) (*http.Response, error) {
		if u, p, ok := r.BasicAuth(); ok && u == "ada" && p == "sesame" {
			return good.RoundTrip(r)
		}
		a := answer(r, http.StatusUnauthorized, `{"errors":[{"code":"UNAUTHORIZED"}]}`)
		a.Header.Set("Www-Authenticate", `Basic realm="private"`)
		return a, nil
	})
	for name, c := range map[string]struct {
		credentials func(context.Context, string) (string, string, error)
		want        error
	}{
		"none":  {nil, image.ErrDenied},
		"empty": {func(context.Context, string) (string, string, error) { return "", "", nil }, image.ErrDenied},
		"wrong": {func(context.Context, string) (string, string, error) { return "ada", "guess", nil }, image.ErrDenied},
		"error": {func(context.Context, string) (string, string, error) { return "", "", io.ErrNoProgress }, io.ErrNoProgress},
		"right": {func(_ context.Context, registry string) (string, string, error) {
			if registry != "docker.io" {
				t.Errorf("asked for the credentials of %q, want docker.io", registry)
			}
			return "ada", "sesame", nil
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			client := image.New(nil, image.Config{Transport: private, Credentials: c.credentials})
			_, err := resolve(t, client, "acme/ide:1")
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if err != nil && (!errors.Is(err, image.ErrDenied) || strings.Contains(err.Error(), "guess")) {
				t.Errorf("%v: want ErrDenied without the password", err)
			}
		})
	}
}

func TestLoopbackNeedsNoTLS(t *testing.T) {
	for name, scheme := range map[string]string{
		"localhost:5000/a": "http", "127.0.0.1:5000/a": "http", "[::1]:5000/a": "http", "localhost/a": "http",
		"ghcr.io/a": "https", "localhost.example.com/a": "https", "10.0.0.1:5000/a": "https", "ubuntu": "https",
	} {
		var got string
		client := image.New(nil, image.Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			got = r.URL.Scheme
			return answer(r, http.StatusNotFound, ""), nil
		})})
		resolve(t, client, name)
		if got != scheme {
			t.Errorf("%s is asked over %q, want %s", name, got, scheme)
		}
	}
}

// FuzzResolve holds that no answer of a registry, whatever it claims, makes
// Resolve panic or return what makes no sense.
func FuzzResolve(f *testing.F) {
	f.Add(ocispec.MediaTypeImageManifest, []byte(`{"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[{"size":9223372036854775807},{"size":1}]}`), []byte(`{}`))
	f.Add(ocispec.MediaTypeImageManifest, []byte(`{"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:`+strings.Repeat("0", 64)+`","size":-1}}`), []byte(`{"os":"linux","architecture":"amd64"}`))
	f.Add(ocispec.MediaTypeImageIndex, []byte(`{"manifests":[{"platform":{"os":"linux","architecture":"amd64"}},{"mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"os":"linux","architecture":"amd64"},"digest":"../../x"}]}`), []byte(`null`))
	f.Add("text/plain; x", []byte(`[]`), []byte(``))
	f.Fuzz(func(t *testing.T, mediaType string, manifest, config []byte) {
		client := image.New(nil, image.Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if strings.Contains(r.URL.Path, "/blobs/") {
				return answer(r, http.StatusOK, string(config)), nil
			}
			a := answer(r, http.StatusOK, string(manifest))
			a.Header.Set("Content-Type", mediaType)
			return a, nil
		})})
		i, err := client.Resolve(t.Context(), image.Reference{Registry: "registry.test", Repository: "a", Tag: "b"})
		if _, ok := errors.AsType[*image.Error](err); err != nil && !ok {
			t.Fatalf("%v: want an *image.Error", err)
		}
		if err == nil && (i.Reference.Digest != digest.FromBytes(manifest).String() || len(i.Platforms) == 0 || i.Size < 0) {
			t.Fatalf("Resolve = %+v", i)
		}
	})
}
