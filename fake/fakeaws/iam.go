package fakeaws

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// iam is the state of IAM, by name.
type iam struct {
	roles    map[string]*role
	profiles map[string]*profile
}

type role struct {
	id, name, trust, description string
	tags                         map[string]string
	policies                     map[string]string // inline, by name
	created                      time.Time
}

// A profile is an instance profile.
type profile struct {
	id, name string
	role     string // of the one it can hold; empty is none
	tags     map[string]string
	created  time.Time
	known    time.Time // when EC2 comes to know it as it is
}

func (c *Cloud) registerIAM() {
	c.iam = iam{roles: map[string]*role{}, profiles: map[string]*profile{}}
	handle(c, c.createRole)
	handle(c, c.getRole)
	handle(c, c.deleteRole)
	handle(c, c.updateAssumeRolePolicy)
	handle(c, c.putRolePolicy)
	handle(c, c.getRolePolicy)
	handle(c, c.deleteRolePolicy)

	handle(c, c.createInstanceProfile)
	handle(c, c.getInstanceProfile)
	handle(c, c.deleteInstanceProfile)
	handle(c, c.addRoleToInstanceProfile)
	handle(c, c.removeRoleFromInstanceProfile)
}

// IAM's errors and their statuses,
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html#API_CreateRole_Errors.

func noSuchEntity(format string, args ...any) error {
	return refuseAs(http.StatusNotFound, &types.NoSuchEntityException{Message: aws.String(fmt.Sprintf(format, args...))})
}

func alreadyExists(format string, args ...any) error {
	return refuseAs(http.StatusConflict, &types.EntityAlreadyExistsException{Message: aws.String(fmt.Sprintf(format, args...))})
}

func deleteConflict(message string) error {
	return refuseAs(http.StatusConflict, &types.DeleteConflictException{Message: aws.String(message)})
}

// settled reports whether a change made at an instant shows. IAM is eventually
// consistent (https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html);
// that what was made does not exist for [Delays.Visible], neither for reads nor
// for changes, while its name is taken at once, is an assumption.
func (c *Cloud) settled(at call, changed time.Time) bool {
	return !at.At.Before(changed.Add(c.delays.Visible))
}

// role finds a role that shows.
func (c *Cloud) role(at call, name *string) (*role, error) {
	r := c.iam.roles[aws.ToString(name)]
	if r == nil || !c.settled(at, r.created) {
		return nil, noSuchEntity("The role with name %s cannot be found.", aws.ToString(name))
	}
	return r, nil
}

// instanceProfile finds an instance profile that shows.
func (c *Cloud) instanceProfile(at call, name *string) (*profile, error) {
	p := c.iam.profiles[aws.ToString(name)]
	if p == nil || !c.settled(at, p.created) {
		return nil, noSuchEntity("Instance Profile %s cannot be found.", aws.ToString(name))
	}
	return p, nil
}

// entityName holds names of roles, to 64, and of instance profiles, to 128
// characters (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html).
var entityName = regexp.MustCompile(`^[\w+=,.@-]+$`)

func checkName(member, name string, most int) error {
	if len(name) > most || !entityName.MatchString(name) {
		return refuse(http.StatusBadRequest, "ValidationError",
			"1 validation error detected: Value at '%s' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]+ and have length less than or equal to %d", member, most)
	}
	return nil
}

// iamTags reads tags by IAM's rules
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html).
func iamTags(list []types.Tag) (map[string]string, error) {
	tags := map[string]string{}
	for _, t := range list {
		k, v := aws.ToString(t.Key), aws.ToString(t.Value)
		if _, twice := tags[k]; k == "" || len(k) > 128 || len(v) > 256 || strings.HasPrefix(k, "aws:") || twice || len(list) > 50 {
			return nil, refuseAs(http.StatusBadRequest, &types.InvalidInputException{Message: aws.String(fmt.Sprintf("Tag %q is invalid.", k))})
		}
		tags[k] = v
	}
	return tags, nil
}

func iamTagList(tags map[string]string) (list []types.Tag) {
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return list
}

// checkPolicy refuses what is no policy document. Its grammar is not checked
// further.
func checkPolicy(document string) error {
	var p struct{ Statement json.RawMessage }
	if err := json.Unmarshal([]byte(document), &p); err != nil || p.Statement == nil {
		return refuseAs(http.StatusBadRequest, &types.MalformedPolicyDocumentException{Message: aws.String("Syntax errors in policy.")})
	}
	return nil
}

func (c *Cloud) roleARN(name string) string { return "arn:aws:iam::" + c.account + ":role/" + name }

func (c *Cloud) describeRole(r *role) types.Role {
	return types.Role{
		Arn: aws.String(c.roleARN(r.name)), RoleName: aws.String(r.name), RoleId: aws.String(r.id), Path: aws.String("/"),
		CreateDate: aws.Time(r.created), Description: aws.String(r.description), Tags: iamTagList(r.tags),
		AssumeRolePolicyDocument: aws.String(url.QueryEscape(r.trust)), MaxSessionDuration: aws.Int32(3600),
	}
}

