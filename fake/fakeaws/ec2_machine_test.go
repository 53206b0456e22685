package fakeaws_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// machine is an account with an interface, a volume and the instance that has
// both, which runs.
type machine struct {
	account
	t                           *testing.T
	eni, address, volume, group string
}

func newMachine(t *testing.T) *machine {
	a := newAccount(t, fakeaws.Config{Delays: fakeaws.Realistic()})
	m := &machine{account: a, t: t}
	group, err := a.ec2.CreateSecurityGroup(t.Context(), &awsec2.CreateSecurityGroupInput{
		GroupName: aws.String("web"), Description: aws.String("web"), VpcId: aws.String(a.DefaultVPC()),
	})
	m.must(err)
	m.group = *group.GroupId
	eni, err := a.ec2.CreateNetworkInterface(t.Context(), m.interfaceInput())
	m.must(err)
	m.eni, m.address = *eni.NetworkInterface.NetworkInterfaceId, *eni.NetworkInterface.PrivateIpAddress
	volume, err := a.ec2.CreateVolume(t.Context(), m.volumeInput())
	m.must(err)
	m.volume = *volume.VolumeId
	time.Sleep(time.Minute)
	return m
}

func (m *machine) interfaceInput() *awsec2.CreateNetworkInterfaceInput {
	return &awsec2.CreateNetworkInterfaceInput{ClientToken: aws.String("eni"), SubnetId: aws.String(m.Subnets()[0].ID), Groups: []string{m.group}}
}

func (m *machine) volumeInput() *awsec2.CreateVolumeInput {
	return &awsec2.CreateVolumeInput{
		ClientToken: aws.String("vol"), AvailabilityZone: aws.String(m.Subnets()[0].Zone), Size: aws.Int32(20),
		VolumeType: types.VolumeTypeGp3, Encrypted: aws.Bool(true),
	}
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// run starts an instance with the interface.
func (m *machine) run(token string) (string, error) {
	in := m.launch(token)
	in.SubnetId, in.UserData = nil, aws.String(base64.StdEncoding.EncodeToString([]byte("#cloud-config\n")))
	in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{NetworkInterfaceId: aws.String(m.eni), DeviceIndex: aws.Int32(0)}}
	out, err := m.ec2.RunInstances(m.t.Context(), in)
	if err != nil {
		return "", err
	}
	return *out.Instances[0].InstanceId, nil
}

func (m *machine) attach(instance string) error {
	_, err := m.ec2.AttachVolume(m.t.Context(), &awsec2.AttachVolumeInput{
		InstanceId: aws.String(instance), VolumeId: aws.String(m.volume), Device: aws.String("/dev/sdf"),
	})
	return err
}

func (m *machine) states() (eni types.NetworkInterfaceStatus, volume types.VolumeState) {
	m.t.Helper()
	n, err := m.ec2.DescribeNetworkInterfaces(m.t.Context(), &awsec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{m.eni}})
	m.must(err)
	v, err := m.ec2.DescribeVolumes(m.t.Context(), &awsec2.DescribeVolumesInput{VolumeIds: []string{m.volume}})
	m.must(err)
	return n.NetworkInterfaces[0].Status, v.Volumes[0].State
}

// An interface and a volume outlive the instance that has them: in use until it
// has ended, and free from then on, with the address as it was.
func TestAddressAndDataOutliveAnInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		first, err := m.run("one")
		m.must(err)
		if got := code(m.attach(first)); got != "InvalidInstanceID.NotFound" { // it does not show yet
			t.Errorf("attaching at once is %q", got)
		}
		time.Sleep(3 * time.Second)
		if got := code(m.attach(first)); got != "IncorrectState" {
			t.Errorf("attaching to a pending instance is %q", got)
		}
		time.Sleep(time.Minute)
		m.must(m.attach(first))
		if eni, volume := m.states(); eni != "in-use" || volume != "in-use" {
			t.Errorf("while it runs they are %s and %s", eni, volume)
		}
		for what, c := range map[string]struct {
			err  error
			want string
		}{
			"another instance with the interface": {failure(m.run("two")), "InvalidNetworkInterface.InUse"},
			"attaching twice":                     {m.attach(first), "VolumeInUse"},
			"deleting the interface":              {failure(m.ec2.DeleteNetworkInterface(t.Context(), &awsec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: aws.String(m.eni)})), "InvalidNetworkInterface.InUse"},
			"deleting the volume":                 {failure(m.ec2.DeleteVolume(t.Context(), &awsec2.DeleteVolumeInput{VolumeId: aws.String(m.volume)})), "VolumeInUse"},
			"deleting the group":                  {failure(m.ec2.DeleteSecurityGroup(t.Context(), &awsec2.DeleteSecurityGroupInput{GroupId: aws.String(m.group)})), "DependencyViolation"},
		} {
			if got := code(c.err); got != c.want {
				t.Errorf("%s is %q, want %q", what, got, c.want)
			}
		}
		_, err = m.ec2.TerminateInstances(t.Context(), &awsec2.TerminateInstancesInput{InstanceIds: []string{first}})
		m.must(err)
		if eni, volume := m.states(); eni != "in-use" || volume != "in-use" {
			t.Errorf("while it shuts down they are %s and %s", eni, volume)
		}
		time.Sleep(time.Minute)
		if eni, volume := m.states(); eni != "available" || volume != "available" {
			t.Errorf("when it has ended they are %s and %s", eni, volume)
		}
		taken := m.interfaceInput()
		taken.ClientToken, taken.PrivateIpAddress = nil, aws.String(m.address)
		if got := code(failure(m.ec2.CreateNetworkInterface(t.Context(), taken))); got != "InvalidIPAddress.InUse" {
			t.Errorf("its address, which the interface keeps, is given to another: %q", got)
		}
		if got := code(failure(m.ec2.DeleteSecurityGroup(t.Context(), &awsec2.DeleteSecurityGroupInput{GroupId: aws.String(m.group)}))); got != "DependencyViolation" {
			t.Errorf("deleting the group that the interface is in is %q", got)
		}
		next, err := m.run("two")
		m.must(err)
		time.Sleep(time.Minute)
		out, err := m.ec2.DescribeInstances(t.Context(), &awsec2.DescribeInstancesInput{InstanceIds: []string{next}})
		m.must(err)
		if got := *out.Reservations[0].Instances[0].PrivateIpAddress; got != m.address {
			t.Errorf("the next has the address %s, not %s", got, m.address)
		}
		m.must(m.attach(next))
	})
}

