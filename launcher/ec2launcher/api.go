package ec2launcher

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	awslogs "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
)

// Services are the clients of AWS that a launcher calls.
type Services struct {
	// EC2 and SSM are required.
	EC2 EC2
	SSM SSM
	// IAM and Logs are for [Launcher.Setup] and [Launcher.Teardown], Secrets
	// is for these, for [Launcher.RotateKeys] and for the way to the hosts'
	// engines. What needs one that is nil fails with [launcher.ErrInvalid].
	IAM     IAM
	Secrets SecretsManager
	Logs    CloudWatchLogs
}

// servicesOf makes all clients of a configuration. That of EC2 keeps to a budget.
func servicesOf(cfg aws.Config, b *budget) Services {
	return Services{
		EC2: awsec2.NewFromConfig(cfg, func(o *awsec2.Options) { o.APIOptions = append(o.APIOptions, b.install) }),
		SSM: awsssm.NewFromConfig(cfg), IAM: awsiam.NewFromConfig(cfg),
		Secrets: awssecrets.NewFromConfig(cfg), Logs: awslogs.NewFromConfig(cfg),
	}
}

// EC2 is the part of the EC2 client this package calls.
type EC2 interface {
	RunInstances(context.Context, *awsec2.RunInstancesInput, ...func(*awsec2.Options)) (*awsec2.RunInstancesOutput, error)
	DescribeInstances(context.Context, *awsec2.DescribeInstancesInput, ...func(*awsec2.Options)) (*awsec2.DescribeInstancesOutput, error)
	DescribeSubnets(context.Context, *awsec2.DescribeSubnetsInput, ...func(*awsec2.Options)) (*awsec2.DescribeSubnetsOutput, error)
	DescribeSpotInstanceRequests(context.Context, *awsec2.DescribeSpotInstanceRequestsInput, ...func(*awsec2.Options)) (*awsec2.DescribeSpotInstanceRequestsOutput, error)
	DescribeSpotPriceHistory(context.Context, *awsec2.DescribeSpotPriceHistoryInput, ...func(*awsec2.Options)) (*awsec2.DescribeSpotPriceHistoryOutput, error)
	TerminateInstances(context.Context, *awsec2.TerminateInstancesInput, ...func(*awsec2.Options)) (*awsec2.TerminateInstancesOutput, error)

	DescribeSecurityGroups(context.Context, *awsec2.DescribeSecurityGroupsInput, ...func(*awsec2.Options)) (*awsec2.DescribeSecurityGroupsOutput, error)
	CreateSecurityGroup(context.Context, *awsec2.CreateSecurityGroupInput, ...func(*awsec2.Options)) (*awsec2.CreateSecurityGroupOutput, error)
	AuthorizeSecurityGroupIngress(context.Context, *awsec2.AuthorizeSecurityGroupIngressInput, ...func(*awsec2.Options)) (*awsec2.AuthorizeSecurityGroupIngressOutput, error)
	RevokeSecurityGroupIngress(context.Context, *awsec2.RevokeSecurityGroupIngressInput, ...func(*awsec2.Options)) (*awsec2.RevokeSecurityGroupIngressOutput, error)
	RevokeSecurityGroupEgress(context.Context, *awsec2.RevokeSecurityGroupEgressInput, ...func(*awsec2.Options)) (*awsec2.RevokeSecurityGroupEgressOutput, error)
	DeleteSecurityGroup(context.Context, *awsec2.DeleteSecurityGroupInput, ...func(*awsec2.Options)) (*awsec2.DeleteSecurityGroupOutput, error)
}

// SSM is the part of the Systems Manager client this package calls.
type SSM interface {
	GetParameter(context.Context, *awsssm.GetParameterInput, ...func(*awsssm.Options)) (*awsssm.GetParameterOutput, error)
}

