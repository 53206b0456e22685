package sagemakerdomain

import (
	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/iampolicy"
)

// Policies are the least that is needed, as IAM policy documents: indented JSON to be
// attached by an administrator, or compared with what is attached. Resources are named
// wherever IAM can tell them apart; the account is left open ("*"), since a policy of an
// identity gives nothing in another account by itself. Whoever creates a domain with a
// customer's KMS key also needs leave to use it, and whoever deletes mount targets
// ec2:DeleteNetworkInterface for theirs (API_DeleteMountTarget, EFS), which have no tag to
// name them by.
type Policies struct {
	// Administrator is for whoever calls everything here but Adopt. Of network interfaces and
	// security groups it lets those be deleted that have SageMaker's tag, which is all that
	// SageMaker lets its apps use. IAM has no condition on descriptions: for an
	// interface without the tag DeleteDomain names the statement it takes, as its preview
	// does.
	Administrator string
	// Adopter is for whoever calls Adopt: Reader, and what making our domain takes, with
	// access points on file systems that SageMaker made and the security group of our
	// hosts. Pulling what images are needs the registry's leave besides.
	Adopter string
	// Reader is for whoever calls what changes nothing: Describe, the lists, the previews,
	// Effective, Quotas, ImageUses.
	Reader string
}

// Policy returns the policies for the region. It calls nothing.
func (c *Client) Policy() Policies {
	return Policies{
		Administrator: iampolicy.Document(append(c.readerStatements(), c.administratorStatements()...)...),
		Adopter:       iampolicy.Document(append(c.readerStatements(), c.adopterStatements()...)...),
		Reader:        iampolicy.Document(c.readerStatements()...),
	}
}

func (c *Client) arns(service string, resources ...string) (list []string) {
	for _, r := range resources {
		list = append(list, iampolicy.ARN(c.region, service, iampolicy.AnyAccount, r))
	}
	return list
}

// readerStatements are what looking takes. Lists and EC2's Describe can only be allowed for
// all there is ("Actions, resources, and condition keys", Service Authorization
// Reference).
func (c *Client) readerStatements() []iampolicy.Statement {
	here := iampolicy.Equals("aws:RequestedRegion", c.region)
	return []iampolicy.Statement{
		iampolicy.Allow("Look", []string{
			"ec2:DescribeNetworkInterfaceAttribute", // as API_DescribeMountTargetSecurityGroups of EFS says
			"ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "elasticfilesystem:DescribeAccessPoints", "elasticfilesystem:DescribeFileSystems",
			"elasticfilesystem:DescribeMountTargetSecurityGroups", "elasticfilesystem:DescribeMountTargets", "sagemaker:ListApps", "sagemaker:ListDomains", "sagemaker:ListImages",
			"sagemaker:ListSpaces", "sagemaker:ListUserProfiles", "servicequotas:ListAWSDefaultServiceQuotas", "servicequotas:ListServiceQuotas",
		}, []string{"*"}, here),
		iampolicy.Allow("Describe", []string{
			"sagemaker:DescribeApp", "sagemaker:DescribeDomain", "sagemaker:DescribeImage", "sagemaker:DescribeImageVersion", "sagemaker:DescribeSpace",
			"sagemaker:DescribeUserProfile", "sagemaker:ListImageVersions", "sagemaker:ListTags",
		}, c.arns("sagemaker", "app/*", "domain/*", "image/*", "image-version/*", "space/*", "user-profile/*")),
		iampolicy.Allow("License", []string{"license-manager:ListReceivedLicenses"}, []string{"*"}, iampolicy.Equals("aws:RequestedRegion", licenseHome)),
		iampolicy.Allow("Roles", []string{"iam:GetRole"}, []string{"arn:" + iampolicy.Partition(c.region) + ":iam::" + iampolicy.AnyAccount + ":role/*"}),
		iampolicy.Allow("Images", []string{"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}, c.arns("ecr", "repository/*")),
	}
}

// adopterStatements are what making our domain takes besides, and deleting it again.
func (c *Client) adopterStatements() []iampolicy.Statement {
	return []iampolicy.Statement{
		iampolicy.Allow("HostsGroup", []string{"ec2:CreateSecurityGroup"}, c.arns("ec2", "security-group/*", "vpc/*")),
		iampolicy.Allow("TagHostsGroup", []string{"ec2:CreateTags"}, c.arns("ec2", "security-group/*"), iampolicy.Equals("ec2:CreateAction", "CreateSecurityGroup")),
		iampolicy.Allow("DeleteHostsGroup", []string{"ec2:DeleteSecurityGroup"}, c.arns("ec2", "security-group/*"), iampolicy.Where("Null", "aws:ResourceTag/"+domain.TagDomain, "false")),
		iampolicy.Allow("Homes", []string{"elasticfilesystem:CreateAccessPoint"}, c.arns("elasticfilesystem", "file-system/*"), iampolicy.Where("Null", "aws:ResourceTag/"+tagManaged, "false")),
		iampolicy.Allow("TagHomes", []string{"elasticfilesystem:TagResource"}, c.arns("elasticfilesystem", "access-point/*", "file-system/*"), iampolicy.Equals("elasticfilesystem:CreateAction", "CreateAccessPoint")),
	}
}

// administratorStatements are what changing takes besides.
func (c *Client) administratorStatements() []iampolicy.Statement {
	// What SageMaker leaves in the network bears its tag, see leftBy.
	left := iampolicy.Where("Null", "aws:ResourceTag/"+tagManaged, "false")
	return []iampolicy.Statement{
		iampolicy.Allow("Change", []string{
			"sagemaker:AddTags", "sagemaker:CreateApp", "sagemaker:CreateDomain", "sagemaker:CreateImage", "sagemaker:CreateImageVersion",
			"sagemaker:CreatePresignedDomainUrl", "sagemaker:CreateUserProfile", "sagemaker:DeleteApp", "sagemaker:DeleteDomain", "sagemaker:DeleteImage",
			"sagemaker:DeleteImageVersion", "sagemaker:DeleteSpace", "sagemaker:DeleteTags", "sagemaker:DeleteUserProfile", "sagemaker:UpdateDomain",
			"sagemaker:UpdateUserProfile",
		}, c.arns("sagemaker", "app/*", "domain/*", "image/*", "image-version/*", "space/*", "user-profile/*")),
		iampolicy.Allow("ImageConfigs", []string{"sagemaker:CreateAppImageConfig"}, c.arns("sagemaker", "app-image-config/*")),
		iampolicy.Allow("PassRoles", []string{"iam:PassRole"}, []string{"arn:" + iampolicy.Partition(c.region) + ":iam::" + iampolicy.AnyAccount + ":role/*"},
			iampolicy.Equals("iam:PassedToService", sagemakerService)),
		// SageMaker makes its service-linked role with the first domain of an account.
		iampolicy.Allow("ServiceRole", []string{"iam:CreateServiceLinkedRole"},
			[]string{"arn:" + iampolicy.Partition(c.region) + ":iam::" + iampolicy.AnyAccount + ":role/aws-service-role/sagemaker.amazonaws.com/AWSServiceRoleForAmazonSageMakerNotebooks"},
			iampolicy.Equals("iam:AWSServiceName", sagemakerService)),
		iampolicy.Allow("Leftovers", []string{
			"ec2:DeleteNetworkInterface", "ec2:DeleteSecurityGroup", "ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress",
		}, c.arns("ec2", "network-interface/*", "security-group/*"), left),
		iampolicy.Allow("MountTargets", []string{"elasticfilesystem:DeleteMountTarget"}, c.arns("elasticfilesystem", "file-system/*"), left),
	}
}
