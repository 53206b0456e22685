package sagemakerdomain_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/sagemakerdomain"
	"github.com/atelier-go/atelier/fake/fakeaws"
)

// Whatever names a version of an image, and wherever, keeps it from being deleted; a name without
// a number may be of any.
func TestImageUsesOfAllPlaces(t *testing.T) {
	const arn = "arn:aws:sagemaker:us-east-1:123456789012:"
	first := &types.ResourceSpec{InstanceType: types.AppInstanceTypeMlT3Medium, SageMakerImageArn: aws.String(arn + "image/genomics"), SageMakerImageVersionArn: aws.String(arn + "image-version/genomics/1")}
	any := &types.ResourceSpec{InstanceType: types.AppInstanceTypeMlT3Medium, SageMakerImageArn: aws.String(arn + "image/genomics")}
	alias := &types.ResourceSpec{SageMakerImageArn: aws.String(arn + "image/Genomics"), SageMakerImageVersionAlias: aws.String("1.0.0")}
	other := &types.ResourceSpec{SageMakerImageArn: aws.String(arn + "image/genomics2"), SageMakerImageVersionArn: aws.String(arn + "image-version/genomics2/1")}
	images := []types.CustomImage{{ImageName: aws.String("genomics"), AppImageConfigName: aws.String("genomics"), ImageVersionNumber: aws.Int32(1)}}
	for name, test := range map[string]struct {
		users, own     *types.UserSettings         // of the domain and the profile
		spaces         *types.DefaultSpaceSettings // of the domain
		space          *types.SpaceSettings
		server, kernel *types.ResourceSpec // of RStudio, and of an app of the profile
		by             string              // what uses version 1; empty is that nothing does
		any            bool                // it uses any
	}{
		"sessions":              {users: &types.UserSettings{RSessionAppSettings: &types.RSessionAppSettings{DefaultResourceSpec: first}}, by: " as default"},
		"kernels' list":         {users: &types.UserSettings{KernelGatewayAppSettings: &types.KernelGatewayAppSettings{CustomImages: images}}, by: " as default"},
		"Studio Classic":        {users: &types.UserSettings{JupyterServerAppSettings: &types.JupyterServerAppSettings{DefaultResourceSpec: alias}}, by: " as default", any: true},
		"TensorBoard":           {own: &types.UserSettings{TensorBoardAppSettings: &types.TensorBoardAppSettings{DefaultResourceSpec: first}}, by: "/alice"},
		"profile's Code Editor": {own: &types.UserSettings{CodeEditorAppSettings: &types.CodeEditorAppSettings{DefaultResourceSpec: any}}, by: "/alice", any: true},
		"spaces' list":          {spaces: &types.DefaultSpaceSettings{JupyterLabAppSettings: &types.JupyterLabAppSettings{CustomImages: images}}, by: " as default"},
		"spaces' kernels":       {spaces: &types.DefaultSpaceSettings{KernelGatewayAppSettings: &types.KernelGatewayAppSettings{DefaultResourceSpec: first}}, by: " as default"},
		"space":                 {space: &types.SpaceSettings{JupyterLabAppSettings: &types.SpaceJupyterLabAppSettings{DefaultResourceSpec: first}}, by: "/space lab"},
		"space's Code Editor":   {space: &types.SpaceSettings{CodeEditorAppSettings: &types.SpaceCodeEditorAppSettings{DefaultResourceSpec: any}}, by: "/space lab", any: true},
		"app":                   {kernel: first, by: "/alice/KernelGateway/kernel"},
		"app of any":            {kernel: any, by: "/alice/KernelGateway/kernel", any: true},
		"another image":         {users: &types.UserSettings{JupyterServerAppSettings: &types.JupyterServerAppSettings{DefaultResourceSpec: other}}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, fakeaws.Config{})
				w.imageOf("genomics", "1")
				w.imageOf("genomics", "2")
				_, err := w.sm.CreateAppImageConfig(t.Context(), &awssagemaker.CreateAppImageConfigInput{AppImageConfigName: aws.String("genomics")})
				w.must(err)
				id := w.domain().ID
				_, err = w.sm.UpdateDomain(t.Context(), &awssagemaker.UpdateDomainInput{DomainId: &id, DefaultUserSettings: test.users, DefaultSpaceSettings: test.spaces})
				w.must(err)
				_, err = w.sm.CreateUserProfile(t.Context(), &awssagemaker.CreateUserProfileInput{DomainId: &id, UserProfileName: aws.String("alice"), UserSettings: test.own})
				w.must(err)
				if test.space != nil {
					_, err = w.sm.CreateSpace(t.Context(), &awssagemaker.CreateSpaceInput{DomainId: &id, SpaceName: aws.String("lab"), SpaceSettings: test.space})
					w.must(err)
				}
				if test.kernel != nil {
					_, err = w.sm.CreateApp(t.Context(), &awssagemaker.CreateAppInput{
						DomainId: &id, UserProfileName: aws.String("alice"), AppType: types.AppTypeKernelGateway, AppName: aws.String("kernel"), ResourceSpec: test.kernel,
					})
					w.must(err)
				}
				time.Sleep(time.Minute)
				for number, used := range map[int32]bool{0: test.by != "", 1: test.by != "", 2: test.any} {
					var uses, want []string
					for u, err := range w.client().ImageUses(t.Context(), "genomics", number) {
						w.must(err)
						if uses = append(uses, u.String()); (u.Version == 0) != test.any {
							t.Errorf("the version is told as %d", u.Version)
						}
					}
					if used {
						want = []string{id + test.by}
					}
					if !slices.Equal(uses, want) {
						t.Errorf("version %d is used by %q, want %q", number, uses, want)
					}
				}
				if test.by != "" {
					w.is(w.client().DeleteImage(t.Context(), "genomics"), domain.ErrState, "it is still used by "+id+test.by)
				}
				for range w.client().ImageUses(t.Context(), "genomics", 0) {
					break // whoever has seen enough may stop
				}
			})
		})
	}
	if u := (sagemakerdomain.ImageUse{Domain: "d-1", Space: "lab"}); u.String() != "d-1/space lab" {
		t.Errorf("it is %s", u)
	}
}

