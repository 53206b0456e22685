package ec2launcher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/atelier-go/atelier/domain/store"
	"github.com/atelier-go/atelier/internal/pace"
	"github.com/atelier-go/atelier/launcher"
)

const (
	// settlesWithin is how long a change may stay invisible, or a deleted network
	// interface hold its group. EC2 tells callers to retry for up to a few minutes
	// (https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html);
	// IAM names no time.
	settlesWithin = 2 * time.Minute
)

// Setup makes what the fleet's hosts need in the account, or completes and
// repairs it: the hosts' role with its instance profile, their log group with
// 30 days of retention, the security group that opens them to Config.Access,
// and two secrets with the keys of their engines, which it renews when less
// than half of their time is left. What is as it should be stays untouched, so
// it can be called as often as one likes and after any failure: at each
// deployment, and at least once a year for the keys' sake. Hosts that run are
// not disturbed.
//
// It needs the credentials of [Policies].Setup and no [Launcher.Run]. Setups
// of one fleet take turns if they share its store. What carries a name of the
// fleet without its tag is not the fleet's: [launcher.ErrConflict], as is
// everything that exists already and should not. AWS's refusals have the kinds
// of every launcher.
func (l *Launcher) Setup(ctx context.Context) error {
	return l.administer(ctx, "setup", func(ctx context.Context) error {
		network, err := l.findNetwork(ctx)
		if err != nil {
			return err
		}
		role, err := l.ensureRole(ctx)
		if err != nil {
			return step("the hosts' role "+l.hostRole(), err)
		}
		if err := l.ensureProfile(ctx); err != nil {
			return step("the hosts' instance profile "+l.hostRole(), err)
		}
		if err := l.ensureLogGroup(ctx); err != nil {
			return step("log group "+l.logGroupName(), err)
		}
		if err := l.ensureGroup(ctx, network); err != nil {
			return step("security group "+l.engineGroupName(), err)
		}
		return l.ensureKeys(ctx, role, false)
	})
}

// RotateKeys makes new keys for the hosts' engines and for the launcher. Hosts
// that boot from then on have the new ones; those that run keep the old, which
// the launcher trusts until they end, and are not disturbed. It needs what
// [Launcher.Setup] has made, and may be called again after any failure.
//
// It is for keys that may be known to others: replace the hosts afterwards.
func (l *Launcher) RotateKeys(ctx context.Context) error {
	return l.administer(ctx, "rotate keys", func(ctx context.Context) error {
		role, err := l.findRole(ctx)
		if err != nil {
			return step("the hosts' role "+l.hostRole(), err)
		}
		if role == nil {
			return fail("rotate keys", "", launcher.ErrNotFound, fmt.Errorf("there is no role %s: call Setup first", l.hostRole()))
		}
		return l.ensureKeys(ctx, aws.ToString(role.Arn), true)
	})
}

// administer does what one process at a time may do to what the fleet owns.
func (l *Launcher) administer(ctx context.Context, op string, work func(context.Context) error) error {
	if l.iam == nil || l.secrets == nil || l.logs == nil {
		return fail(op, "", launcher.ErrInvalid, errors.New("the IAM, Secrets or Logs client is nil: use NewFromConfig, or give all"))
	}
	lease := store.Lease{Name: l.cfg.Fleet + ".setup", Holder: l.holder(), TTL: leaseTTL}
	err := lease.Hold(ctx, l.cfg.Store, func(ctx context.Context, _ store.Term) error { return work(ctx) })
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, ok := errors.AsType[*launcher.Error](err); ok {
		return err
	}
	if codeOf(err) == "" {
		return fail(op, "", launcher.ErrUnavailable, err)
	}
	kind := judge(err).kind
	return fail(op, "", kind, fmt.Errorf("%w (%s)", err, whoseTurn(kind)))
}

