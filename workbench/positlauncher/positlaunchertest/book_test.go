package positlaunchertest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// headed is the head of what answers request 1.
func headed(kind wire.ResponseType) wire.Header {
	return wire.Header{Type: kind, RequestID: 1, ResponseID: 1}
}

// messages are one of each type, with all that must be there and more.
func messages() map[string]any {
	now := wire.At(time.Unix(1e9, 0))
	streamed := wire.Header{Type: wire.JobStatusResponse, ResponseID: 1}
	used := wire.Header{Type: wire.ResourceUtilResponse, ResponseID: 1}
	code := 0
	return map[string]any{
		"error":     wire.Error{Header: wire.Header{Type: wire.ErrorResponse, RequestID: 1}, Code: 3, Message: "none"},
		"heartbeat": wire.Header{},
		"bootstrap": wire.Bootstrap{Header: headed(wire.BootstrapResponse), Version: wire.API},
		"jobs": wire.JobState{Header: headed(wire.JobStateResponse), Jobs: []wire.Job{{
			ID: "j", Status: wire.Finished, ExitCode: &code, PID: &code, SubmissionTime: now, LastUpdateTime: now, Tags: []string{"t"}, Args: []string{""},
			Environment: []wire.Env{{Name: "A"}}, ExposedPorts: []wire.Port{{TargetPort: 1, Protocol: "TCP"}}, Metadata: json.RawMessage(`{"a":1}`),
			Mounts: []wire.Mount{{MountPath: "/m", MountSource: wire.MountSource{Type: "host", Source: json.RawMessage(`{}`)}}}, Container: &wire.Container{Image: "i"},
			ResourceLimits: []wire.Limit{{Type: "memory"}}, Config: []wire.Setting{{Name: "c"}}, Queues: []string{"q"},
		}, {ID: "k"}}},
		"status":  wire.JobStatus{Header: streamed, Sequences: []wire.Sequence{{RequestID: 1, SequenceID: 1}}, ID: "j", Status: wire.Running},
		"control": wire.ControlJob{Header: headed(wire.ControlJobResponse)},
		"output":  wire.JobOutput{Header: headed(wire.JobOutputResponse), SequenceID: 1},
		"util":    wire.ResourceUtil{Header: used, Sequences: []wire.Sequence{{RequestID: 1, SequenceID: 1}}},
		"network": wire.JobNetwork{Header: headed(wire.JobNetworkResponse), Host: "h", IPAddresses: []string{"10.0.0.1"}},
		"cluster": wire.ClusterInfo{Header: headed(wire.ClusterInfoResponse), Images: []string{"i"}, ResourceProfiles: []wire.Profile{{Name: "p", Limits: []wire.Limit{{Type: "t"}}}}},
		"nodes":   headed(wire.SetNodesResponse),
		"reload":  wire.ConfigReload{Header: headed(wire.ConfigReloadResponse)},
		"metrics": wire.Metrics{Header: wire.Header{Type: wire.MetricsResponse}, Latency: &wire.Histogram{}},
	}
}

// asked is a book in which what a message answers was asked as request 1.
func asked(kind wire.ResponseType) book {
	b := newBook()
	b.next()
	b.beatSent(time.Unix(1e9, 0))
	for request, response := range streams {
		if response == kind {
			b.flows[1] = &flow{kind: request, jobID: wire.All, more: make(chan struct{}, 1), final: map[string]string{}}
			return b
		}
	}
	c := &call{kind: wire.JobStateRequest, answer: make(chan message, 9)}
	for request, response := range answers {
		if response == kind {
			c.kind = request
		}
	}
	b.open(1, c)
	return b
}

func raw(t *testing.T, message any) (fields map[string]any, kind wire.ResponseType) {
	t.Helper()
	text, err := wire.Encode(message, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text[4:], &fields); err != nil {
		t.Fatal(err)
	}
	return fields, wire.ResponseType(fields["messageType"].(float64))
}

func (b *book) takes(t *testing.T, v any) []string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b.take(text, time.Unix(1e9+1, 0))
}

// A right message is no problem. Without a field, or with null or something else in
// it, it is one.
func TestShapes(t *testing.T) {
	optional := strings.Fields("cluster.images util.cpuPercent util.cpuTime util.virtualMemory util.residentMemory metrics.clusterInteractionLatencySample")
	for name, message := range messages() {
		t.Run(name, func(t *testing.T) {
			right, kind := raw(t, message)
			b := asked(kind)
			if problems := b.takes(t, right); len(problems) > 0 {
				t.Fatalf("a right message: %q", problems)
			}
			for field := range right {
				for what, wrong := range map[string]any{"nothing": nil, "null": nil, "a list": []any{1.5}, "an object": map[string]any{"x": 1}} {
					bad := maps.Clone(right)
					bad[field] = wrong
					if what == "nothing" {
						delete(bad, field)
					}
					b := asked(kind)
					problems := b.takes(t, bad)
					may := what == "nothing" && slices.Contains(optional, name+"."+field)
					if (len(problems) == 0) != may {
						t.Errorf("%s with %s in %s: %q", name, what, field, problems)
					}
				}
			}
		})
	}
}

