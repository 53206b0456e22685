package sagemakerdomain

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// AdoptRequest says which domain of SageMaker's becomes which of ours.
type AdoptRequest struct {
	// ID is SageMaker's ("d-8uq7jfb3ghoe"). Required.
	ID string
	// Name is that of our domain: 1 to 20 of a-z, 0-9 and hyphen, beginning with a
	// letter. Required.
	Name string
	// Subnets are where our hosts are, when the domain is made: of SageMaker's, or others of
	// its VPC in whose zones the file system has a mount target. Empty is all of SageMaker's.
	// A domain that exists stays in its own.
	Subnets []string
	// Policy is what sessions may use when the domain is made; later it is changed by
	// [domain.Domain.SetPolicy]. The zero value allows every image. If it has no Types, they
	// are EC2's of those on which the account's quotas let sessions of RStudio run ("t3.medium"
	// of "ml.t3.medium"), as far as the catalogue of the client of domains has them; every
	// type where it has none of them or the credentials may not read quotas. The pattern "*"
	// allows every type.
	Policy domain.Policy
	// Users are names for the users of profiles, by the profiles' names, whose case does
	// not matter. A profile that is not among them is the user of its name in lower case,
	// which has to be one: 1 to 20 of a-z, 0-9 and hyphen, beginning with a letter. One
	// who is a user already keeps the name.
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
// what a session of ours writes, RStudio and Studio Classic see there, and the other way
// around; JupyterLab and Code Editor, whose home is a volume, have it as
// user-default-efs. There it is at /home/sagemaker-user, here at /home/ and the login:
// what was noted as an absolute path is not found.
//
// Of SageMaker's nothing is changed or deleted. What is made is what
// [Client.PreviewAdopt] lists: on the file system an access point for each user, and a
// security group for our hosts, which also have to be in SageMaker's group for outbound
// NFS; see [domain.Description.HostSecurityGroups]. No uid is ever given by us: users
// come with their profile, and who has none any more is offboarded, with home and
// records kept. Users of profiles that come later are onboarded by calling it again,
// which [Client.Diff] shows to be due: nobody does it by themselves. Who was offboarded
// here stays so. Sessions of who is offboarded go on: end them, with package session's
// Manager.
//
// A profile is left out, and the preview says so, that has no uid, is not in service, was
// made anew, so that its uid is not the user's, or whose name or uid is none of ours; and an
// image that has no name of ours, or another one's, or is not there. Roles, security
// groups, default types and access to RStudio are not taken over: what sessions may use is
// up to the policy. The preview has a line for each profile that has others than its domain,
// one for the network that our hosts need, and one for spaces, whose files are not in homes.
// Images for RStudio on SageMaker are sessions' alone, without RStudio's server: for sessions
// by a browser attach one that has it, or have them behind a Workbench (package workbench).
//
// What blocks is one error that lists everything, before anything is made: what stands in the
// way there is [domain.ErrState], and for what [domain.Client.CheckCreate] has against our
// domain it is of that kind. Where SageMaker has another security group for outbound NFS than
// when the domain was made, hosts that start later join it, as
// [domain.Domain.SetHostSecurityGroups] says. If our records were lost, it makes the domain
// again: everybody has the name, uid and access point of before, which the file system knows;
// the preview says what nobody knows any more, such as who was offboarded. Of the rest what
// fails is told at the end, and all else is done. It is idempotent, and what a failure left
// half-way another call finishes. While a domain is adopted, [Client.DeleteDomain] of
// SageMaker's is refused.
func (c *Client) Adopt(ctx context.Context, to *domain.Client, q AdoptRequest) (*domain.Domain, error) {
	const op = "adopt"
	a, err := c.planAdoption(ctx, to, q)
	if err != nil {
		return nil, fail(ctx, op, q.ID, err)
	}
	if err := a.wrong.err(); err != nil {
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
		return nil, fail(ctx, op, d.Name(), refusal.New(domain.ErrState, "the domain was not adopted from SageMaker: there is nothing that it could differ from"))
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

// carryOut makes what was planned. Each step looks itself whether it is done, and what
// fails keeps none of the others from being made: above all not those who left from being
// offboarded.
func (a *adoption) carryOut(ctx context.Context) (*domain.Domain, error) {
	d, err := a.to.Create(ctx, a.create)
	if err != nil {
		return nil, refusal.Step("domain "+a.create.Name, err)
	}
	var failed []error
	if a.groups != nil {
		failed = append(failed, refusal.Step("security groups of hosts", d.SetHostSecurityGroups(ctx, a.groups)))
	}
	for _, user := range a.gone {
		failed = append(failed, refusal.Step("user "+user, d.Offboard(ctx, user)))
	}
	for _, q := range a.users {
		_, err := d.Onboard(ctx, q)
		failed = append(failed, refusal.Step("user "+q.User, err))
	}
	for _, q := range a.images {
		_, err := d.Attach(ctx, q)
		failed = append(failed, refusal.Step("image "+q.Name, err))
	}
	return d, errors.Join(failed...)
}

// adopters are the domains of ours that were made over a file system and are still there:
// those whose access points it has and whose hosts have a security group.
func (c *Client) adopters(ctx context.Context, fileSystem string) (names []string, err error) {
	if fileSystem == "" {
		return nil, nil
	}
	seen := map[string]bool{}
	for p, err := range c.files.AccessPoints(ctx, fileSystem) {
		if err != nil && kindOf(err) == domain.ErrNotFound {
			return nil, nil // it is gone, and its homes with it
		}
		if err != nil {
			return nil, err
		}
		name := p.Tags[domain.TagDomain]
		if name == "" || seen[name] {
			continue
		}
		seen[name] = true
		groups, err := c.groups(ctx, filters("tag:"+domain.TagDomain, name))
		if err != nil {
			return nil, err
		}
		if len(groups) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// notAdopted refuses what would cut one of our domains off its homes.
func (c *Client) notAdopted(ctx context.Context, d Description) error {
	names, err := c.adopters(ctx, d.FileSystem)
	if err == nil && len(names) > 0 {
		err = refusal.New(domain.ErrState, "domain %s of ours opens its homes, on %s: delete that first, or keep this one", strings.Join(names, ", "), d.FileSystem)
	}
	return err
}
