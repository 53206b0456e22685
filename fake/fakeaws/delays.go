package fakeaws

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"time"
)

// Delays is how long things take in the account. The zero value is at once.
type Delays struct {
	// Call is the time of one API call.
	Call time.Duration
	// Visible is how long after a change a read may still answer as before
	// (eventual consistency).
	Visible time.Duration
	// InstanceProfile is from a change of an IAM instance profile until EC2
	// knows of it.
	InstanceProfile time.Duration
	// InstanceRunning is from RunInstances to the state running.
	InstanceRunning time.Duration
	// HostReady is from the state running to the container engine answering.
	HostReady time.Duration
	// InstanceGone is from TerminateInstances to the state terminated.
	InstanceGone time.Duration
	// StatusChecks is from the state running to the first status checks that
	// passed.
	StatusChecks time.Duration
	// Volume is from CreateVolume to available.
	Volume time.Duration
	// VolumeAttached is from AttachVolume to attached.
	VolumeAttached time.Duration
	// FileSystem is from CreateFileSystem to available.
	FileSystem time.Duration
	// MountTarget is from CreateMountTarget to available.
	MountTarget time.Duration
	// AccessPoint is from CreateAccessPoint to available.
	AccessPoint time.Duration
	// Table is from CreateTable to ACTIVE.
	Table time.Duration
	// Domain is how long SageMaker takes to create, update or delete a domain.
	Domain time.Duration
	// UserProfile is the same of a user profile or a space.
	UserProfile time.Duration
	// App is from CreateApp to InService, and from DeleteApp to Deleted.
	App time.Duration
	// StudioImage is how long SageMaker takes to create, update or delete an
	// image or a version of one.
	StudioImage time.Duration
	// RStudioImage is from a version of an image being created until a server of
	// RStudio can offer it to users.
	RStudioImage time.Duration
	// Pull is the first use of an image on a host, per GiB of its size.
	Pull time.Duration
	// ContainerStart is from a pulled image to a running process.
	ContainerStart time.Duration
}

// Realistic returns the delays measured on AWS: 17.8 s to running and 3.2 s of
// boot for an m7i.large on Amazon Linux 2023, the mean of three launches
// (brevdev/ec2-coldboot-research, January 2026; one tester). About 35 s to pull
// 1.13 GB on a fresh node (aws-samples/sample-multi-tenancy-openclaw-on-eks,
// March 2026: 29 to 41 s). Ten seconds until EC2 knows an instance profile is
// what Terraform's provider for AWS notes. An image reaches users of RStudio on
// SageMaker after 15 to 30 minutes, as users report
// (aws/amazon-sagemaker-feedback issue 95), and its apps start within two, which
// the developer guide says of "fast launch" types. The other figures of SageMaker,
// those of status checks, EBS, EFS and DynamoDB, the call time and the lags of
// consistency are assumptions.
func Realistic() Delays {
	return Delays{
		Call:            200 * time.Millisecond,
		Visible:         2 * time.Second,
		InstanceProfile: 10 * time.Second,
		InstanceRunning: 17800 * time.Millisecond,
		HostReady:       3200 * time.Millisecond,
		InstanceGone:    30 * time.Second,
		StatusChecks:    90 * time.Second,
		Volume:          3 * time.Second,
		VolumeAttached:  4 * time.Second,
		FileSystem:      8 * time.Second,
		MountTarget:     75 * time.Second,
		AccessPoint:     3 * time.Second,
		Table:           8 * time.Second,
		Domain:          4 * time.Minute,
		UserProfile:     8 * time.Second,
		App:             100 * time.Second,
		StudioImage:     20 * time.Second,
		RStudioImage:    20 * time.Minute,
		Pull:            31 * time.Second,
		ContainerStart:  800 * time.Millisecond,
	}
}

// Brisk returns delays short enough for a demonstration on the wall clock and
// long enough to see every state: a hundredth of [Realistic]. A session is then
// up after some seconds, in which the fleet also looks around.
func Brisk() Delays {
	d := Realistic()
	for _, f := range d.fields() {
		f.SetInt(f.Int() / 100)
	}
	return d
}

func (d *Delays) fields() iter.Seq2[string, reflect.Value] {
	return func(yield func(string, reflect.Value) bool) {
		for f, v := range reflect.ValueOf(d).Elem().Fields() {
			if !yield(f.Name, v) {
				return
			}
		}
	}
}

func (d Delays) validate() error {
	var problems []error
	for name, f := range d.fields() {
		if v := time.Duration(f.Int()); v < 0 {
			problems = append(problems, fmt.Errorf("delay %s is negative: %v", name, v))
		}
	}
	return errors.Join(problems...)
}
