package image_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/image"
)

func newCloud(t *testing.T, cfg fakeaws.Config) *fakeaws.Cloud {
	t.Helper()
	cloud, err := fakeaws.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cloud.Close() })
	return cloud
}

func push(t *testing.T, cloud *fakeaws.Cloud, reference string, i fakeaws.Image) string {
	t.Helper()
	d, err := cloud.PushImage(reference, i)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const ecrRegistry = "123456789012.dkr.ecr.us-east-1.amazonaws.com"

// A backend is one way to the same images, which it holds under the
// repository's name.
type backend struct {
	name       string
	repository string
	client     *image.Client
}

// backends returns a client of the fake's registries by the distribution
// protocol, of its Amazon ECR by typed calls, and of a registry that is not
// ours, each with the same images in the repository acme/ide.
func backends(t *testing.T, images map[string]fakeaws.Image) []backend {
	t.Helper()
	cloud := newCloud(t, fakeaws.Config{})
	independent := independentRegistry()
	fake := cloud.Registry()
	for tag, i := range images {
		d := push(t, cloud, "registry.test/acme/ide:"+tag, i)
		if other := push(t, cloud, ecrRegistry+"/acme/ide:"+tag, i); other != d {
			t.Fatalf("the digest of %s is %s, in ECR %s", tag, d, other)
		}
		copyImage(t, fake, independent, "acme/ide", tag)
	}
	return []backend{
		{"fake", "registry.test/acme/", image.New(nil, image.Config{Transport: fake})},
		{"ECR", ecrRegistry + "/acme/", image.NewFromConfig(cloud.Config(), image.Config{})},
		{"independent", "registry.test/acme/", image.New(nil, image.Config{Transport: independent})},
	}
}

// copyImage copies a tag and all that hangs on it, byte for byte.
func copyImage(t *testing.T, from, to http.RoundTripper, repository, tag string) {
	t.Helper()
	get := func(kind, name string) blob {
		request, err := http.NewRequest(http.MethodGet, fmt.Sprintf("https://registry.test/v2/%s/%s/%s", repository, kind, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := from.RoundTrip(request)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("GET %s: %v %v", request.URL, response, err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return blob{response.Header.Get("Content-Type"), body}
	}
	var copied func(name string)
	copied = func(name string) {
		b := get("manifests", name)
		var m struct {
			Config    ocispec.Descriptor
			Manifests []ocispec.Descriptor
		}
		if err := json.Unmarshal(b.body, &m); err != nil {
			t.Fatal(err)
		}
		if m.Config.Digest != "" {
			put(t, to, repository, "", get("blobs", m.Config.Digest.String()))
		}
		for _, d := range m.Manifests {
			copied(d.Digest.String())
		}
		put(t, to, repository, name, b)
	}
	copied(tag)
}

// TestContract proves that every registry answers the resolver alike: the same
// images, the same mistakes.
func TestContract(t *testing.T) {
	all := backends(t, map[string]fakeaws.Image{
		"default": {},
		"arm":     {Platforms: []string{"linux/arm64"}, Size: 7},
		"windows": {Platforms: []string{"windows/amd64"}, Size: 7},
		"multi":   {Platforms: []string{"linux/arm64", "linux/amd64", "windows/amd64"}, Size: 2 << 30},
		"alien":   {Platforms: []string{"linux/s390x", "linux/ppc64le"}, Size: 5},
	})
	type outcome struct {
		Image image.Image
		Kind  image.Kind
	}
	of := func(t *testing.T, b backend, name string) outcome {
		i, err := resolve(t, b.client, b.repository+name)
		i.Reference.Registry = ""
		e, _ := errors.AsType[*image.Error](err)
		if err != nil && e == nil {
			t.Fatalf("%s: %v: want an *image.Error", b.name, err)
		}
		if e != nil {
			return outcome{i, e.Kind}
		}
		return outcome{i, ""}
	}
	for name, want := range map[string]image.Kind{
		"ide:default": "", "ide:arm": "", "ide:windows": "", "ide:multi": "", "ide:alien": "",
		"ide:none": image.ErrNotFound, "ide@" + digestA: image.ErrNotFound, "none:default": image.ErrNoRepository,
	} {
		t.Run(name, func(t *testing.T) {
			first := of(t, all[0], name)
			if first.Kind != want {
				t.Errorf("%s: kind %q, want %q", all[0].name, first.Kind, want)
			}
			for _, b := range all[1:] {
				if diff := cmp.Diff(first, of(t, b, name)); diff != "" {
					t.Errorf("(-%s +%s):\n%s", all[0].name, b.name, diff)
				}
			}
		})
	}
	multi := of(t, all[0], "ide:multi").Image
	if multi.Size < 2<<30 || multi.Size > 2<<30+1000 || len(multi.Platforms) != 3 {
		t.Errorf("multi is %d bytes for %v, want 2 GiB and a little for three platforms", multi.Size, multi.Platforms)
	}
	for n, b := range all {
		t.Run("by digest/"+b.name, func(t *testing.T) {
			again := of(t, all[n], "ide@"+multi.Reference.Digest)
			if diff := cmp.Diff(outcome{Image: multi}, again); diff != "" {
				t.Errorf("(-by tag +by digest):\n%s", diff)
			}
		})
	}
}

// TestMovedTag proves that a tag resolves to what it names now, and a digest
// to what it always named.
func TestMovedTag(t *testing.T) {
	cloud := newCloud(t, fakeaws.Config{})
	for _, registry := range []string{"ghcr.io", ecrRegistry} {
		t.Run(registry, func(t *testing.T) {
			client := image.NewFromConfig(cloud.Config(), image.Config{})
			name := registry + "/acme/ide:1"
			push(t, cloud, name, fakeaws.Image{Size: 1})
			before, err := resolve(t, client, name)
			if err != nil {
				t.Fatal(err)
			}
			push(t, cloud, name, fakeaws.Image{Size: 2})
			after, err := resolve(t, client, name)
			if err != nil {
				t.Fatal(err)
			}
			if after.Size != before.Size+1 || before.Reference == after.Reference {
				t.Errorf("before %+v, after %+v: want another image, a byte larger", before, after)
			}
			pinned, err := client.Resolve(t.Context(), before.Reference)
			if diff := cmp.Diff(before, pinned); err != nil || diff != "" {
				t.Errorf("by the old digest: %v (-before +now):\n%s", err, diff)
			}
			if err := cloud.DeleteImage(name); err != nil {
				t.Fatal(err)
			}
			if _, err := resolve(t, client, name); !errors.Is(err, image.ErrNotFound) || errors.Is(err, image.ErrNoRepository) {
				t.Errorf("after the tag was deleted: %v, want ErrNotFound", err)
			}
			if _, err := client.Resolve(t.Context(), after.Reference); err != nil {
				t.Errorf("by digest after the tag was deleted: %v", err)
			}
			if err := cloud.DeleteImage(after.Reference.String()); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Resolve(t.Context(), after.Reference); !errors.Is(err, image.ErrNotFound) {
				t.Errorf("after the image was deleted: %v, want ErrNotFound", err)
			}
		})
	}
}

// TestSameNames proves that the fake reads references as this package does.
func TestSameNames(t *testing.T) {
	for _, name := range []string{
		"ubuntu", "ubuntu:24.04", "rocker/rstudio:4.5", "docker.io/ubuntu:x", "index.docker.io/y:z", "localhost:5000/ide", "localhost/ide:1",
		"GHCR.io/acme/ide:1", "[::1]:5000/ide:1", ecrRegistry + "/ide",
	} {
		cloud := newCloud(t, fakeaws.Config{})
		want := push(t, cloud, name, fakeaws.Image{})
		got, err := resolve(t, image.NewFromConfig(cloud.Config(), image.Config{}), name)
		if err != nil || got.Reference.Digest != want {
			t.Errorf("Resolve(%s) = %v, %v; want %s", name, got.Reference, err, want)
		}
	}
}

// TestProtected proves the token dance, and who may read what.
func TestProtected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := newCloud(t, fakeaws.Config{})
		push(t, cloud, "ghcr.io/acme/ide:1", fakeaws.Image{})
		push(t, cloud, "ghcr.io/acme/open:1", fakeaws.Image{})
		push(t, cloud, "secret/ide:1", fakeaws.Image{})
		for _, name := range []string{"ghcr.io/acme/ide", "secret/ide", "ghcr.io/acme/none"} {
			if err := cloud.ProtectRepository(name, "ada", "sesame"); err != nil {
				t.Fatal(err)
			}
		}
		asked := map[string]int{}
		client := func(password string) *image.Client {
			return image.NewFromConfig(cloud.Config(), image.Config{Credentials: func(_ context.Context, registry string) (string, string, error) {
				asked[registry]++
				return "ada", password, nil
			}})
		}
		for _, name := range []string{"ghcr.io/acme/ide:1", "secret/ide:1"} {
			if _, err := resolve(t, client("sesame"), name); err != nil {
				t.Errorf("%s with the password: %v", name, err)
			}
			for _, password := range []string{"", "guess"} {
				_, err := resolve(t, client(password), name)
				if !errors.Is(err, image.ErrDenied) || strings.Contains(err.Error(), "guess") {
					t.Errorf("%s with the password %q: %v, want ErrDenied", name, password, err)
				}
			}
			if _, err := resolve(t, image.NewFromConfig(cloud.Config(), image.Config{}), name); !errors.Is(err, image.ErrDenied) {
				t.Errorf("%s without a login: %v, want ErrDenied", name, err)
			}
		}
		if asked["docker.io"] != 3 || asked["ghcr.io"] != 3 || len(asked) != 2 {
			t.Errorf("asked for credentials of %v, want docker.io and ghcr.io once for each Resolve", asked)
		}
		// What is hidden is denied before it is said whether it exists.
		if _, err := resolve(t, client("guess"), "ghcr.io/acme/none:1"); !errors.Is(err, image.ErrDenied) {
			t.Errorf("what does not exist: %v, want ErrDenied", err)
		}
		if _, err := resolve(t, client("guess"), "ghcr.io/acme/open:1"); err != nil {
			t.Errorf("what is open: %v", err)
		}
		if asked["ghcr.io"] != 4 {
			t.Errorf("asked for credentials of ghcr.io %d times, want 4: not for what is open", asked["ghcr.io"])
		}
	})
}

// TestFaults proves that failures of either service get their kinds, are
// tried again for a while, and pass.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name, reference string
		fault           fakeaws.Fault
		want            error
	}{
		{"registry busy once", "ghcr.io/a/b:1", fakeaws.Fault{Action: "registry:GetManifest", Nth: 1, Status: 503}, nil},
		{"registry limits once", "ghcr.io/a/b:1", fakeaws.Fault{Action: "registry:GetManifest", Nth: 1, Status: 429, Code: "TOOMANYREQUESTS"}, nil},
		{"registry limits", "ghcr.io/a/b:1", fakeaws.Fault{Action: "registry:*", Status: 429, Code: "TOOMANYREQUESTS"}, image.ErrThrottled},
		{"registry down", "ghcr.io/a/b:1", fakeaws.Fault{Action: "registry:GetBlob", Status: 500}, image.ErrUnavailable},
		{"ECR throttles once", ecrRegistry + "/a/b:1", fakeaws.Fault{Action: "ecr:BatchGetImage", Nth: 1, Status: 400, Code: "ThrottlingException"}, nil},
		{"ECR throttles", ecrRegistry + "/a/b:1", fakeaws.Fault{Action: "ecr:BatchGetImage", Status: 400, Code: "ThrottlingException"}, image.ErrThrottled},
		{"ECR down", ecrRegistry + "/a/b:1", fakeaws.Fault{Action: "ecr:GetDownloadUrlForLayer", Status: 500, Code: "ServerException"}, image.ErrUnavailable},
		{"ECR storage down", ecrRegistry + "/a/b:1", fakeaws.Fault{Action: "registry:GetBlob", Status: 503}, image.ErrUnavailable},
		{"crash", ecrRegistry + "/a/b:1", fakeaws.Fault{Action: "registry:GetBlob", Crash: true}, fakeaws.ErrCrashed},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cloud := newCloud(t, fakeaws.Config{Delays: fakeaws.Realistic(), Faults: []fakeaws.Fault{c.fault}})
				push(t, cloud, c.reference, fakeaws.Image{})
				_, err := resolve(t, image.NewFromConfig(cloud.Config(), image.Config{}), c.reference)
				if !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
				if cloud.Injected() == 0 {
					t.Error("nothing was injected")
				}
				if err != nil && strings.Contains(err.Error(), "Signature=") {
					t.Errorf("%v: a signed address is in the error", err)
				}
			})
		})
	}
}

