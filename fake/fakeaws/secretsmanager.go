package fakeaws

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// secrets is the state of Secrets Manager.
type secrets struct {
	byName map[string]*secret
	// freed is when the name of a secret that was deleted by force can be used
	// again.
	freed map[string]time.Time
}

type secret struct {
	name, arn, description string
	tags                   map[string]string
	policy                 string
	versions               []secretVersion // in the order in which they became current
	created                time.Time
	deleted                time.Time // from here on gone for good; zero if not scheduled
}

// A secretVersion is one value. Staging labels follow from the order: the last
// is AWSCURRENT, the one before it AWSPREVIOUS. Labels of the caller's own are
// not modelled.
type secretVersion struct {
	id, text string
	made     time.Time
}

func (c *Cloud) registerSecretsManager() {
	c.secrets = secrets{byName: map[string]*secret{}, freed: map[string]time.Time{}}
	handle(c, c.createSecret)
	handle(c, c.describeSecret)
	handle(c, c.getSecretValue)
	handle(c, c.putSecretValue)
	handle(c, c.putResourcePolicy)
	handle(c, c.deleteSecret)
	handle(c, c.restoreSecret)
}

// secretsRefuse is a client error of Secrets Manager, which has HTTP status 400
// (https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html#API_CreateSecret_Errors).
func secretsRefuse(code, format string, args ...any) error {
	return refuse(http.StatusBadRequest, code, format, args...)
}

