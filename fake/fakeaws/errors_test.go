package fakeaws_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awslogs "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/atelier-go/atelier/fake/fakeaws"
)

// scripted is the network of a client that gets one answer for ever.
type scripted struct {
	status int
	id     string
	body   string
}

func (s scripted) Do(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: s.status, Status: fmt.Sprintf("%d %s", s.status, http.StatusText(s.status)), Request: r,
		Header: http.Header{"X-Amzn-Requestid": {s.id}}, Body: io.NopCloser(strings.NewReader(s.body)),
	}, nil
}

// onTheWire writes an error as a service's protocol has it.
func onTheWire(service, code, message, requestID string) string {
	var text bytes.Buffer
	if err := xml.EscapeText(&text, []byte(message)); err != nil {
		panic(err)
	}
	switch service {
	case "EC2":
		return fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>%s</RequestID></Response>`, code, &text, requestID)
	case "IAM":
		return fmt.Sprintf(`<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>`, code, &text, requestID)
	case "STS":
		return fmt.Sprintf(`<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>`, code, &text, requestID)
	}
	if message == "" {
		return fmt.Sprintf(`{"__type":%q}`, code)
	}
	return fmt.Sprintf(`{"__type":%q,"message":%q}`, code, message)
}

// TestErrorsAreTheSDKs provokes the errors of the services and compares each,
// whole, with what the SDK's own deserialisers make of the same answer.
func TestErrorsAreTheSDKs(t *testing.T) {
	a := newAccount(t, fakeaws.Config{
		Deny: []string{"ec2:DescribeVpcs", "ssm:GetParameters", "sts:*", "iam:DeleteRole", "secretsmanager:RestoreSecret", "logs:DeleteLogGroup"},
		Faults: []fakeaws.Fault{
			{Action: "ec2:DescribeSubnets", Status: 503, Code: "RequestLimitExceeded"},
			{Action: "ec2:AuthorizeSecurityGroupEgress"},
		},
	})
	ctx := t.Context()
	other, err := a.AddVPC()
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := a.AddSubnet(other, "us-east-1a")
	if err != nil {
		t.Fatal(err)
	}
	arm, err := a.AddAMI("arm64")
	if err != nil {
		t.Fatal(err)
	}
	for err := range errs(
		a.SetCapacity("r5.large", "us-east-1a", 1), a.SetOffered("p3.2xlarge", "us-east-1a", false), a.SetQuota(fakeaws.QuotaX, 64),
	) {
		t.Fatal(err)
	}
	group, err := a.ec2.CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{GroupName: aws.String("hosts"), Description: aws.String("d"), VpcId: aws.String(a.DefaultVPC())})
	if err != nil {
		t.Fatal(err)
	}
	used := a.launch("used")
	used.SecurityGroupIds = []string{*group.GroupId}
	if _, err := a.ec2.RunInstances(ctx, used); err != nil {
		t.Fatal(err)
	}
	ended, err := a.ec2.RunInstances(ctx, a.launch("ended"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.ec2.TerminateInstances(ctx, &awsec2.TerminateInstancesInput{InstanceIds: []string{*ended.Instances[0].InstanceId}}); err != nil {
		t.Fatal(err)
	}

	// run is a launch like others with one thing changed.
	run := func(change func(*awsec2.RunInstancesInput)) func(aws.Config) error {
		return func(cfg aws.Config) error {
			in := a.launch("refused")
			change(in)
			_, err := awsec2.NewFromConfig(cfg).RunInstances(ctx, in)
			return err
		}
	}
	tags := func(list ...types.Tag) func(aws.Config) error {
		return run(func(in *awsec2.RunInstancesInput) {
			in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: list}}
		})
	}
	tag := func(k, v string) types.Tag { return types.Tag{Key: aws.String(k), Value: aws.String(v)} }
	many := make([]types.Tag, 51)
	for i := range many {
		many[i] = tag(fmt.Sprint("k", i), "")
	}
	describe := func(in *awsec2.DescribeInstancesInput) func(aws.Config) error {
		return func(cfg aws.Config) error {
			_, err := awsec2.NewFromConfig(cfg).DescribeInstances(ctx, in)
			return err
		}
	}
	terminate := func(ids ...string) func(aws.Config) error {
		return func(cfg aws.Config) error {
			_, err := awsec2.NewFromConfig(cfg).TerminateInstances(ctx, &awsec2.TerminateInstancesInput{InstanceIds: ids})
			return err
		}
	}
	authorize := func(p types.IpPermission) func(aws.Config) error {
		return func(cfg aws.Config) error {
			_, err := awsec2.NewFromConfig(cfg).AuthorizeSecurityGroupIngress(ctx, &awsec2.AuthorizeSecurityGroupIngressInput{GroupId: group.GroupId, IpPermissions: []types.IpPermission{p}})
			return err
		}
	}
	nfs := types.IpPermission{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(2049), ToPort: aws.Int32(2049),
		IpRanges: []types.IpRange{{CidrIp: aws.String("10.0.0.0/8")}}}
	if err := authorize(nfs)(a.Config()); err != nil {
		t.Fatal(err)
	}
	deleteGroup := func(id string) func(aws.Config) error {
		return func(cfg aws.Config) error {
			_, err := awsec2.NewFromConfig(cfg).DeleteSecurityGroup(ctx, &awsec2.DeleteSecurityGroupInput{GroupId: aws.String(id)})
			return err
		}
	}
	createGroup := func(name, vpc string) func(aws.Config) error {
		return func(cfg aws.Config) error {
			_, err := awsec2.NewFromConfig(cfg).CreateSecurityGroup(ctx, &awsec2.CreateSecurityGroupInput{GroupName: aws.String(name), Description: aws.String("d"), VpcId: aws.String(vpc)})
			return err
		}
	}
	role := func(name, trust string, tags ...iamtypes.Tag) func(aws.Config) error {
		return func(cfg aws.Config) error {
			_, err := awsiam.NewFromConfig(cfg).CreateRole(ctx, &awsiam.CreateRoleInput{
				RoleName: aws.String(name), AssumeRolePolicyDocument: aws.String(trust), Tags: tags,
			})
			return err
		}
	}
	const trust = `{"Version":"2012-10-17","Statement":[]}`
	intoProfile := func(profile, role string) func(aws.Config) error {
		return func(cfg aws.Config) error {
			_, err := awsiam.NewFromConfig(cfg).AddRoleToInstanceProfile(ctx, &awsiam.AddRoleToInstanceProfileInput{
				InstanceProfileName: aws.String(profile), RoleName: aws.String(role),
			})
			return err
		}
	}
	secret := func(in *awssecrets.CreateSecretInput) func(aws.Config) error {
		return func(cfg aws.Config) error {
			_, err := awssecrets.NewFromConfig(cfg).CreateSecret(ctx, in)
			return err
		}
	}
	value := func(name, token, text string) func(aws.Config) error {
		return func(cfg aws.Config) error {
			_, err := awssecrets.NewFromConfig(cfg).PutSecretValue(ctx, &awssecrets.PutSecretValueInput{
				SecretId: aws.String(name), ClientRequestToken: aws.String(token), SecretString: aws.String(text),
			})
			return err
		}
	}
	read := func(name string) func(aws.Config) error {
		return func(cfg aws.Config) error {
			_, err := awssecrets.NewFromConfig(cfg).GetSecretValue(ctx, &awssecrets.GetSecretValueInput{SecretId: aws.String(name)})
			return err
		}
	}
	logGroup := func(name string) func(aws.Config) error {
		return func(cfg aws.Config) error {
			_, err := awslogs.NewFromConfig(cfg).CreateLogGroup(ctx, &awslogs.CreateLogGroupInput{LogGroupName: aws.String(name)})
			return err
		}
	}
	retention := func(name string, days int32) func(aws.Config) error {
		return func(cfg aws.Config) error {
			_, err := awslogs.NewFromConfig(cfg).PutRetentionPolicy(ctx, &awslogs.PutRetentionPolicyInput{LogGroupName: aws.String(name), RetentionInDays: aws.Int32(days)})
			return err
		}
	}
	profile := func(cfg aws.Config) error {
		_, err := awsiam.NewFromConfig(cfg).CreateInstanceProfile(ctx, &awsiam.CreateInstanceProfileInput{InstanceProfileName: aws.String("host")})
		return err
	}
	for err := range errs(
		role("host", trust)(a.Config()), profile(a.Config()), intoProfile("host", "host")(a.Config()),
		secret(&awssecrets.CreateSecretInput{Name: aws.String("keys")})(a.Config()), value("keys", strings.Repeat("a", 32), "old")(a.Config()),
		secret(&awssecrets.CreateSecretInput{Name: aws.String("empty")})(a.Config()),
		secret(&awssecrets.CreateSecretInput{Name: aws.String("leaving")})(a.Config()), logGroup("/hosts")(a.Config()),
	) {
		t.Fatal(err)
	}
	if _, err := awssecrets.NewFromConfig(a.Config()).DeleteSecret(ctx, &awssecrets.DeleteSecretInput{SecretId: aws.String("leaving")}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		service, code string
		status        int
		retried       bool // by the SDK's standard retryer
		call          func(aws.Config) error
	}{
		{"EC2", "UnauthorizedOperation", 403, false, func(cfg aws.Config) error {
			_, err := awsec2.NewFromConfig(cfg).DescribeVpcs(ctx, &awsec2.DescribeVpcsInput{})
			return err
		}},
		{"EC2", "RequestLimitExceeded", 503, true, func(cfg aws.Config) error {
			_, err := awsec2.NewFromConfig(cfg).DescribeSubnets(ctx, &awsec2.DescribeSubnetsInput{})
			return err
		}},
		{"EC2", "InternalError", 500, true, func(cfg aws.Config) error {
			_, err := awsec2.NewFromConfig(cfg).AuthorizeSecurityGroupEgress(ctx, &awsec2.AuthorizeSecurityGroupEgressInput{GroupId: group.GroupId})
			return err
		}},
		{"EC2", "InsufficientInstanceCapacity", 500, true, run(func(in *awsec2.RunInstancesInput) {
			in.InstanceType, in.MinCount, in.MaxCount = "r5.large", aws.Int32(2), aws.Int32(2)
		})},
		{"EC2", "Unsupported", 400, false, run(func(in *awsec2.RunInstancesInput) { in.InstanceType = "p3.2xlarge" })},
		{"EC2", "VcpuLimitExceeded", 400, false, run(func(in *awsec2.RunInstancesInput) { in.InstanceType = "x1.32xlarge" })},
		{"EC2", "InsufficientFreeAddressesInSubnet", 400, false, run(func(in *awsec2.RunInstancesInput) {
			in.MinCount, in.MaxCount = aws.Int32(4092), aws.Int32(4092)
		})},
		{"EC2", "IdempotentParameterMismatch", 400, false, run(func(in *awsec2.RunInstancesInput) { in.ClientToken = aws.String("used") })},
		{"EC2", "IdempotentInstanceTerminated", 400, false, run(func(in *awsec2.RunInstancesInput) { in.ClientToken = aws.String("ended") })},
		{"EC2", "MissingParameter", 400, false, run(func(in *awsec2.RunInstancesInput) { in.ImageId = nil })},
		{"EC2", "InvalidAMIID.Malformed", 400, false, run(func(in *awsec2.RunInstancesInput) { in.ImageId = aws.String("ami") })},
		{"EC2", "InvalidAMIID.NotFound", 400, false, run(func(in *awsec2.RunInstancesInput) { in.ImageId = aws.String("ami-00000000") })},
		{"EC2", "InvalidParameterValue", 400, false, run(func(in *awsec2.RunInstancesInput) { in.ImageId = aws.String(arm) })},
		{"EC2", "InvalidParameterValue", 400, false, run(func(in *awsec2.RunInstancesInput) { in.InstanceType = "t3.enormous" })},
		{"EC2", "InvalidParameterValue", 400, false, run(func(in *awsec2.RunInstancesInput) { in.InstanceType = "ml.t3.medium" })},
		{"EC2", "InvalidParameterValue", 400, false, run(func(in *awsec2.RunInstancesInput) { in.MinCount = aws.Int32(0) })},
		{"EC2", "InvalidParameterValue", 400, false, run(func(in *awsec2.RunInstancesInput) { in.MinCount = aws.Int32(2) })},
		{"EC2", "InvalidParameterValue", 400, false, run(func(in *awsec2.RunInstancesInput) { in.ClientToken = aws.String(strings.Repeat("x", 65)) })},
		{"EC2", "InvalidParameterValue", 400, false, run(func(in *awsec2.RunInstancesInput) {
			in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String("nobody")}
		})},
		{"EC2", "InvalidParameterValue", 400, false, run(func(in *awsec2.RunInstancesInput) {
			in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Arn: aws.String("arn:aws:iam::123456789012:instance-profile/nobody")}
		})},
		{"EC2", "InvalidParameterCombination", 400, false, run(func(in *awsec2.RunInstancesInput) {
			in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String("x"), Arn: aws.String("y")}
		})},
		{"EC2", "InvalidParameterValue", 400, false, run(func(in *awsec2.RunInstancesInput) {
			in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpPutResponseHopLimit: aws.Int32(65)}
		})},
		{"EC2", "InvalidParameterValue", 400, false, run(func(in *awsec2.RunInstancesInput) { in.InstanceInitiatedShutdownBehavior = "explode" })},
		{"EC2", "InvalidParameterValue", 400, false, run(func(in *awsec2.RunInstancesInput) {
			in.SubnetId, in.Placement = nil, &types.Placement{AvailabilityZone: aws.String("eu-west-1a")}
		})},
		{"EC2", "InvalidParameterCombination", 400, false, run(func(in *awsec2.RunInstancesInput) {
			in.Placement = &types.Placement{AvailabilityZone: aws.String("us-east-1b")}
		})},
		{"EC2", "InvalidUserData.Malformed", 400, false, run(func(in *awsec2.RunInstancesInput) { in.UserData = aws.String("#!/bin/sh") })},
		{"EC2", "InvalidUserData.Malformed", 400, false, run(func(in *awsec2.RunInstancesInput) {
			in.UserData = aws.String(base64.StdEncoding.EncodeToString(make([]byte, 16<<10+1)))
		})},
		{"EC2", "InvalidSubnetID.NotFound", 400, false, run(func(in *awsec2.RunInstancesInput) { in.SubnetId = aws.String("subnet-00000000") })},
		{"EC2", "InvalidGroup.NotFound", 400, false, run(func(in *awsec2.RunInstancesInput) { in.SecurityGroupIds = []string{"sg-00000000"} })},
		{"EC2", "InvalidGroupId.Malformed", 400, false, run(func(in *awsec2.RunInstancesInput) { in.SecurityGroupIds = []string{"hosts"} })},
		{"EC2", "InvalidParameter", 400, false, run(func(in *awsec2.RunInstancesInput) {
			in.SecurityGroupIds, in.SubnetId = []string{*group.GroupId}, aws.String(elsewhere.ID)
		})},
		{"EC2", "InvalidParameterValue", 400, false, tags(tag("aws:x", ""))},
		{"EC2", "InvalidParameterValue", 400, false, tags(tag("", ""))},
		{"EC2", "InvalidParameterValue", 400, false, tags(tag("k", strings.Repeat("v", 257)))},
		{"EC2", "InvalidParameterValue", 400, false, tags(tag("k", ""), tag("k", ""))},
		{"EC2", "InvalidParameterValue", 400, false, run(func(in *awsec2.RunInstancesInput) {
			in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeVpc}}
		})},
		{"EC2", "TagLimitExceeded", 400, false, tags(many...)},
		{"EC2", "InvalidInstanceID.NotFound", 400, false, describe(&awsec2.DescribeInstancesInput{InstanceIds: []string{"i-00000000"}})},
		{"EC2", "InvalidInstanceID.NotFound", 400, false, terminate("i-00000000", "i-11111111")},
		{"EC2", "InvalidInstanceID.Malformed", 400, false, terminate("i-x")},
		{"EC2", "InvalidParameterCombination", 400, false, terminate([]string{}...)},
		{"EC2", "InvalidParameterValue", 400, false, terminate(make([]string, 1001)...)},
		{"EC2", "InvalidParameterCombination", 400, false, describe(&awsec2.DescribeInstancesInput{InstanceIds: []string{"i-00000000"}, MaxResults: aws.Int32(5)})},
		{"EC2", "InvalidParameterValue", 400, false, describe(&awsec2.DescribeInstancesInput{MaxResults: aws.Int32(4)})},
		{"EC2", "InvalidParameterValue", 400, false, describe(&awsec2.DescribeInstancesInput{NextToken: aws.String("x")})},
		{"EC2", "InvalidPermission.Duplicate", 400, false, authorize(nfs)},
		{"EC2", "InvalidPermission.NotFound", 400, false, func(cfg aws.Config) error {
			_, err := awsec2.NewFromConfig(cfg).RevokeSecurityGroupEgress(ctx, &awsec2.RevokeSecurityGroupEgressInput{GroupId: group.GroupId, IpPermissions: []types.IpPermission{nfs}})
			return err
		}},
		{"EC2", "InvalidParameterValue", 400, false, authorize(types.IpPermission{IpProtocol: aws.String("carrier-pigeon")})},
		{"EC2", "InvalidParameterValue", 400, false, authorize(types.IpPermission{IpProtocol: aws.String("tcp")})},
		{"EC2", "InvalidParameterValue", 400, false, authorize(types.IpPermission{IpProtocol: aws.String("-1"), IpRanges: []types.IpRange{{CidrIp: aws.String("10.0.0.0")}}})},
		{"EC2", "MissingParameter", 400, false, authorize(types.IpPermission{IpProtocol: aws.String("-1")})},
		{"EC2", "DependencyViolation", 400, false, deleteGroup(*group.GroupId)},
		{"EC2", "InvalidGroup.NotFound", 400, false, deleteGroup("sg-00000000")},
		{"EC2", "InvalidGroup.Duplicate", 400, false, createGroup("hosts", a.DefaultVPC())},
		{"EC2", "InvalidVpcID.NotFound", 400, false, createGroup("hosts", "vpc-00000000")},
		{"EC2", "InvalidParameterValue", 400, false, createGroup("sg-hosts", a.DefaultVPC())},
		{"SSM", "ParameterNotFound", 400, false, func(cfg aws.Config) error {
			_, err := awsssm.NewFromConfig(cfg).GetParameter(ctx, &awsssm.GetParameterInput{Name: aws.String("/none")})
			return err
		}},
		{"SSM", "AccessDeniedException", 400, false, func(cfg aws.Config) error {
			_, err := awsssm.NewFromConfig(cfg).GetParameters(ctx, &awsssm.GetParametersInput{Names: []string{"/none"}})
			return err
		}},
		{"STS", "AccessDenied", 403, false, func(cfg aws.Config) error {
			_, err := awssts.NewFromConfig(cfg).GetCallerIdentity(ctx, &awssts.GetCallerIdentityInput{})
			return err
		}},
		{"IAM", "NoSuchEntity", 404, false, func(cfg aws.Config) error {
			_, err := awsiam.NewFromConfig(cfg).GetRole(ctx, &awsiam.GetRoleInput{RoleName: aws.String("nobody")})
			return err
		}},
		{"IAM", "NoSuchEntity", 404, false, intoProfile("nobody", "host")},
		{"IAM", "EntityAlreadyExists", 409, false, role("host", trust)},
		{"IAM", "EntityAlreadyExists", 409, false, profile},
		{"IAM", "LimitExceeded", 409, false, intoProfile("host", "host")},
		{"IAM", "MalformedPolicyDocument", 400, false, role("other", "{")},
		{"IAM", "InvalidInput", 400, false, role("other", trust, iamtypes.Tag{Key: aws.String("aws:x"), Value: aws.String("")})},
		{"IAM", "DeleteConflict", 409, false, func(cfg aws.Config) error {
			_, err := awsiam.NewFromConfig(cfg).DeleteInstanceProfile(ctx, &awsiam.DeleteInstanceProfileInput{InstanceProfileName: aws.String("host")})
			return err
		}},
		{"IAM", "AccessDenied", 403, false, func(cfg aws.Config) error {
			_, err := awsiam.NewFromConfig(cfg).DeleteRole(ctx, &awsiam.DeleteRoleInput{RoleName: aws.String("host")})
			return err
		}},
		{"Secrets Manager", "ResourceNotFoundException", 400, false, read("none")},
		{"Secrets Manager", "ResourceNotFoundException", 400, false, read("empty")},
		{"Secrets Manager", "InvalidRequestException", 400, false, read("leaving")},
		{"Secrets Manager", "ResourceExistsException", 400, false, secret(&awssecrets.CreateSecretInput{Name: aws.String("keys")})},
		{"Secrets Manager", "InvalidRequestException", 400, false, secret(&awssecrets.CreateSecretInput{Name: aws.String("leaving")})},
		{"Secrets Manager", "ValidationException", 400, false, secret(&awssecrets.CreateSecretInput{Name: aws.String("a name")})},
		{"Secrets Manager", "ResourceExistsException", 400, false, value("keys", strings.Repeat("a", 32), "new")},
		{"Secrets Manager", "InvalidParameterException", 400, false, value("keys", "short", "new")},
		{"Secrets Manager", "MalformedPolicyDocumentException", 400, false, func(cfg aws.Config) error {
			_, err := awssecrets.NewFromConfig(cfg).PutResourcePolicy(ctx, &awssecrets.PutResourcePolicyInput{SecretId: aws.String("keys"), ResourcePolicy: aws.String("{")})
			return err
		}},
		{"Secrets Manager", "AccessDeniedException", 400, false, func(cfg aws.Config) error {
			_, err := awssecrets.NewFromConfig(cfg).RestoreSecret(ctx, &awssecrets.RestoreSecretInput{SecretId: aws.String("keys")})
			return err
		}},
		{"Logs", "ResourceAlreadyExistsException", 400, false, logGroup("/hosts")},
		{"Logs", "InvalidParameterException", 400, false, logGroup("a name")},
		{"Logs", "ResourceNotFoundException", 400, false, retention("/none", 30)},
		{"Logs", "InvalidParameterException", 400, false, retention("/hosts", 31)},
		{"Logs", "AccessDeniedException", 400, false, func(cfg aws.Config) error {
			_, err := awslogs.NewFromConfig(cfg).DeleteLogGroup(ctx, &awslogs.DeleteLogGroupInput{LogGroupName: aws.String("/hosts")})
			return err
		}},
	} {
		cfg := a.Config()
		cfg.RetryMaxAttempts = 1
		got := c.call(cfg)
		refusal, ok := errors.AsType[smithy.APIError](got)
		answer, sealed := errors.AsType[*awshttp.ResponseError](got)
		if !ok || !sealed || refusal.ErrorCode() != c.code || answer.HTTPStatusCode() != c.status {
			t.Errorf("want %s with status %d, got %v", c.code, c.status, got)
			continue
		}
		cfg = aws.Config{
			Region: a.Region(), Credentials: cfg.Credentials, RetryMaxAttempts: 1,
			HTTPClient: scripted{c.status, answer.RequestID, onTheWire(c.service, c.code, refusal.ErrorMessage(), answer.RequestID)},
		}
		want := c.call(cfg)
		if g, w := chain(got), chain(want); !reflect.DeepEqual(g, w) {
			t.Errorf("%s:\ngot  %s\nwant %s", c.code, strings.Join(g, "\n     "), strings.Join(w, "\n     "))
		}
		if real, _ := errors.AsType[smithy.APIError](want); !reflect.DeepEqual(refusal, real) {
			t.Errorf("%s: got %#v, want %#v", c.code, refusal, real)
		}
		standard := retry.NewStandard()
		if g, w := standard.IsErrorRetryable(got), standard.IsErrorRetryable(want); g != w || g != c.retried {
			t.Errorf("%s: retried %v, by the SDK's deserialiser %v, want %v", c.code, g, w, c.retried)
		}
	}
}

// errs yields what is not nil.
func errs(list ...error) func(func(error) bool) {
	return func(yield func(error) bool) {
		for _, err := range list {
			if err != nil && !yield(err) {
				return
			}
		}
	}
}

// TestNothingLeftOut: what a model does not know it refuses by name.
func TestNothingLeftOut(t *testing.T) {
	a := newAccount(t, fakeaws.Config{})
	for want, call := range map[string]func(context.Context) error{
		"ec2:RunInstances with HibernationOptions is not modelled": func(ctx context.Context) error {
			in := a.launch("hibernate")
			in.HibernationOptions = &types.HibernationOptionsRequest{Configured: aws.Bool(true)}
			_, err := a.ec2.RunInstances(ctx, in)
			return err
		},
		`ec2:DescribeInstances with the filter "kernel-id" is not modelled`: func(ctx context.Context) error {
			if _, err := a.ec2.RunInstances(ctx, a.launch("one")); err != nil {
				return err
			}
			_, err := a.ec2.DescribeInstances(ctx, &awsec2.DescribeInstancesInput{Filters: []types.Filter{{Name: aws.String("kernel-id"), Values: []string{"x"}}}})
			return err
		},
		"ec2:DescribeKeyPairs is not modelled": func(ctx context.Context) error {
			_, err := a.ec2.DescribeKeyPairs(ctx, &awsec2.DescribeKeyPairsInput{})
			return err
		},
	} {
		if err := call(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
