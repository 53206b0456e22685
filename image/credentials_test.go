package image_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/image"
)

// ecrAccount is an account with an image in its registry.
func ecrAccount(t *testing.T, cfg fakeaws.Config) (*fakeaws.Cloud, image.Reference) {
	t.Helper()
	cloud, err := fakeaws.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := image.Parse("123456789012.dkr.ecr.us-east-1.amazonaws.com/team/ide:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cloud.PushImage(ref.String(), fakeaws.Image{Platforms: []string{"linux/amd64"}}); err != nil {
		t.Fatal(err)
	}
	return cloud, ref
}

// TestECRCredentials: what a container engine is given opens ECR's registry,
// is kept while it is good, and renewed in time.
func TestECRCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, ref := ecrAccount(t, fakeaws.Config{})
		credentials := image.ECRCredentials(awsecr.NewFromConfig(cloud.Config()), nil)
		// As an engine does: by the registry's own protocol, without ECR's API.
		engine := image.New(nil, image.Config{Transport: cloud.Registry(), Credentials: credentials})
		asked := func() (n int) {
			for _, c := range cloud.Calls() {
				if c.Action == "ecr:GetAuthorizationToken" {
					n++
				}
			}
			return n
		}
		for _, step := range []struct {
			pass time.Duration
			want int // tokens that were asked for by then
		}{{0, 1}, {time.Minute, 1}, {10 * time.Hour, 1}, {time.Hour, 2}, {10 * time.Hour, 2}, {48 * time.Hour, 3}} {
			time.Sleep(step.pass) // of the bubble
			if _, err := engine.Resolve(t.Context(), ref); err != nil {
				t.Fatalf("after %v: %v", step.pass, err)
			}
			if got := asked(); got != step.want {
				t.Errorf("after %v more, %d tokens were asked for; want %d", step.pass, got, step.want)
			}
		}
		none := image.New(nil, image.Config{Transport: cloud.Registry()})
		if _, err := none.Resolve(t.Context(), ref); !errors.Is(err, image.ErrDenied) {
			t.Errorf("without credentials: %v; want ErrDenied", err)
		}
		// An expired token opens nothing.
		user, password, err := credentials(t.Context(), ref.Registry)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(13 * time.Hour)
		old := image.New(nil, image.Config{Transport: cloud.Registry(), Credentials: func(context.Context, string) (string, string, error) {
			return user, password, nil
		}})
		if _, err := old.Resolve(t.Context(), ref); !errors.Is(err, image.ErrDenied) {
			t.Errorf("with an expired token: %v; want ErrDenied", err)
		}
	})
}

// TestECRCredentialsFailures: a refusal says whose turn it is, a failure while
// the old token is good costs nothing, and other registries are not ECR's.
func TestECRCredentialsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		denied, ref := ecrAccount(t, fakeaws.Config{Deny: []string{"ecr:GetAuthorizationToken"}})
		_, _, err := image.ECRCredentials(awsecr.NewFromConfig(denied.Config()), nil)(t.Context(), ref.Registry)
		if !errors.Is(err, image.ErrDenied) || !strings.Contains(err.Error(), ref.Registry) {
			t.Errorf("without the permission: %v; want ErrDenied with the registry", err)
		}

		works, _ := ecrAccount(t, fakeaws.Config{})
		fails, _ := ecrAccount(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "ecr:GetAuthorizationToken", Code: "ServerException"}}})
		api := &switched{awsecr.NewFromConfig(works.Config())}
		credentials := image.ECRCredentials(api, func(_ context.Context, registry string) (string, string, error) {
			return "user of " + registry, "password", nil
		})
		_, first, err := credentials(t.Context(), ref.Registry)
		if err != nil {
			t.Fatal(err)
		}
		api.TokenAPI = awsecr.NewFromConfig(fails.Config())
		time.Sleep(11*time.Hour + 30*time.Minute)
		if _, again, err := credentials(t.Context(), ref.Registry); err != nil || again != first {
			t.Errorf("while the old token is good for half an hour: %v; want it", err)
		}
		time.Sleep(time.Hour)
		if _, _, err := credentials(t.Context(), ref.Registry); !errors.Is(err, image.ErrUnavailable) {
			t.Errorf("when the old token has expired: %v; want ErrUnavailable", err)
		}
		if user, _, err := credentials(t.Context(), "ghcr.io"); err != nil || user != "user of ghcr.io" {
			t.Errorf("for another registry: %q, %v", user, err)
		}
		if user, _, err := image.ECRCredentials(api, nil)(t.Context(), "ghcr.io"); err != nil || user != "" {
			t.Errorf("for another registry without means: %q, %v; want nobody", user, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := credentials(ctx, ref.Registry); !errors.Is(err, context.Canceled) {
			t.Errorf("with a cancelled context: %v", err)
		}
	})
}

// switched is an API that can be changed for another.
type switched struct{ image.TokenAPI }

// A launcher asks for credentials with every pull; see Credentials of
// dockerlauncher.Config and ec2launcher.Config.
func ExampleECRCredentials() {
	cloud, err := fakeaws.New(fakeaws.Config{}) // stands in for config.LoadDefaultConfig
	if err != nil {
		fmt.Println(err)
		return
	}
	credentials := image.ECRCredentials(awsecr.NewFromConfig(cloud.Config()), nil)
	for _, registry := range []string{"123456789012.dkr.ecr.us-east-1.amazonaws.com", "ghcr.io"} {
		username, password, err := credentials(context.Background(), registry)
		fmt.Printf("%s: %q, a password: %t, %v\n", registry, username, password != "", err)
	}
	// Output:
	// 123456789012.dkr.ecr.us-east-1.amazonaws.com: "AWS", a password: true, <nil>
	// ghcr.io: "", a password: false, <nil>
}
