package sagemakerdomain

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/atelier-go/atelier/domain"
	"github.com/atelier-go/atelier/efs"
)

// TestAdoptionOfEachStatus: a profile that cannot be worked with is left out, and keeps
// its user from being taken for gone.
func TestAdoptionOfEachStatus(t *testing.T) {
	for _, status := range types.UserProfileStatus("").Values() {
		a := &adoption{}
		name, left := a.userOf(AdoptRequest{}, Profile{Name: "Ada", UID: 200001, Status: Status(status)}, nil)
		adopted := slices.Contains([]types.UserProfileStatus{"InService", "Updating", "Update_Failed"}, status)
		if adopted != (name == "ada") || adopted == (left == "ada") || adopted == (len(a.apart) == 1) {
			t.Errorf("%s: %q, %q, %v", status, name, left, a.apart)
		}
	}
	a := &adoption{}
	if name, left := a.userOf(AdoptRequest{}, Profile{Name: "ada", Status: InService}, nil); name != "" || left != "ada" || !strings.Contains(a.apart[0].Detail, "no uid yet") {
		t.Errorf("without a uid: %q, %q, %v", name, left, a.apart)
	}
}

// TestAdoptedAgain: of a domain that exists what differs for good blocks, and what is for
// its administrator to decide stays.
func TestAdoptedAgain(t *testing.T) {
	ours := func(change func(*domain.Description)) *present {
		d := domain.Description{
			Name: "research", Subnets: []domain.Subnet{{ID: "subnet-2"}, {ID: "subnet-1"}}, Policy: domain.Policy{Types: []string{"t3.*"}}, Tags: map[string]string{"a": "b"},
			External: domain.External{Keeper: keeper + "d-1", FileSystem: "fs-1", HostSecurityGroups: []string{"sg-1"}},
		}
		change(&d)
		return &present{Description: d}
	}
	for name, test := range map[string]struct {
		asked                 []string
		change                func(*domain.Description)
		blocks, differ, stays string
	}{
		"Same":       {change: func(*domain.Description) {}},
		"Own":        {change: func(d *domain.Description) { d.External = domain.External{} }, blocks: "has a file system of its own"},
		"Anothers":   {change: func(d *domain.Description) { d.External.Keeper = keeper + "d-2" }, blocks: "is over that of SageMaker domain d-2"},
		"FileSystem": {change: func(d *domain.Description) { d.External.FileSystem = "fs-2" }, blocks: "SageMaker has fs-1 in its place"},
		"Gone":       {change: func(d *domain.Description) { d.Subnets[0].ID = "subnet-3" }, differ: "in subnet-1, subnet-3, although SageMaker is in subnet-1, subnet-2"},
		"Some":       {change: func(d *domain.Description) { d.Subnets = d.Subnets[:1] }, stays: "in subnet-2 of SageMaker's 2 subnets"},
		"AsAsked":    {asked: []string{"subnet-1", "subnet-2"}, change: func(*domain.Description) {}},
		"Others":     {asked: []string{"subnet-1"}, change: func(*domain.Description) {}, differ: "in subnet-1, subnet-2, not in subnet-1, which Subnets says: they are for good"},
	} {
		a := &adoption{create: domain.CreateRequest{Name: "research", Subnets: []string{"subnet-1", "subnet-2"}, External: ours(func(*domain.Description) {}).External}}
		is := ours(test.change)
		if over := a.planAgain(is, AdoptRequest{Subnets: test.asked}, a.create.Subnets); over == (test.blocks != "") {
			t.Errorf("%s: it is over SageMaker's: %t", name, over)
		}
		for what, got := range map[string]struct {
			all  []domain.Consequence
			want string
		}{"blocks": {a.blocks, test.blocks}, "differs": {a.apart, test.differ}, "stays": {a.stays, test.stays}} {
			if got.want == "" && len(got.all) > 0 || got.want != "" && (len(got.all) != 1 || !strings.Contains(got.all[0].Detail, got.want)) {
				t.Errorf("%s: it %s: %v, want %q", name, what, got.all, got.want)
			}
		}
		if len(a.create.Subnets) != len(is.Subnets) || !slices.Equal(a.create.Policy.Types, is.Policy.Types) || a.create.Tags["a"] != "b" {
			t.Errorf("%s: it asks for %+v", name, a.create)
		}
	}
}

