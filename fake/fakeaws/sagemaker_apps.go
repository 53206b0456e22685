package fakeaws

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// studioApp is an app, one life of it: when it is made again another takes its place.
type studioApp struct {
	user, space string // one of them
	kind        types.AppType
	name        string
	spec        *types.ResourceSpec
	recovery    *bool
	tags        map[string]string
	created     time.Time // of the first life, if that one is not forgotten
	begun       time.Time // when this life was asked for
	ready       time.Time // when it runs or has failed
	failure     string
	deleted     time.Time // when it was told to go
	gone        time.Time // when it has
	before      *studioApp
	eni         *networkInterface
	menu        *rstudioMenu // of a server of RStudio
}

const (
	// remembered is how long a shut-down app is listed: "After an application has been
	// shut down for 24 hours, SageMaker AI deletes all metadata" (API_DescribeApp).
	remembered = 24 * time.Hour
	// healthCheck is how often SageMaker looks at an app: an assumption.
	healthCheck = 5 * time.Minute
)

// status is the state of an app, empty where there is none. There is no state of an
// app that is suspended or stopped. One that failed stays until it is made again.
func (a *studioApp) status(at time.Time) types.AppStatus {
	switch {
	case at.Before(a.begun):
		if a.before != nil {
			return a.before.status(at)
		}
		return ""
	case !a.deleted.IsZero() && !at.Before(a.deleted):
		switch {
		case at.Before(a.gone):
			return types.AppStatusDeleting
		case at.Before(a.gone.Add(remembered)):
			return types.AppStatusDeleted
		}
		return ""
	case at.Before(a.ready):
		return types.AppStatusPending
	case a.failure != "":
		return types.AppStatusFailed
	}
	return types.AppStatusInService
}

// live reports whether the app is InService, Pending or Deleting: what keeps its owner
// and bounds changes of its domain.
func (a *studioApp) live(at time.Time) bool {
	switch a.status(at) {
	case types.AppStatusInService, types.AppStatusPending, types.AppStatusDeleting:
		return true
	}
	return false
}

// of reports whether it is an app of a profile, and in whether it is in a space.
func (a *studioApp) of(user string) bool  { return a.user != "" && strings.EqualFold(a.user, user) }
func (a *studioApp) in(space string) bool { return a.space != "" && strings.EqualFold(a.space, space) }

func (a *studioApp) key() string {
	return strings.ToLower(a.user + "/" + a.space + "/" + string(a.kind) + "/" + a.name)
}

func (a *studioApp) arn(c *Cloud, d *studioDomain) string {
	return c.sagemakerARN(strings.ToLower(fmt.Sprintf("app/%s/%s/%s/%s", d.id, a.user+a.space, a.kind, a.name)))
}

func (d *studioDomain) anyApp(is func(*studioApp) bool) bool {
	return slices.ContainsFunc(slices.Collect(maps.Values(d.apps)), is)
}

// app finds an app by what calls name it by.
func (c *Cloud) app(domain, user, space *string, kind types.AppType, name *string, at time.Time) (*studioDomain, *studioApp, error) {
	d, err := c.studioDomain(domain, at)
	if err != nil {
		return nil, nil, err
	}
	if (user == nil) == (space == nil) {
		return nil, nil, invalid("Exactly one of UserProfileName and SpaceName must be specified")
	}
	wanted := &studioApp{user: aws.ToString(user), space: aws.ToString(space), kind: kind, name: aws.ToString(name)}
	a := d.apps[wanted.key()]
	if a == nil || a.status(at) == "" {
		return nil, nil, resourceNotFound("App [%s] does not exist.", wanted.arn(c, d))
	}
	return d, a, nil
}

// createApp starts an app. Sessions of RStudio are not for callers: its server starts
// them when their user asks in the browser, see [Cloud.StartRSession]; that the API
// refuses them is an assumption.
func (c *Cloud) createApp(at call, in *awssagemaker.CreateAppInput) (*awssagemaker.CreateAppOutput, error) {
	if err := modelled(at, in, "AppName", "AppType", "DomainId", "RecoveryMode", "ResourceSpec", "SpaceName", "Tags", "UserProfileName"); err != nil {
		return nil, err
	}
	d, err := c.servingDomain(in.DomainId, at.At)
	if err != nil {
		return nil, err
	}
	if err := checkPattern("appName", *in.AppName, studioName); err != nil {
		return nil, err
	}
	tags, err := studioTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if (in.UserProfileName == nil) == (in.SpaceName == nil) {
		return nil, invalid("Exactly one of UserProfileName and SpaceName must be specified")
	}
	a := &studioApp{
		user: aws.ToString(in.UserProfileName), space: aws.ToString(in.SpaceName), kind: in.AppType, name: *in.AppName,
		recovery: in.RecoveryMode, tags: tags,
	}
	if a.kind == types.AppTypeRSessionGateway {
		return nil, invalid("App type RSessionGateway can only be created by RStudio")
	}
	owner, err := c.checkOwner(d, a, at.At)
	if err != nil {
		return nil, err
	}
	if a.spec, err = c.specOf(d, a, owner, in.ResourceSpec); err != nil {
		return nil, err
	}
	if err := c.startApp(d, a, owner, at); err != nil {
		return nil, err
	}
	return &awssagemaker.CreateAppOutput{AppArn: aws.String(a.arn(c, d))}, nil
}

