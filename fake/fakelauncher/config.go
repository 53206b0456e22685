package fakelauncher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/atelier-go/atelier/launcher"
)

// A Program is what an image runs. It returns the exit code. When ctx ends it
// has been killed, and returns soon: nothing it still does through p has an
// effect. A panic is exit code 2 with the stack on standard error; only a
// panic in a goroutine of the program's own cannot be caught.
type Program func(ctx context.Context, p *Proc) int

// An Image is a container image whose processes are Go functions.
type Image struct {
	// Program is what runs. Required.
	Program Program
	// Command is the command of a workload that names none.
	Command []string
	// Env is the environment beneath the workload's own.
	Env map[string]string
	// SizeBytes is how much is pulled. Zero counts as 1 GiB.
	SizeBytes int64
	// Architecture is what the image is made for ("amd64", "arm64"). Empty
	// fits every host.
	Architecture string
}

// Programs serves images from a map, by reference. A reference that is not in
// it is [launcher.ErrImage].
func Programs(programs map[string]Program) func(ctx context.Context, ref string) (Image, error) {
	programs = maps.Clone(programs)
	return func(_ context.Context, ref string) (Image, error) {
		if p := programs[ref]; p != nil {
			return Image{Program: p}, nil
		}
		return Image{}, fmt.Errorf("no image %q: there are %q", ref, slices.Sorted(maps.Keys(programs)))
	}
}

// Delays is how long things take on a host. The zero value is at once.
type Delays struct {
	// Pull is the first use of an image, per GiB of its size.
	Pull time.Duration
	// Start is from a pulled image to a running process.
	Start time.Duration
}

// pull is how long img takes to be pulled.
func (d Delays) pull(img Image) time.Duration {
	const gib = 1 << 30
	if img.SizeBytes == 0 {
		return d.Pull
	}
	return time.Duration(float64(d.Pull) * float64(img.SizeBytes) / gib)
}

// Config describes a host and its container engine. Only Images is required.
type Config struct {
	// Images finds the image of a reference. Required. It is called once for
	// each reference that succeeds: the host keeps its images. An error is
	// [launcher.ErrImage] to the caller unless it has another launcher kind.
	// It is called with no lock held, from several goroutines.
	Images func(ctx context.Context, ref string) (Image, error)
	// Mount finds the directory of a mount. Without an identity of its own (see
	// [Dir.As]) the directory is acted on by the workload's user. An error is
	// [launcher.ErrMount] unless it has another launcher kind. It is called
	// with no lock held, from several goroutines. Nil makes a directory for
	// each source, kept by the launcher, in which every user may write.
	Mount func(m launcher.Mount) (*Dir, error)

	// Host is repeated in each status. Empty is "local".
	Host string
	// Address is the IP address of the endpoints. Empty is 127.0.0.1.
	Address string
	// InstanceType is repeated in each status.
	InstanceType string
	// Architecture is the host's ("amd64", "arm64"): an image for another is
	// [launcher.ErrImage]. Empty takes every image.
	Architecture string
	// Room is what all workloads share: memory and GPUs are given away once,
	// processors as often as they are asked for, as Docker does. Zero is without
	// limit.
	Room launcher.Resources
	// FirstPort and LastPort bound the host ports the engine chooses. Zero
	// values are 30000 and 32767.
	FirstPort, LastPort int
	// Delays is how long things take.
	Delays Delays
}

func (c Config) withDefaults() Config {
	if c.Host == "" {
		c.Host = "local"
	}
	if c.Address == "" {
		c.Address = "127.0.0.1"
	}
	if c.FirstPort == 0 {
		c.FirstPort = 30000
	}
	if c.LastPort == 0 {
		c.LastPort = 32767
	}
	return c
}

// validate reports everything wrong with c, which has its defaults.
func (c Config) validate() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if c.Images == nil {
		bad("images is nil: use Programs for a map of Go functions")
	}
	if net.ParseIP(c.Address) == nil {
		bad("address %q: want an IP address", c.Address)
	}
	if r := c.Room; r.MilliCPU < 0 || r.MemoryMiB < 0 || r.GPUs < 0 {
		bad("room must not be negative: %v", r)
	}
	if c.FirstPort < 1 || c.LastPort > 65535 || c.FirstPort > c.LastPort {
		bad("ports %d to %d: want a range within 1 to 65535", c.FirstPort, c.LastPort)
	}
	if c.Delays.Pull < 0 || c.Delays.Start < 0 {
		bad("delays must not be negative: pull %v, start %v", c.Delays.Pull, c.Delays.Start)
	}
	if problems == nil {
		return nil
	}
	return &launcher.Error{Op: "new", Kind: launcher.ErrInvalid, Err: errors.Join(problems...)}
}
