package wire_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

var update = flag.Bool("update", false, "write golden files")

// golden compares text with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got)\n%s", path, diff)
	}
}

func head(kind wire.ResponseType) wire.Header {
	return wire.Header{Type: kind, RequestID: 7, ResponseID: 4}
}

// wholeJob has every field.
func wholeJob() wire.Job {
	when := wire.At(time.Date(2026, 1, 2, 17, 4, 5, 123456789, time.FixedZone("", 2*60*60)))
	return wire.Job{
		ID: "j-1", Cluster: "EC2", Name: "name", User: "alice", Group: "staff", Queues: []string{"q"}, WorkingDirectory: "/home/alice",
		Container:      &wire.Container{Image: "i:1", RunAsUserID: new(0), RunAsGroupID: new(100), SupplementalGroupIDs: []int{1}, CapabilitiesAdd: []string{"A"}, CapabilitiesDrop: []string{"B"}},
		InitContainers: []wire.InitContainer{{Name: "init", Image: "i:2", Command: "c", Exe: "e", Args: []string{"a"}, Mounts: []wire.Mount{{MountPath: "/m"}}, Environment: []wire.Env{{Name: "A", Value: "1"}}}},
		Host:           "ip-10-0-0-1", Status: wire.Finished, StatusMessage: "done", StatusCode: "Done", PID: new(1), ExitCode: new(0),
		Command: "run", Exe: "/bin/run", StdoutFile: "out", StderrFile: "err", Stdin: "in", Args: []string{"a b", ""},
		Environment: []wire.Env{{Name: "A", Value: "<&>"}}, PlacementConstraints: []wire.Constraint{{Name: "zone", Value: "a", DefaultValue: "b"}},
		LastUpdateTime: when, SubmissionTime: when,
		ExposedPorts: []wire.Port{{TargetPort: 8787, PublishedPort: new(30000), Protocol: "TCP"}, {TargetPort: 1}},
		Mounts:       []wire.Mount{{MountPath: "/home/alice", Name: "home", ReadOnly: true, MountSource: wire.MountSource{Type: wire.NFSMount, Source: json.RawMessage(`{"host":"fs","path":"/alice"}`)}}},
		Config:       []wire.Setting{{Name: "c", ValueType: "string", Value: "v"}}, ResourceLimits: []wire.Limit{{Type: wire.CPUCount, Value: "2", DefaultValue: "1", MaxValue: "4"}},
		Tags: []string{"t"}, Metadata: json.RawMessage(`{"pod":{}}`), ResourceProfile: wire.CustomProfile, InstanceID: "instance",
	}
}

// messages are every response, with all and with nothing in it.
var messages = map[string]any{
	"error":         wire.Errorf(wire.JobNotFound, "job %q is not found", "j-1"),
	"heartbeat":     &wire.Header{},
	"bootstrap":     &wire.Bootstrap{Header: head(wire.BootstrapResponse), Version: wire.API},
	"jobstate":      &wire.JobState{Header: head(wire.JobStateResponse), Jobs: []wire.Job{wholeJob(), {ID: "j-2"}}},
	"jobstate-none": &wire.JobState{Header: head(wire.JobStateResponse)},
	"jobstatus": &wire.JobStatus{Header: head(wire.JobStatusResponse), Sequences: []wire.Sequence{{RequestID: 7, SequenceID: 1}, {RequestID: 8, SequenceID: 2}},
		ID: "j-1", Name: "name", Status: wire.Pending, StatusCode: "Booting", StatusMessage: "a host boots"},
	"jobstatus-none":  &wire.JobStatus{Header: head(wire.JobStatusResponse)},
	"controljob":      &wire.ControlJob{Header: head(wire.ControlJobResponse), StatusMessage: "stopping", OperationComplete: true},
	"controljob-none": &wire.ControlJob{Header: head(wire.ControlJobResponse)},
	"joboutput":       &wire.JobOutput{Header: head(wire.JobOutputResponse), SequenceID: 1, Output: "h\u00e9llo <\u2028>\n", OutputType: wire.Stderr},
	"joboutput-none":  &wire.JobOutput{Header: head(wire.JobOutputResponse), Complete: true},
	"resourceutil": &wire.ResourceUtil{Header: head(wire.ResourceUtilResponse), Sequences: []wire.Sequence{{RequestID: 7, SequenceID: 1}},
		CPUPercent: 12.5, CPUTime: 3, VirtualMemory: 1024, ResidentMemory: 512.25},
	"resourceutil-none": &wire.ResourceUtil{Header: head(wire.ResourceUtilResponse), Complete: true},
	"jobnetwork":        &wire.JobNetwork{Header: head(wire.JobNetworkResponse), Host: "ip-10-0-0-1.ec2.internal", IPAddresses: []string{"10.0.0.1"}},
	"jobnetwork-none":   &wire.JobNetwork{Header: head(wire.JobNetworkResponse)},
	"clusterinfo": &wire.ClusterInfo{Header: head(wire.ClusterInfoResponse), SupportsContainers: true, SupportsInitContainers: true,
		Config: []wire.Setting{{Name: "c", ValueType: "string"}}, PlacementConstraints: []wire.Constraint{{Name: "zone", Value: "a"}},
		Queues: []string{"q"}, DefaultQueue: "q", ResourceLimits: []wire.Limit{{Type: wire.Memory, DefaultValue: "512", MaxValue: "1024"}},
		Images: []string{"i:1"}, DefaultImage: "i:1", AllowUnknownImages: true,
		ResourceProfiles:         []wire.Profile{{Name: "r5.large", DisplayName: "2 vCPU", Limits: []wire.Limit{{Type: wire.CPUCount, Value: "2"}}, Queue: "q", PlacementConstraints: []wire.Constraint{{Name: "zone"}}}, {Name: wire.CustomProfile}},
		ContainersUseHostNetwork: true},
	"clusterinfo-none":  &wire.ClusterInfo{Header: head(wire.ClusterInfoResponse)},
	"setnodes":          &wire.Header{Type: wire.SetNodesResponse, RequestID: 7, ResponseID: 4},
	"configreload":      &wire.ConfigReload{Header: head(wire.ConfigReloadResponse), ErrorType: wire.ReloadUnknown, ErrorMessage: "why"},
	"configreload-none": &wire.ConfigReload{Header: head(wire.ConfigReloadResponse)},
	"metrics":           &wire.Metrics{Header: wire.Header{Type: wire.MetricsResponse}, UptimeSeconds: 60, MemoryUsageBytes: 1 << 20, Latency: &wire.Histogram{Buckets: [10]float64{1, 2}, Sum: 0.5}},
	"metrics-none":      &wire.Metrics{Header: wire.Header{Type: wire.MetricsResponse}},
}

