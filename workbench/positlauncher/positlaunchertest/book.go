package positlaunchertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// A message is one that a plugin has sent.
type message struct {
	kind              wire.ResponseType
	request, response uint64
	fields            map[string]any
	text              []byte
}

// into decodes the message.
func (m message) into(v any) error { return json.Unmarshal(m.text, v) }

// err is the error that the message is, or nil.
func (m message) err() error {
	if m.kind != wire.ErrorResponse {
		return nil
	}
	e := &wire.Error{}
	if err := m.into(e); err != nil {
		return err
	}
	return e
}

// answers are the types of responses to requests that have one each.
var answers = map[wire.RequestType]wire.ResponseType{
	wire.BootstrapRequest: wire.BootstrapResponse, wire.SubmitJobRequest: wire.JobStateResponse, wire.JobStateRequest: wire.JobStateResponse,
	wire.ControlJobRequest: wire.ControlJobResponse, wire.JobNetworkRequest: wire.JobNetworkResponse, wire.ClusterInfoRequest: wire.ClusterInfoResponse,
	wire.SetNodesRequest: wire.SetNodesResponse, wire.ConfigReloadRequest: wire.ConfigReloadResponse,
}

// A call is a request that has one answer.
type call struct {
	kind   wire.RequestType
	serial int
	answer chan message // takes one
}

// A flow is a stream as it arrives.
type flow struct {
	kind  wire.RequestType
	jobID string
	seen  uint64 // the last place
	queue []message
	more  chan struct{} // takes one: the queue is longer, or the flow ends
	over  bool          // nothing may follow
	// A flow that was canceled may have one message that was on its way: after an
	// answer to what was sent later than the cancel.
	canceled bool
	serial   int
	passed   bool
	late     int
	final    map[string]string // the last status of jobs that is one
}

// wake tells who waits for the flow.
func (f *flow) wake() {
	select {
	case f.more <- struct{}{}:
	default:
	}
}

// A book has what was asked of a plugin and what came of it.
type book struct {
	number   uint64 // the last request's
	serial   int    // counts what is sent
	response uint64 // the last response's
	any      bool   // there was one
	calls    map[uint64]*call
	done     map[uint64]bool
	flows    map[uint64]*flow
	canceled []*flow // of which nothing is known to have passed
	pardoned int
	metrics  int

	beatAt     time.Time // when the heartbeat that has no answer was sent
	beatSerial int
	beats      []time.Duration
}

func newBook() book {
	return book{calls: map[uint64]*call{}, done: map[uint64]bool{}, flows: map[uint64]*flow{}}
}

// next is the number of the next request.
func (b *book) next() uint64 {
	b.number++
	b.serial++
	return b.number
}

func (b *book) open(id uint64, c *call) {
	c.serial = b.serial
	b.calls[id] = c
}

// beatLate returns for how long a heartbeat has had no answer, 0 if none has.
func (b *book) beatLate(now time.Time) time.Duration {
	if b.beatAt.IsZero() {
		return 0
	}
	return max(now.Sub(b.beatAt), 1)
}

// beatSent enters a heartbeat.
func (b *book) beatSent(now time.Time) {
	b.serial++
	b.beatAt, b.beatSerial = now, b.serial
}

// cancel enters that a flow is to end.
func (b *book) cancel(f *flow) {
	b.serial++
	f.canceled, f.serial = true, b.serial
	b.canceled = append(b.canceled, f)
}

// answered is told that what was sent then has its answer, which is a bound for flows
// that were canceled before.
func (b *book) answered(serial int) {
	b.canceled = slices.DeleteFunc(b.canceled, func(f *flow) bool {
		f.passed = f.passed || f.serial < serial
		return f.passed
	})
}

// take enters a message and returns what is wrong with it.
func (b *book) take(text []byte, now time.Time) (problems []string) {
	tell := func(p string) { problems = append(problems, p) }
	m := message{text: text}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&m.fields); err != nil || m.fields == nil || len(bytes.TrimSpace(text[d.InputOffset():])) > 0 {
		tell(fmt.Sprintf("a message that is no JSON object: %v", err))
		return problems
	}
	object(base)("", m.fields, tell)
	if len(problems) > 0 {
		return problems
	}
	m.kind = wire.ResponseType(small(m.fields["messageType"]))
	m.request, m.response = natural(m.fields["requestId"]), natural(m.fields["responseId"])
	s, ok := shapes[m.kind]
	if !ok {
		tell(fmt.Sprintf("a message of type %d, which there is not", m.kind))
		return problems
	}
	if s("", m.fields, tell); len(problems) == 0 {
		b.numbered(m, tell)
		b.route(m, now, tell)
	}
	return problems
}