// TestPermissions proves what is needed of IAM, and what a refusal says.
func TestPermissions(t *testing.T) {
	for _, action := range []string{"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"} {
		cloud := newCloud(t, fakeaws.Config{Deny: []string{action}})
		push(t, cloud, ecrRegistry+"/ide:1", fakeaws.Image{})
		_, err := resolve(t, image.NewFromConfig(cloud.Config(), image.Config{}), ecrRegistry+"/ide:1")
		if !errors.Is(err, image.ErrDenied) || !strings.Contains(err.Error(), action) {
			t.Errorf("%v, want ErrDenied naming %s", err, action)
		}
	}
	cloud := newCloud(t, fakeaws.Config{})
	client := image.NewFromConfig(cloud.Config(), image.Config{})
	if _, err := resolve(t, client, "210987654321.dkr.ecr.us-east-1.amazonaws.com/ide:1"); !errors.Is(err, image.ErrDenied) {
		t.Errorf("another account's: %v, want ErrDenied", err)
	}
	push(t, cloud, ecrRegistry+"/ide:1", fakeaws.Image{})
	if _, err := resolve(t, client, "123456789012.dkr.ecr.eu-west-1.amazonaws.com/ide:1"); !errors.Is(err, image.ErrNoRepository) {
		t.Errorf("another region's: %v, want ErrNoRepository", err)
	}
	for _, call := range cloud.Calls() {
		if call.Action != "ecr:BatchGetImage" {
			t.Errorf("unexpected call %+v", call)
		}
	}
}

