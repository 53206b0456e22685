// Package iampolicy writes IAM policy documents, and reads the names in them.
package iampolicy

import (
	"encoding/json"
	"strings"
)

// AnyAccount leaves the account in an ARN open: a policy of an identity gives nothing in
// another account by itself.
const AnyAccount = "*"

// A Statement is one of a policy.
type Statement struct {
	Sid       string
	Effect    string
	Principal any                       `json:",omitempty"`
	Action    any                       // a string or several
	Resource  any                       `json:",omitempty"` // likewise
	Condition map[string]map[string]any `json:",omitempty"`
}

// A Condition is one of a statement. [Where] makes one.
type Condition struct {
	operator, key string
	value         any
}

// Where is a condition by an operator of IAM's on a key. The value is a string or several.
func Where(operator, key string, value any) Condition { return Condition{operator, key, value} }

// Equals is that a key has a value, or one of several.
func Equals(key string, value any) Condition { return Where("StringEquals", key, value) }

// Allow is a statement that allows actions on resources where all conditions hold.
func Allow(sid string, actions, resources []string, conditions ...Condition) Statement {
	s := Statement{Sid: sid, Effect: "Allow", Action: actions, Resource: resources}
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

// Document formats statements, indented.
func Document(statements ...Statement) string {
	text, err := json.MarshalIndent(struct {
		Version   string
		Statement []Statement
	}{"2012-10-17", statements}, "", "  ")
	if err != nil {
		panic(err) // strings can always be written
	}
	return string(text)
}

// EC2Trust lets EC2 give instances a role.
func EC2Trust() string {
	return Document(Statement{
		Sid: "EC2", Effect: "Allow", Principal: map[string]string{"Service": "ec2.amazonaws.com"}, Action: "sts:AssumeRole",
	})
}

// ReadBy is the policy of a secret that nobody reads who does not act as a role,
// administrators included. It only denies, so that there is nothing public for
// BlockPublicPolicy to block, which looks at wildcard principals; and it denies nothing
// but reading, so that nobody is locked out of changing, describing or deleting the
// secret. A condition on the role's ARN holds for its sessions too, and for a role that
// was deleted and made again, which a principal in a policy does not
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn).
func ReadBy(sid, role string) string {
	return Document(Statement{
		Sid: sid, Effect: "Deny", Principal: "*", Action: "secretsmanager:GetSecretValue", Resource: "*",
		Condition: map[string]map[string]any{"ArnNotEquals": {"aws:PrincipalArn": role}},
	})
}

// Partition is the part of AWS that a region is in
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html).
func Partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "eusc-"): // European Sovereign Cloud; by the SDK's table of partitions
		return "aws-eusc"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	default:
		return "aws"
	}
}

// ARN names a resource of a region.
func ARN(region, service, account, resource string) string {
	return "arn:" + Partition(region) + ":" + service + ":" + region + ":" + account + ":" + resource
}

// SecretARN matches a secret by its name, which six characters follow
// (https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_iam-policies.html).
func SecretARN(region, account, name string) string {
	return ARN(region, "secretsmanager", account, "secret:"+name+"-??????")
}

// AccountOf is the account in an ARN.
func AccountOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[4]
	}
	return AnyAccount
}
