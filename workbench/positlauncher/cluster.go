package positlauncher

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/instancetype"
	"github.com/atelier-go/atelier/workbench/positlauncher/wire"
)

// cluster tells what a user may have: what the domain's policy and those of the
// user's groups allow at present.
func (s *server) cluster(ctx context.Context, q wire.Request) (message, error) {
	cfg := s.config()
	choices, err := s.choices(ctx, q.Username)
	if err != nil {
		return nil, err
	}
	m := &wire.ClusterInfo{
		Header:               wire.Header{Type: wire.ClusterInfoResponse},
		SupportsContainers:   true,
		Config:               []wire.Setting{},
		PlacementConstraints: []wire.Constraint{},
		ResourceLimits:       []wire.Limit{},
		ResourceProfiles:     []wire.Profile{},
	}
	if !cfg.ProfilesOnly {
		m.ResourceLimits = limits(cfg.Default, choices.Types)
	}
	for _, market := range []string{"on-demand", "spot", "spot-or-on-demand"} {
		m.PlacementConstraints = append(m.PlacementConstraints, wire.Constraint{Name: marketConstraint, Value: wire.Text(market)})
	}
	for _, i := range choices.Images {
		m.Images = append(m.Images, i.Name)
		if i.Default {
			m.DefaultImage = i.Name
		}
	}
	for _, p := range cfg.Profiles {
		m.ResourceProfiles = append(m.ResourceProfiles, p.profile(choices.Types))
	}
	if cfg.Profiles == nil {
		for _, o := range choices.Types {
			m.ResourceProfiles = append(m.ResourceProfiles, offered(o))
		}
	}
	return m, nil
}

// choices are what a user may have, by their login, or anybody.
func (s *server) choices(ctx context.Context, login string) (domain.Choices, error) {
	if login == wire.All {
		return s.manager.Domain().Choices(ctx, "")
	}
	u, err := s.manager.Domain().UserByLogin(ctx, login)
	if err != nil {
		return domain.Choices{}, err
	}
	return s.manager.Domain().Choices(ctx, u.Name)
}

// limits are what a job may ask for, at most what the largest type has.
func limits(size domain.Size, types []instancetype.Offer) []wire.Limit {
	var most domain.Size
	for _, o := range types {
		most.MilliCPU = max(most.MilliCPU, 1000*int64(o.Type.VCPUs))
		most.MemoryMiB = max(most.MemoryMiB, o.Type.UsableMemoryMiB())
		most.GPUs = max(most.GPUs, int64(o.Type.GPUs))
	}
	all := []wire.Limit{
		{Type: wire.CPUCount, DefaultValue: cpus(size), MaxValue: cpus(most)},
		{Type: wire.Memory, DefaultValue: megabytes(size.MemoryMiB), MaxValue: megabytes(most.MemoryMiB)},
	}
	if most.GPUs > 0 {
		all = append(all, wire.Limit{Type: wire.NvidiaGPUs, DefaultValue: number(size.GPUs), MaxValue: number(most.GPUs)})
	}
	return all
}

func number(n int64) wire.Text { return wire.Text(strconv.FormatInt(n, 10)) }

func cpus(s domain.Size) wire.Text {
	return wire.Text(strconv.FormatFloat(float64(s.MilliCPU)/1000, 'f', -1, 64))
}

// megabytes are those that a job may ask for to get so many MiB.
func megabytes(mib int64) wire.Text {
	return number(int64(math.Floor(float64(mib) * (1 << 20) / megabyte)))
}

// offered is the profile of an instance type.
func offered(o instancetype.Offer) wire.Profile {
	t := o.Type
	p := wire.Profile{Name: t.Name, DisplayName: fmt.Sprintf("%s: %d vCPU, %s GiB", t.Name, t.VCPUs, gib(t.MemoryMiB))}
	p.Limits = []wire.Limit{
		{Type: wire.CPUCount, Value: number(int64(t.VCPUs))},
		{Type: wire.Memory, Value: megabytes(t.UsableMemoryMiB())},
	}
	if t.GPUs > 0 {
		p.DisplayName += fmt.Sprintf(", %d %s", t.GPUs, t.GPUName)
		p.Limits = append(p.Limits, wire.Limit{Type: wire.NvidiaGPUs, Value: number(int64(t.GPUs))})
	}
	if o.Priced {
		p.DisplayName += fmt.Sprintf(", %v/h", o.Price.PerHour)
	}
	return p
}

func gib(mib int64) string { return strconv.FormatFloat(float64(mib)/1024, 'f', -1, 64) }

// profile is p as the Launcher is told of it.
func (p Profile) profile(types []instancetype.Offer) wire.Profile {
	told := wire.Profile{Name: p.Name, DisplayName: p.DisplayName}
	for _, o := range types {
		if o.Type.Name == p.InstanceType && p.Size == (domain.Size{}) {
			told.Limits = offered(o).Limits
		}
	}
	if p.Size != (domain.Size{}) {
		told.Limits = []wire.Limit{{Type: wire.CPUCount, Value: cpus(p.Size)}, {Type: wire.Memory, Value: megabytes(p.Size.MemoryMiB)}}
		if p.Size.GPUs > 0 {
			told.Limits = append(told.Limits, wire.Limit{Type: wire.NvidiaGPUs, Value: number(p.Size.GPUs)})
		}
	}
	return told
}

// reload takes the configuration anew.
func (s *server) reload(ctx context.Context) message {
	m := &wire.ConfigReload{Header: wire.Header{Type: wire.ConfigReloadResponse}}
	old := s.config()
	if old.Reload == nil {
		return m
	}
	next, err := old.Reload(ctx)
	if err != nil {
		m.ErrorType, m.ErrorMessage = wire.ReloadLoad, err.Error()
		return m
	}
	next.connections = old.connections
	next.Cluster, next.MaxMessage, next.MetricsInterval = old.Cluster, old.MaxMessage, old.MetricsInterval
	if next.Reload == nil {
		next.Reload = old.Reload
	}
	if next.Logger == nil {
		next.Logger = old.Logger
	}
	if err := next.validate(); err != nil {
		m.ErrorType, m.ErrorMessage = wire.ReloadValidate, err.Error()
		return m
	}
	s.mu.Lock()
	s.cfg = next.withDefaults()
	s.mu.Unlock()
	return m
}
