package fakeaws

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// studioSpace is a space: one user's, or one that all of a domain share.
type studioSpace struct {
	course
	in   *awssagemaker.CreateSpaceInput
	uid  int // in the home file system
	tags map[string]string
}

// owner is the profile whose space it is, empty if it is nobody's.
func (s *studioSpace) owner() string {
	if s.in.OwnershipSettings == nil {
		return ""
	}
	return aws.ToString(s.in.OwnershipSettings.OwnerUserProfileName)
}

// private reports whether only its owner uses it.
func (s *studioSpace) private() bool {
	return s.in.SpaceSharingSettings != nil && s.in.SpaceSharingSettings.SharingType == types.SharingTypePrivate
}

func (c *Cloud) spaceARN(d *studioDomain, s *studioSpace) string {
	return c.sagemakerARN("space/" + d.id + "/" + lower(s.in.SpaceName))
}

func (d *studioDomain) countSpaces(at time.Time) (n int) {
	for _, s := range d.spaces {
		if s.seen(at) {
			n++
		}
	}
	return n
}

// space finds a space that shows at an instant. That its name is like a profile's, whose
// case does not count, is an assumption.
func (d *studioDomain) space(name *string, at time.Time) (*studioSpace, error) {
	s := d.spaces[lower(name)]
	if s == nil || !s.seen(at) {
		return nil, resourceNotFound("Space [%s] does not exist in Domain [%s].", aws.ToString(name), d.id)
	}
	return s, nil
}

// createSpace makes a space with an id and a directory of its own. It has no settings
// for RStudio, which is not run in spaces (API_SpaceSettings). That ownership and
// sharing go together is in the developer guide, "Collaboration with shared spaces".
func (c *Cloud) createSpace(at call, in *awssagemaker.CreateSpaceInput) (*awssagemaker.CreateSpaceOutput, error) {
	d, err := c.servingDomain(in.DomainId, at.At)
	if err != nil {
		return nil, err
	}
	if err := checkPattern("spaceName", *in.SpaceName, studioName); err != nil {
		return nil, err
	}
	tags, err := studioTags(in.Tags)
	if err != nil {
		return nil, err
	}
	s := &studioSpace{in: in, tags: tags}
	if (in.OwnershipSettings == nil) != (in.SpaceSharingSettings == nil) {
		return nil, invalid("OwnershipSettings and SpaceSharingSettings must be specified together")
	}
	if s.owner() != "" {
		if _, err := d.user(in.OwnershipSettings.OwnerUserProfileName, at.At); err != nil {
			return nil, err
		}
	}
	if in.SpaceSettings != nil {
		switch in.SpaceSettings.AppType {
		case "", types.AppTypeJupyterServer, types.AppTypeKernelGateway, types.AppTypeJupyterLab, types.AppTypeCodeEditor:
		default:
			return nil, invalid("AppType %s is not supported for a space", in.SpaceSettings.AppType)
		}
	}
	if old := d.spaces[lower(in.SpaceName)]; old != nil && old.seen(at.At) {
		return nil, resourceInUse("Space [%s] already exists.", c.spaceARN(d, old))
	}
	used := 0
	for _, other := range c.studio.domains {
		used += other.countSpaces(at.At)
	}
	if err := c.within(totalSpaces, used, "Spaces"); err != nil {
		return nil, err
	}
	s.uid = c.nextUID()
	s.create = at.step(c.delays.UserProfile)
	d.spaces[lower(in.SpaceName)] = s
	if s.create.failure == "" {
		c.addHomePoint(d, s.uid, at.At)
	}
	return &awssagemaker.CreateSpaceOutput{SpaceArn: aws.String(c.spaceARN(d, s))}, nil
}

func (c *Cloud) describeSpace(at call, in *awssagemaker.DescribeSpaceInput) (*awssagemaker.DescribeSpaceOutput, error) {
	seen := c.readAt(at)
	d, err := c.studioDomain(in.DomainId, seen)
	if err != nil {
		return nil, err
	}
	s, err := d.space(in.SpaceName, seen)
	if err != nil {
		return nil, err
	}
	return c.describedSpace(d, s, seen), nil
}

func (c *Cloud) describedSpace(d *studioDomain, s *studioSpace, at time.Time) *awssagemaker.DescribeSpaceOutput {
	stage, reason := s.stage(at)
	in := copyOf(s.in)
	return &awssagemaker.DescribeSpaceOutput{
		CreationTime: aws.Time(s.create.begun), DomainId: aws.String(d.id), FailureReason: optional(reason),
		HomeEfsFileSystemUid: aws.String(strconv.Itoa(s.uid)), LastModifiedTime: aws.Time(s.modified(at)),
		OwnershipSettings: in.OwnershipSettings, SpaceArn: aws.String(c.spaceARN(d, s)), SpaceDisplayName: in.SpaceDisplayName,
		SpaceName: in.SpaceName, SpaceSettings: in.SpaceSettings, SpaceSharingSettings: in.SpaceSharingSettings,
		Status: types.SpaceStatus(stage.status()), Url: aws.String(c.domainURL(d) + "/auth?space=" + lower(s.in.SpaceName)),
	}
}

