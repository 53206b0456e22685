package workbench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/atelier-go/atelier/internal/refusal"
	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// A Description is what a Workbench host is and how it does.
type Description struct {
	// Domain is the domain's name.
	Domain string
	// Instance is EC2's id, empty while there is none. State is EC2's word for
	// it: "pending", "running", "shutting-down", "terminated".
	Instance, State string
	// InstanceType and AMI are what it was launched as.
	InstanceType, AMI string
	// Since is when it was launched.
	Since time.Time
	// Address is the private address, which stays; Subnet and Zone are where it
	// is.
	Address, Subnet, Zone string
	// Interface and Volume are EC2's ids of what outlives an instance.
	Interface, Volume string
	// SecurityGroup is the host's, Role the name of its role and instance profile.
	SecurityGroup, Role string
	// Secret is the name of the secret with the files.
	Secret string
	// SharedStorage is the name of the project that is the shared storage, if there
	// is one.
	SharedStorage string
	// Checks is the word of EC2's status checks, of the machine and of the
	// instance: the worse of both. "ok", "initializing", "impaired",
	// "insufficient-data" or "not-applicable"; empty while the instance does not
	// run.
	Checks string
	// Health is Workbench's own answer.
	Health Health
	// Published counts the times that other files were published, and PublishedDigest
	// is the SHA-256 of the last.
	Published       int
	PublishedDigest string
	// RestartDue and ReplaceDue are as in [Deployed].
	RestartDue bool
	ReplaceDue []string
	// Removing is whether Remove was called and has not ended.
	Removing bool
	// Problems are what is wrong, a sentence each that says what to do. None is
	// that users can work.
	Problems []string
}

// Health is what Workbench answered when it was asked how it does.
type Health struct {
	// URL is what was asked; empty if nothing was.
	URL string
	// OK is whether it answered with status 200.
	OK bool
	// Status is the HTTP status, zero without an answer.
	Status int
	// Problem says why there is no good answer.
	Problem string
}

// healthPath is what answers, if server-health-check-enabled=1 is in rserver.conf
// (https://docs.posit.co/ide/server-pro/auditing_and_monitoring/server_health_checks.html).
const healthPath = "/health-check"

// bootsWithin is how long a host may take until Workbench answers before that is
// told as a problem: Workbench's package has some hundred megabytes to be
// fetched and installed. It is an assumption.
const bootsWithin = 10 * time.Minute

// Describe tells how the Workbench host is and does: what is recorded, what EC2
// says and what Workbench answers from outside. That Workbench does not answer
// is no error but among the Problems. A domain without a Workbench is
// [domain.ErrNotFound].
func (c *Client) Describe(ctx context.Context) (Description, error) {
	const op = "describe"
	r, err := c.load(ctx)
	if err != nil {
		return Description{}, c.fail(ctx, op, err)
	}
	d, err := c.domain.Describe(ctx)
	if err != nil {
		return Description{}, c.fail(ctx, op, err)
	}
	found := Description{
		Domain: r.Domain, Instance: r.Instance.ID, InstanceType: r.Instance.Type, AMI: r.Instance.AMI, Since: r.Instance.Launched,
		Address: r.Interface.Address, Subnet: r.Subnet.ID, Zone: r.Subnet.Zone, Interface: r.Interface.ID, Volume: r.Volume.ID,
		SecurityGroup: r.Group, Role: c.roleName(), Secret: c.secretName(), SharedStorage: r.Want.SharedStorage,
		Published: r.Published.Number, PublishedDigest: r.Published.Digest,
		RestartDue: r.restartDue(), ReplaceDue: r.replaceDue(digest(c.userData(r, d))), Removing: r.Removing != nil,
	}
	lost, err := c.storageLost(ctx, r)
	if err != nil {
		return Description{}, c.fail(ctx, op, err)
	}
	bad := func(format string, args ...any) {
		found.Problems = append(found.Problems, fmt.Sprintf(format, args...))
	}
	switch {
	case r.Removing != nil:
		bad("Remove has begun and not ended: call it again.")
	case r.Replacing != "":
		bad("Replacing instance %s has begun and not ended: call Replace again.", r.Replacing)
	case r.Instance.ID == "":
		bad("There is no instance: call Deploy, which goes on where it stands.")
	}
	if lost && r.Removing == nil {
		bad("Project %s, the shared storage, was deleted since the last Deploy, and the host does not boot again without: make sure that there is one, then call Deploy and Replace.", r.Want.SharedStorage)
	}
	if r.Instance.ID == "" {
		return found, nil
	}
	if err := c.examine(ctx, r, &found, bad); err != nil {
		return Description{}, c.fail(ctx, op, err)
	}
	if found.RestartDue {
		bad("Files were published that the host has not read: call Restart.")
	}
	for _, why := range found.ReplaceDue {
		bad("The instance is not as the last Deploy wants it (%s): call Replace.", why)
	}
	return found, nil
}

