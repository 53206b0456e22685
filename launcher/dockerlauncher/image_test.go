package dockerlauncher_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/moby/moby/client"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/atelier-go/atelier/internal/dockertest"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/launcher/dockerlauncher"
)

// A closedRegistry wants a name and a password, and counts what it is asked.
type closedRegistry struct {
	host      string
	manifests atomic.Int64 // GETs of manifests
	blobs     atomic.Int64
	slow      atomic.Int64 // nanoseconds before a blob
}

func newClosedRegistry(t *testing.T) *closedRegistry {
	t.Helper()
	r := &closedRegistry{}
	inside := registry.New(registry.Logger(discard))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if user, password, ok := q.BasicAuth(); !ok || user != "AWS" || password != "token-1" {
			w.Header().Set("WWW-Authenticate", `Basic realm="closed"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if q.Method == http.MethodGet && strings.Contains(q.URL.Path, "/manifests/") {
			r.manifests.Add(1)
		}
		if q.Method == http.MethodGet && strings.Contains(q.URL.Path, "/blobs/") {
			r.blobs.Add(1)
			time.Sleep(time.Duration(r.slow.Load())) // a real server on the wall clock
		}
		inside.ServeHTTP(w, q)
	}))
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "http://")
	return r
}

// push puts an image with the test's programs there and returns its reference
// by digest.
func (r *closedRegistry) push(t *testing.T, e *client.Client, repository string) string {
	t.Helper()
	to, err := remote.NewRepository(r.host + "/" + repository)
	if err != nil {
		t.Fatal(err)
	}
	to.PlainHTTP = true
	to.Client = &auth.Client{Credential: auth.StaticCredential(r.host, auth.Credential{Username: "AWS", Password: "token-1"})}
	put := func(mediaType string, text []byte) ocispec.Descriptor {
		t.Helper()
		d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
		if err := to.Push(t.Context(), d, bytes.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		return d
	}
	document := func(v any) []byte {
		t.Helper()
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	// Another layer for each repository: an engine knows layers by their content.
	layer := slices.Concat(dockertest.Layer(t), make([]byte, 512*(1+len(repository))))
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Layers: []ocispec.Descriptor{put(ocispec.MediaTypeImageLayer, layer)},
		Config: put(ocispec.MediaTypeImageConfig, document(ocispec.Image{
			Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH},
			Config:   ocispec.ImageConfig{Entrypoint: []string{"/behaved"}, Env: []string{"REPOSITORY=" + r.host + "/" + repository}},
			RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer)}},
		})),
	}
	pinned := r.host + "/" + repository + "@" + put(manifest.MediaType, document(manifest)).Digest.String()
	t.Cleanup(func() {
		_, _ = e.ImageRemove(context.Background(), pinned, client.ImageRemoveOptions{Force: true})
	})
	return pinned
}

// TestPull: an image is pulled by digest with credentials asked for each pull;
// wrong ones, none, and an image that is not there are told apart.
func TestPull(t *testing.T) {
	e := dockertest.Engine(t)
	r := newClosedRegistry(t)
	var asked atomic.Int64
	credentials := func(username, password string, err error) func(*dockerlauncher.Config) {
		return func(c *dockerlauncher.Config) {
			c.Credentials = func(_ context.Context, registry string) (string, string, error) {
				asked.Add(1)
				if registry != r.host {
					t.Errorf("credentials were asked for registry %q; want %q", registry, r.host)
				}
				return username, password, err
			}
		}
	}
	l := open(t, t.TempDir(), credentials("AWS", "token-1", nil))
	id := named(t, l)
	image := r.push(t, e, "genomics")

	for what, c := range map[string]struct {
		l     *dockerlauncher.Launcher
		image string
		kind  launcher.Kind
	}{
		"without credentials":         {open(t, t.TempDir()), image, ""},
		"with wrong credentials":      {open(t, t.TempDir(), credentials("AWS", "token-0", nil)), image, ""},
		"without means to get them":   {open(t, t.TempDir(), credentials("", "", errors.New("the token has expired"))), image, launcher.ErrDenied},
		"of what is not there":        {l, r.host + "/absent:1", launcher.ErrImage},
		"of what cannot be a name":    {l, "two words:1", launcher.ErrImage},
		"of a digest that is unknown": {l, r.host + "/genomics@sha256:" + strings.Repeat("0", 64), launcher.ErrImage},
	} {
		err := c.l.Pull(t.Context(), c.image)
		if err == nil || c.kind != "" && !errors.Is(err, c.kind) {
			t.Errorf("a pull %s: %v; want %q", what, err, c.kind)
		}
		if err != nil && strings.Contains(err.Error(), "token-") {
			t.Errorf("a pull %s shows credentials: %v", what, err)
		}
	}

	// Who asks at one time shares a pull; what is there is not asked for again.
	r.manifests.Store(0)
	r.slow.Store(int64(300 * time.Millisecond))
	asked.Store(0)
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			if err := l.Pull(t.Context(), image); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if err := l.Pull(t.Context(), image); err != nil {
		t.Error(err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("for nine pulls credentials were asked %d times; want once", n)
	}
	text, _ := says(t, l, launcher.Workload{ID: id("a"), Owner: "a", Image: image, Command: []string{"env", "REPOSITORY"}})
	if text != r.host+"/genomics\n" {
		t.Errorf("the image that was pulled says %q", text)
	}

	// A Launch pulls what is missing, and tells how far it is.
	other := r.push(t, e, "other")
	o := observe(t, l)
	gone, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	w := launcher.Workload{ID: id("b"), Owner: "a", Image: other, Command: []string{"env", "REPOSITORY"}}
	go func() {
		_, err := l.Launch(gone, w)
		first <- err
	}()
	await(t, "it is told that it starts", func() bool { return o.of(w.ID).Phase == launcher.Starting })
	if s, err := launcher.Get(t.Context(), l, w.ID); err != nil || s.Phase != launcher.Starting {
		t.Errorf("while its image is pulled it is %+v, %v; want it starting", s, err)
	}
	leave() // and the pull goes on
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("a Launch that was given up: %v", err)
	}
	if text, _ := says(t, l, w); text != r.host+"/other\n" {
		t.Errorf("the image that was pulled says %q", text)
	}
}
