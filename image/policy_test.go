package image_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"

	"github.com/atelier-go/atelier/fake/fakeaws"
	"github.com/atelier-go/atelier/image"
)

// What resolving and pulling call is allowed, for the repositories that are named.
func TestPolicy(t *testing.T) {
	cloud, ref := ecrAccount(t, fakeaws.Config{})
	resolve(t, image.NewFromConfig(cloud.Config(), image.Config{}), ref.String())
	if _, _, err := image.ECRCredentials(awsecr.NewFromConfig(cloud.Config()), nil)(t.Context(), ref.Registry); err != nil {
		t.Fatal(err)
	}
	var called []string
	for _, c := range cloud.Calls() {
		called = append(called, c.Action)
	}
	others := []image.Reference{
		ref, {Registry: "docker.io", Repository: "rocker/rstudio"}, ref,
		{Registry: "210987654321.dkr.ecr.cn-north-1.amazonaws.com.cn", Repository: "team/*"},
		{Registry: "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", Repository: "ide"},
	}
	p := image.Policy(others...)
	for name, document := range map[string]string{"Resolve": p.Resolve, "Pull": p.Pull} {
		var is struct {
			Statement []struct {
				Sid              string
				Action, Resource []string
				Condition        map[string]map[string][]string
			}
		}
		if err := json.Unmarshal([]byte(document), &is); err != nil {
			t.Fatal(err)
		}
		var actions []string
		for _, s := range is.Statement {
			actions = append(actions, s.Action...)
			want := []string{
				"arn:aws-cn:ecr:cn-north-1:210987654321:repository/team/*", "arn:aws-eusc:ecr:eusc-de-east-1:123456789012:repository/ide",
				"arn:aws:ecr:us-east-1:123456789012:repository/team/ide",
			}
			if s.Sid == "Token" {
				want = []string{"*"}
				if got := s.Condition["StringEquals"]["aws:RequestedRegion"]; !slices.Equal(got, []string{"cn-north-1", "eusc-de-east-1", "us-east-1"}) {
					t.Errorf("%s: a token in %q", name, got)
				}
			}
			if !slices.Equal(s.Resource, want) {
				t.Errorf("%s: %s of %q, want %q", name, s.Sid, s.Resource, want)
			}
		}
		want := []string{"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}
		if name == "Pull" {
			want = append([]string{"ecr:GetAuthorizationToken"}, want...)
		}
		if !slices.Equal(actions, want) {
			t.Errorf("%s allows %q, want %q", name, actions, want)
		}
		for _, action := range called {
			if strings.HasPrefix(action, "ecr:") && name == "Pull" && !slices.Contains(actions, action) {
				t.Errorf("%s is called, and not allowed", action)
			}
		}
	}
	if got := image.Policy(others[1]); got != (image.Policies{}) {
		t.Errorf("an image of another registry needs %+v", got)
	}
}
