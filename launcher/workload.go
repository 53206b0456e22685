package launcher

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// An ID names a workload for ever, in the launcher and on the host, where it
// is also the container's name. It has 1 to 63 lower-case letters, digits,
// dots, underscores and hyphens and begins with a letter or digit.
type ID string

// A Workload is what a launcher is asked to run: one container.
//
// [Workload.Digest] tells two workloads apart; that is what makes
// [Launcher.Launch] idempotent.
type Workload struct {
	// ID names the workload. Required.
	ID ID
	// Owner is who it runs for. Required. Workloads of one owner may share a host.
	Owner string
	// Image is a container image reference, by digest where it comes from a
	// registry ("registry/name@sha256:..."). Required.
	Image string
	// Entrypoint takes the place of the image's own, and of its command: it is the
	// program with its first arguments, which Command follows. Nil keeps both.
	Entrypoint []string `json:",omitempty"`
	// Command replaces the image's own command. Nil keeps it, unless there is an
	// Entrypoint.
	Command []string `json:",omitempty"`
	// Dir is the working directory of its process, an absolute path without . or ..
	// or a slash too many. Empty is the image's. Where neither the image nor a mount
	// has such a directory, an engine makes it, empty and root's, so that another
	// user cannot write there: name one that exists, such as a mount's Target.
	Dir string `json:",omitempty"`
	// Env is added to the image's environment. It is not secret: hosts show it.
	Env map[string]string `json:",omitempty"`
	// Secrets appear in the container as files /run/secrets/<name>, readable
	// by its user alone, in memory. A launcher shows and logs them nowhere.
	Secrets map[string]string `json:",omitempty"`
	// Role is how it acts in AWS. Zero is not at all. See [Workload.Expand].
	Role Role `json:",omitzero"`
	// Stdin is written to the standard input, which then ends.
	Stdin []byte `json:",omitempty"`
	// StopSignal is what asks the workload to end, by a name that
	// [SignalNumber] knows. Empty is SIGTERM.
	StopSignal string
	// User is who the container's process is.
	User User
	// Mounts are the directories the workload sees beside its image.
	Mounts []Mount `json:",omitempty"`
	// Ports are what it serves.
	Ports []Port `json:",omitempty"`
	// Resources is the room it needs on a host. Zero, with an InstanceType,
	// is the whole room of a host of that type.
	Resources Resources
	// InstanceType is the EC2 type its host must have ("r5.4xlarge"), unless
	// there are Alternatives. A launcher on one fixed host ignores it.
	InstanceType string
	// Alternatives are types its host may have instead, in no order of
	// preference. A launcher that buys hosts takes what costs the least for what
	// will fill it, and while that is sold out another; without Resources the
	// workload has the whole of whichever it is. A launcher on one fixed host
	// ignores them.
	Alternatives []string `json:",omitempty"`
	// Market is how its host may be bought. A launcher that buys nothing
	// ignores it.
	Market Market `json:",omitempty"`
	// Sharing says whose workloads may run on the same host.
	Sharing Sharing
	// Lifetime is about how long it will run, if that is known: a launcher keeps
	// what ends soon apart from what goes on, so that hosts become empty. Nothing
	// is ended by it. Zero is not known.
	Lifetime time.Duration `json:",omitempty"`
	// Labels are the caller's, to filter by.
	Labels map[string]string `json:",omitempty"`
}

// User is the identity of a container's process. The zero value is root.
type User struct {
	UID, GID uint32
	// Groups are supplementary groups, by which shared directories are entered.
	Groups []uint32 `json:",omitempty"`
}

// A Mount makes a directory of the host or the network visible in a container.
type Mount struct {
	// Source is what the launcher's hosts understand, for example
	// "/efs/<file system>.<access point>" on EC2, or a folder on a laptop.
	Source string
	// Target is the absolute path in the container.
	Target string
	// ReadOnly forbids writing.
	ReadOnly bool
	// Group, if not zero, is the group whose members share the directory: hosts
	// that make it make it theirs. Zero is a directory of the workload's user.
	Group uint32 `json:",omitempty"`
}

