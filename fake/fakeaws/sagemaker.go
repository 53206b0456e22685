package fakeaws

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// The model of SageMaker's domains, with RStudio and Studio in them. Members,
// limits of lists and what is required are those of service/sagemaker v1.287.1, whose
// doc comments are the API reference. What statuses mean is in the developer guide,
// "Amazon SageMaker AI domain entities and statuses". The wordings of refusals
// that nobody has published are assumptions, and so is that all have status 400, as
// the protocol's client errors do. Apps cost nothing on the [Bill]: there
// is no list of SageMaker's prices.

// studio is the state of SageMaker in the account's region.
type studio struct {
	domains map[string]*studioDomain
	images  map[string]*studioImage
	configs map[string]*appImageConfig
	uids    int // how many user ids were given out
	quotas  map[string]int
	license License
}

// lateActions are the calls that set something going which can fail later, see
// [Fault.Reason].
var lateActions = [...]string{
	"sagemaker:CreateApp",
	"sagemaker:CreateDomain", "sagemaker:UpdateDomain", "sagemaker:DeleteDomain",
	"sagemaker:CreateImage", "sagemaker:UpdateImage", "sagemaker:DeleteImage",
	"sagemaker:CreateImageVersion", "sagemaker:DeleteImageVersion",
	"sagemaker:CreateSpace", "sagemaker:UpdateSpace", "sagemaker:DeleteSpace",
	"sagemaker:CreateUserProfile", "sagemaker:UpdateUserProfile", "sagemaker:DeleteUserProfile",
}

func (c *Cloud) registerSageMaker() {
	c.studio = studio{
		domains: map[string]*studioDomain{}, images: map[string]*studioImage{}, configs: map[string]*appImageConfig{},
		quotas: map[string]int{},
	}
	handle(c, c.createDomain)
	handle(c, c.describeDomain)
	handle(c, c.listDomains)
	handle(c, c.updateDomain)
	handle(c, c.deleteDomain)

	handle(c, c.createUserProfile)
	handle(c, c.describeUserProfile)
	handle(c, c.listUserProfiles)
	handle(c, c.updateUserProfile)
	handle(c, c.deleteUserProfile)

	handle(c, c.createSpace)
	handle(c, c.describeSpace)
	handle(c, c.listSpaces)
	handle(c, c.updateSpace)
	handle(c, c.deleteSpace)

	handle(c, c.createApp)
	naming(c, func(in *awssagemaker.CreateAppInput) string {
		return appSubject(in.UserProfileName, in.SpaceName, in.AppType, in.AppName)
	})
	handle(c, c.describeApp)
	naming(c, func(in *awssagemaker.DescribeAppInput) string {
		return appSubject(in.UserProfileName, in.SpaceName, in.AppType, in.AppName)
	})
	handle(c, c.listApps)
	handle(c, c.deleteApp)
	naming(c, func(in *awssagemaker.DeleteAppInput) string {
		return appSubject(in.UserProfileName, in.SpaceName, in.AppType, in.AppName)
	})
	handle(c, c.createPresignedDomainURL)

	handle(c, c.createImage)
	handle(c, c.describeImage)
	handle(c, c.listImages)
	handle(c, c.updateImage)
	handle(c, c.deleteImage)
	handle(c, c.createImageVersion)
	handle(c, c.describeImageVersion)
	handle(c, c.listImageVersions)
	handle(c, c.deleteImageVersion)
	handle(c, c.createAppImageConfig)
	handle(c, c.describeAppImageConfig)
	handle(c, c.listAppImageConfigs)
	handle(c, c.deleteAppImageConfig)

	handle(c, c.addTags)
	handle(c, c.listTags)
	handle(c, c.deleteTags)
}

// appSubject names an app by its owner, its type and its name.
func appSubject(user, space *string, kind types.AppType, name *string) string {
	return strings.Join([]string{aws.ToString(user) + aws.ToString(space), string(kind), aws.ToString(name)}, "/")
}

// SageMaker's errors.

