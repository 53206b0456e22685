// Package launcher defines what runs a [Workload]: one container of one user,
// started, watched, dialled and stopped through the [Launcher] interface.
//
// The package holds the vocabulary and the contract and no behaviour of its
// own. Implementations live beside it: ec2launcher buys EC2 hosts and places
// workloads on them, fakelauncher runs Go functions in memory, faultlauncher
// wraps any of them and injects failures. Package launchertest is the contract
// as a test suite; an implementation that passes it can be used everywhere.
package launcher

import (
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"time"
)

// A Launcher runs workloads.
//
// # Identity
//
// A workload is named by its [ID], chosen by the caller and never used twice.
// A launcher runs an ID at most once: an ID that has exited is not run again,
// whatever happens to the process that asked. It knows an ID until the caller
// lets it forget the exit ([StopOptions.Forget]) or [Retention] has passed;
// after that only the caller's promise keeps the ID from running again.
//
// # Durability
//
// Launch and Stop return when the intent is durable, not when it is carried
// out. A cancelled context returns promptly and leaves what was begun to the
// launcher, which finishes it.
//
// # Ignorance
//
// A launcher that cannot reach the host of a workload says so with
// [Status.Unknown] and repeats the last it knew. It never reports Exited
// without evidence.
//
// # Errors
//
// Every error is, or wraps, an [*Error] whose [Kind] can be tested with
// [errors.Is]; context errors are returned as they are. What an implementation
// cannot do is [ErrUnsupported], which is also [errors.ErrUnsupported].
//
// All methods are safe for concurrent use.
type Launcher interface {
	// Launch asks for w to be run and returns its status, usually Queued.
	//
	// It is idempotent by w.ID: launching an ID that is known with an equal
	// workload returns its present status, also when it has exited; with
	// another workload it is [ErrConflict]. A workload that can never run
	// here is refused at once: [ErrInvalid], [ErrImage], [ErrUnsupported].
	Launch(ctx context.Context, w Workload) (Status, error)

	// Stop asks for the workload to end: o.Signal is sent, and what still
	// runs after o.Grace is killed. It does not wait for the end; watch for it.
	//
	// It is idempotent: stopping what is stopping shortens the grace if the
	// new one ends sooner, stopping what has exited does nothing. A workload
	// that has not started never will. An unknown ID is [ErrNotFound].
	Stop(ctx context.Context, id ID, o StopOptions) error

	// List yields the status of every workload that matches f, in the order
	// of their IDs. It is complete or it fails: after an error nothing more
	// is yielded, and what came before must not be taken for the whole.
	List(ctx context.Context, f Filter) iter.Seq2[Status, error]

	// Watch yields the status of every workload that matches f, then one
	// [Status.Synced] mark, then each change, until ctx ends or the loop is
	// left. A slow reader skips to the latest status of each workload, but
	// never past an exit. Starting a Watch is cheap. The last element carries
	// the error that ended it; a Watch is never ended silently.
	Watch(ctx context.Context, f Filter) iter.Seq2[Status, error]

	// Dial connects to the named port of a running workload. A workload that
	// does not run is [ErrNotRunning], a port it does not declare
	// [ErrNotFound]. The connection outlives ctx, which bounds the dialling.
	Dial(ctx context.Context, id ID, port string) (net.Conn, error)

	// Logs reads what the workload wrote, byte for byte. The reader ends with
	// io.EOF at the end of what there is or, with o.Follow, when the workload
	// has exited and all was read. Logs of a workload that has not started are
	// empty; with o.Follow they wait. Unlike a connection's, the reader's life
	// is bound to ctx: when that ends, so does reading, with its error. Close
	// the reader; an unknown ID is [ErrNotFound].
	Logs(ctx context.Context, id ID, o LogOptions) (io.ReadCloser, error)

	// Usage measures what a workload uses, from its start until it has ended.
	// It answers at once: what was used between two calls is the difference,
	// see [Usage.Cores]. A workload that does not run is [ErrNotRunning], an
	// unknown ID [ErrNotFound], a host that does not answer now
	// [ErrUnavailable], and one that does not measure [ErrUnsupported]: a
	// Usage is whole or an error.
	Usage(ctx context.Context, id ID) (Usage, error)
}