// createRole follows
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html.
func (c *Cloud) createRole(at call, in *awsiam.CreateRoleInput) (*awsiam.CreateRoleOutput, error) {
	if err := modelled(at, in, "RoleName", "AssumeRolePolicyDocument", "Description", "Tags"); err != nil {
		return nil, err
	}
	name := aws.ToString(in.RoleName)
	if err := checkName("roleName", name, 64); err != nil {
		return nil, err
	}
	if err := checkPolicy(aws.ToString(in.AssumeRolePolicyDocument)); err != nil {
		return nil, err
	}
	tags, err := iamTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if c.iam.roles[name] != nil {
		return nil, alreadyExists("Role with name %s already exists.", name)
	}
	r := &role{
		id: entityID("AROA", at.id), name: name, trust: *in.AssumeRolePolicyDocument, description: aws.ToString(in.Description),
		tags: tags, policies: map[string]string{}, created: at.At,
	}
	c.iam.roles[name] = r
	d := c.describeRole(r)
	return &awsiam.CreateRoleOutput{Role: &d}, nil
}

// entityID makes a unique id in the form IAM uses
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html).
func entityID(prefix string, id uint64) string { return fmt.Sprintf("%s%016X", prefix, id) }

func (c *Cloud) getRole(at call, in *awsiam.GetRoleInput) (*awsiam.GetRoleOutput, error) {
	r, err := c.role(at, in.RoleName)
	if err != nil {
		return nil, err
	}
	d := c.describeRole(r)
	return &awsiam.GetRoleOutput{Role: &d}, nil
}

// deleteRole follows
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteRole.html: its
// policies and its instance profile have to go first.
func (c *Cloud) deleteRole(at call, in *awsiam.DeleteRoleInput) (*awsiam.DeleteRoleOutput, error) {
	r, err := c.role(at, in.RoleName)
	if err != nil {
		return nil, err
	}
	if len(r.policies) > 0 {
		return nil, deleteConflict("Cannot delete entity, must delete policies first.")
	}
	for _, p := range c.iam.profiles {
		if p.role == r.name {
			return nil, deleteConflict("Cannot delete entity, must remove roles from instance profile first.")
		}
	}
	delete(c.iam.roles, r.name)
	return &awsiam.DeleteRoleOutput{}, nil
}

func (c *Cloud) updateAssumeRolePolicy(at call, in *awsiam.UpdateAssumeRolePolicyInput) (*awsiam.UpdateAssumeRolePolicyOutput, error) {
	r, err := c.role(at, in.RoleName)
	if err != nil {
		return nil, err
	}
	if err := checkPolicy(aws.ToString(in.PolicyDocument)); err != nil {
		return nil, err
	}
	r.trust = *in.PolicyDocument
	return &awsiam.UpdateAssumeRolePolicyOutput{}, nil
}

// putRolePolicy follows
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutRolePolicy.html.
func (c *Cloud) putRolePolicy(at call, in *awsiam.PutRolePolicyInput) (*awsiam.PutRolePolicyOutput, error) {
	r, err := c.role(at, in.RoleName)
	if err != nil {
		return nil, err
	}
	if err := checkName("policyName", aws.ToString(in.PolicyName), 128); err != nil {
		return nil, err
	}
	document := aws.ToString(in.PolicyDocument)
	if err := checkPolicy(document); err != nil {
		return nil, err
	}
	size := 0
	for name, p := range r.policies {
		if name != *in.PolicyName {
			size += policySize(p)
		}
	}
	if size+policySize(document) > 10240 {
		return nil, refuseAs(http.StatusConflict, &types.LimitExceededException{Message: aws.String(fmt.Sprintf(
			"Maximum policy size of 10240 bytes exceeded for role %s", r.name))})
	}
	r.policies[*in.PolicyName] = document
	return &awsiam.PutRolePolicyOutput{}, nil
}

// policySize counts a document as IAM does: without white space.
func policySize(document string) int { return len(strings.Join(strings.Fields(document), "")) }

func (c *Cloud) getRolePolicy(at call, in *awsiam.GetRolePolicyInput) (*awsiam.GetRolePolicyOutput, error) {
	r, err := c.role(at, in.RoleName)
	if err != nil {
		return nil, err
	}
	document, ok := r.policies[aws.ToString(in.PolicyName)]
	if !ok {
		return nil, noSuchEntity("The role policy with name %s cannot be found.", aws.ToString(in.PolicyName))
	}
	return &awsiam.GetRolePolicyOutput{
		RoleName: in.RoleName, PolicyName: in.PolicyName, PolicyDocument: aws.String(url.QueryEscape(document)),
	}, nil
}

func (c *Cloud) deleteRolePolicy(at call, in *awsiam.DeleteRolePolicyInput) (*awsiam.DeleteRolePolicyOutput, error) {
	r, err := c.role(at, in.RoleName)
	if err != nil {
		return nil, err
	}
	name := aws.ToString(in.PolicyName)
	if _, ok := r.policies[name]; !ok {
		return nil, noSuchEntity("The role policy with name %s cannot be found.", name)
	}
	delete(r.policies, name)
	return &awsiam.DeleteRolePolicyOutput{}, nil
}
