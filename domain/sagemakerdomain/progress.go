package sagemakerdomain

import (
	"fmt"
	"strings"
	"time"
)

// Progress is one step of a call, or one look at what SageMaker has not finished yet.
type Progress struct {
	// Domain is the domain's id, or its name until it has one. Empty is that it is about
	// an image, which belongs to no domain, or a file system.
	Domain string
	// Step is what is being done: "domain", "user profile", "space", "app",
	// "security group", "network interface", "image", "image version", "file system".
	Step string
	// Resource is the name or identifier of what is waited for, if known.
	Resource string
	// State is what Resource is in ("Pending"), if known.
	State string
	// Waited is the time since the wait for Resource began.
	Waited time.Duration
}

// String formats p as "d-0123: app: alice/RSessionGateway/x Deleting, 30s".
func (p Progress) String() string {
	s := p.Step
	if p.Domain != "" {
		s = p.Domain + ": " + s
	}
	if what := strings.TrimSpace(p.Resource + " " + p.State); what != "" {
		s += ": " + what
	}
	if p.Waited > 0 {
		s += fmt.Sprintf(", %v", p.Waited)
	}
	return s
}
