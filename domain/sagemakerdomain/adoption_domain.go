package sagemakerdomain

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// planDomain plans the domain itself and how its hosts reach the file system.
func (a *adoption) planDomain(ctx context.Context, c *Client, q AdoptRequest, source Description, ours *present) error {
	if source.Status != InService && source.Status != UpdateFailed && source.Status != Updating {
		a.block(domain.ThingDomain, source.ID, "it is %s", strings.TrimSpace(fmt.Sprintf("%s %s", source.Status, source.FailureReason)))
	}
	if source.FileSystem == "" {
		a.block(domain.ThingFileSystem, source.ID, "the domain has none: have SageMaker make it (HomeEfsFileSystemCreation), or let the first user sign in")
	}
	groups, err := c.NFSGroups(ctx, source.ID)
	if err != nil {
		return err
	}
	external := domain.External{Keeper: keeper + source.ID, FileSystem: source.FileSystem}
	if groups.Outbound == "" {
		a.block(domain.ThingSecurityGroup, outboundName(source.ID), "it is gone, and with it the way to the homes: "+
			"make it again, or another that may reach TCP 2049 of the mount targets, under this name and with SageMaker's tag")
	} else {
		external.HostSecurityGroups = []string{groups.Outbound}
	}
	a.create = domain.CreateRequest{Name: q.Name, VPC: source.VPC, Subnets: q.Subnets, External: external, Policy: q.Policy}
	if len(q.Subnets) == 0 {
		a.create.Subnets = slices.Sorted(slices.Values(source.Subnets))
	}
	own, err := c.hostsGroup(ctx, source.VPC, q.Name)
	if err != nil {
		return err
	}
	over := true
	if ours == nil {
		if err := a.planTypes(ctx, c); err != nil {
			return err
		}
	} else if over = a.planAgain(ours, q, source.Subnets); over && groups.Outbound != "" {
		if err := a.planGroups(ctx, c, ours, groups.Outbound); err != nil {
			return err
		}
	}
	check := a.create
	if check.External.FileSystem == "" { // which is told already
		check.External = domain.External{}
	}
	refusals, err := a.to.CheckCreate(ctx, check)
	if err != nil {
		return err
	}
	a.refuse(domain.ThingDomain, printable(q.Name), refusals)
	if over && source.FileSystem != "" && groups.Outbound != "" {
		if err := a.planReach(ctx, c, source, groups.Outbound, own); err != nil {
			return err
		}
	}
	if ours == nil && len(a.blocks) == 0 {
		a.tellOfDomain(q, source, groups.Outbound, own)
	}
	if ours != nil && over && own == "" {
		a.make(domain.ThingSecurityGroup, hostsGroupName(q.Name), "of our hosts, again, since it is gone")
	}
	a.tellOfNetwork(source, groups, len(refusals) == 0)
	return nil
}

// hostsGroup is the security group of the hosts of a domain of ours, which may be there without
// the domain's records; empty is that there is none.
func (c *Client) hostsGroup(ctx context.Context, vpc, name string) (string, error) {
	if domain.CheckName("domain", name) != nil {
		return "", nil //nolint:nilerr // CheckCreate tells it
	}
	found, err := c.groups(ctx, append(append(filters("vpc-id", vpc), filters("group-name", hostsGroupName(name))...), filters("tag:"+domain.TagDomain, name)...))
	if err != nil || len(found) == 0 {
		return "", err
	}
	return *found[0].GroupId, nil
}

// hostsGroupName is as [domain.Client.Create] says.
func hostsGroupName(name string) string { return "atelier-" + name + "-hosts" }

// tellOfDomain says what is made of a domain that is new, or is made again.
func (a *adoption) tellOfDomain(q AdoptRequest, source Description, outbound, own string) {
	a.make(domain.ThingDomain, q.Name, "over %s of %s, in %s of %s", source.FileSystem, source.ID, strings.Join(a.create.Subnets, ", "), source.VPC)
	if own == "" {
		a.make(domain.ThingSecurityGroup, hostsGroupName(q.Name), "of our hosts, which are in %s, too", outbound)
	} else {
		a.stay(domain.ThingSecurityGroup, hostsGroupName(q.Name), "%s of our hosts, found again; they are in %s, too", own, outbound)
	}
	if len(q.Policy.Types) == 0 {
		a.make(domain.ThingPolicy, q.Name, "the domain's allows the types that the account's quotas let RStudio's sessions run on, unless Policy.Types names others: %s", strings.Join(a.create.Policy.Types, ", "))
	}
	a.tellOfBefore(q, len(source.Subnets))
}