// DefaultGrace is the time a workload has to end by itself after a signal when
// [StopOptions.Grace] is zero. Ten seconds is what container engines give.
const DefaultGrace = 10 * time.Second

// StopOptions say how a workload ends. The zero value sends the workload's own
// stop signal and kills it after [DefaultGrace].
type StopOptions struct {
	// Signal is sent first, by a name that [SignalNumber] knows ("SIGTERM").
	// Empty means the workload's StopSignal. SIGKILL kills at once.
	Signal string
	// Grace is how long the workload may take to end after the signal before
	// it is killed. Zero means [DefaultGrace]; negative is [ErrInvalid].
	Grace time.Duration
	// Forget says that the caller has recorded the exit: a launcher may drop
	// an exited workload and its logs at once instead of keeping them for
	// [Retention]. On a workload that still runs it takes effect at its exit.
	Forget bool
}

// Retention is how long a launcher keeps the status and the logs of a workload
// after its exit, unless told to forget them.
const Retention = time.Hour

// Stream selects what [Launcher.Logs] reads.
type Stream int

const (
	// Both is standard output and standard error in the order they were written.
	Both Stream = iota
	// Stdout is standard output alone.
	Stdout
	// Stderr is standard error alone.
	Stderr
)

// LogOptions say what [Launcher.Logs] reads. The zero value is everything
// written so far on both streams.
type LogOptions struct {
	// Stream is which of the streams to read.
	Stream Stream
	// Offset is how many bytes of the stream to skip, so that a reader that
	// was interrupted can go on where it was.
	Offset int64
	// Follow goes on reading until the workload has exited.
	Follow bool
}

// A Filter selects workloads. The zero value selects all.
type Filter struct {
	// IDs, if not empty, selects only these.
	IDs []ID
	// Owner, if not empty, selects only the workloads of this owner.
	Owner string
	// Labels selects workloads that have all of these labels with these values.
	Labels map[string]string
}

// Match reports whether the filter selects s.
func (f Filter) Match(s Status) bool {
	if len(f.IDs) > 0 {
		found := false
		for _, id := range f.IDs {
			found = found || id == s.ID
		}
		if !found {
			return false
		}
	}
	if f.Owner != "" && f.Owner != s.Owner {
		return false
	}
	for k, v := range f.Labels {
		if got, ok := s.Labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// Get returns the status of one workload, or [ErrNotFound].
func Get(ctx context.Context, l Launcher, id ID) (Status, error) {
	for s, err := range l.List(ctx, Filter{IDs: []ID{id}}) {
		return s, err
	}
	return Status{}, &Error{Op: "get", ID: id, Kind: ErrNotFound}
}

// Wait watches one workload until done reports true of its status, and returns
// that status. It returns early with [ErrNotFound] if the launcher does not
// know the workload, and with [ErrNotRunning], beside the status, if it exits
// before done is true.
func Wait(ctx context.Context, l Launcher, id ID, done func(Status) bool) (Status, error) {
	known := false
	for s, err := range l.Watch(ctx, Filter{IDs: []ID{id}}) {
		switch {
		case err != nil:
			return Status{}, err
		case s.Synced():
			if !known {
				return Status{}, &Error{Op: "wait", ID: id, Kind: ErrNotFound}
			}
		default:
			known = true
			if done(s) {
				return s, nil
			}
			if s.Phase == Exited {
				return s, &Error{Op: "wait", ID: id, Kind: ErrNotRunning, Err: exitError{s}}
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return Status{}, err
	}
	return Status{}, &Error{Op: "wait", ID: id, Kind: ErrUnavailable, Err: errors.New("the watch ended without an error: watch again")}
}
