package session

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// A Kind is what sort of program a session runs: on which ports it serves, and
// how it is told to end. It is a value, kept with each session; there is no
// registry, and a caller may use any Kind of its own. The zero value stands
// for [RStudio].
type Kind struct {
	// Name says what it is, for people and lists ("rstudio"): 1 to 20
	// lower-case letters, digits and hyphens, beginning with a letter.
	Name string
	// Ports are what it serves, by the names that [Manager.Dial] takes. None
	// is a session that nobody connects to.
	Ports []launcher.Port `json:",omitempty"`
	// StopSignal asks it to end for good, by a name that
	// [launcher.SignalNumber] knows. Empty is SIGTERM.
	StopSignal string `json:",omitempty"`
	// StopGrace is how long it may then take before it is killed. Zero is
	// [launcher.DefaultGrace].
	StopGrace time.Duration `json:",omitempty"`
	// SuspendSignal asks it to save its state and end, by such a name. Empty
	// is StopSignal.
	SuspendSignal string `json:",omitempty"`
	// SuspendGrace is how long it may then take before it is killed. Zero is
	// [launcher.DefaultGrace].
	SuspendGrace time.Duration `json:",omitempty"`
	// Home is where the user's home is in the container, an absolute path in
	// which {user} stands for the user's name. Empty is /home/{user}.
	Home string `json:",omitempty"`
}

// RStudio is RStudio Server, on port "http", 8787: the port it listens on
// unless its rserver.conf says otherwise. On SIGTERM it saves its R sessions,
// which it is given 30 seconds for.
func RStudio() Kind {
	return Kind{
		Name:         "rstudio",
		Ports:        []launcher.Port{{Name: "http", Number: 8787}},
		StopGrace:    30 * time.Second,
		SuspendGrace: 30 * time.Second,
	}
}

// withDefault returns k, or RStudio for the zero value.
func (k Kind) withDefault() Kind {
	if k.Name == "" && len(k.Ports) == 0 && k.StopSignal == "" && k.StopGrace == 0 &&
		k.SuspendSignal == "" && k.SuspendGrace == 0 && k.Home == "" {
		return RStudio()
	}
	return k
}

// problems reports everything wrong with k that launchers do not look at.
func (k Kind) problems() []error {
	var found []error
	if ID(k.Name).check() != nil {
		found = append(found, fmt.Errorf("kind: name %.40q: want 1 to %d of a-z, 0-9 and hyphen, beginning with a letter", k.Name, maxID))
	}
	if k.StopGrace < 0 || k.SuspendGrace < 0 {
		found = append(found, fmt.Errorf("kind: stop grace %v and suspend grace %v must not be negative", k.StopGrace, k.SuspendGrace))
	}
	if _, ok := launcher.SignalNumber(k.SuspendSignal); !ok && k.SuspendSignal != "" {
		found = append(found, fmt.Errorf("kind: suspend signal %.20q is unknown: want a name such as SIGTERM", k.SuspendSignal))
	}
	return found
}

// home is where the home of a user is in the container.
func (k Kind) home(user string) string {
	if k.Home == "" {
		return "/home/" + user
	}
	return strings.ReplaceAll(k.Home, "{user}", user)
}

func (k Kind) stopOptions() launcher.StopOptions {
	return launcher.StopOptions{Grace: k.StopGrace}
}

func (k Kind) suspendOptions() launcher.StopOptions {
	return launcher.StopOptions{Signal: k.SuspendSignal, Grace: k.SuspendGrace}
}

func (k Kind) clone() Kind {
	k.Ports = slices.Clone(k.Ports)
	return k
}

// graceOf is how long a launcher gives a workload to end.
func graceOf(d time.Duration) time.Duration {
	if d == 0 {
		return launcher.DefaultGrace
	}
	return d
}