// checkOwner finds the profile that an app is for, nil for one that all share. The
// server of RStudio is the app "default" of "domain-shared" (developer guide, "Shut
// down and restart RStudio"). That JupyterLab and Code Editor run in spaces only is what
// Studio does; that the API refuses them elsewhere is an assumption.
func (c *Cloud) checkOwner(d *studioDomain, a *studioApp, at time.Time) (*studioUser, error) {
	inSpaces := a.kind == types.AppTypeJupyterLab || a.kind == types.AppTypeCodeEditor
	server := a.kind == types.AppTypeRStudioServerPro
	switch {
	case server && (a.user != sharedUser || a.name != "default"):
		return nil, invalid("App type RStudioServerPro must be named default and belong to UserProfile domain-shared")
	case server && d.rstudio() == nil:
		return nil, invalid("Domain [%s] does not have RStudioServerProDomainSettings", d.id)
	case server:
		return nil, nil
	case strings.EqualFold(a.user, sharedUser):
		return nil, invalid("App type %s cannot belong to UserProfile domain-shared", a.kind)
	case a.space == "" && inSpaces:
		return nil, invalid("App type %s must be created in a space", a.kind)
	case a.space != "":
		s, err := d.space(&a.space, at)
		if err != nil {
			return nil, err
		}
		if stage, _ := s.stage(at); stage != present && stage != updateFailed {
			return nil, invalid("Space [%s] is in status %s, which does not allow the operation", a.space, stage.status())
		}
		if s.in.SpaceSettings != nil && s.in.SpaceSettings.AppType != "" && s.in.SpaceSettings.AppType != a.kind {
			return nil, invalid("Space [%s] is for apps of type %s", a.space, s.in.SpaceSettings.AppType)
		}
		if s.private() {
			return d.user(aws.String(s.owner()), at)
		}
		return nil, nil
	}
	u, err := d.user(&a.user, at)
	if err != nil {
		return nil, err
	}
	if s, _ := u.stage(at); s != present && s != updateFailed {
		return nil, invalid("UserProfile [%s] is in status %s, which does not allow the operation", u.name, s.status())
	}
	return u, nil
}

// specOf is what an app is to run on: "The value of InstanceType passed as part of the
// ResourceSpec in the CreateApp call overrides the value passed as part of the ResourceSpec
// configured for the user profile or the domain" (API_CreateApp). What each type of app
// may run on is what has a quota. That ml.t3.medium is the default of sessions is in the
// developer guide; that it is of JupyterLab and Code Editor is an assumption, and so is that what
// a space has is over what its owner has.
func (c *Cloud) specOf(d *studioDomain, a *studioApp, owner *studioUser, asked *types.ResourceSpec) (*types.ResourceSpec, error) {
	settings := d.effective(owner)
	var configured *types.ResourceSpec
	allowed := []types.AppInstanceType{types.AppInstanceTypeSystem}
	var otherwise types.AppInstanceType
	switch a.kind {
	case types.AppTypeRStudioServerPro:
		configured, allowed, otherwise = d.rstudio().DefaultResourceSpec, serverTypes, types.AppInstanceTypeSystem
	case types.AppTypeRSessionGateway:
		allowed, otherwise = sessionTypes, types.AppInstanceTypeMlT3Medium
		if s := settings.RSessionAppSettings; s != nil {
			configured = s.DefaultResourceSpec
		}
	case types.AppTypeJupyterServer: // "JupyterServer apps only support the system value" (API_ResourceSpec)
		otherwise = types.AppInstanceTypeSystem
		if s := settings.JupyterServerAppSettings; s != nil {
			configured = s.DefaultResourceSpec
		}
	case types.AppTypeKernelGateway:
		allowed = studioTypes
		if s := settings.KernelGatewayAppSettings; s != nil {
			configured = s.DefaultResourceSpec
		}
	case types.AppTypeJupyterLab:
		allowed, otherwise = studioTypes, types.AppInstanceTypeMlT3Medium
		if s := settings.JupyterLabAppSettings; s != nil {
			configured = s.DefaultResourceSpec
		}
	case types.AppTypeCodeEditor:
		allowed, otherwise = studioTypes, types.AppInstanceTypeMlT3Medium
		if s := settings.CodeEditorAppSettings; s != nil {
			configured = s.DefaultResourceSpec
		}
	default:
		return nil, fmt.Errorf("fakeaws: apps of type %s are not modelled", a.kind)
	}
	spec := overlay(overlay(overlay(&types.ResourceSpec{InstanceType: otherwise}, configured), d.spaceSpec(a)), asked)
	if a.kind == types.AppTypeKernelGateway && spec.InstanceType == types.AppInstanceTypeSystem {
		// "The system value is translated to ml.t3.medium" (API_ResourceSpec).
		spec.InstanceType = types.AppInstanceTypeMlT3Medium
	}
	switch {
	case spec.InstanceType == "":
		return nil, invalid("InstanceType must be specified for app type %s", a.kind)
	case !slices.Contains(allowed, spec.InstanceType):
		return nil, invalid("Instance type %s is not supported for app type %s", spec.InstanceType, a.kind)
	}
	return spec, nil
}

