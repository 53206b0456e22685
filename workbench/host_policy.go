package workbench

import (
	"encoding/json"
	"strings"

	"github.com/atelier-go/atelier/domain"
)

// Policies are the least that is needed, as IAM policy documents: indented JSON
// to be attached by an administrator, or compared with what is attached.
// Resources are named wherever IAM can tell them apart; the account is left open
// ("*"), since a policy of an identity gives nothing in another account by
// itself. Those who let a customer's KMS key encrypt the domain also need leave
// to use it.
type Policies struct {
	// Administrator is for whoever calls Deploy, Restart, Replace and Remove,
	// beside the domain's store.
	Administrator string
	// Reader is for whoever calls Describe alone.
	Reader string
	// Host is what the host needs to boot without a licence in a secret, shared
	// storage or policies of the caller's. Deploy gives its role that, and what
	// the request needs more, for the account and file system it has.
	Host string
}

// Policy returns the policies for this domain's Workbench. It calls nothing.
func (c *Client) Policy() Policies {
	return Policies{
		Administrator: document(c.administratorStatements()...),
		Reader:        document(c.lookStatement()),
		Host:          c.hostPolicy(anyAccount, record{}, domain.Description{FileSystem: "*"}),
	}
}

// A statement is one of an IAM policy.
type statement struct {
	Sid       string
	Effect    string
	Principal any                       `json:",omitempty"`
	Action    any                       // a string or several
	Resource  any                       `json:",omitempty"` // likewise
	Condition map[string]map[string]any `json:",omitempty"`
}

func allow(sid string, actions, resources []string, conditions ...condition) statement {
	s := statement{Sid: sid, Effect: "Allow", Action: actions, Resource: resources}
	for _, c := range conditions {
		if s.Condition == nil {
			s.Condition = map[string]map[string]any{}
		}
		if s.Condition[c.operator] == nil {
			s.Condition[c.operator] = map[string]any{}
		}
		s.Condition[c.operator][c.key] = c.value
	}
	return s
}

type condition struct {
	operator, key string
	value         any // a string or several
}

func equals(key string, value any) condition { return condition{"StringEquals", key, value} }

// document formats statements.
func document(statements ...statement) string {
	text, err := json.MarshalIndent(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", statements}, "", "  ")
	if err != nil {
		panic(err) // strings can always be written
	}
	return string(text)
}

// hostTrust lets EC2 give the instance the role.
func hostTrust() string {
	return document(statement{
		Sid: "EC2", Effect: "Allow", Principal: map[string]string{"Service": "ec2.amazonaws.com"}, Action: "sts:AssumeRole",
	})
}

// hostOnly is the policy of the secret: nobody reads it who does not act as the
// host's role, administrators included. It only denies, and nothing but reading,
// so that nobody is locked out of changing, describing or deleting the secret. A
// condition on the role's ARN holds for its sessions too, and for a role that was
// deleted and made again
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn).
func hostOnly(role string) string {
	return document(statement{
		Sid: "HostOnly", Effect: "Deny", Principal: "*", Action: "secretsmanager:GetSecretValue", Resource: "*",
		Condition: map[string]map[string]any{"ArnNotEquals": {"aws:PrincipalArn": role}},
	})
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
	statements := []statement{
		allow("Homes", []string{"elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"}, fs, condition{"Bool", "aws:SecureTransport", "true"}),
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
		statements = append(statements, allow("SharedStorage", []string{"elasticfilesystem:ClientRootAccess"}, fs,
			equals("elasticfilesystem:AccessPointArn", points), condition{"Bool", "aws:SecureTransport", "true"}))
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
		statements = append(statements, allow("License", []string{"ssm:GetParameter"}, parameters))
	}
	statements = append(statements, allow("Secrets", []string{"secretsmanager:GetSecretValue"}, secrets))
	return document(statements...)
}

const anyAccount = "*"

// lookStatement is what can only be allowed for all there is: "Actions,
// resources, and condition keys for Amazon EC2", Service Authorization Reference.
func (c *Client) lookStatement() statement {
	return allow("Look", []string{
		"ec2:DescribeInstanceStatus", "ec2:DescribeInstances", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups", "ec2:DescribeVolumes",
	}, []string{"*"}, equals("aws:RequestedRegion", c.domain.Region()))
}