// A Port is a TCP port a workload serves, known by name.
type Port struct {
	// Name is what [Launcher.Dial] asks for ("http").
	Name string
	// Number is the port inside the container, 1 to 65535.
	Number int
	// HostPort is the port on the host. Zero lets the launcher choose.
	HostPort int
}

// Resources is an amount of room on a host.
type Resources struct {
	// MilliCPU is thousandths of a virtual CPU.
	MilliCPU int64
	// MemoryMiB is mebibytes of memory.
	MemoryMiB int64
	// GPUs is whole graphics processors.
	GPUs int64
}

// IsZero reports whether r asks for nothing.
func (r Resources) IsZero() bool { return r == Resources{} }

// Fits reports whether r is at most room in every dimension.
func (r Resources) Fits(room Resources) bool {
	return r.MilliCPU <= room.MilliCPU && r.MemoryMiB <= room.MemoryMiB && r.GPUs <= room.GPUs
}

// Plus returns the sum of r and s.
func (r Resources) Plus(s Resources) Resources {
	return Resources{r.MilliCPU + s.MilliCPU, r.MemoryMiB + s.MemoryMiB, r.GPUs + s.GPUs}
}

// Minus returns r without s. It may be negative.
func (r Resources) Minus(s Resources) Resources {
	return Resources{r.MilliCPU - s.MilliCPU, r.MemoryMiB - s.MemoryMiB, r.GPUs - s.GPUs}
}

// String formats r as "2 vCPU, 4 GiB".
func (r Resources) String() string {
	s := fmt.Sprintf("%s vCPU, %s GiB", decimal(r.MilliCPU, 1000), decimal(r.MemoryMiB, 1024))
	if r.GPUs != 0 {
		s += fmt.Sprintf(", %d GPU", r.GPUs)
	}
	return s
}

