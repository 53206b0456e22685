package ec2launcher

import (
	"encoding/json"
	"strings"
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
		Launcher: document(l.launcherStatements()...),
		Setup:    document(l.setupStatements()...),
		Host:     l.hostPolicyDocument("*"),
	}
}

// A statement is one of an IAM policy.
type statement struct {
	Sid       string
	Effect    string
	Principal any                          `json:",omitempty"`
	Action    any                          // a string or several
	Resource  any                          `json:",omitempty"` // likewise
	Condition map[string]map[string]string `json:",omitempty"`
}

func allow(sid string, actions, resources []string, conditions ...condition) statement {
	s := statement{Sid: sid, Effect: "Allow", Action: actions, Resource: resources}
	for _, c := range conditions {
		if s.Condition == nil {
			s.Condition = map[string]map[string]string{}
		}
		if s.Condition[c.operator] == nil {
			s.Condition[c.operator] = map[string]string{}
		}
		s.Condition[c.operator][c.key] = c.value
	}
	return s
}

type condition struct{ operator, key, value string }

func equals(key, value string) condition { return condition{"StringEquals", key, value} }

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

// hostTrust lets EC2 give instances the hosts' role.
func hostTrust() string {
	return document(statement{
		Sid: "EC2", Effect: "Allow", Principal: map[string]string{"Service": "ec2.amazonaws.com"}, Action: "sts:AssumeRole",
	})
}

// hostsOnly is the policy of the hosts' secret: nobody reads it who does not
// act as the hosts' role, administrators included. It only denies, so that
// there is nothing public for BlockPublicPolicy to block, which looks at
// wildcard principals; and it denies nothing but reading, so that nobody is
// locked out of changing, describing or deleting the secret. A condition on the
// role's ARN holds for its sessions too, and for a role that was deleted and
// made again, which a principal in a policy does not
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn).
func hostsOnly(role string) string {
	return document(statement{
		Sid: "HostsOnly", Effect: "Deny", Principal: "*", Action: "secretsmanager:GetSecretValue", Resource: "*",
		Condition: map[string]map[string]string{"ArnNotEquals": {"aws:PrincipalArn": role}},
	})
}

// hostPolicyDocument is what hosts may do in an account.
func (l *Launcher) hostPolicyDocument(account string) string {
	return document(
		allow("EngineKeys", []string{"secretsmanager:GetSecretValue"}, []string{l.secretARN(account, l.hostSecret())}),
		allow("Logs", []string{"logs:CreateLogStream", "logs:PutLogEvents"}, []string{l.arn("logs", account, "log-group:"+l.logGroupName()+":*")}),
		// Through access points only, which confine what is reached, and over
		// TLS: "EFS condition keys for clients",
		// https://docs.aws.amazon.com/efs/latest/ug/iam-access-control-nfs-efs.html.
		// A string that a key must match fails without the key.
		allow("Homes",
			[]string{"elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite", "elasticfilesystem:ClientRootAccess"},
			[]string{l.arn("elasticfilesystem", account, "file-system/*")},
			condition{"StringLike", "elasticfilesystem:AccessPointArn", l.arn("elasticfilesystem", account, "access-point/*")},
			condition{"Bool", "aws:SecureTransport", "true"}),
	)
}

const anyAccount = "*"

// launcherStatements are what the running launcher may do.
func (l *Launcher) launcherStatements() []statement {
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
	statements := []statement{
		// These have no resources to be told apart by: "Actions, resources,
		// and condition keys for Amazon EC2", Service Authorization Reference.
		allow("Look", []string{
			"ec2:DescribeInstances", "ec2:DescribeSecurityGroups", "ec2:DescribeSpotInstanceRequests", "ec2:DescribeSpotPriceHistory", "ec2:DescribeSubnets",
		}, []string{"*"}, equals("aws:RequestedRegion", l.region)),
		allow("BuyHosts", []string{"ec2:RunInstances"}, []string{l.ec2ARN("instance/*"), l.ec2ARN("spot-instances-request/*"), l.ec2ARN("volume/*")},
			equals("aws:RequestTag/"+tagFleet, fleet)),
		allow("BuyHostsHere", []string{"ec2:RunInstances"}, existing),
		allow("BuyHostsBehind", []string{"ec2:RunInstances"}, []string{l.ec2ARN("security-group/*")},
			equals("aws:ResourceTag/"+tagFleet, fleet)),
		allow("TagHosts", []string{"ec2:CreateTags"}, []string{l.ec2ARN("instance/*"), l.ec2ARN("spot-instances-request/*"), l.ec2ARN("volume/*")},
			equals("ec2:CreateAction", "RunInstances")),
		allow("EndHosts", []string{"ec2:TerminateInstances"}, []string{l.ec2ARN("instance/*")},
			equals("aws:ResourceTag/"+tagFleet, fleet)),
		l.passRole(),
		allow("Keys", []string{"secretsmanager:GetSecretValue"}, []string{l.secretARN(anyAccount, l.clientSecret())}),
	}
	if l.cfg.AMI == "" {
		statements = append(statements, allow("Images", []string{"ssm:GetParameter"},
			[]string{l.arn("ssm", "", "parameter/aws/service/ecs/optimized-ami/amazon-linux-2023/*")}))
	}
	return statements
}

