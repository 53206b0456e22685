package archtest

import "testing"

// TestRulesBite shows that the matching finds what it should: a rule that
// matches nothing would hold for ever.
func TestRulesBite(t *testing.T) {
	for _, c := range []struct {
		to   []string
		dep  string
		want bool
	}{
		{[]string{"aws"}, "github.com/aws/aws-sdk-go-v2/service/ec2", true},
		{[]string{"aws"}, "net/http", false},
		{[]string{"ours"}, module + "/domain", true},
		{[]string{"fake/..."}, module + "/fake/fakeaws", true},
		{[]string{"fake"}, module + "/fake", true},
		{[]string{"testing", "testing/..."}, "testing/synctest", true},
		{[]string{"testing"}, "testing/synctest", false},
	} {
		ours, isOurs := c.dep, false
		if len(c.dep) > len(module) && c.dep[:len(module)] == module {
			ours, isOurs = c.dep[len(module)+1:], true
		}
		if got := forbidden(c.to, c.dep, ours, isOurs); got != c.want {
			t.Errorf("forbidden(%q, %q) = %v", c.to, c.dep, got)
		}
	}
	for _, r := range rules {
		if r.why == "" {
			t.Errorf("the rule about %q has no reason", r.from)
		}
	}
}