// numbered checks the number of a response.
func (b *book) numbered(m message, tell func(string)) {
	switch {
	case m.kind == wire.HeartbeatResponse || m.kind == wire.MetricsResponse:
		if m.response != 0 || m.request != 0 {
			tell(fmt.Sprintf("a heartbeat or metrics with requestId %d and responseId %d; want 0 and 0", m.request, m.response))
		}
		return
	case m.kind == wire.ErrorResponse && m.response == 0:
		return // as the Go SDK has it
	case b.any && m.response <= b.response:
		tell(fmt.Sprintf("responseId %d follows %d", m.response, b.response))
	}
	b.any, b.response = true, m.response
}

// route gives a message to who waits for it.
func (b *book) route(m message, now time.Time, tell func(string)) {
	switch m.kind {
	case wire.MetricsResponse:
		b.metrics++
	case wire.HeartbeatResponse:
		if b.beatAt.IsZero() {
			tell("a heartbeat that was not asked for")
			return
		}
		b.beats = append(b.beats, now.Sub(b.beatAt))
		b.beatAt = time.Time{}
		b.answered(b.beatSerial)
	case wire.JobStatusResponse, wire.ResourceUtilResponse:
		if m.request != 0 {
			tell(fmt.Sprintf("requestId is %d; want 0, for sequences names the requests", m.request))
		}
		for _, s := range m.fields["sequences"].([]any) {
			s := s.(map[string]any)
			b.flow(m, natural(s["requestId"]), natural(s["seqId"]), tell)
		}
	case wire.JobOutputResponse:
		b.flow(m, m.request, natural(m.fields["seqId"]), tell)
	case wire.ErrorResponse:
		if f := b.flows[m.request]; f != nil && !f.over {
			f.over = true
			f.queue = append(f.queue, m)
			f.wake()
			return
		}
		if b.calls[m.request] == nil && b.pardoned > 0 {
			b.pardoned--
			return
		}
		b.answer(m, tell)
	default:
		b.answer(m, tell)
	}
}

// answer gives a message to the call that it answers.
func (b *book) answer(m message, tell func(string)) {
	c := b.calls[m.request]
	switch {
	case c == nil && b.done[m.request]:
		tell(fmt.Sprintf("request %d is answered twice", m.request))
		return
	case c == nil:
		tell(fmt.Sprintf("it answers request %d, which was not asked or has no answer", m.request))
		return
	}
	if want, ok := answers[c.kind]; ok && m.kind != wire.ErrorResponse && m.kind != want {
		tell(fmt.Sprintf("request %d of type %d is answered by type %d; want %d", m.request, c.kind, m.kind, want))
	}
	delete(b.calls, m.request)
	b.done[m.request] = true
	b.answered(c.serial)
	c.answer <- m
}

// streams are the types of messages in streams.
var streams = map[wire.RequestType]wire.ResponseType{
	wire.JobStatusRequest: wire.JobStatusResponse, wire.JobOutputRequest: wire.JobOutputResponse, wire.ResourceUtilRequest: wire.ResourceUtilResponse,
}

// flow gives a message to the stream of a request.
func (b *book) flow(m message, request, place uint64, tell func(string)) {
	f := b.flows[request]
	switch {
	case f == nil || streams[f.kind] != m.kind:
		tell(fmt.Sprintf("request %d has opened no such stream", request))
		return
	case f.over:
		tell(fmt.Sprintf("stream %d goes on after its end", request))
		return
	case place != f.seen+1:
		tell(fmt.Sprintf("stream %d: seqId %d follows %d", request, place, f.seen))
	}
	f.seen = place
	if f.canceled {
		if f.passed {
			f.late++
		}
		if f.late > 1 {
			tell(fmt.Sprintf("stream %d goes on though it was canceled", request))
		}
		return
	}
	if m.kind == wire.JobStatusResponse {
		f.status(m, request, tell)
	}
	f.over = m.fields["complete"] == true
	f.queue = append(f.queue, m)
	f.wake()
}

// status checks the status of a job against what was told before.
func (f *flow) status(m message, request uint64, tell func(string)) {
	id, status := m.fields["id"].(string), m.fields["status"].(string)
	if f.jobID != wire.All && f.jobID != id {
		tell(fmt.Sprintf("stream %d is of job %s, not of %s", request, f.jobID, id))
	}
	if before, ok := f.final[id]; ok && before != status {
		tell(fmt.Sprintf("job %s was %s, which is final, and is %s", id, before, status))
	}
	if wire.Status(status).Final() {
		f.final[id] = status
	}
}

// small and natural are numbers whose shape has been checked.
func small(v any) int {
	n, _ := v.(json.Number).Int64()
	return int(n)
}

func natural(v any) uint64 {
	n, _ := v.(json.Number).Int64()
	return uint64(n)
}