// spaceSpec is what the settings of an app's space say it runs on.
func (d *studioDomain) spaceSpec(a *studioApp) *types.ResourceSpec {
	s := d.spaces[strings.ToLower(a.space)]
	if s == nil || s.in.SpaceSettings == nil {
		return nil
	}
	switch in := s.in.SpaceSettings; {
	case a.kind == types.AppTypeKernelGateway && in.KernelGatewayAppSettings != nil:
		return in.KernelGatewayAppSettings.DefaultResourceSpec
	case a.kind == types.AppTypeJupyterLab && in.JupyterLabAppSettings != nil:
		return in.JupyterLabAppSettings.DefaultResourceSpec
	case a.kind == types.AppTypeCodeEditor && in.CodeEditorAppSettings != nil:
		return in.CodeEditorAppSettings.DefaultResourceSpec
	}
	return nil
}

// studioTypes are the instances with a name of their own.
var studioTypes = slices.DeleteFunc(types.AppInstanceType("").Values(), func(t types.AppInstanceType) bool {
	return t == types.AppInstanceTypeSystem || t == types.AppInstanceTypeMlGeospatialInteractive
})

// startApp begins the life of an app, whoever asks. The name is taken by one that is
// there; one that has failed or was deleted is made again, and "to be considered an update
// and retain application metadata, applications must be restarted within 24 hours"
// (API_DescribeApp).
func (c *Cloud) startApp(d *studioDomain, a *studioApp, owner *studioUser, at call) error {
	old := d.apps[a.key()]
	if old != nil && old.live(at.At) {
		return resourceInUse("App [%s] already exists.", a.arn(c, d))
	}
	if err := c.roomForApp(a.kind, a.spec.InstanceType, at.At); err != nil {
		return err
	}
	a.begun, a.created, a.failure = at.At, at.At, at.failure
	if old != nil && old.status(at.At) != "" {
		a.created, a.before = old.created, old
		old.before = nil
	}
	a.ready = at.At.Add(c.delays.App)
	// "Tags that you specify for the Domain are also added to all Apps that the
	// Domain launches", and likewise a profile's (API_CreateDomain, API_CreateUserProfile).
	all := maps.Clone(d.tags)
	groups := slices.Clone(d.in.DefaultUserSettings.SecurityGroups)
	if owner != nil {
		maps.Copy(all, owner.tags)
		groups = d.effective(owner).SecurityGroups
	}
	maps.Copy(all, a.tags)
	a.tags = all
	if a.kind == types.AppTypeRStudioServerPro || a.kind == types.AppTypeRSessionGateway {
		groups = append(groups, d.boundary)
	}
	if a.kind == types.AppTypeRStudioServerPro {
		a.menu = c.menuOf(d, at.At)
		if a.failure == "" {
			a.failure = c.unlicensed()
		}
	}
	d.apps[a.key()] = a
	c.attachApp(d, a, groups, at.At)
	return nil
}

func (c *Cloud) describeApp(at call, in *awssagemaker.DescribeAppInput) (*awssagemaker.DescribeAppOutput, error) {
	seen := c.readAt(at)
	d, a, err := c.app(in.DomainId, in.UserProfileName, in.SpaceName, in.AppType, in.AppName, seen)
	if err != nil {
		return nil, err
	}
	return c.describedApp(d, a, seen), nil
}

