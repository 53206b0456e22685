package workbench

import (
	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/internal/iampolicy"
)

// Policies are the least that is needed, as IAM policy documents: indented JSON
// to be attached by an administrator, or compared with what is attached.
// Resources are named wherever IAM can tell them apart; the account is left open
// ("*"), since a policy of an identity gives nothing in another account by
// itself. Those who let a customer's KMS key encrypt the domain also need leave
// to use it.
type Policies struct {
	// Administrator is for whoever calls Deploy, Restart, Replace, Remove and
	// EnsureKeys, beside the domain's store. Of a domain over a file system that another
	// keeps they also need ec2:CreateNetworkInterface for the HostSecurityGroups of its
	// [domain.External], which have no tag of the Workbench's.
	Administrator string
	// Reader is for whoever calls Describe and PreviewRemove alone.
	Reader string
	// Host is what the host needs to boot without a licence in a secret, shared
	// storage or policies of the caller's. Deploy gives its role that, and what
	// the request needs more, for the account and file system it has.
	Host string
}

// Policy returns the policies for this domain's Workbench. It calls nothing.
func (c *Client) Policy() Policies {
	return Policies{
		Administrator: iampolicy.Document(c.administratorStatements()...),
		Reader:        iampolicy.Document(c.lookStatement(), iampolicy.Allow("LookForKeys", []string{"secretsmanager:DescribeSecret"}, []string{c.keysARN(iampolicy.AnyAccount)})),
		Host:          c.hostPolicy(iampolicy.AnyAccount, record{}, domain.Description{FileSystem: "*"}),
	}
}

// hostPolicy is what the host may do: read its files and its licence, and mount.
//
// It mounts the file system itself, since homes lie side by side at its root,
// and not as root: users act there by their own uids, and root by none. Without
// a policy of the file system EFS lets in as root whoever reaches it, and then
// that is not held
// (https://docs.aws.amazon.com/efs/latest/ug/iam-access-control-nfs-efs.html). In
// the shared storage, by its project's access point, the host is root. A home that
// is not there yet is made by mounting the user's own access point for a moment.
func (c *Client) hostPolicy(account string, r record, d domain.Description) string {
	secrets := []string{c.secretARN(account)}
	fs := []string{c.arn("elasticfilesystem", account, "file-system/"+d.FileSystem)}
	statements := []iampolicy.Statement{
		iampolicy.Allow("Homes", []string{"elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"}, fs, iampolicy.Where("Bool", "aws:SecureTransport", "true")),
	}
	// Of the shared storage and the licence: those that are wanted, and those with
	// which an instance boots that is still there.
	license, storage := r.Instance.License, r.Instance.Storage
	if r.Buy != nil {
		license, storage = r.Buy.License, r.Buy.Storage
	}
	var points, parameters []string
	for _, id := range union([]string{r.Storage}, []string{storage}) {
		if id != "" {
			points = append(points, c.arn("elasticfilesystem", account, "access-point/"+id))
		}
	}
	if points != nil {
		statements = append(statements, iampolicy.Allow("SharedStorage", []string{"elasticfilesystem:ClientRootAccess"}, fs,
			iampolicy.Equals("elasticfilesystem:AccessPointArn", points), iampolicy.Where("Bool", "aws:SecureTransport", "true")))
	}
	for _, arn := range union([]string{r.Want.License.Key, r.Want.License.File}, []string{license.Key, license.File}) {
		switch secret, parameter := kept(arn); {
		case secret != "":
			secrets = append(secrets, secret)
		case parameter != "":
			parameters = append(parameters, arn)
		}
	}
	if parameters != nil {
		statements = append(statements, iampolicy.Allow("License", []string{"ssm:GetParameter"}, parameters))
	}
	statements = append(statements, iampolicy.Allow("Secrets", []string{"secretsmanager:GetSecretValue"}, secrets))
	return iampolicy.Document(statements...)
}

// lookStatement is what can only be allowed for all there is: "Actions,
// resources, and condition keys for Amazon EC2", Service Authorization Reference.
func (c *Client) lookStatement() iampolicy.Statement {
	return iampolicy.Allow("Look", []string{
		"ec2:DescribeInstanceStatus", "ec2:DescribeInstances", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups", "ec2:DescribeVolumes",
	}, []string{"*"}, iampolicy.Equals("aws:RequestedRegion", c.domain.Region()))
}

