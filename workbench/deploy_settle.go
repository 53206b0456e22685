package workbench

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/internal/refusal"
)

// dataDevice is what EC2 calls the data disk. The host knows it by its volume's
// id.
const dataDevice = "/dev/sdf"

// settle brings the instance to what the record says: one that runs and has the
// data disk, and is not the one to be replaced. There is never another while
// one may still run: the next is launched when EC2 says that the last is
// terminated, and it is the same interface that both have.
func (c *Client) settle(ctx context.Context, r *record, d domain.Description) error {
	if r.Instance.ID != "" && r.Instance.ID == r.Replacing {
		if err := c.end(ctx, r.Instance); err != nil {
			return err
		}
		if err := c.note(ctx, r, func(r *record) { r.Instance = instance{} }); err != nil {
			return err
		}
	}
	if r.Instance.ID != "" {
		state, _, err := c.look(ctx, r.Instance)
		if err != nil {
			return err
		}
		if ended(state) {
			c.log.WarnContext(ctx, "the instance has ended, another is launched", "instance", r.Instance.ID)
			if err := c.end(ctx, r.Instance); err != nil {
				return err
			}
			if err := c.note(ctx, r, func(r *record) { r.Instance = instance{} }); err != nil {
				return err
			}
		}
	}
	if r.Instance.ID == "" {
		if err := c.launch(ctx, r, d); err != nil {
			return refusal.Step("the instance", err)
		}
	}
	if err := c.awaitRunning(ctx, r.Instance); err != nil {
		return refusal.Step("instance "+r.Instance.ID, err)
	}
	if err := c.attach(ctx, *r); err != nil {
		return refusal.Step("data disk "+r.Volume.ID, err)
	}
	if r.Replacing == "" {
		return nil
	}
	return c.note(ctx, r, func(r *record) { r.Replacing = "" })
}

func ended(s ec2types.InstanceStateName) bool {
	return s == ec2types.InstanceStateNameTerminated || s == ec2types.InstanceStateNameShuttingDown
}

