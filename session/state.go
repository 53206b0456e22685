package session

import (
	"fmt"
	"time"
)

// A State is how far a session has come. The package documentation has the
// table of what leads from one to another.
type State string

// The states of a session.
const (
	// Pending: wanted; the launcher has not taken its workload yet.
	Pending State = "pending"
	// Starting: the launcher has it; a host is found, the image is pulled.
	Starting State = "starting"
	// Running: its container runs.
	Running State = "running"
	// Suspending: its container is asked to save its state and end.
	Suspending State = "suspending"
	// Suspended: no container; the home is kept and [Manager.Resume] goes on.
	Suspended State = "suspended"
	// Stopping: its container is asked to end for good.
	Stopping State = "stopping"
	// Stopped: ended, by itself or because it was asked to. Final.
	Stopped State = "stopped"
	// Failed: ended by something that went wrong, which Reason and Message
	// tell. Final.
	Failed State = "failed"
)

// Ended reports whether s is final: Stopped or Failed.
func (s State) Ended() bool { return s == Stopped || s == Failed }

// states is every state in the order of a session's life.
func states() []State {
	return []State{Pending, Starting, Running, Suspending, Suspended, Stopping, Stopped, Failed}
}

func (s State) valid() bool {
	_, ok := machine[s]
	return ok
}

// checkStates reports which of the states do not exist, or nil.
func checkStates(some []State) error {
	var unknown []State
	for _, s := range some {
		if !s.valid() {
			unknown = append(unknown, s)
		}
	}
	if unknown == nil {
		return nil
	}
	return fmt.Errorf("unknown states %.20q: want any of %q", unknown, states())
}

// begins reports whether a session in s is on its way to run.
func (s State) begins() bool { return s == Pending || s == Starting }

// An event is what may happen to a session.
type event int

const (
	// Asked for by a caller.
	askSuspend event = iota
	askResume
	askStop
	askKill
	// Seen at the launcher, of the present generation's workload.
	sawAccepted    // the launcher has it; it does not run yet
	sawRunning     // it runs
	sawNotice      // it runs, and AWS has said when it takes the host back
	sawExit        // it is gone, of itself or as asked
	sawInterrupted // it is gone, as AWS took the host back
	sawFailure     // it is gone, and the launcher gave another reason
	sawRefusal     // the launcher will never run it
	// Told by the clock.
	passedDeadline // the state has lasted too long
	passedKill     // killing did not help within as long again
	sawSaved       // it is gone, with its state saved, after it had been given up to suspend it
	resumeFailed   // failed, refused or deadline, of a generation that was resumed
	suspendFailed  // it was asked to save its state and end, and has not by the deadline
	// Done by the manager of itself.
	timesOut        // nobody uses it, or it has run for as long as it may
	timesOutForGood // the same, where it is then stopped
	goesOn          // what was suspended because AWS took its host back is resumed

	eventCount
)

// String is the event in the documentation's table.
func (e event) String() string {
	return [eventCount]string{
		"Suspend", "Resume", "Stop", "Kill", "accepted", "runs", "notice", "exited", "interrupted", "failed", "refused", "deadline", "after kill", "saved late", "resume failed", "not saved", "times out", "times out for good", "goes on",
	}[e]
}

// An outcome is what an event leads to in a state.
type outcome struct {
	// to is the state it leads to. The state it is in: nothing happens.
	to State
	// kill has the container killed. A state that it leads back to lasts once more.
	kill bool
	// refuse is why a caller is refused; to is then empty.
	refuse string
}

func to(s State) outcome              { return outcome{to: s} }
func refuse(why string) outcome       { return outcome{refuse: why} }
func killed(s State) outcome          { return outcome{to: s, kill: true} }
func (o outcome) defined() bool       { return (o.to == "") != (o.refuse == "") }
func (o outcome) stays(in State) bool { return o.to == in && !o.kill }