// failure is the error of a call.
func failure[T any](_ T, err error) error { return err }

func TestInterfacesAndVolumesRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		interfaces := func(change func(*awsec2.CreateNetworkInterfaceInput)) error {
			in := m.interfaceInput()
			change(in)
			return failure(m.ec2.CreateNetworkInterface(t.Context(), in))
		}
		volumes := func(change func(*awsec2.CreateVolumeInput)) error {
			in := m.volumeInput()
			change(in)
			return failure(m.ec2.CreateVolume(t.Context(), in))
		}
		launches := func(change func(*awsec2.RunInstancesInput)) error {
			in := m.launch("x")
			in.SubnetId = nil
			in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{NetworkInterfaceId: aws.String(m.eni), DeviceIndex: aws.Int32(0)}}
			change(in)
			return failure(m.ec2.RunInstances(t.Context(), in))
		}
		elsewhere := m.volumeInput()
		elsewhere.ClientToken, elsewhere.AvailabilityZone = aws.String("else"), aws.String(m.Subnets()[1].Zone)
		away, err := m.ec2.CreateVolume(t.Context(), elsewhere)
		m.must(err)
		i, err := m.run("one")
		m.must(err)
		time.Sleep(time.Minute)
		for what, c := range map[string]struct {
			err  error
			want string
		}{
			"same token":              {interfaces(func(*awsec2.CreateNetworkInterfaceInput) {}), ""},
			"same token, other group": {interfaces(func(in *awsec2.CreateNetworkInterfaceInput) { in.Groups = nil }), "IdempotentParameterMismatch"},
			"taken address": {interfaces(func(in *awsec2.CreateNetworkInterfaceInput) {
				in.ClientToken, in.PrivateIpAddress = nil, aws.String(m.address)
			}), "InvalidIPAddress.InUse"},
			"address of no subnet": {interfaces(func(in *awsec2.CreateNetworkInterfaceInput) {
				in.ClientToken, in.PrivateIpAddress = nil, aws.String("192.0.2.1")
			}), "InvalidParameterValue"},
			"no subnet": {interfaces(func(in *awsec2.CreateNetworkInterfaceInput) {
				in.ClientToken, in.SubnetId = nil, aws.String("subnet-00000000")
			}), "InvalidSubnetID.NotFound"},
			"same volume":            {volumes(func(*awsec2.CreateVolumeInput) {}), ""},
			"same token, other size": {volumes(func(in *awsec2.CreateVolumeInput) { in.Size = aws.Int32(21) }), "IdempotentParameterMismatch"},
			"no size":                {volumes(func(in *awsec2.CreateVolumeInput) { in.ClientToken, in.Size = nil, nil }), "InvalidParameterValue"},
			"key without encryption": {volumes(func(in *awsec2.CreateVolumeInput) {
				in.ClientToken, in.Encrypted, in.KmsKeyId = nil, nil, aws.String("alias/x")
			}), "InvalidParameterDependency"},
			"no zone": {volumes(func(in *awsec2.CreateVolumeInput) {
				in.ClientToken, in.AvailabilityZone = nil, aws.String("us-east-1z")
			}), "InvalidZone.NotFound"},
			"volume of another zone":   {failure(m.ec2.AttachVolume(t.Context(), &awsec2.AttachVolumeInput{InstanceId: &i, VolumeId: away.VolumeId, Device: aws.String("/dev/sdf")})), "InvalidVolume.ZoneMismatch"},
			"no volume":                {failure(m.ec2.AttachVolume(t.Context(), &awsec2.AttachVolumeInput{InstanceId: &i, VolumeId: aws.String("vol-00000000"), Device: aws.String("/dev/sdf")})), "InvalidVolume.NotFound"},
			"interface and subnet":     {launches(func(in *awsec2.RunInstancesInput) { in.SubnetId = aws.String(m.Subnets()[0].ID) }), "InvalidParameterCombination"},
			"interface and group":      {launches(func(in *awsec2.RunInstancesInput) { in.SecurityGroupIds = []string{m.group} }), "InvalidParameterCombination"},
			"interface for two":        {launches(func(in *awsec2.RunInstancesInput) { in.MaxCount = aws.Int32(2) }), "InvalidParameterCombination"},
			"interface that would end": {launches(func(in *awsec2.RunInstancesInput) { in.NetworkInterfaces[0].DeleteOnTermination = aws.Bool(true) }), "InvalidParameterCombination"},
			"interface that is not": {launches(func(in *awsec2.RunInstancesInput) {
				in.NetworkInterfaces[0].NetworkInterfaceId = aws.String("eni-00000000")
			}), "InvalidNetworkInterfaceID.NotFound"},
			"interface in use": {launches(func(*awsec2.RunInstancesInput) {}), "InvalidNetworkInterface.InUse"},
		} {
			if got := code(c.err); got != c.want {
				t.Errorf("%s is %q, want %q", what, got, c.want)
			}
		}
	})
}

