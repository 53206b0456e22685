package fakeaws

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// stsState is the roles that may be assumed.
type stsState struct {
	roles map[string]bool // by ARN
}

func (c *Cloud) registerSTS() {
	c.sts.roles = map[string]bool{}
	handle(c, c.getCallerIdentity)
	handle(c, c.assumeRole)
}

// AllowRole lets the account's credentials assume an IAM role and tag the
// session, as the role's trust policy would with sts:AssumeRole and
// sts:TagSession. The role may be of any account. STS knows roles by this alone:
// whether IAM has the role is not looked at. Allowing one again does nothing.
func (c *Cloud) AllowRole(arn string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sts.roles[arn] = true
}

// getCallerIdentity follows
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html.
func (c *Cloud) getCallerIdentity(call, *awssts.GetCallerIdentityInput) (*awssts.GetCallerIdentityOutput, error) {
	return &awssts.GetCallerIdentityOutput{
		Account: aws.String(c.account), Arn: aws.String("arn:aws:iam::" + c.account + ":user/" + userName),
		UserId: aws.String("AIDAIOSFODNN7EXAMPLE"),
	}, nil
}

// userName is who the account's credentials belong to.
const userName = "atelier"

// The limits of https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
// and API_Tag.html.
var (
	roleARNPattern     = regexp.MustCompile(`^arn:[a-z-]+:iam::\d{12}:role/(?:[!-~]+/)?([\w+=,.@-]+)$`)
	sessionNamePattern = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	tagPattern         = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
	policyPattern      = regexp.MustCompile(`^[\t\n\r\x{20}-\x{FF}]+$`)
)

const (
	minRoleDuration = 900
	// maxRoleDuration is the longest a role may allow, 12 hours.
	maxRoleDuration = 43200
	// roleDuration is what is asked for if nothing is, and the longest that a
	// role allows unless it says otherwise,
	// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html.
	roleDuration  = 3600
	maxPolicy     = 2048
	maxTags       = 50
	maxTagKey     = 128
	maxTagValue   = 256
	maxRoleARN    = 2048
	packedAllowed = 4096
)

