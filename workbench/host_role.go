package workbench

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/iampolicy"
	"github.com/atelier-go/atelier/internal/refusal"
)

// ownPolicy is the name of the policy that the host needs to boot, beside which
// are the caller's.
const ownPolicy = "atelier-workbench"

// roleName is the role's and the instance profile's: IAM has one namespace for
// all regions.
func (c *Client) roleName() string { return c.name() + "-" + c.domain.Region() }

// ensureRole makes the host's role and its policies, or repairs them, and
// returns the role's ARN. A policy that the caller no longer names is taken
// away: after those that are to be are there, unless there is no room beside it.
func (c *Client) ensureRole(ctx context.Context, r *record, d domain.Description) (arn string, err error) {
	role, err := c.findRole(ctx)
	if err != nil {
		return "", err
	}
	if role == nil {
		c.log.InfoContext(ctx, "role made", "role", c.roleName())
		_, err := c.aws.IAM.CreateRole(ctx, &awsiam.CreateRoleInput{
			RoleName: aws.String(c.roleName()), AssumeRolePolicyDocument: aws.String(iampolicy.EC2Trust()),
			Description: aws.String("Atelier domain " + r.Domain + ": what its Workbench may do"), Tags: tagsAs(c.tags(d), iamTag),
		})
		if err != nil && refusal.Code(err) != entityExists {
			return "", err
		}
		err = poll(ctx, settlesWithin, func() (bool, error) { // IAM is eventually consistent
			role, err = c.findRole(ctx)
			return role != nil, err
		})
		if err != nil {
			return "", err
		}
	}
	if !c.ownsIAM(role.Tags) {
		return "", c.notOurs("role " + c.roleName())
	}
	arn = aws.ToString(role.Arn)
	policies := maps.Clone(r.Want.Policies)
	if policies == nil {
		policies = map[string]string{}
	}
	// The names first: what is written is known, and what is known can be removed.
	names := slices.Sorted(maps.Keys(policies))
	if known := union(r.Policies, names); !slices.Equal(known, r.Policies) {
		if err := c.note(ctx, r, func(r *record) { r.Policies = known }); err != nil {
			return "", err
		}
	}
	policies[ownPolicy] = c.hostPolicy(iampolicy.AccountOf(arn), *r, d)
	outdated := slices.Clone(r.Policies)
	for _, name := range append([]string{ownPolicy}, names...) {
		write := func() error {
			return untilNot(ctx, noSuchEntity, func() error {
				_, err := c.aws.IAM.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{
					RoleName: role.RoleName, PolicyName: aws.String(name), PolicyDocument: aws.String(policies[name]),
				})
				return err
			})
		}
		err := write()
		if refusal.Code(err) == roleFull && outdated != nil { // by what those had before that come later
			for _, other := range outdated {
				if err := c.removePolicy(ctx, other); err != nil {
					return "", refusal.Step("policy "+other, err)
				}
			}
			outdated, err = nil, write()
		}
		if err != nil {
			return "", refusal.Step("policy "+name, err)
		}
		outdated = slices.DeleteFunc(outdated, func(known string) bool { return known == name })
	}
	for _, name := range r.Policies {
		if _, stays := policies[name]; stays {
			continue
		}
		if err := c.removePolicy(ctx, name); err != nil {
			return "", refusal.Step("policy "+name, err)
		}
	}
	if slices.Equal(names, r.Policies) {
		return arn, nil
	}
	return arn, c.note(ctx, r, func(r *record) { r.Policies = names })
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

func (c *Client) removePolicy(ctx context.Context, name string) error {
	_, err := c.aws.IAM.DeleteRolePolicy(ctx, &awsiam.DeleteRolePolicyInput{RoleName: aws.String(c.roleName()), PolicyName: aws.String(name)})
	if refusal.Code(err) == noSuchEntity {
		return nil
	}
	return err
}

