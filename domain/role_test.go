package domain

import (
	"strings"
	"testing"
)

func TestCheckRole(t *testing.T) {
	for _, arn := range []string{
		"arn:aws:iam::123456789012:role/a", "arn:aws-cn:iam::123456789012:role/analysis", "arn:aws-us-gov:iam::123456789012:role/data/eu/reader",
		"arn:aws:iam::123456789012:role/A-b_c+d=e,f.g@h", "arn:aws:iam::123456789012:role/" + strings.Repeat("n", 64),
	} {
		if err := checkRole(arn); err != nil {
			t.Errorf("%s: %v", arn, err)
		}
	}
	for _, arn := range []string{
		"", "analysis", "role/analysis", "arn:aws:iam::123456789012:role/", "arn:aws:iam::123456789012:role/a b", "arn:aws:iam::123456789012:role/a\n",
		"arn:aws:iam::12345678901:role/a", "arn:aws:iam:us-east-1:123456789012:role/a", "arn:aws:iam::123456789012:user/a",
		"arn:aws:sts::123456789012:assumed-role/a/b", "arn:aws:iam::123456789012:role/*", "arn:aws:iam::123456789012:role/data/*/a",
		"arn:aws:iam::123456789012:role/data?/a", "arn:aws:iam::123456789012:role/" + strings.Repeat("n", 65),
		"arn:aws:iam::123456789012:role/" + strings.Repeat("p", 2100) + "/a",
	} {
		if checkRole(arn) == nil {
			t.Errorf("%.60q is taken for a role", arn)
		}
	}
}
