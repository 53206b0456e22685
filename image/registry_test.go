package image_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/atelier-go/atelier/image"
)

// handlerTransport answers requests by a handler in the same goroutine.
type handlerTransport struct{ http.Handler }

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	h.ServeHTTP(w, in)
	response := w.Result()
	response.Request = r
	return response, nil
}

// independentRegistry is a registry that is not ours.
func independentRegistry() http.RoundTripper {
	return handlerTransport{registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
}

// blob is content with what a registry has to be told of it.
type blob struct {
	mediaType string
	body      []byte
}

func (b blob) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: b.mediaType, Digest: digest.FromBytes(b.body), Size: int64(len(b.body))}
}

func document(t *testing.T, mediaType string, v any) blob {
	t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return blob{mediaType, body}
}

// single makes the configuration and manifest of an image for one platform
// with one layer of the given size.
func single(t *testing.T, os, arch string, layer int64) (config, manifest blob) {
	t.Helper()
	config = document(t, ocispec.MediaTypeImageConfig, ocispec.Image{Platform: ocispec.Platform{OS: os, Architecture: arch}})
	manifest = document(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config.descriptor(),
		Layers: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString(os + arch), Size: layer}},
	})
	return config, manifest
}

// put uploads to a registry by the distribution protocol.
func put(t *testing.T, transport http.RoundTripper, repository, name string, b blob) {
	t.Helper()
	target := fmt.Sprintf("https://registry.test/v2/%s/manifests/%s", repository, name)
	method := http.MethodPut
	if name == "" {
		target = fmt.Sprintf("https://registry.test/v2/%s/blobs/uploads/?digest=%s", repository, b.descriptor().Digest)
		method = http.MethodPost
	}
	request, err := http.NewRequest(method, target, bytes.NewReader(b.body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", b.mediaType)
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("%s %s: %s", method, target, response.Status)
	}
}

func resolve(t *testing.T, c *image.Client, name string) (image.Image, error) {
	t.Helper()
	ref, err := image.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return c.Resolve(t.Context(), ref)
}

func TestResolve(t *testing.T) {
	transport := independentRegistry()
	client := image.New(nil, image.Config{Transport: transport})

	amdConfig, amd := single(t, "linux", "amd64", 1000)
	armConfig, arm := single(t, "linux", "arm64", 5000)
	winConfig, win := single(t, "windows", "amd64", 90000)
	_, attestation := single(t, "unknown", "unknown", 1)
	chart := document(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		Config:    ocispec.Descriptor{MediaType: "application/vnd.cncf.helm.config.v1+json", Digest: amdConfig.descriptor().Digest, Size: 2},
	})
	on := func(b blob, os, arch, variant string) ocispec.Descriptor {
		d := b.descriptor()
		d.Platform = &ocispec.Platform{OS: os, Architecture: arch, Variant: variant}
		return d
	}
	index := document(t, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		Manifests: []ocispec.Descriptor{
			on(win, "windows", "amd64", ""), on(arm, "linux", "arm64", "v8"), on(amd, "linux", "amd64", ""),
			on(win, "linux", "arm", "v7"), on(win, "linux", "arm", "v6"), on(attestation, "unknown", "unknown", ""), chart.descriptor(),
		},
	})
	list := index
	list.mediaType = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerAMD := amd
	dockerAMD.mediaType = "application/vnd.docker.distribution.manifest.v2+json"
	empty := document(t, ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: []ocispec.Descriptor{on(attestation, "unknown", "unknown", "")}})
	for _, b := range []blob{amdConfig, armConfig, winConfig} {
		put(t, transport, "a/ide", "", b)
	}
	for _, b := range []blob{amd, arm, win, attestation, chart} {
		put(t, transport, "a/ide", b.descriptor().Digest.String(), b)
	}
	huge := document(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Config: amdConfig.descriptor(), Layers: []ocispec.Descriptor{{Size: 1 << 62}, {Size: 1 << 62}},
	})
	for name, b := range map[string]blob{
		"huge": huge, "index": index, "list": list, "amd": amd, "docker": dockerAMD, "win": win, "chart": chart, "empty": empty,
		"broken": {ocispec.MediaTypeImageManifest, []byte(`{"config":1}`)},
		"text":   {"text/plain", []byte(`hello`)},
	} {
		put(t, transport, "a/ide", name, b)
	}

	full := []image.Platform{{"linux", "amd64"}, {"linux", "arm"}, {"linux", "arm64"}, {"windows", "amd64"}}
	armSize := 5000 + armConfig.descriptor().Size
	amdSize := 1000 + amdConfig.descriptor().Size
	for name, want := range map[string]image.Image{
		"registry.test/a/ide:index": {Platforms: full, Size: armSize, Reference: image.Reference{Digest: index.descriptor().Digest.String()}},
		"registry.test/a/ide:list":  {Platforms: full, Size: armSize, Reference: image.Reference{Digest: list.descriptor().Digest.String()}},
		"registry.test/a/ide:amd": {Platforms: []image.Platform{{"linux", "amd64"}}, Size: amdSize,
			Reference: image.Reference{Digest: amd.descriptor().Digest.String()}},
		"registry.test/a/ide:docker": {Platforms: []image.Platform{{"linux", "amd64"}}, Size: amdSize,
			Reference: image.Reference{Digest: amd.descriptor().Digest.String()}},
		"registry.test/a/ide:win": {Platforms: []image.Platform{{"windows", "amd64"}},
			Reference: image.Reference{Digest: win.descriptor().Digest.String()}},
		// The digest decides, whatever the tag beside it says.
		"registry.test/a/ide:win@" + index.descriptor().Digest.String(): {Platforms: full, Size: armSize,
			Reference: image.Reference{Digest: index.descriptor().Digest.String()}},
	} {
		t.Run(name, func(t *testing.T) {
			want.Reference.Registry, want.Reference.Repository = "registry.test", "a/ide"
			got, err := resolve(t, client, name)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			again, err := client.Resolve(t.Context(), got.Reference)
			if diff := cmp.Diff(got, again); err != nil || diff != "" {
				t.Errorf("by its digest: %v (-by tag +by digest):\n%s", err, diff)
			}
		})
	}
	for name, want := range map[string]struct {
		kind    image.Kind
		mention string
	}{
		"registry.test/a/ide:none":       {image.ErrNotFound, "no such tag"},
		"registry.test/a/ide@" + digestA: {image.ErrNotFound, "no such tag or digest"},
		"registry.test/a/none:index":     {image.ErrNoRepository, "no such repository"},
		"registry.test/a/ide:chart":      {image.ErrInvalid, "helm"},
		"registry.test/a/ide:empty":      {image.ErrInvalid, "no container image"},
		"registry.test/a/ide:broken":     {image.ErrInvalid, "malformed"},
		"registry.test/a/ide:huge":       {image.ErrInvalid, "malformed"},
		"registry.test/a/ide:text":       {image.ErrInvalid, "text/plain"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := resolve(t, client, name)
			if !errors.Is(err, want.kind) || !strings.Contains(err.Error(), want.mention) || !strings.Contains(err.Error(), name) {
				t.Errorf("Resolve = %v, %v; want %s naming the reference and %q", got, err, want.kind, want.mention)
			}
			if want.kind == image.ErrNotFound && errors.Is(err, image.ErrNoRepository) {
				t.Errorf("%v: the repository exists", err)
			}
			if want.kind == image.ErrNoRepository && !errors.Is(err, image.ErrNotFound) {
				t.Errorf("%v: want ErrNotFound, too", err)
			}
		})
	}
}

func TestResolveRefusesUnparsedReferences(t *testing.T) {
	client := image.New(nil, image.Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		t.Errorf("asked %s", r.URL)
		return nil, errors.ErrUnsupported
	})})
	for _, ref := range []image.Reference{
		{},
		{Registry: "docker.io", Repository: "ubuntu", Tag: "latest"}, // want library/ubuntu
		{Registry: "GHCR.io", Repository: "a/b", Tag: "c"},
		{Registry: "ghcr.io", Repository: "a/b"},
		{Registry: "ghcr.io", Repository: "a/../../v2/b", Tag: "c"},
		{Registry: "ghcr.io", Repository: "a/b", Tag: "c", Digest: "sha256:00"},
		{Registry: "ghcr.io/a", Repository: "b", Tag: "c"},
	} {
		if _, err := client.Resolve(t.Context(), ref); !errors.Is(err, image.ErrInvalid) {
			t.Errorf("Resolve(%#v): %v, want ErrInvalid", ref, err)
		}
	}
}
