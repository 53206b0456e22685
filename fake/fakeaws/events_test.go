package fakeaws_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// story tells events in short: after how long, of which instance, what.
func story(t *testing.T, documents [][]byte, begun time.Time, names map[string]string) (told []string) {
	t.Helper()
	for _, document := range documents {
		var e struct {
			Time   time.Time
			Type   string `json:"detail-type"`
			Detail map[string]string
		}
		if err := json.Unmarshal(document, &e); err != nil {
			t.Fatal(err)
		}
		what := map[string]string{
			"EC2 Instance State-change Notification": e.Detail["state"], "EC2 Spot Instance Interruption Warning": "warning to " + e.Detail["instance-action"],
			"EC2 Instance Rebalance Recommendation": "recommendation",
		}[e.Type]
		told = append(told, fmt.Sprint(e.Time.Sub(begun), " ", names[e.Detail["instance-id"]], " ", what))
	}
	return told
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Delays: fakeaws.Delays{InstanceRunning: 20 * time.Second, InstanceGone: 30 * time.Second, Visible: 5 * time.Second}})
		begun := time.Now()
		if n := len(a.Events()); n != 0 {
			t.Errorf("%d events of nothing", n)
		}
		spot := a.buySpot(t, "spot", 1)[0]
		time.Sleep(time.Second)
		out, err := a.ec2.RunInstances(t.Context(), a.launch("on demand"))
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]string{spot: "spot", ids(out)[0]: "other"}
		time.Sleep(9 * time.Second)
		a.terminate(t, ids(out)[0]) // before it runs
		time.Sleep(50 * time.Second)
		if err := errors.Join(a.Recommend(spot), a.Interrupt(spot)); err != nil {
			t.Fatal(err)
		}
		noticed := a.Events()
		time.Sleep(time.Minute)
		if err := errors.Join(a.Recommend(spot), a.Interrupt(spot)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		want := []string{
			"0s spot pending", "1s other pending", "10s other shutting-down", "20s spot running", "40s other terminated",
			"1m0s spot recommendation", "1m0s spot warning to terminate", "2m0s spot recommendation", "3m0s spot shutting-down",
		}
		if diff := cmp.Diff(want[:7], story(t, noticed, begun, names)); diff != "" {
			t.Errorf("at the notice (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, story(t, a.Events(), begun, names)); diff != "" {
			t.Errorf("when it was taken back (-want +got):\n%s", diff)
		}
		time.Sleep(30 * time.Second)
		later := a.Events()
		if diff := cmp.Diff(append(want, "3m30s spot terminated"), story(t, later, begun, names)); diff != "" {
			t.Errorf("in the end (-want +got):\n%s", diff)
		}
		seen := map[string]bool{}
		for i, e := range later {
			seen[regexp.MustCompile(`"id":"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"`).FindString(string(e))] = true
			if i < len(noticed) && !slices.Equal(e, noticed[i]) {
				t.Errorf("%s was\n%s before", e, noticed[i])
			}
		}
		if len(seen) != len(later) || seen[""] {
			t.Errorf("%d events have %d ids", len(later), len(seen))
		}
	})
}

// TestEventsOfTheUser: what the user ends after the notice is not taken back.
func TestEventsOfTheUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{})
		begun := time.Now()
		spot := a.buySpot(t, "spot", 1)[0]
		if err := a.Interrupt(spot); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		a.terminate(t, spot)
		time.Sleep(time.Hour)
		want := []string{"0s s pending", "0s s running", "0s s warning to terminate", "1m0s s shutting-down", "1m0s s terminated"}
		if diff := cmp.Diff(want, story(t, a.Events(), begun, map[string]string{spot: "s"})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestEventDocuments: the documents are AWS's.
func TestEventDocuments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{})
		spot := a.buySpot(t, "spot", 1)[0]
		if err := errors.Join(a.Recommend(spot), a.Interrupt(spot)); err != nil {
			t.Fatal(err)
		}
		const head, tail = `{"version":"0","id":"ID","detail-type":"`, `","source":"aws.ec2","account":"123456789012","time":"2000-01-01T00:00:00Z","region":"us-east-1",`
		const usual = `"resources":["arn:aws:ec2:us-east-1:123456789012:instance/I"],`
		want := []string{
			head + "EC2 Instance State-change Notification" + tail + usual + `"detail":{"instance-id":"I","state":"pending"}}`,
			head + "EC2 Instance State-change Notification" + tail + usual + `"detail":{"instance-id":"I","state":"running"}}`,
			head + "EC2 Instance Rebalance Recommendation" + tail + usual + `"detail":{"instance-id":"I"}}`,
			head + "EC2 Spot Instance Interruption Warning" + tail + `"resources":["arn:aws:ec2:us-east-1a:instance/I"],"detail":{"instance-id":"I","instance-action":"terminate"}}`,
		}
		var got []string
		for _, e := range a.Events() {
			text := regexp.MustCompile(`"id":"[^"]+"`).ReplaceAllString(string(e), `"id":"ID"`)
			got = append(got, strings.ReplaceAll(text, spot, "I"))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
