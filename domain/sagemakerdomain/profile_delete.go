package sagemakerdomain

import (
	"context"
	"fmt"
	"slices"
	"strings"

	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// DeleteProfileRequest says what user profile is to go.
type DeleteProfileRequest struct {
	// Domain is the domain's id, Name the profile's.
	Domain, Name string
	// DeleteSpaces lets the spaces be deleted that the profile owns, with the volumes of
	// their apps. False is that the call is refused with [domain.ErrState] while there are any.
	DeleteSpaces bool
}

func (q DeleteProfileRequest) problems() (wrong problems) {
	wrong.checkDomainID(q.Domain)
	wrong.checkProfileName(q.Name)
	return wrong
}

// owns reports whether a space is the profile's.
func (q DeleteProfileRequest) owns(s Space) bool { return strings.EqualFold(s.Owner, q.Name) }

// PreviewDeleteProfile returns what [Client.DeleteProfile] would do now: what blocks it,
// what it would end, in the order of its going, and what stays. It changes nothing. A profile
// that is not there is [domain.ErrNotFound].
func (c *Client) PreviewDeleteProfile(ctx context.Context, q DeleteProfileRequest) ([]domain.Consequence, error) {
	found, err := c.previewDeleteProfile(ctx, q)
	return found, fail(ctx, "preview delete profile", q.Domain+"/"+q.Name, err)
}

func (c *Client) previewDeleteProfile(ctx context.Context, q DeleteProfileRequest) ([]domain.Consequence, error) {
	if err := q.problems().err(); err != nil {
		return nil, err
	}
	d, err := c.describe(ctx, q.Domain)
	if err != nil {
		return nil, err
	}
	p, err := c.profile(ctx, q.Domain, q.Name)
	if err != nil {
		return nil, err
	}
	live, err := c.appsOf(ctx, q)
	if err != nil {
		return nil, err
	}
	spaces, err := c.previewSpaces(ctx, q.Domain, q.owns)
	if err != nil {
		return nil, err
	}
	for i := range spaces {
		if !q.DeleteSpaces {
			spaces[i].Fate, spaces[i].Detail = domain.Blocks, "belongs to the profile: allow it to be deleted with that, by DeleteSpaces, or delete it before, by DeleteSpace"
		}
	}
	found := append(endings(live, untilRestart), spaces...)
	found = append(found, domain.Consequence{Fate: domain.Ends, Thing: ThingProfile, Name: p.Name, Detail: "a profile of that name has another user id from then on"})
	if d.FileSystem != "" && p.UID != 0 {
		found = append(found, domain.Consequence{Fate: domain.Stays, Thing: domain.ThingHome, Name: p.Name, Detail: fmt.Sprintf("/%d on %s", p.UID, d.FileSystem)})
	}
	slices.SortStableFunc(found, func(a, b domain.Consequence) int { return order(a.Fate) - order(b.Fate) })
	return found, nil
}

// order puts what blocks first and what stays last.
func order(f domain.Fate) int {
	return slices.Index([]domain.Fate{domain.Blocks, domain.Ends, domain.Stays}, f)
}

// appsOf are the live apps of a profile and of the spaces that it owns.
func (c *Client) appsOf(ctx context.Context, q DeleteProfileRequest) ([]App, error) {
	live, err := c.liveApps(ctx, AppFilter{Domain: q.Domain, Profile: q.Name}, nil)
	if err != nil {
		return nil, err
	}
	for s, err := range c.listSpaces(ctx, q.Domain) {
		if err != nil {
			return nil, err
		}
		if !q.owns(s) {
			continue
		}
		inSpace, err := c.liveApps(ctx, AppFilter{Domain: q.Domain, Space: s.Name}, nil)
		if err != nil {
			return nil, err
		}
		live = append(live, inSpace...)
	}
	return live, nil
}

// DeleteProfile ends the apps of a user profile, then deletes the spaces it owns, if that
// is allowed, then itself, and returns when it is gone. The home stays in the file system.
// Apps that have failed do not block it. It is idempotent: a profile that is not there is
// no error; a deletion that has failed is tried again.
func (c *Client) DeleteProfile(ctx context.Context, q DeleteProfileRequest) error {
	err := q.problems().err()
	if err == nil {
		err = c.deleteProfile(ctx, q)
	}
	return fail(ctx, "delete profile", q.Domain+"/"+q.Name, err)
}

func (c *Client) deleteProfile(ctx context.Context, q DeleteProfileRequest) error {
	return again(ctx, func() error {
		if err := c.mayDeleteSpaces(ctx, q); err != nil {
			return err
		}
		if err := c.endApps(ctx, AppFilter{Domain: q.Domain, Profile: q.Name}, nil); err != nil {
			return err
		}
		if q.DeleteSpaces {
			if err := c.deleteSpaces(ctx, q.Domain, q.owns); err != nil {
				return err
			}
		}
		return c.deleteOne(ctx, c.watchProfile(q.Domain, q.Name, nil), func() error {
			_, err := c.aws.SageMaker.DeleteUserProfile(ctx, &awssagemaker.DeleteUserProfileInput{DomainId: &q.Domain, UserProfileName: &q.Name})
			return err
		})
	})
}

// mayDeleteSpaces refuses to delete spaces that nobody has allowed to be deleted.
func (c *Client) mayDeleteSpaces(ctx context.Context, q DeleteProfileRequest) error {
	if q.DeleteSpaces {
		return nil
	}
	owned, err := c.previewSpaces(ctx, q.Domain, q.owns)
	if err != nil || len(owned) == 0 {
		return err
	}
	var names []string
	for _, s := range owned {
		names = append(names, s.Name)
	}
	return refusal.New(domain.ErrState, "it owns spaces: %s; allow them to be deleted with what their apps keep, by DeleteSpaces, or delete each by DeleteSpace", strings.Join(names, ", "))
}
