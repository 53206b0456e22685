package sagemakerdomain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// AttachRequest says which image RStudio is to offer in a domain.
type AttachRequest struct {
	// Domain is the domain's id, Image the name of a SageMaker image.
	Domain, Image string
	// Version is the number. Zero is the latest that there is now, which is then named by its
	// number: a server that is told none stays with the one that was the latest when it was
	// made (aws/amazon-sagemaker-feedback issue 94).
	Version int32
	// Config is the name of the image's configuration, which RStudio needs and reads nothing
	// of; it is made if it is not there. Empty is the name of the image, with hyphens for
	// its dots. Nothing here deletes it, not even with image and domain: other domains may name it,
	// and who attaches the image again finds it. DeleteAppImageConfig of the SDK deletes it.
	Config string
	// SessionVersion is that of the session components in the image. Empty is what the tag
	// of its container image says or, if that says none, the RSW_VERSION with which it was
	// built, by its configuration.
	SessionVersion string
	// ServerVersion is that of the domain's Workbench, as RStudio's own page shows it: no call
	// of the API tells it. Empty is not known.
	ServerVersion string
	// Restart makes the server of RStudio again, so that users see the change, and
	// EndSessions lets sessions be ended for that, see [RestartRequest].
	Restart, EndSessions bool
}

// maxImages is how many custom images RStudio offers (RSessionAppSettings, CustomImages).
const maxImages = 200

// Attached is what an attachment came to.
type Attached struct {
	AttachedImage
	// Size is that of the container image, in bytes and compressed. Zero is not known.
	Size int64
	// Unchecked are sentences about what nobody has looked at.
	Unchecked []string
	Visibility
}

// Visibility says when users see a change of images.
type Visibility struct {
	// RestartDue says that they do not before the server of RStudio is made again, by
	// [Client.RestartServer].
	RestartDue bool
	// Least and Most are how long it then takes, as a user has seen it: SageMaker shows no
	// progress, documents no time and reports no error
	// (aws/amazon-sagemaker-feedback issue 95). Zero is that nothing has changed.
	Least, Most time.Duration
}

const visibleLeast, visibleMost = 15 * time.Minute, 30 * time.Minute

// AttachImage has RStudio in a domain offer a version of an image, in the place of another
// version of it. The image is checked first, as far as its registry tells of it: its registry and
// region, its compressed size, its architecture, the variables RSTUDIO_CONNECT_URL and
// RSTUDIO_PACKAGE_MANAGER_URL, which it has to give values for, and its session components
// against the server, where both versions are known. What was not checked is in the answer:
// nothing here looks into the layers. Entry point and command are not looked at, since
// SageMaker overrides both; /opt/.sagemakerinternal and /opt/ml it has for itself ("Custom
// RStudio image specifications", developer guide). It is a default of the domain: profiles that
// have lists of their own, see [Profile], are not offered it.
//
// It is idempotent, and can be called after any failure. The API replaces the whole list of
// images and knows no condition: calls of one Client take turns; somebody else's change
// between the read and the write, some milliseconds apart, is lost, and one that comes
// while the update is under way is noticed, which is [domain.ErrConflict]. A list of 200
// is [domain.ErrQuota].
func (c *Client) AttachImage(ctx context.Context, q AttachRequest) (Attached, error) {
	a, err := c.attachImage(ctx, q)
	return a, fail(ctx, "attach image", q.Domain+"/"+q.Image, err)
}

