package domain

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/instancetype"
)

// CreateRequest describes a domain.
type CreateRequest struct {
	// Name is unique in the store and, with the file system, in the account
	// and region: 1 to 20 of a-z, 0-9 and hyphen, beginning
	// with a letter. Required. A portal maps names of its own to such.
	Name string
	// VPC is where its hosts run ("vpc-..."). Required.
	VPC string
	// Subnets of the VPC, in which hosts and mount targets are placed; one at
	// least. Several of one zone are fine.
	Subnets []string
	// KMSKeyID is the key that encrypts the file system. Empty is AWS's own
	// key for EFS.
	KMSKeyID string
	// External is the file system with the homes, if another keeps it. The zero value
	// is none: the domain makes one with the first user.
	External External
	// Policy is what its sessions may use. The zero value allows everything but
	// IAM roles and mounts.
	Policy Policy
	// Tags are put on everything made for the domain. The key Name and keys
	// that begin with "atelier:" are set by this library.
	Tags map[string]string
}

var (
	vpcPattern = regexp.MustCompile(`^vpc-[0-9a-f]{8,17}$`)
	// What the APIs of EC2 and EFS both accept in tags.
	tagPattern    = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
	subnetPattern = regexp.MustCompile(`^subnet-[0-9a-f]{8,17}$`)
)

// Limits of AWS: values of one filter,
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Filter.html; and
// tags of one resource, of which homes have three of their own,
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html.
const (
	maxSubnets = 200
	maxTags    = 50 - 3
)

func (q CreateRequest) problems(catalog *instancetype.Catalog) problems {
	var wrong problems
	bad := func(format string, args ...any) { wrong.add("request", ErrInvalid, fmt.Errorf(format, args...)) }
	wrong.add("name", ErrInvalid, CheckName("domain", q.Name))
	switch {
	case q.VPC == "":
		bad(`VPC is missing: want its identifier, such as "vpc-0123456789abcdef0"`)
	case !vpcPattern.MatchString(q.VPC):
		bad(`VPC %.40q: want an identifier such as "vpc-0123456789abcdef0"`, q.VPC)
	}
	if n := len(q.Subnets); n == 0 || n > maxSubnets {
		bad("%d subnets: want 1 to %d", n, maxSubnets)
	}
	for i, s := range q.Subnets {
		if s == "" {
			bad("subnet %d is empty", i+1)
		} else if !subnetPattern.MatchString(s) {
			bad(`subnet %.40q: want an identifier such as "subnet-0123456789abcdef0"`, s)
		}
	}
	for _, s := range repeated(q.Subnets) {
		bad("subnet %.40q is listed twice", s)
	}
	if len(q.KMSKeyID) > 2048 || strings.ContainsFunc(q.KMSKeyID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		bad("KMS key %.40q: want a key's identifier, alias or ARN", q.KMSKeyID)
	}
	for _, err := range q.External.problems() {
		wrong.add("external", ErrInvalid, err)
	}
	if !q.External.none() && q.KMSKeyID != "" {
		bad("KMS key %.40q: file system %s exists, and is encrypted as it is: leave the key out", q.KMSKeyID, q.External.FileSystem)
	}
	for _, err := range slices.Concat(q.Policy.problems(catalog), q.Policy.mountProblems(false)) {
		wrong.add("policy", ErrInvalid, err)
	}
	if len(q.Tags) > maxTags {
		bad("%d tags: want at most %d", len(q.Tags), maxTags)
	}
	for _, k := range slices.Sorted(maps.Keys(q.Tags)) {
		switch v := q.Tags[k]; {
		case !tagPattern.MatchString(k+v) || k == "" || utf8.RuneCountInString(k) > 128 || utf8.RuneCountInString(v) > 256:
			bad("tag %.40q: want a key of 1 to 128 and a value of at most 256 letters, digits, spaces and _ . : / = + - @", k)
		case k == "Name" || strings.HasPrefix(strings.ToLower(k), "aws:") || strings.HasPrefix(k, tagPrefix):
			bad("tag %.40q: Name and keys that begin with aws: or %s are not for callers", k, tagPrefix)
		}
	}
	return wrong
}