// TestImagesAreListed: an image is found without knowing its name, also one that others registered
// and one that has failed; and one that is not there, but is named still, has its uses.
func TestImagesAreListed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, fakeaws.Config{Faults: []fakeaws.Fault{{Action: "sagemaker:CreateImage", Subject: "broken", Reason: "no way"}}})
		c := w.client()
		if all := collect(t, c.Images(t.Context())); len(all) != 0 {
			t.Errorf("there are %+v", all)
		}
		for n := range 101 { // more than a page
			_, err := c.RegisterImage(t.Context(), sagemakerdomain.RegisterImageRequest{Name: fmt.Sprintf("image-%d", n), Role: userRole, DisplayName: "R", Description: "of us"})
			w.must(err)
			time.Sleep(time.Second)
		}
		_, err := w.sm.CreateImage(t.Context(), &awssagemaker.CreateImageInput{ImageName: aws.String("broken"), RoleArn: aws.String(userRole)})
		w.must(err)
		time.Sleep(time.Minute)
		all := collect(t, c.Images(t.Context()))
		if len(all) != 102 {
			t.Fatalf("lists %d", len(all))
		}
		if i := all[0]; i.Name != "broken" || i.Status != "CREATE_FAILED" || i.FailureReason != "no way" {
			t.Errorf("got %+v", i)
		}
		if i := all[101]; i.Name != "image-0" || i.Status != "CREATED" || i.DisplayName != "R" || i.Description != "of us" || i.ARN == "" || i.Created.IsZero() {
			t.Errorf("got %+v", i)
		}
		for range c.Images(t.Context()) {
			break // whoever has seen enough may stop
		}
		w.imageOf("session", "1")
		d := w.domain()
		_, err = c.AttachImage(t.Context(), sagemakerdomain.AttachRequest{Domain: d.ID, Image: "session"})
		w.must(err)
		_, err = w.sm.DeleteImage(t.Context(), &awssagemaker.DeleteImageInput{ImageName: aws.String("session")})
		w.must(err)
		time.Sleep(time.Minute)
		if uses := collect(t, c.ImageUses(t.Context(), "session", 0)); len(uses) != 1 {
			t.Errorf("used by %v", uses)
		}
		w.is(last(c.ImageUses(t.Context(), "session", 2)), domain.ErrNotFound)
		w.must(c.DeleteImage(t.Context(), "genomcis"))
		w.must(c.DeleteVersion(t.Context(), "genomcis", 1))
	})
}
