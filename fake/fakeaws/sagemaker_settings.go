package fakeaws

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// sessionTypes are what a session of RStudio runs on: those with a quota "RSessionGateway
// Apps running on" in Service Quotas, of which ml.t3.micro and ml.t3.small are gone. No page
// lists them.
var sessionTypes = func() (list []types.AppInstanceType) {
	for _, family := range []struct {
		name  string
		sizes []string
	}{
		{"t3", []string{"medium", "large", "xlarge", "2xlarge"}},
		{"m5", []string{"large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge"}},
		{"m5d", []string{"large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge"}},
		{"r5", []string{"large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge"}},
		{"c5", []string{"large", "xlarge", "2xlarge", "4xlarge", "9xlarge", "12xlarge", "18xlarge", "24xlarge"}},
		{"g4dn", []string{"xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge"}},
		{"p3", []string{"2xlarge", "8xlarge", "16xlarge"}}, {"p3dn", []string{"24xlarge"}}, {"p4d", []string{"24xlarge"}},
	} {
		for _, size := range family.sizes {
			list = append(list, types.AppInstanceType("ml."+family.name+"."+size))
		}
	}
	return list
}()

// maxSessionImages is how many custom images a list has at most (API_RSessionAppSettings).
const maxSessionImages = 200

// maxGroups is how many security groups a profile has at most, those of the domain
// included: 5 (API_UserSettings) or, with RStudio, "2 in VPCOnly mode and 4 in
// PublicInternetOnly mode" (developer guide, "Add RStudio support to an existing domain"). That
// the first counts the domain's too is an assumption.
func (d *studioDomain) maxGroups() int {
	switch {
	case d.rstudio() == nil:
		return 5
	case d.in.AppNetworkAccessType == types.AppNetworkAccessTypeVpcOnly:
		return 2
	}
	return 4
}

// checkUserSettings checks what a domain gives its users by default or, with the
// defaults, what a profile has.
func (c *Cloud) checkUserSettings(d *studioDomain, s, defaults *types.UserSettings) error {
	if s == nil {
		return nil
	}
	if err := checkRole("executionRole", s.ExecutionRole); err != nil {
		return err
	}
	groups := s.SecurityGroups
	if defaults != nil {
		groups = append(slices.Clone(defaults.SecurityGroups), groups...)
	}
	if most := d.maxGroups(); len(groups) > most {
		return invalid("A user profile of Domain [%s] can have at most %d security groups", d.id, most)
	}
	for _, id := range groups {
		if g := c.ec2.groups[id]; g == nil || g.vpc != *d.in.VpcId {
			return invalid("The security group '%s' does not exist in VPC '%s'", id, *d.in.VpcId)
		}
	}
	if a := s.RStudioServerProAppSettings; a != nil && a.AccessStatus == types.RStudioServerProAccessStatusDisabled && a.UserGroup != "" {
		// hashicorp/terraform-provider-aws issue 33034.
		return invalid("UserGroup cannot be specified when AccessStatus is DISABLED")
	}
	r := s.RSessionAppSettings
	if r == nil {
		return nil
	}
	if spec := r.DefaultResourceSpec; spec != nil && spec.InstanceType != "" && !slices.Contains(sessionTypes, spec.InstanceType) {
		return invalid("Instance type %s is not supported for app type RSessionGateway", spec.InstanceType)
	}
	if len(r.CustomImages) > maxSessionImages {
		return invalid("1 validation error detected: Value at 'customImages' failed to satisfy constraint: Member must have length less than or equal to %d", maxSessionImages)
	}
	// That an image and its configuration have to be there when they are named is an
	// assumption; both can be deleted afterwards (aws/amazon-sagemaker-feedback issue 134).
	for _, i := range r.CustomImages {
		image := c.studio.images[lower(i.ImageName)]
		switch {
		case image == nil:
			return invalid("Image [%s] does not exist", aws.ToString(i.ImageName))
		case c.studio.configs[lower(i.AppImageConfigName)] == nil:
			return invalid("AppImageConfig [%s] does not exist", aws.ToString(i.AppImageConfigName))
		case i.ImageVersionNumber != nil && image.version(int(*i.ImageVersionNumber)) == nil:
			return invalid("Version %d of image [%s] does not exist", *i.ImageVersionNumber, aws.ToString(i.ImageName))
		}
	}
	return nil
}

// effective returns what is in force for a profile: "SecurityGroups is aggregated when
// specified in both calls. For all other settings, the values specified in
// CreateUserProfile take precedence" (API_CreateDomain).
func (d *studioDomain) effective(u *studioUser) *types.UserSettings {
	if u == nil {
		return copyOf(d.in.DefaultUserSettings)
	}
	all := overlay(d.in.DefaultUserSettings, u.settings)
	if u.settings != nil {
		all.SecurityGroups = append(slices.Clone(d.in.DefaultUserSettings.SecurityGroups), u.settings.SecurityGroups...)
	}
	return all
}

// rstudioAccess is what a profile may do in RStudio. "If the AccessStatus parameter is not
// specified as part of the CreateUserProfile API, the default access status is ENABLED"
// (developer guide, "Add RStudio support to an existing domain"), unless the domain has
// another. Of the page "Create a user to use RStudio" one edition says so too and another
// the contrary. Being a user is the default of UserGroup (API_RStudioServerProAppSettings).
func (d *studioDomain) rstudioAccess(u *studioUser) (types.RStudioServerProAccessStatus, types.RStudioServerProUserGroup) {
	if d.rstudio() == nil {
		return types.RStudioServerProAccessStatusDisabled, ""
	}
	a := d.effective(u).RStudioServerProAppSettings
	if a == nil {
		a = &types.RStudioServerProAppSettings{}
	}
	access := or(a.AccessStatus, types.RStudioServerProAccessStatusEnabled)
	if access == types.RStudioServerProAccessStatusDisabled {
		return access, ""
	}
	return access, or(a.UserGroup, types.RStudioServerProUserGroupUser)
}
