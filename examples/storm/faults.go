package main

import (
	"net/http"
	"time"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

const (
	// struck is the share of a fleet's calls that fail, crashed the share at
	// which its process dies: half of these before the call took effect.
	struck, crashed = 0.20, 0.02
	// stillborn is the share of hosts whose engine never answers.
	stillborn = 0.03
	// restartAfter is how long it takes until a process that died has a
	// successor, as a supervisor of programs does it.
	restartAfter = 5 * time.Second
	// retryAfter is when a portal repeats a call that its process was lost in.
	retryAfter = time.Second
)

// disturb makes an account's day a bad one: calls fail, the zone that is tried
// first is sold out, and some hosts never come up.
func disturb(account *fakeaws.Config) {
	account.Faults = faults()
	account.SoldOut = []fakeaws.Shortage{{Type: "*", Zone: region + "a"}}
	account.Stillborn = stillborn
}

// faults are the failures of what a fleet calls: those that pass, of the section
// "Server error codes" of "Error codes for the Amazon EC2 API"
// (https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-errors.html), of Systems
// Manager those of GetParameter and of all its actions, and answers that are lost.
// Each is as likely as the others of its action. The statuses beside 500 and 503
// that go with a code are assumptions.
func faults() (all []fakeaws.Fault) {
	ec2 := []fakeaws.Fault{
		{Status: http.StatusServiceUnavailable, Code: "RequestLimitExceeded"},
		{Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable"},
		{Status: http.StatusServiceUnavailable, Code: "Unavailable"},
		{Status: http.StatusInternalServerError, Code: "InternalError"},
		{Status: http.StatusInternalServerError, Code: "InternalFailure"},
		{Status: http.StatusInternalServerError, Code: "InternalError", After: true},
		{Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable", After: true},
	}
	purchase := append([]fakeaws.Fault{
		{Status: http.StatusInternalServerError, Code: "InsufficientInstanceCapacity"},
		{Status: http.StatusInternalServerError, Code: "InsufficientVolumeCapacity"},
	}, ec2...)
	ssm := []fakeaws.Fault{
		{Status: http.StatusBadRequest, Code: "ThrottlingException"},
		{Status: http.StatusInternalServerError, Code: "InternalServerError"},
		{Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable"},
		{Status: http.StatusInternalServerError, Code: "InternalServerError", After: true},
	}
	for _, of := range []struct {
		action string
		ways   []fakeaws.Fault
	}{{"ec2:RunInstances", purchase}, {"ec2:TerminateInstances", ec2}, {"ec2:Describe*", ec2}, {"ssm:Get*", ssm}} {
		all = append(all, spread(of.action, of.ways)...)
	}
	return all
}

// spread lets an action fail in each of some ways as often as in the others. A
// fault strikes only what those before it have left, which its rate makes up for.
func spread(action string, ways []fakeaws.Fault) (all []fakeaws.Fault) {
	left := 1.0
	add := func(f fakeaws.Fault, share float64) {
		f.Action, f.Rate = action, share/left
		left -= share
		all = append(all, f)
	}
	add(fakeaws.Fault{Crash: true}, crashed/2)
	add(fakeaws.Fault{Crash: true, After: true}, crashed/2)
	for _, f := range ways {
		add(f, struck/float64(len(ways)))
	}
	return all
}