// whoseTurn says what to do about a failure that is not repeated by itself.
func whoseTurn(kind launcher.Kind) string {
	switch kind {
	case launcher.ErrDenied:
		return "an administrator has to give the credentials what the launcher's Policy lists"
	case launcher.ErrQuota:
		return "an administrator has to have the account's quota raised"
	case launcher.ErrInvalid:
		return "an administrator has to correct the launcher's configuration"
	case launcher.ErrConflict, launcher.ErrNotFound:
		return "somebody else changes what the fleet owns; see to that and call again"
	default:
		return "call again"
	}
}

// step says what failed, if it did.
func step(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// notOurs is the refusal to touch what lacks the fleet's tag.
func (l *Launcher) notOurs(what string) error {
	return fail("setup", "", launcher.ErrConflict, fmt.Errorf(
		"%s exists and lacks the tag %s=%s, so it is not this fleet's: rename or delete it, or choose another fleet name", what, tagFleet, l.cfg.Fleet))
}

// ownTags are the tags of everything the fleet owns but instances: those of
// the configuration and the fleet's.
func (l *Launcher) ownTags() map[string]string {
	tags := maps.Clone(l.cfg.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	tags[tagFleet] = l.cfg.Fleet
	return tags
}

// tagsAs makes a service's list of the tags.
func tagsAs[T any](tags map[string]string, tag func(key, value *string) T) (list []T) {
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, tag(aws.String(k), aws.String(tags[k])))
	}
	return list
}

// findNetwork returns the VPC of the configured subnets, and reports everything
// in the configuration that the account does not have, before anything is
// made. Things are asked for by filters, since by identifier EC2 names only
// the first that is missing.
func (l *Launcher) findNetwork(ctx context.Context) (vpc string, err error) {
	subnets := awsec2.NewDescribeSubnetsPaginator(l.ec2, &awsec2.DescribeSubnetsInput{Filters: filter("subnet-id", l.cfg.Subnets...)})
	vpcOf := map[string]string{}
	for subnets.HasMorePages() {
		page, err := subnets.NextPage(ctx)
		if err != nil {
			return "", step("the subnets", err)
		}
		for _, s := range page.Subnets {
			vpcOf[aws.ToString(s.SubnetId)] = aws.ToString(s.VpcId)
		}
	}
	var problems []error
	for _, id := range l.cfg.Subnets {
		switch {
		case vpcOf[id] == "":
			problems = append(problems, fmt.Errorf("subnet %s does not exist in %s", id, l.region))
		case vpc == "":
			vpc = vpcOf[id]
		case vpcOf[id] != vpc:
			problems = append(problems, fmt.Errorf("subnet %s is in %s, the first is in %s: a fleet has one VPC", id, vpcOf[id], vpc))
		}
	}
	known := map[string]bool{}
	if groups := l.accessGroups(); len(groups) > 0 {
		pages := awsec2.NewDescribeSecurityGroupsPaginator(l.ec2, &awsec2.DescribeSecurityGroupsInput{Filters: filter("group-id", groups...)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return "", step("the security groups of the access", err)
			}
			for _, g := range page.SecurityGroups {
				known[aws.ToString(g.GroupId)] = true
			}
		}
		for _, id := range groups {
			if !known[id] {
				problems = append(problems, fmt.Errorf("security group %s of the access does not exist in %s", id, l.region))
			}
		}
	}
	if problems != nil {
		return "", fail("setup", "", launcher.ErrInvalid, errors.Join(problems...))
	}
	return vpc, nil
}

func filter(name string, values ...string) []ec2types.Filter {
	return []ec2types.Filter{{Name: aws.String(name), Values: values}}
}

var errTooLong = errors.New("AWS does not show what was changed; call again")

// poll calls done until it reports true, for as long as AWS may take.
func poll(ctx context.Context, done func() (bool, error)) error {
	return pace.Poll(ctx, settlesWithin, errTooLong, done)
}

// whenVisible makes a call on something that may be too young to be found by it,
// until it is.
func whenVisible(ctx context.Context, notYet string, call func() error) error {
	var last error
	err := poll(ctx, func() (bool, error) {
		last = call()
		if codeOf(last) == notYet {
			return false, nil
		}
		return true, last
	})
	if errors.Is(err, errTooLong) {
		return last
	}
	return err
}