// A rule is one state of the machine.
type rule struct {
	// on is the outcome of each event.
	on [eventCount]outcome
	// deadline is how long the state may last; nil is for ever. Its way out
	// is the outcome of passedDeadline.
	deadline func(Deadlines, Kind) time.Duration
	// limit is the deadline in words.
	limit string
}

// machine is the one place that knows what leads where. It is never written.
var machine = map[State]rule{
	Pending: {
		limit:    "Pending",
		deadline: func(d Deadlines, _ Kind) time.Duration { return d.Pending },
		on: [eventCount]outcome{
			askSuspend:      to(Suspending),
			askResume:       to(Pending),
			askStop:         to(Stopping),
			askKill:         killed(Stopping),
			sawAccepted:     to(Starting),
			sawRunning:      to(Running),
			sawNotice:       to(Pending),
			sawExit:         to(Stopped),
			sawInterrupted:  to(Suspended),
			sawFailure:      to(Failed),
			sawRefusal:      to(Failed),
			passedDeadline:  to(Failed),
			passedKill:      to(Failed),
			sawSaved:        to(Pending),
			resumeFailed:    to(Suspending),
			suspendFailed:   to(Pending),
			timesOut:        to(Pending),
			timesOutForGood: to(Pending),
			goesOn:          to(Pending),
		},
	},
	Starting: {
		limit:    "Starting",
		deadline: func(d Deadlines, _ Kind) time.Duration { return d.Starting },
		on: [eventCount]outcome{
			askSuspend:      to(Suspending),
			askResume:       to(Starting),
			askStop:         to(Stopping),
			askKill:         killed(Stopping),
			sawAccepted:     to(Starting),
			sawRunning:      to(Running),
			sawNotice:       to(Starting),
			sawExit:         to(Stopped),
			sawInterrupted:  to(Suspended),
			sawFailure:      to(Failed),
			sawRefusal:      to(Failed),
			passedDeadline:  to(Failed),
			passedKill:      to(Failed),
			sawSaved:        to(Starting),
			resumeFailed:    to(Suspending),
			suspendFailed:   to(Starting),
			timesOut:        to(Starting),
			timesOutForGood: to(Starting),
			goesOn:          to(Starting),
		},
	},
	Running: {
		on: [eventCount]outcome{
			askSuspend:      to(Suspending),
			askResume:       to(Running),
			askStop:         to(Stopping),
			askKill:         killed(Stopping),
			sawAccepted:     to(Running),
			sawRunning:      to(Running),
			sawNotice:       to(Suspending),
			sawExit:         to(Stopped),
			sawInterrupted:  to(Suspended),
			sawFailure:      to(Failed),
			sawRefusal:      to(Running),
			passedDeadline:  to(Running),
			passedKill:      to(Running),
			sawSaved:        to(Suspended),
			resumeFailed:    to(Running),
			suspendFailed:   to(Running),
			timesOut:        to(Suspending),
			timesOutForGood: to(Stopping),
			goesOn:          to(Running),
		},
	},
	Suspending: {
		limit:    "Suspending",
		deadline: func(d Deadlines, k Kind) time.Duration { return graceOf(k.SuspendGrace) + d.Suspending },
		on: [eventCount]outcome{
			askSuspend:      to(Suspending),
			askResume:       refuse("it is being suspended; wait until it is suspended, then resume it"),
			askStop:         to(Stopping),
			askKill:         killed(Stopping),
			sawAccepted:     to(Suspending),
			sawRunning:      to(Suspending),
			sawNotice:       to(Suspending),
			sawExit:         to(Suspended),
			sawInterrupted:  to(Suspended),
			sawFailure:      to(Suspended),
			sawRefusal:      to(Suspending),
			passedDeadline:  killed(Suspending),
			passedKill:      to(Failed),
			sawSaved:        to(Suspending),
			resumeFailed:    to(Suspending),
			suspendFailed:   to(Running),
			timesOut:        to(Suspending),
			timesOutForGood: to(Suspending),
			goesOn:          to(Suspending),
		},
	},
	Suspended: {
		on: [eventCount]outcome{
			askSuspend:      to(Suspended),
			askResume:       to(Pending),
			askStop:         to(Stopped),
			askKill:         to(Stopped),
			sawAccepted:     to(Suspended),
			sawRunning:      to(Suspended),
			sawNotice:       to(Suspended),
			sawExit:         to(Suspended),
			sawInterrupted:  to(Suspended),
			sawFailure:      to(Suspended),
			sawRefusal:      to(Suspended),
			passedDeadline:  to(Suspended),
			passedKill:      to(Suspended),
			sawSaved:        to(Suspended),
			resumeFailed:    to(Suspended),
			suspendFailed:   to(Suspended),
			timesOut:        to(Suspended),
			timesOutForGood: to(Suspended),
			goesOn:          to(Pending),
		},
	},
	Stopping: {
		limit:    "Stopping",
		deadline: func(d Deadlines, k Kind) time.Duration { return graceOf(k.StopGrace) + d.Stopping },
		on: [eventCount]outcome{
			askSuspend:      refuse("it is being stopped; start a new session"),
			askResume:       refuse("it is being stopped; start a new session"),
			askStop:         to(Stopping),
			askKill:         killed(Stopping),
			sawAccepted:     to(Stopping),
			sawRunning:      to(Stopping),
			sawNotice:       to(Stopping),
			sawExit:         to(Stopped),
			sawInterrupted:  to(Stopped),
			sawFailure:      to(Stopped),
			sawRefusal:      to(Stopping),
			passedDeadline:  killed(Stopping),
			passedKill:      to(Failed),
			sawSaved:        to(Stopping),
			resumeFailed:    to(Stopping),
			suspendFailed:   to(Stopping),
			timesOut:        to(Stopping),
			timesOutForGood: to(Stopping),
			goesOn:          to(Stopping),
		},
	},
	Stopped: {
		on: [eventCount]outcome{
			askSuspend:      refuse("it has ended; start a new session"),
			askResume:       refuse("it has ended; start a new session"),
			askStop:         to(Stopped),
			askKill:         to(Stopped),
			sawAccepted:     to(Stopped),
			sawRunning:      to(Stopped),
			sawNotice:       to(Stopped),
			sawExit:         to(Stopped),
			sawInterrupted:  to(Stopped),
			sawFailure:      to(Stopped),
			sawRefusal:      to(Stopped),
			passedDeadline:  to(Stopped),
			passedKill:      to(Stopped),
			sawSaved:        to(Stopped),
			resumeFailed:    to(Stopped),
			suspendFailed:   to(Stopped),
			timesOut:        to(Stopped),
			timesOutForGood: to(Stopped),
			goesOn:          to(Stopped),
		},
	},
	Failed: {
		on: [eventCount]outcome{
			askSuspend:      refuse("it has failed; start a new session"),
			askResume:       refuse("it has failed; start a new session"),
			askStop:         to(Failed),
			askKill:         to(Failed),
			sawAccepted:     to(Failed),
			sawRunning:      to(Failed),
			sawNotice:       to(Failed),
			sawExit:         to(Failed),
			sawInterrupted:  to(Failed),
			sawFailure:      to(Failed),
			sawRefusal:      to(Failed),
			passedDeadline:  to(Failed),
			passedKill:      to(Failed),
			sawSaved:        to(Failed),
			resumeFailed:    to(Failed),
			suspendFailed:   to(Failed),
			timesOut:        to(Failed),
			timesOutForGood: to(Failed),
			goesOn:          to(Failed),
		},
	},
}

// A stateError says why a session in a state is refused what was asked.
type stateError struct {
	state State
	why   string
}

func (e stateError) Error() string { return fmt.Sprintf("the session is %s: %s", e.state, e.why) }
