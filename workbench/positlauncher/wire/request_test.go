package wire_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// of is a request of that type, number 7, with more fields.
func of(kind wire.RequestType, fields string) string {
	if fields != "" {
		fields = "," + fields
	}
	return fmt.Sprintf(`{"messageType":%d,"requestId":7%s}`, kind, fields)
}

func at(text string) *wire.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return &wire.Time{Time: t}
}

func TestDecode(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want wire.Request
	}{
		"heartbeat":             {`{"messageType":0,"requestId":0}`, wire.Request{}},
		"bootstrap":             {of(1, `"version":{"major":3,"minor":7,"patch":1}`), wire.Request{Type: 1, ID: 7, Version: wire.Version{Major: 3, Minor: 7, Patch: 1}}},
		"submit":                {of(2, `"username":"a","requestUsername":"b","job":{"name":"j"}`), wire.Request{Type: 2, ID: 7, Username: "a", RequestUsername: "b", Job: &wire.Job{Name: "j"}}},
		"jobs":                  {of(3, `"username":"*","jobId":"*","encodedJobId":"","tags":["t"],"statuses":["Running"],"fields":["id"]`), wire.Request{Type: 3, ID: 7, Username: "*", JobID: "*", Tags: []string{"t"}, Statuses: []wire.Status{"Running"}, Fields: []string{"id"}}},
		"status":                {of(4, `"jobId":"j","cancel":true`), wire.Request{Type: 4, ID: 7, JobID: "j", Cancel: true}},
		"control":               {of(5, `"jobId":"j","operation":4`), wire.Request{Type: 5, ID: 7, JobID: "j", Operation: wire.Cancel}},
		"output":                {of(6, `"jobId":"j"`), wire.Request{Type: 6, ID: 7, JobID: "j"}},
		"util":                  {of(7, `"jobId":"j"`), wire.Request{Type: 7, ID: 7, JobID: "j"}},
		"network":               {of(8, `"jobId":"j"`), wire.Request{Type: 8, ID: 7, JobID: "j"}},
		"cluster":               {of(9, ""), wire.Request{Type: 9, ID: 7}},
		"nodes":                 {of(201, `"nodes":[{"host":"h","ipv4":"10.0.0.1","port":"5559","status":"Online"}]`), wire.Request{Type: 201, ID: 7, Nodes: []wire.Node{{Host: "h", IPv4: "10.0.0.1", Port: "5559", Status: "Online"}}}},
		"reload":                {of(202, ""), wire.Request{Type: 202, ID: 7}},
		"an unknown type":       {of(999, ""), wire.Request{Type: 999, ID: 7}},
		"the greatest number":   {`{"messageType":9,"requestId":18446744073709551615}`, wire.Request{Type: 9, ID: 1<<64 - 1}},
		"unknown fields":        {of(9, `"future":{"a":[1,null,{"b":"\"]}"}]},"another":null`), wire.Request{Type: 9, ID: 7}},
		"nulls":                 {of(3, `"jobId":null,"tags":null,"startTime":null,"fields":null,"job":null,"outputType":null,"nodes":null`), wire.Request{Type: 3, ID: 7}},
		"output 0":              {of(6, `"outputType":0`), wire.Request{Type: 6, ID: 7, OutputType: wire.Stdout}},
		"output 1":              {of(6, `"outputType":1`), wire.Request{Type: 6, ID: 7, OutputType: wire.Stderr}},
		"output 2":              {of(6, `"outputType":2`), wire.Request{Type: 6, ID: 7, OutputType: wire.Both}},
		"output stdout":         {of(6, `"outputType":"stdout"`), wire.Request{Type: 6, ID: 7, OutputType: wire.Stdout}},
		"output STDERR":         {of(6, `"outputType":"STDERR"`), wire.Request{Type: 6, ID: 7, OutputType: wire.Stderr}},
		"output mixed":          {of(6, `"outputType":"mixed"`), wire.Request{Type: 6, ID: 7, OutputType: wire.Both}},
		"output both":           {of(6, `"outputType":"both"`), wire.Request{Type: 6, ID: 7, OutputType: wire.Both}},
		"output empty":          {of(6, `"outputType":""`), wire.Request{Type: 6, ID: 7, OutputType: wire.Both}},
		"output as a text":      {of(6, `"outputType":"1"`), wire.Request{Type: 6, ID: 7, OutputType: wire.Stderr}},
		"a time in UTC":         {of(3, `"startTime":"2026-01-02T15:04:05Z"`), wire.Request{Type: 3, ID: 7, StartTime: at("2026-01-02T15:04:05Z")}},
		"a time without zone":   {of(3, `"startTime":"2026-01-02T15:04:05"`), wire.Request{Type: 3, ID: 7, StartTime: at("2026-01-02T15:04:05Z")}},
		"a time with zone":      {of(3, `"endTime":"2026-01-02T15:04:05+02:00"`), wire.Request{Type: 3, ID: 7, EndTime: at("2026-01-02T13:04:05Z")}},
		"a time with fraction":  {of(3, `"endTime":"2026-01-02T15:04:05.123456Z"`), wire.Request{Type: 3, ID: 7, EndTime: at("2026-01-02T15:04:05.123456Z")}},
		"a fraction, no zone":   {of(3, `"endTime":"2026-01-02T15:04:05.5"`), wire.Request{Type: 3, ID: 7, EndTime: at("2026-01-02T15:04:05.5Z")}},
		"a time with a space":   {of(3, `"endTime":"2026-01-02 15:04:05"`), wire.Request{Type: 3, ID: 7, EndTime: at("2026-01-02T15:04:05Z")}},
		"an empty time":         {of(3, `"endTime":""`), wire.Request{Type: 3, ID: 7, EndTime: &wire.Time{}}},
		"limits by type":        {of(2, `"job":{"resourceLimits":[{"type":"memory","value":"512"}]}`), job(wire.Job{ResourceLimits: []wire.Limit{{Type: "memory", Value: "512"}}})},
		"limits by limitType":   {of(2, `"job":{"resourceLimits":[{"limitType":"memory","value":512,"maxValue":1.5}]}`), job(wire.Job{ResourceLimits: []wire.Limit{{Type: "memory", Value: "512", MaxValue: "1.5"}}})},
		"a mount's source":      {of(2, `"job":{"mounts":[{"mountPath":"/m","readOnly":true,"mountSource":{"type":"nfs","source":{"host":"h"}}}]}`), job(wire.Job{Mounts: []wire.Mount{{MountPath: "/m", ReadOnly: true, MountSource: wire.MountSource{Type: "nfs", Source: json.RawMessage(`{"host":"h"}`)}}}})},
		"a source beside it":    {of(2, `"job":{"mounts":[{"mountPath":"/m","type":"host","source":{"path":"/p"}}]}`), job(wire.Job{Mounts: []wire.Mount{{MountPath: "/m", MountSource: wire.MountSource{Type: "host", Source: json.RawMessage(`{"path":"/p"}`)}}}})},
		"a mount from nowhere":  {of(2, `"job":{"mounts":[{"mountPath":"/m","mountSource":{"type":"passthrough","source":null}}]}`), job(wire.Job{Mounts: []wire.Mount{{MountPath: "/m", MountSource: wire.MountSource{Type: "passthrough"}}}})},
		"numbers for texts":     {of(2, `"job":{"environment":[{"name":"A","value":1},{"name":"B","value":true},{"name":"C","value":null}],"config":[{"name":"c","value":2.5}],"placementConstraints":[{"name":"p","value":3}]}`), job(wire.Job{Environment: []wire.Env{{Name: "A", Value: "1"}, {Name: "B", Value: "true"}, {Name: "C"}}, Config: []wire.Setting{{Name: "c", Value: "2.5"}}, PlacementConstraints: []wire.Constraint{{Name: "p", Value: "3"}}})},
		"a node's port":         {of(201, `"nodes":[{"port":5559,"lastSeen":"2026-01-02T15:04:05"}]`), wire.Request{Type: 201, ID: 7, Nodes: []wire.Node{{Port: "5559", LastSeen: at("2026-01-02T15:04:05Z")}}}},
		"metadata as it is":     {of(2, `"job":{"metadata":{"pod":{"a":[1,2]}}}`), job(wire.Job{Metadata: json.RawMessage(`{"pod":{"a":[1,2]}}`)})},
		"no metadata":           {of(2, `"job":{"metadata":null}`), job(wire.Job{})},
		"a container":           {of(2, `"job":{"container":{"image":"i","runAsUserId":0,"supplementalGroupIds":[1]},"exposedPorts":[{"targetPort":8787,"publishedPort":0}]}`), job(wire.Job{Container: &wire.Container{Image: "i", RunAsUserID: new(int), SupplementalGroupIDs: []int{1}}, ExposedPorts: []wire.Port{{TargetPort: 8787, PublishedPort: new(int)}}})},
		"commas in a text":      {of(2, `"job":{"stdin":"\"`+strings.Repeat(`,\"{[`, 7_000)+`"}`), job(wire.Job{Stdin: `"` + strings.Repeat(`,"{[`, 7_000)})},
		"as many values as may": {of(3, `"tags":[`+strings.Repeat(`"",`, 5_990)+`""]`), wire.Request{Type: 3, ID: 7, Tags: make([]string, 5_991)}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := wire.Decode([]byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func job(j wire.Job) wire.Request { return wire.Request{Type: 2, ID: 7, Job: &j} }

func TestDecodeRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		in    string
		known bool
		says  string
	}{
		"nothing":                  {"", false, "unexpected end"},
		"no JSON":                  {"hello", false, "invalid character"},
		"half of it":               {`{"messageType":9,"requestId":7`, false, "unexpected end"},
		"a list":                   {"[]", false, "want"},
		"null":                     {"null", false, "messageType and requestId"},
		"no number":                {`{"messageType":9}`, false, "messageType and requestId"},
		"no type":                  {`{"requestId":7}`, false, "messageType and requestId"},
		"a null type":              {`{"messageType":null,"requestId":7}`, false, "messageType and requestId"},
		"a text for a type":        {`{"messageType":"9","requestId":7}`, false, "messageType"},
		"a negative number":        {`{"messageType":9,"requestId":-7}`, false, "requestId"},
		"a broken number":          {`{"messageType":9,"requestId":7.5}`, false, "requestId"},
		"a list for a job's ID":    {of(3, `"jobId":[]`), true, "jobId: want string, not array"},
		"a text for tags":          {of(3, `"tags":"a"`), true, "tags"},
		"an output type":           {of(6, `"outputType":3`), true, "outputType"},
		"an output type in a list": {of(6, `"outputType":[0]`), true, "want a text"},
		"a time":                   {of(3, `"startTime":"yesterday"`), true, "yesterday"},
		"a time as a number":       {of(3, `"startTime":1}`), false, ""},
		"a time past all years":    {of(3, `"startTime":"9999-12-31T23:59:59-01:00"`), true, "9999"},
		"an object for a value":    {of(2, `"job":{"environment":[{"name":"A","value":{}}]}`), true, "want a text"},
		"a port out of bounds":     {of(2, `"job":{"exposedPorts":[{"targetPort":99999999999999999999}]}`), true, "targetPort"},
		"too many values":          {of(3, `"tags":[`+strings.Repeat(`"",`, 6_000)+`""]`), true, "at most 6000"},
		// The number comes after what is not understood, as in JSON with sorted keys.
		"a limit, and then the number": {`{"job":{"resourceLimits":[{"type":{}}]},"messageType":2,"requestId":7}`, true, "type"},
		"a mount, and then the number": {`{"job":{"mounts":[{"mountPath":5}]},"messageType":2,"requestId":7}`, true, "mountPath"},
		"a time, and then the number":  {`{"endTime":"?","messageType":2,"requestId":7}`, true, "time"},
		"values, and then the number":  {`{"tags":[` + strings.Repeat(`"",`, 6_000) + `""],"messageType":2,"requestId":7}`, true, "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := wire.Decode([]byte(c.in))
			e, ok := errors.AsType[*wire.DecodeError](err)
			if !ok {
				t.Fatalf("%+v, %v; want a DecodeError", got, err)
			}
			if e.Known != c.known || c.known && e.ID != 7 {
				t.Errorf("known %v, request %d of type %d; want known %v", e.Known, e.ID, e.Type, c.known)
			}
			if !strings.Contains(e.Error(), c.says) || errors.Unwrap(e) == nil {
				t.Errorf("it says %q; want %q in it", e, c.says)
			}
		})
	}
}

