package domain

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/efs"
)

// An External is a file system that another keeps, SageMaker for example, who also
// gives its users their uids: the domain opens its homes beside theirs. The zero value
// is none: the domain makes a file system and gives uids itself.
//
// The domain never changes or deletes the file system, its tags, its mount targets, its
// security groups or a home, and gives no uid: [Domain.Onboard] is told each user's. What
// it makes there are access points, one for each home and project. That the gid of a
// project that was deleted is not given again is known to the records alone.
type External struct {
	// Keeper says who keeps it, for people: "SageMaker domain d-abc123". Required
	// with a FileSystem; 1 to 100 characters of ASCII.
	Keeper string
	// FileSystem is EFS's ("fs-0123456789abcdef0"). It has to have a mount target in
	// the zone of each of the domain's subnets.
	FileSystem string
	// HostSecurityGroups are those that hosts are in beside the domain's own, so that
	// they reach the file system; see [Description.HostSecurityGroups]. At most 3, which
	// with the domain's and the fleet's are the 5 that an interface has by default.
	// [Domain.SetHostSecurityGroups] changes them later.
	HostSecurityGroups []string `json:",omitempty"`
	// HomeGID is the group of a home's directory that does not exist yet and is made
	// when a session first enters it, as the keeper would make it. Zero is root's. A
	// directory that exists stays as it is.
	HomeGID uint32 `json:",omitempty"`
}

const (
	maxHostGroups = 3
	// firstPersonUID is the first uid of an external file system that a user may have.
	firstPersonUID = 1 << 16
	// firstExternalGID is the first gid given to a project on an external file system.
	// Its keeper's uids, and so the gids of homes, are taken to stay below.
	firstExternalGID = 1_000_000_000
)

var (
	fileSystemPattern = regexp.MustCompile(`^fs-[0-9a-f]{8,17}$`)
	groupPattern      = regexp.MustCompile(`^sg-[0-9a-f]{8,17}$`)
)

// none reports whether the domain has a file system of its own.
func (x External) none() bool { return x.FileSystem == "" }

// differences says in what y is another.
func (x External) differences(y External) (found []error) {
	groups, want := slices.Sorted(slices.Values(x.HostSecurityGroups)), slices.Sorted(slices.Values(y.HostSecurityGroups))
	if x.Keeper != y.Keeper || x.FileSystem != y.FileSystem || x.HomeGID != y.HomeGID {
		found = append(found, fmt.Errorf("its external file system is %+v, not %+v", x, y))
	} else if !slices.Equal(groups, want) {
		found = append(found, fmt.Errorf("its security groups of hosts are %v, not %v; change them with SetHostSecurityGroups", groups, want))
	}
	return found
}

// problems is all that x itself shows to be wrong.
func (x External) problems() (wrong []error) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf("external: "+format, args...)) }
	if x.none() {
		if x.differences(External{}) != nil {
			bad("the file system is missing: want its identifier, or nothing of the others")
		}
		return wrong
	}
	if !fileSystemPattern.MatchString(x.FileSystem) {
		bad(`file system %.40q: want an identifier such as "fs-0123456789abcdef0"`, x.FileSystem)
	}
	if x.Keeper == "" || len(x.Keeper) > 100 || strings.ContainsFunc(x.Keeper, func(r rune) bool { return r < ' ' || r > '~' }) {
		bad("keeper %.40q: want 1 to 100 characters of ASCII that say who keeps the file system", x.Keeper)
	}
	if n := len(x.HostSecurityGroups); n > maxHostGroups {
		bad("%d security groups of hosts: want at most %d", n, maxHostGroups)
	}
	for _, g := range x.HostSecurityGroups {
		if !groupPattern.MatchString(g) {
			bad(`security group %.40q: want an identifier such as "sg-0123456789abcdef0"`, g)
		}
	}
	for _, g := range repeated(x.HostSecurityGroups) {
		bad("security group %.40q is listed twice", g)
	}
	if x.HomeGID > lastUID {
		bad("gid %d of homes: want at most %d", x.HomeGID, lastUID)
	}
	return wrong
}

// checkExternal asks EFS and EC2 about the external file system of a request and
// reports everything that keeps hosts in the subnets from it.
func (c *Client) checkExternal(ctx context.Context, q CreateRequest, subnets []Subnet) (wrong []error, err error) {
	if q.External.none() || len(q.External.problems()) > 0 {
		return nil, nil
	}
	client := c.efsFor(q.Name, "", "file system")
	if _, err := client.FileSystem(ctx, q.External.FileSystem); errors.Is(err, efs.ErrNotFound) {
		return []error{fmt.Errorf("file system %s does not exist in %s", q.External.FileSystem, c.region)}, nil
	} else if err != nil {
		return nil, err
	}
	targets, err := client.MountTargets(ctx, q.External.FileSystem)
	if err != nil {
		return nil, err
	}
	zones := map[string]bool{}
	for _, m := range targets {
		if m.VPC != q.VPC {
			return []error{fmt.Errorf("file system %s is in %s, not in %s", q.External.FileSystem, m.VPC, q.VPC)}, nil
		}
		zones[m.Zone] = true
	}
	for _, s := range subnets {
		if !zones[s.Zone] {
			wrong = append(wrong, fmt.Errorf("subnet %s is in %s, where file system %s has no mount target: leave it out, or have its keeper make one",
				s.ID, s.Zone, q.External.FileSystem))
		}
	}
	missing, err := c.missingGroups(ctx, q.VPC, q.External.HostSecurityGroups)
	return append(wrong, missing...), err
}

