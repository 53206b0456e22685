package fakeaws

import (
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// updateDomain changes a domain by the rules of API_UpdateDomain. Settings are as
// asked from the call on, while the status is Updating for a while. That an update that
// fails changes nothing is an assumption.
func (c *Cloud) updateDomain(at call, in *awssagemaker.UpdateDomainInput) (*awssagemaker.UpdateDomainOutput, error) {
	if err := modelled(at, in, "DomainId", "AppNetworkAccessType", "AppSecurityGroupManagement", "DefaultSpaceSettings",
		"DefaultUserSettings", "DomainSettingsForUpdate", "HomeEfsFileSystemCreation", "SubnetIds", "TagPropagation"); err != nil {
		return nil, err
	}
	d, err := c.studioDomain(in.DomainId, at.At)
	if err != nil {
		return nil, err
	}
	switch s, _ := d.stage(at.At); s {
	case present, updateFailed:
	case creating, updating, deleting:
		return nil, resourceInUse("Domain [%s] is in status %s.", d.id, s.status())
	default:
		return nil, invalid("Domain [%s] is in status %s, which does not allow the operation", d.id, s.status())
	}
	changed := &studioDomain{in: updatedDomain(d.in, in)}
	if err := c.checkUpdate(d, changed, in, at.At); err != nil {
		return nil, err
	}
	if err := c.checkDomain(changed); err != nil {
		return nil, err
	}
	d.update = at.step(c.delays.Domain)
	enabled := d.rstudio() == nil && changed.rstudio() != nil
	if enabled && d.update.failure == "" {
		d.update.failure = c.whyNoServer(changed, at.At)
	}
	if d.update.failure != "" {
		return &awssagemaker.UpdateDomainOutput{DomainArn: aws.String(c.domainARN(d.id))}, nil
	}
	home := d.in.HomeEfsFileSystemCreation == types.HomeEfsFileSystemCreationEnabled
	d.in = changed.in
	switch {
	case !home && d.in.HomeEfsFileSystemCreation == types.HomeEfsFileSystemCreationEnabled:
		c.addHome(d, at)
	case home:
		c.addMountTargets(d, at.At)
	}
	if enabled {
		// "SageMaker marks the RStudio AccessStatus of all existing user profiles in the
		// Domain as DISABLED" (developer guide, "Add RStudio support to an existing domain").
		for _, u := range d.users {
			u.settings = overlay(u.settings, &types.UserSettings{})
			u.settings.RStudioServerProAppSettings = &types.RStudioServerProAppSettings{AccessStatus: types.RStudioServerProAccessStatusDisabled}
		}
		d.boundary = c.addBoundary(d, at)
		c.startServer(d, at, d.update.over)
	}
	return &awssagemaker.UpdateDomainOutput{DomainArn: aws.String(c.domainARN(d.id))}, nil
}

// updatedDomain is a domain's settings with the changes in them.
func updatedDomain(old *awssagemaker.CreateDomainInput, in *awssagemaker.UpdateDomainInput) *awssagemaker.CreateDomainInput {
	changes := &awssagemaker.CreateDomainInput{
		AppNetworkAccessType: in.AppNetworkAccessType, AppSecurityGroupManagement: in.AppSecurityGroupManagement,
		DefaultSpaceSettings: in.DefaultSpaceSettings, DefaultUserSettings: in.DefaultUserSettings,
		HomeEfsFileSystemCreation: in.HomeEfsFileSystemCreation, SubnetIds: in.SubnetIds, TagPropagation: in.TagPropagation,
	}
	if s := in.DomainSettingsForUpdate; s != nil {
		changes.DomainSettings = &types.DomainSettings{
			AmazonQSettings: s.AmazonQSettings, DockerSettings: s.DockerSettings, ExecutionRoleIdentityConfig: s.ExecutionRoleIdentityConfig,
			IpAddressType: s.IpAddressType, SecurityGroupIds: s.SecurityGroupIds,
			TrustedIdentityPropagationSettings: s.TrustedIdentityPropagationSettings, UnifiedStudioSettings: s.UnifiedStudioSettings,
		}
		if server := s.RStudioServerProDomainSettingsForUpdate; server != nil {
			changes.DomainSettings.RStudioServerProDomainSettings = &types.RStudioServerProDomainSettings{
				DomainExecutionRoleArn: server.DomainExecutionRoleArn, DefaultResourceSpec: server.DefaultResourceSpec,
				RStudioConnectUrl: server.RStudioConnectUrl, RStudioPackageManagerUrl: server.RStudioPackageManagerUrl,
			}
		}
	}
	return overlay(old, changes)
}

// checkUpdate checks the step from what a domain is to what it is to be. That the
// account's apps have to be gone comes as ResourceInUse is an assumption, and so is
// that what may never be comes as a ValidationException.
func (c *Cloud) checkUpdate(d, changed *studioDomain, in *awssagemaker.UpdateDomainInput, at time.Time) error {
	apps := d.anyApp(func(a *studioApp) bool { return a.live(at) })
	role := changed.rstudio()
	identity := func(d *studioDomain) types.ExecutionRoleIdentityConfig {
		if d.in.DomainSettings == nil {
			return types.ExecutionRoleIdentityConfigDisabled
		}
		return or(d.in.DomainSettings.ExecutionRoleIdentityConfig, types.ExecutionRoleIdentityConfigDisabled)
	}
	switch {
	case in.AppNetworkAccessType != "" && in.AppNetworkAccessType != d.in.AppNetworkAccessType && role != nil:
		return invalid("AppNetworkAccessType cannot be updated when DomainExecutionRoleArn is set or provided in the same request")
	case in.AppNetworkAccessType != "" && in.AppNetworkAccessType != d.in.AppNetworkAccessType && apps:
		return resourceInUse("AppNetworkAccessType of Domain [%s] cannot be updated while there are apps in the InService, Pending, or Deleting state.", d.id)
	case in.HomeEfsFileSystemCreation == types.HomeEfsFileSystemCreationDisabled && d.in.HomeEfsFileSystemCreation != in.HomeEfsFileSystemCreation:
		return invalid("HomeEfsFileSystemCreation cannot be changed from Enabled to Disabled")
	case d.rstudio() == nil && role != nil && apps: // "you must delete and recreate all existing apps in the Domain" ("Add RStudio support to an existing domain")
		return resourceInUse("RStudio cannot be enabled on Domain [%s] while there are apps in the InService, Pending, or Deleting state.", d.id)
	case identity(changed) != identity(d) && apps:
		return resourceInUse("ExecutionRoleIdentityConfig of Domain [%s] cannot be updated while there are apps in the InService, Pending, or Deleting state.", d.id)
	}
	if in.SubnetIds == nil {
		return nil
	}
	if err := c.checkSubnets(*d.in.VpcId, in.SubnetIds); err != nil {
		return err
	}
	removed := slices.ContainsFunc(d.in.SubnetIds, func(id string) bool { return !slices.Contains(in.SubnetIds, id) })
	if removed && apps {
		return resourceInUse("Subnets of Domain [%s] cannot be removed while there are apps in the InService, Pending, or Deleting state.", d.id)
	}
	return nil
}
