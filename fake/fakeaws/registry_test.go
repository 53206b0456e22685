package fakeaws_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/image"
)

const ownRegistry = "123456789012.dkr.ecr.us-east-1.amazonaws.com"

func registryCloud(t *testing.T, cfg fakeaws.Config) *fakeaws.Cloud {
	t.Helper()
	cloud, err := fakeaws.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
	})
	return cloud
}

// exchange is one request and its answer.
func exchange(t *testing.T, transport http.RoundTripper, method, target string, header ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// TestRegistryProtocol holds the answers against the OCI distribution
// specification: statuses, headers, error codes.
func TestRegistryProtocol(t *testing.T) {
	cloud := registryCloud(t, fakeaws.Config{})
	d, err := cloud.PushImage("ghcr.io/acme/ide:1", fakeaws.Image{Platforms: []string{"linux/amd64", "linux/arm64"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := cloud.ProtectRepository("ghcr.io/acme/secret", "ada", "sesame"); err != nil {
		t.Fatal(err)
	}
	none := "sha256:" + strings.Repeat("0", 64)
	for _, c := range []struct {
		method, url string
		status      int
		code        string
	}{
		{"GET", "https://ghcr.io/v2/", 200, ""},
		{"GET", "https://ghcr.io/v2", 200, ""},
		{"HEAD", "https://ghcr.io/v2/", 200, ""},
		{"GET", "https://ghcr.io/", 404, "UNSUPPORTED"},
		{"GET", "https://ghcr.io/v2/acme/ide/manifests/1", 200, ""},
		{"HEAD", "https://ghcr.io/v2/acme/ide/manifests/1", 200, ""},
		{"GET", "https://ghcr.io/v2/acme/ide/manifests/" + d, 200, ""},
		{"GET", "https://ghcr.io/v2/acme/ide/manifests/2", 404, "MANIFEST_UNKNOWN"},
		{"HEAD", "https://ghcr.io/v2/acme/ide/manifests/2", 404, ""},
		{"GET", "https://ghcr.io/v2/acme/ide/manifests/" + none, 404, "MANIFEST_UNKNOWN"},
		{"GET", "https://ghcr.io/v2/acme/none/manifests/1", 404, "NAME_UNKNOWN"},
		{"GET", "https://quay.io/v2/acme/ide/manifests/1", 404, "NAME_UNKNOWN"},
		{"GET", "https://ghcr.io/v2/acme/ide/blobs/" + none, 404, "BLOB_UNKNOWN"},
		{"GET", "https://ghcr.io/v2/acme/none/blobs/" + none, 404, "NAME_UNKNOWN"},
		{"GET", "https://ghcr.io/v2/acme/secret/manifests/1", 401, "UNAUTHORIZED"},
		{"PUT", "https://ghcr.io/v2/acme/ide/manifests/3", 405, "UNSUPPORTED"},
		{"GET", "https://" + ownRegistry + "/v2/acme/ide/manifests/1", 401, "DENIED"},
	} {
		response, body := exchange(t, cloud.Registry(), c.method, c.url)
		var problem struct {
			Errors []struct{ Code, Message string }
		}
		_ = json.Unmarshal([]byte(body), &problem)
		code := ""
		if len(problem.Errors) == 1 {
			code = problem.Errors[0].Code
		}
		if response.StatusCode != c.status || code != c.code {
			t.Errorf("%s %s: %d %q, want %d %q", c.method, c.url, response.StatusCode, code, c.status, c.code)
		}
		if response.ContentLength < 0 || c.method == "GET" && int64(len(body)) != response.ContentLength {
			t.Errorf("%s %s: %d bytes, Content-Length %d", c.method, c.url, len(body), response.ContentLength)
		}
		if c.status == 200 && strings.Contains(c.url, "manifests") {
			if got := response.Header.Get("Docker-Content-Digest"); got != d {
				t.Errorf("%s %s: digest %s, want %s", c.method, c.url, got, d)
			}
			if c.method == "GET" && digest.FromString(body).String() != d {
				t.Errorf("%s %s: the content does not have its digest", c.method, c.url)
			}
		}
	}
	calls := cloud.Calls()
	if got := calls[len(calls)-1]; got.Action != "registry:GetManifest" || got.Subject != ownRegistry+"/acme/ide:1" || got.Code != "DENIED" {
		t.Errorf("the journal ends with %+v", got)
	}
}

// TestRegistryTokens proves that a token opens what it was given for and
// nothing else.
func TestRegistryTokens(t *testing.T) {
	cloud := registryCloud(t, fakeaws.Config{})
	for _, name := range []string{"one", "two"} {
		if _, err := cloud.PushImage("ghcr.io/acme/"+name+":1", fakeaws.Image{}); err != nil {
			t.Fatal(err)
		}
		if err := cloud.ProtectRepository("ghcr.io/acme/"+name, "ada", name); err != nil {
			t.Fatal(err)
		}
	}
	manifest := func(name, token string) int {
		response, _ := exchange(t, cloud.Registry(), "GET", "https://ghcr.io/v2/acme/"+name+"/manifests/1", "Authorization", "Bearer "+token)
		return response.StatusCode
	}
	challenge, _ := exchange(t, cloud.Registry(), "GET", "https://ghcr.io/v2/acme/one/manifests/1")
	if got, want := challenge.Header.Get("Www-Authenticate"), `Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:acme/one:pull"`; got != want {
		t.Errorf("challenge %s, want %s", got, want)
	}
	var answer struct{ Token string }
	_, body := exchange(t, cloud.Registry(), "GET", "https://ghcr.io/token?service=ghcr.io&scope=repository:acme/one:pull", "Authorization", "Basic YWRhOm9uZQ==")
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Token == "" {
		t.Fatalf("token: %s: %v", body, err)
	}
	if got := manifest("one", answer.Token); got != 200 {
		t.Errorf("with its token: %d, want 200", got)
	}
	if got := manifest("two", answer.Token); got != 403 {
		t.Errorf("with another's token: %d, want 403", got)
	}
	_, body = exchange(t, cloud.Registry(), "GET", "https://ghcr.io/token?service=ghcr.io&scope=repository:acme/one:pull")
	if err := json.Unmarshal([]byte(body), &answer); err != nil || manifest("one", answer.Token) != 401 {
		t.Errorf("an anonymous token (%s) opens what is protected", body)
	}
	wrong, _ := exchange(t, cloud.Registry(), "GET", "https://ghcr.io/token?service=ghcr.io&scope=repository:acme/two:pull", "Authorization", "Basic YWRhOm9uZQ==")
	if wrong.StatusCode != 401 {
		t.Errorf("a wrong password: %d, want 401", wrong.StatusCode)
	}
}

// TestNoWayOut proves that nothing reaches AWS or the network by a config's
// HTTP client or the registry's transport.
func TestNoWayOut(t *testing.T) {
	cloud := registryCloud(t, fakeaws.Config{})
	for _, host := range []string{"ec2.us-east-1.amazonaws.com", "api.ecr.us-east-1.amazonaws.com", "s3.amazonaws.com", "api.ecr.cn-north-1.amazonaws.com.cn", "ecr.us-east-1.api.aws"} {
		request, err := http.NewRequest("GET", "https://"+host+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cloud.Config().HTTPClient.Do(request); err == nil || !strings.Contains(err.Error(), "refused to send a request to "+host) {
			t.Errorf("%s: %v, want a refusal", host, err)
		}
	}
}

// TestRegistryCrash proves that a crashed program reaches no registry, and a
// new one does.
func TestRegistryCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := registryCloud(t, fakeaws.Config{Delays: fakeaws.Delays{Call: time.Second}})
		if _, err := cloud.PushImage("acme/ide:1", fakeaws.Image{}); err != nil {
			t.Fatal(err)
		}
		before := cloud.Registry()
		cloud.Crash()
		request, _ := http.NewRequest("GET", "https://registry-1.docker.io/v2/acme/ide/manifests/1", nil)
		if _, err := before.RoundTrip(request); !errors.Is(err, fakeaws.ErrCrashed) {
			t.Errorf("%v, want ErrCrashed", err)
		}
		if response, _ := exchange(t, cloud.Registry(), "GET", request.URL.String()); response.StatusCode != 200 {
			t.Errorf("the new program gets %d, want 200", response.StatusCode)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := cloud.Registry().RoundTrip(request.WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want context.DeadlineExceeded", err)
		}
	})
}

func TestPushImage(t *testing.T) {
	t.Run("is the same in every run", func(t *testing.T) {
		var runs [2][]string
		for n := range runs {
			cloud := registryCloud(t, fakeaws.Config{Seed: uint64(n)})
			for _, reference := range []string{"acme/ide:1", "acme/ide:1", "acme/ide:2", "acme/lab:1", ownRegistry + "/acme/ide:1"} {
				d, err := cloud.PushImage(reference, fakeaws.Image{Size: 5})
				if err != nil {
					t.Fatal(err)
				}
				runs[n] = append(runs[n], d)
			}
		}
		if diff := cmp.Diff(runs[0], runs[1]); diff != "" {
			t.Errorf("(-first +second):\n%s", diff)
		}
		d := runs[0]
		if d[0] != d[4] {
			t.Error("the same path and tag have different digests in different registries")
		}
		distinct := slices.Compact(slices.Sorted(slices.Values(d[:4])))
		if len(distinct) != 4 {
			t.Errorf("%q: want another digest for each push, tag and path", d[:4])
		}
	})
	t.Run("refuses", func(t *testing.T) {
		cloud := registryCloud(t, fakeaws.Config{})
		_, err := cloud.PushImage("210987654321.dkr.ecr.us-east-1.amazonaws.com/ide:1",
			fakeaws.Image{Platforms: []string{"linux", "linux/arm64", "linux/arm64"}, Size: -1})
		for _, want := range []string{ownRegistry, `"linux"`, "twice", "negative"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not mention %s", err, want)
			}
		}
		for _, reference := range []string{"", "UP/x", "a:b:c", "ide@sha256:" + strings.Repeat("0", 64)} {
			if _, err := cloud.PushImage(reference, fakeaws.Image{}); err == nil {
				t.Errorf("PushImage(%q) = nil", reference)
			}
		}
		for _, reference := range []string{"", "never/pushed:1", "never/pushed@sha256:" + strings.Repeat("0", 64)} {
			if err := cloud.DeleteImage(reference); err == nil {
				t.Errorf("DeleteImage(%q) = nil", reference)
			}
		}
		for _, name := range []string{"", ownRegistry + "/ide"} {
			if err := cloud.ProtectRepository(name, "ada", "sesame"); err == nil {
				t.Errorf("ProtectRepository(%q) = nil", name)
			}
		}
		if err := cloud.ProtectRepository("ghcr.io/acme/ide", "", ""); err == nil {
			t.Error("ProtectRepository without a password = nil")
		}
	})
}

// TestBatchGetImage proves that ECR tells of missing images beside those it
// has, and of a missing repository as an error.
func TestBatchGetImage(t *testing.T) {
	cloud := registryCloud(t, fakeaws.Config{})
	one, err := cloud.PushImage(ownRegistry+"/ide:1", fakeaws.Image{Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	two, err := cloud.PushImage(ownRegistry+"/ide:2", fakeaws.Image{Size: 2})
	if err != nil {
		t.Fatal(err)
	}
	client := awsecr.NewFromConfig(cloud.Config())
	out, err := client.BatchGetImage(t.Context(), &awsecr.BatchGetImageInput{
		RepositoryName: aws.String("ide"),
		ImageIds: []types.ImageIdentifier{
			{ImageTag: aws.String("1")}, {ImageDigest: &two}, {ImageTag: aws.String("1"), ImageDigest: &one},
			{ImageTag: aws.String("3")}, {}, {ImageDigest: aws.String("nonsense")}, {ImageTag: aws.String("1"), ImageDigest: &two},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var images []string
	for _, i := range out.Images {
		images = append(images, *i.ImageId.ImageDigest)
		if got := digest.FromString(*i.ImageManifest).String(); got != *i.ImageId.ImageDigest {
			t.Errorf("the manifest of %s has the digest %s", *i.ImageId.ImageDigest, got)
		}
	}
	if diff := cmp.Diff([]string{one, two, one}, images); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	var failures []types.ImageFailureCode
	for _, f := range out.Failures {
		failures = append(failures, f.FailureCode)
	}
	if diff := cmp.Diff([]types.ImageFailureCode{"ImageNotFound", "MissingDigestAndTag", "InvalidImageDigest", "ImageTagDoesNotMatchDigest"}, failures); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
}

// TestLayerURLIsSigned proves that the storage behind ECR opens to its signed
// addresses alone.
func TestLayerURLIsSigned(t *testing.T) {
	cloud := registryCloud(t, fakeaws.Config{})
	if _, err := cloud.PushImage(ownRegistry+"/ide:1", fakeaws.Image{}); err != nil {
		t.Fatal(err)
	}
	ref, err := image.Parse(ownRegistry + "/ide:1")
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	spy := spyTransport{cloud.Registry(), &asked}
	if _, err := image.NewFromConfig(cloud.Config(), image.Config{Transport: spy}).Resolve(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 1 {
		t.Fatalf("asked %q, want one request to the storage", asked)
	}
	if response, _ := exchange(t, cloud.Registry(), "GET", asked[0]); response.StatusCode != 200 {
		t.Errorf("with the signature: %d, want 200", response.StatusCode)
	}
	unsigned, _, _ := strings.Cut(asked[0], "?")
	if response, _ := exchange(t, cloud.Registry(), "GET", unsigned); response.StatusCode != 403 {
		t.Errorf("without the signature: %d, want 403", response.StatusCode)
	}
}

type spyTransport struct {
	http.RoundTripper
	asked *[]string
}

func (s spyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	*s.asked = append(*s.asked, r.URL.String())
	return s.RoundTripper.RoundTrip(r)
}
