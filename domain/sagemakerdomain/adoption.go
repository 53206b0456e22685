package sagemakerdomain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/refusal"
)

// An adoption is what is to be done so that a domain of ours is one of SageMaker's.
type adoption struct {
	to     *domain.Client
	create domain.CreateRequest
	images []domain.AttachRequest  // that are not attached as they are there
	users  []domain.OnboardRequest // who are not users yet, or not any more
	gone   []string                // users whose profile is gone

	blocks, makes, ends []domain.Consequence
	apart               []domain.Consequence // what differs and stays so
	stays               []domain.Consequence
}

// differences are what is not as it is there.
func (a *adoption) differences() []domain.Consequence {
	return slices.Concat(a.blocks, a.makes, a.ends, a.apart)
}

func (a *adoption) block(thing domain.Thing, name, format string, args ...any) {
	a.blocks = append(a.blocks, domain.Consequence{Fate: domain.Blocks, Thing: thing, Name: name, Detail: fmt.Sprintf(format, args...)})
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
	if err := a.planDomain(ctx, c, q, source, ours); err != nil {
		return nil, err
	}
	if err := a.planImages(ctx, c, q, source, ours); err != nil {
		return nil, err
	}
	if err := a.planUsers(ctx, c, q, ours); err != nil {
		return nil, err
	}
	return a, a.checkHomes(ctx, c, q, source)
}

// A present is a domain of ours that exists; nil is none.
type present struct {
	domain.Description
	users  map[uint32]domain.User
	names  map[string]domain.User
	images map[string]domain.Image // by name
}

func ourDomain(ctx context.Context, to *domain.Client, name string) (*present, error) {
	d, err := to.Get(ctx, name)
	if errors.Is(err, domain.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := &present{users: map[uint32]domain.User{}, names: map[string]domain.User{}, images: map[string]domain.Image{}}
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
	a.create = domain.CreateRequest{
		Name: q.Name, VPC: source.VPC, Subnets: slices.Sorted(slices.Values(source.Subnets)), External: external, Policy: q.Policy,
	}
	if ours == nil {
		a.make(domain.ThingDomain, q.Name, "over %s of %s, in %s of %s", source.FileSystem, source.ID, strings.Join(a.create.Subnets, ", "), source.VPC)
		a.make(domain.ThingSecurityGroup, "atelier-"+q.Name+"-hosts", "of our hosts, which are in %s, too", groups.Outbound)
	} else {
		a.planAgain(ours)
	}
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
	return nil
}

// planAgain plans what becomes of a domain that exists: what differs for good blocks,
// what is another's to decide stays.
func (a *adoption) planAgain(ours *present) {
	have, want := ours.External, a.create.External
	switch {
	case have.Keeper != want.Keeper:
		what := "has a file system of its own"
		if have.Keeper != "" {
			what = "is over that of " + have.Keeper
		}
		a.block(domain.ThingDomain, ours.Name, "a domain of this name exists and %s: choose another name", what)
	case have.FileSystem != want.FileSystem:
		a.block(domain.ThingFileSystem, have.FileSystem, "SageMaker has %s in its place: adopt it under another name, and delete domain %s, whose homes are gone", want.FileSystem, ours.Name)
	case len(want.HostSecurityGroups) > 0 && !slices.Equal(have.HostSecurityGroups, want.HostSecurityGroups):
		a.block(domain.ThingSecurityGroup, strings.Join(have.HostSecurityGroups, ", "), "SageMaker has %s in its place: delete domain %s and adopt again; uids and homes stay, groups, policies and images have to be given again",
			strings.Join(want.HostSecurityGroups, ", "), ours.Name)
	}
	var subnets []string
	for _, s := range ours.Subnets {
		subnets = append(subnets, s.ID)
	}
	slices.Sort(subnets)
	if !slices.Equal(subnets, a.create.Subnets) {
		a.differ(domain.ThingDomain, ours.Name, "in %s, although SageMaker is in %s", strings.Join(subnets, ", "), strings.Join(a.create.Subnets, ", "))
	}
	a.create.Subnets, a.create.Policy, a.create.Tags = subnets, ours.Policy, ours.Tags
}

// planUsers plans a user for each profile.
func (a *adoption) planUsers(ctx context.Context, c *Client, q AdoptRequest, ours *present) error {
	profiles, err := c.wholeProfiles(ctx, q.ID)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, p := range profiles {
		name, taken := a.userOf(q, p, ours)
		switch {
		case name == "":
			known[taken] = taken != ""
			continue
		case known[name]:
			a.block(domain.ThingUser, name, "two profiles would be this user, %s is one of them: name them by Users", p.Name)
			continue
		}
		known[name] = true
		onboard := domain.OnboardRequest{User: name, UID: p.UID}
		if ours != nil {
			u := ours.names[name]
			switch {
			case u.UID != p.UID: // there is none yet
			case !u.Offboarded.IsZero():
				a.differ(domain.ThingUser, name, "was offboarded here, profile %s is there: onboard them, with uid %d, if that is not meant", p.Name, p.UID)
				continue
			case !u.Onboarded.IsZero():
				a.stay(domain.ThingUser, name, "with uid %d, profile %s", p.UID, p.Name)
				continue
			}
			onboard.Groups, onboard.Login = u.Groups, u.Login
		}
		a.users = append(a.users, onboard)
		a.make(domain.ThingUser, name, "with uid %d, profile %s", p.UID, p.Name)
		a.make(domain.ThingAccessPoint, fmt.Sprintf("/%d", p.UID), "of the home of %s, entered as %d", name, p.UID)
	}
	if ours == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(ours.names)) {
		if !known[name] && ours.names[name].Offboarded.IsZero() {
			a.gone = append(a.gone, name)
			a.ends = append(a.ends, domain.Consequence{Fate: domain.Ends, Thing: domain.ThingUser, Name: name, Detail: "has no profile any more; home and records stay"})
		}
	}
	return nil
}

