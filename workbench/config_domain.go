package workbench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/instancetype"
)

// maxProfiles is how many profiles a menu has at most: people choose from a list.
const maxProfiles = 50

// For returns c with what a domain says: Plugin's Domain and Region, Profiles and
// Menus, whatever these were.
//
// A profile is an instance type, by its EC2 name, with what it leaves to sessions:
// all its CPUs and, of its memory, what [instancetype.Type.UsableMemoryMiB] says.
// They are in the order of their price in the domain's region, cheapest first, those
// of unknown price last. A menu lists a type if and only if there is an image on
// which [domain.Domain.Authorize] would grant it, and an image likewise; and it lets
// sessions ask for a size of their own, which is granted as the cheapest type with
// room. Of more than 50 types a menu leaves out those that another one outdoes, which
// costs no more and has as much of everything on the same architecture, and then
// the dearest: to have others listed an administrator names fewer in the policy.
//
// There is one menu for everyone, one for each group that has members and whose
// policy makes another of it, those that offer the least first, and one for each user
// whose groups have several policies that, together, make another than the last of them.
// Members and users are those whom [Accounts] tells: the host knows no others.
// They show the policies and users of now: who changes those makes the files anew, and
// meanwhile a user may see what Authorize refuses. Images are named by their names in
// the domain.
//
// A domain or group whose policies leave nothing to choose is [domain.ErrState],
// and all that are so are told; so are menus that, with all else that c says so far,
// are more than the host can be told. Other errors are the domain's. For changes
// nothing and asks nobody but the domain's store.
func (c Configuration) For(ctx context.Context, d *domain.Domain) (Configuration, error) {
	o, err := readOptions(ctx, d)
	if err != nil {
		return Configuration{}, err
	}
	menus, listed, wrong := o.menus()
	if len(wrong) > 0 {
		return Configuration{}, fmt.Errorf("workbench: configuration for domain %s: %w: %w", d.Name(), domain.ErrState, errors.Join(wrong...))
	}
	c.Plugin.Domain, c.Plugin.Region, c.Menus, c.Profiles = d.Name(), d.Region(), menus, nil
	for _, offer := range o.offers {
		if listed[offer.Type.Name] {
			c.Profiles = append(c.Profiles, profileOf(offer))
		}
	}
	if files, _ := c.withDefaults().render(); tooLarge(files) != nil {
		single := 0
		for _, m := range menus {
			if m.User != "" {
				single++
			}
		}
		return Configuration{}, fmt.Errorf("workbench: configuration for domain %s: %w: %w; %d menus are of single users, who are in several groups with policies: "+
			"put those who are in the same ones into one group, with one policy, or name fewer instance types in policies", d.Name(), domain.ErrState, tooLarge(files), single)
	}
	return c, nil
}

// options are what there is to choose in a domain, and who may.
type options struct {
	catalog      *instancetype.Catalog
	region       string
	defaultImage string
	offers       []instancetype.Offer // that the domain's policy allows, cheapest first
	images       []domain.Image       // that the domain's policy allows, by name
	groups       map[string]selection // of the groups that have a policy
	users        []domain.User        // who have an account
}

// A selection is what a policy allows.
type selection struct {
	types  map[string]bool
	images []string // empty is all
}

func readOptions(ctx context.Context, d *domain.Domain) (options, error) {
	about, err := d.Describe(ctx)
	if err != nil {
		return options{}, err
	}
	if about.Deleting {
		return options{}, fmt.Errorf("workbench: configuration for domain %s: %w: it is being deleted", d.Name(), domain.ErrState)
	}
	o := options{catalog: d.Catalog(), region: d.Region(), defaultImage: about.DefaultImage, groups: map[string]selection{}}
	o.offers = o.allowed(about.Policy)
	for img, err := range d.Images(ctx) {
		if err != nil {
			return options{}, err
		}
		if len(about.Policy.Images) == 0 || slices.Contains(about.Policy.Images, img.Name) {
			o.images = append(o.images, img)
		}
	}
	for name, p := range about.GroupPolicies {
		s := selection{types: map[string]bool{}, images: p.Images}
		for _, offer := range o.allowed(p) {
			s.types[offer.Type.Name] = true
		}
		o.groups[name] = s
	}
	for u, err := range d.Users(ctx) {
		if err != nil {
			return options{}, err
		}
		if hasAccount(u) { // the host knows no others, nor groups of only others
			o.users = append(o.users, u)
		}
	}
	return o, nil
}

// allowed are the types that a policy by itself allows. It is said in the words
// that Authorize decides by; a test holds that the two agree.
func (o options) allowed(p domain.Policy) []instancetype.Offer {
	offers := o.catalog.Offers(o.region, instancetype.Requirements{Allowed: p.Types, MaxPerHour: p.MaxPricePerHour, BareMetal: true})
	if p.Budget != 0 || p.BudgetPerUser != 0 { // where cost matters, it has to be known
		offers = slices.DeleteFunc(offers, func(o instancetype.Offer) bool { return !o.Priced })
	}
	return offers
}

