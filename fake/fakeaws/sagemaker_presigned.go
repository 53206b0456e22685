package fakeaws

import (
	"fmt"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// landing holds what a URL may lead to (API_CreatePresignedDomainUrl).
var landing = regexp.MustCompile(`^(studio::|app:(JupyterServer|JupyterLab|RStudioServerPro|CodeEditor|Canvas):)[^\s]*$`)

// createPresignedDomainURL gives a URL to open a domain by in a user's name. The bounds
// are those of API_CreatePresignedDomainUrl: it is good for 5 to 300 seconds, and the
// session that it opens for half an hour to 12. That a user without access to RStudio
// gets a URL for it, which then shows nothing, is an assumption.
func (c *Cloud) createPresignedDomainURL(at call, in *awssagemaker.CreatePresignedDomainUrlInput) (*awssagemaker.CreatePresignedDomainUrlOutput, error) {
	d, err := c.servingDomain(in.DomainId, at.At)
	if err != nil {
		return nil, err
	}
	u, err := d.user(in.UserProfileName, at.At)
	if err != nil {
		return nil, err
	}
	if in.SpaceName != nil {
		if _, err := d.space(in.SpaceName, at.At); err != nil {
			return nil, err
		}
	}
	if d.in.AuthMode != types.AuthModeIam {
		return nil, invalid("CreatePresignedDomainUrl can only be called when the AuthMode of the domain is IAM")
	}
	for _, bound := range []struct {
		member      string
		value       *int32
		least, most int32
	}{
		{"expiresInSeconds", in.ExpiresInSeconds, 5, 300},
		{"sessionExpirationDurationInSeconds", in.SessionExpirationDurationInSeconds, 1800, 43200},
	} {
		if v := bound.value; v != nil && (*v < bound.least || *v > bound.most) {
			return nil, invalid("1 validation error detected: Value '%d' at '%s' failed to satisfy constraint: "+
				"Member must have value between %d and %d", *v, bound.member, bound.least, bound.most)
		}
	}
	if in.LandingUri != nil && (len(*in.LandingUri) > 1023 || !landing.MatchString(*in.LandingUri)) {
		return nil, invalid("LandingUri %s is not supported", *in.LandingUri)
	}
	url := fmt.Sprintf("%s/auth?token=%016x%016x&user=%s", c.domainURL(d), at.id, mix(at.id), u.name)
	return &awssagemaker.CreatePresignedDomainUrlOutput{AuthorizedUrl: aws.String(url)}, nil
}
