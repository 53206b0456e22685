package image_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/image"
)

// TestConfiguration: of an image and of an index, in Amazon ECR and in another registry.
func TestConfiguration(t *testing.T) {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	client := image.NewFromConfig(cloud.Config(), image.Config{})
	amd64, arm64 := image.Platform{OS: "linux", Architecture: "amd64"}, image.Platform{OS: "linux", Architecture: "arm64"}
	pushed := fakeaws.Image{Env: []string{"URL=https://example.com/?a=b", "EMPTY="}, History: []string{"ARG VERSION=1", "RUN true"}}
	want := image.Configuration{Env: map[string]string{"URL": "https://example.com/?a=b", "EMPTY": ""}, History: pushed.History}
	for _, registry := range []string{"123456789012.dkr.ecr.us-east-1.amazonaws.com", "registry.example.com"} {
		for name, platforms := range map[string][]string{"one": {"linux/amd64"}, "two": {"linux/arm64", "linux/amd64"}, "other": {"linux/arm64"}, "others": {"linux/arm64", "windows/amd64"}} {
			reference := registry + "/team/ide:" + name
			pushed.Platforms = platforms
			if _, err := cloud.PushImage(reference, pushed); err != nil {
				t.Fatal(err)
			}
			ref, err := image.Parse(reference)
			if err != nil {
				t.Fatal(err)
			}
			got, err := client.Configuration(t.Context(), ref, amd64)
			if name == "other" || name == "others" {
				if !errors.Is(err, image.ErrPlatform) {
					t.Errorf("%s: %v", reference, err)
				}
				got, err = client.Configuration(t.Context(), ref, arm64)
			}
			if err != nil {
				t.Errorf("%s: %v", reference, err)
			} else if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", reference, diff)
			}
		}
		ref, err := image.Parse(registry + "/team/none:1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Configuration(t.Context(), ref, amd64); !errors.Is(err, image.ErrNotFound) {
			t.Errorf("none: %v", err)
		}
	}
	if _, err := client.Configuration(t.Context(), image.Reference{Registry: "x"}, amd64); !errors.Is(err, image.ErrInvalid) {
		t.Errorf("no reference: %v", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Configuration(over, image.Reference{}, amd64); err != context.Canceled {
		t.Errorf("a context that ended: %v", err)
	}
}

// swapping answers the n-th question for manifests with another body than there is.
type swapping struct {
	*awsecr.Client
	n, asked int
}

func (s *swapping) BatchGetImage(ctx context.Context, in *awsecr.BatchGetImageInput, options ...func(*awsecr.Options)) (*awsecr.BatchGetImageOutput, error) {
	out, err := s.Client.BatchGetImage(ctx, in, options...)
	if s.asked++; err == nil && s.asked == s.n {
		body := strings.Replace(*out.Images[0].ImageManifest, `"schemaVersion":2`, `"schemaVersion":3`, 1)
		out.Images[0].ImageManifest = &body
	}
	return out, err
}

// TestConfigurationIsWhatWasAskedFor: neither an index, nor a manifest of it, nor a
// configuration that does not have its digest is believed.
func TestConfigurationIsWhatWasAskedFor(t *testing.T) {
	cloud, err := fakeaws.New(fakeaws.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	const reference = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/ide:1"
	if _, err := cloud.PushImage(reference, fakeaws.Image{Platforms: []string{"linux/amd64", "linux/arm64"}}); err != nil {
		t.Fatal(err)
	}
	ref, err := image.Parse(reference)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4 { // none, the index, the manifest, the configuration
		api := &swapping{Client: awsecr.NewFromConfig(cloud.Config()), n: n}
		client := image.New(api, image.Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			answer, err := cloud.Registry().RoundTrip(r)
			if err == nil && n == 3 {
				body, _ := io.ReadAll(answer.Body)
				answer.Body = io.NopCloser(strings.NewReader(strings.Replace(string(body), `"ide`, `"idE`, 1) + " "))
			}
			return answer, err
		})})
		_, err := client.Configuration(t.Context(), ref, image.Platform{OS: "linux", Architecture: "amd64"})
		if n == 0 && err != nil || n > 0 && !errors.Is(err, image.ErrUnavailable) {
			t.Errorf("%d: %v", n, err)
		}
	}
}