// administratorStatements are what Deploy, Restart, Replace, Remove and EnsureKeys may
// do.
func (c *Client) administratorStatements() []iampolicy.Statement {
	name := c.domain.Name()
	made, ours := iampolicy.Equals("aws:RequestTag/"+tagWorkbench, name), iampolicy.Equals("aws:ResourceTag/"+tagWorkbench, name)
	ec2 := func(resources ...string) (arns []string) {
		for _, r := range resources {
			arns = append(arns, c.arn("ec2", iampolicy.AnyAccount, r))
		}
		return arns
	}
	role, profile := []string{c.iamARN("role")}, []string{c.iamARN("instance-profile")}
	return []iampolicy.Statement{
		c.lookStatement(),
		iampolicy.Allow("Make", []string{"ec2:CreateNetworkInterface", "ec2:CreateSecurityGroup", "ec2:CreateVolume", "ec2:RunInstances"},
			ec2("instance/*", "network-interface/*", "security-group/*", "volume/*"), made),
		// What these calls name beside what they make.
		iampolicy.Allow("MakeHere", []string{"ec2:CreateNetworkInterface", "ec2:CreateSecurityGroup", "ec2:RunInstances"}, append(ec2("subnet/*", "vpc/*"), c.arn("ec2", "", "image/*"), c.arn("ec2", iampolicy.AnyAccount, "image/*"))),
		iampolicy.Allow("MakeOf", []string{"ec2:CreateNetworkInterface", "ec2:RunInstances"}, ec2("network-interface/*", "security-group/*"), ours),
		iampolicy.Allow("TagInstance", []string{"ec2:CreateTags"}, ec2("instance/*", "volume/*"), iampolicy.Equals("ec2:CreateAction", "RunInstances"), made),
		iampolicy.Allow("TagInterface", []string{"ec2:CreateTags"}, ec2("network-interface/*"), iampolicy.Equals("ec2:CreateAction", "CreateNetworkInterface"), made),
		iampolicy.Allow("TagVolume", []string{"ec2:CreateTags"}, ec2("volume/*"), iampolicy.Equals("ec2:CreateAction", "CreateVolume"), made),
		iampolicy.Allow("TagGroup", []string{"ec2:CreateTags"}, ec2("security-group/*"), iampolicy.Equals("ec2:CreateAction", "CreateSecurityGroup"), made),
		iampolicy.Allow("Change", []string{
			"ec2:AttachVolume", "ec2:AuthorizeSecurityGroupIngress", "ec2:DeleteNetworkInterface", "ec2:DeleteSecurityGroup", "ec2:DeleteVolume",
			"ec2:RebootInstances", "ec2:RevokeSecurityGroupIngress", "ec2:TerminateInstances",
		}, ec2("instance/*", "network-interface/*", "security-group/*", "volume/*"), ours),
		iampolicy.Allow("FileSystemGroup", []string{"ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"}, ec2("security-group/*"),
			iampolicy.Equals("aws:ResourceTag/atelier:domain", name)),
		iampolicy.Allow("Image", []string{"ssm:GetParameter"}, []string{c.arn("ssm", "", "parameter/aws/service/ami-amazon-linux-latest/*")}),
		iampolicy.Allow("Role", []string{
			"iam:CreateRole", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:GetRole", "iam:PutRolePolicy", "iam:TagRole",
		}, role),
		iampolicy.Allow("Profile", []string{
			"iam:AddRoleToInstanceProfile", "iam:CreateInstanceProfile", "iam:DeleteInstanceProfile", "iam:GetInstanceProfile",
			"iam:RemoveRoleFromInstanceProfile", "iam:TagInstanceProfile",
		}, profile),
		iampolicy.Allow("GiveRole", []string{"iam:PassRole"}, role, iampolicy.Equals("iam:PassedToService", "ec2.amazonaws.com")),
		iampolicy.Allow("Secret", []string{
			"secretsmanager:CreateSecret", "secretsmanager:DeleteSecret", "secretsmanager:DescribeSecret", "secretsmanager:PutResourcePolicy",
			"secretsmanager:PutSecretValue", "secretsmanager:RestoreSecret", "secretsmanager:TagResource",
		}, []string{c.secretARN(iampolicy.AnyAccount)}),
		iampolicy.Allow("Keys", []string{
			"secretsmanager:CreateSecret", "secretsmanager:DeleteSecret", "secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue",
			"secretsmanager:RestoreSecret", "secretsmanager:TagResource",
		}, []string{c.keysARN(iampolicy.AnyAccount)}),
	}
}

func (c *Client) arn(service, account, resource string) string {
	return iampolicy.ARN(c.domain.Region(), service, account, resource)
}

func (c *Client) secretARN(account string) string {
	return iampolicy.SecretARN(c.domain.Region(), account, c.secretName())
}

func (c *Client) keysARN(account string) string {
	return iampolicy.SecretARN(c.domain.Region(), account, c.keysName())
}

// iamARN names the role or instance profile.
func (c *Client) iamARN(kind string) string {
	return "arn:" + iampolicy.Partition(c.domain.Region()) + ":iam::" + iampolicy.AnyAccount + ":" + kind + "/" + c.roleName()
}
