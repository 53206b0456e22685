package sagemakerdomain

import (
	"context"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/internal/refusal"
)

// RegisterImageRequest says what SageMaker image there is to be: a name for versions of a
// container image.
type RegisterImageRequest struct {
	// Name is 1 to 63 letters, digits, hyphens and dots.
	Name string
	// Role is the ARN of the role that reads the container image. Required.
	Role string
	// DisplayName and Description are what people see. Empty is none.
	DisplayName, Description string
	// Tags are the caller's.
	Tags map[string]string
}

// RegisteredImage is a SageMaker image.
type RegisteredImage struct {
	Name, ARN, Role, DisplayName, Description string
	Created                                   time.Time
}

// RegisterImage makes a SageMaker image, and returns when it is CREATED. It is idempotent by
// the name: one that is there with the same role is returned, with another it is
// [domain.ErrConflict]. One that has failed is [domain.ErrState] and says why.
func (c *Client) RegisterImage(ctx context.Context, q RegisterImageRequest) (RegisteredImage, error) {
	i, err := c.registerImage(ctx, q)
	return i, fail(ctx, "register image", q.Name, err)
}

func (c *Client) registerImage(ctx context.Context, q RegisterImageRequest) (RegisteredImage, error) {
	var wrong problems
	wrong.checkImageName(q.Name)
	wrong.checkRole("role", q.Role)
	wrong.checkTags(q.Tags, 0)
	err := wrong.looked(c.checkRole(ctx, "role", q.Role))
	if err := wrong.or(err); err != nil {
		return RegisteredImage{}, err
	}
	_, err = c.aws.SageMaker.CreateImage(ctx, &awssagemaker.CreateImageInput{
		ImageName: &q.Name, RoleArn: &q.Role, DisplayName: optional(q.DisplayName), Description: optional(q.Description), Tags: tagList(q.Tags),
	})
	if err != nil && refusal.Code(err) != inUse {
		return RegisteredImage{}, err
	}
	var out awssagemaker.DescribeImageOutput
	if err := c.untilServes(ctx, c.watchImage(q.Name, &out), time.Time{}); err != nil {
		return RegisteredImage{}, err
	}
	if aws.ToString(out.RoleArn) != q.Role {
		return RegisteredImage{}, refusal.New(domain.ErrConflict, "there is an image of the name with role %s, not %s", aws.ToString(out.RoleArn), q.Role)
	}
	return RegisteredImage{
		aws.ToString(out.ImageName), aws.ToString(out.ImageArn), aws.ToString(out.RoleArn), aws.ToString(out.DisplayName), aws.ToString(out.Description),
		aws.ToTime(out.CreationTime),
	}, nil
}

// ImageSummary is what a list tells of a SageMaker image.
type ImageSummary struct {
	Name, ARN, DisplayName, Description string
	// Status is in SageMaker's words ("CREATED"), FailureReason its own text.
	Status, FailureReason string
	Created               time.Time
}

// Images lists the SageMaker images of the region, the newest first, also those that others have
// registered. A page is fetched when it is reached. It yields an error last.
func (c *Client) Images(ctx context.Context) iter.Seq2[ImageSummary, error] {
	return func(yield func(ImageSummary, error) bool) {
		for i, err := range c.listImages(ctx) {
			if !yield(i, fail(ctx, "list images", "", err)) || err != nil {
				return
			}
		}
	}
}

func (c *Client) listImages(ctx context.Context) iter.Seq2[ImageSummary, error] {
	return func(yield func(ImageSummary, error) bool) {
		pages := awssagemaker.NewListImagesPaginator(c.aws.SageMaker, &awssagemaker.ListImagesInput{MaxResults: aws.Int32(pageSize)})
		for pages.HasMorePages() {
			out, err := pages.NextPage(ctx)
			if err != nil {
				yield(ImageSummary{}, err)
				return
			}
			for _, i := range out.Images {
				if !yield(ImageSummary{
					Name: aws.ToString(i.ImageName), ARN: aws.ToString(i.ImageArn), DisplayName: aws.ToString(i.DisplayName), Description: aws.ToString(i.Description),
					Status: string(i.ImageStatus), FailureReason: aws.ToString(i.FailureReason), Created: aws.ToTime(i.CreationTime),
				}, nil) {
					return
				}
			}
		}
	}
}

func (p *problems) checkImageName(name string) {
	if len(name) > maxName || !imagePattern.MatchString(name) {
		p.add(domain.ErrInvalid, "image %.70q: want 1 to 63 letters, digits, and hyphens or dots between them", name)
	}
}

// imageStatus is a status of an image, or of a version of one, in the words of the others: what
// waits make of it is the same. One that is not known is as it is.
func imageStatus(s string) Status {
	if known, ok := imageStatuses[types.ImageStatus(s)]; ok {
		return known
	}
	return Status(s)
}

// imageStatuses are those of images; their versions have the same but for updates (the SDK's
// ImageStatus and ImageVersionStatus).
var imageStatuses = map[types.ImageStatus]Status{
	types.ImageStatusCreating: Pending, types.ImageStatusCreated: InService, types.ImageStatusCreateFailed: Failed,
	types.ImageStatusUpdating: Updating, types.ImageStatusUpdateFailed: UpdateFailed,
	types.ImageStatusDeleting: Deleting, types.ImageStatusDeleteFailed: DeleteFailed,
}

// watchImage looks at an image, and keeps what it saw last unless that is nil.
func (c *Client) watchImage(name string, last *awssagemaker.DescribeImageOutput) watch {
	return watch{step: "image", resource: name, limit: c.timeouts.Image, look: func(ctx context.Context) (seen, error) {
		out, err := c.aws.SageMaker.DescribeImage(ctx, &awssagemaker.DescribeImageInput{ImageName: &name})
		if err != nil {
			return seen{}, err
		}
		if last != nil {
			*last = *out
		}
		return seen{status: imageStatus(string(out.ImageStatus)), reason: aws.ToString(out.FailureReason), modified: aws.ToTime(out.LastModifiedTime)}, nil
	}}
}

// visible makes a call again for as long as what was just made may be invisible.
func (c *Client) visible(ctx context.Context, call func() error) error {
	var last error
	err := pace.Poll(ctx, visibleWithin, errLate, func() (bool, error) {
		last = call()
		return refusal.Code(last) != notFound, nil
	})
	if err != nil && ctx.Err() != nil {
		return err
	}
	return last
}

// DeleteImage deletes a SageMaker image with all its versions; the container images stay in
// ECR, and the image's configuration in SageMaker, see [AttachRequest]. One that settings or apps
// still name is [domain.ErrState]: SageMaker would delete it, and sessions of it would not start any
// more. One that is being created or updated is waited for. It is idempotent: an image that is not
// there is no error; a deletion that has failed is ErrState, says why, and is tried again. It returns
// when it is gone.
func (c *Client) DeleteImage(ctx context.Context, name string) error {
	const op = "delete image"
	var wrong problems
	wrong.checkImageName(name)
	err := wrong.err()
	if err == nil {
		err = c.unused(ctx, name, 0)
	}
	if err == nil {
		err = c.deleteOne(ctx, c.watchImage(name, nil), func() error {
			_, err := c.aws.SageMaker.DeleteImage(ctx, &awssagemaker.DeleteImageInput{ImageName: &name})
			return err
		})
	}
	return fail(ctx, op, name, err)
}
