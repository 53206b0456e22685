package positlauncher_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/atelier-go/atelier/fake"
	"github.com/atelier-go/atelier/session"
	"github.com/atelier-go/atelier/workbench/positlauncher"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// A job is told to be at an address once all of its ports take connections there.
func TestNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := serve(t, world(t, fake.Config{}), positlauncher.Config{MetricsInterval: -1})
		two := []wire.Port{{TargetPort: 8787}, {TargetPort: 9999}}
		one := l.submit(wire.Job{Exe: "serve", Args: []string{"8787"}, Stdin: "x\n", ExposedPorts: two[:1]})
		l.await(one, wire.Running)
		if m := l.ask(wire.JobNetworkRequest, map[string]any{"jobId": one}); m["host"] == "" || len(m["ipAddresses"].([]any)) != 1 {
			t.Errorf("it is at %v", m)
		}
		half := l.submit(wire.Job{Exe: "serve", Args: []string{"8787"}, Stdin: "x\n", ExposedPorts: two})
		l.await(half, wire.Running)
		m := l.ask(wire.JobNetworkRequest, map[string]any{"jobId": half})
		if m["errorCode"] != float64(wire.JobNotRunning) || !strings.Contains(m["errorMessage"].(string), "9999") {
			t.Errorf("with a port that nothing listens at: %v", m)
		}
		none := l.submit(wire.Job{Exe: "wait"})
		job := l.await(none, wire.Running)
		if m := l.ask(wire.JobNetworkRequest, map[string]any{"jobId": none}); m["host"] != job["host"] || len(m["ipAddresses"].([]any)) != 0 {
			t.Errorf("without ports it is at %v", m)
		}
	})
}

// A job that was submitted through a plugin of another cluster is none of this one's.
func TestClusters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world(t, fake.Config{})
		l, other := serve(t, w, positlauncher.Config{MetricsInterval: -1}), serve(t, w, positlauncher.Config{Cluster: "GPU", MetricsInterval: -1})
		id := l.submit(wire.Job{Exe: "wait"})
		if m := other.ask(wire.JobStateRequest, map[string]any{"jobId": id}); m["errorCode"] != float64(wire.JobNotFound) {
			t.Errorf("asked for it, the other cluster says %v", m)
		}
		if m := other.ask(wire.JobStateRequest, map[string]any{"jobId": "*", "username": "*"}); len(m["jobs"].([]any)) != 0 {
			t.Errorf("the other cluster has %v", m)
		}
		// Nor is a session that nobody submitted.
		if _, err := w.Sessions.Start(t.Context(), session.StartRequest{ID: "portal", User: "alice", InstanceType: "t3.small"}); err != nil {
			t.Fatal(err)
		}
		if m := l.ask(wire.JobStateRequest, map[string]any{"jobId": "portal"}); m["errorCode"] != float64(wire.JobNotFound) {
			t.Errorf("a session of the portal's is %v", m)
		}
	})
}

// A stream is opened once, and a second one by the same request does not take its
// place.
func TestStreamTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := serve(t, world(t, fake.Config{}), positlauncher.Config{MetricsInterval: -1})
		l.ask(wire.ClusterInfoRequest, nil) // it serves
		first := l.send(wire.JobStatusRequest, map[string]any{"jobId": "*"})
		m := l.ask(wire.JobStatusRequest, map[string]any{"jobId": "*", "requestId": first})
		if m["errorCode"] != float64(wire.InvalidRequest) {
			t.Errorf("the second is %v", m)
		}
		id := l.send(wire.SubmitJobRequest, map[string]any{"job": wire.Job{Exe: "wait"}})
		if m := l.receive(); m["requestId"] != float64(id) {
			t.Errorf("%v comes before the answer to the submission", m)
		}
		if m := l.receive(); fmt.Sprint(m["sequences"]) != fmt.Sprintf("[map[requestId:%d seqId:1]]", first) {
			t.Errorf("the first is told %v", m)
		}
	})
}
