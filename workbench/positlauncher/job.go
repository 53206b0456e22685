package positlauncher

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

const (
	// clusterLabel is the label of a session that is a job: its value is the cluster.
	clusterLabel = "workbench-cluster"
	// jobAnnotation is where a session keeps the job as it was submitted, without what
	// may be secret.
	jobAnnotation = "workbench-job"
)

// keepsake is what a session keeps of a job: not what goes to its program on standard
// input and in its environment, which may be secret, and not what it is not to be
// asked for again.
func keepsake(j wire.Job) (string, error) {
	j.Stdin, j.Environment = "", nil
	j.ID, j.Status, j.StatusMessage, j.StatusCode, j.PID, j.ExitCode, j.Host = "", "", "", "", nil, nil, ""
	text, err := json.Marshal(j)
	return string(text), err
}

// report is a job as it is, of what was asked and its session.
func report(asked wire.Job, s session.Session) wire.Job {
	j := asked
	j.ID = string(s.ID)
	j.Cluster = s.Labels[clusterLabel]
	j.Status = status(s)
	j.StatusCode, j.StatusMessage = string(s.State), s.Message
	if s.Reason != "" {
		j.StatusCode = string(s.Reason)
	}
	if j.StatusMessage == "" && s.Last.By == finisher { // it says why the session was suspended
		j.StatusMessage = s.Last.Why
	}
	if j.StatusMessage == "" {
		j.StatusMessage = plainly(j.Status, s)
	}
	j.Host = s.Host
	j.SubmissionTime, j.LastUpdateTime = wire.At(s.CreatedAt), wire.At(s.Since)
	if j.Status.Final() && ran(s) && (s.State == session.Stopped || s.ExitCode != 0) {
		j.ExitCode = new(s.ExitCode)
	}
	j.ExposedPorts = slices.Clone(asked.ExposedPorts)
	for i, p := range j.ExposedPorts {
		if _, port, err := net.SplitHostPort(s.Endpoints[portName(p.TargetPort)]); err == nil {
			if n, err := strconv.Atoi(port); err == nil {
				j.ExposedPorts[i].PublishedPort = &n
			}
		}
	}
	return j
}

// portName is what a session calls a port of a job.
func portName(target int) string { return "p" + strconv.Itoa(target) }

// ran reports whether a job has ever run. One that was canceled, which only a job can
// be that was not known to run, has not, though its container may have begun by then.
func ran(s session.Session) bool {
	canceled := s.Last.Op == "stop" && s.Last.Why == why(wire.Cancel)
	return s.Generation > 1 || !s.StartedAt.IsZero() && !canceled
}

// over reports whether a session that is suspended is not to go on, as Workbench
// starts another job for what it finds ended: it was suspended by the domain's rules,
// or as AWS took its host back, and not by the Launcher.
func over(s session.Session) bool {
	return s.State == session.Suspended &&
		slices.Contains([]launcher.Kind{launcher.ErrInterrupted, session.ErrIdle, session.ErrLifetime}, s.Reason)
}

// vanished is a session that somebody has deleted, as far as is known of it: it had
// ended by then.
func vanished(last session.Session) session.Session {
	last.Revision++
	last.State, last.Since, last.ExitCode = session.Failed, time.Now(), 0
	last.Reason, last.Message = session.ErrNotFound, "its session was deleted, and how it ended is not known here"
	return last
}

// status is a session's state in the Launcher's words.
func status(s session.Session) wire.Status {
	killed := s.ExitCode == 128+9 && s.State == session.Stopped && slices.Contains([]string{"stop", "kill"}, s.Last.Op)
	lost := s.State == session.Failed || s.Reason == launcher.ErrInterrupted
	switch {
	case s.State == session.Pending, s.State == session.Starting:
		return wire.Pending
	case s.State == session.Running, s.State == session.Suspending:
		return wire.Running
	case s.State == session.Suspended && !over(s):
		return wire.Suspended
	case s.State == session.Stopping && ran(s):
		return wire.Running
	case s.State == session.Stopping:
		return wire.Pending
	case lost && !ran(s):
		return wire.Failed
	case !ran(s):
		return wire.Canceled
	case killed, lost:
		return wire.Killed
	}
	return wire.Finished
}

// plainly is a sentence about a job whose session has none: a user is never to wait
// for what they are not told of.
func plainly(now wire.Status, s session.Session) string {
	switch {
	case now == wire.Pending && s.State == session.Stopping:
		return "it is being withdrawn"
	case now == wire.Pending:
		return "it waits for a host"
	case s.State == session.Stopping:
		return "it is asked to end"
	case s.State == session.Suspending:
		return "it is being suspended"
	case now == wire.Suspended:
		return "it is suspended, with its files kept"
	case s.Unreachable:
		return "its host does not answer; it may still run"
	case now == wire.Canceled:
		return "it was withdrawn before it ran"
	case s.State == session.Stopped:
		return fmt.Sprintf("it ended with exit code %d", s.ExitCode)
	case now.Final():
		return "it failed, and no reason is known; its log may say more"
	}
	return ""
}