func (c *Client) attachImage(ctx context.Context, q AttachRequest) (Attached, error) {
	var wrong problems
	wrong.checkDomainID(q.Domain)
	wrong.checkImageName(q.Image)
	if q.Config == "" {
		q.Config = strings.ReplaceAll(q.Image, ".", "-")
	}
	wrong.checkName("image configuration", q.Config)
	if q.Version < 0 {
		wrong.add(domain.ErrInvalid, "version %d: want a number from 1, or 0 for the latest", q.Version)
	}
	session, server := wrong.version("session version", q.SessionVersion), wrong.version("server version", q.ServerVersion)
	d, known, err := c.checkedDomain(ctx, &wrong, q.Domain)
	if err != nil {
		return Attached{}, wrong.or(err)
	}
	if known && d.RStudio == nil {
		wrong.add(domain.ErrState, "RStudio is off in domain %s: enable it by UpdateDomain", d.ID)
	}
	v, found, err := c.checkedVersion(ctx, &wrong, q)
	if err != nil {
		return Attached{}, wrong.or(err)
	}
	if !found {
		return Attached{}, wrong.err()
	}
	done := Attached{AttachedImage: AttachedImage{q.Image, q.Config, v.Number}}
	before := len(wrong)
	container := cmp.Or(v.Container, v.Base) // a version stays with what its tag named when it was made
	done.Size, done.Unchecked, err = c.checkBase(ctx, &wrong, container)
	if err != nil {
		return Attached{}, wrong.or(refusal.Step("container image "+container, err))
	}
	var built SessionVersion
	if len(wrong) == before { // there is an image
		var unchecked []string
		if built, unchecked, err = c.checkConfiguration(ctx, &wrong, container); err != nil {
			return Attached{}, wrong.or(refusal.Step("container image "+container, err))
		}
		done.Unchecked = append(done.Unchecked, unchecked...)
	}
	done.Unchecked = append(done.Unchecked, wrong.checkSession(session, server, v.Base, built)...)
	if err := wrong.err(); err != nil {
		return Attached{}, err
	}
	if _, err := c.aws.SageMaker.CreateAppImageConfig(ctx, &awssagemaker.CreateAppImageConfigInput{AppImageConfigName: &q.Config}); err != nil && refusal.Code(err) != inUse {
		return Attached{}, refusal.Step("image configuration "+q.Config, err)
	}
	done.Visibility, err = c.changeImages(ctx, q.Domain, func(list []types.CustomImage) ([]types.CustomImage, error) {
		list = without(list, q.Image)
		if len(list) >= maxImages {
			return nil, refusal.New(domain.ErrQuota, "RStudio offers %d custom images, which is all it can: detach one first", len(list))
		}
		return append(list, types.CustomImage{ImageName: &q.Image, AppImageConfigName: &q.Config, ImageVersionNumber: &v.Number}), nil
	})
	if err == nil && q.Restart && done.RestartDue {
		err = c.restartServer(ctx, RestartRequest{Domain: q.Domain, EndSessions: q.EndSessions})
		done.RestartDue = err != nil
	}
	return done, err
}

// checkedVersion is the version of an image that is to be attached: once it is CREATED or, if
// something is wrong already, as it is now. What keeps it from being attached is added to what is
// wrong; found says that there is one.
func (c *Client) checkedVersion(ctx context.Context, wrong *problems, q AttachRequest) (v ImageVersion, found bool, err error) {
	var form problems
	if form.checkImageName(q.Image); len(form) > 0 || q.Version < 0 {
		return v, false, nil // which is said already
	}
	look := func() (err error) {
		v, err = c.version(ctx, q.Image, q.Version)
		return err
	}
	switch {
	case len(*wrong) > 0:
		err = look()
	case q.Version == 0:
		if err = c.visible(ctx, look); err == nil {
			v, err = c.untilVersion(ctx, q.Image, v.Number)
		}
	default:
		v, err = c.untilVersion(ctx, q.Image, q.Version)
	}
	if err != nil {
		err = c.noVersion(ctx, err, q.Image, q.Version)
		if _, refused := errors.AsType[*refusal.Error](err); refused && kindOf(err) != domain.ErrNotFound { // which names it
			err = &refusal.Error{Kind: kindOf(err), Err: refusal.Step("image "+q.Image, err)}
		}
		return ImageVersion{}, false, wrong.take(err)
	}
	return v, true, nil
}

// version reads a version that may be left out.
func (p *problems) version(what, s string) (v SessionVersion) {
	if s == "" {
		return v
	}
	v, err := parseSessionVersion(s)
	if err != nil {
		p.add(domain.ErrInvalid, "%s %w", what, err)
	}
	return v
}

// checkSession compares the session components of an image with the server. A pair that
// differs is not supported ("Session version mismatch", developer guide), and between 2022
// and later ones a session did not start at all.
//
// The version is what the request says, the tag of base, or what it was built with.
func (p *problems) checkSession(session, server SessionVersion, base string, built SessionVersion) (unchecked []string) {
	if session == (SessionVersion{}) {
		tag := base[strings.LastIndexByte(base, '/')+1:]
		if _, t, ok := strings.Cut(tag, ":"); ok {
			session, _ = findSessionVersion(t)
		}
	}
	if session == (SessionVersion{}) {
		session = built
	}
	switch {
	case session == (SessionVersion{}):
		unchecked = append(unchecked, "the session components: neither the tag nor the configuration of the container image names their version, and nothing looks into its layers")
	case server == (SessionVersion{}):
		unchecked = append(unchecked, fmt.Sprintf("the session components, %s, against the server, whose version no call tells", session))
	case session.Compare(server) != 0:
		relation := "older"
		if session.Compare(server) > 0 {
			relation = "newer"
		}
		p.add(domain.ErrInvalid, "its session components are %s, %s than the server's %s, which is not supported: build it from r-session-complete of the server's version", session, relation, server)
	}
	return append(unchecked, "packages, session binaries and reserved paths in the image: nothing looks into its layers")
}

