package sagemakerdomain

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	awsefs "github.com/aws/aws-sdk-go-v2/service/efs"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awslicenses "github.com/aws/aws-sdk-go-v2/service/licensemanager"
	awssagemaker "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	awsquotas "github.com/aws/aws-sdk-go-v2/service/servicequotas"

	"github.com/atelier-go/atelier/efs"
	"github.com/atelier-go/atelier/image"
)

// Services are the clients of AWS that a [Client] calls. All are required.
type Services struct {
	SageMaker API
	EC2       EC2
	EFS       efs.API
	IAM       IAM
	Licenses  LicenseManager
	Quotas    ServiceQuotas
	// Images tells of images of Amazon ECR how large they are and how they were made.
	Images Images
}

func servicesOf(cfg aws.Config) Services {
	return Services{
		SageMaker: awssagemaker.NewFromConfig(cfg), EC2: awsec2.NewFromConfig(cfg), EFS: awsefs.NewFromConfig(cfg), IAM: awsiam.NewFromConfig(cfg),
		Licenses: awslicenses.NewFromConfig(cfg), Quotas: awsquotas.NewFromConfig(cfg), Images: image.NewFromConfig(cfg, image.Config{}),
	}
}

// Images asks registries about container images, as [image.Client] does.
type Images interface {
	image.Resolver
	Configuration(context.Context, image.Reference, image.Platform) (image.Configuration, error)
}

// API is the part of the SageMaker client this package calls.
type API interface {
	CreateDomain(context.Context, *awssagemaker.CreateDomainInput, ...func(*awssagemaker.Options)) (*awssagemaker.CreateDomainOutput, error)
	DescribeDomain(context.Context, *awssagemaker.DescribeDomainInput, ...func(*awssagemaker.Options)) (*awssagemaker.DescribeDomainOutput, error)
	ListDomains(context.Context, *awssagemaker.ListDomainsInput, ...func(*awssagemaker.Options)) (*awssagemaker.ListDomainsOutput, error)
	UpdateDomain(context.Context, *awssagemaker.UpdateDomainInput, ...func(*awssagemaker.Options)) (*awssagemaker.UpdateDomainOutput, error)
	DeleteDomain(context.Context, *awssagemaker.DeleteDomainInput, ...func(*awssagemaker.Options)) (*awssagemaker.DeleteDomainOutput, error)

	CreateUserProfile(context.Context, *awssagemaker.CreateUserProfileInput, ...func(*awssagemaker.Options)) (*awssagemaker.CreateUserProfileOutput, error)
	DescribeUserProfile(context.Context, *awssagemaker.DescribeUserProfileInput, ...func(*awssagemaker.Options)) (*awssagemaker.DescribeUserProfileOutput, error)
	ListUserProfiles(context.Context, *awssagemaker.ListUserProfilesInput, ...func(*awssagemaker.Options)) (*awssagemaker.ListUserProfilesOutput, error)
	UpdateUserProfile(context.Context, *awssagemaker.UpdateUserProfileInput, ...func(*awssagemaker.Options)) (*awssagemaker.UpdateUserProfileOutput, error)
	DeleteUserProfile(context.Context, *awssagemaker.DeleteUserProfileInput, ...func(*awssagemaker.Options)) (*awssagemaker.DeleteUserProfileOutput, error)

	DescribeSpace(context.Context, *awssagemaker.DescribeSpaceInput, ...func(*awssagemaker.Options)) (*awssagemaker.DescribeSpaceOutput, error)
	ListSpaces(context.Context, *awssagemaker.ListSpacesInput, ...func(*awssagemaker.Options)) (*awssagemaker.ListSpacesOutput, error)
	DeleteSpace(context.Context, *awssagemaker.DeleteSpaceInput, ...func(*awssagemaker.Options)) (*awssagemaker.DeleteSpaceOutput, error)

	CreateApp(context.Context, *awssagemaker.CreateAppInput, ...func(*awssagemaker.Options)) (*awssagemaker.CreateAppOutput, error)
	DescribeApp(context.Context, *awssagemaker.DescribeAppInput, ...func(*awssagemaker.Options)) (*awssagemaker.DescribeAppOutput, error)
	ListApps(context.Context, *awssagemaker.ListAppsInput, ...func(*awssagemaker.Options)) (*awssagemaker.ListAppsOutput, error)
	DeleteApp(context.Context, *awssagemaker.DeleteAppInput, ...func(*awssagemaker.Options)) (*awssagemaker.DeleteAppOutput, error)
	CreatePresignedDomainUrl(context.Context, *awssagemaker.CreatePresignedDomainUrlInput, ...func(*awssagemaker.Options)) (*awssagemaker.CreatePresignedDomainUrlOutput, error)

	CreateImage(context.Context, *awssagemaker.CreateImageInput, ...func(*awssagemaker.Options)) (*awssagemaker.CreateImageOutput, error)
	DescribeImage(context.Context, *awssagemaker.DescribeImageInput, ...func(*awssagemaker.Options)) (*awssagemaker.DescribeImageOutput, error)
	ListImages(context.Context, *awssagemaker.ListImagesInput, ...func(*awssagemaker.Options)) (*awssagemaker.ListImagesOutput, error)
	DeleteImage(context.Context, *awssagemaker.DeleteImageInput, ...func(*awssagemaker.Options)) (*awssagemaker.DeleteImageOutput, error)
	CreateImageVersion(context.Context, *awssagemaker.CreateImageVersionInput, ...func(*awssagemaker.Options)) (*awssagemaker.CreateImageVersionOutput, error)
	DescribeImageVersion(context.Context, *awssagemaker.DescribeImageVersionInput, ...func(*awssagemaker.Options)) (*awssagemaker.DescribeImageVersionOutput, error)
	ListImageVersions(context.Context, *awssagemaker.ListImageVersionsInput, ...func(*awssagemaker.Options)) (*awssagemaker.ListImageVersionsOutput, error)
	DeleteImageVersion(context.Context, *awssagemaker.DeleteImageVersionInput, ...func(*awssagemaker.Options)) (*awssagemaker.DeleteImageVersionOutput, error)
	CreateAppImageConfig(context.Context, *awssagemaker.CreateAppImageConfigInput, ...func(*awssagemaker.Options)) (*awssagemaker.CreateAppImageConfigOutput, error)

	AddTags(context.Context, *awssagemaker.AddTagsInput, ...func(*awssagemaker.Options)) (*awssagemaker.AddTagsOutput, error)
	ListTags(context.Context, *awssagemaker.ListTagsInput, ...func(*awssagemaker.Options)) (*awssagemaker.ListTagsOutput, error)
	DeleteTags(context.Context, *awssagemaker.DeleteTagsInput, ...func(*awssagemaker.Options)) (*awssagemaker.DeleteTagsOutput, error)
}

