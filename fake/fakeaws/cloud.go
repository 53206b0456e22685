// Package fakeaws is an AWS account in memory, under the real SDK clients.
//
// [Cloud.Config] returns an [aws.Config] that works with every client of the
// AWS SDK for Go v2. Validation, idempotency tokens, retries, waiters and
// paginators are the SDK's own and run for real; the answer comes from a small
// model of the service instead of a socket. Nothing can reach AWS: an
// operation that is not modelled fails and names itself.
//
// The model follows AWS's documented behaviour, with the source beside each
// rule: states that take time, eventual consistency, client tokens, quotas,
// error codes. What is assumed is marked as an assumption.
//
// # Time
//
// Time is package time. On the wall clock the cloud is as slow as its
// [Delays]; inside a [testing/synctest] bubble the same delays pass at once.
// The cloud has no goroutine of its own: the state of a resource is a function
// of the instants recorded for it, worked out when it is read. Only programs in
// containers run, and [Cloud.Close] ends them; the host of an instance that EC2
// takes back has a timer to cut its power, which Close ends too.
//
// # Determinism
//
// Identifiers and faults are derived from the seed, the action, the resource
// or token it names and how often that was asked, never from the order in
// which goroutines happen to run. The same program against the same [Config]
// sees the same cloud. The user ids that SageMaker gives its profiles are an
// exception: they count up.
package fakeaws

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go/middleware"
)

// Config describes the account. The zero value is account 123456789012 in
// us-east-1, in which everything happens at once and nothing fails.
type Config struct {
	// Region of the account. Empty is us-east-1.
	Region string
	// Account is the 12-digit account number. Empty is 123456789012, the one
	// AWS uses in examples.
	Account string
	// Seed chooses identifiers, which calls a [Fault.Rate] strikes and the prices
	// of spot instances.
	Seed uint64
	// Delays is how long things take. Zero is at once; see [Realistic] and [Brisk].
	Delays Delays
	// Spread is by what share the delays of an instance and of what runs there
	// may be shorter or longer: 0.3 is ±30%. Zero is not at all. See
	// [Config.InstanceDelays].
	Spread float64
	// Stillborn is the share of instances that come to run and whose container
	// engine never answers, from 0 to 1.
	Stillborn float64
	// SoldOut are the times in which there is no capacity for new instances.
	SoldOut []Shortage
	// Limits are how many calls the account takes. Nil is any number; see
	// [PublishedLimits].
	Limits Limits
	// Quotas are SageMaker's quotas of the account by their names in Service Quotas
	// ("RSessionGateway Apps running on ml.m5.large instance"). One that is not listed
	// has AWS's default, which is 0 for most types of instances; see [Cloud.SetStudioQuota].
	Quotas map[string]int
	// License is what the account has of Posit's licence for RStudio on SageMaker.
	// Zero is a licence that was granted and accepted.
	License License
	// Faults are the failures to inject.
	Faults []Fault
	// Deny lists actions the credentials may not use ("ec2:RunInstances"), in
	// the notation of IAM policies with * as a wildcard. As with faults, what
	// matches no modelled action is refused by [New]. One of them is no call:
	// elasticfilesystem:ClientRootAccess, without which hosts that mount an
	// access point of root's are nobody there.
	Deny []string
}

// A Cloud is one account in one region. Make it with [New]; all methods are
// safe for concurrent use.
type Cloud struct {
	region, account string
	seed            uint64
	delays          Delays
	spread, duds    float64
	begun           time.Time // when it was made
	soldOut         []Shortage
	faults          []Fault
	faultActions    []*regexp.Regexp // of faults, by index
	deny            []*regexp.Regexp
	operations      map[reflect.Type]operation // by input, not changed after New

	mu       sync.Mutex      // held for one handler at a time, which never blocks
	life     context.Context // of the program, ended by a crash
	endLife  context.CancelCauseFunc
	asked    map[occurrence]int
	limits   Limits
	levels   map[bucketKey]level
	journal  []Call
	injected int
	closed   bool
	services
}

