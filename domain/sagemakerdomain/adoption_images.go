package sagemakerdomain

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// planImages plans to attach the container images that RStudio offers there. An image
// that is attached already is so by whatever name.
func (a *adoption) planImages(ctx context.Context, c *Client, _ AdoptRequest, source Description, ours *present) error {
	attached := map[string]string{} // names by reference
	if ours != nil {
		for name, i := range ours.images {
			attached[i.Source] = name
		}
	}
	done := map[string]bool{}
	for _, i := range source.Images {
		wanted, ok := a.pictures.of(i.Image)
		if !ok { // it blocks
			continue
		}
		v, err := c.version(ctx, i.Image, i.Version)
		switch {
		case err != nil && kindOf(err) == domain.ErrNotFound:
			a.differ(domain.ThingImage, i.Image, "is left out: SageMaker names it and does not have it")
			continue
		case err != nil:
			return refusal.Step("image "+i.Image, err)
		case v.Status != string(types.ImageVersionStatusCreated):
			a.differ(domain.ThingImage, i.Image, "is left out: its version %d is %s", v.Number, v.Status)
			continue
		}
		reference := cmp.Or(v.Container, v.Base)
		if name := attached[reference]; name != "" {
			a.stay(domain.ThingImage, name, "%s", reference)
			if wanted != "" && wanted != name {
				a.differ(domain.ThingImage, name, "%s is attached by this name already, and %s, which Images has for it, is not heeded: Attach it by that, too, if it is meant", i.Image, wanted)
			}
			done[name] = true
			continue
		}
		name := cmp.Or(wanted, strings.ToLower(i.Image))
		if err := domain.CheckName("image", name); err != nil {
			a.differ(domain.ThingImage, i.Image, "is left out: %v; name it by AdoptRequest.Images, or attach it", err)
			continue
		}
		if done[name] {
			a.differ(domain.ThingImage, i.Image, "is left out: another of SageMaker's images is %s; name it by AdoptRequest.Images", name)
			continue
		}
		done[name] = true
		if ours != nil && ours.images[name].Source != "" {
			a.differ(domain.ThingImage, name, "is %s here and %s there, version %d of %s: attach that, if it is meant", ours.images[name].Source, reference, v.Number, i.Image)
			continue
		}
		a.images = append(a.images, domain.AttachRequest{Name: name, Reference: reference})
		a.make(domain.ThingImage, name, "%s, version %d of %s", reference, v.Number, i.Image)
	}
	a.unused(a.pictures, domain.ThingImage)
	if ours == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(ours.images)) {
		if !done[name] {
			a.differ(domain.ThingImage, name, "is offered here alone")
		}
	}
	return nil
}

// version describes a version of a SageMaker image; zero is the latest.
func (c *Client) version(ctx context.Context, name string, number int32) (ImageVersion, error) {
	in := &awssagemaker.DescribeImageVersionInput{ImageName: &name}
	if number > 0 {
		in.Version = &number
	}
	out, err := c.aws.SageMaker.DescribeImageVersion(ctx, in)
	if err != nil {
		return ImageVersion{}, err
	}
	return versionOf(name, out), nil
}
