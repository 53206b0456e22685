package sagemakerdomain

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/instancetype"
)

// sessionTypes are EC2's names of the types on which an account's quotas let sessions of
// RStudio run, as far as a catalogue has them, sorted.
func sessionTypes(q Quotas, catalog *instancetype.Catalog) (types []string) {
	for _, a := range q.ByType {
		if a.Type != RStudioSession || a.Limit <= 0 {
			continue
		}
		name, ok := instancetype.FromSageMaker(a.InstanceType)
		if _, err := catalog.Type(name); ok && err == nil {
			types = append(types, name)
		}
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// notTaken says what of settings has no counterpart in our domain, and what does instead,
// as far as a domain's own do not say the same; empty is nothing.
func (e Effective) notTaken(base Effective) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if e.ExecutionRole != base.ExecutionRole && e.ExecutionRole != "" {
		add("execution role %s, which sessions have if Policy.Roles lists it and they are started with it", e.ExecutionRole)
	}
	var groups []string
	for _, g := range e.SecurityGroups {
		if !slices.Contains(base.SecurityGroups, g) {
			groups = append(groups, g)
		}
	}
	if len(groups) > 0 {
		add("security groups %s, as hosts are in the domain's, for everybody: SetHostSecurityGroups", strings.Join(groups, ", "))
	}
	if e.Access != base.Access && e.Access == AccessAdmin { // who has no access is told of by planUsers
		add("administrator of RStudio: who manages sessions is decided by the program that serves them")
	}
	if e.SessionInstance != base.SessionInstance {
		add("default type %s: name a type when sessions are started", e.SessionInstance)
	}
	if !slices.Equal(e.Images, base.Images) {
		var names []string
		for _, i := range e.Images {
			names = append(names, i.Image)
		}
		add("images %s: attach them, and have Policy.Images of groups say whose they are", strings.Join(names, ", "))
	}
	return strings.Join(parts, "; ")
}

// planSpaces tells of spaces, whose files are elsewhere: on a volume for each, or of Studio
// Classic in a directory of the space's own uid.
func (a *adoption) planSpaces(ctx context.Context, c *Client, _ AdoptRequest, source Description, _ *present) error {
	count := map[string]int{}
	for s, err := range c.listSpaces(ctx, source.ID) {
		if err != nil {
			return err
		}
		kind := "shared"
		if s.Private {
			kind = "private"
		}
		if s.Type != "" {
			kind += " of " + s.Type.String()
		}
		count[kind]++
	}
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(count)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", count[kind], kind))
	}
	if len(kinds) > 0 {
		a.note(domain.ThingDomain, source.ID, "its spaces, %s, have files of their own, on their volumes or under uids of their own: in nobody's home, and sessions of ours do not see them", strings.Join(kinds, ", "))
	}
	return nil
}