// assumeRole follows
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html. A
// role that does not exist is refused as one that may not be assumed, so that
// nobody learns which there are. The credentials that are given open nothing.
func (c *Cloud) assumeRole(at call, in *awssts.AssumeRoleInput) (*awssts.AssumeRoleOutput, error) {
	if len(in.PolicyArns) > 0 || len(in.ProvidedContexts) > 0 || in.ExternalId != nil || in.SerialNumber != nil || in.SourceIdentity != nil {
		return nil, fmt.Errorf("fakeaws: %s is modelled with an inline policy and tags alone", at.Action)
	}
	if problems := assumeRoleProblems(in); len(problems) > 0 {
		return nil, refuse(http.StatusBadRequest, "ValidationError", "%d validation error%s detected: %s",
			len(problems), plural(len(problems)), strings.Join(problems, "; "))
	}
	arn := aws.ToString(in.RoleArn)
	if !c.sts.roles[arn] {
		return nil, refuse(http.StatusForbidden, "AccessDenied", "User: arn:aws:iam::%s:user/%s is not authorized to perform: sts:AssumeRole on resource: %s",
			c.account, userName, arn)
	}
	seconds := int64(roleDuration)
	if in.DurationSeconds != nil {
		seconds = int64(*in.DurationSeconds)
	}
	if seconds > roleDuration {
		return nil, refuse(http.StatusBadRequest, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	policy := aws.ToString(in.Policy)
	if policy != "" && !isPolicy(policy) {
		return nil, refuseAs(http.StatusBadRequest, &types.MalformedPolicyDocumentException{Message: aws.String("This policy contains invalid Json")})
	}
	packed := packedSize(policy, in.Tags)
	if packed > 100 {
		return nil, refuseAs(http.StatusBadRequest, &types.PackedPolicyTooLargeException{Message: aws.String(fmt.Sprintf(
			"Packed policy consumes %d%% of allotted space, please use smaller policy.", packed))})
	}
	role, session, account := roleARNPattern.FindStringSubmatch(arn)[1], aws.ToString(in.RoleSessionName), strings.Split(arn, ":")[4]
	out := &awssts.AssumeRoleOutput{
		AssumedRoleUser: &types.AssumedRoleUser{
			Arn:           aws.String("arn:aws:sts::" + account + ":assumed-role/" + role + "/" + session),
			AssumedRoleId: aws.String(fmt.Sprintf("AROA%016X:%s", c.hash("role", arn), session)),
		},
		Credentials: &types.Credentials{
			AccessKeyId:     aws.String(fmt.Sprintf("ASIA%016X", at.id)),
			SecretAccessKey: aws.String(fmt.Sprintf("secret-%016x%016x", at.id, mix(at.id))),
			SessionToken:    aws.String(fmt.Sprintf("token-%016x%016x", mix(at.id), at.id)),
			Expiration:      aws.Time(at.At.Add(time.Duration(seconds) * time.Second).UTC().Truncate(time.Second)),
		},
	}
	if packed > 0 {
		out.PackedPolicySize = aws.Int32(int32(packed)) //nolint:staticcheck // what follows it has no documented formula
	}
	return out, nil
}

// assumeRoleProblems is what STS finds wrong before it looks at the role. That
// it is one ValidationError with every problem is an assumption for tags.
func assumeRoleProblems(in *awssts.AssumeRoleInput) (found []string) {
	bad := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if arn := aws.ToString(in.RoleArn); len(arn) < 20 || len(arn) > maxRoleARN || !roleARNPattern.MatchString(arn) {
		bad("%s is invalid", arn)
	}
	if name := aws.ToString(in.RoleSessionName); !sessionNamePattern.MatchString(name) {
		bad(`Value '%s' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]* and have length 2 to 64`, name)
	}
	if d := in.DurationSeconds; d != nil && (*d < minRoleDuration || *d > maxRoleDuration) {
		bad("Value '%d' at 'durationSeconds' failed to satisfy constraint: Member must have value from %d to %d", *d, minRoleDuration, maxRoleDuration)
	}
	if p := in.Policy; p != nil && (utf8.RuneCountInString(*p) > maxPolicy || !policyPattern.MatchString(*p)) {
		bad("Value at 'policy' failed to satisfy constraint: Member must have length from 1 to %d", maxPolicy)
	}
	if len(in.Tags) > maxTags {
		bad("Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to %d", maxTags)
	}
	keys := map[string]bool{}
	for _, t := range in.Tags {
		key, value := aws.ToString(t.Key), aws.ToString(t.Value)
		switch folded := strings.ToLower(key); {
		case key == "" || utf8.RuneCountInString(key) > maxTagKey || !tagPattern.MatchString(key):
			bad("Value '%s' at 'tags.key' failed to satisfy constraint", key)
		case utf8.RuneCountInString(value) > maxTagValue || !tagPattern.MatchString(value):
			bad("Value '%s' at 'tags.value' failed to satisfy constraint", value)
		case strings.HasPrefix(folded, "aws:"):
			bad("Tag key '%s' begins with the reserved prefix aws:", key)
		case keys[folded]:
			bad("Duplicate tag keys found: '%s'; tag keys are case insensitive", key)
		default:
			keys[folded] = true
		}
	}
	return found
}

// isPolicy reports whether a text can be a policy document: IAM's grammar,
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html,
// is looked at no further than that there is a statement.
func isPolicy(text string) bool {
	var document struct{ Statement json.RawMessage }
	return json.Unmarshal([]byte(text), &document) == nil && len(document.Statement) > 0
}

// packedSize is how full a session token is of the policy and tags, in
// percent. STS compresses both into a format it does not tell
// (https://repost.aws/knowledge-center/iam-role-aws-sts-error); that they take
// their plain size, of 4096 bytes, is an assumption.
func packedSize(policy string, tags []types.Tag) int {
	size := len(policy)
	for _, t := range tags {
		size += len(aws.ToString(t.Key)) + len(aws.ToString(t.Value))
	}
	return (100*size + packedAllowed - 1) / packedAllowed
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}
