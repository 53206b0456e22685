package workbench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/internal/cloudconfig"
	"github.com/atelier-go/atelier/internal/refusal"
)

// Deployed is what a [Client.Deploy] came to.
type Deployed struct {
	// Instance is the present instance's id, Address its private address, which
	// stays.
	Instance, Address string
	// SecurityGroup is the host's. What has to let Workbench in names it: the
	// Access of the launcher's configuration, since Workbench connects to sessions.
	SecurityGroup string
	// RestartDue says that the files are published and the host has not read them
	// yet: call [Client.Restart].
	RestartDue bool
	// ReplaceDue says why the instance is not as it was asked for: call
	// [Client.Replace]. Nil is that it is.
	ReplaceDue []string
}

// Deploy makes the domain's Workbench host, or completes and changes it, and
// returns when the instance runs and has its data disk. It then still boots, for
// some minutes if it has to install Workbench: see [Client.Describe].
//
// It can be called as often as one likes, and after any failure. A host that
// exists is left alone: other files are published, and hold from the next
// [Client.Restart] or [Client.Replace] on; with another type, image or anything
// else that an instance is launched with, Replace is due. Both are said in the
// answer. Who has access, and what the role may do, changes at once. An
// instance that was terminated behind this package's back is replaced.
//
// Everything that is wrong with the request is reported at once, as
// [domain.ErrInvalid], before anything is made. Another subnet or size of the
// data disk than it has is [domain.ErrConflict]; a domain that has no file
// system yet, since no user was onboarded, is [domain.ErrState], and so is shared
// storage in a project whose creation has not ended. A name of this
// Workbench's that is taken by something without its tag is
// [domain.ErrConflict], and nothing is touched.
func (c *Client) Deploy(ctx context.Context, q DeployRequest) (Deployed, error) {
	var done Deployed
	err := c.administer(ctx, "deploy", func(ctx context.Context) error {
		r, d, err := c.intend(ctx, q)
		if err != nil {
			return err
		}
		if err := c.ensureSurroundings(ctx, &r, d, q.Files); err != nil {
			return err
		}
		if err := c.settle(ctx, &r, d); err != nil {
			return err
		}
		done = Deployed{
			Instance: r.Instance.ID, Address: r.Interface.Address, SecurityGroup: r.Group,
			RestartDue: r.restartDue(), ReplaceDue: r.replaceDue(digest(c.userData(r, d))),
		}
		return nil
	})
	return done, err
}

// occupant is what a Workbench is called among those that keep a domain from being
// deleted.
const occupant = "workbench"

// intend checks a request and records it.
func (c *Client) intend(ctx context.Context, q DeployRequest) (record, domain.Description, error) {
	d, err := c.domain.Describe(ctx)
	if err != nil {
		return record{}, d, err
	}
	wrong := q.problems(c.domain.Region(), c.domain.Catalog())
	subnet, err := q.subnetOf(d)
	if err != nil {
		wrong = append(wrong, err)
	}
	missing, err := c.missingGroups(ctx, q.Access)
	if err != nil {
		return record{}, d, refusal.Step("the security groups of the access", err)
	}
	wrong = append(wrong, missing...)
	project, without, err := c.findStorage(ctx, q)
	if err != nil {
		return record{}, d, refusal.Step("the shared storage", err)
	}
	if without != nil {
		wrong = append(wrong, without)
	}
	before, err := c.records.Get(ctx, c.domain.Name())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return record{}, d, err
	}
	wrong = append(wrong, c.lengthProblems(record{
		Want: q.want(c.domain.Catalog()), Volume: made{ID: longID}, Storage: project.Directory.AccessPoint, Instance: before.Instance, Buy: before.Buy,
	}, d)...)
	if len(wrong) > 0 {
		return record{}, d, refusal.New(domain.ErrInvalid, "%w", errors.Join(wrong...))
	}
	if d.Deleting {
		return record{}, d, refusal.New(domain.ErrState, "the domain is being deleted")
	}
	if d.FileSystem == "" {
		return record{}, d, refusal.New(domain.ErrState, "the domain has no file system yet, which comes with its first user: onboard one and call again")
	}
	if q.SharedStorage != "" && project.Created.IsZero() {
		return record{}, d, refusal.New(domain.ErrState, "shared storage: the creation of project %s has not ended: call CreateProject again, which goes on where it stands", project.Name)
	}
	r := record{Domain: c.domain.Name(), Created: time.Now(), Subnet: subnet, Want: q.want(c.domain.Catalog()), Storage: project.Directory.AccessPoint}
	r.Volume.GiB, r.Volume.Key = q.VolumeGiB, d.KMSKeyID
	if r.Volume.GiB == 0 {
		r.Volume.GiB = defaultVolume
	}
	if err := c.domain.Occupy(ctx, occupant); err != nil {
		return record{}, d, err
	}
	err = c.records.Create(ctx, r.Domain, r)
	if err == nil {
		c.log.InfoContext(ctx, "workbench begun", "subnet", subnet.ID)
		return r, d, nil
	}
	if !errors.Is(err, store.ErrConflict) {
		return record{}, d, err
	}
	r, err = c.records.Update(ctx, c.domain.Name(), func(r *record) error {
		if err := r.takes(q); err != nil {
			return err
		}
		r.Want, r.Storage, r.Removed = q.want(c.domain.Catalog()), project.Directory.AccessPoint, time.Time{}
		return nil
	})
	return r, d, err
}

