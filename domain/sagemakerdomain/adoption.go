package sagemakerdomain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/internal/refusal"
)

// An adoption is what is to be done so that a domain of ours is one of SageMaker's.
type adoption struct {
	to     *domain.Client
	create domain.CreateRequest
	groups []string                // of hosts, in place of those that the domain has; nil is none
	images []domain.AttachRequest  // that are not attached as they are there
	users  []domain.OnboardRequest // who are not users yet, or not any more
	gone   []string                // users whose profile is gone

	points []efs.AccessPoint // that are ours on the file system
	wrong  problems          // what blocks, as sentences

	blocks, makes, ends []domain.Consequence
	apart               []domain.Consequence // what differs and stays so
	stays               []domain.Consequence
}

// differences are what is not as it is there.
func (a *adoption) differences() []domain.Consequence {
	return slices.Concat(a.blocks, a.makes, a.ends, a.apart)
}

func (a *adoption) block(thing domain.Thing, name, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	a.blocks = append(a.blocks, domain.Consequence{Fate: domain.Blocks, Thing: thing, Name: name, Detail: detail})
	a.wrong.add(domain.ErrState, "%s %s: %s", thing, name, detail)
}

// refuse blocks for what package domain would refuse.
func (a *adoption) refuse(thing domain.Thing, name string, refusals []error) {
	for _, err := range refusals {
		a.blocks = append(a.blocks, domain.Consequence{Fate: domain.Blocks, Thing: thing, Name: name, Detail: err.Error()})
		a.wrong = append(a.wrong, fmt.Errorf("%s %s: %w", thing, name, err)) // which has its kind
	}
}

func (a *adoption) make(thing domain.Thing, name, format string, args ...any) {
	a.makes = append(a.makes, domain.Consequence{Fate: domain.Makes, Thing: thing, Name: name, Detail: fmt.Sprintf(format, args...)})
}

func (a *adoption) differ(thing domain.Thing, name, format string, args ...any) {
	a.apart = append(a.apart, domain.Consequence{Fate: domain.Stays, Thing: thing, Name: name, Detail: fmt.Sprintf(format, args...)})
}

func (a *adoption) stay(thing domain.Thing, name, format string, args ...any) {
	a.stays = append(a.stays, domain.Consequence{Fate: domain.Stays, Thing: thing, Name: name, Detail: fmt.Sprintf(format, args...)})
}

// planAdoption reads SageMaker's domain and ours, if there is one.
func (c *Client) planAdoption(ctx context.Context, to *domain.Client, q AdoptRequest) (*adoption, error) {
	var wrong problems
	wrong.checkDomainID(q.ID)
	if to == nil {
		wrong.add(domain.ErrInvalid, "the client of domains is nil")
	}
	if err := wrong.err(); err != nil {
		return nil, err
	}
	source, err := c.describe(ctx, q.ID)
	if err != nil {
		return nil, err
	}
	ours, err := ourDomain(ctx, to, q.Name)
	if err != nil {
		return nil, err
	}
	a := &adoption{to: to}
	if err := a.readPoints(ctx, c, source.FileSystem); err != nil {
		return nil, err
	}
	for _, plan := range []func(context.Context, *Client, AdoptRequest, Description, *present) error{
		a.planDomain, a.planImages, a.planUsers, a.planSpaces,
	} {
		if err := plan(ctx, c, q, source, ours); err != nil {
			return nil, err
		}
	}
	a.checkHomes(q.Name)
	return a, nil
}

// readPoints reads which access points of ours a file system has. One that is gone has
// none.
func (a *adoption) readPoints(ctx context.Context, c *Client, fileSystem string) error {
	if fileSystem == "" {
		return nil
	}
	for p, err := range c.files.AccessPoints(ctx, fileSystem) {
		if err != nil && kindOf(err) == domain.ErrNotFound {
			return nil
		}
		if err != nil {
			return err
		}
		if p.Tags[domain.TagDomain] != "" {
			a.points = append(a.points, p)
		}
	}
	return nil
}

// A present is a domain of ours that exists; nil is none.
type present struct {
	domain.Description
	handle *domain.Domain
	users  map[uint32]domain.User
	names  map[string]domain.User
	images map[string]domain.Image // by name
}

