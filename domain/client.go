package domain

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"

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

// Catalog returns the instance types and prices that the domains decide by.
func (c *Client) Catalog() *instancetype.Catalog { return c.catalog }

func (c *Client) domain(name string) *Domain {
	return &Domain{
		client: c, name: name,
		users:    store.NewTable[User](c.store, usersCollection(name)),
		projects: store.NewTable[project](c.store, projectsCollection(name)),
		claims:   store.NewTable[claim](c.store, claimsCollection(name)),
	}
}