// planAgain plans what becomes of a domain that exists: what differs for good blocks,
// what is another's to decide stays. It reports whether the domain is over the file system.
func (a *adoption) planAgain(ours *present, q AdoptRequest, theirs []string) (over bool) {
	have, want, asked := ours.External, a.create.External, q.Subnets
	switch {
	case have.Keeper != want.Keeper:
		what := "has a file system of its own"
		if have.Keeper != "" {
			what = "is over that of " + have.Keeper
		}
		a.block(domain.ThingDomain, ours.Name, "a domain of this name exists and %s: choose another name", what)
	case want.FileSystem != "" && have.FileSystem != want.FileSystem:
		a.block(domain.ThingFileSystem, have.FileSystem, "SageMaker has %s in its place: adopt it under another name, and delete domain %s, whose homes are gone", want.FileSystem, ours.Name)
	default:
		over = true
	}
	var subnets []string
	for _, s := range ours.Subnets {
		subnets = append(subnets, s.ID)
	}
	slices.Sort(subnets)
	other := func(s string) bool { return !slices.Contains(theirs, s) }
	switch wanted := slices.Sorted(slices.Values(asked)); {
	case len(asked) > 0 && !slices.Equal(subnets, wanted):
		a.differ(domain.ThingDomain, ours.Name, "in %s, not in %s, which Subnets says: they are for good, and only another domain has others", strings.Join(subnets, ", "), strings.Join(wanted, ", "))
	case slices.ContainsFunc(subnets, other):
		a.differ(domain.ThingDomain, ours.Name, "in %s, although SageMaker is in %s", strings.Join(subnets, ", "), strings.Join(slices.Sorted(slices.Values(theirs)), ", "))
	case len(subnets) < len(theirs):
		a.stay(domain.ThingDomain, ours.Name, "in %s of SageMaker's %d subnets", strings.Join(subnets, ", "), len(theirs))
	}
	if over && !samePolicy(q.Policy, ours.Policy) {
		a.differ(domain.ThingPolicy, ours.Name, "the domain's stays as it is, and Policy, which is another, is not heeded: change it by Domain.SetPolicy")
	}
	a.create.Subnets, a.create.Policy, a.create.Tags = subnets, ours.Policy, ours.Tags
	a.create.KMSKeyID, a.create.External = ours.KMSKeyID, have // what is another is told above, and groups by planGroups
	return over
}

// planGroups plans that hosts are in SageMaker's group for outbound NFS, if that is another
// now. Others that an administrator has added stay, as long as they are there.
func (a *adoption) planGroups(ctx context.Context, c *Client, ours *present, outbound string) error {
	have := ours.External.HostSecurityGroups
	there := map[string]bool{}
	if len(have) > 0 {
		found, err := c.groups(ctx, filters("group-id", have...))
		if err != nil {
			return err
		}
		for _, g := range found {
			there[*g.GroupId] = true
		}
	}
	var want, lost []string
	for _, g := range have {
		if there[g] {
			want = append(want, g)
		} else {
			lost = append(lost, g)
		}
	}
	added := !slices.Contains(want, outbound)
	if added {
		want = append(want, outbound)
	}
	if !added && len(lost) == 0 {
		return nil
	}
	a.groups = want
	instead := ""
	if len(lost) > 0 {
		instead = fmt.Sprintf(", in place of %s, which is gone", strings.Join(lost, ", "))
	}
	a.make(domain.ThingSecurityGroup, strings.Join(want, ", "), "of hosts that start later%s, once their fleet is set up with the domain's HostSecurityGroups as they are then", instead)
	refusals, err := ours.handle.CheckHostSecurityGroups(ctx, want)
	for i, r := range refusals {
		refusals[i] = fmt.Errorf("%w; the domain's hosts are in %s: take out by SetHostSecurityGroups what they do without", r, strings.Join(have, ", "))
	}
	a.refuse(domain.ThingSecurityGroup, outbound, refusals)
	return err
}

// samePolicy reports whether what was asked for is what a domain has, as far as anything was:
// types that are not given are those of the domain.
func samePolicy(asked, has domain.Policy) bool {
	if asked.Equal(domain.Policy{}) {
		return true
	}
	if len(asked.Types) == 0 {
		asked.Types = has.Types
	}
	return asked.Equal(has)
}

// tellOfBefore says what a domain that was here before had and nobody knows any more.
func (a *adoption) tellOfBefore(q AdoptRequest, subnets int) {
	homes := 0
	for _, p := range a.points {
		if p.User != "" && p.Tags[domain.TagDomain] == q.Name {
			homes++
		}
	}
	if homes == 0 {
		return
	}
	where := ""
	if len(q.Subnets) == 0 && subnets > 1 {
		where = "; in which subnets it was is lost, too, so that it is in all of SageMaker's unless Subnets says in which"
	}
	a.differ(domain.ThingDomain, q.Name, "was there before, and its access points of %d homes are here: they are opened by the same users; groups, policies, images and projects of then "+
		"have to be given again, and if its records were lost, logins too, and who was offboarded has to be so again%s", homes, where)
}

// printable keeps a caller's text from breaking a line.
func printable(name string) string {
	if domain.CheckName("domain", name) == nil {
		return name
	}
	return fmt.Sprintf("%.40q", name)
}

// planTypes gives a policy that names no types EC2's of those on which the account's quotas
// let sessions of RStudio run: who may use what stays as it is there. Where they do not say, the
// caller has to: no types would be all.
func (a *adoption) planTypes(ctx context.Context, c *Client) error {
	if len(a.create.Policy.Types) > 0 {
		return nil
	}
	const give = `name them in Policy.Types, "*" for all`
	q, err := c.quotas(ctx)
	if kindOf(err) == domain.ErrDenied {
		a.refuse(domain.ThingPolicy, printable(a.create.Name), []error{refusal.New(domain.ErrDenied, "the credentials may not read the account's quotas, "+
			"which say on what types RStudio's sessions run: allow servicequotas:ListAWSDefaultServiceQuotas and servicequotas:ListServiceQuotas, or %s", give)})
		return nil
	}
	if err != nil {
		return refusal.Step("quotas", err)
	}
	a.create.Policy.Types = sessionTypes(q, a.to.Catalog())
	if len(a.create.Policy.Types) == 0 {
		a.refuse(domain.ThingPolicy, printable(a.create.Name), []error{refusal.New(domain.ErrInvalid, "the account's quotas let RStudio's sessions run on no type that is known here: %s", give)})
	}
	return nil
}
