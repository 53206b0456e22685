package positlaunchertest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

var wireClauses = []clause{
	{name: "Wire/Bootstrap", test: wireBootstrap},
	{name: "Wire/OlderLauncher", test: wireOlderLauncher},
	{name: "Wire/OtherVersion", test: wireOtherVersion},
	{name: "Wire/Fragments", test: wireFragments},
	{name: "Wire/ManyAtOnce", test: wireManyAtOnce},
	{name: "Wire/UnknownType", test: wireUnknownType},
	{name: "Wire/UnknownFields", test: wireUnknownFields},
	{name: "Wire/BadJSON", test: wireBadJSON},
	{name: "Wire/BadField", test: wireBadField},
	{name: "Wire/TooLarge", test: wireTooLarge},
	{name: "Wire/OutputTypes", test: wireOutputTypes},
	{name: "Wire/Times", test: wireTimes},
	{name: "Wire/CancelsUnknown", test: wireCancelsUnknown},
}

func wireBootstrap(r *run) { r.alive(r.user(), "Bootstrap") }

// The major version alone has to be the same.
func wireOlderLauncher(r *run) {
	for _, v := range []wire.Version{{Major: wire.API.Major}, {Major: wire.API.Major, Minor: 99, Patch: 1}} {
		l := r.launch(Options{})
		if _, err := l.Ask(wire.BootstrapRequest, map[string]any{"version": v}); err != nil {
			r.Errorf("Bootstrap with version %+v: %v", v, err)
		}
	}
}

func wireOtherVersion(r *run) {
	for _, major := range []int{wire.API.Major - 1, wire.API.Major + 1} {
		l := r.launch(Options{})
		_, err := l.Ask(wire.BootstrapRequest, map[string]any{"version": wire.Version{Major: major, Minor: wire.API.Minor}})
		r.wantCode(fmt.Sprintf("Bootstrap with version %d", major), err, wire.UnsupportedVersion)
	}
}

// expect enters a request that is written by hand.
func (l *Launcher) expect(kind wire.RequestType) (id uint64, c *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id, c = l.book.next(), &call{kind: kind, answer: make(chan message, 1)}
	l.book.open(id, c)
	return id, c
}

func wireFragments(r *run) {
	c := r.user()
	id, answer := c.l.expect(wire.ClusterInfoRequest)
	if err := c.l.Trickle(requestFrame(id, wire.ClusterInfoRequest, c.fields(nil))); err != nil {
		r.Fatalf("writing a request byte by byte: %v", err)
	}
	if _, err := c.l.await(answer); err != nil {
		r.Errorf("a request that arrived byte by byte: %v", err)
	}
}

func wireManyAtOnce(r *run) {
	c := r.user()
	var data []byte
	var all []*call
	for range 100 {
		id, answer := c.l.expect(wire.JobStateRequest)
		fields := c.fields(jobFields(wire.All))
		fields["tags"] = []string{r.tag}
		data = append(data, requestFrame(id, wire.JobStateRequest, fields)...)
		all = append(all, answer)
	}
	if _, err := c.l.Write(data); err != nil {
		r.Fatalf("writing %d requests at once: %v", len(all), err)
	}
	for i, answer := range all {
		if _, err := c.l.await(answer); err != nil {
			r.Fatalf("request %d of %d: %v", i+1, len(all), err)
		}
	}
}

func wireUnknownType(r *run) {
	c := r.user()
	for _, kind := range []wire.RequestType{10, 200, 203, 9999, -7} {
		_, err := c.l.Ask(kind, c.fields(nil))
		r.wantCode(fmt.Sprintf("a request of type %d", kind), err, wire.RequestNotSupported)
	}
	r.alive(c, "requests of unknown types")
}

func wireUnknownFields(r *run) {
	c := r.user()
	future := map[string]any{"a": []any{1, nil, map[string]any{"b": "c"}}}
	if _, err := c.l.Ask(wire.ClusterInfoRequest, c.fields(map[string]any{"future": future})); err != nil {
		r.Errorf("a request with a field of the future: %v", err)
	}
	job := map[string]any{}
	text, err := json.Marshal(r.whole(r.Jobs.Quick()))
	if err == nil {
		err = json.Unmarshal(text, &job)
	}
	if err != nil {
		r.Fatalf("a job as JSON: %v", err)
	}
	job["future"] = future
	if _, err := c.l.Ask(wire.SubmitJobRequest, c.fields(map[string]any{"job": job})); err != nil {
		r.Errorf("a job with a field of the future: %v", err)
	}
	r.ended(c, r.list(c, Query{})[0].ID)
}

