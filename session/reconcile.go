package session

import (
	"fmt"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

const (
	// callLimit is how long one call of the launcher may take.
	callLimit = 15 * time.Second
	// fence is how long after a launch was begun it may still reach the
	// launcher, from whatever process: its call ends within callLimit, and
	// the clocks of two processes may differ by the rest.
	fence = callLimit + 5*time.Second
	// oblivion is how old an unanswered launch may be before it must be
	// feared that its workload ran, ended and was forgotten.
	oblivion = launcher.Retention / 2
	// unhurried is a grace that does not end: of a program that is asked to save
	// its state and goes on if it cannot.
	unhurried = 10 * 365 * 24 * time.Hour
	// blindFor is how long a program that saves its state is waited for beyond its
	// deadline while its host does not answer.
	blindFor = 5 * time.Minute
	// glance is when to look again after the launcher did not answer.
	glance = 5 * time.Second
)

// A sighting is what the launcher says of a generation's workload.
type sighting struct {
	// sure is whether the launcher has answered at all.
	sure bool
	// status is the workload's; its ID is empty if the launcher has none.
	status launcher.Status
	// unready is whether its container runs, and its program does not serve yet.
	unready bool
}

// A call is what is to be asked of the launcher.
type call string

const (
	callLaunch call = "launch"
	callStop   call = "stop"
	callKill   call = "kill"
	callLook   call = "look"  // at a workload; no step's
	callGoOn   call = "go on" // of the domain, whether it may
)

// A step is what is to be done next for a session: an event to record, a call
// to make, a fact to note, or nothing.
type step struct {
	// event is to be applied, if happened is set, with the status seen.
	happened bool
	event    event
	status   launcher.Status
	// note says that status is to be recorded.
	note bool
	// call is to be made. With once it is not repeated after it succeeded.
	call call
	once bool
	// again is when to look again if nothing happens before. Zero is never.
	again time.Time
}

// due reports whether there is something to be done now.
func (s step) due() bool { return s.happened || s.note || s.call != "" }

func (e event) with(s launcher.Status) step { return step{happened: true, event: e, status: s} }

// next decides what to do for a session, given its record and what was seen. It
// is the whole of the reconciliation; everything else carries it out.
//
// What was seen counts before the clock: a session that came to run while no
// manager was alive is not failed for its deadline.
func next(r record, s sighting, now time.Time) step {
	if r.still() && (!r.goesOn() || !r.charged()) {
		return step{}
	}
	if r.goesOn() {
		if at := r.resumeAt(); now.Before(at) {
			return step{again: at}
		}
		return step{call: callGoOn}
	}
	st := decide(r, s, now)
	if r.Generation > 1 && r.State.begins() && st.happened &&
		(st.event == sawFailure || st.event == sawRefusal || st.event == passedDeadline) {
		st.event = resumeFailed
	}
	if kind := r.Request.Kind; r.State == Running && st.happened && st.event == sawExit && !r.Unsuspended.IsZero() &&
		kind.Suspension == SavesState && kind.keptState(st.status.ExitCode) {
		st.event = sawSaved
	}
	return st
}

// decide is next for a session that may have a container, of whatever generation.
func decide(r record, s sighting, now time.Time) step {
	there := s.status.ID != ""
	switch {
	case r.Asked.IsZero():
		if r.State != Pending { // stopped before anything was asked of the launcher
			return sawExit.with(launcher.Status{})
		}
	case there:
		if done, ok := seen(r, s, now); ok {
			return done
		}
	case s.sure:
		if done, ok := missing(r, now); ok {
			return done
		}
	}
	if !r.Deadline.IsZero() && !now.Before(r.Deadline) {
		switch {
		case r.Killed:
			return passedKill.with(launcher.Status{})
		case r.State == Suspending && r.patient() && (!s.sure || s.status.Unknown) && now.Before(r.Deadline.Add(blindFor)):
			return step{again: now.Add(glance)} // it may have saved its state by now
		case r.State == Suspending && r.patient() && s.sure && !s.status.Unknown:
			return suspendFailed.with(s.status)
		}
		return passedDeadline.with(launcher.Status{})
	}
	return act(r, s, now)
}

// seen decides by a status of the workload.
func seen(r record, at sighting, now time.Time) (step, bool) {
	s := at.status
	switch {
	case s.Phase == launcher.Exited && !s.Unknown && s.Reason == launcher.ErrInterrupted:
		return sawInterrupted.with(s), true
	case s.Phase == launcher.Exited && !s.Unknown && s.Reason != "":
		return sawFailure.with(s), true
	case s.Phase == launcher.Exited && !s.Unknown:
		return sawExit.with(s), true
	case s.Phase == launcher.Running && !at.unready && r.State.begins():
		return sawRunning.with(s), true
	case r.State == Pending:
		return sawAccepted.with(s), true
	case r.State == Running && s.Phase != launcher.Exited && !s.Interruption.IsZero():
		return sawNotice.with(s), true
	}
	late := at.unready && !r.Deadline.IsZero() && !now.Before(r.Deadline)
	if (r.State == Starting || r.State == Running) && s.Phase != launcher.Exited && !late && r.note(s) {
		return step{note: true, status: s}, true
	}
	return step{}, false
}

// missing decides by the certainty that the launcher has no such workload. It
// has ended, unless a launch of it is still on its way.
func missing(r record, now time.Time) (step, bool) {
	since := now.Sub(r.Asked)
	lost := launcher.Status{
		ID: r.workloadID(), Phase: launcher.Exited, Reason: launcher.ErrNotFound,
		Message: "the launcher has forgotten it: it ended while no manager was running; start a new session",
	}
	switch r.State {
	case Pending:
		return sawFailure.with(lost), since >= oblivion
	case Starting, Running:
		return sawFailure.with(lost), since >= fence
	}
	return sawExit.with(launcher.Status{}), since >= fence
}

// act decides what to ask of the launcher.
func act(r record, s sighting, now time.Time) step {
	there := s.status.ID != ""
	st := step{again: r.Deadline}
	soon := func(t time.Time) {
		if st.again.IsZero() || t.Before(st.again) {
			st.again = t
		}
	}
	switch {
	case !s.sure:
		soon(now.Add(glance))
	case s.unready:
		soon(now.Add(tick))
	case !there && !r.Asked.IsZero():
		soon(r.Asked.Add(fence))
	}
	killAt := r.Since.Add(graceOf(r.Request.Kind.StopGrace) + fence) // of one that failed
	if r.State == Failed && now.Before(killAt) {
		soon(killAt)
	}
	switch {
	case r.State == Pending:
		if s.sure && !there {
			st.call = callLaunch
		}
	case r.State == Starting || r.State == Running:
	case s.sure && !there: // a launch may be on its way; what it brings is stopped then
	case r.Killed || r.State == Failed && !now.Before(killAt):
		st.call = callKill
	case s.status.Phase != launcher.Stopping:
		st.call = callStop
	case r.Hastened || !r.Unsuspended.IsZero(): // it may be stopping since it was asked to suspend
		st.call, st.once = callStop, true
	}
	return st
}

// stopOptions is how the container of r is to be ended by a call now.
func (r record) stopOptions(c call, now time.Time) launcher.StopOptions {
	switch {
	case c == callKill:
		return launcher.StopOptions{Signal: "SIGKILL"}
	case r.State == Suspending && r.patient():
		return launcher.StopOptions{Signal: r.Request.Kind.SuspendSignal, Grace: unhurried}
	case r.State == Suspending:
		return r.hurried(now).suspendOptions()
	}
	return r.hurried(now).stopOptions()
}

// key names a call, so that its repetitions are known as such.
func (r record) key(c call) string {
	return fmt.Sprintf("%s %d %s %d", c, r.Generation, r.State, r.Since.UnixNano())
}
