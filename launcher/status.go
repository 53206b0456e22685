package launcher

import (
	"fmt"
	"time"
)

// A Phase is how far a workload has come. Phases only move forward; every
// phase may move to Exited directly.
type Phase string

const (
	// Queued: the intent is recorded; it waits for a host.
	Queued Phase = "queued"
	// Provisioning: it has a host, which is booting or was not told of it yet.
	Provisioning Phase = "provisioning"
	// Starting: on its host; the image is pulled, the container created.
	Starting Phase = "starting"
	// Running: its process runs.
	Running Phase = "running"
	// Stopping: it was asked to end.
	Stopping Phase = "stopping"
	// Exited: it ended, or never will begin. Final.
	Exited Phase = "exited"
)

// A Status is what a launcher knows of one workload at one moment. Its maps are
// shared with other readers and not to be changed. The zero value is the mark by which [Launcher.Watch] says that all that was has been
// told.
type Status struct {
	ID     ID
	Owner  string
	Labels map[string]string
	Image  string

	Phase Phase
	// Reason says why a workload waits (Queued, Provisioning) or ended
	// (Exited), when there is more to say than the phase: [ErrCapacity],
	// [ErrOutOfMemory]. Empty for an ordinary exit, whatever its code.
	Reason Kind
	// Message is a sentence for people about Reason. It holds no secret.
	Message string
	// ExitCode is the process's, 128 plus the signal's number if a signal
	// ended it. Meaningful in Exited with StartedAt set.
	ExitCode int

	// Unknown is set while the host does not answer. The other fields then
	// are the last that was known.
	Unknown bool
	// Host names where it runs (an EC2 instance id). Empty before placement.
	Host string
	// InstanceType is the EC2 type of the host, if it has one, and Market how the
	// host was bought: OnDemand or Spot. Before placement they are what was asked
	// for first.
	InstanceType string
	Market       Market `json:",omitempty"`
	// Zone is the availability zone of the host, if it has one (us-east-1a).
	Zone string `json:",omitempty"`
	// Tried is what was not to be had while it waited for a host, for it or for
	// others: the latest of each type, market and zone, in the order of trial.
	Tried []Attempt `json:",omitempty"`
	// Endangered is set when AWS has said that it may soon take the host back but
	// not when. Nothing new is placed there.
	Endangered bool `json:",omitempty"`
	// Interruption is when AWS takes the host back, as it has announced. Zero:
	// it has announced nothing.
	Interruption time.Time `json:",omitzero"`
	// Endpoints is the network address, host:port, of each named port as seen
	// in the host's network. Empty unless Running.
	Endpoints map[string]string

	// QueuedAt, StartedAt and ExitedAt are when Launch was first called, the
	// process began and it ended. Zero for what has not happened.
	QueuedAt, StartedAt, ExitedAt time.Time
	// Reached is when it came to the stages between the first two.
	Reached Timeline `json:",omitzero"`
}

// An Attempt is a host that was not to be had.
type Attempt struct {
	InstanceType string
	// Market is OnDemand or Spot.
	Market Market `json:",omitempty"`
	Zone   string
	// Subnet is set where it is the subnet that has no free address, whatever the
	// type.
	Subnet string `json:",omitempty"`
	// Reason is the class of AWS's refusal, Message its words and whose turn it is.
	Reason  Kind
	Message string
	At      time.Time
}

// String formats a as "spot m5.large in us-east-1a: no capacity", or "m5.large in
// us-east-1a: no free address in subnet-1".
func (a Attempt) String() string {
	text := a.InstanceType
	if a.Market == Spot {
		text = "spot " + text
	}
	if a.Zone != "" {
		text += " in " + a.Zone
	}
	if a.Subnet != "" {
		return text + ": no free address in " + a.Subnet
	}
	return text + ": " + string(a.Reason)
}

// Synced reports whether s is the mark in a Watch and no workload's status.
func (s Status) Synced() bool { return s.ID == "" }

// exitError tells a finished workload's end in an error.
type exitError struct{ s Status }

func (e exitError) Error() string {
	s := e.s
	text := fmt.Sprintf("it exited with code %d", s.ExitCode)
	if s.StartedAt.IsZero() {
		text = "it never started"
	}
	if s.Reason != "" {
		text += ": " + string(s.Reason)
	}
	if s.Message != "" {
		text += ": " + s.Message
	}
	return text
}

// Unwrap makes the exit's reason testable with errors.Is.
func (e exitError) Unwrap() error {
	if e.s.Reason == "" {
		return nil
	}
	return e.s.Reason
}
