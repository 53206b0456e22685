package sagemakerdomain

import (
	"context"
	"errors"
	"slices"
	"strings"

	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/internal/refusal"
)

// DeleteDomainRequest says what domain is to go, and what with it.
type DeleteDomainRequest struct {
	// Domain is the domain's id.
	Domain string
	// DeleteFileSystem is EFS's id of the domain's homes, to be deleted with all files.
	// Empty keeps it.
	DeleteFileSystem string
	// DeleteMountTargetsOf is EFS's id of the domain's homes, which are kept, and their mount
	// targets deleted: nobody reaches them until others are made, and nothing of them keeps
	// subnets and the VPC from being deleted. Empty keeps the mount targets too, and the
	// security group for inbound NFS that they are in.
	DeleteMountTargetsOf string
}

func (q DeleteDomainRequest) problems() (wrong problems) {
	wrong.checkDomainID(q.Domain)
	if q.DeleteFileSystem != "" && q.DeleteMountTargetsOf != "" {
		wrong.add(domain.ErrInvalid, "mount targets go with the file system: ask for one of the two")
	}
	return wrong
}

// against reports why the file system that is named is not to be deleted.
func (q DeleteDomainRequest) against(d Description) error {
	named := or(q.DeleteFileSystem, q.DeleteMountTargetsOf)
	if named == "" || named == d.FileSystem {
		return nil
	}
	if d.FileSystem == "" {
		return refusal.New(domain.ErrInvalid, "file system %.40q: the domain has none; name none", named)
	}
	return refusal.New(domain.ErrInvalid, "file system %.40q is not the domain's, which is %s: name that, or none to keep it as it is", named, d.FileSystem)
}

// PreviewDelete returns what [Client.DeleteDomain] would do now: what blocks it, what it
// would end, in the order of its going, and what stays. It changes nothing. Of a domain
// that is gone it is what the domain has left; one that is not there and has left nothing,
// no security group, network interface or file system, is [domain.ErrNotFound].
func (c *Client) PreviewDelete(ctx context.Context, q DeleteDomainRequest) ([]domain.Consequence, error) {
	found, err := c.previewDelete(ctx, q)
	return found, fail(ctx, "preview delete", q.Domain, err)
}

func (c *Client) previewDelete(ctx context.Context, q DeleteDomainRequest) (found []domain.Consequence, err error) {
	if err := q.problems().err(); err != nil {
		return nil, err
	}
	d, err := c.describe(ctx, q.Domain)
	if refusal.Code(err) == notFound {
		return c.previewGone(ctx, q, err)
	}
	if err == nil {
		err = q.against(d)
	}
	if err != nil {
		return nil, err
	}
	live, err := c.liveApps(ctx, AppFilter{Domain: d.ID}, nil)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(live, func(a, b App) int { return boolOrder(isServer(a)) - boolOrder(isServer(b)) })
	found = endings(live, "goes with the domain")
	spaces, err := c.previewSpaces(ctx, d.ID, func(Space) bool { return true })
	if err != nil {
		return nil, err
	}
	found = append(found, spaces...)
	for p, err := range c.listProfiles(ctx, d.ID) {
		if err != nil {
			return nil, err
		}
		found = append(found, domain.Consequence{Fate: domain.Ends, Thing: ThingProfile, Name: p.Name})
	}
	found = append(found, domain.Consequence{Fate: domain.Ends, Thing: domain.ThingDomain, Name: d.ID, Detail: d.Name})
	blocks, err := c.previewAdopters(ctx, d.FileSystem)
	if err != nil {
		return nil, err
	}
	found = append(found, blocks...)
	left, err := c.previewLeftovers(ctx, d, q)
	if err != nil {
		return nil, err
	}
	found = append(found, left...)
	slices.SortStableFunc(found, func(a, b domain.Consequence) int { return order(a.Fate) - order(b.Fate) })
	return found, nil
}

func boolOrder(b bool) int {
	if b {
		return 1
	}
	return 0
}

// DeleteDomain deletes a domain with all that is in it: first the sessions of RStudio and
// other apps, then its server, the spaces, the user profiles, the domain, and at last what
// SageMaker leaves behind: its network interfaces, and the two security groups for NFS, each
// of which keeps the other from being deleted. Ask [Client.PreviewDelete] first. It returns
// when all is gone, some minutes later.
//
// The file system of the homes stays with all files unless its id is named. Apps that have
// failed cannot be deleted and do not block.
//
// It can be called as often as one likes, and after any failure: it goes on, also when the
// domain itself is gone already; then a file system that is named and still there is
// [domain.ErrState]: package efs deletes it. So an id that never was a domain's is no error:
// that nothing was found is told to [Config.Progress] and logged, and PreviewDelete refuses it.
// What others have in the security groups for NFS, their own network interfaces, mount targets of
// file systems of their own or rules, is ErrState and named, when the domain is gone: its own
// group for inbound NFS, which mount targets of a custom file system have to be in ("Attaching
// a custom file system to a domain or user profile", developer guide), goes when they have
// left it. It stays, without an error, while mount targets of the homes that are kept are in it;
// [Client.PreviewDelete] and [Config.Progress] name them. A network interface that SageMaker has left
// without its tag the Administrator of [Policies] may not delete: that is
// [domain.ErrDenied], and says which and what statement it takes. A domain that one of ours was made over,
// see [Client.Adopt], is ErrState before anything is done, and so is what it has left if others
// have deleted it: our sessions reach the homes by the security groups that go with it. Delete
// ours first, with [domain.Client.Delete]. What tells of ours are its access points: one without
// any, which has no user's home, is not seen.
func (c *Client) DeleteDomain(ctx context.Context, q DeleteDomainRequest) error {
	err := q.problems().err()
	if err == nil {
		err = c.deleteDomain(ctx, q)
	}
	return fail(ctx, "delete domain", q.Domain, err)
}

