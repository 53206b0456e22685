package positlaunchertest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// A Caller asks a plugin in somebody's name. Error responses are a [*wire.Error];
// what is no answer at all is another error.
type Caller struct {
	l    *Launcher
	user string
}

// As returns who asks in the name of a user, or of all for [wire.All].
func (l *Launcher) As(user string) Caller { return Caller{l, user} }

// fields are those of a request in the caller's name.
func (c Caller) fields(more map[string]any) map[string]any {
	all := map[string]any{"username": c.user, "requestUsername": "rstudio-server"}
	maps.Copy(all, more)
	return all
}

// jobFields are those of a request about a job.
func jobFields(id string) map[string]any {
	return map[string]any{"jobId": id, "encodedJobId": base64.StdEncoding.EncodeToString([]byte(id))}
}

// ask makes a request and decodes its answer.
func ask[T any](c Caller, kind wire.RequestType, fields map[string]any) (T, error) {
	var answer T
	m, err := c.l.ask(kind, c.fields(fields))
	if err == nil {
		err = m.into(&answer)
	}
	return answer, err
}

// Submit submits a job and returns it as the plugin does.
func (c Caller) Submit(job wire.Job) (wire.Job, error) {
	state, err := ask[wire.JobState](c, wire.SubmitJobRequest, map[string]any{"job": job})
	return one(state, err)
}

// one is the only job of an answer.
func one(state wire.JobState, err error) (wire.Job, error) {
	switch {
	case err != nil:
		return wire.Job{}, err
	case len(state.Jobs) != 1:
		return wire.Job{}, fmt.Errorf("the answer has %d jobs; want 1", len(state.Jobs))
	}
	return state.Jobs[0], nil
}

// Job returns a job, all of it or some of its fields.
func (c Caller) Job(id string, fields ...string) (wire.Job, error) {
	q := jobFields(id)
	if len(fields) > 0 {
		q["fields"] = fields
	}
	state, err := ask[wire.JobState](c, wire.JobStateRequest, q)
	return one(state, err)
}

// A Query selects jobs: those that have all of the tags, were submitted from Start to
// End, and are in one of the statuses. What is zero selects all.
type Query struct {
	Tags       []string
	Start, End time.Time
	Statuses   []wire.Status
	// Fields are what is told of them, all if there are none.
	Fields []string
}

// Jobs returns the jobs that a query selects.
func (c Caller) Jobs(q Query) ([]wire.Job, error) {
	fields := jobFields(wire.All)
	if len(q.Tags) > 0 {
		fields["tags"] = q.Tags
	}
	if len(q.Statuses) > 0 {
		fields["statuses"] = q.Statuses
	}
	if len(q.Fields) > 0 {
		fields["fields"] = q.Fields
	}
	for name, t := range map[string]time.Time{"startTime": q.Start, "endTime": q.End} {
		if !t.IsZero() { // as the guides have it: without a zone
			fields[name] = t.UTC().Format("2006-01-02T15:04:05")
		}
	}
	state, err := ask[wire.JobState](c, wire.JobStateRequest, fields)
	return state.Jobs, err
}

// Control does something to a job.
func (c Caller) Control(id string, o wire.Operation) (wire.ControlJob, error) {
	q := jobFields(id)
	q["operation"] = int(o)
	return ask[wire.ControlJob](c, wire.ControlJobRequest, q)
}

// Network returns where a job's ports are.
func (c Caller) Network(id string) (wire.JobNetwork, error) {
	return ask[wire.JobNetwork](c, wire.JobNetworkRequest, jobFields(id))
}

// ClusterInfo returns what jobs may have.
func (c Caller) ClusterInfo() (wire.ClusterInfo, error) {
	return ask[wire.ClusterInfo](c, wire.ClusterInfoRequest, nil)
}

// SetNodes tells the plugin on which machines the Launcher runs.
func (c Caller) SetNodes(nodes ...wire.Node) error {
	_, err := ask[wire.Header](c, wire.SetNodesRequest, map[string]any{"nodes": nodes})
	return err
}

