package fakeaws_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awslogs "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// clients are those of the services a fleet is set up with.
type clients struct {
	iam     *awsiam.Client
	secrets *awssecrets.Client
	logs    *awslogs.Client
}

func clientsOf(cfg aws.Config) clients {
	return clients{awsiam.NewFromConfig(cfg), awssecrets.NewFromConfig(cfg), awslogs.NewFromConfig(cfg)}
}

const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

// The calls of the tests, with what a test changes of them.

func (c clients) createRole(ctx context.Context, name string) error {
	_, err := c.iam.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: aws.String(name), AssumeRolePolicyDocument: aws.String(trust)})
	return err
}

func (c clients) createProfile(ctx context.Context, name string) error {
	_, err := c.iam.CreateInstanceProfile(ctx, &awsiam.CreateInstanceProfileInput{InstanceProfileName: aws.String(name)})
	return err
}

func (c clients) addRole(ctx context.Context, profile, role string) error {
	_, err := c.iam.AddRoleToInstanceProfile(ctx, &awsiam.AddRoleToInstanceProfileInput{InstanceProfileName: aws.String(profile), RoleName: aws.String(role)})
	return err
}

func (c clients) createSecret(ctx context.Context, name, token, text string) error {
	in := &awssecrets.CreateSecretInput{Name: aws.String(name)}
	if text != "" {
		in.ClientRequestToken, in.SecretString = aws.String(token), aws.String(text)
	}
	_, err := c.secrets.CreateSecret(ctx, in)
	return err
}

func (c clients) putSecret(ctx context.Context, name, token, text string) error {
	_, err := c.secrets.PutSecretValue(ctx, &awssecrets.PutSecretValueInput{SecretId: aws.String(name), ClientRequestToken: aws.String(token), SecretString: aws.String(text)})
	return err
}

func (c clients) secret(ctx context.Context, name string) (string, error) {
	out, err := c.secrets.GetSecretValue(ctx, &awssecrets.GetSecretValueInput{SecretId: aws.String(name)})
	if err != nil {
		return "", err
	}
	return *out.SecretString, nil
}

func (c clients) deleteSecret(ctx context.Context, name string, force bool) error {
	in := &awssecrets.DeleteSecretInput{SecretId: aws.String(name)}
	if force {
		in.ForceDeleteWithoutRecovery = aws.Bool(true)
	}
	_, err := c.secrets.DeleteSecret(ctx, in)
	return err
}

func (c clients) createLogGroup(ctx context.Context, name string) error {
	_, err := c.logs.CreateLogGroup(ctx, &awslogs.CreateLogGroupInput{LogGroupName: aws.String(name)})
	return err
}

// token makes an idempotency token of a letter.
func token(letter string) string { return strings.Repeat(letter, 32) }

