package workbench

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// A Profile is a size of session to choose, Workbench's resource profile. Those
// that [Configuration.For] makes are instance types, by their EC2 names.
type Profile struct {
	// Name comes back as the resource profile of a job: "r5.4xlarge". It is unique,
	// of letters, digits, dots and hyphens, and not "custom", which is Workbench's
	// word for a session that names a size instead.
	Name string
	// Title is what people read: "r5.4xlarge (16 vCPU, 128 GiB, $1.008 an hour)".
	// Empty is the name.
	Title string
	// CPUs is how many virtual CPUs a session gets, at least 1.
	CPUs int
	// MemoryMiB is how much memory it gets, in mebibytes, at least 1.
	MemoryMiB int64
	// NvidiaGPUs and AMDGPUs are how many whole GPUs it gets.
	NvidiaGPUs int
	AMDGPUs    int
}

// A Menu says which profiles and images some users may choose. Not every profile
// need go with every image, and it is not what is decided by: whatever a user
// chooses, [domain.Domain.Authorize] grants or refuses when the session starts.
type Menu struct {
	// Group is the group whose members it is for, and User the login of the user. Both
	// zero is everyone. A user's own menu goes before that of a group, of several groups
	// the last in Configuration.Menus counts, and everyone's is for who has no other.
	Group Group
	User  string
	// Profiles are names of Configuration.Profiles, at least one; the first is
	// preselected.
	Profiles []string
	// Images are names of images, at least one. No others may be asked for.
	Images []string
	// DefaultImage is that of Images that is preselected. Empty is the first.
	DefaultImage string
	// MaxCPUs and MaxMemoryMiB are the most that a session may ask for which names a
	// size and no profile, both or neither. Zero allows profiles only.
	MaxCPUs      int
	MaxMemoryMiB int64
}

// section is the name of the section of m, and its place among others: who reads
// the file may hold that the last counts which applies, or that the most specific
// does, and in this order both are one.
func (m Menu) section() (name string, rank int) {
	switch {
	case m.User != "":
		return m.User, 2
	case m.Group != Group{}:
		return "@" + m.Group.String(), 1
	}
	return "*", 0
}

// everyone returns the menu that is for everyone, or a zero one.
func (c Configuration) everyone() Menu {
	for _, m := range c.Menus {
		if _, rank := m.section(); rank == 0 {
			return m.withDefault()
		}
	}
	return Menu{}
}

func (m Menu) withDefault() Menu {
	if m.DefaultImage == "" && len(m.Images) > 0 {
		m.DefaultImage = m.Images[0]
	}
	return m
}

// profilesConf says who may choose what, in the form that Posit's own plugins
// read: AbstractUserProfiles.cpp of github.com/rstudio/rstudio-launcher-plugin-sdk
// and workbench_config.go of github.com/posit-dev/team-operator. It is a plugin, not
// Workbench, that reads it; ours asks the domain, which knows of a change at once.
// Every section says everything, so that none inherits. A [@group] that the host does
// not know ends that reader, so that For makes none of a group without members, which
// no account brings to the host.
func (c Configuration) profilesConf() page {
	menus := slices.Clone(c.Menus)
	slices.SortStableFunc(menus, func(a, b Menu) int {
		_, i := a.section()
		_, j := b.section()
		return cmp.Compare(i, j)
	})
	var sections []section
	for _, m := range menus {
		m = m.withDefault()
		name, _ := m.section()
		preselected := c.profile(slices.Concat(m.Profiles, []string{""})[0])
		custom := m.MaxCPUs > 0
		s := section{name, []line{
			list("container-images", m.Images),
			text("default-container-image", m.DefaultImage),
			flag("allow-unknown-images", false),
			list("resource-profiles", m.Profiles),
			flag("allow-custom-resources", custom),
		}}
		if custom {
			s.lines = append(s.lines,
				number("default-cpus", preselected.CPUs),
				number("default-mem-mb", megabytes(preselected.MemoryMiB)),
				number("max-cpus", m.MaxCPUs),
				number("max-mem-mb", megabytes(m.MaxMemoryMiB)),
			)
		}
		sections = append(sections, s)
	}
	return public(c.pluginFile(".profiles"), ini, sections...)
}