func wireBadJSON(r *run) {
	c := r.user()
	for _, text := range []string{"", "hello", "{", `{"messageType":9,"requestId":`, "[]", "null", `"text"`, "\xff\xfe", `{}`, `{"messageType":9}`, `{"requestId":1.5}`, strings.Repeat("[", 100_000)} {
		c.l.Pardon(1)
		if _, err := c.l.Write(frame([]byte(text))); err != nil {
			r.Fatalf("writing %.40q: %v", text, err)
		}
		r.alive(c, fmt.Sprintf("%.40q", text))
	}
}

// A field that is not understood is the fault of one request, which is answered.
func wireBadField(r *run) {
	c := r.user()
	for _, bad := range []struct {
		kind   wire.RequestType
		fields map[string]any
	}{
		{wire.JobStateRequest, map[string]any{"jobId": map[string]any{"a": 1}}},
		{wire.JobStateRequest, map[string]any{"jobId": wire.All, "tags": 7}},
		{wire.SubmitJobRequest, map[string]any{"job": []any{}}},
		{wire.SubmitJobRequest, map[string]any{"job": nil}},
		{wire.ControlJobRequest, map[string]any{"jobId": "x", "operation": "stop, please"}},
	} {
		_, err := c.l.Ask(bad.kind, c.fields(bad.fields))
		r.wantCode(fmt.Sprintf("a request of type %d with %v", bad.kind, bad.fields), err, wire.InvalidRequest)
	}
	r.alive(c, "fields of wrong types")
}

// What is too large is read to its end, and the next request is understood.
func wireTooLarge(r *run) {
	l := r.launch(Options{Heartbeat: 5 * time.Second}) // as the Launcher does; so much takes its time
	if err := l.Bootstrap(); err != nil {
		r.Fatal(err)
	}
	c := l.As(r.User)
	c.l.Pardon(1)
	if _, err := c.l.Write(frame([]byte(strings.Repeat(" ", wire.DefaultLimit+1)))); err != nil {
		r.Fatalf("writing a message that is too large: %v", err)
	}
	r.alive(c, "a message that is too large")
	_, err := c.l.Ask(wire.ClusterInfoRequest, c.fields(map[string]any{"padding": strings.Repeat("x", wire.DefaultLimit-1000)}))
	if err != nil {
		r.Errorf("a message that is as large as may be: %v", err)
	}
}

// The SDKs do not agree on how a stream is named.
func wireOutputTypes(r *run) {
	c := r.user()
	job := r.submit(c, r.Jobs.Quick())
	r.ended(c, job.ID)
	for _, name := range []any{0, "stdout", 1, "stderr", 2, "mixed", nil} {
		texts := r.read(r.output(c, job.ID, name))
		all := texts["stdout"] + texts["stderr"] + texts["mixed"]
		out, err := strings.Contains(all, "out\n"), strings.Contains(all, "err\n")
		wantOut, wantErr := name != 1 && name != "stderr", name != 0 && name != "stdout"
		if out != wantOut || err != wantErr {
			r.Errorf("outputType %v: %q; want standard output %v, standard error %v", name, all, wantOut, wantErr)
		}
	}
}

// The guides write times without a zone, in UTC.
func wireTimes(r *run) {
	c := r.user()
	job := r.submit(c, r.Jobs.Quick())
	submitted := job.SubmissionTime.UTC()
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05.000000Z"} {
		for start, want := range map[time.Duration]int{-time.Hour: 1, time.Hour: 0} {
			fields := c.fields(jobFields(wire.All))
			fields["tags"], fields["startTime"] = []string{r.tag}, submitted.Add(start).Format(layout)
			got, err := c.l.Ask(wire.JobStateRequest, fields)
			if err != nil {
				r.Errorf("startTime %q: %v", fields["startTime"], err)
			} else if n := len(got["jobs"].([]any)); n != want {
				r.Errorf("startTime %q for a job of %v: %d jobs; want %d", fields["startTime"], submitted, n, want)
			}
		}
	}
}

// A cancel that comes late, after a stream's own end, asks for nothing.
func wireCancelsUnknown(r *run) {
	c := r.user()
	for _, kind := range []wire.RequestType{wire.JobStatusRequest, wire.JobOutputRequest, wire.ResourceUtilRequest} {
		fields := c.fields(jobFields("no-such-job"))
		fields["cancel"] = true
		if _, err := c.l.Write(requestFrame(1<<40, kind, fields)); err != nil {
			r.Fatal(err)
		}
	}
	r.alive(c, "cancels of what there is not")
}
