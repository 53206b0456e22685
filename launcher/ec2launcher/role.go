package ec2launcher

import (
	"context"
	"errors"
	"net/url"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/atelier-go/atelier/internal/iampolicy"
)

const noSuchEntity, entityExists = "NoSuchEntity", "EntityAlreadyExists"

// ensureRole makes the hosts' role and its policy, or completes and repairs
// them, and returns the role's ARN.
func (l *Launcher) ensureRole(ctx context.Context) (arn string, err error) {
	role, err := l.findRole(ctx)
	if err != nil {
		return "", err
	}
	if role == nil {
		l.cfg.Logger.Info("setup: making the hosts' role", "role", l.hostRole())
		_, err := l.iam.CreateRole(ctx, &awsiam.CreateRoleInput{
			RoleName: aws.String(l.hostRole()), AssumeRolePolicyDocument: aws.String(iampolicy.EC2Trust()),
			Description: aws.String("Atelier fleet " + l.cfg.Fleet + ": what its hosts may do"),
			Tags:        l.iamTags(),
		})
		if err != nil && codeOf(err) != entityExists {
			return "", err
		}
		err = poll(ctx, func() (bool, error) { // IAM is eventually consistent
			role, err = l.findRole(ctx)
			return role != nil, err
		})
		if err != nil {
			return "", err
		}
	}
	if !l.hasOurTag(role.Tags) {
		return "", l.notOurs("role " + l.hostRole())
	}
	arn = aws.ToString(role.Arn)
	if trust, err := url.QueryUnescape(aws.ToString(role.AssumeRolePolicyDocument)); err != nil || trust != iampolicy.EC2Trust() {
		_, err := l.iam.UpdateAssumeRolePolicy(ctx, &awsiam.UpdateAssumeRolePolicyInput{
			RoleName: role.RoleName, PolicyDocument: aws.String(iampolicy.EC2Trust()),
		})
		if err != nil {
			return "", err
		}
	}
	return arn, whenVisible(ctx, noSuchEntity, func() error {
		_, err := l.iam.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{
			RoleName: role.RoleName, PolicyName: aws.String(hostPolicy), PolicyDocument: aws.String(l.hostPolicyDocument(iampolicy.AccountOf(arn))),
		})
		return err
	})
}

// findRole returns the hosts' role, or nil.
func (l *Launcher) findRole(ctx context.Context) (*iamtypes.Role, error) {
	out, err := l.iam.GetRole(ctx, &awsiam.GetRoleInput{RoleName: aws.String(l.hostRole())})
	if codeOf(err) == noSuchEntity {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out.Role, nil
}

// ensureProfile makes the instance profile with the hosts' role in it, or
// repairs it. EC2 comes to know of it some seconds later: a purchase waits for
// that.
func (l *Launcher) ensureProfile(ctx context.Context) error {
	profile, err := l.findProfile(ctx)
	if err != nil {
		return err
	}
	if profile == nil {
		l.cfg.Logger.Info("setup: making the hosts' instance profile", "profile", l.hostRole())
		_, err := l.iam.CreateInstanceProfile(ctx, &awsiam.CreateInstanceProfileInput{
			InstanceProfileName: aws.String(l.hostRole()), Tags: l.iamTags(),
		})
		if err != nil && codeOf(err) != entityExists {
			return err
		}
		err = poll(ctx, func() (bool, error) {
			profile, err = l.findProfile(ctx)
			return profile != nil, err
		})
		if err != nil {
			return err
		}
	}
	if !l.hasOurTag(profile.Tags) {
		return l.notOurs("instance profile " + l.hostRole())
	}
	for _, r := range profile.Roles { // there is one at most
		if aws.ToString(r.RoleName) == l.hostRole() {
			return nil
		}
		_, err := l.iam.RemoveRoleFromInstanceProfile(ctx, &awsiam.RemoveRoleFromInstanceProfileInput{
			InstanceProfileName: profile.InstanceProfileName, RoleName: r.RoleName,
		})
		if err != nil && codeOf(err) != noSuchEntity {
			return err
		}
	}
	return whenVisible(ctx, noSuchEntity, func() error {
		_, err := l.iam.AddRoleToInstanceProfile(ctx, &awsiam.AddRoleToInstanceProfileInput{
			InstanceProfileName: profile.InstanceProfileName, RoleName: aws.String(l.hostRole()),
		})
		if codeOf(err) != "LimitExceeded" {
			return err
		}
		// A role is in it: ours, if an answer was lost and the SDK has asked again.
		now, look := l.findProfile(ctx)
		if look != nil || now == nil || !slices.ContainsFunc(now.Roles, func(r iamtypes.Role) bool { return aws.ToString(r.RoleName) == l.hostRole() }) {
			return errors.Join(err, look)
		}
		return nil
	})
}

// findProfile returns the hosts' instance profile, or nil.
func (l *Launcher) findProfile(ctx context.Context) (*iamtypes.InstanceProfile, error) {
	out, err := l.iam.GetInstanceProfile(ctx, &awsiam.GetInstanceProfileInput{InstanceProfileName: aws.String(l.hostRole())})
	if codeOf(err) == noSuchEntity {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out.InstanceProfile, nil
}

// removeRole deletes the instance profile and the role, as far as they are
// there and the fleet's. Policies that somebody else gave the role are in the
// way, and IAM says so.
func (l *Launcher) removeRole(ctx context.Context) error {
	profile, err := l.findProfile(ctx)
	if err != nil {
		return err
	}
	if profile != nil && l.hasOurTag(profile.Tags) {
		for _, r := range profile.Roles {
			_, err := l.iam.RemoveRoleFromInstanceProfile(ctx, &awsiam.RemoveRoleFromInstanceProfileInput{
				InstanceProfileName: profile.InstanceProfileName, RoleName: r.RoleName,
			})
			if err != nil && codeOf(err) != noSuchEntity {
				return err
			}
		}
		_, err := l.iam.DeleteInstanceProfile(ctx, &awsiam.DeleteInstanceProfileInput{InstanceProfileName: profile.InstanceProfileName})
		if err != nil && codeOf(err) != noSuchEntity {
			return err
		}
	}
	role, err := l.findRole(ctx)
	if err != nil || role == nil || !l.hasOurTag(role.Tags) {
		return err
	}
	_, err = l.iam.DeleteRolePolicy(ctx, &awsiam.DeleteRolePolicyInput{RoleName: role.RoleName, PolicyName: aws.String(hostPolicy)})
	if err != nil && codeOf(err) != noSuchEntity {
		return err
	}
	_, err = l.iam.DeleteRole(ctx, &awsiam.DeleteRoleInput{RoleName: role.RoleName})
	if codeOf(err) == noSuchEntity {
		return nil
	}
	return err
}

func (l *Launcher) iamTags() []iamtypes.Tag {
	return tagsAs(l.ownTags(), func(k, v *string) iamtypes.Tag { return iamtypes.Tag{Key: k, Value: v} })
}

func (l *Launcher) hasOurTag(tags []iamtypes.Tag) bool {
	for _, t := range tags {
		if aws.ToString(t.Key) == tagFleet {
			return aws.ToString(t.Value) == l.cfg.Fleet
		}
	}
	return false
}