func resourceInUse(format string, args ...any) error {
	return refuseAs(http.StatusBadRequest, &types.ResourceInUse{Message: aws.String(fmt.Sprintf(format, args...))})
}

func resourceNotFound(format string, args ...any) error {
	return refuseAs(http.StatusBadRequest, &types.ResourceNotFound{Message: aws.String(fmt.Sprintf(format, args...))})
}

// invalid is what SageMaker has no type for.
func invalid(format string, args ...any) error {
	return refuse(http.StatusBadRequest, "ValidationException", format, args...)
}

func (c *Cloud) sagemakerARN(resource string) string {
	return fmt.Sprintf("arn:aws:sagemaker:%s:%s:%s", c.region, c.account, resource)
}

// course is the instants from which the status of a domain, a user profile or a
// space follows, and of images in other words. An asynchronous call ends in its
// success or, with a reason, in its failure.
type course struct {
	create, update, remove step
}

// A step is one such call. The zero value is a call not made.
type step struct {
	begun, over time.Time
	failure     string
	before      *step // the same call as it was made before; nil is not
}

// as is the step that was the last to be asked for at an instant, for reads that are late.
func (s step) as(at time.Time) step {
	for s.before != nil && !s.asked(at) {
		s = *s.before
	}
	return s
}

func (s step) asked(at time.Time) bool { return !s.begun.IsZero() && !at.Before(s.begun) }

// stage is where a course stands.
type stage int

const (
	absent stage = iota // not yet, or no longer
	creating
	createFailed
	present
	updating
	updateFailed
	deleting
	deleteFailed
)

// stage returns where the course stands at an instant, and why if it has failed.
func (l *course) stage(at time.Time) (stage, string) {
	for _, s := range []struct {
		step
		under, failed, done stage
	}{
		{l.remove.as(at), deleting, deleteFailed, absent},
		{l.update, updating, updateFailed, present},
		{l.create, creating, createFailed, present},
	} {
		switch {
		case !s.asked(at):
		case at.Before(s.over):
			return s.under, ""
		case s.failure != "":
			return s.failed, s.failure
		default:
			return s.done, ""
		}
	}
	return absent, ""
}

func (l *course) seen(at time.Time) bool {
	s, _ := l.stage(at)
	return s != absent
}

// modified is when the course last began something, as LastModifiedTime tells it.
func (l *course) modified(at time.Time) time.Time {
	last := l.create.begun
	for _, s := range []step{l.update, l.remove.as(at)} {
		if s.asked(at) && s.begun.After(last) {
			last = s.begun
		}
	}
	return last
}

// step begins an asynchronous call that takes a time.
func (at call) step(takes time.Duration) step {
	return step{begun: at.At, over: at.At.Add(takes), failure: at.failure}
}

// again begins once more what has failed.
func (at call) again(failed step, takes time.Duration) step {
	s := at.step(takes)
	s.before = &failed
	return s
}

// status is what domains, user profiles and spaces call their stages.
func (s stage) status() string {
	return [...]string{"", "Pending", "Failed", "InService", "Updating", "Update_Failed", "Deleting", "Delete_Failed"}[s]
}

// imageStatus is what images and their versions call them.
func (s stage) imageStatus() string {
	return [...]string{"", "CREATING", "CREATE_FAILED", "CREATED", "UPDATING", "UPDATE_FAILED", "DELETING", "DELETE_FAILED"}[s]
}

// optional is a text of an answer, which is left out when it is empty.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

var (
	// studioName is the pattern of names of domains, profiles, spaces, apps and
	// configurations; imageName that of images (API_CreateDomain, API_CreateImage).
	studioName = regexp.MustCompile(`^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$`)
	imageName  = regexp.MustCompile(`^[a-zA-Z0-9]([-.]?[a-zA-Z0-9]){0,62}$`)
)

// checkPattern refuses a name as SageMaker's validation words it.
func checkPattern(member, value string, pattern *regexp.Regexp) error {
	if len(value) > 63 || !pattern.MatchString(value) {
		return invalid("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: "+
			"Member must satisfy regular expression pattern: %s", value, member, strings.Trim(pattern.String(), "^$"))
	}
	return nil
}