// TestSetupErrorsAreTheSDKs provokes the errors of IAM, Secrets Manager and
// CloudWatch Logs and compares each with what the SDK makes of the same answer.
func TestSetupErrorsAreTheSDKs(t *testing.T) {
	a := newAccount(t, fakeaws.Config{Deny: []string{"iam:GetRolePolicy", "secretsmanager:RestoreSecret", "logs:ListTagsForResource"}})
	ctx, made := t.Context(), clientsOf(a.Config())
	for err := range errs(
		made.createRole(ctx, "host"), made.createProfile(ctx, "host"), made.addRole(ctx, "host", "host"),
		made.createSecret(ctx, "kept", token("a"), "one"), made.createSecret(ctx, "empty", "", ""),
		made.createSecret(ctx, "going", token("a"), "one"), made.deleteSecret(ctx, "going", false),
		made.createLogGroup(ctx, "/group"),
	) {
		t.Fatal(err)
	}
	_, err := made.iam.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{RoleName: aws.String("host"), PolicyName: aws.String("p"), PolicyDocument: aws.String(trust)})
	if err != nil {
		t.Fatal(err)
	}
	type try func(clients) error
	retain := func(group string, days int32) try {
		return func(c clients) error {
			_, err := c.logs.PutRetentionPolicy(ctx, &awslogs.PutRetentionPolicyInput{LogGroupName: aws.String(group), RetentionInDays: aws.Int32(days)})
			return err
		}
	}
	read := func(name string) try {
		return func(c clients) error {
			_, err := c.secret(ctx, name)
			return err
		}
	}
	for _, c := range []struct {
		service, code string
		status        int
		call          try
	}{
		{"IAM", "EntityAlreadyExists", 409, func(c clients) error { return c.createRole(ctx, "host") }},
		{"IAM", "EntityAlreadyExists", 409, func(c clients) error { return c.createProfile(ctx, "host") }},
		{"IAM", "ValidationError", 400, func(c clients) error { return c.createRole(ctx, strings.Repeat("r", 65)) }},
		{"IAM", "LimitExceeded", 409, func(c clients) error { return c.addRole(ctx, "host", "host") }},
		{"IAM", "NoSuchEntity", 404, func(c clients) error { return c.addRole(ctx, "host", "nobody") }},
		{"IAM", "NoSuchEntity", 404, func(c clients) error {
			_, err := c.iam.GetRole(ctx, &awsiam.GetRoleInput{RoleName: aws.String("nobody")})
			return err
		}},
		{"IAM", "NoSuchEntity", 404, func(c clients) error {
			_, err := c.iam.DeleteRolePolicy(ctx, &awsiam.DeleteRolePolicyInput{RoleName: aws.String("host"), PolicyName: aws.String("none")})
			return err
		}},
		{"IAM", "DeleteConflict", 409, func(c clients) error {
			_, err := c.iam.DeleteRole(ctx, &awsiam.DeleteRoleInput{RoleName: aws.String("host")})
			return err
		}},
		{"IAM", "DeleteConflict", 409, func(c clients) error {
			_, err := c.iam.DeleteInstanceProfile(ctx, &awsiam.DeleteInstanceProfileInput{InstanceProfileName: aws.String("host")})
			return err
		}},
		{"IAM", "MalformedPolicyDocument", 400, func(c clients) error {
			_, err := c.iam.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{RoleName: aws.String("host"), PolicyName: aws.String("x"), PolicyDocument: aws.String("{")})
			return err
		}},
		{"IAM", "LimitExceeded", 409, func(c clients) error {
			_, err := c.iam.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{
				RoleName: aws.String("host"), PolicyName: aws.String("x"), PolicyDocument: aws.String(`{"Statement":"` + strings.Repeat("x", 10240) + `"}`),
			})
			return err
		}},
		{"IAM", "AccessDenied", 403, func(c clients) error {
			_, err := c.iam.GetRolePolicy(ctx, &awsiam.GetRolePolicyInput{RoleName: aws.String("host"), PolicyName: aws.String("p")})
			return err
		}},
		{"Secrets", "ResourceNotFoundException", 400, read("none")},
		{"Secrets", "ResourceNotFoundException", 400, read("empty")},
		{"Secrets", "InvalidRequestException", 400, read("going")},
		{"Secrets", "InvalidRequestException", 400, func(c clients) error { return c.createSecret(ctx, "going", token("b"), "two") }},
		{"Secrets", "ResourceExistsException", 400, func(c clients) error { return c.createSecret(ctx, "kept", token("b"), "two") }},
		{"Secrets", "ResourceExistsException", 400, func(c clients) error { return c.putSecret(ctx, "kept", token("a"), "two") }},
		{"Secrets", "InvalidParameterException", 400, func(c clients) error { return c.putSecret(ctx, "kept", "short", "two") }},
		{"Secrets", "ValidationException", 400, func(c clients) error { return c.putSecret(ctx, "kept", token("b"), strings.Repeat("x", 65537)) }},
		{"Secrets", "MalformedPolicyDocumentException", 400, func(c clients) error {
			_, err := c.secrets.PutResourcePolicy(ctx, &awssecrets.PutResourcePolicyInput{SecretId: aws.String("kept"), ResourcePolicy: aws.String("{")})
			return err
		}},
		{"Secrets", "AccessDeniedException", 400, func(c clients) error {
			_, err := c.secrets.RestoreSecret(ctx, &awssecrets.RestoreSecretInput{SecretId: aws.String("going")})
			return err
		}},
		{"Logs", "ResourceAlreadyExistsException", 400, func(c clients) error { return c.createLogGroup(ctx, "/group") }},
		{"Logs", "InvalidParameterException", 400, func(c clients) error { return c.createLogGroup(ctx, "a b") }},
		{"Logs", "ResourceNotFoundException", 400, retain("/none", 30)},
		{"Logs", "InvalidParameterException", 400, retain("/group", 31)},
		{"Logs", "AccessDeniedException", 400, func(c clients) error {
			_, err := c.logs.ListTagsForResource(ctx, &awslogs.ListTagsForResourceInput{ResourceArn: aws.String("arn:aws:logs:us-east-1:123456789012:log-group:/group")})
			return err
		}},
	} {
		cfg := a.Config()
		cfg.RetryMaxAttempts = 1
		got := c.call(clientsOf(cfg))
		refusal, ok := errors.AsType[smithy.APIError](got)
		answer, sealed := errors.AsType[*awshttp.ResponseError](got)
		if !ok || !sealed || refusal.ErrorCode() != c.code || answer.HTTPStatusCode() != c.status {
			t.Errorf("want %s of %s with status %d, got %v", c.code, c.service, c.status, got)
			continue
		}
		wire := c.service
		if wire == "IAM" {
			wire = "STS" // both speak the Query protocol
		}
		want := c.call(clientsOf(aws.Config{
			Region: a.Region(), Credentials: cfg.Credentials, RetryMaxAttempts: 1,
			HTTPClient: scripted{c.status, answer.RequestID, onTheWire(wire, c.code, refusal.ErrorMessage(), answer.RequestID)},
		}))
		if real, _ := errors.AsType[smithy.APIError](want); !reflect.DeepEqual(refusal, real) {
			t.Errorf("%s of %s: got %#v, want %#v", c.code, c.service, refusal, real)
		}
	}
}