// checkHomes blocks what would open a home that a domain of ours has already, in another's
// name: the file system has one access point of ours for a uid.
func (a *adoption) checkHomes(ctx context.Context, c *Client, q AdoptRequest, source Description) error {
	if source.FileSystem == "" || len(a.users) == 0 {
		return nil
	}
	asked := map[uint32]string{}
	for _, u := range a.users {
		asked[u.UID] = u.User
	}
	for p, err := range c.files.AccessPoints(ctx, source.FileSystem) {
		if err != nil {
			return err
		}
		user, ok := asked[p.UID]
		of := p.Tags[domain.TagDomain]
		if ok && p.User != "" && (p.User != user || of != q.Name) {
			a.block(domain.ThingHome, p.Path, "is that of user %s of domain %s, and would be that of %s of %s: adopt under that name, with that name in Users, or delete access point %s (files stay)",
				p.User, of, user, q.Name, p.ID)
		}
	}
	return nil
}

// userOf is the name of the user that a profile is. If it is to be left out, it is empty
// and left is the user whom it keeps from being taken for gone, if there is one.
func (a *adoption) userOf(q AdoptRequest, p Profile, ours *present) (name, left string) {
	name = cmp.Or(lookup(q.Users, p.Name), strings.ToLower(p.Name))
	if ours != nil {
		if u, ok := ours.users[p.UID]; ok && p.UID != 0 {
			name = u.Name // whoever has the uid is the profile's user, by whatever name
		}
	}
	switch {
	case p.Status == Deleting:
		a.differ(domain.ThingUser, name, "profile %s is being deleted", p.Name)
		return "", name
	case p.UID == 0:
		a.differ(domain.ThingUser, name, "profile %s has no uid yet: it is left out; adopt again when it has signed in", p.Name)
		return "", name
	case p.Status != InService && p.Status != Updating && p.Status != UpdateFailed:
		a.differ(domain.ThingUser, name, "profile %s is %s: it is left out", p.Name, p.Status)
		return "", name
	case domain.CheckName("user", name) != nil:
		a.differ(domain.ThingUser, p.Name, "is left out: %v; name the user of this profile by Users", domain.CheckName("user", name))
		return "", ""
	}
	if ours == nil {
		return name, ""
	}
	if u, ok := ours.names[name]; ok && u.UID != 0 && u.UID != p.UID {
		a.differ(domain.ThingUser, name, "profile %s was made anew, with uid %d and the home /%d, which are not the user's, %d and %s: it is left out; name the user that it is by Users",
			p.Name, p.UID, p.UID, u.UID, u.Home.Path)
		return "", ""
	}
	return name, ""
}