// resourcesConf says what the profiles are: name is what people read, as Posit's
// samples have it. That mem-mb means megabytes is from the template of
// github.com/rstudio/helm (job.tpl), which gives a job's memory to Kubernetes so;
// whether a dot may be in a section's name, and whether plugins that are not for
// Kubernetes know nvidia-gpus and amd-gpus was not verified against a licensed
// product.
func (c Configuration) resourcesConf() page {
	var sections []section
	for _, p := range c.Profiles {
		sections = append(sections, section{p.Name, []line{
			text("name", cmp.Or(p.Title, p.Name)),
			number("cpus", p.CPUs),
			number("mem-mb", megabytes(p.MemoryMiB)),
			number("nvidia-gpus", p.NvidiaGPUs),
			number("amd-gpus", p.AMDGPUs),
		}})
	}
	return public(c.pluginFile(".resources"), ini, sections...)
}

// megabytes are how many million bytes there are in so many MiB, rounded down.
func megabytes(mib int64) int64 { return mib * (1 << 20) / 1_000_000 }

func (c Configuration) profile(name string) Profile {
	i := slices.IndexFunc(c.Profiles, func(p Profile) bool { return p.Name == name })
	if i < 0 {
		return Profile{}
	}
	return c.Profiles[i]
}

var profileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$`)

func (c Configuration) menuProblems() []error {
	var found []error
	bad := func(format string, args ...any) { found = append(found, fmt.Errorf(format, args...)) }
	known := map[string]bool{}
	for _, p := range c.Profiles {
		switch {
		case !profileName.MatchString(p.Name) || p.Name == "custom":
			bad(`profile %.40q: want a name of letters, digits, dots and hyphens that is not "custom"`, p.Name)
		case known[p.Name]:
			bad("profile %s is there twice", p.Name)
		}
		if p.CPUs < 1 || p.MemoryMiB < 1 || p.NvidiaGPUs < 0 || p.AMDGPUs < 0 {
			bad("profile %.40q: %d CPUs, %d MiB of memory, %d and %d GPUs: want at least 1 CPU and 1 MiB, and no negative GPUs",
				p.Name, p.CPUs, p.MemoryMiB, p.NvidiaGPUs, p.AMDGPUs)
		}
		known[p.Name] = true
	}
	told := map[string]bool{}
	for _, m := range c.Menus {
		name, _ := m.section()
		if told[name] {
			bad("menu [%.40s] is there twice", name)
		}
		told[name] = true
		for _, err := range m.problems(known) {
			bad("menu [%.40s]: %w", name, err)
		}
	}
	if !told["*"] {
		bad("no menu is for everyone: Configuration.For makes one from a domain")
	}
	return found
}

func (m Menu) problems(known map[string]bool) []error {
	var found []error
	bad := func(format string, args ...any) { found = append(found, fmt.Errorf(format, args...)) }
	found = append(found, m.Group.problems()...)
	if m.User != "" && !unixUser.MatchString(m.User) {
		bad("%.40q: want the login of a user", m.User)
	}
	if m.Group != (Group{}) && m.User != "" {
		bad("it is for a group and for a user: want one of them, or neither for everyone")
	}
	if len(m.Profiles) == 0 || len(m.Images) == 0 {
		bad("%d profiles and %d images: want at least one of each, for nobody knows what Workbench makes of none", len(m.Profiles), len(m.Images))
	}
	for _, p := range m.Profiles {
		if !known[p] {
			bad("profile %.40q is not among Profiles", p)
		}
	}
	for _, names := range [][]string{m.Profiles, m.Images} {
		if sorted := slices.Sorted(slices.Values(names)); len(slices.Compact(sorted)) < len(names) {
			found = append(found, errors.New("a profile or an image is there twice"))
		}
	}
	if m.DefaultImage != "" && !slices.Contains(m.Images, m.DefaultImage) {
		bad("the default image %.40q is not among the images", m.DefaultImage)
	}
	if m.MaxCPUs < 0 || m.MaxMemoryMiB < 0 || (m.MaxCPUs == 0) != (m.MaxMemoryMiB == 0) {
		bad("at most %d CPUs and %d MiB: want both above zero, or both zero for profiles only", m.MaxCPUs, m.MaxMemoryMiB)
	}
	return found
}