// IAM is the part of the IAM client this package calls.
type IAM interface {
	GetRole(context.Context, *awsiam.GetRoleInput, ...func(*awsiam.Options)) (*awsiam.GetRoleOutput, error)
	CreateRole(context.Context, *awsiam.CreateRoleInput, ...func(*awsiam.Options)) (*awsiam.CreateRoleOutput, error)
	UpdateAssumeRolePolicy(context.Context, *awsiam.UpdateAssumeRolePolicyInput, ...func(*awsiam.Options)) (*awsiam.UpdateAssumeRolePolicyOutput, error)
	PutRolePolicy(context.Context, *awsiam.PutRolePolicyInput, ...func(*awsiam.Options)) (*awsiam.PutRolePolicyOutput, error)
	DeleteRolePolicy(context.Context, *awsiam.DeleteRolePolicyInput, ...func(*awsiam.Options)) (*awsiam.DeleteRolePolicyOutput, error)
	DeleteRole(context.Context, *awsiam.DeleteRoleInput, ...func(*awsiam.Options)) (*awsiam.DeleteRoleOutput, error)

	GetInstanceProfile(context.Context, *awsiam.GetInstanceProfileInput, ...func(*awsiam.Options)) (*awsiam.GetInstanceProfileOutput, error)
	CreateInstanceProfile(context.Context, *awsiam.CreateInstanceProfileInput, ...func(*awsiam.Options)) (*awsiam.CreateInstanceProfileOutput, error)
	AddRoleToInstanceProfile(context.Context, *awsiam.AddRoleToInstanceProfileInput, ...func(*awsiam.Options)) (*awsiam.AddRoleToInstanceProfileOutput, error)
	RemoveRoleFromInstanceProfile(context.Context, *awsiam.RemoveRoleFromInstanceProfileInput, ...func(*awsiam.Options)) (*awsiam.RemoveRoleFromInstanceProfileOutput, error)
	DeleteInstanceProfile(context.Context, *awsiam.DeleteInstanceProfileInput, ...func(*awsiam.Options)) (*awsiam.DeleteInstanceProfileOutput, error)
}

// SecretsManager is the part of the Secrets Manager client this package calls.
type SecretsManager interface {
	DescribeSecret(context.Context, *awssecrets.DescribeSecretInput, ...func(*awssecrets.Options)) (*awssecrets.DescribeSecretOutput, error)
	GetSecretValue(context.Context, *awssecrets.GetSecretValueInput, ...func(*awssecrets.Options)) (*awssecrets.GetSecretValueOutput, error)
	CreateSecret(context.Context, *awssecrets.CreateSecretInput, ...func(*awssecrets.Options)) (*awssecrets.CreateSecretOutput, error)
	PutSecretValue(context.Context, *awssecrets.PutSecretValueInput, ...func(*awssecrets.Options)) (*awssecrets.PutSecretValueOutput, error)
	PutResourcePolicy(context.Context, *awssecrets.PutResourcePolicyInput, ...func(*awssecrets.Options)) (*awssecrets.PutResourcePolicyOutput, error)
	RestoreSecret(context.Context, *awssecrets.RestoreSecretInput, ...func(*awssecrets.Options)) (*awssecrets.RestoreSecretOutput, error)
	DeleteSecret(context.Context, *awssecrets.DeleteSecretInput, ...func(*awssecrets.Options)) (*awssecrets.DeleteSecretOutput, error)
}

// CloudWatchLogs is the part of the CloudWatch Logs client this package calls.
type CloudWatchLogs interface {
	DescribeLogGroups(context.Context, *awslogs.DescribeLogGroupsInput, ...func(*awslogs.Options)) (*awslogs.DescribeLogGroupsOutput, error)
	ListTagsForResource(context.Context, *awslogs.ListTagsForResourceInput, ...func(*awslogs.Options)) (*awslogs.ListTagsForResourceOutput, error)
	CreateLogGroup(context.Context, *awslogs.CreateLogGroupInput, ...func(*awslogs.Options)) (*awslogs.CreateLogGroupOutput, error)
	PutRetentionPolicy(context.Context, *awslogs.PutRetentionPolicyInput, ...func(*awslogs.Options)) (*awslogs.PutRetentionPolicyOutput, error)
	DeleteLogGroup(context.Context, *awslogs.DeleteLogGroupInput, ...func(*awslogs.Options)) (*awslogs.DeleteLogGroupOutput, error)
}

var (
	_ EC2            = (*awsec2.Client)(nil)
	_ SSM            = (*awsssm.Client)(nil)
	_ IAM            = (*awsiam.Client)(nil)
	_ SecretsManager = (*awssecrets.Client)(nil)
	_ CloudWatchLogs = (*awslogs.Client)(nil)
)
