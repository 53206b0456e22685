package fakeaws

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// AddInstanceProfile makes an IAM instance profile with a role of the same
// name, which EC2 knows at once, and returns its ARN. Adding it again does
// nothing.
func (c *Cloud) AddInstanceProfile(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.iam.profiles[name] == nil {
		c.iam.profiles[name] = &profile{id: entityID("AIPA", c.hash("instance profile", name)), name: name, role: name}
	}
	if c.iam.roles[name] == nil {
		c.iam.roles[name] = &role{
			id: entityID("AROA", c.hash("role", name)), name: name, policies: map[string]string{},
			trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`,
		}
	}
	return c.profileARN(name)
}

func (c *Cloud) profileARN(name string) string {
	return "arn:aws:iam::" + c.account + ":instance-profile/" + name
}

// launchProfile finds the instance profile a launch names by its name or ARN.
// One that IAM does not have, and one that was made moments ago, EC2 refuses in
// the same words: https://github.com/aws/aws-sdk-js-v3/issues/5253. Terraform's
// provider for AWS (its resource aws_instance) repeats a launch that is refused
// so, or for the want of a role, and notes that profiles "can take ~10 seconds
// to propagate". How long is [Delays.InstanceProfile].
func (c *Cloud) launchProfile(name, arn string, now time.Time) (string, error) {
	what, value := "name", name
	switch {
	case name != "" && arn != "":
		return "", ec2Refuse("InvalidParameterCombination", "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'")
	case arn != "":
		what, value = "arn", arn
		name, _ = strings.CutPrefix(arn, c.profileARN(""))
	}
	p := c.iam.profiles[name]
	if p == nil || now.Before(p.known) {
		return "", ec2Refuse("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.%s is invalid. Invalid IAM Instance Profile %s",
			value, what, map[string]string{"name": "name", "arn": "ARN"}[what])
	}
	if p.role == "" {
		return "", ec2Refuse("InvalidParameterValue", "IAM Instance Profile %q has no associated IAM Roles", c.profileARN(name))
	}
	return name, nil
}

func (c *Cloud) describeProfile(p *profile) *types.InstanceProfile {
	d := &types.InstanceProfile{
		Arn: aws.String(c.profileARN(p.name)), InstanceProfileName: aws.String(p.name), InstanceProfileId: aws.String(p.id),
		Path: aws.String("/"), CreateDate: aws.Time(p.created), Tags: iamTagList(p.tags), Roles: []types.Role{},
	}
	if r := c.iam.roles[p.role]; r != nil {
		d.Roles = append(d.Roles, c.describeRole(r))
	}
	return d
}

// createInstanceProfile follows
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateInstanceProfile.html.
func (c *Cloud) createInstanceProfile(at call, in *awsiam.CreateInstanceProfileInput) (*awsiam.CreateInstanceProfileOutput, error) {
	if err := modelled(at, in, "InstanceProfileName", "Tags"); err != nil {
		return nil, err
	}
	name := aws.ToString(in.InstanceProfileName)
	if err := checkName("instanceProfileName", name, 128); err != nil {
		return nil, err
	}
	tags, err := iamTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if c.iam.profiles[name] != nil {
		return nil, alreadyExists("Instance Profile %s already exists.", name)
	}
	p := &profile{id: entityID("AIPA", at.id), name: name, tags: tags, created: at.At, known: at.At.Add(c.delays.InstanceProfile)}
	c.iam.profiles[name] = p
	return &awsiam.CreateInstanceProfileOutput{InstanceProfile: c.describeProfile(p)}, nil
}

func (c *Cloud) getInstanceProfile(at call, in *awsiam.GetInstanceProfileInput) (*awsiam.GetInstanceProfileOutput, error) {
	p, err := c.instanceProfile(at, in.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	return &awsiam.GetInstanceProfileOutput{InstanceProfile: c.describeProfile(p)}, nil
}

// deleteInstanceProfile follows
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteInstanceProfile.html.
func (c *Cloud) deleteInstanceProfile(at call, in *awsiam.DeleteInstanceProfileInput) (*awsiam.DeleteInstanceProfileOutput, error) {
	p, err := c.instanceProfile(at, in.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	if p.role != "" {
		return nil, deleteConflict("Cannot delete entity, must remove roles from instance profile first.")
	}
	delete(c.iam.profiles, p.name)
	return &awsiam.DeleteInstanceProfileOutput{}, nil
}

// addRoleToInstanceProfile follows
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_AddRoleToInstanceProfile.html:
// a profile holds one role. That the role it holds already is refused with the
// same LimitExceeded is an assumption.
func (c *Cloud) addRoleToInstanceProfile(at call, in *awsiam.AddRoleToInstanceProfileInput) (*awsiam.AddRoleToInstanceProfileOutput, error) {
	p, err := c.instanceProfile(at, in.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	r, err := c.role(at, in.RoleName)
	if err != nil {
		return nil, err
	}
	if p.role != "" {
		return nil, refuseAs(http.StatusConflict, &types.LimitExceededException{
			Message: aws.String(fmt.Sprintf("Cannot exceed quota for InstanceSessionsPerInstanceProfile: %d", 1)),
		})
	}
	p.role, p.known = r.name, at.At.Add(c.delays.InstanceProfile)
	return &awsiam.AddRoleToInstanceProfileOutput{}, nil
}

func (c *Cloud) removeRoleFromInstanceProfile(at call, in *awsiam.RemoveRoleFromInstanceProfileInput) (*awsiam.RemoveRoleFromInstanceProfileOutput, error) {
	p, err := c.instanceProfile(at, in.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	if p.role != aws.ToString(in.RoleName) {
		return nil, noSuchEntity("The role with name %s cannot be found in the instance profile %s.", aws.ToString(in.RoleName), p.name)
	}
	p.role = ""
	return &awsiam.RemoveRoleFromInstanceProfileOutput{}, nil
}