// examine asks EC2 and Workbench.
func (c *Client) examine(ctx context.Context, r record, found *Description, bad func(string, ...any)) error {
	state, instance, err := c.look(ctx, r.Instance)
	if err != nil {
		return err
	}
	found.State = string(state)
	switch {
	case ended(state):
		why := ""
		if instance != nil && instance.StateReason != nil {
			why = " (" + aws.ToString(instance.StateReason.Message) + ")"
		}
		bad("Instance %s is %s%s: call Replace, or Deploy.", r.Instance.ID, state, why)
		return nil
	case state != ec2types.InstanceStateNameRunning:
		bad("Instance %s is %s: wait.", r.Instance.ID, state)
		return nil
	}
	if found.Checks, err = c.checks(ctx, r.Instance.ID); err != nil {
		return err
	}
	if found.Checks == string(ec2types.SummaryStatusImpaired) {
		bad("Instance %s fails EC2's status checks: call Replace.", r.Instance.ID)
	}
	attached, err := c.isAttached(ctx, r)
	if err != nil {
		return err
	}
	if !attached {
		bad("Data disk %s is not attached to instance %s, and the host does not boot without: call Deploy.", r.Volume.ID, r.Instance.ID)
	}
	found.Health = c.ask(ctx, r)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch age := time.Since(r.Instance.Launched); {
	case found.Health.OK:
	case age < bootsWithin:
		bad("Workbench does not answer yet (%s): it boots since %v; wait, or see the instance's console.", found.Health.Problem, age.Round(time.Second))
	default:
		bad("Workbench does not answer (%s): see the instance's console for why, then call Restart or Replace.", found.Health.Problem)
	}
	return nil
}

// checks is the worse of EC2's two status checks.
func (c *Client) checks(ctx context.Context, id string) (string, error) {
	out, err := c.aws.EC2.DescribeInstanceStatus(ctx, &awsec2.DescribeInstanceStatusInput{InstanceIds: []string{id}})
	if refusal.Code(err) == noSuchInstance {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	worst := ""
	for _, s := range out.InstanceStatuses {
		for _, summary := range []*ec2types.InstanceStatusSummary{s.InstanceStatus, s.SystemStatus} {
			if summary == nil {
				continue
			}
			if is := string(summary.Status); worst == "" || worst == string(ec2types.SummaryStatusOk) || is == string(ec2types.SummaryStatusImpaired) {
				worst = is
			}
		}
	}
	return worst, nil
}

// isAttached reports whether the instance has the data disk.
func (c *Client) isAttached(ctx context.Context, r record) (bool, error) {
	out, err := c.aws.EC2.DescribeVolumes(ctx, &awsec2.DescribeVolumesInput{VolumeIds: []string{r.Volume.ID}})
	if refusal.Code(err) == noSuchVolume {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(out.Volumes, func(v ec2types.Volume) bool {
		return slices.ContainsFunc(v.Attachments, func(a ec2types.VolumeAttachment) bool { return aws.ToString(a.InstanceId) == r.Instance.ID })
	}), nil
}

// ask asks Workbench how it does.
func (c *Client) ask(ctx context.Context, r record) Health {
	base := r.Want.URL
	if base == "" {
		base = "http://" + net.JoinHostPort(r.Interface.Address, strconv.Itoa(r.Want.Port))
	}
	h := Health{URL: base + healthPath}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL, nil)
	if err != nil {
		h.Problem = err.Error()
		return h
	}
	answer, err := c.http.Do(q)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok { // which has the URL again
			err = u.Err
		}
		h.Problem = err.Error()
		return h
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<16)) // so that the connection can be used again
	h.Status, h.OK = answer.StatusCode, answer.StatusCode == http.StatusOK
	switch {
	case h.OK:
	case h.Status == http.StatusNotFound:
		h.Problem = "status 404; server-health-check-enabled=1 has to be in rserver.conf"
	default:
		h.Problem = fmt.Sprintf("status %d", h.Status)
	}
	return h
}
