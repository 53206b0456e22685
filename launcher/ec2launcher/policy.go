package ec2launcher

import (
	"github.com/atelier-go/atelier/internal/iampolicy"
)

// Policies are the least that is needed, as IAM policy documents: indented
// JSON to be attached by an administrator, or compared with what is attached.
// Resources are named wherever IAM can tell them apart. Those of the first two
// leave the account open ("*"): a policy of an identity gives nothing in
// another account by itself.
type Policies struct {
	// Launcher is for the program that runs the launcher: Run and all that
	// [launcher.Launcher] has. With a Config.InstanceProfile of one's own,
	// iam:PassRole has to name its role instead.
	Launcher string
	// Setup is for whoever calls Setup, RotateKeys and Teardown.
	Setup string
	// Host is for the hosts' role. Setup gives it that, for the account it is
	// in; here it shows what hosts may do.
	Host string
}

// Policy returns the policies for this fleet. It calls nothing.
func (l *Launcher) Policy() Policies {
	return Policies{
		Launcher: iampolicy.Document(l.launcherStatements()...),
		Setup:    iampolicy.Document(l.setupStatements()...),
		Host:     l.hostPolicyDocument("*"),
	}
}

// hostPolicyDocument is what hosts may do in an account.
func (l *Launcher) hostPolicyDocument(account string) string {
	return iampolicy.Document(
		iampolicy.Allow("EngineKeys", []string{"secretsmanager:GetSecretValue"}, []string{l.secretARN(account, l.hostSecret())}),
		iampolicy.Allow("Logs", []string{"logs:CreateLogStream", "logs:PutLogEvents"}, []string{l.arn("logs", account, "log-group:"+l.logGroupName()+":*")}),
		// Through access points only, which confine what is reached, and over
		// TLS: "EFS condition keys for clients",
		// https://docs.aws.amazon.com/efs/latest/ug/iam-access-control-nfs-efs.html.
		// A string that a key must match fails without the key.
		iampolicy.Allow("Homes",
			[]string{"elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite", "elasticfilesystem:ClientRootAccess"},
			[]string{l.arn("elasticfilesystem", account, "file-system/*")},
			iampolicy.Where("StringLike", "elasticfilesystem:AccessPointArn", l.arn("elasticfilesystem", account, "access-point/*")),
			iampolicy.Where("Bool", "aws:SecureTransport", "true")),
	)
}

// launcherStatements are what the running launcher may do.
func (l *Launcher) launcherStatements() []iampolicy.Statement {
	fleet := l.cfg.Fleet
	existing := []string{l.ec2ARN("network-interface/*")}
	for _, id := range l.cfg.Subnets {
		existing = append(existing, l.ec2ARN("subnet/"+id))
	}
	for _, id := range l.cfg.SecurityGroups {
		existing = append(existing, l.ec2ARN("security-group/"+id))
	}
	image := "image/*"
	if l.cfg.AMI != "" {
		image = "image/" + l.cfg.AMI
	}
	existing = append(existing, l.arn("ec2", "", image))
	statements := []iampolicy.Statement{
		// These have no resources to be told apart by: "Actions, resources,
		// and condition keys for Amazon EC2", Service Authorization Reference.
		iampolicy.Allow("Look", []string{
			"ec2:DescribeInstances", "ec2:DescribeSecurityGroups", "ec2:DescribeSpotInstanceRequests", "ec2:DescribeSpotPriceHistory", "ec2:DescribeSubnets",
		}, []string{"*"}, iampolicy.Equals("aws:RequestedRegion", l.region)),
		iampolicy.Allow("BuyHosts", []string{"ec2:RunInstances"}, []string{l.ec2ARN("instance/*"), l.ec2ARN("spot-instances-request/*"), l.ec2ARN("volume/*")},
			iampolicy.Equals("aws:RequestTag/"+tagFleet, fleet)),
		iampolicy.Allow("BuyHostsHere", []string{"ec2:RunInstances"}, existing),
		iampolicy.Allow("BuyHostsBehind", []string{"ec2:RunInstances"}, []string{l.ec2ARN("security-group/*")},
			iampolicy.Equals("aws:ResourceTag/"+tagFleet, fleet)),
		iampolicy.Allow("TagHosts", []string{"ec2:CreateTags"}, []string{l.ec2ARN("instance/*"), l.ec2ARN("spot-instances-request/*"), l.ec2ARN("volume/*")},
			iampolicy.Equals("ec2:CreateAction", "RunInstances")),
		iampolicy.Allow("EndHosts", []string{"ec2:TerminateInstances"}, []string{l.ec2ARN("instance/*")},
			iampolicy.Equals("aws:ResourceTag/"+tagFleet, fleet)),
		l.passRole(),
		iampolicy.Allow("Keys", []string{"secretsmanager:GetSecretValue"}, []string{l.secretARN(iampolicy.AnyAccount, l.clientSecret())}),
	}
	if l.cfg.AMI == "" {
		statements = append(statements, iampolicy.Allow("Images", []string{"ssm:GetParameter"},
			[]string{l.arn("ssm", "", "parameter/aws/service/ecs/optimized-ami/amazon-linux-2023/*")}))
	}
	return statements
}

