package domain

import (
	"fmt"
	"regexp"
	"strings"
)

// rolePattern is the ARN of an IAM role, with or without a path, in any
// partition: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html.
// The characters of names and paths are those of
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html.
var rolePattern = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/(?:[!-~]+/)?[A-Za-z0-9+=,.@_-]{1,64}$`)

// maxRole is the longest ARN that AssumeRole takes,
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html.
const maxRole = 2048

// checkRole reports what is wrong with the ARN of a role, or nil. An asterisk
// may be in a path, but whoever writes one means a pattern: it is refused.
func checkRole(arn string) error {
	if len(arn) > maxRole || !rolePattern.MatchString(arn) || strings.ContainsAny(arn, "*?") {
		return fmt.Errorf("role %.80q: want the exact ARN of an IAM role, such as arn:aws:iam::123456789012:role/analysis", arn)
	}
	return nil
}

// checkAskedRole returns the role of an ask. A resumed session keeps the one
// it has, or has none; whether it still may is decided anew. One that makes no
// sense is not held against policies.
func checkAskedRole(ask Ask, wrong *problems) string {
	role := ask.Role
	if r := ask.Resume; r != nil {
		if role != "" && role != r.Role {
			had := "none"
			if r.Role != "" {
				had = r.Role
			}
			wrong.add("resume", ErrInvalid, fmt.Errorf("resume: the session has role %s and keeps it; start a new one for role %.80q", had, role))
		}
		role = r.Role
	}
	if role == "" {
		return ""
	}
	if err := checkRole(role); err != nil {
		wrong.add("role", ErrInvalid, err)
		return ""
	}
	return role
}