func (c *Cloud) describedApp(d *studioDomain, a *studioApp, at time.Time) *awssagemaker.DescribeAppOutput {
	if at.Before(a.begun) && a.before != nil {
		a = a.before
	}
	out := &awssagemaker.DescribeAppOutput{
		AppArn: aws.String(a.arn(c, d)), AppName: aws.String(a.name), AppType: a.kind, CreationTime: aws.Time(a.created),
		DomainId: aws.String(d.id), RecoveryMode: copyOf(a.recovery), ResourceSpec: copyOf(a.spec),
		SpaceName: optional(a.space), UserProfileName: optional(a.user), Status: a.status(at),
	}
	if out.Status == types.AppStatusFailed {
		out.FailureReason = optional(a.failure)
	}
	last := at
	if !a.deleted.IsZero() && last.After(a.deleted) {
		last = a.deleted
	}
	if a.failure == "" && !last.Before(a.ready) {
		// "LastUserActivityTimestamp is also updated when SageMaker AI performs health
		// checks without user activity. As a result, this value is set to the same
		// value as LastHealthCheckTimestamp" (API_DescribeApp).
		check := a.ready.Add(last.Sub(a.ready).Truncate(healthCheck))
		out.LastHealthCheckTimestamp, out.LastUserActivityTimestamp = aws.Time(check), aws.Time(check)
	}
	return out
}

func (c *Cloud) listApps(at call, in *awssagemaker.ListAppsInput) (*awssagemaker.ListAppsOutput, error) {
	if err := modelled(at, in, "DomainIdEquals", "MaxResults", "NextToken", "SpaceNameEquals", "UserProfileNameEquals"); err != nil {
		return nil, err
	}
	if in.SpaceNameEquals != nil && in.UserProfileNameEquals != nil {
		return nil, invalid("SpaceNameEquals and UserProfileNameEquals cannot both be specified")
	}
	seen := c.readAt(at)
	var found []types.AppDetails
	for _, d := range c.studio.domains {
		if !d.seen(seen) || in.DomainIdEquals != nil && *in.DomainIdEquals != d.id {
			continue
		}
		for _, a := range d.apps {
			if in.UserProfileNameEquals != nil && !a.of(*in.UserProfileNameEquals) || in.SpaceNameEquals != nil && !a.in(*in.SpaceNameEquals) ||
				a.status(seen) == "" {
				continue
			}
			out := c.describedApp(d, a, seen)
			found = append(found, types.AppDetails{
				AppName: out.AppName, AppType: out.AppType, CreationTime: out.CreationTime, DomainId: out.DomainId,
				ResourceSpec: out.ResourceSpec, SpaceName: out.SpaceName, Status: out.Status, UserProfileName: out.UserProfileName,
			})
		}
	}
	found, next, err := studioPage(at, listing{short: true}, found, func(a types.AppDetails) string {
		return byCreation(a.CreationTime, strings.Join([]string{*a.DomainId, aws.ToString(a.UserProfileName), aws.ToString(a.SpaceName), string(a.AppType), *a.AppName}, "/"))
	}, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &awssagemaker.ListAppsOutput{Apps: found, NextToken: next}, nil
}

// deleteApp ends an app. One that has failed cannot be deleted (developer guide,
// "Amazon SageMaker AI domain entities and statuses"), and the server of RStudio not
// before its sessions ("Shut down and restart RStudio"); by which errors is an
// assumption. That an app that has gone is not found any more, though it is
// listed still, is another.
func (c *Cloud) deleteApp(at call, in *awssagemaker.DeleteAppInput) (*awssagemaker.DeleteAppOutput, error) {
	d, a, err := c.app(in.DomainId, in.UserProfileName, in.SpaceName, in.AppType, in.AppName, at.At)
	if err != nil {
		return nil, err
	}
	switch a.status(at.At) {
	case types.AppStatusFailed:
		return nil, invalid("App [%s] is in status Failed and cannot be deleted.", a.arn(c, d))
	case types.AppStatusDeleted:
		return nil, resourceNotFound("App [%s] does not exist.", a.arn(c, d))
	case types.AppStatusDeleting:
		return &awssagemaker.DeleteAppOutput{}, nil
	}
	if a.kind == types.AppTypeRStudioServerPro &&
		d.anyApp(func(s *studioApp) bool { return s.kind == types.AppTypeRSessionGateway && s.live(at.At) }) {
		return nil, resourceInUse("Unable to delete App [%s] because RSessionGateway App(s) are associated with it.", a.arn(c, d))
	}
	a.deleted = at.At
	a.gone = at.At.Add(c.delays.App)
	return &awssagemaker.DeleteAppOutput{}, nil
}