// setupStatements are what Setup, RotateKeys and Teardown may do.
func (l *Launcher) setupStatements() []statement {
	ours := []condition{equals("aws:ResourceTag/"+tagFleet, l.cfg.Fleet)}
	group, logs := l.ec2ARN("security-group/*"), l.arn("logs", anyAccount, "log-group:"+l.logGroupName())
	client, host := l.secretARN(anyAccount, l.clientSecret()), l.secretARN(anyAccount, l.hostSecret())
	return []statement{
		allow("Look", []string{"ec2:DescribeInstances", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets"}, []string{"*"},
			equals("aws:RequestedRegion", l.region)),
		allow("LookAtLogGroups", []string{"logs:DescribeLogGroups"}, []string{l.arn("logs", anyAccount, "log-group:*")}),
		allow("MakeGroup", []string{"ec2:CreateSecurityGroup"}, []string{group}, equals("aws:RequestTag/"+tagFleet, l.cfg.Fleet)),
		allow("MakeGroupHere", []string{"ec2:CreateSecurityGroup"}, []string{l.ec2ARN("vpc/*")}),
		allow("TagGroup", []string{"ec2:CreateTags"}, []string{group}, equals("ec2:CreateAction", "CreateSecurityGroup")),
		allow("Group", []string{
			"ec2:AuthorizeSecurityGroupIngress", "ec2:DeleteSecurityGroup", "ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress",
		}, []string{group}, ours...),
		allow("Role", []string{
			"iam:CreateRole", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:GetRole", "iam:PutRolePolicy", "iam:TagRole", "iam:UpdateAssumeRolePolicy",
		}, []string{l.iamARN("role")}),
		allow("Profile", []string{
			"iam:AddRoleToInstanceProfile", "iam:CreateInstanceProfile", "iam:DeleteInstanceProfile", "iam:GetInstanceProfile",
			"iam:RemoveRoleFromInstanceProfile", "iam:TagInstanceProfile",
		}, []string{l.iamARN("instance-profile")}),
		l.passRole(), // into the profile
		allow("Logs", []string{
			"logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:ListTagsForResource", "logs:PutRetentionPolicy", "logs:TagResource",
		}, []string{logs, logs + ":*"}),
		allow("Secrets", []string{
			"secretsmanager:CreateSecret", "secretsmanager:DeleteSecret", "secretsmanager:DescribeSecret", "secretsmanager:PutSecretValue",
			"secretsmanager:RestoreSecret", "secretsmanager:TagResource",
		}, []string{client, host}),
		allow("HostSecret", []string{"secretsmanager:PutResourcePolicy"}, []string{host}),
		allow("ClientSecret", []string{"secretsmanager:GetSecretValue"}, []string{client}),
	}
}

// passRole lets the hosts' role be given to instances, and to nothing else.
func (l *Launcher) passRole() statement {
	return allow("GiveRole", []string{"iam:PassRole"}, []string{l.iamARN("role")}, equals("iam:PassedToService", "ec2.amazonaws.com"))
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

func (l *Launcher) arn(service, account, resource string) string {
	return "arn:" + partition(l.region) + ":" + service + ":" + l.region + ":" + account + ":" + resource
}

func (l *Launcher) ec2ARN(resource string) string { return l.arn("ec2", anyAccount, resource) }

// secretARN matches a secret by its name, which six characters follow
// (https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_iam-policies.html).
func (l *Launcher) secretARN(account, name string) string {
	return l.arn("secretsmanager", account, "secret:"+name+"-??????")
}

// iamARN names the hosts' role or instance profile.
func (l *Launcher) iamARN(kind string) string {
	return "arn:" + partition(l.region) + ":iam::" + anyAccount + ":" + kind + "/" + l.hostRole()
}

// accountOf is the account in an ARN.
func accountOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return anyAccount
}