// look returns the state of an instance and what EC2 says of it. One that does
// not show is pending while it is young, since that is no proof of absence
// (https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html),
// and terminated when it is not: those are shown for about an hour.
func (c *Client) look(ctx context.Context, i instance) (ec2types.InstanceStateName, *ec2types.Instance, error) {
	out, err := c.aws.EC2.DescribeInstances(ctx, &awsec2.DescribeInstancesInput{InstanceIds: []string{i.ID}})
	if refusal.Code(err) == noSuchInstance {
		if time.Since(i.Launched) < settlesWithin {
			return ec2types.InstanceStateNamePending, nil, nil
		}
		return ec2types.InstanceStateNameTerminated, nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	for _, reservation := range out.Reservations {
		for _, found := range reservation.Instances {
			if found.State != nil {
				return found.State.Name, &found, nil
			}
		}
	}
	return ec2types.InstanceStateNamePending, nil, nil
}

// end terminates an instance and waits until it is terminated. Nothing of it
// runs then, and EC2 gives back its interface and its disk.
func (c *Client) end(ctx context.Context, i instance) error {
	c.log.InfoContext(ctx, "terminating the instance", "instance", i.ID)
	err := poll(ctx, changesWithin, func() (bool, error) {
		state, _, err := c.look(ctx, i)
		if err != nil || state == ec2types.InstanceStateNameTerminated {
			return err == nil, err
		}
		if state == ec2types.InstanceStateNameShuttingDown {
			return false, nil
		}
		_, err = c.aws.EC2.TerminateInstances(ctx, &awsec2.TerminateInstancesInput{InstanceIds: []string{i.ID}})
		if refusal.Code(err) == noSuchInstance { // it is too young to show
			err = nil
		}
		return false, err
	})
	if errors.Is(err, errTooLong) {
		return refusal.New(domain.ErrUnavailable, "instance %s is not terminated after %v, and no other can have its address and data before; call again", i.ID, changesWithin)
	}
	return refusal.Step("ending instance "+i.ID, err)
}

// launch launches the instance that is recorded to be launched, or records one
// that is wanted first.
func (c *Client) launch(ctx context.Context, r *record, d domain.Description) error {
	for {
		if r.Buy == nil {
			if err := c.order(ctx, r, d); err != nil {
				return err
			}
		}
		i, err := c.run(ctx, *r.Buy)
		if err == nil {
			c.log.InfoContext(ctx, "instance launched", "instance", i.ID, "type", i.Type, "ami", i.AMI)
			return c.note(ctx, r, func(r *record) { r.Instance, r.Read, r.Buy = i, r.Buy.Read, nil })
		}
		if open(err) {
			return err
		}
		// Nothing was launched, and the same request will not launch later.
		if err := c.note(ctx, r, func(r *record) { r.Buy = nil }); err != nil {
			return err
		}
		switch refusal.Code(err) {
		case tokenSpent: // what a launch before a crash came to has ended meanwhile
			continue
		case soldOut:
			return refusal.New(domain.ErrUnavailable, "EC2 has no %s to give in %s now, where the address and the data are: call again in some minutes, or Deploy with another type: %w",
				r.Want.InstanceType, r.Subnet.Zone, err)
		}
		return err
	}
}

// open reports whether a launch that failed may have happened, or may happen if
// it is made again as it was.
func open(err error) bool {
	if refusal.Code(err) == soldOut || refusal.Code(err) == tokenSpent {
		return false
	}
	switch kindOf(err) {
	case domain.ErrUnavailable, domain.ErrThrottled:
		return true
	}
	return refusal.Code(err) == "" // it has not been answered
}

// order records what is to be launched.
func (c *Client) order(ctx context.Context, r *record, d domain.Description) error {
	ami := r.Want.AMI
	if ami == "" {
		name, err := parameterOf(c.domain.Catalog(), r.Want.InstanceType)
		if err != nil {
			return err
		}
		out, err := c.aws.SSM.GetParameter(ctx, &awsssm.GetParameterInput{Name: aws.String(name)})
		if err != nil {
			return refusal.Step("the image in "+name, err)
		}
		ami = aws.ToString(out.Parameter.Value)
	}
	data := c.userData(*r, d)
	return c.note(ctx, r, func(r *record) {
		r.Buy = &purchase{
			Token: r.token("instance"), At: time.Now(), AMI: ami, Type: r.Want.InstanceType, Root: r.Want.RootDevice, UserData: data,
			Interface: r.Interface.ID, Profile: c.roleName(), Tags: c.tags(d), Boot: digest(data), License: r.Want.License, Storage: r.Storage, Read: r.Published.Number,
		}
	})
}

// parameterOf names the public parameter that holds the standard Amazon Linux
// 2023 image for a type (https://docs.aws.amazon.com/linux/al2023/ug/ec2.html).
func parameterOf(catalog *instancetype.Catalog, name string) (string, error) {
	t, err := linuxType(catalog, name)
	return "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-" + string(t.Arch), err
}

// run makes the call that a purchase is. It is not repeated by the SDK, since
// sold out arrives as a failure of the server. Until EC2 knows the instance
// profile it takes it for a wrong value, so that every such refusal of a young
// purchase is taken for that: a value that is really wrong is told a little
// later. The interface may be too young as well, or not be free yet.
func (c *Client) run(ctx context.Context, b purchase) (instance, error) {
	in := b.input()
	var out *awsec2.RunInstancesOutput
	var last error
	err := poll(ctx, settlesWithin, func() (bool, error) {
		out, last = c.aws.EC2.RunInstances(ctx, in, func(o *awsec2.Options) { o.Retryer = aws.NopRetryer{} })
		switch refusal.Code(last) {
		case invalidValue, noSuchInterface, interfaceInUse:
			return false, nil
		}
		return true, last
	})
	if errors.Is(err, errTooLong) {
		err = last
	}
	if err != nil {
		return instance{}, err
	}
	if len(out.Instances) != 1 {
		return instance{}, fmt.Errorf("EC2 launched %d instances", len(out.Instances))
	}
	return instance{ID: aws.ToString(out.Instances[0].InstanceId), Type: b.Type, AMI: b.AMI, Boot: b.Boot, License: b.License, Storage: b.Storage, Launched: time.Now()}, nil
}

// input is the request, the same each time.
func (b purchase) input() *awsec2.RunInstancesInput {
	return &awsec2.RunInstancesInput{
		ClientToken: aws.String(b.Token), MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		ImageId: aws.String(b.AMI), InstanceType: ec2types.InstanceType(b.Type),
		UserData:           aws.String(base64.StdEncoding.EncodeToString([]byte(b.UserData))),
		IamInstanceProfile: &ec2types.IamInstanceProfileSpecification{Name: aws.String(b.Profile)},
		NetworkInterfaces: []ec2types.InstanceNetworkInterfaceSpecification{{
			NetworkInterfaceId: aws.String(b.Interface), DeviceIndex: aws.Int32(0), DeleteOnTermination: aws.Bool(false),
		}},
		BlockDeviceMappings: []ec2types.BlockDeviceMapping{{
			DeviceName: aws.String(b.Root),
			Ebs:        &ec2types.EbsBlockDevice{Encrypted: aws.Bool(true), VolumeType: ec2types.VolumeTypeGp3, DeleteOnTermination: aws.Bool(true)},
		}},
		// Nothing but the host itself reaches its credentials, and nothing without a
		// session at the metadata service. Which accounts of the host do, it sees to itself.
		MetadataOptions: &ec2types.InstanceMetadataOptionsRequest{
			HttpEndpoint: ec2types.InstanceMetadataEndpointStateEnabled, HttpTokens: ec2types.HttpTokensStateRequired, HttpPutResponseHopLimit: aws.Int32(1),
		},
		TagSpecifications: []ec2types.TagSpecification{
			{ResourceType: ec2types.ResourceTypeInstance, Tags: tagsAs(b.Tags, ec2Tag)},
			{ResourceType: ec2types.ResourceTypeVolume, Tags: tagsAs(b.Tags, ec2Tag)},
		},
	}
}

// awaitRunning waits until the instance runs.
func (c *Client) awaitRunning(ctx context.Context, i instance) error {
	err := poll(ctx, changesWithin, func() (bool, error) {
		state, found, err := c.look(ctx, i)
		if err != nil {
			return false, err
		}
		if ended(state) {
			why := "EC2 does not say why"
			if found != nil && found.StateReason != nil {
				why = aws.ToString(found.StateReason.Message)
			}
			return false, refusal.New(domain.ErrUnavailable, "it ended while it was started (%s): call again, another is launched", why)
		}
		return state == ec2types.InstanceStateNameRunning, nil
	})
	if errors.Is(err, errTooLong) {
		return refusal.New(domain.ErrUnavailable, "it does not run after %v: call again, or Replace it", changesWithin)
	}
	return err
}

// attach gives the instance the data disk. EC2 attaches a volume to one instance
// at a time.
func (c *Client) attach(ctx context.Context, r record) error {
	var last error
	begun := time.Now()
	err := poll(ctx, changesWithin, func() (bool, error) {
		out, err := c.aws.EC2.DescribeVolumes(ctx, &awsec2.DescribeVolumesInput{VolumeIds: []string{r.Volume.ID}})
		if err != nil && refusal.Code(err) != noSuchVolume {
			return false, err
		}
		if err != nil || len(out.Volumes) != 1 { // it is too young to show, or is gone
			if time.Since(begun) > settlesWithin {
				return false, refusal.New(domain.ErrNotFound, "it does not exist any more, and with it the data are gone: Remove the Workbench, naming that volume, and Deploy it anew")
			}
			return false, nil
		}
		if attached := out.Volumes[0].Attachments; len(attached) > 0 { // to one at most
			if id := aws.ToString(attached[0].InstanceId); id != r.Instance.ID {
				last = fmt.Errorf("it is attached to %s", id)
				return false, nil
			}
			return attached[0].State == ec2types.VolumeAttachmentStateAttached, nil
		}
		if out.Volumes[0].State != ec2types.VolumeStateAvailable {
			last = fmt.Errorf("it is %s", out.Volumes[0].State)
			return false, nil
		}
		c.log.InfoContext(ctx, "attaching the data disk", "volume", r.Volume.ID, "instance", r.Instance.ID)
		_, err = c.aws.EC2.AttachVolume(ctx, &awsec2.AttachVolumeInput{
			VolumeId: aws.String(r.Volume.ID), InstanceId: aws.String(r.Instance.ID), Device: aws.String(dataDevice),
		})
		switch refusal.Code(err) {
		case volumeInUse, wrongState, noSuchInstance: // what was seen is not so yet, or any more
			last = err
			return false, nil
		}
		return false, err // and see
	})
	if errors.Is(err, errTooLong) {
		return refusal.New(domain.ErrState, "it cannot be attached to %s after %v (%w): see to that and call again", r.Instance.ID, changesWithin, last)
	}
	return err
}
