package session

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// A Kind is what sort of program a session runs: on which ports it serves, how
// it tells that it is ready and when it was used, and how it is told to end. It
// is a value, kept with each session; there is no registry, and a caller may
// use any Kind of its own. The zero value stands for [RStudio].
type Kind struct {
	// Name says what it is, for people and lists ("rstudio"): 1 to 20
	// lower-case letters, digits and hyphens, beginning with a letter.
	Name string
	// Ports are what it serves, by the names that [Manager.Dial] takes. None
	// is a session that nobody connects to.
	Ports []launcher.Port `json:",omitempty"`
	// Ready is how it tells that it serves. Zero, it does once its container
	// runs.
	Ready Probe `json:",omitzero"`
	// Activity is how it tells when it was last used. Zero, it does not.
	Activity Activity `json:",omitzero"`
	// StopSignal asks it to end for good, by a name that
	// [launcher.SignalNumber] knows. Empty is SIGTERM.
	StopSignal string `json:",omitempty"`
	// StopGrace is how long it may then take before it is killed. Zero is
	// [launcher.DefaultGrace].
	StopGrace time.Duration `json:",omitempty"`
	// Suspension is what becomes of its memory when it is suspended. Zero is
	// [LosesMemory].
	Suspension Suspension `json:",omitempty"`
	// SuspendSignal asks it to save its state and end, by such a name. Empty
	// is StopSignal.
	SuspendSignal string `json:",omitempty"`
	// SuspendGrace is how long it may then take before it is killed. Zero is
	// [launcher.DefaultGrace].
	SuspendGrace time.Duration `json:",omitempty"`
	// SavedCodes are the exit codes, 0 to 255, by which it confirms that its
	// state is on disk after it was asked to suspend. [SavesState] needs one at
	// least, nothing else has any.
	SavedCodes []int `json:",omitempty"`
	// Base is how it learns the path below which a proxy serves it. Zero, it
	// need not know.
	Base Base `json:",omitzero"`
	// Background is what its pages send by themselves. Zero is nothing.
	Background Background `json:",omitzero"`
	// Home is where the user's home is in the container, an absolute path in
	// which {user} stands for the user's login. Empty is /home/{user}.
	Home string `json:",omitempty"`
}

// A Suspension is what becomes of a program's memory when its session is
// suspended. Its files are kept in every case.
type Suspension string

const (
	// LosesMemory: it ends when it is asked to; what it held in memory is lost.
	LosesMemory Suspension = ""
	// SavesState: it writes its memory to the home, confirms that by its exit
	// code, and has it again when it is resumed.
	SavesState Suspension = "saves-state"
	// NoSuspension: it is not suspended, as it could not go on where it was.
	NoSuspension Suspension = "none"
)

// A Base is how a program learns below which path a proxy serves it
// ("/sessions/analysis"). The zero value is one that only ever links to what is
// beside it, and need not know: the proxy takes the path off what it passes on.
// No launcher or manager looks at it.
type Base struct {
	// Header is the request header in which a proxy that takes the path off
	// tells it.
	Header string `json:",omitempty"`
	// Argument is what a session's Command needs, with the path in the place of
	// {path}, for a program that expects the path on every request. Those of
	// Ready and Activity have to begin with it then, too.
	Argument string `json:",omitempty"`
}

// withDefault returns k, or RStudio for the zero value.
func (k Kind) withDefault() Kind {
	if c := k.clone(); reflect.ValueOf(c).IsZero() {
		return RStudio()
	}
	return k
}

// maxCode is the largest exit code that a process can have.
const maxCode = 255

// problems reports everything wrong with k that launchers do not look at.
func (k Kind) problems() []error {
	var found []error
	bad := func(format string, args ...any) { found = append(found, fmt.Errorf("kind: "+format, args...)) }
	if ID(k.Name).check() != nil {
		bad("name %.40q: want 1 to %d of a-z, 0-9 and hyphen, beginning with a letter", k.Name, maxID)
	}
	if k.StopGrace < 0 || k.SuspendGrace < 0 {
		bad("stop grace %v and suspend grace %v must not be negative", k.StopGrace, k.SuspendGrace)
	}
	if _, ok := launcher.SignalNumber(k.SuspendSignal); !ok && k.SuspendSignal != "" {
		bad("suspend signal %.20q is unknown: want a name such as SIGTERM", k.SuspendSignal)
	}
	for _, err := range slices.Concat(k.Ready.problems(k.Ports), k.Activity.problems(k.Ports), k.suspensionProblems(), k.Base.problems(), k.Background.problems()) {
		bad("%w", err)
	}
	return found
}