// Each field of a job is held to what it is.
func TestJobShape(t *testing.T) {
	right, kind := raw(t, messages()["jobs"])
	job := right["jobs"].([]any)[0].(map[string]any)
	for field := range job {
		for what, wrong := range map[string]any{"null": nil, "true": true, "a list of null": []any{nil}} {
			bad := maps.Clone(job)
			bad[field] = wrong
			b := asked(kind)
			if problems := b.takes(t, map[string]any{"messageType": 2, "requestId": 1, "responseId": 0, "jobs": []any{bad}}); len(problems) == 0 {
				t.Errorf("a job with %s in %s is no problem", what, field)
			}
		}
	}
	for field, wrong := range map[string]any{"status": "Done", "submissionTime": "2026-01-02T15:04:05", "lastUpdateTime": "2026-01-02T15:04:05+01:00", "exitCode": 1.5, "id": ""} {
		bad := maps.Clone(job)
		bad[field] = wrong
		b := asked(kind)
		if problems := b.takes(t, map[string]any{"messageType": 2, "requestId": 1, "responseId": 0, "jobs": []any{bad}}); len(problems) == 0 {
			t.Errorf("a job with %v in %s is no problem", wrong, field)
		}
	}
}

type fieldsOf map[string]any

func told(kind wire.ResponseType, request, response int, more fieldsOf) fieldsOf {
	m := fieldsOf{"messageType": int(kind), "requestId": request, "responseId": response}
	maps.Copy(m, more)
	return m
}