func (c *Client) deleteDomain(ctx context.Context, q DeleteDomainRequest) error {
	s, err := c.untilNotMoving(ctx, c.watchDomain(q.Domain, nil))
	if err != nil {
		return err
	}
	if !s.gone {
		if err := c.emptyAndDelete(ctx, q); err != nil {
			return err
		}
	}
	homes, err := c.homesOf(ctx, q.Domain)
	if err != nil {
		return err
	}
	if err := c.cutsOff(ctx, homes); err != nil { // those who adopt meanwhile, or did before somebody else deleted it
		return err
	}
	if err := c.deleteNamed(ctx, q); err != nil {
		return err
	}
	left, err := c.deleteLeftovers(ctx, q.Domain)
	if err == nil && s.gone && !left && len(homes) == 0 {
		c.progress(Progress{Domain: q.Domain, Step: "domain", Resource: q.Domain, State: "not found, nor anything that it left"})
		c.log.WarnContext(ctx, "neither the domain nor anything that it left was found", "domain", q.Domain)
	}
	return err
}

// emptyAndDelete deletes a domain that is there. Where something is begun in it meanwhile,
// it empties it again.
func (c *Client) emptyAndDelete(ctx context.Context, q DeleteDomainRequest) error {
	d, err := c.describe(ctx, q.Domain)
	if refusal.Code(err) == notFound {
		return nil
	}
	if err == nil {
		err = q.against(d)
	}
	if err == nil {
		err = c.notAdopted(ctx, d)
	}
	if err != nil {
		return err
	}
	in := &awssagemaker.DeleteDomainInput{DomainId: &d.ID, RetentionPolicy: &types.RetentionPolicy{HomeEfsFileSystem: types.RetentionTypeRetain}}
	if q.DeleteFileSystem != "" {
		in.RetentionPolicy.HomeEfsFileSystem = types.RetentionTypeDelete
	}
	return again(ctx, func() error {
		if d.Status != Deleting {
			if err := c.empty(ctx, d); err != nil {
				return err
			}
		}
		return c.deleteOne(ctx, c.watchDomain(d.ID, nil), func() error {
			if err := c.notAdopted(ctx, d); err != nil { // those who adopt while it is emptied
				return err
			}
			_, err := c.aws.SageMaker.DeleteDomain(ctx, in)
			return err
		})
	})
}

// empty takes all out of a domain.
func (c *Client) empty(ctx context.Context, d Description) error {
	if err := c.endApps(ctx, AppFilter{Domain: d.ID}, nil); err != nil {
		return err
	}
	if err := c.deleteSpaces(ctx, d.ID, func(Space) bool { return true }); err != nil {
		return err
	}
	var names []string
	for p, err := range c.listProfiles(ctx, d.ID) {
		if err != nil {
			return refusal.Step("the list of user profiles", err)
		}
		names = append(names, p.Name)
	}
	for _, name := range names {
		if err := c.deleteProfile(ctx, DeleteProfileRequest{Domain: d.ID, Name: name, DeleteSpaces: true}); err != nil {
			return refusal.Step("user profile "+name, err)
		}
	}
	return nil
}

// deleteNamed completes what was asked for of the file system of a domain that is gone.
func (c *Client) deleteNamed(ctx context.Context, q DeleteDomainRequest) error {
	if q.DeleteMountTargetsOf != "" {
		there, err := c.madeFor(ctx, q.DeleteMountTargetsOf, q.Domain)
		if err != nil || !there {
			return err
		}
		return c.files.DeleteMountTargets(ctx, q.DeleteMountTargetsOf)
	}
	if q.DeleteFileSystem == "" {
		return nil
	}
	err := pace.Poll(ctx, visibleWithin, errLate, func() (bool, error) {
		there, err := c.isThere(ctx, q.DeleteFileSystem)
		return err == nil && !there, err
	})
	if errors.Is(err, errLate) {
		return refusal.New(domain.ErrState, "file system %s: %s", q.DeleteFileSystem, adviceFileSystem)
	}
	return err
}

// managedBy reports whether the value of SageMaker's own tag names a domain.
func managedBy(value, id string) bool { return strings.HasSuffix(value, ":domain/"+id) }

// mountTargets are those of a domain's file system, none if there is none.
func (c *Client) mountTargets(ctx context.Context, fileSystem string) ([]efs.MountTarget, error) {
	if fileSystem == "" {
		return nil, nil
	}
	targets, err := c.files.MountTargets(ctx, fileSystem)
	return targets, refusal.Step("mount targets of "+fileSystem, err)
}