// lookup finds what a map has for a name, whose case does not matter.
func lookup(m map[string]string, name string) string {
	for key, value := range m {
		if strings.EqualFold(key, name) {
			return value
		}
	}
	return ""
}

// wholeProfiles returns the profiles of a domain in the order of their names. One that is
// gone before it is looked at is not among them.
func (c *Client) wholeProfiles(ctx context.Context, id string) (all []Profile, err error) {
	var names []string
	for s, err := range c.listProfiles(ctx, id) {
		if err != nil {
			return nil, err
		}
		names = append(names, s.Name)
	}
	slices.Sort(names)
	for _, name := range names {
		p, err := c.profile(ctx, id, name)
		if kindOf(err) == domain.ErrNotFound {
			continue
		}
		if err != nil {
			return nil, refusal.Step("user profile "+name, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// planImages plans to attach the container images that RStudio offers there. An image
// that is attached already is so by whatever name.
func (a *adoption) planImages(ctx context.Context, c *Client, q AdoptRequest, source Description, ours *present) error {
	attached := map[string]string{} // names by reference
	if ours != nil {
		for name, i := range ours.images {
			attached[i.Source] = name
		}
	}
	done := map[string]bool{}
	for _, i := range source.Images {
		v, err := c.version(ctx, i.Image, i.Version)
		switch {
		case err != nil && kindOf(err) == domain.ErrNotFound:
			a.differ(domain.ThingImage, i.Image, "is left out: SageMaker names it and does not have it")
			continue
		case err != nil:
			return refusal.Step("image "+i.Image, err)
		case v.Status != string(types.ImageVersionStatusCreated):
			a.differ(domain.ThingImage, i.Image, "is left out: its version %d is %s", v.Number, v.Status)
			continue
		}
		reference := cmp.Or(v.Container, v.Base)
		if name := attached[reference]; name != "" {
			a.stay(domain.ThingImage, name, "%s", reference)
			done[name] = true
			continue
		}
		name := cmp.Or(lookup(q.Images, i.Image), strings.ToLower(i.Image))
		if err := domain.CheckName("image", name); err != nil {
			a.differ(domain.ThingImage, i.Image, "is left out: %v; name it by Images, or attach it", err)
			continue
		}
		if done[name] {
			a.differ(domain.ThingImage, i.Image, "is left out: another of SageMaker's images is %s; name it by Images", name)
			continue
		}
		done[name] = true
		if ours != nil && ours.images[name].Source != "" {
			a.differ(domain.ThingImage, name, "is %s here and %s there, version %d of %s: attach that, if it is meant", ours.images[name].Source, reference, v.Number, i.Image)
			continue
		}
		a.images = append(a.images, domain.AttachRequest{Name: name, Reference: reference})
		a.make(domain.ThingImage, name, "%s, version %d of %s", reference, v.Number, i.Image)
	}
	if ours == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(ours.images)) {
		if !done[name] {
			a.differ(domain.ThingImage, name, "is offered here alone")
		}
	}
	return nil
}

// version describes a version of a SageMaker image; zero is the latest.
func (c *Client) version(ctx context.Context, name string, number int32) (ImageVersion, error) {
	in := &awssagemaker.DescribeImageVersionInput{ImageName: &name}
	if number > 0 {
		in.Version = &number
	}
	out, err := c.aws.SageMaker.DescribeImageVersion(ctx, in)
	if err != nil {
		return ImageVersion{}, err
	}
	return versionOf(name, out), nil
}