// findRole returns the host's role, or nil.
func (c *Client) findRole(ctx context.Context) (*iamtypes.Role, error) {
	out, err := c.aws.IAM.GetRole(ctx, &awsiam.GetRoleInput{RoleName: aws.String(c.roleName())})
	if refusal.Code(err) == noSuchEntity {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out.Role, nil
}

// ensureProfile makes the instance profile with the role in it, or repairs it.
// EC2 comes to know of it some seconds later: a launch waits for that.
func (c *Client) ensureProfile(ctx context.Context, d domain.Description) error {
	profile, err := c.findProfile(ctx)
	if err != nil {
		return err
	}
	if profile == nil {
		_, err := c.aws.IAM.CreateInstanceProfile(ctx, &awsiam.CreateInstanceProfileInput{
			InstanceProfileName: aws.String(c.roleName()), Tags: tagsAs(c.tags(d), iamTag),
		})
		if err != nil && refusal.Code(err) != entityExists {
			return err
		}
		err = poll(ctx, settlesWithin, func() (bool, error) {
			profile, err = c.findProfile(ctx)
			return profile != nil, err
		})
		if err != nil {
			return err
		}
	}
	if !c.ownsIAM(profile.Tags) {
		return c.notOurs("instance profile " + c.roleName())
	}
	return poll(ctx, settlesWithin, func() (bool, error) {
		profile, err := c.findProfile(ctx)
		if err != nil || profile == nil {
			return false, err
		}
		for _, r := range profile.Roles { // there is one at most
			if aws.ToString(r.RoleName) == c.roleName() {
				return true, nil
			}
			if err := c.takeOut(ctx, aws.ToString(r.RoleName)); err != nil {
				return false, err
			}
		}
		_, err = c.aws.IAM.AddRoleToInstanceProfile(ctx, &awsiam.AddRoleToInstanceProfileInput{
			InstanceProfileName: aws.String(c.roleName()), RoleName: aws.String(c.roleName()),
		})
		switch refusal.Code(err) {
		case noSuchEntity, // the role is too young
			"LimitExceeded": // a role is in it by now: ours, if an answer was lost and the SDK asked again
			return false, nil
		}
		return err == nil, err
	})
}

// takeOut takes a role out of the profile.
func (c *Client) takeOut(ctx context.Context, role string) error {
	_, err := c.aws.IAM.RemoveRoleFromInstanceProfile(ctx, &awsiam.RemoveRoleFromInstanceProfileInput{
		InstanceProfileName: aws.String(c.roleName()), RoleName: aws.String(role),
	})
	if refusal.Code(err) == noSuchEntity {
		return nil
	}
	return err
}

// findProfile returns the instance profile, or nil.
func (c *Client) findProfile(ctx context.Context) (*iamtypes.InstanceProfile, error) {
	out, err := c.aws.IAM.GetInstanceProfile(ctx, &awsiam.GetInstanceProfileInput{InstanceProfileName: aws.String(c.roleName())})
	if refusal.Code(err) == noSuchEntity {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out.InstanceProfile, nil
}

// removeRole deletes the instance profile and the role, as far as they are there
// and the Workbench's. Policies that somebody else gave the role are in the way,
// and IAM says so.
func (c *Client) removeRole(ctx context.Context, r record) error {
	profile, err := c.findProfile(ctx)
	if err != nil {
		return err
	}
	if profile != nil && c.ownsIAM(profile.Tags) {
		for _, r := range profile.Roles {
			if err := c.takeOut(ctx, aws.ToString(r.RoleName)); err != nil {
				return err
			}
		}
		_, err := c.aws.IAM.DeleteInstanceProfile(ctx, &awsiam.DeleteInstanceProfileInput{InstanceProfileName: aws.String(c.roleName())})
		if err != nil && refusal.Code(err) != noSuchEntity {
			return err
		}
	}
	role, err := c.findRole(ctx)
	if err != nil || role == nil || !c.ownsIAM(role.Tags) {
		return err
	}
	var wrong []error
	for _, name := range union(r.Policies, []string{ownPolicy}) {
		wrong = append(wrong, c.removePolicy(ctx, name))
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	_, err = c.aws.IAM.DeleteRole(ctx, &awsiam.DeleteRoleInput{RoleName: role.RoleName})
	if refusal.Code(err) == noSuchEntity {
		return nil
	}
	return err
}

func iamTag(k, v *string) iamtypes.Tag { return iamtypes.Tag{Key: k, Value: v} }

func (c *Client) ownsIAM(tags []iamtypes.Tag) bool {
	for _, t := range tags {
		if aws.ToString(t.Key) == tagWorkbench {
			return aws.ToString(t.Value) == c.domain.Name()
		}
	}
	return false
}