// TestFreshInstanceProfile: EC2 comes to know a profile and its role later
// than IAM, and one without a role launches nothing.
func TestFreshInstanceProfile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Delays: fakeaws.Delays{InstanceProfile: 10 * time.Second}})
		ctx, c := t.Context(), clientsOf(a.Config())
		try := func(token string) error {
			in := a.launch(token)
			in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String("host")}
			_, err := a.ec2.RunInstances(ctx, in)
			return err
		}
		refused := func(what, words string) {
			t.Helper()
			if err := try(what); code(err) != "InvalidParameterValue" || !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %v", what, err)
			}
		}
		refused("none", "Invalid IAM Instance Profile name")
		for err := range errs(c.createRole(ctx, "host"), c.createProfile(ctx, "host")) {
			t.Fatal(err)
		}
		refused("fresh", "Invalid IAM Instance Profile name")
		time.Sleep(10 * time.Second)
		refused("without a role", "has no associated IAM Roles")
		if err := c.addRole(ctx, "host", "host"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Second - time.Nanosecond)
		refused("with a fresh role", "Invalid IAM Instance Profile name")
		time.Sleep(time.Nanosecond)
		if err := try("known"); err != nil {
			t.Error(err)
		}
		a.AddInstanceProfile("ready")
		in := a.launch("ready")
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String("ready")}
		if _, err := a.ec2.RunInstances(ctx, in); err != nil {
			t.Error(err)
		}
	})
}

// TestSecretLife: versions by token, reads that lag, deletion and restoring.
func TestSecretLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Delays: fakeaws.Delays{Visible: 2 * time.Second}})
		ctx, c := t.Context(), clientsOf(a.Config())
		reads := func(want string) {
			t.Helper()
			if got, err := c.secret(ctx, "s"); got+code(err) != want {
				t.Errorf("reads %q, %v; want %s", got, err, want)
			}
		}
		done := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		done(c.createSecret(ctx, "s", token("a"), "one"))
		reads("ResourceNotFoundException")
		time.Sleep(2 * time.Second)
		reads("one")
		done(c.createSecret(ctx, "s", token("a"), "one")) // the same call again
		done(c.putSecret(ctx, "s", token("b"), "two"))
		reads("one")
		time.Sleep(2 * time.Second)
		reads("two")
		done(c.putSecret(ctx, "s", token("a"), "one")) // succeeds and does nothing
		time.Sleep(2 * time.Second)
		reads("two")
		out, err := c.secrets.DescribeSecret(ctx, &awssecrets.DescribeSecretInput{SecretId: aws.String("s")})
		if err != nil || !reflect.DeepEqual(out.VersionIdsToStages, map[string][]string{token("b"): {"AWSCURRENT"}, token("a"): {"AWSPREVIOUS"}}) {
			t.Errorf("%+v, %v", out, err)
		}
		done(c.deleteSecret(ctx, "s", false))
		reads("InvalidRequestException")
		_, err = c.secrets.RestoreSecret(ctx, &awssecrets.RestoreSecretInput{SecretId: aws.String("s")})
		done(err)
		reads("two")
		done(c.deleteSecret(ctx, "s", true))
		reads("ResourceNotFoundException")
		if got := code(c.createSecret(ctx, "s", token("c"), "three")); got != "InvalidRequestException" {
			t.Errorf("created at once after a deletion by force: %s", got)
		}
		time.Sleep(2 * time.Second)
		done(c.createSecret(ctx, "s", token("c"), "three"))
		time.Sleep(2 * time.Second)
		reads("three")
		done(c.deleteSecret(ctx, "none", true)) // by force, what is not there is no error
		if got := code(c.deleteSecret(ctx, "none", false)); got != "ResourceNotFoundException" {
			t.Errorf("%s", got)
		}
	})
}