// missingGroups reports which of some security groups are not in a VPC.
func (c *Client) missingGroups(ctx context.Context, vpc string, ids []string) (wrong []error, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	missing := map[string]bool{}
	for _, id := range ids {
		missing[id] = true
	}
	pages := awsec2.NewDescribeSecurityGroupsPaginator(c.ec2, &awsec2.DescribeSecurityGroupsInput{Filters: []types.Filter{
		{Name: aws.String("vpc-id"), Values: []string{vpc}}, {Name: aws.String("group-id"), Values: ids},
	}})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, g := range page.SecurityGroups {
			delete(missing, aws.ToString(g.GroupId))
		}
	}
	for _, g := range slices.Sorted(maps.Keys(missing)) {
		wrong = append(wrong, fmt.Errorf("security group %s does not exist in %s", g, vpc))
	}
	return wrong, nil
}

// SetHostSecurityGroups replaces the security groups by which the domain's hosts reach its
// external file system, [External.HostSecurityGroups]: its keeper has others now. All for which
// it refuses, see [Domain.CheckHostSecurityGroups], is one error, and then nothing is changed.
//
// It changes the record alone. Hosts that run stay in the groups that they are in, and so
// does a Workbench host. Hosts that start later join the new ones once their fleet has been
// told: a launcher is given its groups when it is made, so make it again with what
// [Description.HostSecurityGroups] says then, in every process that has one. It is idempotent and
// safe for concurrent use; the last call holds.
func (d *Domain) SetHostSecurityGroups(ctx context.Context, groups []string) error {
	const op = "set host security groups"
	wrong, err := d.checkHostSecurityGroups(ctx, groups)
	if refused := wrong.err(op, d.name); refused != nil {
		return refused
	}
	if err != nil {
		return fail(ctx, op, d.name, err)
	}
	return d.change(ctx, op, func(r *record) error {
		r.External.HostSecurityGroups = slices.Clone(groups)
		return nil
	})
}

// CheckHostSecurityGroups returns everything for which [Domain.SetHostSecurityGroups] would
// refuse groups now, each an error of a [Kind] and of one sentence: what [Client.Create] would
// have against them is [ErrInvalid], and a domain with a file system of its own, or one that is
// being deleted, [ErrState]. err is what kept it from looking. It changes nothing.
func (d *Domain) CheckHostSecurityGroups(ctx context.Context, groups []string) (refusals []error, err error) {
	wrong, err := d.checkHostSecurityGroups(ctx, groups)
	return wrong, fail(ctx, "check host security groups", d.name, err)
}

func (d *Domain) checkHostSecurityGroups(ctx context.Context, groups []string) (wrong problems, err error) {
	r, err := d.client.domains.Get(ctx, d.name)
	if err != nil {
		return nil, d.missing(err)
	}
	wrong.add("domain", ErrState, r.open())
	if r.External.none() {
		wrong.add("external", ErrState, errors.New("the domain has a file system of its own, which its hosts reach as they are"))
		return wrong, nil
	}
	r.External.HostSecurityGroups = groups
	found := r.External.problems()
	if len(found) == 0 {
		found, err = d.client.missingGroups(ctx, r.VPC, groups)
	}
	for _, f := range found {
		wrong.add("external", ErrInvalid, f)
	}
	return wrong, err
}

// checkPredecessor reports why a domain cannot be made under the name of an earlier one:
// records of users outlive it, and their uids mean nothing on another's file system.
func (d *Domain) checkPredecessor(ctx context.Context, x External) (wrong []error, err error) {
	for u, err := range d.users.All(ctx) {
		if err != nil {
			return nil, err
		}
		if u.UID == 0 {
			continue
		}
		theirs := u.Home.FileSystem
		if x.none() { // the domain's own file system is not known yet
			_, err := d.claims.Get(ctx, OnboardRequest{UID: u.UID}.uidClaim())
			if absent(err) != nil {
				return nil, err
			}
			if err != nil { // it is one that the domain gave
				continue
			}
		} else if theirs == x.FileSystem {
			continue
		}
		return []error{fmt.Errorf("an earlier domain of this name had users with homes on another file system (%s, uid %d, on %s): choose another name",
			u.Name, u.UID, theirs)}, nil
	}
	return nil, nil
}

// checkUID reports why a user cannot be onboarded with a uid, or without one.
func (x External) checkUID(uid uint32) error {
	switch {
	case x.none() && uid != 0:
		return fmt.Errorf("uid %d: the domain gives each user a uid itself: leave it out", uid)
	case !x.none() && uid == 0:
		return fmt.Errorf("the uid is missing: the users of the domain are those of %s, who gives them their uids; want the one that the user has there", x.Keeper)
	}
	return nil
}

// HostSecurityGroups are the security groups that the domain's hosts have to be in: the
// domain's own, and those by which they reach an external file system.
func (d Description) HostSecurityGroups() []string {
	return append([]string{d.HostSecurityGroup}, d.External.HostSecurityGroups...)
}
