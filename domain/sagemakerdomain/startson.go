package sagemakerdomain

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// startsOn is the type of instance that an app of a domain will run on, empty where it is
// SageMaker that chooses, or would refuse: "The value of InstanceType passed as part of the
// ResourceSpec in the CreateApp call overrides the value passed as part of the ResourceSpec
// configured for the user profile or the domain" (API_CreateApp). That a space's is over
// those of its owner is an assumption. What all share has no owner, and its domain's
// defaults are others (DefaultSpaceSettings), which are not read.
func (c *Client) startsOn(ctx context.Context, q StartAppRequest, d Description) (string, error) {
	if q.InstanceType != "" {
		return q.InstanceType, nil
	}
	if q.Type == StudioClassic {
		return serverSystem, nil // "JupyterServer apps only support the system value" (API_ResourceSpec)
	}
	owner, inForce := q.Profile, []*types.ResourceSpec(nil)
	if q.Space != "" {
		s, err := c.aws.SageMaker.DescribeSpace(ctx, &awssagemaker.DescribeSpaceInput{DomainId: &d.ID, SpaceName: &q.Space})
		if unseen(err) {
			return "", nil
		}
		if err != nil {
			return "", refusal.Step("space "+q.Space, err)
		}
		inForce = append(inForce, specOfSpace(s.SpaceSettings, q.Type))
		if s.OwnershipSettings != nil {
			owner = aws.ToString(s.OwnershipSettings.OwnerUserProfileName)
		}
	}
	if owner != "" {
		p, err := c.profile(ctx, d.ID, owner)
		if unseen(err) {
			return "", nil
		}
		if err != nil {
			return "", refusal.Step("user profile "+owner, err)
		}
		inForce = append(inForce, specOfUser(p.Settings, q.Type), specOfUser(d.Settings, q.Type))
	}
	for _, spec := range inForce {
		switch {
		case spec == nil || spec.InstanceType == "":
		case spec.InstanceType == types.AppInstanceTypeSystem && q.Type == StudioKernel:
			return string(types.AppInstanceTypeMlT3Medium), nil // "The system value is translated to ml.t3.medium" (API_ResourceSpec)
		default:
			return string(spec.InstanceType), nil
		}
	}
	return "", nil
}

// unseen reports whether there is nothing to see, or the caller may not: SageMaker says so
// itself of what is to be started, if it matters.
func unseen(err error) bool {
	return refusal.Code(err) == notFound || kindOf(err) == domain.ErrDenied
}

// specOfUser is what settings of a profile or a domain say an app of a type is to run on,
// nil if they say nothing.
func specOfUser(s *types.UserSettings, t AppType) *types.ResourceSpec {
	switch {
	case s == nil:
	case t == StudioKernel && s.KernelGatewayAppSettings != nil:
		return s.KernelGatewayAppSettings.DefaultResourceSpec
	case t == JupyterLab && s.JupyterLabAppSettings != nil:
		return s.JupyterLabAppSettings.DefaultResourceSpec
	case t == CodeEditor && s.CodeEditorAppSettings != nil:
		return s.CodeEditorAppSettings.DefaultResourceSpec
	}
	return nil
}

// specOfSpace is the same of the settings of a space.
func specOfSpace(s *types.SpaceSettings, t AppType) *types.ResourceSpec {
	switch {
	case s == nil:
	case t == StudioKernel && s.KernelGatewayAppSettings != nil:
		return s.KernelGatewayAppSettings.DefaultResourceSpec
	case t == JupyterLab && s.JupyterLabAppSettings != nil:
		return s.JupyterLabAppSettings.DefaultResourceSpec
	case t == CodeEditor && s.CodeEditorAppSettings != nil:
		return s.CodeEditorAppSettings.DefaultResourceSpec
	}
	return nil
}

// checkOwner looks whether the profile or space of an app is there, of a request that is refused,
// by us or by SageMaker: what is new may not show yet.
func (c *Client) checkOwner(ctx context.Context, wrong *problems, q StartAppRequest) (err error) {
	var form problems
	if q.Space != "" {
		if form.checkName("space", q.Space); len(form) == 0 {
			_, err = c.aws.SageMaker.DescribeSpace(ctx, &awssagemaker.DescribeSpaceInput{DomainId: &q.Domain, SpaceName: &q.Space})
			err = wrong.take(noSpace(err, q.Domain, q.Space))
		}
	}
	if q.Profile != "" && err == nil {
		if form.checkProfileName(q.Profile); len(form) == 0 {
			_, err = c.profile(ctx, q.Domain, q.Profile)
			err = wrong.take(err)
		}
	}
	return err
}
