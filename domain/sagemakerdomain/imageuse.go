package sagemakerdomain

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// ImageUse is a place that names a version of an image.
type ImageUse struct {
	// Domain is the domain's id. With neither Profile, Space nor App it is a default of the
	// domain, for profiles or for spaces.
	Domain string
	// Profile or Space names it itself.
	Profile, Space string
	// App is an app that runs it, or begins to.
	App AppID
	// Version is the number. Zero is that none is told: the latest, or one that is named by an
	// alias, and so perhaps any.
	Version int32
}

// String formats a use as "d-0123 as default", "d-0123/alice", "d-0123/space lab",
// "d-0123/alice/RSessionGateway/x".
func (u ImageUse) String() string {
	switch {
	case u.App != (AppID{}):
		return u.Domain + "/" + u.App.String()
	case u.Profile != "":
		return u.Domain + "/" + u.Profile
	case u.Space != "":
		return u.Domain + "/space " + u.Space
	}
	return u.Domain + " as default"
}

// ImageUses lists which domains, user profiles, spaces and live apps of the region still use an
// image: one of its versions, and where none is named, or all of them with version 0. It
// asks for every domain, profile, space and app, in no order. It yields an error last. What is
// named by something and is not there any more is listed as it is; an image or a version that nothing
// names and that is not there is [domain.ErrNotFound].
func (c *Client) ImageUses(ctx context.Context, imageName string, version int32) iter.Seq2[ImageUse, error] {
	var wrong problems
	wrong.checkImageName(imageName)
	if version < 0 {
		wrong.add(domain.ErrInvalid, "version %d: want a number from 1, or 0 for all", version)
	}
	const op = "image uses"
	return func(yield func(ImageUse, error) bool) {
		named := false
		for u, err := range checked(wrong, c.imageUses(ctx, imageName, version)) {
			named = true
			if !yield(u, fail(ctx, op, imageName, err)) || err != nil {
				return
			}
		}
		if named {
			return
		}
		if err := c.imageThere(ctx, imageName, version); err != nil {
			yield(ImageUse{}, fail(ctx, op, imageName, err))
		}
	}
}

// imageThere looks whether there is an image or, with a number, a version of it.
func (c *Client) imageThere(ctx context.Context, imageName string, version int32) error {
	if version == 0 {
		_, err := c.aws.SageMaker.DescribeImage(ctx, &awssagemaker.DescribeImageInput{ImageName: &imageName})
		return c.noImage(err, imageName)
	}
	_, err := c.version(ctx, imageName, version)
	return c.noVersion(ctx, err, imageName, version)
}

// errEnough is that no more uses are wanted.
var errEnough = errors.New("no more are wanted")

func (c *Client) imageUses(ctx context.Context, imageName string, version int32) iter.Seq2[ImageUse, error] {
	return func(yield func(ImageUse, error) bool) {
		err := c.eachPlace(ctx, func(u ImageUse, says any) error {
			for _, u.Version = range namedIn(reflect.ValueOf(says), imageName) {
				if (version == 0 || u.Version == 0 || u.Version == version) && !yield(u, nil) {
					return errEnough
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(ImageUse{}, err)
		}
	}
}

// eachPlace tells of each place of the region that can name images, with what it says, until
// tell fails.
func (c *Client) eachPlace(ctx context.Context, tell func(u ImageUse, says any) error) error {
	for d, err := range c.listDomains(ctx) {
		if err == nil {
			err = c.eachPlaceIn(ctx, d.ID, tell)
		}
		if err != nil && refusal.Code(err) != notFound { // it has gone since
			return err
		}
	}
	for a, err := range c.listApps(ctx, AppFilter{}) {
		if err == nil && a.Status.live() {
			err = tell(ImageUse{Domain: a.Domain, Profile: a.Profile, Space: a.Space, App: a.AppID},
				types.ResourceSpec{SageMakerImageArn: &a.Image, SageMakerImageVersionArn: &a.ImageVersion})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) eachPlaceIn(ctx context.Context, id string, tell func(u ImageUse, says any) error) error {
	d, err := c.aws.SageMaker.DescribeDomain(ctx, &awssagemaker.DescribeDomainInput{DomainId: &id})
	if err == nil {
		err = tell(ImageUse{Domain: id}, d)
	}
	if err != nil {
		return err
	}
	for p, err := range c.listProfiles(ctx, id) {
		if err != nil {
			return err
		}
		own, err := c.aws.SageMaker.DescribeUserProfile(ctx, &awssagemaker.DescribeUserProfileInput{DomainId: &id, UserProfileName: &p.Name})
		if err == nil {
			err = tell(ImageUse{Domain: id, Profile: p.Name}, own)
		}
		if err != nil && refusal.Code(err) != notFound {
			return err
		}
	}
	for s, err := range c.listSpaces(ctx, id) {
		if err != nil {
			return err
		}
		own, err := c.aws.SageMaker.DescribeSpace(ctx, &awssagemaker.DescribeSpaceInput{DomainId: &id, SpaceName: &s.Name})
		if err == nil {
			err = tell(ImageUse{Domain: id, Space: s.Name}, own)
		}
		if err != nil && refusal.Code(err) != notFound {
			return err
		}
	}
	return nil
}

// namedIn are the versions of an image that something of the SDK's names, at whatever depth and
// for whatever app: in a list of custom images, or as what an app is started of.
func namedIn(v reflect.Value, imageName string) (numbers []int32) {
	switch v.Kind() {
	case reflect.Pointer:
		return namedIn(v.Elem(), imageName) // of nil it is no struct
	case reflect.Slice:
		for i := range v.Len() {
			numbers = append(numbers, namedIn(v.Index(i), imageName)...)
		}
	case reflect.Struct:
		switch s := v.Interface().(type) {
		case types.CustomImage:
			if strings.EqualFold(aws.ToString(s.ImageName), imageName) {
				return []int32{aws.ToInt32(s.ImageVersionNumber)}
			}
		case types.ResourceSpec:
			if number, is := versionOfSpec(s, imageName); is {
				return []int32{number}
			}
		}
		for field, value := range v.Fields() {
			if field.IsExported() {
				numbers = append(numbers, namedIn(value, imageName)...)
			}
		}
	}
	return numbers
}

// versionOfSpec is the version of an image that an app is started of, if it is of that image.
// "When both SageMakerImageVersionArn and SageMakerImageArn are passed, SageMakerImageVersionArn is
// used" (API_ResourceSpec); with the other alone, or an alias, no number is told.
func versionOfSpec(s types.ResourceSpec, imageName string) (number int32, is bool) {
	if version := aws.ToString(s.SageMakerImageVersionArn); version != "" {
		return versionNumber(version, imageName)
	}
	_, name, found := strings.Cut(aws.ToString(s.SageMakerImageArn), ":image/")
	return 0, found && strings.EqualFold(name, imageName)
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
