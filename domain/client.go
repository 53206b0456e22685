package domain

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/image"
	"github.com/atelier-go/atelier/instancetype"
)

// Config says what a [Client] works with.
type Config struct {
	// Store holds the records of domains. Required. Losing it loses policies,
	// images, groups and logins; users, projects and their ids are found again on the
	// file system.
	Store store.Store
	// Images resolves image references. Nil is image.NewFromConfig with the
	// AWS configuration: public images, and those in Amazon ECR that the
	// credentials may pull.
	Images image.Resolver
	// Catalog has the instance types and their prices. Nil is
	// [instancetype.Embedded].
	Catalog *instancetype.Catalog
	// Progress is told what Create, Onboard, CreateProject and Delete are doing. It is called
	// on their goroutines and should return at once. Nil tells no one.
	Progress func(Progress)
	// Logger records what was changed. Nil is silent.
	Logger *slog.Logger
}

// A Client makes and finds domains of one account and region. It is safe for
// concurrent use, also by several processes on one [store.Store].
type Client struct {
	region   string
	ec2      API
	efs      efs.API
	store    store.Store
	images   image.Resolver
	catalog  *instancetype.Catalog
	progress func(Progress)
	log      *slog.Logger
	domains  store.Table[record]
	ledgers  store.Table[ledger]
	turns    turns // of those who write accounts
}

// NewFromConfig returns a Client that works in the account and region of cfg.
// It makes no call. Its error is [ErrInvalid].
func NewFromConfig(cfg aws.Config, c Config) (*Client, error) {
	if c.Images == nil {
		c.Images = image.NewFromConfig(cfg, image.Config{})
	}
	return New(cfg.Region, awsec2.NewFromConfig(cfg), awsefs.NewFromConfig(cfg), c)
}

// New returns a Client that calls the given APIs of a region. Config.Images is
// required. It makes no call. Its error is [ErrInvalid].
func New(region string, ec2 API, fs efs.API, c Config) (*Client, error) {
	var wrong problems
	require := func(ok bool, what string) {
		if !ok {
			wrong.add("config", ErrInvalid, errors.New(what))
		}
	}
	require(region != "", "the AWS configuration has no region")
	require(ec2 != nil, "the EC2 API is nil")
	require(fs != nil, "the EFS API is nil")
	require(c.Store != nil, "Config.Store is nil: want for example store.NewMemory()")
	require(c.Images != nil, "Config.Images is nil")
	if err := wrong.err("new", ""); err != nil {
		return nil, err
	}
	if c.Catalog == nil {
		c.Catalog = instancetype.Embedded()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	return &Client{
		region: region, ec2: ec2, efs: fs,
		store: c.Store, images: c.Images, catalog: c.Catalog, progress: c.Progress, log: c.Logger,
		domains: store.NewTable[record](c.Store, domainsCollection),
		ledgers: store.NewTable[ledger](c.Store, ledgerCollection),
	}, nil
}

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
// Everything is validated first, subnets by asking EC2, and everything that is
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
	wrong := q.problems(c.catalog)
	if len(wrong) == 0 {
		r, err := c.domains.Get(ctx, q.Name)
		switch {
		case err == nil:
			return c.createAgain(ctx, r, q)
		case !errors.Is(err, store.ErrNotFound):
			return nil, fail(ctx, op, name, err)
		}
	}
	subnets, missing, err := c.findSubnets(ctx, q.VPC, q.Subnets)
	if err != nil && len(wrong) == 0 {
		return nil, fail(ctx, op, name, err)
	}
	for _, err := range missing {
		wrong.add("subnets", ErrInvalid, err)
	}
	unreachable, err := c.checkExternal(ctx, q, subnets)
	if err != nil && len(wrong) == 0 {
		return nil, fail(ctx, op, name, err)
	}
	for _, err := range unreachable {
		wrong.add("external", ErrInvalid, err)
	}
	if err := wrong.err(op, name); err != nil {
		return nil, err
	}
	if err := c.domain(q.Name).checkPredecessor(ctx, q.External); err != nil {
		return nil, fail(ctx, op, name, err)
	}
	policy := q.Policy.normal()
	r := record{
		Name: q.Name, Region: c.region, VPC: q.VPC, Subnets: subnets, KMSKeyID: q.KMSKeyID, External: q.External,
		FileSystem: q.External.FileSystem, MountTargets: !q.External.none(),
		Tags: maps.Clone(q.Tags), FirstPolicy: policy, Policy: policy, Created: time.Now(),
	}
	err = c.domains.Create(ctx, q.Name, r)
	if errors.Is(err, store.ErrConflict) { // another call was faster
		if r, err = c.domains.Get(ctx, q.Name); err == nil {
			return c.createAgain(ctx, r, q)
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

// createAgain is Create on a domain that exists, whole or half-way.
func (c *Client) createAgain(ctx context.Context, r record, q CreateRequest) (*Domain, error) {
	const op = "create"
	if differ := r.differences(q, c.region); differ != nil {
		return nil, &Error{Op: op, Name: r.Name, Kind: ErrConflict,
			Err: fmt.Errorf("a domain of this name exists and was made by another request: %w", errors.Join(differ...))}
	}
	if err := r.open(); err != nil {
		return nil, &Error{Op: op, Name: r.Name, Kind: ErrState, Err: err}
	}
	d := c.domain(r.Name)
	ensure := d.ensureHostGroup
	if r.FileSystem != "" && r.External.none() {
		ensure = d.repairStorage
	}
	if _, err := ensure(ctx, r); err != nil {
		return nil, fail(ctx, op, r.Name, err)
	}
	return d, nil
}

// Get returns a domain that was created, or [ErrNotFound]. One that lies in
// another region is [ErrInvalid].
func (c *Client) Get(ctx context.Context, name string) (*Domain, error) {
	const op = "get"
	if err := CheckName("domain", name); err != nil {
		return nil, &Error{Op: op, Name: printable(name), Kind: ErrInvalid, Err: err}
	}
	d := c.domain(name)
	r, err := d.load(ctx, op)
	if err != nil {
		return nil, err
	}
	if r.Region != c.region {
		return nil, &Error{Op: op, Name: name, Kind: ErrInvalid,
			Err: fmt.Errorf("the domain is in %s and this client works in %s; use a client for its region", r.Region, c.region)}
	}
	return d, nil
}

// List yields the domains of the client's region in the order of their names.
// It is complete or ends with an error.
func (c *Client) List(ctx context.Context) iter.Seq2[*Domain, error] {
	return func(yield func(*Domain, error) bool) {
		for r, err := range c.domains.All(ctx) {
			if err != nil {
				yield(nil, fail(ctx, "list", "", err))
				return
			}
			if r.Region == c.region && !yield(c.domain(r.Name), nil) {
				return
			}
		}
	}
}

func (c *Client) domain(name string) *Domain {
	return &Domain{
		client: c, name: name,
		users:    store.NewTable[User](c.store, usersCollection(name)),
		projects: store.NewTable[project](c.store, projectsCollection(name)),
		claims:   store.NewTable[claim](c.store, claimsCollection(name)),
	}
}