// setupStatements are what Setup, RotateKeys and Teardown may do.
func (l *Launcher) setupStatements() []iampolicy.Statement {
	ours := []iampolicy.Condition{iampolicy.Equals("aws:ResourceTag/"+tagFleet, l.cfg.Fleet)}
	group, logs := l.ec2ARN("security-group/*"), l.arn("logs", iampolicy.AnyAccount, "log-group:"+l.logGroupName())
	client, host := l.secretARN(iampolicy.AnyAccount, l.clientSecret()), l.secretARN(iampolicy.AnyAccount, l.hostSecret())
	return []iampolicy.Statement{
		iampolicy.Allow("Look", []string{"ec2:DescribeInstances", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets"}, []string{"*"},
			iampolicy.Equals("aws:RequestedRegion", l.region)),
		iampolicy.Allow("LookAtLogGroups", []string{"logs:DescribeLogGroups"}, []string{l.arn("logs", iampolicy.AnyAccount, "log-group:*")}),
		iampolicy.Allow("MakeGroup", []string{"ec2:CreateSecurityGroup"}, []string{group}, iampolicy.Equals("aws:RequestTag/"+tagFleet, l.cfg.Fleet)),
		iampolicy.Allow("MakeGroupHere", []string{"ec2:CreateSecurityGroup"}, []string{l.ec2ARN("vpc/*")}),
		iampolicy.Allow("TagGroup", []string{"ec2:CreateTags"}, []string{group}, iampolicy.Equals("ec2:CreateAction", "CreateSecurityGroup")),
		iampolicy.Allow("Group", []string{
			"ec2:AuthorizeSecurityGroupIngress", "ec2:DeleteSecurityGroup", "ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress",
		}, []string{group}, ours...),
		iampolicy.Allow("Role", []string{
			"iam:CreateRole", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:GetRole", "iam:PutRolePolicy", "iam:TagRole", "iam:UpdateAssumeRolePolicy",
		}, []string{l.iamARN("role")}),
		iampolicy.Allow("Profile", []string{
			"iam:AddRoleToInstanceProfile", "iam:CreateInstanceProfile", "iam:DeleteInstanceProfile", "iam:GetInstanceProfile",
			"iam:RemoveRoleFromInstanceProfile", "iam:TagInstanceProfile",
		}, []string{l.iamARN("instance-profile")}),
		l.passRole(), // into the profile
		iampolicy.Allow("Logs", []string{
			"logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:ListTagsForResource", "logs:PutRetentionPolicy", "logs:TagResource",
		}, []string{logs, logs + ":*"}),
		iampolicy.Allow("Secrets", []string{
			"secretsmanager:CreateSecret", "secretsmanager:DeleteSecret", "secretsmanager:DescribeSecret", "secretsmanager:PutSecretValue",
			"secretsmanager:RestoreSecret", "secretsmanager:TagResource",
		}, []string{client, host}),
		iampolicy.Allow("HostSecret", []string{"secretsmanager:PutResourcePolicy"}, []string{host}),
		iampolicy.Allow("ClientSecret", []string{"secretsmanager:GetSecretValue"}, []string{client}),
	}
}

// passRole lets the hosts' role be given to instances, and to nothing else.
func (l *Launcher) passRole() iampolicy.Statement {
	return iampolicy.Allow("GiveRole", []string{"iam:PassRole"}, []string{l.iamARN("role")}, iampolicy.Equals("iam:PassedToService", "ec2.amazonaws.com"))
}

func (l *Launcher) arn(service, account, resource string) string {
	return iampolicy.ARN(l.region, service, account, resource)
}

func (l *Launcher) ec2ARN(resource string) string {
	return l.arn("ec2", iampolicy.AnyAccount, resource)
}

func (l *Launcher) secretARN(account, name string) string {
	return iampolicy.SecretARN(l.region, account, name)
}

// iamARN names the hosts' role or instance profile.
func (l *Launcher) iamARN(kind string) string {
	return "arn:" + iampolicy.Partition(l.region) + ":iam::" + iampolicy.AnyAccount + ":" + kind + "/" + l.hostRole()
}
