package sagemakerdomain

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/atelier-go/atelier/domain"
)

// AdoptRequest says which domain of SageMaker's becomes which of ours.
type AdoptRequest struct {
	// ID is SageMaker's ("d-8uq7jfb3ghoe"). Required.
	ID string
	// Name is that of our domain: 1 to 20 of a-z, 0-9 and hyphen, beginning with a
	// letter. Required.
	Name string
	// Policy is what sessions may use when the domain is made; later it is changed by
	// [domain.Domain.SetPolicy]. The zero value allows every image on every type.
	Policy domain.Policy
	// Users are names for the users of profiles, by the profiles' names. A profile that
	// is not among them is the user of its name in lower case, which has to be one:
	// 1 to 20 of a-z, 0-9 and hyphen, beginning with a letter.
	Users map[string]string
	// Images are names for images, by SageMaker's; as with users.
	Images map[string]string
}

// PreviewAdopt returns what [Client.Adopt] would do now: what blocks it, what it would
// make and end, and what stays: first what differs from SageMaker's all the same. It
// changes nothing.
func (c *Client) PreviewAdopt(ctx context.Context, to *domain.Client, q AdoptRequest) ([]domain.Consequence, error) {
	const op = "preview adopt"
	a, err := c.planAdoption(ctx, to, q)
	if err != nil {
		return nil, fail(ctx, op, q.ID, err)
	}
	return append(a.differences(), a.stays...), nil
}

// Adopt makes a domain of ours over the file system of one of SageMaker's, with its
// profiles as users, each with the uid and the home that it has there, and with its
// images; and brings one that was adopted before up to date. Both go on side by side:
// what a session of ours writes, an app of SageMaker's sees, and the other way around.
//
// Of SageMaker's nothing is changed or deleted. What is made is what
// [Client.PreviewAdopt] lists: on the file system an access point for each user, and a
// security group for our hosts, which also have to be in SageMaker's group for outbound
// NFS; see [domain.Description.HostSecurityGroups]. No uid is ever given by us: users
// come with their profile, and who has none any more is offboarded, with home and
// records kept. Users of profiles that come later are onboarded by calling it again,
// which [Client.Diff] shows to be due. Who was offboarded here stays so.
//
// A profile without a uid, one that is not in service, and an image that has no name of
// ours yet are left out, and the preview says so. What blocks is one error that is
// [domain.ErrState] and lists everything, before anything is made. It is idempotent,
// and what a failure left half-way another call finishes.
func (c *Client) Adopt(ctx context.Context, to *domain.Client, q AdoptRequest) (*domain.Domain, error) {
	const op = "adopt"
	a, err := c.planAdoption(ctx, to, q)
	if err != nil {
		return nil, fail(ctx, op, q.ID, err)
	}
	if err := a.blocked(); err != nil {
		return nil, fail(ctx, op, q.ID, err)
	}
	d, err := a.carryOut(ctx)
	if err != nil {
		return nil, fail(ctx, op, q.ID, err)
	}
	c.log.InfoContext(ctx, "domain adopted", "sagemaker", q.ID, "domain", q.Name, "users", len(a.users), "left", len(a.gone))
	return d, nil
}

// Diff returns how a domain that was adopted differs from SageMaker's: what
// [Client.Adopt] would do to it and, as what stays, what it would leave so. Nothing is
// that they agree. It changes nothing. A domain that was not adopted is
// [domain.ErrState].
func (c *Client) Diff(ctx context.Context, d *domain.Domain) ([]domain.Consequence, error) {
	const op = "diff"
	about, err := d.Describe(ctx)
	if err != nil {
		return nil, fail(ctx, op, d.Name(), err)
	}
	id, adopted := strings.CutPrefix(about.External.Keeper, keeper)
	if !adopted {
		return nil, fail(ctx, op, d.Name(), refused(domain.ErrState, "the domain was not adopted from SageMaker: there is nothing that it could differ from"))
	}
	a, err := c.planAdoption(ctx, d.Client(), AdoptRequest{ID: id, Name: d.Name()})
	if err != nil {
		return nil, fail(ctx, op, d.Name(), err)
	}
	return a.differences(), nil
}

// keeper begins the name of the keeper of an adopted domain's file system; SageMaker's
// id of the domain follows.
const keeper = "SageMaker domain "

// blocked is one failure of all that blocks an adoption, or nil.
func (a *adoption) blocked() error {
	var wrong []error
	for _, c := range a.blocks {
		wrong = append(wrong, fmt.Errorf("%s %s: %s", c.Thing, c.Name, c.Detail))
	}
	if len(wrong) == 0 {
		return nil
	}
	return refused(domain.ErrState, "%w", errors.Join(wrong...))
}

// carryOut makes what was planned. Each step looks itself whether it is done.
func (a *adoption) carryOut(ctx context.Context) (*domain.Domain, error) {
	d, err := a.to.Create(ctx, a.create)
	if err != nil {
		return nil, step("domain "+a.create.Name, err)
	}
	for _, q := range a.images {
		if _, err := d.Attach(ctx, q); err != nil {
			return nil, step("image "+q.Name, err)
		}
	}
	for _, q := range a.users {
		if _, err := d.Onboard(ctx, q); err != nil {
			return nil, step("user "+q.User, err)
		}
	}
	for _, user := range a.gone {
		if err := d.Offboard(ctx, user); err != nil {
			return nil, step("user "+user, err)
		}
	}
	return d, nil
}