func (c *Cloud) listSpaces(at call, in *awssagemaker.ListSpacesInput) (*awssagemaker.ListSpacesOutput, error) {
	if err := modelled(at, in, "DomainIdEquals", "MaxResults", "NextToken", "SpaceNameContains"); err != nil {
		return nil, err
	}
	seen := c.readAt(at)
	var found []types.SpaceDetails
	for _, d := range c.studio.domains {
		if !d.seen(seen) || in.DomainIdEquals != nil && *in.DomainIdEquals != d.id {
			continue
		}
		for _, s := range d.spaces {
			stage, _ := s.stage(seen)
			if stage == absent || !strings.Contains(lower(s.in.SpaceName), lower(in.SpaceNameContains)) {
				continue
			}
			found = append(found, c.listedSpace(d, s, seen))
		}
	}
	found, next, err := studioPage(at, listing{short: true}, found, func(s types.SpaceDetails) string {
		return byCreation(s.CreationTime, *s.DomainId+"/"+*s.SpaceName)
	}, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &awssagemaker.ListSpacesOutput{Spaces: found, NextToken: next}, nil
}

func (c *Cloud) listedSpace(d *studioDomain, s *studioSpace, at time.Time) types.SpaceDetails {
	stage, _ := s.stage(at)
	details := types.SpaceDetails{
		CreationTime: aws.Time(s.create.begun), DomainId: aws.String(d.id), LastModifiedTime: aws.Time(s.modified(at)),
		SpaceDisplayName: copyOf(s.in).SpaceDisplayName, SpaceName: aws.String(*s.in.SpaceName), Status: types.SpaceStatus(stage.status()),
	}
	if s.owner() != "" {
		details.OwnershipSettingsSummary = &types.OwnershipSettingsSummary{OwnerUserProfileName: aws.String(s.owner())}
		details.SpaceSharingSettingsSummary = &types.SpaceSharingSettingsSummary{SharingType: s.in.SpaceSharingSettings.SharingType}
	}
	if s.in.SpaceSettings != nil {
		details.SpaceSettingsSummary = &types.SpaceSettingsSummary{AppType: s.in.SpaceSettings.AppType}
	}
	return details
}

// updateSpace changes the name that a space shows, and its settings, which are laid over
// those it has. That it is refused while something is under way of the space is as with
// profiles, an assumption.
func (c *Cloud) updateSpace(at call, in *awssagemaker.UpdateSpaceInput) (*awssagemaker.UpdateSpaceOutput, error) {
	d, err := c.servingDomain(in.DomainId, at.At)
	if err != nil {
		return nil, err
	}
	s, err := d.space(in.SpaceName, at.At)
	if err != nil {
		return nil, err
	}
	if stage, _ := s.stage(at.At); stage != present && stage != updateFailed {
		return nil, resourceInUse("Unable to update Space [%s] because it is in status %s.", c.spaceARN(d, s), stage.status())
	}
	if s.update = at.step(c.delays.UserProfile); s.update.failure == "" {
		s.in = copyOf(s.in)
		s.in.SpaceDisplayName, s.in.SpaceSettings = cmp.Or(in.SpaceDisplayName, s.in.SpaceDisplayName), overlay(s.in.SpaceSettings, in.SpaceSettings)
	}
	return &awssagemaker.UpdateSpaceOutput{SpaceArn: aws.String(c.spaceARN(d, s))}, nil
}

// deleteSpace is refused while the space has apps that have not failed. Its files stay.
func (c *Cloud) deleteSpace(at call, in *awssagemaker.DeleteSpaceInput) (*awssagemaker.DeleteSpaceOutput, error) {
	d, err := c.studioDomain(in.DomainId, at.At)
	if err != nil {
		return nil, err
	}
	s, err := d.space(in.SpaceName, at.At)
	if err != nil {
		return nil, err
	}
	if stage, _ := s.stage(at.At); stage == deleting {
		return &awssagemaker.DeleteSpaceOutput{}, nil
	} else if stage == creating || stage == updating {
		return nil, resourceInUse("Unable to delete Space [%s] because it is in status %s.", c.spaceARN(d, s), stage.status())
	}
	if d.anyApp(func(a *studioApp) bool { return a.in(*s.in.SpaceName) && a.live(at.At) }) {
		return nil, resourceInUse("Unable to delete Space [%s] because App(s) are associated with it.", c.spaceARN(d, s))
	}
	s.remove = at.again(s.remove, c.delays.UserProfile)
	if s.remove.failure == "" {
		c.removeHomePoint(d, s.uid, at.At)
	}
	return &awssagemaker.DeleteSpaceOutput{}, nil
}
