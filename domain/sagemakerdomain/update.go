package sagemakerdomain

import (
	"context"

	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/atelier-go/atelier/domain"
)

// UpdateDomain changes a domain and returns when it is InService again and, where it has
// to be made again for the change to be seen, its server of RStudio too. What is nil or
// empty in the request stays.
//
// It can be called as often as one likes, and after any failure: what is as it is asked
// for is not changed, an update that has failed is made again, and a server that had to be
// made again and was not, is. All that is wrong is reported at once, before anything is
// changed. What cannot be changed any more is [domain.ErrState]: the type of network with
// RStudio on, homes that exist, and access to RStudio that profiles have by default and none
// of their own. Apps that have to end first, see [Client.PreviewUpdate], are ErrState too
// unless the request allows it; and so is a domain that has failed or is being deleted.
//
// Where the server has to be made again the order is that of the developer guide: sessions
// end, then the server; the domain is updated; the server is made. SageMaker restarts a
// server by itself, if its role may, which would be with the old settings: one that is
// there after the update is deleted once more. What others have changed while apps ended
// stays, as far as the request does not name it.
func (c *Client) UpdateDomain(ctx context.Context, q UpdateDomainRequest) (Description, error) {
	d, err := c.updateDomain(ctx, q)
	return d, fail(ctx, "update domain", q.Domain, err)
}

func (c *Client) updateDomain(ctx context.Context, q UpdateDomainRequest) (Description, error) {
	p, err := c.planUpdate(ctx, q)
	if err != nil {
		return Description{}, err
	}
	id, intent := p.domain.ID, ""
	if err := c.mayEnd(ctx, id, q.EndApps, "EndApps", p.ends); err != nil {
		return Description{}, err
	}
	if p.restart {
		if intent, err = c.intendRestart(ctx, p.domain); err != nil {
			return Description{}, err
		}
	}
	if p.restart || p.allApps {
		if err := c.endNeeded(ctx, id, q.EndApps, p.ends); err != nil {
			return Description{}, err
		}
	}
	if p.change {
		if intent, err = c.changeAsPlanned(ctx, q, &p); err != nil {
			return Description{}, err
		}
	}
	if p.restart {
		if err := c.endNeeded(ctx, id, q.EndApps, isRStudio); err != nil {
			return Description{}, err
		}
		if err := c.startServer(ctx, p.domain, intent); err != nil {
			return Description{}, err
		}
	}
	return p.domain, c.addTags(ctx, &p.domain)
}

// changeAsPlanned updates a domain. It plans anew what is sent, since apps have ended for
// minutes and others may have changed the domain, and returns the intent to make the server
// again, if it has to be: one of before may be another's, and taken back.
func (c *Client) changeAsPlanned(ctx context.Context, q UpdateDomainRequest, p *updatePlan) (intent string, err error) {
	done, err := c.turn(ctx, q.Domain)
	if err != nil {
		return "", err
	}
	defer done()
	d, err := c.still(ctx, q.Domain)
	if err != nil {
		return "", err
	}
	var wrong problems
	restart := p.restart
	*p = q.plan(&wrong, d)
	p.restart = p.restart || restart
	if err := wrong.err(); err != nil {
		return "", err
	}
	if p.restart {
		if intent, err = c.intendRestart(ctx, d); err != nil {
			return "", err
		}
	}
	if p.change {
		p.domain, err = c.changeDomain(ctx, d, p.input)
	}
	return intent, err
}

// changeDomain makes one update, waits for its end and returns what it has made.
func (c *Client) changeDomain(ctx context.Context, before Description, in *awssagemaker.UpdateDomainInput) (after Description, err error) {
	if _, err := c.aws.SageMaker.UpdateDomain(ctx, in); err != nil {
		return before, err
	}
	c.log.InfoContext(ctx, "domain updated", "id", before.ID)
	if err := c.untilServes(ctx, c.watchDomain(before.ID, &after), before.Modified); err != nil {
		return before, c.whyNot(ctx, err)
	}
	return after, nil
}

// PreviewUpdate returns what [Client.UpdateDomain] would end now, which it does only if the
// request allows it; the server of RStudio, which is made again, is told of too. When
// RStudio is enabled, existing profiles have no access to it until [Client.UpdateProfile]
// gives it ("Add RStudio support to an existing domain", developer guide). Profiles whose
// access changes with the domain's default are told of, too. Whatever UpdateDomain refuses
// is refused. It changes nothing.
func (c *Client) PreviewUpdate(ctx context.Context, q UpdateDomainRequest) ([]domain.Consequence, error) {
	found, err := c.previewUpdate(ctx, q)
	return found, fail(ctx, "preview update", q.Domain, err)
}

func (c *Client) previewUpdate(ctx context.Context, q UpdateDomainRequest) ([]domain.Consequence, error) {
	p, err := c.planUpdate(ctx, q)
	if err != nil {
		return nil, err
	}
	live, err := c.liveApps(ctx, AppFilter{Domain: q.Domain}, p.ends)
	if err != nil {
		return nil, err
	}
	found := endings(live, untilRestart)
	if p.enables {
		for u, err := range c.listProfiles(ctx, q.Domain) {
			if err != nil {
				return nil, err
			}
			found = append(found, domain.Consequence{Fate: domain.Stays, Thing: ThingProfile, Name: u.Name, Detail: "without access to RStudio until UpdateProfile gives it"})
		}
	}
	for _, name := range p.inherit {
		detail := "its access to RStudio is " + string(q.DefaultAccess) + ", by the domain's default"
		if p.domain.DefaultAccess == AccessOff {
			detail += ", for one of the licence's seats"
		}
		found = append(found, domain.Consequence{Fate: domain.Stays, Thing: ThingProfile, Name: name, Detail: detail})
	}
	return found, nil
}