// lengthProblems reports what is too long together of a Workbench as it is to be
// recorded.
func (c *Client) lengthProblems(r record, d domain.Description) (found []error) {
	if n := len(c.userData(r, d)); n > cloudconfig.MaxSize {
		found = append(found, fmt.Errorf("the URLs, paths and command together are %d bytes too long for an instance's user data", n-cloudconfig.MaxSize))
	}
	if err := sizeProblem(r.Want.Policies, c.hostPolicy(longAccount, r, d)); err != nil {
		found = append(found, err)
	}
	return found
}

// takes reports why a Workbench cannot become what is asked for, or nil.
func (r record) takes(q DeployRequest) error {
	if r.Removing != nil {
		return refusal.New(domain.ErrState, "Remove has begun and not ended: call it again first")
	}
	var differ []error
	if q.Subnet != "" && q.Subnet != r.Subnet.ID {
		differ = append(differ, fmt.Errorf("the Workbench is in subnet %s, where its address and its data are, not in %s", r.Subnet.ID, q.Subnet))
	}
	if q.VolumeGiB != 0 && q.VolumeGiB != r.Volume.GiB {
		differ = append(differ, fmt.Errorf("its data disk has %d GiB, not %d", r.Volume.GiB, q.VolumeGiB))
	}
	if differ != nil {
		return refusal.New(domain.ErrConflict, "%w; ask for what there is, or Remove it first and delete its volume", errors.Join(differ...))
	}
	return nil
}

const (
	// longID has the length of the longest identifiers of EC2 and EFS.
	longID = "fsap-0123456789abcdef0123456789abcdef01234567"
	// longAccount has the length of accounts.
	longAccount = "123456789012"
)

// missingGroups says which security groups do not exist. They are asked for by a
// filter, since by identifier EC2 names only the first that is missing.
func (c *Client) missingGroups(ctx context.Context, access []string) (missing []error, err error) {
	var ids []string
	for _, a := range access {
		if groupPattern.MatchString(a) && !slices.Contains(ids, a) {
			ids = append(ids, a)
		}
	}
	if ids == nil {
		return nil, nil
	}
	groups, err := c.describeGroups(ctx, filter("group-id", ids...))
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		ids = slices.DeleteFunc(ids, func(id string) bool { return id == aws.ToString(g.GroupId) })
	}
	for _, id := range ids {
		missing = append(missing, fmt.Errorf("access: security group %s does not exist in %s", id, c.domain.Region()))
	}
	return missing, nil
}