// secret finds a secret by its name or ARN. A new one shows only after
// [Delays.Visible], an assumption that makes callers careful: Terraform's
// provider repeats reads that do not find what was just created
// (internal/service/secretsmanager/secret.go). One whose deletion is scheduled
// can be described and restored, and nothing else.
func (c *Cloud) secret(at call, id *string, scheduled bool) (*secret, error) {
	name := aws.ToString(id)
	s := c.secrets.byName[name]
	if strings.HasPrefix(name, "arn:") {
		for _, other := range c.secrets.byName {
			if other.arn == name {
				s = other
			}
		}
	}
	if s == nil || !c.settled(at, s.created) || s.gone(at.At) {
		return nil, secretsRefuse("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	}
	if !s.deleted.IsZero() && !scheduled {
		return nil, secretsRefuse("InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.")
	}
	return s, nil
}

func (s *secret) gone(now time.Time) bool { return !s.deleted.IsZero() && !now.Before(s.deleted) }

// secretName holds the characters of names
// (https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html).
var secretName = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,512}$`)

// createSecret follows
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html.
// The name of a secret that is scheduled for deletion is taken, in the words of
// https://github.com/redpanda-data/console/issues/1835.
func (c *Cloud) createSecret(at call, in *awssecrets.CreateSecretInput) (*awssecrets.CreateSecretOutput, error) {
	if err := modelled(at, in, "Name", "Description", "SecretString", "ClientRequestToken", "Tags"); err != nil {
		return nil, err
	}
	name := aws.ToString(in.Name)
	if !secretName.MatchString(name) {
		return nil, secretsRefuse("ValidationException", "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	if known := c.secrets.byName[name]; known != nil && !known.gone(at.At) {
		switch {
		case !known.deleted.IsZero():
			return nil, scheduledForDeletion()
		case in.SecretString != nil && known.repeats(aws.ToString(in.ClientRequestToken), *in.SecretString):
			return created(known, in.ClientRequestToken), nil
		}
		return nil, secretsRefuse("ResourceExistsException", "The operation failed because the secret %s already exists.", name)
	}
	if at.At.Before(c.secrets.freed[name]) {
		return nil, scheduledForDeletion()
	}
	tags := map[string]string{}
	for _, t := range in.Tags {
		k, v := aws.ToString(t.Key), aws.ToString(t.Value)
		if _, twice := tags[k]; k == "" || len(k) > 128 || len(v) > 256 || strings.HasPrefix(k, "aws:") || twice || len(in.Tags) > 50 {
			return nil, secretsRefuse("InvalidParameterException", "Tag %q is invalid.", k)
		}
		tags[k] = v
	}
	s := &secret{
		name: name, description: aws.ToString(in.Description), tags: tags, created: at.At,
		// Six characters follow the name in the ARN.
		arn: fmt.Sprintf("arn:aws:secretsmanager:%s:%s:secret:%s-%06x", c.region, c.account, name, at.id&0xffffff),
	}
	if in.SecretString != nil {
		if err := s.add(at, aws.ToString(in.ClientRequestToken), *in.SecretString); err != nil {
			return nil, err
		}
	}
	c.secrets.byName[name] = s
	return created(s, in.ClientRequestToken), nil
}

func scheduledForDeletion() error {
	return secretsRefuse("InvalidRequestException", "You can't create this secret because a secret with this name is already scheduled for deletion.")
}

func created(s *secret, token *string) *awssecrets.CreateSecretOutput {
	out := &awssecrets.CreateSecretOutput{ARN: aws.String(s.arn), Name: aws.String(s.name)}
	if len(s.versions) > 0 {
		out.VersionId = token
	}
	return out
}

// repeats reports whether a version has that id and value.
func (s *secret) repeats(id, text string) bool {
	return slices.ContainsFunc(s.versions, func(v secretVersion) bool { return v.id == id && v.text == text })
}

// add makes a value the current one. The caller's token becomes its id: a
// repetition does nothing, and a version is never changed. A value has at most
// 65,536 bytes (https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html).
func (s *secret) add(at call, token, text string) error {
	if n := len(token); n < 32 || n > 64 {
		return secretsRefuse("InvalidParameterException", "ClientRequestToken must be 32-64 characters long.")
	}
	if n := len(text); n < 1 || n > 65536 {
		return secretsRefuse("ValidationException", "1 validation error detected: Value at 'secretString' failed to satisfy constraint: Member must have length less than or equal to 65536")
	}
	for _, v := range s.versions {
		if v.id == token && v.text != text {
			return secretsRefuse("ResourceExistsException", "A resource with the ID you requested already exists.")
		}
		if v.id == token {
			return nil
		}
	}
	s.versions = append(s.versions, secretVersion{token, text, at.At})
	return nil
}

// shown are the versions that reads know: for [Delays.Visible] after a change
// they answer as before, an assumption as with new secrets.
func (c *Cloud) shown(at call, s *secret) []secretVersion {
	n := len(s.versions)
	for n > 0 && !c.settled(at, s.versions[n-1].made) {
		n--
	}
	return s.versions[:n]
}

// describeSecret follows
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html.
func (c *Cloud) describeSecret(at call, in *awssecrets.DescribeSecretInput) (*awssecrets.DescribeSecretOutput, error) {
	s, err := c.secret(at, in.SecretId, true)
	if err != nil {
		return nil, err
	}
	out := &awssecrets.DescribeSecretOutput{
		ARN: aws.String(s.arn), Name: aws.String(s.name), CreatedDate: aws.Time(s.created),
	}
	if s.description != "" {
		out.Description = aws.String(s.description)
	}
	if !s.deleted.IsZero() {
		out.DeletedDate = aws.Time(s.deleted)
	}
	for _, k := range slices.Sorted(maps.Keys(s.tags)) {
		out.Tags = append(out.Tags, types.Tag{Key: aws.String(k), Value: aws.String(s.tags[k])})
	}
	shown := c.shown(at, s)
	for i, label := range []string{"AWSCURRENT", "AWSPREVIOUS"} {
		if n := len(shown) - 1 - i; n >= 0 {
			if out.VersionIdsToStages == nil {
				out.VersionIdsToStages = map[string][]string{}
			}
			out.VersionIdsToStages[shown[n].id] = []string{label}
		}
	}
	return out, nil
}

// getSecretValue follows
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
// for the current value, which the secret's own policy may deny.
func (c *Cloud) getSecretValue(at call, in *awssecrets.GetSecretValueInput) (*awssecrets.GetSecretValueOutput, error) {
	if err := modelled(at, in, "SecretId"); err != nil {
		return nil, err
	}
	s, err := c.secret(at, in.SecretId, false)
	if err != nil {
		return nil, err
	}
	if refused, err := denies(s.policy, at.Action, at.principal); err != nil {
		return nil, err
	} else if refused {
		return nil, secretsRefuse("AccessDeniedException",
			"User: %s is not authorized to perform: %s on resource: %s with an explicit deny in a resource-based policy", at.principal, at.Action, s.arn)
	}
	shown := c.shown(at, s)
	if len(shown) == 0 {
		return nil, secretsRefuse("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT")
	}
	v := shown[len(shown)-1]
	return &awssecrets.GetSecretValueOutput{
		ARN: aws.String(s.arn), Name: aws.String(s.name), VersionId: aws.String(v.id), VersionStages: []string{"AWSCURRENT"},
		SecretString: aws.String(v.text), CreatedDate: aws.Time(v.made),
	}, nil
}

// putSecretValue follows
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html.
func (c *Cloud) putSecretValue(at call, in *awssecrets.PutSecretValueInput) (*awssecrets.PutSecretValueOutput, error) {
	if err := modelled(at, in, "SecretId", "SecretString", "ClientRequestToken"); err != nil {
		return nil, err
	}
	s, err := c.secret(at, in.SecretId, false)
	if err != nil {
		return nil, err
	}
	if in.SecretString == nil {
		return nil, secretsRefuse("InvalidRequestException", "You must provide either SecretString or SecretBinary.")
	}
	if err := s.add(at, aws.ToString(in.ClientRequestToken), *in.SecretString); err != nil {
		return nil, err
	}
	return &awssecrets.PutSecretValueOutput{
		ARN: aws.String(s.arn), Name: aws.String(s.name), VersionId: in.ClientRequestToken, VersionStages: []string{"AWSCURRENT"},
	}, nil
}

// deleteSecret follows
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DeleteSecret.html:
// by force a secret is gone for its readers at once, a missing one is no error,
// and its name is free "after a short delay", here [Delays.Visible]; else it
// is scheduled.
func (c *Cloud) deleteSecret(at call, in *awssecrets.DeleteSecretInput) (*awssecrets.DeleteSecretOutput, error) {
	force, days := aws.ToBool(in.ForceDeleteWithoutRecovery), int64(30)
	if in.RecoveryWindowInDays != nil {
		if days = *in.RecoveryWindowInDays; force || days < 7 || days > 30 {
			return nil, secretsRefuse("InvalidParameterException", "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive), without ForceDeleteWithoutRecovery.")
		}
	}
	s, err := c.secret(at, in.SecretId, force)
	if err != nil {
		if force && codeOf(err) == "ResourceNotFoundException" {
			return &awssecrets.DeleteSecretOutput{Name: in.SecretId, DeletionDate: aws.Time(at.At)}, nil
		}
		return nil, err
	}
	s.deleted = at.At.Add(time.Duration(days) * 24 * time.Hour)
	if force {
		s.deleted = at.At
		c.secrets.freed[s.name] = at.At.Add(c.delays.Visible)
		delete(c.secrets.byName, s.name)
	}
	return &awssecrets.DeleteSecretOutput{ARN: aws.String(s.arn), Name: aws.String(s.name), DeletionDate: aws.Time(s.deleted)}, nil
}

// restoreSecret follows
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RestoreSecret.html.
func (c *Cloud) restoreSecret(at call, in *awssecrets.RestoreSecretInput) (*awssecrets.RestoreSecretOutput, error) {
	s, err := c.secret(at, in.SecretId, true)
	if err != nil {
		return nil, err
	}
	s.deleted = time.Time{}
	return &awssecrets.RestoreSecretOutput{ARN: aws.String(s.arn), Name: aws.String(s.name)}, nil
}

// putResourcePolicy follows
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutResourcePolicy.html.
func (c *Cloud) putResourcePolicy(at call, in *awssecrets.PutResourcePolicyInput) (*awssecrets.PutResourcePolicyOutput, error) {
	if err := modelled(at, in, "SecretId", "ResourcePolicy"); err != nil {
		return nil, err
	}
	s, err := c.secret(at, in.SecretId, false)
	if err != nil {
		return nil, err
	}
	policy := aws.ToString(in.ResourcePolicy)
	if !json.Valid([]byte(policy)) {
		return nil, secretsRefuse("MalformedPolicyDocumentException", "This resource policy contains a syntax error.")
	}
	if _, err := denies(policy, "", ""); err != nil {
		return nil, err
	}
	s.policy = policy
	return &awssecrets.PutResourcePolicyOutput{ARN: aws.String(s.arn), Name: aws.String(s.name)}, nil
}

// denies reports whether a secret's policy denies an action to a principal. It
// knows one form of statement and refuses to guess at others: a Deny of one
// action to everybody but the principal named by the condition.
func denies(policy, action, principal string) (bool, error) {
	if policy == "" {
		return false, nil
	}
	var p struct {
		Version   string
		Statement []struct {
			Sid, Effect, Principal, Action, Resource string
			Condition                                map[string]map[string]string
		}
	}
	strict := json.NewDecoder(strings.NewReader(policy))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&p); err != nil {
		return false, fmt.Errorf("fakeaws: a resource policy of this form is not modelled: %w", err)
	}
	refused := false
	for _, s := range p.Statement {
		others := s.Condition["ArnNotEquals"]["aws:PrincipalArn"]
		if s.Effect != "Deny" || s.Principal != "*" || s.Resource != "*" || len(s.Condition) != 1 || len(s.Condition["ArnNotEquals"]) != 1 || others == "" {
			return false, fmt.Errorf("fakeaws: a resource policy with the statement %+v is not modelled", s)
		}
		refused = refused || strings.EqualFold(s.Action, action) && others != principal
	}
	return refused, nil
}