// administratorStatements are what Deploy, Restart, Replace and Remove may do.
func (c *Client) administratorStatements() []statement {
	name := c.domain.Name()
	made, ours := equals("aws:RequestTag/"+tagWorkbench, name), equals("aws:ResourceTag/"+tagWorkbench, name)
	ec2 := func(resources ...string) (arns []string) {
		for _, r := range resources {
			arns = append(arns, c.arn("ec2", anyAccount, r))
		}
		return arns
	}
	role, profile := []string{c.iamARN("role")}, []string{c.iamARN("instance-profile")}
	return []statement{
		c.lookStatement(),
		allow("Make", []string{"ec2:CreateNetworkInterface", "ec2:CreateSecurityGroup", "ec2:CreateVolume", "ec2:RunInstances"},
			ec2("instance/*", "network-interface/*", "security-group/*", "volume/*"), made),
		// What these calls name beside what they make.
		allow("MakeHere", []string{"ec2:CreateNetworkInterface", "ec2:CreateSecurityGroup", "ec2:RunInstances"}, append(ec2("subnet/*", "vpc/*"), c.arn("ec2", "", "image/*"), c.arn("ec2", anyAccount, "image/*"))),
		allow("MakeOf", []string{"ec2:CreateNetworkInterface", "ec2:RunInstances"}, ec2("network-interface/*", "security-group/*"), ours),
		allow("TagInstance", []string{"ec2:CreateTags"}, ec2("instance/*", "volume/*"), equals("ec2:CreateAction", "RunInstances"), made),
		allow("TagInterface", []string{"ec2:CreateTags"}, ec2("network-interface/*"), equals("ec2:CreateAction", "CreateNetworkInterface"), made),
		allow("TagVolume", []string{"ec2:CreateTags"}, ec2("volume/*"), equals("ec2:CreateAction", "CreateVolume"), made),
		allow("TagGroup", []string{"ec2:CreateTags"}, ec2("security-group/*"), equals("ec2:CreateAction", "CreateSecurityGroup"), made),
		allow("Change", []string{
			"ec2:AttachVolume", "ec2:AuthorizeSecurityGroupIngress", "ec2:DeleteNetworkInterface", "ec2:DeleteSecurityGroup", "ec2:DeleteVolume",
			"ec2:RebootInstances", "ec2:RevokeSecurityGroupIngress", "ec2:TerminateInstances",
		}, ec2("instance/*", "network-interface/*", "security-group/*", "volume/*"), ours),
		allow("FileSystemGroup", []string{"ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"}, ec2("security-group/*"),
			equals("aws:ResourceTag/atelier:domain", name)),
		allow("Image", []string{"ssm:GetParameter"}, []string{c.arn("ssm", "", "parameter/aws/service/ami-amazon-linux-latest/*")}),
		allow("Role", []string{
			"iam:CreateRole", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:GetRole", "iam:PutRolePolicy", "iam:TagRole",
		}, role),
		allow("Profile", []string{
			"iam:AddRoleToInstanceProfile", "iam:CreateInstanceProfile", "iam:DeleteInstanceProfile", "iam:GetInstanceProfile",
			"iam:RemoveRoleFromInstanceProfile", "iam:TagInstanceProfile",
		}, profile),
		allow("GiveRole", []string{"iam:PassRole"}, role, equals("iam:PassedToService", "ec2.amazonaws.com")),
		allow("Secret", []string{
			"secretsmanager:CreateSecret", "secretsmanager:DeleteSecret", "secretsmanager:DescribeSecret", "secretsmanager:PutResourcePolicy",
			"secretsmanager:PutSecretValue", "secretsmanager:RestoreSecret", "secretsmanager:TagResource",
		}, []string{c.secretARN(anyAccount)}),
	}
}

// partition is the part of AWS that a region is in
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html).
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	default:
		return "aws"
	}
}

func (c *Client) arn(service, account, resource string) string {
	region := c.domain.Region()
	return "arn:" + partition(region) + ":" + service + ":" + region + ":" + account + ":" + resource
}

// secretARN matches the secret by its name, which six characters follow
// (https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_iam-policies.html).
func (c *Client) secretARN(account string) string {
	return c.arn("secretsmanager", account, "secret:"+c.secretName()+"-??????")
}

// iamARN names the role or instance profile.
func (c *Client) iamARN(kind string) string {
	return "arn:" + partition(c.domain.Region()) + ":iam::" + anyAccount + ":" + kind + "/" + c.roleName()
}

// accountOf is the account in an ARN.
func accountOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return anyAccount
}
