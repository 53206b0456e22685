package fakeaws

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// event is what EventBridge delivers
// (https://docs.aws.amazon.com/eventbridge/latest/ref/events-structure.html).
type event struct {
	Version    string      `json:"version"`
	ID         string      `json:"id"`
	DetailType string      `json:"detail-type"`
	Source     string      `json:"source"`
	Account    string      `json:"account"`
	Time       string      `json:"time"`
	Region     string      `json:"region"`
	Resources  []string    `json:"resources"`
	Detail     eventDetail `json:"detail"`

	at time.Time
}

// eventDetail is what the events of EC2 tell that are modelled.
type eventDetail struct {
	Instance string                  `json:"instance-id"`
	Action   string                  `json:"instance-action,omitempty"`
	State    types.InstanceStateName `json:"state,omitempty"`
}

// Events returns what EC2 has told Amazon EventBridge of the account's instances so
// far, oldest first, each as the JSON document that a target gets: their changes of
// state, recommendations to rebalance and notices of interruption. Events of one
// instant are in no particular order, but that each instance's are in theirs. An
// event has the same id in every run and however often it is asked for.
//
// EventBridge delivers on a best effort basis, late, twice or never. That is not
// modelled: it is for who passes them on.
func (c *Cloud) Events() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	var all []event
	for _, i := range c.ec2.instances {
		for _, e := range c.eventsOf(i) {
			if !e.at.After(now) {
				all = append(all, e)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b event) int { return a.at.Compare(b.at) })
	var documents [][]byte
	for _, e := range all {
		document, err := json.Marshal(e)
		if err != nil {
			panic(err) // it has texts only
		}
		documents = append(documents, document)
	}
	return documents
}

// eventsOf returns the events of an instance, also those to come, in their order.
//
// The resource of a notice of interruption is no ARN like others': it has the zone
// in the place of the region, and no account
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html).
func (c *Cloud) eventsOf(i *instance) (all []event) {
	tell := func(at time.Time, kind string, nth int, detail eventDetail) {
		detail.Instance = i.id
		e := event{
			Version: "0", ID: requestIDOf(c.hash("event", i.id, kind, nth, detail.State)), DetailType: kind, Source: "aws.ec2",
			Account: c.account, Time: at.UTC().Format("2006-01-02T15:04:05Z"), Region: c.region,
			Resources: []string{"arn:aws:ec2:" + c.region + ":" + c.account + ":instance/" + i.id}, Detail: detail, at: at,
		}
		if detail.Action != "" {
			e.Resources = []string{"arn:aws:ec2:" + i.zone + ":instance/" + i.id}
		}
		all = append(all, e)
	}
	// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitoring-instance-state-changes.html
	changed := func(at time.Time, state types.InstanceStateName) {
		tell(at, "EC2 Instance State-change Notification", 1, eventDetail{State: state})
	}
	changed(i.launched, types.InstanceStateNamePending)
	if i.ended.IsZero() || i.running.Before(i.ended) {
		changed(i.running, types.InstanceStateNameRunning)
	}
	if i.spot != nil {
		for n, at := range i.spot.recommended {
			tell(at, "EC2 Instance Rebalance Recommendation", n+1, eventDetail{})
		}
		if at := i.spot.noticed; !at.IsZero() {
			tell(at, "EC2 Spot Instance Interruption Warning", 1, eventDetail{Action: "terminate"})
		}
	}
	if !i.ended.IsZero() {
		changed(i.ended, types.InstanceStateNameShuttingDown)
		changed(i.gone, types.InstanceStateNameTerminated)
	}
	return all
}
