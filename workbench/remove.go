package workbench

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/internal/refusal"
)

// RemoveRequest says what else [Client.Remove] deletes.
type RemoveRequest struct {
	// DeleteVolume is the id of the data disk, to be deleted with all that
	// Workbench keeps on it, and with the keys. Empty keeps it: a later Deploy takes
	// it up again.
	DeleteVolume string
}

// What a Workbench consists of, and by which names, as [Client.PreviewRemove]
// tells it beside the domain's things.
const (
	ThingInstance  domain.Thing = "instance"          // by EC2's id
	ThingInterface domain.Thing = "network interface" // likewise
	ThingVolume    domain.Thing = "volume"            // likewise
	ThingRole      domain.Thing = "role"              // by name
	ThingSecret    domain.Thing = "secret"            // by name
)

// PreviewRemove returns what [Client.Remove] would do now: what blocks it, what it
// would end, in that order, and what stays. It changes nothing; EC2 is asked whose
// rules name the host's security group, which block it, and Secrets Manager for the
// keys. A domain without a Workbench is [domain.ErrNotFound].
func (c *Client) PreviewRemove(ctx context.Context, q RemoveRequest) ([]domain.Consequence, error) {
	const op = "preview remove"
	r, err := c.records.Get(ctx, c.domain.Name())
	if errors.Is(err, store.ErrNotFound) {
		err = refusal.New(domain.ErrNotFound, "the domain has no Workbench host")
	}
	if err != nil {
		return nil, c.fail(ctx, op, err)
	}
	if err := r.mayDelete(q); err != nil {
		return nil, c.fail(ctx, op, err)
	}
	d, err := c.domain.Describe(ctx)
	if err != nil {
		return nil, c.fail(ctx, op, err)
	}
	var found []domain.Consequence
	add := func(fate domain.Fate, thing domain.Thing, name, detail string) {
		if name != "" {
			found = append(found, domain.Consequence{Fate: fate, Thing: thing, Name: name, Detail: detail})
		}
	}
	group, naming, err := c.namedBy(ctx, d)
	if err != nil {
		return nil, c.fail(ctx, op, refusal.Step("security group "+c.name(), err))
	}
	for _, g := range naming {
		add(domain.Blocks, domain.ThingSecurityGroup, aws.ToString(g.GroupName),
			aws.ToString(g.GroupId)+", whose rules name "+group+", the host's: "+adviceNamed)
	}
	add(domain.Ends, ThingInstance, r.Instance.ID, "is terminated; deactivate a licence key before, it would stay in use")
	add(domain.Ends, ThingInterface, r.Interface.ID, "the address "+r.Interface.Address+" is given up")
	if r.Removed.IsZero() {
		add(domain.Ends, ThingSecret, c.secretName(), "the files, keys among them, are deleted at once")
		add(domain.Ends, ThingRole, c.roleName(), "with its instance profile and policies")
		add(domain.Ends, domain.ThingSecurityGroup, c.name(), "")
	}
	keys, err := c.hasKeys(ctx)
	if err != nil {
		return nil, c.fail(ctx, op, refusal.Step("secret "+c.keysName(), err))
	}
	deleted := q.DeleteVolume != "" || r.Removing != nil && r.Removing.Volume != ""
	if deleted {
		add(domain.Ends, ThingVolume, r.Volume.ID, "with Workbench's data")
	}
	if keys && (deleted || r.Volume.ID == "") {
		add(domain.Ends, ThingSecret, c.keysName(), "the keys are deleted in thirty days, until when EnsureKeys takes them back")
	}
	add(domain.Stays, domain.ThingFileSystem, d.FileSystem, "with all homes and projects")
	if !deleted {
		add(domain.Stays, ThingVolume, r.Volume.ID, "with Workbench's data; a later Deploy takes it up")
	}
	if keys && !deleted && r.Volume.ID != "" {
		add(domain.Stays, ThingSecret, c.keysName(), "with the keys, for a later Deploy")
	}
	return found, nil
}

// mayDelete reports why the volume that a request names is not to be deleted.
func (r record) mayDelete(q RemoveRequest) error {
	if q.DeleteVolume == "" || q.DeleteVolume == r.Volume.ID && r.Volume.ID != "" {
		return nil
	}
	if r.Volume.ID == "" {
		return refusal.New(domain.ErrInvalid, "volume %.40q: the Workbench has no data disk; name none", q.DeleteVolume)
	}
	return refusal.New(domain.ErrInvalid, "volume %.40q is not the Workbench's, which is %s: name that to delete it with all its data, or none to keep it", q.DeleteVolume, r.Volume.ID)
}

// Remove takes away what [Client.Deploy] made: the instance, its address, the
// role, the security group, the secret. The data disk is kept unless it is named, and
// with it the keys of [Client.EnsureKeys]; homes and projects, the shared storage among
// them, are the domain's and kept always. It returns when all is gone. After a failure
// call it again, with the same request or none, until it returns nil; meanwhile Deploy
// is [domain.ErrState]. What is not there, and what lacks the Workbench's tag, it leaves
// alone; a domain without a Workbench is no error.
//
// While rules of another security group name the host's, as those of a fleet's Access
// do, EC2 does not delete it: that is [domain.ErrState], which says whose rules they
// are, before anything is taken away. A rule that comes while Remove is at work is told
// of when the group is to go; without it the next call takes away the rest.
//
// After one that kept the disk, another Remove that names it deletes it.
func (c *Client) Remove(ctx context.Context, q RemoveRequest) error {
	return c.administer(ctx, "remove", func(ctx context.Context) error {
		r, err := c.records.Get(ctx, c.domain.Name())
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.mayDelete(q); err != nil {
			return err
		}
		d, err := c.domain.Describe(ctx)
		if err != nil {
			return err
		}
		if err := c.refuseNamed(ctx, d); err != nil {
			return err
		}
		err = c.note(ctx, &r, func(r *record) {
			if r.Removing == nil {
				r.Removing = &removal{}
			}
			if q.DeleteVolume != "" {
				r.Removing.Volume = q.DeleteVolume
			}
		})
		if err != nil {
			return err
		}
		return c.remove(ctx, &r, d)
	})
}

