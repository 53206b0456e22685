package sagemakerdomain

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// ImageUse is a place that names a version of an image.
type ImageUse struct {
	// Domain is the domain's id. With neither Profile nor App it is a default of the domain.
	Domain string
	// Profile is the user profile that names it.
	Profile string
	// App is an app that runs it, or begins to.
	App AppID
	// Version is the number. Zero is the latest.
	Version int32
}

// String formats a use as "d-0123 as default", "d-0123/alice", "d-0123/alice/RSessionGateway/x".
func (u ImageUse) String() string {
	switch {
	case u.App != (AppID{}):
		return u.Domain + "/" + u.App.String()
	case u.Profile != "":
		return u.Domain + "/" + u.Profile
	}
	return u.Domain + " as default"
}

// ImageUses lists which domains, user profiles and live apps of the region still use an
// image: one of its versions, and where none is named, or all of them with version 0. It
// asks for every domain, profile and app, in no order. It yields an error last.
func (c *Client) ImageUses(ctx context.Context, imageName string, version int32) iter.Seq2[ImageUse, error] {
	return func(yield func(ImageUse, error) bool) {
		for u, err := range c.imageUses(ctx, imageName, version) {
			if !yield(u, fail(ctx, "image uses", imageName, err)) || err != nil {
				return
			}
		}
	}
}

func (c *Client) imageUses(ctx context.Context, imageName string, version int32) iter.Seq2[ImageUse, error] {
	return func(yield func(ImageUse, error) bool) {
		tell := func(u ImageUse, s *types.UserSettings) bool {
			for _, number := range namedVersions(s, imageName) {
				if u.Version = number; version == 0 || number == 0 || number == version {
					if !yield(u, nil) {
						return false
					}
				}
			}
			return true
		}
		for d, err := range c.listDomains(ctx) {
			if err != nil {
				yield(ImageUse{}, err)
				return
			}
			about, err := c.describe(ctx, d.ID)
			if refusal.Code(err) == notFound {
				continue
			}
			if err != nil {
				yield(ImageUse{}, err)
				return
			}
			if !tell(ImageUse{Domain: d.ID}, about.Settings) {
				return
			}
			for p, err := range c.listProfiles(ctx, d.ID) {
				var own Profile
				if err == nil {
					own, err = c.profile(ctx, d.ID, p.Name)
				}
				if refusal.Code(err) == notFound {
					continue
				}
				if err != nil {
					yield(ImageUse{}, err)
					return
				}
				if !tell(ImageUse{Domain: d.ID, Profile: p.Name}, own.Settings) {
					return
				}
			}
		}
		for a, err := range c.listApps(ctx, AppFilter{}) {
			if err != nil {
				yield(ImageUse{}, err)
				return
			}
			number, is := versionNumber(a.ImageVersion, imageName)
			if is && a.Status.live() && (version == 0 || number == version) && !yield(ImageUse{Domain: a.Domain, Profile: a.Profile, App: a.AppID, Version: number}, nil) {
				return
			}
		}
	}
}

// namedVersions are the versions of an image that settings name, for whatever app.
func namedVersions(s *types.UserSettings, imageName string) (numbers []int32) {
	if s == nil {
		return nil
	}
	var lists [][]types.CustomImage
	var specs []*types.ResourceSpec
	if r := s.RSessionAppSettings; r != nil {
		lists, specs = append(lists, r.CustomImages), append(specs, r.DefaultResourceSpec)
	}
	if r := s.KernelGatewayAppSettings; r != nil {
		lists, specs = append(lists, r.CustomImages), append(specs, r.DefaultResourceSpec)
	}
	if r := s.JupyterLabAppSettings; r != nil {
		lists, specs = append(lists, r.CustomImages), append(specs, r.DefaultResourceSpec)
	}
	if r := s.CodeEditorAppSettings; r != nil {
		lists, specs = append(lists, r.CustomImages), append(specs, r.DefaultResourceSpec)
	}
	for _, list := range lists {
		for _, i := range list {
			if strings.EqualFold(aws.ToString(i.ImageName), imageName) {
				numbers = append(numbers, aws.ToInt32(i.ImageVersionNumber))
			}
		}
	}
	for _, spec := range specs {
		if spec == nil {
			continue
		}
		if n, ok := versionNumber(aws.ToString(spec.SageMakerImageVersionArn), imageName); ok {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// unused refuses to delete what is used.
func (c *Client) unused(ctx context.Context, imageName string, version int32) error {
	const most = 5
	var users []string
	for u, err := range c.imageUses(ctx, imageName, version) {
		if err != nil {
			return err
		}
		users = append(users, u.String())
	}
	if len(users) == 0 {
		return nil
	}
	if more := len(users) - most; more > 0 {
		users = append(users[:most], fmt.Sprintf("%d more", more))
	}
	return refusal.New(domain.ErrState, "it is still used by %s: detach it, and end the apps, before", strings.Join(users, ", "))
}
