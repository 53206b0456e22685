package fakeaws

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// A Fault is a failure to inject, as data. It strikes calls by what they are,
// not by when they come: whether a call is struck depends on the cloud's seed,
// the call's action, its subject and its number among its like, so that a run
// replays however goroutines are scheduled.
type Fault struct {
	// Action is the service and operation it strikes ("ec2:RunInstances"), in
	// the notation of IAM policies with * as a wildcard. Required, and matches
	// at least one action that is modelled.
	Action string
	// Subject strikes only calls that name this token or resource; see
	// [Call.Subject]. Empty strikes all.
	Subject string
	// Nth strikes only the n-th call of an action on a subject, from 1. Zero
	// strikes every one, or the share given by Rate.
	Nth int
	// Rate is the share of calls that are struck, above 0 to 1. Zero means all.
	Rate float64
	// Status and Code are the HTTP status and error code of the answer. Zero
	// values are 500 and InternalError.
	Status int
	Code   string
	// After lets the call take effect and loses the answer: what was asked is
	// done, but the caller gets the error.
	After bool
	// Crash ends the program at this call, see [Cloud.Crash]: before it took
	// effect or, with After, when it had.
	Crash bool
	// Reason lets the call succeed, and what it set going fail: the resource comes
	// to a failed state with this text as its FailureReason. It is for calls to
	// SageMaker that only begin something, such as CreateDomain, and goes with
	// no other member that says how to fail.
	Reason string
}

func (f Fault) validate() error {
	var problems []error
	if f.Action == "" {
		problems = append(problems, errors.New(`action is empty: want one such as "ec2:RunInstances" or "*"`))
	}
	if f.Nth < 0 {
		problems = append(problems, fmt.Errorf("nth is %d: want 1 for the first call, 0 for every", f.Nth))
	}
	if f.Rate < 0 || f.Rate > 1 {
		problems = append(problems, fmt.Errorf("rate is %v: want a share from 0 to 1", f.Rate))
	}
	if f.Status != 0 && (f.Status < 400 || f.Status > 599) {
		problems = append(problems, fmt.Errorf("status is %d: want an HTTP error, 400 to 599", f.Status))
	}
	if f.Reason != "" && (f.Status != 0 || f.Code != "" || f.After || f.Crash) {
		problems = append(problems, errors.New("a reason is of what fails later: want no status, code, after or crash beside it"))
	}
	return errors.Join(problems...)
}

// error is what the struck caller gets.
func (f Fault) error() error {
	status, code := f.Status, f.Code
	if status == 0 {
		status = http.StatusInternalServerError
	}
	if code == "" {
		code = "InternalError"
	}
	return refuse(status, code, "An injected fault.")
}

// strike returns the fault that strikes a call, or nil.
func (c *Cloud) strike(at call) *Fault {
	for i := range c.faults {
		f := &c.faults[i]
		if !c.faultActions[i].MatchString(at.Action) ||
			f.Subject != "" && f.Subject != at.Subject ||
			f.Nth != 0 && f.Nth != at.Nth ||
			f.Reason != "" && !slices.Contains(lateActions[:], at.Action) {
			continue
		}
		if f.Rate == 0 || share(c.hash("fault", at.Action, at.Subject, at.Nth, i)) < f.Rate {
			return f
		}
	}
	return nil
}

// Injected returns how many calls were struck by a [Fault] so far. A test
// proves by it that what it injects does happen.
func (c *Cloud) Injected() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.injected
}
