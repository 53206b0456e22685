package fakeaws

import (
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// A volume is an EBS volume that exists by itself, not with an instance. Its
// state is a function of its instants.
type volume struct {
	id, token, zone string
	size            int32 // GiB
	kind            types.VolumeType
	encrypted       bool
	key             string
	tags            map[string]string
	request         *awsec2.CreateVolumeInput
	created         time.Time
	attached        *instance // the last it was attached to, or nil
	device          string
	attachedAt      time.Time
}

var volumeIDPattern = idPattern("vol")

// inUse reports whether an instance holds it. Terminating the instance detaches
// it when that has ended
// (https://docs.aws.amazon.com/ebs/latest/userguide/ebs-detaching-volume.html).
func (v *volume) inUse(now time.Time) bool {
	return v.attached != nil && v.attached.state(now) != types.InstanceStateNameTerminated
}

// state is one of
// https://docs.aws.amazon.com/ebs/latest/userguide/ebs-describing-volumes.html.
func (v *volume) state(now time.Time, d Delays) types.VolumeState {
	switch {
	case v.inUse(now):
		return types.VolumeStateInUse
	case now.Before(v.created.Add(d.Volume)):
		return types.VolumeStateCreating
	}
	return types.VolumeStateAvailable
}

// volume finds a volume. A new one shows after [Delays.Visible].
func (c *Cloud) volume(id string, now time.Time) (*volume, error) {
	if !volumeIDPattern.MatchString(id) {
		return nil, ec2Refuse("InvalidVolumeID.Malformed", `Invalid id: "%s" (expecting "vol-...")`, id)
	}
	for _, v := range c.ec2.volumes {
		if v.id == id && !now.Before(v.created.Add(c.delays.Visible)) {
			return v, nil
		}
	}
	return nil, ec2Refuse("InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
}

// createVolume follows
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateVolume.html
// for empty gp3 volumes. That a token is known for as long as its volume exists
// is an assumption.
func (c *Cloud) createVolume(at call, in *awsec2.CreateVolumeInput) (*awsec2.CreateVolumeOutput, error) {
	if err := modelled(at, in, "AvailabilityZone", "ClientToken", "Encrypted", "KmsKeyId", "Size", "VolumeType", "TagSpecifications"); err != nil {
		return nil, err
	}
	token, zone, size := aws.ToString(in.ClientToken), aws.ToString(in.AvailabilityZone), aws.ToInt32(in.Size)
	for _, v := range c.ec2.volumes {
		if token == "" || v.token != token {
			continue
		}
		if !alikeInputs(v.request, in) {
			return nil, ec2Refuse("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
		}
		return c.createdVolume(v, at.At), nil
	}
	switch {
	case zone == "":
		return nil, ec2Refuse("MissingParameter", "The request must contain the parameter zone")
	case !slices.Contains(c.zones(), zone):
		return nil, ec2Refuse("InvalidZone.NotFound", "The zone '%s' does not exist.", zone)
	case in.VolumeType != types.VolumeTypeGp3:
		return nil, ec2Refuse("InvalidParameterValue", "fakeaws: volumes of type %q are not modelled", in.VolumeType)
	case size < 1 || size > 64<<10: // https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html
		return nil, ec2Refuse("InvalidParameterValue", "Volume of %dGiB is invalid", size)
	case in.KmsKeyId != nil && !aws.ToBool(in.Encrypted):
		return nil, ec2Refuse("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
	}
	tags, err := tagsFor(in.TagSpecifications, types.ResourceTypeVolume)
	if err != nil {
		return nil, err
	}
	v := &volume{
		id: resourceID("vol", c.hash(at.id, "vol")), token: token, zone: zone, size: size, kind: in.VolumeType,
		encrypted: aws.ToBool(in.Encrypted), key: aws.ToString(in.KmsKeyId), tags: tags, request: in, created: at.At,
	}
	c.ec2.volumes = append(c.ec2.volumes, v)
	slices.SortFunc(c.ec2.volumes, func(a, b *volume) int { return strings.Compare(a.id, b.id) })
	return c.createdVolume(v, at.At), nil
}

func (c *Cloud) createdVolume(v *volume, now time.Time) *awsec2.CreateVolumeOutput {
	return &awsec2.CreateVolumeOutput{
		VolumeId: aws.String(v.id), AvailabilityZone: aws.String(v.zone), Size: aws.Int32(v.size), VolumeType: v.kind,
		Encrypted: aws.Bool(v.encrypted), State: v.state(now, c.delays), Tags: tagList(v.tags), CreateTime: aws.Time(v.created.UTC()),
	}
}

func (c *Cloud) describeVolume(v *volume, now time.Time) types.Volume {
	d := types.Volume{
		VolumeId: aws.String(v.id), AvailabilityZone: aws.String(v.zone), Size: aws.Int32(v.size), VolumeType: v.kind,
		Encrypted: aws.Bool(v.encrypted), State: v.state(now, c.delays), Tags: tagList(v.tags), CreateTime: aws.Time(v.created.UTC()),
	}
	if v.key != "" {
		d.KmsKeyId = aws.String(v.key)
	}
	if v.inUse(now) {
		d.Attachments = []types.VolumeAttachment{v.attachment(now, c.delays)}
	}
	return d
}

func (v *volume) attachment(now time.Time, d Delays) types.VolumeAttachment {
	state := types.VolumeAttachmentStateAttached
	if now.Before(v.attachedAt.Add(d.VolumeAttached)) {
		state = types.VolumeAttachmentStateAttaching
	}
	return types.VolumeAttachment{
		VolumeId: aws.String(v.id), InstanceId: aws.String(v.attached.id), Device: aws.String(v.device), State: state,
		AttachTime: aws.Time(v.attachedAt.UTC()), DeleteOnTermination: aws.Bool(false),
	}
}

func (c *Cloud) describeVolumes(at call, in *awsec2.DescribeVolumesInput) (*awsec2.DescribeVolumesOutput, error) {
	if err := modelled(at, in, "VolumeIds", "Filters", "MaxResults", "NextToken"); err != nil {
		return nil, err
	}
	for _, id := range in.VolumeIds {
		if _, err := c.volume(id, at.At); err != nil {
			return nil, err
		}
	}
	var found []types.Volume
	for _, v := range c.ec2.volumes {
		if at.At.Before(v.created.Add(c.delays.Visible)) || len(in.VolumeIds) > 0 && !slices.Contains(in.VolumeIds, v.id) {
			continue
		}
		d := c.describeVolume(v, at.At)
		ok, err := matches(at, in.Filters, v.tags, func(filter string) ([]string, bool) {
			switch filter {
			case "volume-id":
				return []string{v.id}, true
			case "status":
				return []string{string(d.State)}, true
			case "availability-zone":
				return []string{v.zone}, true
			case "attachment.instance-id":
				if len(d.Attachments) > 0 {
					return []string{v.attached.id}, true
				}
				return nil, true
			}
			return nil, false
		})
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, d)
		}
	}
	found, next, err := page(found, func(v types.Volume) string { return *v.VolumeId }, in.MaxResults, in.NextToken, 5)
	if err != nil {
		return nil, err
	}
	return &awsec2.DescribeVolumesOutput{Volumes: found, NextToken: next}, nil
}

// attachVolume follows
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AttachVolume.html;
// the codes are those of
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html.
func (c *Cloud) attachVolume(at call, in *awsec2.AttachVolumeInput) (*awsec2.AttachVolumeOutput, error) {
	if err := modelled(at, in, "VolumeId", "InstanceId", "Device"); err != nil {
		return nil, err
	}
	v, err := c.volume(aws.ToString(in.VolumeId), at.At)
	if err != nil {
		return nil, err
	}
	found, err := c.find([]string{aws.ToString(in.InstanceId)}, c.seenAt(at.At))
	if err != nil {
		return nil, err
	}
	i, device := found[0], aws.ToString(in.Device)
	switch state := v.state(at.At, c.delays); {
	case device == "":
		return nil, ec2Refuse("MissingParameter", "The request must contain the parameter device")
	case state == types.VolumeStateInUse:
		return nil, ec2Refuse("VolumeInUse", "%s is already attached to an instance", v.id)
	case state != types.VolumeStateAvailable:
		return nil, ec2Refuse("IncorrectState", "%s is not 'available'.", v.id)
	case i.state(at.At) != types.InstanceStateNameRunning:
		return nil, ec2Refuse("IncorrectState", "Instance '%s' is not 'running'.", i.id)
	case v.zone != i.zone:
		return nil, ec2Refuse("InvalidVolume.ZoneMismatch", "The volume '%s' is not in the same availability zone as instance '%s'", v.id, i.id)
	case slices.ContainsFunc(c.ec2.volumes, func(o *volume) bool { return o.attached == i && o.device == device }):
		return nil, ec2Refuse("InvalidParameterValue", "Invalid value '%s' for unixDevice. Attachment point %s is already in use", device, device)
	}
	v.attached, v.device, v.attachedAt = i, device, at.At
	a := v.attachment(at.At, c.delays)
	return &awsec2.AttachVolumeOutput{
		VolumeId: a.VolumeId, InstanceId: a.InstanceId, Device: a.Device, State: a.State, AttachTime: a.AttachTime, DeleteOnTermination: a.DeleteOnTermination,
	}, nil
}

// deleteVolume follows
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteVolume.html.
// That a volume is not described from then on is an assumption.
func (c *Cloud) deleteVolume(at call, in *awsec2.DeleteVolumeInput) (*awsec2.DeleteVolumeOutput, error) {
	if err := modelled(at, in, "VolumeId"); err != nil {
		return nil, err
	}
	v, err := c.volume(aws.ToString(in.VolumeId), at.At)
	if err != nil {
		return nil, err
	}
	switch state := v.state(at.At, c.delays); {
	case state == types.VolumeStateInUse:
		return nil, ec2Refuse("VolumeInUse", "Volume %s is currently attached to %s", v.id, v.attached.id)
	case state != types.VolumeStateAvailable:
		return nil, ec2Refuse("IncorrectState", "%s is not 'available'.", v.id)
	}
	c.ec2.volumes = slices.DeleteFunc(c.ec2.volumes, func(o *volume) bool { return o == v })
	return &awsec2.DeleteVolumeOutput{}, nil
}
