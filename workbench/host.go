package workbench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/internal/refusal"
)

// Config says what a [Client] works with. The zero value is right for a program
// inside the VPC.
type Config struct {
	// HTTPClient asks the host for its health, from wherever the program is. Nil
	// is one that follows no redirects and gives up after five seconds.
	HTTPClient *http.Client
	// Logger records what was changed. Nil is silent.
	Logger *slog.Logger
}

// A Client works on the Workbench of one domain. It keeps no state of its own.
type Client struct {
	domain  *domain.Domain
	aws     Services
	http    *http.Client
	log     *slog.Logger
	records store.Table[record]
}

// NewFromConfig returns a Client that calls AWS as cfg says, which is of the
// domain's region. It makes no call. Its error is [domain.ErrInvalid].
func NewFromConfig(cfg aws.Config, d *domain.Domain, c Config) (*Client, error) {
	if d != nil && cfg.Region != d.Region() {
		return nil, &Error{Op: "new", Domain: d.Name(), Kind: domain.ErrInvalid,
			Err: fmt.Errorf("the AWS configuration is of region %q, the domain lies in %s", cfg.Region, d.Region())}
	}
	return New(d, servicesOf(cfg), c)
}

// New returns a Client that calls the given services of the domain's region. It
// makes no call. Its error is [domain.ErrInvalid].
func New(d *domain.Domain, s Services, c Config) (*Client, error) {
	var wrong []error
	name := ""
	if d == nil {
		wrong = append(wrong, errors.New("the domain is nil"))
	} else {
		name = d.Name()
	}
	for what, is := range map[string]bool{"EC2": s.EC2 != nil, "SSM": s.SSM != nil, "IAM": s.IAM != nil, "Secrets": s.Secrets != nil} {
		if !is {
			wrong = append(wrong, fmt.Errorf("the %s client is nil", what))
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, &Error{Op: "new", Domain: name, Kind: domain.ErrInvalid, Err: err}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{
			Timeout:       5 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return &Client{
		domain: d, aws: s, http: c.HTTPClient, log: c.Logger.With("domain", name),
		records: store.NewTable[record](d.Store(), workbenchesCollection),
	}, nil
}

// What belongs to the Workbench has names that follow from the domain's.
func (c *Client) name() string       { return "atelier-" + c.domain.Name() + "-workbench" }
func (c *Client) secretName() string { return "atelier/" + c.domain.Name() + "/workbench" }

const (
	// tagWorkbench holds the name of the domain whose Workbench a resource
	// belongs to. Resources of the domain itself have another key, and are none
	// of this package's.
	tagWorkbench = "atelier:workbench"

	// settlesWithin is how long a change may stay invisible, or a deleted network
	// interface hold its group. EC2 tells callers to retry for up to a few minutes
	// (https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html);
	// IAM names no time.
	settlesWithin = 2 * time.Minute
	// changesWithin is how long an instance may take to run or to be terminated,
	// and a volume to be attached. AWS names no time; an instance that fails its
	// checks can take many minutes to be stopped.
	changesWithin = 15 * time.Minute
	// leaseTTL bounds how long a Workbench stands still when the process that
	// worked on it dies without a word.
	leaseTTL = 15 * time.Second
)

// administer does what one process at a time may do to what belongs to the
// Workbench.
func (c *Client) administer(ctx context.Context, op string, work func(context.Context) error) error {
	holder, err := os.Hostname()
	if err != nil || holder == "" {
		holder = "unknown"
	}
	lease := store.Lease{Name: "workbench/" + c.domain.Name(), Holder: fmt.Sprintf("%.100s/%d", holder, os.Getpid()), TTL: leaseTTL}
	return c.fail(ctx, op, lease.Hold(ctx, c.domain.Store(), func(ctx context.Context, _ store.Term) error { return work(ctx) }))
}

var errTooLong = errors.New("AWS takes longer than it should; call again")

// poll calls done until it reports true, or a limit has passed.
func poll(ctx context.Context, limit time.Duration, done func() (bool, error)) error {
	return pace.Poll(ctx, limit, errTooLong, done)
}

// untilNot makes a call again for as long as it may fail with a code because
// something is too young, or not over yet.
func untilNot(ctx context.Context, code string, call func() error) error {
	var last error
	err := poll(ctx, settlesWithin, func() (bool, error) {
		if last = call(); refusal.Code(last) == code {
			return false, nil
		}
		return true, last
	})
	if errors.Is(err, errTooLong) {
		return last
	}
	return err
}