// without are the images other than one, whose name is told apart without regard to case.
func without(list []types.CustomImage, name string) []types.CustomImage {
	return slices.DeleteFunc(slices.Clone(list), func(i types.CustomImage) bool { return strings.EqualFold(aws.ToString(i.ImageName), name) })
}

// DetachRequest says which image RStudio is no longer to offer.
type DetachRequest struct {
	// Domain is the domain's id, Image the name of a SageMaker image, which goes in all its
	// versions.
	Domain, Image string
	// Restart and EndSessions are as in [AttachRequest].
	Restart, EndSessions bool
}

// DetachImage has RStudio no longer offer an image, as a default of the domain: profiles that
// have lists of their own keep them, see [Client.ImageUses]. Sessions that run go on. It is
// idempotent, and shares the rest with [Client.AttachImage].
func (c *Client) DetachImage(ctx context.Context, q DetachRequest) (Visibility, error) {
	const op = "detach image"
	name := q.Domain + "/" + q.Image
	var wrong problems
	wrong.checkDomainID(q.Domain)
	wrong.checkImageName(q.Image)
	if err := wrong.err(); err != nil {
		return Visibility{}, fail(ctx, op, name, err)
	}
	v, err := c.changeImages(ctx, q.Domain, func(list []types.CustomImage) ([]types.CustomImage, error) { return without(list, q.Image), nil })
	if err == nil && q.Restart && v.RestartDue {
		err = c.restartServer(ctx, RestartRequest{Domain: q.Domain, EndSessions: q.EndSessions})
		v.RestartDue = err != nil
	}
	return v, fail(ctx, op, name, err)
}

// changeImages reads the list of images of a domain, changes it and writes it whole.
func (c *Client) changeImages(ctx context.Context, id string, change func([]types.CustomImage) ([]types.CustomImage, error)) (Visibility, error) {
	done, err := c.turn(ctx, id)
	if err != nil {
		return Visibility{}, err
	}
	defer done()
	d, err := c.withRStudio(ctx, id)
	if err != nil {
		return Visibility{}, err
	}
	settings := sessionsOn(d.Settings, "")
	list, err := change(settings.CustomImages)
	if err != nil {
		return Visibility{}, err
	}
	if sameImages(list, settings.CustomImages) && d.Status == InService {
		if d.RestartDue {
			return Visibility{RestartDue: true, Least: visibleLeast, Most: visibleMost}, nil
		}
		return Visibility{}, nil
	}
	if _, err := c.intendRestart(ctx, d); err != nil {
		return Visibility{}, err
	}
	settings.CustomImages = append([]types.CustomImage{}, list...) // an empty list is said, a nil one is not
	after, err := c.changeDomain(ctx, d, &awssagemaker.UpdateDomainInput{DomainId: &d.ID, DefaultUserSettings: &types.UserSettings{RSessionAppSettings: settings}})
	if err != nil {
		return Visibility{}, err
	}
	_, has := sessionOf(after.Settings)
	_, want := sessionOf(&types.UserSettings{RSessionAppSettings: settings})
	if !slices.Equal(has, want) {
		return Visibility{}, refusal.New(domain.ErrConflict, "somebody else has changed the list of images at the same time: look at it, and call again")
	}
	return Visibility{RestartDue: true, Least: visibleLeast, Most: visibleMost}, nil
}

// sameImages compares lists of images in any order.
func sameImages(a, b []types.CustomImage) bool {
	list := func(l []types.CustomImage) (names []string) {
		for _, i := range l {
			names = append(names, fmt.Sprintf("%s/%s/%d", strings.ToLower(aws.ToString(i.ImageName)), aws.ToString(i.AppImageConfigName), aws.ToInt32(i.ImageVersionNumber)))
		}
		return names
	}
	return sameSet(list(a), list(b))
}
