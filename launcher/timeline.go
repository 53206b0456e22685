package launcher

import "time"

// A Timeline says when a workload reached the stages of its start that lie
// between [Status.QueuedAt] and [Status.StartedAt], in their order. A time is zero
// while the stage has not been reached, and for ever where the launcher does not
// know when it was; none is a guess. Once set it stays as long as the workload is on
// that host: for a host that comes to nothing all are zero again, as those of the
// next are to come. A launcher keeps them as it keeps QueuedAt, also when its process
// is gone; where a workload is lost with that before there is a container of it, the
// same Launch again begins anew.
//
// A time is by the clock of whoever saw it, the launcher's process or the host.
// They are in order as far as these clocks agree.
type Timeline struct {
	// Host is when it was given the host that it is on: one that has room, or as
	// soon as one is bought. A launcher of one host has it at QueuedAt.
	Host time.Time `json:",omitzero"`
	// Boot is when that host's container engine answered, which is Host where it
	// did before.
	Boot time.Time `json:",omitzero"`
	// Pull is when the image was found to be on the host.
	Pull time.Time `json:",omitzero"`
	// Mount is when its container was made, for which the sources of its mounts
	// have to be there.
	Mount time.Time `json:",omitzero"`
}
