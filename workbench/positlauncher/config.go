package positlauncher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/launcher"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// Config says how a plugin works. A Cluster is required; all else has a default.
type Config struct {
	// Cluster is the name of the cluster in launcher.conf: at most 100 characters.
	// Jobs are those of one cluster: other plugins on the domain with the same name
	// serve the same ones, and no others. Required.
	Cluster string
	// Profiles are the resource profiles that users choose among. Nil is one for each
	// instance type that the user may have, of its name, with all of a host of it.
	Profiles []Profile
	// ProfilesOnly refuses jobs that name no profile and give limits of their own.
	ProfilesOnly bool
	// Default is the room of a job that names neither a profile nor limits, and what
	// the Launcher proposes for limits. Zero is 1 vCPU and 2 GiB.
	Default domain.Size
	// JobExpiry is how long a job that has ended is told of, from when it ended; then
	// its session is deleted. Zero is 24 hours, as the Launcher's job-expiry-hours.
	JobExpiry time.Duration
	// MetricsInterval is how often the plugin tells of itself. Zero is a minute, as the
	// Launcher's plugin-metrics-interval-seconds; negative is never.
	MetricsInterval time.Duration
	// MaxMessage is how many bytes a message has at most, as the Launcher's
	// max-message-size. Zero is [wire.DefaultLimit].
	MaxMessage int
	// Reload returns the configuration anew when the Launcher is told to read its own
	// again; [Arguments.Apply] has to be called for it as for the first. Cluster,
	// MaxMessage and MetricsInterval stay as they were, and so do Reload and Logger if
	// it has none. Nil is that there is nothing to read: what the domain allows is
	// looked up whenever it is asked for.
	Reload func(context.Context) (Config, error)
	// Logger is told what goes wrong. Nil discards. It must not write to standard
	// output, which is the Launcher's.
	Logger *slog.Logger

	connections func() (map[netip.AddrPort]bool, error) // of this machine
}

// A Profile is a resource profile: a name for what a job gets.
type Profile struct {
	// Name is the name by which jobs ask for it. Required.
	Name string
	// DisplayName is what users see. Empty is Name.
	DisplayName string
	// InstanceType is the EC2 or SageMaker name of the type of the job's host. Empty
	// is the cheapest that has room for Size.
	InstanceType string
	// Size is the room it gets there. Zero, with an InstanceType, is all of it.
	Size domain.Size
	// Market is how its host may be bought. Zero is on demand.
	Market launcher.Market
}

var defaultSize = domain.Size{MilliCPU: 1000, MemoryMiB: 2048}

func (c Config) withDefaults() Config {
	if c.Default == (domain.Size{}) {
		c.Default = defaultSize
	}
	if c.JobExpiry == 0 {
		c.JobExpiry = 24 * time.Hour
	}
	if c.MetricsInterval == 0 {
		c.MetricsInterval = time.Minute
	}
	if c.MaxMessage == 0 {
		c.MaxMessage = wire.DefaultLimit
	}
	if c.connections == nil {
		c.connections = established
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// validate reports everything wrong with c, or nil.
func (c Config) validate() error {
	var found []error
	bad := func(format string, args ...any) { found = append(found, fmt.Errorf(format, args...)) }
	if c.Cluster == "" || len(c.Cluster) > 100 {
		bad("cluster %.40q: want the name of the cluster in launcher.conf, at most 100 characters", c.Cluster)
	}
	if c.JobExpiry < 0 {
		bad("job expiry %v: want a positive duration, or zero for 24 hours", c.JobExpiry)
	}
	if c.MaxMessage < 0 {
		bad("max message %d: want a number of bytes, or zero for %d", c.MaxMessage, wire.DefaultLimit)
	}
	names := map[string]bool{}
	for _, p := range c.Profiles {
		if p.Name == "" || p.Name == wire.CustomProfile || names[p.Name] {
			bad("profile %.40q: want a name of its own, which is not %q", p.Name, wire.CustomProfile)
		}
		if p.InstanceType == "" && p.Size == (domain.Size{}) {
			bad("profile %.40q: needs an instance type or a size", p.Name)
		}
		names[p.Name] = true
	}
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("positlauncher: %w", errors.Join(found...))
}

// profile is the profile of a name. Where none are given it is an instance type, of
// which the domain decides whether there is one.
func (c Config) profile(name string) (Profile, bool) {
	if c.Profiles == nil {
		return Profile{Name: name, InstanceType: name}, true
	}
	i := slices.IndexFunc(c.Profiles, func(p Profile) bool { return p.Name == name })
	if i < 0 {
		return Profile{}, false
	}
	return c.Profiles[i], true
}
