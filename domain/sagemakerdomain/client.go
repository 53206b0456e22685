package sagemakerdomain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/instancetype"
)

// Config says what a [Client] works with. The zero value is right.
type Config struct {
	// Progress is told of each step and of each look at what SageMaker has not
	// finished yet. It is called on the goroutine of the waiting call. Nil tells no one.
	Progress func(Progress)
	// Logger records what was changed. Nil is silent.
	Logger *slog.Logger
	// Timeouts bound the waits. The zero value is right.
	Timeouts Timeouts
	// Catalog knows the prices of EC2, by which [App.EC2Price] is told. Nil is the
	// catalog that is built in. SageMaker's own prices are in no catalog of ours.
	Catalog *instancetype.Catalog
}

// Timeouts are how long a wait for one thing may take. Those of the zero value are
// what Terraform's provider for AWS has; SageMaker publishes no figures.
type Timeouts struct {
	// Domain is for a domain to be created, updated or deleted. Zero is 20 minutes.
	Domain time.Duration
	// Profile, Space, App and Image are for one of each; Image is for versions too.
	// Zero is 10 minutes.
	Profile, Space, App, Image time.Duration
}

const (
	defaultDomainTimeout = 20 * time.Minute
	defaultTimeout       = 10 * time.Minute
	// visibleWithin is how long a change may stay invisible to reads. SageMaker names
	// no time.
	visibleWithin = time.Minute
	// agreedFor is for how long a domain has to be seen InService before it is said to be: what
	// reads afterwards finds it so, too. It is an assumption.
	agreedFor = 5 * time.Second
	// freedWithin is how long a network interface that was just given up may hold its
	// security group.
	freedWithin = 5 * time.Minute
)

// A Client works on the domains that SageMaker manages in one region of an account.
// It keeps no records: what it knows is what AWS answers, and two tags of domains. For some
// minutes it remembers the account's quotas, see [Client.CheckStart].
// All methods are safe for concurrent use.
type Client struct {
	region   string
	aws      Services
	files    *efs.Client
	progress func(Progress)
	log      *slog.Logger
	timeouts Timeouts
	catalog  *instancetype.Catalog
	// turns are channels by domain, each with one element while its settings are read,
	// changed and written: its list of images among them, and whether a restart is due.
	turns sync.Map
	// recent are the account's quotas as they were last listed.
	recent quotaList
}

// NewFromConfig returns a Client that calls AWS as cfg says. It makes no call. Its
// error is [domain.ErrInvalid].
func NewFromConfig(cfg aws.Config, c Config) (*Client, error) {
	return New(cfg.Region, servicesOf(cfg), c)
}

// New returns a Client that calls the given services of a region. It makes no call.
// Its error is [domain.ErrInvalid].
func New(region string, s Services, c Config) (*Client, error) {
	var wrong []error
	if region == "" {
		wrong = append(wrong, errors.New("the region is empty"))
	}
	for _, service := range []struct {
		name  string
		given bool
	}{
		{"SageMaker", s.SageMaker != nil}, {"EC2", s.EC2 != nil}, {"EFS", s.EFS != nil}, {"IAM", s.IAM != nil},
		{"Licenses", s.Licenses != nil}, {"Quotas", s.Quotas != nil}, {"Images", s.Images != nil},
	} {
		if !service.given {
			wrong = append(wrong, fmt.Errorf("the %s client is nil", service.name))
		}
	}
	wrong = append(wrong, c.Timeouts.problems()...)
	if err := errors.Join(wrong...); err != nil {
		return nil, &Error{Op: "new", Kind: domain.ErrInvalid, Err: err}
	}
	client := &Client{
		region: region, aws: s, progress: c.Progress, log: c.Logger, timeouts: c.Timeouts.withDefaults(), catalog: c.Catalog,
	}
	if client.progress == nil {
		client.progress = func(Progress) {}
	}
	if client.log == nil {
		client.log = slog.New(slog.DiscardHandler)
	}
	if client.catalog == nil {
		client.catalog = instancetype.Embedded()
	}
	files, err := efs.New(s.EFS, efs.Config{Timeout: client.timeouts.Domain, Progress: func(p efs.Progress) {
		client.progress(Progress{Step: "file system", Resource: p.Resource, State: p.State, Waited: p.Waited})
	}})
	if err != nil {
		return nil, &Error{Op: "new", Kind: domain.ErrInvalid, Err: err}
	}
	client.files = files
	return client, nil
}

func (t Timeouts) problems() (wrong []error) {
	for _, w := range []struct {
		name  string
		value time.Duration
	}{{"domain", t.Domain}, {"profile", t.Profile}, {"space", t.Space}, {"app", t.App}, {"image", t.Image}} {
		if w.value < 0 {
			wrong = append(wrong, fmt.Errorf("the timeout of a %s is %v: want a positive duration, or 0 for the default", w.name, w.value))
		}
	}
	return wrong
}

func (t Timeouts) withDefaults() Timeouts {
	or := func(d *time.Duration, otherwise time.Duration) {
		if *d == 0 {
			*d = otherwise
		}
	}
	or(&t.Domain, defaultDomainTimeout)
	for _, d := range []*time.Duration{&t.Profile, &t.Space, &t.App, &t.Image} {
		or(d, defaultTimeout)
	}
	return t
}

// Region is where the domains are.
func (c *Client) Region() string { return c.region }

// turn waits until no other call of this Client changes a domain's settings, which takes
// an update of the domain some minutes.
func (c *Client) turn(ctx context.Context, id string) (done func(), err error) {
	of, _ := c.turns.LoadOrStore(id, make(chan struct{}, 1))
	turn := of.(chan struct{})
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
