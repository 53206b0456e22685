package fakeaws

import (
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// studioUser is a user profile.
type studioUser struct {
	course
	name     string // as it was given
	uid      int    // in the home file system
	settings *types.UserSettings
	in       *awssagemaker.CreateUserProfileInput
	tags     map[string]string
}

const (
	// firstUID is the first id of a profile or space in a file system: the published
	// examples begin there, and all are above 65535, since ids below belong to
	// containers (developer guide, "Security in RStudio on Amazon SageMaker AI"). That they go
	// up by one is an assumption.
	firstUID = 200001
	// sharedUser is the profile that the server of RStudio belongs to. It is not one
	// that anybody makes, describes or lists.
	sharedUser = "domain-shared"
)

// nextUID gives out an id, in the order of creation and never again.
func (c *Cloud) nextUID() int {
	c.studio.uids++
	return firstUID + c.studio.uids - 1
}

func lower(name *string) string { return strings.ToLower(aws.ToString(name)) }

func (c *Cloud) userARN(d *studioDomain, u *studioUser) string {
	return c.sagemakerARN("user-profile/" + d.id + "/" + strings.ToLower(u.name))
}

func (d *studioDomain) countUsers(at time.Time) (n int) {
	for _, u := range d.users {
		if u.seen(at) {
			n++
		}
	}
	return n
}

// user finds a profile that shows at an instant. Names are "not case sensitive"
// (API_CreateUserProfile).
func (d *studioDomain) user(name *string, at time.Time) (*studioUser, error) {
	u := d.users[lower(name)]
	if u == nil || !u.seen(at) {
		return nil, resourceNotFound("UserProfile [%s] does not exist in Domain [%s].", aws.ToString(name), d.id)
	}
	return u, nil
}

// createUserProfile gives a profile its id and its way into the home file system. One
// whose domain has lost that file system comes to nothing: the developer guide warns that
// deleting it breaks the domain ("Manage Your Amazon EFS Storage Volume"), and this being how
// it shows is an assumption.
func (c *Cloud) createUserProfile(at call, in *awssagemaker.CreateUserProfileInput) (*awssagemaker.CreateUserProfileOutput, error) {
	d, err := c.servingDomain(in.DomainId, at.At)
	if err != nil {
		return nil, err
	}
	if err := checkPattern("userProfileName", *in.UserProfileName, studioName); err != nil {
		return nil, err
	}
	tags, err := studioTags(in.Tags)
	if err != nil {
		return nil, err
	}
	name := lower(in.UserProfileName)
	sso := d.in.AuthMode == types.AuthModeSso
	switch {
	case name == sharedUser:
		return nil, invalid("UserProfileName [%s] is reserved", name)
	case sso && (aws.ToString(in.SingleSignOnUserIdentifier) != "UserName" || aws.ToString(in.SingleSignOnUserValue) == ""):
		return nil, invalid("SingleSignOnUserIdentifier UserName and SingleSignOnUserValue are required when the AuthMode of the domain is SSO")
	case !sso && (in.SingleSignOnUserIdentifier != nil || in.SingleSignOnUserValue != nil):
		return nil, invalid("SingleSignOnUserIdentifier and SingleSignOnUserValue cannot be specified when the AuthMode of the domain is IAM")
	}
	if err := c.checkUserSettings(d, in.UserSettings, d.in.DefaultUserSettings); err != nil {
		return nil, err
	}
	if u := d.users[name]; u != nil && u.seen(at.At) {
		return nil, resourceInUse("UserProfile [%s] already exists.", c.userARN(d, u))
	}
	used := 0
	for _, other := range c.studio.domains {
		used += other.countUsers(at.At)
	}
	if err := c.within(totalProfiles, used, "UserProfiles"); err != nil {
		return nil, err
	}
	u := &studioUser{name: *in.UserProfileName, uid: c.nextUID(), settings: in.UserSettings, in: in, tags: tags}
	u.create = at.step(c.delays.UserProfile)
	if u.create.failure == "" && d.fileSystem != "" && c.home(d, at.At) == nil {
		u.create.failure = "EFS file system " + d.fileSystem + " of the domain does not exist"
	}
	d.users[name] = u
	if u.create.failure == "" {
		c.addHomePoint(d, u.uid, at.At)
	}
	return &awssagemaker.CreateUserProfileOutput{UserProfileArn: aws.String(c.userARN(d, u))}, nil
}

func (c *Cloud) describeUserProfile(at call, in *awssagemaker.DescribeUserProfileInput) (*awssagemaker.DescribeUserProfileOutput, error) {
	seen := c.readAt(at)
	d, err := c.studioDomain(in.DomainId, seen)
	if err != nil {
		return nil, err
	}
	u, err := d.user(in.UserProfileName, seen)
	if err != nil {
		return nil, err
	}
	return c.describedUser(d, u, seen), nil
}

func (c *Cloud) describedUser(d *studioDomain, u *studioUser, at time.Time) *awssagemaker.DescribeUserProfileOutput {
	s, reason := u.stage(at)
	return &awssagemaker.DescribeUserProfileOutput{
		CreationTime: aws.Time(u.create.begun), DomainId: aws.String(d.id), FailureReason: optional(reason),
		HomeEfsFileSystemUid: aws.String(strconv.Itoa(u.uid)), LastModifiedTime: aws.Time(u.modified(at)),
		SingleSignOnUserIdentifier: copyOf(u.in).SingleSignOnUserIdentifier, SingleSignOnUserValue: copyOf(u.in).SingleSignOnUserValue,
		Status: types.UserProfileStatus(s.status()), UserProfileArn: aws.String(c.userARN(d, u)), UserProfileName: aws.String(u.name),
		UserSettings: copyOf(u.settings),
	}
}

func (c *Cloud) listUserProfiles(at call, in *awssagemaker.ListUserProfilesInput) (*awssagemaker.ListUserProfilesOutput, error) {
	if err := modelled(at, in, "DomainIdEquals", "MaxResults", "NextToken", "UserProfileNameContains"); err != nil {
		return nil, err
	}
	seen := c.readAt(at)
	var found []types.UserProfileDetails
	for _, d := range c.studio.domains {
		if !d.seen(seen) || in.DomainIdEquals != nil && *in.DomainIdEquals != d.id {
			continue
		}
		for _, u := range d.users {
			s, _ := u.stage(seen)
			if s == absent || !strings.Contains(strings.ToLower(u.name), lower(in.UserProfileNameContains)) {
				continue
			}
			found = append(found, types.UserProfileDetails{
				CreationTime: aws.Time(u.create.begun), DomainId: aws.String(d.id), LastModifiedTime: aws.Time(u.modified(seen)),
				Status: types.UserProfileStatus(s.status()), UserProfileName: aws.String(u.name),
			})
		}
	}
	found, next, err := studioPage(at, listing{short: true}, found, func(u types.UserProfileDetails) string {
		return byCreation(u.CreationTime, *u.DomainId+"/"+*u.UserProfileName)
	}, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &awssagemaker.ListUserProfilesOutput{UserProfiles: found, NextToken: next}, nil
}

// updateUserProfile is refused while the user has an InService app, and where it would
// take RStudio from somebody: "Changing a user's authorization status is only
// valid from Unauthorized to Authorized" (developer guide, "Create a user to use RStudio").
// Whether the user may be made an administrator, or one no longer, is not said: it may.
func (c *Cloud) updateUserProfile(at call, in *awssagemaker.UpdateUserProfileInput) (*awssagemaker.UpdateUserProfileOutput, error) {
	d, err := c.studioDomain(in.DomainId, at.At)
	if err != nil {
		return nil, err
	}
	u, err := d.user(in.UserProfileName, at.At)
	if err != nil {
		return nil, err
	}
	switch s, _ := u.stage(at.At); s {
	case present, updateFailed:
	case creating, updating, deleting:
		return nil, resourceInUse("UserProfile [%s] is in status %s.", c.userARN(d, u), s.status())
	default:
		return nil, invalid("UserProfile [%s] is in status %s, which does not allow the operation", c.userARN(d, u), s.status())
	}
	if d.anyApp(func(a *studioApp) bool {
		return a.of(u.name) && a.status(at.At) == types.AppStatusInService
	}) {
		return nil, resourceInUse("Unable to update UserProfile [%s] because InService App(s) are associated with it.", c.userARN(d, u))
	}
	changed := &studioUser{name: u.name, settings: overlay(u.settings, in.UserSettings)}
	if in.UserSettings != nil && in.UserSettings.RStudioServerProAppSettings != nil && d.rstudio() != nil {
		before, _ := d.rstudioAccess(u)
		after, _ := d.rstudioAccess(changed)
		if before == types.RStudioServerProAccessStatusEnabled && after == types.RStudioServerProAccessStatusDisabled {
			return nil, invalid("AccessStatus of RStudioServerProAppSettings cannot be changed from ENABLED to DISABLED")
		}
	}
	if err := c.checkUserSettings(d, in.UserSettings, nil); err != nil {
		return nil, err
	}
	if err := c.checkUserSettings(d, changed.settings, d.in.DefaultUserSettings); err != nil {
		return nil, err
	}
	u.update = at.step(c.delays.UserProfile)
	if u.update.failure == "" {
		u.settings = changed.settings
	}
	return &awssagemaker.UpdateUserProfileOutput{UserProfileArn: aws.String(c.userARN(d, u))}, nil
}

// deleteUserProfile is refused while the profile has apps that have not failed, or spaces;
// it says so as people have seen it (aws/amazon-sagemaker-feedback issue 113). The files
// stay (developer guide, "Delete an Amazon SageMaker AI domain").
func (c *Cloud) deleteUserProfile(at call, in *awssagemaker.DeleteUserProfileInput) (*awssagemaker.DeleteUserProfileOutput, error) {
	d, err := c.studioDomain(in.DomainId, at.At)
	if err != nil {
		return nil, err
	}
	u, err := d.user(in.UserProfileName, at.At)
	if err != nil {
		return nil, err
	}
	if s, _ := u.stage(at.At); s == deleting {
		return &awssagemaker.DeleteUserProfileOutput{}, nil
	} else if s == creating || s == updating {
		return nil, resourceInUse("Unable to delete UserProfile [%s] because it is in status %s.", c.userARN(d, u), s.status())
	}
	if d.anyApp(func(a *studioApp) bool { return a.of(u.name) && a.live(at.At) }) {
		return nil, resourceInUse("Unable to delete UserProfile [%s] because App(s) are associated with it.", c.userARN(d, u))
	}
	for _, s := range d.spaces {
		if s.seen(at.At) && strings.EqualFold(s.owner(), u.name) {
			return nil, resourceInUse("Unable to delete UserProfile [%s] because Space(s) are associated with it.", c.userARN(d, u))
		}
	}
	u.remove = at.again(u.remove, c.delays.UserProfile)
	if u.remove.failure == "" {
		c.removeHomePoint(d, u.uid, at.At)
	}
	return &awssagemaker.DeleteUserProfileOutput{}, nil
}
