package domain

import (
	"fmt"
	"strings"
	"time"

	"github.com/atelier-go/atelier/efs"
)

// Progress is one step of Create, Onboard, CreateProject or Delete, or one look at what AWS
// has not finished yet.
type Progress struct {
	// Domain is the name of the domain.
	Domain string
	// User is the name of the user who is onboarded, if one is.
	User string
	// Step is what is being done: "security group", "file system",
	// "mount targets", "uid", "home", "project".
	Step string
	// Resource is the name or identifier of what is waited for, if known.
	Resource string
	// State is what Resource is in ("creating"), if known.
	State string
	// Waited is the time since the wait for Resource began.
	Waited time.Duration
}

// String formats p as "research/alice: mount targets: fsmt-0123 creating, 30s".
func (p Progress) String() string {
	s := p.Domain
	if p.User != "" {
		s += "/" + p.User
	}
	s += ": " + p.Step
	if what := strings.TrimSpace(p.Resource + " " + p.State); what != "" {
		s += ": " + what
	}
	if p.Waited > 0 {
		s += fmt.Sprintf(", %v", p.Waited)
	}
	return s
}

func (c *Client) report(p Progress) { c.progress(p) }

// efsFor returns a client of EFS that reports what it waits for as part of a
// step.
func (c *Client) efsFor(domain, user, step string) *efs.Client {
	client, err := efs.New(c.efs, efs.Config{Progress: func(p efs.Progress) {
		c.report(Progress{Domain: domain, User: user, Step: step, Resource: p.Resource, State: p.State, Waited: p.Waited})
	}})
	if err != nil { // the API is there, and nothing else can be wrong
		panic("domain: " + err.Error())
	}
	return client
}
