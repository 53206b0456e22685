package positlauncher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// heads reads what was written, as types with response numbers.
func heads(t *testing.T, r io.Reader) []string {
	t.Helper()
	var all []string
	for frames := wire.NewReader(r, 1<<20); ; {
		frame, err := frames.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		var h wire.Header
		if err := errors.Join(err, json.Unmarshal(frame, &h)); err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%d:%d", h.Type, h.ResponseID))
	}
}

// Heartbeats go before answers, answers before statuses and these before output,
// whatever came first; and only what answers is counted. What was dropped does not come.
func TestOutboxOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		statuses := []message{&wire.JobStatus{Header: wire.Header{Type: wire.JobStatusResponse}}}
		o := newOutbox(1<<20, func() message {
			if len(statuses) == 0 {
				return nil
			}
			m := statuses[0]
			statuses = statuses[1:]
			return m
		})
		if err := o.stream(t.Context(), 5, &wire.JobOutput{Header: wire.Header{Type: wire.JobOutputResponse}}); err != nil {
			t.Fatal(err)
		}
		if err := o.stream(t.Context(), 6, &wire.ResourceUtil{Header: wire.Header{Type: wire.ResourceUtilResponse}}); err != nil {
			t.Fatal(err)
		}
		o.drop(6)
		o.post(&wire.ClusterInfo{Header: wire.Header{Type: wire.ClusterInfoResponse}})
		o.post(&wire.Metrics{Header: wire.Header{Type: wire.MetricsResponse}})
		o.post(wire.Errorf(wire.Unknown, "no"))
		o.beat()
		var b bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		go func() { synctest.Wait(); cancel() }()
		if err := o.run(ctx, &b); err != nil {
			t.Fatal(err)
		}
		same(t, heads(t, &b), []string{"0:0", "8:0", "203:0", "-1:1", "3:2", "5:3"})
	})
}

// A message that is too large is an error in its place.
func TestOutboxLimit(t *testing.T) {
	o := newOutbox(400, nil)
	frame, err := o.encode(&wire.JobState{Header: wire.Header{Type: wire.JobStateResponse, RequestID: 5, ResponseID: 6}, Jobs: []wire.Job{{Name: strings.Repeat("x", 500)}}})
	if err != nil {
		t.Fatal(err)
	}
	var e wire.Error
	if err := json.Unmarshal(frame[4:], &e); err != nil {
		t.Fatal(err)
	}
	if e.Type != wire.ErrorResponse || e.RequestID != 5 || e.ResponseID != 6 || !strings.Contains(e.Message, "fewer") {
		t.Errorf("%+v", e)
	}
}

// Who streams waits for who reads, and no longer than its context.
func TestOutboxStreams(t *testing.T) {
	o := newOutbox(1<<20, nil)
	for range maxStreamed {
		if err := o.stream(t.Context(), 1, &wire.JobOutput{}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.stream(ctx, 1, &wire.JobOutput{}); !errors.Is(err, context.Canceled) {
		t.Errorf("one more: %v", err)
	}
}
