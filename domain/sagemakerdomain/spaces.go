package sagemakerdomain

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/internal/refusal"
)

// Space is a place of Studio where JupyterLab or Code Editor runs. RStudio has none.
type Space struct {
	// Domain is the domain's id.
	Domain, Name string
	Status       Status
	// Owner is the name of the profile that owns it; empty is nobody.
	Owner string
	// Private is that its owner alone uses it.
	Private bool
	// Type is what runs in it; empty is any.
	Type    AppType
	Created time.Time
}

// Spaces lists the spaces of a domain, in no order. A page is fetched when it is reached.
// It yields an error last.
func (c *Client) Spaces(ctx context.Context, domainID string) iter.Seq2[Space, error] {
	var wrong problems
	wrong.checkDomainID(domainID)
	return func(yield func(Space, error) bool) {
		for s, err := range checked(wrong, c.listSpaces(ctx, domainID)) {
			if !yield(s, fail(ctx, "list spaces", domainID, err)) || err != nil {
				return
			}
		}
	}
}

func (c *Client) listSpaces(ctx context.Context, domainID string) iter.Seq2[Space, error] {
	return func(yield func(Space, error) bool) {
		pages := awssagemaker.NewListSpacesPaginator(c.aws.SageMaker, &awssagemaker.ListSpacesInput{DomainIdEquals: &domainID, MaxResults: aws.Int32(pageSize)})
		for pages.HasMorePages() {
			out, err := pages.NextPage(ctx)
			if err != nil {
				yield(Space{}, err)
				return
			}
			for _, d := range out.Spaces {
				s := Space{Domain: domainID, Name: aws.ToString(d.SpaceName), Status: Status(d.Status), Created: aws.ToTime(d.CreationTime)}
				if o := d.OwnershipSettingsSummary; o != nil {
					s.Owner = aws.ToString(o.OwnerUserProfileName)
				}
				if sharing := d.SpaceSharingSettingsSummary; sharing != nil {
					s.Private = sharing.SharingType == "Private"
				}
				if settings := d.SpaceSettingsSummary; settings != nil {
					s.Type = AppType(settings.AppType)
				}
				if !yield(s, nil) {
					return
				}
			}
		}
	}
}

func (c *Client) watchSpace(domainID, name string) watch {
	return watch{domain: domainID, step: "space", resource: name, limit: c.timeouts.Space, look: func(ctx context.Context) (seen, error) {
		out, err := c.aws.SageMaker.DescribeSpace(ctx, &awssagemaker.DescribeSpaceInput{DomainId: &domainID, SpaceName: &name})
		if err != nil {
			return seen{}, err
		}
		return seen{status: Status(out.Status), reason: aws.ToString(out.FailureReason), modified: aws.ToTime(out.LastModifiedTime)}, nil
	}}
}

// DeleteSpace ends the apps of a space, deletes it with the volume on which JupyterLab and
// Code Editor keep their files, and returns when it is gone. Its directory in the home
// file system stays. It is idempotent: a space that is not there is no error; a
// deletion that has failed is tried again.
func (c *Client) DeleteSpace(ctx context.Context, domainID, name string) error {
	var wrong problems
	wrong.checkDomainID(domainID)
	wrong.checkName("space", name)
	err := wrong.err()
	if err == nil {
		err = c.deleteSpaces(ctx, domainID, func(s Space) bool { return strings.EqualFold(s.Name, name) })
	}
	return fail(ctx, "delete space", domainID+"/"+name, err)
}

// deleteSpaces deletes the spaces that are chosen.
func (c *Client) deleteSpaces(ctx context.Context, domainID string, chosen func(Space) bool) error {
	var names []string
	for s, err := range c.listSpaces(ctx, domainID) {
		if err != nil {
			return refusal.Step("the list of spaces", err)
		}
		if chosen(s) {
			names = append(names, s.Name)
		}
	}
	for _, name := range names {
		if err := again(ctx, func() error {
			if err := c.endApps(ctx, AppFilter{Domain: domainID, Space: name}, nil); err != nil {
				return err
			}
			return c.deleteOne(ctx, c.watchSpace(domainID, name), func() error {
				_, err := c.aws.SageMaker.DeleteSpace(ctx, &awssagemaker.DeleteSpaceInput{DomainId: &domainID, SpaceName: &name})
				return err
			})
		}); err != nil {
			return refusal.Step("space "+name, err)
		}
	}
	return nil
}

// again empties something and deletes it, and does it again where SageMaker says that
// something is in it: that was begun meanwhile, and lists show it a moment later.
func again(ctx context.Context, emptyAndDelete func() error) error {
	for round := 1; ; round++ {
		err := emptyAndDelete()
		switch {
		case refusal.Code(err) != inUse:
			return err
		case round == rounds: // without the code, by which what is around it would begin again
			return refusal.New(domain.ErrState, "something is begun in it as fast as it is emptied: have users stop, and call again (%v)", err)
		}
		if err := pace.Sleep(ctx, agreedFor); err != nil {
			return err
		}
	}
}

// deleteOne deletes one thing that has nothing in it, once nothing is under way of it, and
// waits until it is gone. What is not seen is asked for all the same: what is new may not show yet.
func (c *Client) deleteOne(ctx context.Context, w watch, call func() error) error {
	s, err := c.untilNotMoving(ctx, w)
	if err != nil {
		return err
	}
	if s.status != Deleting {
		if err := call(); refusal.Code(err) == notFound {
			return nil
		} else if err != nil {
			return err
		}
		c.log.InfoContext(ctx, w.step+" deleted", "domain", w.domain, "name", w.resource)
	}
	return c.untilGone(ctx, w, s)
}

// untilNotMoving waits until something is not created or updated any more.
func (c *Client) untilNotMoving(ctx context.Context, w watch) (last seen, err error) {
	err = c.until(ctx, w, func(s seen) (bool, error) {
		last = s
		return s.gone || s.status != Pending && s.status != Updating, nil
	})
	return last, err
}

// previewSpaces tells of spaces that would end.
func (c *Client) previewSpaces(ctx context.Context, domainID string, chosen func(Space) bool) (found []domain.Consequence, err error) {
	for s, err := range c.listSpaces(ctx, domainID) {
		if err != nil {
			return nil, err
		}
		if chosen(s) {
			found = append(found, domain.Consequence{Fate: domain.Ends, Thing: ThingSpace, Name: s.Name, Detail: "with the volume that its apps keep files on"})
		}
	}
	return found, nil
}