// ensureSurroundings makes everything but the instance.
func (c *Client) ensureSurroundings(ctx context.Context, r *record, d domain.Description, files []File) error {
	if err := c.ensureGroup(ctx, r, d); err != nil {
		return refusal.Step("security group "+c.name(), err)
	}
	if err := c.admitToFileSystem(ctx, *r, d); err != nil {
		return refusal.Step("security group "+d.FileSystemSecurityGroup+" of the file system", err)
	}
	arn, err := c.ensureRole(ctx, r, d)
	if err != nil {
		return refusal.Step("role "+c.name(), err)
	}
	if err := c.ensureProfile(ctx, d); err != nil {
		return refusal.Step("instance profile "+c.name(), err)
	}
	if err := c.publish(ctx, r, d, arn, files); err != nil {
		return refusal.Step("secret "+c.secretName(), err)
	}
	if err := c.ensureInterface(ctx, r, d); err != nil {
		return refusal.Step("the network interface", err)
	}
	return refusal.Step("the data disk", c.ensureVolume(ctx, r, d))
}

// ensureInterface makes the interface, whose address stays.
func (c *Client) ensureInterface(ctx context.Context, r *record, d domain.Description) error {
	if r.Interface.ID != "" {
		return nil
	}
	if r.Interface.Token == "" {
		if err := c.note(ctx, r, func(r *record) { r.Interface.Token = r.token("interface") }); err != nil {
			return err
		}
	}
	var out *awsec2.CreateNetworkInterfaceOutput
	err := untilNot(ctx, "InvalidGroup.NotFound", func() (err error) { // the group may be too young
		out, err = c.aws.EC2.CreateNetworkInterface(ctx, &awsec2.CreateNetworkInterfaceInput{
			ClientToken: aws.String(r.Interface.Token), SubnetId: aws.String(r.Subnet.ID), Groups: hostGroups(*r, d),
			Description: aws.String("Atelier domain " + r.Domain + ": Workbench."), TagSpecifications: c.tagSpecs(d, "network-interface"),
		})
		return err
	})
	if err != nil {
		return err
	}
	id, address := aws.ToString(out.NetworkInterface.NetworkInterfaceId), aws.ToString(out.NetworkInterface.PrivateIpAddress)
	c.log.InfoContext(ctx, "network interface made", "interface", id, "address", address)
	return c.note(ctx, r, func(r *record) { r.Interface.ID, r.Interface.Address, r.Interface.At = id, address, time.Now() })
}

// ensureVolume makes the data disk.
func (c *Client) ensureVolume(ctx context.Context, r *record, d domain.Description) error {
	if r.Volume.ID != "" {
		return nil
	}
	if r.Volume.Token == "" {
		if err := c.note(ctx, r, func(r *record) { r.Volume.Token = r.token("volume") }); err != nil {
			return err
		}
	}
	in := &awsec2.CreateVolumeInput{
		ClientToken: aws.String(r.Volume.Token), AvailabilityZone: aws.String(r.Subnet.Zone), Size: aws.Int32(r.Volume.GiB),
		VolumeType: "gp3", Encrypted: aws.Bool(true), TagSpecifications: c.tagSpecs(d, "volume"),
	}
	if r.Volume.Key != "" {
		in.KmsKeyId = aws.String(r.Volume.Key)
	}
	out, err := c.aws.EC2.CreateVolume(ctx, in)
	if err != nil {
		return err
	}
	c.log.InfoContext(ctx, "data disk made", "volume", aws.ToString(out.VolumeId))
	return c.note(ctx, r, func(r *record) { r.Volume.ID, r.Volume.At = aws.ToString(out.VolumeId), time.Now() })
}

func (r record) restartDue() bool { return r.Instance.ID != "" && r.Read != r.Published.Number }

// replaceDue says how the instance differs from what is wanted.
func (r record) replaceDue(boot string) (why []string) {
	if r.Instance.ID == "" {
		return nil
	}
	if r.Instance.Type != r.Want.InstanceType {
		why = append(why, fmt.Sprintf("it is of type %s, and %s is wanted", r.Instance.Type, r.Want.InstanceType))
	}
	if r.Want.AMI != "" && r.Instance.AMI != r.Want.AMI {
		why = append(why, fmt.Sprintf("it was launched from %s, and %s is wanted", r.Instance.AMI, r.Want.AMI))
	}
	if r.Instance.Boot != boot {
		why = append(why, "it was launched with another package, plugin, licence, shared storage or command for accounts, or by another version of this library")
	}
	return why
}