// TestHolder: a uid is a user's whose home of that domain it opens, and nobody's otherwise.
func TestHolder(t *testing.T) {
	tags := func(name string) map[string]string { return map[string]string{domain.TagDomain: name} }
	a := &adoption{points: []efs.AccessPoint{
		{Shared: "genome", Tags: tags("research")}, {User: "ada", UID: 200001, Tags: tags("research")}, {User: "eve", UID: 200002, Tags: tags("other")},
	}}
	for uid, want := range map[uint32]string{0: "", 200001: "ada", 200002: "", 200003: ""} {
		if got := a.holder("research", uid); got != want {
			t.Errorf("uid %d is of %q, want %q", uid, got, want)
		}
	}
}

// TestNotTaken: of settings that differ from the domain's each is named with what does instead,
// once; of those that do not nothing is said.
func TestNotTaken(t *testing.T) {
	rstudio := &RStudio{}
	d := Description{RStudio: rstudio, ExecutionRole: "role-1", SecurityGroups: []string{"sg-1"}, Images: []AttachedImage{{Image: "r"}}}
	set := &types.UserSettings{RSessionAppSettings: &types.RSessionAppSettings{CustomImages: []types.CustomImage{}}}
	for name, test := range map[string]struct {
		domain  func(*Description)
		profile Profile
		want    []string
	}{
		"Nothing":    {},
		"Same":       {profile: Profile{ExecutionRole: "role-1", SessionInstance: "ml.t3.medium", Access: AccessUser, SecurityGroups: []string{"sg-1"}}},
		"Role":       {profile: Profile{ExecutionRole: "role-2"}, want: []string{"execution role role-2, which"}},
		"Groups":     {profile: Profile{SecurityGroups: []string{"sg-1", "sg-2", "sg-3"}}, want: []string{"security groups sg-2, sg-3, as"}},
		"Off":        {profile: Profile{Access: AccessOff}}, // who is left out
		"Admin":      {profile: Profile{Access: AccessAdmin}, want: []string{"administrator of RStudio"}},
		"Given":      {domain: func(d *Description) { d.DefaultAccess = AccessOff }, profile: Profile{Access: AccessUser}},
		"AllOff":     {domain: func(d *Description) { d.DefaultAccess = AccessOff }, profile: Profile{Access: AccessOff}},
		"WithoutOne": {domain: func(d *Description) { d.RStudio = nil }, profile: Profile{Access: AccessAdmin}},
		"Type":       {profile: Profile{SessionInstance: "ml.m5.large"}, want: []string{"default type ml.m5.large"}},
		"Images":     {profile: Profile{Settings: set, Images: []AttachedImage{{Image: "a"}, {Image: "b"}}}, want: []string{"images a, b: attach"}},
		"Everything": {
			profile: Profile{ExecutionRole: "role-2", SecurityGroups: []string{"sg-2"}, Access: AccessAdmin, SessionInstance: "ml.m5.large"},
			want:    []string{"execution role role-2", "; security groups sg-2", "; administrator", "; default type"},
		},
	} {
		d := d
		if test.domain != nil {
			test.domain(&d)
		}
		got := effective(d, test.profile).notTaken(effective(d, Profile{}))
		for _, want := range test.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q does not say %q", name, got, want)
			}
		}
		if parts := strings.Count(got, "; ") + min(1, len(got)); parts != len(test.want) {
			t.Errorf("%s: %q tells of %d settings, want %d", name, got, parts, len(test.want))
		}
	}
}

