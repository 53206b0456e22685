package fakeaws

import "testing"

// TestReaches: a connection passes if the rules of both sides let it.
func TestReaches(t *testing.T) {
	c, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	vpc := c.ec2.vpcs[0].id
	nfsFrom := func(group, cidr string) []rule {
		return []rule{{protocol: "tcp", from: 2049, to: 2049, group: group, cidr: cidr}}
	}
	for name, g := range map[string]*securityGroup{
		"open":     {egress: []rule{{protocol: "-1", cidr: anywhere}}},
		"closed":   {},
		"web only": {egress: []rule{{protocol: "tcp", from: 443, to: 443, cidr: anywhere}}},
		"to efs":   {egress: nfsFrom("from open", "")},
		"udp":      {egress: []rule{{protocol: "udp", from: 0, to: 65535, cidr: anywhere}}},

		"from open":  {ingress: nfsFrom("open", "")},
		"from range": {ingress: nfsFrom("", "172.16.0.0/12")},
		"from part":  {ingress: nfsFrom("", "172.31.0.0/20")},
		"from all":   {ingress: []rule{{protocol: "tcp", from: 0, to: 65535, cidr: anywhere}}},
		"from efs":   {ingress: nfsFrom("to efs", "")},
	} {
		g.id, g.vpc = name, vpc
		c.ec2.groups[name] = g
	}
	for _, test := range []struct {
		from, to []string
		want     bool
	}{
		{[]string{"open"}, []string{"from open"}, true},
		{[]string{"open"}, []string{"from range"}, true},
		{[]string{"open"}, []string{"from all"}, true},
		{[]string{"open"}, []string{"from part"}, false},
		{[]string{"open"}, []string{"from efs"}, false},
		{[]string{"open"}, []string{"closed"}, false},
		{[]string{"closed"}, []string{"from all"}, false},
		{[]string{"web only"}, []string{"from all"}, false},
		{[]string{"udp"}, []string{"from all"}, false},
		{[]string{"to efs"}, []string{"from all"}, false},
		{[]string{"to efs"}, []string{"from open"}, false},
		{[]string{"to efs", "open"}, []string{"from open"}, true},
		{[]string{"to efs", "closed"}, []string{"from efs", "from open"}, true},
		{[]string{"open"}, []string{"unknown"}, false},
		{nil, []string{"from all"}, false},
	} {
		if got := c.reaches(test.from, test.to, 2049); got != test.want {
			t.Errorf("from %q to %q: %v, want %v", test.from, test.to, got, test.want)
		}
	}
}