// Reload has the plugin read its configuration again.
func (c Caller) Reload() (wire.ConfigReload, error) {
	return ask[wire.ConfigReload](c, wire.ConfigReloadRequest, nil)
}

// An Output is a piece of what a job has written.
type Output struct {
	Text string `json:"output"`
	// Stream is stdout, stderr or mixed.
	Stream   string `json:"outputType"`
	Complete bool   `json:"complete"`
}

// Statuses opens a stream of the statuses of a job, or of all for [wire.All].
func (c Caller) Statuses(id string) (*Stream[wire.JobStatus], error) {
	return open[wire.JobStatus](c, wire.JobStatusRequest, id, jobFields(id))
}

// Output opens a stream of what a job writes. The stream is named as some Launcher
// does it: by 0, 1 or 2, by stdout, stderr or mixed, or by nil, which leaves it out.
func (c Caller) Output(id string, stream any) (*Stream[Output], error) {
	q := jobFields(id)
	if stream != nil {
		q["outputType"] = stream
	}
	return open[Output](c, wire.JobOutputRequest, id, q)
}

// Utilization opens a stream of what a job uses.
func (c Caller) Utilization(id string) (*Stream[wire.ResourceUtil], error) {
	return open[wire.ResourceUtil](c, wire.ResourceUtilRequest, id, jobFields(id))
}

// A Stream is what a plugin sends until it is complete or canceled. It is for one
// goroutine.
type Stream[T any] struct {
	c      Caller
	id     uint64
	fields map[string]any
	flow   *flow
}

func open[T any](c Caller, kind wire.RequestType, jobID string, fields map[string]any) (*Stream[T], error) {
	s := &Stream[T]{c: c, fields: c.fields(fields), flow: &flow{kind: kind, jobID: jobID, more: make(chan struct{}, 1), final: map[string]string{}}}
	err := c.l.request(kind, s.fields, func(id uint64) {
		s.id = id
		c.l.book.flows[id] = s.flow
	})
	if err != nil {
		return nil, fmt.Errorf("opening a stream of type %d: %w", kind, err)
	}
	return s, nil
}

// Next returns the next message. After the last one it is [io.EOF], and [ErrSilent]
// if none comes within the time. An error response ends the stream.
func (s *Stream[T]) Next(within time.Duration) (T, error) {
	var next T
	patience := time.NewTimer(within)
	defer patience.Stop()
	for {
		s.c.l.mu.Lock()
		var m message
		some, over := len(s.flow.queue) > 0, s.flow.over || s.flow.canceled
		if some {
			m, s.flow.queue = s.flow.queue[0], s.flow.queue[1:]
		}
		s.c.l.mu.Unlock()
		switch {
		case some:
			if err := m.err(); err != nil {
				return next, err
			}
			return next, m.into(&next)
		case over:
			return next, io.EOF
		}
		select {
		case <-s.flow.more:
		case <-s.c.l.ended:
			s.c.l.mu.Lock()
			left := len(s.flow.queue)
			s.c.l.mu.Unlock()
			if left == 0 {
				return next, ErrEnded
			}
		case <-patience.C:
			return next, fmt.Errorf("stream %d: %w after %v", s.id, ErrSilent, within)
		}
	}
}

// Until returns the first message for which ok is true.
func (s *Stream[T]) Until(within time.Duration, ok func(T) bool) (T, error) {
	for end := time.Now().Add(within); ; {
		next, err := s.Next(max(0, time.Until(end)))
		if err != nil || ok(next) {
			return next, err
		}
	}
}

// All returns what is left of the stream until its end.
func (s *Stream[T]) All(within time.Duration) ([]T, error) {
	var all []T
	_, err := s.Until(within, func(next T) bool {
		all = append(all, next)
		return false
	})
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return all, err
}

// Cancel ends the stream, of which nothing more is returned.
func (s *Stream[T]) Cancel() error {
	fields := s.c.fields(s.fields)
	fields["cancel"] = true
	return s.c.l.send(func() [][]byte {
		s.c.l.book.cancel(s.flow)
		s.flow.queue = nil
		s.flow.wake()
		return [][]byte{requestFrame(s.id, s.flow.kind, fields)}
	})
}