// TestResourcePolicy: a secret's policy tells principals apart.
func TestResourcePolicy(t *testing.T) {
	a := newAccount(t, fakeaws.Config{})
	ctx, c := t.Context(), clientsOf(a.Config())
	if err := c.createSecret(ctx, "s", token("a"), "one"); err != nil {
		t.Fatal(err)
	}
	_, err := c.secrets.PutResourcePolicy(ctx, &awssecrets.PutResourcePolicyInput{SecretId: aws.String("s"), ResourcePolicy: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"secretsmanager:GetSecretValue","Resource":"*",` +
			`"Condition":{"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::123456789012:role/host"}}}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.secret(ctx, "s"); code(err) != "AccessDeniedException" {
		t.Errorf("the user reads it: %v", err)
	}
	if _, err := clientsOf(a.RoleConfig("other")).secret(ctx, "s"); code(err) != "AccessDeniedException" {
		t.Errorf("another role reads it: %v", err)
	}
	if got, err := clientsOf(a.RoleConfig("host")).secret(ctx, "s"); got != "one" || err != nil {
		t.Errorf("its role reads %q, %v", got, err)
	}
	_, err = c.secrets.PutResourcePolicy(ctx, &awssecrets.PutResourcePolicyInput{SecretId: aws.String("s"), ResourcePolicy: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`)})
	if err == nil || !strings.Contains(err.Error(), "not modelled") {
		t.Errorf("a policy that is not modelled was taken: %v", err)
	}
}

// TestLogGroups: names, retention, and a name in conflict with its deletion.
func TestLogGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, fakeaws.Config{Delays: fakeaws.Delays{Visible: 2 * time.Second}})
		ctx, c := t.Context(), clientsOf(a.Config())
		for err := range errs(c.createLogGroup(ctx, "/b/two"), c.createLogGroup(ctx, "/b/one"), c.createLogGroup(ctx, "/a")) {
			t.Fatal(err)
		}
		names := func() (got []string) {
			pages := awslogs.NewDescribeLogGroupsPaginator(c.logs, &awslogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("/b"), Limit: aws.Int32(1)})
			for pages.HasMorePages() {
				page, err := pages.NextPage(ctx)
				if err != nil {
					t.Fatal(err)
				}
				for _, g := range page.LogGroups {
					got = append(got, *g.LogGroupName)
				}
			}
			return got
		}
		if got := names(); got != nil {
			t.Errorf("shown at once: %q", got)
		}
		time.Sleep(2 * time.Second)
		if got := names(); !reflect.DeepEqual(got, []string{"/b/one", "/b/two"}) {
			t.Errorf("shown: %q", got)
		}
		if _, err := c.logs.DeleteLogGroup(ctx, &awslogs.DeleteLogGroupInput{LogGroupName: aws.String("/a")}); err != nil {
			t.Fatal(err)
		}
		if got := code(c.createLogGroup(ctx, "/a")); got != "OperationAbortedException" {
			t.Errorf("created at once after its deletion: %s", got)
		}
		time.Sleep(2 * time.Second)
		if err := c.createLogGroup(ctx, "/a"); err != nil {
			t.Error(err)
		}
	})
}

// TestIPv6Rules: ranges of the sixth version come back as such.
func TestIPv6Rules(t *testing.T) {
	a := newAccount(t, fakeaws.Config{})
	ctx := t.Context()
	group, err := a.ec2.CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{GroupName: aws.String("g"), Description: aws.String("d"), VpcId: aws.String(a.DefaultVPC())})
	if err != nil {
		t.Fatal(err)
	}
	rule := func(cidr string) []types.IpPermission {
		return []types.IpPermission{{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(1), ToPort: aws.Int32(2), Ipv6Ranges: []types.Ipv6Range{{CidrIpv6: aws.String(cidr)}}}}
	}
	authorize := func(cidr string) error {
		_, err := a.ec2.AuthorizeSecurityGroupIngress(ctx, &awsec2.AuthorizeSecurityGroupIngressInput{GroupId: group.GroupId, IpPermissions: rule(cidr)})
		return err
	}
	if err := authorize("10.0.0.0/8"); code(err) != "InvalidParameterValue" {
		t.Errorf("an IPv4 range as IPv6: %v", err)
	}
	if err := authorize("2001:db8::/32"); err != nil {
		t.Fatal(err)
	}
	out, err := a.ec2.DescribeSecurityGroups(ctx, &awsec2.DescribeSecurityGroupsInput{GroupIds: []string{*group.GroupId}})
	if err != nil || len(out.SecurityGroups[0].IpPermissions) != 1 || *out.SecurityGroups[0].IpPermissions[0].Ipv6Ranges[0].CidrIpv6 != "2001:db8::/32" {
		t.Errorf("%+v, %v", out, err)
	}
	_, err = a.ec2.RevokeSecurityGroupIngress(ctx, &awsec2.RevokeSecurityGroupIngressInput{GroupId: group.GroupId, IpPermissions: out.SecurityGroups[0].IpPermissions})
	if err != nil {
		t.Error(err)
	}
}