// The messages of a conversation, and what the last one does wrong.
func TestBook(t *testing.T) {
	status := func(response, request, place int, id, status string) fieldsOf {
		return told(wire.JobStatusResponse, 0, response, fieldsOf{"sequences": []fieldsOf{{"requestId": request, "seqId": place}}, "id": id, "name": "", "status": status})
	}
	output := func(response, request, place int, complete bool) fieldsOf {
		return told(wire.JobOutputResponse, request, response, fieldsOf{"seqId": place, "output": "x", "outputType": "stdout", "complete": complete})
	}
	failure := func(request int) fieldsOf {
		return told(wire.ErrorResponse, request, 0, fieldsOf{"errorCode": 3, "errorMessage": "no"})
	}
	reload := func(request, response int) fieldsOf {
		return told(wire.ConfigReloadResponse, request, response, fieldsOf{"errorType": 0, "errorMessage": ""})
	}
	beat := told(wire.HeartbeatResponse, 0, 0, nil)
	// Requests 1 and 2 are reloads, 3 is the statuses of job a, 4 those of all, 5 output.
	for name, c := range map[string]struct {
		told  []fieldsOf
		after func(*book, int) // before each of them
		says  string
	}{
		"a conversation":           {[]fieldsOf{reload(2, 0), reload(1, 1), status(2, 3, 1, "a", "Running"), status(3, 4, 1, "b", "Running"), status(4, 3, 2, "a", "Killed"), output(5, 5, 1, false), output(6, 5, 2, true)}, nil, ""},
		"an error without number":  {[]fieldsOf{reload(2, 0), failure(1), status(1, 3, 1, "a", "Running")}, nil, ""},
		"numbers may have gaps":    {[]fieldsOf{reload(2, 5), reload(1, 9)}, nil, ""},
		"a number comes again":     {[]fieldsOf{reload(2, 5), reload(1, 5)}, nil, "responseId 5 follows 5"},
		"a number goes back":       {[]fieldsOf{reload(2, 5), reload(1, 4)}, nil, "responseId 4 follows 5"},
		"nobody asked":             {[]fieldsOf{reload(9, 0)}, nil, "which was not asked"},
		"an error nobody asked":    {[]fieldsOf{failure(9)}, nil, "which was not asked"},
		"a pardoned error":         {[]fieldsOf{failure(0)}, func(b *book, _ int) { b.pardoned = 1 }, ""},
		"answered twice":           {[]fieldsOf{reload(1, 0), reload(1, 1)}, nil, "answered twice"},
		"an error after an answer": {[]fieldsOf{reload(1, 0), failure(1)}, nil, "answered twice"},
		"another answer":           {[]fieldsOf{told(wire.ControlJobResponse, 1, 0, fieldsOf{"statusMessage": "", "operationComplete": true})}, nil, "answered by type 4"},
		"a stream of no request":   {[]fieldsOf{status(0, 9, 1, "a", "Running")}, nil, "opened no such stream"},
		"a stream of another kind": {[]fieldsOf{status(0, 5, 1, "a", "Running")}, nil, "opened no such stream"},
		"a stream begins at 0":     {[]fieldsOf{status(0, 3, 0, "a", "Running")}, nil, "from 1"},
		"a stream begins at 2":     {[]fieldsOf{status(0, 3, 2, "a", "Running")}, nil, "seqId 2 follows 0"},
		"a gap":                    {[]fieldsOf{output(0, 5, 1, false), output(1, 5, 3, false)}, nil, "seqId 3 follows 1"},
		"a repetition":             {[]fieldsOf{output(0, 5, 1, false), output(1, 5, 1, false)}, nil, "seqId 1 follows 1"},
		"after its end":            {[]fieldsOf{output(0, 5, 1, true), output(1, 5, 2, false)}, nil, "after its end"},
		"after its error":          {[]fieldsOf{failure(5), output(0, 5, 1, false)}, nil, "after its end"},
		"an error after its end":   {[]fieldsOf{output(0, 5, 1, true), failure(5)}, nil, "which was not asked"},
		"another job":              {[]fieldsOf{status(0, 3, 1, "b", "Running")}, nil, "is of job a, not of b"},
		"a job lives again":        {[]fieldsOf{status(0, 4, 1, "b", "Killed"), status(1, 4, 2, "b", "Running")}, nil, "which is final"},
		"it is named twice":        {[]fieldsOf{told(wire.JobStatusResponse, 3, 0, fieldsOf{"sequences": []fieldsOf{{"requestId": 3, "seqId": 1}}, "id": "a", "name": "", "status": "Running"})}, nil, "want 0"},
		"nobody is told":           {[]fieldsOf{told(wire.JobStatusResponse, 0, 0, fieldsOf{"sequences": []fieldsOf{}, "id": "a", "name": "", "status": "Running"})}, nil, "not empty"},
		"a heartbeat":              {[]fieldsOf{beat}, func(b *book, _ int) { b.beatSent(time.Unix(1e9, 0)) }, ""},
		"a heartbeat of its own":   {[]fieldsOf{beat}, nil, "not asked for"},
		"a heartbeat with number":  {[]fieldsOf{told(wire.HeartbeatResponse, 0, 1, nil)}, func(b *book, _ int) { b.beatSent(time.Unix(1e9, 0)) }, "want 0 and 0"},
		"a type of its own":        {[]fieldsOf{told(77, 0, 0, nil)}, nil, "type 77"},
		"on its way at a cancel":   {[]fieldsOf{output(0, 5, 1, false), output(1, 5, 2, false), output(2, 5, 3, false), output(3, 5, 4, false)}, func(b *book, _ int) { cancelOnce(b) }, ""},
		"one after a cancel":       {[]fieldsOf{reload(1, 0), output(1, 5, 1, false)}, func(b *book, _ int) { cancelOnce(b) }, ""},
		"two after a cancel":       {[]fieldsOf{reload(6, 0), output(1, 5, 1, false), output(2, 5, 2, false)}, cancelAndAsk, "though it was canceled"},
		"an older answer":          {[]fieldsOf{reload(1, 0), output(1, 5, 1, false), output(2, 5, 2, false)}, cancelAndAsk, ""},
		"two after a heartbeat": {[]fieldsOf{beat, output(1, 5, 1, false), output(2, 5, 2, false)}, func(b *book, i int) {
			cancelOnce(b)
			if i == 0 {
				b.beatSent(time.Unix(1e9, 0))
			}
		}, "though it was canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook()
			for range 2 {
				b.open(b.next(), &call{kind: wire.ConfigReloadRequest, answer: make(chan message, 9)})
			}
			for _, f := range []*flow{{kind: wire.JobStatusRequest, jobID: "a"}, {kind: wire.JobStatusRequest, jobID: wire.All}, {kind: wire.JobOutputRequest, jobID: "a"}} {
				f.more, f.final = make(chan struct{}, 1), map[string]string{}
				b.flows[b.next()] = f
			}
			for i, m := range c.told {
				if c.after != nil {
					c.after(&b, i)
				}
				problems := strings.Join(b.takes(t, m), "\n")
				want := c.says
				if i < len(c.told)-1 {
					want = ""
				}
				if !strings.Contains(problems, want) || (problems == "") != (want == "") {
					t.Errorf("message %d: %q; want %q", i, problems, want)
				}
			}
		})
	}
}

func cancelOnce(b *book) {
	if !b.flows[5].canceled {
		b.cancel(b.flows[5])
	}
}

// cancelAndAsk cancels stream 5, and asks request 6 after that.
func cancelAndAsk(b *book, i int) {
	cancelOnce(b)
	if i == 0 {
		b.open(b.next(), &call{kind: wire.ConfigReloadRequest, answer: make(chan message, 9)})
	}
}

// What is no JSON object is told, and does no harm.
func TestBookGarbage(t *testing.T) {
	for _, text := range []string{"", "x", "[]", "null", "{}", `{"messageType":1}`, `{"messageType":1,"requestId":-1,"responseId":0}`, `{"messageType":0,"requestId":0,"responseId":0} {}`, `{"messageType":1e300,"requestId":0,"responseId":0}`} {
		b := newBook()
		b.beatSent(time.Now())
		if problems := b.take([]byte(text), time.Now()); len(problems) == 0 {
			t.Errorf("%q is no problem", text)
		}
	}
}
