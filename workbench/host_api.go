package workbench

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
)

// Services are the clients of AWS that a [Client] calls. All are required.
type Services struct {
	EC2     EC2
	SSM     SSM
	IAM     IAM
	Secrets SecretsManager
}

func servicesOf(cfg aws.Config) Services {
	return Services{
		EC2: awsec2.NewFromConfig(cfg), SSM: awsssm.NewFromConfig(cfg), IAM: awsiam.NewFromConfig(cfg),
		Secrets: awssecrets.NewFromConfig(cfg),
	}
}

// EC2 is the part of the EC2 client this package calls.
type EC2 interface {
	RunInstances(context.Context, *awsec2.RunInstancesInput, ...func(*awsec2.Options)) (*awsec2.RunInstancesOutput, error)
	DescribeInstances(context.Context, *awsec2.DescribeInstancesInput, ...func(*awsec2.Options)) (*awsec2.DescribeInstancesOutput, error)
	DescribeInstanceStatus(context.Context, *awsec2.DescribeInstanceStatusInput, ...func(*awsec2.Options)) (*awsec2.DescribeInstanceStatusOutput, error)
	RebootInstances(context.Context, *awsec2.RebootInstancesInput, ...func(*awsec2.Options)) (*awsec2.RebootInstancesOutput, error)
	TerminateInstances(context.Context, *awsec2.TerminateInstancesInput, ...func(*awsec2.Options)) (*awsec2.TerminateInstancesOutput, error)

	CreateNetworkInterface(context.Context, *awsec2.CreateNetworkInterfaceInput, ...func(*awsec2.Options)) (*awsec2.CreateNetworkInterfaceOutput, error)
	DescribeNetworkInterfaces(context.Context, *awsec2.DescribeNetworkInterfacesInput, ...func(*awsec2.Options)) (*awsec2.DescribeNetworkInterfacesOutput, error)
	DeleteNetworkInterface(context.Context, *awsec2.DeleteNetworkInterfaceInput, ...func(*awsec2.Options)) (*awsec2.DeleteNetworkInterfaceOutput, error)

	CreateVolume(context.Context, *awsec2.CreateVolumeInput, ...func(*awsec2.Options)) (*awsec2.CreateVolumeOutput, error)
	DescribeVolumes(context.Context, *awsec2.DescribeVolumesInput, ...func(*awsec2.Options)) (*awsec2.DescribeVolumesOutput, error)
	AttachVolume(context.Context, *awsec2.AttachVolumeInput, ...func(*awsec2.Options)) (*awsec2.AttachVolumeOutput, error)
	DeleteVolume(context.Context, *awsec2.DeleteVolumeInput, ...func(*awsec2.Options)) (*awsec2.DeleteVolumeOutput, error)

	DescribeSecurityGroups(context.Context, *awsec2.DescribeSecurityGroupsInput, ...func(*awsec2.Options)) (*awsec2.DescribeSecurityGroupsOutput, error)
	CreateSecurityGroup(context.Context, *awsec2.CreateSecurityGroupInput, ...func(*awsec2.Options)) (*awsec2.CreateSecurityGroupOutput, error)
	AuthorizeSecurityGroupIngress(context.Context, *awsec2.AuthorizeSecurityGroupIngressInput, ...func(*awsec2.Options)) (*awsec2.AuthorizeSecurityGroupIngressOutput, error)
	RevokeSecurityGroupIngress(context.Context, *awsec2.RevokeSecurityGroupIngressInput, ...func(*awsec2.Options)) (*awsec2.RevokeSecurityGroupIngressOutput, error)
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
// Of secrets it reads the one with the keys alone.
type SecretsManager interface {
	DescribeSecret(context.Context, *awssecrets.DescribeSecretInput, ...func(*awssecrets.Options)) (*awssecrets.DescribeSecretOutput, error)
	GetSecretValue(context.Context, *awssecrets.GetSecretValueInput, ...func(*awssecrets.Options)) (*awssecrets.GetSecretValueOutput, error)
	CreateSecret(context.Context, *awssecrets.CreateSecretInput, ...func(*awssecrets.Options)) (*awssecrets.CreateSecretOutput, error)
	PutSecretValue(context.Context, *awssecrets.PutSecretValueInput, ...func(*awssecrets.Options)) (*awssecrets.PutSecretValueOutput, error)
	PutResourcePolicy(context.Context, *awssecrets.PutResourcePolicyInput, ...func(*awssecrets.Options)) (*awssecrets.PutResourcePolicyOutput, error)
	RestoreSecret(context.Context, *awssecrets.RestoreSecretInput, ...func(*awssecrets.Options)) (*awssecrets.RestoreSecretOutput, error)
	DeleteSecret(context.Context, *awssecrets.DeleteSecretInput, ...func(*awssecrets.Options)) (*awssecrets.DeleteSecretOutput, error)
}

var (
	_ EC2            = (*awsec2.Client)(nil)
	_ SSM            = (*awsssm.Client)(nil)
	_ IAM            = (*awsiam.Client)(nil)
	_ SecretsManager = (*awssecrets.Client)(nil)
)