// Create makes a domain and the security group of its hosts, or returns the
// one of that name if the same request made it; another request is
// [ErrConflict] and says what differs. The policy may be the one of the first
// request or the one that holds now.
//
// Everything is validated first, as [Client.CheckCreate] does, and everything that is
// wrong is reported at once; nothing is created then. A Create that failed
// half-way is continued by calling it again. On a domain that exists it also
// checks the security groups and mount targets and repairs what is missing.
//
// The group "atelier-<name>-hosts" lets nothing in and everything out; what
// connects to hosts opens it for itself. The file system, its mount targets and
// the group "atelier-<name>-efs", which lets NFS (TCP 2049) in from the hosts'
// group and nothing out, come with the first user.
//
// A name that was a domain before gets that one's file system, users (as
// offboarded ones) and uids.
func (c *Client) Create(ctx context.Context, q CreateRequest) (*Domain, error) {
	const op = "create"
	name := printable(q.Name)
	k, err := c.checkCreate(ctx, q)
	if refused := k.wrong.err(op, name); refused != nil {
		return nil, refused
	}
	if err != nil {
		return nil, fail(ctx, op, name, err)
	}
	if k.exists {
		return c.repair(ctx, k.is)
	}
	policy := q.Policy.normal()
	r := record{
		Name: q.Name, Region: c.region, VPC: q.VPC, Subnets: k.subnets, KMSKeyID: q.KMSKeyID, External: q.External,
		FileSystem: q.External.FileSystem, MountTargets: !q.External.none(),
		Tags: maps.Clone(q.Tags), FirstPolicy: policy, Policy: policy, Created: time.Now(),
	}
	err = c.domains.Create(ctx, q.Name, r)
	if errors.Is(err, store.ErrConflict) { // another call was faster
		if r, err = c.domains.Get(ctx, q.Name); err == nil {
			if err := r.refusals(q, c.region).err(op, name); err != nil {
				return nil, err
			}
			return c.repair(ctx, r)
		}
	}
	if err != nil {
		return nil, fail(ctx, op, name, err)
	}
	d := c.domain(q.Name)
	if _, err = d.ensureHostGroup(ctx, r); err != nil {
		return nil, fail(ctx, op, name, err)
	}
	c.log.InfoContext(ctx, "domain created", "domain", q.Name, "vpc", q.VPC)
	return d, nil
}

// repair completes a domain that exists, whole or half-way.
func (c *Client) repair(ctx context.Context, r record) (*Domain, error) {
	d := c.domain(r.Name)
	ensure := d.ensureHostGroup
	if r.FileSystem != "" && r.External.none() {
		ensure = d.repairStorage
	}
	if _, err := ensure(ctx, r); err != nil {
		return nil, fail(ctx, "create", r.Name, err)
	}
	return d, nil
}

// CheckCreate returns everything for which [Client.Create] would refuse a request now,
// each an error of a [Kind] and of one sentence; none is that it would not. Subnets, security
// groups and the mount targets of an external file system are asked for. err is what kept
// it from looking at all, and then there may be more. It changes nothing.
func (c *Client) CheckCreate(ctx context.Context, q CreateRequest) (refusals []error, err error) {
	k, err := c.checkCreate(ctx, q)
	return k.wrong, fail(ctx, "check create", printable(q.Name), err)
}

// A check is what was found about a request for a domain.
type check struct {
	wrong   problems
	exists  bool
	is      record   // if it exists
	subnets []Subnet // if it does not
}

// checkCreate looks at all that a request depends on, as far as it can: what one look is
// refused keeps no other from being taken.
func (c *Client) checkCreate(ctx context.Context, q CreateRequest) (k check, err error) {
	k.wrong = q.problems(c.catalog)
	named := CheckName("domain", q.Name) == nil
	if named {
		k.is, err = c.domains.Get(ctx, q.Name)
		if absent(err) != nil {
			return k, err
		}
		k.exists = err == nil
	}
	var unread []error
	see := func(rule string, kind Kind, wrong []error, err error) {
		for _, w := range wrong {
			k.wrong.add(rule, kind, w)
		}
		unread = append(unread, err)
	}
	if k.exists {
		k.wrong = append(k.wrong, k.is.refusals(q, c.region)...)
	} else {
		var missing []error
		k.subnets, missing, err = c.findSubnets(ctx, q.VPC, q.Subnets)
		see("subnets", ErrInvalid, missing, err)
		unreachable, err := c.checkExternal(ctx, q, k.subnets)
		see("external", ErrInvalid, unreachable, err)
		if named && len(q.External.problems()) == 0 {
			earlier, err := c.domain(q.Name).checkPredecessor(ctx, q.External)
			see("name", ErrConflict, earlier, err)
		}
	}
	if named && vpcPattern.MatchString(q.VPC) {
		taken, err := c.checkHostGroup(ctx, q)
		see("security group", ErrConflict, taken, err)
	}
	return k, errors.Join(unread...)
}

// checkHostGroup reports why the security group of a domain's hosts cannot be made.
func (c *Client) checkHostGroup(ctx context.Context, q CreateRequest) (wrong []error, err error) {
	spec := hostGroup(q.Name)
	group, err := c.findGroup(ctx, q.VPC, spec.name)
	if err == nil && group != nil && !ours(group, q.Name) {
		wrong = append(wrong, foreign(aws.ToString(group.GroupId), q.VPC, spec, q.Name))
	}
	return wrong, err
}