func decimal(n, unit int64) string {
	s := fmt.Sprintf("%.2f", float64(n)/float64(unit))
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// Sharing says whose workloads may run on one host.
type Sharing string

const (
	// PerOwner lets workloads of one owner share a host. It is the default.
	PerOwner Sharing = ""
	// Exclusive gives a workload a host of its own.
	Exclusive Sharing = "exclusive"
	// Pool lets workloads of all owners share a host.
	Pool Sharing = "pool"
)

// Market is how a host may be bought.
type Market string

const (
	// OnDemand is at the list price, for as long as it is wanted. It is the default.
	OnDemand Market = ""
	// Spot is from AWS's spare capacity, for a part of the price. AWS takes
	// the host back when it needs it, with a notice of two minutes; see
	// [Status.Interruption].
	Spot Market = "spot"
	// SpotOrOnDemand is spot or, where none is to be had, on demand.
	SpotOrOnDemand Market = "spot-or-on-demand"
)

var (
	idPattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	portPattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,14}$`)
	filePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
)

// Validate reports everything that makes w impossible to run anywhere, as one
// [ErrInvalid] error that names each problem.
func (w Workload) Validate() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if !idPattern.MatchString(string(w.ID)) {
		bad("id %q: want 1 to 63 of a-z 0-9 . _ - beginning with a letter or digit", w.ID)
	}
	if w.Owner == "" {
		bad("owner is empty")
	}
	if w.Image == "" {
		bad("image is empty")
	}
	if w.Entrypoint != nil && (len(w.Entrypoint) == 0 || w.Entrypoint[0] == "") {
		bad("entry point %q: want a program, or nil for the image's", w.Entrypoint)
	}
	if w.Dir != "" && (!path.IsAbs(w.Dir) || w.Dir != path.Clean(w.Dir) || strings.Contains(w.Dir, "\x00")) {
		bad("directory %q: want an absolute path without . or .. or a slash too many, or none for the image's", w.Dir)
	}
	if err := checkSignal(w.StopSignal); err != nil {
		bad("stop %w", err)
	}
	for _, k := range slices.Sorted(maps.Keys(w.Env)) {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.Contains(w.Env[k], "\x00") {
			bad("environment variable %q: a name must not be empty or contain '=', neither part a NUL", k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(w.Secrets)) {
		if !filePattern.MatchString(k) {
			bad("secret %q: want a file name of letters, digits, . _ -", k)
		}
	}
	problems = append(problems, w.roleProblems()...)
	targets := map[string]bool{}
	for _, m := range w.Mounts {
		switch {
		case m.Source == "":
			bad("mount at %q: source is empty", m.Target)
		case !path.IsAbs(m.Target) || m.Target == "/" || m.Target != path.Clean(m.Target):
			bad("mount of %q: target %q must be an absolute path below the root, without . or .. or a slash too many", m.Source, m.Target)
		case targets[m.Target]:
			bad("mount target %q is used twice", m.Target)
		}
		targets[m.Target] = true
	}
	names, numbers, hostPorts := map[string]bool{}, map[int]bool{}, map[int]bool{}
	for _, p := range w.Ports {
		if !portPattern.MatchString(p.Name) {
			bad("port name %q: want 1 to 15 of a-z 0-9 - beginning with a letter", p.Name)
		}
		if p.Number < 1 || p.Number > 65535 || p.HostPort < 0 || p.HostPort > 65535 {
			bad("port %q: number %d and host port %d must be 1 to 65535 (host port 0: any)", p.Name, p.Number, p.HostPort)
		}
		if names[p.Name] || numbers[p.Number] {
			bad("port %q (%d) is declared twice", p.Name, p.Number)
		}
		if p.HostPort != 0 && hostPorts[p.HostPort] {
			bad("port %q: host port %d is asked for twice", p.Name, p.HostPort)
		}
		names[p.Name], numbers[p.Number], hostPorts[p.HostPort] = true, true, true
	}
	if w.Lifetime < 0 {
		bad("lifetime %v: want about how long it runs, or zero", w.Lifetime)
	}
	if r := w.Resources; r.MilliCPU < 0 || r.MemoryMiB < 0 || r.GPUs < 0 {
		bad("resources must not be negative: %v", r)
	}
	switch w.Sharing {
	case PerOwner, Exclusive, Pool:
	default:
		bad("sharing %q: want %q, %q or empty for per owner", w.Sharing, Exclusive, Pool)
	}
	switch w.Market {
	case OnDemand, Spot, SpotOrOnDemand:
	default:
		bad("market %q: want %q, %q or empty for on demand", w.Market, Spot, SpotOrOnDemand)
	}
	types := map[string]bool{w.InstanceType: true}
	for i, t := range w.Alternatives {
		switch {
		case t == "":
			bad("alternative %d is empty: want an instance type", i)
		case types[t]:
			bad("instance type %q is named twice", t)
		}
		types[t] = true
	}
	if len(problems) == 0 {
		return nil
	}
	return &Error{Op: "launch", ID: w.ID, Kind: ErrInvalid, Err: errors.Join(problems...)}
}

// Digest identifies what w asks for: launching the same ID again with another
// digest is [ErrConflict]. The values of Secrets and Stdin and the token of
// Role are left out, so that the digest may be shown on a host without giving
// them away.
func (w Workload) Digest() string {
	w = w.Expand()
	secrets := slices.Sorted(maps.Keys(w.Secrets))
	w.Secrets, w.Stdin, w.Role.Token = nil, nil, ""
	b, err := json.Marshal(struct {
		Workload
		SecretNames []string
	}{w, secrets})
	if err != nil { // strings, numbers and maps of strings always marshal
		panic("launcher: " + err.Error())
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
}
