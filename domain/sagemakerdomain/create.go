package sagemakerdomain

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/internal/refusal"
)

// CreateDomain makes a domain with RStudio on, and returns when it is InService, which
// takes some minutes, and reads of it have said so for some seconds: until then one may still
// say that it is Pending. All that is wrong with the request is reported at once before
// anything is made, see [Client.CheckDomain]: a licence that is missing or not accepted is
// [domain.ErrState], a quota that is used up [domain.ErrQuota].
//
// SageMaker has no token that makes the call idempotent, and lets two domains have one
// name. So the domain is looked for first, by its name and a tag of this package's; one
// that is there is waited for and returned, whatever its other tags are. If it differs from what
// is asked for, or the name is another's, that is [domain.ErrConflict]; one that came to nothing
// is ErrState and says why. An answer that is lost is not asked for again: the domain is looked
// for, for a minute. So a domain is made twice only if two processes create it at the same time, or if
// one that lost its answer and dies is started again before SageMaker lists the domain.
// Such twins are found when they are InService, and refused with ErrConflict, which
// names both.
func (c *Client) CreateDomain(ctx context.Context, q CreateDomainRequest) (Description, error) {
	d, err := c.createDomain(ctx, q)
	return d, fail(ctx, "create domain", q.Name, err)
}

func (c *Client) createDomain(ctx context.Context, q CreateDomainRequest) (Description, error) {
	wrong := q.problems()
	made, others, err := c.domainsNamed(ctx, q.Name)
	if err != nil {
		return Description{}, wrong.or(err)
	}
	if len(made) == 0 {
		wrong.checkFree(others)
	}
	id, err := onlyOne(made)
	if err != nil {
		return Description{}, err
	}
	if id == "" || len(wrong) > 0 { // what is wrong around it is said with it
		unchecked, err := c.checkAround(ctx, q, wrong)
		if err != nil {
			return Description{}, err
		}
		for _, what := range unchecked {
			c.log.WarnContext(ctx, what, "domain", q.Name)
		}
		c.progress(Progress{Domain: q.Name, Step: "domain"})
		if id, err = c.askForDomain(ctx, q); err != nil {
			return Description{}, err
		}
	}
	var d Description
	w := c.watchDomain(id, &d)
	w.agreed = agreedFor
	if err := c.untilServes(ctx, w, time.Time{}); err != nil {
		return Description{}, c.whyNot(ctx, err)
	}
	if _, err := c.findDomain(ctx, q.Name); err != nil { // are there twins?
		return Description{}, err
	}
	if err := c.addTags(ctx, &d); err != nil {
		return Description{}, err
	}
	if err := q.differs(d); err != nil {
		return Description{}, err
	}
	return d, nil
}

// askForDomain makes the one call that cannot be repeated.
func (c *Client) askForDomain(ctx context.Context, q CreateDomainRequest) (string, error) {
	in := q.input()
	var lost error
	id := ""
	err := pace.Poll(ctx, visibleWithin, errLate, func() (bool, error) {
		out, err := c.aws.SageMaker.CreateDomain(ctx, in, func(o *awssagemaker.Options) { o.Retryer = aws.NopRetryer{} })
		switch {
		case err == nil:
			id = aws.ToString(out.DomainId)
			c.log.InfoContext(ctx, "domain created", "domain", q.Name, "id", id)
			return true, nil
		case kindOf(err) == domain.ErrThrottled: // it was refused: nothing was made
			lost = err
			return false, nil
		case kindOf(err) == domain.ErrUnavailable: // it may have been made
			lost = err
			return true, nil
		}
		return false, err
	})
	switch {
	case errors.Is(err, errLate):
		return "", lost
	case err != nil || id != "":
		return id, err
	}
	err = pace.Poll(ctx, visibleWithin, errLate, func() (bool, error) {
		found, err := c.findDomain(ctx, q.Name)
		if err != nil && kindOf(err) != domain.ErrUnavailable && kindOf(err) != domain.ErrThrottled {
			return false, err
		}
		id = found
		return id != "", nil
	})
	if errors.Is(err, errLate) {
		return "", refusal.New(domain.ErrUnavailable, "the answer was lost, and no such domain shows after %v: call again (%w)", visibleWithin, lost)
	}
	return id, err
}

// findDomain returns the id of the domain that has a name, empty if there is none.
func (c *Client) findDomain(ctx context.Context, name string) (string, error) {
	made, others, err := c.domainsNamed(ctx, name)
	if err != nil {
		return "", err
	}
	if len(made) == 0 {
		var wrong problems
		wrong.checkFree(others)
		return "", wrong.err()
	}
	return onlyOne(made)
}

// checkFree refuses a name that others have.
func (p *problems) checkFree(others []string) {
	if len(others) > 0 {
		p.add(domain.ErrConflict, "the name is that of %s, which was not made by this package: choose another", strings.Join(others, ", "))
	}
}

// onlyOne is the only domain that this package made of a name, empty if there is none.
func onlyOne(made []string) (string, error) {
	switch len(made) {
	case 0:
		return "", nil
	case 1:
		return made[0], nil
	}
	return "", refusal.New(domain.ErrConflict, "the domain was made more than once, by calls at the same time: %s; delete by DeleteDomain those without users", strings.Join(made, ", "))
}

// domainsNamed are the ids of the domains of a name: those that this package made, and others.
func (c *Client) domainsNamed(ctx context.Context, name string) (made, others []string, err error) {
	for d, err := range c.listDomains(ctx) {
		if err != nil {
			return nil, nil, refusal.Step("the list of domains", err)
		}
		if d.Name != name || d.Status == Deleting {
			continue
		}
		tags, err := c.tagsOf(ctx, d.ARN)
		switch {
		case refusal.Code(err) == notFound: // it has gone since
		case err != nil:
			return nil, nil, refusal.Step("tags", err)
		case tags[tagName] == name:
			made = append(made, d.ID)
		default:
			others = append(others, d.ID)
		}
	}
	return made, others, nil
}

// whyNot adds to the failure of a domain what can be known of its reasons: without a
// licence no server starts, and with it no domain.
func (c *Client) whyNot(ctx context.Context, err error) error {
	if !errors.Is(err, domain.ErrState) || ctx.Err() != nil {
		return err
	}
	if wrong, unknown := c.checkLicense(ctx); unknown == nil && len(wrong) > 0 {
		return refusal.New(domain.ErrState, "%w; %w", err, wrong.err())
	}
	return err
}