var rolePattern = regexp.MustCompile(`^arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$`)

// checkRole refuses what is no role. Whether there is such a role and what it may
// do is not looked at.
func checkRole(member string, arn *string) error {
	if arn != nil && !rolePattern.MatchString(*arn) {
		return invalid("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: "+
			"Member must satisfy regular expression pattern: %s", *arn, member, strings.Trim(rolePattern.String(), "^$"))
	}
	return nil
}

// overlay returns old settings with what new ones say in their place: what is nil or
// empty says nothing, a list that is not nil replaces the old one, also if it is
// empty. So does the developer guide detach all images ("Detach a custom image"); that
// it goes for every member, and inside structures too, is an assumption.
func overlay[T any](old, changed *T) *T {
	if changed == nil {
		return old
	}
	if old == nil {
		old = new(T)
	}
	merged := copyOf(old)
	overlayInto(reflect.ValueOf(merged).Elem(), reflect.ValueOf(changed).Elem())
	return merged
}

// copyOf is a copy that shares nothing with v.
func copyOf[T any](v *T) *T { return clone(reflect.ValueOf(v)).Interface().(*T) }

func overlayInto(old, changed reflect.Value) {
	for i := range changed.NumField() {
		to, from := old.Field(i), changed.Field(i)
		switch {
		case !changed.Type().Field(i).IsExported() || from.IsZero():
		case from.Kind() == reflect.Pointer && from.Elem().Kind() == reflect.Struct && !to.IsNil():
			overlayInto(to.Elem(), from.Elem())
		default:
			to.Set(clone(from))
		}
	}
}

// A listing is how a list is told.
type listing struct {
	descending bool // by key
	short      bool // some pages hold less than they may
}

// studioPage sorts a list by key and cuts it to what one answer holds. MaxResults is
// "an upper bound, not a target" in the lists that are short (API_ListApps). The
// token is the key of the last item told.
func studioPage[T any](at call, how listing, items []T, key func(T) string, maxResults *int32, token *string) ([]T, *string, error) {
	size := 10
	if maxResults != nil {
		if size = int(*maxResults); size < 1 || size > 100 {
			return nil, nil, invalid("1 validation error detected: Value '%d' at 'maxResults' failed to satisfy constraint: "+
				"Member must have value between 1 and 100", size)
		}
	}
	if how.short && share(mix(at.id)) < 0.5 {
		size = max(1, size/2)
	}
	order := func(a, b string) int {
		if how.descending {
			return strings.Compare(b, a)
		}
		return strings.Compare(a, b)
	}
	slices.SortFunc(items, func(a, b T) int { return order(key(a), key(b)) })
	if token != nil {
		i, found := slices.BinarySearchFunc(items, *token, func(item T, last string) int { return order(key(item), last) })
		if found {
			i++
		}
		items = items[i:]
	}
	if len(items) <= size {
		return items, nil, nil
	}
	return items[:size], aws.String(key(items[size-1])), nil
}

// byCreation is a key in the order of creation.
func byCreation(created *time.Time, name string) string {
	return fmt.Sprintf("%020d/%s", created.UnixNano(), name)
}

// studioTags reads tags by SageMaker's rules (API_Tag).
func studioTags(list []types.Tag) (map[string]string, error) {
	tags := map[string]string{}
	for _, t := range list {
		k, v := aws.ToString(t.Key), aws.ToString(t.Value)
		if _, twice := tags[k]; k == "" || utf8.RuneCountInString(k) > 128 || utf8.RuneCountInString(v) > 256 || strings.HasPrefix(k, "aws:") || twice || len(list) > 50 {
			return nil, invalid("The tag '%s' is invalid or not unique", k)
		}
		tags[k] = v
	}
	return tags, nil
}

func studioTagList(tags map[string]string) (list []types.Tag) {
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return list
}
