package sagemakerdomain

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
)

// Landing is where a URL leads (LandingUri, API_CreatePresignedDomainUrl). A path in it may
// follow.
type Landing string

// Where a URL can lead.
const (
	LandRStudio       Landing = "app:RStudioServerPro:"
	LandStudio        Landing = "studio::"
	LandJupyterLab    Landing = "app:JupyterLab:"
	LandCodeEditor    Landing = "app:CodeEditor:"
	LandStudioClassic Landing = "app:JupyterServer:"
	LandCanvas        Landing = "app:Canvas:"
)

var landings = [...]Landing{LandRStudio, LandStudio, LandJupyterLab, LandCodeEditor, LandStudioClassic, LandCanvas}

// The bounds of API_CreatePresignedDomainUrl.
const (
	MinURLExpiry, MaxURLExpiry         = 5 * time.Second, 5 * time.Minute
	MinSessionExpiry, MaxSessionExpiry = 30 * time.Minute, 12 * time.Hour
)

// URLRequest says what a URL is to open.
type URLRequest struct {
	// Domain is the domain's id, Profile in whose name it is opened.
	Domain, Profile string
	// Space is the space it opens, if one.
	Space string
	// Landing is where it leads, with a path after it if one is wanted. Empty is the domain's
	// own way in.
	Landing Landing
	// Expires is how long the URL is good, SessionExpires how long what it opens lets
	// people in: whole seconds within the bounds. Zero is the longest, 5 minutes and 12
	// hours.
	Expires, SessionExpires time.Duration
}

func (q URLRequest) problems() (wrong problems) {
	wrong.checkDomainID(q.Domain)
	wrong.checkProfileName(q.Profile)
	if q.Space != "" {
		wrong.checkName("space", q.Space)
	}
	for _, t := range []struct {
		name               string
		value, least, most time.Duration
	}{{"expires", q.Expires, MinURLExpiry, MaxURLExpiry}, {"session expires", q.SessionExpires, MinSessionExpiry, MaxSessionExpiry}} {
		if t.value != 0 && (t.value < t.least || t.value > t.most || t.value%time.Second != 0) {
			wrong.add(domain.ErrInvalid, "%s after %v: want whole seconds from %v to %v", t.name, t.value, t.least, t.most)
		}
	}
	if q.Landing == "" {
		return wrong
	}
	for _, l := range landings {
		if strings.HasPrefix(string(q.Landing), string(l)) && len(q.Landing) < 1024 && !strings.ContainsAny(string(q.Landing), " \t\r\n") {
			return wrong
		}
	}
	wrong.add(domain.ErrInvalid, "landing %.80q: want one of the constants, and a path after it", q.Landing)
	return wrong
}

// PresignedURL returns a URL that opens RStudio or Studio in a user's name, for whoever has
// it and whatever their own rights: it is a secret. It is not idempotent, each call gives
// another.
//
// A domain where people sign in by IAM Identity Center has none, which is
// [domain.ErrState]. Without access to RStudio SageMaker would give a URL that opens
// nothing; that is [domain.ErrNotAllowed].
func (c *Client) PresignedURL(ctx context.Context, q URLRequest) (string, error) {
	u, err := c.presignedURL(ctx, q)
	return u, fail(ctx, "presigned URL", q.Domain+"/"+q.Profile, err)
}

// opens describes the domain and the profile of a URL. Those that are not there are added to
// what is wrong, and then zero.
func (c *Client) opens(ctx context.Context, wrong *problems, q URLRequest) (d Description, p Profile, err error) {
	var form problems
	if form.checkDomainID(q.Domain); len(form) > 0 {
		return d, p, nil // which is said already
	}
	if d, err = c.describe(ctx, q.Domain); err != nil {
		return Description{}, p, wrong.take(err)
	}
	if form.checkProfileName(q.Profile); len(form) > 0 {
		return d, p, nil
	}
	if p, err = c.profile(ctx, d.ID, q.Profile); err != nil {
		return d, Profile{}, wrong.take(err)
	}
	return d, p, nil
}

func (c *Client) presignedURL(ctx context.Context, q URLRequest) (string, error) {
	wrong := q.problems()
	d, p, err := c.opens(ctx, &wrong, q)
	if err != nil {
		return "", wrong.or(err)
	}
	if d.ID != "" && d.AuthMode != string(types.AuthModeIam) {
		wrong.add(domain.ErrState, "people sign in to the domain by %s: give them %s", d.AuthMode, d.URL)
	}
	if strings.HasPrefix(string(q.Landing), string(LandRStudio)) {
		switch e := effective(d, p); {
		case d.ID == "":
		case d.RStudio == nil:
			wrong.add(domain.ErrState, "RStudio is off in domain %s: enable it by UpdateDomain", d.ID)
		case p.Name != "" && e.Access == AccessOff:
			wrong.add(domain.ErrNotAllowed, "user profile %s has no access to RStudio: give it by UpdateProfile", p.Name)
		}
	}
	if err := wrong.err(); err != nil {
		return "", err
	}
	in := &awssagemaker.CreatePresignedDomainUrlInput{DomainId: &q.Domain, UserProfileName: &q.Profile, SpaceName: optional(q.Space), LandingUri: optional(string(q.Landing))}
	if q.Expires != 0 {
		in.ExpiresInSeconds = aws.Int32(int32(q.Expires / time.Second))
	}
	if q.SessionExpires != 0 {
		in.SessionExpirationDurationInSeconds = aws.Int32(int32(q.SessionExpires / time.Second))
	}
	out, err := c.aws.SageMaker.CreatePresignedDomainUrl(ctx, in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.AuthorizedUrl), nil
}
