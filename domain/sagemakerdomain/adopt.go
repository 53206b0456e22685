package sagemakerdomain

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/efs"
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
	// [domain.Domain.SetPolicy], and the preview says that another here is not heeded. The zero
	// value allows every image. If it has no Types, they are EC2's of those on which the
	// account's quotas let sessions of RStudio run ("t3.medium" of "ml.t3.medium"), as far as
	// the catalogue of the client of domains has them; where it has none of them, or the
	// credentials may not read quotas, Types are required. The pattern "*" allows every type.
	Policy domain.Policy
	// Users are names for the users of profiles, by the profiles' names, whose case does
	// not matter. A profile that is not among them is the user of its name in lower case; a
	// name that cannot be a user's, 1 to 20 of a-z, 0-9 and hyphen, beginning with a letter,
	// then leaves the profile out, as the preview says. Here such a name is
	// [domain.ErrInvalid], and so are two for one profile and one for two. Who is a user
	// already, or has an access point of a domain whose records were lost, keeps the name,
	// and the preview says that another is not heeded. A profile that SageMaker does not have
	// is a line of the preview and no error: it may be one that is gone.
	Users map[string]string
	// Include are the names of profiles without access to RStudio that become users all the
	// same, whose case does not matter. One with access is a user anyway. One that SageMaker
	// does not have is a line of the preview and no error.
	Include []string
	// Images are names for images, by SageMaker's; as with users. One that is attached already
	// is so by whatever name.
	Images map[string]string
}

// PreviewAdopt returns what [Client.Adopt] would do now, in this order: what blocks it, what
// it would make and end, who and what is left out or differs from SageMaker's all the same, what
// else stays, and last what has no counterpart in ours. As long as something blocks nothing is
// made: what is listed as made comes to be when that is mended, and the domain is not listed
// if it is what is wrong. It changes nothing.
func (c *Client) PreviewAdopt(ctx context.Context, to *domain.Client, q AdoptRequest) ([]domain.Consequence, error) {
	const op = "preview adopt"
	a, err := c.planAdoption(ctx, to, q)
	if err != nil {
		return nil, fail(ctx, op, q.ID, err)
	}
	return a.lines(), nil
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
// A profile is left out, and the preview says so, that has no uid, is not in service, has no
// access to RStudio in a domain that has it and is not in Include, has another uid than the user of
// its name, since it was made anew or the user was given another here, or whose name or uid is none
// of ours; and an image that has no name of ours, or another one's,
// or is not there. Who is a user already and has no access any more stays one, and the preview
// says so. Roles, security groups and default types are not taken over: what sessions may use is
// up to the policy. The preview has a line for each profile that has others than its domain,
// one for the network that our hosts need, and one for spaces, whose files are not in homes.
// Images for RStudio on SageMaker are sessions' alone, without RStudio's server: for sessions
// by a browser attach one that has it, or have them behind a Workbench (package workbench).
//
// What blocks is one error that lists everything, before anything is made: what stands in the
// way there is [domain.ErrState], above all that SageMaker's domain is gone or that its mount
// targets let none of our hosts in; and for what [domain.Client.CheckCreate] has against our
// domain it is of that kind. Where SageMaker has another security group for outbound NFS than
// when the domain was made, hosts that start later join it, as
// [domain.Domain.SetHostSecurityGroups] says. If our records were lost, it makes the domain
// again: everybody has the name, uid and access point of before, which the file system knows;
// the preview says what nobody knows any more, such as who was offboarded. Of the rest what
// fails is told at the end, and all else is done: [domain.Client.Get] has the domain then. It
// is idempotent, and what a failure left half-way another call finishes. Of several calls at
// once under several names one has the homes; the others stop with [domain.ErrConflict], which
// names it. While a domain is adopted, [Client.DeleteDomain] of
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
	d, err := a.carryOut(ctx, c)
	if err != nil {
		return nil, fail(ctx, op, q.ID, err)
	}
	c.log.InfoContext(ctx, "domain adopted", "sagemaker", q.ID, "domain", q.Name, "users", len(a.users), "left", len(a.gone))
	return d, nil
}

// Diff returns how a domain that was adopted differs from SageMaker's: what
// [Client.Adopt] would do to it and, as what stays, what it would leave so. Nothing is
// that they agree. What blocks is that SageMaker's domain is gone, too. Compared are domains,
// security groups and the way to the mount targets, profiles with users, access to RStudio
// and images; not the settings of profiles, nor types and quotas with the policy, nor spaces,
// of which [Client.PreviewAdopt] tells. Include is not known to it: who became a user by that is
// told of as one without access. It changes nothing. A domain that was not adopted is
// [domain.ErrState].
func (c *Client) Diff(ctx context.Context, d *domain.Domain) ([]domain.Consequence, error) {
	const op = "diff"
	if d == nil {
		return nil, fail(ctx, op, "", refusal.New(domain.ErrInvalid, "the domain is nil"))
	}
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
func (a *adoption) carryOut(ctx context.Context, c *Client) (*domain.Domain, error) {
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
		if errors.Is(err, efs.ErrConflict) {
			// Who is onboarded first decides, since all adopt in one order: whoever is late takes none.
			if err := a.overtaken(ctx, c, q); err != nil {
				return d, errors.Join(append(failed, err)...)
			}
		}
	}
	for _, q := range a.images {
		_, err := d.Attach(ctx, q)
		failed = append(failed, refusal.Step("image "+q.Name, err))
	}
	return d, errors.Join(failed...)
}

// overtaken is an error if another domain of ours was adopted over the same homes since this was
// planned, and has the home of a user.
func (a *adoption) overtaken(ctx context.Context, c *Client, q domain.OnboardRequest) error {
	var err error
	if a.points, err = c.ourPoints(ctx, a.create.External.FileSystem); err != nil {
		return err
	}
	p := a.anothers(a.create.Name, q.User, q.UID)
	of := p.Tags[domain.TagDomain]
	if p.ID == "" || of == a.create.Name {
		return nil
	}
	return refusal.New(domain.ErrConflict, "domain %s was adopted meanwhile, and home %s is that of its user %s: keep that one, and offboard the users of %s, who have no homes, and delete it",
		of, p.Path, p.User, a.create.Name)
}

// adopters are the domains of ours that were made over a file system and are still there:
// those whose access points it has and whose hosts have a security group.
func (c *Client) adopters(ctx context.Context, fileSystem string) (names []string, err error) {
	points, err := c.ourPoints(ctx, fileSystem)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, p := range points {
		name := p.Tags[domain.TagDomain]
		if seen[name] {
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