// What is wrong is said without what was sent: it may be a secret.
func TestDecodeKeepsSecrets(t *testing.T) {
	for _, in := range []string{
		of(2, `"job":{"stdin":["hunter2"]}`),
		of(2, `"job":{"name":12345678,"environment":[{"name":"PASSWORD","value":["hunter2"]}]}`),
		of(2, `"job":{"stdin":"hunter2" oops}`),
		of(2, `"job":{"exposedPorts":[{"targetPort":12345678901234567890}]}`),
	} {
		if _, err := wire.Decode([]byte(in)); err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "12345678") {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// A frame keeps nothing that a request needs.
func TestDecodeCopies(t *testing.T) {
	text := []byte(of(2, `"job":{"name":"mine","metadata":{"a":"b"},"mounts":[{"type":"host","source":{"path":"/p"}}]}`))
	got, err := wire.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		text[i] = 'x'
	}
	if got.Job.Name != "mine" || string(got.Job.Metadata) != `{"a":"b"}` || string(got.Job.Mounts[0].MountSource.Source) != `{"path":"/p"}` {
		t.Errorf("with another frame in its place it is %+v", got.Job)
	}
}

// lists are the requests in which a list of objects, of texts or of numbers goes on
// and on; %s is where.
var lists = func() map[string]string {
	all := map[string]string{"tags": of(3, `"tags":[%s]`), "statuses": of(3, `"statuses":[%s]`), "fields": of(3, `"fields":[%s]`), "nodes": of(201, `"nodes":[%s]`), "unknown": of(9, `"future":[%s]`)}
	for field := range strings.FieldsSeq("queues args environment placementConstraints exposedPorts mounts config resourceLimits tags initContainers metadata") {
		all["job."+field] = of(2, `"job":{"`+field+`":[%s]}`)
	}
	all["job.container.supplementalGroupIds"] = of(2, `"job":{"container":{"image":"i","supplementalGroupIds":[%s]}}`)
	all["job.initContainers.mounts"] = of(2, `"job":{"initContainers":[{"mounts":[%s]}]}`)
	return all
}()

// Decoding takes no more than a frame may have, whatever is in it: small values that
// become large ones are counted first.
func TestDecodeMemory(t *testing.T) {
	for _, value := range []string{"{}", `""`, "0", "null", "[]"} {
		for name, form := range lists {
			for _, n := range []int{5_980, 500_000} {
				if n > 6_000 && (value != "{}" || name != "job.mounts") {
					continue // what is counted is not looked at
				}
				text := []byte(fmt.Sprintf(form, strings.Repeat(value+",", n-1)+value))
				took := allocated(func() { _, _ = wire.Decode(text) })
				if took > wire.DefaultLimit {
					t.Errorf("%d times %s in %s: %d bytes; want at most %d", n, value, name, took, wire.DefaultLimit)
				}
			}
		}
	}
}

func TestOperation(t *testing.T) {
	for o, want := range map[wire.Operation]string{0: "suspend", 1: "resume", 2: "stop", 3: "kill", 4: "cancel", 5: "operation 5", -1: "operation -1"} {
		if o.String() != want {
			t.Errorf("%d is %q; want %q", int(o), o, want)
		}
	}
}