// menus returns the menus, the names of the types that any of them lists, and who
// has nothing to choose.
func (o options) menus() (menus []Menu, listed map[string]bool, wrong []error) {
	everyone := o.menu(nil)
	if everyone.Profiles == nil {
		wrong = append(wrong, errors.New("no instance type that its policy allows runs an attached image that its policy allows; attach an image, or change the policy"))
	}
	var ofGroups []Menu
	for _, name := range slices.Sorted(maps.Keys(o.groups)) {
		m := o.menu([]string{name})
		m.Group = Group{Domain: name}
		switch {
		case m.Profiles == nil && everyone.Profiles != nil:
			wrong = append(wrong, fmt.Errorf("group %s: no instance type that its policy and the domain's allow runs an image that they allow; change its policy", name))
		case o.hasMembers(name) && !m.offersSame(everyone):
			ofGroups = append(ofGroups, m)
		}
	}
	// Who is in several groups, of which one offers all that the others do, needs no menu
	// of their own if that is the last.
	slices.SortStableFunc(ofGroups, func(a, b Menu) int {
		return cmp.Compare(len(a.Profiles)+len(a.Images), len(b.Profiles)+len(b.Images))
	})
	menus = append([]Menu{everyone}, ofGroups...)
	for _, u := range o.users {
		policies := slices.DeleteFunc(slices.Sorted(slices.Values(u.Groups)), func(g string) bool {
			_, ok := o.groups[g]
			return !ok
		})
		if len(policies) < 2 {
			continue
		}
		shown := everyone
		for _, m := range ofGroups {
			if slices.Contains(policies, m.Group.Domain) {
				shown = m
			}
		}
		if m := o.menu(policies); !m.offersSame(shown) {
			m.User = u.Login
			menus = append(menus, m)
		}
	}
	listed = map[string]bool{}
	for _, m := range menus {
		for _, name := range m.Profiles {
			listed[name] = true
		}
	}
	return menus, listed, wrong
}

// hasMembers reports whether a group has users.
func (o options) hasMembers(group string) bool {
	return slices.ContainsFunc(o.users, func(u domain.User) bool { return slices.Contains(u.Groups, group) })
}

func (m Menu) offersSame(n Menu) bool {
	return slices.Equal(m.Profiles, n.Profiles) && slices.Equal(m.Images, n.Images) && m.DefaultImage == n.DefaultImage &&
		m.MaxCPUs == n.MaxCPUs && m.MaxMemoryMiB == n.MaxMemoryMiB
}

// menu is what the members of groups may choose: what the domain allows and, if any
// of the groups has a policy, as a whole at least one of these.
func (o options) menu(groups []string) Menu {
	var types []instancetype.Offer
	used := map[string]bool{}
	for _, offer := range o.offers {
		runs := false
		for _, img := range o.images {
			if img.CheckArchitecture(string(offer.Type.Arch)) == nil && o.grants(groups, offer.Type.Name, img.Name) {
				runs, used[img.Name] = true, true
			}
		}
		if runs {
			types = append(types, offer)
		}
	}
	var m Menu
	for _, offer := range types {
		if offer.Type.BareMetal {
			continue // which is had by its name only
		}
		m.MaxCPUs = max(m.MaxCPUs, offer.Type.VCPUs)
		m.MaxMemoryMiB = max(m.MaxMemoryMiB, offer.Type.UsableMemoryMiB())
	}
	for _, offer := range shortlist(types) {
		m.Profiles = append(m.Profiles, offer.Type.Name)
	}
	m.Images = slices.Sorted(maps.Keys(used))
	if used[o.defaultImage] {
		m.DefaultImage = o.defaultImage
	}
	return m
}

func (o options) grants(groups []string, typ, image string) bool {
	return len(groups) == 0 || slices.ContainsFunc(groups, func(g string) bool {
		s := o.groups[g]
		return s.types[typ] && (len(s.images) == 0 || slices.Contains(s.images, image))
	})
}

// shortlist keeps of too many offers, cheapest first, those that are worth it.
func shortlist(offers []instancetype.Offer) []instancetype.Offer {
	if len(offers) <= maxProfiles {
		return offers
	}
	var kept []instancetype.Offer
	for _, o := range offers {
		outdone := slices.ContainsFunc(kept, func(k instancetype.Offer) bool {
			return k.Type.Arch == o.Type.Arch && k.Type.VCPUs >= o.Type.VCPUs && k.Type.MemoryMiB >= o.Type.MemoryMiB &&
				k.Type.GPUs >= o.Type.GPUs && (o.Type.GPUName == "" || k.Type.GPUName == o.Type.GPUName)
		})
		if !outdone && len(kept) < maxProfiles {
			kept = append(kept, o)
		}
	}
	return kept
}

func profileOf(o instancetype.Offer) Profile {
	t := o.Type
	p := Profile{Name: t.Name, CPUs: t.VCPUs, MemoryMiB: t.UsableMemoryMiB()}
	switch t.GPUManufacturer {
	case "NVIDIA":
		p.NvidiaGPUs = t.GPUs
	case "AMD":
		p.AMDGPUs = t.GPUs
	}
	what := []string{fmt.Sprintf("%d vCPU", t.VCPUs), strconv.FormatFloat(float64(t.MemoryMiB)/1024, 'f', -1, 64) + " GiB"}
	switch {
	case t.GPUs > 0:
		what = append(what, strings.TrimSpace(fmt.Sprintf("%d %s", t.GPUs, cmp.Or(t.GPUName, "GPU"))))
	case t.GPUName != "":
		what = append(what, "part of one "+t.GPUName)
	}
	if o.Priced {
		what = append(what, o.Price.PerHour.String()+" an hour")
	} else {
		what = append(what, "price unknown")
	}
	p.Title = fmt.Sprintf("%s (%s)", t.Name, strings.Join(what, ", "))
	return p
}