// ourDomain reads the domain of a name. A name that is none, and a domain elsewhere, are none
// here: Create refuses them.
func ourDomain(ctx context.Context, to *domain.Client, name string) (*present, error) {
	d, err := to.Get(ctx, name)
	if errors.Is(err, domain.ErrNotFound) || errors.Is(err, domain.ErrInvalid) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := &present{handle: d, users: map[uint32]domain.User{}, names: map[string]domain.User{}, images: map[string]domain.Image{}}
	if p.Description, err = d.Describe(ctx); err != nil {
		return nil, err
	}
	for u, err := range d.Users(ctx) {
		if err != nil {
			return nil, err
		}
		p.names[u.Name] = u
		if u.UID != 0 {
			p.users[u.UID] = u
		}
	}
	for i, err := range d.Images(ctx) {
		if err != nil {
			return nil, err
		}
		p.images[i.Name] = i
	}
	return p, nil
}

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
	if ours == nil {
		a.make(domain.ThingDomain, printable(q.Name), "over %s of %s, in %s of %s", source.FileSystem, source.ID, strings.Join(a.create.Subnets, ", "), source.VPC)
		a.make(domain.ThingSecurityGroup, "atelier-"+printable(q.Name)+"-hosts", "of our hosts, which are in %s, too", groups.Outbound)
		a.tellOfBefore(q.Name)
		if err := a.planTypes(ctx, c); err != nil {
			return err
		}
	} else {
		if over := a.planAgain(ours, q.Subnets, source.Subnets); over && groups.Outbound != "" {
			if err := a.planGroups(ctx, c, ours, groups.Outbound); err != nil {
				return err
			}
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
	a.tellOfNetwork(source, groups)
	return nil
}

// tellOfNetwork says what stays of SageMaker's network, and what ours needs besides.
func (a *adoption) tellOfNetwork(source Description, groups NFSGroups) {
	if source.FileSystem != "" {
		a.stay(domain.ThingFileSystem, source.FileSystem, "with its mount targets and all files")
	}
	for _, g := range []string{groups.Inbound, groups.Outbound} {
		if g != "" {
			a.stay(domain.ThingSecurityGroup, g, "with its rules")
		}
	}
	for _, g := range source.SecurityGroups {
		a.stay(domain.ThingSecurityGroup, g, "of SageMaker's apps; our hosts are not in it")
	}
	// "Non-EFS traffic is through a VPC managed by Amazon SageMaker AI" (API_CreateDomain,
	// AppNetworkAccessType).
	theirs := "go through a network of SageMaker's own"
	if source.NetworkType == "VpcOnly" {
		theirs = "are VpcOnly and may have endpoints of other services alone"
	}
	a.stay(ThingSubnet, strings.Join(a.create.Subnets, ", "), "as they are: hosts there need a way to Secrets Manager, ECR, CloudWatch Logs, EFS and Amazon Linux's packages, "+
		"a NAT gateway or VPC endpoints, which nobody has looked for; that the apps of %s work is no sign of one: they %s", source.ID, theirs)
}

// planAgain plans what becomes of a domain that exists: what differs for good blocks,
// what is another's to decide stays. It reports whether the domain is over the file system.
func (a *adoption) planAgain(ours *present, asked, theirs []string) (over bool) {
	have, want := ours.External, a.create.External
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
		a.differ(domain.ThingDomain, ours.Name, "in %s, not in %s: a domain's subnets are for good", strings.Join(subnets, ", "), strings.Join(wanted, ", "))
	case slices.ContainsFunc(subnets, other):
		a.differ(domain.ThingDomain, ours.Name, "in %s, although SageMaker is in %s", strings.Join(subnets, ", "), strings.Join(slices.Sorted(slices.Values(theirs)), ", "))
	case len(subnets) < len(theirs):
		a.stay(domain.ThingDomain, ours.Name, "in %s of SageMaker's %d subnets", strings.Join(subnets, ", "), len(theirs))
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
	a.refuse(domain.ThingSecurityGroup, outbound, refusals)
	return err
}

// tellOfBefore says what a domain that was here before had and nobody knows any more.
func (a *adoption) tellOfBefore(name string) {
	homes := 0
	for _, p := range a.points {
		if p.User != "" && p.Tags[domain.TagDomain] == name {
			homes++
		}
	}
	if homes > 0 {
		a.differ(domain.ThingDomain, printable(name), "was there before, and its access points of %d homes are here: they are opened by the same users; groups, policies, images and projects of then "+
			"have to be given again, and if its records were lost, logins too, and who was offboarded has to be so again", homes)
	}
}

// printable keeps a caller's text from breaking a line.
func printable(name string) string {
	if domain.CheckName("domain", name) == nil {
		return name
	}
	return fmt.Sprintf("%.40q", name)
}

// planTypes gives a policy that names no types EC2's of those on which the account's quotas
// let sessions of RStudio run: who may use what stays as it is there.
func (a *adoption) planTypes(ctx context.Context, c *Client) error {
	if len(a.create.Policy.Types) > 0 {
		return nil
	}
	q, err := c.quotas(ctx)
	if kindOf(err) == domain.ErrDenied {
		a.stay(domain.ThingPolicy, printable(a.create.Name), "the domain's allows types as it is given: the credentials may not read the account's quotas, which would say what types RStudio's sessions run on")
		return nil
	}
	if err != nil {
		return refusal.Step("quotas", err)
	}
	types := sessionTypes(q, a.to.Catalog())
	if len(types) == 0 {
		a.stay(domain.ThingPolicy, printable(a.create.Name), "the domain's allows types as it is given: the account's quotas let RStudio's sessions run on none that is known here")
		return nil
	}
	a.create.Policy.Types = types
	a.make(domain.ThingPolicy, printable(a.create.Name), "the domain's allows the types that the account's quotas let RStudio's sessions run on, unless Policy.Types names others: %s", strings.Join(types, ", "))
	return nil
}
