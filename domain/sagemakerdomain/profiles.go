package sagemakerdomain

import (
	"context"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// Profile is a user profile as SageMaker has it. What is in force for it is
// [Client.Effective].
type Profile struct {
	// Domain is the domain's id.
	Domain string
	// Name is told apart from others without regard to case.
	Name, ARN     string
	Status        Status
	FailureReason string
	// Problem is a sentence that says what the failure means and whose turn it is; nil
	// where all is well or under way.
	Problem error
	// UID is the user id in the home file system. The home is the directory of that number.
	// Zero is that the profile has none yet.
	UID uint32
	// Access, ExecutionRole, SecurityGroups, SessionInstance and Images are what the profile
	// itself says. Empty is that it says nothing.
	Access          Access
	ExecutionRole   string
	SecurityGroups  []string
	SessionInstance string
	Images          []AttachedImage
	// SSOUser is who it is in IAM Identity Center, where the domain's AuthMode is SSO.
	SSOUser string
	// Settings are all that the profile says, as the SDK has it; nil is nothing.
	Settings          *types.UserSettings
	Created, Modified time.Time
}

// ProfileSummary is what a list tells of a profile.
type ProfileSummary struct {
	Name              string
	Status            Status
	Created, Modified time.Time
}

// Profiles lists the user profiles of a domain, in no order; SageMaker's own, of the
// server of RStudio, is not among them. A page is fetched when it is reached. It
// yields an error last.
func (c *Client) Profiles(ctx context.Context, domainID string) iter.Seq2[ProfileSummary, error] {
	var wrong problems
	wrong.checkDomainID(domainID)
	return func(yield func(ProfileSummary, error) bool) {
		for p, err := range checked(wrong, c.listProfiles(ctx, domainID)) {
			if !yield(p, fail(ctx, "list profiles", domainID, err)) || err != nil {
				return
			}
		}
	}
}

func (c *Client) listProfiles(ctx context.Context, domainID string) iter.Seq2[ProfileSummary, error] {
	return func(yield func(ProfileSummary, error) bool) {
		pages := awssagemaker.NewListUserProfilesPaginator(c.aws.SageMaker, &awssagemaker.ListUserProfilesInput{DomainIdEquals: &domainID, MaxResults: aws.Int32(pageSize)})
		for pages.HasMorePages() {
			out, err := pages.NextPage(ctx)
			if err != nil {
				yield(ProfileSummary{}, err)
				return
			}
			for _, u := range out.UserProfiles {
				if !yield(ProfileSummary{aws.ToString(u.UserProfileName), Status(u.Status), aws.ToTime(u.CreationTime), aws.ToTime(u.LastModifiedTime)}, nil) {
					return
				}
			}
		}
	}
}

// Profile describes a user profile. One that is not there is [domain.ErrNotFound].
func (c *Client) Profile(ctx context.Context, domainID, name string) (Profile, error) {
	var wrong problems
	wrong.checkProfileOf(domainID, name)
	var p Profile
	err := wrong.err()
	if err == nil {
		p, err = c.profile(ctx, domainID, name)
	}
	return p, fail(ctx, "describe profile", domainID+"/"+name, err)
}

func (c *Client) profile(ctx context.Context, domainID, name string) (Profile, error) {
	out, err := c.aws.SageMaker.DescribeUserProfile(ctx, &awssagemaker.DescribeUserProfileInput{DomainId: &domainID, UserProfileName: &name})
	if err != nil {
		return Profile{}, noProfile(err, domainID, name)
	}
	return profileOf(domainID, out)
}

func profileOf(domainID string, out *awssagemaker.DescribeUserProfileOutput) (Profile, error) {
	s := out.UserSettings
	p := Profile{
		Domain: domainID, Name: aws.ToString(out.UserProfileName), ARN: aws.ToString(out.UserProfileArn), Status: Status(out.Status),
		FailureReason: aws.ToString(out.FailureReason), Access: accessOf(s), SSOUser: aws.ToString(out.SingleSignOnUserValue), Settings: s,
		Created: aws.ToTime(out.CreationTime), Modified: aws.ToTime(out.LastModifiedTime),
	}
	p.Problem = explain("user profile "+p.Name, p.Status, p.FailureReason)
	if s != nil {
		p.ExecutionRole, p.SecurityGroups = aws.ToString(s.ExecutionRole), s.SecurityGroups
		p.SessionInstance, p.Images = sessionOf(s)
	}
	if text := aws.ToString(out.HomeEfsFileSystemUid); text != "" {
		uid, err := uidOf(text)
		if err != nil {
			return Profile{}, err
		}
		p.UID = uid
	}
	return p, nil
}

// watchProfile looks at a profile, and keeps what it saw last unless that is nil.
func (c *Client) watchProfile(domainID, name string, last *Profile) watch {
	return watch{domain: domainID, step: "user profile", resource: name, limit: c.timeouts.Profile, look: func(ctx context.Context) (seen, error) {
		out, err := c.aws.SageMaker.DescribeUserProfile(ctx, &awssagemaker.DescribeUserProfileInput{DomainId: &domainID, UserProfileName: &name})
		if err != nil {
			return seen{}, err
		}
		if last != nil {
			if *last, err = profileOf(domainID, out); err != nil {
				return seen{}, err
			}
		}
		return seen{status: Status(out.Status), reason: aws.ToString(out.FailureReason), modified: aws.ToTime(out.LastModifiedTime)}, nil
	}}
}

// ProfileRequest says what a user profile says itself.
type ProfileRequest struct {
	// Domain is the domain's id, Name 1 to 63 letters, digits and hyphens.
	Domain, Name string
	// Access is to RStudio. Empty is the domain's, or stays as it is. Who has access
	// cannot lose it again.
	Access Access
	// ExecutionRole is the ARN of the role of the user's apps. Empty is the domain's, or
	// stays as it is.
	ExecutionRole string
	// SecurityGroups are added to the domain's: together they are at most 2 with RStudio
	// and VpcOnly, 4 with RStudio otherwise, and 5 without. Nil is none, or stays as it is;
	// an empty list that is not nil takes away those there are.
	SecurityGroups []string
	// SessionInstance is what sessions run on unless the user chooses. Empty is the domain's,
	// or stays as it is.
	SessionInstance string
	// SSOUser is the user's name in IAM Identity Center: required where the domain's AuthMode
	// is SSO, forbidden where it is IAM; for ever.
	SSOUser string
	// Tags are for a profile that is made, and for all its apps. Keys do not begin with "aws:" or
	// "atelier:". One that is there stays with those it has.
	Tags map[string]string
}

func (q ProfileRequest) problems() (wrong problems) {
	wrong.checkProfileOf(q.Domain, q.Name)
	wrong.checkAccess("access", q.Access)
	if q.ExecutionRole != "" {
		wrong.checkRole("execution role", q.ExecutionRole)
	}
	wrong.checkGroupIDs(q.SecurityGroups)
	wrong.checkInstance("session instance", q.SessionInstance)
	wrong.checkTags(q.Tags, 0)
	return wrong
}

// settings are what is sent of a profile that has settings already, or of a new one.
func (q ProfileRequest) settings(has *types.UserSettings) *types.UserSettings {
	s := &types.UserSettings{ExecutionRole: optional(q.ExecutionRole), SecurityGroups: q.SecurityGroups, RStudioServerProAppSettings: q.Access.settings()}
	if q.SessionInstance != "" {
		s.RSessionAppSettings = sessionsOn(has, q.SessionInstance)
	}
	return s
}

// againstSignIn reports what is wrong with who it is in a domain where people sign in one way.
func (q ProfileRequest) againstSignIn(d Description) (wrong problems) {
	switch {
	case d.AuthMode == string(types.AuthModeSso) && q.SSOUser == "":
		wrong.add(domain.ErrInvalid, "SSO user: want the name in IAM Identity Center, since people sign in to the domain by it")
	case d.AuthMode == string(types.AuthModeIam) && q.SSOUser != "":
		wrong.add(domain.ErrInvalid, "SSO user %.70q: want none, since people sign in to the domain by IAM", q.SSOUser)
	}
	return wrong
}

// against reports what else is wrong with a request in its domain.
func (q ProfileRequest) against(d Description) (wrong problems) {
	if q.Access != AccessUnset && d.RStudio == nil {
		wrong.add(domain.ErrState, "RStudio is off in domain %s: enable it by UpdateDomain", d.ID)
	}
	most := 5 // UserSettings, SecurityGroups
	if d.RStudio != nil {
		most = mostGroups(d.NetworkType)
	}
	if n := len(d.SecurityGroups) + len(q.SecurityGroups); q.SecurityGroups != nil && n > most {
		wrong.add(domain.ErrInvalid, "%d security groups, %d of them the domain's: want at most %d", n, len(d.SecurityGroups), most)
	}
	return wrong
}

// CreateProfile makes a user profile, which gets a user id and a home, and returns when it
// is InService. It is idempotent by the name: one that is there and says the same is
// returned, whatever its tags are, one that says something else is [domain.ErrConflict]. One
// that has failed is ErrState and says why.
//
// A profile that is deleted and made again has another user id, and so another home: the
// files of the first are found by nobody who does not know its number.
func (c *Client) CreateProfile(ctx context.Context, q ProfileRequest) (Profile, error) {
	p, err := c.createProfile(ctx, q)
	return p, fail(ctx, "create profile", q.Domain+"/"+q.Name, err)
}

func (c *Client) createProfile(ctx context.Context, q ProfileRequest) (Profile, error) {
	wrong := q.problems()
	d, known, err := c.checkedDomain(ctx, &wrong, q.Domain)
	if err != nil {
		return Profile{}, wrong.or(err)
	}
	if known {
		wrong = slices.Concat(wrong, q.againstSignIn(d), q.against(d))
	}
	if err := c.checkProfileAround(ctx, &wrong, d, q); err != nil {
		return Profile{}, err
	}
	in := &awssagemaker.CreateUserProfileInput{
		DomainId: &q.Domain, UserProfileName: &q.Name, UserSettings: q.settings(nil), SingleSignOnUserValue: optional(q.SSOUser), Tags: tagList(q.Tags),
	}
	if q.SSOUser != "" {
		in.SingleSignOnUserIdentifier = aws.String("UserName")
	}
	if _, err := c.aws.SageMaker.CreateUserProfile(ctx, in); err != nil && refusal.Code(err) != inUse {
		return Profile{}, err
	} else if err == nil {
		c.log.InfoContext(ctx, "user profile created", "domain", q.Domain, "profile", q.Name)
	}
	var p Profile
	if err := c.untilServes(ctx, c.watchProfile(q.Domain, q.Name, &p), time.Time{}); err != nil {
		return Profile{}, err
	}
	if how := q.differs(p); how != nil {
		return Profile{}, refusal.New(domain.ErrConflict, "there is a user profile %s that differs: %s; change it by UpdateProfile", p.Name, strings.Join(how, "; "))
	}
	return p, nil
}

// checkProfileAround looks around in the account whether a profile can be as it is asked for,
// and returns that with what is wrong already.
func (c *Client) checkProfileAround(ctx context.Context, wrong *problems, d Description, q ProfileRequest) error {
	err := wrong.looked(c.checkNetwork(ctx, d.VPC, nil, q.SecurityGroups))
	if err == nil && q.ExecutionRole != "" {
		err = wrong.looked(c.checkRole(ctx, "execution role", q.ExecutionRole))
	}
	return wrong.or(err)
}

// differs says in what a profile does not say what is asked for.
func (q ProfileRequest) differs(p Profile) (how []string) {
	for _, member := range []struct{ name, has, want string }{
		{"access", string(p.Access), string(q.Access)}, {"execution role", p.ExecutionRole, q.ExecutionRole},
		{"session instance", p.SessionInstance, q.SessionInstance}, {"SSO user", p.SSOUser, q.SSOUser},
	} {
		if member.want != "" && member.has != member.want {
			how = append(how, member.name+" is "+or(member.has, "not set")+", not "+member.want)
		}
	}
	if q.SecurityGroups != nil && !sameSet(p.SecurityGroups, q.SecurityGroups) {
		how = append(how, "security groups are "+or(strings.Join(p.SecurityGroups, ", "), "not set"))
	}
	return how
}

// checkedProfile is to a profile what checkedDomain is to a domain.
func (c *Client) checkedProfile(ctx context.Context, wrong *problems, q ProfileRequest) (p Profile, known bool, err error) {
	var form problems
	form.checkProfileName(q.Name)
	if len(form) > 0 {
		return p, false, nil // which is said already
	}
	if len(*wrong) > 0 {
		p, err = c.profile(ctx, q.Domain, q.Name)
		return p, err == nil, wrong.take(err)
	}
	s, err := c.untilStill(ctx, c.watchProfile(q.Domain, q.Name, &p))
	switch {
	case err != nil:
		return Profile{}, false, wrong.take(err)
	case s.gone:
		wrong.add(domain.ErrNotFound, "there is no user profile %s in domain %s: CreateProfile makes it, or %s", q.Name, q.Domain, adviceProfile)
		return Profile{}, false, nil
	case p.Status != InService && p.Status != UpdateFailed:
		return Profile{}, false, wrong.take(p.Problem)
	}
	return p, true, nil
}

// againstProfile reports what a profile cannot become.
func (q ProfileRequest) againstProfile(d Description, p Profile) (wrong problems) {
	switch {
	case q.SSOUser == p.SSOUser:
	case p.SSOUser != "":
		wrong.add(domain.ErrState, "the profile is of %s in IAM Identity Center for ever: create another for %s", p.SSOUser, q.SSOUser)
	case d.AuthMode == string(types.AuthModeSso):
		wrong.add(domain.ErrState, "the profile is of nobody in IAM Identity Center for ever: create another for %s", q.SSOUser)
	}
	if q.Access == AccessOff && d.RStudio != nil && or(string(p.Access), or(string(d.DefaultAccess), string(AccessUser))) != string(AccessOff) {
		wrong.add(domain.ErrState, "access to RStudio can be given and not taken back: delete the profile and create it again, with another user id and so another, empty home")
	}
	return wrong
}

// UpdateProfile changes what a user profile says itself, and returns when it is InService
// again. It can be called as often as one likes, and after any failure: what is as it is
// asked for is not changed, an update that has failed is made again.
//
// Access to RStudio that somebody has cannot be taken back ("Changing a user's
// authorization status is only valid from Unauthorized to Authorized", developer guide):
// that is [domain.ErrState]. So is a user who has an InService app, which the error
// names, and a profile that has failed or is being deleted.
func (c *Client) UpdateProfile(ctx context.Context, q ProfileRequest) (Profile, error) {
	p, err := c.updateProfile(ctx, q)
	return p, fail(ctx, "update profile", q.Domain+"/"+q.Name, err)
}

func (c *Client) updateProfile(ctx context.Context, q ProfileRequest) (Profile, error) {
	wrong := q.problems()
	d, known, err := c.checkedDomain(ctx, &wrong, q.Domain)
	if err != nil {
		return Profile{}, wrong.or(err)
	}
	var p Profile
	if known {
		var there bool
		if p, there, err = c.checkedProfile(ctx, &wrong, q); err != nil {
			return Profile{}, wrong.or(err)
		}
		if q.SSOUser == "" && there {
			q.SSOUser = p.SSOUser
		}
		if there || q.SSOUser != "" {
			wrong = append(wrong, q.againstSignIn(d)...)
		}
		wrong = append(wrong, q.against(d)...)
		if there {
			wrong = append(wrong, q.againstProfile(d, p)...)
		}
	}
	if err := c.checkProfileAround(ctx, &wrong, d, q); err != nil {
		return Profile{}, err
	}
	if p.Status == InService && q.differs(p) == nil {
		return p, nil
	}
	running, err := c.liveApps(ctx, AppFilter{Domain: q.Domain, Profile: q.Name}, func(a App) bool { return a.Status == InService })
	if err != nil {
		return Profile{}, err
	}
	if len(running) > 0 {
		return Profile{}, refusal.New(domain.ErrState, "a profile cannot be changed while its user has an app that runs: %s; have the user end it, or DeleteApp it, and call again", appNames(running))
	}
	in := &awssagemaker.UpdateUserProfileInput{DomainId: &q.Domain, UserProfileName: &q.Name, UserSettings: q.settings(p.Settings)}
	if _, err := c.aws.SageMaker.UpdateUserProfile(ctx, in); err != nil {
		return Profile{}, err
	}
	c.log.InfoContext(ctx, "user profile updated", "domain", q.Domain, "profile", q.Name)
	if err := c.untilServes(ctx, c.watchProfile(q.Domain, q.Name, &p), p.Modified); err != nil {
		return Profile{}, err
	}
	return p, nil
}