// A machine answers HTTP when it has booted, and again when it has rebooted, if
// a rule opens its port; checks are ok after a while, and fail when it is
// impaired.
func TestMachineAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		client := &http.Client{Transport: m.Network(func(machine fakeaws.Machine, port int) http.Handler {
			if port != 8787 {
				return nil
			}
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, machine.UserData+machine.Volumes["/dev/sdf"])
			})
		})}
		get := func(port string) (string, error) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+m.address+":"+port+"/", nil)
			m.must(err)
			a, err := client.Do(r)
			if err != nil {
				return "", err
			}
			defer a.Body.Close()
			text, err := io.ReadAll(a.Body)
			return string(text), err
		}
		status := func() types.SummaryStatus {
			out, err := m.ec2.DescribeInstanceStatus(t.Context(), &awsec2.DescribeInstanceStatusInput{})
			m.must(err)
			if len(out.InstanceStatuses) != 1 {
				return ""
			}
			return out.InstanceStatuses[0].InstanceStatus.Status
		}
		silent := func(when string) {
			t.Helper()
			if _, err := get("8787"); !errors.Is(err, syscall.ETIMEDOUT) {
				t.Errorf("%s it answers: %v", when, err)
			}
		}
		id, err := m.run("one")
		m.must(err)
		if s := status(); s != "" {
			t.Errorf("a pending instance has the status %s", s)
		}
		time.Sleep(30 * time.Second)
		m.must(m.attach(id))
		time.Sleep(10 * time.Second)
		silent("behind a closed port")
		for _, port := range []int32{8787, 80} {
			_, err = m.ec2.AuthorizeSecurityGroupIngress(t.Context(), &awsec2.AuthorizeSecurityGroupIngressInput{GroupId: aws.String(m.group), IpPermissions: []types.IpPermission{{
				IpProtocol: aws.String("tcp"), FromPort: aws.Int32(port), ToPort: aws.Int32(port), IpRanges: []types.IpRange{{CidrIp: aws.String("10.0.0.0/8")}},
			}}})
			m.must(err)
		}
		if text, err := get("8787"); err != nil || text != "#cloud-config\n"+m.volume {
			t.Errorf("it answers %q, %v", text, err)
		}
		if _, err := get("80"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("where nobody listens: %v", err)
		}
		if s := status(); s != "initializing" {
			t.Errorf("at first the status is %s", s)
		}
		time.Sleep(2 * time.Minute)
		if s := status(); s != "ok" {
			t.Errorf("later the status is %s", s)
		}
		host, err := m.Host(id)
		m.must(err)
		if _, err := host.Room(t.Context()); err != nil {
			t.Error(err)
		}
		_, err = m.ec2.RebootInstances(t.Context(), &awsec2.RebootInstancesInput{InstanceIds: []string{id}})
		m.must(err)
		silent("while it reboots")
		if _, err := host.Room(t.Context()); err == nil {
			t.Error("its engine answers while it reboots")
		}
		time.Sleep(5 * time.Second)
		if _, err := get("8787"); err != nil {
			t.Errorf("when it has rebooted: %v", err)
		}
		if _, err := host.Room(t.Context()); err != nil {
			t.Errorf("its engine, when it has rebooted: %v", err)
		}
		m.must(m.Partition(id, true))
		silent("cut off")
		m.must(m.Partition(id, false))
		m.must(m.Impair(id))
		silent("impaired")
		time.Sleep(3 * time.Second)
		if s := status(); s != "impaired" {
			t.Errorf("the status is %s, want impaired", s)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.address+":8787/", nil)
		if _, err := client.Do(r); !errors.Is(err, context.Canceled) {
			t.Errorf("a request that was given up: %v", err)
		}
		m.Crash()
		if _, err := get("8787"); !errors.Is(err, fakeaws.ErrCrashed) {
			t.Errorf("after a crash: %v", err)
		}
	})
}