// EC2 is the part of the EC2 client this package calls.
type EC2 interface {
	DescribeSubnets(context.Context, *awsec2.DescribeSubnetsInput, ...func(*awsec2.Options)) (*awsec2.DescribeSubnetsOutput, error)
	DescribeSecurityGroups(context.Context, *awsec2.DescribeSecurityGroupsInput, ...func(*awsec2.Options)) (*awsec2.DescribeSecurityGroupsOutput, error)
	RevokeSecurityGroupIngress(context.Context, *awsec2.RevokeSecurityGroupIngressInput, ...func(*awsec2.Options)) (*awsec2.RevokeSecurityGroupIngressOutput, error)
	RevokeSecurityGroupEgress(context.Context, *awsec2.RevokeSecurityGroupEgressInput, ...func(*awsec2.Options)) (*awsec2.RevokeSecurityGroupEgressOutput, error)
	DeleteSecurityGroup(context.Context, *awsec2.DeleteSecurityGroupInput, ...func(*awsec2.Options)) (*awsec2.DeleteSecurityGroupOutput, error)
	DescribeNetworkInterfaces(context.Context, *awsec2.DescribeNetworkInterfacesInput, ...func(*awsec2.Options)) (*awsec2.DescribeNetworkInterfacesOutput, error)
	DeleteNetworkInterface(context.Context, *awsec2.DeleteNetworkInterfaceInput, ...func(*awsec2.Options)) (*awsec2.DeleteNetworkInterfaceOutput, error)
}

// IAM is the part of the IAM client this package calls.
type IAM interface {
	GetRole(context.Context, *awsiam.GetRoleInput, ...func(*awsiam.Options)) (*awsiam.GetRoleOutput, error)
}

// LicenseManager is the part of the License Manager client this package calls, in
// us-east-1, which is the home of Posit's licence.
type LicenseManager interface {
	ListReceivedLicenses(context.Context, *awslicenses.ListReceivedLicensesInput, ...func(*awslicenses.Options)) (*awslicenses.ListReceivedLicensesOutput, error)
}

// ServiceQuotas is the part of the Service Quotas client this package calls.
type ServiceQuotas interface {
	ListServiceQuotas(context.Context, *awsquotas.ListServiceQuotasInput, ...func(*awsquotas.Options)) (*awsquotas.ListServiceQuotasOutput, error)
	ListAWSDefaultServiceQuotas(context.Context, *awsquotas.ListAWSDefaultServiceQuotasInput, ...func(*awsquotas.Options)) (*awsquotas.ListAWSDefaultServiceQuotasOutput, error)
}

var (
	_ API            = (*awssagemaker.Client)(nil)
	_ EC2            = (*awsec2.Client)(nil)
	_ IAM            = (*awsiam.Client)(nil)
	_ LicenseManager = (*awslicenses.Client)(nil)
	_ ServiceQuotas  = (*awsquotas.Client)(nil)
	_ Images         = (*image.Client)(nil)
)