// New makes an account. It reports everything wrong with cfg at once, also
// faults and denials of actions that are not modelled: they could never strike,
// and a test that relies on them would prove nothing.
func New(cfg Config) (*Cloud, error) {
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	if cfg.Account == "" {
		cfg.Account = "123456789012"
	}
	var problems []error
	if !regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d$`).MatchString(cfg.Region) {
		problems = append(problems, fmt.Errorf("region %q: want a name such as us-east-1", cfg.Region))
	}
	if !regexp.MustCompile(`^\d{12}$`).MatchString(cfg.Account) {
		problems = append(problems, fmt.Errorf("account %q: want 12 digits", cfg.Account))
	}
	for i, f := range cfg.Faults {
		if err := f.validate(); err != nil {
			problems = append(problems, fmt.Errorf("fault %d: %w", i, err))
		}
	}
	for _, err := range []error{cfg.Delays.validate(), checkShares(cfg)} {
		if err != nil {
			problems = append(problems, err)
		}
	}
	c := &Cloud{
		region: cfg.Region, account: cfg.Account, seed: cfg.Seed,
		delays: cfg.Delays, spread: cfg.Spread, duds: cfg.Stillborn, faults: cfg.Faults,
		begun: time.Now(), soldOut: slices.Clone(cfg.SoldOut),
		operations: map[reflect.Type]operation{},
		asked:      map[occurrence]int{},
		limits:     maps.Clone(cfg.Limits),
		levels:     map[bucketKey]level{},
	}
	c.register()
	problems = append(problems, checkActions(cfg, c.actions())...)
	problems = append(problems, c.checkShortages()...)
	problems = append(problems, c.setStudio(cfg)...)
	if problems != nil {
		return nil, fmt.Errorf("fakeaws: %w", errors.Join(problems...))
	}
	c.life, c.endLife = context.WithCancelCause(context.Background())
	for _, f := range cfg.Faults {
		c.faultActions = append(c.faultActions, actionPattern(f.Action))
	}
	for _, pattern := range cfg.Deny {
		c.deny = append(c.deny, actionPattern(pattern))
	}
	return c, nil
}

// Config returns what a program in this account would get from the SDK's
// config.LoadDefaultConfig: a region, credentials and the way to the services.
// Its HTTP client reaches the image registries, see [Cloud.Registry], and
// nothing else.
// Configs handed out before a [Cloud.Crash] fail every call after it.
func (c *Cloud) Config() aws.Config {
	return c.config("arn:aws:iam::" + c.account + ":user/" + userName)
}

// RoleConfig returns what a program would get that runs with an IAM role, such
// as the boot script of a host with its instance's. It is as [Cloud.Config],
// and differs only where the policy of a secret tells principals apart: what
// the role itself may do is not looked at, nor is whether there is one.
func (c *Cloud) RoleConfig(role string) aws.Config {
	return c.config(c.roleARN(role))
}

// config is the configuration of a program that acts as a principal.
func (c *Cloud) config(principal string) aws.Config {
	c.mu.Lock()
	process := &process{cloud: c, life: c.life, principal: principal}
	c.mu.Unlock()
	return aws.Config{
		Region: c.region,
		Credentials: aws.NewCredentialsCache(aws.CredentialsProviderFunc(
			staticCredentials)),
		HTTPClient: &http.Client{Transport: registryTransport{process}},
		APIOptions: []func(*middleware.Stack) error{process.install},
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.Backoff = backoff{c} })
		},
		AppID: "atelier",
	}
}

// Region returns the cloud's region.
func (c *Cloud) Region() string { return c.region }

// Account returns the account's number.
func (c *Cloud) Account() string { return c.account }

// Crash ends the calling program as far as the account can see: every config
// and every host connection handed out before fails from now on with
// [ErrCrashed], as if the process had been killed between two instructions.
// The account itself, its instances and what runs on them go on. A new
// program starts from a new [Cloud.Config]. What the old one keeps elsewhere, such as
// its store, is not the account's: end its work, as package fake's World.End does,
// lest it go on there without an account.
func (c *Cloud) Crash() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.crash()
}

// crash is Crash with c.mu held.
func (c *Cloud) crash() {
	c.endLife(ErrCrashed)
	c.life, c.endLife = context.WithCancelCause(context.Background())
}

// Crashed returns a channel that is closed at the next [Cloud.Crash], whether
// it was called or injected by a [Fault]. A test harness ends the program's
// contexts by it.
func (c *Cloud) Crashed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.life.Done()
}

// Close ends everything that runs in the account and waits for it. Calls fail
// from then on.
func (c *Cloud) Close() error {
	c.mu.Lock()
	c.closed = true
	hosts := c.hostLaunchers()
	c.mu.Unlock()
	var errs []error
	for _, h := range hosts {
		errs = append(errs, h.Close())
	}
	return errors.Join(errs...)
}

// ErrCrashed is what a call fails with when the program that made it has
// crashed, see [Cloud.Crash]. It is not retried by the SDK.
var ErrCrashed = errors.New("fakeaws: the program has crashed")

// ErrClosed is what a call fails with after [Cloud.Close].
var ErrClosed = errors.New("fakeaws: the cloud is closed")