// TestLetsIn: a rule lets hosts in that names a group of theirs or holds all places where they are,
// and one that may do so is never taken for none.
func TestLetsIn(t *testing.T) {
	nfs := func(change func(*ec2types.IpPermission)) ec2types.IpPermission {
		p := ec2types.IpPermission{IpProtocol: new("tcp"), FromPort: new(int32(2049)), ToPort: new(int32(2049))}
		change(&p)
		return p
	}
	group := func(id string) func(*ec2types.IpPermission) {
		return func(p *ec2types.IpPermission) {
			p.UserIdGroupPairs = append(p.UserIdGroupPairs, ec2types.UserIdGroupPair{GroupId: &id})
		}
	}
	block := func(ranges ...string) func(*ec2types.IpPermission) {
		return func(p *ec2types.IpPermission) {
			for _, r := range ranges {
				p.IpRanges = append(p.IpRanges, ec2types.IpRange{CidrIp: &r})
			}
		}
	}
	for name, test := range map[string]struct {
		rules   []ec2types.IpPermission
		open    bool
		perhaps string
	}{
		"Nothing": {},
		"Group":   {rules: []ec2types.IpPermission{nfs(group("sg-out"))}, open: true},
		"Second":  {rules: []ec2types.IpPermission{nfs(group("sg-other")), nfs(group("sg-hosts"))}, open: true},
		"Other":   {rules: []ec2types.IpPermission{nfs(group("sg-other"))}, perhaps: "sg-other"},
		"Ports": {rules: []ec2types.IpPermission{nfs(func(p *ec2types.IpPermission) {
			group("sg-out")(p)
			p.FromPort, p.ToPort = new(int32(988)), new(int32(2048))
		})}},
		"PortsAround": {open: true, rules: []ec2types.IpPermission{nfs(func(p *ec2types.IpPermission) {
			group("sg-out")(p)
			p.FromPort, p.ToPort = new(int32(0)), new(int32(65535))
		})}},
		"UDP": {rules: []ec2types.IpPermission{nfs(func(p *ec2types.IpPermission) { group("sg-out")(p); p.IpProtocol = new("udp") })}},
		"All": {open: true, rules: []ec2types.IpPermission{nfs(func(p *ec2types.IpPermission) {
			group("sg-out")(p)
			p.IpProtocol, p.FromPort, p.ToPort = new("-1"), nil, nil
		})}},
		"Range":      {rules: []ec2types.IpPermission{nfs(block("10.0.0.0/16"))}, open: true},
		"Ranges":     {rules: []ec2types.IpPermission{nfs(block("10.0.1.0/24")), nfs(block("10.0.2.0/24"))}, open: true},
		"OnePlace":   {rules: []ec2types.IpPermission{nfs(block("10.0.1.0/24"))}},
		"Part":       {rules: []ec2types.IpPermission{nfs(block("10.0.1.0/25", "10.0.1.128/25"))}, perhaps: "10.0.1.0/25, 10.0.1.128/25"},
		"Elsewhere":  {rules: []ec2types.IpPermission{nfs(block("192.168.0.0/16"))}},
		"Unreadable": {rules: []ec2types.IpPermission{nfs(block("x"))}, perhaps: "x"},
		"IPv6":       {rules: []ec2types.IpPermission{nfs(func(p *ec2types.IpPermission) { p.Ipv6Ranges = []ec2types.Ipv6Range{{CidrIpv6: new("::/0")}} })}, perhaps: "::/0"},
		"List":       {rules: []ec2types.IpPermission{nfs(func(p *ec2types.IpPermission) { p.PrefixListIds = []ec2types.PrefixListId{{PrefixListId: new("pl-1")}} })}, perhaps: "pl-1"},
	} {
		places := []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24"), netip.MustParsePrefix("10.0.2.0/24")}
		open, perhaps := letsIn([]ec2types.SecurityGroup{{}, {IpPermissions: test.rules}}, []string{"sg-out", "sg-hosts"}, places)
		if got := strings.Join(perhaps, ", "); open != test.open || got != test.perhaps && !open {
			t.Errorf("%s: %t, by %q", name, open, got)
		}
	}
}

// TestAnother: the name that is proposed for a user is a name, and no user's, also where only an
// access point knows them.
func TestAnother(t *testing.T) {
	a := &adoption{points: []efs.AccessPoint{
		{User: "ada2", UID: 200001, Tags: map[string]string{domain.TagDomain: "research"}}, {User: "bob2", UID: 200002, Tags: map[string]string{domain.TagDomain: "other"}},
	}}
	ours := &present{names: map[string]domain.User{"bob2": {Name: "bob2"}}}
	for _, test := range []struct {
		name string
		ours *present
		want string
	}{{"ada", nil, "ada3"}, {"bob", nil, "bob2"}, {"bob", ours, "bob3"}, {"a-name-of-20-letters", nil, "a-name-of-20-letter2"}} {
		got := a.another("research", test.name, test.ours)
		if err := domain.CheckName("user", got); got != test.want || err != nil {
			t.Errorf("for %s it is %s, want %s: %v", test.name, got, test.want, err)
		}
	}
}
