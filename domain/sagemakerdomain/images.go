package sagemakerdomain

import (
	"context"
	"errors"
	"slices"
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
	wrong.checkTags(q.Tags)
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
	out, err := c.untilImage(ctx, q.Name)
	if err != nil {
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

func (p *problems) checkImageName(name string) {
	if len(name) > maxName || !imagePattern.MatchString(name) {
		p.add(domain.ErrInvalid, "image %.70q: want 1 to 63 letters, digits, and hyphens or dots between them", name)
	}
}

// The pauses of the SDK's waiters, which by themselves begin with a minute and reach an
// hour.
const shortestPause, longestPause = time.Second, 10 * time.Second

// untilImage waits until an image is CREATED, by the SDK's waiter.
func (c *Client) untilImage(ctx context.Context, name string) (out *awssagemaker.DescribeImageOutput, err error) {
	c.progress(Progress{Step: "image", Resource: name})
	in := &awssagemaker.DescribeImageInput{ImageName: &name}
	waiter := awssagemaker.NewImageCreatedWaiter(c.aws.SageMaker, func(o *awssagemaker.ImageCreatedWaiterOptions) {
		o.MinDelay, o.MaxDelay = shortestPause, longestPause
		o.Retryable = unlessItStays(o.Retryable, func(out *awssagemaker.DescribeImageOutput) string { return string(out.ImageStatus) })
	})
	err = c.visible(ctx, func() (err error) {
		out, err = waiter.WaitForOutput(ctx, in, c.timeouts.Image)
		return err
	})
	if err == nil || refusal.Code(err) != "" || ctx.Err() != nil {
		return out, missing(err, adviceImage)
	}
	// The waiter does not say what it saw, and the next look may be late.
	var seen *awssagemaker.DescribeImageOutput
	lookErr := settled(ctx, func() (status string, err error) {
		if seen, err = c.aws.SageMaker.DescribeImage(ctx, in); err != nil {
			return "", err
		}
		return string(seen.ImageStatus), nil
	})
	if lookErr != nil {
		return nil, lookErr
	}
	return seen, explainImage("image "+name, string(seen.ImageStatus), aws.ToString(seen.FailureReason), err)
}

// errStays is that something is in a status in which it stays, which the SDK's waiters do not
// know to end a wait for its creation.
var errStays = errors.New("it stays so")

// unlessItStays has one of the SDK's waiters for a creation, of an image or a version, end where
// the status stays, too, and is not one that it ends with.
func unlessItStays[In, Out any](goesOn func(context.Context, In, Out, error) (bool, error), status func(Out) string) func(context.Context, In, Out, error) (bool, error) {
	return func(ctx context.Context, in In, out Out, err error) (bool, error) {
		if err == nil && slices.Contains([]string{string(types.ImageStatusUpdateFailed), string(types.ImageStatusDeleteFailed)}, status(out)) {
			return false, errStays
		}
		return goesOn(ctx, in, out, err)
	}
}

// settled looks again for as long as something may be shown as it was before a wait.
func settled(ctx context.Context, look func() (status string, err error)) error {
	err := pace.Poll(ctx, visibleWithin, errLate, func() (bool, error) {
		status, err := look()
		return status != string(types.ImageStatusCreating), err
	})
	if errors.Is(err, errLate) {
		return nil
	}
	return err
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

// explainImage says in one sentence what has become of an image or a version of one, which
// have statuses of their own. waited is how the wait ended.
func explainImage(what, status, reason string, waited error) error {
	switch types.ImageStatus(status) {
	case types.ImageStatusCreated:
		return nil
	case types.ImageStatusCreating, types.ImageStatusUpdating, types.ImageStatusDeleting:
		return refusal.New(domain.ErrState, "%s is still %s: call again to go on waiting (%w)", what, status, waited)
	case types.ImageStatusCreateFailed:
		return explain(what, Failed, reason)
	case types.ImageStatusUpdateFailed:
		return explain(what, UpdateFailed, reason)
	case types.ImageStatusDeleteFailed:
		return explain(what, DeleteFailed, reason)
	}
	return refusal.New(domain.ErrState, "%s is %s, which this package does not know (%w)", what, status, waited)
}

// DeleteImage deletes a SageMaker image with all its versions; the container images stay in
// ECR. One that settings or apps still name is [domain.ErrState]: SageMaker would delete it,
// and sessions of it would not start any more. One that is being created or updated is waited
// for. It is idempotent: an image that is not there is no error. It returns when it is gone.
func (c *Client) DeleteImage(ctx context.Context, name string) error {
	const op = "delete image"
	var wrong problems
	wrong.checkImageName(name)
	err := wrong.err()
	if err == nil {
		err = c.unused(ctx, name, 0)
	}
	if err == nil {
		err = c.deleteIdle(ctx, "image", name, func() (string, error) {
			out, err := c.aws.SageMaker.DescribeImage(ctx, &awssagemaker.DescribeImageInput{ImageName: &name})
			if err != nil {
				return "", err
			}
			return string(out.ImageStatus), nil
		}, func() error {
			_, err := c.aws.SageMaker.DeleteImage(ctx, &awssagemaker.DeleteImageInput{ImageName: &name})
			return err
		})
		if refusal.Code(err) == notFound {
			return nil
		}
	}
	if err == nil {
		waiter := awssagemaker.NewImageDeletedWaiter(c.aws.SageMaker, func(o *awssagemaker.ImageDeletedWaiterOptions) {
			o.MinDelay, o.MaxDelay = shortestPause, longestPause
		})
		err = waiter.Wait(ctx, &awssagemaker.DescribeImageInput{ImageName: &name}, c.timeouts.Image)
	}
	return fail(ctx, op, name, err)
}

// deleteIdle deletes an image or a version of one when it is not created or updated any more,
// which SageMaker refuses before.
func (c *Client) deleteIdle(ctx context.Context, step, what string, look func() (status string, err error), call func() error) error {
	status := ""
	err := pace.Poll(ctx, c.timeouts.Image, errLate, func() (_ bool, err error) {
		if status, err = look(); err != nil && refusal.Code(err) != notFound { // what is new may not show yet
			return false, err
		}
		switch types.ImageStatus(status) {
		case types.ImageStatusCreating, types.ImageStatusUpdating:
			c.progress(Progress{Step: step, Resource: what, State: status})
			return false, nil
		}
		return true, call()
	})
	if errors.Is(err, errLate) {
		return refusal.New(domain.ErrState, "%s %s is still %s: call again to go on waiting", step, what, status)
	}
	return err
}