// remove does what is recorded. What has an instance to it goes first.
func (c *Client) remove(ctx context.Context, r *record, d domain.Description) error {
	if err := c.endAll(ctx, r); err != nil {
		return err
	}
	if err := c.shutOutOfFileSystem(ctx, *r, d); err != nil {
		return refusal.Step("security group "+d.FileSystemSecurityGroup+" of the file system", err)
	}
	if err := c.removeInterface(ctx, r, d); err != nil {
		return refusal.Step("the network interface", err)
	}
	if r.Volume.Token != "" && r.Volume.ID == "" { // it was about to be made: so it is found for certain
		if err := c.ensureVolume(ctx, r, d); err != nil {
			return refusal.Step("the data disk", err)
		}
	}
	if err := c.removeVolume(ctx, *r); err != nil {
		return refusal.Step("data disk "+r.Volume.ID, err)
	}
	if err := c.removeGroup(ctx, d); err != nil {
		return refusal.Step("security group "+c.name(), err)
	}
	if err := c.removeSecret(ctx); err != nil {
		return refusal.Step("secret "+c.secretName(), err)
	}
	if err := c.removeRole(ctx, *r); err != nil {
		return refusal.Step("role "+c.roleName(), err)
	}
	if !r.keepsVolume() {
		if err := c.removeKeys(ctx); err != nil {
			return refusal.Step("secret "+c.keysName(), err)
		}
	}
	if err := c.domain.Vacate(ctx, occupant); err != nil {
		return err
	}
	c.log.InfoContext(ctx, "workbench removed", "volume kept", r.keepsVolume())
	if !r.keepsVolume() {
		return c.records.Delete(ctx, r.Domain)
	}
	return c.note(ctx, r, func(r *record) {
		// The number of the publication stays: a version of a secret has it.
		*r = record{Domain: r.Domain, Created: r.Created, Want: want{}, Subnet: r.Subnet, Volume: r.Volume, Serial: r.Serial,
			Published: publication{Number: r.Published.Number}, Removed: time.Now()}
	})
}

// keepsVolume reports whether a Remove that has begun leaves the data disk.
func (r record) keepsVolume() bool { return r.Volume.ID != "" && r.Removing.Volume != r.Volume.ID }

// endAll terminates the instance, and what a launch that was interrupted came
// to. Such a launch is looked up for as long as it may not show.
func (c *Client) endAll(ctx context.Context, r *record) error {
	if b := r.Buy; b != nil {
		var ids []string
		err := poll(ctx, 2*settlesWithin, func() (found bool, err error) {
			ids, err = c.launchedBy(ctx, b.Token)
			return len(ids) > 0 || time.Since(b.At) > settlesWithin, err
		})
		if err != nil {
			return refusal.Step("what was launched", err)
		}
		for _, id := range ids {
			if err := c.end(ctx, instance{ID: id, Launched: b.At}); err != nil {
				return err
			}
		}
		if err := c.note(ctx, r, func(r *record) { r.Buy = nil }); err != nil {
			return err
		}
	}
	if r.Instance.ID == "" {
		return nil
	}
	if err := c.end(ctx, r.Instance); err != nil {
		return err
	}
	return c.note(ctx, r, func(r *record) { r.Instance, r.Replacing = instance{}, "" })
}

// removeInterface deletes the interface. One that was about to be made when the
// program ended is made first: by its token it is found so for certain.
func (c *Client) removeInterface(ctx context.Context, r *record, d domain.Description) error {
	if r.Interface.Token == "" {
		return nil
	}
	if r.Interface.ID == "" {
		if err := c.ensureInterface(ctx, r, d); err != nil {
			return err
		}
	}
	return poll(ctx, settlesWithin, func() (bool, error) {
		_, err := c.aws.EC2.DeleteNetworkInterface(ctx, &awsec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: aws.String(r.Interface.ID)})
		switch refusal.Code(err) {
		case noSuchInterface:
			// It was deleted, or is too young to show.
			return time.Since(r.Interface.At) > settlesWithin, nil
		case interfaceInUse:
			return false, nil
		}
		return err == nil, err
	})
}

// removeVolume deletes the data disk if that was asked for.
func (c *Client) removeVolume(ctx context.Context, r record) error {
	if r.Removing.Volume == "" || r.Removing.Volume != r.Volume.ID {
		return nil
	}
	return poll(ctx, settlesWithin, func() (bool, error) {
		_, err := c.aws.EC2.DeleteVolume(ctx, &awsec2.DeleteVolumeInput{VolumeId: aws.String(r.Volume.ID)})
		switch refusal.Code(err) {
		case noSuchVolume:
			return time.Since(r.Volume.At) > settlesWithin, nil
		case volumeInUse, wrongState:
			return false, nil
		}
		return err == nil, err
	})
}