func TestResponses(t *testing.T) {
	for name, message := range messages {
		t.Run(name, func(t *testing.T) {
			text, err := wire.Encode(message, 0)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(text, []byte("null")) {
				t.Errorf("there is a null in %s", text[4:])
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, text[4:], "", "  "); err != nil {
				t.Fatal(err)
			}
			pretty.WriteByte('\n')
			golden(t, name+".json", pretty.Bytes())
			// A value is written as what points to it.
			if direct, err := wire.Encode(value(message), 0); err != nil || !bytes.Equal(direct, text) {
				t.Errorf("as a value it is %s, %v", direct[4:], err)
			}
		})
	}
}

// A job that comes back is the one that went.
func TestJobRoundTrip(t *testing.T) {
	want := wholeJob()
	text, err := json.Marshal(map[string]any{"messageType": 2, "requestId": 7, "job": want})
	if err != nil {
		t.Fatal(err)
	}
	got, err := wire.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	want.SubmissionTime, want.LastUpdateTime = at("2026-01-02T15:04:05Z"), at("2026-01-02T15:04:05Z")
	if diff := cmp.Diff(&want, got.Job); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestOnly(t *testing.T) {
	whole := wholeJob()
	for name, c := range map[string]struct {
		fields []string
		want   wire.Job
	}{
		"all":                 {nil, whole},
		"the ID is always":    {[]string{"status"}, wire.Job{ID: whole.ID, Status: whole.Status}},
		"several":             {[]string{"name", "id", "exitCode", "tags"}, wire.Job{ID: whole.ID, Name: whole.Name, ExitCode: whole.ExitCode, Tags: whole.Tags}},
		"the environment":     {[]string{"environment"}, wire.Job{ID: whole.ID, Environment: whole.Environment}},
		"as the SDK calls it": {[]string{"env"}, wire.Job{ID: whole.ID, Environment: whole.Environment}},
		"what there is not":   {[]string{"future", "Status", ""}, wire.Job{ID: whole.ID}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, whole.Only(c.fields)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	// Every field of its JSON can be had by its name, alone.
	text, _ := json.Marshal(whole)
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	for name := range fields {
		var got map[string]any
		text, _ := json.Marshal(whole.Only([]string{name}))
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"id": fields["id"], name: fields[name]}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func TestFinal(t *testing.T) {
	for s, want := range map[wire.Status]bool{
		wire.Pending: false, wire.Running: false, wire.Suspended: false, "": false,
		wire.Finished: true, wire.Failed: true, wire.Killed: true, wire.Canceled: true,
	} {
		if s.Final() != want {
			t.Errorf("%q is final: %v; want %v", s, s.Final(), want)
		}
	}
}

func TestAt(t *testing.T) {
	if wire.At(time.Time{}) != nil {
		t.Error("no time is one")
	}
	now := time.Now()
	if got := wire.At(now); !got.Equal(now) {
		t.Errorf("%v is %v", now, got)
	}
}

func TestErrorSays(t *testing.T) {
	e := wire.Errorf(wire.JobNotRunning, "job %s waits", "j")
	if e.Head().Type != wire.ErrorResponse || !strings.Contains(e.Error(), "job j waits") || !strings.Contains(e.Error(), "6") {
		t.Errorf("%+v says %q", e, e)
	}
}