func (k Kind) suspensionProblems() []error {
	var found []error
	bad := func(format string, args ...any) { found = append(found, fmt.Errorf(format, args...)) }
	switch k.Suspension {
	case SavesState:
		if len(k.SavedCodes) == 0 {
			bad("suspension %q: needs saved codes, by which it confirms that", k.Suspension)
		}
	case LosesMemory, NoSuspension:
		if len(k.SavedCodes) > 0 {
			bad("saved codes %v: only a program that saves its state confirms that; suspension is %q", k.SavedCodes, k.Suspension)
		}
	default:
		bad("suspension %.20q is unknown: want %q, %q or none", k.Suspension, SavesState, NoSuspension)
	}
	if k.Suspension == NoSuspension && (k.SuspendSignal != "" || k.SuspendGrace != 0) {
		bad("suspend signal %.20q and suspend grace %v: a program that is not suspended has none", k.SuspendSignal, k.SuspendGrace)
	}
	if slices.ContainsFunc(k.SavedCodes, func(code int) bool { return code < 0 || code > maxCode }) {
		bad("saved codes %v: want exit codes from 0 to %d", k.SavedCodes, maxCode)
	}
	return found
}

// plain reports whether s is printable ASCII without a space.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func (b Base) problems() []error {
	var found []error
	if !plain(b.Header) || strings.ContainsAny(b.Header, `"(),/:;<=>?@[\]{}`) { // token, RFC 9110, section 5.6.2
		found = append(found, fmt.Errorf("base header %.40q: want the name of an HTTP header", b.Header))
	}
	if b.Argument != "" && !strings.Contains(b.Argument, "{path}") {
		found = append(found, fmt.Errorf("base argument %.40q: want {path} in the place of the path", b.Argument))
	}
	if b.Header != "" && b.Argument != "" {
		found = append(found, errors.New("base: want a header or an argument, as a proxy takes the path off or leaves it"))
	}
	return found
}

// unsuspendable is why a session of the kind is not suspended, for people;
// empty if it can be.
func (k Kind) unsuspendable() string {
	if k.Suspension != NoSuspension {
		return ""
	}
	return fmt.Sprintf("a session of kind %s cannot be suspended, as it could not go on where it was; let it end, or stop it", k.Name)
}

// keptState reports whether all is well with what a session of the kind leaves
// to be resumed when it ended with a code after it was asked to suspend: its
// state is on disk, or it has none to lose.
func (k Kind) keptState(code int) bool {
	return k.Suspension != SavesState || slices.Contains(k.SavedCodes, code)
}

// home is where the home of a user is in the container, by their login.
func (k Kind) home(login string) string {
	if k.Home == "" {
		return "/home/" + login
	}
	return strings.ReplaceAll(k.Home, "{user}", login)
}

func (k Kind) stopOptions() launcher.StopOptions {
	return launcher.StopOptions{Grace: k.StopGrace}
}

func (k Kind) suspendOptions() launcher.StopOptions {
	return launcher.StopOptions{Signal: k.SuspendSignal, Grace: k.SuspendGrace}
}

// clone shares nothing with k. An empty list is nil in it.
func (k Kind) clone() Kind {
	k.Ports = append([]launcher.Port(nil), k.Ports...)
	k.SavedCodes = append([]int(nil), k.SavedCodes...)
	k.Background.Requests = append([]string(nil), k.Background.Requests...)
	return k
}

// graceOf is how long a launcher gives a workload to end.
func graceOf(d time.Duration) time.Duration {
	if d == 0 {
		return launcher.DefaultGrace
	}
	return d
}