// TestCalls holds how little is asked: some registries count it.
func TestCalls(t *testing.T) {
	for name, want := range map[string][]string{
		"ghcr.io/a:one":         {"registry:GetManifest", "registry:GetBlob"},
		"ghcr.io/a:many":        {"registry:GetManifest", "registry:GetManifest", "registry:GetManifest"},
		ecrRegistry + "/a:one":  {"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "registry:GetBlob"},
		ecrRegistry + "/a:many": {"ecr:BatchGetImage", "ecr:BatchGetImage"},
	} {
		synctest.Test(t, func(t *testing.T) {
			cloud := newCloud(t, fakeaws.Config{Delays: fakeaws.Delays{Call: time.Second}})
			i := fakeaws.Image{}
			if strings.HasSuffix(name, ":many") {
				i.Platforms = []string{"linux/amd64", "linux/arm64", "windows/amd64", "linux/s390x"}
			}
			push(t, cloud, name, i)
			began := time.Now()
			if _, err := resolve(t, image.NewFromConfig(cloud.Config(), image.Config{}), name); err != nil {
				t.Error(err)
			}
			var got []string
			for _, call := range cloud.Calls() {
				got = append(got, call.Action)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			if d := time.Since(began); d != time.Duration(len(want))*time.Second {
				t.Errorf("%s took %v, want a second for each of %d calls", name, d, len(want))
			}
		})
	}
}
