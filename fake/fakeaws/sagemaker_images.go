package fakeaws

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// studioImage is a SageMaker image: a name for versions of a container image.
type studioImage struct {
	course
	name                       string
	role, display, description *string
	tags                       map[string]string
	versions                   []*imageVersion // in order of number, also what has gone
}

func (c *Cloud) imageARN(i *studioImage) string {
	return c.sagemakerARN("image/" + strings.ToLower(i.name))
}

// image finds an image that shows at an instant.
func (c *Cloud) image(name *string, at time.Time) (*studioImage, error) {
	i := c.studio.images[lower(name)]
	if i == nil || !i.seen(at) {
		return nil, resourceNotFound("Image with ImageName %s does not exist. Please provide a valid ImageName.", aws.ToString(name))
	}
	return i, nil
}

// createImage names an image; a name that is taken is refused as people have seen it
// (aws-samples/sagemaker-studio-custom-image-samples issue 17, which also has the words
// for a version of an image that is not ready).
func (c *Cloud) createImage(at call, in *awssagemaker.CreateImageInput) (*awssagemaker.CreateImageOutput, error) {
	if err := checkPattern("imageName", *in.ImageName, imageName); err != nil {
		return nil, err
	}
	if err := checkRole("roleArn", in.RoleArn); err != nil {
		return nil, err
	}
	tags, err := studioTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if old := c.studio.images[lower(in.ImageName)]; old != nil && old.seen(at.At) {
		return nil, resourceInUse("The Image with ImageName %s already exists. Please use a different ImageName.", *in.ImageName)
	}
	used := 0
	for _, i := range c.studio.images {
		if i.seen(at.At) {
			used++
		}
	}
	if err := c.within(totalImages, used, "Images"); err != nil {
		return nil, err
	}
	i := &studioImage{name: *in.ImageName, role: in.RoleArn, display: in.DisplayName, description: in.Description, tags: tags}
	i.create = at.step(c.delays.StudioImage)
	c.studio.images[lower(in.ImageName)] = i
	return &awssagemaker.CreateImageOutput{ImageArn: aws.String(c.imageARN(i))}, nil
}

func (c *Cloud) describeImage(at call, in *awssagemaker.DescribeImageInput) (*awssagemaker.DescribeImageOutput, error) {
	seen := c.readAt(at)
	i, err := c.image(in.ImageName, seen)
	if err != nil {
		return nil, err
	}
	return c.describedImage(i, seen), nil
}

func (c *Cloud) describedImage(i *studioImage, at time.Time) *awssagemaker.DescribeImageOutput {
	s, reason := i.stage(at)
	return &awssagemaker.DescribeImageOutput{
		CreationTime: aws.Time(i.create.begun), Description: copyOf(i.description), DisplayName: copyOf(i.display),
		FailureReason: optional(reason), ImageArn: aws.String(c.imageARN(i)), ImageName: aws.String(i.name),
		ImageStatus: types.ImageStatus(s.imageStatus()), LastModifiedTime: aws.Time(i.modified(at)), RoleArn: copyOf(i.role),
	}
}

// listImages lists the newest first, as configurations and versions are (API_ListImages).
func (c *Cloud) listImages(at call, in *awssagemaker.ListImagesInput) (*awssagemaker.ListImagesOutput, error) {
	if err := modelled(at, in, "MaxResults", "NextToken", "NameContains"); err != nil {
		return nil, err
	}
	seen := c.readAt(at)
	var found []types.Image
	for _, i := range c.studio.images {
		if !i.seen(seen) || !strings.Contains(strings.ToLower(i.name), lower(in.NameContains)) {
			continue
		}
		d := c.describedImage(i, seen)
		found = append(found, types.Image{
			CreationTime: d.CreationTime, ImageArn: d.ImageArn, ImageName: d.ImageName, ImageStatus: d.ImageStatus,
			LastModifiedTime: d.LastModifiedTime, Description: d.Description, DisplayName: d.DisplayName, FailureReason: d.FailureReason,
		})
	}
	found, next, err := studioPage(at, listing{descending: true}, found, func(i types.Image) string {
		return byCreation(i.CreationTime, *i.ImageName)
	}, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &awssagemaker.ListImagesOutput{Images: found, NextToken: next}, nil
}

// idleImage refuses to change what a change is under way of.
func (c *Cloud) idleImage(i *studioImage, at time.Time) error {
	switch s, _ := i.stage(at); s {
	case present, updateFailed:
		return nil
	default:
		return resourceInUse("The Image with ImageName %s is in status %s.", i.name, s.imageStatus())
	}
}

// updateImage brings an image back to CREATED, in other texts.
func (c *Cloud) updateImage(at call, in *awssagemaker.UpdateImageInput) (*awssagemaker.UpdateImageOutput, error) {
	i, err := c.image(in.ImageName, at.At)
	if err != nil {
		return nil, err
	}
	if err := c.idleImage(i, at.At); err != nil {
		return nil, err
	}
	if err := checkRole("roleArn", in.RoleArn); err != nil {
		return nil, err
	}
	for _, p := range in.DeleteProperties {
		if p != "Description" && p != "DisplayName" {
			return nil, invalid("Property %s cannot be deleted", p)
		}
	}
	i.update = at.step(c.delays.StudioImage)
	if i.update.failure == "" {
		i.role, i.display, i.description = cmp.Or(in.RoleArn, i.role), cmp.Or(in.DisplayName, i.display), cmp.Or(in.Description, i.description)
		if slices.Contains(in.DeleteProperties, "Description") {
			i.description = nil
		}
		if slices.Contains(in.DeleteProperties, "DisplayName") {
			i.display = nil
		}
	}
	return &awssagemaker.UpdateImageOutput{ImageArn: aws.String(c.imageARN(i))}, nil
}

// deleteImage deletes all versions; "the container images aren't deleted" (API_DeleteImage).
// Settings may name it still.
func (c *Cloud) deleteImage(at call, in *awssagemaker.DeleteImageInput) (*awssagemaker.DeleteImageOutput, error) {
	i, err := c.image(in.ImageName, at.At)
	if err != nil {
		return nil, err
	}
	switch s, _ := i.stage(at.At); s {
	case deleting:
		return &awssagemaker.DeleteImageOutput{}, nil
	case creating, updating:
		return nil, c.idleImage(i, at.At)
	}
	i.remove = at.again(i.remove, c.delays.StudioImage)
	if i.remove.failure == "" {
		for _, v := range i.versions {
			if v.seen(at.At) {
				v.remove = at.step(c.delays.StudioImage)
			}
		}
	}
	return &awssagemaker.DeleteImageOutput{}, nil
}
